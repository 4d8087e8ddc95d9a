//! What a room is, as its owner declared it.

use crate::{
    id::{AccountId, RoomId},
    name::{AccountName, Filter, RoomName},
};
use serde::{Deserialize, Serialize};

/// A room's policy for the past. It governs replay, not storage (promise 1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum History {
    /// Nothing is replayed to those who join later; a resumed subscription goes on while the log still has it.
    #[default]
    None,
    /// Everything that is still there is replayed on request.
    Log,
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
    /// Its policy for the past.
    pub history: History,
    /// Whether the uplinks carry it (edges).
    pub linked: bool,
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
