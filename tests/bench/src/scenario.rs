//! What is measured. Each scenario takes one value per figure and round, and says what it claims in the end.

mod attacks;
mod backlog;
mod distant;
mod fanout;
mod flood;
mod footprint;
mod gate;
mod ingest;
mod kill;
mod latency;
mod log;
mod quiet;
mod replay;
mod restart;
mod rights;

use crate::{command::Bench, report::Report, series::Claim};
use clap::ValueEnum;
use std::time::Duration;

/// The peers that have an edge and a hub.
const PEERS: [&str; 3] = ["mosquitto", "nats", "nats, current"];

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Scenario {
    /// The log alone beside a raw append loop.
    Log,
    /// What an edge takes in, with its link up.
    Ingest,
    /// From devices at the edge to a subscriber at the hub, as fast as it goes.
    Flood,
    /// The same at 5,000 messages per second: how long each takes.
    Latency,
    /// A cut link, a backlog, a mended link.
    Backlog,
    /// The same flood and pace over a link that is long.
    Distant,
    /// `kill -9`: what is lost, late, delivered again.
    Kill,
    /// How soon a killed program accepts again.
    Restart,
    /// Memory at rest, and bytes on the link.
    Footprint,
    /// From one publisher to many subscribers.
    Fanout,
    /// A hub's log read again by one subscriber.
    Replay,
    /// What the check of rights adds to a fan-out, in instructions.
    Rights,
    /// A quiet client beside attackers.
    Attacks,
    /// What a gate costs, and what it tells who is not let in.
    Gate,
}

impl Scenario {
    /// In the order in which they run.
    pub const ALL: [Self; 14] = [
        Self::Log,
        Self::Ingest,
        Self::Flood,
        Self::Latency,
        Self::Backlog,
        Self::Distant,
        Self::Kill,
        Self::Restart,
        Self::Footprint,
        Self::Fanout,
        Self::Replay,
        Self::Rights,
        Self::Attacks,
        Self::Gate,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => log::NAME,
            Self::Ingest => ingest::NAME,
            Self::Flood => flood::NAME,
            Self::Latency => latency::NAME,
            Self::Backlog => backlog::NAME,
            Self::Distant => distant::NAME,
            Self::Kill => kill::NAME,
            Self::Restart => restart::NAME,
            Self::Footprint => footprint::NAME,
            Self::Fanout => fanout::NAME,
            Self::Replay => replay::NAME,
            Self::Rights => rights::NAME,
            Self::Attacks => attacks::NAME,
            Self::Gate => gate::NAME,
        }
    }

    /// Takes one value of each of its figures.
    pub async fn round(self, bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
        match self {
            Self::Log => log::round(bench, report),
            Self::Ingest => ingest::round(bench, report).await,
            Self::Flood => flood::round(bench, report).await,
            Self::Latency => latency::round(bench, report).await,
            Self::Backlog => backlog::round(bench, report).await,
            Self::Distant => distant::round(bench, report).await,
            Self::Kill => kill::round(bench, report).await,
            Self::Restart => restart::round(bench, report).await,
            Self::Footprint => footprint::round(bench, report).await,
            Self::Fanout => fanout::round(bench, report).await,
            Self::Replay => replay::round(bench, report).await,
            Self::Rights => rights::round(bench, report),
            Self::Attacks => attacks::round(bench, report).await,
            Self::Gate => gate::round(bench, report).await,
        }
    }

    /// What it claims.
    pub fn claims(self, report: &Report) -> Vec<Claim> {
        match self {
            Self::Log => log::claims(report),
            Self::Ingest => ingest::claims(report),
            Self::Flood => flood::claims(report),
            Self::Latency => latency::claims(report),
            Self::Backlog => backlog::claims(report),
            Self::Distant => distant::claims(report),
            Self::Kill => kill::claims(report),
            Self::Restart => restart::claims(report),
            Self::Footprint => footprint::claims(report),
            Self::Fanout => fanout::claims(report),
            Self::Replay => replay::claims(report),
            Self::Rights => rights::claims(report),
            Self::Attacks => attacks::claims(report),
            Self::Gate => gate::claims(report),
        }
    }
}

/// The latency below which that share (0 to 1) of them lies.
fn share(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1) as f64;
    sorted.get((last * share).round() as usize).copied().unwrap_or_default()
}
