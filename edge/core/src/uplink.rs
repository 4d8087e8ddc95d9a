//! One uplink: its sender, and how much of the log's numbering it has been told.

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
    /// The rooms that it carries.
    linked: BTreeSet<RoomId>,
    routes_told: u32,
    origins_told: u32,
    /// The read under way, by the sender's number.
    pub(crate) reading: Option<u64>,
    /// The last turn of events, for the page and the metrics.
    pub(crate) last_event: Option<LinkEvent>,
}

impl Uplink {
    /// An uplink that carries these rooms. What the log's numbers mean it learns from the bus.
    pub fn new(name: AccountName, sender: Sender, linked: BTreeSet<RoomId>) -> Self {
        Self { name, sender, linked, routes_told: 0, origins_told: 1, reading: None, last_event: None }
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
                self.sender.handle(Input::Origin { number, log, epoch }, now);
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
