//! What the system says about itself on technical channels: a closed list, each with its fields.

use crate::{
    gap::Gap,
    id::{AccountId, ClientId, ConnectionId, Epoch, LogId, RoomId, Seq},
    name::{AccountName, RoomName},
};
use serde::{Deserialize, Serialize};

/// Who may hear an event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The technical channel of one room.
    Room(RoomId),
    /// The technical channel of an account, for its members.
    Account(AccountId),
    /// The part of an account's technical channel that only those hear who administer all of it.
    Admins(AccountId),
    /// The technical channel of the whole instance: carries no identities.
    Instance,
}

/// One sentence of the system about itself. Serialized as `{"type":"joined", ...fields}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SystemEvent {
    /// A connection joined a room.
    Joined {
        /// The participant.
        client: ClientId,
        /// Its name.
        name: AccountName,
        /// Which of its connections.
        connection: ConnectionId,
    },
    /// A connection at a gate went on from one acceptor to the next, or was sent away. For admins: outside, all refusals of
    /// credentials look the same.
    Gate {
        /// Which connection.
        connection: ConnectionId,
        /// As whom, where a client is known that it is, or says it is.
        client: Option<ClientId>,
        /// Its name.
        name: Option<AccountName>,
        /// Before which room; none for the account's own gate.
        room: Option<RoomName>,
        /// The acceptor, by its name in a gate's configuration.
        acceptor: String,
        /// What it did.
        step: GateStep,
        /// Why, where it refused.
        why: String,
    },
    /// A connection left a room.
    Left {
        /// The participant.
        client: ClientId,
        /// Its name.
        name: AccountName,
        /// Which of its connections.
        connection: ConnectionId,
        /// Why: the name of a close code, or `unsubscribed`.
        cause: String,
    },
    /// An edge's link came up and was welcomed.
    EdgeOnline {
        /// The edge.
        edge: ClientId,
        /// Its name.
        name: AccountName,
        /// The epoch it sends.
        epoch: Epoch,
        /// How many seqs it has that the hub has not.
        backlog: u64,
    },
    /// Nothing was heard from an edge for longer than the link allows, or its connection closed.
    EdgeSilent {
        /// The edge.
        edge: ClientId,
        /// Its name.
        name: AccountName,
        /// Why.
        cause: String,
    },
    /// An edge's backlog is drained.
    CaughtUp {
        /// The edge.
        edge: ClientId,
        /// Its name.
        name: AccountName,
        /// The position in the edge's log at which it was.
        through: Seq,
    },
    /// Seqs of an edge's log are gone for good.
    LinkGap {
        /// The edge.
        edge: ClientId,
        /// The edge's log.
        log: LogId,
        /// The epoch they belong to.
        epoch: Epoch,
        /// Which, and why.
        gap: Gap,
        /// Whether the count is a lower bound (`edge_lost`).
        at_least: bool,
    },
    /// What was published for an edge's rooms did not go down to it: no longer there, or not taken. The seqs are the
    /// hub's, and not all of them need have been meant for that edge.
    DownlinkGap {
        /// The edge.
        edge: ClientId,
        /// Its name.
        name: AccountName,
        /// Which, and why.
        gap: Gap,
    },
    /// An entry was taken but could not be placed.
    Quarantined {
        /// The edge it came from.
        edge: ClientId,
        /// Its position there.
        seq: Seq,
        /// Why: an error code.
        code: String,
        /// Why, in words.
        reason: String,
    },
    /// A second machine presented the identity of a live edge.
    Clone {
        /// The edge.
        edge: ClientId,
        /// Its name.
        name: AccountName,
    },
    /// A log could not commit; publications are refused until it can.
    LogFailing {
        /// What the system said.
        reason: String,
    },
    /// The log commits again.
    LogRecovered,
    /// The wall clock was stepped.
    ClockStepped {
        /// By how much, milliseconds; negative is back.
        by_ms: i64,
    },
    /// The configuration given was refused and the last good one runs. Why is in the instance's own log: every
    /// account reads this, and a configuration names them all.
    ConfigurationRefused,
    /// The instance is going down on purpose.
    Shutdown {
        /// Its uplinks' unconfirmed seqs.
        queued: u64,
    },
}

/// What an acceptor did with a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateStep {
    /// It said something, and waits for an answer.
    Asked,
    /// It asked somebody else, and waits.
    Waits,
    /// It let the connection pass.
    Passed,
    /// It sent the connection away.
    Refused,
}

impl SystemEvent {
    /// Its `type`, as serialized.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Joined { .. } => "joined",
            Self::Gate { .. } => "gate",
            Self::Left { .. } => "left",
            Self::EdgeOnline { .. } => "edge_online",
            Self::EdgeSilent { .. } => "edge_silent",
            Self::CaughtUp { .. } => "caught_up",
            Self::LinkGap { .. } => "link_gap",
            Self::DownlinkGap { .. } => "downlink_gap",
            Self::Quarantined { .. } => "quarantined",
            Self::Clone { .. } => "clone",
            Self::LogFailing { .. } => "log_failing",
            Self::LogRecovered => "log_recovered",
            Self::ClockStepped { .. } => "clock_stepped",
            Self::ConfigurationRefused => "configuration_refused",
            Self::Shutdown { .. } => "shutdown",
        }
    }
}
