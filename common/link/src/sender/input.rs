//! What a sender is told: how it is configured, the log that it reads, and everything that happens to it.

use crate::handshake::Key;
use riser_model::{
    BootId, Chunk, ClientId, CursorValue, Epoch, Gap, HubIdentity, LogId, PublicKey, Route, RouteNumber, Seq,
};
use riser_wire::link::{Bytes, HubFrame, Nonce, Opening};
use std::{sync::Arc, time::Duration};

/// One uplink as configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// The edge.
    pub edge: ClientId,
    /// Its key.
    pub key: Key,
    /// The hub's key: no other hub gets anything.
    pub hub: PublicKey,
    /// For the jitter of reconnecting.
    pub seed: u64,
}

/// The edge's log as it was opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its id.
    pub log: LogId,
    /// The boot it was opened in.
    pub boot: BootId,
    /// Its epochs, oldest first; the last one is live.
    pub chain: Vec<Opening>,
    /// The cursors of hubs; only one with the configured key counts.
    pub cursors: Vec<(HubIdentity, CursorValue)>,
    /// Link gaps that are known.
    pub gaps: Vec<Gap>,
}

/// What happens to a sender.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A number of the log and what it stands for; before anything that uses it is read. It means the same
    /// until the log is closed.
    Route {
        /// The number.
        number: RouteNumber,
        /// What it stands for.
        route: Arc<Route>,
        /// Whether the uplink carries its room.
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
