//! An edge and a hub of one of the three systems, so that a scenario is written once for all of them.

use crate::{
    cable::{Cable, End, Length},
    corpus,
    load::{Load, Outcome, Until},
    mqtt,
    nats::{self, Nats, Release},
    peer::{self, Mosquittos, Peer, free_address},
    riser::Riser,
    subscriber::{Receipts, Subscriber},
};
use anyhow::Context;
use std::{
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Who is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum System {
    /// This project.
    Riser,
    /// Two mosquittos and a bridge.
    Mosquitto,
    /// Two nats-servers, leaf and hub, with JetStream.
    Nats(Release),
}

impl System {
    /// Ours, then the peers.
    pub const ALL: [Self; 4] =
        [Self::Riser, Self::Mosquitto, Self::Nats(Release::Packaged), Self::Nats(Release::Current)];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Riser => "riser",
            Self::Mosquitto => "mosquitto",
            Self::Nats(Release::Packaged) => "nats",
            Self::Nats(Release::Current) => "nats, current",
        }
    }

    /// The program at both its ends, unless it is ours.
    pub fn program(self) -> anyhow::Result<Option<PathBuf>> {
        Ok(match self {
            Self::Riser => None,
            Self::Mosquitto => Some(peer::program("mosquitto")?),
            Self::Nats(release) => Some(release.program()?),
        })
    }

    /// What a peer says about itself.
    pub fn version(self) -> anyhow::Result<Option<String>> {
        let flag = if self == Self::Mosquitto { "-h" } else { "--version" };
        self.program()?.map(|program| peer::version(&program, flag)).transpose()
    }

    /// What its folders begin with.
    fn folder(self) -> &'static str {
        match self {
            Self::Riser => "riser",
            Self::Mosquitto => "mosquitto",
            Self::Nats(_) => "nats",
        }
    }
}

/// The topics of loads; each connection has its own below.
pub const PREFIX: &str = "bench/c/";
/// What is published at the edge and heard at the hub before anything is measured: no load's topic, and of no stream.
const PROBE: [&str; 2] = ["bench/probe/up", "probe.up"];
/// How often, until it is heard.
const PROBE_EVERY: Duration = Duration::from_millis(50);
const PROBE_PATIENCE: Duration = Duration::from_secs(20);
/// What subscribers of loads subscribe to.
pub const FILTER: &str = "bench/c/#";

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
        Self::on_a_long_cable(system, folder, Length::default()).await
    }

    /// The same over some distance.
    pub async fn on_a_long_cable(
        system: System,
        folder: &Path,
        length: Length,
    ) -> anyhow::Result<(Self, Cable)> {
        let hub = free_address()?;
        let cable = Cable::long(hub, length).await?;
        Ok((Self::joined(system, folder, hub, cable.address)?, cable))
    }

    fn joined(system: System, folder: &Path, hub: SocketAddr, via: SocketAddr) -> anyhow::Result<Self> {
        Ok(match system {
            System::Riser => Self::Riser(Riser::start(folder, hub, via)?),
            System::Mosquitto => Self::Mosquitto(Mosquittos::start(folder, hub, via)?),
            System::Nats(release) => Self::Nats(Nats::start(release, folder, hub, via)?),
        })
    }

    /// Waits until something that is published at the edge is heard at the hub.
    pub async fn joined_up(&self) -> anyhow::Result<()> {
        let heard = tokio::time::timeout(PROBE_PATIENCE, self.probe()).await;
        heard.with_context(|| format!("{}: the link does not come up", self.system().name()))?
    }

    async fn probe(&self) -> anyhow::Result<()> {
        let [topic, subject] = PROBE;
        let mut packet = Vec::new();
        let (mut publisher, mut listener) = match self.system() {
            System::Riser | System::Mosquitto => {
                mqtt::put_publish(&mut packet, topic, 1, corpus::prepared(0, 0));
                let mut listener = mqtt::connect(self.hub(), "probe-down").await?;
                mqtt::subscribe(&mut listener, topic, 0).await?;
                (mqtt::connect(self.edge(), "probe-up").await?, listener)
            }
            System::Nats(_) => {
                write!(packet, "PUB {subject} 2\r\nup\r\n")?;
                (nats::connect(self.edge()).await?, nats::subscribe(self.hub(), subject).await?.0)
            }
        };
        let publishing = async {
            let mut ticks = tokio::time::interval(PROBE_EVERY);
            loop {
                ticks.tick().await;
                publisher.write_all(&packet).await?;
            }
        };
        let mut heard = [0];
        tokio::select! {
            failed = publishing => failed,
            heard = listener.read_exact(&mut heard) => Ok(heard.map(drop)?),
        }
    }

    /// Which it is.
    pub fn system(&self) -> System {
        match self {
            Self::Riser(_) => System::Riser,
            Self::Mosquitto(_) => System::Mosquitto,
            Self::Nats(pair) => System::Nats(pair.release),
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

    /// What the edge keeps below the folder of both.
    pub fn edge_folder(&self, folder: &Path) -> PathBuf {
        folder.join(format!("{}-edge", self.system().folder()))
    }

    /// SIGKILL, at that end.
    pub fn kill(&mut self, end: End) {
        self.process(end).kill();
    }

    /// Starts that end again over what it has left (killed first, if it runs), and says how long it takes to accept devices or
    /// subscribers.
    pub fn restart(&mut self, end: End) -> anyhow::Result<Duration> {
        let address = match end {
            End::Edge => self.edge(),
            End::Hub => self.hub(),
        };
        self.process(end).restart(address)
    }

    fn process(&mut self, end: End) -> &mut Peer {
        let [edge, hub] = match self {
            Self::Riser(pair) => &mut pair.processes,
            Self::Mosquitto(pair) => &mut pair.processes,
            Self::Nats(pair) => &mut pair.processes,
        };
        match end {
            End::Edge => edge,
            End::Hub => hub,
        }
    }

    /// Publishes at the edge.
    pub async fn load(&self, connections: u32, window: u16, until: Until) -> anyhow::Result<Outcome> {
        let load =
            Load { server: self.edge(), clients: "load", prefix: PREFIX.into(), connections, window, until };
        match self.system() {
            System::Riser | System::Mosquitto => load.run().await,
            System::Nats(_) => nats::run(&load).await,
        }
    }

    /// Subscribes at the hub to what loads publish.
    pub async fn subscribe(&self, receipts: Arc<Receipts>) -> anyhow::Result<Subscriber> {
        match self.system() {
            System::Riser | System::Mosquitto => Subscriber::mqtt(self.hub(), FILTER, receipts).await,
            System::Nats(_) => Subscriber::nats(self.hub(), receipts).await,
        }
    }
}
