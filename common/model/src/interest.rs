//! What somebody reads a log for, so that what does not concern it need not be read from the disk.

use crate::{
    id::{RoomId, Seq},
    name::{ChannelName, Filter},
    principal::{Grants, Right},
    time::Wall,
};
use std::sync::Arc;

/// What the entries must be of to concern a reader.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interest {
    /// Any of these.
    pub any: Vec<Selection>,
    /// And what these rights let it read.
    pub grants: Arc<Grants>,
}

/// Channels of a room, from some time on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selection {
    /// The room.
    pub room: RoomId,
    /// Its channels.
    pub channels: Filter,
    /// Only what was published since; with none, all.
    pub since: Option<Since>,
}

/// A beginning in time, over entries that lie in order of position.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Since {
    /// What was published before this, by the log's own clock, is not meant ...
    pub wall: Wall,
    /// ... up to here. What comes later is meant whatever its time: it is news.
    pub until: Seq,
}

impl Since {
    /// Whether an entry at that place, published then, is meant.
    pub fn meets(&self, seq: Seq, wall: Wall) -> bool {
        seq > self.until || wall >= self.wall
    }
}

impl Interest {
    /// Whether entries of that channel may concern it, of which the last is at `last` and the latest was published
    /// at `latest`.
    pub fn meets(&self, room: RoomId, channel: &ChannelName, last: Seq, latest: Wall) -> bool {
        let meets = |one: &Selection| {
            one.room == room
                && one.channels.matches(channel)
                && one.since.is_none_or(|since| since.meets(last, latest))
        };
        self.any.iter().any(meets) && self.grants.allow(Right::Subscribe, room, channel)
    }
}
