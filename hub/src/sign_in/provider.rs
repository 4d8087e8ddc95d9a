//! Signing in by way of a provider of OpenID Connect: `GET /api/login/with` sends a browser there, `GET /api/login/back` takes it
//! back with a code, gives that for a token, and shows the token as if the person had.
//!
//! Nothing of it is kept here. The browser keeps 32 random bytes in a cookie for ten minutes, of which the state, the nonce and
//! the verifier are made; who comes back without them did not begin here, and hears no more than that. The page is told by the
//! address what became of it, in one word.

use super::{Door, Give, SignedIn, Wish, called, verify};
use crate::{api, asker::Asker, ldap::secret_in};
use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use form_urlencoded::Serializer;
use riser_gate::{Endpoints, Provider, Way};
use riser_model::{
    AccountName, Deed, RoomName, Time,
    door::{Credential, Secret},
};
use riser_net::{
    Vouched, cookie,
    fetch::{FetchFailed, Posted, fetch, post},
    tls::SYSTEM_AUTHORITIES,
};
use riser_shell::{Clock, entropy};
use serde::Deserialize;
use serde_json::json;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};
use tokio::sync::Semaphore;

/// How long somebody may take at the provider.
const LASTS: Duration = Duration::from_secs(600);
/// How long the provider may take for each answer.
const WITHIN: Duration = Duration::from_secs(5);
/// How long what a provider says of itself is believed, and how often one that does not is asked.
const FRESH: Duration = Duration::from_secs(300);
const RETRY: Duration = Duration::from_secs(10);
/// So many codes are given for tokens at once; others wait.
const AT_ONCE: usize = 8;
/// The longest answer, bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What providers say of themselves, and who asks them.
#[derive(Debug)]
pub(super) struct Providers {
    described: Mutex<BTreeMap<Which, Arc<Described>>>,
    turns: Semaphore,
}

/// A provider, by its issuer and who vouches for its host.
type Which = (String, Option<PathBuf>);
/// When a provider was asked last, and what it said. Held by the one who asks.
type Described = tokio::sync::Mutex<Option<(Time, Option<Endpoints>)>>;

impl Default for Providers {
    fn default() -> Self {
        Self { described: Mutex::default(), turns: Semaphore::new(AT_ONCE) }
    }
}

impl Providers {
    async fn endpoints(&self, provider: &Provider) -> Option<Endpoints> {
        if let Some(endpoints) = &provider.endpoints {
            return Some(endpoints.clone());
        }
        let key = (provider.issuer.clone(), provider.ca.clone());
        let described = {
            let mut all = self.described.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(key).or_default())
        };
        let mut described = described.lock().await;
        let (now, mut known) = (Clock.now().time, None);
        if let Some((at, endpoints)) = &*described {
            let good_for = if endpoints.is_some() { FRESH } else { RETRY };
            if now.since(*at) < good_for {
                return endpoints.clone();
            }
            known.clone_from(endpoints);
        }
        // Whoever goes away meanwhile does not have it asked again at once.
        *described = Some((now, known));
        let url = provider.description();
        let authorities = provider.ca.as_deref().unwrap_or(Path::new(SYSTEM_AUTHORITIES));
        let endpoints = match fetch(&url, authorities, ANSWER_BYTES_MAX, WITHIN).await {
            Ok(document) => provider.endpoints_in(&document),
            Err(error) => {
                tracing::warn!(issuer = provider.issuer, %error, "a provider does not describe itself; nobody signs in by it");
                None
            }
        };
        *described = Some((now, endpoints.clone()));
        endpoints
    }

    /// The token that a provider gives for a code.
    async fn token(&self, provider: &Provider, code: &str, way: Way<'_>) -> Result<String, NoWay> {
        #[derive(Deserialize)]
        struct Given {
            id_token: String,
        }
        let endpoints = self.endpoints(provider).await.ok_or(NoWay::Away)?;
        // It is never closed.
        let _turn = self.turns.acquire().await.map_err(|_| NoWay::Away)?;
        let authorization = match &provider.client_secret_file {
            Some(file) => Some(shows(provider, file).ok_or(NoWay::Away)?),
            None => None,
        };
        let form = form(provider, code, way, authorization.is_none());
        let posted = Posted { form: form.into(), authorization };
        let authorities = provider.ca.as_deref().unwrap_or(Path::new(SYSTEM_AUTHORITIES));
        match post(&endpoints.token, posted, authorities, ANSWER_BYTES_MAX, WITHIN).await {
            Ok(answer) => {
                let given = serde_json::from_slice::<Given>(&answer);
                given.map(|given| given.id_token).map_err(|_| NoWay::Refused)
            }
            Err(FetchFailed::Status(status)) if status.is_client_error() => Err(NoWay::Refused),
            Err(error) => {
                tracing::warn!(issuer = provider.issuer, %error, "a provider gives no token; nobody signs in by it");
                Err(NoWay::Away)
            }
        }
    }
}

/// What a code is given for a token with. Who has no secret to show says so who it is.
fn form(provider: &Provider, code: &str, way: Way<'_>, is_public: bool) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code").append_pair("code", code);
    form.append_pair("redirect_uri", &provider.redirect).append_pair("code_verifier", &way.verifier());
    if is_public {
        form.append_pair("client_id", &provider.client_id);
    }
    form.finish()
}

/// What this hub shows a provider that gave it a secret (RFC 6749 section 2.3.1).
fn shows(provider: &Provider, file: &Path) -> Option<HeaderValue> {
    let Some(secret) = secret_in(file) else {
        tracing::error!(file = %file.display(), "want the secret that a provider gave, in a file of mode 0600");
        return None;
    };
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = STANDARD.encode(format!("{}:{}", encoded(&provider.client_id), encoded(&secret)));
    let mut value = HeaderValue::from_str(&format!("Basic {pair}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Why somebody who was sent to a provider is not signed in, as the page is told it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NoWay {
    /// There is no such provider.
    Unknown,
    /// The provider does not answer.
    Away,
    /// It was not begun in this browser, or too long ago.
    Late,
    /// The provider did not let the person in, or gave what cannot be used.
    Refused,
    /// Wrong again and again from there.
    TooMany,
}

impl NoWay {
    fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Away => "away",
            Self::Late => "late",
            Self::Refused => "refused",
            Self::TooMany => "too_many",
        }
    }
}

pub(super) fn routes() -> Router<Door> {
    Router::new()
        .route("/api/login/providers", get(offered))
        .route("/api/login/with", get(sent))
        .route("/api/login/back", get(came_back))
}

#[derive(Deserialize)]
struct Whose {
    account: String,
}

/// The providers of an account, for the page's buttons. Of none, and of an account that is not, there are none.
async fn offered(State(door): State<Door>, Query(Whose { account }): Query<Whose>) -> Response {
    let directory = Arc::clone(&door.api.policy().directory);
    let account = account.parse::<AccountName>().ok();
    let names: Vec<&str> = account
        .iter()
        .flat_map(|account| directory.providers(account))
        .map(|one| one.name.as_str())
        .collect();
    api::no_store(Json(json!({ "providers": names })).into_response())
}

#[derive(Deserialize)]
struct With {
    account: String,
    /// By its place among those of the account.
    provider: usize,
    /// The room to go to.
    #[serde(default)]
    room: String,
}

async fn sent(
    State(door): State<Door>,
    Asker { peer, .. }: Asker,
    Query(With { account, provider, room }): Query<With>,
) -> Response {
    if let Err(why) = api::unheard(&peer) {
        return api::refused(&why);
    }
    let begun = Begun { account, provider, room, seed: entropy::bytes() };
    let Some(provider) = begun.provider(&door) else { return back_to_page(&begun, Err(NoWay::Unknown)) };
    let Some(endpoints) = door.providers.endpoints(&provider).await else {
        return back_to_page(&begun, Err(NoWay::Away));
    };
    let way = Way(&begun.seed);
    let mut query = Serializer::new(String::new());
    query.append_pair("response_type", "code").append_pair("client_id", &provider.client_id);
    query.append_pair("redirect_uri", &provider.redirect).append_pair("scope", &provider.scope);
    query.append_pair("state", &way.state()).append_pair("nonce", &way.nonce());
    query.append_pair("code_challenge", &way.challenge()).append_pair("code_challenge_method", "S256");
    let joint = if endpoints.authorization.contains('?') { '&' } else { '?' };
    let to = format!("{}{joint}{}", endpoints.authorization, query.finish());
    let mut response = goes(&to);
    add_cookie(&mut response, &cookie::way_given(&begun.text(), vouched(&provider), LASTS));
    response
}

#[derive(Deserialize)]
struct Back {
    code: Option<String>,
    state: Option<String>,
    iss: Option<String>,
}

async fn came_back(State(door): State<Door>, asker: Asker, Query(back): Query<Back>) -> Response {
    if let Err(why) = api::unheard(&asker.peer) {
        return api::refused(&why);
    }
    let Some((begun, provider)) = Begun::shown(&asker.headers, &door) else {
        return back_to_page(&Begun::nowhere(), Err(NoWay::Late));
    };
    let page = vouched(&provider);
    let came = comes(&door, &asker, &begun, &provider, back).await;
    let mut response = back_to_page(&begun, came.as_ref().map(|_| ()).map_err(|why| *why));
    match came {
        Ok(SignedIn { value, principal, .. }) => {
            door.counts.accepted.fetch_add(1, Ordering::Relaxed);
            add_cookie(&mut response, &cookie::given(&value, page, door.cookies.lasts()));
            response = called(response, &principal, page);
        }
        Err(_) => drop(door.counts.refused.fetch_add(1, Ordering::Relaxed)),
    }
    // A way is gone once.
    add_cookie(&mut response, &cookie::way_taken(page));
    response
}

async fn comes(
    door: &Door,
    asker: &Asker,
    begun: &Begun,
    provider: &Provider,
    Back { code, state, iss }: Back,
) -> Result<SignedIn, NoWay> {
    let way = Way(&begun.seed);
    // Whoever sends somebody else's browser here does not know what it keeps.
    if state.as_deref() != Some(way.state().as_str()) {
        return Err(NoWay::Late);
    }
    // Another provider's answer (RFC 9207).
    if iss.is_some_and(|iss| iss != provider.issuer) {
        return Err(NoWay::Refused);
    }
    let code = code.ok_or(NoWay::Refused)?;
    if door.api.knows_offender(&asker.peer).await {
        return Err(NoWay::TooMany);
    }
    let token = door.providers.token(provider, &code, way).await;
    let token =
        token.and_then(|token| if way.is_of(&token, provider) { Ok(token) } else { Err(NoWay::Refused) });
    let token = match token {
        Ok(token) => token,
        Err(why) => {
            let is_wrong = why == NoWay::Refused;
            let said = format!("jwt: the provider {} gave no token for this code", provider.issuer);
            let audited = api::audited(&[], &asker.peer, asker.connection, Deed::Refused, said);
            door.api.write_down(audited, is_wrong).await;
            return Err(why);
        }
    };
    let credential = Credential::Token(Secret(Bytes::from(token)));
    let wish = Wish::of_browser(asker, vouched(provider));
    let entered = verify(door, asker, credential, Some(&provider.account), (wish, Give::Cookie)).await;
    entered.map_err(|_| NoWay::Refused)
}

/// What a browser keeps while its person is at a provider.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Begun {
    account: String,
    provider: usize,
    room: String,
    seed: [u8; 32],
}

impl Begun {
    fn nowhere() -> Self {
        Self { account: String::new(), provider: 0, room: String::new(), seed: [0; 32] }
    }

    fn text(&self) -> String {
        let Self { account, provider, room, seed } = self;
        format!("{account}.{provider}.{room}.{}", URL_SAFE_NO_PAD.encode(seed))
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let mut next = || parts.next();
        let (account, provider, room) = (next()?.to_owned(), next()?.parse().ok()?, next()?.to_owned());
        let seed = URL_SAFE_NO_PAD.decode(next()?).ok()?.try_into().ok()?;
        parts.next().is_none().then_some(Self { account, provider, room, seed })
    }

    /// What a browser shows, and the provider that it was sent to.
    fn shown(headers: &HeaderMap, door: &Door) -> Option<(Self, Arc<Provider>)> {
        [Vouched::Secure, Vouched::Plain].into_iter().find_map(|page| {
            let shown = cookie::way_shown(headers, page)?;
            let begun = Self::read(std::str::from_utf8(&shown.0).ok()?)?;
            let provider = begun.provider(door).filter(|provider| vouched(provider) == page)?;
            Some((begun, provider))
        })
    }

    /// Names are names, so that they can stand in a cookie and in an address.
    fn provider(&self, door: &Door) -> Option<Arc<Provider>> {
        let is_room = self.room.is_empty() || self.room.parse::<RoomName>().is_ok();
        let account = self.account.parse::<AccountName>().ok().filter(|_| is_room)?;
        let directory = Arc::clone(&door.api.policy().directory);
        directory.providers(&account).nth(self.provider).cloned()
    }
}

/// To the page, to the room that was asked for or the lobby; or back to the sign-in, which says why.
fn back_to_page(begun: &Begun, result: Result<(), NoWay>) -> Response {
    let is_name = |text: &&str| text.parse::<AccountName>().is_ok();
    let [account, room] = [&begun.account, &begun.room].map(|text| Some(text.as_str()).filter(is_name));
    let hash = match (account, room) {
        (Some(account), Some(room)) => format!("#{account}/{room}"),
        (Some(account), None) => format!("#{account}"),
        (None, _) => String::new(),
    };
    match result {
        Ok(()) => goes(&format!("/{hash}")),
        Err(why) => goes(&format!("/?signin={}{hash}", why.word())),
    }
}

/// Sends a browser there; where it was, with its code, nobody is told.
fn goes(to: &str) -> Response {
    let Ok(to) = HeaderValue::from_str(to) else { return StatusCode::BAD_GATEWAY.into_response() };
    let quiet = (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    api::no_store((StatusCode::SEE_OTHER, [(header::LOCATION, to), quiet]).into_response())
}

fn vouched(provider: &Provider) -> Vouched {
    if provider.is_secure() { Vouched::Secure } else { Vouched::Plain }
}

fn add_cookie(response: &mut Response, cookie: &str) {
    let value = HeaderValue::from_str(cookie).expect("names, numbers and base64 are a header's value");
    response.headers_mut().append(header::SET_COOKIE, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_keeps_is_read_back_and_nothing_else_is_read() {
        let begun = Begun { account: "acme".into(), provider: 1, room: "hall".into(), seed: [7; 32] };
        assert_eq!(Begun::read(&begun.text()), Some(begun.clone()));
        let text = begun.text();
        for wrong in [
            "",
            "acme",
            "acme.1.hall",
            &format!("{text}.x"),
            &text.replace(".1.", ".-1."),
            &text[..text.len() - 1],
        ] {
            assert_eq!(Begun::read(wrong), None, "{wrong}");
        }
        let lost = Begun { account: "\"><script>".into(), room: "x y".into(), ..begun.clone() };
        let location =
            |begun: &Begun, result| back_to_page(begun, result).headers()[header::LOCATION].clone();
        assert_eq!(location(&lost, Err(NoWay::Late)), "/?signin=late");
        assert_eq!(location(&begun, Err(NoWay::Refused)), "/?signin=refused#acme/hall");
        assert_eq!(location(&begun, Ok(())), "/#acme/hall");
    }
}
