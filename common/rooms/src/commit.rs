//! Entries that are on disk: their receipts, the tail, what channels show, and who is woken.
//!
//! Fan-out is per batch and changed channel: a reader that has something already is not looked at again.

use crate::{
    bus::Bus,
    conflate,
    connection::{self, refuse_all},
    graph::{ChannelSlot, Key, Present, Value},
    input::Latest,
    intake::{Piece, Unstored, failure},
    output::{Output, Placed},
    producers::Fate,
    retained::Changes,
    rounds,
    subscription::State,
    tail::Block,
    topics,
};
use bytes::Bytes;
use riser_model::{
    ClientId, ConnectionId, Gap, Now, Position, Seq, Wall,
    door::{Code, Refusal, Tell},
    event::{Scope, SystemEvent},
};
use riser_wire::entry::{Publication, PublishId};
use std::{collections::BTreeSet, sync::Arc};

impl Bus {
    /// The batches up to this ticket are on disk.
    pub(crate) fn persisted(&mut self, ticket: u64, now: Now) {
        self.shrink_tail();
        let before = self.chain.committed;
        while let Some(Unstored { block, pieces, ids, .. }) = self.line.stored(ticket) {
            for (place, client, id) in ids {
                self.producers.note(block.first.plus(u64::from(place)), client, id);
            }
            for piece in pieces {
                self.complete(piece, Ok(()));
            }
            if block.count() > 0 {
                self.commit(block, now);
            }
        }
        if self.chain.committed > before {
            self.graph.advance_floors(now);
            if self.failing.take().is_some() {
                self.event(Scope::Instance, SystemEvent::LogRecovered);
            }
            self.say_again();
            self.graph.moved = true;
            self.tell_traffic(now.time);
            self.retained.expire(self.steps.steady(now), self.steps.latest(now));
            self.hand_out_retained();
            self.outputs.push_back(Output::Committed { through: self.chain.committed });
        }
    }

    pub(crate) fn failed(&mut self, ticket: u64, code: Code) {
        let (failed, open) = self.line.failed(ticket, &mut self.routes);
        self.steps.rewind(self.line.next());
        let (Some(first), Some(last)) = (failed.first(), failed.last()) else { return };
        // Those that were not fetched yet carry seqs that are given again.
        let gone = first.ticket()..=last.ticket();
        let had_entries = failed.iter().any(|unstored| unstored.block.count() > 0);
        self.outputs.retain(|output| match output {
            Output::Persist { ticket, .. } => !gone.contains(ticket),
            Output::Tell { .. }
            | Output::Read { .. }
            | Output::Done { .. }
            | Output::Committed { .. }
            | Output::Retained(_)
            | Output::Archive(_)
            | Output::Count(_)
            | Output::Joined { .. }
            | Output::Left { .. }
            | Output::Settled { .. } => true,
        });
        self.counters.failed +=
            failed.iter().map(|unstored| unstored.block.count()).sum::<u64>() + open.count;
        for piece in failed.into_iter().flat_map(|unstored| unstored.pieces).chain(open.pieces) {
            self.complete(piece, Err(code));
        }
        if had_entries && self.failing != Some(code) {
            self.failing = Some(code);
            let event = match code {
                Code::QuotaExceeded => SystemEvent::QuotaReached,
                code => SystemEvent::LogFailing { code: code.name().into() },
            };
            self.event(Scope::Instance, event);
        }
    }

    /// Answers who waited for a batch.
    pub(crate) fn complete(&mut self, piece: Piece, result: Result<(), Code>) {
        match piece {
            Piece::Said(said) => self.said(*said, result.is_ok()),
            Piece::Done { token, placed, charged } => {
                if result.is_err() {
                    self.graph.refund(charged);
                }
                let result: Result<Placed, Code> = result.map(|()| placed);
                self.outputs.push_back(Output::Done { token, result });
            }
            Piece::Intake {
                connection,
                ticket,
                first,
                indexes,
                mut refused,
                resent,
                owned,
                unplaced,
                bytes,
                charged,
                last,
            } => {
                if result.is_err() {
                    self.graph.refund(charged);
                } else {
                    self.tell_unplaced(unplaced);
                }
                self.own(connection, owned, result.is_ok());
                if !resent.is_empty() {
                    self.answer_resent(&mut refused, resent);
                }
                let Some(publisher) = self.connections.get_mut(&connection) else {
                    return self.settle(connection);
                };
                publisher.unstored -= 1;
                publisher.unstored_bytes -= bytes;
                match result {
                    Ok(()) => {
                        publisher.partial.first.get_or_insert(first);
                    }
                    Err(code) => {
                        publisher.failed = Some((ticket, code));
                        refuse_all(&mut refused, indexes, &failure(code));
                    }
                }
                publisher.partial.refused.append(&mut refused);
                if last {
                    let partial = std::mem::take(&mut publisher.partial);
                    let tell = Tell::Stored {
                        ticket,
                        log: self.chain.log,
                        epoch: self.chain.epoch,
                        first: partial.first.unwrap_or(first),
                        refused: partial.refused,
                    };
                    let settled = publisher.unstored == 0;
                    self.outputs.push_back(Output::Tell { connection, tell });
                    if self.closing && settled {
                        self.send_away(connection);
                    }
                }
            }
        }
    }

    /// What a session published is replayed from now on, if it is on disk and the session is still there.
    fn own(&mut self, connection: ConnectionId, owned: Vec<(Seq, ChannelSlot)>, stored: bool) {
        // Who has left its room meanwhile has none there any more.
        let lives = self.connections.get(&connection).is_some_and(|one| one.session);
        let owner = self.session_id(connection);
        for (seq, channel) in owned {
            let room = self.graph.channel(channel).room;
            match &mut self.graph.room_mut(room).session {
                Some(session) if stored && lives => session.add(seq, channel, owner),
                Some(session) => session.release(),
                None => {}
            }
        }
    }

    /// Of what was sent before it is known whether that was stored: if not, it was refused with its batch.
    fn answer_resent(&mut self, refused: &mut Vec<(u32, Refusal)>, resent: Vec<(u32, ClientId, PublishId)>) {
        for (index, client, id) in resent {
            let refusal = match self.producers.fate(client, id) {
                Fate::Stored => {
                    self.counters.refuse(Code::Dup, 1);
                    topics::refuse(Code::Dup, "it is stored already", "a higher n for another publication")
                }
                Fate::Forgotten => {
                    self.counters.refuse(Code::WrongState, 1);
                    let what = "its number is older than what is remembered of this producer: it was stored or refused";
                    topics::refuse(
                        Code::WrongState,
                        what,
                        "look whether it is there, or publish it under a new n",
                    )
                }
                Fate::New => failure(Code::LogFailing),
            };
            refused.push((index, refusal));
        }
        refused.sort_by_key(|(index, _)| *index);
    }

    fn settle(&mut self, connection: ConnectionId) {
        if let Some(unstored) = self.left.get_mut(&connection) {
            *unstored -= 1;
            if *unstored == 0 {
                self.left.remove(&connection);
                self.outputs.push_back(Output::Settled { connection });
            }
        }
    }

    pub(crate) fn send_away(&mut self, connection: ConnectionId) {
        let refusal: Refusal = topics::refuse(Code::ShuttingDown, "the instance is going down", "come back");
        self.outputs.push_back(Output::Tell { connection, tell: Tell::Refused(refusal) });
    }

    /// Shows entries to readers.
    fn commit(&mut self, block: Block, now: Now) {
        let (first, turn) = (block.first, self.graph.turn);
        let mut changed: Vec<(ChannelSlot, Option<Seq>)> = Vec::new();
        for (place, slot) in block.channels.iter().enumerate() {
            if *slot == ChannelSlot::NONE {
                continue;
            }
            let (seq, frame) = (first.plus(place as u64), block.frame(place));
            let frame = frame.expect("an entry is read when it is numbered");
            if Publication::is_retained(frame.body)
                && let Some(known) = self.routes.known(frame.route)
            {
                let position = Position { log: self.chain.log, epoch: block.epoch, seq };
                let since = self.steps.of(seq, Wall(0));
                let bytes_max = self.config.retained_bytes_max;
                self.retained.keep(&frame, (position, Some(since.0)), &known.route, bytes_max);
            }
            if self.graph.channel(*slot).touched.0 != first {
                self.graph.roll(*slot, self.config.channels_tracked_max, now.time);
            }
            self.graph.note(*slot, seq, frame.body.len() as u64, now);
            let origin = frame.origin.map(|origin| (origin.number, origin.seq));
            let channel = self.graph.channel_mut(*slot);
            channel.origin = origin.or(channel.origin);
            if let Some(present) = conflate::overtakes(channel, &self.routes, origin) {
                self.latest_bytes -= present.body.len();
            }
            let shows = !conflate::outdated(channel, &self.routes, origin);
            let newest = shows.then_some(seq);
            let (batch, at) = channel.touched;
            match changed.get_mut(at).filter(|_| batch == first) {
                Some((_, shown)) => *shown = newest.or(*shown),
                None => {
                    channel.touched = (first, changed.len());
                    changed.push((*slot, newest));
                }
            }
        }
        self.counters.committed += block.count();
        self.chain.committed = block.next().prev();
        self.tail.push(block);
        let mut shown: Vec<(Seq, ChannelSlot)> =
            changed.iter().filter_map(|(slot, seq)| Some(((*seq)?, *slot))).collect();
        shown.sort_unstable();
        for (seq, slot) in shown {
            if let Some(Value::Log(before)) = self.graph.channel(slot).value {
                self.copies.remove(before);
            }
            self.graph.show(slot, Value::Log(seq));
        }
        for (slot, _) in changed {
            self.wake(slot, first.prev(), turn, false);
        }
    }

    fn hand_out_retained(&mut self) {
        if self.retained.has_changes() {
            let through = self.chain.position(self.chain.committed);
            let changed = self.retained.take_changes();
            self.outputs.push_back(Output::Retained(Changes { through, changed }));
        }
    }

    fn shrink_tail(&mut self) {
        while let Some(block) = self.tail.surplus(self.said) {
            for (place, slot) in block.channels.iter().enumerate() {
                if *slot == ChannelSlot::NONE {
                    continue;
                }
                let seq = block.first.plus(place as u64);
                if self.graph.forget(*slot, seq)
                    && let Some(found) = block.get(seq)
                {
                    self.copies.keep(seq, found, self.config.copies_bytes_max);
                }
            }
            self.shelf.trim(block.next());
        }
    }

    /// A channel moved: who waited for it, and may read it, has something.
    fn wake(&mut self, slot: ChannelSlot, before: Seq, turn: u64, present_only: bool) {
        let channel = self.graph.channel(slot);
        let room = channel.room;
        if channel.waiters.is_empty() && self.graph.room(room).waiters.is_empty() {
            return;
        }
        let own = channel.waiters.iter().map(|key| (*key, true));
        let wide = self.graph.room(room).waiters.iter().map(|key| (*key, false));
        let mut waiting: Vec<(Key, bool)> = own.chain(wide).collect();
        if !self.shares.is_empty() {
            // Of a group the one that waits longest is told first.
            waiting.sort_by_key(|(key, _)| self.shares.served(*key));
        }
        let mut roused = Vec::with_capacity(waiting.len());
        let mut gone = (Vec::new(), Vec::new());
        for (key, exact) in waiting {
            if self.rouse(key, slot, before, turn, present_only, &mut roused) {
                if exact { &mut gone.0 } else { &mut gone.1 }.push(key);
            }
        }
        let_go(&mut self.graph.channel_mut(slot).waiters, &gone.0);
        let_go(&mut self.graph.room_mut(room).waiters, &gone.1);
        let many = self.is_wide(slot, roused.len());
        for (id, subscription) in roused {
            let Some(connection) = self.connections.get_mut(&id) else { continue };
            // Of a group one hears of it, not many.
            let many =
                many && connection.subscriptions.get(&subscription).is_some_and(|one| one.share.is_none());
            let heard = connection.activate(subscription, many);
            self.let_hear(id, heard);
        }
    }

    /// Whether a channel's fan-out is one to many: so many waited for it, or did a moment ago, and some of them still read
    /// what they had.
    fn is_wide(&mut self, slot: ChannelSlot, roused: usize) -> bool {
        let now = self.now.time;
        let channel = self.graph.channel_mut(slot);
        if roused >= rounds::MANY {
            channel.wide_until = now.plus(rounds::ROUND_MAX);
        }
        now < channel.wide_until
    }

    /// Whether it need not wait there any more; `roused` if it is because it has something.
    fn rouse(
        &mut self,
        key: Key,
        slot: ChannelSlot,
        before: Seq,
        turn: u64,
        present_only: bool,
        roused: &mut Vec<Key>,
    ) -> bool {
        let Some(connection) = self.connections.get_mut(&key.0) else { return true };
        let Some(subscription) = connection.subscriptions.get_mut(&key.1) else { return true };
        if subscription.state != State::Idle {
            return true;
        }
        if present_only && subscription.conflation.is_none() {
            return false;
        }
        if !subscription.meets_channel(&self.graph, &connection.principal, slot) {
            return false;
        }
        // Nothing that it wants lies between: it waited.
        subscription.cursor = subscription.cursor.max(before);
        if let Some(conflation) = &mut subscription.conflation {
            conflation.turn = conflation.turn.max(turn);
        }
        roused.push(key);
        true
    }

    /// A channel's present, beside a backlog.
    pub(crate) fn latest(&mut self, latest: Latest) {
        let Latest { log, epoch, seq, route, body } = latest;
        if self.graph.channels() >= self.config.routes_max || self.graph.is_beyond(&route).is_some() {
            self.counters.latest_discarded += 1;
            return;
        }
        let slot = self.graph.add_routed(&route);
        let channel = self.graph.channel(slot);
        if !conflate::is_news(channel, &self.routes, log, epoch, seq) {
            return;
        }
        let before = channel.presents.get(&log).map_or(0, |present| present.body.len());
        if self.latest_bytes - before + body.len() > self.config.latest_bytes_max {
            self.counters.latest_discarded += 1;
            return;
        }
        self.latest_bytes = self.latest_bytes - before + body.len();
        if let Some(Value::Log(shown)) = channel.value {
            self.copies.remove(shown);
        }
        // A copy: a slice would keep the whole message that it came in.
        let body = Bytes::copy_from_slice(&body);
        let present = Present { epoch, seq, route: Arc::new(route), body };
        self.graph.channel_mut(slot).presents.insert(log, present);
        let turn = self.graph.turn;
        self.graph.show(slot, Value::Latest(log));
        self.wake(slot, self.chain.committed, turn, true);
    }

    /// The log let go of its oldest entries. Cursors below meet that as a gap when they are pulled.
    pub(crate) fn trimmed(&mut self, oldest: (Seq, Wall), gaps: Vec<Gap>) {
        self.chain.trim(oldest, gaps);
        self.copies.trim(self.chain.oldest);
        self.say_archived();
    }

    /// Nothing of what waits may be told to this connection any more.
    pub(crate) fn forget(&mut self, connection: ConnectionId) {
        let Some(gone) = self.connections.remove(&connection) else { return };
        if gone.session {
            self.end_session(self.session_id(connection));
        }
        for (id, subscription) in &gone.subscriptions {
            connection::stop(&mut self.graph, subscription, (connection, *id));
            self.forget_shown(&subscription.scope, (connection, *id));
            self.release(subscription);
        }
        for group in self.shares.leave(connection) {
            self.offer(group);
        }
        self.discard(gone.replay.held);
        self.discard(gone.replay.ahead);
        if let Some(at) = gone.replay.again {
            self.reads.again.remove(&(at, connection));
        }
        if gone.unstored > 0 {
            self.left.insert(connection, gone.unstored);
        } else {
            self.outputs.push_back(Output::Settled { connection });
        }
    }
}

/// These wait no more. Almost always they are all who did.
fn let_go(waiters: &mut BTreeSet<Key>, gone: &[Key]) {
    if gone.len() == waiters.len() {
        waiters.clear();
    } else {
        for key in gone {
            waiters.remove(key);
        }
    }
}
