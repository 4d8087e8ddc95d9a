//! What a room is, as its owner declared it.

use crate::{
    duration::Duration,
    id::{AccountId, RoomId},
    name::{AccountName, Filter, RoomName},
    quota::Quota,
    schema::Schema,
    size::ByteSize,
};
use serde::{Deserialize, Serialize};

/// The room of every account that holds what was taken and could not be placed. Nobody publishes there, and only who
/// administers the account reads it.
pub const QUARANTINE: &str = "quarantine";

/// The room that every account of a hub has for who develops and tests. Like any other, it may be changed and removed.
pub const PERSONAL: &str = "personal";

/// The room of an account in which everybody is who stands in its lobby: its channels are the lobby's. Every account of a
/// hub has it. Like any other, it may be changed and removed; without it there are none.
pub const LOBBY: &str = "lobby";

/// A room's policy for the past. It governs replay, not storage (promise 1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum History {
    /// Nothing is replayed to those who join later; a resumed subscription goes on while the log still has it.
    #[default]
    None,
    /// What a connection publishes that asked for it is replayed to whoever joins, until that connection ends.
    Session,
    /// Everything that is still there is replayed on request.
    Log,
}

/// What a room is for. Every kind is the same bus; a kind says what else its server does there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomKind {
    /// Plain fan-out.
    #[default]
    Bus,
    /// A board of what was said: whoever said something may say it otherwise later, and so may an admin.
    Board,
}

impl RoomKind {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::Board => "board",
        }
    }
}

/// How much of a room's past is kept. What is named is kept at least, and at most 1/64 more of it, or what one segment of
/// the log held when it was opened, or when that was named; what the log's own quota has let go of is gone all the same,
/// unless the room is archived.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// The newest so many publications.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The newest so many bytes of entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<ByteSize>,
    /// Those that were taken within this time, as far as this process has seen the time pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<Duration>,
}

impl Retention {
    /// Whether it names nothing: then all is kept that the log has.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A room as configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Room {
    /// Its id, for ever.
    pub id: RoomId,
    /// Whose it is.
    pub account: AccountId,
    /// The account's name.
    pub account_name: AccountName,
    /// Its name, for now.
    pub name: RoomName,
    /// What it is for.
    pub kind: RoomKind,
    /// The users and clients without which it is not ready. None for a room that always is.
    pub ready: Vec<AccountName>,
    /// Its policy for the past.
    pub history: History,
    /// How much of the past that is.
    pub retention: Retention,
    /// Whether what the log's quota recycles of it is kept (hubs).
    pub archive: bool,
    /// What it takes.
    pub quota: Quota,
    /// Whether the uplinks carry it (edges).
    pub linked: bool,
    /// Whether it goes down to the edges that may read it (hubs).
    pub down: bool,
    /// What its payloads have to be, if that is said.
    pub schema: Option<Schema>,
}

impl Room {
    /// Whether anything of it is archived: what is not replayed at all is not.
    pub fn is_archived(&self) -> bool {
        self.archive && self.history == History::Log
    }
}

/// Maps a source's topics to a room and channel, at an edge. Fixed at acceptance: the first that matches wins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// Which topics, in MQTT's grammar.
    pub topics: Filter,
    /// The room they go to, within the principal's account.
    pub room: RoomName,
    /// How many leading levels of the topic are cut off.
    pub strip: u8,
    /// What the channel then begins with; empty for nothing. `{client}` stands for the principal's name.
    pub prefix: String,
}

impl Binding {
    /// Whether it makes its room the root of MQTT's topics: there every topic is a channel of the room, and every
    /// channel of the room is a topic, both as they stand.
    pub fn is_root(&self) -> bool {
        self.topics == Filter::all() && self.strip == 0 && self.prefix.is_empty()
    }
}
