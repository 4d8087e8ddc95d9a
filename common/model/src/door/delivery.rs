//! What the bus pushes through a door to its peer.

use crate::{
    event::Scope,
    gap::Gap,
    id::{SessionId, SubscriptionId},
    name::RoomName,
    position::Position,
    route::Route,
    time::Wall,
};
use bytes::Bytes;
use std::{
    fmt,
    ops::Range,
    sync::{Arc, OnceLock},
};

/// What the doors of one protocol make of a publication for everybody who gets it: the first that needs it makes it.
/// Says nothing of the publication, and so makes no difference between deliveries.
#[derive(Default)]
pub struct Wording(OnceLock<Worded>);

impl Wording {
    /// The words, if somebody has made them.
    pub fn made(&self) -> Option<&Worded> {
        self.0.get()
    }

    /// The words, made by `make` if nobody has made them yet.
    pub fn get(&self, make: impl FnOnce() -> Worded) -> &Worded {
        self.0.get_or_init(make)
    }
}

/// A message as one subscription gets it, of which a part is the same to all: where many listen, most number their
/// subscription alike and were at the same position before it, and then it is the same as a whole.
#[derive(Debug)]
pub struct Worded {
    /// To which subscription.
    pub subscription: SubscriptionId,
    /// That subscription's position before it.
    pub prev: Position,
    /// The whole message.
    pub text: Box<str>,
    /// Which part of it is the same to everybody.
    pub same: Range<usize>,
}

impl Worded {
    /// The part that is the same to everybody.
    pub fn same(&self) -> &str {
        self.text.get(self.same.clone()).unwrap_or_default()
    }
}

impl PartialEq for Wording {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Wording {}

impl fmt::Debug for Wording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wording")
    }
}

/// What of a publication is the same to everybody who gets it: made once, and shared where many do.
#[derive(PartialEq, Eq, Debug)]
pub struct Content {
    /// Room, channel, source.
    pub route: Arc<Route>,
    /// The room's name.
    pub room: RoomName,
    /// The entry's body (`riser-wire`'s `entry::Body`).
    pub body: Bytes,
    /// When it was published, by the clock of this instance (section 7.10).
    pub wall: Wall,
    /// The same in milliseconds of the monotonic clock ([`Time`](crate::Time)), below 0 before the host began: how old it is
    /// no step of the wall clock says.
    pub born_ms: i64,
    /// That is as much as the clock of its host says, which never met a hub's.
    pub uncertain: bool,
    /// Its room is the root of MQTT's topics: its channel is the topic, without the room before it.
    pub rooted: bool,
    /// The system says it, in this technical channel; `room` is then the room it speaks of, or says whose it is.
    pub technical: Option<Scope>,
    /// What envelope doors make of it, where more than one may get it.
    pub wording: Option<Wording>,
}

/// One publication for one subscription.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// For which subscription.
    pub subscription: SubscriptionId,
    /// Where it is; none for Latest, which is never stored, and for what a channel retains, which may be gone there.
    pub pos: Option<Position>,
    /// The subscription's position before it.
    pub prev: Position,
    /// What it is.
    pub content: Arc<Content>,
    /// How many were passed over since the last one (`conflate`).
    pub skipped: u64,
    /// It is shown because its channel retains it, to a subscription that was not there when it was published: where it
    /// was published.
    pub retained: Option<Position>,
    /// Whose session it belongs to, if it is replayed to others until that ends.
    pub session: Option<SessionId>,
    /// Whoever published it may hear what became of it: the door says when its peer has it.
    pub reported: bool,
}

/// What a door pushes to its peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Push {
    /// A publication.
    Publication(Delivery),
    /// Something is missing here for this subscription.
    Gap {
        /// For which subscription.
        subscription: SubscriptionId,
        /// What is missing.
        gap: Gap,
        /// The subscription's position after the gap.
        pos: Position,
    },
    /// A session ended of which this subscription was shown something in a replay: that is replayed no more.
    Wiped {
        /// For which subscription.
        subscription: SubscriptionId,
        /// The session.
        session: SessionId,
    },
    /// Everything of this subscription up to here was pushed: what a ping's `through` carries.
    Through {
        /// For which subscription.
        subscription: SubscriptionId,
        /// Up to here.
        pos: Position,
    },
}
