//! What makes room, what is refused without, and what is said of it (rules 6.2, 6.8 and 6.9).

use crate::support::{Digest, frame, now, read_all, route, through, uplink};
use riser_log::{
    Config, Entropy, Finding, Fold, GapRecord, Holds, OnFull, Recovered, Refused, Writer, fault::FaultDisk,
};
use riser_model::{Batch, Cause, Gap, RoomId, Route, RouteNumber, Seq};
use riser_wire::entry::Frame;
use std::collections::BTreeMap;

const SEGMENT: u64 = 16 << 10;

type Log = Writer<FaultDisk, Digest>;

fn open(disk: &FaultDisk, config: &Config, n: u64) -> (Log, Recovered<Digest>) {
    Writer::open(disk.clone(), config.clone(), Entropy(n), now(n)).unwrap()
}

/// Appends entries of these routes; the length of each frame.
fn append(log: &mut Log, routes: &[u32], payload: usize) -> Result<Vec<u64>, Refused> {
    let (mut entries, mut sizes) = (Vec::new(), Vec::new());
    for number in routes {
        let at = entries.len();
        frame(&mut entries, *number, &vec![*number as u8; payload]);
        sizes.push(Frame::read(&entries, at).unwrap().0.size() as u64);
    }
    let mut defined: Vec<u32> = routes.to_vec();
    defined.sort_unstable();
    defined.dedup();
    let routes = defined.iter().map(|number| (RouteNumber(*number), route(*number))).collect();
    let count = sizes.len() as u32;
    log.stage(Batch { first: log.next(), entries: entries.into(), count, routes, ..Batch::default() })?;
    log.commit(now(1)).unwrap();
    Ok(sizes)
}

/// The far side has all there is.
fn confirm(log: &mut Log) {
    let seq = log.next().prev().0;
    log.set_cursor(uplink(1), through(seq));
}

/// Appends one entry at a time until that is refused.
fn fill(log: &mut Log, each: fn(&mut Log)) -> Refused {
    for _ in 0..10_000 {
        each(log);
        if let Err(refused) = append(log, &[1], 600) {
            return refused;
        }
    }
    panic!("it is never full")
}

#[test]
fn quota_records_count_the_bytes_and_the_entries_of_each_room_exactly() {
    let config = Config { on_full: OnFull::DropOldest, ..Config::tiny() };
    let disk = FaultDisk::new(1);
    let (mut log, _) = open(&disk, &config, 1);
    // The far side has the first ten: those are not lost.
    log.set_cursor(uplink(1), through(10));
    let (mut sizes, mut rooms, mut said) = (vec![0], vec![None], Vec::new());
    for n in 0..220u32 {
        let routes = [n % 7, n % 5, n % 2];
        sizes.extend(append(&mut log, &routes, 40 + n as usize).unwrap());
        rooms.extend(routes.map(|number| Some(route(number).room)));
        said.extend(log.commit(now(1)).unwrap().gaps);
    }
    let exact = |record: &GapRecord| {
        let lost = record.gap.from.0 as usize..=record.gap.to.0 as usize;
        let mut each: BTreeMap<RoomId, u64> = BTreeMap::new();
        for room in rooms[lost.clone()].iter().flatten() {
            *each.entry(*room).or_default() += 1;
        }
        assert_eq!(record.bytes, Some(sizes[lost].iter().sum()), "{:?}", record.gap);
        assert_eq!(record.rooms, each.into_iter().collect::<Vec<_>>());
    };
    let (_, recovered) = open(&disk, &config, 2);
    let [all] = &*recovered.gaps else { panic!("neighbours merge: {:?}", recovered.gaps) };
    assert_eq!((all.gap.from, all.gap.cause), (Seq(11), Cause::Quota));
    assert_eq!(all.gap.to, recovered.oldest.prev());
    exact(all);
}

#[test]
fn quota_record_of_a_segment_with_a_damaged_block_claims_no_bytes_and_no_rooms() {
    let config = Config { on_full: OnFull::DropOldest, ..Config::tiny() };
    let disk = FaultDisk::new(1);
    let (mut log, _) = open(&disk, &config, 1);
    log.set_cursor(uplink(1), through(0));
    append(&mut log, &[1], 600).unwrap();
    append(&mut log, &[1], 600).unwrap();
    let second = crate::layout::blocks(&disk.snapshot()).into_iter().find(|block| block.first == 2).unwrap();
    assert!(disk.flip(&second.file, second.at as u64 + 150, 1));
    let mut dropped = Vec::new();
    while dropped.is_empty() {
        append(&mut log, &[1], 600).unwrap();
        dropped = open_gaps(&disk, &config);
    }
    let record: &GapRecord = &dropped[0];
    assert_eq!(record.gap.from, Seq(1));
    assert_eq!((record.bytes, &*record.rooms), (None, &[][..]), "what was in it is not known");
}

/// The table of causes of a copy.
fn open_gaps(disk: &FaultDisk, config: &Config) -> Vec<GapRecord> {
    let copy = FaultDisk::new(9);
    copy.restore(&disk.snapshot());
    open(&copy, config, 9).1.gaps
}

/// A log on a disk that became full, opened again so often that not even a checkpoint fits.
fn drained() -> (FaultDisk, Config, Log, Recovered<Digest>, u64) {
    let config = Config { quota_bytes: 64 * SEGMENT, ..Config::tiny() };
    let disk = FaultDisk::new(1);
    disk.set_capacity(Some(4 * SEGMENT));
    let (mut log, _) = open(&disk, &config, 1);
    log.set_cursor(uplink(1), through(0));
    assert_eq!(fill(&mut log, |_| {}), Refused::NoSpace);
    let next = log.next().0;
    for n in 2..200 {
        disk.kill();
        let (log, recovered) = open(&disk, &config, n);
        if recovered.drain_only {
            return (disk, config, log, recovered, next);
        }
    }
    panic!("it is always ready for writing")
}

#[test]
fn without_room_a_log_opens_drain_only_reads_everything_and_says_precisely_why_it_refuses() {
    let (disk, _, mut log, recovered, next) = drained();
    let said = recovered.findings.iter().find_map(|finding| match finding {
        Finding::DrainOnly { reason } => Some(reason.clone()),
        _ => None,
    });
    assert!(said.unwrap().contains("no space left for another segment"));
    assert_eq!(recovered.next, Seq(next));
    let (entries, gaps) = read_all(&mut log.reader(), 1, 1 << 20);
    assert_eq!((entries.len() as u64, gaps.len()), (next - 1, 0));
    let image = disk.snapshot();
    assert_eq!(append(&mut log, &[1], 10), Err(Refused::DrainOnly));
    assert_eq!(Refused::DrainOnly.to_string(), "stage batch: the log is drain-only until there is space");
    log.retry(now(1)).unwrap_err();
    assert_eq!(append(&mut log, &[1], 10), Err(Refused::DrainOnly));
    assert_eq!(disk.snapshot(), image, "nothing is given up for it");
}

#[test]
fn drain_only_log_trims_what_is_confirmed_and_resumes_in_its_place() {
    let (disk, config, mut log, recovered, next) = drained();
    // A refused batch may bring what was confirmed.
    let first = log.next();
    let cursors = vec![(uplink(1), Some(through(next - 1)))];
    let batch = Batch { first, cursors, ..Batch::default() };
    assert_eq!(log.stage(batch), Err(Refused::DrainOnly));
    log.retry(now(1)).unwrap();
    assert!(log.reader().oldest() > recovered.oldest, "the disk is as full as before");
    for _ in 0..20 {
        append(&mut log, &[1], 600).unwrap();
    }
    drop(log);
    disk.crash();
    disk.restart();
    let (log, again) = open(&disk, &config, 300);
    assert_eq!((again.next, again.drain_only), (Seq(next + 20), false));
    assert!(again.chain.iter().any(|span| span.epoch == recovered.epoch), "under the epoch of that opening");
    let (entries, gaps) = read_all(&mut log.reader(), 1, 1 << 20);
    let trimmed = Gap { from: Seq(1), to: again.oldest.prev(), cause: Cause::Retention };
    assert_eq!(gaps, [trimmed]);
    assert_eq!(entries.len() as u64, next + 20 - again.oldest.0);
}

#[test]
fn drain_only_log_resumes_when_the_disk_has_room() {
    let (disk, _, mut log, recovered, next) = drained();
    disk.set_capacity(None);
    log.retry(now(1)).unwrap();
    append(&mut log, &[1, 1, 1], 600).unwrap();
    assert_eq!(log.epoch(), recovered.epoch);
    let (entries, gaps) = read_all(&mut log.reader(), 1, 1 << 20);
    assert_eq!((entries.len() as u64, gaps.len()), (next + 2, 0));
}

/// A log on a disk with room for six segments, full, where the far side has everything and a view nothing.
fn viewed(view_bytes_max: u64) -> (FaultDisk, Config, Log) {
    let holds = Holds { custodians: 1, views: Some(Seq(0)), ..Holds::default() };
    let config = Config { quota_bytes: 64 * SEGMENT, view_bytes_max, holds, ..Config::tiny() };
    let disk = FaultDisk::new(1);
    disk.set_capacity(Some(6 * SEGMENT));
    let (log, _) = open(&disk, &config, 1);
    (disk, config, log)
}

#[test]
fn view_within_its_bound_holds_what_it_has_not_seen_and_lets_go_as_it_moves() {
    let (_, _, mut log) = viewed(32 * SEGMENT);
    assert_eq!(fill(&mut log, confirm), Refused::NoSpace);
    let (entries, gaps) = read_all(&mut log.reader(), 1, 1 << 20);
    assert_eq!(
        (entries.len() as u64, gaps.len()),
        (log.next().0 - 1, 0),
        "all that it has not seen is there"
    );
    let seen = log.next().prev();
    log.set_holds(Holds { custodians: 1, views: Some(seen), ..Holds::default() });
    (0..10).for_each(|_| drop(append(&mut log, &[1], 600).unwrap()));
    assert!(log.reader().oldest() > Seq(1));
    let (_, gaps) = read_all(&mut log.reader(), seen.next().0, 1 << 20);
    assert_eq!(gaps, [], "what it has not seen still is");
}

#[test]
fn view_beyond_its_bound_is_overtaken_by_a_counted_gap_and_no_further_than_the_bound() {
    let bound = 3 * SEGMENT;
    let (disk, config, mut log) = viewed(bound);
    for _ in 0..400 {
        confirm(&mut log);
        append(&mut log, &[1], 600).unwrap();
        let held = u64::from(log.status().segments) * SEGMENT;
        assert!(held >= bound - SEGMENT || log.reader().oldest() == Seq(1), "{held} bytes are left");
    }
    let oldest = log.reader().oldest();
    assert!(oldest > Seq(1));
    let gap = Gap { from: Seq(1), to: oldest.prev(), cause: Cause::Retention };
    let (entries, gaps) = read_all(&mut log.reader(), 1, 1 << 20);
    assert_eq!(gaps, [gap], "the view reads how many it has missed, and why");
    assert_eq!(entries.len() as u64, 401 - oldest.0);
    disk.kill();
    let (log, _) = open(&disk, &config, 2);
    assert_eq!(read_all(&mut log.reader(), 1, 1 << 20).1, [gap]);
}

/// A state that is as large as a segment.
#[derive(Clone, Default)]
struct Laden<const BYTES: usize>;

impl<const BYTES: usize> Fold for Laden<BYTES> {
    fn apply(&mut self, _: Seq, _: &Frame<'_>, _: Option<&Route>) {}

    fn save(&self) -> Vec<u8> {
        vec![1; BYTES]
    }

    fn load(_: &[u8]) -> Option<Self> {
        Some(Self)
    }
}

/// Opens such a log and appends that often to it; why it could not.
fn laden<const BYTES: usize>(config: &Config, times: u64) -> Result<(), String> {
    let disk = FaultDisk::new(1);
    let opened = Writer::<_, Laden<BYTES>>::open(disk.clone(), config.clone(), Entropy(1), now(1)).unwrap();
    let (mut log, recovered) = opened;
    if recovered.drain_only {
        return Err(log.retry(now(1)).unwrap_err().to_string());
    }
    for n in 1..=times {
        let mut entries = Vec::new();
        frame(&mut entries, 1, &[0; 600]);
        let routes = vec![(RouteNumber(1), route(1))];
        let batch = Batch { first: Seq(n), entries: entries.into(), count: 1, routes, ..Batch::default() };
        log.stage(batch).map_err(|refused| refused.to_string())?;
        log.commit(now(n)).map_err(|error| error.source.to_string())?;
        log.set_cursor(uplink(1), through(n));
        let _ = log.prepare(now(n));
        assert!(log.status().bytes <= config.quota_bytes);
    }
    Ok(())
}

#[test]
fn a_log_whose_state_is_as_large_as_its_segments_goes_on_within_its_quota_or_says_what_would_do() {
    for on_full in [OnFull::DropOldest, OnFull::Reject] {
        let config = Config { quota_bytes: 6 * SEGMENT, on_full, ..Config::tiny() };
        assert_eq!(laden::<20_000>(&config, 300), Ok(()), "{on_full:?}");
        let refused = laden::<50_000>(&config, 300).unwrap_err();
        assert!(refused.contains("raise it to 311296 at least"), "{refused}");
        let config = Config { quota_bytes: 311_296, ..config };
        assert_eq!(laden::<50_000>(&config, 300), Ok(()), "{on_full:?}");
    }
}
