//! Looking at rooms as they are at the moment: who is in them, and what goes through them.
//!
//! Whoever may read any channel of a room may ask; of channels that it may not read it learns nothing, not even how
//! much went through them.

use crate::{
    bus::Bus,
    graph::{Channel, ChannelSlot, Room, RoomSlot, Value},
    readership::{LOOKS_MAX, Readers},
    statistics::Traffic,
    topics,
};
use bytes::Bytes;
use riser_model::{
    AccountName, Filter, History, Principal, Right, RoomId, RoomKind, RoomName, Seq, Time, Wall,
    door::{Code, Refusal},
    event::{ChannelTold, Latest, Scope, Statistics, SystemEvent, Told},
    look::{ChannelTraffic, Newest, Present, ROWS_MAX, Rates, RoomTraffic, RowsWanted},
};
use riser_wire::membership;

/// Channels of which a room tells unasked.
const TOLD_MAX: usize = 16;
/// So many are looked at for that, the one that was published in last first: most may be clients' addresses.
const TOLD_LOOKS_MAX: usize = 256;

impl Bus {
    /// The room of that name, if the principal may read any of it.
    pub fn readable_room(&self, principal: &Principal, room: &RoomName) -> Result<RoomId, Refusal> {
        self.readable_slot(principal, room).map(|slot| self.graph.room(slot).id)
    }

    fn readable_slot(&self, principal: &Principal, room: &RoomName) -> Result<RoomSlot, Refusal> {
        let slot = self.graph.room_named(principal.account, room);
        slot.filter(|slot| topics::reaches(&self.graph, principal, *slot)).ok_or_else(|| {
            let want = "a room of this account of which this principal may read a channel";
            topics::refuse(Code::Denied, format!("look into {room}"), want)
        })
    }

    /// The name of a configured room.
    pub fn room_name(&self, room: RoomId) -> Option<&RoomName> {
        let declared = self.graph.room(self.graph.room_of(room)?).declared.as_ref()?;
        Some(&declared.name)
    }

    /// The oldest seq that a room still shows of its past; none if it keeps none.
    pub fn past_from(&self, room: RoomId) -> Option<Seq> {
        let slot = self.graph.room_of(room)?;
        let declared = self.graph.room(slot).declared.as_ref()?;
        let floor = self.graph.room(slot).floor;
        (declared.history == History::Log)
            .then(|| self.graph.past(slot, &self.chain).oldest.max(floor.next()))
    }

    /// What a configured room is for.
    pub fn kind_of(&self, room: RoomId) -> Option<RoomKind> {
        Some(self.graph.room(self.graph.room_of(room)?).declared.as_ref()?.kind)
    }

    /// Who a configured room waits for, if it waits for anybody.
    pub fn waits_for(&self, room: RoomId) -> Option<&[AccountName]> {
        let declared = self.graph.room(self.graph.room_of(room)?).declared.as_ref()?;
        Some(&declared.ready[..]).filter(|ready| !ready.is_empty())
    }

    /// The rooms that wait for somebody.
    pub fn waiting_rooms(&self) -> impl Iterator<Item = RoomId> {
        let waits = |room: &&Room| room.declared.as_ref().is_some_and(|declared| !declared.ready.is_empty());
        self.graph.rooms().iter().filter(waits).map(|room| room.id)
    }

    /// The connections of this instance that are in a room, visitors aside: who is there is told by name, and theirs may be that
    /// of a member. An account sees its visitors among its connections.
    pub fn present(&self, room: RoomId) -> impl Iterator<Item = Present> {
        let slot = self.graph.room_of(room);
        self.connections.ids().into_iter().filter_map(move |id| {
            let one = self.connections.get(&id)?;
            let member = one.members.get(&slot?)?;
            if one.principal.home.is_some() {
                return None;
            }
            let (client, name) = (one.principal.client, one.principal.name.clone());
            Some(Present { client, name, connection: id, since: member.since, behind: None })
        })
    }

    /// What goes through a room, with a page of rows for the channels that the filter meets, that the principal may read
    /// and that have or had anything.
    pub fn traffic(
        &self,
        principal: &Principal,
        wanted: &RowsWanted,
        now: Time,
    ) -> Result<RoomTraffic, Refusal> {
        let RowsWanted { room, channels, after, most } = wanted;
        let slot = self.readable_slot(principal, room)?;
        let room = self.graph.room(slot);
        let shown = |channel: &&Channel| {
            channels.matches(&channel.name)
                && (channel.traffic.messages > 0 || newest(channel, room).is_some())
                && topics::readable(&self.graph, principal, channel.room, &channel.name)
        };
        let mut rest = self.graph.by_name(slot, after.as_ref()).filter(shown);
        let page: Vec<&Channel> = rest.by_ref().take((*most).min(ROWS_MAX) as usize).collect();
        let (readers, whole) = self.readers(slot, &page, LOOKS_MAX);
        let row = |(one, readers): (&&Channel, Readers)| self.row(one, room, readers, now);
        let rows: Vec<ChannelTraffic> = page.iter().zip(readers).map(row).collect();
        let next = rest.next().and(rows.last()).map(|row| row.channel.clone());
        // What is addressed to others is not shown, if there is any.
        let is_kept_back = |slot: &ChannelSlot| {
            let channel = self.graph.channel(*slot);
            channel.name.addressee().is_some()
                && !topics::readable(&self.graph, principal, channel.room, &channel.name)
        };
        let partial = *channels != Filter::all()
            || !principal.grants.whole(Right::Subscribe, room.id)
            || room.channels.iter().any(is_kept_back);
        let all = || self.graph.by_name(slot, None).filter(shown);
        let (rates, other, last, channels) = if partial {
            let last = all().filter_map(|one| one.traffic.last).max();
            (sum(all().map(|one| lately(one, now))), None, last, count(all().count()))
        } else {
            let whole = room.rates.at(&room.traffic, now);
            let other = less(whole, sum(rows.iter().map(|row| row.rates)));
            (whole, Some(other), room.traffic.last, self.published(room))
        };
        let newest = room.recent.values().rev().map(|slot| self.graph.channel(*slot)).find(shown);
        let newest = newest.map(|one| Newest { channel: one.name.clone(), value: self.value(one, room) });
        let (subscribers, connections, at_least) = (room.subscribers, room.members, !whole);
        // These are addressed: who does not read addresses learns nothing of them.
        let void = if principal.grants.whole(Right::Admin, room.id) { room.void } else { 0 };
        Ok(RoomTraffic {
            rates,
            last,
            subscribers,
            connections,
            newest,
            channels,
            rows,
            next,
            other,
            partial,
            at_least,
            void,
        })
    }

    /// Channels that were ever published in: that of those who come and go is not one.
    fn published(&self, room: &Room) -> u32 {
        let is_one = |slot: &&ChannelSlot| {
            let channel = self.graph.channel(**slot);
            channel.traffic.messages > 0 || channel.name.as_str() != membership::CHANNEL
        };
        count(room.channels.iter().filter(is_one).count())
    }

    fn row(&self, channel: &Channel, room: &Room, readers: Readers, now: Time) -> ChannelTraffic {
        let Readers { subscribers, connections, .. } = readers;
        ChannelTraffic {
            channel: channel.name.clone(),
            rates: lately(channel, now),
            last: channel.traffic.last,
            value: self.value(channel, room),
            subscribers,
            connections,
        }
    }

    fn value(&self, channel: &Channel, room: &Room) -> Option<Bytes> {
        match newest(channel, room)? {
            Value::Log(seq) => self.tail.get(seq).map(|found| found.body).or_else(|| self.copies.body(seq)),
            Value::Latest(log) => Some(channel.presents.get(&log)?.body.clone()),
        }
    }

    /// Rooms in which something happened tell where their traffic stands, where anybody listens, and once more when it has
    /// stopped: what is addressed to single clients aside, which who hears it need not read.
    pub(crate) fn tell_traffic(&mut self, now: Time) {
        // While nothing moves or nobody listens its time does not run: what comes then is told at once.
        if self.traffic_deadline().is_none_or(|due| now < due) {
            return;
        }
        self.traffic_due = now.plus(self.config.traffic_every());
        self.graph.moved = false;
        let is_heard = |room: &&Room| {
            let channel = self.graph.room_of(Scope::Room(room.id).room());
            room.speaks.is_none() && channel.is_some_and(|slot| self.graph.room(slot).subscribers > 0)
        };
        let slot_of = |room: &Room| self.graph.room_of(room.id);
        let heard: Vec<RoomSlot> = self.graph.rooms().iter().filter(is_heard).filter_map(slot_of).collect();
        // One bound for all that is told now.
        let looks_max = LOOKS_MAX / heard.len().max(1);
        for slot in heard {
            let room = self.graph.room(slot);
            let told = Told {
                subscribers: room.subscribers,
                connections: room.members,
                ..told(room.open_rates.at(&room.open, now), room.open.last)
            };
            // What was told of the last minute is to be told to be over, though nothing comes any more.
            self.graph.moved |= told.per_s > 0 || told.per_min > 0;
            let before = std::mem::replace(&mut self.graph.room_mut(slot).told, told);
            if is_news(before, told) {
                let statistics = self.stands(slot, told, looks_max, now);
                self.event(self.room_scope(slot), SystemEvent::Statistics(statistics));
            }
        }
    }

    /// What is told of a room, with its newest publication and the channels that were published in last: clients' addresses
    /// aside.
    fn stands(&self, slot: RoomSlot, told_of_it: Told, looks_max: usize, now: Time) -> Statistics {
        let room = self.graph.room(slot);
        let back = room.recent.values().rev().take(TOLD_LOOKS_MAX).map(|slot| self.graph.channel(*slot));
        let open = back.filter(|channel| !channel.addressed);
        let recent: Vec<(&Channel, Value)> =
            open.filter_map(|channel| Some((channel, newest(channel, room)?))).take(TOLD_MAX).collect();
        let newest = recent.first().map(|(channel, value)| Latest {
            channel: channel.name.clone(),
            pos: match value {
                Value::Log(seq) => Some(self.chain.position(*seq)),
                Value::Latest(_) => None,
            },
        });
        let mut by_name: Vec<&Channel> = recent.iter().map(|(channel, _)| *channel).collect();
        by_name.sort_unstable_by_key(|channel| &channel.name);
        let (readers, whole) = self.readers(slot, &by_name, looks_max);
        let row = |(channel, _): &(&Channel, Value)| {
            let place = by_name.binary_search_by_key(&&channel.name, |one| &one.name).ok();
            let Readers { subscribers, connections, .. } =
                place.and_then(|place| readers.get(place)).copied().unwrap_or_default();
            let told = told(lately(channel, now), channel.traffic.last);
            ChannelTold { channel: channel.name.clone(), told: Told { subscribers, connections, ..told } }
        };
        let channels = recent.iter().map(row).collect();
        Statistics { room: told_of_it, newest, channels, at_least: !whole }
    }

    /// When rooms look next whether there is anything to tell.
    pub(crate) fn traffic_deadline(&self) -> Option<Time> {
        (self.graph.moved && self.graph.listeners > 0).then_some(self.traffic_due)
    }
}

/// Whether anybody is to be told that a room's traffic stands otherwise than it was told: beside what happened, only that a
/// rate is down to nothing.
fn is_news(before: Told, now: Told) -> bool {
    let is_over = |before: u64, now: u64| before > 0 && now == 0;
    before.messages != now.messages
        || is_over(before.per_s, now.per_s)
        || is_over(before.per_min, now.per_min)
        || (before.subscribers, before.connections) != (now.subscribers, now.connections)
}

fn told(rates: Rates, last: Option<Wall>) -> Told {
    let Rates { messages, bytes, second, minute } = rates;
    let ((per_s, bytes_per_s), (per_min, bytes_per_min)) = (second, minute);
    Told { messages, bytes, per_s, per_min, bytes_per_s, bytes_per_min, last, ..Told::default() }
}

/// What a channel shows, if its room has not let go of it.
fn newest(channel: &Channel, room: &Room) -> Option<Value> {
    channel.value.filter(|value| !matches!(value, Value::Log(seq) if *seq <= room.floor))
}

/// What went through a channel. Past the bound of those that have rates nothing is known of the last minute.
fn lately(channel: &Channel, now: Time) -> Rates {
    let Traffic { messages, bytes, .. } = channel.traffic;
    let unknown = || Rates { messages, bytes, ..Rates::default() };
    channel.rates.as_ref().map_or_else(unknown, |rates| rates.at(&channel.traffic, now))
}

fn count(channels: usize) -> u32 {
    // `routes_max` keeps them far below u32.
    u32::try_from(channels).unwrap_or(u32::MAX)
}

fn less(whole: Rates, part: Rates) -> Rates {
    let pair = |(messages, bytes): (u64, u64), (fewer, smaller): (u64, u64)| {
        (messages.saturating_sub(fewer), bytes.saturating_sub(smaller))
    };
    let (messages, bytes) = pair((whole.messages, whole.bytes), (part.messages, part.bytes));
    Rates {
        messages,
        bytes,
        second: pair(whole.second, part.second),
        minute: pair(whole.minute, part.minute),
    }
}

fn sum(rows: impl Iterator<Item = Rates>) -> Rates {
    rows.fold(Rates::default(), |sum, row| Rates {
        messages: sum.messages + row.messages,
        bytes: sum.bytes + row.bytes,
        second: (sum.second.0 + row.second.0, sum.second.1 + row.second.1),
        minute: (sum.minute.0 + row.minute.0, sum.minute.1 + row.minute.1),
    })
}
