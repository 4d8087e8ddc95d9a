//! Three instances: a hub, an edge below it that takes links itself, and an edge below that.
//!
//! The one in the middle is a hub's end and an edge's end over one log: what the one commits the other has to send on, from
//! the same commit. It crashes as one.

use super::{Pair, Victim, hub::Taken};
use crate::{receivers::Input, sender};
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
        let middle = pair.add_middle(2, log, MIDDLE);
        pair.add_edge(2, middle);
        pair
    }

    /// One more instance in the middle, below the top one: its place among the hubs.
    pub fn add_beside(&mut self) -> usize {
        let edge = self.add_edge(3, TOP);
        let log = self.edges.get(edge).map_or(0, |middle| middle.disk.log.0);
        self.add_middle(3, log, edge)
    }

    fn add_middle(&mut self, key: u8, log: u64, edge: usize) -> usize {
        let middle = self.add_hub(key, log);
        self.crash(Victim::Hub(middle));
        if let Some(host) = self.hubs.get_mut(middle) {
            host.disk = super::HubDisk::default();
            host.relays = true;
        }
        self.middles.push((middle, edge));
        self.start_one(Victim::Hub(middle));
        middle
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
        match victim {
            Victim::Hub(at) => self.edge_of(at).map(Victim::Edge),
            Victim::Edge(at) => self.hub_of(at).map(Victim::Hub),
        }
    }

    fn edge_of(&self, hub: usize) -> Option<usize> {
        self.middles.iter().find(|(of, _)| *of == hub).map(|(_, edge)| *edge)
    }

    fn hub_of(&self, edge: usize) -> Option<usize> {
        self.middles.iter().find(|(_, of)| *of == edge).map(|(hub, _)| *hub)
    }

    /// What an instance's uplink says to its end for those below.
    pub(super) fn tell_middle(&mut self, edge: usize, input: Input) {
        if let Some(hub) = self.hub_of(edge) {
            self.hub_input(hub, input);
        }
    }

    /// What an instance's end for those below asks its uplink.
    pub(super) fn ask_middle(&mut self, hub: usize, input: sender::Input) {
        if let Some(edge) = self.edge_of(hub) {
            self.edge_input(edge, input);
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
        let Some(edge) = self.edge_of(hub) else { return };
        let sender = self.edges.get(edge).and_then(|host| host.sender());
        let shown: Vec<_> = sender.iter().flat_map(|sender| sender.presents()).collect();
        for (log, epoch) in shown {
            let stored = taken.iter().filter(|taken| taken.place == (log, epoch)).map(|taken| taken.seq);
            if let Some(through) = stored.max() {
                self.edge_input(edge, sender::Input::Stored { log, epoch, through });
            }
        }
        let now = self.now;
        let added = self.edges.get_mut(edge).and_then(|host| host.relay(taken, now));
        if let Some(added) = added {
            self.edge_input(edge, added);
        }
    }
}
