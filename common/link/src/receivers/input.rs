//! What the receivers are told: how they are configured, who an edge is, and everything that happens to them.

use crate::handshake::Key;
use riser_model::{
    AccountId, AccountName, ClientId, ConnectionId, Epoch, EpochSpan, Gap, LogId, Now, PublicKey, Seq,
};
use riser_wire::entry::ORIGIN_BYTES;
use riser_wire::limits::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, BODY_BYTES_MAX};
use riser_wire::link::{Above, Bytes, EdgeFrame, Hello, Limits, Nonce};

/// The hub as it speaks on links.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its key; the public half is in `identity`.
    pub key: Key,
    /// Its log.
    pub log: LogId,
    /// The newest epochs of its log, oldest first.
    pub chain: Vec<EpochSpan>,
    /// What it takes from an edge.
    pub limits: Limits,
    /// What becomes of entries that the sender's log has from others.
    pub others: Others,
    /// With so many cursors no log is taken that was not met before ([`cursors_max`]).
    pub cursors_max: usize,
}

/// Every segment of a log begins with all of its cursors: they may take a quarter of one of that size.
pub fn cursors_max(segment_bytes: u64) -> usize {
    usize::try_from(segment_bytes / 4 / CURSOR_BYTES).unwrap_or(usize::MAX)
}

/// What a cursor takes on disk, about.
const CURSOR_BYTES: u64 = 80;

/// What becomes of entries that a link brings and that were first appended in a log other than the sender's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Others {
    /// They are only some of theirs, as on a way down: nothing is made of what lies between.
    Some,
    /// They are all of theirs, or are said to be none: each log is followed.
    All,
    /// The same, and they go on from here: of every seq that comes there is an entry.
    Relayed,
}

/// The limits that a hub has unless it is configured otherwise. A batch stays below the largest message by what
/// the frame around it may take, and below the largest commit of the hub by what every entry grows by there: its origin.
pub const LIMITS: Limits = Limits {
    batch_bytes: (BATCH_BYTES_MAX - BATCH_ENTRIES_MAX * ORIGIN_BYTES - 64 * 1024) as u32,
    batch_entries: BATCH_ENTRIES_MAX as u32,
    body_bytes: BODY_BYTES_MAX as u32,
    unconfirmed_bytes: 4 * 1024 * 1024,
};

/// The limits of an edge that takes links itself, with segments of that size: beside the entries of a batch there may be
/// one for each gap and skip between them, in one commit.
pub fn relay_limits(segment_bytes: u64) -> Limits {
    let part = u32::try_from(segment_bytes / COMMITS_PER_SEGMENT).unwrap_or(u32::MAX);
    let batch_bytes = part.min(RELAY_BATCH_BYTES_MAX);
    let body_bytes = LIMITS.body_bytes.min(batch_bytes.saturating_sub(BATCH_REST_BYTES));
    Limits { batch_bytes, batch_entries: RELAY_BATCH_ENTRIES_MAX, body_bytes, ..LIMITS }
}

/// The most bytes in a batch to an edge that takes links.
const RELAY_BATCH_BYTES_MAX: u32 = 512 * 1024;
/// The most entries in one, and the most gaps and skips.
const RELAY_BATCH_ENTRIES_MAX: u32 = 1024;
/// A commit of what was taken is at most this part of a segment: entries for what is none may double it.
const COMMITS_PER_SEGMENT: u64 = 16;
/// What a batch of one entry has beside its body: a header, and what its numbers mean.
const BATCH_REST_BYTES: u32 = 1024;

/// The limits of an edge that takes a downlink: less under way than the hub would stop reading at.
pub const DOWN_LIMITS: Limits = Limits { unconfirmed_bytes: 512 * 1024, ..LIMITS };

/// An edge as the hub's directory has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registered {
    /// Its public key.
    pub key: PublicKey,
    /// Its name.
    pub name: AccountName,
    /// Whose it is.
    pub account: AccountId,
    /// Whether it may bring what edges below it took.
    pub relays: bool,
}

/// What happens to the receivers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A WebSocket of the link's sub-protocol opened.
    Opened {
        /// Its id.
        connection: ConnectionId,
        /// The TLS exporter's bytes; empty without TLS.
        binding: Bytes,
        /// 32 fresh random bytes.
        nonce: Nonce,
    },
    /// A peer that is known already greets, on what stands for a connection: it is neither pinged nor given up here.
    Greeted {
        /// Its id.
        connection: ConnectionId,
        /// What it says.
        hello: Box<Hello>,
        /// Who it is.
        from: Registered,
        /// Since when its Hello was expected: its clock was read after that.
        asked: Now,
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
    /// The answer to [`Output::Lookup`].
    Found {
        /// For which connection.
        connection: ConnectionId,
        /// The edge; none if there is no such edge, or it is revoked.
        edge: Option<Registered>,
    },
    /// The commit with this ingest returned.
    Ingested {
        /// Which.
        token: u64,
        /// What of it was taken as gaps, rising.
        refused: Vec<Gap>,
    },
    /// The commit failed. Every later ingest of the same connection must fail too: it goes on from this one.
    Failed {
        /// Which.
        token: u64,
    },
    /// The edge was revoked: its connection closes.
    Revoked {
        /// Which.
        edge: ClientId,
    },
    /// What is above this instance, as its own uplinks say; without any, nothing.
    Above(Above),
    /// Somebody above says how far it took an epoch of a log below, as [`Output::Ask`](super::Output::Ask) asked.
    Reached {
        /// The log.
        log: LogId,
        /// The epoch.
        epoch: Epoch,
        /// Up to here.
        through: Seq,
    },
    /// The hub goes down: all connections are told and closed.
    Shutdown {
        /// When to come back.
        after_ms: u32,
    },
    /// An edge does not answer on its downlink: its connection closes.
    Mute {
        /// Which.
        connection: ConnectionId,
        /// How that was seen.
        why: &'static str,
    },
    /// The deadline that [`Receivers::poll_timeout`] named has come.
    Deadline,
}
