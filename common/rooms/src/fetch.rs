//! What is read from the disk for subscriptions: one read per connection at a time, whose turn it is, and what becomes
//! of it. Where few read, what comes next is read while they go through what they have.

use crate::{
    bus::Bus,
    output::Output,
    replay::{Asked, Held, Sought, What},
    subscription::{State, Subscription},
    topics,
};
use riser_model::{
    ConnectionId, Interest, Now, Read, RoomId, Run, Selected, Selection, Seq, SubscriptionId,
    door::{Completeness, Subscribed, Tell},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// However many read, a read asks for so much.
const READ_BYTES_MIN: u32 = 32 << 10;
/// A read that brought nothing is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);

impl Bus {
    /// Goes on with a search for the last n: its place is found, or the disk is asked for what is before.
    pub(crate) fn sought(&mut self, connection: ConnectionId, id: SubscriptionId) {
        let Some(reader) = self.connections.get_mut(&connection) else { return };
        let Some(subscription) = reader.subscriptions.get_mut(&id) else { return };
        let State::Seeking(seek) = &subscription.state else { return };
        let oldest = subscription.oldest(&self.graph, &self.chain);
        let oldest = oldest.max(subscription.scope.floor(&self.graph).next());
        let Sought::Start { cursor, whole } = seek.stands(oldest) else {
            reader.replay.reading.insert(id);
            return;
        };
        let at = self.chain.position(cursor);
        (subscription.cursor, subscription.at, subscription.state) = (cursor, at, State::Idle);
        let completeness = if whole { Completeness::Full } else { Completeness::Partial };
        let Some(subscription) = self.connections.get(&connection).and_then(|one| one.subscriptions.get(&id))
        else {
            return;
        };
        let floor = self.floor_of(&subscription.scope, subscription.oldest(&self.graph, &self.chain));
        let subscribed = Subscribed { completeness, gaps: Vec::new(), at, floor, until: None };
        let tell = Tell::Subscribed { subscription: id, result: Ok(subscribed) };
        self.outputs.push_back(Output::Tell { connection, tell });
        self.look(connection, id);
    }

    /// Asks for the next chunk of a connection, if it needs one and has none, or soon will.
    pub(crate) fn ask_disk(&mut self, connection: ConnectionId) {
        let Some(reader) = self.connections.get_mut(&connection) else { return };
        let replay = &mut reader.replay;
        if replay.asked.is_some() || replay.again.is_some() {
            return;
        }
        if replay.held.is_some() {
            return self.ask_ahead(connection);
        }
        let Some(id) = replay.choose() else { return };
        let Some(reader) = self.connections.get(&connection) else { return };
        let Some(subscription) = reader.subscriptions.get(&id) else { return };
        match &subscription.state {
            State::Seeking(seek) => {
                let oldest = subscription.oldest(&self.graph, &self.chain);
                let oldest = oldest.max(subscription.scope.floor(&self.graph).next());
                let Sought::Before(before) = seek.stands(oldest) else {
                    // What it looked for was trimmed meanwhile.
                    self.sought(connection, id);
                    return self.ask_disk(connection);
                };
                let of = self.interest(connection, &[id].into());
                self.ask_for(connection, What::Back { before, reader: id }, Read::Before { before, of });
            }
            State::Idle | State::Active | State::Reading => {
                let from = subscription.wanted;
                let reads = |other: &&SubscriptionId| {
                    let one = reader.subscriptions.get(other);
                    let waits = one.filter(|one| one.state == State::Reading);
                    **other == id || waits.is_some_and(|one| self.is_there(one, from))
                };
                let readers = reader.replay.reading.iter().filter(reads).copied().collect();
                self.ask_on(connection, from, readers);
            }
            // It is among those that are read for no more.
            State::Paused => {}
        }
    }

    /// Asks for what comes after the chunk that is held, for those who go through that one in order. Nobody waits for the
    /// disk then, nor is the disk idle while they are shown what was read.
    fn ask_ahead(&mut self, connection: ConnectionId) {
        let Some(reader) = self.connections.get(&connection) else { return };
        let replay = &reader.replay;
        let Some(held) = &replay.held else { return };
        let from = held.next();
        let is_due = replay.ahead.is_none()
            && replay.alone != Some(held.arrival)
            && replay.reading.is_empty()
            && from < self.tail.first();
        if !is_due || !self.has_room_ahead() {
            return;
        }
        let goes_on = |one: &Subscription| {
            let stands = held.covers(one.cursor.next(), one.id);
            one.state == State::Active && one.goes_in_order() && stands && self.is_there(one, from)
        };
        let all = reader.subscriptions.values();
        let readers: BTreeSet<_> = all.filter(|one| goes_on(one)).map(|one| one.id).collect();
        if !readers.is_empty() {
            self.ask_on(connection, from, readers);
        }
    }

    /// What the log has let go of is read for those only who find it in the archive.
    fn is_there(&self, subscription: &Subscription, from: Seq) -> bool {
        from >= self.chain.oldest || subscription.oldest(&self.graph, &self.chain) <= from
    }

    fn ask_on(&mut self, connection: ConnectionId, from: Seq, readers: BTreeSet<SubscriptionId>) {
        let max_bytes = self.share_of_chunks();
        let reader = self.connections.get(&connection);
        let mut these = readers.iter().filter_map(|id| reader?.subscriptions.get(id));
        let read = if these.any(|one| self.reads_all(one)) {
            Read::All { from, max_bytes }
        } else {
            Read::Of { from, max_bytes, of: self.interest(connection, &readers) }
        };
        self.ask_for(connection, What::On { from, readers }, read);
    }

    fn ask_for(&mut self, connection: ConnectionId, what: What, read: Read) {
        self.reads.ticket += 1;
        let ticket = self.reads.ticket;
        self.reads.asked.insert(ticket, connection);
        if let Some(reader) = self.connections.get_mut(&connection) {
            reader.replay.asked = Some(Asked { ticket, what });
        }
        self.outputs.push_back(Output::Read { ticket, read });
    }

    /// Whether so few read that each may have a chunk more than the one that it is shown: a quarter of what may be held
    /// is for those.
    fn has_room_ahead(&self) -> bool {
        let chunks = self.reads.asked.len() + self.reads.held.len() + 1;
        let bytes = self.reads.bytes.max(self.config.read_bytes as usize * chunks);
        bytes <= self.config.chunks_bytes_max / 4
    }

    /// What one read brings at most. Where many read, each has less: what is let go before its reader comes is read again.
    fn share_of_chunks(&self) -> u32 {
        let readers = self.reads.asked.len() + self.reads.held.len() + 1;
        // With its index a chunk takes a little more than was read.
        let share = u32::try_from(self.config.chunks_bytes_max / 4 * 3 / readers).unwrap_or(u32::MAX);
        share.clamp(READ_BYTES_MIN.min(self.config.read_bytes), self.config.read_bytes)
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
            let Some(reader) = self.connections.get_mut(&connection) else { return };
            let replay = &mut reader.replay;
            // What was read ahead nobody waits for yet: it is asked for again when somebody does.
            replay.alone = replay.held.as_ref().map(|held| held.arrival);
            if replay.held.is_none() {
                replay.again = Some(at);
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
        let held = held.with_readers(readers).with_routes(std::mem::take(&mut self.archived_routes));
        self.reads.bytes += held.bytes;
        self.reads.held.insert(held.arrival, connection);
        let place =
            if reader.replay.held.is_none() { &mut reader.replay.held } else { &mut reader.replay.ahead };
        *place = Some(held);
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
                let is_told = |seq, channel| {
                    let body = held.get(seq).map(|found| found.body);
                    body.is_none_or(|body| topics::is_told(view.graph, view.principal, channel, &body))
                };
                seek.take(held, |seq, channel| {
                    subscription.meets(view.graph, view.principal, channel, seq) && is_told(seq, channel)
                });
                true
            }
            (None, _) | (_, None) => {
                seek.passed(down_to);
                down_to < before || before <= subscription.oldest(&self.graph, &self.chain)
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

    /// Lets go of a chunk that no subscription stands in. Those who wait for what comes next find it in the one that was
    /// read ahead.
    pub(crate) fn let_go(&mut self, connection: ConnectionId) {
        let first = self.tail.first();
        while let Some(reader) = self.connections.get_mut(&connection) {
            if reader.needs_held(first) {
                return;
            }
            let next = reader.replay.ahead.take();
            let (held, goes_on) =
                (std::mem::replace(&mut reader.replay.held, next), reader.replay.held.is_some());
            self.discard(held);
            if !goes_on {
                return;
            }
            self.go_on(connection);
        }
    }

    /// The chunks that wait longest make room, of a connection the one that was read ahead first; they are read again when
    /// their readers come. The newest that somebody stands in stays, so that somebody gets on however small the bound is.
    fn shrink_held(&mut self) {
        while self.reads.bytes > self.config.chunks_bytes_max && self.reads.held.len() > 1 {
            let Some((_, connection)) = self.reads.held.first_key_value() else { return };
            let Some(reader) = self.connections.get_mut(connection) else { return };
            let replay = &mut reader.replay;
            if replay.ahead.is_some() {
                replay.alone = replay.held.as_ref().map(|held| held.arrival);
            }
            let Some(held) = replay.ahead.take().or_else(|| replay.held.take()) else { return };
            self.counters.chunks_discarded += 1;
            self.discard(Some(held));
        }
    }

    pub(crate) fn discard(&mut self, held: Option<Held>) {
        if let Some(held) = held {
            self.reads.held.remove(&held.arrival);
            self.reads.bytes -= held.bytes;
            self.forget_archived(held.archived);
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
