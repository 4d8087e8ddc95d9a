//! The network of a [`Pair`](super::Pair): connections that keep order, and break.

use super::Victim;
use riser_model::{ConnectionId, Time};
use riser_wire::link::Stage;
use std::{collections::BTreeMap, time::Duration};

/// What goes wrong, by chance.
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    /// A message vanishes inside of a connection.
    pub loss: f64,
    /// A message arrives twice.
    pub duplicate: f64,
    /// A connection ends after a message, half of the time without anybody noticing.
    pub cut: f64,
    /// Nobody gets a new connection.
    pub refuse_dials: bool,
    /// The shortest and the longest way of a message.
    pub latency: (Duration, Duration),
    /// What a connection carries upwards.
    pub bytes_per_s: u64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            loss: 0.0,
            duplicate: 0.0,
            cut: 0.0,
            refuse_dials: false,
            latency: (Duration::from_millis(5), Duration::from_millis(15)),
            bytes_per_s: 10_000_000,
        }
    }
}

#[derive(Debug)]
struct Wire {
    edge: usize,
    hub: usize,
    attempt: u64,
    /// Nothing gets through any more, and nobody knows.
    silent: bool,
    edge_open: bool,
    hub_open: bool,
    stage: Stage,
    up_free: Time,
    up_at: Time,
    down_at: Time,
}

/// All connections.
#[derive(Debug, Default)]
pub struct Net {
    /// What goes wrong.
    pub faults: Faults,
    /// Messages that went up and down.
    pub messages: u64,
    /// Bytes that went up.
    pub bytes_up: u64,
    wires: BTreeMap<ConnectionId, Wire>,
    opened: u64,
}

impl Net {
    pub(super) fn latency(&self, dice: &mut fastrand::Rng) -> Duration {
        let (least, most) = self.faults.latency;
        let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(dice.u64(nanos(least)..=nanos(most)))
    }

    pub(super) fn opened(&mut self, edge: usize, hub: usize, attempt: u64) -> ConnectionId {
        self.opened += 1;
        let wire = Wire {
            edge,
            hub,
            attempt,
            silent: false,
            edge_open: true,
            hub_open: true,
            stage: Stage::Unauthenticated,
            up_free: Time(0),
            up_at: Time(0),
            down_at: Time(0),
        };
        self.wires.insert(ConnectionId(self.opened), wire);
        ConnectionId(self.opened)
    }

    pub(super) fn ends(&self, connection: ConnectionId) -> Option<(usize, usize)> {
        self.wires.get(&connection).map(|wire| (wire.edge, wire.hub))
    }

    pub(super) fn attempt(&self, connection: ConnectionId) -> u64 {
        self.wires.get(&connection).map_or(0, |wire| wire.attempt)
    }

    pub(super) fn connection(&self, edge: usize, attempt: u64) -> Option<ConnectionId> {
        self.wires
            .iter()
            .rev()
            .find(|(_, wire)| wire.edge == edge && wire.attempt == attempt && wire.edge_open)
            .map(|(id, _)| *id)
    }

    pub(super) fn open(&self) -> impl Iterator<Item = ConnectionId> + '_ {
        self.wires.iter().filter(|(_, wire)| wire.edge_open || wire.hub_open).map(|(id, _)| *id)
    }

    pub(super) fn of_host(&self, victim: Victim) -> impl Iterator<Item = ConnectionId> + '_ {
        self.wires
            .iter()
            .filter(move |(_, wire)| match victim {
                Victim::Edge(at) => wire.edge == at && wire.edge_open,
                Victim::Hub(at) => wire.hub == at && wire.hub_open,
            })
            .map(|(id, _)| *id)
    }

    pub(super) fn silence(&mut self, connection: ConnectionId) {
        if let Some(wire) = self.wires.get_mut(&connection) {
            wire.silent = true;
        }
    }

    pub(super) fn is_silent(&self, connection: ConnectionId) -> bool {
        self.wires.get(&connection).is_none_or(|wire| wire.silent)
    }

    pub(super) fn welcomed(&mut self, connection: ConnectionId) {
        if let Some(wire) = self.wires.get_mut(&connection) {
            wire.stage = Stage::Welcomed;
        }
    }

    pub(super) fn hub_stage(&self, connection: ConnectionId) -> Stage {
        self.wires.get(&connection).map_or(Stage::Unauthenticated, |wire| wire.stage)
    }

    /// The hub knows that it is over; who its ends were, the first time.
    pub(super) fn hub_sees_end(&mut self, connection: ConnectionId) -> Option<(usize, usize)> {
        let wire = self.wires.get_mut(&connection)?;
        let ends = (wire.edge, wire.hub);
        let first = std::mem::replace(&mut wire.hub_open, false);
        self.forget(connection);
        first.then_some(ends)
    }

    /// The edge knows that it is over; who its ends were, the first time.
    pub(super) fn edge_sees_end(&mut self, connection: ConnectionId) -> Option<(usize, usize)> {
        let wire = self.wires.get_mut(&connection)?;
        let ends = (wire.edge, wire.hub);
        let first = std::mem::replace(&mut wire.edge_open, false);
        self.forget(connection);
        first.then_some(ends)
    }

    fn forget(&mut self, connection: ConnectionId) {
        if self.wires.get(&connection).is_some_and(|wire| !wire.edge_open && !wire.hub_open) {
            self.wires.remove(&connection);
        }
    }

    /// When the far sides see the end of it: after what was sent before.
    pub(super) fn closing(&self, connection: ConnectionId, now: Time) -> (Time, Time) {
        let soon = now.plus(self.faults.latency.1);
        self.wires
            .get(&connection)
            .map_or((soon, soon), |wire| (wire.up_at.max(soon), wire.down_at.max(soon)))
    }

    /// When a message arrives at the hub: never, once or twice.
    pub(super) fn send_up(
        &mut self,
        connection: ConnectionId,
        bytes: usize,
        now: Time,
        dice: &mut fastrand::Rng,
    ) -> Vec<Time> {
        let (way, copies) = (self.latency(dice), self.copies(dice));
        let carry = Duration::from_nanos(bytes as u64 * 1_000_000_000 / self.faults.bytes_per_s.max(1));
        let Some(wire) = self.wires.get_mut(&connection).filter(|wire| !wire.silent && wire.edge_open) else {
            return Vec::new();
        };
        self.messages += 1;
        self.bytes_up += bytes as u64;
        wire.up_free = wire.up_free.max(now).plus(carry);
        wire.up_at = wire.up_at.max(wire.up_free.plus(way));
        vec![wire.up_at; copies]
    }

    /// When a message arrives at the edge: never, once or twice.
    pub(super) fn send_down(
        &mut self,
        connection: ConnectionId,
        _bytes: usize,
        now: Time,
        dice: &mut fastrand::Rng,
    ) -> Vec<Time> {
        let (way, copies) = (self.latency(dice), self.copies(dice));
        let Some(wire) = self.wires.get_mut(&connection).filter(|wire| !wire.silent && wire.hub_open) else {
            return Vec::new();
        };
        self.messages += 1;
        wire.down_at = wire.down_at.max(now.plus(way));
        vec![wire.down_at; copies]
    }

    /// How long it takes until everything that was sent up is on its way.
    pub fn queued_up(&self, now: Time) -> Duration {
        self.wires.values().map(|wire| wire.up_free.since(now)).max().unwrap_or_default()
    }

    fn copies(&self, dice: &mut fastrand::Rng) -> usize {
        let (lost, twice) = (dice.f64() < self.faults.loss, dice.f64() < self.faults.duplicate);
        if lost {
            0
        } else if twice {
            2
        } else {
            1
        }
    }
}
