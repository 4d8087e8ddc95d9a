//! What an edge costs while nothing happens, what each idle connection adds, what a message costs on the link, how large the
//! programs are and how soon they are there. What a message costs on the disk is the backlog's.

use crate::{
    cable::End,
    command::Bench,
    dashboard, memory, mqtt, pace,
    pair::{Pair, System},
    report::Report,
    riser,
    series::Claim,
    subscriber::Receipts,
};
use anyhow::Context;
use serde_json::json;
use std::{fs, time::Duration};

pub(super) const NAME: &str = "footprint";
const IDLE: &str = "idle edge, RSS";
const MQTT: &str = "RSS per idle MQTT connection";
const WEBSOCKET: &str = "RSS per idle WebSocket connection";
const LINK: &str = "bytes on the link per message at 5,000 msg/s";
const SIZE: &str = "the program's file";
const STARTS: &str = "an edge that holds nothing: from start to accepting";
const CONNECTIONS: u64 = 10_000;

pub(super) async fn round(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    for system in &bench.systems {
        let rows = [
            ("programs", programs(*system, bench, report).await),
            ("at rest", at_rest(*system, bench, report).await),
            (LINK, on_the_link(*system, bench, report).await),
        ];
        for (row, done) in rows {
            match done {
                Err(error) if *system != System::Riser => {
                    report.lacks(format!("{NAME}: {row}: {}: {error:#}", system.name()));
                }
                done => done.context(row)?,
            }
        }
    }
    Ok(())
}

pub(super) fn claims(report: &Report) -> Vec<Claim> {
    let link = report.median(NAME, LINK, "riser") / report.median(NAME, LINK, "mosquitto");
    let nats = ["nats", "nats, current"];
    let of_nats = report.median(NAME, LINK, "riser") / report.least(NAME, LINK, &nats);
    vec![
        Claim::at_most("footprint: idle edge, RSS in MB", report.median(NAME, IDLE, "riser"), 12.0),
        Claim::at_most(
            "footprint: bytes per idle MQTT connection",
            report.median(NAME, MQTT, "riser"),
            8192.0,
        ),
        Claim::at_most(
            "footprint: bytes per idle WebSocket connection",
            report.median(NAME, WEBSOCKET, "riser"),
            12288.0,
        ),
        Claim::at_most("footprint: bytes on the link per message, of mosquitto's bridge", link, 0.5),
        Claim::at_most("footprint: bytes on the link per message, of nats's", of_nats, 1.0 / 3.0),
    ]
}

async fn programs(system: System, bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let files = match system.program()? {
        Some(file) => vec![(system.name(), file)],
        None => riser::programs()?.into(),
    };
    for (subject, file) in files {
        report.add(NAME, SIZE, subject, "MB", fs::metadata(file)?.len() as f64 / 1e6);
    }
    let folder = bench.folder()?;
    let mut pair = Pair::start(system, folder.path())?;
    pair.joined_up().await?;
    let starts = pair.restart(End::Edge)?;
    report.add(NAME, STARTS, system.name(), "ms", starts.as_secs_f64() * 1e3);
    Ok(())
}

async fn at_rest(system: System, bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let folder = bench.folder()?;
    let pair = Pair::start(system, folder.path())?;
    pair.joined_up().await?;
    let edge = pair.edge_process().process();
    memory::at_rest(edge).await?;
    let idle = memory::resident(edge)?;
    report.add(NAME, IDLE, system.name(), "MB", idle as f64 / 1e6);
    let count = bench.count(CONNECTIONS);
    if matches!(system, System::Nats(_)) {
        return Ok(());
    }
    let mut open = Vec::new();
    for n in 0..count {
        open.push(mqtt::connect(pair.edge(), &format!("idle-{n}")).await.context("open an idle connection")?);
    }
    memory::at_rest(edge).await?;
    let each = memory::resident(edge)?.saturating_sub(idle) as f64 / count as f64;
    report.add(NAME, MQTT, system.name(), "bytes", each);
    drop((open, pair));
    if system == System::Riser {
        let folder = bench.folder()?;
        let Pair::Riser(riser) = &Pair::start(system, folder.path())? else { return Ok(()) };
        let edge = riser.processes[0].process();
        memory::at_rest(edge).await?;
        let idle = memory::resident(edge)?;
        let mut open = Vec::new();
        for _ in 0..count {
            open.push(dashboard::open(riser.edge_http, json!([])).await?);
        }
        memory::at_rest(edge).await?;
        let each = memory::resident(edge)?.saturating_sub(idle) as f64 / count as f64;
        report.add(NAME, WEBSOCKET, system.name(), "bytes", each);
    }
    Ok(())
}

async fn on_the_link(system: System, bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let folder = bench.folder()?;
    let (pair, cable) = Pair::on_a_cable(system, folder.path()).await?;
    pair.joined_up().await?;
    let receipts = Receipts::new(0);
    let _subscriber = pair.subscribe(receipts.clone()).await?;
    let before = cable.carried();
    let published = pace::run(&pair, bench.seconds(4.0), receipts.clone()).await?;
    receipts.wait_for(published, Duration::from_secs(10)).await?;
    // The last confirmations.
    memory::at_rest(pair.edge_process().process()).await?;
    report.add(NAME, LINK, system.name(), "bytes", (cable.carried() - before) as f64 / published as f64);
    Ok(())
}
