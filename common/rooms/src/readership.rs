//! Who reads single channels of a room: by name, and by filters that meet them.
//!
//! Counted when somebody asks, by looking at what connections read, in the order in which they came, and never at more of
//! it than a bound. Nothing is kept for it: who subscribes and publishes pays nothing.

use crate::{
    bus::Bus,
    graph::{Channel, Graph, RoomSlot},
    subscription::{Scope, Subscription},
};
use riser_model::{ConnectionId, Principal};

/// So many channels are looked at for all subscriptions together, for one answer: a page of 512 rows by 128 filters, one
/// row by 65,536.
pub(crate) const LOOKS_MAX: usize = 65_536;

/// How many read a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Readers {
    /// Subscriptions of it alone, and by filters that meet it and may.
    pub(crate) subscribers: u32,
    /// The connections that these are of.
    pub(crate) connections: u32,
    /// The last of them.
    last: Option<ConnectionId>,
}

impl Readers {
    fn add(&mut self, connection: ConnectionId) {
        self.subscribers += 1;
        self.connections += u32::from(self.last.replace(connection) != Some(connection));
    }
}

impl Bus {
    /// How many read each of these channels of a room, which are in the order of their names, and whether that is all of
    /// them: if not, it is at least so many.
    pub(crate) fn readers(
        &self,
        room: RoomSlot,
        channels: &[&Channel],
        looks_max: usize,
    ) -> (Vec<Readers>, bool) {
        let found = vec![Readers::default(); channels.len()];
        let mut count = Count { graph: &self.graph, room, channels, left: looks_max, found };
        let ids = self.connections.ids().into_iter();
        let mut all = ids.filter_map(|id| self.connections.get(&id).map(|one| (id, one)));
        let whole = all.all(|(id, one)| {
            if !one.members.contains_key(&room) {
                return count.pass();
            }
            one.subscriptions.values().all(|subscription| count.add(id, &one.principal, subscription))
        });
        if !whole {
            // Of those who named it there are so many all the same.
            for (readers, channel) in count.found.iter_mut().zip(channels) {
                readers.subscribers = readers.subscribers.max(channel.subscribers);
            }
        }
        (count.found, whole)
    }
}

/// A count that goes on.
struct Count<'a> {
    graph: &'a Graph,
    room: RoomSlot,
    channels: &'a [&'a Channel],
    left: usize,
    found: Vec<Readers>,
}

impl Count<'_> {
    /// Passes over somebody who is not there; false if that would be one look too many.
    fn pass(&mut self) -> bool {
        self.left.checked_sub(1).map(|left| self.left = left).is_some()
    }

    /// Counts a subscription; false if that would be one look too many.
    fn add(&mut self, connection: ConnectionId, principal: &Principal, subscription: &Subscription) -> bool {
        match &subscription.scope {
            Scope::Channel(slot) => {
                let channel = self.graph.channel(*slot);
                let place = self.channels.binary_search_by(|at| at.name.cmp(&channel.name));
                let place = place.ok().filter(|_| channel.room == self.room);
                let found = place.and_then(|place| self.found.get_mut(place));
                self.left.checked_sub(1).map(|left| {
                    self.left = left;
                    found.into_iter().for_each(|readers| readers.add(connection));
                })
            }
            Scope::Rooms { rooms, .. } => {
                let scope = rooms.get(&self.room);
                let looks = scope.map_or(1, |_| self.channels.len().max(1));
                self.left.checked_sub(looks).map(|left| {
                    self.left = left;
                    let Some(scope) = scope else { return };
                    for (readers, channel) in self.found.iter_mut().zip(self.channels) {
                        if scope.would_meet(self.graph, principal, channel) {
                            readers.add(connection);
                        }
                    }
                })
            }
        }
        .is_some()
    }
}
