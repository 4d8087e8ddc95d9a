//! One uplink: its sender, and how much of the log's numbering it has been told.

use riser_link::{
    Sender,
    sender::{Input, LinkEvent},
};
use riser_model::{AccountName, Now, RoomId, Route, RouteNumber};
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
    /// An uplink that carries these rooms, over a log with these routes.
    pub fn new(
        name: AccountName,
        mut sender: Sender,
        linked: BTreeSet<RoomId>,
        routes: &[(RouteNumber, Route)],
        next_route: RouteNumber,
        now: Now,
    ) -> Self {
        for (number, route) in routes {
            let input = Input::Route {
                number: *number,
                route: Arc::new(route.clone()),
                linked: linked.contains(&route.room),
            };
            sender.handle(input, now);
        }
        Self {
            name,
            sender,
            linked,
            routes_told: next_route.0,
            origins_told: 1,
            reading: None,
            last_event: None,
        }
    }

    /// Tells the sender what the log's numbers mean that were given since the last time.
    pub(crate) fn tell_numbers(&mut self, bus: &Bus, now: Now) {
        while let Some(route) = bus.route(RouteNumber(self.routes_told)) {
            let linked = self.linked.contains(&route.room);
            let input =
                Input::Route { number: RouteNumber(self.routes_told), route: Arc::clone(route), linked };
            self.sender.handle(input, now);
            self.routes_told += 1;
        }
        while let Some((log, epoch)) = bus.origin(self.origins_told) {
            self.sender.handle(Input::Origin { number: self.origins_told, log, epoch }, now);
            self.origins_told += 1;
        }
    }

    /// The last thing that happened to the link.
    pub fn last_event(&self) -> Option<&LinkEvent> {
        self.last_event.as_ref()
    }
}
