//! What a sender is told: how it is configured, the log that it reads, and everything that happens to it.

use crate::{handshake::Key, presents::Present};
use riser_model::{
    BootId, Chunk, ClientId, CursorKey, CursorValue, Epoch, Gap, LogId, PublicKey, Route, RouteNumber, Seq,
};
use riser_wire::link::{Bytes, HubFrame, Nonce, Opening};
use std::{sync::Arc, time::Duration};

/// One uplink, or one downlink, as configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// The edge.
    pub edge: ClientId,
    /// Which way.
    pub way: Way,
    /// For the jitter of reconnecting.
    pub seed: u64,
    /// Whether what a former parent confirmed, and this log no longer has, is waited for.
    pub waits: bool,
}

/// Which way a sender sends.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one per link, made once")]
pub enum Way {
    /// From the edge's log to the hub's, over a connection that the sender dials.
    Up {
        /// The edge's key.
        key: Key,
        /// The hub's key: no other hub gets anything.
        hub: PublicKey,
    },
    /// From the hub's log to the edge's, over the uplink's connection, when the edge says that it is ready.
    Down,
}

/// The log as it was opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its id.
    pub log: LogId,
    /// The boot it was opened in.
    pub boot: BootId,
    /// Its epochs, oldest first; the last one is live.
    pub chain: Vec<Opening>,
    /// Its cursors: for an uplink only one of a hub with the configured key counts, and those of former parents; for a
    /// downlink only the edge's.
    pub cursors: Vec<(CursorKey, CursorValue)>,
    /// Link gaps that are known.
    pub gaps: Vec<Gap>,
}

/// What happens to a sender.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A number of the log and what it stands for; before anything that uses it is read. It means the same
    /// until the log is closed, but that the link may begin to carry it.
    Route {
        /// The number.
        number: RouteNumber,
        /// What it stands for.
        route: Arc<Route>,
        /// Whether the link carries it. A downlink is told only those that it carries.
        linked: bool,
    },
    /// A number of the log for entries that came from another; before anything that uses it is read.
    Origin {
        /// The number.
        number: u32,
        /// The log.
        log: LogId,
        /// Its epoch.
        epoch: Epoch,
        /// Whether the link carries what came from there: not what came in by it.
        carried: bool,
    },
    /// The receiver of a downlink is ready, for the first time on this connection or again.
    Ready {
        /// What the connection is called from here on.
        attempt: u64,
    },
    /// The attempt is connected, the WebSocket open.
    Connected {
        /// Which attempt.
        attempt: u64,
        /// The TLS exporter's bytes; empty without TLS.
        binding: Bytes,
        /// 32 fresh random bytes.
        nonce: Nonce,
    },
    /// A frame came.
    Frame {
        /// On which attempt's connection.
        attempt: u64,
        /// What.
        frame: HubFrame,
    },
    /// Bytes came that are not a whole frame yet.
    Heard {
        /// On which attempt's connection.
        attempt: u64,
    },
    /// The attempt failed, or its connection is over.
    Disconnected {
        /// Which attempt.
        attempt: u64,
    },
    /// A commit returned.
    Added {
        /// Its first seq.
        first: Seq,
        /// Its last seq.
        last: Seq,
        /// Its frames.
        entries: Bytes,
    },
    /// A commit returned in which there is nothing that the downlink carries.
    Passed {
        /// Its first seq.
        first: Seq,
        /// Its last seq.
        last: Seq,
    },
    /// An edge below shows this beside a backlog of its own: for an uplink, if it carries the room.
    Present(Present),
    /// Everything of an epoch of a log below up to here is an entry of this log.
    Stored {
        /// The log.
        log: LogId,
        /// The epoch.
        epoch: Epoch,
        /// Up to here.
        through: Seq,
    },
    /// An edge below asks how far an epoch of a log was taken above. Answered by
    /// [`Output::Reached`](super::Output::Reached), if there is an answer.
    Ask {
        /// The log.
        log: LogId,
        /// The epoch.
        epoch: Epoch,
    },
    /// The answer to [`Output::Read`](super::Output::Read).
    Read {
        /// Its number.
        number: u64,
        /// What was read.
        chunk: Chunk,
    },
    /// The log let these go before the hub had them (`drop_oldest`, damage).
    Lost(Gap),
    /// The log opened a new epoch, asked for or not.
    Reopened(Vec<Opening>),
    /// The log is about to be opened anew because another uplink's hub has other entries under the live epoch's name.
    Forked,
    /// A route to the hub came up.
    RouteUp,
    /// Stop within that time: send what there is, then say goodbye.
    Shutdown(Duration),
    /// The deadline that [`Sender::poll_timeout`](super::Sender::poll_timeout) named has come.
    Deadline,
}
