//! Both ends of links in virtual time, for tests: senders and receivers over two reference logs and a network
//! that fails on purpose.
//!
//! Everything that happens is an event with a time; the same seed and the same calls give the same run. Hosts
//! crash between any two effects ([`Pair::crash_at`]), disks are imaged and restored, connections are cut with
//! or without either side noticing. [`Pair::check`] is the ledger: what was accepted is in the hub's log or
//! under a gap, once, in order, and the equation holds (it is also checked after every single input). In a pair made by
//! [`Pair::down`] the "edge" is what sends down, a hub with its log, and the "hub" is what takes it.

use crate::{receivers, sender};
use riser_model::{ConnectionId, CursorKey, Now, Seq, Time, Wall};
use riser_wire::link::{Nonce, Stage, decode_edge, decode_hub};
use std::{collections::BTreeMap, time::Duration};

mod down;
mod edge;
mod effects;
mod hub;
mod ledger;
pub mod middle;
mod net;

pub use edge::{EdgeDisk, EdgeHost, OnFork};
pub use hub::{HubDisk, HubHost, Poison, Stored};
pub use net::{Faults, Net};

/// Who crashes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Victim {
    /// An edge, by its place.
    Edge(usize),
    /// A hub, by its place.
    Hub(usize),
}

/// Something that happens at a time. What belongs to a process that is gone is void.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Event {
    Dialed {
        edge: usize,
        generation: u64,
        attempt: u64,
    },
    ToHub {
        connection: ConnectionId,
        message: riser_wire::link::Bytes,
    },
    ToEdge {
        connection: ConnectionId,
        message: riser_wire::link::Bytes,
    },
    /// The side learns that the connection is over.
    HubSees {
        connection: ConnectionId,
    },
    EdgeSees {
        connection: ConnectionId,
    },
    EdgeRead {
        edge: usize,
        generation: u64,
        number: u64,
        from: Seq,
        bytes_max: u32,
    },
    /// The receiver of a downlink sees to it that there is a connection.
    Attach {
        edge: usize,
    },
    EdgeCommit {
        edge: usize,
        generation: u64,
    },
    HubCommit {
        hub: usize,
        generation: u64,
    },
    Start(Victim),
}

/// See the module.
#[derive(Debug)]
pub struct Pair {
    /// The time.
    pub now: Now,
    /// The edges.
    pub edges: Vec<EdgeHost>,
    /// The hubs.
    pub hubs: Vec<HubHost>,
    /// What is between them.
    pub net: Net,
    /// How long a host stays down after a crash.
    pub down_for: Duration,
    /// How long a commit takes.
    pub commit_takes: Duration,
    /// Effects performed and messages delivered so far.
    pub boundaries: u64,
    /// Crash somebody before the effect or message with this number.
    pub crash_at: Option<(u64, Victim)>,
    /// The events that hubs and edges emitted, in words.
    pub said: Vec<String>,
    dice: fastrand::Rng,
    events: BTreeMap<(Time, u64), Event>,
    numbered: u64,
    attached: u64,
    /// Hubs and edges that are one instance.
    middles: Vec<(usize, usize)>,
}

impl Pair {
    /// One edge and one hub, both running, nothing published.
    pub fn new(seed: u64) -> Self {
        let mut pair = Self {
            now: Now { time: Time(1_000_000_000), wall: Wall(1_700_000_000_000) },
            edges: Vec::new(),
            hubs: Vec::new(),
            net: Net::default(),
            down_for: Duration::from_millis(200),
            commit_takes: Duration::from_millis(2),
            boundaries: 0,
            crash_at: None,
            said: Vec::new(),
            dice: fastrand::Rng::with_seed(seed),
            events: BTreeMap::new(),
            numbered: 0,
            attached: 0,
            middles: Vec::new(),
        };
        let hub = pair.add_hub(1, 1);
        pair.add_edge(1, hub);
        pair
    }

    /// One more hub with that key and log, running.
    pub fn add_hub(&mut self, key: u8, log: u64) -> usize {
        self.hubs.push(HubHost::new(key, log));
        let at = self.hubs.len() - 1;
        self.start(Victim::Hub(at));
        at
    }

    /// One more edge with that identity, running, whose uplink goes to the address of that hub and pins its
    /// key. Every hub knows it.
    pub fn add_edge(&mut self, identity: u8, hub: usize) -> usize {
        let log = self.dice.u64(1..);
        let pinned = self.hubs.get(hub).map_or(0, |hub| hub.key);
        self.edges.push(EdgeHost::new(identity, EdgeDisk::new(log), hub, pinned));
        let at = self.edges.len() - 1;
        self.start(Victim::Edge(at));
        at
    }

    /// Publishes `n` messages to a linked room of an edge. Nothing happens while it is down.
    pub fn publish(&mut self, edge: usize, n: usize) {
        self.append(edge, n, true);
    }

    /// Publishes `n` messages to a room that stays on site.
    pub fn publish_local(&mut self, edge: usize, n: usize) {
        self.append(edge, n, false);
    }

    fn append(&mut self, edge: usize, n: usize, linked: bool) {
        let now = self.now;
        if let Some(host) = self.edges.get_mut(edge) {
            for _ in 0..n {
                host.publish(linked, now);
            }
        }
        self.edge_commit_soon(edge);
    }

    /// Lets the ring drop the oldest entries of an edge up to `through`, confirmed or not.
    pub fn drop_oldest(&mut self, edge: usize, through: Seq) {
        let lost = self.edges.get_mut(edge).map(|host| host.disk.drop_oldest(through)).unwrap_or_default();
        for gap in lost {
            self.edge_input(edge, sender::Input::Lost(gap));
        }
    }

    /// Ends a process at once: what was not committed is gone.
    pub fn crash(&mut self, victim: Victim) {
        let closed: Vec<ConnectionId> = self.net.of_host(victim).collect();
        for connection in closed {
            self.close(connection, Some(victim));
        }
        match victim {
            Victim::Edge(at) => self.edges.get_mut(at).map(EdgeHost::crash).unwrap_or_default(),
            Victim::Hub(at) => self.hubs.get_mut(at).map(HubHost::crash).unwrap_or_default(),
        }
        if let Some(other) = self.other_end(victim).filter(|other| self.is_up(*other)) {
            self.crash(other);
        }
    }

    /// Starts a process over its disk: a new epoch each time. Nothing happens if it runs.
    pub fn start(&mut self, victim: Victim) {
        if let Some(other) = self.other_end(victim).filter(|_| !self.is_up(victim)) {
            self.start_one(victim);
            return self.start_one(other);
        }
        self.start_one(victim);
    }

    fn start_one(&mut self, victim: Victim) {
        let (now, epoch) = (self.now, self.dice.u64(1..));
        match victim {
            Victim::Edge(at) => {
                if let Some(host) = self.edges.get_mut(at) {
                    host.start(epoch, now);
                }
                self.edge_input(at, sender::Input::Deadline);
            }
            Victim::Hub(at) => {
                if let Some(host) = self.hubs.get_mut(at) {
                    host.start(epoch);
                }
            }
        }
    }

    /// Crashes somebody and starts it again after [`Pair::down_for`].
    pub fn restart(&mut self, victim: Victim) {
        self.crash(victim);
        self.later(self.down_for, Event::Start(victim));
    }

    /// Cuts every connection. With `noticed` both sides see it at once, otherwise neither ever does.
    pub fn cut(&mut self, noticed: bool) {
        let all: Vec<ConnectionId> = self.net.open().collect();
        for connection in all {
            if noticed {
                self.close(connection, None);
            } else {
                self.net.silence(connection);
            }
        }
    }

    /// Goes on for so long.
    pub fn run_for(&mut self, long: Duration) {
        let until = self.now.time.plus(long);
        while self.step(until) {}
        self.advance(until);
    }

    /// Goes on until something holds; whether it came to hold in that time.
    pub fn run_until(&mut self, within: Duration, mut holds: impl FnMut(&Self) -> bool) -> bool {
        let until = self.now.time.plus(within);
        loop {
            if holds(self) {
                return true;
            }
            if !self.step(until) {
                return holds(self);
            }
        }
    }

    /// Starts everybody, lets the network work, and goes on until every edge is drained.
    pub fn heal(&mut self, within: Duration) -> bool {
        self.net.faults = Faults::default();
        self.crash_at = None;
        let victims: Vec<Victim> =
            (0..self.edges.len()).map(Victim::Edge).chain((0..self.hubs.len()).map(Victim::Hub)).collect();
        victims.into_iter().for_each(|victim| self.start(victim));
        self.run_until(within, |pair| (0..pair.edges.len()).all(|edge| pair.drained(edge)))
    }

    /// Whether an edge says that its hub has everything, and the hub's disk says so too.
    pub fn drained(&self, edge: usize) -> bool {
        let Some(host) = self.edges.get(edge) else { return true };
        let Some(hub) = self.hubs.get(host.address) else { return true };
        let log = host.disk.log;
        // By its own name, or that of one through whom it came.
        let of = |key: &CursorKey, epoch| match key {
            CursorKey::Ingest(_, of, e) | CursorKey::Relayed(_, of, e) => (*of, *e) == (log, epoch),
            CursorKey::Uplink(_) | CursorKey::Downlink(_) | CursorKey::Former(_) => false,
        };
        let taken = |epoch| {
            let mut cursors = hub.disk.cursors.iter().filter(|(key, _)| of(key, epoch));
            cursors.next().map_or(Seq::ZERO, |(_, value)| value.through)
        };
        if host.sends_down {
            // The receiver is not told of skips at the end: only what it has shows that it has everything.
            return host.drained(self.now) && self.check_edge(edge).is_ok();
        }
        host.drained(self.now)
            && host.disk.chain.iter().all(|opening| {
                opening.span.last < opening.span.first || taken(opening.span.epoch) >= opening.span.last
            })
    }

    /// One event, or one deadline, not later than `until`. Whether there was any.
    fn step(&mut self, until: Time) -> bool {
        let event = self.events.first_key_value().map(|((at, _), _)| *at);
        let edge =
            (0..self.edges.len()).filter_map(|at| Some((self.edges.get(at)?.deadline()?, Victim::Edge(at))));
        let hub =
            (0..self.hubs.len()).filter_map(|at| Some((self.hubs.get(at)?.deadline()?, Victim::Hub(at))));
        let deadline = edge.chain(hub).min_by_key(|(at, _)| *at);
        match (event, deadline) {
            (Some(at), deadline) if at <= until && deadline.is_none_or(|(due, _)| at <= due) => {
                self.advance(at);
                if let Some((_, event)) = self.events.pop_first() {
                    self.happen(event);
                }
                true
            }
            (_, Some((due, victim))) if due <= until => {
                self.advance(due);
                match victim {
                    Victim::Edge(at) => self.edge_input(at, sender::Input::Deadline),
                    Victim::Hub(at) => self.hub_input(at, receivers::Input::Deadline),
                }
                true
            }
            _ => false,
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Start(victim) => self.start(victim),
            Event::Dialed { edge, generation, attempt } => self.dialed(edge, generation, attempt),
            Event::ToHub { connection, message } => {
                let Some((_, hub)) = self.net.ends(connection) else { return };
                self.boundary();
                if self.is_down(connection) {
                    return self.down_to_hub(hub, connection, message);
                }
                let stage = self.net.hub_stage(connection);
                let input = match decode_edge(message, stage, |_, _| None) {
                    Ok(frame) => receivers::Input::Frame { connection, frame },
                    Err(bad) => receivers::Input::Malformed { connection, what: bad.to_string() },
                };
                self.hub_input(hub, input);
            }
            Event::ToEdge { connection, message } => {
                let Some((edge, _)) = self.net.ends(connection) else { return };
                self.boundary();
                let attempt = self.net.attempt(connection);
                if self.is_down(connection) {
                    return self.answer_to_edge(edge, attempt, message);
                }
                let frame = decode_hub(message, Stage::Welcomed, |_, _| None);
                let input = match frame {
                    Ok(frame) => sender::Input::Frame { attempt, frame },
                    Err(_) => sender::Input::Disconnected { attempt },
                };
                self.edge_input(edge, input);
            }
            Event::HubSees { connection } => {
                if let Some((_, hub)) = self.net.hub_sees_end(connection) {
                    self.hub_input(hub, receivers::Input::Closed { connection });
                }
            }
            Event::EdgeSees { connection } => {
                let attempt = self.net.attempt(connection);
                if let Some((edge, _)) = self.net.edge_sees_end(connection) {
                    self.edge_input(edge, sender::Input::Disconnected { attempt });
                }
            }
            Event::EdgeRead { edge, generation, number, from, bytes_max } => {
                let Some(host) = self.edges.get(edge).filter(|host| host.generation == generation) else {
                    return;
                };
                let chunk = host.disk.read(from, bytes_max);
                self.edge_input(edge, sender::Input::Read { number, chunk });
            }
            Event::Attach { edge } => self.attach(edge),
            Event::EdgeCommit { edge, generation } => {
                let Some(host) = self.edges.get_mut(edge).filter(|host| host.generation == generation) else {
                    return;
                };
                if let Some(added) = host.commit() {
                    self.edge_input(edge, added);
                }
            }
            Event::HubCommit { hub, generation } => {
                let Some(host) = self.hubs.get_mut(hub).filter(|host| host.generation == generation) else {
                    return;
                };
                let Some(done) = host.commit() else { return };
                let taken = std::mem::take(&mut host.taken);
                self.relay(hub, taken);
                self.hub_input(hub, done);
                let takes = self.commit_takes;
                self.hub_commit_soon(hub, takes);
            }
        }
    }

    fn dialed(&mut self, edge: usize, generation: u64, attempt: u64) {
        let Some(host) = self.edges.get(edge).filter(|host| host.generation == generation) else { return };
        let hub = host.address;
        let up = self.hubs.get(hub).is_some_and(HubHost::is_up) && !self.net.faults.refuse_dials;
        if !up {
            return self.edge_input(edge, sender::Input::Disconnected { attempt });
        }
        let binding = riser_wire::link::Bytes::from(self.dice.u64(..).to_le_bytes().to_vec());
        let connection = self.net.opened(edge, hub, attempt);
        let nonces = [self.nonce(), self.nonce()];
        let [nonce, hub_nonce] = nonces;
        let opened = receivers::Input::Opened { connection, binding: binding.clone(), nonce: hub_nonce };
        self.edge_input(edge, sender::Input::Connected { attempt, binding, nonce });
        self.hub_input(hub, opened);
    }

    fn nonce(&mut self) -> Nonce {
        let mut bytes = [0; 32];
        self.dice.fill(&mut bytes);
        Nonce(bytes)
    }

    /// Before an effect or message: somebody may crash now.
    fn boundary(&mut self) {
        self.boundaries += 1;
        match self.crash_at {
            Some((at, victim)) if self.boundaries == at => self.restart(victim),
            Some(_) | None => {}
        }
    }

    fn cut_by_chance(&mut self, connection: ConnectionId) {
        if self.dice.f64() < self.net.faults.cut {
            if self.dice.bool() {
                self.close(connection, None);
            } else {
                self.net.silence(connection);
            }
        }
    }

    /// Ends a connection; who closed it does not need to be told. What was sent before still arrives, and if
    /// nothing gets through any more, neither does the end.
    fn close(&mut self, connection: ConnectionId, by: Option<Victim>) {
        let (up, down) = self.net.closing(connection, self.now.time);
        let heard = !self.net.is_silent(connection);
        match by {
            Some(Victim::Edge(_)) => {
                self.net.edge_sees_end(connection);
                if heard {
                    self.at(up, Event::HubSees { connection });
                }
            }
            Some(Victim::Hub(_)) => {
                self.net.hub_sees_end(connection);
                if heard {
                    self.at(down, Event::EdgeSees { connection });
                }
            }
            None => {
                self.net.silence(connection);
                self.at(up, Event::HubSees { connection });
                self.at(down, Event::EdgeSees { connection });
            }
        }
    }

    fn edge_commit_soon(&mut self, edge: usize) {
        let takes = self.commit_takes;
        if let Some(generation) = self.edges.get_mut(edge).and_then(EdgeHost::commit_due) {
            self.later(takes, Event::EdgeCommit { edge, generation });
        }
    }

    fn hub_commit_soon(&mut self, hub: usize, after: Duration) {
        if let Some(generation) = self.hubs.get_mut(hub).and_then(HubHost::commit_due) {
            self.later(after, Event::HubCommit { hub, generation });
        }
    }

    fn later(&mut self, after: Duration, event: Event) {
        self.at(self.now.time.plus(after), event);
    }

    fn at(&mut self, at: Time, event: Event) {
        self.numbered += 1;
        self.events.insert((at.max(self.now.time), self.numbered), event);
    }

    fn advance(&mut self, to: Time) {
        let ms = |time: Time| i64::try_from(time.0 / 1_000_000).unwrap_or(i64::MAX);
        if to > self.now.time {
            self.now.wall.0 += ms(to) - ms(self.now.time);
            self.now.time = to;
        }
    }
}

#[cfg(test)]
mod tests;
