//! The network: roads between machines, and the connections on them.
//!
//! A connection is what TCP makes of a road: bytes arrive in order or not at all. While a road is cut one way,
//! what is sent that way waits and is sent again after; a connection that the network has forgotten carries nothing
//! and says nothing (half-open). Who is told what is the world's.

use bytes::Bytes;
use fastrand::Rng;
use riser_edge_core::UplinkNumber;
use riser_model::{ConnectionId, Time};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// What the kernel takes of a socket's bytes before a write has to wait.
pub const KERNEL_BYTES: usize = 48 * 1024;

/// A connection's name.
pub type WireId = usize;

/// A direction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Way {
    /// From the one who dialed.
    Up,
    /// To the one who dialed.
    Down,
}

/// What travels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// Bytes, or one binary message.
    Bytes(Bytes),
    /// One text message.
    Text(String),
    /// The sender closed, or its socket is gone and says so.
    End,
}

impl Message {
    fn size(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Text(text) => text.len(),
            Self::End => 0,
        }
    }
}

/// Who dialed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Client {
    /// A device.
    Device(usize),
    /// A dashboard.
    Subscriber(usize),
    /// A guest.
    Guest(usize),
    /// A writer.
    Writer(usize),
    /// Somebody who comes to a house.
    Caller(usize),
    /// Somebody in a room with session history.
    Talker(usize),
    /// An edge's uplink.
    Edge {
        /// The host.
        host: usize,
        /// Its life when it dialed.
        life: u64,
        /// Which uplink.
        uplink: UplinkNumber,
        /// Which attempt.
        attempt: u64,
    },
}

impl Client {
    /// Whether whoever took it pings it when it is silent: WebSockets, by the program. MQTT and links have pings of their own.
    pub fn is_pinged(self) -> bool {
        match self {
            Self::Subscriber(_) | Self::Writer(_) | Self::Caller(_) | Self::Talker(_) => true,
            Self::Device(_) | Self::Guest(_) | Self::Edge { .. } => false,
        }
    }
}

/// What a connection is at the host that took it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Far {
    /// Nothing yet.
    Dialing {
        /// Until when it is tried.
        until: Time,
    },
    /// A door.
    Door(ConnectionId),
    /// A link.
    Link(ConnectionId),
}

/// Between which machines.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Road {
    /// A site's devices and their edge.
    Site(usize),
    /// An edge and the hub.
    Uplink(usize),
    /// A dashboard and the hub.
    Reader(usize),
    /// A guest and its host.
    Guest(usize),
    /// A writer and its host.
    Writer(usize),
    /// Somebody who comes to a house, and the hub.
    Caller(usize),
    /// Somebody in a room with session history, and its host.
    Talker(usize),
}

/// How a road is.
#[derive(Clone, Copy, Debug)]
pub struct Quality {
    /// One way.
    pub delay: Duration,
    /// Up to so much more, drawn for each message.
    pub jitter: Duration,
    /// Bytes per second each way.
    pub rate: u64,
}

#[derive(Debug)]
struct Lane {
    quality: Quality,
    up_cut: bool,
    down_cut: bool,
    /// The share of packets that are lost, and sent again by whoever sent them.
    lost: f64,
    /// Every packet is answered with a reset.
    resets: bool,
}

/// The bytes of a packet.
const PACKET_BYTES: usize = 1400;
/// A packet without an answer is sent again after so long, and then after twice that.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

#[derive(Debug, Default)]
struct Flow {
    queue: VecDeque<Message>,
    bytes: usize,
    /// When the road has taken all that was sent.
    taken_at: Time,
    last_at: Time,
    /// Arrivals that a cut kept.
    kept: usize,
}

/// One connection.
#[derive(Debug)]
pub struct Wire {
    /// Who dialed.
    pub client: Client,
    /// Which host took it, or should.
    pub server: usize,
    /// What it is there.
    pub far: Far,
    /// Where it runs.
    pub road: Road,
    /// Whether the client's end is there.
    pub client_open: bool,
    /// Whether the client is about to learn that it is open.
    pub opening: bool,
    /// Whether the server's end is there.
    pub server_open: bool,
    /// Whether large messages may come: after a Welcome.
    pub trusted: bool,
    /// The network has forgotten it.
    pub forgotten: bool,
    up: Flow,
    down: Flow,
}

/// When a message arrives.
pub type Arrival = (Time, WireId, Way);

/// See the module.
#[derive(Debug)]
pub struct Network {
    roads: BTreeMap<Road, Lane>,
    /// The connections.
    pub wires: BTreeMap<WireId, Wire>,
    made: WireId,
    rng: Rng,
    /// Arrivals that somebody has to wait for.
    pub arrivals: Vec<Arrival>,
}

impl Network {
    /// One without roads.
    pub fn new(rng: Rng) -> Self {
        Self { roads: BTreeMap::new(), wires: BTreeMap::new(), made: 0, rng, arrivals: Vec::new() }
    }

    /// Builds a road.
    pub fn build(&mut self, road: Road, quality: Quality) {
        self.roads.insert(road, Lane { quality, up_cut: false, down_cut: false, lost: 0.0, resets: false });
    }

    /// Whether a way is cut.
    pub fn is_cut(&self, road: Road, way: Way) -> bool {
        self.roads.get(&road).is_some_and(|lane| match way {
            Way::Up => lane.up_cut,
            Way::Down => lane.down_cut,
        })
    }

    /// Cuts a road, one way or both, or mends it.
    pub fn cut(&mut self, road: Road, up: bool, down: bool, now: Time) {
        if let Some(lane) = self.roads.get_mut(&road) {
            (lane.up_cut, lane.down_cut) = (up, down);
        }
        for (way, cut) in [(Way::Up, up), (Way::Down, down)] {
            if !cut {
                self.resend(road, way, now);
            }
        }
    }

    /// From here on a road is like that, and loses that share of its packets.
    pub fn spoil(&mut self, road: Road, quality: Quality, lost: f64) {
        if let Some(lane) = self.roads.get_mut(&road) {
            (lane.quality, lane.lost) = (quality, lost);
        }
    }

    /// Every packet of a road is answered with a reset, or no longer.
    pub fn set_resets(&mut self, road: Road, resets: bool) {
        if let Some(lane) = self.roads.get_mut(&road) {
            lane.resets = resets;
        }
    }

    /// Whether every packet of a road is answered with a reset.
    pub fn is_reset(&self, road: Road) -> bool {
        self.roads.get(&road).is_some_and(|lane| lane.resets)
    }

    /// How much later something of that size arrives because packets of it are lost. What comes behind it waits: TCP keeps
    /// the order.
    fn loss(&mut self, road: Road, size: usize) -> Duration {
        let lost = self.roads.get(&road).map_or(0.0, |lane| lane.lost);
        if lost == 0.0 {
            return Duration::ZERO;
        }
        let (mut waits, mut again) = (Duration::ZERO, AGAIN_AFTER);
        for _ in 0..=size / PACKET_BYTES {
            while self.rng.f64() < lost {
                waits += again;
                again *= 2;
            }
        }
        waits
    }

    /// What a cut kept is sent again, each connection when its own timer says so.
    fn resend(&mut self, road: Road, way: Way, now: Time) {
        for (id, wire) in self.wires.iter_mut().filter(|(_, wire)| wire.road == road) {
            let flow = wire.flow_mut(way);
            let kept = std::mem::take(&mut flow.kept);
            let at = now.plus(Duration::from_micros(self.rng.u64(1_000..3_000_000)));
            self.arrivals.extend((0..kept).map(|_| (at, *id, way)));
        }
    }

    /// A new connection, not there yet.
    pub fn open(&mut self, client: Client, server: usize, road: Road, until: Time) -> WireId {
        self.made += 1;
        let wire = Wire {
            client,
            server,
            far: Far::Dialing { until },
            road,
            client_open: false,
            opening: false,
            server_open: false,
            trusted: false,
            forgotten: false,
            up: Flow::default(),
            down: Flow::default(),
        };
        self.wires.insert(self.made, wire);
        self.made
    }

    /// How long something small takes on that road now.
    pub fn delay(&mut self, road: Road) -> Duration {
        let Some(lane) = self.roads.get(&road) else { return Duration::ZERO };
        let jitter = u64::try_from(lane.quality.jitter.as_micros()).unwrap_or(u64::MAX);
        lane.quality.delay + Duration::from_micros(self.rng.u64(0..=jitter))
    }

    /// Nothing arrives that way before then.
    pub fn not_before(&mut self, id: WireId, way: Way, at: Time) {
        if let Some(wire) = self.wires.get_mut(&id) {
            let flow = wire.flow_mut(way);
            flow.last_at = flow.last_at.max(at);
        }
    }

    /// Sends something. What is sent to an end that is gone is lost on the way.
    pub fn send(&mut self, id: WireId, way: Way, message: Message, now: Time) {
        let Some(road) = self.wires.get(&id).map(|wire| wire.road) else { return };
        let delay = self.delay(road) + self.loss(road, message.size());
        let rate = self.roads.get(&road).map_or(u64::MAX, |lane| lane.quality.rate).max(1);
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let size = message.size();
        let takes = Duration::from_micros((size as u64).saturating_mul(1_000_000) / rate);
        let flow = wire.flow_mut(way);
        flow.taken_at = flow.taken_at.max(now).plus(takes);
        flow.last_at = flow.last_at.max(flow.taken_at.plus(delay));
        flow.bytes += size;
        flow.queue.push_back(message);
        let at = flow.last_at;
        self.arrivals.push((at, id, way));
    }

    /// Something arrives: what, unless the road is cut or has forgotten it.
    pub fn arrive(&mut self, id: WireId, way: Way) -> Option<Message> {
        let cut = self.wires.get(&id).is_some_and(|wire| self.is_cut(wire.road, way));
        let wire = self.wires.get_mut(&id)?;
        let forgotten = wire.forgotten;
        let flow = wire.flow_mut(way);
        if cut {
            flow.kept += 1;
            return None;
        }
        let message = flow.queue.pop_front()?;
        flow.bytes -= message.size();
        (!forgotten).then_some(message)
    }

    /// A machine died: what its kernel had not sent is gone.
    pub fn died(&mut self, id: WireId, way: Way) {
        if let Some(wire) = self.wires.get_mut(&id) {
            let flow = wire.flow_mut(way);
            let left = self.rng.usize(0..=flow.queue.len());
            flow.queue.truncate(left);
            flow.bytes = flow.queue.iter().map(Message::size).sum();
        }
    }

    /// The connections of which neither end is there are forgotten.
    pub fn sweep(&mut self, id: WireId) {
        let gone = |wire: &Wire| {
            let awaited = wire.opening || matches!(wire.far, Far::Dialing { .. });
            !wire.client_open && !wire.server_open && !awaited
        };
        if self.wires.get(&id).is_some_and(gone) {
            self.wires.remove(&id);
        }
    }
}

impl Wire {
    fn flow_mut(&mut self, way: Way) -> &mut Flow {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }

    /// Bytes under way to the client.
    pub fn bytes_down(&self) -> usize {
        self.down.bytes
    }
}
