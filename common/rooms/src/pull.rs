//! Serving subscriptions: what a connection pulls, and what is read from the disk for it.
//!
//! A pull goes round the connection's subscriptions that have something, a quantum each, until the budget is
//! used up. Who needs the disk steps aside until the chunk is there; the others go on.

use crate::{
    bus::Bus,
    connection::{self, Connection},
    output::Output,
    replay::{Asked, Held, Sought, What},
    subscription::{Newest, Next, State, Subscription, View},
    topics,
};
use riser_model::{
    ConnectionId, Gap, Interest, Now, Position, Read, RoomId, RoomName, Route, Run, Selected, Selection, Seq,
    SessionId, SubscriptionId,
    door::{Completeness, Delivery, Push, Subscribed, Tell},
    event::{Scope, SystemEvent},
};
use riser_wire::entry::{Body, Publication};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// What a push costs beside its body.
const PUSH_BYTES: u32 = 64;
/// What a subscription may take before the next one's turn.
const QUANTUM_BYTES: u32 = 8192;
/// A read that brought nothing is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// What a subscription does after its turn.
enum After {
    Goes,
    Waits,
    Reads,
}

impl Bus {
    pub(crate) fn pull(&mut self, connection: ConnectionId, bytes: u32, now: Now) {
        let mut pushes = Vec::new();
        self.tell_through(connection, now, &mut pushes);
        let mut budget = bytes.max(1);
        // A member of a group has one turn: then it is others'.
        let mut had: Vec<SubscriptionId> = Vec::new();
        let mut later: Vec<SubscriptionId> = Vec::new();
        while budget > 0 {
            let Some(reader) = self.connections.get_mut(&connection) else { return };
            let Some(id) = reader.active.pop_front() else { break };
            let Some(mut subscription) = reader.subscriptions.remove(&id) else { continue };
            if subscription.share.is_some() && had.contains(&id) {
                reader.subscriptions.insert(id, subscription);
                later.push(id);
                continue;
            }
            if subscription.share.is_some() {
                had.push(id);
            }
            if subscription.state == State::Active {
                self.serve(connection, &mut subscription, &mut budget, &mut pushes);
            }
            if let Some(reader) = self.connections.get_mut(&connection) {
                reader.subscriptions.insert(id, subscription);
            }
        }
        let Some(reader) = self.connections.get_mut(&connection) else { return };
        reader.active.extend(later);
        let active = |id: &SubscriptionId| {
            reader.subscriptions.get(id).is_some_and(|subscription| subscription.state == State::Active)
        };
        let more = reader.active.iter().any(active);
        reader.told = more;
        self.outputs.push_back(Output::Tell { connection, tell: Tell::Deliver { pushes, more } });
        self.let_go(connection);
        self.ask_disk(connection);
    }

    /// One turn of one subscription, which is out of its connection meanwhile.
    fn serve(
        &mut self,
        connection: ConnectionId,
        subscription: &mut Subscription,
        budget: &mut u32,
        pushes: &mut Vec<Push>,
    ) {
        let mut quantum = QUANTUM_BYTES.min(*budget);
        let mut portion = self.portion(subscription);
        let after = loop {
            if quantum == 0 || portion == 0 {
                break After::Goes;
            }
            let Some(next) = self.next_of(connection, subscription) else { return };
            match next {
                Next::Nothing => break After::Waits,
                Next::Blocked => break After::Reads,
                next => {
                    portion -= 1;
                    let replayed = match &next {
                        Next::Publication { seq, .. } => Some(*seq).filter(|seq| *seq <= subscription.joined),
                        Next::Retained { .. }
                        | Next::Newest { .. }
                        | Next::Wiped(_)
                        | Next::Passed(_)
                        | Next::Gap(_)
                        | Next::Nothing
                        | Next::Blocked => None,
                    };
                    self.give(connection, subscription, &next);
                    let Some(view) = self.view(connection) else { return };
                    let mut push = push(subscription, &view, next);
                    if let Some(Push::Publication(delivery)) = &mut push {
                        // Of what has no position (Latest, retained) each is for few.
                        let pos = delivery.pos;
                        delivery.wording = pos.and_then(|pos| self.wordings.of(pos.seq, delivery.body.len()));
                    }
                    let cost = cost(&push);
                    self.count(&push);
                    if let Some(seq) = replayed {
                        self.note_shown(&subscription.scope, seq, (connection, subscription.id));
                    }
                    if let Some(Push::Gap { gap, .. }) = &push
                        && !self.is_technical(&subscription.scope)
                    {
                        self.missed(connection, *gap);
                    }
                    pushes.extend(push);
                    quantum = quantum.saturating_sub(cost);
                    *budget = budget.saturating_sub(cost);
                }
            }
        };
        self.rest(connection, subscription, &after);
    }

    /// Where a subscription goes after it was looked at.
    fn rest(&mut self, connection: ConnectionId, subscription: &mut Subscription, after: &After) {
        let Some(reader) = self.connections.get_mut(&connection) else { return };
        let id = subscription.id;
        match after {
            After::Goes => reader.active.push_back(id),
            After::Waits => {
                subscription.state = State::Idle;
                connection::wait(&mut self.graph, subscription, (connection, id));
            }
            After::Reads => {
                subscription.state = State::Reading;
                reader.replay.reading.insert(id);
            }
        }
    }

    /// A reader met a gap.
    fn missed(&mut self, connection: ConnectionId, gap: Gap) {
        let Some(reader) = self.connections.get(&connection) else { return };
        let (client, name) = (reader.principal.client, reader.principal.name.clone());
        let scope = Scope::Account(reader.principal.account);
        self.event(scope, SystemEvent::ReaderGap { client, name, connection, gap });
    }

    fn count(&mut self, push: &Option<Push>) {
        match push {
            Some(Push::Publication(delivery)) => {
                self.counters.delivered += 1;
                self.counters.skipped += delivery.skipped;
            }
            Some(Push::Gap { gap, .. }) => self.counters.gapped += gap.count(),
            Some(Push::Wiped { .. } | Push::Through { .. }) | None => {}
        }
    }

    /// What a connection's subscriptions read from.
    pub(crate) fn view(&self, connection: ConnectionId) -> Option<View<'_>> {
        let reader: &Connection = self.connections.get(&connection)?;
        Some(View {
            retained: &self.retained,
            wall: self.now.wall,
            root: topics::root(&self.bindings),
            graph: &self.graph,
            tail: &self.tail,
            chain: &self.chain,
            routes: &self.routes,
            copies: &self.copies,
            principal: &reader.principal,
            held: reader.replay.held.as_ref(),
        })
    }

    /// Tells quiet subscriptions how far they are, now and then.
    fn tell_through(&mut self, connection: ConnectionId, now: Now, pushes: &mut Vec<Push>) {
        let Some(reader) = self.connections.get_mut(&connection) else { return };
        if now.time < reader.through_at {
            return;
        }
        reader.through_at = now.time.plus(self.config.through_every());
        let pos = self.chain.position(self.chain.committed);
        for subscription in reader.subscriptions.values_mut() {
            let quiet = subscription.state == State::Idle && subscription.at != pos;
            if quiet && subscription.share.is_none() {
                subscription.at = pos;
                pushes.push(Push::Through { subscription: subscription.id, pos });
            }
        }
    }

    /// A subscription rests, or goes on. One that still looks for its place does not rest.
    pub(crate) fn pause(&mut self, connection: ConnectionId, id: SubscriptionId, paused: bool) {
        let Some(reader) = self.connections.get_mut(&connection) else { return };
        let Some(subscription) = reader.subscriptions.get_mut(&id) else { return };
        match (&subscription.state, paused) {
            (State::Idle | State::Active | State::Reading, true) => {
                subscription.state = State::Paused;
                connection::stop(&mut self.graph, subscription, (connection, id));
                reader.active.retain(|active| *active != id);
                reader.replay.reading.remove(&id);
                self.let_go(connection);
                self.ask_disk(connection);
            }
            (State::Paused, false) => {
                subscription.state = State::Idle;
                self.look(connection, id);
                self.ask_disk(connection);
            }
            (State::Seeking(_), true)
            | (State::Paused, true)
            | (State::Idle | State::Active | State::Reading | State::Seeking(_), false) => {}
        }
    }

    /// Looks what a subscription has to do: nothing, be pulled, or be read for.
    pub(crate) fn look(&mut self, connection: ConnectionId, id: SubscriptionId) {
        let Some(reader) = self.connections.get_mut(&connection) else { return };
        let Some(mut subscription) = reader.subscriptions.remove(&id) else { return };
        reader.replay.reading.remove(&id);
        let Some(next) = self.next_of(connection, &mut subscription) else { return };
        let after = match next {
            Next::Nothing => After::Waits,
            Next::Blocked => After::Reads,
            Next::Retained { .. }
            | Next::Publication { .. }
            | Next::Newest { .. }
            | Next::Wiped(_)
            | Next::Gap(_)
            | Next::Passed(_) => After::Goes,
        };
        if !matches!(after, After::Goes) {
            self.rest(connection, &mut subscription, &after);
        }
        let Some(reader) = self.connections.get_mut(&connection) else { return };
        reader.subscriptions.insert(id, subscription);
        if matches!(after, After::Goes) {
            let ready = reader.activate(id);
            self.outputs.extend(ready.map(|tell| Output::Tell { connection, tell }));
        }
    }

    /// Goes on with a search for the last n: its place is found, or the disk is asked for what is before.
    pub(crate) fn sought(&mut self, connection: ConnectionId, id: SubscriptionId) {
        let Some(reader) = self.connections.get_mut(&connection) else { return };
        let Some(subscription) = reader.subscriptions.get_mut(&id) else { return };
        let State::Seeking(seek) = &subscription.state else { return };
        let oldest = self.chain.oldest.max(subscription.scope.floor(&self.graph).next());
        let Sought::Start { cursor, whole } = seek.stands(oldest) else {
            reader.replay.reading.insert(id);
            return;
        };
        let at = self.chain.position(cursor);
        (subscription.cursor, subscription.at, subscription.state) = (cursor, at, State::Idle);
        let completeness = if whole { Completeness::Full } else { Completeness::Partial };
        let subscribed = Subscribed { completeness, gaps: Vec::new(), at };
        let tell = Tell::Subscribed { subscription: id, result: Ok(subscribed) };
        self.outputs.push_back(Output::Tell { connection, tell });
        self.look(connection, id);
    }

    /// Asks for the next chunk of a connection, if it needs one and has none.
    pub(crate) fn ask_disk(&mut self, connection: ConnectionId) {
        let Some(reader) = self.connections.get_mut(&connection) else { return };
        let replay = &mut reader.replay;
        if replay.asked.is_some() || replay.held.is_some() || replay.again.is_some() {
            return;
        }
        let Some(id) = replay.choose() else { return };
        let Some(subscription) = reader.subscriptions.get(&id) else { return };
        let (what, read) = match &subscription.state {
            State::Seeking(seek) => {
                let oldest = self.chain.oldest.max(subscription.scope.floor(&self.graph).next());
                let Sought::Before(before) = seek.stands(oldest) else {
                    // What it looked for was trimmed meanwhile.
                    self.sought(connection, id);
                    return self.ask_disk(connection);
                };
                let of = self.interest(connection, &[id].into());
                (What::Back { before, reader: id }, Read::Before { before, of })
            }
            State::Idle | State::Active | State::Reading => {
                let from = subscription.wanted;
                let reads = |id: &&SubscriptionId| {
                    reader.subscriptions.get(id).is_some_and(|one| one.state == State::Reading)
                };
                let readers: BTreeSet<_> = reader.replay.reading.iter().filter(reads).copied().collect();
                let max_bytes = self.config.read_bytes;
                let reader = self.connections.get(&connection);
                let mut these = readers.iter().filter_map(|id| reader?.subscriptions.get(id));
                let read = if these.any(|one| self.reads_all(one)) {
                    Read::All { from, max_bytes }
                } else {
                    Read::Of { from, max_bytes, of: self.interest(connection, &readers) }
                };
                (What::On { from, readers }, read)
            }
            // It is among those that are read for no more.
            State::Paused => return,
        };
        self.reads.ticket += 1;
        let ticket = self.reads.ticket;
        self.reads.asked.insert(ticket, connection);
        if let Some(reader) = self.connections.get_mut(&connection) {
            reader.replay.asked = Some(Asked { ticket, what });
        }
        self.outputs.push_back(Output::Read { ticket, read });
    }

    /// What may concern these subscriptions of a connection.
    fn interest(&self, connection: ConnectionId, readers: &BTreeSet<SubscriptionId>) -> Arc<Interest> {
        let mut rooms: BTreeMap<RoomId, Vec<Selection>> = BTreeMap::new();
        let reader = self.connections.get(&connection);
        for subscription in readers.iter().filter_map(|id| reader?.subscriptions.get(id)) {
            for (room, selection) in subscription.interest(&self.graph) {
                rooms.entry(room).or_default().push(selection);
            }
        }
        let grants = reader.map(|reader| Arc::clone(&reader.principal.grants)).unwrap_or_default();
        let speaks =
            |id: &RoomId| self.graph.room_of(*id).is_some_and(|slot| self.graph.room(slot).speaks.is_some());
        let open = rooms.keys().copied().filter(speaks).collect();
        Arc::new(Interest { rooms, grants, open })
    }

    pub(crate) fn read(&mut self, ticket: u64, found: Selected, now: Now) {
        let Some(found) = self.warm(ticket, found) else { return };
        let Some(connection) = self.reads.asked.remove(&ticket) else {
            self.counters.strays += 1;
            return;
        };
        let Some(reader) = self.connections.get_mut(&connection) else { return };
        let Some(asked) = reader.replay.asked.take_if(|asked| asked.ticket == ticket) else { return };
        let went_on = match asked.what {
            What::On { from, readers } => self.took(connection, from, readers, found),
            What::Back { before, reader } => self.took_back(connection, before, reader, found),
        };
        if !went_on {
            let at = now.time.plus(AGAIN);
            if let Some(reader) = self.connections.get_mut(&connection) {
                reader.replay.again = Some(at);
                self.reads.again.insert((at, connection));
            }
            return;
        }
        self.go_on(connection);
        self.let_go(connection);
        self.shrink_held();
        self.ask_disk(connection);
    }

    /// Holds what was read for those who wait for it. False if it brought nothing.
    fn took(
        &mut self,
        connection: ConnectionId,
        from: Seq,
        readers: BTreeSet<SubscriptionId>,
        found: Selected,
    ) -> bool {
        self.reads.arrival += 1;
        let missing = |from, to| self.chain.missing(from, to);
        let Some(held) = Held::new(from, found, &self.routes, missing, self.reads.arrival) else {
            return false;
        };
        let Some(reader) = self.connections.get_mut(&connection) else { return true };
        let held = held.with_readers(readers);
        self.reads.bytes += held.bytes;
        self.reads.held.insert(held.arrival, connection);
        reader.replay.held = Some(held);
        true
    }

    /// Looks through what was read for one that seeks its place. False if it brought nothing.
    fn took_back(
        &mut self,
        connection: ConnectionId,
        before: Seq,
        id: SubscriptionId,
        found: Selected,
    ) -> bool {
        let Some(reader) = self.connections.get_mut(&connection) else { return true };
        let Some(mut subscription) = reader.subscriptions.remove(&id) else { return true };
        let state = std::mem::replace(&mut subscription.state, State::Idle);
        let State::Seeking(mut seek) = state else {
            unreachable!("a read for one that seeks is forgotten with it")
        };
        let (down_to, first) = (found.chunk.next, found.chunk.runs.first().map(Run::first));
        let missing = |from, to| self.chain.missing(from, to);
        let held = first.and_then(|first| Held::new(first, found, &self.routes, missing, 0));
        let went_on = match (&held, self.view(connection)) {
            (Some(held), Some(view)) => {
                seek.take(held, |seq, channel| subscription.meets(view.graph, view.principal, channel, seq));
                true
            }
            (None, _) | (_, None) => {
                seek.passed(down_to);
                down_to < before || before <= self.chain.oldest
            }
        };
        subscription.state = State::Seeking(seek);
        if let Some(reader) = self.connections.get_mut(&connection) {
            reader.subscriptions.insert(id, subscription);
        }
        went_on
    }

    /// Every subscription that waits for the disk looks at what is held.
    fn go_on(&mut self, connection: ConnectionId) {
        let Some(reader) = self.connections.get_mut(&connection) else { return };
        for id in reader.replay.reading.iter().copied().collect::<Vec<_>>() {
            let reader = self.connections.get(&connection);
            match reader.and_then(|reader| reader.subscriptions.get(&id)).map(|one| &one.state) {
                Some(State::Seeking(_)) => self.sought(connection, id),
                Some(State::Idle | State::Active | State::Reading) => self.look(connection, id),
                Some(State::Paused) | None => {}
            }
        }
    }

    /// Lets go of a chunk that no subscription stands in.
    pub(crate) fn let_go(&mut self, connection: ConnectionId) {
        let first = self.tail.first();
        let Some(reader) = self.connections.get_mut(&connection) else { return };
        if !reader.needs_held(first) {
            let held = reader.replay.held.take();
            self.discard(held);
        }
    }

    /// The chunks that wait longest make room; they are read again when their readers come. The newest stays, so
    /// that somebody gets on however small the bound is.
    fn shrink_held(&mut self) {
        while self.reads.bytes > self.config.chunks_bytes_max && self.reads.held.len() > 1 {
            let Some((_, connection)) = self.reads.held.pop_first() else { return };
            let held = self.connections.get_mut(&connection).and_then(|reader| reader.replay.held.take());
            self.counters.chunks_discarded += 1;
            self.discard(held);
        }
    }

    pub(crate) fn discard(&mut self, held: Option<Held>) {
        if let Some(held) = held {
            self.reads.held.remove(&held.arrival);
            self.reads.bytes -= held.bytes;
        }
    }

    /// Reads that brought nothing are tried again.
    pub(crate) fn try_again(&mut self, now: Now) {
        while let Some((at, connection)) = self.reads.again.first().copied().filter(|(at, _)| *at <= now.time)
        {
            self.reads.again.remove(&(at, connection));
            if let Some(reader) = self.connections.get_mut(&connection) {
                reader.replay.again = None;
                self.go_on(connection);
                self.ask_disk(connection);
            }
        }
    }
}

/// Makes the push that a look found, and moves the cursor past it. None if it cannot be named.
fn push(subscription: &mut Subscription, view: &View<'_>, next: Next) -> Option<Push> {
    let id = subscription.id;
    match next {
        Next::Retained { route, retained } => {
            if let Some(walk) = &mut subscription.walk {
                walk.after = Some(route.channel.clone());
            }
            subscription.own.remove(&retained.position.seq);
            let (Named { room, rooted, technical, linked }, prev) = (named(view, &route)?, subscription.at);
            let reported = linked && Publication::has_publish_id(&retained.body);
            let (body, wall) = (retained.body, retained.wall);
            let (pos, skipped, retained) = (None, 0, Some(retained.position));
            let session = None;
            let delivery = Delivery {
                subscription: id,
                pos,
                prev,
                route,
                room,
                body,
                wording: None,
                skipped,
                retained,
                wall,
                rooted,
                session,
                technical,
                reported,
            };
            Some(Push::Publication(delivery))
        }
        Next::Publication { seq, found } => {
            subscription.cursor = seq;
            let route = Arc::clone(&view.routes.known(found.route)?.route);
            let Named { room, rooted, technical, linked } = named(view, &route)?;
            let reported = linked && Publication::has_publish_id(&found.body);
            let pos = Position { log: view.chain.log, epoch: found.epoch, seq };
            let prev = std::mem::replace(&mut subscription.at, pos);
            let (pos, body, wall) = (Some(pos), found.body, found.wall);
            let (skipped, retained, session) = (0, None, session_of(view, &route, seq));
            let delivery = Delivery {
                subscription: id,
                pos,
                prev,
                route,
                room,
                body,
                wording: None,
                skipped,
                retained,
                wall,
                rooted,
                session,
                technical,
                reported,
            };
            Some(Push::Publication(delivery))
        }
        Next::Newest { channel, value, skipped } => {
            if let Some(conflation) = &mut subscription.conflation {
                conflation.shown(channel, view.graph.channel(channel));
            }
            subscription.wanted = Seq::ZERO;
            let prev = subscription.at;
            let (pos, route, body, wall) = match value {
                Newest::Log { position, route, body, wall } => (Some(position), route, body, wall),
                Newest::Latest { route, body } => {
                    let wall = Body::read(&body).map_or(view.wall, |body| body.stamp.wall);
                    (None, route, body, wall)
                }
                Newest::Gone(seq) => {
                    let gap = view.chain.missing(seq, seq).into_iter().next()?;
                    let pos = view.chain.position(seq);
                    subscription.at = pos;
                    return Some(Push::Gap { subscription: id, gap, pos });
                }
            };
            subscription.at = pos.unwrap_or(prev);
            let (Named { room, rooted, technical, linked }, retained) = (named(view, &route)?, None);
            let reported = linked && pos.is_some() && Publication::has_publish_id(&body);
            let session = pos.and_then(|pos| session_of(view, &route, pos.seq));
            let delivery = Delivery {
                subscription: id,
                pos,
                prev,
                route,
                room,
                body,
                wording: None,
                skipped,
                retained,
                wall,
                rooted,
                session,
                technical,
                reported,
            };
            Some(Push::Publication(delivery))
        }
        Next::Wiped(connection) => {
            subscription.wiped.pop_front();
            let session = SessionId { epoch: view.chain.epoch, connection };
            Some(Push::Wiped { subscription: id, session })
        }
        Next::Gap(gap) => {
            subscription.cursor = gap.to;
            let pos = view.chain.position(gap.to);
            subscription.at = pos;
            Some(Push::Gap { subscription: id, gap, pos })
        }
        Next::Passed(seq) => Some(Push::Through { subscription: id, pos: view.chain.position(seq) }),
        Next::Nothing | Next::Blocked => None,
    }
}

/// The session that an entry belongs to, as long as it is replayed.
fn session_of(view: &View<'_>, route: &Route, seq: Seq) -> Option<SessionId> {
    let session = view.graph.room(view.graph.room_of(route.room)?).session.as_ref()?;
    let connection = session.owner(seq)?;
    Some(SessionId { epoch: view.chain.epoch, connection })
}

/// What of a delivery its room says.
struct Named {
    room: RoomName,
    /// It is the root of MQTT's topics.
    rooted: bool,
    /// Whose technical channel it is.
    technical: Option<Scope>,
    /// Whether uplinks carry it.
    linked: bool,
}

fn named(view: &View<'_>, route: &Route) -> Option<Named> {
    let slot = view.graph.room_of(route.room)?;
    let (name, room) = (view.graph.name(slot)?, view.graph.room(slot));
    let (technical, linked) = (room.speaks, room.declared.as_ref().is_some_and(|declared| declared.linked));
    let rooted = technical.is_none() && view.root == Some(name);
    Some(Named { room: name.clone(), rooted, technical, linked })
}

fn cost(push: &Option<Push>) -> u32 {
    let body = match push {
        Some(Push::Publication(delivery)) => delivery.body.len(),
        Some(Push::Gap { .. } | Push::Wiped { .. } | Push::Through { .. }) | None => 0,
    };
    // A body is bounded far below u32.
    PUSH_BYTES + body as u32
}
