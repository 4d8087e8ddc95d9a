//! The log of riser-log on the real disk, beside a loop that appends blocks of the same size with an fdatasync
//! after each; and what reaches the device for each payload byte.

use crate::{
    command::Bench,
    corpus::{self, PAYLOAD_BYTES},
    device::Device,
    raw::Append,
    report::Report,
    series::Claim,
};
use anyhow::Context;
use bytes::Bytes;
use riser_log::{Config, Entropy, Writer};
use riser_model::{Batch, ClientId, RoomId, Route, RouteNumber, Stamp};
use riser_shell::{Clock, RealDisk, entropy};
use riser_wire::entry::{ContentType, Publication};
use std::{
    path::Path,
    time::{Duration, Instant},
};

pub(super) const NAME: &str = "log";
/// Entries of a commit.
const BATCHES: [u64; 5] = [1, 8, 64, 128, 1024];
/// Both loops run by turns, so often.
const TURNS: u32 = 4;
/// A small spool is soon in the state in which a spool is for years: each segment a recycled one.
const QUOTA_BYTES: u64 = 64 << 20;

pub(super) fn round(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let folder = bench.folder()?;
    let device = Device::under(folder.path())?;
    let mut log = Log::open(&folder.path().join("log"))?;
    log.recycle()?;
    for count in BATCHES {
        let entries = entries(count);
        let block = log.commit(&entries, count)?;
        let mut raw = Append::create(folder.path(), block as usize)?;
        let turn = bench.seconds(0.4);
        let (mut ours, mut theirs) = (0.0, 0.0);
        for _ in 0..TURNS {
            ours += rate(turn, || log.commit(&entries, count).map(drop))? / f64::from(TURNS);
            theirs += rate(turn, || raw.once())? / f64::from(TURNS);
        }
        report.add(NAME, commits(count), "riser", "commits/s", ours);
        report.add(NAME, commits(count), "raw append", "commits/s", theirs);
        let per_byte =
            amplification(&device, bench.seconds(0.8), count, || log.commit(&entries, count).map(drop))?;
        report.add(NAME, written(count), "riser", "bytes", per_byte);
        let per_byte = amplification(&device, bench.seconds(0.4), count, || raw.once())?;
        report.add(NAME, written(count), "raw append", "bytes", per_byte);
    }
    Ok(())
}

pub(super) fn claims(report: &Report) -> Vec<Claim> {
    let mut claims = Vec::new();
    for count in BATCHES {
        let what = commits(count);
        let ratio = report.median(NAME, &what, "riser") / report.median(NAME, &what, "raw append");
        let goal = if count > 128 { 0.6 } else { 0.8 };
        claims.push(Claim::at_least(format!("log: {what}, of the raw append loop's"), ratio, goal));
    }
    for count in BATCHES.into_iter().filter(|count| *count >= 64) {
        let what = written(count);
        claims.push(Claim::at_most(format!("log: {what}"), report.median(NAME, &what, "riser"), 1.5));
    }
    claims
}

fn commits(count: u64) -> String {
    format!("commits of {count}")
}

fn written(count: u64) -> String {
    format!("device bytes per payload byte in commits of {count}")
}

fn rate(run: Duration, mut once: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let (began, mut times) = (Instant::now(), 0);
    while began.elapsed() < run {
        once()?;
        times += 1;
    }
    Ok(f64::from(times) / began.elapsed().as_secs_f64())
}

fn amplification(
    device: &Device,
    run: Duration,
    count: u64,
    mut once: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let (before, mut times) = (device.bytes_written()?, 0_u64);
    let began = Instant::now();
    while began.elapsed() < run {
        once()?;
        times += 1;
    }
    let written = device.bytes_written()? - before;
    Ok(written as f64 / (times * count * PAYLOAD_BYTES as u64) as f64)
}

/// Entries as an edge makes them, encoded beforehand.
fn entries(count: u64) -> Bytes {
    let mut frames = Vec::new();
    for n in 0..count {
        let publication =
            Publication { qos: 1, ..Publication::new(ContentType::Octets, corpus::prepared(0, n)) };
        let now = Clock.now();
        let stamp = Stamp { boot_us: now.time.0 / 1000, wall: now.wall, uncertainty_ms: 0 };
        publication.write_frame(&mut frames, RouteNumber(0), stamp);
    }
    frames.into()
}

struct Log {
    writer: Writer<RealDisk>,
    defined: bool,
}

impl Log {
    fn open(folder: &Path) -> anyhow::Result<Self> {
        let disk = RealDisk::open(folder)?;
        let config = Config { quota_bytes: QUOTA_BYTES, ..Config::edge() };
        let (writer, _) = Writer::open(disk, config, Entropy(entropy::number()), Clock.now())?;
        Ok(Self { writer, defined: false })
    }

    /// Until every segment has been used once.
    fn recycle(&mut self) -> anyhow::Result<()> {
        let (entries, mut written) = (entries(1024), 0);
        while written < 2 * QUOTA_BYTES {
            written += self.commit(&entries, 1024)?;
        }
        Ok(())
    }

    /// One commit, and what must not wait after it. Says how many bytes were written.
    fn commit(&mut self, entries: &Bytes, count: u64) -> anyhow::Result<u64> {
        let routes = if self.defined { vec![] } else { vec![(RouteNumber(0), route()?)] };
        self.defined = true;
        let batch = Batch {
            first: self.writer.next(),
            entries: entries.clone(),
            count: count as u32,
            routes,
            ..Batch::default()
        };
        self.writer.stage(batch).context("stage a batch")?;
        let committed = self.writer.commit(Clock.now()).context("commit")?;
        while self.writer.prepare_due() && self.writer.prepare(Clock.now()).context("prepare a segment")? {}
        Ok(committed.bytes_written)
    }
}

fn route() -> anyhow::Result<Route> {
    Ok(Route { room: RoomId(entropy::uuid()), channel: "c/0".parse()?, client: ClientId(entropy::uuid()) })
}
