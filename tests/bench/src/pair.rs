//! An edge and a hub of one of the three systems, so that a scenario is written once for all of them.

use crate::{
    cable::Cable,
    load::{Load, Outcome, Until},
    nats::{self, Nats},
    peer::{Mosquittos, Peer, free_address},
    riser::Riser,
    subscriber::{Receipts, Subscriber},
};
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

/// Who is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum System {
    /// This project.
    Riser,
    /// Two mosquittos and a bridge.
    Mosquitto,
    /// Two nats-servers, leaf and hub, with JetStream.
    Nats,
}

impl System {
    /// All.
    pub const ALL: [Self; 3] = [Self::Riser, Self::Mosquitto, Self::Nats];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Riser => "riser",
            Self::Mosquitto => "mosquitto",
            Self::Nats => "nats",
        }
    }
}

/// The topics of loads; each connection has its own below.
pub const PREFIX: &str = "bench/c/";
/// Links dial at once, and once more a second later.
const JOINING: Duration = Duration::from_millis(1500);
/// What subscribers of loads subscribe to.
const FILTER: &str = "bench/c/#";

/// An edge and a hub.
pub enum Pair {
    /// Ours.
    Riser(Riser),
    /// Theirs.
    Mosquitto(Mosquittos),
    /// Theirs.
    Nats(Nats),
}

impl Pair {
    /// Starts both, joined directly.
    pub fn start(system: System, folder: &Path) -> anyhow::Result<Self> {
        let hub = free_address()?;
        Self::joined(system, folder, hub, hub)
    }

    /// Starts both, joined by a cable.
    pub async fn on_a_cable(system: System, folder: &Path) -> anyhow::Result<(Self, Cable)> {
        let hub = free_address()?;
        let cable = Cable::start(hub).await?;
        Ok((Self::joined(system, folder, hub, cable.address)?, cable))
    }

    fn joined(system: System, folder: &Path, hub: SocketAddr, via: SocketAddr) -> anyhow::Result<Self> {
        Ok(match system {
            System::Riser => Self::Riser(Riser::start(folder, hub, via)?),
            System::Mosquitto => Self::Mosquitto(Mosquittos::start(folder, hub, via)?),
            System::Nats => Self::Nats(Nats::start(folder, hub, via)?),
        })
    }

    /// Waits until the link has had time to come up.
    pub async fn joined_up(&self) {
        tokio::time::sleep(JOINING).await;
    }

    /// Which it is.
    pub fn system(&self) -> System {
        match self {
            Self::Riser(_) => System::Riser,
            Self::Mosquitto(_) => System::Mosquitto,
            Self::Nats(_) => System::Nats,
        }
    }

    /// Where devices publish.
    pub fn edge(&self) -> SocketAddr {
        match self {
            Self::Riser(pair) => pair.edge,
            Self::Mosquitto(pair) => pair.edge,
            Self::Nats(pair) => pair.edge,
        }
    }

    /// Where subscribers read.
    pub fn hub(&self) -> SocketAddr {
        match self {
            Self::Riser(pair) => pair.hub,
            Self::Mosquitto(pair) => pair.hub,
            Self::Nats(pair) => pair.hub,
        }
    }

    /// The edge's process.
    pub fn edge_process(&self) -> &Peer {
        let [edge, _] = match self {
            Self::Riser(pair) => &pair.processes,
            Self::Mosquitto(pair) => &pair.processes,
            Self::Nats(pair) => &pair.processes,
        };
        edge
    }

    /// Publishes at the edge.
    pub async fn load(&self, connections: u32, window: u16, until: Until) -> anyhow::Result<Outcome> {
        let load = Load { server: self.edge(), prefix: PREFIX.into(), connections, window, until };
        match self.system() {
            System::Riser | System::Mosquitto => load.run().await,
            System::Nats => nats::run(&load).await,
        }
    }

    /// Subscribes at the hub to what loads publish.
    pub async fn subscribe(&self, receipts: Arc<Receipts>) -> anyhow::Result<Subscriber> {
        match self.system() {
            System::Riser | System::Mosquitto => Subscriber::mqtt(self.hub(), FILTER, receipts).await,
            System::Nats => Subscriber::nats(self.hub(), receipts).await,
        }
    }
}
