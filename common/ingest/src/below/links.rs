//! What the links of the edges below bring, and what their sockets are to do.

use bytes::Bytes;
use riser_link::sender::LinkEvent;
use riser_model::{ClientId, ConnectionId};
use riser_wire::link::{EdgeFrame, HubFrame, Nonce, NotShown, RefusedCode};

/// What a link's socket brings.
#[derive(Debug)]
pub enum LinkInput {
    /// A WebSocket of the link's sub-protocol opened.
    Opened {
        /// Its id.
        connection: ConnectionId,
        /// The TLS exporter's bytes; empty without TLS.
        binding: Bytes,
        /// Fresh random bytes.
        nonce: Nonce,
    },
    /// A frame came.
    Frame {
        /// On which connection.
        connection: ConnectionId,
        /// What.
        frame: EdgeFrame,
    },
    /// Bytes came that are not a whole frame yet.
    Heard {
        /// On which connection.
        connection: ConnectionId,
    },
    /// A message came that is no frame.
    Malformed {
        /// On which connection.
        connection: ConnectionId,
        /// What was wrong.
        what: String,
    },
    /// The connection is over.
    Closed {
        /// Which.
        connection: ConnectionId,
    },
}

/// What a link's socket is to do.
#[derive(Debug)]
pub enum LinkOutput {
    /// Send this.
    Send {
        /// On which connection.
        connection: ConnectionId,
        /// What.
        frame: HubFrame,
    },
    /// From here on messages may be as large as batches.
    Welcomed {
        /// Which connection.
        connection: ConnectionId,
    },
    /// Close after what was sent before.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why.
        code: RefusedCode,
    },
    /// An edge has other entries under this epoch's name: the log has to be opened anew.
    Reopen {
        /// Which.
        edge: ClientId,
    },
    /// For people: edges that an edge says are below it, and that are not shown.
    NotShown {
        /// Who says so.
        edge: ClientId,
        /// How many.
        count: u32,
        /// Why the first of them is not.
        why: NotShown,
    },
    /// For people: of a way down.
    Down {
        /// Which edge's.
        edge: ClientId,
        /// What.
        event: LinkEvent,
    },
}
