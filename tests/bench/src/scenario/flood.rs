//! From fifty devices at the edge to one subscriber at the hub, as fast as it goes: both ends sync.

use super::PEERS;
use crate::{command::Bench, load::Until, pair::Pair, report::Report, series::Claim, subscriber::Receipts};
use anyhow::Context;
use std::time::{Duration, Instant};

pub(super) const NAME: &str = "flood";
const WHAT: &str = "edge to a subscriber at the hub";
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn round(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    for system in &bench.systems {
        let folder = bench.folder()?;
        let pair = Pair::start(*system, folder.path())?;
        pair.joined_up().await?;
        let receipts = Receipts::new(0);
        let _subscriber = pair.subscribe(receipts.clone()).await?;
        let began = Instant::now();
        let outcome = pair.load(50, 100, Until::Elapsed(bench.seconds(4.0))).await?;
        let arrived = receipts.wait_for(outcome.acknowledged, PATIENCE).await;
        arrived.with_context(|| format!("flood {}", system.name()))?;
        let rate = outcome.acknowledged as f64 / (receipts.last() - began).as_secs_f64();
        report.add(NAME, WHAT, system.name(), "msg/s", rate);
    }
    Ok(())
}

pub(super) fn claims(report: &Report) -> Vec<Claim> {
    let ratio = report.median(NAME, WHAT, "riser") / report.most(NAME, WHAT, &PEERS);
    vec![Claim::at_least(format!("flood: {WHAT}, of the better peer's"), ratio, 4.0)]
}
