//! What the bus knows of one connection: who it is, what its aliases mean, and what it reads.

use crate::{
    graph::{Graph, Key, RoomSlot, Way},
    replay::Replay,
    rounds::Place,
    subscription::{Scope, State, Subscription},
};
use riser_model::{
    ConnectionId, NumberMap, Principal, Seq, SubscriptionId, Time, Wall,
    door::{Code, Refusal, Target},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

/// What a connection means by a route number.
#[derive(Debug)]
pub(crate) enum Alias {
    /// It may publish there: checked once.
    Way(Way),
    /// The same of a device that no refusal reaches.
    Device(Way),
    /// A device that no refusal reaches named no channel: to quarantine.
    Quarantine(Way, Arc<Unplaced>),
    /// It may, when that room has a place for it: looked at again when it publishes.
    Full(RoomSlot, Box<(Target, Refusal)>),
    /// It may not, and why; asked again when the configuration changes.
    Refused(Box<(Target, Refusal)>),
}

/// What a device named that is no channel.
#[derive(Debug)]
pub(crate) struct Unplaced {
    pub(crate) device: Arc<Principal>,
    /// As what it is asked again.
    pub(crate) target: Target,
    pub(crate) why: Refusal,
}

/// A batch of publications of which a part is stored.
#[derive(Debug, Default)]
pub(crate) struct Partial {
    pub(crate) first: Option<Seq>,
    pub(crate) refused: Vec<(u32, Refusal)>,
}

/// What a connection hears of it that it has something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    /// Nothing: it was told.
    Nothing,
    /// That it has; then it pulls.
    Ready,
    /// What it is: it has pulled already.
    Delivery,
    /// One or the other, in the next round.
    InRound,
}

/// What keeps a connection in a room.
#[derive(Debug, Default)]
pub(crate) struct Member {
    pub(crate) subscriptions: u32,
    pub(crate) published: bool,
    /// Since when.
    pub(crate) since: Wall,
}

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) principal: Arc<Principal>,
    pub(crate) aliases: Vec<Alias>,
    /// Whether any of them waits for a place in its room.
    pub(crate) waits_for_place: bool,
    /// Each in a place of its own: a map has room for eleven where it has one, and turns take them out and put them back.
    pub(crate) subscriptions: BTreeMap<SubscriptionId, Box<Subscription>>,
    /// Subscriptions that have something, in the order of their turns. May name some that have not.
    pub(crate) active: VecDeque<SubscriptionId>,
    /// Whether it was told that something of it is not retained.
    pub(crate) unretained: bool,
    /// Whether it was told, or is to be, that there is something, and it was not yet shown all of it.
    pub(crate) told: bool,
    /// Whether it is to hear so in a round.
    pub(crate) round: Place,
    /// What is left of a pull that stands.
    pub(crate) standing: u32,
    /// Batches that wait for the disk.
    pub(crate) unstored: u32,
    /// Their bytes.
    pub(crate) unstored_bytes: usize,
    pub(crate) partial: Partial,
    /// The last batch of which something could not be stored though it may be at another time, and why.
    pub(crate) failed: Option<(u64, Code)>,
    pub(crate) replay: Replay,
    pub(crate) members: BTreeMap<RoomSlot, Member>,
    /// What it publishes is replayed to others, in rooms that offer that.
    pub(crate) session: bool,
    /// When quiet subscriptions are told next how far they are.
    pub(crate) through_at: Time,
}

impl Connection {
    pub(crate) fn new(principal: Arc<Principal>, through_at: Time) -> Self {
        Self {
            principal,
            aliases: Vec::new(),
            waits_for_place: false,
            subscriptions: BTreeMap::new(),
            active: VecDeque::new(),
            unretained: false,
            told: false,
            round: Place::None,
            standing: 0,
            unstored: 0,
            unstored_bytes: 0,
            partial: Partial::default(),
            failed: None,
            replay: Replay::default(),
            members: BTreeMap::new(),
            session: false,
            through_at,
        }
    }

    /// Puts a subscription among those that have something. What its connection is to hear of that, as one of many or not.
    pub(crate) fn activate(&mut self, id: SubscriptionId, many: bool) -> Heard {
        let Some(subscription) = self.subscriptions.get_mut(&id) else { return Heard::Nothing };
        subscription.state = State::Active;
        self.active.push_back(id);
        match (std::mem::replace(&mut self.told, true), self.round, many) {
            // What is not for many does not wait with what is.
            (true, Place::Waits, false) => {
                self.round = Place::Had;
                self.hears()
            }
            (true, ..) => Heard::Nothing,
            (false, Place::None, true) => {
                self.round = Place::Waits;
                Heard::InRound
            }
            (false, Place::Waits | Place::Had, true) => {
                self.round = Place::Waits;
                Heard::Nothing
            }
            (false, _, false) => self.hears(),
        }
    }

    /// What it hears when it has something.
    pub(crate) fn hears(&self) -> Heard {
        if self.standing == 0 { Heard::Ready } else { Heard::Delivery }
    }

    /// Whether any subscription stands in what was read for this connection.
    pub(crate) fn needs_held(&self, tail_first: Seq) -> bool {
        let Some(held) = &self.replay.held else { return false };
        self.subscriptions.values().any(|subscription| {
            let wanted =
                if subscription.goes_in_order() { subscription.cursor.next() } else { subscription.wanted };
            subscription.state == State::Active && wanted < tail_first && held.covers(wanted, subscription.id)
        })
    }
}

/// A subscription that has seen everything waits for its channel or rooms to move.
pub(crate) fn wait(graph: &mut Graph, subscription: &Subscription, key: Key) {
    match &subscription.scope {
        Scope::Channel(slot) => {
            graph.channel_mut(*slot).waiters.insert(key);
        }
        Scope::Rooms { rooms, .. } => {
            for room in rooms.keys() {
                graph.room_mut(*room).waiters.insert(key);
            }
        }
    }
}

/// It waits no more.
pub(crate) fn stop(graph: &mut Graph, subscription: &Subscription, key: Key) {
    match &subscription.scope {
        Scope::Channel(slot) => {
            graph.channel_mut(*slot).waiters.remove(&key);
        }
        Scope::Rooms { rooms, .. } => {
            for room in rooms.keys() {
                graph.room_mut(*room).waiters.remove(&key);
            }
        }
    }
}

/// Entries that a batch lost or refused, for the publisher's receipt.
pub(crate) fn refuse_all(
    refused: &mut Vec<(u32, Refusal)>,
    indexes: std::ops::Range<u32>,
    refusal: &Refusal,
) {
    let already: Vec<u32> = refused.iter().map(|(index, _)| *index).collect();
    let others = indexes.filter(|index| already.binary_search(index).is_err());
    refused.extend(others.map(|index| (index, refusal.clone())));
    refused.sort_by_key(|(index, _)| *index);
}

/// The connections of one bus: found several times for each delivery, and seldom walked.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    /// Each in a place of its own: they are large, and a map has room for more than it has.
    by_id: NumberMap<ConnectionId, Box<Connection>>,
}

impl Connections {
    pub(crate) fn get(&self, id: &ConnectionId) -> Option<&Connection> {
        self.by_id.get(id).map(|connection| &**connection)
    }

    pub(crate) fn get_mut(&mut self, id: &ConnectionId) -> Option<&mut Connection> {
        self.by_id.get_mut(id).map(|connection| &mut **connection)
    }

    /// One that is there already stays as it is.
    pub(crate) fn add(&mut self, id: ConnectionId, connection: Connection) {
        self.by_id.entry(id).or_insert_with(|| Box::new(connection));
    }

    pub(crate) fn remove(&mut self, id: &ConnectionId) -> Option<Connection> {
        self.by_id.remove(id).map(|connection| *connection)
    }

    pub(crate) fn contains(&self, id: &ConnectionId) -> bool {
        self.by_id.contains_key(id)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// All, in no order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Connection> {
        self.by_id.values().map(|connection| &**connection)
    }

    /// Who is there, in the order in which they came.
    pub(crate) fn ids(&self) -> Vec<ConnectionId> {
        let mut ids: Vec<ConnectionId> = self.by_id.keys().copied().collect();
        ids.sort_unstable();
        ids
    }
}
