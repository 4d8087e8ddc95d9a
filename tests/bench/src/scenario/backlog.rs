//! The link is cut, the edge takes in a backlog, the link is mended: how fast it drains, how soon the present is
//! seen, how much memory the edge ever took.

use super::PEERS;
use crate::{
    cable::Cable,
    command::Bench,
    corpus, dashboard,
    load::Until,
    memory, mqtt,
    pair::{Pair, System},
    report::Report,
    riser::Riser,
    series::Claim,
    subscriber::Receipts,
};
use anyhow::Context;
use serde_json::json;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
};

pub(super) const NAME: &str = "backlog";
const DRAIN: &str = "drain, from the first to the last at a subscriber at the hub";
const MENDED: &str = "from the mended cable to the first of the backlog";
const LIVE: &str = "from the link's connection to a value published after it, conflated";
const PEAK: &str = "edge, peak RSS";
/// Connections that publish the backlog.
const DEVICES: u32 = 50;
/// Reconnecting takes peers this long and longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the live channel gets a new value.
const TICK: Duration = Duration::from_millis(20);

pub(super) async fn round(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    for system in &bench.systems {
        let folder = bench.folder()?;
        let (pair, cable) = Pair::on_a_cable(*system, folder.path()).await?;
        pair.joined_up().await?;
        let receipts = Receipts::new(0);
        let _subscriber = pair.subscribe(receipts.clone()).await?;
        cable.cut().await;
        let each = bench.backlog / u64::from(DEVICES);
        let backlog = pair.load(DEVICES, 100, Until::Count(each)).await?.acknowledged;
        let live = match &pair {
            Pair::Riser(riser) => Some(Live::start(riser, cable.clone()).await?),
            Pair::Mosquitto(_) | Pair::Nats(_) => None,
        };
        let mended = Instant::now();
        cable.mend();
        let arrived = receipts.wait_for(backlog, PATIENCE).await;
        arrived.with_context(|| format!("drain {}", system.name()))?;
        if let Some(live) = live {
            report.add(NAME, LIVE, "riser", "ms", live.seen(&cable).await?.as_secs_f64() * 1e3);
        }
        let drain = backlog as f64 / receipts.between().as_secs_f64();
        report.add(NAME, DRAIN, system.name(), "msg/s", drain);
        let waited = (receipts.last() - mended).checked_sub(receipts.between());
        let waited = waited.context("some of the backlog came before the cable was mended")?;
        report.add(NAME, MENDED, system.name(), "s", waited.as_secs_f64());
        let peak = memory::peak(pair.edge_process().process())?;
        report.add(NAME, PEAK, system.name(), "MB", peak as f64 / 1e6);
    }
    Ok(())
}

pub(super) fn claims(report: &Report) -> Vec<Claim> {
    let ratio = report.median(NAME, DRAIN, System::Riser.name()) / report.most(NAME, DRAIN, &PEERS);
    vec![
        Claim::at_least("backlog: drain, of the better peer's", ratio, 3.0),
        Claim::at_most(format!("backlog: ms {LIVE}"), report.median(NAME, LIVE, "riser"), 1000.0),
        Claim::at_most("backlog: edge, peak RSS in MB", report.median(NAME, PEAK, "riser"), 32.0),
    ]
}

/// A device that goes on publishing, and a dashboard that wants its present.
struct Live {
    ticking: JoinHandle<anyhow::Result<()>>,
    seen: JoinHandle<anyhow::Result<Instant>>,
}

type Sent = Arc<Mutex<Vec<Instant>>>;

impl Live {
    async fn start(riser: &Riser, cable: Cable) -> anyhow::Result<Self> {
        let sent = Sent::default();
        let ticking = tokio::spawn(tick(riser.edge, sent.clone()));
        let subscriptions = json!([{ "sub": 1, "channels": "live/#", "flow": "conflate" }]);
        let socket = dashboard::open(riser.hub_http, subscriptions).await?;
        let seen = dashboard::first_live(socket, move |n| {
            let sent = sent.lock().unwrap_or_else(PoisonError::into_inner).get(n as usize).copied();
            cable.plugged().zip(sent).is_some_and(|(plugged, sent)| sent >= plugged)
        });
        Ok(Self { ticking, seen })
    }

    async fn seen(self, cable: &Cable) -> anyhow::Result<Duration> {
        let seen = tokio::time::timeout(PATIENCE, self.seen).await.context("wait for the present")??;
        self.ticking.abort();
        Ok(seen? - cable.plugged().context("it was mended")?)
    }
}

async fn tick(edge: SocketAddr, sent: Sent) -> anyhow::Result<()> {
    let mut socket = mqtt::connect(edge, "live").await?;
    let (mut ticks, mut packet, mut ack) = (tokio::time::interval(TICK), Vec::new(), [0; 4]);
    for n in 0.. {
        ticks.tick().await;
        packet.clear();
        let id = (n % u64::from(u16::MAX)) as u16 + 1;
        mqtt::put_publish(&mut packet, "bench/live/x", id, &corpus::payload(0, n));
        sent.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        socket.write_all(&packet).await?;
        socket.read_exact(&mut ack).await?;
    }
    Ok(())
}
