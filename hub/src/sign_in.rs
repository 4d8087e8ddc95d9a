//! Signing in and out: `POST /api/login` with a credential gives a browser the cookie that counts at its next handshakes,
//! `POST /api/logout` takes it away and ends it.
//!
//! By way of a provider of OpenID Connect, [`provider`] signs people in. Each browser and program is a client of its own
//! ([`clients`]); a program is given a token in place of a cookie.
//!
//! Both are for pages whose Origin may connect here, and over HTTPS or within one host only. Who is wrong hears what
//! everybody hears who is wrong, as late as they do; who is wrong again and again from one address waits.

use crate::{
    accounts::Registrar,
    api::{self, Api, Told},
    asker::Asker,
    cookies::Cookies,
};
use axum::{
    Form, Json, RequestExt, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, FromRequest, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use clients::Wish;
use riser_gate::{Caller, Directory, Gate, Holds, Input, Standing, Statement, acceptor::cookie::parts};
use riser_model::{
    AccountName, Audited, ClientId, ConnectionId, Deed, Principal, Wall,
    door::{Code, Credential, Refusal, Secret},
};
use riser_net::{Vouched, cookie, entrance::Peer};
use riser_shell::{Clock, entropy, proofs::Verify};
use serde::Deserialize;
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

mod clients;
mod provider;
pub mod teller;

use teller::Said;
pub use teller::Teller;

/// The longest request: a token has up to 8 KiB.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// What became of those who signed in, in numbers that only rise.
#[derive(Debug, Default)]
pub struct SignIns {
    accepted: AtomicU64,
    refused: AtomicU64,
    waiting: AtomicU64,
    ended: AtomicU64,
    /// Of which admins were not told, because too many waited to be.
    untold: AtomicU64,
}

impl SignIns {
    /// Each with its labels in metrics.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        [
            ("outcome=\"accepted\"", &self.accepted),
            ("outcome=\"refused\"", &self.refused),
            ("outcome=\"too_often\"", &self.waiting),
            ("outcome=\"ended\"", &self.ended),
            ("outcome=\"untold\"", &self.untold),
        ]
        .map(|(labels, count)| ("sign_ins", labels, count.load(Ordering::Relaxed)))
        .into_iter()
    }
}

/// Its routes, for a listener where people sign in.
pub fn routes(
    api: Api,
    registrar: Registrar,
    cookies: Arc<Cookies>,
    (counts, teller): (Arc<SignIns>, Teller),
) -> Router {
    Router::new()
        .route("/api/login", post(login).get(whoami))
        .route("/api/logout", post(logout))
        .merge(provider::routes())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Door { api, registrar, cookies, counts, teller, providers: Arc::default() })
}

#[derive(Clone)]
struct Door {
    api: Api,
    registrar: Registrar,
    cookies: Arc<Cookies>,
    counts: Arc<SignIns>,
    teller: Teller,
    providers: Arc<provider::Providers>,
}

/// What a page or program sends: a user and password, or a token of an issuer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    user: Option<String>,
    password: Option<String>,
    token: Option<String>,
    /// As which client: `new`, or one that it has been.
    client: Option<String>,
    /// What it is given.
    #[serde(default)]
    give: Give,
}

/// What whoever signs in is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Give {
    /// A cookie: a browser.
    #[default]
    Cookie,
    /// A token: a program.
    Token,
}

impl Shown {
    fn credential(self) -> Option<Credential> {
        let secret = |text: String| Secret(Bytes::from(text));
        match (self.user, self.password, self.token) {
            (Some(user), Some(password), None) => {
                Some(Credential::Password { account: None, user, password: secret(password) })
            }
            (None, None, Some(token)) => Some(Credential::Token(secret(token))),
            (_, _, _) => None,
        }
    }
}

async fn login(State(door): State<Door>, asker: Asker, request: Request) -> Response {
    let is_form = is_form(&asker.headers);
    let entered = async {
        let page = match page(&door, &asker) {
            Ok(page) => Some(page),
            // A program says no Origin, and is given no cookie.
            Err(_) if is_no_page(&asker) => None,
            Err(why) => return Err(why),
        };
        if door.api.knows_offender(&asker.peer).await {
            door.counts.waiting.fetch_add(1, Ordering::Relaxed);
            return Err(api::wrong_too_often());
        }
        let Read { credential, wish, give } = read(request, is_form).await?;
        let page = match (give, page) {
            (Give::Token, _) => None,
            (Give::Cookie, Some(page)) => Some(page),
            (Give::Cookie, None) => return Err(no_origin()),
        };
        let usual = page.map_or(Wish::Itself, |page| Wish::of_browser(&asker, page));
        match verify(&door, &asker, credential, None, (wish.unwrap_or(usual), give)).await {
            Ok(signed_in) => Ok((page, signed_in)),
            Err(why) => {
                door.counts.refused.fetch_add(1, Ordering::Relaxed);
                Err(why)
            }
        }
    };
    let (page, SignedIn { principal, value, until }) = match entered.await {
        Ok(signed_in) => signed_in,
        Err(why) => return api::refused(&why),
    };
    door.counts.accepted.fetch_add(1, Ordering::Relaxed);
    let mut who = json!({
        "account": principal.account_name, "name": principal.name, "client": principal.client, "until": until.0,
    });
    let Some(page) = page else {
        who["token"] = json!(value);
        return api::no_store(Json(who).into_response());
    };
    let response = if is_form {
        (StatusCode::SEE_OTHER, [(header::LOCATION, "/")]).into_response()
    } else {
        Json(who).into_response()
    };
    let response = with_cookie(response, &cookie::given(&value, page, door.cookies.lasts()));
    called(response, &principal, page)
}

/// What a browser is called by from now on goes along.
fn called(response: Response, principal: &Principal, page: Vouched) -> Response {
    if principal.client == principal.user() {
        return response;
    }
    with_cookie(response, &cookie::client_given(&principal.client.to_string(), page))
}

/// Whether it comes from no page at all: browsers say where a request comes from.
fn is_no_page(asker: &Asker) -> bool {
    let says = |name: &str| asker.headers.contains_key(name);
    api::unheard(&asker.peer).is_ok() && !says("origin") && !says("referer") && !says("sec-fetch-site")
}

/// Whoever the cookie says.
async fn whoami(State(door): State<Door>, asker: Asker) -> Response {
    match door.api.enter(&asker).await {
        Ok(principal) => {
            let who = json!({
                "account": principal.account_name, "name": principal.name, "client": principal.client,
            });
            api::no_store(Json(who).into_response())
        }
        Err(why) => api::refused(&why),
    }
}

async fn logout(State(door): State<Door>, asker: Asker) -> Response {
    let page = match page(&door, &asker) {
        Ok(page) => Some(page),
        Err(_) if is_no_page(&asker) => None,
        Err(why) => return api::refused(&why),
    };
    let shown = match page {
        Some(page) => cookie::shown(&asker.headers, page),
        None => match api::credential(&asker.headers) {
            Some(Credential::Token(token)) => Some(token),
            _ => return api::refused(&no_origin()),
        },
    };
    if let Some(shown) = shown
        && let Some(statement) = signed(&door, &shown)
    {
        let (cookies, core, ended) = (Arc::clone(&door.cookies), door.api.core.clone(), statement.id());
        door.counts.ended.fetch_add(1, Ordering::Relaxed);
        // To the end, whether or not the browser waits for it.
        let ending = tokio::spawn(async move {
            // It writes its file.
            let written =
                tokio::task::spawn_blocking(move || cookies.end(&statement, Clock.now().wall)).await;
            // A core that has ended has no connections.
            core.ask(move |core, now| core.end_cookie(ended, now)).await;
            written
        });
        let written = ending.await.and_then(|written| written);
        if let Ok(Err(error)) = written {
            tracing::error!(%error, "a cookie that was ended would hold again after a restart: its file cannot be written");
            let want = "to sign out again when its disk is well: until then a restart would forget that this cookie was ended";
            return api::refused(&refusal(Code::LogFailing, "the hub cannot write to its disk", want));
        }
    }
    let response = StatusCode::NO_CONTENT.into_response();
    match page {
        Some(page) => with_cookie(response, &cookie::taken(page)),
        None => api::no_store(response),
    }
}

/// What a cookie states, if it is one: nobody else's is ended by guessing.
fn signed(door: &Door, shown: &Secret) -> Option<Statement> {
    let (text, signature) = parts(&shown.0)?;
    let statement = Statement::read(text)?;
    let bound = door.api.policy().directory.bound(statement.client)?.1;
    let message = Statement::message(text, &bound);
    door.cookies.has_signed(&message, &signature.0).then_some(statement)
}

/// The page that asks, if it may.
fn page(door: &Door, Asker { peer, headers, .. }: &Asker) -> Result<Vouched, Refusal> {
    api::unheard(peer)?;
    door.api.origins.vouch(headers).ok_or_else(no_origin)
}

fn no_origin() -> Refusal {
    let want = "a page from here, or its origin in the configured list";
    refusal(Code::Denied, "no Origin that may sign in here", want)
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim() == "application/x-www-form-urlencoded")
}

/// What was read of a request.
struct Read {
    credential: Credential,
    wish: Option<Wish>,
    give: Give,
}

async fn read(request: Request, is_form: bool) -> Result<Read, Refusal> {
    // As long as the layer says.
    let request = request.with_limited_body();
    let shown = if is_form {
        Form::<Shown>::from_request(request, &()).await.ok().map(|Form(shown)| shown)
    } else {
        Json::<Shown>::from_request(request, &()).await.ok().map(|Json(shown)| shown)
    };
    let want = r#"{"user":"account/name","password":"..."} or {"token":"..."} as application/json, or a form with these fields"#;
    let nothing = || refusal(Code::Malformed, "nothing to sign in with", want);
    let shown = shown.ok_or_else(nothing)?;
    let (give, client) = (shown.give, shown.client.clone());
    let wish = client.map(|client| {
        let want = "client: \"new\", or the id that an earlier sign-in answered";
        Wish::said(&client).ok_or_else(|| refusal(Code::Malformed, "a client that is no id", want))
    });
    let wish = wish.transpose()?;
    Ok(Read { credential: shown.credential().ok_or_else(nothing)?, wish, give })
}

struct SignedIn {
    principal: Arc<Principal>,
    value: String,
    until: Wall,
}

/// Whoever a credential says, and its cookie; somebody of that account, if one is meant.
async fn verify(
    door: &Door,
    asker: &Asker,
    credential: Credential,
    of: Option<&AccountName>,
    (wish, give): (Wish, Give),
) -> Result<SignedIn, Refusal> {
    let Asker { peer, connection, .. } = asker;
    let hub = &door.api;
    let (address, tls) = (Some(peer.address.ip()), peer.tls);
    let caller = Caller { address, tls, entropy: entropy::bytes(), ..Caller::default() };
    let mut gate = Gate::front(&hub.policy(), caller, Clock.now());
    gate.handle(Input::Shown(credential), Clock.now());
    let (passed, told) = judged(&mut gate, hub.verifier.as_ref(), of).await;
    let chosen = match (&passed, &gate.standing().principal) {
        (Ok(()), Some(who)) => wish.choose(door, asker, who, &gate.standing().evidence).await,
        (Ok(()), None) => Err(api::not_authorised()),
        (Err(why), _) => Err(why.clone()),
    };
    let Noted { audited, is_wrong, said } =
        noted((&passed, &chosen), told, gate.standing(), (peer, *connection));
    hub.write_down(audited, is_wrong).await;
    // Somebody's admins are told, nobody's are not: whoever asked hears as soon either way, and the log is not waited for.
    door.teller.tell(said);
    let client = chosen?;
    let now = Clock.now().wall;
    let directory = Arc::clone(&hub.policy().directory);
    let as_what = (client, give);
    let (principal, bound, statement) =
        state(&directory, gate.standing(), as_what, door.cookies.lasts(), now)?;
    let until = statement.until;
    if door.cookies.is_ended(&statement) {
        let want = "one that holds longer, or to come back when those that were ended have expired";
        return Err(refusal(Code::TooMany, "very many cookies of this one were ended", want));
    }
    let text = statement.text();
    let message = Statement::message(&text, &bound);
    let cookies = Arc::clone(&door.cookies);
    // It may write its file.
    let signed = tokio::task::spawn_blocking(move || cookies.sign(&message, now)).await;
    match signed {
        Ok(Ok(signature)) => {
            Ok(SignedIn { principal: Arc::clone(&principal), value: format!("{text}.{signature}"), until })
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "nobody can sign in: the secrets of cookies cannot be written");
            Err(refusal(Code::LogFailing, "the hub cannot write to its disk", "come back later"))
        }
        Err(_) => Err(refusal(Code::ShuttingDown, "the hub is going down", "come back")),
    }
}

/// What comes of what was shown: whether it is somebody's, of that account if one is meant, and what was said of it.
async fn judged(
    gate: &mut Gate,
    verifier: &dyn Verify,
    of: Option<&AccountName>,
) -> (Result<(), Refusal>, Vec<Told>) {
    let mut told = Vec::new();
    let passed = api::pass(gate, verifier, &mut told).await;
    let is_its = |who: &Arc<Principal>| of.is_none_or(|account| *account == who.account_name);
    let is_known = gate.standing().principal.as_ref().is_some_and(is_its);
    // What was signed here is to come in by. Whoever has only that would make one out of the other for ever.
    let is_first = gate.standing().cookie.is_none();
    let passed = passed.and_then(|()| (is_known && is_first).then_some(()).ok_or_else(clients::wrong));
    (passed, told)
}

/// What is done beside the answer, and the same of everybody who is refused, whether or not there is such a user: one line is
/// asked for, one mistake remembered, one place taken where admins are told.
struct Noted {
    audited: Audited,
    is_wrong: bool,
    said: Said,
}

fn noted(
    (passed, chosen): (&Result<(), Refusal>, &Result<ClientId, Refusal>),
    told: Vec<Told>,
    standing: &Standing,
    (peer, connection): (&Peer, ConnectionId),
) -> Noted {
    let (deed, why, is_wrong) = match (passed, chosen) {
        (Ok(()), Err(why)) => {
            let is_wrong = why.code == Code::NotAuthorised;
            let said = if is_wrong { "as a client that is somebody else's" } else { &why.what };
            (Deed::Refused, format!("signs in: {said}"), is_wrong)
        }
        (Ok(()), Ok(_)) => {
            let by: Vec<&str> = standing.passed.iter().map(|kind| kind.name()).collect();
            (Deed::Entered, format!("signed in by {}", by.join(", ")), false)
        }
        (Err(why), _) => (Deed::Refused, api::why(&told, why), why.code == Code::NotAuthorised),
    };
    let audited = api::audited(&told, peer, connection, deed, why);
    Noted { audited, is_wrong, said: Said { connection, told } }
}

/// What a cookie states of who stands like this, by the directory that is in force.
fn state(
    directory: &Directory,
    standing: &Standing,
    (client, give): (ClientId, Give),
    lasts: Duration,
    now: Wall,
) -> Result<(Arc<Principal>, [u8; 32], Statement), Refusal> {
    let is_its = |who: &Principal| directory.user_of(client).is_some_and(|user| user.client == who.user());
    let is_its = standing.principal.as_ref().is_some_and(|who| is_its(who));
    let bound = directory.bound(client).filter(|_| is_its);
    let Some((principal, bound)) = bound else { return Err(api::not_authorised()) };
    // Accounts may have changed while it was verified: the cookie would stand for what it was not given for.
    if directory.holds(principal.client, &standing.evidence) != Holds::Yes {
        return Err(refusal(Code::Timeout, "the credentials changed meanwhile", "sign in again"));
    }
    let lasts = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
    let until = Wall(now.0.saturating_add(lasts));
    let statement = Statement {
        client: principal.client,
        passed: standing.passed.clone(),
        until: standing.until.map_or(until, |proven| until.min(proven)),
        proven_until: standing.until,
        memberships: standing.principal.as_ref().map(|who| who.grants.memberships()).unwrap_or_default(),
        is_token: give == Give::Token,
        nonce: entropy::bytes(),
    };
    Ok((Arc::clone(principal), bound, statement))
}

fn with_cookie(mut response: Response, cookie: &str) -> Response {
    let value = HeaderValue::from_str(cookie).expect("names, numbers and base64 are a header's value");
    response.headers_mut().append(header::SET_COOKIE, value);
    api::no_store(response)
}

fn refusal(code: Code, what: &str, want: &str) -> Refusal {
    Refusal { code, what: what.to_owned(), want: want.to_owned() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use riser_gate::{AccountConfig, Output, Policy, Proof, TokenHash, UserConfig, Verdict};
    use riser_shell::proofs::Finding;
    use std::{net::IpAddr, sync::Mutex};

    const HOUR: Duration = Duration::from_secs(3600);

    fn directory(token: &[u8], name: &str) -> Arc<Directory> {
        let user = UserConfig {
            tokens: vec![TokenHash::of(token)],
            id: Some(ClientId(uuid::Uuid::from_u128(7))),
            ..UserConfig::new(name.parse().unwrap())
        };
        let id = riser_model::AccountId(uuid::Uuid::from_u128(1));
        let account = AccountConfig { user: vec![user], ..AccountConfig::new("acme".parse().unwrap(), id) };
        Arc::new(Directory::compile(&[account]).unwrap())
    }

    #[test]
    fn what_was_revoked_while_it_was_verified_gives_no_cookie() {
        let before = directory(b"of-ann", "ann");
        let policy = Policy::new(&before, None, "listen").unwrap();
        let mut gate = Gate::front(&policy, Caller::default(), Clock.now());
        gate.handle(Input::Shown(Credential::Token(Secret(b"of-ann"[..].into()))), Clock.now());
        assert!(std::iter::from_fn(|| gate.poll()).any(|output| output == Output::Pass));
        let state = |directory: &Directory| {
            let itself = ClientId(uuid::Uuid::from_u128(7));
            state(directory, gate.standing(), (itself, Give::Cookie), HOUR, Wall(0))
                .map(|(who, _, statement)| (who.name.to_string(), statement.until))
        };
        assert_eq!(state(&before), Ok(("ann".to_owned(), Wall(3_600_000))));
        assert_eq!(state(&directory(b"of-ann", "anna")).unwrap().0, "anna", "as it is called by now");
        let refused = |directory: &Directory| state(directory).unwrap_err().code;
        assert_eq!(refused(&directory(b"another", "ann")), Code::Timeout);
        assert_eq!(refused(&Directory::compile(&[]).unwrap()), Code::NotAuthorised, "removed");
    }

    /// Says no to each proof, and has noted which it was and what it costs.
    #[derive(Default)]
    struct Asked(Mutex<Vec<String>>);

    impl Verify for Asked {
        fn verify(&self, proof: Proof, from: Option<IpAddr>) -> Finding<'_> {
            let asked = match proof {
                Proof::Password { hash, .. } => {
                    // The kind of hash and its costs, and how long the salt and the rest are.
                    let mut parts: Vec<&str> = hash.expose().split('$').collect();
                    let rest: Vec<usize> = parts.split_off(4).into_iter().map(str::len).collect();
                    format!("{parts:?} {rest:?} from {from:?}")
                }
                other => panic!("{other:?}"),
            };
            self.0.lock().unwrap().push(asked);
            Box::pin(std::future::ready(Verdict::Differs))
        }
    }

    /// All that the hub does of somebody who is refused, in the order in which it is asked for: what is verified, what the gate
    /// says, how many lines are written, mistakes remembered and places of the teller taken, and the answer.
    async fn done_of(policy: &Policy, user: &str) -> (Vec<String>, Refusal, Noted) {
        let peer = Peer {
            address: "192.0.2.1:99".parse().unwrap(),
            listener: "http".into(),
            proxy: false,
            origin: None,
            tls: true,
            certificate: None,
        };
        let caller = Caller { address: Some(peer.address.ip()), tls: true, ..Caller::default() };
        let mut gate = Gate::front(policy, caller, Clock.now());
        let password = Secret(b"not it"[..].into());
        let shown = Credential::Password { account: None, user: user.to_owned(), password };
        gate.handle(Input::Shown(shown), Clock.now());
        let asked = Asked::default();
        let (passed, told) = judged(&mut gate, &asked, None).await;
        let refusal = passed.clone().unwrap_err();
        let noted = noted((&passed, &Err(refusal.clone())), told, gate.standing(), (&peer, ConnectionId(1)));
        let mut done = asked.0.into_inner().unwrap();
        done.extend(noted.said.told.iter().map(|told| format!("{:?} {:?}", told.acceptor, told.step)));
        done.push(format!(
            "{:?} from {:?}, a mistake: {}",
            noted.audited.deed, noted.audited.from, noted.is_wrong
        ));
        (done, refusal, noted)
    }

    #[tokio::test]
    async fn whoever_is_refused_has_the_hub_do_the_same_whether_or_not_there_is_such_a_user_or_account() {
        let hash = |password: &[u8]| riser_shell::passwords::hash(password);
        let user = |name: &str| UserConfig {
            password: Some(hash(name.as_bytes())),
            ..UserConfig::new(name.parse().unwrap())
        };
        let id = riser_model::AccountId(uuid::Uuid::from_u128(1));
        let account = AccountConfig {
            user: vec![user("ann"), user("bob")],
            ..AccountConfig::new("acme".parse().unwrap(), id)
        };
        let directory = Arc::new(Directory::compile(&[account]).unwrap());
        let policy = Policy::new(&directory, None, "listen").unwrap();
        let (done, refusal, known) = done_of(&policy, "acme/ann").await;
        assert_eq!(done.len(), 3, "one verification, one word of the gate, one line: {done:?}");
        assert_eq!(known.audited.name.as_ref().map(|name| name.as_str()), Some("ann"));
        for user in ["acme/nobody", "nowhere/ann", "nowhere/nobody", "nobody", "", "NOT/A NAME", "a/b/c"] {
            let (same, answer, unknown) = done_of(&policy, user).await;
            assert_eq!((same, answer), (done.clone(), refusal.clone()), "{user}");
            assert_eq!(unknown.audited.name, None, "it is written down all the same");
        }
    }
}
