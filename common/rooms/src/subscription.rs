//! One subscription: a cursor over the log, what of it is wanted and allowed, and what comes next for it.
//!
//! Nothing is ever queued for a subscription. It looks for its next publication when it is pulled: in the
//! tail, in the chunk that its connection read from the disk, or not yet.

use crate::{
    chain::Chain,
    conflate::{self, Conflation},
    graph::{Channel, ChannelSlot, Graph, RoomSlot},
    replay::{Held, Item, Seek},
    retained::{self, Retained, RetainedTable},
    routes::Routes,
    share::ShareId,
    steps::Steps,
    tail::{Found, Tail, point_near_end},
    topics,
};
use bytes::Bytes;
use riser_model::{
    Archived, Cause, ChannelName, Filter, Gap, Now, Position, Principal, RoomId, RoomName, Route, Selection,
    Seq, SessionId, Since, SubscriptionId, Wall, door::Showing,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// Up to so many rooms each one's own publications are looked through, and not all of the tail.
const FEW_ROOMS: usize = 4;

/// What a subscription reads from.
pub(crate) struct View<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) tail: &'a Tail,
    pub(crate) chain: &'a Chain,
    pub(crate) routes: &'a Routes,
    pub(crate) copies: &'a conflate::Copies,
    pub(crate) retained: &'a RetainedTable,
    pub(crate) now: Now,
    pub(crate) steps: &'a Steps,
    /// The room whose channels are MQTT's topics as they stand.
    pub(crate) root: Option<&'a RoomName>,
    pub(crate) principal: &'a Principal,
    /// What its connection read from the disk.
    pub(crate) held: Option<&'a Held>,
}

/// What a subscription is doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// It has seen everything and waits in the channel graph.
    Idle,
    /// Its next push can be made from memory.
    Active,
    /// Its next push must be read from the disk.
    Reading,
    /// Its door lets it rest: it stands where it is, and holds nothing.
    Paused,
    /// It looks for the place of its n-th last publication; not answered yet.
    Seeking(Box<Seek>),
}

/// What is read.
#[derive(Debug)]
pub(crate) enum Scope {
    /// One channel, checked when the subscription was made.
    Channel(ChannelSlot),
    /// Channels of rooms, by their slots.
    Rooms {
        rooms: BTreeMap<RoomSlot, RoomScope>,
        /// For later rooms too: this filter.
        every: Option<Filter>,
    },
}

/// Whether a room has no session history, or has that entry in it.
fn is_replayed(graph: &Graph, room: RoomSlot, seq: Seq) -> bool {
    graph.room(room).session.as_ref().is_none_or(|session| session.owner(seq).is_some())
}

impl Scope {
    /// The one room that it reads in.
    pub(crate) fn room(&self, graph: &Graph) -> Option<RoomSlot> {
        match self {
            Self::Channel(slot) => Some(graph.channel(*slot).room),
            Self::Rooms { rooms, every: None } if rooms.len() == 1 => rooms.keys().next().copied(),
            Self::Rooms { .. } => None,
        }
    }

    /// The rooms that it reads in.
    pub(crate) fn rooms(&self, graph: &Graph) -> Vec<RoomSlot> {
        match self {
            Self::Channel(slot) => vec![graph.channel(*slot).room],
            Self::Rooms { rooms, .. } => rooms.keys().copied().collect(),
        }
    }

    /// What is at or below is shown of none of its rooms any more.
    pub(crate) fn floor(&self, graph: &Graph) -> Seq {
        match self {
            Self::Channel(slot) => graph.room(graph.channel(*slot).room).floor,
            Self::Rooms { rooms, .. } => {
                rooms.keys().map(|room| graph.room(*room).floor).min().unwrap_or_default()
            }
        }
    }

    /// Where what is there of all of its rooms begins.
    pub(crate) fn past(&self, graph: &Graph, chain: &Chain) -> Archived {
        let youngest = match self {
            Self::Channel(slot) => Some(graph.past(graph.channel(*slot).room, chain)),
            Self::Rooms { rooms, .. } => {
                rooms.keys().map(|room| graph.past(*room, chain)).max_by_key(|past| past.oldest)
            }
        };
        youngest.unwrap_or_else(|| chain.past(None))
    }

    /// Whether nothing that was published from then on is below a room's floor.
    pub(crate) fn has_all_since(&self, graph: &Graph, wall: Wall) -> bool {
        let has =
            |room: RoomSlot| graph.room(room).depth.as_ref().is_none_or(|depth| depth.has_all_since(wall));
        match self {
            Self::Channel(slot) => has(graph.channel(*slot).room),
            Self::Rooms { rooms, .. } => rooms.keys().all(|room| has(*room)),
        }
    }

    /// Whether all of its rooms still show what follows that seq.
    pub(crate) fn shows_after(&self, graph: &Graph, cursor: Seq) -> bool {
        match self {
            Self::Channel(_) => self.floor(graph) <= cursor,
            Self::Rooms { rooms, .. } => rooms.keys().all(|room| graph.room(*room).floor <= cursor),
        }
    }
}

/// What was found of a channel: it is wanted and allowed, or not.
const YES: u8 = 1;
const NO: u8 = 2;

/// Channels of one room.
#[derive(Debug)]
pub(crate) struct RoomScope {
    pub(crate) filter: Filter,
    /// Nothing at or below is shown: the room keeps no history for those who come later.
    pub(crate) floor: Seq,
    /// The same in turns, for `conflate`.
    pub(crate) floor_turn: u64,
    verdicts: Vec<u8>,
}

impl RoomScope {
    pub(crate) fn new(filter: Filter, floor: Seq, floor_turn: u64) -> Self {
        Self { filter, floor, floor_turn, verdicts: Vec::new() }
    }

    /// Verdicts are looked up again.
    pub(crate) fn recheck(&mut self) {
        self.verdicts.clear();
    }

    /// Whether a channel of this room is wanted and allowed; looked up once per channel.
    pub(crate) fn meets(&mut self, graph: &Graph, principal: &Principal, channel: &Channel) -> bool {
        let Some(place) = channel.place.map(|place| place as usize) else {
            // Only the archive has anything of it.
            return self.allows(graph, principal, channel);
        };
        if self.verdicts.len() <= place {
            self.verdicts.resize(graph.room(channel.room).channels.len().max(place + 1), 0);
        }
        let verdict = &mut self.verdicts[place];
        if *verdict == 0 {
            let wanted = self.filter.matches(&channel.name);
            let may = wanted && topics::readable(graph, principal, channel.room, &channel.name);
            *verdict = if may { YES } else { NO };
        }
        *verdict == YES
    }

    /// The same for who only looks: nothing is noted.
    pub(crate) fn would_meet(&self, graph: &Graph, principal: &Principal, channel: &Channel) -> bool {
        let noted = channel.place.and_then(|place| self.verdicts.get(place as usize));
        match noted {
            Some(&YES) => true,
            Some(&NO) => false,
            _ => self.allows(graph, principal, channel),
        }
    }

    fn allows(&self, graph: &Graph, principal: &Principal, channel: &Channel) -> bool {
        self.filter.matches(&channel.name) && topics::readable(graph, principal, channel.room, &channel.name)
    }
}

/// What comes next. The cursor stands right before it.
pub(crate) enum Next {
    /// What a channel retains. The walk stands right before it.
    Retained { route: Arc<Route>, retained: Retained },
    /// All of that was shown.
    Shown,
    /// An entry.
    Publication { seq: Seq, found: Found },
    /// A channel's newest value: what it is, its turn, and how many were passed over.
    Newest { channel: ChannelSlot, value: Newest, skipped: u64 },
    /// A session ended.
    Wiped(SessionId),
    /// Seqs that are gone.
    Gap(Gap),
    /// One that the session of a member has in flight, and that is not to be had any more.
    Passed(Seq),
    /// Nothing: everything was seen.
    Nothing,
    /// Whatever it is must be read from the disk first, from `wanted` on.
    Blocked,
}

/// A newest value.
pub(crate) enum Newest {
    /// It is in the log.
    Log { position: Position, route: Arc<Route>, body: Bytes, wall: Wall, uncertain: bool },
    /// It came beside a backlog.
    Latest { route: Arc<Route>, body: Bytes },
    /// It was in the log and is gone.
    Gone(Seq),
}

#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) id: SubscriptionId,
    pub(crate) scope: Scope,
    /// With `conflate`: what was shown of each channel.
    pub(crate) conflation: Option<Conflation>,
    /// Everything up to here was looked at.
    pub(crate) cursor: Seq,
    /// What was told last: the next push's `prev`.
    pub(crate) at: Position,
    pub(crate) state: State,
    /// Where the disk has to be read for it.
    pub(crate) wanted: Seq,
    /// It begins at a time.
    pub(crate) since: Option<Since>,
    /// In rooms with session history, up to here only what is in that is shown.
    pub(crate) joined: Seq,
    /// Of several rooms with session history nothing is missing before this.
    pub(crate) whole_to: Seq,
    /// Sessions that ended of which it was shown something.
    pub(crate) wiped: VecDeque<SessionId>,
    /// It is being shown what its channels retain.
    pub(crate) walk: Option<Walk>,
    /// The group whose cursor is its own.
    pub(crate) share: Option<ShareId>,
    /// Single entries that it is to be shown first, and whether they are in this line of the log.
    pub(crate) own: BTreeMap<Seq, bool>,
}

/// How far a subscription was shown what its channels retain: room by room, in the order of their ids, and of the
/// channels' names. That order outlives the process.
#[derive(Debug)]
pub(crate) struct Walk {
    /// What was published after this comes by itself.
    until: Seq,
    /// None before the first one.
    room: Option<RoomId>,
    after: Option<ChannelName>,
    /// Its end is told.
    kept: bool,
}

impl Walk {
    pub(crate) fn begin(showing: Showing, until: Seq, kept: bool) -> Option<Self> {
        let (room, after) = match showing {
            Showing::Nothing => return None,
            Showing::All => (None, None),
            Showing::After(room, channel) => (Some(room), Some(channel)),
        };
        Some(Self { until, room, after, kept })
    }

    /// That one was shown.
    pub(crate) fn passes(&mut self, route: &Route) {
        (self.room, self.after) = (Some(route.room), Some(route.channel.clone()));
    }
}

impl Subscription {
    /// Whether it is shown one entry after the other, from its cursor on.
    pub(crate) fn goes_in_order(&self) -> bool {
        self.conflation.is_none() && self.share.is_none() && self.own.is_empty()
    }

    /// Whether an entry of that channel is wanted and allowed.
    pub(crate) fn meets(
        &mut self,
        graph: &Graph,
        principal: &Principal,
        slot: ChannelSlot,
        seq: Seq,
    ) -> bool {
        if seq <= self.joined && !is_replayed(graph, graph.channel(slot).room, seq) {
            return false;
        }
        match &mut self.scope {
            Scope::Channel(channel) => *channel == slot,
            Scope::Rooms { rooms, .. } => {
                let channel = graph.channel(slot);
                let Some(scope) = rooms.get_mut(&channel.room) else { return false };
                seq > scope.floor && scope.meets(graph, principal, channel)
            }
        }
    }

    /// Whether a channel is wanted and allowed, whatever it shows.
    pub(crate) fn meets_channel(&mut self, graph: &Graph, principal: &Principal, slot: ChannelSlot) -> bool {
        self.meets(graph, principal, slot, Seq(u64::MAX))
    }

    /// Whether an entry is one of those that it begins with.
    fn is_late_enough(&self, seq: Seq, wall: Wall) -> bool {
        self.since.is_none_or(|since| since.meets(seq, wall))
    }

    /// The oldest seq that it may still read. Who shares a place in the log, or reads single entries, reads the log.
    pub(crate) fn oldest(&self, graph: &Graph, chain: &Chain) -> Seq {
        let archives = self.share.is_none() && self.own.is_empty();
        if archives { self.scope.past(graph, chain).oldest } else { chain.oldest }
    }

    /// What of the log may concern it, by room.
    pub(crate) fn interest(&self, graph: &Graph) -> Vec<(RoomId, Selection)> {
        let selection = |channels: Filter| Selection { channels, since: self.since };
        match &self.scope {
            Scope::Channel(slot) => {
                let channel = graph.channel(*slot);
                vec![(graph.room(channel.room).id, selection(channel.name.clone().into()))]
            }
            Scope::Rooms { rooms, .. } => {
                let of = |(room, scope): (&RoomSlot, &RoomScope)| {
                    (graph.room(*room).id, selection(scope.filter.clone()))
                };
                rooms.iter().map(of).collect()
            }
        }
    }

    /// Looks for what comes next, and moves the cursor right before it.
    pub(crate) fn look(&mut self, view: &View<'_>) -> Next {
        if let Some(session) = self.wiped.front() {
            return Next::Wiped(*session);
        }
        if self.conflation.is_some() {
            return conflate::look(self, view);
        }
        if let Some(found) = self.look_own(view) {
            return found;
        }
        if let Some(found) = self.look_retained(view) {
            return found;
        }
        self.look_log(view)
    }

    /// The same of the log alone.
    pub(crate) fn look_log(&mut self, view: &View<'_>) -> Next {
        let before = self.cursor;
        let found = self.look_through(view);
        match self.missing_before(&found, before, view) {
            Some(gap) => {
                self.cursor = before;
                Next::Gap(gap)
            }
            None => found,
        }
    }

    /// What found no place in a session history and comes before what was found after `before`, where several rooms are
    /// read: who reads one goes from place to place, and meets it there.
    fn missing_before(&mut self, found: &Next, before: Seq, view: &View<'_>) -> Option<Gap> {
        let Scope::Rooms { rooms, .. } = &self.scope else { return None };
        if before >= self.joined || self.scope.room(view.graph).is_some() {
            return None;
        }
        let reached = match found {
            Next::Publication { seq, .. } => *seq,
            Next::Gap(gap) => gap.from,
            Next::Blocked => self.wanted,
            _ => Seq(u64::MAX),
        };
        if reached <= self.whole_to {
            return None;
        }
        // What a room does not keep is not missed.
        let missing_of = |(slot, scope): (&RoomSlot, &RoomScope)| {
            let room = view.graph.room(*slot);
            room.session.as_ref()?.missing_from(before.max(room.floor).max(scope.floor).next())
        };
        let missing = rooms.iter().filter_map(missing_of).min();
        // What is missing later on comes after everything that is committed.
        self.whole_to = missing.map_or(self.joined.next(), |(from, _)| from);
        let (from, to) = missing.filter(|(from, _)| *from < reached && *from <= self.joined)?;
        let to = to.min(self.joined).min(reached.prev());
        Some(Gap { from, to, cause: Cause::HubQuota })
    }

    fn look_through(&mut self, view: &View<'_>) -> Next {
        loop {
            if self.cursor >= view.chain.committed {
                return Next::Nothing;
            }
            let floor = self.scope.floor(view.graph).min(view.chain.committed);
            if self.cursor < floor {
                return Next::Gap(Gap { from: self.cursor.next(), to: floor, cause: Cause::Retention });
            }
            if let Some(room) = self.scope.room(view.graph).filter(|_| self.cursor < self.joined) {
                let missing =
                    view.graph.room(room).session.as_ref().and_then(|one| one.missing_after(self.cursor));
                if let Some((from, to)) = missing.filter(|(from, _)| *from <= self.joined) {
                    let to = to.min(self.joined);
                    return Next::Gap(Gap { from, to, cause: Cause::HubQuota });
                }
                let after = view.graph.room(room).session.as_ref().and_then(|one| one.after(self.cursor));
                self.cursor = after.unwrap_or(self.joined.next()).min(self.joined.next()).prev();
                if self.cursor == self.joined {
                    continue;
                }
            }
            let next = self.cursor.next();
            if next >= view.tail.first() {
                return self.look_in_tail(view);
            }
            if let Some(held) = view.held.filter(|held| held.covers(next, self.id)) {
                match self.look_in_held(view, held) {
                    Some(found) => return found,
                    None => continue,
                }
            }
            if next < view.chain.oldest {
                let oldest = self.oldest(view.graph, view.chain);
                if let Some(gap) = view.chain.missing_after(self.cursor, oldest).into_iter().next() {
                    return Next::Gap(gap);
                }
            }
            self.wanted = next;
            return Next::Blocked;
        }
    }

    /// The next thing that a wanted channel retains, and then perhaps that all were shown.
    fn look_retained(&mut self, view: &View<'_>) -> Option<Next> {
        let walk = self.walk.as_mut()?;
        let found = match &self.scope {
            Scope::Channel(slot) => {
                let channel = view.graph.channel(*slot);
                let found = view.retained.get(view.graph.room(channel.room).id, &channel.name);
                found.filter(|(_, retained)| walk.after.is_none() && is_due(walk, retained, view))
            }
            Scope::Rooms { rooms, .. } => next_retained(walk, rooms, view),
        };
        if let Some((route, retained)) = found {
            return Some(Next::Retained { route: Arc::clone(route), retained: retained.clone() });
        }
        let kept = walk.kept;
        if !kept {
            self.walk = None;
        }
        kept.then_some(Next::Shown)
    }

    fn look_in_tail(&mut self, view: &View<'_>) -> Next {
        loop {
            let Some(seq) = self.next_in_tail(view) else {
                self.cursor = view.chain.committed;
                return Next::Nothing;
            };
            let found = view.tail.get(seq).expect("the index names only entries of the tail");
            if self.is_late_enough(seq, found.wall) && is_told(view, &found) {
                self.cursor = seq.prev();
                return shown(view, seq, found);
            }
            self.cursor = seq;
        }
    }

    fn next_in_tail(&mut self, view: &View<'_>) -> Option<Seq> {
        let (graph, cursor) = (view.graph, self.cursor);
        match &self.scope {
            Scope::Channel(slot) => {
                let channel = graph.channel(*slot);
                let from = point_near_end(&channel.index, |at| *at <= cursor);
                let (room, joined) = (channel.room, self.joined);
                let mut rest = channel.index.range(from..);
                rest.find(|seq| **seq > joined || is_replayed(graph, room, **seq)).copied()
            }
            Scope::Rooms { rooms, every: None } if rooms.len() <= FEW_ROOMS => {
                let rooms: Vec<RoomSlot> = rooms.keys().copied().collect();
                let firsts = rooms.into_iter().filter_map(|room| {
                    let index = &graph.room(room).index;
                    let from = point_near_end(index, |(at, _)| *at <= cursor);
                    let mut rest = index.range(from..);
                    let met =
                        |(seq, slot): &&(Seq, ChannelSlot)| self.meets(graph, view.principal, *slot, *seq);
                    rest.find(met).map(|(seq, _)| *seq)
                });
                firsts.min()
            }
            Scope::Rooms { .. } => {
                let mut rest = view.tail.publications(cursor.next());
                rest.find(|(seq, slot)| self.meets(graph, view.principal, *slot, *seq)).map(|(seq, _)| seq)
            }
        }
    }

    /// None when the cursor went to the end of what is held.
    fn look_in_held(&mut self, view: &View<'_>, held: &Held) -> Option<Next> {
        let end = held.next().min(view.chain.committed.next());
        while let Some(item) = held.after(self.cursor).filter(|item| item.first() < end) {
            match item {
                Item::Gap(gap) => return Some(Next::Gap(Gap { to: gap.to.min(end.prev()), ..gap })),
                Item::Entry(seq, channel) => {
                    if channel != ChannelSlot::NONE && self.meets(view.graph, view.principal, channel, seq) {
                        let found = held.get(seq).expect("a chunk is walked when it arrives");
                        if self.is_late_enough(seq, found.wall) && is_told(view, &found) {
                            return Some(shown(view, seq, found));
                        }
                    }
                    self.cursor = seq;
                }
                Item::Skip(_, to) => self.cursor = to.min(end.prev()),
            }
        }
        self.cursor = end.prev();
        None
    }
}

/// Whether an entry is for the reader, as its channel is.
pub(crate) fn is_told(view: &View<'_>, found: &Found) -> bool {
    let channel = view.routes.known(found.route).map(|known| known.channel);
    channel.is_none_or(|channel| topics::is_told(view.graph, view.principal, channel, &found.body))
}

/// An entry, or that its room keeps it no more.
fn shown(view: &View<'_>, seq: Seq, found: Found) -> Next {
    let channel = view.routes.known(found.route).map(|known| view.graph.channel(known.channel));
    match channel {
        Some(channel) if seq <= view.graph.room(channel.room).floor => {
            Next::Gap(Gap { from: seq, to: seq, cause: Cause::Retention })
        }
        Some(_) | None => Next::Publication { seq, found },
    }
}

/// The next one of what the channels of rooms retain, and right before it.
fn next_retained<'a>(
    walk: &mut Walk,
    rooms: &BTreeMap<RoomSlot, RoomScope>,
    view: &View<'a>,
) -> Option<(&'a Arc<Route>, &'a Retained)> {
    loop {
        let room = walk.room.and_then(|id| Some((id, view.graph.room_of(id)?)));
        let scope = room.and_then(|(id, slot)| Some((id, slot, rooms.get(&slot)?)));
        let next = scope.and_then(|(id, ..)| view.retained.next_in(id, walk.after.as_ref()));
        let (Some((_, slot, scope)), Some((route, retained))) = (scope, next) else {
            (walk.room, walk.after) = (Some(view.retained.room_after(walk.room)?), None);
            continue;
        };
        let wanted = scope.filter.matches(&route.channel)
            && topics::readable(view.graph, view.principal, slot, &route.channel)
            && is_due(walk, retained, view);
        if wanted {
            return Some((route, retained));
        }
        walk.after = Some(route.channel.clone());
    }
}

/// Whether it does not come by itself, and is of use.
fn is_due(walk: &Walk, retained: &Retained, view: &View<'_>) -> bool {
    let position = retained.position;
    let comes = position.log == view.chain.log && position.seq > walk.until;
    let is_over = |at| view.steps.is_over(position.seq, at, view.now);
    !comes && !retained::expires(retained).is_some_and(is_over)
}
