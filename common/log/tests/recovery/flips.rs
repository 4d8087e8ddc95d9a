//! One bit of the medium flips, a sector turns to garbage, or a page cannot be read: in every kind of file, block
//! and field.

use crate::{
    layout::{Block, CHANGES, CHECKPOINT, FOOTER, HEADER, SECTOR},
    script::{COMMITS, calls, more, play, ring, roomy},
    support::Model,
    written::{Tail, Written},
};
use riser_log::fault::{Failure, Fate};
use std::ops::Range;

const PAGE: usize = 4096;

/// How many bits to flip. A long run flips all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bits {
    All,
    /// Another one in each byte.
    One,
    /// The same in some bytes.
    Few,
}

/// A short log that keeps everything, and a ring that has come round.
fn logs() -> [(Written, Bits); 2] {
    [(Written::new(roomy(), 20), Bits::One), (Written::new(ring(), COMMITS), Bits::Few)]
}

fn flip(written: &mut Written, file: &str, part: Range<usize>, bits: Bits) {
    let bits = if more() > 0 { Bits::All } else { bits };
    for at in part.step_by(if bits == Bits::Few { 23 } else { 1 }) {
        let each = if bits == Bits::All { 0..8 } else { at % 8..at % 8 + 1 };
        for bit in each {
            let mut image = written.image.clone();
            image.get_mut(file).unwrap()[at] ^= 1 << bit;
            let trial = written.judge(&image, Tail::Found);
            if at % 256 == 3 {
                trial.goes_on();
            }
        }
    }
}

/// Flips bits in a part of every block of a kind.
fn flip_every(kind: fn(&Block) -> bool, part: fn(&Block) -> Range<usize>, bits: Option<Bits>) {
    for (mut written, usual) in logs() {
        let blocks: Vec<Block> = written.blocks.iter().filter(|block| kind(block)).cloned().collect();
        assert!(!blocks.is_empty());
        for block in blocks {
            let part = part(&block);
            flip(
                &mut written,
                &block.file,
                block.at + part.start..block.at + part.end,
                bits.unwrap_or(usual),
            );
        }
    }
}

fn meta(block: &Block) -> Range<usize> {
    HEADER + block.entries_bytes..block.bytes()
}

#[test]
fn flip_in_every_byte_of_every_header_costs_that_block_and_is_a_gap_in_place() {
    flip_every(|block| block.kind != FOOTER, |_| 0..HEADER, None);
}

#[test]
fn flip_in_every_byte_of_all_entries_costs_that_block_and_is_a_gap_in_place() {
    flip_every(|block| block.count > 0, |block| HEADER..HEADER + block.entries_bytes, Some(Bits::Few));
}

#[test]
fn flip_in_every_byte_of_cursors_and_definitions_costs_that_block_and_no_other() {
    flip_every(|block| block.kind == CHANGES && block.meta_bytes > 0, meta, None);
}

#[test]
fn flip_in_every_byte_of_a_checkpoint_falls_back_to_an_older_one_and_loses_nothing_else() {
    flip_every(|block| block.kind == CHECKPOINT, meta, None);
}

#[test]
fn flip_of_every_bit_of_a_footer_loses_nothing() {
    flip_every(|block| block.kind == FOOTER, |block| 0..block.padded(), None);
    // The last bytes of a segment lead to its footer.
    flip_every(|block| block.kind == FOOTER, |block| block.padded() - 8..block.padded(), Some(Bits::All));
}

#[test]
fn flip_of_every_bit_of_the_last_header_is_a_cut_tail_that_is_found() {
    for (written, usual) in logs() {
        let last = written.tail().clone();
        let first = written.blocks.iter().find(|block| block.file == last.file).unwrap();
        // Also where it is the only block of its segment.
        for mut written in [written.ending_with(&last), written.ending_with(first)] {
            let at = written.tail().at;
            flip(
                &mut written,
                &last.file,
                at..at + HEADER,
                if usual == Bits::Few { Bits::One } else { Bits::All },
            );
        }
    }
}

#[test]
fn flip_where_no_block_is_changes_nothing() {
    for (mut written, _) in logs() {
        let clean = written.image.clone();
        for (file, bytes) in &clean {
            let length = bytes.len();
            let mut used: Vec<Range<usize>> =
                written.blocks.iter().filter(|b| *b.file == **file).map(|b| b.at..b.at + b.bytes()).collect();
            used.push(length..length);
            let mut from = 0usize;
            for block in used {
                // All of the bytes where the next block's header would be, a few of the others.
                let header = from.next_multiple_of(SECTOR);
                for at in from..block.start {
                    if (header..header + HEADER).contains(&at) || at.is_multiple_of(131) {
                        flip(&mut written, file, at..at + 1, Bits::One);
                    }
                }
                from = from.max(block.end);
            }
        }
    }
}

#[test]
fn garbage_in_every_sector_costs_its_blocks_and_they_are_gaps_in_place() {
    for (mut written, _) in logs() {
        let clean = written.image.clone();
        for (file, bytes) in &clean {
            for at in (0..bytes.len()).step_by(SECTOR) {
                let mut image = clean.clone();
                let sector = &mut image.get_mut(file).unwrap()[at..at + SECTOR];
                sector.iter_mut().enumerate().for_each(|(n, byte)| *byte = (n * 37 + 11) as u8);
                written.judge(&image, Tail::MayVanish).goes_on();
            }
        }
    }
}

#[test]
fn every_page_that_cannot_be_read_costs_its_blocks_and_they_are_gaps_in_place() {
    for (mut written, _) in logs() {
        // A file that cannot be read is not used again: the log must have room for another.
        written.config.quota_bytes *= 2;
        let clean = written.image.clone();
        for (file, bytes) in &clean {
            for at in (0..bytes.len()).step_by(PAGE) {
                let mut image = clean.clone();
                image.get_mut(file).unwrap()[at..at + PAGE].fill(0);
                let unreadable = at as u64..(at + PAGE) as u64;
                let trial = written.judge_on(&image, Tail::Found, |disk| {
                    disk.restore(&clean);
                    disk.make_unreadable(file, unreadable.clone());
                });
                trial.goes_on();
            }
        }
    }
}

#[test]
fn file_cut_short_at_every_sector_costs_its_blocks_and_they_are_gaps_in_place() {
    for (mut written, _) in logs() {
        let clean = written.image.clone();
        for (file, bytes) in &clean {
            for length in (0..bytes.len()).step_by(SECTOR) {
                let mut image = clean.clone();
                image.get_mut(file).unwrap().truncate(length);
                written.judge(&image, Tail::MayVanish).goes_on();
            }
        }
    }
}

#[test]
fn flip_after_a_failed_write_or_sync_costs_one_block_as_ever() {
    for call in calls(&roomy()).into_iter().filter(|call| *call > 30).step_by(2) {
        let mut model = Model::new(1, roomy());
        model.disk.set_fate(Fate::Kept);
        model.plan = Box::new(move |disk| disk.fail_call(call, Failure::Io));
        play(&mut model, COMMITS);
        let mut written = Written::by(model);
        let blocks = written.blocks.clone();
        for block in blocks.iter().rev().take(14).filter(|block| block.kind != FOOTER) {
            flip(&mut written, &block.file, block.at + 17..block.at + 18, Bits::One);
        }
    }
}
