//! What a commit does to the disk, call by call, over a long run (rules 6.3 and 6.5).

use crate::{
    layout::blocks,
    recording::{Call, RecordingDisk},
    support::{frame, now, read_all, route, through, uplink},
};
use riser_log::{Config, Entropy, Holds, OnFull, Writer, fault::Fate};
use riser_model::{Batch, RouteNumber};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

const SEGMENT: u64 = 16 << 10;
const SECTOR: u64 = 512;

fn config(on_full: OnFull) -> Config {
    Config { segment_bytes: SEGMENT, quota_bytes: 6 * SEGMENT, on_full, ..Config::tiny() }
}

/// A log that a storage thread runs which is never idle, and what of its files holds acknowledged bytes.
struct Run {
    disk: RecordingDisk,
    config: Config,
    rng: fastrand::Rng,
    writer: Writer<RecordingDisk>,
    /// By file: bytes, and the last seq in them.
    held: BTreeMap<u64, Vec<(Range<u64>, u64)>>,
    /// Files whose names would be lost with the power.
    unnamed: BTreeSet<u64>,
    clock: u64,
}

impl Run {
    fn new(seed: u64, config: Config) -> Self {
        let disk = RecordingDisk::new(seed);
        let (writer, _) = Writer::open(disk.clone(), config.clone(), Entropy(seed), now(0)).unwrap();
        disk.calls();
        let rng = fastrand::Rng::with_seed(seed);
        let mut run =
            Self { disk, config, rng, writer, held: BTreeMap::new(), unnamed: BTreeSet::new(), clock: 0 };
        run.hold_what_lies_there();
        run
    }

    /// One commit of a few entries with what was confirmed. Its calls, if it worked at first.
    fn commit(&mut self) -> Option<Vec<Call>> {
        let (mut entries, count) = (Vec::new(), self.rng.u32(1..4));
        for _ in 0..count {
            let payload = vec![7; self.rng.usize(0..900)];
            frame(&mut entries, 1, &payload);
        }
        let first = self.writer.next();
        let confirmed = first.0.saturating_sub(self.rng.u64(1..20));
        let batch = Batch {
            first,
            entries: entries.into(),
            count,
            routes: vec![(RouteNumber(1), route(1))],
            cursors: vec![(uplink(1), Some(through(confirmed)))],
            ..Batch::default()
        };
        let staged = self.writer.stage(batch);
        // What made room for it was not the commit.
        let before = self.disk.calls();
        self.check(&before);
        staged.ok()?;
        self.clock += 1;
        let committed = self.writer.commit(now(self.clock));
        let calls = self.disk.calls();
        self.check(&calls);
        let committed = committed.ok()?;
        let (file, bytes) = calls.iter().rev().find_map(written).unwrap();
        assert!(!self.unnamed.contains(&file), "acknowledged where the power takes the name");
        self.held.entry(file).or_default().push((bytes, committed.last.0));
        committed.gave_up.is_none().then_some(calls)
    }

    /// What a storage thread without an idle moment does.
    fn look_after(&mut self) {
        while self.writer.prepare_due() && self.writer.prepare(now(self.clock)).unwrap_or(false) {}
        if self.writer.status().failing {
            let _ = self.writer.retry(now(self.clock));
        }
        let calls = self.disk.calls();
        self.check(&calls);
    }

    /// The process dies; the next one opens the log.
    fn reopen(&mut self) {
        self.disk.disk.calm();
        self.disk.disk.kill();
        self.disk.disk.restart();
        let entropy = Entropy(self.rng.u64(..));
        (self.writer, _) =
            Writer::open(self.disk.clone(), self.config.clone(), entropy, now(self.clock)).unwrap();
        let calls = self.disk.calls();
        self.check(&calls);
        self.hold_what_lies_there();
    }

    /// Nothing that was acknowledged is written over, unless it was trimmed.
    fn check(&mut self, calls: &[Call]) {
        for call in calls {
            match call {
                Call::Renamed { file, .. } => drop(self.unnamed.insert(*file)),
                Call::Other("sync_dir") => self.unnamed.clear(),
                Call::Write { .. } | Call::Sync { .. } | Call::Removed { .. } | Call::Other(_) => {}
            }
            match call {
                Call::Write { file, from, to } => {
                    let held = self.held.get(file).into_iter().flatten();
                    let sectors = from - from % SECTOR..to.next_multiple_of(SECTOR);
                    let over = held.clone().find(|(h, _)| h.start < sectors.end && sectors.start < h.end);
                    assert_eq!(over, None, "{sectors:?} of file {file} is written");
                }
                Call::Renamed { file, .. } | Call::Removed { file } => {
                    let oldest = self.writer.reader().oldest().0;
                    let held = self.held.remove(file).unwrap_or_default();
                    assert!(
                        held.iter().all(|(_, last)| *last < oldest),
                        "from {oldest} on it is kept: {held:?}"
                    );
                }
                Call::Sync { .. } | Call::Other(_) => {}
            }
        }
    }

    fn hold_what_lies_there(&mut self) {
        let oldest = self.writer.reader().oldest().0;
        self.held.clear();
        for block in blocks(&self.disk.disk.snapshot()).iter().filter(|block| block.last() >= oldest) {
            let bytes = block.at as u64..(block.at + block.padded()) as u64;
            self.held.entry(self.disk.file(&block.file)).or_default().push((bytes, block.last()));
        }
    }
}

fn written(call: &Call) -> Option<(u64, Range<u64>)> {
    match call {
        Call::Write { file, from, to } => Some((*file, *from..*to)),
        Call::Sync { .. } | Call::Renamed { .. } | Call::Removed { .. } | Call::Other(_) => None,
    }
}

#[test]
fn every_commit_is_one_write_of_whole_sectors_and_one_sync_of_that_file() {
    for on_full in [OnFull::Reject, OnFull::DropOldest] {
        let mut run = Run::new(1, config(on_full));
        let mut files = BTreeSet::new();
        for n in 0..600 {
            let calls = run.commit().unwrap();
            let [Call::Write { file, from, to }, Call::Sync { file: synced }] = &*calls else {
                panic!("commit {n}: {calls:?}")
            };
            assert_eq!(file, synced);
            assert_eq!((from % SECTOR, to % SECTOR), (0, 0));
            files.insert((*file, *from == 0));
            run.look_after();
        }
        let rolls = files.iter().filter(|(_, begins)| *begins).count();
        assert!(rolls > 4, "it goes on in the next segment, and comes round");
    }
}

#[test]
fn no_sector_that_holds_acknowledged_bytes_is_written_again_before_it_is_trimmed() {
    for on_full in [OnFull::Reject, OnFull::DropOldest] {
        for seed in 0..6 {
            let mut run = Run::new(seed, config(on_full));
            let mut done = 0;
            for n in 0..300 {
                let counts = run.disk.disk.counts();
                match run.rng.u8(0..40) {
                    0 => run.disk.disk.fail_sync(counts.syncs + run.rng.u64(1..4)),
                    1 => run.disk.disk.fail_write(counts.writes + run.rng.u64(1..4)),
                    2 => run.disk.disk.kill_at(counts.calls + run.rng.u64(1..12)),
                    3 => run.reopen(),
                    _ => {}
                }
                done += u32::from(run.commit().is_some());
                run.look_after();
                if !run.disk.disk.is_up() {
                    run.reopen();
                }
                assert!(n < 50 || done > 0);
            }
            assert!(done > 200, "{done} commits");
        }
    }
}

/// What is renamed and not yet durable under that name is nowhere after a power cut.
#[test]
fn nothing_is_acknowledged_in_a_segment_whose_rename_is_not_synced() {
    for on_full in [OnFull::Reject, OnFull::DropOldest] {
        let mut renames = 0;
        for commits in 1..90 {
            let mut run = Run::new(8, config(on_full));
            for _ in 0..commits {
                run.commit().unwrap();
                // One idle step only: it may have renamed and not yet synced.
                let _ = run.writer.prepare(now(run.clock));
                let calls = run.disk.calls();
                renames += calls.iter().filter(|call| matches!(call, Call::Renamed { .. })).count();
                run.check(&calls);
            }
            let (next, disk) = (run.writer.next(), run.disk.disk.clone());
            drop(run);
            disk.set_fate(Fate::Lost);
            disk.crash();
            disk.restart();
            let (writer, _) = Writer::<_, ()>::open(disk, config(on_full), Entropy(9), now(9)).unwrap();
            assert_eq!(writer.next(), next, "after {commits} commits");
        }
        assert!(renames > 100, "{renames}");
    }
}

#[test]
fn next_segment_is_ready_before_the_current_one_is_half_full() {
    for on_full in [OnFull::Reject, OnFull::DropOldest] {
        let mut run = Run::new(3, config(on_full));
        for n in 0..300 {
            let calls = run.commit().unwrap();
            let (_, bytes) = calls.iter().rev().find_map(written).unwrap();
            let ready = run.writer.status().next_ready;
            assert!(ready || bytes.end < SEGMENT / 2, "commit {n} ends at {} of {SEGMENT}", bytes.end);
            run.look_after();
        }
    }
}

/// What a commit waits for must not be all of the next segment.
#[test]
fn next_segment_is_zeroed_in_step_with_the_filling_of_the_current_one() {
    const LARGE: u64 = 8 << 20;
    const PAYLOAD: usize = 32 << 10;
    let config = Config { segment_bytes: LARGE, quota_bytes: 8 * LARGE, ..Config::tiny() };
    let disk = RecordingDisk::new(6);
    let (mut writer, _) = Writer::<_, ()>::open(disk.clone(), config, Entropy(6), now(0)).unwrap();
    let (mut most, mut written_in_all, mut n) = (0, 0, 0);
    while written_in_all < 3 * LARGE {
        n += 1;
        let mut entries = Vec::new();
        frame(&mut entries, 1, &vec![n as u8; PAYLOAD]);
        let routes = vec![(RouteNumber(1), route(1))];
        let batch =
            Batch { first: writer.next(), entries: entries.into(), count: 1, routes, ..Batch::default() };
        writer.stage(batch).unwrap();
        writer.commit(now(n)).unwrap();
        written_in_all += PAYLOAD as u64;
        disk.calls();
        while writer.prepare_due() && writer.prepare(now(n)).unwrap() {}
        let zeroed = disk.calls().iter().filter_map(written).map(|(_, bytes)| bytes.end - bytes.start).sum();
        most = u64::max(most, zeroed);
    }
    assert!(most > 0 && most <= 1 << 20, "{most} bytes between two commits");
}

#[test]
fn a_full_log_is_not_asked_for_ever_to_prepare() {
    let mut run = Run::new(4, config(OnFull::Reject));
    // Nothing is ever given up, and there is no room for another segment.
    run.writer.set_holds(Holds { custodians: 2, views: None, ..Holds::default() });
    run.disk.disk.set_capacity(Some(run.disk.disk.used()));
    while run.commit().is_some() {
        run.look_after();
    }
    let status = run.writer.status();
    assert!(!status.next_ready && !status.failing);
    let mut asked = 0;
    while run.writer.prepare_due() && asked < 10 {
        let _ = run.writer.prepare(now(1));
        asked += 1;
    }
    assert!(asked < 2, "once it is said that there is nothing to do, it is not due");
}

/// A page that two blocks share is written twice. Small blocks share it all the same: room counts more there.
#[test]
fn large_blocks_come_to_end_where_pages_do_and_small_ones_waste_nothing() {
    const PAGE: u64 = 4096;
    for (payload, large) in [(11_900, true), (100, false)] {
        let disk = RecordingDisk::new(5);
        let config = Config { segment_bytes: 1 << 20, quota_bytes: 8 << 20, ..Config::tiny() };
        let (mut writer, _) =
            Writer::<_, ()>::open(disk.clone(), config.clone(), Entropy(5), now(0)).unwrap();
        let (mut shared, mut payloads) = (0, 0);
        for n in 0..60 {
            let mut entries = Vec::new();
            frame(&mut entries, 1, &vec![n as u8; payload]);
            let routes = vec![(RouteNumber(1), route(1))];
            let batch =
                Batch { first: writer.next(), entries: entries.into(), count: 1, routes, ..Batch::default() };
            writer.stage(batch).unwrap();
            disk.calls();
            writer.commit(now(n)).unwrap();
            let starts = disk.calls().iter().find_map(written).unwrap().1.start;
            shared += u64::from(starts % PAGE != 0);
            payloads += payload as u64;
        }
        let lie = blocks(&disk.disk.snapshot());
        let empty: usize = lie.iter().map(|block| block.empty_sectors * SECTOR as usize).sum();
        if large {
            assert!(shared < 12, "{shared} of 60 begin inside of a page");
            assert!(empty as u64 <= payloads / 16, "{empty} bytes of {payloads} are empty");
        } else {
            assert_eq!(empty, 0);
        }
        drop(writer);
        let (writer, recovered) =
            Writer::<_, ()>::open(disk.disk.clone(), config, Entropy(6), now(99)).unwrap();
        assert!(recovered.findings.is_empty(), "{:?}", recovered.findings);
        let (entries, gaps) = read_all(&mut writer.reader(), 1, 1 << 20);
        assert_eq!((entries.len(), gaps.len()), (60, 0));
    }
}
