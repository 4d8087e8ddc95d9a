//! How long a killed edge takes until it accepts devices again over a spool that is nearly full, and a killed hub over a large log.
//!
//! Their files are in the system's cache, as they are after a kill; after a power loss they would have to be read first.

use super::replay;
use crate::{
    cable::{Cut, End},
    command::Bench,
    device,
    load::Until,
    mqtt,
    pair::{Pair, System},
    report::{Report, number},
    riser::Hub,
    series::Claim,
};
use riser_model::AccountId;
use riser_shell::entropy;
use std::time::{Duration, Instant};

pub(super) const NAME: &str = "restart";
const SPOOL: &str = "the edge's spool";
const EDGE: &str = "edge, killed, over that spool: from start to accepting";
const EDGE_IN: &str = "edge, killed, over that spool: from start to letting a device in";
const LOG: &str = "the hub's log";
const HUB_NEW: &str = "hub, over a log that it has not seen: from start to accepting";
const HUB: &str = "hub, killed, over that log: from start to accepting";

/// Takes most of a GiB, which is an edge's quota unless it is told otherwise.
const BACKLOG: u64 = 4_000_000;
/// Publishers of it.
const DEVICES: u32 = 50;

pub(super) async fn round(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    edge(bench, report).await?;
    hub(bench, report).await
}

pub(super) fn claims(report: &Report) -> Vec<Claim> {
    [(EDGE, SPOOL, 1000.0), (HUB, LOG, 3000.0)]
        .map(|(figure, over, goal)| {
            // Over little it is soon done: the claim says over how much, in the round with the least.
            let (least, _) = report.spread(NAME, over, "riser");
            let words = format!("restart: ms, {figure} ({} MB)", number(least));
            Claim::at_most(words, report.median(NAME, figure, "riser"), goal)
        })
        .into()
}

async fn edge(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let folder = bench.folder()?;
    let (mut pair, cable) = Pair::on_a_cable(System::Riser, folder.path()).await?;
    pair.joined_up().await?;
    cable.cut(Cut::Reset).await;
    pair.load(DEVICES, 100, Until::Count(bench.count(BACKLOG) / u64::from(DEVICES))).await?;
    pair.kill(End::Edge);
    let spool = device::taken(&pair.edge_folder(folder.path()).join("log"))?;
    report.add(NAME, SPOOL, "riser", "MB", spool as f64 / 1e6);
    let began = Instant::now();
    let accepts = pair.restart(End::Edge)?;
    report.add(NAME, EDGE, "riser", "ms", ms(accepts));
    mqtt::connect(pair.edge(), "first").await?;
    report.add(NAME, EDGE_IN, "riser", "ms", ms(began.elapsed()));
    Ok(())
}

async fn hub(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let (folder, account) = (bench.folder()?, entropy::uuid());
    let log = folder.path().join("riser-hub").join("log");
    let made = tokio::task::spawn_blocking({
        let (log, entries) = (log.clone(), bench.log);
        move || replay::fill(&log, AccountId(account), entries)
    });
    made.await??;
    report.add(NAME, LOG, "riser", "MB", device::taken(&log)? as f64 / 1e6);
    let began = Instant::now();
    let mut hub = Hub::start(folder.path(), account)?;
    report.add(NAME, HUB_NEW, "riser", "ms", ms(began.elapsed()));
    let accepts = hub.process.restart(hub.http)?;
    report.add(NAME, HUB, "riser", "ms", ms(accepts));
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_say_over_how_much_it_was_restarted() {
        let mut report = Report::default();
        for (spool, log) in [(950.0, 1020.0), (134.0, 192.0)] {
            for (figure, value) in [(SPOOL, spool), (LOG, log), (EDGE, 120.0), (HUB, 4000.0)] {
                report.add(NAME, figure, "riser", "", value);
            }
        }
        let [edge, hub] = &claims(&report)[..] else { panic!("two") };
        assert!(edge.holds() && edge.what.ends_with("(134 MB)"), "{edge:?}");
        assert!(!hub.holds() && hub.what.ends_with("(192 MB)"), "{hub:?}");
    }
}
