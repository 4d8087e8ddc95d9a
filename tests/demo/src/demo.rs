//! The demo itself: starts everything, runs unattended or until it is told to stop, and says how it went.

use crate::{
    child::EdgeProcess,
    folder::Folder,
    forwarder::Forwarder,
    ledger::{Ledger, Stream},
    metrics::{self, Equation},
    plan::{self, Plan},
    readings::Reading,
    sensor::Sensor,
    site::{self, Site, Sites},
    subscriber::Subscriber,
};
use anyhow::{Context, bail};
use riser_hub::{Hub, HubConfig, hub::Extras};
use riser_shell::{Loaded, Signals, Sources};
use serde_json::json;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    net::TcpStream,
    sync::{Mutex, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// How long a drained system may take to show it.
const DRAIN_WITHIN: Duration = Duration::from_secs(60);
/// How long an edge may take until it listens, and how often that is looked at.
const START_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Sensors of a demo to look at.
const PACE: Duration = Duration::from_millis(100);
/// Sensors of an unattended run, which has a number of publications to reach.
const FAST_PACE: Duration = Duration::from_millis(5);

/// How to run it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to keep data; a temporary folder unless given.
    pub data: Option<PathBuf>,
    /// Run unattended for that long.
    pub unattended: Option<Duration>,
    /// Print the verdict as JSON.
    pub json: bool,
    /// How many: 3 puts an edge between the hub and the others.
    pub tiers: u8,
}

/// Runs the demo; whether its verdict is good.
pub async fn run(options: Options) -> anyhow::Result<bool> {
    let folder = Folder::open(options.data)?;
    if folder.is_ram_disk() {
        println!(
            "Note: {} is a RAM disk, where a sync proves nothing; give a real one with --data.",
            folder.path().display()
        );
    }
    let plan = Plan::new(&folder, options.tiers)?;
    let sites = lay_cables(&plan).await?;
    let site = plan.sites().next().context("a demo has edges")?.clone();
    let hint = format!(
        "mosquitto_pub -h {} -p {} -q 1 -u {} -P {} -t {}/hello -m '{{\"value\": 42}}'",
        site.mqtt.ip(),
        site.mqtt.port(),
        plan::SENSOR,
        plan.password,
        plan::ROOM,
    );
    let loaded = Loaded::<HubConfig>::strictly(&Sources::file(&plan.hub))?;
    riser_shell::log::start(&loaded.config.log);
    let extras =
        Extras { routes: site::routes(Arc::clone(&sites)), block: site::block(&plan.password, &hint) };
    let hub = Hub::start(&loaded.config, None, Some(extras)).await?;
    start_edges(&plan, &sites).await?;
    println!("Riser demo: a hub and {} edges, data in {}", plan.edges.len(), folder.path().display());
    println!();
    println!("  page        http://{}/", plan.http);
    println!("  publish     {hint}");
    let listens = site.mqtt;
    let (user, password, room) = (plan::VIEWER, &plan.password, plan::ORDERS);
    let login =
        |address: SocketAddr| format!("-h {} -p {} -u {user} -P {password}", address.ip(), address.port());
    println!("  down        mosquitto_sub {} -v -t '{room}/#' &", login(listens));
    println!("              mosquitto_pub {} -q 1 -t {room}/lamp -m on", login(plan.mqtt));
    println!("  metrics     curl http://{}/metrics", site.operations);
    if let Some(region) = plan.edges.iter().find(|edge| edge.link.is_some()) {
        println!("  in between  {}: curl http://{}/metrics", region.name, region.operations);
    }
    println!();

    let ledger = Arc::new(Ledger::default());
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let pace = if options.unattended.is_some() { FAST_PACE } else { PACE };
    let mut sensors = start_sensors(&plan, &ledger, &stopped, pace);
    let subscriber = Subscriber {
        hub: plan.http,
        path: format!("/{}/{}", plan::ACCOUNT, plan::ROOM),
        credentials: (plan::VIEWER.into(), plan.password.clone()),
    };
    tasks.spawn(subscriber.run(Arc::clone(&ledger)));
    match options.unattended {
        Some(length) => timeline(&sites, length).await?,
        None => {
            println!("On the page: cut a link, watch the backlog, mend it. Stop with Ctrl-C.");
            Signals::new().context("take over signals")?.next().await;
        }
    }
    stop.send_replace(true);
    for site in sites.values() {
        site.cable.set_whole(true);
    }
    if timeout(DRAIN_WITHIN, async { while sensors.join_next().await.is_some() {} }).await.is_err() {
        bail!("sensors did not complete what they had under way");
    }
    let operations: Vec<SocketAddr> = plan.edges.iter().map(|edge| edge.operations).collect();
    let equation = drained(&operations, &ledger).await?;
    let good = say(&ledger, equation, options.json, options.unattended.is_some());
    tasks.shutdown().await;
    for site in sites.values() {
        site.process.lock().await.kill().await?;
    }
    hub.stop().await;
    Ok(good)
}

/// The edges' cables and files. They are started when there is somebody to dial.
async fn lay_cables(plan: &Plan) -> anyhow::Result<Sites> {
    let mut sites = BTreeMap::new();
    for edge in &plan.edges {
        let cable = Forwarder::start(edge.above.0).await?;
        plan.write_edge(edge, cable.address())?;
        let process = Mutex::new(EdgeProcess::new(edge.config.clone()));
        sites.insert(edge.name, Site { cable, process });
    }
    Ok(Arc::new(sites))
}

/// From the top down: each finds the one above it listening.
async fn start_edges(plan: &Plan, sites: &Sites) -> anyhow::Result<()> {
    for edge in &plan.edges {
        sites[edge.name].process.lock().await.start()?;
        // Its metrics are there when all its doors are; whoever is below it, and whoever reads the page, may come then.
        for door in edge.link.into_iter().chain([edge.operations]) {
            let listens = async {
                while TcpStream::connect(door).await.is_err() {
                    sleep(LOOK_EVERY).await;
                }
            };
            timeout(START_WITHIN, listens).await.context("wait for an edge to listen")?;
        }
    }
    Ok(())
}

fn start_sensors(
    plan: &Plan,
    ledger: &Arc<Ledger>,
    stop: &watch::Receiver<bool>,
    pace: Duration,
) -> JoinSet<()> {
    let mut sensors = JoinSet::new();
    for edge in plan.sites() {
        for reading in Reading::available() {
            let sensor = Sensor {
                stream: Stream { edge: edge.name.into(), sensor: reading.name() },
                broker: edge.mqtt,
                credentials: (plan::SENSOR.into(), plan.password.clone()),
                topic: format!("{}/{}/{}", plan::ROOM, edge.name, reading.name()),
                reading,
                pace,
            };
            sensors.spawn(sensor.run(Arc::clone(ledger), stop.clone()));
        }
    }
    sensors
}

/// What happens on the way of an unattended run: one link is cut, one edge is killed and started again.
async fn timeline(sites: &Sites, length: Duration) -> anyhow::Result<()> {
    let began = Instant::now();
    let at = |share: f64| sleep((began + length.mul_f64(share)).duration_since(Instant::now()));
    // Where there is one between the hub and the others, that is the one to kill.
    let victim = if sites.contains_key(plan::REGION) { plan::REGION } else { plan::EDGES[1] };
    let (first, second) = (&sites[plan::EDGES[0]], &sites[victim]);
    at(0.25).await;
    println!("cutting the link of {}", plan::EDGES[0]);
    first.cable.set_whole(false);
    at(0.45).await;
    println!("SIGKILL for {victim}");
    second.process.lock().await.kill().await?;
    at(0.55).await;
    second.process.lock().await.start()?;
    at(0.7).await;
    println!("mending the link of {}", plan::EDGES[0]);
    first.cable.set_whole(true);
    at(1.0).await;
    Ok(())
}

/// Waits until the edges say that nothing is queued and the subscriber has what the sensors completed.
async fn drained(edges: &[SocketAddr], ledger: &Ledger) -> anyhow::Result<Equation> {
    let began = Instant::now();
    loop {
        let mut sum = Equation::default();
        let mut whole = true;
        for edge in edges {
            match metrics::equation(*edge).await {
                Ok(equation) => sum = sum.and(equation),
                Err(error) if began.elapsed() > DRAIN_WITHIN => return Err(error),
                Err(_) => whole = false,
            }
        }
        let done = whole && sum.queued == 0 && sum.accepted > 0 && ledger.verdict().lost == 0;
        if done || began.elapsed() > DRAIN_WITHIN {
            return Ok(sum);
        }
        sleep(Duration::from_millis(250)).await;
    }
}

/// Says how it went; whether that is good.
fn say(ledger: &Ledger, equation: Equation, as_json: bool, unattended: bool) -> bool {
    const ACCEPTED_MIN: u64 = 5000;
    let verdict = ledger.verdict();
    let Equation { accepted, synced, queued, gapped } = equation;
    if as_json {
        println!(
            "{}",
            json!({
                "accepted": accepted, "synced": synced, "queued": queued, "gapped": gapped,
                "delivered": verdict.delivered, "resent": verdict.resent, "lost": verdict.lost,
                "duplicated": verdict.duplicated, "reordered": verdict.reordered,
            })
        );
    } else {
        println!("accepted {accepted} = synced {synced} + queued {queued} + gapped {gapped}");
        println!(
            "delivered {}, resent by sensors {}, lost {}, duplicated {}, reordered {}",
            verdict.delivered, verdict.resent, verdict.lost, verdict.duplicated, verdict.reordered
        );
    }
    let enough = !unattended || accepted >= ACCEPTED_MIN;
    verdict.lost + verdict.duplicated + verdict.reordered == 0 && equation.holds() && enough
}
