//! The items of a batch: runs of entries, gaps and skips, back to back, seqs implied by their order.
//!
//! ```text
//! entries   1 | u32 count | u32 bytes | frames (riser-wire's entry)
//! gap       2 | u8 cause  | u64 count
//! skip      3 | u64 count
//! ```
//!
//! All numbers are little-endian. What [`Items`] yields is bounded by the block's own bytes; counts of gaps
//! and skips are only numbers.

use super::{BadMessage, SEQ_MAX};
use crate::entry::{self, Frame};
use bytes::Bytes;
use riser_model::{Cause, Gap, Seq};

const ENTRIES: u8 = 1;
const GAP: u8 = 2;
const SKIP: u8 = 3;
const ENTRIES_HEADER_BYTES: usize = 9;

/// One run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// Entries without a hole.
    Entries {
        /// The seq of the first.
        first: Seq,
        /// How many.
        count: u32,
        /// Their frames, back to back.
        frames: Bytes,
    },
    /// Seqs that are gone.
    Gap(Gap),
    /// Seqs that are not meant for the receiver.
    Skip {
        /// The first.
        from: Seq,
        /// The last.
        to: Seq,
    },
}

impl Item {
    /// The seq of the first.
    pub fn first(&self) -> Seq {
        match self {
            Self::Entries { first, .. } => *first,
            Self::Gap(gap) => gap.from,
            Self::Skip { from, .. } => *from,
        }
    }

    /// The seq of the last.
    pub fn last(&self) -> Seq {
        match self {
            Self::Entries { first, count, .. } => first.plus(u64::from(*count)).prev(),
            Self::Gap(gap) => gap.to,
            Self::Skip { to, .. } => *to,
        }
    }
}

/// Writes a block. Adjacent items of one kind become one.
#[derive(Clone, Debug, Default)]
pub struct ItemsWriter {
    out: Vec<u8>,
    open: Open,
    seqs: u64,
    entries: u32,
}

/// The item that the next one may still extend, and where it begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Open {
    #[default]
    Nothing,
    Entries {
        at: usize,
        count: u32,
    },
    Gap {
        at: usize,
        cause: Cause,
        count: u64,
    },
    Skip {
        at: usize,
        count: u64,
    },
}

impl ItemsWriter {
    /// Appends frames that lie back to back.
    pub fn entries(&mut self, count: u32, frames: &[u8]) {
        if count == 0 {
            return;
        }
        let (at, before) = match self.open {
            Open::Entries { at, count } => (at, count),
            Open::Nothing | Open::Gap { .. } | Open::Skip { .. } => {
                let at = self.out.len();
                self.out.extend_from_slice(&[ENTRIES, 0, 0, 0, 0, 0, 0, 0, 0]);
                (at, 0)
            }
        };
        self.out.extend_from_slice(frames);
        let count_now = before.saturating_add(count);
        let bytes = (self.out.len() - at - ENTRIES_HEADER_BYTES) as u32;
        self.patch(at + 1, &count_now.to_le_bytes());
        self.patch(at + 5, &bytes.to_le_bytes());
        self.open = Open::Entries { at, count: count_now };
        self.seqs = self.seqs.saturating_add(u64::from(count));
        self.entries = self.entries.saturating_add(count);
    }

    /// Appends `count` seqs that are gone.
    pub fn gap(&mut self, count: u64, cause: Cause) {
        if count == 0 {
            return;
        }
        self.seqs = self.seqs.saturating_add(count);
        let (at, count) = match self.open {
            Open::Gap { at, cause: before, count: n } if before == cause => (at, n.saturating_add(count)),
            Open::Nothing | Open::Gap { .. } | Open::Skip { .. } | Open::Entries { .. } => {
                let at = self.out.len();
                self.out.extend_from_slice(&[GAP, cause.number(), 0, 0, 0, 0, 0, 0, 0, 0]);
                (at, count)
            }
        };
        self.patch(at + 2, &count.to_le_bytes());
        self.open = Open::Gap { at, cause, count };
    }

    /// Appends `count` seqs that are not meant for the receiver.
    pub fn skip(&mut self, count: u64) {
        if count == 0 {
            return;
        }
        self.seqs = self.seqs.saturating_add(count);
        let (at, count) = match self.open {
            Open::Skip { at, count: before } => (at, before.saturating_add(count)),
            Open::Nothing | Open::Gap { .. } | Open::Entries { .. } => {
                let at = self.out.len();
                self.out.extend_from_slice(&[SKIP, 0, 0, 0, 0, 0, 0, 0, 0]);
                (at, count)
            }
        };
        self.patch(at + 1, &count.to_le_bytes());
        self.open = Open::Skip { at, count };
    }

    /// Takes back the skip that it ends with: how many seqs.
    pub fn unskip(&mut self) -> u64 {
        let Open::Skip { at, count } = self.open else { return 0 };
        self.out.truncate(at);
        self.seqs = self.seqs.saturating_sub(count);
        self.open = Open::Nothing;
        count
    }

    /// How many seqs were appended.
    pub fn seqs(&self) -> u64 {
        self.seqs
    }

    /// How many entries were appended.
    pub fn entry_count(&self) -> u32 {
        self.entries
    }

    /// The block's size so far.
    pub fn bytes(&self) -> usize {
        self.out.len()
    }

    /// The block.
    pub fn finish(self) -> Bytes {
        self.out.into()
    }

    fn patch(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.out.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
}

/// Reads a block whose first seq is known. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Items {
    block: Bytes,
    next: Seq,
}

impl Items {
    /// The items of a block.
    pub fn new(first: Seq, block: Bytes) -> Self {
        Self { block, next: first }
    }

    /// The seq that the next item begins with.
    pub fn next_seq(&self) -> Seq {
        self.next
    }

    fn read(&mut self) -> Result<Item, BadMessage> {
        let first = self.next;
        let [kind] = self.take::<1>()?;
        let (item, count) = match kind {
            ENTRIES => {
                let count = u32::from_le_bytes(self.take()?);
                let bytes = u32::from_le_bytes(self.take()?) as usize;
                if bytes > self.block.len() {
                    return Err(BadMessage::Items { what: "entries cut short" });
                }
                let frames = self.block.split_to(bytes);
                (Item::Entries { first, count, frames }, u64::from(count))
            }
            GAP => {
                let [cause] = self.take::<1>()?;
                let cause = Cause::from_number(cause).ok_or(BadMessage::Items { what: "unknown cause" })?;
                let count = u64::from_le_bytes(self.take()?);
                (Item::Gap(Gap { from: first, to: first.plus(count).prev(), cause }), count)
            }
            SKIP => {
                let count = u64::from_le_bytes(self.take()?);
                (Item::Skip { from: first, to: first.plus(count).prev() }, count)
            }
            _ => return Err(BadMessage::Items { what: "unknown item" }),
        };
        self.next = first.plus(count);
        if count == 0 || self.next > SEQ_MAX {
            return Err(BadMessage::Items { what: "count out of range" });
        }
        Ok(item)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], BadMessage> {
        let head = *self.block.first_chunk::<N>().ok_or(BadMessage::Items { what: "item cut short" })?;
        self.block = self.block.split_off(N);
        Ok(head)
    }
}

impl Iterator for Items {
    type Item = Result<Item, BadMessage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.block.is_empty() {
            return None;
        }
        let read = self.read();
        if read.is_err() {
            self.block = Bytes::new();
        }
        Some(read)
    }
}

/// The frames of one run with their seqs: `count` of them, filling the run to its last byte, or an error.
pub fn numbered(
    first: Seq,
    frames: &[u8],
) -> impl Iterator<Item = Result<(Seq, Frame<'_>), entry::BadEntry>> {
    entry::frames(frames).zip(0..).map(move |(frame, n)| frame.map(|frame| (first.plus(n), frame)))
}
