//! Broadcasts to the devices of a room, and who received them.

use super::{
    Admin, Asked, By, Failure, Place,
    answers::BroadcastAnswer,
    handlers::Answer,
    requests::{BroadcastQuery, NewBroadcast},
};
use crate::needs::Needs;
use axum::{
    Json,
    extract::{Path, Query, State, rejection::BytesRejection},
    http::StatusCode,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use riser_host::audit::Line;
use riser_instance::Broadcast;
use riser_model::ClientId;
use riser_shell::entropy;
use riser_wire::limits::PUBLICATION_BYTES_MAX;
use std::time::Duration;

/// The longest request: the largest payload in base64, and what is beside it.
pub(super) const BODY_BYTES_MAX: usize = PUBLICATION_BYTES_MAX * 2;
/// Whether all of it is on the disk is looked at this often, and so many times.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const LOOKS_MAX: u32 = 2000;

/// To all devices of the room. It goes its way, and is written down, whether or not whoever asked still waits.
pub(super) async fn broadcast(
    State(admin): State<Admin>,
    asked: Asked,
    Path((account, room)): Path<(String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<BroadcastAnswer> {
    let place = admin.room(&asked, &account, &room).await?;
    let said = said(&body.map_err(|_| too_large())?)?;
    admin.still(&asked, Needs::Room(place.account, place.id))?;
    let work = tokio::spawn(async move { say(&admin, &asked, &place, said).await });
    work.await.unwrap_or_else(|_| Err(stopping())).map(Json)
}

/// What became of one, page by page.
pub(super) async fn received(
    State(admin): State<Admin>,
    asked: Asked,
    Path((account, room, broadcast)): Path<(String, String, String)>,
    Query(BroadcastQuery { after }): Query<BroadcastQuery>,
) -> Answer<BroadcastAnswer> {
    let Place { account, id: room, .. } = admin.room(&asked, &account, &room).await?;
    let id = broadcast.parse().map_err(|_| unknown())?;
    look(&admin, &(account, room), id, after.unwrap_or(0)).await.map(Json)
}

async fn say(
    admin: &Admin,
    asked: &Asked,
    place: &Place,
    said: NewBroadcast,
) -> Result<BroadcastAnswer, Failure> {
    let payload = payload(&said)?;
    let client = match &asked.by {
        By::Operator(_) => ClientId::SYSTEM,
        By::Account(principal, _) => principal.client,
    };
    let NewBroadcast { channel, data, content_type, expires, .. } = said;
    let usual = if data.is_some() { "text/plain" } else { "application/octet-stream" };
    let content_type = content_type.unwrap_or_else(|| usual.to_owned());
    let (id, bytes, to) = (entropy::number(), payload.len(), (place.account, place.id));
    let of = format!("room {}, channel {channel}, {bytes} bytes", place.room.name);
    let broadcast = Broadcast { id, place: to, client, channel, content_type, payload, expires_s: expires };
    let policy = admin.api.policy();
    let begun = admin.api.core.ask(move |core, now| core.broadcast(&policy.directory, broadcast, now)).await;
    let begun = begun.ok_or_else(stopping)?;
    let result = match &begun {
        Ok(count) => format!("{id}: to {count} devices"),
        Err(refusal) => refusal.code.name().to_owned(),
    };
    let (by, from) = (asked.by.name(), asked.from.as_str());
    admin.audit.write(Line::change(Some(place.account), &by, from, "broadcast", &of, result)).await;
    begun?;
    for _ in 0..LOOKS_MAX {
        let stored = admin.api.core.ask(move |core, _| core.instance().is_broadcast_stored(id)).await;
        if stored != Some(false) {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    look(admin, &to, id, 0).await
}

async fn look(
    admin: &Admin,
    place: &(riser_model::AccountId, riser_model::RoomId),
    id: u64,
    after: usize,
) -> Result<BroadcastAnswer, Failure> {
    let place = *place;
    let seen = admin.api.core.ask(move |core, _| core.instance().broadcasted(place, id, after)).await;
    seen.flatten().map(BroadcastAnswer::of).ok_or_else(unknown)
}

fn said(body: &[u8]) -> Result<NewBroadcast, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        let at = format!("the request, at line {}, column {}", error.line(), error.column());
        Failure::invalid(at, "JSON as GET /openapi.json describes it for this path")
    })
}

fn payload(said: &NewBroadcast) -> Result<Bytes, Failure> {
    let payload = match (&said.data, &said.data_b64) {
        (Some(text), None) => text.clone().into_bytes(),
        (None, Some(text)) => STANDARD
            .decode(text)
            .map_err(|_| Failure::invalid("data_b64", "base64 of RFC 4648, with its padding"))?,
        (None, None) | (Some(_), Some(_)) => {
            return Err(Failure::invalid("the payload", "data or data_b64, and not both"));
        }
    };
    if payload.len() > PUBLICATION_BYTES_MAX {
        return Err(too_large());
    }
    Ok(payload.into())
}

fn too_large() -> Failure {
    let want = format!("a payload of at most {PUBLICATION_BYTES_MAX} bytes");
    Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the payload", want)
}

fn unknown() -> Failure {
    let want = "the id of one of the last sixteen of the account, since the hub started";
    Failure::new(StatusCode::NOT_FOUND, "unknown", "no such broadcast", want)
}

fn stopping() -> Failure {
    Failure::new(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", "the hub goes down", "come back")
}
