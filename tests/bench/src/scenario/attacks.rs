//! A quiet client on a hub that is attacked, beside the same client a moment before.

use super::quiet;
use crate::{
    attack::{self, Attack},
    command::Bench,
    report::Report,
    riser::Hub,
    series::Claim,
};
use anyhow::Context;
use std::time::Duration;

pub(super) const NAME: &str = "attacks";
/// Until an attack has all its connections, and the server has felt it.
const RAMP: Duration = Duration::from_secs(1);
const ALONE: &str = "alone";
const ATTACKED: &str = "attacked";

pub(super) async fn round(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    for attack in Attack::HOSTILE {
        let folder = bench.folder()?;
        let hub = Hub::to_be_attacked(folder.path())?;
        let run = bench.seconds(4.0);
        let alone = quiet::p99(hub.mqtt, run).await?;
        report.add(NAME, what(attack), ALONE, "ms", alone);
        let _attacker = attack::start(attack, &hub, folder.path())?;
        tokio::time::sleep(RAMP).await;
        let attacked = quiet::p99(hub.mqtt, run).await.with_context(|| attack.name())?;
        report.add(NAME, what(attack), ATTACKED, "ms", attacked);
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
