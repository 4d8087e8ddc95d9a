//! The write in flight when the power failed: any byte of it may be the last, any sector may be lost or garbage.

use crate::{
    layout::{Block, CHECKPOINT, FOOTER, HEADER, SECTOR},
    script::{COMMITS, more, ring, roomy},
    support::{Digest, now, read_all, through, uplink},
    written::{Tail, Written},
};
use riser_log::{
    Config, Entropy, Finding, Writer,
    fault::{FaultDisk, Image},
};
use riser_model::{Cause, Gap, Seq};

const PAGE: usize = 4096;

/// What lies where a write did not get to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Under {
    /// The file was new.
    Zeros,
    /// The file was recycled: a block of an earlier use.
    EarlierUse,
    /// The medium wrote something else.
    Garbage,
}

const UNDER: [Under; 3] = [Under::Zeros, Under::EarlierUse, Under::Garbage];

/// Logs that end with a small block, a large one, the first one of a segment, and the one of an opening.
fn tails() -> impl Iterator<Item = Written> {
    [(roomy(), 20), (ring(), COMMITS)].into_iter().flat_map(|(config, commits)| tails_of(config, commits))
}

fn tails_of(config: Config, commits: u32) -> Vec<Written> {
    let written = Written::new(config, commits);
    let file = written.tail().file.clone();
    let last: Vec<&Block> = written.blocks.iter().filter(|block| block.file == file).collect();
    let largest = last.iter().max_by_key(|block| block.bytes()).unwrap();
    let opening = last.iter().find(|block| block.kind == CHECKPOINT && block.at > 0);
    let mut ends = vec![last[0], last[last.len() - 1], *largest];
    ends.extend(opening);
    assert!(last[0].count > 0 && largest.padded() >= 4 * SECTOR);
    ends.into_iter().map(|block| written.ending_with(block)).collect()
}

/// The log with something else in a part of its last block.
fn with(written: &Written, part: std::ops::Range<usize>, under: Under) -> Image {
    let tail = written.tail();
    let mut image = written.image.clone();
    let earlier = image.first_key_value().unwrap().1[part.clone()].to_vec();
    let bytes = &mut image.get_mut(&*tail.file).unwrap()[tail.at..][part];
    match under {
        Under::Zeros => bytes.fill(0),
        Under::EarlierUse => bytes.copy_from_slice(&earlier),
        Under::Garbage => bytes.iter_mut().enumerate().for_each(|(n, byte)| *byte = (n * 37 + 11) as u8),
    }
    image
}

/// Every byte of a small tail, every third of a large one; of the others those around sectors and headers, and every
/// ninth.
fn every(log: usize, cut: usize) -> bool {
    log == 1
        || more() > 0
        || (log == 2 && cut.is_multiple_of(3))
        || cut.is_multiple_of(9)
        || (cut + 1) % SECTOR < 3
        || (HEADER - 1..HEADER + 2).contains(&cut)
}

#[test]
fn tail_torn_at_every_byte_loses_nothing_before_it() {
    for (n, mut written) in tails().enumerate() {
        let tail = written.tail().clone();
        for cut in (0..=tail.padded()).filter(|cut| every(n, *cut)) {
            let image = with(&written, cut..tail.padded(), UNDER[(n + cut) % 2]);
            // From a whole header on it is seen that there was a block.
            let found = if cut < HEADER { Tail::MayVanish } else { Tail::Found };
            let trial = written.judge(&image, found);
            if cut % 64 == 0 {
                trial.goes_on();
            }
        }
    }
}

#[test]
fn tail_with_every_sector_lost_kept_or_garbage_loses_nothing_before_it() {
    for mut written in tails() {
        let tail = written.tail().clone();
        let sectors = tail.padded() / SECTOR;
        for kept in 0..1u32 << sectors.min(8) {
            for under in UNDER {
                let mut image = written.image.clone();
                for sector in (0..sectors).filter(|sector| kept >> sector & 1 == 0) {
                    let part = sector * SECTOR..(sector + 1) * SECTOR;
                    let other = with(&written, part.clone(), under);
                    let at = tail.at + part.start..tail.at + part.end;
                    image.get_mut(&*tail.file).unwrap()[at.clone()].copy_from_slice(&other[&*tail.file][at]);
                }
                let found = if kept & 1 == 0 { Tail::MayVanish } else { Tail::Found };
                let trial = written.judge(&image, found);
                if kept.is_multiple_of(3) {
                    trial.goes_on();
                }
            }
        }
    }
}

#[test]
fn tail_with_every_page_lost_kept_or_garbage_loses_nothing_before_it() {
    let mut crossing = 0;
    for config in [roomy(), ring()] {
        let all = Written::new(config, COMMITS);
        for block in all.blocks.iter().filter(|block| block.kind != FOOTER) {
            let page = (block.at + 1).next_multiple_of(PAGE) - block.at;
            if page >= block.padded() {
                continue;
            }
            crossing += 1;
            let mut written = all.ending_with(block);
            for under in UNDER {
                let image = with(&written, 0..page, under);
                written.judge(&image, Tail::MayVanish).goes_on();
                let image = with(&written, page..block.padded(), under);
                written.judge(&image, Tail::Found).goes_on();
            }
        }
    }
    assert!(crossing >= 2, "{crossing} blocks lie across pages");
}

#[test]
fn file_cut_short_at_every_byte_of_the_tail_loses_nothing_before_it() {
    for mut written in tails() {
        let tail = written.tail().clone();
        for cut in (0..tail.padded()).filter(|cut| every(7, *cut)) {
            let mut image = written.image.clone();
            image.get_mut(&*tail.file).unwrap().truncate(tail.at + cut);
            let trial = written.judge(&image, Tail::MayVanish);
            if cut % 64 == 0 {
                trial.goes_on();
            }
        }
    }
}

#[test]
fn torn_end_that_a_cursor_proves_acknowledged_is_a_gap_of_exactly_that_size() {
    let mut written = tails_of(roomy(), COMMITS).remove(2);
    let tail = written.tail().clone();
    let torn = with(&written, HEADER..tail.padded(), Under::Zeros);
    let mut trial = written.judge(&torn, Tail::Found);
    // The hub has all of it.
    trial.writer.set_cursor(uplink(2), through(tail.last()));
    trial.writer.retry(now(100)).unwrap();
    trial.writer.new_epoch(now(100)).unwrap();
    let disk: FaultDisk = trial.disk.clone();
    drop(trial);
    disk.crash();
    disk.restart();
    let (writer, recovered) = Writer::<_, Digest>::open(disk, roomy(), Entropy(9), now(101)).unwrap();
    assert_eq!(recovered.next, Seq(tail.last() + 1), "its seqs never come again");
    let proven = recovered.findings.iter().find_map(|finding| match finding {
        Finding::TailCut { proven, .. } => Some(*proven),
        _ => None,
    });
    assert_eq!(proven, Some(tail.count));
    let (entries, gaps) = read_all(&mut writer.reader(), 1, 1000);
    let gap = Gap { from: Seq(tail.first), to: Seq(tail.last()), cause: Cause::TailCut };
    assert_eq!(gaps, [gap]);
    assert_eq!(entries.len() as u64, tail.first - 1);
    assert_eq!(recovered.gaps.iter().map(|record| record.gap).collect::<Vec<_>>(), [gap]);
}
