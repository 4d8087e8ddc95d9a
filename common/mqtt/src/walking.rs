//! What the peer of a session that is kept has of what the channels of one subscription retain.
//!
//! It comes in one order, which outlives connections and processes, so a session needs to know one place in it: who
//! comes back is shown what lies behind. What is said and not acknowledged holds the place up.

use riser_model::{ChannelName, Position, RoomId, Route, door::Showing};
use std::collections::VecDeque;

/// See the module.
#[derive(Debug)]
pub(crate) struct Walking {
    /// What is still to come from the bus.
    coming: Showing,
    /// It was begun anew: what comes may be of the former one, as long as it comes in that one's order.
    anew: bool,
    /// What is still to be written, or passed over.
    left: Showing,
    /// At QoS 1, written and not acknowledged: what was left before each, and its place in the log.
    unacknowledged: VecDeque<(Showing, Position)>,
    /// What the session was told last.
    told: Showing,
    /// It goes on where an earlier connection left it.
    resumed: bool,
}

impl Walking {
    /// One that the session knows to be there.
    pub(crate) fn new(left: Showing) -> Self {
        let (told, coming) = (left.clone(), left.clone());
        Self { coming, anew: false, left, unacknowledged: VecDeque::new(), told, resumed: false }
    }

    /// It goes on where an earlier connection left it.
    pub(crate) fn resume(&mut self) {
        self.resumed = true;
    }

    /// Whether what its session remembers is not shown once more.
    pub(crate) fn is_resumed(&self) -> bool {
        self.resumed
    }

    /// Whether something is still to be written or passed over.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.left != Showing::Nothing
    }

    /// All of it is asked for again.
    pub(crate) fn begin_anew(&mut self) {
        let unfinished = !matches!(self.coming, Showing::Nothing | Showing::All);
        *self = Self { anew: unfinished, ..Self::new(Showing::All) };
    }

    /// What comes from here on is of the newest one.
    pub(crate) fn answered(&mut self) {
        self.anew = false;
    }

    /// What to ask for, to go on.
    pub(crate) fn coming(&self) -> Showing {
        if self.anew { Showing::All } else { self.coming.clone() }
    }

    /// Takes note of what came. False if it came before.
    pub(crate) fn receive(&mut self, route: &Route) -> bool {
        let next = is_left(&self.coming, route.room, &route.channel);
        if !next && !self.anew {
            return false;
        }
        self.anew &= next;
        self.coming = after(route);
        true
    }

    /// The bus has shown all. False if that may be said of the former one.
    pub(crate) fn received_all(&mut self) -> bool {
        if !self.anew {
            self.coming = Showing::Nothing;
        }
        !self.anew
    }

    /// This one waits for an acknowledgement.
    pub(crate) fn await_ack(&mut self, position: Position) {
        self.unacknowledged.push_back((self.left.clone(), position));
    }

    /// It was written or passed over.
    pub(crate) fn pass(&mut self, route: &Route) {
        if !self.anew && !is_left(&self.coming, route.room, &route.channel) {
            self.left = after(route);
        }
    }

    /// All were.
    pub(crate) fn pass_all(&mut self) {
        self.left = Showing::Nothing;
    }

    pub(crate) fn acknowledged(&mut self, position: Position) {
        self.unacknowledged.retain(|(_, waiting)| *waiting != position);
    }

    /// What is left, if that is news. `remembered`: the session remembers what is not acknowledged.
    pub(crate) fn news(&mut self, remembered: bool) -> Option<Showing> {
        let waits = self.unacknowledged.front().filter(|_| !remembered);
        let left = waits.map_or(&self.left, |(before, _)| before);
        if *left == self.told {
            return None;
        }
        self.told = left.clone();
        Some(left.clone())
    }
}

fn after(route: &Route) -> Showing {
    Showing::After(route.room, route.channel.clone())
}

/// Whether a channel is yet to be shown.
fn is_left(left: &Showing, room: RoomId, channel: &ChannelName) -> bool {
    match left {
        Showing::Nothing => false,
        Showing::All => true,
        Showing::After(of, name) => (*of, name) < (room, channel),
    }
}
