//! The channel graph: rooms, their channels, who waits for them, and where their publications lie in the tail.
//!
//! A subscription that has seen everything waits in the sets of its channel or rooms and costs nothing until
//! one of them moves. Every update of a channel gives it the next *turn*, so that "what changed since" is a
//! walk over changed channels, never over messages.

use crate::{
    chain::Chain,
    depth::Depth,
    quota::{Taken, is_of_members},
    rates::Rates,
    session::SessionHistory,
    statistics::Traffic,
};
use bytes::Bytes;
use riser_model::{
    AccountId, Archived, ChannelName, ConnectionId, Epoch, History, LogId, Mark, Now, Retention,
    Room as Declared, RoomId, RoomName, Route, RouteNumber, Seq, SessionId, SubscriptionId, Time,
    event::{Scope, Told},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound,
    sync::Arc,
};

/// A room's place in the graph. Never given again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct RoomSlot(pub(crate) u32);

/// A channel's place in the graph. Given again when a channel without publications loses its last reader.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ChannelSlot(pub(crate) u32);

impl ChannelSlot {
    /// Of entries that are no publications.
    pub(crate) const NONE: Self = Self(u32::MAX);
}

/// One subscription of one connection.
pub(crate) type Key = (ConnectionId, SubscriptionId);

#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) id: RoomId,
    /// What its owner declared; none while it is not configured.
    pub(crate) declared: Option<Declared>,
    /// Whose technical channel it is, if it is one.
    pub(crate) speaks: Option<Scope>,
    /// Its channels that have routes, in the order in which they got them. Only grows.
    pub(crate) channels: Vec<ChannelSlot>,
    /// How many of them others than the system have routes in.
    pub(crate) published: u32,
    /// How many of them are clients' addresses.
    pub(crate) addresses: u32,
    /// Its publications in the tail.
    pub(crate) index: VecDeque<(Seq, ChannelSlot)>,
    /// Its channels by the turn of their newest value.
    pub(crate) recent: BTreeMap<u64, ChannelSlot>,
    pub(crate) waiters: BTreeSet<Key>,
    pub(crate) members: u32,
    pub(crate) subscribers: u32,
    pub(crate) traffic: Traffic,
    /// What of it went through channels that are nobody's address: who may read the whole room need not read those.
    pub(crate) open: Traffic,
    /// How far back it goes, where its retention says so.
    pub(crate) depth: Option<Depth>,
    /// Nothing at or below is shown.
    pub(crate) floor: Seq,
    /// From where on the archive has all of it that the log has not.
    pub(crate) archived: Option<Archived>,
    /// Where the log began when it was archived anew: nothing of what was archived before is shown.
    pub(crate) archived_since: Option<Archived>,
    /// What is replayed to those who join, where the room offers that.
    pub(crate) session: Option<SessionHistory>,
    pub(crate) rates: Rates,
    pub(crate) open_rates: Rates,
    /// Its channels that have rates of their own.
    pub(crate) tracked: VecDeque<ChannelSlot>,
    /// Where its traffic stood when that was last told.
    pub(crate) told: Told,
    /// Publications that were addressed to a client that was not there, and are not kept for it.
    pub(crate) void: u64,
    /// What it has taken of its quota.
    pub(crate) taken: Taken,
}

/// What a channel shows to those who want its newest value only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    /// This entry.
    Log(Seq),
    /// The present beside the backlog of that log.
    Latest(LogId),
}

/// A value that came beside a backlog.
#[derive(Clone, Debug)]
pub(crate) struct Present {
    pub(crate) epoch: Epoch,
    pub(crate) seq: Seq,
    pub(crate) route: Arc<Route>,
    pub(crate) body: Bytes,
}

#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) room: RoomSlot,
    pub(crate) name: ChannelName,
    /// Whether it is a client's address.
    pub(crate) addressed: bool,
    /// Its place among its room's channels, once it has a route.
    pub(crate) place: Option<u32>,
    /// Whether another than the system has a route in it.
    pub(crate) published: bool,
    /// Its publications in the tail.
    pub(crate) index: VecDeque<Seq>,
    pub(crate) waiters: BTreeSet<Key>,
    /// Until then what is published in it is for many.
    pub(crate) wide_until: Time,
    pub(crate) subscribers: u32,
    pub(crate) value: Option<Value>,
    pub(crate) turn: u64,
    /// The last batch that changed it, and its place among the channels that this one changed.
    pub(crate) touched: (Seq, usize),
    /// Publications since the process started.
    pub(crate) total: u64,
    /// The origin of its newest entry: (number, seq there).
    pub(crate) origin: Option<(u32, Seq)>,
    pub(crate) presents: BTreeMap<LogId, Present>,
    /// How many routes name it under which archived entries are held.
    pub(crate) lent: u32,
    pub(crate) traffic: Traffic,
    /// None past the bound of channels of a room that have rates, and of one that was quiet while another wanted its place.
    pub(crate) rates: Option<Box<Rates>>,
}

impl Channel {
    /// How many of its publications in the tail come after `seq`.
    pub(crate) fn count_after(&self, seq: Seq) -> u64 {
        (self.index.len() - self.index.partition_point(|&at| at <= seq)) as u64
    }
}

/// No channel's name comes before it: none has control characters.
const FIRST: &str = " ";

/// The turn before the first update: those below are for what was there at the start.
pub(crate) const TURN: u64 = 1 << 32;

#[derive(Debug)]
pub(crate) struct Graph {
    rooms: Vec<Room>,
    by_id: BTreeMap<RoomId, RoomSlot>,
    by_name: BTreeMap<(AccountId, RoomName), RoomSlot>,
    channels: Vec<Channel>,
    by_channel: BTreeMap<(RoomSlot, ChannelName), ChannelSlot>,
    free: Vec<ChannelSlot>,
    /// Rises with every update of a channel.
    pub(crate) turn: u64,
    /// How much of a technical channel's past is kept.
    pub(crate) events: Retention,
    /// Subscriptions that read what rooms say of themselves.
    pub(crate) listeners: u32,
    /// Something may have changed of what they say of their traffic.
    pub(crate) moved: bool,
    /// What an account's technical channel is called, and the instance's.
    account_name: RoomName,
    hub_name: RoomName,
}

impl Default for Graph {
    fn default() -> Self {
        Self {
            rooms: Vec::new(),
            by_id: BTreeMap::new(),
            by_name: BTreeMap::new(),
            channels: Vec::new(),
            by_channel: BTreeMap::new(),
            free: Vec::new(),
            turn: TURN,
            events: Retention::default(),
            listeners: 0,
            moved: false,
            account_name: "account".parse().expect("letters are a name"),
            hub_name: "hub".parse().expect("letters are a name"),
        }
    }
}

impl Graph {
    /// The past of rooms whose retention names how much of it is kept, as the log had it when it was opened.
    pub(crate) fn remember(&mut self, pasts: Vec<(RoomId, Vec<Mark>)>, oldest: Seq) {
        for (room, past) in pasts {
            let slot = self.add_room(room);
            // What was before that may be in an archive that is not open yet.
            self.room_mut(slot).depth = Some(Depth::from(oldest, past));
        }
    }

    /// Rooms whose retention names how much is kept let go of what it does not.
    pub(crate) fn advance_floors(&mut self, now: Now) {
        for room in &mut self.rooms {
            let declared = room.declared.as_ref().map(|declared| &declared.retention);
            let retention = if room.speaks.is_some() { Some(&self.events) } else { declared };
            if let (Some(depth), Some(retention)) = (&mut room.depth, retention) {
                room.floor = depth.advance(retention, now);
            }
        }
    }

    /// Where what is there of a room's past begins: in the archive, if it is archived, else in the log.
    pub(crate) fn past(&self, room: RoomSlot, chain: &Chain) -> Archived {
        let room = self.room(room);
        let archived = room.archived.filter(|_| room.declared.as_ref().is_some_and(Declared::is_archived));
        let since = archived.and(room.archived_since);
        chain.past(archived.into_iter().chain(since).max_by_key(|past| past.oldest))
    }

    /// The archive has other things than before.
    pub(crate) fn set_archived(&mut self, rooms: &BTreeMap<RoomId, Archived>) {
        for room in &mut self.rooms {
            room.archived = rooms.get(&room.id).copied();
        }
    }

    /// These rooms are archived from where the log begins by now, whatever the archive has of them.
    pub(crate) fn archive_anew(&mut self, rooms: impl Iterator<Item = RoomId>, begins: Archived) {
        for id in rooms {
            if let Some(slot) = self.room_of(id) {
                self.room_mut(slot).archived_since = Some(begins);
            }
        }
    }

    /// The archived rooms, and up to where each shows nothing any more.
    pub(crate) fn archived(&self) -> BTreeMap<RoomId, Seq> {
        let archived = |room: &&Room| room.declared.as_ref().is_some_and(Declared::is_archived);
        self.rooms.iter().filter(archived).map(|room| (room.id, room.floor)).collect()
    }

    /// A connection ended: nothing of it is replayed any more. Who is to be told.
    pub(crate) fn wipe(&mut self, owner: SessionId) -> BTreeSet<Key> {
        let sessions = self.rooms.iter_mut().filter_map(|room| room.session.as_mut());
        sessions.flat_map(|session| session.wipe(owner)).collect()
    }

    /// What rooms had before they were counted.
    pub(crate) fn recall(&mut self, pasts: Vec<(RoomId, Vec<Mark>)>) {
        for (room, past) in pasts {
            let slot = self.room_of(room);
            if let Some(depth) = slot.and_then(|slot| self.room_mut(slot).depth.as_mut()) {
                depth.recall(past);
            }
        }
    }

    /// Takes the configured rooms, in place of those before. Those are said that have to be counted, from the publications
    /// on that come `next`: what they had before has not been.
    pub(crate) fn declare(&mut self, rooms: Vec<Declared>, next: Seq) -> Vec<Declared> {
        let mut uncounted = Vec::new();
        self.by_name.clear();
        self.rooms.iter_mut().for_each(|room| room.declared = None);
        self.add_technical(Scope::Instance);
        for declared in rooms {
            self.add_technical(Scope::Room(declared.id));
            self.add_technical(Scope::Account(declared.account));
            let slot = self.add_room(declared.id);
            self.by_name.insert((declared.account, declared.name.clone()), slot);
            let room = self.room_mut(slot);
            if !declared.retention.is_empty() && room.depth.is_none() {
                room.depth = Some(Depth::from(next, Vec::new()));
                uncounted.push(declared.clone());
            }
            let offers = declared.history == History::Session;
            room.session =
                room.session.take().filter(|_| offers).or_else(|| offers.then(SessionHistory::default));
            room.declared = Some(declared);
        }
        uncounted
    }

    pub(crate) fn add_room(&mut self, id: RoomId) -> RoomSlot {
        *self.by_id.entry(id).or_insert_with(|| {
            self.rooms.push(Room {
                id,
                declared: None,
                speaks: None,
                channels: Vec::new(),
                published: 0,
                addresses: 0,
                index: VecDeque::new(),
                recent: BTreeMap::new(),
                waiters: BTreeSet::new(),
                members: 0,
                subscribers: 0,
                traffic: Traffic::default(),
                open: Traffic::default(),
                depth: None,
                floor: Seq::ZERO,
                archived: None,
                archived_since: None,
                session: None,
                rates: Rates::default(),
                open_rates: Rates::default(),
                tracked: VecDeque::new(),
                told: Told::default(),
                void: 0,
                taken: Taken::default(),
            });
            RoomSlot(self.rooms.len() as u32 - 1)
        })
    }

    /// The room of a technical channel.
    pub(crate) fn add_technical(&mut self, scope: Scope) -> RoomSlot {
        let slot = self.add_room(scope.room());
        let room = self.room_mut(slot);
        room.speaks = Some(scope);
        room.depth.get_or_insert_with(|| Depth::new(Vec::new()));
        slot
    }

    /// The name of what a technical channel speaks of; none for the instance, and for what is not configured.
    pub(crate) fn subject(&self, scope: Scope) -> Option<&str> {
        let declared = |slot: RoomSlot| self.room(slot).declared.as_ref();
        match scope {
            Scope::Room(id) => Some(declared(self.room_of(id)?)?.name.as_str()),
            Scope::Account(id) => Some(declared(self.rooms_of(id).next()?)?.account_name.as_str()),
            Scope::Instance => None,
        }
    }

    /// How those who read a room name it.
    pub(crate) fn name(&self, slot: RoomSlot) -> Option<&RoomName> {
        let declared = |slot: RoomSlot| self.room(slot).declared.as_ref().map(|declared| &declared.name);
        match self.room(slot).speaks {
            None => declared(slot),
            Some(Scope::Room(id)) => declared(self.room_of(id)?),
            Some(Scope::Account(_)) => Some(&self.account_name),
            Some(Scope::Instance) => Some(&self.hub_name),
        }
    }

    pub(crate) fn channels(&self) -> usize {
        self.channels.len() - self.free.len()
    }

    pub(crate) fn room_of(&self, id: RoomId) -> Option<RoomSlot> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn room_named(&self, account: AccountId, name: &RoomName) -> Option<RoomSlot> {
        self.by_name.get(&(account, name.clone())).copied()
    }

    /// The configured rooms of an account, by name.
    pub(crate) fn rooms_of(&self, account: AccountId) -> impl Iterator<Item = RoomSlot> {
        let all = self.by_name.iter().skip_while(move |((of, _), _)| *of < account);
        all.take_while(move |((of, _), _)| *of == account).map(|(_, slot)| *slot)
    }

    pub(crate) fn rooms(&self) -> &[Room] {
        &self.rooms
    }

    pub(crate) fn room(&self, slot: RoomSlot) -> &Room {
        self.rooms.get(slot.0 as usize).expect("a room's slot is given once and for ever")
    }

    pub(crate) fn room_mut(&mut self, slot: RoomSlot) -> &mut Room {
        self.rooms.get_mut(slot.0 as usize).expect("a room's slot is given once and for ever")
    }

    pub(crate) fn channel(&self, slot: ChannelSlot) -> &Channel {
        self.channels.get(slot.0 as usize).expect("a channel's slot lives while anybody holds it")
    }

    pub(crate) fn channel_mut(&mut self, slot: ChannelSlot) -> &mut Channel {
        self.channels.get_mut(slot.0 as usize).expect("a channel's slot lives while anybody holds it")
    }

    /// A channel for its readers; it need not have publications.
    pub(crate) fn add_channel(&mut self, room: RoomSlot, name: ChannelName) -> ChannelSlot {
        if let Some(slot) = self.by_channel.get(&(room, name.clone())) {
            return *slot;
        }
        let channel = Channel {
            room,
            addressed: name.addressee().is_some(),
            name: name.clone(),
            place: None,
            published: false,
            index: VecDeque::new(),
            waiters: BTreeSet::new(),
            wide_until: Time::default(),
            subscribers: 0,
            value: None,
            turn: 0,
            touched: (Seq::ZERO, 0),
            total: 0,
            origin: None,
            presents: BTreeMap::new(),
            lent: 0,
            traffic: Traffic::default(),
            rates: None,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                *self.channel_mut(slot) = channel;
                slot
            }
            None => {
                self.channels.push(channel);
                ChannelSlot(self.channels.len() as u32 - 1)
            }
        };
        self.by_channel.insert((room, name), slot);
        slot
    }

    /// A channel that has a route, and with it a place among its room's channels for ever.
    pub(crate) fn add_routed(&mut self, route: &Route) -> ChannelSlot {
        let room = self.add_room(route.room);
        let slot = self.add_channel(room, route.channel.clone());
        if !is_of_members(route) && !self.channel(slot).published {
            self.channel_mut(slot).published = true;
            self.room_mut(room).published += 1;
        }
        if self.channel(slot).place.is_none() {
            let addressed = self.channel(slot).addressed;
            let room = self.room_mut(room);
            room.addresses += u32::from(addressed);
            room.channels.push(slot);
            let place = room.channels.len() as u32 - 1;
            self.channel_mut(slot).place = Some(place);
        }
        slot
    }

    /// Whether anybody but the system ever published there.
    pub(crate) fn is_published(&self, room: RoomSlot, name: &ChannelName) -> bool {
        let slot = self.by_channel.get(&(room, name.clone()));
        slot.is_some_and(|slot| self.channel(*slot).published)
    }

    /// A channel of an archived entry, for as long as that is held. If the log has nothing of it, it is none of its room's.
    pub(crate) fn lend_channel(&mut self, route: &Route) -> ChannelSlot {
        let room = self.add_room(route.room);
        let slot = self.add_channel(room, route.channel.clone());
        self.channel_mut(slot).lent += 1;
        slot
    }

    /// An archived entry is held no more.
    pub(crate) fn take_back_channel(&mut self, slot: ChannelSlot) {
        let channel = self.channel_mut(slot);
        channel.lent = channel.lent.saturating_sub(1);
        self.drop_channel(slot);
    }

    /// A reader of one channel went; a channel that nobody ever published in goes with its last.
    pub(crate) fn release_channel(&mut self, slot: ChannelSlot) {
        let channel = self.channel_mut(slot);
        channel.subscribers = channel.subscribers.saturating_sub(1);
        self.drop_channel(slot);
    }

    fn drop_channel(&mut self, slot: ChannelSlot) {
        let channel = self.channel_mut(slot);
        let used = channel.subscribers > 0 || channel.lent > 0;
        if !used && channel.place.is_none() && channel.presents.is_empty() {
            let key = (channel.room, channel.name.clone());
            self.by_channel.remove(&key);
            self.free.push(slot);
        }
    }

    /// The channels of a room that have routes, by name, those after one.
    pub(crate) fn by_name(
        &self,
        room: RoomSlot,
        after: Option<&ChannelName>,
    ) -> impl Iterator<Item = &Channel> {
        let from = match after {
            Some(name) => Bound::Excluded((room, name.clone())),
            None => Bound::Included((room, FIRST.parse().expect("a blank is a channel"))),
        };
        let all = self.by_channel.range((from, Bound::Unbounded));
        let own = all.take_while(move |((of, _), _)| *of == room).map(|(_, slot)| self.channel(*slot));
        own.filter(|channel| channel.place.is_some())
    }

    /// The oldest publication of the tail went. Whether it is still what its channel shows.
    pub(crate) fn forget(&mut self, slot: ChannelSlot, seq: Seq) -> bool {
        let channel = self.channel_mut(slot);
        channel.index.pop_front();
        if channel.index.is_empty() {
            channel.index = VecDeque::new();
        }
        let shown = channel.value == Some(Value::Log(seq));
        let room = channel.room;
        let room = self.room_mut(room);
        room.index.pop_front();
        if room.index.is_empty() {
            room.index = VecDeque::new();
        }
        shown
    }

    /// A channel shows something new.
    pub(crate) fn show(&mut self, slot: ChannelSlot, value: Value) {
        self.turn += 1;
        self.show_at(slot, value, self.turn);
    }

    /// As [`Graph::show`], at a turn that nobody else has: at most [`TURN`] for what was there at the start.
    pub(crate) fn show_at(&mut self, slot: ChannelSlot, value: Value, turn: u64) {
        let channel = self.channel_mut(slot);
        let before = std::mem::replace(&mut channel.turn, turn);
        channel.value = Some(value);
        let room = channel.room;
        let recent = &mut self.room_mut(room).recent;
        recent.remove(&before);
        recent.insert(turn, slot);
    }
}

/// A route's number and the channel it belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) route: RouteNumber,
    pub(crate) channel: ChannelSlot,
}
