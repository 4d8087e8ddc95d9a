//! What stays as it is: epochs, folds, causes, and files of others (rules 6.1, 6.2, 6.6 and 6.7).

use crate::{
    layout::{CHANGES, CHECKPOINT, HEADER, blocks},
    support::{Digest, frame, now, read_all, route, through, uplink},
};
use riser_log::{
    Config, Entropy, Finding, Fold, OnFull, Recovered, Writer,
    fault::{FaultDisk, Image},
};
use riser_model::{Batch, Cause, Gap, Route, RouteNumber, Seq};
use riser_wire::entry::Frame;
use std::collections::BTreeMap;

fn ring() -> Config {
    Config { on_full: OnFull::DropOldest, ..Config::tiny() }
}

fn open<F: Fold>(disk: &FaultDisk, config: Config, n: u64) -> (Writer<FaultDisk, F>, Recovered<F>) {
    Writer::open(disk.clone(), config, Entropy(n), now(n)).unwrap()
}

fn stage<F: Fold>(log: &mut Writer<FaultDisk, F>, count: u32, payload: usize) {
    let mut entries = Vec::new();
    (0..count).for_each(|n| frame(&mut entries, 1, &vec![n as u8; payload]));
    let routes = vec![(RouteNumber(1), route(1))];
    let batch = Batch { first: log.next(), entries: entries.into(), count, routes, ..Batch::default() };
    log.stage(batch).unwrap();
}

fn digest(entries: &BTreeMap<u64, crate::support::Entry>) -> Digest {
    Digest(
        entries.iter().fold(0, |sum: u64, (seq, (_, crc, _))| sum.wrapping_add(Digest::of(Seq(*seq), *crc))),
    )
}

#[test]
fn new_epoch_commits_what_is_staged_under_the_old_one() {
    let disk = FaultDisk::new(1);
    let (mut log, recovered) = open::<Digest>(&disk, Config::tiny(), 1);
    stage(&mut log, 3, 20);
    let epoch = log.new_epoch(now(1)).unwrap();
    assert_eq!((log.epoch(), log.next()), (epoch, Seq(4)));
    stage(&mut log, 2, 20);
    log.commit(now(2)).unwrap();
    disk.crash();
    disk.restart();
    let (log, again) = open::<Digest>(&disk, Config::tiny(), 2);
    let (entries, _) = read_all(&mut log.reader(), 1, 1000);
    let epochs: Vec<u64> = entries.values().map(|(_, _, epoch)| *epoch).collect();
    assert_eq!(epochs, [recovered.epoch.0, recovered.epoch.0, recovered.epoch.0, epoch.0, epoch.0]);
    let spans: Vec<_> = again.chain.iter().map(|span| (span.epoch, span.first.0, span.last.0)).collect();
    assert_eq!(spans[..2], [(recovered.epoch, 1, 3), (epoch, 4, 5)]);
}

#[test]
fn new_epoch_whose_commit_fails_refuses_what_is_staged_and_does_not_begin() {
    let disk = FaultDisk::new(1);
    let (mut log, recovered) = open::<Digest>(&disk, Config::tiny(), 1);
    stage(&mut log, 3, 20);
    let syncs = disk.counts().syncs;
    (1..40).for_each(|n| disk.fail_sync(syncs + n));
    assert_eq!(log.new_epoch(now(1)).unwrap_err().refused, Seq(1));
    assert_eq!(log.epoch(), recovered.epoch);
}

/// The same fold in another format: it cannot read the other's, nor can that read its.
#[derive(Clone, Default, PartialEq, Debug)]
struct Newer(Digest);

impl Fold for Newer {
    fn apply(&mut self, seq: Seq, frame: &Frame<'_>, route: Option<&Route>) {
        self.0.apply(seq, frame, route);
    }

    fn save(&self) -> Vec<u8> {
        [&[2], &*self.0.save()].concat()
    }

    fn load(bytes: &[u8]) -> Option<Self> {
        let (2, rest) = bytes.split_first().map(|(version, rest)| (*version, rest))? else { return None };
        Digest::load(rest).map(Self)
    }
}

/// A ring that has come round, with a cursor and two openings.
fn come_round() -> FaultDisk {
    let disk = FaultDisk::new(1);
    for n in 1..3 {
        let (mut log, _) = open::<Digest>(&disk, ring(), n);
        for m in 0..60 {
            stage(&mut log, 3, 300);
            log.set_cursor(uplink(1), through(m));
            log.commit(now(m)).unwrap();
        }
        disk.kill();
    }
    disk
}

#[test]
fn unreadable_fold_is_folded_again_from_what_is_there_and_said_and_costs_nothing_else() {
    let disk = come_round();
    let copy = FaultDisk::new(2);
    copy.restore(&disk.snapshot());
    let (_, readable) = open::<Digest>(&copy, ring(), 3);
    assert!(readable.findings.is_empty() && readable.oldest > Seq(1));

    let (mut log, rebuilt) = open::<Newer>(&disk, ring(), 3);
    assert_eq!(rebuilt.findings, [Finding::FoldLost]);
    let (entries, _) = read_all(&mut log.reader(), 1, 1000);
    assert_eq!(rebuilt.fold, Newer(digest(&entries)));
    assert_ne!(rebuilt.fold.0, readable.fold, "of what was trimmed it knows nothing: that is why it is said");
    assert_eq!((rebuilt.next, rebuilt.oldest), (readable.next, readable.oldest));
    assert_eq!((&rebuilt.cursors, &rebuilt.gaps), (&readable.cursors, &readable.gaps));
    assert_eq!((&rebuilt.routes, rebuilt.counters), (&readable.routes, readable.counters));
    let epochs =
        |chain: &[riser_model::EpochSpan]| chain.iter().map(|s| (s.first, s.last)).collect::<Vec<_>>();
    assert_eq!(epochs(&rebuilt.chain), epochs(&readable.chain));

    // From here on it is saved in a format that can be read.
    stage(&mut log, 1, 20);
    log.commit(now(9)).unwrap();
    disk.crash();
    disk.restart();
    let (log, again) = open::<Newer>(&disk, ring(), 4);
    assert!(again.findings.is_empty(), "{:?}", again.findings);
    let (entries, _) = read_all(&mut log.reader(), rebuilt.oldest.0, 1000);
    assert_eq!(again.fold, Newer(digest(&entries)));
}

/// Saves what nobody can read as long as it has seen an odd number of entries.
#[derive(Clone, Default, PartialEq, Debug)]
struct Fickle(Digest, u64);

impl Fold for Fickle {
    fn apply(&mut self, seq: Seq, frame: &Frame<'_>, route: Option<&Route>) {
        self.0.apply(seq, frame, route);
        self.1 += 1;
    }

    fn save(&self) -> Vec<u8> {
        let whole = [&self.1.to_le_bytes()[..], &*self.0.save()].concat();
        if self.1.is_multiple_of(2) { whole } else { Vec::new() }
    }

    fn load(bytes: &[u8]) -> Option<Self> {
        let (seen, rest) = bytes.split_first_chunk()?;
        Some(Self(Digest::load(rest)?, u64::from_le_bytes(*seen)))
    }
}

#[test]
fn a_fold_that_cannot_be_read_is_rolled_forward_from_an_older_one_and_the_rest_of_the_log_is_not_read() {
    let disk = FaultDisk::new(1);
    let (mut log, _) = open::<Fickle>(&disk, ring(), 1);
    let mut all = 0;
    let mut commits_until = |log: &mut Writer<FaultDisk, Fickle>, segments: u64| {
        let mut newest = log.segment();
        for _ in 0..segments {
            while log.segment() == newest {
                stage(log, 2, 300);
                all += 2;
                log.commit(now(all)).unwrap();
            }
            newest = log.segment();
        }
        all
    };
    commits_until(&mut log, 5);
    // Only what the newest segment begins with cannot be read.
    stage(&mut log, 1, 300);
    let all = commits_until(&mut log, 1) + 1;
    disk.kill();
    let copy = FaultDisk::new(2);
    copy.restore(&disk.snapshot());
    let (_, recovered) = open::<Fickle>(&disk, ring(), 2);
    let [Finding::CheckpointLost { .. }] = &recovered.findings[..] else {
        panic!("{:?}", recovered.findings)
    };
    assert_eq!(recovered.fold.1, all, "nothing is missing of it");
    let (_, lost) = open::<Newer>(&copy, ring(), 2);
    assert_eq!(lost.findings, [Finding::FoldLost]);
    let read = |disk: &FaultDisk| disk.counts().bytes_read;
    assert!(2 * read(&disk) < read(&copy), "{} bytes, and {} for all", read(&disk), read(&copy));
}

#[test]
fn fold_of_which_no_checkpoint_is_left_is_said_to_be_lost() {
    let disk = come_round();
    let mut image = disk.snapshot();
    for block in blocks(&image).iter().filter(|block| block.kind == CHECKPOINT) {
        image.get_mut(&*block.file).unwrap()[block.at + HEADER] ^= 1;
    }
    disk.restore(&image);
    let (_, recovered) = open::<Digest>(&disk, ring(), 3);
    assert!(recovered.findings.contains(&Finding::FoldLost), "{:?}", recovered.findings);
}

#[test]
fn cause_of_what_a_full_log_dropped_outlives_damage_to_the_block_that_says_it() {
    let disk = FaultDisk::new(1);
    let (mut log, _) = open::<Digest>(&disk, ring(), 1);
    log.set_cursor(uplink(1), through(0));
    let (mut before, mut dropped) = (Vec::new(), Vec::new());
    // Idle moments: the next segment is made ready long before it is needed.
    while dropped.is_empty() {
        stage(&mut log, 1, 300);
        before = blocks(&disk.snapshot());
        log.commit(now(1)).unwrap();
        while log.prepare(now(1)).unwrap() {}
        dropped = log.commit(now(1)).unwrap().gaps;
    }
    let image: Image = disk.snapshot();
    let mut new = blocks(&image).into_iter().filter(|block| !before.contains(block));
    let note = new.rfind(|block| (block.kind, block.count) == (CHANGES, 0));
    let note = note.expect("what is dropped is said before it goes");
    stage(&mut log, 1, 300);
    log.commit(now(1)).unwrap();
    assert!(disk.flip(&note.file, (note.at + HEADER) as u64, 1));
    disk.kill();
    let (log, recovered) = open::<Digest>(&disk, ring(), 2);
    let gap = Gap { from: Seq(1), to: recovered.oldest.prev(), cause: Cause::Quota };
    assert_eq!(recovered.gaps.iter().map(|record| record.gap).collect::<Vec<_>>(), [gap]);
    assert_eq!(recovered.gaps, dropped, "once");
    assert_eq!(read_all(&mut log.reader(), 1, 1 << 20).1, [gap]);
}

/// Who moved it says nothing any more, and what it said is long recycled: every segment begins with all cursors.
#[test]
fn cursor_that_nobody_touched_for_three_segments_is_where_it_was() {
    let disk = FaultDisk::new(1);
    let (mut log, _) = open::<Digest>(&disk, ring(), 1);
    stage(&mut log, 5, 20);
    log.commit(now(1)).unwrap();
    log.set_cursor(uplink(1), through(4));
    log.set_cursor(uplink(2), through(5));
    stage(&mut log, 1, 20);
    let said_in = log.commit(now(1)).unwrap().last;
    let mut segments = 0;
    for n in 0.. {
        stage(&mut log, 3, 300);
        // The other one goes on.
        log.set_cursor(uplink(2), through(5 + 3 * n));
        log.commit(now(1)).unwrap();
        let begun = blocks(&disk.snapshot()).iter().filter(|block| block.kind == CHECKPOINT).count();
        segments = segments.max(begun);
        if log.reader().oldest() > said_in && segments > 3 {
            break;
        }
    }
    for n in 2..4 {
        disk.crash();
        disk.restart();
        let (_, recovered) = open::<Digest>(&disk, ring(), n);
        let cursor =
            recovered.cursors.iter().find(|(key, _)| *key == uplink(1)).map(|(_, value)| value.through);
        assert_eq!(cursor, Some(Seq(4)));
    }
}

/// Makes a block's header say something else, and its checksum right.
fn rewrite(bytes: &mut [u8], change: impl Fn(&mut [u8])) {
    change(&mut bytes[..HEADER]);
    let salted = crc32c::crc32c(&bytes[32..40]);
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(salted, &bytes[..8]), &bytes[12..HEADER]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
}

/// Files that are not of this log, or not of a format that is known: by name.
fn foreign() -> Image {
    let other = FaultDisk::new(7);
    let (mut log, _) = open::<Digest>(&other, Config::tiny(), 77);
    stage(&mut log, 2, 100);
    log.commit(now(1)).unwrap();
    let theirs = other.snapshot().remove(FIRST).unwrap();
    let newer = |kind: u8| {
        let (mut bytes, mut at) = (theirs.clone(), 0);
        for block in blocks(&[(FIRST.to_owned(), theirs.clone())].into()) {
            at = block.at;
            rewrite(&mut bytes[at..], |header| (header[4], header[5]) = (2, kind));
        }
        assert!(at > 0, "two blocks");
        bytes
    };
    let mut text = b"not ours at all\n".repeat(1024);
    text.truncate(SEGMENT);
    Image::from([
        ("segment-00000000000000a1".to_owned(), newer(CHECKPOINT)),
        ("segment-00000000000000a2".to_owned(), newer(7)),
        ("segment-1".to_owned(), theirs.clone()),
        (FIRST.to_owned(), theirs),
        ("fresh-1".to_owned(), vec![1; 100]),
        ("views.redb".to_owned(), vec![2; 5000]),
        ("lock".to_owned(), Vec::new()),
        ("segment-00000000000000a3".to_owned(), text),
    ])
}

const SEGMENT: usize = 16 << 10;
/// The first segment of any log.
const FIRST: &str = "segment-0000000000000002";

#[test]
fn files_of_another_format_or_log_stay_byte_for_byte_whatever_the_log_does() {
    for image in [Image::new(), come_round().snapshot()] {
        let disk = FaultDisk::new(1);
        let there = !image.is_empty();
        let mut foreign = foreign();
        if !there {
            // Alone it would be the log.
            foreign.remove(FIRST).unwrap();
        }
        let theirs: u64 = foreign.values().map(|bytes| bytes.len() as u64).sum();
        let config = Config { quota_bytes: ring().quota_bytes + theirs, ..ring() };
        disk.restore(&image.into_iter().chain(foreign.clone()).collect());
        for n in 3..6 {
            let (mut log, recovered) = open::<Digest>(&disk, config.clone(), n);
            let aside = recovered.findings.iter().filter(|f| matches!(f, Finding::SetAside { .. })).count();
            assert_eq!(aside, if there { 4 } else { 3 }, "{:?}", recovered.findings);
            assert!(!there || recovered.next > Seq(100), "ours is still ours");
            for m in 0..80 {
                stage(&mut log, 3, 300);
                log.commit(now(m)).unwrap();
                while log.prepare(now(m)).unwrap() {}
            }
            assert!(disk.used() <= config.quota_bytes + theirs);
            disk.crash();
            disk.restart();
            let after = disk.snapshot();
            for (name, bytes) in &foreign {
                assert!(after.get(name) == Some(bytes), "{name} is as it was");
            }
        }
    }
}
