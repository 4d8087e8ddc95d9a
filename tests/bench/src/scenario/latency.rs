//! From a device at the edge to a subscriber at the hub at 5,000 messages per second: how long it takes.

use super::PEERS;
use crate::{
    command::Bench,
    pace::{self, PER_SECOND},
    pair::Pair,
    raw,
    report::Report,
    series::Claim,
    subscriber::Receipts,
};
use anyhow::Context;
use std::time::Duration;

pub(super) const NAME: &str = "latency";
const P50: &str = "edge to a subscriber at the hub at 5,000 msg/s, p50";
const P99: &str = "edge to a subscriber at the hub at 5,000 msg/s, p99";
const SYNC: &str = "one append of a sector with fdatasync, p50";
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn round(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let folder = bench.folder()?;
    let sync = raw::sync_time(folder.path(), bench.count(1000) as usize)?;
    report.add(NAME, SYNC, "raw append", "ms", ms(sync));
    for system in &bench.systems {
        let folder = bench.folder()?;
        let pair = Pair::start(*system, folder.path())?;
        pair.joined_up().await?;
        let run = bench.seconds(4.0);
        let receipts = Receipts::new((run.as_secs_f64() * PER_SECOND as f64) as usize + 1);
        let _subscriber = pair.subscribe(receipts.clone()).await?;
        let published = pace::run(&pair, run, receipts.clone()).await?;
        let arrived = receipts.wait_for(published, PATIENCE).await;
        arrived.with_context(|| format!("latency of {}", system.name()))?;
        let latencies = receipts.latencies();
        report.add(NAME, P50, system.name(), "ms", ms(super::share(&latencies, 0.5)));
        report.add(NAME, P99, system.name(), "ms", ms(super::share(&latencies, 0.99)));
    }
    Ok(())
}

pub(super) fn claims(report: &Report) -> Vec<Claim> {
    let behind = report.median(NAME, P50, "riser") - report.least(NAME, P50, &PEERS);
    let syncs = behind / report.median(NAME, SYNC, "raw append");
    vec![Claim::at_most("latency: p50 behind the better peer's, in raw fdatasyncs", syncs, 2.0)]
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
