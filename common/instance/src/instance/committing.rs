//! What waits for a commit, and what it means when it is there.

use super::{Instance, log_failing};
use crate::connection::{Connection, State};
use riser_model::{
    ConnectionId, Now, RouteNumber, Run, Seq, ShareKey, SubscriptionId,
    door::{Ask, SessionState, Tell},
};
use riser_mqtt::{Record, SessionKey};
use riser_rooms::{Append, Input as BusInput, behind::Change};
use riser_wire::entry::{Frame, Publication, frames};

/// What an own token stands for, once it is committed.
#[derive(Debug)]
pub(super) enum Awaited {
    /// The session's record: the connection may enter.
    Enter { connection: ConnectionId, state: SessionState, willed: bool },
    /// The release of QoS 2 ids: PUBCOMP may leave.
    Release { connection: ConnectionId, ticket: u64, ids: u32 },
    /// What a session must know of its deliveries: they may go on. And what it took of groups.
    HandedOver { connection: ConnectionId, ticket: u64, taken: Vec<(ShareKey, Seq)> },
    /// How far a group is.
    Share { key: ShareKey },
    /// A will was published.
    Will,
    /// What the end of a connection means for its will.
    WillRecord { record: Record },
    /// A kept subscription was given up: UNSUBACK may leave.
    Unsubscribed { connection: ConnectionId, subscription: SubscriptionId },
    /// A kept subscription: SUBACK may leave.
    Tell { connection: ConnectionId, tell: Tell },
    /// Nobody waits for it.
    Nobody,
}

impl Instance {
    /// A number for what will be told when the session's records are committed, or could not be.
    pub(super) fn await_token(&mut self, key: SessionKey, awaited: Awaited) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        *self.changing.entry(key.clone()).or_default() += 1;
        self.awaited.insert(token, (awaited, key));
        token
    }

    /// One of the commits that a session waited for is over.
    pub(super) fn changed(&mut self, key: &SessionKey, now: Now) {
        let Some(left) = self.changing.get_mut(key) else { return };
        *left -= 1;
        if *left == 0 {
            self.changing.remove(key);
            self.let_next_have(key, now);
        }
    }

    pub(super) fn append(&mut self, key: SessionKey, records: &[Record], awaited: Awaited, now: Now) {
        let token = self.await_token(key, awaited);
        let mut entries = Vec::new();
        for record in records {
            record.write_frame(&mut entries, RouteNumber::NONE, now.stamp());
        }
        self.rooms(BusInput::Append(Append::new(token, Vec::new(), entries)), now);
    }

    pub(super) fn committed(&mut self, awaited: Awaited, key: &SessionKey, durable: bool, now: Now) {
        match awaited {
            Awaited::Enter { connection, state, willed } if durable => {
                let here = |c: &Connection| matches!(c.state, State::Session);
                if self.connections.get(&connection).is_some_and(here) {
                    return self.enter(connection, state, now);
                }
                // It left while its session was being opened: the session is alone from here on, and nobody was told
                // that the will is kept.
                let alone = self.sessions.leave(state.number, None, self.steady.wall(now));
                let forget = willed.then(|| Record::Unwilled { key: key.clone() });
                let records: Vec<Record> = alone.into_iter().chain(forget).collect();
                if !records.is_empty() {
                    self.append(key.clone(), &records, Awaited::Nobody, now);
                }
            }
            Awaited::Enter { connection, .. } => self.refuse(connection, log_failing(), now),
            Awaited::Release { connection, ticket, ids } => {
                let failed = if durable { 0 } else { ids };
                let refused = (0..failed).map(|index| (index, log_failing())).collect();
                let mut stored = self.stored(ticket);
                if let Tell::Stored { refused: place, .. } = &mut stored {
                    *place = refused;
                }
                self.answer(connection, ticket, stored);
            }
            Awaited::Tell { connection, tell } if durable => {
                if let Tell::Subscribed { subscription, .. } = tell {
                    self.filter_changed(connection, subscription, now);
                }
                self.tell(connection, tell);
            }
            // The session has it still, as it was: on its next connection it goes on with what it had begun. Here that would
            // be over, and begun anew there.
            Awaited::Tell { connection, tell: Tell::Subscribed { subscription, .. } }
                if self.is_held(connection, subscription) =>
            {
                self.refuse(connection, log_failing(), now);
            }
            Awaited::Tell { connection, tell: Tell::Subscribed { subscription, .. } } => {
                let ask = Ask::Unsubscribe { subscription };
                self.rooms(BusInput::Ask { connection, ask }, now);
                self.filter_changed(connection, subscription, now);
                self.tell(connection, Tell::Subscribed { subscription, result: Err(log_failing()) });
            }
            Awaited::HandedOver { connection, ticket, taken } => {
                self.handed_over(connection, ticket, taken, durable, now);
            }
            Awaited::Share { key } => self.share_noted(key, durable, now),
            Awaited::Will => self.fired(key, durable, now),
            Awaited::WillRecord { record } => self.recorded(key, record, durable, now),
            Awaited::Unsubscribed { connection, subscription } if durable => {
                self.filter_changed(connection, subscription, now);
                self.tell(connection, Tell::Unsubscribed { subscription });
            }
            Awaited::Unsubscribed { connection, .. } => self.refuse(connection, log_failing(), now),
            Awaited::Tell { .. } | Awaited::Nobody => {}
        }
    }

    /// What connections behind edges publish is replayed, and what of them is over is not.
    fn fold_sessions(&mut self, seq: Seq, frame: &Frame<'_>) {
        let is_of_one = Publication::has_session(frame.body);
        let route = self.bus.route(frame.route).filter(|_| is_of_one).cloned();
        for change in self.edge_sessions.apply(seq, frame, route.as_deref()) {
            match change {
                Change::Kept(kept) => self.bus.list_behind(&kept),
                Change::Ended(owner) => self.bus.end_behind(owner),
            }
        }
    }

    /// Sessions change by what is committed, and by nothing else.
    pub(super) fn fold(&mut self, through: Seq, now: Now) {
        let (mut changes, mut came_down) = (Vec::new(), false);
        while self.folded < through {
            let chunk = self.bus.tail(self.folded.next(), usize::MAX);
            let chunk = chunk.expect("the tail holds what was not yet said to be committed");
            for run in &chunk.runs {
                match run {
                    Run::Entries { first, entries, .. } => {
                        for (n, frame) in frames(entries).map_while(Result::ok).enumerate() {
                            // Nothing else has anything to learn of it.
                            if frame.origin.is_none() && Publication::is_plain(frame.body) {
                                self.note_void(&frame);
                                continue;
                            }
                            // Whoever published behind an edge came, however short it was there.
                            let brought = self.bus.route(frame.route).filter(|_| frame.origin.is_some());
                            self.came.extend(brought.map(|route| route.client));
                            self.sessions.apply(first.plus(n as u64), &frame);
                            changes.extend(self.presences.apply(&frame));
                            self.settled.apply(&frame);
                            self.fold_sessions(first.plus(n as u64), &frame);
                            came_down |= self.comes_down(first.plus(n as u64), &frame);
                            self.note_void(&frame);
                        }
                    }
                    Run::Gap(_) => {}
                }
            }
            self.folded = chunk.next.prev().max(self.folded.next());
        }
        self.folded = self.folded.max(through);
        if came_down {
            self.outcomes_in(now);
        }
        for change in changes {
            self.say_change(change, now);
        }
    }
}
