//! What a sender wants done, what it tells people, and what it waits for.

use riser_model::{CursorKey, CursorValue, Epoch, Gap, HubIdentity, LogId, PublicKey, Seq, time::Anchor};
use riser_wire::link::{Above, EdgeFrame, Refused, RefusedCode};

/// What a sender wants done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Dial the hub; only of an uplink. Answered by `Connected` or `Disconnected` with this attempt.
    Connect {
        /// Rises.
        attempt: u64,
    },
    /// Send this. What a downlink sends is a [`DownFrame`](riser_wire::link::DownFrame).
    Send {
        /// On which attempt's connection.
        attempt: u64,
        /// What.
        frame: EdgeFrame,
    },
    /// Close after what was sent before. Not answered.
    Close {
        /// Which attempt.
        attempt: u64,
    },
    /// Read the log. Answered by `Read` with this number; one at a time.
    Read {
        /// Rises.
        number: u64,
        /// From here on.
        from: Seq,
        /// About so many bytes, but at least one entry.
        bytes_max: u32,
    },
    /// The cursor moved: let it ride in the next commit.
    Moved {
        /// `Uplink` or `Downlink`.
        key: CursorKey,
        /// Where it is.
        value: CursorValue,
        /// It is worth a commit of its own: a fork was found.
        at_once: bool,
    },
    /// Append a canary.
    AppendCanary,
    /// Append this anchor.
    AppendAnchor(Anchor),
    /// Open a new epoch and answer with `Reopened`: a hub has other entries under this epoch's name. Entries
    /// from here on were not delivered under it and may carry the new name.
    NewEpoch {
        /// The first undelivered seq.
        from: Seq,
    },
    /// The hub, or somebody above it, took an epoch of a log below this far: for an edge below that asked.
    Reached {
        /// The log.
        log: LogId,
        /// The epoch.
        epoch: Epoch,
        /// Up to here.
        through: Seq,
    },
    /// For people.
    Emit(LinkEvent),
}

/// What people want to know about a link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LinkEvent {
    /// A hub welcomed the edge.
    Up {
        /// Which.
        hub: HubIdentity,
        /// How many seqs it has not confirmed.
        backlog: u64,
    },
    /// The connection, or the attempt, is over.
    Down(Down),
    /// What lies above the edge.
    Above(Above),
    /// The hub refused.
    Refused(Refused),
    /// Something at that address has another key; it got nothing.
    WrongHub {
        /// The key it showed.
        presented: PublicKey,
    },
    /// A hub with the right key and another log: it says itself how far it is, and the former one's cursor is
    /// forgotten.
    OtherHub {
        /// Which it was before, if any.
        before: Option<HubIdentity>,
        /// Which it is.
        now: HubIdentity,
    },
    /// The hub lost what it had confirmed: it is sent again as far as it is there.
    Rewound {
        /// The first seq it lost.
        from: Seq,
        /// The last.
        to: Seq,
    },
    /// The hub has other entries under this epoch's name.
    Forked {
        /// The epoch.
        epoch: Epoch,
        /// Where that was seen.
        at: Seq,
    },
    /// Seqs that the hub will never have; it knows.
    Gap {
        /// Their epoch.
        epoch: Epoch,
        /// Which, and why.
        gap: Gap,
    },
    /// What a former parent confirmed, this log no longer has, and nobody above the hub has yet.
    Awaits {
        /// The first such seq.
        from: Seq,
        /// The last.
        to: Seq,
        /// Whether it is waited for, or the configuration says that it is not.
        waits: bool,
    },
    /// The backlog is drained.
    CaughtUp {
        /// Up to here.
        through: Seq,
    },
    /// It stopped, as asked.
    Stopped {
        /// The hub has everything up to here.
        through: Seq,
        /// How many it has not.
        queued: u64,
    },
}

/// Why a connection or an attempt is over. A closed list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Down {
    /// The socket said so.
    Gone,
    /// The attempt took too long.
    DialTimeout,
    /// The hub did not say its nonce in time.
    HandshakeTimeout,
    /// Nothing was heard for 12 s.
    Silent,
    /// The hub is there and confirms nothing.
    Stalled,
    /// The hub spoke nonsense.
    Malformed,
    /// Not the hub with the pinned key, or its signature does not hold.
    WrongHub,
    /// The hub refused.
    Refused(RefusedCode),
    /// The hub has other entries under this epoch's name.
    Forked,
    /// The edge's log opened a new epoch, or there are more epochs to name.
    Greeting,
    /// The log did not read on from where it was asked.
    Unread,
    /// This instance is above the hub itself.
    Loop,
    /// More links would lead to the topmost instance than may.
    TooDeep,
    /// The edge stops.
    Stopped,
}

impl Down {
    /// Its name in logs, metrics and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::DialTimeout => "dial_timeout",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::Silent => "silent",
            Self::Stalled => "stalled",
            Self::Malformed => "malformed",
            Self::WrongHub => "wrong_hub",
            Self::Refused(code) => code.name(),
            Self::Forked => "forked",
            Self::Greeting => "greeting",
            Self::Unread => "unread",
            Self::Loop => "loop",
            Self::TooDeep => "too_deep",
            Self::Stopped => "stopped",
        }
    }
}

/// What a sender waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wake {
    /// The next attempt.
    Retry,
    /// The dial, the hub's first word, or its Welcome.
    Handshake,
    /// The hub is to be pinged, or has been silent for too long.
    Silence,
    /// The hub confirms nothing.
    Stall,
    /// Latest is due.
    Latest,
    /// A canary is due.
    Canary,
    /// The log had nothing where it should: read again.
    Read,
    /// It is to be asked whether a former parent has delivered.
    Former,
    /// A few entries have waited long enough for more.
    Company,
    /// The new epoch did not come: ask again.
    NewEpoch,
    /// Time to stop.
    Shutdown,
}
