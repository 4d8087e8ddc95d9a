//! One file of the log: its name, its identity, what its first bytes say.

use crate::{
    block::{BadHeader, HEADER_BYTES, Header, SECTOR_BYTES, may_begin},
    disk::Disk,
    footer::{Footer, Point},
    scan::{AHEAD_BYTES, Window},
    selective::SegmentKey,
};
use riser_model::{LogId, Seq, Wall};
use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

const PREFIX: &str = "segment-";
const FRESH_PREFIX: &str = "fresh-";

/// The most that one damage of the medium changes.
const PAGE_BYTES: u64 = 4096;

/// Whose blocks a segment holds: everything else in the file is of an earlier use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Identity {
    pub log: LogId,
    pub segment: u64,
    pub salt: u64,
}

/// A segment that holds entries, shared by the writer and all readers.
pub(crate) struct Segment<D: Disk> {
    pub identity: Identity,
    pub file: D::File,
    pub length: u64,
    /// The seq it begins with.
    pub first: Seq,
    /// When it began, by the host's clock: whatever is before it was committed before.
    pub began: Wall,
    /// Where its last good block ends, once nothing more will be appended.
    pub data_end: OnceLock<u64>,
    /// Its footer, where that could not be written to it.
    pub footer: OnceLock<Arc<Footer>>,
    points: Mutex<Points>,
    /// What it holds up to some block, until its footer is on disk.
    listed: Mutex<Option<Arc<Footer>>>,
}

#[derive(Debug, Default)]
struct Points {
    list: Vec<Point>,
    complete: bool,
}

impl<D: Disk> Segment<D> {
    pub fn new(identity: Identity, file: D::File, length: u64, first: Seq, began: Wall) -> Self {
        Self {
            identity,
            file,
            length,
            first,
            began,
            data_end: OnceLock::new(),
            footer: OnceLock::new(),
            points: Mutex::default(),
            listed: Mutex::default(),
        }
    }

    /// What tells this use of it from every other.
    pub fn key(&self) -> SegmentKey {
        SegmentKey { first: self.first, salt: self.identity.salt }
    }

    /// Whether it has a block whose header can be read: salts are never 0.
    pub fn is_readable(&self) -> bool {
        self.identity.salt != 0
    }

    /// A place to read on from, at or before the block that holds `seq`.
    pub fn point_before(&self, seq: Seq) -> u64 {
        let points = self.lock();
        let at = points.list.partition_point(|point| point.first <= seq);
        at.checked_sub(1).and_then(|at| points.list.get(at)).map_or(0, |point| point.offset)
    }

    /// The first seq at the last known point at or before the block that holds `seq`.
    pub fn point_of(&self, seq: Seq) -> Seq {
        let points = self.lock();
        let at = points.list.partition_point(|point| point.first <= seq);
        at.checked_sub(1).and_then(|at| points.list.get(at)).map_or(self.first, |point| point.first)
    }

    pub fn add_point(&self, point: Point) {
        self.lock().list.push(point);
    }

    pub fn set_points(&self, list: Vec<Point>) {
        *self.lock() = Points { list, complete: true };
    }

    pub fn points_known(&self) -> bool {
        self.lock().complete
    }

    /// Nothing more will be appended: it ends at `data_end`.
    pub fn end(&self, data_end: u64) {
        self.lock().complete = true;
        // It ends once; a second call says the same.
        let _ = self.data_end.set(data_end);
    }

    pub fn points(&self) -> Vec<Point> {
        self.lock().list.clone()
    }

    /// Says what it holds so far.
    pub fn list(&self, footer: Footer) {
        *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(footer));
    }

    /// Its footer says it.
    pub fn unlist(&self) {
        *self.listed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What it holds up to some block, if that was said and its footer does not say it yet.
    pub fn listed(&self) -> Option<Arc<Footer>> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lock(&self) -> MutexGuard<'_, Points> {
        // A list of plain numbers is whole whatever panicked.
        self.points.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file name of a segment.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{PREFIX}{number:016x}")
}

/// The file name of a segment that is being filled with zeros.
pub(crate) fn fresh_name(number: u64) -> String {
    format!("{FRESH_PREFIX}{number:016x}")
}

/// The number in a segment's name; none for other files.
pub(crate) fn segment_number(name: &str) -> Option<u64> {
    number(name, PREFIX)
}

/// The number in the name of what a crash left of a segment that was being filled with zeros.
pub(crate) fn fresh_number(name: &str) -> Option<u64> {
    number(name, FRESH_PREFIX)
}

fn number(name: &str, prefix: &str) -> Option<u64> {
    let number = u64::from_str_radix(name.strip_prefix(prefix)?, 16).ok()?;
    (name == format!("{prefix}{number:016x}")).then_some(number)
}

/// What a segment's file turns out to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Head {
    /// A segment in use. The header is that of its first readable block.
    Used(Header),
    /// Zeros, or what an earlier use left.
    Unused,
    /// Not readable, but it was ours: a first block that was torn or damaged, and nothing after it.
    Damaged,
    /// In a format that this build does not know.
    Unknown,
}

/// Finds out what a file is: by its first block, or if that is unreadable by any other.
pub(crate) fn inspect<D: Disk>(window: &mut Window<D>, number: u64) -> io::Result<Head> {
    window.set_ahead(SECTOR_BYTES);
    let first = window.get(0, HEADER_BYTES)?;
    let head = Header::read(&first);
    match head {
        Ok(header) if header.segment == number && header.fits(0, window.stop()) => {
            return Ok(Head::Used(header));
        }
        // Damage can look like another format; then what follows is still in ours.
        Ok(_) | Err(BadHeader::Version | BadHeader::NotABlock) => {}
    }
    let ours = head.is_err() && Header::is_of(&first, number);
    window.set_ahead(AHEAD_BYTES);
    let (mut any_block, mut filled) = (may_begin(&first), BTreeSet::new());
    let mut at = 0;
    while at + HEADER_BYTES as u64 <= window.stop() {
        let bytes = window.get(at, HEADER_BYTES)?;
        any_block |= may_begin(&bytes);
        if bytes.iter().any(|byte| *byte != 0) {
            filled.insert(at / PAGE_BYTES);
        }
        if may_begin(&bytes)
            && let Ok(header) = Header::read(&bytes)
            && header.segment == number
            && header.fits(at, window.stop())
        {
            return Ok(Head::Used(header));
        }
        at += SECTOR_BYTES as u64;
    }
    // What damage put among zeros is smaller.
    let foreign =
        !any_block && (filled.len() > 1 || filled.len() as u64 == window.stop().div_ceil(PAGE_BYTES));
    Ok(match head {
        Err(BadHeader::Version) => Head::Unknown,
        Ok(_) | Err(BadHeader::NotABlock) if ours || window.unreadable() => Head::Damaged,
        Ok(_) | Err(BadHeader::NotABlock) if foreign && !filled.is_empty() => Head::Unknown,
        Ok(_) | Err(BadHeader::NotABlock) => Head::Unused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written_and_others_are_not() {
        assert_eq!(segment_number(&segment_name(0xabc)), Some(0xabc));
        for name in ["segment-1", "segment-0000000000000ABC", "segment-", "fresh-0000000000000001", "lock"] {
            assert_eq!(segment_number(name), None, "{name}");
        }
        assert_eq!(fresh_number(&fresh_name(1)), Some(1));
    }
}
