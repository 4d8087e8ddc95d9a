//! A quiet client on a hub that is attacked, beside the same client a moment before and a moment after.

use super::quiet;
use crate::{
    attack::{self, Attack},
    command::Bench,
    memory,
    report::Report,
    riser::Hub,
    series::Claim,
};
use anyhow::Context;

pub(super) const NAME: &str = "attacks";
const ALONE: &str = "alone";
const ATTACKED: &str = "attacked";

pub(super) async fn round(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    for attack in Attack::HOSTILE {
        let folder = bench.folder()?;
        let hub = Hub::to_be_attacked(folder.path())?;
        // Alone as long as attacked, half of it before and half of it after: a machine has slow moments of its own.
        let (half, run) = (bench.seconds(4.0), bench.seconds(8.0));
        memory::at_rest(hub.process.process()).await?;
        let mut alone = quiet::latencies(hub.mqtt, half).await?;
        let mut attacker = attack::start(attack, &hub, folder.path()).await?;
        let attacked = quiet::latencies(hub.mqtt, run).await.with_context(|| attack.name())?;
        attacker.kill();
        memory::at_rest(hub.process.process()).await?;
        alone.extend(quiet::latencies(hub.mqtt, half).await?);
        alone.sort_unstable();
        report.add(NAME, what(attack), ALONE, "ms", quiet::p99(&alone));
        report.add(NAME, what(attack), ATTACKED, "ms", quiet::p99(&attacked));
    }
    Ok(())
}

pub(super) fn claims(report: &Report) -> Vec<Claim> {
    let claim = |attack: Attack| {
        let of = |who| report.median(NAME, &what(attack), who);
        let name = attack.name();
        Claim::at_most(
            format!("attacks: p99 of a quiet client during {name}, of its own"),
            of(ATTACKED) / of(ALONE),
            2.0,
        )
    };
    Attack::HOSTILE.map(claim).into()
}

fn what(attack: Attack) -> String {
    format!("a quiet client, from publishing to receiving, p99: {}", attack.name())
}
