//! Subscriptions, memberships and connections: how they begin and end.

use crate::{
    bus::Bus,
    chain::Resume,
    conflate::Conflation,
    connection::{self, Connection, Member},
    graph::RoomSlot,
    output::Output,
    replay::{Seek, last_in_tail},
    subscription::{RoomScope, Scope, State, Subscription, Walk},
    topics::{self, Reach},
};
use riser_model::{
    Archived, Cause, ConnectionId, Gap, History, Now, Position, Principal, Seq, Since, SubscriptionId,
    door::{Code, Completeness, Flow, From, Refusal, STALLED, Showing, Subscribed, Tell, Want},
    event::{self, SystemEvent},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// Where a subscription begins, what happens when its reader is slow, whether it is first shown what its channels
/// retain, and whether a session keeps it: then it is the session's queue, and never joins a room.
pub(crate) type How = (From, Flow, Showing, bool);

/// Where a subscription begins.
struct Begin {
    cursor: Seq,
    completeness: Completeness,
    /// Rooms without history begin with what comes next.
    floors: bool,
    /// How many of the last are to be found first.
    last: usize,
    /// What was published before some time is passed over.
    since: Option<Since>,
}

impl Begin {
    fn at(cursor: Seq, completeness: Completeness, floors: bool) -> Self {
        Self { cursor, completeness, floors, last: 0, since: None }
    }
}

impl Bus {
    pub(crate) fn open(&mut self, connection: ConnectionId, principal: Arc<Principal>, now: Now) {
        let opened = Connection::new(Arc::clone(&principal), now.time.plus(self.config.through_every()));
        self.connections.add(connection, opened);
        let (client, name) = (principal.client, principal.name.clone());
        self.event(
            // A visitor's account hears of it, as of every connection of its own.
            event::Scope::Account(principal.whose()),
            SystemEvent::Opened { client, name, connection },
        );
        if self.closing {
            self.send_away(connection);
        }
    }

    pub(crate) fn leave(&mut self, connection: ConnectionId, cause: &str) {
        let Some(gone) = self.connections.get_mut(&connection) else { return };
        for slot in std::mem::take(&mut gone.members).into_keys() {
            self.left_room(connection, slot, cause);
        }
        self.closed(connection, cause);
        self.forget(connection);
    }

    fn closed(&mut self, connection: ConnectionId, cause: &str) {
        let Some(one) = self.connections.get(&connection) else { return };
        let (client, name) = (one.principal.client, one.principal.name.clone());
        let scope = event::Scope::Account(one.principal.whose());
        if [Code::TooSlow.name(), STALLED].contains(&cause) {
            self.event(scope, SystemEvent::SlowReader { client, name: name.clone(), connection });
        }
        self.event(scope, SystemEvent::Closed { client, name, connection, cause: cause.into() });
    }

    pub(crate) fn shutdown(&mut self, now: Now) {
        self.closing = true;
        self.line.hurry(now.time);
        self.rounds.hurry();
        let settled = |id: &ConnectionId| self.connections.get(id).is_some_and(|one| one.unstored == 0);
        for connection in self.connections.ids().into_iter().filter(settled).collect::<Vec<_>>() {
            self.send_away(connection);
        }
    }

    pub(crate) fn subscribe(
        &mut self,
        connection: ConnectionId,
        id: SubscriptionId,
        want: &Want,
        (from, flow, retained, kept): How,
    ) {
        // The newest may be of another one's publication, and how many there were is nobody else's business.
        let flow = if topics::hears_outcomes(want) { Flow::Credit } else { flow };
        let how = (from, flow, retained, kept);
        let Some(reader) = self.connections.get(&connection) else { return };
        let principal = Arc::clone(&reader.principal);
        let unasked = usize::from(reader.subscriptions.contains_key(&SubscriptionId::UNASKED));
        let asked_for = reader.subscriptions.len() - unasked;
        let full = asked_for >= self.config.subscriptions_max && id != SubscriptionId::UNASKED;
        // Single entries are what its session has begun: they are bounded there.
        let picked = matches!(want, Want::Positions(_));
        // What a session left is its client's due: it was taken when it was begun, and what waits there is owed.
        let goes_on = matches!(how, (From::After(_), .., true));
        let made = if full && !picked && !reader.subscriptions.contains_key(&id) {
            let want = format!("at most {} subscriptions on one connection", self.config.subscriptions_max);
            Err(topics::refuse(Code::TooMany, "one subscription more", &want))
        } else {
            match topics::want(&self.graph, &self.bindings, &principal, want) {
                Ok(reach) => match self.may_subscribe(connection, id, &reach) {
                    Err(full) if !goes_on => {
                        self.was_over(&full, 1);
                        Err(full.refusal())
                    }
                    Ok(()) | Err(_) => self.make(connection, id, &principal, (want, reach), how),
                },
                Err(refusal) => Err(refusal),
            }
        };
        match made {
            Ok((subscription, subscribed)) => self.begin(connection, subscription, subscribed),
            Err(refusal) => {
                if id != SubscriptionId::UNASKED {
                    self.denied(connection, &refusal);
                }
                let tell = Tell::Subscribed { subscription: id, result: Err(refusal) };
                self.outputs.push_back(Output::Tell { connection, tell });
            }
        }
    }

    /// A new subscription, and its answer if it is known at once.
    fn make(
        &mut self,
        connection: ConnectionId,
        id: SubscriptionId,
        principal: &Principal,
        (want, reach): (&Want, Reach),
        (from, flow, retained, kept): How,
    ) -> Result<(Subscription, Option<Subscribed>), Refusal> {
        let history = match &reach {
            Reach::Channel(room, _) | Reach::Room(room, _) => self.keeps(*room),
            Reach::Rooms(_) => {
                let mut rooms = self.graph.rooms_of(principal.account);
                rooms.any(|room| self.keeps(room) && topics::reaches(&self.graph, principal, room))
            }
            Reach::Picked => false,
            Reach::Technical(..) => true,
        };
        let past = self.past_of(principal, &reach, want);
        let begin = self.place_of(from, history, past)?;
        let mut gaps = match begin {
            Begin { last: 1.., .. } => Vec::new(),
            // What is gone may have been of that time.
            Begin { completeness: Completeness::Partial, .. } if matches!(from, From::Since(_)) => {
                self.chain.missing_after(Seq::ZERO, past.oldest)
            }
            Begin { cursor, .. } => self.chain.missing_after(cursor, past.oldest),
        };
        let mut cursor = begin.cursor.max(past.oldest.prev());
        let mut floors = begin.floors;
        let mut completeness = begin.completeness;
        if flow == Flow::Conflate && completeness == Completeness::Full && cursor.next() < self.warm.known {
            // Channels that were last published in before that are not known.
            completeness = Completeness::Partial;
        }
        let mut conflation = (flow == Flow::Conflate).then(|| match from {
            From::After(_) | From::Onward { .. } => Conflation::new(0, cursor),
            From::Live | From::Last(_) | From::Since(_) | From::Start if history => {
                // The present first: whatever is newest, however old it is.
                (cursor, floors) = (self.chain.oldest.prev(), true);
                Conflation::new(0, Seq::ZERO)
            }
            From::Live | From::Last(_) | From::Since(_) | From::Start => {
                Conflation::new(self.graph.turn, Seq::ZERO)
            }
        });
        // A replaced subscription goes first: its rooms are joined by the new one before it is let go.
        let own_cursor = !matches!(want, Want::Shared(_) | Want::Positions(_));
        let joins = own_cursor && !kept;
        let by_session = joins && flow == Flow::Credit;
        let scope = self.enter(connection, principal, reach, (floors, by_session));
        let gone = self.remove(connection, id);
        // Who goes on where it was is the same reader: it is told what ends of what it was shown.
        let goes_on = matches!(from, From::After(_) | From::Onward { .. });
        let comes_back = goes_on && gone.is_none();
        let (own, wiped) = match gone {
            Some(gone) if goes_on => (gone.own, gone.wiped),
            Some(gone) => {
                self.forget_shown(&gone.scope, (connection, id));
                (gone.own, VecDeque::new())
            }
            None => Default::default(),
        };
        let floor = scope.floor(&self.graph);
        let whole = match from {
            From::Live | From::Start | From::Last(_) => true,
            From::After(_) => scope.shows_after(&self.graph, cursor),
            From::Since(wall) => scope.has_all_since(&self.graph, wall),
            From::Onward { since: wall, .. } => {
                let is_passed_over = |since: Since| scope.shows_after(&self.graph, since.until);
                scope.shows_after(&self.graph, cursor)
                    || begin.since.is_some_and(is_passed_over) && scope.has_all_since(&self.graph, wall)
            }
        };
        if !whole {
            completeness = Completeness::Partial;
            let from = cursor.next();
            gaps.extend((from <= floor).then_some(Gap { from, to: floor, cause: Cause::Retention }));
        }
        cursor = cursor.max(floor);
        let mut scope = scope;
        if let (false, Scope::Rooms { rooms, .. }) = (goes_on, &mut scope) {
            // What a room does not keep is not missed by who comes anew.
            for (room, scope) in rooms {
                scope.floor = scope.floor.max(self.graph.room(*room).floor);
            }
        }
        let mut joined = Seq::ZERO;
        if joins && let Some(first) = self.first_of_sessions(&scope) {
            // Who joins, or comes back, is shown what sessions have published that are still there; and of rooms
            // without them what it asked for.
            joined = self.chain.committed;
            match from {
                From::After(_) | From::Onward { .. } if cursor < joined => {
                    completeness = Completeness::Partial;
                }
                From::After(_) | From::Onward { .. } => {}
                From::Live | From::Start | From::Last(_) | From::Since(_) if by_session => {
                    (cursor, completeness) = (cursor.min(first.prev()), Completeness::Full);
                }
                From::Live | From::Start | From::Last(_) | From::Since(_) => {}
            }
            if let (From::Live, Scope::Rooms { rooms, .. }) = (from, &mut scope) {
                for (room, scope) in rooms {
                    if self.graph.room(*room).session.is_none() {
                        scope.floor = joined;
                    }
                }
            }
            if !by_session && scope.room(&self.graph).is_some() {
                // The newest of a channel may be of a session that ended: it shows what is new.
                conflation = Some(Conflation::new(self.graph.turn, Seq::ZERO));
            }
        }
        if comes_back && by_session {
            self.note_shown_before(&scope, cursor, (principal, (connection, id)));
        }
        let conflates = conflation.is_some();
        let mut subscription = Subscription {
            id,
            scope,
            cursor: if conflation.is_some() { self.chain.committed } else { cursor },
            conflation,
            at: self.chain.position(cursor),
            state: State::Idle,
            wanted: Seq::ZERO,
            since: begin.since.filter(|_| !conflates),
            joined,
            whole_to: Seq::ZERO,
            wiped,
            walk: Walk::begin(retained, cursor, kept).filter(|_| flow == Flow::Credit),
            share: None,
            own,
        };
        match want {
            Want::Shared(shared) => self.join_share(connection, principal, shared, &mut subscription),
            Want::Positions(positions) => {
                subscription.own = self.here(positions);
            }
            Want::Room(..) | Want::Topic(_) | Want::Technical(_) | Want::System(_) => {}
        }
        self.start_conflation(&mut subscription);
        if begin.last > 0 && subscription.conflation.is_none() {
            let bounded = begin.completeness == Completeness::Partial;
            return Ok((self.seek(connection, subscription, (begin.last, bounded)), None));
        }
        let asks_past = history && matches!(from, From::Start | From::Since(_));
        let floor = self.floor_of(&subscription.scope, past.oldest).filter(|_| asks_past);
        let until = subscription.since.map(|since| self.chain.position(since.until));
        let subscribed = Subscribed { completeness, gaps, at: subscription.at, floor, until };
        Ok((subscription, Some(subscribed)))
    }

    /// Up to where what rooms keep of their past is not there whole, if its oldest is this.
    pub(crate) fn floor_of(&self, scope: &Scope, oldest: Seq) -> Option<Position> {
        let rooms = scope.rooms(&self.graph).into_iter().filter(|room| self.keeps(*room));
        let hidden = rooms.map(|room| self.graph.room(room).floor).max().unwrap_or_default();
        let floor = hidden.max(oldest.prev());
        (floor > Seq::ZERO).then(|| self.chain.position(floor))
    }

    fn keeps(&self, room: RoomSlot) -> bool {
        let room = self.graph.room(room);
        room.speaks.is_some()
            || room.declared.as_ref().is_some_and(|declared| match declared.history {
                History::None | History::Session => false,
                History::Log => true,
            })
    }

    fn live(&self) -> Begin {
        let cursor = self.chain.committed;
        Begin::at(cursor, Completeness::None, false)
    }

    /// Where `from` is. Rooms without history have no past for those who come without a position.
    fn place_of(&self, from: From, history: bool, past: Archived) -> Result<Begin, Refusal> {
        let start = past.oldest.prev();
        let full = Completeness::Full;
        Ok(match from {
            From::Live | From::Last(0) => self.live(),
            From::Start | From::Since(_) | From::Last(_) if !history => self.live(),
            From::Start => Begin::at(start, full, true),
            From::Since(wall) => {
                // What is gone was committed before that.
                let has_all = past.oldest <= Seq(1) || wall >= past.oldest_at;
                let completeness = if has_all { full } else { Completeness::Partial };
                let since = Some(Since { wall, until: self.chain.committed });
                Begin { since, ..Begin::at(start, completeness, true) }
            }
            From::Last(n) => {
                let last = n.min(self.config.last_max);
                // Of more than that nobody looks whether they are there.
                let completeness = if last < n { Completeness::Partial } else { full };
                Begin { last: last as usize, ..Begin::at(self.chain.committed, completeness, true) }
            }
            From::After(position) => {
                let partial = |cursor, floors| Begin::at(cursor, Completeness::Partial, floors);
                match self.chain.resume(position) {
                    Resume::Exact(seq) if seq.next() < past.oldest => partial(seq, false),
                    Resume::Exact(cursor) => Begin::at(cursor, full, false),
                    Resume::Fork(seq) => partial(seq, false),
                    Resume::Unknown if history => partial(start, true),
                    Resume::Unknown => partial(self.chain.committed, true),
                    Resume::OtherLog => return Err(of_another_log()),
                }
            }
            From::Onward { after, since: wall, until } => {
                let until = match self.chain.resume(until) {
                    Resume::Exact(seq) | Resume::Fork(seq) => seq,
                    Resume::Unknown => self.chain.committed,
                    Resume::OtherLog => return Err(of_another_log()),
                };
                let since = Some(Since { wall, until });
                let begin = self.place_of(From::After(after), history, past)?;
                // What is gone by now was committed before that time, and so passed over.
                if begin.cursor < start && start <= until && wall >= past.oldest_at {
                    Begin { since, ..Begin::at(start, full, false) }
                } else {
                    Begin { since, ..begin }
                }
            }
        })
    }

    /// Joins what is read.
    fn enter(
        &mut self,
        connection: ConnectionId,
        principal: &Principal,
        reach: Reach,
        floors: (bool, bool),
    ) -> Scope {
        let joined = |member: &mut Member| member.subscriptions += 1;
        match reach {
            Reach::Channel(room, name) => {
                let slot = self.graph.add_channel(room, name);
                self.graph.channel_mut(slot).subscribers += 1;
                self.graph.gain_reader(room);
                self.join(connection, room, joined);
                Scope::Channel(slot)
            }
            Reach::Room(room, filter) => {
                self.graph.gain_reader(room);
                self.join(connection, room, joined);
                Scope::Rooms { rooms: [(room, self.scope(room, filter, floors))].into(), every: None }
            }
            Reach::Rooms(filter) => {
                let rooms: Vec<RoomSlot> = self.graph.rooms_of(principal.account).collect();
                let mut scopes = BTreeMap::new();
                for room in rooms {
                    if topics::reaches(&self.graph, principal, room) {
                        self.graph.gain_reader(room);
                        self.join(connection, room, joined);
                        scopes.insert(room, self.scope(room, filter.clone(), floors));
                    }
                }
                Scope::Rooms { rooms: scopes, every: Some(filter) }
            }
            Reach::Picked => Scope::Rooms { rooms: BTreeMap::new(), every: None },
            // To listen to what is said about a room is not to be in it.
            Reach::Technical(rooms, kinds) => {
                let mut scopes = BTreeMap::new();
                for room in rooms {
                    self.graph.gain_reader(room);
                    scopes.insert(room, self.scope(room, kinds.clone(), floors));
                }
                Scope::Rooms { rooms: scopes, every: None }
            }
        }
    }

    fn scope(&self, room: RoomSlot, filter: riser_model::Filter, (floors, joins): (bool, bool)) -> RoomScope {
        // What sessions have published is looked through one by one.
        let by_session = joins && self.graph.room(room).session.is_some();
        if floors && !by_session && !self.keeps(room) {
            RoomScope::new(filter, self.chain.committed, self.graph.turn)
        } else {
            RoomScope::new(filter, Seq::ZERO, 0)
        }
    }

    /// What a channel had before is not counted as skipped.
    fn start_conflation(&mut self, subscription: &mut Subscription) {
        let Some(conflation) = &mut subscription.conflation else { return };
        match &subscription.scope {
            Scope::Channel(slot) => conflation.start(*slot, self.graph.channel(*slot)),
            Scope::Rooms { rooms, .. } => {
                for room in rooms.keys() {
                    for slot in &self.graph.room(*room).channels {
                        conflation.start(*slot, self.graph.channel(*slot));
                    }
                }
            }
        }
    }

    /// Looks for the n-th last in the tail; what is left to find is sought on the disk.
    fn seek(
        &mut self,
        connection: ConnectionId,
        mut subscription: Subscription,
        (n, bounded): (usize, bool),
    ) -> Subscription {
        let (first, live) = (self.tail.first(), self.chain.committed);
        let Some(view) = self.view(connection) else { return subscription };
        let (found, earliest) = last_in_tail(&mut subscription, &view, n);
        let seek = Seek::new(n - found, first, earliest, live, self.config.seek_seqs_max);
        subscription.state = State::Seeking(Box::new(seek.bounded(bounded)));
        subscription
    }

    /// Puts a subscription to work.
    fn begin(
        &mut self,
        connection: ConnectionId,
        subscription: Subscription,
        subscribed: Option<Subscribed>,
    ) {
        let id = subscription.id;
        let Some(reader) = self.connections.get_mut(&connection) else { return };
        reader.subscriptions.insert(id, Box::new(subscription));
        match subscribed {
            Some(subscribed) => {
                let tell = Tell::Subscribed { subscription: id, result: Ok(subscribed) };
                self.outputs.push_back(Output::Tell { connection, tell });
                self.look(connection, id);
            }
            None => self.sought(connection, id),
        }
        self.ask_disk(connection);
    }

    pub(crate) fn unsubscribe(&mut self, connection: ConnectionId, id: SubscriptionId) {
        self.end_subscription(connection, id);
        let tell = Tell::Unsubscribed { subscription: id };
        self.outputs.push_back(Output::Tell { connection, tell });
    }

    /// Ends all that a connection reads, and is about to read.
    pub(crate) fn end_subscriptions(&mut self, connection: ConnectionId) {
        let one = self.connections.get(&connection);
        let live = one.into_iter().flat_map(|one| one.subscriptions.keys()).copied();
        let deferred = self.warm.deferred.iter().filter(|one| one.connection == connection).map(|one| one.id);
        for id in live.chain(deferred).collect::<BTreeSet<_>>() {
            self.end_subscription(connection, id);
        }
    }

    fn end_subscription(&mut self, connection: ConnectionId, id: SubscriptionId) {
        let before = self.warm.deferred.len();
        self.warm.deferred.retain(|one| one.connection != connection || one.id != id);
        for _ in self.warm.deferred.len()..before {
            self.refuse_ended(connection, id);
        }
        if let Some(gone) = self.remove(connection, id) {
            self.forget_shown(&gone.scope, (connection, id));
            self.part_share(connection, &gone);
        }
        self.ask_disk(connection);
    }

    /// Ends a subscription, and its memberships where nothing else holds them.
    fn remove(&mut self, connection: ConnectionId, id: SubscriptionId) -> Option<Subscription> {
        let reader = self.connections.get_mut(&connection)?;
        let gone = reader.subscriptions.remove(&id)?;
        reader.replay.forget(id);
        if let State::Seeking(_) = gone.state {
            self.refuse_ended(connection, id);
        }
        connection::stop(&mut self.graph, &gone, (connection, id));
        self.release(&gone);
        for room in self.rooms_in(&gone.scope) {
            self.part(connection, room);
        }
        self.let_go(connection);
        Some(*gone)
    }

    fn refuse_ended(&mut self, connection: ConnectionId, id: SubscriptionId) {
        let refusal = topics::refuse(Code::WrongState, "ended before its place was found", "wait for it");
        let tell = Tell::Subscribed { subscription: id, result: Err(refusal) };
        self.outputs.push_back(Output::Tell { connection, tell });
    }

    pub(crate) fn rooms_in(&self, scope: &Scope) -> Vec<RoomSlot> {
        match scope {
            Scope::Channel(slot) => vec![self.graph.channel(*slot).room],
            Scope::Rooms { rooms, .. } => rooms.keys().copied().collect(),
        }
    }

    /// A subscription counts no more.
    pub(crate) fn release(&mut self, subscription: &Subscription) {
        for room in self.rooms_in(&subscription.scope) {
            self.graph.lose_reader(room);
        }
        if let Scope::Channel(slot) = subscription.scope {
            self.graph.release_channel(slot);
        }
    }
}

fn of_another_log() -> Refusal {
    let want = "a position of this instance's log, or none";
    topics::refuse(Code::UnknownPosition, "a position of another log", want)
}
