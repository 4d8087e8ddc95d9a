//! The hub's log read again: from its disk to one subscriber, beside reading the same files and doing nothing with
//! them; one quiet channel out of it all; and how long a hub with that log takes to start.

use super::quiet;
use crate::{
    attack::{self, Attack},
    command::Bench,
    corpus, memory,
    report::Report,
    riser::{ACCOUNT, Hub, ROOM, SESSION_ROOM},
    series::Claim,
    websocket,
};
use anyhow::Context;
use bytes::Bytes;
use riser_host::setup;
use riser_log::Config;
use riser_model::{AccountId, Batch, ChannelName, ClientId, RoomId, Route, RouteNumber, Stamp};
use riser_shell::{Clock, entropy};
use riser_wire::entry::{ContentType, Publication};
use std::{
    fs::{self, File},
    io::Read,
    path::Path,
    time::Instant,
};

pub(super) const NAME: &str = "replay";
const ALL: &str = "a log's entries to one subscriber";
const QUIET: &str = "one quiet channel of the same log";
const QUIET_BYTES: &str = "bytes that the hub reads for a quiet channel";
const STARTS: &str = "from start to accepting, with that log";

const BESIDE: &str = "p99 of a quiet live client while 200 subscribers read the log from its start";
const JOIN: &str = "from joining a room to the last of the 10,000 messages of its session";
/// Messages of that session.
const SAID: u64 = 10_000;

/// Entries of a commit.
const BATCH: u64 = 1024;
/// Channels that the entries are spread over.
const CHANNELS: u32 = 100;
/// Of so many commits one brings a publication in the quiet channel.
const QUIET_EVERY: u64 = 256;

pub(super) async fn round(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let folder = bench.folder()?;
    let account = entropy::uuid();
    let log = folder.path().join("riser-hub").join("log");
    let made = tokio::task::spawn_blocking({
        let (log, entries) = (log.clone(), bench.log);
        move || fill(&log, AccountId(account), entries)
    });
    let (entries, quiet) = made.await??;

    let began = Instant::now();
    let hub = Hub::start(folder.path(), account)?;
    report.add(NAME, STARTS, "riser", "ms", began.elapsed().as_secs_f64() * 1e3);

    let began = Instant::now();
    read_raw(&log)?;
    report.add(NAME, ALL, "raw read", "entries/s", entries as f64 / began.elapsed().as_secs_f64());
    let took = replay(&hub, "#", entries).await?;
    report.add(NAME, ALL, "riser", "entries/s", entries as f64 / took);

    let before = hub.bytes_read()?;
    let took = replay(&hub, "quiet", quiet).await?;
    report.add(NAME, QUIET, "riser", "ms", took * 1e3);
    report.add(NAME, QUIET_BYTES, "riser", "MB", (hub.bytes_read()? - before) as f64 / 1e6);
    let whole = fs::read_dir(&log)?.map(|file| Ok(file?.metadata()?.len())).sum::<anyhow::Result<u64>>()?;
    report.add(NAME, QUIET_BYTES, "the whole log", "MB", whole as f64 / 1e6);

    join(&hub, report).await?;
    // Alone as long as beside, half of it before and half of it after: a machine has slow moments of its own.
    let (half, run) = (bench.seconds(4.0), bench.seconds(8.0));
    memory::at_rest(hub.process.process()).await?;
    let mut alone = quiet::latencies(hub.mqtt, half).await?;
    let mut readers = attack::start(Attack::Replay, &hub, folder.path()).await?;
    let beside = quiet::latencies(hub.mqtt, run).await?;
    readers.kill();
    memory::at_rest(hub.process.process()).await?;
    alone.extend(quiet::latencies(hub.mqtt, half).await?);
    alone.sort_unstable();
    report.add(NAME, BESIDE, "alone", "ms", quiet::p99(&alone));
    report.add(NAME, BESIDE, "beside 200", "ms", quiet::p99(&beside));
    Ok(())
}

/// Somebody joins a room in which another one has said much and is still there.
async fn join(hub: &Hub, report: &mut Report) -> anyhow::Result<()> {
    const AT_ONCE: u64 = 100;
    let path = format!("/{ACCOUNT}/{SESSION_ROOM}");
    let (mut owner, mut input) =
        websocket::open(hub.http, &path, r#"{"op":"hello","id":1,"events":false}"#).await?;
    websocket::request(&mut owner, &mut input, r#"{"op":"session","id":2}"#).await?;
    for n in 0..SAID / AT_ONCE {
        let message = |m: u64| {
            let payload = corpus::prepared(0, n * AT_ONCE + m);
            format!(r#"{{"channel":"c/0","data":{}}}"#, String::from_utf8_lossy(payload))
        };
        let messages: Vec<String> = (0..AT_ONCE).map(message).collect();
        let text = format!(r#"{{"op":"publish","id":{n},"messages":[{}]}}"#, messages.join(","));
        websocket::request(&mut owner, &mut input, &text).await.context("publish in a session")?;
    }
    let began = Instant::now();
    let subscription = r##"{"sub":1,"channels":"#","from":"start"}"##;
    let hello = format!(r#"{{"op":"hello","id":1,"events":false,"subscriptions":[{subscription}]}}"#);
    let (mut joiner, input) = websocket::open(hub.http, &path, &hello).await?;
    websocket::read_messages(&mut joiner, input, SAID).await?;
    report.add(NAME, JOIN, "riser", "ms", began.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

pub(super) fn claims(report: &Report) -> Vec<Claim> {
    let ours = report.median(NAME, ALL, "riser");
    let raw = ours / report.median(NAME, ALL, "raw read");
    let either = (ours / 1e6).max(raw / 0.5);
    let beside = report.median(NAME, BESIDE, "beside 200") / report.median(NAME, BESIDE, "alone");
    let bytes = report.median(NAME, QUIET_BYTES, "riser") / report.median(NAME, QUIET_BYTES, "the whole log");
    vec![
        Claim::at_least("replay: a million entries/s, or half of reading the same files", either, 1.0),
        Claim::at_most("replay: bytes read for a quiet channel, of the log", bytes, 0.25),
        Claim::at_most(format!("replay: {BESIDE}, of its own"), beside, 2.0),
        Claim::at_most(format!("replay: ms {STARTS}"), report.median(NAME, STARTS, "riser"), 3000.0),
        Claim::at_most(format!("replay: ms {JOIN}"), report.median(NAME, JOIN, "riser"), 100.0),
    ]
}

/// A hub's log of about so many entries, in whole commits. How many it has, and how many in the quiet channel.
pub(super) fn fill(folder: &Path, account: AccountId, entries: u64) -> anyhow::Result<(u64, u64)> {
    let commits = entries / BATCH;
    fs::create_dir_all(folder)?;
    let (mut writer, _) = setup::open_log(folder, Config::hub(), Clock.now())?;
    let route = |channel: String| {
        let channel: ChannelName = channel.parse().context("name a channel")?;
        anyhow::Ok(Route { room: RoomId::of(account, ROOM), channel, client: ClientId(entropy::uuid()) })
    };
    let mut routes = Vec::new();
    for n in 0..CHANNELS {
        routes.push((RouteNumber(n), route(format!("c/{n}"))?));
    }
    routes.push((RouteNumber(CHANNELS), route("quiet".into())?));
    let (usual, with_quiet) = (batch(false), batch(true));
    let mut quiet = 0;
    for n in 0..commits {
        let rare = n % QUIET_EVERY == 0;
        quiet += u64::from(rare);
        let entries = if rare { with_quiet.clone() } else { usual.clone() };
        let (first, routes) = (writer.next(), std::mem::take(&mut routes));
        let batch = Batch { first, entries, count: BATCH as u32, routes, ..Batch::default() };
        writer.stage(batch).context("stage a batch")?;
        writer.commit(Clock.now()).context("commit")?;
        while writer.prepare_due() && writer.prepare(Clock.now()).context("prepare a segment")? {}
    }
    Ok((commits * BATCH, quiet))
}

/// The entries of one commit.
fn batch(quiet: bool) -> Bytes {
    let mut frames = Vec::new();
    for n in 0..BATCH {
        let route = if quiet && n == 0 { CHANNELS } else { n as u32 % CHANNELS };
        let now = Clock.now();
        let stamp = Stamp { boot_us: now.time.0 / 1000, wall: now.wall, uncertainty_ms: 0 };
        let publication = Publication::new(ContentType::Json, corpus::prepared(0, n));
        publication.write_frame(&mut frames, RouteNumber(route), stamp);
    }
    frames.into()
}

/// Seconds until a dashboard that subscribed from the start has that many.
async fn replay(hub: &Hub, channels: &str, count: u64) -> anyhow::Result<f64> {
    let subscription = format!(r#"{{"sub":1,"channels":"{channels}","from":"start"}}"#);
    let hello = format!(r#"{{"op":"hello","id":1,"events":false,"subscriptions":[{subscription}]}}"#);
    let began = Instant::now();
    let (mut socket, input) = websocket::open(hub.http, &format!("/{ACCOUNT}/{ROOM}"), &hello).await?;
    websocket::read_messages(&mut socket, input, count).await.context("read the past")?;
    Ok(began.elapsed().as_secs_f64())
}

fn read_raw(folder: &Path) -> anyhow::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    for file in fs::read_dir(folder)? {
        let file = file?;
        if !file.file_name().to_string_lossy().starts_with("segment-") {
            continue;
        }
        let mut file = File::open(file.path())?;
        while file.read(&mut buffer)? > 0 {}
    }
    Ok(())
}
