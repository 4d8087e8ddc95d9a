//! The link is cut, the edge takes in a backlog, the link is mended: how fast it drains, how soon the present is
//! seen, how much memory and disk the edge took. Once its connections are reset, and once everything on it is swallowed: then
//! also how long until the ends notice.

use super::PEERS;
use crate::{
    cable::{Cable, Cut, End},
    command::Bench,
    corpus, dashboard, device,
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
const DISK: &str = "edge, disk that the backlog takes";
const EACH: &str = "edge, disk per message of the backlog";
const EDGE_NOTICES: &str = "until the edge gives the dead connection up";
const HUB_NOTICES: &str = "until the hub gives the dead connection up";
const CUTS: [Cut; 2] = [Cut::Reset, Cut::Blackhole];
/// Connections that publish the backlog.
const DEVICES: u32 = 50;
/// Reconnecting takes peers this long and longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// For so long it is looked whether an end notices; it is to within 15 s.
const NOTICES_WITHIN: Duration = Duration::from_secs(20);
/// How often the live channel gets a new value.
const TICK: Duration = Duration::from_millis(20);

pub(super) async fn round(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    for cut in CUTS {
        for system in &bench.systems {
            match one(*system, cut, bench, report).await {
                Err(error) if *system != System::Riser => {
                    report.lacks(format!("{NAME}: {}: {}: {error:#}", name(cut), system.name()));
                }
                done => done?,
            }
        }
    }
    Ok(())
}

async fn one(system: System, cut: Cut, bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let what = |figure| what(cut, figure);
    let folder = bench.folder()?;
    let (pair, cable) = Pair::on_a_cable(system, folder.path()).await?;
    let kept = pair.edge_folder(folder.path());
    pair.joined_up().await?;
    let receipts = Receipts::new(0);
    let _subscriber = pair.subscribe(receipts.clone()).await?;
    let before = device::taken(&kept)?;
    cable.cut(cut).await;
    let since = Instant::now();
    let each = bench.backlog / u64::from(DEVICES);
    let backlog = pair.load(DEVICES, 100, Until::Count(each)).await?.acknowledged;
    let taken = device::taken(&kept)?.saturating_sub(before) as f64;
    report.add(NAME, what(DISK), system.name(), "MB", taken / 1e6);
    report.add(NAME, what(EACH), system.name(), "bytes", taken / backlog as f64);
    if cut == Cut::Blackhole {
        for (end, figure) in [(End::Edge, EDGE_NOTICES), (End::Hub, HUB_NOTICES)] {
            match cable.noticed(end, NOTICES_WITHIN.saturating_sub(since.elapsed())).await {
                Some(after) => report.add(NAME, what(figure), system.name(), "s", after.as_secs_f64()),
                None => report.lacks(format!(
                    "{NAME}: {}, {}: not in {NOTICES_WITHIN:?}",
                    what(figure),
                    system.name()
                )),
            }
        }
    }
    let live = match &pair {
        Pair::Riser(riser) => Some(Live::start(riser, cable.clone()).await?),
        Pair::Mosquitto(_) | Pair::Nats(_) => None,
    };
    let mended = Instant::now();
    cable.mend();
    let arrived = receipts.wait_for(backlog, PATIENCE).await;
    arrived.with_context(|| format!("drain {}", system.name()))?;
    if let Some(live) = live {
        report.add(NAME, what(LIVE), "riser", "ms", live.seen(&cable).await?.as_secs_f64() * 1e3);
    }
    let drain = backlog as f64 / receipts.between().as_secs_f64();
    report.add(NAME, what(DRAIN), system.name(), "msg/s", drain);
    let waited = (receipts.last() - mended).checked_sub(receipts.between());
    let waited = waited.context("some of the backlog came before the cable was mended")?;
    report.add(NAME, what(MENDED), system.name(), "s", waited.as_secs_f64());
    let peak = memory::peak(pair.edge_process().process())?;
    report.add(NAME, what(PEAK), system.name(), "MB", peak as f64 / 1e6);
    Ok(())
}

pub(super) fn claims(report: &Report) -> Vec<Claim> {
    let mut claims = Vec::new();
    for cut in CUTS {
        let of = |figure| report.median(NAME, &what(cut, figure), System::Riser.name());
        let named = |figure| format!("backlog: {}", what(cut, figure));
        let ratio = of(DRAIN) / report.most(NAME, &what(cut, DRAIN), &PEERS);
        claims.push(Claim::at_least(format!("{}, of the best peer's", named(DRAIN)), ratio, 5.0));
        claims.push(Claim::at_most(format!("{}: ms", named(LIVE)), of(LIVE), 250.0));
        claims.push(Claim::at_most(format!("{} in MB", named(PEAK)), of(PEAK), 32.0));
        if cut == Cut::Blackhole {
            for figure in [EDGE_NOTICES, HUB_NOTICES] {
                claims.push(Claim::at_most(format!("{}: s", named(figure)), of(figure), 15.0));
            }
        }
    }
    claims
}

fn name(cut: Cut) -> &'static str {
    match cut {
        Cut::Reset => "reset",
        Cut::Blackhole => "blackhole",
    }
}

fn what(cut: Cut, figure: &str) -> String {
    format!("{}: {figure}", name(cut))
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
