//! nats-server as an edge: a leaf with its own JetStream, and a hub whose stream sources the leaf's.
//!
//! Publications are JetStream's own, acknowledged by the stream: NATS at its best, not its MQTT bridge.

use crate::{
    corpus,
    load::{Load, Outcome, Until},
    peer::{Peer, free_address, program, tool},
};
use anyhow::{Context, bail, ensure};
use bytes::{Buf, BytesMut};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
};

const STREAM: &str = "BENCH";
const SUBJECTS: &str = "bench.>";

/// Whose build of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Release {
    /// The distribution's package.
    Packaged,
    /// The newest that `tests/install-tools` knows.
    Current,
}

impl Release {
    /// Its program.
    pub fn program(self) -> anyhow::Result<PathBuf> {
        match self {
            Self::Packaged => program("nats-server"),
            Self::Current => tool("nats-server"),
        }
    }
}

/// A leaf and a hub.
pub struct Nats {
    /// Which.
    pub release: Release,
    /// Where devices publish.
    pub edge: SocketAddr,
    /// Where subscribers read.
    pub hub: SocketAddr,
    /// The processes, edge first.
    pub processes: [Peer; 2],
}

impl Nats {
    /// Starts both. The leaf reaches the hub's leaf port `leaf_port` at `via` (a cable that can be cut). The
    /// hub says that it is there too: it tells leaves where else they find it, and they would go round the cut.
    pub fn start(
        release: Release,
        folder: &Path,
        leaf_port: SocketAddr,
        via: SocketAddr,
    ) -> anyhow::Result<Self> {
        let (edge, hub) = (free_address()?, free_address()?);
        let hub_config = format!(
            "listen: \"{hub}\"\nserver_name: hub\njetstream {{ store_dir: \"{}\", domain: hub }}\n\
             leafnodes {{ listen: \"{leaf_port}\", advertise: \"{via}\" }}\n",
            folder.join("nats-hub/js").display()
        );
        let edge_config = format!(
            "listen: \"{edge}\"\nserver_name: edge\njetstream {{ store_dir: \"{}\", domain: edge }}\n\
             leafnodes {{ remotes: [ {{ url: \"nats-leaf://{via}\" }} ], reconnect: 1 }}\n",
            folder.join("nats-edge/js").display()
        );
        let hub_process = server(release, &folder.join("nats-hub"), hub, &hub_config)?;
        let edge_process = server(release, &folder.join("nats-edge"), edge, &edge_config)?;
        let nats = Self { release, edge, hub, processes: [edge_process, hub_process] };
        let own = json!({ "name": STREAM, "subjects": [SUBJECTS], "storage": "file", "num_replicas": 1 });
        request_until(edge, &format!("$JS.API.STREAM.CREATE.{STREAM}"), &own)?;
        let sourced = json!({
            "name": "UP", "storage": "file", "num_replicas": 1,
            "sources": [{ "name": STREAM, "external": { "api": "$JS.edge.API" } }],
        });
        request_until(hub, "$JS.API.STREAM.CREATE.UP", &sourced)?;
        Ok(nats)
    }
}

/// One of them alone, without JetStream: what is published goes to who listens, and nowhere else.
pub fn lone(release: Release, folder: &Path) -> anyhow::Result<(SocketAddr, Peer)> {
    let address = free_address()?;
    Ok((address, server(release, folder, address, &format!("listen: \"{address}\"\n"))?))
}

fn server(release: Release, folder: &Path, address: SocketAddr, config: &str) -> anyhow::Result<Peer> {
    fs::create_dir_all(folder)?;
    let file = folder.join("nats.conf");
    fs::write(&file, config)?;
    let mut command = Command::new(release.program()?);
    command.arg("-c").arg(file);
    let mut peer = Peer::start("nats-server", command, folder)?;
    peer.accepts(address)?;
    Ok(peer)
}

/// Asks until it is done: JetStream begins after its server, and says so to nobody who has not asked.
fn request_until(server: SocketAddr, subject: &str, body: &Value) -> anyhow::Result<()> {
    const PATIENCE: Duration = Duration::from_secs(15);
    const ASK_EVERY: Duration = Duration::from_millis(50);
    let deadline = Instant::now() + PATIENCE;
    loop {
        match request(server, subject, body) {
            Ok(answer) if answer["error"].is_null() => return Ok(()),
            Ok(answer) if Instant::now() > deadline => bail!("{subject}: {answer}"),
            Err(error) if Instant::now() > deadline => return Err(error),
            Ok(_) | Err(_) => std::thread::sleep(ASK_EVERY),
        }
    }
}

/// One request and its answer, on a connection of its own.
fn request(server: SocketAddr, subject: &str, body: &Value) -> anyhow::Result<Value> {
    let mut socket = TcpStream::connect(server).context("connect to nats")?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let body = body.to_string();
    write!(
        socket,
        "CONNECT {{\"verbose\":false,\"headers\":true}}\r\nSUB _INBOX.r 1\r\nPUB {subject} _INBOX.r {}\r\n{body}\r\n",
        body.len()
    )?;
    let mut lines = BufReader::new(socket);
    loop {
        let mut line = String::new();
        ensure!(lines.read_line(&mut line)? > 0, "nats closed the connection");
        if line.starts_with("-ERR") {
            bail!("nats: {}", line.trim());
        }
        if line.starts_with("HMSG") {
            bail!("nobody answers {subject}");
        }
        if line.starts_with("MSG") {
            let length: usize =
                line.split_whitespace().last().and_then(|n| n.parse().ok()).context("MSG length")?;
            let mut bytes = vec![0; length];
            lines.read_exact(&mut bytes)?;
            return Ok(serde_json::from_slice(&bytes)?);
        }
    }
}

/// The same load as MQTT's, as JetStream publications to `bench.c{connection}`.
pub async fn run(load: &Load) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let mut running = JoinSet::new();
    for number in 0..load.connections {
        running.spawn(publish(load.server, number, load.window, load.until, began));
    }
    let mut outcome = Outcome::default();
    while let Some(one) = running.join_next().await {
        let one = one.context("a publisher panicked")??;
        outcome.acknowledged += one.acknowledged;
        outcome.each.extend(one.each);
        outcome.latencies.extend(one.latencies);
    }
    outcome.elapsed = began.elapsed();
    outcome.latencies.sort_unstable();
    Ok(outcome)
}

async fn publish(
    server: SocketAddr,
    number: u32,
    window: u16,
    until: Until,
    began: Instant,
) -> anyhow::Result<Outcome> {
    let mut socket = connect(server).await?;
    socket.write_all(format!("SUB _INBOX.{number}.* 1\r\n").as_bytes()).await?;
    let (mut sent, mut outcome) = (0_u64, Outcome::default());
    let mut in_flight: Vec<Option<Instant>> = vec![None; usize::from(window)];
    let mut free: Vec<usize> = (0..usize::from(window)).collect();
    let (mut input, mut output) = (BytesMut::with_capacity(64 * 1024), Vec::new());
    loop {
        let go_on = match until {
            Until::Elapsed(run) => began.elapsed() < run,
            Until::Count(count) => sent < count,
        };
        if !go_on && free.len() == usize::from(window) {
            outcome.each.push((number, outcome.acknowledged));
            return Ok(outcome);
        }
        while go_on && let Some(slot) = free.pop() {
            let payload = corpus::prepared(number, sent);
            write!(output, "PUB bench.c{number} _INBOX.{number}.{slot} {}\r\n", payload.len())?;
            output.extend_from_slice(payload);
            output.extend_from_slice(b"\r\n");
            in_flight[slot] = Some(Instant::now());
            sent += 1;
            if matches!(until, Until::Count(count) if sent >= count) {
                break;
            }
        }
        socket.write_all(&output).await?;
        output.clear();
        ensure!(socket.read_buf(&mut input).await? > 0, "nats closed");
        while let Some(slot) = next_ack(&mut input, &mut output)? {
            let at =
                in_flight.get_mut(slot).and_then(Option::take).context("an acknowledgement of nothing")?;
            if outcome.acknowledged.is_multiple_of(16) {
                outcome.latencies.push(at.elapsed());
            }
            outcome.acknowledged += 1;
            free.push(slot);
        }
    }
}

/// The slot of the next acknowledgement, if it is whole. Answers pings on the way.
pub fn next_ack(input: &mut BytesMut, output: &mut Vec<u8>) -> anyhow::Result<Option<usize>> {
    loop {
        let Some((said, length)) = next(input) else { return Ok(None) };
        let slot = match said {
            Said::Ping => {
                output.extend_from_slice(b"PONG\r\n");
                None
            }
            Said::Other => {
                let line = &input[..length];
                ensure!(!line.starts_with(b"-ERR"), "nats: {}", String::from_utf8_lossy(line));
                None
            }
            Said::Message(body) => {
                let line = &input[..input.len().min(64)];
                ensure!(!line.starts_with(b"HMSG"), "nats has no stream for this subject");
                let refused = body.windows(7).any(|w| w == b"\"error\"");
                ensure!(!refused, "nats refused: {}", String::from_utf8_lossy(body));
                let subject = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
                let slot = subject.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
                let slot = std::str::from_utf8(slot).ok().and_then(|slot| slot.parse().ok());
                Some(slot.context("an acknowledgement without a slot")?)
            }
        };
        input.advance(length);
        if slot.is_some() {
            return Ok(slot);
        }
    }
}

/// A thing that a server says.
pub enum Said<'a> {
    /// A message: its payload, without headers.
    Message(&'a [u8]),
    /// It wants a PONG.
    Ping,
    /// Nothing that matters here.
    Other,
}

/// The first whole thing of the input, and its length.
pub fn next(input: &[u8]) -> Option<(Said<'_>, usize)> {
    let end = input.iter().position(|byte| *byte == b'\r')?;
    let (line, at) = (&input[..end], end + 2);
    if at > input.len() {
        return None;
    }
    let with_headers = line.starts_with(b"HMSG ");
    if !with_headers && !line.starts_with(b"MSG ") {
        return Some((if line == b"PING" { Said::Ping } else { Said::Other }, at));
    }
    let mut words = line.rsplit(|byte| *byte == b' ');
    let mut number = || std::str::from_utf8(words.next()?).ok()?.parse::<usize>().ok();
    let total = number()?;
    let headers = if with_headers { number()? } else { 0 };
    input.get(at + total..at + total + 2)?;
    Some((Said::Message(input.get(at + headers..at + total)?), at + total + 2))
}

/// A connection on which the hub's stream is delivered from now on.
pub async fn consume(hub: SocketAddr) -> anyhow::Result<tokio::net::TcpStream> {
    let mut socket = connect(hub).await?;
    let consumer = json!({
        "stream_name": "UP",
        "config": { "deliver_subject": "delivered", "ack_policy": "none", "deliver_policy": "all" },
    })
    .to_string();
    let asked = format!(
        "SUB delivered 1\r\nPUB $JS.API.CONSUMER.CREATE.UP _INBOX.c {}\r\n{consumer}\r\n",
        consumer.len()
    );
    socket.write_all(asked.as_bytes()).await?;
    Ok(socket)
}

/// A connection on which the hub's stream is delivered from that place in it on, to a consumer of its own that keeps nothing: an
/// ordered consumer, as NATS's client libraries make one after each break.
pub async fn consume_from(
    hub: SocketAddr,
    place: u64,
    attempt: u64,
) -> anyhow::Result<(tokio::net::TcpStream, BytesMut)> {
    let mut socket = connect(hub).await?;
    let consumer = json!({
        "stream_name": "UP",
        "config": {
            "deliver_subject": format!("delivered.{attempt}"), "ack_policy": "none",
            "deliver_policy": "by_start_sequence", "opt_start_seq": place,
        },
    })
    .to_string();
    let asked = format!(
        "SUB delivered.{attempt} 1\r\nSUB _INBOX.c 2\r\nPUB $JS.API.CONSUMER.CREATE.UP _INBOX.c {}\r\n{consumer}\r\n",
        consumer.len()
    );
    socket.write_all(asked.as_bytes()).await?;
    let mut input = BytesMut::new();
    loop {
        if let Some((said, length)) = next(&input) {
            if let Said::Message(body) = said {
                let answer = String::from_utf8_lossy(body);
                ensure!(!answer.contains("\"error\""), "nats refused: {answer}");
                input.advance(length);
                return Ok((socket, input));
            }
            input.advance(length);
        } else {
            ensure!(socket.read_buf(&mut input).await? > 0, "nats closed");
        }
    }
}

/// Where in its stream the message is that this input begins with: its reply subject says so.
pub fn place(input: &[u8]) -> Option<u64> {
    let end = input.iter().position(|byte| *byte == b'\r')?;
    let line = std::str::from_utf8(input.get(..end)?).ok()?;
    let reply = line.split(' ').find_map(|word| word.strip_prefix("$JS.ACK."))?;
    let words: Vec<&str> = reply.split('.').collect();
    // Stream, consumer, deliveries, place, ...; a newer form has a domain and an account before them.
    words.get(if words.len() > 7 { 5 } else { 3 })?.parse().ok()
}

/// A connection that gets what is published there; the server has taken the subscription.
pub async fn subscribe(
    server: SocketAddr,
    subject: &str,
) -> anyhow::Result<(tokio::net::TcpStream, BytesMut)> {
    let mut socket = connect(server).await?;
    socket.write_all(format!("SUB {subject} 1\r\nPING\r\n").as_bytes()).await?;
    let mut input = BytesMut::new();
    let pong = |input: &[u8]| input.windows(6).position(|found| found == b"PONG\r\n");
    while pong(&input).is_none() {
        ensure!(socket.read_buf(&mut input).await? > 0, "nats closed");
    }
    input.advance(pong(&input).context("it was just found")? + 6);
    Ok((socket, input))
}

/// A connection.
pub async fn connect(server: SocketAddr) -> anyhow::Result<tokio::net::TcpStream> {
    let mut socket = tokio::net::TcpStream::connect(server).await?;
    socket.set_nodelay(true)?;
    socket.write_all(b"CONNECT {\"verbose\":false,\"headers\":true}\r\n").await?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_of_a_stream_says_its_place() {
        let old = b"HMSG bench.c0 1 $JS.ACK.UP.x8f.1.4711.12.1700000000.0 60 210\r\nNATS";
        let new = b"MSG bench.c0 1 $JS.ACK.hub.acc.UP.x8f.1.4712.12.1700000000.0 150\r\n";
        assert_eq!((place(old), place(new)), (Some(4711), Some(4712)));
        assert_eq!(place(b"MSG bench.c0 1 150\r\n"), None);
    }

    #[test]
    fn acknowledgements_are_read_however_they_are_cut() {
        let bytes = b"INFO {}\r\nPING\r\nMSG _INBOX.3.17 1 22\r\n{\"stream\":\"S\",\"seq\":1}\r\n";
        let (mut input, mut output) = (BytesMut::new(), Vec::new());
        for byte in &bytes[..bytes.len() - 1] {
            input.extend_from_slice(&[*byte]);
            assert_eq!(next_ack(&mut input, &mut output).unwrap(), None);
        }
        input.extend_from_slice(b"\n");
        assert_eq!(next_ack(&mut input, &mut output).unwrap(), Some(17));
        assert_eq!(output, b"PONG\r\n");
        assert!(input.is_empty());
    }
}
