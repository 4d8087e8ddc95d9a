//! One uplink: its sender, what comes down on it, and how much of the log's numbering it has been told.

use crate::downlink::Downlink;
use riser_link::{
    Sender,
    sender::{Input, LinkEvent},
};
use riser_model::{AccountName, Now, RoomId, RouteNumber};
use riser_rooms::Bus;
use std::{collections::BTreeSet, sync::Arc};

/// An uplink's place in the configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UplinkNumber(pub u32);

/// One uplink.
#[derive(Debug)]
pub struct Uplink {
    /// Its name in the configuration, for people.
    pub name: AccountName,
    /// Its sending end.
    pub sender: Sender,
    /// What comes down on it.
    pub downlink: Downlink,
    /// The rooms that it carries, both ways.
    pub(crate) linked: BTreeSet<RoomId>,
    /// The newest attempt to be connected.
    pub(crate) attempt: u64,
    routes_told: u32,
    origins_told: u32,
    /// The read under way, by the sender's number.
    pub(crate) reading: Option<u64>,
    /// The last turn of events, for the page and the metrics.
    pub(crate) last_event: Option<LinkEvent>,
}

impl Uplink {
    /// An uplink that carries these rooms. What the log's numbers mean it learns from the bus.
    pub fn new(name: AccountName, sender: Sender, downlink: Downlink, linked: BTreeSet<RoomId>) -> Self {
        Self {
            name,
            sender,
            downlink,
            linked,
            attempt: 0,
            routes_told: 0,
            origins_told: 1,
            reading: None,
            last_event: None,
        }
    }

    /// Tells the sender what the log's numbers mean that were given since the last time. Numbers that no live entry
    /// uses were not recovered, and are given anew: what is below the highest may be a hole.
    pub(crate) fn tell_numbers(&mut self, bus: &Bus, now: Now) {
        for number in (self.routes_told..bus.routes_end()).map(RouteNumber) {
            if let Some(route) = bus.route(number) {
                let linked = self.linked.contains(&route.room);
                self.sender.handle(Input::Route { number, route: Arc::clone(route), linked }, now);
            }
        }
        for number in self.origins_told..bus.origins_end() {
            if let Some((log, epoch)) = bus.origin(number) {
                // No log below this one: what has an origin came down.
                self.sender.handle(Input::Origin { number, log, epoch, carried: false }, now);
            }
        }
        self.routes_told = bus.routes_end();
        self.origins_told = bus.origins_end();
    }

    /// The last thing that happened to the link.
    pub fn last_event(&self) -> Option<&LinkEvent> {
        self.last_event.as_ref()
    }
}
