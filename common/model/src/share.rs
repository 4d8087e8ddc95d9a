//! Shared subscriptions (MQTT 5, section 4.8.2): one cursor for several connections, each entry for one of them.

use crate::{AccountId, Position, Seq};
use serde::{Deserialize, Serialize};

/// Names a group: whoever of one account subscribes by the same text is a member of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ShareKey {
    /// The tenant. Groups never span accounts.
    pub account: AccountId,
    /// `$share/{group}/{filter}`, as its members write it.
    pub filter: String,
}

/// What a member of a group asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShareWant {
    /// As [`ShareKey::filter`].
    pub filter: String,
    /// The topic filter in it.
    pub topic: String,
    /// How many entries the member takes that it has not settled.
    pub most: u16,
    /// Its session outlives the connection and keeps it.
    pub kept: bool,
    /// What its session has in flight of the group's: delivered to it first, and to nobody else.
    pub own: Vec<Position>,
}

/// How far a group is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShareState {
    /// Whose.
    pub key: ShareKey,
    /// Everything up to here was given to a member or passed over, but for `open`.
    pub cursor: Position,
    /// Of the entries up to the cursor, those that nobody has for good, rising.
    pub open: Vec<Seq>,
    /// Of the entries after the cursor, those that a session has, rising.
    pub taken: Vec<Seq>,
}

/// What the sessions mean for a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ShareChange {
    /// So many sessions hold it, connected or not. The state is what the log says of it, for a bus that does not know
    /// the group.
    Kept {
        /// How many.
        sessions: usize,
        /// How far it is.
        state: ShareState,
    },
    /// A session took these over: they are no member's to lose any more.
    Taken {
        /// Which group.
        key: ShareKey,
        /// Which entries.
        seqs: Vec<Seq>,
    },
    /// Nobody has these any more: they are for another member.
    Returned {
        /// Which group.
        key: ShareKey,
        /// Which entries.
        seqs: Vec<Seq>,
    },
}
