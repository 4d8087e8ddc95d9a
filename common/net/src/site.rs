//! What a program offers behind its HTTP port: doors for WebSockets, answers for everything else.

use crate::{
    entrance::Peer,
    origin::Origins,
    proxies::{self, Proxies},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::{Request, Response, StatusCode, body::Incoming, header};
use riser_model::{
    AccountName, ChannelName, ClientId, ConnectionId, RoomName,
    door::{Code, Credential, Door, Refusal, Secret},
};
use std::{error::Error, future::Future, pin::Pin, sync::Arc};

/// The body of an answer. Another library's becomes one with `map_err(Into::into).boxed_unsync()`.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// An answer to come.
pub type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// The WebSocket sub-protocol of the envelope door.
pub const ENVELOPE_PROTOCOL: &str = "riser.v1.json";
/// The WebSocket sub-protocol of MQTT.
pub const MQTT_PROTOCOL: &str = "mqtt";
/// The WebSocket sub-protocol of a link.
pub const LINK_PROTOCOL: &str = "riser.link.v1";

/// Which door a WebSocket asks for, by its path and its sub-protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Doorway {
    /// The main lobby, for a person.
    Lobby,
    /// The main lobby, in envelopes.
    EnvelopeLobby,
    /// A user's lobby, for a person.
    User(AccountName),
    /// The same, in envelopes.
    EnvelopeUser(AccountName),
    /// Many channels of a room, in envelopes.
    Envelope {
        /// The account's name or UUID.
        account: AccountName,
        /// The room.
        room: RoomName,
    },
    /// One channel of a room, raw.
    Raw {
        /// The account's name or UUID.
        account: AccountName,
        /// The room.
        room: RoomName,
        /// A client's address in it, if the path names one.
        client: Option<ClientId>,
        /// The channel.
        channel: ChannelName,
    },
    /// A client's address in a room, raw.
    Client {
        /// The account's name or UUID.
        account: AccountName,
        /// The room.
        room: RoomName,
        /// Whose.
        client: ClientId,
    },
    /// MQTT.
    Mqtt,
}

/// A WebSocket at the door.
#[derive(Debug)]
pub struct Knock {
    /// The connection's id.
    pub connection: ConnectionId,
    /// Who is there.
    pub peer: Arc<Peer>,
    /// Where it wants in.
    pub doorway: Doorway,
    /// What its `Authorization` header shows.
    pub credential: Option<Credential>,
    /// The single-use ticket in its query.
    pub ticket: Option<Secret>,
}

/// What a program offers: the edge one thing, the hub another.
pub trait Site: Send + Sync + 'static {
    /// The door, or why there is none; a refusal becomes an HTTP answer. Must not wait.
    fn door(&self, knock: Knock) -> Result<Box<dyn Door>, Refusal>;

    /// Answers a request that wants no WebSocket.
    fn answer(&self, request: Request<Incoming>, peer: Arc<Peer>, connection: ConnectionId) -> Answer;

    /// Whether people sign in here: then their cookies are looked at.
    fn takes_cookies(&self) -> bool;

    /// The pages that may open WebSockets here.
    fn origins(&self) -> &Origins;

    /// The proxies whose word is taken on who is behind them.
    fn proxies(&self) -> &Proxies {
        &proxies::NONE
    }
}

/// A body of plain bytes.
pub fn body(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// An answer of plain bytes.
pub fn plain(status: StatusCode, content_type: &'static str, bytes: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(body(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}

/// An error as every Riser answers it: code, what was wrong, what would be right.
pub fn error(status: StatusCode, code: &str, what: &str, want: &str) -> Response<Body> {
    let error = serde_json::json!({ "error": { "code": code, "what": what, "want": want } });
    plain(status, "application/json", error.to_string())
}

/// The answer to a door's refusal.
pub fn refused(refusal: &Refusal) -> Response<Body> {
    let mut response = error(status(refusal.code), refusal.code.name(), &refusal.what, &refusal.want);
    if refusal.code == Code::NotAuthorised {
        let challenge = header::HeaderValue::from_static("Basic realm=\"riser\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// The HTTP status of a refusal.
pub fn status(code: Code) -> StatusCode {
    match code {
        Code::Malformed | Code::WrongState | Code::BadName => StatusCode::BAD_REQUEST,
        Code::NotAuthorised => StatusCode::UNAUTHORIZED,
        Code::Denied => StatusCode::FORBIDDEN,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::TooMany | Code::QuotaExceeded | Code::SessionFull | Code::TooSlow => {
            StatusCode::TOO_MANY_REQUESTS
        }
        Code::UnknownPosition => StatusCode::GONE,
        Code::TakenOver | Code::Dup => StatusCode::CONFLICT,
        Code::Timeout => StatusCode::REQUEST_TIMEOUT,
        Code::ShuttingDown | Code::LogFailing => StatusCode::SERVICE_UNAVAILABLE,
    }
}
