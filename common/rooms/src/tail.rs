//! The newest committed entries in memory, shared and reference-counted, and blocks of entries in general.
//!
//! The tail holds every seq from its first to the newest committed one, without a hole, within a bound of
//! bytes. Who wants what is older reads the disk.

use crate::graph::ChannelSlot;
use bytes::Bytes;
use riser_model::{Chunk, Epoch, RouteNumber, Run, Seq, Wall};
use riser_wire::entry::Frame;
use std::collections::VecDeque;

/// What the index of one entry takes: its place here, and its seq in its channel and its room.
const INDEX_BYTES: usize = 32;

/// So many from the end are looked at one by one.
const NEAR: usize = 16;

/// `VecDeque::partition_point` for a point that almost always is near the end: who is up to date wants what came last.
pub(crate) fn point_near_end<T>(all: &VecDeque<T>, is_before: impl Fn(&T) -> bool) -> usize {
    let near = all.iter().rev().take(NEAR).take_while(|item| !is_before(item)).count();
    if near < NEAR { all.len() - near } else { all.partition_point(is_before) }
}

/// Entries that follow one another, with the place of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Block {
    pub(crate) first: Seq,
    pub(crate) epoch: Epoch,
    pub(crate) entries: Bytes,
    /// The byte at which each begins.
    pub(crate) offsets: Vec<u32>,
    /// The channel of each; [`ChannelSlot::NONE`] where it is no publication.
    pub(crate) channels: Vec<ChannelSlot>,
}

/// One entry as it lies in memory.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) epoch: Epoch,
    pub(crate) route: RouteNumber,
    pub(crate) body: Bytes,
    /// When it was published, by this instance's clock.
    pub(crate) wall: Wall,
    /// That is a guess.
    pub(crate) uncertain: bool,
}

impl Block {
    pub(crate) fn count(&self) -> u64 {
        self.offsets.len() as u64
    }

    /// The seq after the last.
    pub(crate) fn next(&self) -> Seq {
        self.first.plus(self.count())
    }

    pub(crate) fn size(&self) -> usize {
        self.entries.len() + self.offsets.len() * INDEX_BYTES
    }

    /// The place of a seq, if it is in here.
    pub(crate) fn place(&self, seq: Seq) -> Option<usize> {
        let place = seq.0.checked_sub(self.first.0)?;
        (place < self.count()).then_some(place as usize)
    }

    pub(crate) fn frame(&self, place: usize) -> Option<Frame<'_>> {
        let at = *self.offsets.get(place)?;
        Frame::read(&self.entries, at as usize).ok().map(|(frame, _)| frame)
    }

    pub(crate) fn get(&self, seq: Seq) -> Option<Found> {
        let frame = self.frame(self.place(seq)?)?;
        let body = self.entries.slice_ref(frame.body);
        let (wall, uncertain) = (frame.wall(), frame.is_uncertain());
        Some(Found { epoch: self.epoch, route: frame.route, body, wall, uncertain })
    }

    /// The entries from `place` on, as many whole ones as fit, at least one.
    fn run(&self, place: usize, max_bytes: usize) -> Option<Run> {
        let start = *self.offsets.get(place)? as usize;
        let rest = self.offsets.get(place + 1..)?;
        // The end of the n-th entry is the begin of the next.
        let fitting = rest.partition_point(|&at| at as usize - start <= max_bytes);
        let whole = self.entries.len() - start <= max_bytes;
        let count = if whole { rest.len() + 1 } else { fitting.max(1) };
        let end = rest.get(count - 1).map_or(self.entries.len(), |&at| at as usize);
        Some(Run::Entries {
            first: self.first.plus(place as u64),
            count: u32::try_from(count).ok()?,
            epoch: self.epoch,
            entries: self.entries.slice(start..end),
        })
    }
}

#[derive(Debug)]
pub(crate) struct Tail {
    blocks: VecDeque<Block>,
    next: Seq,
    bytes: usize,
    bytes_max: usize,
}

impl Tail {
    /// An empty tail that goes on with `next`.
    pub(crate) fn new(next: Seq, bytes_max: usize) -> Self {
        Self { blocks: VecDeque::new(), next, bytes: 0, bytes_max }
    }

    /// The first seq that it holds, or the next one if it holds none.
    pub(crate) fn first(&self) -> Seq {
        self.blocks.front().map_or(self.next, |block| block.first)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the next block. Then [`Tail::surplus`] until it is empty.
    pub(crate) fn push(&mut self, block: Block) {
        self.bytes += block.size();
        self.next = block.next();
        self.blocks.push_back(block);
    }

    /// The oldest block, as long as the bound is exceeded. The newest block always stays, and so does what was not
    /// said to be committed yet: whoever folds the log reads it here.
    pub(crate) fn surplus(&mut self, said: Seq) -> Option<Block> {
        if self.bytes <= self.bytes_max || self.blocks.len() < 2 {
            return None;
        }
        self.blocks.front().filter(|block| block.next() <= said.next())?;
        let block = self.blocks.pop_front()?;
        self.bytes -= block.size();
        Some(block)
    }

    fn index(&self, seq: Seq) -> usize {
        point_near_end(&self.blocks, |block| block.next() <= seq)
    }

    pub(crate) fn get(&self, seq: Seq) -> Option<Found> {
        self.blocks.get(self.index(seq))?.get(seq)
    }

    /// (seq, channel) of every publication from `seq` on.
    pub(crate) fn publications(&self, seq: Seq) -> impl Iterator<Item = (Seq, ChannelSlot)> {
        self.blocks.range(self.index(seq)..).flat_map(move |block| {
            let skip = block.place(seq).unwrap_or(0);
            let numbered = block.channels.iter().enumerate().skip(skip);
            numbered
                .filter(|(_, channel)| **channel != ChannelSlot::NONE)
                .map(|(place, channel)| (block.first.plus(place as u64), *channel))
        })
    }

    /// (seq, channel) of every publication, the newest first.
    pub(crate) fn publications_back(&self) -> impl Iterator<Item = (Seq, ChannelSlot)> {
        self.blocks.iter().rev().flat_map(|block| {
            let numbered = block.channels.iter().enumerate().rev();
            numbered
                .filter(|(_, channel)| **channel != ChannelSlot::NONE)
                .map(|(place, channel)| (block.first.plus(place as u64), *channel))
        })
    }

    /// A piece of the log from here, if `from` is in it or right behind it.
    pub(crate) fn chunk(&self, from: Seq, max_bytes: usize) -> Option<Chunk> {
        if from < self.first() || from > self.next {
            return None;
        }
        let mut chunk = Chunk { runs: Vec::new(), next: from };
        let mut left = max_bytes;
        for block in self.blocks.range(self.index(from)..) {
            let Some(run) = block.place(chunk.next).and_then(|place| block.run(place, left)) else { break };
            let Run::Entries { first, count, ref entries, .. } = run else { break };
            if !chunk.runs.is_empty() && entries.len() > left {
                break;
            }
            left = left.saturating_sub(entries.len());
            chunk.next = first.plus(u64::from(count));
            chunk.runs.push(run);
            if chunk.next < block.next() {
                break;
            }
        }
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_near_the_end_is_where_the_whole_search_finds_it() {
        for count in [0, 1, NEAR - 1, NEAR, NEAR + 1, 100] {
            let all: VecDeque<usize> = (0..count).collect();
            for point in 0..=count + 1 {
                let is_before = |item: &usize| *item < point;
                assert_eq!(
                    point_near_end(&all, is_before),
                    all.partition_point(is_before),
                    "{point} of {count}"
                );
            }
        }
    }
}
