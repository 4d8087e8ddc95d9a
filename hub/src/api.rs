//! What whoever asks may see of a hub: `GET /api/status` (edges and rooms), `/api/rooms/{room}/presence`,
//! `/api/rooms/{room}/statistics?channels={filter}` (a page each: what `next` says is the next one's `after`), and who clients are that had something to say in a room:
//! `/api/rooms/{room}/names?clients={id},{id}`.
//!
//! Who asks passes the gates of the listener and of its account, like everybody, and sees nothing of a room whose own gate
//! does not let it pass. A request knows no conversation: who would be asked anything at a gate is not let in there.

use crate::{asker::Asker, status::Status, verifier::Verifier};
use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use riser_gate::{
    Caller, Effect, Evidence, Gate, Input, Output, Policy, Sequence, Standing, Verdict, acceptor::Kind,
};
use riser_host::{HostHandle, Policies};
use riser_hub_core::HubCore;
use riser_model::{
    Audited, ClientId, ConnectionId, Deed, Principal, Right, Room, RoomName,
    door::{Code, Credential, Refusal, Secret},
    event::{GateStep, Scope, SystemEvent},
    look::{Look, ROWS_MAX, RowsWanted},
};
use riser_net::{Origins, Vouched, cookie, entrance::Peer};
use riser_shell::{Clock, proofs::Verify};
use riser_wire::client;
use serde::Deserialize;
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;
use uuid::Uuid;

/// So many names are asked for at once.
const NAMES_MAX: usize = 100;

/// What the API needs.
#[derive(Clone)]
pub struct Api {
    pub(crate) status: Status,
    /// Who may enter where, as it stands.
    pub(crate) policies: watch::Receiver<Policies>,
    /// The listener's name.
    pub(crate) listener: Arc<str>,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) origins: Arc<Origins>,
    pub(crate) core: HostHandle<HubCore>,
}

/// Who was let in by a request.
pub(crate) struct Entered {
    /// With the rights that its gates leave it.
    pub(crate) principal: Arc<Principal>,
    /// By which credentials.
    pub(crate) evidence: Evidence,
    /// Whether those are its own and last; see [`Standing::is_lasting`].
    pub(crate) is_lasting: bool,
}

impl Api {
    /// Who may enter here at the moment.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        let policies = self.policies.borrow();
        policies.get(&self.listener).cloned().expect("every listener of HTTP has a policy from the start")
    }

    /// Whoever asks, with the rights that its gates leave it. Who guesses is remembered as one who signs in wrongly.
    pub(crate) async fn enter(&self, asker: &Asker) -> Result<Arc<Principal>, Refusal> {
        self.entered(asker).await.map(|entered| entered.principal)
    }

    /// The same, and by which credentials.
    pub(crate) async fn entered(
        &self,
        Asker { peer, connection, headers }: &Asker,
    ) -> Result<Entered, Refusal> {
        let is_guess = matches!(credential(headers), Some(Credential::Password { .. }));
        if is_guess && self.knows_offender(peer).await {
            return Err(wrong_too_often());
        }
        let mut tells = Vec::new();
        let (policy, verifier) = (self.policy(), self.verifier.as_ref());
        let entered = entered(&policy, verifier, &self.origins, peer, headers, &mut tells).await;
        if let Err(refusal) = &entered
            && headers.contains_key(header::AUTHORIZATION)
        {
            let is_wrong = is_guess && refusal.code == Code::NotAuthorised;
            let (deed, why) = (Deed::Refused, why(&tells, refusal));
            self.write_down(audited(&tells, peer, *connection, deed, why), is_wrong).await;
        }
        if let Ok(Entered { principal, .. }) = &entered {
            self.came(principal.client).await;
        }
        entered
    }

    /// Who is let in by a request is used too.
    pub(crate) async fn came(&self, client: ClientId) {
        self.core.ask(move |core, _| core.came(client)).await;
    }

    pub(crate) async fn knows_offender(&self, peer: &Peer) -> bool {
        let address = peer.address.ip();
        let known = self.core.ask(move |core, now| core.knows_offender(address, now)).await;
        known.unwrap_or(false)
    }

    /// Writes down what came of a request that showed a credential, and remembers a wrong guess.
    pub(crate) async fn write_down(&self, audited: Audited, is_wrong_guess: bool) {
        let note = move |core: &mut HubCore, now| core.asked_elsewhere(audited, is_wrong_guess, now);
        // A core that has ended remembers nobody.
        self.core.ask(note).await;
    }
}

pub(crate) fn wrong_too_often() -> Refusal {
    Refusal {
        code: Code::TooMany,
        what: "wrong too often from there".to_owned(),
        want: "come back in some minutes".to_owned(),
    }
}

/// Why somebody was not let in, as admins are told it.
pub(crate) fn why(tells: &[Told], refusal: &Refusal) -> String {
    let told = tells.iter().rev().find(|told| told.step == GateStep::Refused);
    told.map_or_else(|| refusal.what.clone(), |told| format!("{}: {}", told.acceptor.name(), told.why))
}

/// What is written down of a request.
pub(crate) fn audited(
    tells: &[Told],
    peer: &Peer,
    connection: ConnectionId,
    deed: Deed,
    why: String,
) -> Audited {
    let who = tells.iter().rev().find_map(|told| told.who.as_ref());
    Audited {
        account: who.map(|who| who.account),
        client: who.map(|who| who.client),
        name: who.map(|who| who.name.clone()),
        from: Some(peer.address.ip()),
        connection,
        room: None,
        deed,
        why,
    }
}

/// Its routes.
pub fn routes(api: Api) -> Router {
    Router::new()
        .route("/api/status", get(status))
        .route("/api/rooms/{room}/presence", get(presence))
        .route("/api/rooms/{room}/statistics", get(statistics))
        .route("/api/rooms/{room}/names", get(names))
        .with_state(api)
}

async fn status(State(api): State<Api>, asker: Asker) -> Response {
    match api.enter(&asker).await {
        Ok(principal) => Json(api.status.json(&principal)).into_response(),
        Err(refusal) => refused(&refusal),
    }
}

async fn presence(
    State(api): State<Api>,
    asker: Asker,
    Path(room): Path<String>,
    Query(People { after }): Query<People>,
) -> Response {
    let after = after.unwrap_or(0);
    look(&api, &asker, &room, |room| Ok(Look::Presence { room, after })).await
}

#[derive(Deserialize)]
struct People {
    after: Option<u64>,
}

#[derive(Deserialize)]
struct Rows {
    channels: Option<String>,
    after: Option<String>,
    most: Option<u32>,
}

async fn statistics(
    State(api): State<Api>,
    asker: Asker,
    Path(room): Path<String>,
    Query(rows): Query<Rows>,
) -> Response {
    let channels = rows.channels.as_deref().unwrap_or("#");
    look(&api, &asker, &room, |room| {
        let channels = channels.parse().map_err(|_| {
            bad("channels", "a channel in which a whole level may be + and the last level may be #")
        })?;
        let after = rows.after.as_deref().map(str::parse).transpose();
        let after = after.map_err(|_| bad("after", "a channel, as `next` names it"))?;
        let most = rows.most.unwrap_or(ROWS_MAX).max(1);
        Ok(Look::Statistics(RowsWanted { room, channels, after, most }))
    })
    .await
}

#[derive(Deserialize)]
struct Whom {
    clients: String,
}

/// Who may see who is in a room may know the names of those who could be: of users and clients of the account that may read
/// or say something there.
async fn names(
    State(api): State<Api>,
    asker: Asker,
    Path(room): Path<String>,
    Query(whom): Query<Whom>,
) -> Response {
    let principal = match api.enter(&asker).await {
        Ok(principal) => principal,
        Err(refusal) => return refused(&refusal),
    };
    let asked: Vec<&str> = whom.clients.split(',').collect();
    if asked.len() > NAMES_MAX {
        return refused(&bad("clients", &format!("at most {NAMES_MAX} ids with commas")));
    }
    let directory = &api.policy().directory;
    let own = |one: &&Room| one.account == principal.account && one.name.as_str() == room;
    let found = directory.rooms().iter().find(own);
    let Some(room) = found.filter(|room| principal.grants.reach(Right::Subscribe, room.id)) else {
        return refused(&Refusal {
            code: Code::Denied,
            what: "no such room, or not yours".to_owned(),
            want: "a room of this account of which this principal may read a channel".to_owned(),
        });
    };
    let is_there = |who: &Principal| {
        let rights = [Right::Publish, Right::Subscribe];
        who.account == principal.account && rights.iter().any(|right| who.grants.reach(*right, room.id))
    };
    let known = asked.iter().filter_map(|text| {
        let client = ClientId(Uuid::try_parse(text).ok()?);
        Some((client, directory.user_of(client)?))
    });
    let names: BTreeMap<String, &str> = known
        .filter(|(_, who)| is_there(who))
        .map(|(client, who)| (client.to_string(), who.name.as_str()))
        .collect();
    no_store(Json(json!({ "names": names })).into_response())
}

/// Nothing that is answered here is kept.
pub(crate) fn no_store(mut response: Response) -> Response {
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn look(
    api: &Api,
    asker: &Asker,
    room: &str,
    what: impl FnOnce(RoomName) -> Result<Look, Refusal>,
) -> Response {
    let principal = match api.enter(asker).await {
        Ok(principal) => principal,
        Err(refusal) => return refused(&refusal),
    };
    let named = room.parse::<RoomName>().map_err(|_| bad("room", "1 to 64 characters of a-z, 0-9 and -"));
    let look = named.and_then(|name| Ok((name.clone(), what(name)?)));
    let (room, look) = match look {
        Ok(look) => look,
        Err(refusal) => return refused(&refusal),
    };
    match api.core.ask(move |core, now| core.look(&principal, &look, now)).await {
        Some(Ok(seen)) => Json(client::seen(&room, &seen)).into_response(),
        Some(Err(refusal)) => refused(&refusal),
        None => refused(&Refusal {
            code: Code::ShuttingDown,
            what: "the hub is going down".to_owned(),
            want: "come back".to_owned(),
        }),
    }
}

fn bad(what: &str, want: &str) -> Refusal {
    Refusal { code: Code::BadName, what: format!("wrong {what}"), want: want.to_owned() }
}

/// Who asks, and by which credentials.
pub(crate) async fn entered(
    policy: &Policy,
    verifier: &dyn Verify,
    origins: &Origins,
    peer: &Peer,
    headers: &HeaderMap,
    tells: &mut Vec<Told>,
) -> Result<Entered, Refusal> {
    let credential = match credential(headers).ok_or_else(not_authorised)? {
        Credential::Anonymous => cookie_of(origins, headers).unwrap_or(Credential::Anonymous),
        shown => shown,
    };
    let certificate = peer.certificate.clone();
    let (address, origin) = (Some(peer.address.ip()), peer.origin.clone());
    let caller = Caller { address, origin, tls: peer.tls, certificate, ..Caller::default() };
    let mut front = Gate::front(policy, caller.clone(), Clock.now());
    front.handle(Input::Shown(credential), Clock.now());
    pass(&mut front, verifier, tells).await?;
    let mut standing = front.standing().clone();
    let principal = standing.principal.clone().ok_or_else(not_authorised)?;
    let directory = &policy.directory;
    let inner = |sequence: &Arc<Sequence>, standing: &Standing| {
        let (directory, sequence) = (Arc::clone(directory), Arc::clone(sequence));
        Gate::inner(directory, sequence, standing.clone(), caller.clone(), Clock.now())
    };
    if let Some(sequence) = directory.gate(principal.account) {
        let mut gate = inner(sequence, &standing);
        pass(&mut gate, verifier, tells).await?;
        standing = gate.standing().clone();
    }
    let mut outside = Vec::new();
    for (room, sequence) in directory.gated(principal.account) {
        if pass(&mut inner(sequence, &standing), verifier, &mut Vec::new()).await.is_err() {
            outside.push(room);
        }
    }
    let (is_lasting, evidence) = (standing.is_lasting(), standing.evidence);
    if outside.is_empty() {
        return Ok(Entered { principal, evidence, is_lasting });
    }
    let grants = Arc::new(principal.grants.without(outside));
    let principal = Arc::new(Principal { grants, ..Principal::clone(&principal) });
    Ok(Entered { principal, evidence, is_lasting })
}

/// The cookie of who has signed in, from a page whose Origin may connect here. A browser gives no Origin with a plain GET
/// of a page's own; then it says itself that it is one (Fetch Metadata, `Sec-Fetch-Site`), which no page can.
pub(crate) fn cookie_of(origins: &Origins, headers: &HeaderMap) -> Option<Credential> {
    let own = headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin");
    let pages = match origins.vouch(headers) {
        Some(page) => vec![page],
        None if own && !headers.contains_key(header::ORIGIN) => vec![Vouched::Secure, Vouched::Plain],
        None => Vec::new(),
    };
    pages.into_iter().find_map(|page| cookie::shown(headers, page)).map(Credential::Cookie)
}

/// Where a gate said that somebody stands.
pub(crate) struct Told {
    pub(crate) acceptor: Kind,
    pub(crate) step: GateStep,
    pub(crate) why: &'static str,
    /// Whom what was shown speaks of, if that is somebody.
    pub(crate) who: Option<Arc<Principal>>,
}

impl Told {
    /// The same for admins, if it is known whose.
    pub(crate) fn event(&self, connection: ConnectionId) -> Option<(Scope, SystemEvent)> {
        let who = self.who.as_ref()?;
        let event = SystemEvent::Gate {
            connection,
            client: Some(who.client),
            name: Some(who.name.clone()),
            account: None,
            room: None,
            acceptor: self.acceptor.name().to_owned(),
            step: self.step,
            why: self.why.to_owned(),
        };
        Some((Scope::Account(who.account), event))
    }
}

/// Through a gate, if it asks nothing more.
pub(crate) async fn pass(
    gate: &mut Gate,
    verifier: &dyn Verify,
    tells: &mut Vec<Told>,
) -> Result<(), Refusal> {
    while let Some(output) = gate.poll() {
        match output {
            Output::Pass => return Ok(()),
            Output::Refuse(refusal) => return Err(refusal),
            Output::Do { ticket, effect: Effect::Verify(proof) } => {
                let verdict = verifier.verify(proof, gate.caller().address).await;
                gate.handle(Input::Done { ticket, verdict }, Clock.now());
            }
            // Who only looks sits nowhere.
            Output::Do { ticket, effect: Effect::Seat { .. } } => {
                gate.handle(Input::Done { ticket, verdict: Verdict::Matches }, Clock.now());
            }
            // Another acceptor of the same stage may ask nothing.
            Output::Say(_) => gate.handle(Input::Unasked, Clock.now()),
            Output::Do { effect: Effect::Once { .. } | Effect::Knock, .. } => break,
            Output::Tell { acceptor, step, why, .. } => {
                tells.push(Told { acceptor, step, why, who: gate.claimed() });
            }
        }
    }
    Err(Refusal {
        code: Code::Denied,
        what: "a gate asks more than a request can answer".to_owned(),
        want: "a user whose account's gate asks nothing, or a WebSocket".to_owned(),
    })
}

/// Over TLS, or within one host: nobody else hears what is shown.
pub(crate) fn unheard(peer: &Peer) -> Result<(), Refusal> {
    if peer.tls || peer.address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(Refusal {
        code: Code::Denied,
        what: "credentials in the clear".to_owned(),
        want: "https, or a proxy on this host that speaks it".to_owned(),
    })
}

pub(crate) fn not_authorised() -> Refusal {
    Refusal {
        code: Code::NotAuthorised,
        what: "the credential was not accepted".to_owned(),
        want: "one Authorization header: Basic with user and password, or Bearer with a token".to_owned(),
    }
}

/// `Authorization: Basic` or `Bearer` (RFC 7617, RFC 6750). None if what it shows cannot be read: that is not the same as
/// to show nothing.
pub(crate) fn credential(headers: &HeaderMap) -> Option<Credential> {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = shown.next() else { return Some(Credential::Anonymous) };
    if shown.next().is_some() {
        return None;
    }
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(Credential::Token(Secret(Bytes::copy_from_slice(rest.trim().as_bytes())))),
        "basic" => basic(rest),
        _ => None,
    }
}

fn basic(encoded: &str) -> Option<Credential> {
    let bytes = STANDARD.decode(encoded.trim()).ok()?;
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let (user, password) = bytes.split_at_checked(colon)?;
    let user = std::str::from_utf8(user).ok()?;
    let password = Secret(Bytes::copy_from_slice(password.get(1..)?));
    Some(match user.split_once('/') {
        Some((account, user)) => {
            Credential::Password { account: Some(account.parse().ok()?), user: user.to_owned(), password }
        }
        None => Credential::Password { account: None, user: user.to_owned(), password },
    })
}

pub(crate) fn refused(refusal: &Refusal) -> Response {
    let status =
        StatusCode::from_u16(riser_net::site::status(refusal.code).as_u16()).unwrap_or(StatusCode::FORBIDDEN);
    let error =
        json!({ "error": { "code": refusal.code.name(), "what": refusal.what, "want": refusal.want } });
    // No challenge: a browser would ask for a password over the page's own sign-in.
    no_store((status, Json(error)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_gate::{
        AcceptorConfig, AccountConfig, Directory, GateConfig, RoomConfig, TokenHash, UserConfig, config::Role,
    };
    use riser_model::{AccountId, History, RoomId};
    use riser_shell::Passwords;

    /// Whom somebody with these headers is let in as, where the account has this gate and the listener lets `guest` in
    /// without a credential.
    async fn asks(gate: &str, from: &str, shown: &[&str]) -> Result<String, Code> {
        let stage: Vec<AcceptorConfig> = serde_json::from_str(gate).unwrap();
        let user = |name: &str| UserConfig::new(name.parse().unwrap());
        let account = AccountConfig {
            gate: GateConfig(stage),
            user: vec![UserConfig { tokens: vec![TokenHash::of(b"of-ann")], ..user("ann") }, user("guest")],
            ..AccountConfig::new("acme".parse().unwrap(), AccountId(Uuid::from_u128(1)))
        };
        let directory = Arc::new(Directory::compile(&[account]).unwrap());
        let policy = Policy::new(&directory, Some("guest"), "listen").unwrap();
        let peer = Peer {
            address: from.parse().unwrap(),
            listener: "http".into(),
            proxy: false,
            origin: None,
            tls: false,
            certificate: None,
        };
        let headers = shown.iter().map(|value| (header::AUTHORIZATION, value.parse().unwrap())).collect();
        let entered =
            entered(&policy, &Passwords::new(1), &Origins::default(), &peer, &headers, &mut Vec::new()).await;
        entered.map(|entered| entered.principal.name.to_string()).map_err(|refusal| refusal.code)
    }

    #[tokio::test]
    async fn the_account_s_gate_stands_before_requests_too() {
        let (ann, here, there) = (["Bearer of-ann"], "192.0.2.7:1", "198.51.100.1:1");
        assert_eq!(asks("[]", there, &ann).await.as_deref(), Ok("ann"));
        let networks = r#"[{ "address": ["192.0.2.0/24"] }]"#;
        assert_eq!(asks(networks, here, &ann).await.as_deref(), Ok("ann"));
        assert_eq!(asks(networks, there, &ann).await, Err(Code::Denied));
        assert_eq!(asks(r#"["token"]"#, here, &ann).await.as_deref(), Ok("ann"), "finished");
        assert_eq!(asks(r#"["knock"]"#, here, &ann).await, Err(Code::Denied), "nobody can ask a request");
        assert_eq!(asks(r#"["secret"]"#, here, &ann).await, Err(Code::NotAuthorised), "it has none");
    }

    #[tokio::test]
    async fn a_room_s_own_gate_stands_before_requests_too() {
        let networks = |network: &str| {
            serde_json::from_str::<Vec<AcceptorConfig>>(&format!(r#"[{{ "address": ["{network}"] }}]"#))
        };
        let gates = [
            Vec::new(),
            networks("192.0.2.0/24").unwrap(),
            networks("203.0.113.0/24").unwrap(),
            serde_json::from_str(r#"["knock"]"#).unwrap(),
            serde_json::from_str(r#"[{ "seats": 1 }]"#).unwrap(),
        ];
        let rooms = gates.into_iter().enumerate().map(|(n, gate)| RoomConfig {
            gate: GateConfig(gate),
            ..RoomConfig::new(format!("room-{n}").parse().unwrap(), History::Log)
        });
        let ann = UserConfig {
            tokens: vec![TokenHash::of(b"of-ann")],
            role: Some(Role::Owner),
            ..UserConfig::new("ann".parse().unwrap())
        };
        let account = AccountConfig {
            room: rooms.collect(),
            user: vec![ann],
            ..AccountConfig::new("acme".parse().unwrap(), AccountId(Uuid::from_u128(1)))
        };
        let directory = Arc::new(Directory::compile(&[account]).unwrap());
        let policy = Policy::new(&directory, None, "listen").unwrap();
        let peer = Peer {
            address: "192.0.2.7:1".parse().unwrap(),
            listener: "http".into(),
            proxy: false,
            origin: None,
            tls: false,
            certificate: None,
        };
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, "Bearer of-ann".parse().unwrap())]);
        let Entered { principal, .. } =
            entered(&policy, &Passwords::new(1), &Origins::default(), &peer, &headers, &mut Vec::new())
                .await
                .unwrap();
        let sees = |n: usize| {
            let id = RoomId::of(principal.account, &format!("room-{n}"));
            principal.grants.reach(Right::Subscribe, id)
        };
        assert_eq!([0, 1, 2, 3, 4].map(sees), [true, true, false, false, true]);
    }

    #[tokio::test]
    async fn wrong_credential_is_not_an_absent_one() {
        let here = "192.0.2.7:1";
        assert_eq!(asks("[]", here, &[]).await.as_deref(), Ok("guest"));
        for wrong in ["Bearer nope", "Bearer", "Digest x", "Basic !", "Basic YW5u", "Basic YW5uOng="] {
            assert_eq!(asks("[]", here, &[wrong]).await, Err(Code::NotAuthorised), "{wrong}");
        }
        assert_eq!(asks("[]", here, &["Bearer of-ann", "Bearer of-ann"]).await, Err(Code::NotAuthorised));
    }
}
