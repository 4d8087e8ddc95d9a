//! Where an entry from an edge goes: its room, or its account's quarantine.
//!
//! Rights are looked up once per (link, route). Kinds that mean something to the log that holds them (sessions,
//! releases, anchors) are never taken from another log.

use bytes::{Bytes, BytesMut};
use riser_gate::{Directory, QUARANTINE};
use riser_model::{
    AccountId, ChannelName, ClientId, Epoch, LogId, Principal, Right, Room, RoomId, RoomName, Route,
    RouteNumber, Run, Schema, Seq,
    event::{self, Scope},
};
use riser_wire::{
    cloud_event,
    entry::{Body, Frame, Kind, Publication, frames, set_route},
    link::{Definitions, Item},
    membership::Membership,
    roll::Roll,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The quarantine's name as one.
pub fn quarantine_name() -> RoomName {
    QUARANTINE.parse().expect("lower-case letters are a name")
}

/// The room that an account's unplaceable entries go to.
pub fn quarantine(account: AccountId) -> RoomId {
    RoomId::of(account, QUARANTINE)
}

/// Where an edge's entries go for whose channels the hub's log has no number left.
pub fn overflow(account: AccountId, edge: ClientId) -> Route {
    let channel = "too-many/channels".parse().expect("lower-case letters and a slash are a channel");
    Route { room: quarantine(account), channel, client: edge }
}

/// Why an entry could not be placed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// No such room in the edge's account, or no right to publish there: they look the same.
    Denied,
    /// A kind that belongs to the log that made it.
    Kind,
    /// The frame has a route that was never defined.
    NoRoute,
    /// The edge brought it from a log whose edge is another account's.
    Foreign,
    /// Its payload is not what the room's schema says.
    Schema,
}

impl Reason {
    /// Its code in events and channels.
    pub fn code(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Kind => "kind",
            Self::NoRoute => "no-route",
            Self::Schema => "schema",
            Self::Foreign => "foreign",
        }
    }

    /// In words, and what would be right.
    pub fn words(self) -> &'static str {
        match self {
            Self::Denied => {
                "no such room, or the edge may not publish there: grant it, or correct the binding"
            }
            Self::Kind => "an entry of a kind that is not carried by links: upgrade the edge",
            Self::NoRoute => "an entry without a room and channel: upgrade the edge",
            Self::Schema => "its payload breaks the room's schema: correct the device, or the schema",
            Self::Foreign => {
                "it comes from an edge of another account: declare that edge in this account, or link it elsewhere"
            }
        }
    }
}

/// What an edge may do with a route.
#[derive(Clone, Debug, Default)]
struct Allowed {
    /// Publish in its channel.
    publish: bool,
    /// Publish in some channel of its room: then it may say who is there.
    room: bool,
    /// It is where an edge says what became of publications: that, of these, and nothing else, may it say there.
    outcomes: Option<Outcomes>,
    /// It may not say who is there: the room is another account's, or one of its own where it may not publish. One that its
    /// account does not have yet is nobody's.
    barred: bool,
    /// What is published there has to be this.
    schema: Option<Schema>,
}

/// Of which publications an edge may say what became of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcomes {
    /// What went down to it, and what was published there.
    All,
    /// What was published there: it was addressed to one client.
    Own,
}

/// One link's numbers and what its edge may do with them.
#[derive(Debug, Default)]
pub struct Table {
    routes: BTreeMap<RouteNumber, (Arc<Route>, Allowed)>,
    origins: BTreeMap<u32, (LogId, Epoch)>,
}

/// Items as the rooms take them.
#[derive(Debug, Default)]
pub struct Placed {
    /// Entries and gaps; skips are left out.
    pub runs: Vec<Run>,
    /// What the route numbers in `runs` mean.
    pub routes: Vec<Route>,
    /// What the origin numbers in `runs` mean.
    pub origins: Vec<(u32, (LogId, Epoch))>,
    /// Entries that are placed elsewhere.
    pub elsewhere: Vec<(Seq, Route)>,
    /// Why those are.
    pub quarantined: Vec<(Seq, Reason)>,
    /// Whether any of it says who came or went.
    pub says_who: bool,
}

/// By whom items come, and what of.
pub struct Place<'a> {
    /// Where entries without an origin come from.
    pub from: (LogId, Epoch),
    /// Whose the edge is.
    pub account: AccountId,
    /// The edge whose link it is.
    pub edge: ClientId,
    /// Whether that edge may say who is behind a log that is not its own.
    pub may_call: &'a dyn Fn(LogId) -> bool,
}

impl Table {
    /// Learns what a frame defines.
    pub fn define(&mut self, definitions: Definitions, edge: ClientId, directory: &Directory) {
        if definitions.forget {
            *self = Self::default();
        }
        for (number, route) in definitions.routes {
            let allowed = allowed(&route, edge, directory);
            self.routes.insert(number, (Arc::new(route), allowed));
        }
        self.origins.extend(definitions.origins);
    }

    /// Accounts changed: what the edge may do is looked up again.
    pub(crate) fn changed(&mut self, edge: ClientId, directory: &Directory) {
        for (route, may) in self.routes.values_mut() {
            *may = allowed(route, edge, directory);
        }
    }

    /// Where a frame belongs, if its edge may put it there.
    pub fn route(&self, frame: &Frame<'_>) -> Result<&Arc<Route>, Reason> {
        let (route, allowed) = self.routes.get(&frame.route).ok_or(Reason::NoRoute)?;
        let allowed = match Body::read(frame.body).map(|body| body.kind) {
            Ok(Kind::Publication) => (allowed.publish, true),
            Ok(Kind::Quarantined | Kind::Other(_)) => (allowed.publish, false),
            Ok(Kind::Opened | Kind::Closed | Kind::Roll) => (allowed.room, false),
            Ok(
                Kind::Canary
                | Kind::Anchor
                | Kind::Release
                | Kind::Session
                | Kind::Settled
                | Kind::Passed
                | Kind::Departed,
            )
            | Err(_) => {
                return Err(Reason::Kind);
            }
        };
        if !allowed.0 {
            return Err(Reason::Denied);
        }
        if allowed.1 { self.fits(frame) } else { Ok(()) }.map(|()| route)
    }

    /// Whether a publication is what the schema of its room says.
    fn fits(&self, frame: &Frame<'_>) -> Result<(), Reason> {
        let schema = self.routes.get(&frame.route).and_then(|(_, allowed)| allowed.schema.as_ref());
        let Some(schema) = schema else { return Ok(()) };
        let body = Body::read(frame.body).map_err(|_| Reason::Kind)?;
        let Ok(publication) = Publication::read(&body) else { return Ok(()) };
        // Nothing, retained, takes away what is: it is no value.
        let clears = publication.payload.is_empty() && Publication::is_retained(frame.body);
        if clears { Ok(()) } else { schema.check(publication.payload).map_err(|_| Reason::Schema) }
    }

    /// Whether it says what became of something: that is an entry, and nobody's present.
    pub fn takes_outcomes(&self, frame: &Frame<'_>) -> bool {
        self.outcomes(frame).is_some()
    }

    fn outcomes(&self, frame: &Frame<'_>) -> Option<Outcomes> {
        self.routes.get(&frame.route).and_then(|(_, allowed)| allowed.outcomes)
    }

    /// What a number of a log below means on this link.
    pub fn origin(&self, number: u32) -> Option<(LogId, Epoch)> {
        self.origins.get(&number).copied()
    }

    /// Whether the link said that it brings entries of a log below.
    pub(crate) fn brings(&self, log: LogId) -> bool {
        self.origins.values().any(|(of, _)| *of == log)
    }

    /// Places the items of one epoch of a log; of these, `foreign` are entries of another account's log.
    pub fn place(&self, (items, foreign): (Vec<Item>, &BTreeSet<Seq>), place: Place<'_>) -> Placed {
        let epoch = place.from.1;
        let (numbers, placed) = (BTreeMap::new(), Placed::default());
        let mut placing = Placing { table: self, place, foreign, numbers, placed };
        placing.placed.origins = self.origins.iter().map(|(number, origin)| (*number, *origin)).collect();
        for item in items {
            match item {
                Item::Entries { first, count, frames } => {
                    let entries = placing.entries(first, &frames);
                    placing.placed.runs.push(Run::Entries { first, count, epoch, entries });
                }
                Item::Gap(gap) => placing.placed.runs.push(Run::Gap(gap)),
                Item::Skip { .. } => {}
            }
        }
        placing.placed
    }
}

fn allowed(route: &Route, edge: ClientId, directory: &Directory) -> Allowed {
    let Some(principal) = directory.principal(edge) else {
        return Allowed { barred: true, ..Allowed::default() };
    };
    let outcomes = hears_of(directory, principal, route);
    if outcomes.is_some() {
        return Allowed { publish: true, outcomes, barred: true, ..Allowed::default() };
    }
    // What its own listeners could not place is in quarantine there, and so is who reads that.
    if route.room == quarantine(principal.account) {
        return Allowed { publish: true, room: true, ..Allowed::default() };
    }
    match directory.room(principal.account, route.room) {
        None => Allowed { barred: is_known(directory, route.room), ..Allowed::default() },
        Some(room) => Allowed {
            publish: principal.grants.allow(Right::Publish, route.room, &route.channel),
            room: principal.grants.reach(Right::Publish, route.room),
            outcomes: None,
            barred: !principal.grants.reach(Right::Publish, route.room),
            schema: room.schema.clone(),
        },
    }
}

/// Whether any account has that room.
fn is_known(directory: &Directory, room: RoomId) -> bool {
    let is_quarantine = |(_, account): (_, AccountId)| quarantine(account) == room;
    directory.rooms().iter().any(|one| one.id == room) || directory.accounts().any(is_quarantine)
}

/// Of which publications an edge may say what became of them there, if a route is that of outcomes: in a room that goes down
/// to it, and in one where it may publish.
fn hears_of(directory: &Directory, edge: &Principal, route: &Route) -> Option<Outcomes> {
    if !event::is_outcome(&route.channel) || route.client != ClientId::SYSTEM {
        return None;
    }
    let is_it = |room: &&Room| room.account == edge.account && Scope::Room(room.id).room() == route.room;
    let room = directory.rooms().iter().find(is_it)?;
    let goes_down = room.down && edge.grants.reach(Right::Subscribe, room.id);
    let comes_up = edge.grants.reach(Right::Publish, room.id);
    goes_down.then_some(Outcomes::All).or(comes_up.then_some(Outcomes::Own))
}

/// Whether it stands for seqs that are no entries: it belongs to no room.
fn is_passed(frame: &Frame<'_>) -> bool {
    Body::read(frame.body).is_ok_and(|body| body.kind == Kind::Passed)
}

/// Why nobody is believed to come or go by an entry, for people. Of all that are there only the newest matters: one that is
/// late is no news.
fn said_why(frame: &Frame<'_>, route: Result<&Arc<Route>, Reason>) -> Option<Reason> {
    let is_roll = Body::read(frame.body).is_ok_and(|body| body.kind == Kind::Roll);
    (!is_roll).then(|| route.err().unwrap_or(Reason::Kind))
}

struct Placing<'a> {
    table: &'a Table,
    place: Place<'a>,
    foreign: &'a BTreeSet<Seq>,
    /// The link's numbers as indices into `placed.routes`.
    numbers: BTreeMap<RouteNumber, RouteNumber>,
    placed: Placed,
}

impl Placing<'_> {
    /// The frames with numbers that index `placed.routes`.
    fn entries(&mut self, first: Seq, bytes: &Bytes) -> Bytes {
        let mut out = BytesMut::from(&bytes[..]);
        let (mut all, mut seq) = (frames(bytes), first);
        loop {
            let at = all.at();
            let Some(Ok(frame)) = all.next() else { break };
            if is_passed(&frame) {
                set_route(&mut out, at, RouteNumber::NONE);
                seq = seq.next();
                continue;
            }
            let foreign = self.foreign.contains(&seq).then_some(Err(Reason::Foreign));
            let route = foreign.unwrap_or_else(|| self.table.route(&frame));
            if Body::read(frame.body).is_ok_and(|body| body.kind.says_who()) {
                self.placed.says_who = true;
                if !self.is_believed(&frame) {
                    // It lies in no room, so that nobody comes or goes by it.
                    set_route(&mut out, at, RouteNumber::NONE);
                    self.placed.quarantined.extend(said_why(&frame, route).map(|why| (seq, why)));
                    seq = seq.next();
                    continue;
                }
            }
            let route = route.and_then(|route| self.honest(&frame, route));
            let number = match route {
                Ok(route) => self.number(frame.route, route),
                Err(reason) => {
                    let route = self.in_quarantine(&frame, reason);
                    self.placed.elsewhere.push((seq, route));
                    self.placed.quarantined.push((seq, reason));
                    RouteNumber(0)
                }
            };
            set_route(&mut out, at, number);
            seq = seq.next();
        }
        out.freeze()
    }

    /// Whether somebody may say who is in a room: in that room, if the edge is not barred from it; of the log that it comes
    /// from, or, all that are there, of one below it.
    fn is_believed(&self, frame: &Frame<'_>) -> bool {
        let Some((route, allowed)) = self.table.routes.get(&frame.route) else { return false };
        let Ok(body) = Body::read(frame.body) else { return false };
        let (room, is_its) = match body.kind {
            Kind::Roll => match Roll::read(&body) {
                Ok(roll) => (roll.room, (self.place.may_call)(roll.log)),
                Err(_) => return false,
            },
            _ => match Membership::read(&body) {
                Ok(said) => (said.room, Some((said.log, said.epoch)) == self.origin(frame)),
                Err(_) => return false,
            },
        };
        is_its && room == route.room && !allowed.barred
    }

    fn origin(&self, frame: &Frame<'_>) -> Option<(LogId, Epoch)> {
        match frame.origin {
            Some(origin) => self.table.origins.get(&origin.number).copied(),
            None => Some(self.place.from),
        }
    }

    /// Who says what became of a publication speaks for the log that it comes from; and of that log, where nothing went down.
    fn honest<'r>(&self, frame: &Frame<'_>, route: &'r Arc<Route>) -> Result<&'r Arc<Route>, Reason> {
        let Ok(body) = Body::read(frame.body) else { return Err(Reason::Kind) };
        let from = self.origin(frame);
        if let Some(outcomes) = self.table.outcomes(frame) {
            let publication = Publication::read(&body).ok().filter(|_| body.kind == Kind::Publication);
            let said = publication.and_then(|publication| cloud_event::outcome(publication.payload));
            let is_one = said.is_some_and(|said| {
                let is_own = outcomes == Outcomes::All || said.entry.log == said.log;
                said.kind == route.channel.as_str() && is_own && Some(said.log) == from.map(|(log, _)| log)
            });
            return if is_one { Ok(route) } else { Err(Reason::Kind) };
        }
        Ok(route)
    }

    fn number(&mut self, number: RouteNumber, route: &Arc<Route>) -> RouteNumber {
        let (numbers, routes) = (&mut self.numbers, &mut self.placed.routes);
        *numbers.entry(number).or_insert_with(|| {
            routes.push(Route::clone(route));
            // A batch has at most a few thousand entries, and so routes.
            RouteNumber(routes.len() as u32 - 1)
        })
    }

    /// The quarantine's channel says why and where it was meant to go: `{code}/{room id}/{channel}`, or as much of
    /// that as a channel holds.
    fn in_quarantine(&self, frame: &Frame<'_>, reason: Reason) -> Route {
        let meant = self.table.routes.get(&frame.route).map(|(route, _)| route);
        let full = meant.and_then(|r| format!("{}/{}/{}", reason.code(), r.room, r.channel).parse().ok());
        let short = || meant.and_then(|r| format!("{}/{}", reason.code(), r.room).parse().ok());
        let channel: Option<ChannelName> = full.or_else(short);
        let channel = channel.unwrap_or_else(|| reason.code().parse().expect("a code is a channel"));
        let client = meant.map_or(self.place.edge, |route| route.client);
        Route { room: quarantine(self.place.account), channel, client }
    }
}
