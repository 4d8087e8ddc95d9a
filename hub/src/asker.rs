//! Who makes a request of HTTP: over which connection, from where, and with which headers.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, StatusCode, request::Parts},
};
use riser_model::ConnectionId;
use riser_net::entrance::Peer;
use std::sync::Arc;

/// Whoever asks. The credential is in the headers; nobody has looked at it yet.
pub(crate) struct Asker {
    pub(crate) peer: Arc<Peer>,
    pub(crate) connection: ConnectionId,
    pub(crate) headers: HeaderMap,
}

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        let peer = parts.extensions.get::<Arc<Peer>>().cloned();
        let connection = parts.extensions.get::<ConnectionId>().copied();
        // The listener puts both beside every request.
        let (peer, connection) = peer.zip(connection).ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
        Ok(Self { peer, connection, headers: parts.headers.clone() })
    }
}
