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
    AccountId, Cause, ClientId, ConnectionId, CursorKey, CursorMove, CursorValue, Epoch, Gap, HubIdentity,
    LogId, Now, PublicKey, Seq, Time, event::SystemEvent,
};
use riser_wire::link::{
    Above, Bytes, Definitions, EdgeFrame, Hello, HubFrame, Item, Limits, Nonce, Refused, RefusedCode,
    Signature,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use crate::registry::Progress;
pub use input::{Config, DOWN_LIMITS, Input, LIMITS, Others, Registered, cursors_max, relay_limits};
pub use output::{Ingest, Output, Wake};
pub use relay::Dropped;

mod admission;
mod input;
mod intake;
mod output;
mod reached;
mod relay;
mod tree;

#[cfg(test)]
pub(crate) mod tests;

/// A commit of what came down is at most this part of a segment: beside it there is a checkpoint, and what the site says.
const COMMITS_PER_SEGMENT: u64 = 8;
/// Who cannot be taken for want of cursors is to come back after this long.
const TOO_MANY_AFTER_MS: u32 = 60_000;
/// What a batch of one entry has beside its body: a header, and what its numbers mean.
const BATCH_REST_BYTES: u32 = 1024;

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
    /// It asked what is above.
    asks_above: bool,
    /// It asked how far these were taken, and somebody above may say so yet.
    asked: BTreeSet<(LogId, Epoch)>,
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
    /// What it makes of epochs that are forgotten, by log.
    forgets: Vec<(LogId, Vec<CursorMove>)>,
    /// How far logs below the edge's are with it, and by which names.
    reached: BTreeMap<(LogId, Epoch), CursorValue>,
    moves: Vec<CursorMove>,
    /// One before it failed: so will it.
    void: bool,
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
    dropped: Dropped,
    above: Above,
    tokens: u64,
    pings: u64,
    outputs: VecDeque<Output>,
}

impl Receivers {
    /// The taking end of the downlink from the hub with that key, over an edge's open log: with the edge's own key and
    /// log, and of its cursors those of that hub. What is sent at once must fit into a commit of that log, whose
    /// segments are of that size.
    pub fn of_downlink(
        key: Key,
        (log, segment_bytes): (LogId, u64),
        hub: PublicKey,
        cursors: impl IntoIterator<Item = (CursorKey, CursorValue)>,
    ) -> Self {
        let of_hub = |(key, _): &(CursorKey, CursorValue)| match key {
            CursorKey::Ingest(client, ..) => *client == hub.client(),
            CursorKey::Uplink(_) | CursorKey::Downlink(_) | CursorKey::Relayed(..) | CursorKey::Former(_) => {
                false
            }
        };
        let batch_bytes = u32::try_from(segment_bytes / COMMITS_PER_SEGMENT).unwrap_or(u32::MAX);
        let batch_bytes = batch_bytes.min(DOWN_LIMITS.batch_bytes);
        // What does not fit into such a batch is a gap: refused, it would come again for ever.
        let body_bytes = DOWN_LIMITS.body_bytes.min(batch_bytes.saturating_sub(BATCH_REST_BYTES));
        let limits = Limits { batch_bytes, body_bytes, ..DOWN_LIMITS };
        let config =
            Config { key, log, chain: Vec::new(), limits, others: Others::Some, cursors_max: usize::MAX };
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
            dropped: Dropped::default(),
            above: Above::default(),
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
            Input::Above(above) => self.above(above, now),
            Input::Reached { log, epoch, through } => self.reached((log, epoch), through),
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

    /// Whose edges are which: within an account an edge may come to be below another, or no longer.
    pub fn know(&mut self, accounts: impl IntoIterator<Item = (ClientId, AccountId)>) {
        self.registry.know(accounts);
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

    /// How often it changed which edge a log is of: what was concluded from [`Receivers::owner`] holds as long as this.
    pub fn owned(&self) -> u64 {
        self.registry.owned()
    }

    /// The logs that an edge has shown.
    pub fn logs_of(&self, edge: ClientId) -> impl Iterator<Item = LogId> {
        self.registry.logs_of(edge)
    }

    /// The own logs of an edge that it had before the one that it shows: their disks are gone, or were emptied.
    pub fn former_logs(&self, edge: ClientId) -> impl Iterator<Item = LogId> {
        self.registry.former_logs(edge)
    }

    /// Each edge's own logs, whether there still is such an edge or not.
    pub fn own_logs(&self) -> impl Iterator<Item = (LogId, ClientId)> {
        self.registry.own_logs()
    }

    /// The log that an edge shows, or showed last.
    pub fn shown(&self, edge: ClientId) -> Option<LogId> {
        self.registry.shown(edge)
    }

    /// Of every seq of a log up to here something is said on this disk.
    pub fn taken(&self, log: LogId) -> Seq {
        self.registry.taken(log)
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
            EdgeFrame::Above if up => self.asked_above(connection),
            EdgeFrame::Reached { log, epoch } if up => self.asked_reached(connection, (log, epoch)),
            EdgeFrame::GivenUp if up => {
                if let Some(edge) = state.phase.known().map(|known| known.hello.edge) {
                    self.outputs.push_back(Output::GivenUp { connection, edge });
                }
            }
            EdgeFrame::Tree(tree) if up => self.told_tree(connection, tree, now),
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
            | EdgeFrame::Down(_)
            | EdgeFrame::Above
            | EdgeFrame::Reached { .. }
            | EdgeFrame::GivenUp
            | EdgeFrame::Tree(_) => {
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
        // Only a person can change it.
        let after_ms = (code == RefusedCode::TooMany).then_some(TOO_MANY_AFTER_MS);
        self.refuse(connection, code, what, want, after_ms, now);
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
        let known = self.connections.get(&connection).and_then(|state| state.phase.known());
        if let Some(known) = known.filter(|_| code == RefusedCode::TooMany) {
            let (edge, name) = (known.hello.edge, known.edge.name.clone());
            let event = SystemEvent::EdgeRefused { edge, name, code: code.name().to_owned() };
            self.emit(known.edge.account, event);
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

    /// An edge asks what is above, and will be told when that changes.
    fn asked_above(&mut self, connection: ConnectionId) {
        if let Some(state) = self.connections.get_mut(&connection) {
            state.asks_above = true;
        }
        let above = self.above_edges();
        self.send(connection, HubFrame::Above(above));
    }

    fn above_edges(&self) -> Above {
        let mut logs = self.above.logs.clone();
        logs.push(self.config.log);
        logs.sort_unstable();
        Above { hops: self.above.hops, logs }
    }

    /// Something else is above: who is below may be that, and everybody below is told.
    fn above(&mut self, above: Above, now: Now) {
        if self.above == above {
            return;
        }
        self.above = above;
        let known = |(id, state): (&ConnectionId, &Connection)| Some((*id, state.phase.known()?.hello.log));
        let connections: Vec<(ConnectionId, LogId)> = self.connections.iter().filter_map(known).collect();
        for (connection, log) in connections {
            if self.is_above(log) {
                self.reject(connection, a_loop(), now);
            }
        }
        let asks: Vec<ConnectionId> =
            self.connections.iter().filter(|(_, state)| state.asks_above).map(|(id, _)| *id).collect();
        for connection in asks {
            let above = self.above_edges();
            self.send(connection, HubFrame::Above(above));
        }
    }

    fn is_above(&self, log: LogId) -> bool {
        log == self.config.log || self.above.logs.contains(&log)
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

/// No further log can be taken.
fn too_many() -> Reject {
    let what = "this instance keeps as many places in logs of edges as its segments have room for".into();
    (RefusedCode::TooMany, what, "longer segments (quota.segment) at the instance that refuses")
}

fn a_loop() -> Reject {
    let what = "this edge is above the instance that it links to, or is the same".into();
    (RefusedCode::Loop, what, "an uplink to an instance that is not below the edge")
}

impl Phase {
    /// What the connection's numbers of logs below mean.
    fn origins_mut(&mut self) -> Option<&mut BTreeMap<u32, (LogId, Epoch)>> {
        match self {
            Self::Hello | Self::Looking(..) | Self::Waiting(_) | Self::Settling(_) => None,
            Self::Up(_, flow) => Some(&mut flow.origins),
        }
    }

    fn known(&self) -> Option<&Known> {
        match self {
            Self::Hello | Self::Looking(..) => None,
            Self::Waiting(known) | Self::Settling(known) | Self::Up(known, _) => Some(known),
        }
    }
}
