//! Saved places of readers and receivers, kept in the log's own blocks so that they commit with its entries.

use crate::id::{ClientId, Epoch, LogId, Seq};
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// An ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Its holder as a client, where nothing else names one: a hub, in the cursors of its edges.
    pub fn client(self) -> ClientId {
        ClientId(Uuid::new_v5(&Uuid::NAMESPACE_OID, &self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(")?;
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("...)")
    }
}

/// Which hub, for ever: a cursor belongs to a hub identity, never to an address (section 7.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct HubIdentity {
    /// The hub's key.
    pub key: PublicKey,
    /// The hub's log.
    pub log: LogId,
}

/// One writable opening in a log's chain (rule 6.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EpochSpan {
    /// The epoch.
    pub epoch: Epoch,
    /// The first seq it could give.
    pub first: Seq,
    /// The last seq it gave; `first - 1` if none.
    pub last: Seq,
}

/// Whose place it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum CursorKey {
    /// What a hub confirmed of this log. A custody cursor: holds segments.
    Uplink(HubIdentity),
    /// What an edge confirmed of this log, or was not meant for it. A custody cursor: holds segments.
    Downlink(ClientId),
    /// What this log took of an epoch of an edge's log, and which edge showed that log first: nobody else moves its
    /// cursors. Of a hub's log, at an edge, the client is [`PublicKey::client`]. Holds nothing here.
    Ingest(ClientId, LogId, Epoch),
    /// The same of a log below an edge's, and through which edge that came last.
    Relayed(ClientId, LogId, Epoch),
    /// What a hub confirmed of this log to which no uplink leads any more: it may not have delivered all of it to who is
    /// above. Holds nothing, and goes when every uplink is past it.
    Former(HubIdentity),
}

impl CursorKey {
    /// Whether segments of this log past the cursor must stay (rule 6.9).
    pub fn holds(self) -> bool {
        match self {
            Self::Uplink(_) | Self::Downlink(_) => true,
            Self::Ingest(..) | Self::Relayed(..) | Self::Former(_) => false,
        }
    }
}

/// What becomes of a cursor in a commit: where it is from there on, or `None` if it is forgotten.
pub type CursorMove = (CursorKey, Option<CursorValue>);

/// A saved place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CursorValue {
    /// Everything up to here is confirmed, or taken.
    pub through: Seq,
    /// For `Ingest` and `Relayed`: the highest seq that was ever heard of. For `Uplink` and `Downlink`: one of the last epoch that was found forked
    /// and that the cursor has not passed; 0 without.
    pub heard: Seq,
    /// The CRC32C of the entry body at `through` (0 where that is no entry): tells forks apart (section 7.5). For
    /// `Downlink`: at `gapped`.
    pub crc: u32,
    /// For `Ingest` and `Relayed`: the epoch's first seq, as its edge says. For `Uplink` and `Downlink`: the first seq that a fork keeps from being
    /// delivered under its name, until the cursor has passed it; 0 without (section 7.5).
    pub first: Seq,
    /// For `Ingest` and `Relayed`: how many of the seqs up to `through` are under link gaps. For `Downlink`: the seq that the edge
    /// itself confirmed last; what lies between it and `through` was not meant for it, and it was not told. For `Uplink`: 1 if nobody is above that hub, as it said last.
    pub gapped: u64,
}
