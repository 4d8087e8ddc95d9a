//! The instance: gate in front, rooms behind, sessions between. One task owns it.

use crate::{
    connection::{Connection, State},
    log_fold::LogFold,
    system::System,
};
use bytes::Bytes;
use care::{Caring, Settling};
use looking::Site;
use riser_gate::{
    Caller, Gate, Offenders, Persons, Policy, Proof, Redeemed, Stand, Tickets, Verdict,
    acceptor::signed::Shown,
};
use riser_model::{
    AccountId, Batch, ClientId, ConnectionId, LogId, Now, Read, RoomId, RouteNumber, Run, Seq, ShareKey,
    SubscriptionId, Time,
    door::{Ask, Code, Credential, Refusal, SessionState, Tell},
    event::{Scope, SystemEvent},
    look::Look,
};
use riser_mqtt::{HandOver, Record, SessionKey, Sessions};
use riser_rooms::{Append, Bus, Changes, Input as BusInput, Output as BusOutput, Placed, Presences, Settled};
use riser_wire::entry::frames;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

mod care;
mod entering;
mod gates;
mod kept;
mod listening;
mod looking;
mod shares;
mod wills;

/// Expired sessions are looked for this often.
const EXPIRY_EVERY: Duration = Duration::from_secs(10);
/// Tokens from here on are the instance's own; below are its owner's.
const OWN_TOKENS: u64 = 1 << 63;
/// Marks the tickets of the instance's own reads: the rooms' count up from 0 and never come here. The bit above is for
/// whoever owns the instance.
const OWN_READS: u64 = 1 << 62;

/// What happens to an instance.
#[derive(Debug)]
pub enum Input {
    /// A door stands open, behind a listener with this policy.
    Opened {
        /// Which connection.
        connection: ConnectionId,
        /// Who may enter there.
        policy: Arc<Policy>,
        /// What is known of who is there.
        caller: Caller,
    },
    /// A door asks.
    Ask {
        /// Which connection.
        connection: ConnectionId,
        /// What.
        ask: Ask,
    },
    /// The socket is gone.
    Closed {
        /// Which connection.
        connection: ConnectionId,
    },
    /// A proof was verified.
    Verified {
        /// Whose.
        connection: ConnectionId,
        /// The ticket of [`Output::Verify`].
        ticket: u64,
        /// The answer.
        verdict: Verdict,
    },
    /// Something for the rooms alone: storage's answers, ingest, events, Latest.
    Rooms(BusInput),
    /// The deadline that [`Instance::poll_timeout`] named has come.
    Deadline,
}

/// What an instance wants done.
#[derive(Debug)]
pub enum Output {
    /// Verify a proof, elsewhere. Answered by [`Input::Verified`].
    Verify {
        /// Whose.
        connection: ConnectionId,
        /// To be echoed.
        ticket: u64,
        /// What.
        proof: Proof,
    },
    /// Tell a door.
    Tell {
        /// Which connection.
        connection: ConnectionId,
        /// What.
        tell: Tell,
    },
    /// Store a batch. Answered by `Persisted` or `Failed`.
    Persist {
        /// Which.
        ticket: u64,
        /// What.
        batch: Batch,
        /// How many connections wait for it (rule 6.4).
        connections: u32,
    },
    /// Read the log. Answered by `Read`.
    Read {
        /// Which.
        ticket: u64,
        /// What.
        read: Read,
    },
    /// The answer to an append or ingest of the owner's.
    Done {
        /// Which.
        token: u64,
        /// Where it is, or why it is not.
        result: Result<Placed, Code>,
    },
    /// The table of what channels retain is to have these on disk too, sooner or later. Not answered.
    Retained(Changes),
    /// Everything up to here is on disk.
    Committed {
        /// The new `last_added`.
        through: Seq,
    },
    /// Somebody was refused at the gate, or was told to go.
    Refused {
        /// Why.
        code: Code,
    },
}

/// Why an instance wants to be woken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wake {
    /// A gate's deadline.
    Gate,
    /// What a connection has shown expires.
    Expiry,
    /// Sessions may have expired.
    Sessions,
    /// The rooms'.
    Rooms(riser_rooms::Wake),
}

/// What an own token stands for, once it is committed.
#[derive(Debug)]
enum Awaited {
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

/// One instance of the bus.
#[derive(Debug)]
pub struct Instance {
    bus: Bus,
    sessions: Sessions,
    /// Who is in rooms behind edges.
    presences: Presences,
    /// What became of entries in quarantine.
    settled: Settled,
    /// Questions about the quarantine that wait for a read, by its ticket.
    caring: BTreeMap<u64, Caring>,
    next_care: u64,
    /// Entries of it that are being settled, by the token of the commit.
    settling: BTreeMap<u64, Settling>,
    /// What is known of the edges with these logs.
    sites: BTreeMap<LogId, Site>,
    /// The seq up to which `sessions` and `presences` have seen the log.
    folded: Seq,
    connections: BTreeMap<ConnectionId, Connection>,
    /// Who has each session at the moment.
    holders: BTreeMap<SessionKey, ConnectionId>,
    gate_deadlines: BTreeSet<(Time, ConnectionId)>,
    /// The signed passwords that let somebody in lately.
    shown: Shown,
    /// Who was sent away by the chat bot lately.
    offenders: Offenders,
    /// Who stands before the chat bot.
    persons: Persons,
    /// When what connections have shown expires.
    expiries: BTreeSet<(Time, ConnectionId)>,
    /// Who is in the rooms that have gates of their own.
    seats: BTreeMap<RoomId, BTreeSet<ConnectionId>>,
    tickets: Tickets,
    /// How many connections each user or client has, and how many it may have.
    of_client: BTreeMap<ClientId, usize>,
    of_client_max: usize,
    /// What waits for which commit, and whose session it is.
    awaited: BTreeMap<u64, (Awaited, SessionKey)>,
    /// Sessions of which records wait for their commit, and how many: nobody takes one up before.
    changing: BTreeMap<SessionKey, usize>,
    next_token: u64,
    expiry_due: Option<Time>,
    /// Wills that are on their way into the log.
    firing: BTreeSet<SessionKey>,
    /// Wills that the log could not take.
    overdue: BTreeSet<SessionKey>,
    /// What the log could not be told of wills.
    unrecorded: BTreeMap<SessionKey, Record>,
    /// When the log is told how far groups are.
    shares_due: Option<Time>,
    /// What is counted of each account.
    systems: BTreeMap<AccountId, System>,
    systems_due: Option<Time>,
    started: Time,
    outputs: VecDeque<Output>,
}

impl Instance {
    /// An instance over a bus and what its log folded to. Nobody is connected here.
    pub fn new(bus: Bus, fold: LogFold, now: Now) -> Self {
        let LogFold { sessions, presences, mut settled, .. } = fold;
        settled.trim(bus.oldest());
        let restarted = sessions.restarted(now.wall);
        let mut instance = Self {
            folded: bus.committed(),
            bus,
            sessions,
            presences,
            settled,
            caring: BTreeMap::new(),
            next_care: 0,
            settling: BTreeMap::new(),
            sites: BTreeMap::new(),
            connections: BTreeMap::new(),
            holders: BTreeMap::new(),
            gate_deadlines: BTreeSet::new(),
            shown: Shown::default(),
            offenders: Offenders::default(),
            persons: Persons::default(),
            expiries: BTreeSet::new(),
            seats: BTreeMap::new(),
            tickets: Tickets::default(),
            of_client: BTreeMap::new(),
            of_client_max: usize::MAX,
            awaited: BTreeMap::new(),
            changing: BTreeMap::new(),
            next_token: OWN_TOKENS,
            expiry_due: Some(now.time.plus(wills::WILLS_EVERY)),
            firing: BTreeSet::new(),
            overdue: BTreeSet::new(),
            unrecorded: BTreeMap::new(),
            shares_due: None,
            systems: BTreeMap::new(),
            systems_due: None,
            started: now.time,
            outputs: VecDeque::new(),
        };
        instance.restore_shares(now);
        let (epoch, through) = (instance.bus.epoch(), instance.bus.committed());
        instance.say(Scope::Instance, SystemEvent::Started { epoch, through }, now);
        instance.bus.began(now);
        for (key, record) in restarted {
            match record {
                Record::WillDue { .. } => instance.append_will(key, record, now),
                record => instance.append(key, &[record], Awaited::Nobody, now),
            }
        }
        instance
    }

    /// Bounds the connections of one user or client; more are refused.
    pub fn limit_connections_of_client(&mut self, most: usize) {
        self.of_client_max = most;
    }

    /// The rooms, to look at.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// How many MQTT sessions there are, with or without a connection.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Whether nobody is connected and nothing waits for a commit, whoever it is of.
    pub fn is_settled(&self) -> bool {
        self.connections.is_empty()
            && self.awaited.is_empty()
            && self.settling.is_empty()
            && self.bus.is_stored()
    }

    /// Where a connection stands: at which acceptor of which gate, or behind them.
    pub fn state_of(&self, connection: ConnectionId) -> Option<Stand> {
        let connection = self.connections.get(&connection)?;
        Some(match (&connection.at, &connection.state) {
            (Some(at), _) => at.gate.stand(),
            (None, State::Gate | State::Leaving) => Stand::Refused,
            (None, State::Session | State::Rooms) => Stand::Finished,
        })
    }

    /// How many connections there are, before the gate and behind it.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Takes one input. Drain [`Self::poll`] before the next.
    pub fn handle(&mut self, input: Input, now: Now) {
        match input {
            Input::Opened { connection, policy, caller } => self.opened(connection, policy, caller, now),
            Input::Ask { connection, ask } => self.ask(connection, ask, now),
            Input::Closed { connection } => self.leave(connection, "cut", None, now),
            Input::Verified { connection, ticket, verdict } => {
                self.gate(connection, riser_gate::Input::Done { ticket, verdict }, now);
            }
            Input::Rooms(BusInput::Read { ticket, found }) if ticket & OWN_READS != 0 => {
                self.care_read(ticket, found, now);
            }
            Input::Rooms(BusInput::Trimmed { oldest, oldest_at, gaps }) => {
                self.settled.trim(oldest);
                self.rooms(BusInput::Trimmed { oldest, oldest_at, gaps }, now);
            }
            Input::Rooms(input) => self.rooms(input, now),
            Input::Deadline => self.deadline(now),
        }
    }

    /// What it wants done next. Inputs that are handled before this share the batches of the rooms.
    pub fn poll(&mut self, now: Now) -> Option<Output> {
        while self.outputs.is_empty() {
            let output = self.bus.poll()?;
            self.said_by_rooms(output, now);
        }
        self.outputs.pop_front()
    }

    /// When it wants [`Input::Deadline`], and why.
    pub fn poll_timeout(&self) -> Option<(Time, Wake)> {
        let gate = self.gate_deadlines.first().map(|(time, _)| (*time, Wake::Gate));
        let expiry = self.expiries.first().map(|(time, _)| (*time, Wake::Expiry));
        let sessions = self.expiry_due.map(|time| (time, Wake::Sessions));
        let rooms = self.bus.poll_timeout().map(|(time, wake)| (time, Wake::Rooms(wake)));
        let shares = self.shares_due.map(|time| (time, Wake::Sessions));
        let systems = self.systems_due.map(|time| (time, Wake::Sessions));
        [gate, expiry, sessions, shares, systems, rooms].into_iter().flatten().min_by_key(|(time, _)| *time)
    }

    fn opened(&mut self, id: ConnectionId, policy: Arc<Policy>, mut caller: Caller, now: Now) {
        caller.known = caller.address.is_some_and(|address| self.offenders.knows(address, now.time));
        let gate = Gate::front(&policy, caller.clone(), now);
        self.gate_deadlines.extend(gate.poll_timeout().map(|time| (time, id)));
        self.connections.insert(id, Connection::new(policy, caller, gate));
    }

    fn ask(&mut self, id: ConnectionId, ask: Ask, now: Now) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match (&connection.state, ask) {
            (State::Gate, Ask::Enter { credential, session, room }) => {
                let is_person = credential == Credential::Person;
                if is_person && !self.persons.come(id, connection.caller.address) {
                    return self.refuse(id, too_many_persons(), now);
                }
                let shown = match credential {
                    Credential::Ticket(ticket) => {
                        riser_gate::Input::Redeemed(self.tickets.redeem(&ticket, now))
                    }
                    credential => riser_gate::Input::Shown(credential),
                };
                connection.entering = Some(Ask::Enter { credential: Credential::Anonymous, session, room });
                self.gate(id, shown, now);
            }
            (State::Leaving, _) => {}
            (State::Gate | State::Rooms, Ask::Answer(answer)) if connection.at.is_some() => {
                self.gate(id, riser_gate::Input::Answered(answer), now);
            }
            // It was on its way when the gate was passed: there is no question any more.
            (_, Ask::Answer(_)) => {}
            (_, Ask::Leave { cause, expiry_s }) => self.leave(id, &cause, expiry_s, now),
            (State::Rooms, ask) => self.ask_rooms(id, ask, now),
            (State::Gate | State::Session, _) => self.refuse(id, not_in_yet(), now),
        }
    }

    fn ask_rooms(&mut self, id: ConnectionId, ask: Ask, now: Now) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match ask {
            Ask::Publish(intake) => {
                connection.await_ticket(intake.ticket);
                self.rooms(BusInput::Ask { connection: id, ask: Ask::Publish(intake) }, now);
            }
            Ask::Release { ticket, ids } => {
                connection.await_ticket(ticket);
                let number = connection.session_number();
                // As many as there are packet ids, at most.
                let count = u32::try_from(ids.len()).unwrap_or(u32::MAX);
                match self.sessions.release(number, &ids) {
                    Some(record) => {
                        let awaited = Awaited::Release { connection: id, ticket, ids: count };
                        self.append_of(id, &[record], awaited, now);
                    }
                    None => self.answer(id, ticket, self.stored(ticket)),
                }
            }
            Ask::HandOver { ticket, sent, released, left, loose, done } => {
                connection.await_ticket(ticket);
                let (sent, left) = (connection.by_filter(&sent), connection.by_filter(&left));
                let news = HandOver { sent, released, left, loose, done };
                self.hand_over(id, ticket, news, now);
            }
            ask @ (Ask::Subscribe { .. } | Ask::Unsubscribe { .. }) => self.change_filter(id, ask, now),
            Ask::Confirm { subscription, through } => {
                let kept = connection.session.as_ref().and_then(|session| session.kept.get(&subscription));
                let through = kept.map(|(filter, _)| vec![(filter.clone(), through)]).unwrap_or_default();
                if let Some(record) = self.sessions.confirm(connection.session_number(), &through) {
                    self.append_of(id, &[record], Awaited::Nobody, now);
                }
            }
            Ask::Ticket { hash } => {
                let Some(client) = connection.principal.as_ref().map(|principal| principal.client) else {
                    return;
                };
                let what = Redeemed {
                    client,
                    passed: connection.standing.passed.clone(),
                    until: connection.standing.until,
                };
                let issued = self.tickets.issue(hash, what, now);
                // Half a minute fits.
                self.tell(id, Tell::Ticketed(issued.map(|lasts| lasts.as_secs() as u32)));
            }
            ask @ (Ask::Pull { .. } | Ask::Pause { .. } | Ask::Settle { .. } | Ask::KeepSession) => {
                self.rooms(BusInput::Ask { connection: id, ask }, now)
            }
            Ask::Look { id: look, look: at } => {
                let Some(principal) = connection.principal.clone() else { return };
                match *at {
                    Look::Quarantine(care) => self.care(id, look, principal, care),
                    at => {
                        let result = self.look(&principal, &at, now);
                        self.tell(id, Tell::Seen { id: look, result });
                    }
                }
            }
            Ask::Move { room } => self.move_to(id, room, now),
            Ask::Rooms => self.say_rooms(id),
            Ask::Decide { connection, admit } => self.decide(id, connection, admit, now),
            Ask::Enter { .. } | Ask::Answer(_) | Ask::Leave { .. } => self.refuse(id, not_in_yet(), now),
        }
    }

    // The rooms.

    /// The system speaks.
    fn say(&mut self, scope: Scope, event: SystemEvent, now: Now) {
        self.rooms(BusInput::Event { scope, event }, now);
    }

    fn rooms(&mut self, input: BusInput, now: Now) {
        self.bus.handle(input, now);
        self.look_at_shares(now);
    }

    fn said_by_rooms(&mut self, output: BusOutput, now: Now) {
        match output {
            BusOutput::Tell { connection, tell } => self.tell_from_rooms(connection, tell, now),
            BusOutput::Done { token, result } if token >= OWN_TOKENS => {
                // What follows is decided from what this very commit holds.
                self.fold(self.bus.committed(), now);
                self.tell_shares(now);
                if let Some(settling) = self.settling.remove(&token) {
                    return self.care_done(settling, result, now);
                }
                if let Some((awaited, key)) = self.awaited.remove(&token) {
                    self.committed(awaited, &key, result.is_ok(), now);
                    self.changed(&key, now);
                }
            }
            BusOutput::Done { token, result } => self.outputs.push_back(Output::Done { token, result }),
            BusOutput::Committed { through } => {
                self.fold(through, now);
                self.tell_shares(now);
                self.outputs.push_back(Output::Committed { through });
            }
            // The rooms have said so on their technical channels.
            BusOutput::Joined { .. } | BusOutput::Left { .. } => {}
            BusOutput::Settled { connection } => self.settled(connection, now),
            BusOutput::Retained(changes) => self.outputs.push_back(Output::Retained(changes)),
            BusOutput::Persist { ticket, batch, connections } => {
                self.outputs.push_back(Output::Persist { ticket, batch, connections });
            }
            BusOutput::Read { ticket, read } => self.outputs.push_back(Output::Read { ticket, read }),
        }
    }

    /// Sessions change by what is committed, and by nothing else.
    fn fold(&mut self, through: Seq, now: Now) {
        let mut changes = Vec::new();
        while self.folded < through {
            let chunk = self.bus.tail(self.folded.next(), usize::MAX);
            let chunk = chunk.expect("the tail holds what was not yet said to be committed");
            for run in &chunk.runs {
                match run {
                    Run::Entries { first, entries, .. } => {
                        for (n, frame) in frames(entries).map_while(Result::ok).enumerate() {
                            self.sessions.apply(first.plus(n as u64), &frame);
                            changes.extend(self.presences.apply(&frame));
                            self.settled.apply(&frame);
                        }
                    }
                    Run::Gap(_) => {}
                }
            }
            self.folded = chunk.next.prev().max(self.folded.next());
        }
        self.folded = self.folded.max(through);
        for change in changes {
            self.say_change(change, now);
        }
    }

    fn tell_from_rooms(&mut self, id: ConnectionId, tell: Tell, now: Now) {
        match tell {
            Tell::Stored { ticket, .. } => self.answer(id, ticket, tell),
            Tell::Subscribed { subscription, result: Ok(subscribed) } => {
                let told = |subscribed| Tell::Subscribed { subscription, result: Ok(subscribed) };
                match self.keep(id, subscription, &subscribed) {
                    Ok(Some(record)) => {
                        let awaited = Awaited::Tell { connection: id, tell: told(subscribed) };
                        self.append_of(id, &[record], awaited, now);
                    }
                    Ok(None) => {
                        self.filter_changed(id, subscription, now);
                        self.tell(id, told(subscribed));
                    }
                    Err(refusal) => {
                        self.filter_changed(id, subscription, now);
                        self.rooms(
                            BusInput::Ask { connection: id, ask: Ask::Unsubscribe { subscription } },
                            now,
                        );
                        self.tell(id, Tell::Subscribed { subscription, result: Err(refusal) });
                    }
                }
            }
            Tell::Subscribed { subscription, .. } => {
                self.filter_changed(id, subscription, now);
                self.tell(id, tell);
            }
            // The one of a session leaves when that is committed.
            Tell::Unsubscribed { subscription } if self.is_changing(id, subscription) => {}
            tell => self.tell(id, tell),
        }
    }

    fn committed(&mut self, awaited: Awaited, key: &SessionKey, durable: bool, now: Now) {
        match awaited {
            Awaited::Enter { connection, state, willed } if durable => {
                let here = |c: &Connection| matches!(c.state, State::Session);
                if self.connections.get(&connection).is_some_and(here) {
                    return self.enter(connection, state, now);
                }
                // It left while its session was being opened: the session is alone from here on, and nobody was told
                // that the will is kept.
                let alone = self.sessions.leave(state.number, None, now.wall);
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

    /// A number for what will be told when the session's records are committed, or could not be.
    fn await_token(&mut self, key: SessionKey, awaited: Awaited) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        *self.changing.entry(key.clone()).or_default() += 1;
        self.awaited.insert(token, (awaited, key));
        token
    }

    /// One of the commits that a session waited for is over.
    fn changed(&mut self, key: &SessionKey, now: Now) {
        let Some(left) = self.changing.get_mut(key) else { return };
        *left -= 1;
        if *left == 0 {
            self.changing.remove(key);
            self.let_next_have(key, now);
        }
    }

    fn append(&mut self, key: SessionKey, records: &[Record], awaited: Awaited, now: Now) {
        let token = self.await_token(key, awaited);
        let mut entries = Vec::new();
        for record in records {
            record.write_frame(&mut entries, RouteNumber::NONE, now.stamp());
        }
        let append = Append { token, routes: Vec::new(), entries: Bytes::from(entries), cursors: Vec::new() };
        self.rooms(BusInput::Append(append), now);
    }

    // Tells.

    fn answer(&mut self, id: ConnectionId, ticket: u64, tell: Tell) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        for tell in connection.answer(ticket, tell) {
            self.tell(id, tell);
        }
    }

    fn tell(&mut self, connection: ConnectionId, tell: Tell) {
        self.outputs.push_back(Output::Tell { connection, tell });
    }

    /// The answer to a ticket that stored no entry.
    fn stored(&self, ticket: u64) -> Tell {
        let (log, epoch, first) = (self.bus.log(), self.bus.epoch(), self.bus.committed().next());
        Tell::Stored { ticket, log, epoch, first, refused: Vec::new() }
    }

    fn deadline(&mut self, now: Now) {
        while let Some(&(time, id)) = self.gate_deadlines.first().filter(|(time, _)| *time <= now.time) {
            self.gate_deadlines.remove(&(time, id));
            self.gate(id, riser_gate::Input::Deadline, now);
        }
        while let Some((_, id)) = self.expiries.first().copied().filter(|(time, _)| *time <= now.time) {
            self.expire(id, now);
        }
        if self.expiry_due.is_some_and(|time| time <= now.time) {
            self.fire_due(now);
            let every = if self.sessions.has_waiting_wills() { wills::WILLS_EVERY } else { EXPIRY_EVERY };
            self.expiry_due = Some(now.time.plus(every));
            let held: BTreeSet<u64> = self.connections.values().map(Connection::session_number).collect();
            for (key, number) in self.sessions.expire(now.wall) {
                // One that was found by somebody who is being let in is not over.
                if !held.contains(&number) && !self.changing.contains_key(&key) {
                    self.system(key.account).expired += 1;
                    self.append(key, &[Record::Ended { number }], Awaited::Nobody, now);
                }
            }
        }
        self.note_shares_due(now);
        self.systems_due(now);
        if self.bus.poll_timeout().is_some_and(|(time, _)| time <= now.time) {
            self.rooms(BusInput::Deadline, now);
        }
    }
}

fn refusal(code: Code, what: &str, want: &str) -> Refusal {
    Refusal { code, what: what.to_owned(), want: want.to_owned() }
}

fn not_in_yet() -> Refusal {
    refusal(
        Code::WrongState,
        "the connection was not let in yet",
        "enter once, first, and wait for the answer",
    )
}

fn too_many_persons() -> Refusal {
    refusal(
        Code::TooMany,
        "too many people stand at the gate, in all or from this address",
        "come back in a moment",
    )
}

fn log_failing() -> Refusal {
    refusal(Code::LogFailing, "the log cannot commit", "come back when the disk has space and works again")
}
