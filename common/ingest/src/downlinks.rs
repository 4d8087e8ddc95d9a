//! The hub's ends of all downlinks: for each edge what it may read of the rooms that go down, from its own cursor on.
//!
//! It owns a sender per edge of the directory that may read any such room, connected or not, and knows which of the log's
//! routes each carries. What always holds: an edge gets nothing that its grants do not allow, and nothing that came from
//! it. A commit without anything for an edge costs it no look into the log.

use crate::owed::{One, Owed};
use bytes::Bytes;
use riser_gate::Directory;
use riser_link::{
    Receivers, Sender, Status, Tally,
    sender::{Config, Input, LinkEvent, Opened, Output, Way},
};
use riser_model::{
    AccountId, AccountName, BootId, Chunk, ClientId, ConnectionId, CursorKey, CursorValue, Epoch, EpochSpan,
    Gap, LogId, Now, Principal, Right, Room, RoomId, Route, RouteNumber, Run, Seq, Time,
};
use riser_rooms::Bus;
use riser_wire::{entry::frames, link::Opening};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

/// The first ticket of a read; smaller ones are the owner's.
pub const TICKETS_FROM: u64 = 1 << 32;

/// One edge's downlink.
#[derive(Debug)]
pub struct Downlink {
    sender: Sender,
    principal: Arc<Principal>,
    /// The rooms that go down to it, as far as its grants let them.
    rooms: BTreeSet<RoomId>,
    /// The routes that it carries, by number.
    carried: Vec<bool>,
    routes_told: u32,
    origins_told: u32,
    /// Up to which change of the logs' owners the origins were told.
    owned_told: u64,
    /// The read under way, by the sender's number.
    reading: Option<u64>,
    due: Option<Time>,
}

/// What a downlink wants done.
#[derive(Debug)]
pub(crate) struct Wish {
    /// Whose.
    pub(crate) edge: ClientId,
    /// What.
    pub(crate) output: Output,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Downlinks {
    links: BTreeMap<ClientId, Downlink>,
    /// The deadlines of all senders.
    due: BTreeSet<(Time, ClientId)>,
    /// By ticket: whose read it is.
    reads: BTreeMap<u64, ClientId>,
    /// Of the last read. They begin above those that uplinks call their reads by, [`TICKETS_FROM`].
    tickets: u64,
    told: Seq,
    wishes: VecDeque<Wish>,
    /// What they have still to carry.
    owed: Owed,
    /// The log as it was when it was opened.
    opened: Option<Opened>,
}

impl Downlinks {
    /// Over an open log, for the edges of a directory. The log's other cursors of downlinks belong to nobody: see
    /// [`Downlinks::orphans`].
    pub fn new(directory: &Directory, opened: &Opened, now: Now) -> Self {
        let mut downlinks = Self { tickets: TICKETS_FROM, ..Self::default() };
        for (principal, rooms) in meant(directory) {
            downlinks.add(principal, rooms, opened.clone(), now);
        }
        downlinks.opened = Some(opened.clone());
        downlinks.told = opened.chain.last().map_or(Seq::ZERO, |opening| opening.span.last);
        downlinks
    }

    fn add(&mut self, principal: &Arc<Principal>, rooms: BTreeSet<RoomId>, opened: Opened, now: Now) {
        let client = principal.client;
        let config = Config { edge: client, way: Way::Down, seed: 0, waits: false };
        let downlink = Downlink {
            sender: Sender::new(config, opened, now),
            principal: Arc::clone(principal),
            rooms,
            carried: Vec::new(),
            routes_told: 0,
            origins_told: 1,
            owned_told: 0,
            reading: None,
            due: None,
        };
        self.links.insert(client, downlink);
        self.drain(client);
    }

    /// Accounts changed: each edge gets what it may read by now, from where it is. The cursors of those that get nothing any
    /// more are returned: they would hold the log for nobody.
    pub(crate) fn changed(
        &mut self,
        directory: &Directory,
        (bus, receivers): (&Bus, &Receivers),
        now: Now,
    ) -> Vec<CursorKey> {
        let mut meant: BTreeMap<ClientId, _> =
            meant(directory).map(|(principal, rooms)| (principal.client, (principal, rooms))).collect();
        let gone: Vec<ClientId> =
            self.links.keys().copied().filter(|client| !meant.contains_key(client)).collect();
        for client in &gone {
            if let Some(due) = self.links.remove(client).and_then(|link| link.due) {
                self.due.remove(&(due, *client));
            }
        }
        self.reads.retain(|_, client| !gone.contains(client));
        for (client, link) in &mut self.links {
            let Some((principal, rooms)) = meant.remove(client) else { continue };
            if link.principal != *principal || link.rooms != rooms {
                (link.principal, link.rooms) = (Arc::clone(principal), rooms);
                link.look_again(bus, now);
            }
        }
        for (principal, rooms) in meant.into_values() {
            let Some(mut opened) = self.opened.clone() else { continue };
            if let Some(live) = opened.chain.last_mut() {
                live.span.last = self.told;
            }
            opened.cursors.retain(|(key, _)| *key != CursorKey::Downlink(principal.client));
            self.add(principal, rooms, opened, now);
        }
        for client in self.links.keys().copied().collect::<Vec<_>>() {
            if let Some(link) = self.links.get_mut(&client) {
                link.tell_numbers(bus, receivers, now);
            }
            self.drain(client);
        }
        gone.into_iter().map(CursorKey::Downlink).collect()
    }

    /// Cursors of edges that have no downlink any more: they would hold the log for nobody.
    pub fn orphans(&self, opened: &Opened) -> Vec<CursorKey> {
        let orphan = |key: &CursorKey| match key {
            CursorKey::Downlink(edge) => !self.links.contains_key(edge),
            CursorKey::Uplink(_) | CursorKey::Ingest(..) | CursorKey::Relayed(..) | CursorKey::Former(_) => {
                false
            }
        };
        opened.cursors.iter().map(|(key, _)| *key).filter(orphan).collect()
    }

    /// Whose, and how each stands.
    pub fn statuses(&self, now: Now) -> impl Iterator<Item = (ClientId, Status)> {
        self.links.iter().map(move |(edge, link)| (*edge, link.sender.status(now)))
    }

    /// The equation of each, over all epochs: accepted, synced, queued and gapped seqs of the hub's log.
    pub fn tallies(&self) -> impl Iterator<Item = (ClientId, Epoch, Tally)> {
        self.links
            .iter()
            .flat_map(|(edge, link)| link.sender.tallies().map(move |(epoch, tally)| (*edge, epoch, tally)))
    }

    pub(crate) fn account(&self, edge: ClientId) -> Option<(AccountId, &AccountName)> {
        self.links.get(&edge).map(|link| (link.principal.account, &link.principal.name))
    }

    /// One input for one edge's sender.
    pub(crate) fn handle(
        &mut self,
        edge: ClientId,
        input: Input,
        (bus, receivers): (&Bus, &Receivers),
        now: Now,
    ) {
        let Some(link) = self.links.get_mut(&edge) else { return };
        link.tell_numbers(bus, receivers, now);
        link.sender.handle(input, now);
        self.drain(edge);
    }

    /// The connection is over.
    pub(crate) fn gone(
        &mut self,
        edge: ClientId,
        connection: ConnectionId,
        known: (&Bus, &Receivers),
        now: Now,
    ) {
        self.handle(edge, Input::Disconnected { attempt: connection.0 }, known, now);
    }

    /// All senders whose deadline has come.
    pub(crate) fn deadline(&mut self, known: (&Bus, &Receivers), now: Now) {
        while let Some((_, edge)) = self.due.first().copied().filter(|(at, _)| *at <= now.time) {
            self.due.pop_first();
            if let Some(link) = self.links.get_mut(&edge) {
                link.due = None;
            }
            self.handle(edge, Input::Deadline, known, now);
        }
    }

    /// The log let these go.
    pub(crate) fn lost(&mut self, gaps: &[Gap], known: (&Bus, &Receivers), now: Now) {
        let edges: Vec<ClientId> = self.links.keys().copied().collect();
        for edge in edges {
            for gap in gaps {
                self.handle(edge, Input::Lost(*gap), known, now);
            }
        }
    }

    pub(crate) fn shutdown(&mut self, known: (&Bus, &Receivers), now: Now) {
        let edges: Vec<ClientId> = self.links.keys().copied().collect();
        for edge in edges {
            self.handle(edge, Input::Shutdown(Duration::ZERO), known, now);
        }
    }

    pub(crate) fn poll(&mut self) -> Option<Wish> {
        self.wishes.pop_front()
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.due.first().map(|(at, _)| *at)
    }

    /// A ticket for a read of the log.
    pub(crate) fn ticket(&mut self, edge: ClientId, read: u64) -> u64 {
        if let Some(link) = self.links.get_mut(&edge) {
            link.reading = Some(read);
        }
        let ticket = self.other_ticket();
        self.reads.insert(ticket, edge);
        ticket
    }

    /// A ticket for a read of the log that is no sender's.
    pub(crate) fn other_ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// Whether what is in that route of the log goes down to an edge.
    pub(crate) fn carries(&self, edge: ClientId, route: RouteNumber) -> bool {
        self.links.get(&edge).is_some_and(|link| link.carries(route))
    }

    /// What was read.
    pub(crate) fn read(&mut self, ticket: u64, chunk: Chunk, known: (&Bus, &Receivers), now: Now) {
        let Some(edge) = self.reads.remove(&ticket) else { return };
        if let Some(number) = self.links.get_mut(&edge).and_then(|link| link.reading.take()) {
            self.handle(edge, Input::Read { number, chunk }, known, now);
        }
    }

    /// A commit returned: who has anything in it learns what it holds, the others that they need not look.
    pub(crate) fn committed(&mut self, through: Seq, (bus, receivers): (&Bus, &Receivers), now: Now) {
        if self.links.is_empty() {
            self.told = through;
            return;
        }
        while self.told < through {
            let chunk = bus.tail(self.told.next(), usize::MAX);
            // A commit larger than the tail: everybody looks on the disk.
            let (last, touched) = match &chunk {
                Some(chunk) => (chunk.next.prev().max(self.told.next()), Some(touched(chunk))),
                None => (through, None),
            };
            let first = self.told.next();
            self.told = last;
            let edges: Vec<ClientId> = self.links.keys().copied().collect();
            for edge in edges {
                let Some(link) = self.links.get_mut(&edge) else { continue };
                link.tell_numbers(bus, receivers, now);
                let carries = |(route, origin): &(RouteNumber, Option<u32>)| {
                    let own = |number: &u32| {
                        bus.origin(*number).and_then(|(log, _)| receivers.owner(log)) == Some(edge)
                    };
                    link.carries(*route) && !origin.as_ref().is_some_and(own)
                };
                let has_any = touched.as_ref().is_none_or(|touched| touched.iter().any(carries));
                let entries = Bytes::new();
                let input = if has_any {
                    Input::Added { first, last, entries }
                } else {
                    Input::Passed { first, last }
                };
                link.sender.handle(input, now);
                self.drain(edge);
            }
            if let (Some(chunk), Some(touched)) = (&chunk, &touched) {
                let routes = touched.iter().map(|(route, _)| *route);
                let goes = |route: &RouteNumber| self.links.values().any(|link| link.carries(*route));
                self.owe(chunk, &routes.filter(goes).collect(), bus, now);
            }
        }
    }

    /// Notes whose publications go down, by these routes, and to which edges. What a commit larger than the tail has is
    /// nobody's to tell.
    fn owe(&mut self, chunk: &Chunk, routes: &BTreeSet<RouteNumber>, bus: &Bus, now: Now) {
        let mut meant = BTreeMap::new();
        for run in chunk.runs.iter().filter(|_| !routes.is_empty()) {
            let Run::Entries { first, entries, .. } = run else { continue };
            for (n, frame) in frames(entries).map_while(Result::ok).enumerate() {
                let number = frame.route;
                let route = bus.route(number).filter(|_| routes.contains(&number));
                let Some(route) = route.filter(|route| Owed::is_meant(&frame, route)) else { continue };
                let carriers = || self.links.iter().filter(|(_, link)| link.carries(number));
                let edges = || carriers().map(|(edge, _)| *edge).collect();
                let meant = meant.entry(number).or_insert_with(|| self.owed.edges(edges()));
                self.owed.goes(bus.position(first.plus(n as u64)), &frame, route, Arc::clone(meant));
                if self.owed.is_full() {
                    let reached = |link: &Downlink| link.sender.status(now).last_synced;
                    let reached = self.links.iter().map(|(edge, link)| (*edge, reached(link)));
                    self.owed.make_room(&reached.collect());
                }
            }
        }
    }

    /// An edge will never have these seqs, which the log let go of: those of which that is somebody's to hear.
    pub(crate) fn lose(&mut self, edge: ClientId, gap: Gap) -> Vec<One> {
        let Some(link) = self.links.get(&edge) else { return Vec::new() };
        self.owed.lose(edge, gap, |route| link.carries(route))
    }

    /// Publications that were forgotten for want of room, of which nobody would hear that an edge never had them.
    pub fn forgotten(&self) -> u64 {
        self.owed.forgotten()
    }

    fn drain(&mut self, edge: ClientId) {
        let Some(link) = self.links.get_mut(&edge) else { return };
        while let Some(output) = link.sender.poll() {
            self.wishes.push_back(Wish { edge, output });
        }
        let due = link.sender.poll_timeout().map(|(at, _)| at);
        let before = std::mem::replace(&mut link.due, due);
        if before != due {
            if let Some(at) = before {
                self.due.remove(&(at, edge));
            }
            self.due.extend(due.map(|at| (at, edge)));
        }
    }
}

impl Downlink {
    fn carries(&self, route: RouteNumber) -> bool {
        self.carried.get(route.0 as usize).copied().unwrap_or_default()
    }

    /// It may read something else: the sender learns of every route whether it is one of those.
    fn look_again(&mut self, bus: &Bus, now: Now) {
        for number in (0..self.routes_told).map(RouteNumber) {
            let Some(route) = bus.route(number) else { continue };
            let linked = self.reads(route);
            if let Some(carried) = self.carried.get_mut(number.0 as usize)
                && std::mem::replace(carried, linked) != linked
            {
                self.sender.handle(Input::Route { number, route: Arc::clone(route), linked }, now);
            }
        }
    }

    fn reads(&self, route: &Route) -> bool {
        let grants = &self.principal.grants;
        self.rooms.contains(&route.room) && grants.allow(Right::Subscribe, route.room, &route.channel)
    }

    /// Tells the sender what the log's numbers mean that were given since the last time, as far as they are its.
    fn tell_numbers(&mut self, bus: &Bus, receivers: &Receivers, now: Now) {
        for number in (self.routes_told..bus.routes_end()).map(RouteNumber) {
            let route = bus.route(number).filter(|route| self.reads(route));
            self.carried.push(route.is_some());
            if let Some(route) = route {
                self.sender.handle(Input::Route { number, route: Arc::clone(route), linked: true }, now);
            }
        }
        if std::mem::replace(&mut self.owned_told, receivers.owned()) != receivers.owned() {
            self.origins_told = 1;
        }
        for number in self.origins_told..bus.origins_end() {
            if let Some((log, epoch)) = bus.origin(number) {
                let carried = receivers.owner(log) != Some(self.principal.client);
                self.sender.handle(Input::Origin { number, log, epoch, carried }, now);
            }
        }
        self.routes_told = bus.routes_end();
        self.origins_told = bus.origins_end();
    }
}

/// The edges to which anything goes down, and which rooms.
fn meant(directory: &Directory) -> impl Iterator<Item = (&Arc<Principal>, BTreeSet<RoomId>)> {
    directory.edges().filter_map(|edge| {
        let principal = edge.principal;
        let goes = |room: &&Room| {
            let own = room.account == principal.account;
            room.down && own && principal.grants.reach(Right::Subscribe, room.id)
        };
        let rooms: BTreeSet<RoomId> = directory.rooms().iter().filter(goes).map(|room| room.id).collect();
        (!rooms.is_empty()).then_some((principal, rooms))
    })
}

/// What a commit holds, once each: routes, and where it came from.
fn touched(chunk: &Chunk) -> BTreeSet<(RouteNumber, Option<u32>)> {
    let (mut touched, mut newest) = (BTreeSet::new(), None);
    for run in &chunk.runs {
        let Run::Entries { entries, .. } = run else { continue };
        for frame in frames(entries).map_while(Result::ok) {
            let this = (frame.route, frame.origin.map(|origin| origin.number));
            if newest.replace(this) != Some(this) {
                touched.insert(this);
            }
        }
    }
    touched
}

/// The log of a hub as its downlinks read it.
pub fn opened(
    log: LogId,
    chain: &[EpochSpan],
    cursors: &[(CursorKey, CursorValue)],
    gaps: Vec<Gap>,
) -> Opened {
    let opening = |span: &EpochSpan| Opening { span: *span, anchor: None };
    // Its stamps are by its wall clock: no boot is asked for.
    Opened {
        log,
        boot: BootId(0),
        chain: chain.iter().map(opening).collect(),
        cursors: cursors.to_vec(),
        gaps,
    }
}

/// What people should know: seqs that an edge will never have.
pub(crate) fn missing(event: &LinkEvent) -> Option<Gap> {
    match event {
        LinkEvent::Gap { gap, .. } => Some(*gap),
        LinkEvent::Up { .. }
        | LinkEvent::Down(_)
        | LinkEvent::Refused(_)
        | LinkEvent::Above(_)
        | LinkEvent::WrongHub { .. }
        | LinkEvent::OtherHub { .. }
        | LinkEvent::Rewound { .. }
        | LinkEvent::Forked { .. }
        | LinkEvent::Awaits { .. }
        | LinkEvent::CaughtUp { .. }
        | LinkEvent::Stopped { .. } => None,
    }
}
