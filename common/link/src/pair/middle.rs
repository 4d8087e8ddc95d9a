//! Three instances: a hub, an edge below it that takes links itself, and an edge below that.
//!
//! The one in the middle is a hub's end and an edge's end over one log: what the one commits the other has to send on, from
//! the same commit. It crashes as one.

use super::{Pair, Victim, hub::Taken};
use crate::receivers::Input;
use riser_wire::link::Above;

/// The top one's place among the hubs.
pub const TOP: usize = 0;
/// The middle one's place among the hubs.
pub const MIDDLE_HUB: usize = 1;
/// The middle one's place among the edges.
pub const MIDDLE: usize = 0;
/// The lowest one's place among the edges.
pub const LOWEST: usize = 1;

impl Pair {
    /// A hub, an edge in the middle, and an edge below that, all running, nothing published.
    pub fn three(seed: u64) -> Self {
        let mut pair = Self::new(seed);
        let log = pair.edges.first().map_or(0, |middle| middle.disk.log.0);
        let middle = pair.add_hub(2, log);
        pair.crash(Victim::Hub(middle));
        if let Some(host) = pair.hubs.get_mut(middle) {
            host.disk = super::HubDisk::default();
            host.relays = true;
        }
        pair.middle = Some((middle, MIDDLE));
        pair.start_one(Victim::Hub(middle));
        pair.add_edge(2, middle);
        pair
    }

    /// An edge's uplink leads to another hub from its next start on.
    pub fn move_edge(&mut self, edge: usize, hub: usize) {
        let pinned = self.hubs.get(hub).map_or(0, |hub| hub.key);
        if let Some(host) = self.edges.get_mut(edge) {
            host.link_to(hub, pinned);
        }
    }

    /// A hub's end learns what lies above it.
    pub fn tell_above(&mut self, hub: usize, above: Above) {
        self.hub_input(hub, Input::Above(above));
    }

    /// The rest of the instance that somebody is part of.
    pub(super) fn other_end(&self, victim: Victim) -> Option<Victim> {
        let (hub, edge) = self.middle?;
        match victim {
            Victim::Hub(at) if at == hub => Some(Victim::Edge(edge)),
            Victim::Edge(at) if at == edge => Some(Victim::Hub(hub)),
            Victim::Hub(_) | Victim::Edge(_) => None,
        }
    }

    pub(super) fn is_up(&self, victim: Victim) -> bool {
        match victim {
            Victim::Hub(at) => self.hubs.get(at).is_some_and(super::HubHost::is_up),
            Victim::Edge(at) => self.edges.get(at).is_some_and(super::EdgeHost::is_up),
        }
    }

    /// What a middle one took is in its log with that commit.
    pub(super) fn relay(&mut self, hub: usize, taken: Vec<Taken>) {
        let Some((_, edge)) = self.middle.filter(|(middle, _)| *middle == hub) else { return };
        let now = self.now;
        let added = self.edges.get_mut(edge).and_then(|host| host.relay(taken, now));
        if let Some(added) = added {
            self.edge_input(edge, added);
        }
    }
}
