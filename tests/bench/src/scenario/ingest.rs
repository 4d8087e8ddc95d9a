//! What an edge takes in at QoS 1 while its link carries it on, and while the link is cut; beside brokers and bare servers.

use super::PEERS;
use crate::{
    cable::Cut,
    child::{BARE, RUMQTTD, own},
    command::Bench,
    load::{Load, Until},
    pair::{PREFIX, Pair},
    peer::{Peer, free_address},
    report::Report,
    riser::Hub,
    series::Claim,
};
use riser_shell::entropy;
use std::{net::SocketAddr, path::Path};

pub(super) const NAME: &str = "ingest";
/// Connections, and how many publications of each may be unacknowledged.
const LOADS: [(u32, u16); 2] = [(50, 100), (1000, 1)];
const GROUP_COMMIT: &str = "bare, group commit";
/// A hub that has no edge to serve: one process, as rumqttd and the bare servers are.
const ALONE: &str = "riser, hub alone";

pub(super) async fn round(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    for (connections, window) in LOADS {
        let what = what(connections, window);
        for system in &bench.systems {
            let folder = bench.folder()?;
            let pair = Pair::start(*system, folder.path())?;
            pair.joined_up().await?;
            pair.load(connections, window, Until::Elapsed(bench.seconds(0.5))).await?;
            let outcome = pair.load(connections, window, Until::Elapsed(bench.seconds(3.0))).await?;
            report.add(NAME, &what, system.name(), "msg/s", outcome.rate());
            let latency = format!("{what}: time to acknowledge, p50");
            report.add(NAME, latency, system.name(), "ms", outcome.latency(0.5).as_secs_f64() * 1e3);
        }
        for system in &bench.systems {
            let folder = bench.folder()?;
            let (pair, cable) = Pair::on_a_cable(*system, folder.path()).await?;
            pair.joined_up().await?;
            cable.cut(Cut::Reset).await;
            pair.load(connections, window, Until::Elapsed(bench.seconds(0.5))).await?;
            let outcome = pair.load(connections, window, Until::Elapsed(bench.seconds(3.0))).await?;
            report.add(NAME, cut(&what), system.name(), "msg/s", outcome.rate());
        }
        for subject in [ALONE, "rumqttd", GROUP_COMMIT, "bare"] {
            let folder = bench.folder()?;
            let rate = alone(subject, folder.path(), connections, window, bench).await?;
            report.add(NAME, &what, subject, "msg/s", rate);
        }
    }
    Ok(())
}

pub(super) fn claims(report: &Report) -> Vec<Claim> {
    let [many, single] = LOADS.map(|(connections, window)| what(connections, window));
    let riser = report.median(NAME, &many, "riser");
    let of_bare = riser / report.median(NAME, &many, GROUP_COMMIT);
    let of_mosquitto = report.median(NAME, &single, "riser") / report.median(NAME, &single, "mosquitto");
    vec![
        Claim::at_least(
            format!("ingest: {many}, of the best peer's"),
            riser / report.most(NAME, &many, &PEERS),
            8.0,
        ),
        Claim::at_least(
            format!("ingest: {}, of the best peer's", cut(&many)),
            report.median(NAME, &cut(&many), "riser") / report.most(NAME, &cut(&many), &PEERS),
            8.0,
        ),
        Claim::at_least(format!("ingest: {many}, of the bare group-commit server's"), of_bare, 0.25),
        Claim::at_least(
            format!("ingest: {many}, syncing and alone, of rumqttd's, which never does"),
            report.median(NAME, &many, ALONE) / report.median(NAME, &many, "rumqttd"),
            0.5,
        ),
        Claim::at_least(format!("ingest: {single}, of mosquitto's"), of_mosquitto, 1.0),
    ]
}

fn what(connections: u32, window: u16) -> String {
    format!("{connections} connections x {window} unacknowledged")
}

/// The same with the link cut.
fn cut(what: &str) -> String {
    format!("{what}, the link cut")
}

/// A server that is nothing but a server.
async fn alone(
    subject: &str,
    folder: &Path,
    connections: u32,
    window: u16,
    bench: &Bench,
) -> anyhow::Result<f64> {
    if subject == ALONE {
        let hub = Hub::start(folder, entropy::uuid())?;
        return rate(hub.mqtt, connections, window, bench).await;
    }
    let address = free_address()?;
    let mut command = own(if subject == "rumqttd" { RUMQTTD } else { BARE })?;
    command.arg(address.to_string());
    if subject == GROUP_COMMIT {
        command.arg(folder);
    }
    let mut peer = Peer::start("alone", command, folder)?;
    peer.accepts(address)?;
    rate(address, connections, window, bench).await
}

async fn rate(server: SocketAddr, connections: u32, window: u16, bench: &Bench) -> anyhow::Result<f64> {
    let load = |clients, until| Load { server, clients, prefix: PREFIX.into(), connections, window, until };
    load("warm", Until::Elapsed(bench.seconds(0.5))).run().await?;
    Ok(load("load", Until::Elapsed(bench.seconds(3.0))).run().await?.rate())
}
