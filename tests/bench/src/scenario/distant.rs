//! The same floods and paces over a link that is 50 ms there and back: what it holds up, and what it adds.
//!
//! Bytes are held back, packets are not lost: on the second link everything stands still for as long as a retransmission
//! timeout takes, twice in three seconds. What loss does to TCP itself is seen on `tests/chaos`'s mangled packets.

use super::PEERS;
use crate::{
    cable::Length,
    command::Bench,
    load::Until,
    pace::{self, PER_SECOND},
    pair::{Pair, System},
    report::Report,
    series::Claim,
    subscriber::Receipts,
};
use anyhow::Context;
use std::time::{Duration, Instant};

pub(super) const NAME: &str = "distant";
const FLOOD: &str = "flood to a subscriber at the hub";
const P50: &str = "edge to a subscriber at the hub at 5,000 msg/s, p50";
const P99: &str = "edge to a subscriber at the hub at 5,000 msg/s, p99";
const PATIENCE: Duration = Duration::from_secs(15);

/// 50 ms there and back.
const DELAY: Duration = Duration::from_millis(25);
const LINKS: [(&str, Length); 2] = [
    ("50 ms", Length { delay: DELAY, stall: None }),
    (
        "50 ms, stalling",
        Length { delay: DELAY, stall: Some((Duration::from_millis(300), Duration::from_millis(1500))) },
    ),
];

pub(super) async fn round(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    for (link, length) in LINKS {
        for system in &bench.systems {
            let done = [
                flood(*system, link, length, bench, report).await,
                pace(*system, link, length, bench, report).await,
            ];
            for done in done {
                match done {
                    Err(error) if *system != System::Riser => {
                        report.lacks(format!("{NAME}: {link}: {}: {error:#}", system.name()));
                    }
                    done => done?,
                }
            }
        }
    }
    Ok(())
}

async fn flood(
    system: System,
    link: &str,
    length: Length,
    bench: &Bench,
    report: &mut Report,
) -> anyhow::Result<()> {
    let folder = bench.folder()?;
    let (pair, _cable) = Pair::on_a_long_cable(system, folder.path(), length).await?;
    pair.joined_up().await?;
    let receipts = Receipts::tallied();
    let _subscriber = pair.subscribe(receipts.clone()).await?;
    let began = Instant::now();
    let outcome = pair.load(50, 100, Until::Elapsed(bench.seconds(4.0))).await?;
    receipts.wait_for(outcome.acknowledged, PATIENCE).await.context("flood")?;
    // It counts copies. What they stand for is to come, too.
    loop {
        let absent = receipts.absent(&outcome.each);
        if absent == 0 {
            break;
        }
        let came = receipts.wait_for(receipts.count() + absent, PATIENCE).await;
        came.with_context(|| format!("flood: {absent} are lost, and others came again"))?;
    }
    let rate = outcome.acknowledged as f64 / (receipts.last() - began).as_secs_f64();
    report.add(NAME, what(link, FLOOD), system.name(), "msg/s", rate);
    Ok(())
}

async fn pace(
    system: System,
    link: &str,
    length: Length,
    bench: &Bench,
    report: &mut Report,
) -> anyhow::Result<()> {
    let folder = bench.folder()?;
    let (pair, _cable) = Pair::on_a_long_cable(system, folder.path(), length).await?;
    pair.joined_up().await?;
    let run = bench.seconds(4.0);
    let receipts = Receipts::new((run.as_secs_f64() * PER_SECOND as f64) as usize + 1);
    let _subscriber = pair.subscribe(receipts.clone()).await?;
    let published = pace::run(&pair, run, receipts.clone()).await?;
    receipts.wait_for(published, PATIENCE).await.context("pace")?;
    let latencies = receipts.latencies();
    for (figure, share) in [(P50, 0.5), (P99, 0.99)] {
        let latency = super::share(&latencies, share).as_secs_f64() * 1e3;
        report.add(NAME, what(link, figure), system.name(), "ms", latency);
    }
    Ok(())
}

pub(super) fn claims(report: &Report) -> Vec<Claim> {
    LINKS
        .map(|(link, _)| {
            let flood = what(link, FLOOD);
            let ratio = report.median(NAME, &flood, "riser") / report.most(NAME, &flood, &PEERS);
            Claim::at_least(format!("distant: {flood}, of the best peer's"), ratio, 4.0)
        })
        .into()
}

fn what(link: &str, figure: &str) -> String {
    format!("{link}: {figure}")
}
