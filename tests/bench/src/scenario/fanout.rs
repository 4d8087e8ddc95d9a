//! One publisher, and many who listen: what a delivery costs its server, and how long it takes.

use crate::{
    child::{BARE_FAN, own},
    command::Bench,
    corpus,
    crowd::{CHANNEL, Crowd, SUBJECT, Sent, Speech},
    memory, mqtt,
    nats::{self, Release},
    pair::System,
    peer::{self, Peer, free_address},
    report::Report,
    riser::{ACCOUNT, Hub, ROOM},
    series::Claim,
    websocket,
};
use anyhow::Context;
use riser_shell::entropy;
use std::{convert::Infallible, io::Write as _, net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::{io::AsyncWriteExt, net::TcpStream};

pub(super) const NAME: &str = "fan-out";
/// Who listens, and what one publisher says to them in a second: half a million deliveries, and a quarter.
const CROWDS: [(u64, u64); 2] = [(500, 1000), (5_000, 50)];
/// For what is under way when the publisher ends, and for a server that did not keep up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Of so many messages a subscriber times one.
const SAMPLE: u64 = 16;

/// Who fans out to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Subject {
    Riser(Ears),
    Nats(Release),
    Mosquitto,
    Bare,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ears {
    WebSocket,
    Mqtt,
    HalfEach,
}

impl Subject {
    const ALL: [Self; 7] = [
        Self::Riser(Ears::WebSocket),
        Self::Riser(Ears::Mqtt),
        Self::Riser(Ears::HalfEach),
        Self::Nats(Release::Packaged),
        Self::Nats(Release::Current),
        Self::Mosquitto,
        Self::Bare,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Riser(Ears::WebSocket) => "riser, WebSocket",
            Self::Riser(Ears::Mqtt) => "riser, MQTT",
            Self::Riser(Ears::HalfEach) => "riser, half each",
            Self::Nats(Release::Packaged) => "nats, core",
            Self::Nats(Release::Current) => "nats, core, current",
            Self::Mosquitto => "mosquitto, QoS 0",
            Self::Bare => "bare fan-out",
        }
    }

    fn takes_part(self, bench: &Bench) -> bool {
        match self {
            Self::Riser(_) | Self::Bare => true,
            Self::Nats(release) => bench.systems.contains(&System::Nats(release)),
            Self::Mosquitto => bench.systems.contains(&System::Mosquitto),
        }
    }
}

pub(super) async fn round(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    for (members, per_second) in CROWDS {
        for subject in Subject::ALL.into_iter().filter(|subject| subject.takes_part(bench)) {
            let found = one(subject, members, per_second, bench).await;
            let found = found.with_context(|| format!("{} to {members}", subject.name()))?;
            let what = |figure: &str| what(members, per_second, figure);
            report.add(NAME, what(CPU), subject.name(), "us", found.processor_us);
            report.add(NAME, what(P50), subject.name(), "ms", found.p50_ms);
            report.add(NAME, what(P99), subject.name(), "ms", found.p99_ms);
        }
    }
    Ok(())
}

const CPU: &str = "processor time of the server per delivery";
const P50: &str = "from publishing to receiving, p50";
const P99: &str = "from publishing to receiving, p99";

fn what(members: u64, per_second: u64, figure: &str) -> String {
    format!("{members} subscribers, {per_second} msg/s: {figure}")
}

pub(super) fn claims(report: &Report) -> Vec<Claim> {
    let (members, per_second) = CROWDS[0];
    let ratio = |figure: &str, ours: &str, theirs: &[&str]| {
        let what = what(members, per_second, figure);
        report.median(NAME, &what, ours) / report.least(NAME, &what, theirs)
    };
    let nats = [Release::Packaged, Release::Current].map(|release| Subject::Nats(release).name());
    let ears = [Ears::HalfEach, Ears::WebSocket, Ears::Mqtt].map(|ears| Subject::Riser(ears).name());
    let mut claims = Vec::new();
    for ours in ears {
        let cpu = ratio(CPU, ours, &nats);
        claims.push(Claim::at_most(format!("fan-out to {members}: {ours}: {CPU}, of nats's"), cpu, 0.5));
        let p99 = ratio(P99, ours, &[Subject::Bare.name()]);
        claims.push(Claim::at_most(
            format!("fan-out to {members}: {ours}: p99, of the bare fan-out's"),
            p99,
            1.5,
        ));
    }
    claims
}

struct Found {
    processor_us: f64,
    p50_ms: f64,
    p99_ms: f64,
}

async fn one(subject: Subject, members: u64, per_second: u64, bench: &Bench) -> anyhow::Result<Found> {
    let folder = bench.folder()?;
    let run = bench.seconds(4.0);
    let server = Server::start(subject, folder.path())?;
    let sent = Sent::new((run.as_secs_f64() * per_second as f64) as u64);
    let mut crowd = Crowd::new(Arc::clone(&sent), SAMPLE);
    for n in 0..members {
        let (address, speech) = match subject {
            Subject::Riser(Ears::HalfEach) if n.is_multiple_of(2) => (server.mqtt, Speech::Mqtt),
            Subject::Riser(Ears::HalfEach | Ears::WebSocket) => (server.http, Speech::WebSocket),
            Subject::Riser(Ears::Mqtt) | Subject::Mosquitto | Subject::Bare => (server.mqtt, Speech::Mqtt),
            Subject::Nats(_) => (server.mqtt, Speech::Nats),
        };
        crowd.join(address, speech).await.with_context(|| format!("subscriber {n}"))?;
    }
    let before = memory::processor_time(server.process.process())?;
    let publisher = Publisher::connect(subject, &server).await.context("connect the publisher")?;
    let latencies = tokio::select! {
        latencies = crowd.all_received(run + PATIENCE) => latencies?,
        gone = publisher.run(Arc::clone(&sent), Duration::from_secs(1) / per_second as u32) => match gone? {},
    };
    let used = memory::processor_time(server.process.process())? - before;
    let deliveries = (sent.count() * members) as f64;
    let share = |share: f64| super::share(&latencies, share).as_secs_f64() * 1e3;
    Ok(Found { processor_us: used.as_secs_f64() * 1e6 / deliveries, p50_ms: share(0.5), p99_ms: share(0.99) })
}

struct Server {
    /// Its MQTT door, or the only one that it has.
    mqtt: SocketAddr,
    http: SocketAddr,
    process: Peer,
}

impl Server {
    fn start(subject: Subject, folder: &Path) -> anyhow::Result<Self> {
        let (mqtt, process) = match subject {
            Subject::Riser(_) => {
                let Hub { mqtt, http, process } = Hub::start(folder, entropy::uuid())?;
                return Ok(Self { mqtt, http, process });
            }
            Subject::Nats(release) => nats::lone(release, folder)?,
            Subject::Mosquitto => peer::lone_mosquitto(folder)?,
            Subject::Bare => {
                let address = free_address()?;
                let mut command = own(BARE_FAN)?;
                command.arg(address.to_string());
                let mut process = Peer::start("bare-fan", command, folder)?;
                process.accepts(address)?;
                (address, process)
            }
        };
        Ok(Self { mqtt, http: mqtt, process })
    }
}

/// One who publishes at a steady pace, acknowledged where the protocol knows that.
struct Publisher {
    subject: Subject,
    socket: TcpStream,
}

impl Publisher {
    async fn connect(subject: Subject, server: &Server) -> anyhow::Result<Self> {
        let socket = match subject {
            Subject::Riser(_) => {
                let hello = r#"{"op":"hello","id":1,"events":false}"#;
                websocket::open(server.http, &format!("/{ACCOUNT}/{ROOM}"), hello).await?.0
            }
            Subject::Nats(_) => nats::connect(server.mqtt).await?,
            Subject::Mosquitto | Subject::Bare => mqtt::connect(server.mqtt, "publisher").await?,
        };
        Ok(Self { subject, socket })
    }

    /// Ends only by an error: a socket that is closed with something unread takes back what was written last.
    async fn run(mut self, sent: Arc<Sent>, every: Duration) -> anyhow::Result<Infallible> {
        let (mut read, mut write) = self.socket.split();
        let sending = async {
            let mut ticks = tokio::time::interval(every);
            let mut packet = Vec::new();
            for n in 0..sent.count() {
                ticks.tick().await;
                packet.clear();
                put(&mut packet, self.subject, n)?;
                sent.publishing(n);
                write.write_all(&packet).await?;
            }
            std::future::pending::<anyhow::Result<Infallible>>().await
        };
        // Receipts are read, so that the server need not keep them, and not looked at.
        let mut sink = tokio::io::sink();
        tokio::select! {
            sent = sending => sent,
            _ = tokio::io::copy(&mut read, &mut sink) => anyhow::bail!("the server closed the publisher"),
        }
    }
}

fn put(packet: &mut Vec<u8>, subject: Subject, n: u64) -> anyhow::Result<()> {
    let payload = corpus::payload(0, n);
    match subject {
        Subject::Riser(_) => {
            let data = std::str::from_utf8(&payload)?;
            let text = format!(r#"{{"op":"publish","id":{n},"channel":"{CHANNEL}","data":{data}}}"#);
            websocket::put_text(packet, &text);
        }
        Subject::Nats(_) => {
            write!(packet, "PUB {SUBJECT} {}\r\n", payload.len())?;
            packet.extend_from_slice(&payload);
            packet.extend_from_slice(b"\r\n");
        }
        Subject::Mosquitto | Subject::Bare => {
            let id = (n % u64::from(u16::MAX)) as u16 + 1;
            mqtt::put_publish(packet, &format!("{ROOM}/{CHANNEL}"), id, &payload);
        }
    }
    Ok(())
}
