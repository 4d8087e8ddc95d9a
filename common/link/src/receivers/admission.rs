//! From a socket to a welcomed edge: who it is, whether it is the only one, and where it goes on (rules 7.1,
//! 7.4, 7.5).

use super::{
    Bytes, ClientId, Clocks, Connection, ConnectionId, Flow, Hello, HubFrame, Known, Nonce, Now, Output,
    Phase, Receivers, RefusedCode, Registered, Reject, Signature, SystemEvent, handshake,
};
use crate::registry::FORGOTTEN;
use riser_model::EpochSpan;
use riser_wire::link::{CHAIN_MAX, CLONE_PING, SEQ_MAX, Taken, Welcome, sign};

const ANOTHER: &str = "one machine per identity: give the copy its own id, key and empty data folder";

impl Receivers {
    pub(super) fn opened(&mut self, connection: ConnectionId, binding: Bytes, nonce: Nonce, now: Now) {
        let state = Connection {
            phase: Phase::Hello,
            binding,
            nonce,
            watched: false,
            asks_above: false,
            asked: Default::default(),
            opened: now,
            heard_at: now.time,
            pinged: false,
            challenged: None,
            unconfirmed_bytes: 0,
            timer: None,
        };
        self.connections.insert(connection, state);
        let hub = self.identity();
        self.send(connection, HubFrame::Nonce { hub, nonce });
        self.arm(connection);
    }

    pub(super) fn greeted(
        &mut self,
        connection: ConnectionId,
        hello: Box<Hello>,
        from: Registered,
        asked: Now,
        now: Now,
    ) {
        // Of a hub there is one connection at a time: whoever opens another has closed this one.
        if let Some(before) = self.registry.edge(hello.edge).current {
            self.gone(before, RefusedCode::Replaced.name(), now);
        }
        let clocks = Clocks::skewed(&hello, asked, now);
        let (log, client, in_order) = (hello.log, hello.edge, in_order(&hello));
        let state = Connection {
            phase: Phase::Waiting(Box::new(Known { hello: *hello, edge: from, clocks })),
            binding: Bytes::new(),
            nonce: Nonce([0; 32]),
            watched: true,
            asks_above: false,
            asked: Default::default(),
            opened: asked,
            heard_at: now.time,
            pinged: false,
            challenged: None,
            unconfirmed_bytes: 0,
            timer: None,
        };
        self.connections.insert(connection, state);
        if !in_order {
            return self.reject(connection, out_of_order(), now);
        }
        if !self.registry.owns(log, client) {
            let what = "the log belongs to another hub".into();
            return self.reject(connection, (RefusedCode::Clone, what, ANOTHER), now);
        }
        self.admit(connection, client, now);
    }

    pub(super) fn hello(
        &mut self,
        connection: ConnectionId,
        hello: Box<Hello>,
        signature: Signature,
        now: Now,
    ) {
        let Some(state) = self.connections.get_mut(&connection) else { return };
        if !matches!(state.phase, Phase::Hello) {
            let what = "a second hello".into();
            return self.reject(connection, (RefusedCode::WrongState, what, "one hello per connection"), now);
        }
        if !in_order(&hello) {
            return self.reject(connection, out_of_order(), now);
        }
        let edge = hello.edge;
        state.phase = Phase::Looking(hello, signature);
        self.outputs.push_back(Output::Lookup { connection, edge });
    }

    pub(super) fn found(&mut self, connection: ConnectionId, edge: Option<Registered>, now: Now) {
        let identity = self.identity();
        let Some(state) = self.connections.get_mut(&connection) else { return };
        let Phase::Looking(hello, signature) = std::mem::replace(&mut state.phase, Phase::Hello) else {
            return;
        };
        let bytes = sign::hello_bytes(&hello, identity, state.nonce, &state.binding);
        // An unknown edge costs as much as a wrong signature: from outside they look the same.
        let key = edge.as_ref().map_or(identity.key, |edge| edge.key);
        let holds = handshake::holds(key, &bytes, signature);
        let Some(edge) = edge.filter(|_| holds) else {
            let what = "the edge is unknown, or its signature does not hold".into();
            let want = "an edge of this hub's configuration, with its key, and this hub's key pinned";
            return self.reject(connection, (RefusedCode::NotAuthorised, what, want), now);
        };
        let clocks = Clocks::greeted(&hello, state.opened, now);
        let (log, client, account) = (hello.log, hello.edge, edge.account);
        state.phase = Phase::Waiting(Box::new(Known { hello: *hello, edge, clocks }));
        self.registry.know([(client, account)]);
        if self.is_above(log) {
            return self.reject(connection, super::a_loop(), now);
        }
        if !self.registry.owns(log, client) {
            let what = "the log belongs to another edge".into();
            return self.reject(connection, (RefusedCode::Clone, what, ANOTHER), now);
        }
        if !self.registry.takes(log, self.config.cursors_max) {
            return self.reject(connection, super::too_many(), now);
        }
        self.admit(connection, client, now);
        self.arm(connection);
    }

    /// Rule 7.5: the newest connection of one machine wins; of two machines, the one that is there.
    fn admit(&mut self, connection: ConnectionId, client: ClientId, now: Now) {
        let live = self.live_epoch(connection);
        let Some(current) = self.registry.edge(client).current else {
            return self.make_current(connection, client, now);
        };
        if self.live_epoch(current) == live {
            // The machine that the current connection belongs to has just proved that it is alive.
            self.refuse_clone(client, now);
            self.replace(current, now);
            return self.make_current(connection, client, now);
        }
        if let Some(older) = self.registry.edge(client).waiting.replace(connection) {
            self.replace(older, now);
        }
        self.pings += 1;
        let number = self.pings;
        if let Some(state) = self.connections.get_mut(&current) {
            state.challenged.get_or_insert((number, now.time.plus(CLONE_PING)));
        }
        self.send(current, HubFrame::Ping(number));
        self.arm(current);
    }

    fn replace(&mut self, connection: ConnectionId, now: Now) {
        let what = "a newer connection of this edge".into();
        self.reject(connection, (RefusedCode::Replaced, what, "one connection per edge"), now);
    }

    /// The current connection of an edge answered a ping that decides: the newcomer is a clone.
    pub(super) fn pong(&mut self, connection: ConnectionId, number: u64, now: Now) {
        let Some(state) = self.connections.get_mut(&connection) else { return };
        let Some(known) = state.phase.known() else { return };
        let client = known.hello.edge;
        if state.challenged.is_some_and(|(asked, _)| asked <= number) {
            state.challenged = None;
            self.refuse_clone(client, now);
        }
    }

    fn refuse_clone(&mut self, client: ClientId, now: Now) {
        let Some(newcomer) = self.registry.edge(client).waiting.take() else { return };
        let known = self.connections.get(&newcomer).and_then(|state| state.phase.known());
        let event =
            known.map(|k| (k.edge.account, SystemEvent::Clone { edge: client, name: k.edge.name.clone() }));
        let what = "another machine with this identity is connected".into();
        self.reject(newcomer, (RefusedCode::Clone, what, ANOTHER), now);
        if let Some((account, event)) = event {
            self.emit(account, event);
        }
    }

    fn make_current(&mut self, connection: ConnectionId, client: ClientId, now: Now) {
        let edge = self.registry.edge(client);
        edge.current = Some(connection);
        if edge.waiting == Some(connection) {
            edge.waiting = None;
        }
        if let Some(state) = self.connections.get_mut(&connection)
            && let Phase::Waiting(known) = std::mem::replace(&mut state.phase, Phase::Hello)
        {
            state.phase = Phase::Settling(known);
        }
        self.settle(client, now);
        self.arm(connection);
    }

    /// Welcomes the current connection once no commit for the edge is outstanding.
    pub(super) fn settle(&mut self, client: ClientId, now: Now) {
        let edge = self.registry.edge(client);
        let (Some(connection), 0) = (edge.current, edge.outstanding) else { return };
        let Some(state) = self.connections.get(&connection) else { return };
        let Phase::Settling(known) = &state.phase else { return };
        let hello = &known.hello;
        if self.forked(hello) {
            let what = "the hub has other entries under the live epoch's name".into();
            return self.reject(connection, (RefusedCode::Forked, what, "open a new epoch"), now);
        }
        self.registry.shows(client, hello.log, hello.live);
        for opening in &hello.chain {
            let EpochSpan { epoch, first, last } = opening.span;
            let last = if epoch == hello.live { hello.last_added } else { last };
            self.registry.heard(hello.log, epoch, first, last);
        }
        self.welcome(connection, now);
    }

    fn welcome(&mut self, connection: ConnectionId, now: Now) {
        let Some(state) = self.connections.get(&connection) else { return };
        let Phase::Settling(known) = &state.phase else { return };
        let (hello, registry) = (&known.hello, &self.registry);
        let cursor = |epoch| registry.cursor(hello.log, epoch);
        let taken: Vec<Taken> = hello
            .chain
            .iter()
            .filter_map(|opening| {
                let cursor = cursor(opening.span.epoch)?;
                (cursor.through >= opening.span.first).then_some(Taken { epoch: opening.span.epoch, cursor })
            })
            .collect();
        let chain = &self.config.chain;
        let welcome = Welcome {
            hub: self.identity(),
            chain: chain.iter().skip(chain.len().saturating_sub(CHAIN_MAX)).copied().collect(),
            taken,
            limits: self.config.limits,
            clock: now.wall,
        };
        let flow = Flow::new(hello, self.config.limits, |epoch| cursor(epoch).map(|value| value.through));
        let behind = |opening: &riser_wire::link::Opening| {
            let EpochSpan { epoch, first, last } = opening.span;
            let last = if epoch == hello.live { hello.last_added } else { last };
            let through = cursor(epoch).map_or(first.prev(), |value| value.through.max(first.prev()));
            last.0.saturating_sub(through.0)
        };
        let backlog = hello.chain.iter().map(behind).sum();
        let (client, account) = (hello.edge, known.edge.account);
        let online = SystemEvent::EdgeOnline {
            edge: client,
            name: known.edge.name.clone(),
            epoch: hello.live,
            backlog,
        };
        let off = (!state.watched).then_some((hello.clock.wall, state.opened, known.clocks.read()));
        let name = known.edge.name.clone();
        let bytes = sign::welcome_bytes(&welcome, hello, state.nonce, &state.binding);
        let signature = self.config.key.sign(&bytes);
        let Some(state) = self.connections.get_mut(&connection) else { return };
        state.phase = match std::mem::replace(&mut state.phase, Phase::Hello) {
            Phase::Settling(known) => Phase::Up(known, flow),
            other @ (Phase::Hello | Phase::Looking(..) | Phase::Waiting(_) | Phase::Up(..)) => other,
        };
        self.outputs.push_back(Output::Welcomed { connection, edge: client });
        self.send(connection, HubFrame::Welcome(Box::new(welcome), signature));
        self.emit(account, online);
        let off =
            off.and_then(|(clock, asked, came)| self.registry.edge(client).off.greeted(clock, asked, came));
        if let Some((off_ms, right)) = off {
            self.emit(account, SystemEvent::EdgeClock { edge: client, name, off_ms, right });
        }
        self.note_lost(connection, now);
    }

    /// Whether the live epoch's name stands for something else here than there: the edge went back in time
    /// without a new epoch (a machine restored from a running image).
    fn forked(&self, hello: &Hello) -> bool {
        let Some(cursor) = self.registry.cursor(hello.log, hello.live) else { return false };
        let same_place = cursor.through == hello.cursor.through && cursor.crc != 0 && hello.cursor.crc != 0;
        let in_live = hello
            .chain
            .iter()
            .any(|opening| opening.span.epoch == hello.live && opening.span.first <= hello.cursor.through);
        cursor.heard > hello.last_added || (in_live && same_place && cursor.crc != hello.cursor.crc)
    }

    fn live_epoch(&self, connection: ConnectionId) -> Option<riser_model::Epoch> {
        self.connections.get(&connection)?.phase.known().map(|known| known.hello.live)
    }

    /// The connection is over: whoever waited for that may come in.
    pub(super) fn gone(&mut self, connection: ConnectionId, cause: &str, now: Now) {
        let Some(state) = self.connections.remove(&connection) else { return };
        if let Some((at, wake)) = state.timer {
            self.timers.remove(&(at, connection, wake));
        }
        let Some(known) = state.phase.known() else { return };
        let client = known.hello.edge;
        let edge = self.registry.edge(client);
        if edge.waiting == Some(connection) {
            edge.waiting = None;
        }
        if edge.current != Some(connection) {
            return;
        }
        edge.current = None;
        let newcomer = edge.waiting.take();
        if matches!(state.phase, Phase::Up(..)) && cause != RefusedCode::Replaced.name() {
            let (edge, name) = (client, known.edge.name.clone());
            self.emit(known.edge.account, SystemEvent::EdgeSilent { edge, name, cause: cause.to_owned() });
        }
        if let Some(newcomer) = newcomer {
            self.make_current(newcomer, client, now);
        }
    }
}

fn out_of_order() -> Reject {
    let want = "epochs oldest first, each starting where the last one ended";
    (RefusedCode::Malformed, "a chain that is out of order".into(), want)
}

/// Whether a chain can be what a log has: seqs in range, oldest first, the live epoch last and up to date.
fn in_order(hello: &Hello) -> bool {
    let mut next = None;
    for opening in &hello.chain {
        let span = opening.span;
        let dense = next.is_none_or(|next| span.first == next);
        if !dense || span.first.0 == 0 || span.last.next() < span.first || span.last > SEQ_MAX {
            return false;
        }
        next = Some(span.last.next());
    }
    let epochs: std::collections::BTreeSet<_> =
        hello.chain.iter().map(|opening| opening.span.epoch).collect();
    let named = !epochs.contains(&FORGOTTEN);
    let live = hello.chain.iter().position(|opening| opening.span.epoch == hello.live);
    let live_is_last = live.is_none_or(|at| {
        at + 1 == hello.chain.len() && next.is_some_and(|next| next == hello.last_added.next())
    });
    !hello.chain.is_empty()
        && named
        && epochs.len() == hello.chain.len()
        && live_is_last
        && hello.last_added <= SEQ_MAX
}
