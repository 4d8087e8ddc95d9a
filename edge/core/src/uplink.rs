//! One uplink: its sender, what comes down on it, and how much of the log's numbering it has been told.

use crate::{asking::Asking, downlink::Downlink, telling::Telling};
use riser_link::{
    Off, Receivers, Sender,
    sender::{Down, Input, LinkEvent},
};
use riser_model::{
    AccountName, Now, RoomId, RouteNumber,
    event::{self, Scope, SystemEvent},
};
use riser_rooms::Bus;
use riser_wire::link::Above;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// Why a link is down whose instance goes down on purpose.
const STOPPED: &str = "stopped";

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
    /// Their technical rooms: what became of what came down is carried up.
    told_of: BTreeSet<RoomId>,
    /// What lies above it.
    pub(crate) above: Option<Above>,
    /// When it asks what was given up of the edge's account.
    pub(crate) asking: Asking,
    /// What it is told of the edges below.
    pub(crate) telling: Telling,
    /// The newest attempt to be connected.
    pub(crate) attempt: u64,
    routes_told: u32,
    origins_told: u32,
    /// Up to which change of the owners of logs below the origins were told.
    owned_told: u64,
    /// The read under way, by the sender's number.
    pub(crate) reading: Option<u64>,
    /// The last turn of events, for the page and the metrics.
    pub(crate) last_event: Option<LinkEvent>,
    /// Why it is down, as far as that was told; none while it is up.
    down: Option<&'static str>,
    /// Whether it was told that the hub has everything since the link came up. Once only: what is told is an entry
    /// that the hub has to be told to skip, and over a slow link that alone would be a backlog again.
    drained: bool,
    /// How far this edge's clock is off, by its hub's.
    pub(crate) off: Off,
    /// Something was lost on the way: who left may have been in it, or who came.
    lost: bool,
}

impl Uplink {
    /// An uplink that carries these rooms. What the log's numbers mean it learns from the bus.
    pub fn new(name: AccountName, sender: Sender, downlink: Downlink, linked: BTreeSet<RoomId>) -> Self {
        Self {
            name,
            sender,
            downlink,
            told_of: linked.iter().map(|room| Scope::Room(*room).room()).collect(),
            linked,
            above: None,
            asking: Asking::default(),
            telling: Telling::default(),
            attempt: 0,
            routes_told: 0,
            origins_told: 1,
            owned_told: 0,
            reading: None,
            last_event: None,
            down: Some(""),
            drained: false,
            off: Off::default(),
            lost: false,
        }
    }

    /// The same that asks its hub what was given up of the edge's account, again and again while the link is up.
    #[must_use]
    pub fn asking(self, every: Option<Duration>) -> Self {
        Self { asking: every.map(Asking::every).unwrap_or_default(), ..self }
    }

    /// It carries these rooms too. What it carries of a room it goes on carrying, though that is no more: what was acknowledged
    /// there goes up.
    pub(crate) fn carries(&mut self, rooms: &BTreeSet<RoomId>) {
        let more: Vec<RoomId> = rooms.difference(&self.linked).copied().collect();
        if !more.is_empty() {
            // The log may have numbers of them that its sender was told to skip.
            self.routes_told = 0;
        }
        self.told_of.extend(more.iter().map(|room| Scope::Room(*room).room()));
        self.linked.extend(more);
    }

    /// Whether its hub has welcomed it.
    pub fn is_up(&self) -> bool {
        self.down.is_none()
    }

    /// Tells the sender what the log's numbers mean that were given since the last time. Numbers that no live entry
    /// uses were not recovered, and are given anew: what is below the highest may be a hole.
    pub(crate) fn tell_numbers(&mut self, bus: &Bus, below: &Receivers, now: Now) {
        for number in (self.routes_told..bus.routes_end()).map(RouteNumber) {
            if let Some(route) = bus.route(number) {
                let says = self.told_of.contains(&route.room) && event::is_outcome(&route.channel);
                let linked = says || self.linked.contains(&route.room);
                self.sender.handle(Input::Route { number, route: Arc::clone(route), linked }, now);
            }
        }
        if std::mem::replace(&mut self.owned_told, below.owned()) != below.owned() {
            self.origins_told = 1;
        }
        for number in self.origins_told..bus.origins_end() {
            if let Some((log, epoch)) = bus.origin(number) {
                // What is of no log below this one came down.
                let carried = below.owner(log).is_some();
                self.sender.handle(Input::Origin { number, log, epoch, carried }, now);
            }
        }
        self.routes_told = bus.routes_end();
        self.origins_told = bus.origins_end();
    }

    /// Whether its hub is to be told anew who is in its rooms: once it has all that there is, after something was lost.
    /// Not before: what is told then would lie behind what is lost, and be lost like it.
    pub(crate) fn names_members(&mut self, event: &LinkEvent) -> bool {
        match event {
            LinkEvent::Gap { .. } => self.lost = true,
            LinkEvent::CaughtUp { .. } => return std::mem::take(&mut self.lost),
            _ => {}
        }
        false
    }

    /// Keeps what happened to the link, and says what of it belongs into the technical channel.
    /// `queued` is what the hub has not.
    pub(crate) fn note(&mut self, event: LinkEvent, queued: u64) -> Option<SystemEvent> {
        let uplink = self.name.clone();
        let said = match &event {
            LinkEvent::Up { backlog, .. } => {
                (self.down, self.drained) = (None, false);
                Some(SystemEvent::UplinkUp { uplink, backlog: *backlog })
            }
            LinkEvent::Down(why) => {
                // Attempts that come to nothing are no news; that a hub turns the edge away is, once.
                let turned_away = matches!(why, Down::WrongHub | Down::Refused(_) | Down::Stalled);
                let is_news = self.down.is_none() || turned_away && self.down != Some(why.name());
                is_news.then(|| {
                    self.down = Some(why.name());
                    SystemEvent::UplinkDown { uplink, cause: why.name().to_owned(), queued }
                })
            }
            LinkEvent::CaughtUp { through } if !self.drained => {
                self.drained = true;
                Some(SystemEvent::UplinkDrained { uplink, through: *through })
            }
            LinkEvent::Gap { gap, .. } => Some(SystemEvent::UplinkGap { uplink, gap: *gap }),
            LinkEvent::Awaits { from, to, waits } => {
                Some(SystemEvent::UplinkAwaits { uplink, from: *from, to: *to, waits: *waits })
            }
            LinkEvent::CaughtUp { .. }
            | LinkEvent::Refused(_)
            | LinkEvent::Above(_)
            | LinkEvent::WrongHub { .. }
            | LinkEvent::OtherHub { .. }
            | LinkEvent::Rewound { .. }
            | LinkEvent::Forked { .. } => None,
            // How far it drained, where it is to be found after the next start.
            LinkEvent::Stopped { queued, .. } => {
                Some(SystemEvent::UplinkDown { uplink, cause: STOPPED.to_owned(), queued: *queued })
            }
        };
        self.last_event = Some(event);
        said
    }

    /// The last thing that happened to the link.
    pub fn last_event(&self) -> Option<&LinkEvent> {
        self.last_event.as_ref()
    }
}
