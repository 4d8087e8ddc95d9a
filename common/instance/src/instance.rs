//! The instance: gate in front, rooms behind, sessions between. One task owns it.

use crate::{
    connection::{Connection, State},
    log_fold::LogFold,
    system::System,
};
pub use administering::Connected;
use broadcasts::Broadcasts;
pub use broadcasts::{Became, Broadcast, Broadcasted, Reached};
use care::{Caring, Settling};
use committing::Awaited;
pub use errands::Wanted;
use looking::{Calling, Site};
use past::PastAsked;
use readiness::Readiness;
use riser_gate::{
    Caller, Directory, Offenders, Persons, Policy, Proof, Stand, Tickets, Verdict, acceptor::signed::Shown,
};
use riser_model::{
    AccountId, Audited, Batch, ClientId, ConnectionId, LogId, Now, Read, Room, RoomId, Seq, Time,
    door::{Ask, Code, Finished, Refusal, Tell},
    event::{Scope, SystemEvent},
};
use riser_mqtt::{Record, SessionKey, Sessions};
use riser_rooms::{Bus, Changes, EdgeSessions, Input as BusInput, Outcomes, Placed, Presences, Settled};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};
use steady::Steady;
use takeovers::Takeovers;

mod administering;
mod asking;
mod auditing;
mod broadcasts;
mod care;
mod changing;
mod committing;
mod entering;
mod errands;
mod expiring;
mod gates;
mod kept;
mod listening;
mod looking;
mod outcomes;
mod past;
mod readiness;
mod renewing;
mod shares;
mod steady;
mod takeovers;
mod telling;
mod void;
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
    /// What became of an errand.
    Ran {
        /// Whose.
        connection: ConnectionId,
        /// What was done, or why not.
        result: Result<Finished, Refusal>,
    },
    /// Accounts changed: who may what, and which rooms there are. It reaches whoever is connected, and what is kept for
    /// others.
    Changed {
        /// Who may what from here on.
        directory: Arc<Directory>,
        /// The rooms, all of them.
        rooms: Vec<Room>,
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
    /// Have an errand done by whoever keeps accounts. Answered by [`Input::Ran`].
    Run {
        /// Whose.
        connection: ConnectionId,
        /// What, by whom.
        wanted: Box<Wanted>,
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
    /// These rooms are archived, and no other; each shows nothing up to that seq any more.
    Archive(BTreeMap<RoomId, Seq>),
    /// How much of these rooms is there is to be counted. Answered by `Pasts`.
    Count(Vec<Room>),
    /// Everything up to here is on disk.
    Committed {
        /// The new `last_added`.
        through: Seq,
    },
    /// Something was done at a gate that somebody may have to answer for.
    Audited(Audited),
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

/// One instance of the bus.
#[derive(Debug)]
pub struct Instance {
    bus: Bus,
    sessions: Sessions,
    /// Who is in rooms behind edges.
    presences: Presences,
    calling: Calling,
    /// What became of entries in quarantine.
    settled: Settled,
    /// Session history of connections behind edges.
    edge_sessions: EdgeSessions,
    /// What came down and whose publishers are to hear what became of it.
    outcomes: Outcomes,
    outcomes_due: Option<Time>,
    /// What was said to all devices of a room.
    broadcasts: Broadcasts,
    /// Questions about the quarantine that wait for a read, by its ticket.
    caring: BTreeMap<u64, Caring>,
    next_care: u64,
    /// Entries of it that are being settled, by the token of the commit.
    settling: BTreeMap<u64, Settling>,
    /// Questions about rooms' past.
    past: PastAsked,
    /// Which rooms are ready.
    readiness: Readiness,
    /// What is known of the edges with these logs.
    sites: BTreeMap<LogId, Site>,
    /// The seq up to which `sessions` and `presences` have seen the log.
    folded: Seq,
    connections: BTreeMap<ConnectionId, Connection>,
    /// Who is known, once that was said: none before.
    directory: Option<Arc<Directory>>,
    /// Sessions of those who are known no more may be there.
    unknown: bool,
    /// Who has each session at the moment.
    holders: BTreeMap<SessionKey, ConnectionId>,
    /// How often sessions changed hands lately.
    takeovers: Takeovers,
    /// Who waits for it, let in.
    waiting: BTreeMap<SessionKey, BTreeSet<ConnectionId>>,
    gate_deadlines: BTreeSet<(Time, ConnectionId)>,
    /// The signed passwords that let somebody in lately.
    shown: Shown,
    /// Who was sent away by the chat bot lately.
    offenders: Offenders,
    /// Who stands before the chat bot.
    persons: Persons,
    /// When what connections have shown expires.
    expiries: BTreeSet<(Time, ConnectionId)>,
    /// Both clocks when that was reckoned.
    reckoned: Now,
    /// Who is in the rooms that have gates of their own.
    seats: BTreeMap<RoomId, BTreeSet<ConnectionId>>,
    tickets: Tickets,
    /// How many connections each user or client has, and how many it may have.
    of_client: BTreeMap<ClientId, Vec<ConnectionId>>,
    of_client_max: usize,
    /// Who was let in since that was asked for.
    came: BTreeSet<ClientId>,
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
    /// See [`Instance::unfinished`].
    unfinished: u64,
    /// What is counted of each account.
    systems: BTreeMap<AccountId, System>,
    systems_due: Option<Time>,
    started: Time,
    /// The clock by which sessions and wills wait.
    steady: Steady,
    outputs: VecDeque<Output>,
}

impl Instance {
    /// An instance over a bus and what its log folded to. Nobody is connected here.
    pub fn new(bus: Bus, fold: LogFold, now: Now) -> Self {
        let LogFold { sessions, presences, mut settled, mut outcomes, edge_sessions, .. } = fold;
        settled.trim(bus.oldest());
        outcomes.retain(|one| one.origin().is_none() || bus.is_linked(one.room));
        outcomes.start(bus.oldest());
        let steady = Steady::new(sessions.time_at_start(now.wall), now.time);
        let restarted = sessions.restarted(steady.wall(now));
        let mut instance = Self {
            folded: bus.committed(),
            bus,
            sessions,
            presences,
            calling: Calling::default(),
            settled,
            edge_sessions,
            outcomes,
            outcomes_due: Some(now.time),
            broadcasts: Broadcasts::default(),
            caring: BTreeMap::new(),
            next_care: 0,
            settling: BTreeMap::new(),
            past: PastAsked::default(),
            readiness: Readiness::default(),
            sites: BTreeMap::new(),
            connections: BTreeMap::new(),
            directory: None,
            unknown: false,
            holders: BTreeMap::new(),
            takeovers: Takeovers::default(),
            waiting: BTreeMap::new(),
            gate_deadlines: BTreeSet::new(),
            shown: Shown::default(),
            offenders: Offenders::default(),
            persons: Persons::default(),
            expiries: BTreeSet::new(),
            reckoned: now,
            seats: BTreeMap::new(),
            tickets: Tickets::default(),
            of_client: BTreeMap::new(),
            of_client_max: usize::MAX,
            came: BTreeSet::new(),
            awaited: BTreeMap::new(),
            changing: BTreeMap::new(),
            next_token: OWN_TOKENS,
            expiry_due: Some(now.time.plus(wills::WILLS_EVERY)),
            firing: BTreeSet::new(),
            overdue: BTreeSet::new(),
            unrecorded: BTreeMap::new(),
            shares_due: None,
            unfinished: 0,
            systems: BTreeMap::new(),
            systems_due: None,
            started: now.time,
            steady,
            outputs: VecDeque::new(),
        };
        instance.restore_shares(now);
        for (number, origin) in instance.edge_sessions.origins() {
            instance.bus.recall_origin(number, origin);
        }
        for kept in instance.edge_sessions.kept() {
            instance.bus.list_behind(&kept);
        }
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

    /// Who is in the rooms that uplinks carry is named anew, for something that was said of it may be lost.
    pub fn name_members(&mut self, now: Now) {
        self.rooms(BusInput::NameMembers, now);
    }

    /// Bounds the connections of one user or client; more are refused.
    pub fn limit_connections_of_client(&mut self, most: usize) {
        self.of_client_max = most;
    }

    /// Who is known from the start: sessions and wills of others end.
    pub fn know(&mut self, directory: Arc<Directory>) {
        self.directory = Some(directory);
        self.unknown = true;
    }

    /// The rooms, to look at.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// How many MQTT sessions there are, with or without a connection.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Publications that sessions took from a group at QoS 2 and had not finished when they ended: nobody else may have
    /// them (5.0: MQTT-4.8.2-5).
    pub fn unfinished(&self) -> u64 {
        self.unfinished
    }

    /// Entries about MQTT sessions that this build did not understand.
    pub fn unreadable(&self) -> u64 {
        self.sessions.unreadable()
    }

    /// Whether nobody is connected and nothing waits for a commit, whoever it is of.
    pub fn is_settled(&self) -> bool {
        self.connections.is_empty()
            && self.awaited.is_empty()
            && self.settling.is_empty()
            && self.broadcasts.are_stored()
            && self.past.edits.is_empty()
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

    /// Who was let in or published behind an edge since this was asked for, is connected, or is in a room behind an edge.
    pub fn used(&mut self) -> BTreeSet<ClientId> {
        let mut used = std::mem::take(&mut self.came);
        used.extend(self.of_client.keys().copied().chain(self.presences.clients()));
        used
    }

    /// Whether that one was let in since who was used was asked for, or is connected.
    pub fn has_come(&self, client: ClientId) -> bool {
        self.came.contains(&client) || self.of_client.contains_key(&client)
    }

    /// Somebody was let in without a connection, as by a request.
    pub fn came(&mut self, client: ClientId) {
        self.came.insert(client);
    }

    /// Whether whoever comes from there was sent away several times lately.
    pub fn knows_offender(&self, address: IpAddr, now: Now) -> bool {
        self.offenders.knows(address, now.time)
    }

    /// Somebody without a connection was let in or not, as by a request: it is written down, and a guess is remembered.
    pub fn asked_elsewhere(&mut self, audited: Audited, is_wrong_guess: bool, now: Now) {
        if let Some(address) = audited.from.filter(|_| is_wrong_guess) {
            self.offenders.mistaken(address, now.time);
        }
        self.outputs.push_back(Output::Audited(audited));
    }

    /// Takes one input. Drain [`Self::poll`] before the next.
    pub fn handle(&mut self, input: Input, now: Now) {
        self.look_at_expiries(now);
        match input {
            Input::Opened { connection, policy, caller } => self.opened(connection, policy, caller, now),
            Input::Ask { connection, ask } => self.ask(connection, ask, now),
            Input::Closed { connection } => self.leave(connection, "cut", None, now),
            Input::Verified { connection, ticket, verdict } => {
                self.gate(connection, riser_gate::Input::Done { ticket, verdict }, now);
            }
            Input::Rooms(BusInput::Read { ticket, found }) if ticket & OWN_READS != 0 => {
                if let Some(found) = self.past_read(ticket, found, now) {
                    self.care_read(ticket, found, now);
                }
            }
            Input::Rooms(BusInput::Trimmed { oldest, oldest_at, gaps }) => {
                self.settled.trim(oldest);
                self.tell_trimmed(oldest, now);
                self.rooms(BusInput::Trimmed { oldest, oldest_at, gaps }, now);
            }
            Input::Ran { connection, result } => self.ran(connection, result),
            Input::Changed { directory, rooms } => self.changed_directory(directory, rooms, now),
            Input::Rooms(input) => self.rooms(input, now),
            Input::Deadline => self.deadline(now),
        }
    }

    /// What it wants done next. Inputs that are handled before this share the batches of the rooms.
    pub fn poll(&mut self, now: Now) -> Option<Output> {
        while self.outputs.is_empty() {
            match self.bus.poll() {
                Some(output) => self.said_by_rooms(output, now),
                // Once for all who came and went meanwhile.
                None if self.readiness.is_due => self.look_at_readiness(now),
                None => return None,
            }
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
        let outcomes = self.outcomes_due.map(|time| (time, Wake::Sessions));
        [gate, expiry, sessions, shares, systems, outcomes, rooms]
            .into_iter()
            .flatten()
            .min_by_key(|(time, _)| *time)
    }

    /// The system speaks.
    fn say(&mut self, scope: Scope, event: SystemEvent, now: Now) {
        self.rooms(BusInput::Event { scope, event }, now);
    }

    fn rooms(&mut self, input: BusInput, now: Now) {
        self.bus.handle(input, now);
        self.look_at_shares(now);
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
            self.end_unknown(now);
            let held: BTreeSet<u64> = self.connections.values().map(Connection::session_number).collect();
            self.look_at_clock(true, now);
            for (key, number) in self.sessions.expire(self.steady.wall(now)) {
                // One that was found by somebody who is being let in is not over.
                if !held.contains(&number) && !self.changing.contains_key(&key) {
                    self.system(key.account).expired += 1;
                    self.append(key, &[Record::Ended { number }], Awaited::Nobody, now);
                }
            }
        }
        self.note_shares_due(now);
        self.systems_due(now);
        self.outcomes_due(now);
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

fn log_failing() -> Refusal {
    refusal(Code::LogFailing, "the log cannot commit", "come back when the disk has space and works again")
}
