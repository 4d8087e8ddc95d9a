//! What somebody reads a log for, so that what does not concern it need not be read from the disk.

use crate::{
    id::{RoomId, Seq},
    name::{ChannelName, Filter},
    principal::{Grants, Right},
    time::Wall,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What the entries must be of to concern a reader.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interest {
    /// Any of these, by room.
    pub rooms: BTreeMap<RoomId, Vec<Selection>>,
    /// And what these rights let it read ...
    pub grants: Arc<Grants>,
    /// ... beyond these rooms, of which what may be read is judged by other rules, entry by entry.
    pub open: BTreeSet<RoomId>,
}

/// Channels of a room, from some time on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selection {
    /// The channels.
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
        let Some(selections) = self.rooms.get(&room) else { return false };
        let meets = |one: &Selection| {
            one.channels.matches(channel) && one.since.is_none_or(|since| since.meets(last, latest))
        };
        let allowed = || self.open.contains(&room) || self.grants.allow(Right::Subscribe, room, channel);
        selections.iter().any(meets) && allowed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::principal::Rule;
    use uuid::Uuid;

    #[test]
    fn meets_what_is_selected_and_allowed_and_late_enough() {
        let rule = |channels: &str, deny| Rule {
            room: None,
            channels: channels.parse().unwrap(),
            right: Right::Subscribe,
            deny,
        };
        let room = |n| RoomId(Uuid::from_u128(n));
        let since = Some(Since { wall: Wall(100), until: Seq(50) });
        let of = Interest {
            rooms: BTreeMap::from([
                (room(1), vec![Selection { channels: "a/#".parse().unwrap(), since: None }]),
                (room(4), vec![Selection { channels: "a/secret".parse().unwrap(), since: None }]),
                (room(2), vec![Selection { channels: "a/#".parse().unwrap(), since }]),
            ]),
            grants: Arc::new(Grants::new(vec![rule("#", false), rule("a/secret", true)])),
            open: BTreeSet::from([room(4)]),
        };
        let meets = |n, channel: &str, last, wall| {
            of.meets(room(n), &channel.parse().unwrap(), Seq(last), Wall(wall))
        };
        assert!(meets(1, "a/x", 10, 1));
        assert!(!meets(1, "b", 10, 1) && !meets(1, "a/secret", 10, 1) && !meets(3, "a/x", 10, 1));
        assert!(meets(4, "a/secret", 10, 1) && !meets(4, "b", 10, 1), "judged by others");
        assert!(!meets(2, "a/x", 50, 99), "before that time");
        assert!(meets(2, "a/x", 50, 100) && meets(2, "a/x", 51, 99), "late enough, or news");
    }
}
