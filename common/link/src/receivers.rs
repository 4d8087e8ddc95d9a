//! The hub's end of all links: who may speak, what is taken, and what is confirmed.
//!
//! It owns every link connection from its first byte, and what is remembered of each edge between connections.
//! What always holds: nothing is confirmed before its commit returned; nothing is enqueued twice; an edge has
//! one current connection, and only its frames count; a Welcome is sent only when no commit for that edge is
//! outstanding (rule 7.1). Where an entry goes, quarantine and the log are the hub core's.
//!
//! The edge's end of a downlink is the same machine with the ends changed over: where its names say edge, the hub is
//! meant, which is known by the uplink's handshake and greets unsigned ([`Input::Greeted`]).
//!
//! One input, then [`Receivers::poll`] until it is empty, then the next.

use crate::{
    clock::Clocks,
    flow::{Flow, Reject},
    handshake::{self, Key},
    registry::Registry,
};
use riser_model::{
    AccountId, AccountName, Cause, ClientId, ConnectionId, CursorKey, CursorMove, CursorValue, Epoch,
    EpochSpan, Gap, HubIdentity, LogId, Now, PublicKey, Seq, Time, event::SystemEvent, time::Clock,
};
use riser_wire::entry::ORIGIN_BYTES;
use riser_wire::limits::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, BODY_BYTES_MAX};
use riser_wire::link::{
    Bytes, Definitions, DownAnswer, EdgeFrame, Hello, HubFrame, Item, Limits, Nonce, Refused, RefusedCode,
    Signature,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use crate::registry::Progress;

mod admission;
mod intake;

#[cfg(test)]
pub(crate) mod tests;

/// The hub as it speaks on links.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its key; the public half is in `identity`.
    pub key: Key,
    /// Its log.
    pub log: LogId,
    /// The newest epochs of its log, oldest first.
    pub chain: Vec<EpochSpan>,
    /// What it takes from an edge.
    pub limits: Limits,
}

/// The limits that a hub has unless it is configured otherwise. A batch stays below the largest message by what
/// the frame around it may take, and below the largest commit of the hub by what every entry grows by there: its origin.
pub const LIMITS: Limits = Limits {
    batch_bytes: (BATCH_BYTES_MAX - BATCH_ENTRIES_MAX * ORIGIN_BYTES - 64 * 1024) as u32,
    batch_entries: BATCH_ENTRIES_MAX as u32,
    body_bytes: BODY_BYTES_MAX as u32,
    unconfirmed_bytes: 4 * 1024 * 1024,
};

/// The limits of an edge that takes a downlink: less under way than the hub would stop reading at.
pub const DOWN_LIMITS: Limits = Limits { unconfirmed_bytes: 512 * 1024, ..LIMITS };

/// An edge as the hub's directory has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registered {
    /// Its public key.
    pub key: PublicKey,
    /// Its name.
    pub name: AccountName,
    /// Whose it is.
    pub account: AccountId,
}

/// What happens to the receivers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A WebSocket of the link's sub-protocol opened.
    Opened {
        /// Its id.
        connection: ConnectionId,
        /// The TLS exporter's bytes; empty without TLS.
        binding: Bytes,
        /// 32 fresh random bytes.
        nonce: Nonce,
    },
    /// A peer that is known already greets, on what stands for a connection: it is neither pinged nor given up here.
    Greeted {
        /// Its id.
        connection: ConnectionId,
        /// What it says.
        hello: Box<Hello>,
        /// Who it is.
        from: Registered,
        /// Since when its Hello was expected: its clock was read after that.
        asked: Now,
    },
    /// A frame came.
    Frame {
        /// On which connection.
        connection: ConnectionId,
        /// What.
        frame: EdgeFrame,
    },
    /// Bytes came that are not a whole frame yet.
    Heard {
        /// On which connection.
        connection: ConnectionId,
    },
    /// A message came that is no frame.
    Malformed {
        /// On which connection.
        connection: ConnectionId,
        /// What was wrong.
        what: String,
    },
    /// The connection is over.
    Closed {
        /// Which.
        connection: ConnectionId,
    },
    /// The answer to [`Output::Lookup`].
    Found {
        /// For which connection.
        connection: ConnectionId,
        /// The edge; none if there is no such edge, or it is revoked.
        edge: Option<Registered>,
    },
    /// The commit with this ingest returned.
    Ingested {
        /// Which.
        token: u64,
        /// What of it was taken as gaps, rising.
        refused: Vec<Gap>,
    },
    /// The commit failed. Every later ingest of the same connection must fail too: it goes on from this one.
    Failed {
        /// Which.
        token: u64,
    },
    /// The edge was revoked: its connection closes.
    Revoked {
        /// Which.
        edge: ClientId,
    },
    /// The hub goes down: all connections are told and closed.
    Shutdown {
        /// When to come back.
        after_ms: u32,
    },
    /// An edge does not answer on its downlink: its connection closes.
    Mute {
        /// Which.
        connection: ConnectionId,
        /// How that was seen.
        why: &'static str,
    },
    /// The deadline that [`Receivers::poll_timeout`] named has come.
    Deadline,
}

/// Items to commit with their cursors, all or nothing. Tokens rise; commits happen in that order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ingest {
    /// Answered by `Ingested` or `Failed` with it.
    pub token: u64,
    /// The connection that the definitions belong to.
    pub connection: ConnectionId,
    /// The edge.
    pub edge: ClientId,
    /// Whose it is.
    pub account: AccountId,
    /// The edge's log.
    pub log: LogId,
    /// The epoch of all items.
    pub epoch: Epoch,
    /// Items without a hole. The frames' route and origin numbers are the connection's; origin 0 is
    /// (`log`, `epoch`). Canaries are skips here.
    pub items: Vec<Item>,
    /// Numbers that this connection uses from here on.
    pub definitions: Definitions,
    /// To move in the same commit.
    pub cursors: Vec<CursorMove>,
    /// How the clock of these entries' boot relates to the hub's.
    pub clock: Clock,
}

/// What the receivers want done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Send this.
    Send {
        /// On which connection.
        connection: ConnectionId,
        /// What.
        frame: HubFrame,
    },
    /// Close after what was sent before. Not answered; nothing more of it is listened to.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why; its close code is the WebSocket's.
        code: RefusedCode,
    },
    /// Who is this? Answered by `Found`.
    Lookup {
        /// For which connection.
        connection: ConnectionId,
        /// The id it claims.
        edge: ClientId,
    },
    /// The edge is in: from here on its messages may be as large as batches, and compressed.
    Welcomed {
        /// Which connection.
        connection: ConnectionId,
        /// Whose.
        edge: ClientId,
    },
    /// A welcomed edge says something of its downlink.
    Down {
        /// On which connection.
        connection: ConnectionId,
        /// Which edge.
        edge: ClientId,
        /// What.
        answer: DownAnswer,
    },
    /// Commit this.
    Ingest(Box<Ingest>),
    /// The newest values of changed channels: for `conflate` subscriptions, never stored.
    Latest {
        /// On which connection.
        connection: ConnectionId,
        /// From which edge.
        edge: ClientId,
        /// The log and epoch of the seqs.
        log: LogId,
        /// The epoch.
        epoch: Epoch,
        /// The values; skips lie between them.
        items: Vec<Item>,
        /// Numbers that this connection uses from here on.
        definitions: Definitions,
    },
    /// Latest ends.
    CaughtUp {
        /// Which edge.
        edge: ClientId,
    },
    /// For the account's technical channel.
    Emit {
        /// Whose.
        account: AccountId,
        /// What.
        event: SystemEvent,
    },
}

/// What the receivers wait for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Wake {
    /// The first frame.
    Hello,
    /// A connection is to be pinged, or has been silent for too long.
    Silence,
    /// A connection that may have a clone has not answered.
    Clone,
}

/// Where a connection stands.
#[derive(Debug)]
enum Phase {
    /// The nonce was sent.
    Hello,
    /// The directory was asked.
    Looking(Box<Hello>, Signature),
    /// A live connection with another epoch is being asked whether it is alive.
    Waiting(Box<Known>),
    /// Current; commits of the connection before are outstanding.
    Settling(Box<Known>),
    /// Welcomed.
    Up(Box<Known>, Flow),
}

/// An edge that proved who it is.
#[derive(Debug)]
struct Known {
    hello: Hello,
    edge: Registered,
    clocks: Clocks,
}

#[derive(Debug)]
struct Connection {
    phase: Phase,
    binding: Bytes,
    nonce: Nonce,
    /// Somebody else watches it.
    watched: bool,
    opened: Now,
    heard_at: Time,
    pinged: bool,
    /// A ping that decides whether a newcomer is a clone, and until when.
    challenged: Option<(u64, Time)>,
    unconfirmed_bytes: u64,
    timer: Option<(Time, Wake)>,
}

/// An ingest that has not come back.
#[derive(Debug)]
struct Pending {
    connection: ConnectionId,
    edge: ClientId,
    log: LogId,
    epoch: Epoch,
    first: Seq,
    last: Seq,
    crc: u32,
    /// Seqs under gaps.
    gapped: u64,
    /// What it makes of epochs that are forgotten.
    forgets: Vec<CursorMove>,
    bytes: u64,
    /// The hub's own gap: nobody waits to hear of it.
    silent: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Receivers {
    config: Config,
    registry: Registry,
    connections: BTreeMap<ConnectionId, Connection>,
    timers: BTreeSet<(Time, ConnectionId, Wake)>,
    pending: BTreeMap<u64, Pending>,
    tokens: u64,
    pings: u64,
    outputs: VecDeque<Output>,
}

impl Receivers {
    /// The taking end of the downlink from the hub with that key, over an edge's open log: with the edge's own key and
    /// log, and of its cursors those of that hub.
    pub fn of_downlink(
        key: Key,
        log: LogId,
        hub: PublicKey,
        cursors: impl IntoIterator<Item = (CursorKey, CursorValue)>,
    ) -> Self {
        let of_hub = |(key, _): &(CursorKey, CursorValue)| match key {
            CursorKey::Ingest(client, ..) => *client == hub.client(),
            CursorKey::Uplink(_) | CursorKey::Downlink(_) => false,
        };
        let config = Config { key, log, chain: Vec::new(), limits: DOWN_LIMITS };
        Self::new(config, cursors.into_iter().filter(of_hub))
    }

    /// Over an open log, with its `Ingest` cursors.
    pub fn new(config: Config, cursors: impl IntoIterator<Item = (CursorKey, CursorValue)>) -> Self {
        Self {
            config,
            registry: Registry::new(cursors),
            connections: BTreeMap::new(),
            timers: BTreeSet::new(),
            pending: BTreeMap::new(),
            tokens: 0,
            pings: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Takes one input.
    pub fn handle(&mut self, input: Input, now: Now) {
        match input {
            Input::Opened { connection, binding, nonce } => self.opened(connection, binding, nonce, now),
            Input::Greeted { connection, hello, from, asked } => {
                self.greeted(connection, hello, from, asked, now);
            }
            Input::Frame { connection, frame } => self.frame(connection, frame, now),
            Input::Heard { connection } => {
                self.heard(connection, now);
                self.arm(connection);
            }
            Input::Malformed { connection, what } => {
                self.reject(connection, (RefusedCode::Malformed, what, "frames of riser.link.v1"), now);
            }
            Input::Closed { connection } => self.gone(connection, "closed", now),
            Input::Found { connection, edge } => self.found(connection, edge, now),
            Input::Ingested { token, refused } => self.ingested(token, refused, now),
            Input::Failed { token } => self.failed(token, now),
            Input::Revoked { edge } => self.revoked(edge, now),
            Input::Shutdown { after_ms } => self.shutdown(after_ms, now),
            Input::Mute { connection, why } => {
                let what = format!("the way down is closed: {why}");
                self.reject(connection, (RefusedCode::Timeout, what, "answers, in time"), now);
            }
            Input::Deadline => self.deadline(now),
        }
    }

    /// What they want done next.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When they want [`Input::Deadline`], and why.
    pub fn poll_timeout(&self) -> Option<(Time, Wake)> {
        self.timers.first().map(|(at, _, wake)| (*at, *wake))
    }

    /// Who the hub is.
    pub fn identity(&self) -> HubIdentity {
        HubIdentity { key: self.config.key.public(), log: self.config.log }
    }

    /// How far an epoch of an edge's log was taken, and what was heard of.
    pub fn cursor(&self, log: LogId, epoch: Epoch) -> Option<CursorValue> {
        self.registry.cursor(log, epoch)
    }

    /// What was taken of an edge, and what is missing.
    pub fn progress(&self, edge: ClientId) -> Progress {
        self.registry.progress(edge)
    }

    /// Which edge showed that log first.
    pub fn owner(&self, log: LogId) -> Option<ClientId> {
        self.registry.owner(log)
    }

    /// How many link connections there are.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// The account of a welcomed connection's edge, and the edge.
    pub fn edge_of(&self, connection: ConnectionId) -> Option<(AccountId, ClientId)> {
        self.connections.get(&connection)?.phase.known().map(|known| (known.edge.account, known.hello.edge))
    }

    fn send(&mut self, connection: ConnectionId, frame: HubFrame) {
        self.outputs.push_back(Output::Send { connection, frame });
    }

    fn emit(&mut self, account: AccountId, event: SystemEvent) {
        self.outputs.push_back(Output::Emit { account, event });
    }

    fn heard(&mut self, connection: ConnectionId, now: Now) {
        if let Some(state) = self.connections.get_mut(&connection) {
            state.heard_at = now.time;
            state.pinged = false;
        }
    }

    fn frame(&mut self, connection: ConnectionId, frame: EdgeFrame, now: Now) {
        self.heard(connection, now);
        let Some(state) = self.connections.get(&connection) else { return };
        let up = matches!(state.phase, Phase::Up(..));
        match frame {
            EdgeFrame::Hello(hello, signature) => self.hello(connection, hello, signature, now),
            EdgeFrame::Batch(batch) if up => self.batch(connection, batch, now),
            EdgeFrame::Latest(batch) if up => self.latest(connection, batch, now),
            EdgeFrame::CaughtUp { through, .. } if up => self.caught_up(connection, through),
            EdgeFrame::Bye { .. } if up => {
                self.outputs.push_back(Output::Close { connection, code: RefusedCode::ShuttingDown });
                self.gone(connection, "bye", now);
            }
            EdgeFrame::Down(answer) if up => {
                if let Some(edge) = state.phase.known().map(|known| known.hello.edge) {
                    self.outputs.push_back(Output::Down { connection, edge, answer });
                }
            }
            EdgeFrame::Ping(number) if state.phase.known().is_some() => {
                self.send(connection, HubFrame::Pong(number));
            }
            EdgeFrame::Pong(number) if state.phase.known().is_some() => self.pong(connection, number, now),
            EdgeFrame::Batch(_)
            | EdgeFrame::Latest(_)
            | EdgeFrame::CaughtUp { .. }
            | EdgeFrame::Bye { .. }
            | EdgeFrame::Ping(_)
            | EdgeFrame::Pong(_)
            | EdgeFrame::Down(_) => {
                let what = "a frame before its time".into();
                self.reject(
                    connection,
                    (RefusedCode::WrongState, what, "hello first, then wait for welcome"),
                    now,
                );
            }
        }
        self.arm(connection);
    }

    /// Says why and closes.
    fn reject(&mut self, connection: ConnectionId, (code, what, want): Reject, now: Now) {
        self.refuse(connection, code, what, want, None, now);
    }

    fn refuse(
        &mut self,
        connection: ConnectionId,
        code: RefusedCode,
        what: String,
        want: &str,
        after_ms: Option<u32>,
        now: Now,
    ) {
        if !self.connections.contains_key(&connection) {
            return;
        }
        let refused = Refused { code, what, want: want.to_owned(), after_ms };
        self.send(connection, HubFrame::Refused(refused));
        self.outputs.push_back(Output::Close { connection, code });
        self.gone(connection, code.name(), now);
    }

    fn revoked(&mut self, edge: ClientId, now: Now) {
        let of_edge = |(id, state): (&ConnectionId, &Connection)| {
            state.phase.known().is_some_and(|known| known.hello.edge == edge).then_some(*id)
        };
        let connections: Vec<ConnectionId> = self.connections.iter().filter_map(of_edge).collect();
        for connection in connections {
            let what = "the edge's key was revoked".into();
            self.reject(connection, (RefusedCode::NotAuthorised, what, "a key that the hub knows"), now);
        }
    }

    fn shutdown(&mut self, after_ms: u32, now: Now) {
        let connections: Vec<ConnectionId> = self.connections.keys().copied().collect();
        for connection in connections {
            let what = "the hub goes down".into();
            self.refuse(connection, RefusedCode::ShuttingDown, what, "come back later", Some(after_ms), now);
        }
    }

    fn deadline(&mut self, now: Now) {
        while let Some(timer) = self.timers.first().copied().filter(|(at, ..)| *at <= now.time) {
            self.timers.remove(&timer);
            let (_, connection, wake) = timer;
            if let Some(state) = self.connections.get_mut(&connection) {
                state.timer = None;
            }
            self.woken(connection, wake, now);
            self.arm(connection);
        }
    }

    fn woken(&mut self, connection: ConnectionId, wake: Wake, now: Now) {
        let Some(state) = self.connections.get_mut(&connection) else { return };
        match wake {
            Wake::Hello if matches!(state.phase, Phase::Hello) => {
                let what = "no hello in time".into();
                self.reject(connection, (RefusedCode::Timeout, what, "hello within 5 s"), now);
            }
            Wake::Hello => {}
            Wake::Clone if state.challenged.is_some_and(|(_, until)| now.time >= until) => {
                let what = "silent while a newer connection waited".into();
                self.reject(connection, (RefusedCode::Replaced, what, "one connection per edge"), now);
            }
            Wake::Clone => {}
            Wake::Silence => {
                if now.time >= state.heard_at.plus(riser_wire::limits::LINK_SILENT_AFTER) {
                    let what = "nothing was heard for 12 s".into();
                    self.reject(connection, (RefusedCode::Timeout, what, "a ping after 5 s"), now);
                } else if !state.pinged
                    && now.time >= state.heard_at.plus(riser_wire::limits::LINK_PING_AFTER)
                {
                    state.pinged = true;
                    self.pings += 1;
                    let number = self.pings;
                    self.send(connection, HubFrame::Ping(number));
                }
            }
        }
    }

    /// Sets the connection's one timer to its nearest deadline.
    fn arm(&mut self, connection: ConnectionId) {
        let Some(state) = self.connections.get_mut(&connection).filter(|state| !state.watched) else {
            return;
        };
        let silence = match (&state.phase, state.pinged) {
            (Phase::Hello, _) => {
                (state.opened.time.plus(riser_wire::limits::FIRST_FRAME_DEADLINE), Wake::Hello)
            }
            (_, false) => (state.heard_at.plus(riser_wire::limits::LINK_PING_AFTER), Wake::Silence),
            (_, true) => (state.heard_at.plus(riser_wire::limits::LINK_SILENT_AFTER), Wake::Silence),
        };
        let clone = state.challenged.map(|(_, until)| (until, Wake::Clone));
        let timer = clone.filter(|(at, _)| *at < silence.0).unwrap_or(silence);
        if state.timer != Some(timer) {
            if let Some((at, wake)) = state.timer.replace(timer) {
                self.timers.remove(&(at, connection, wake));
            }
            self.timers.insert((timer.0, connection, timer.1));
        }
    }
}

impl Phase {
    fn known(&self) -> Option<&Known> {
        match self {
            Self::Hello | Self::Looking(..) => None,
            Self::Waiting(known) | Self::Settling(known) | Self::Up(known, _) => Some(known),
        }
    }
}
