//! What a gate costs who is let in, and what it tells who is not: handshakes with tokens beside one that asks for nothing, and
//! how long each refusal takes, seen from outside.

use crate::{
    child::{BARE_WEBSOCKET, own},
    command::Bench,
    issuer::{ALGORITHMS, Issuer},
    memory, mqtt,
    peer::{Peer, free_address},
    rank::{self, Z_MAX},
    report::Report,
    riser::{ACCOUNT, GUARDED, Hub, ROOM},
    series::Claim,
    websocket,
};
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

pub(super) const NAME: &str = "gate";
const HANDSHAKE: &str = "a handshake, from connecting to the answer to hello, p50";
const BARE: &str = "bare WebSocket";
/// A right password is looked for at each of these doors.
const DOORS: [&str; 4] = ["WebSocket", "MQTT", "HTTP login", "WebSocket, with a token"];
/// Handshakes of each kind in a round.
const HANDSHAKES: u64 = 1000;
/// Refusals of each kind in a round: those that verify a password, and those that do not.
const REFUSALS: u64 = 60;
const REFUSALS_BY_TOKEN: u64 = 500;

pub(super) async fn round(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let (folder, issuer) = (bench.folder()?, Issuer::new()?);
    let hub = Hub::with_gate(folder.path(), &issuer.declared())?;
    let address = free_address()?;
    let mut command = own(BARE_WEBSOCKET)?;
    command.arg(address.to_string());
    let mut bare = Peer::start(BARE_WEBSOCKET, command, folder.path())?;
    bare.accepts(address)?;
    memory::at_rest(hub.process.process()).await?;
    handshakes(bench, report, &hub, (&issuer, address)).await?;
    refusals(bench, report, &hub, &issuer).await
}

/// Each kind by turns: none has the machine's better moments to itself.
async fn handshakes(
    bench: &Bench,
    report: &mut Report,
    hub: &Hub,
    (issuer, bare): (&Issuer, SocketAddr),
) -> anyhow::Result<()> {
    let room = format!("/{ACCOUNT}/{ROOM}");
    let hello =
        |credential: Value| json!({ "op": "hello", "id": 1, "credential": credential, "events": false });
    let mut kinds = vec![(BARE, bare, json!({ "op": "hello", "id": 1 }).to_string())];
    for algorithm in ALGORITHMS {
        let token = issuer.token(algorithm, GUARDED)?;
        kinds.push((algorithm, hub.http, hello(json!({ "token": token })).to_string()));
    }
    let mut took = vec![Vec::new(); kinds.len()];
    for _ in 0..bench.count(HANDSHAKES) {
        for ((kind, server, hello), took) in kinds.iter().zip(&mut took) {
            let began = Instant::now();
            let (_socket, _) = websocket::open(*server, &room, hello).await.context(*kind)?;
            took.push(began.elapsed());
        }
    }
    for ((kind, ..), mut took) in kinds.into_iter().zip(took) {
        took.sort_unstable();
        report.add(NAME, HANDSHAKE, kind, "ms", milliseconds(super::share(&took, 0.5)));
    }
    Ok(())
}

/// What is wrong, said as each door wants it.
struct Wrong {
    what: &'static str,
    user: String,
    room: &'static str,
}

async fn refusals(bench: &Bench, report: &mut Report, hub: &Hub, issuer: &Issuer) -> anyhow::Result<()> {
    let wrong = |what, user: &str, room| Wrong { what, user: user.to_owned(), room };
    let guarded = format!("{ACCOUNT}/{GUARDED}");
    let wrongs = [
        wrong("a wrong password", &guarded, ROOM),
        wrong("an unknown user", &format!("{ACCOUNT}/nobody"), ROOM),
        wrong("an unknown account", &format!("nowhere/{GUARDED}"), ROOM),
        wrong("an unknown room", &guarded, "nowhere"),
    ];
    // Rights of its own it has none in the one room, and the other one there is not.
    let token = issuer.token("EdDSA", GUARDED)?;
    let mut strangers = strangers();
    for door in DOORS {
        let by_token = door == DOORS[3];
        let kinds: Vec<(&str, String, &str)> = if by_token {
            vec![("a closed room", token.clone(), "closed"), ("an unknown room", token.clone(), "nowhere")]
        } else {
            // MQTT and the login name no room.
            let named = if door == DOORS[0] { 4 } else { 3 };
            wrongs.iter().take(named).map(|wrong| (wrong.what, wrong.user.clone(), wrong.room)).collect()
        };
        let count = bench.count(if by_token { REFUSALS_BY_TOKEN } else { REFUSALS });
        let mut took = vec![Vec::new(); kinds.len()];
        for n in 0..count {
            // Who comes first is another one each time: what follows something else may find the processor warm.
            for turn in 0..kinds.len() {
                let at = (turn + n as usize) % kinds.len();
                let (what, shown, room) = &kinds[at];
                let began = Instant::now();
                let from = strangers.next().context("there are no more addresses")?;
                refused(door, hub, from, shown, room).await.with_context(|| format!("{door}: {what}"))?;
                took[at].push(began.elapsed());
            }
        }
        let figure = refusal(door);
        let mut medians = Vec::new();
        for ((what, ..), took) in kinds.iter().zip(&took) {
            let mut sorted = took.clone();
            sorted.sort_unstable();
            let median = milliseconds(super::share(&sorted, 0.5));
            report.add(NAME, &figure, what, "ms", median);
            medians.push(median);
        }
        let fold = |start: f64, pick: fn(f64, f64) -> f64| medians.iter().copied().fold(start, pick);
        let apart = fold(0.0, f64::max) / fold(f64::INFINITY, f64::min);
        report.add(NAME, &figure, APART, "", apart);
        let pairs = took
            .iter()
            .enumerate()
            .flat_map(|(at, one)| took.iter().skip(at + 1).map(move |other| (one, other)));
        report.add(
            NAME,
            &figure,
            FARTHEST,
            "",
            pairs.map(|(one, other)| rank::z(one, other)).fold(0.0, f64::max),
        );
    }
    Ok(())
}

const APART: &str = "longest of shortest";
const FARTHEST: &str = "z of Mann-Whitney";

fn refusal(door: &str) -> String {
    format!("a refusal by {door}, p50")
}

/// Addresses to come from, each once: from where somebody was wrong, the next one waits.
fn strangers() -> impl Iterator<Item = Ipv4Addr> {
    (0..=u8::MAX).flat_map(|net| (1..u8::MAX).map(move |host| Ipv4Addr::new(127, 1, net, host)))
}

async fn connect(from: Ipv4Addr, server: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    let socket = socket.connect(server).await?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// One refusal, from connecting to the answer.
async fn refused(door: &str, hub: &Hub, from: Ipv4Addr, shown: &str, room: &str) -> anyhow::Result<()> {
    const PASSWORD: &str = "what somebody guesses";
    match door {
        "MQTT" => {
            let mut socket = connect(from, hub.mqtt).await?;
            socket.write_all(&mqtt::connect_packet("guess", Some((shown, PASSWORD)))).await?;
            let mut answer = [0; 4];
            socket.read_exact(&mut answer).await?;
            ensure!(answer[0] == 0x20 && answer[3] != 0, "let in: {answer:?}");
        }
        "HTTP login" => {
            let mut socket = connect(from, hub.http).await?;
            let (body, host) = (json!({ "user": shown, "password": PASSWORD }).to_string(), hub.http);
            let request = format!(
                "POST /api/login HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            socket.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            socket.read_to_end(&mut answer).await?;
            ensure!(answer.starts_with(b"HTTP/1.1 401"), "{}", String::from_utf8_lossy(&answer));
        }
        _ => {
            let by_token = door == DOORS[3];
            let credential = if by_token {
                json!({ "token": shown })
            } else {
                json!({ "user": shown, "password": PASSWORD })
            };
            let hello = json!({ "op": "hello", "id": 1, "credential": credential, "events": false });
            let path = format!("/{ACCOUNT}/{room}");
            let answer =
                websocket::answer(connect(from, hub.http).await?, &path, &hello.to_string()).await?.2;
            ensure!(answer.contains(r#""error":"#), "let in: {answer}");
        }
    }
    Ok(())
}

pub(super) fn claims(report: &Report) -> Vec<Claim> {
    let handshake = |of| report.median(NAME, HANDSHAKE, of);
    let token = ALGORITHMS.map(|algorithm| {
        let what = format!("gate: a handshake with a token ({algorithm}), of a bare WebSocket's");
        Claim::at_most(what, handshake(algorithm) / handshake(BARE), 3.0)
    });
    let same = DOORS.into_iter().flat_map(|door| {
        let of = |who| report.median(NAME, &refusal(door), who);
        [
            Claim::at_most(
                format!("gate: the longest median of a refusal by {door}, of the shortest"),
                of(APART),
                1.05,
            ),
            Claim::at_most(format!("gate: how far refusals by {door} are apart, z"), of(FARTHEST), Z_MAX),
        ]
    });
    token.into_iter().chain(same).collect()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
