//! What whoever asks may see of a hub: `GET /api/status` (edges and rooms), `/api/rooms/{room}/presence` and
//! `/api/rooms/{room}/statistics?channels={filter}`.

use crate::status::Status;
use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use riser_gate::{Caller, Effect, Gate, Input, Output, Policy};
use riser_host::HostHandle;
use riser_hub_core::HubCore;
use riser_model::{
    Principal, RoomName,
    door::{Code, Credential, Refusal, Secret},
    look::Look,
};
use riser_shell::{Clock, Passwords, proofs};
use riser_wire::client;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// What the API needs.
#[derive(Clone)]
pub struct Api {
    pub(crate) status: Status,
    pub(crate) policy: Arc<Policy>,
    pub(crate) passwords: Arc<Passwords>,
    pub(crate) core: HostHandle<HubCore>,
}

/// Its routes.
pub fn routes(api: Api) -> Router {
    Router::new()
        .route("/api/status", get(status))
        .route("/api/rooms/{room}/presence", get(presence))
        .route("/api/rooms/{room}/statistics", get(statistics))
        .with_state(api)
}

async fn status(State(api): State<Api>, headers: HeaderMap) -> Response {
    match enter(&api, credential(&headers)).await {
        Ok(principal) => Json(api.status.json(&principal)).into_response(),
        Err(refusal) => refused(&refusal),
    }
}

async fn presence(State(api): State<Api>, Path(room): Path<String>, headers: HeaderMap) -> Response {
    look(&api, &headers, &room, |room| Ok(Look::Presence { room })).await
}

#[derive(Deserialize)]
struct Rows {
    channels: Option<String>,
}

async fn statistics(
    State(api): State<Api>,
    Path(room): Path<String>,
    Query(rows): Query<Rows>,
    headers: HeaderMap,
) -> Response {
    let channels = rows.channels.as_deref().unwrap_or("#");
    look(&api, &headers, &room, |room| {
        let channels = channels.parse().map_err(|_| {
            bad("channels", "a channel in which a whole level may be + and the last level may be #")
        })?;
        Ok(Look::Statistics { room, channels })
    })
    .await
}

async fn look(
    api: &Api,
    headers: &HeaderMap,
    room: &str,
    what: impl FnOnce(RoomName) -> Result<Look, Refusal>,
) -> Response {
    let principal = match enter(api, credential(headers)).await {
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

/// Through the listener's own gate, like everybody.
async fn enter(api: &Api, credential: Credential) -> Result<Arc<Principal>, Refusal> {
    let mut gate = Gate::front(&api.policy, Caller::default(), Clock.now());
    gate.handle(Input::Shown(credential), Clock.now());
    loop {
        match gate.poll() {
            Some(Output::Pass) => {
                if let Some(principal) = &gate.standing().principal {
                    return Ok(Arc::clone(principal));
                }
            }
            Some(Output::Refuse(refusal)) => return Err(refusal),
            Some(Output::Do { ticket, effect: Effect::Verify(proof) }) => {
                let verdict = proofs::verify(&api.passwords, proof).await;
                gate.handle(Input::Done { ticket, verdict }, Clock.now());
            }
            // A request knows no conversation: it waits for its deadline.
            Some(Output::Do { effect: Effect::Knock | Effect::Seat { .. }, .. } | Output::Say(_)) => {}
            Some(Output::Tell { .. }) => {}
            None => gate.handle(Input::Deadline, Clock.now()),
        }
    }
}

/// `Authorization: Basic` or `Bearer` (RFC 7617, RFC 6750).
fn credential(headers: &HeaderMap) -> Credential {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let Some((scheme, rest)) = shown.and_then(|value| value.split_once(' ')) else {
        return Credential::Anonymous;
    };
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Credential::Token(Secret(Bytes::copy_from_slice(rest.trim().as_bytes()))),
        "basic" => basic(rest).unwrap_or(Credential::Anonymous),
        _ => Credential::Anonymous,
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

fn refused(refusal: &Refusal) -> Response {
    let status =
        StatusCode::from_u16(riser_net::site::status(refusal.code).as_u16()).unwrap_or(StatusCode::FORBIDDEN);
    let error =
        json!({ "error": { "code": refusal.code.name(), "what": refusal.what, "want": refusal.want } });
    let mut response = (status, Json(error)).into_response();
    // No challenge: a browser would ask for a password over the page's own sign-in.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
