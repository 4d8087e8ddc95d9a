//! Where an edge takes messages from besides its listeners: brokers that the site already has, and standard input.
//!
//! A source is a door the other way round. It enters as the user or client that the configuration names, through a
//! gate that takes nobody else, and asks the bus what a door asks: rights, bindings, quotas and metrics hold for it
//! as for a device. What always holds: nothing is acknowledged to a source before the commit that holds it returned;
//! a source that cannot be reached keeps no edge from starting; each has its own place, so that connections of
//! devices cannot push it out.
//!
//! Read [`broker`] and [`lines`] for the two kinds.

mod batch;
mod broker;
mod lines;
mod mapping;
mod meter;
mod stdin;

pub use lines::{END, Lines, Receipt};

use crate::config::{EdgeConfig, SourceConfig};
use broker::{Broker, Mark, Setup, Subscriber};
use mapping::Mapping;
use meter::Meter;
use riser_model::{Now, door::Door};
use riser_net::{Entrance, Peer};
use riser_shell::Metrics;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::{io::AsyncRead, task::JoinSet};

/// The sources of a running edge.
pub(crate) struct Sources {
    configured: Vec<SourceConfig>,
    entrance: Arc<Entrance>,
    metrics: Arc<Metrics>,
    /// The edge's data.
    folder: PathBuf,
}

impl Sources {
    /// As configured; nothing is read yet.
    pub(crate) fn new(config: &EdgeConfig, entrance: &Entrance, metrics: &Arc<Metrics>) -> Self {
        // A connection's task may outlast its socket for a moment.
        let places = 2 * config.source.len();
        Self {
            configured: config.source.clone(),
            entrance: entrance.apart(places),
            metrics: Arc::clone(metrics),
            folder: config.data.clone(),
        }
    }

    /// Begins to read from all brokers.
    pub(crate) fn read_brokers(&self, tasks: &mut JoinSet<()>) {
        for (index, source) in self.configured.iter().enumerate() {
            let Some(setup) = setup(source, &self.folder, &self.metrics) else { continue };
            let key = SourceConfig::key(index).into();
            tasks.spawn(Broker { setup, entrance: Arc::clone(&self.entrance), key }.run());
        }
    }

    /// Reads lines to the end of the input. None where no source is configured for them.
    pub(crate) async fn read_lines(&self, input: impl AsyncRead + Unpin) -> Option<Receipt> {
        let (index, source) = self.configured.iter().enumerate().find(|(_, source)| source.stdin)?;
        let peer = Peer {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            listener: SourceConfig::key(index).into(),
            proxy: false,
            origin: None,
            tls: false,
            certificate: None,
        };
        let visitor =
            self.entrance.admit(peer).expect("there are more places than sources, and loopback counts none");
        Some(stdin::read(input, visitor.sit(), lines_door(source, &self.metrics)).await)
    }

    /// Takes nothing more; what was taken is finished.
    pub(crate) fn stop(&self) {
        self.entrance.stop();
    }
}

/// The door that a source's broker comes to, for a connection that begins: without a socket, for whoever has the bytes. What
/// it is subscribed to is marked in the folder. None where the source is no broker.
pub fn broker_door(
    source: &SourceConfig,
    folder: &Path,
    metrics: &Arc<Metrics>,
    now: Now,
) -> Option<impl Door + use<>> {
    Some(Subscriber::new(setup(source, folder, metrics)?, None, now))
}

/// The same for lines: of an input that is open.
pub fn lines_door(source: &SourceConfig, metrics: &Arc<Metrics>) -> Lines {
    Lines::new(Mapping::new(source), Meter::new(source.name.as_str(), metrics))
}

fn setup(source: &SourceConfig, folder: &Path, metrics: &Arc<Metrics>) -> Option<Arc<Setup>> {
    let broker = source.mqtt.clone()?;
    let meter = Meter::new(source.name.as_str(), metrics);
    let mark = Mark::new(folder, source.name.as_str(), &broker);
    Some(Arc::new(Setup::new(broker, Mapping::new(source), meter, mark)))
}
