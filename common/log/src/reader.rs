//! Reads a log in order, holes as gaps, without ever making the writer wait.
//!
//! A reader owns nothing but its place. It sees what is durable and nothing else: the writer hands it a new end
//! only after a commit returned. A segment that is recycled under it is noticed by the salt of its blocks.

use crate::{
    block::{HEADER_BYTES, Kind},
    disk::Disk,
    errors::ReadError,
    footer::{Footer, TRAILER_BYTES, Tally, read_trailer},
    listings::Listings,
    scan::{AHEAD_BYTES, Block, Scanner, Step, Window},
    segment::Segment,
    view::{Shared, View},
};
use bytes::Bytes;
use riser_model::{Cause, Chunk, Epoch, Gap, Run, Seq};
use riser_wire::entry::Frame;
use std::{io, sync::Arc};

/// The least that is read from the disk at once.
const AHEAD_BYTES_MIN: usize = 16 * 1024;
/// The most.
const AHEAD_BYTES_MAX: usize = 1024 * 1024;

/// Reads a log. Clones are independent; none disturbs the writer.
pub struct Reader<D: Disk> {
    pub(crate) disk: D,
    pub(crate) shared: Arc<Shared<D>>,
    place: Option<Place<D>>,
    /// What the last few segments hold that somebody looked for something in, the newest last.
    pub(crate) listings: Listings,
}

/// Where the last read ended.
struct Place<D: Disk> {
    segment: Arc<Segment<D>>,
    scanner: Scanner<D>,
    /// The block that the scanner passed last.
    block: Option<Block>,
    /// The scanner's next block begins here, or later.
    next: Seq,
}

impl<D: Disk> Clone for Reader<D> {
    fn clone(&self) -> Self {
        Self {
            disk: self.disk.clone(),
            shared: self.shared.clone(),
            place: None,
            listings: Listings::default(),
        }
    }
}

impl<D: Disk> Reader<D> {
    pub(crate) fn new(disk: D, shared: Arc<Shared<D>>) -> Self {
        Self { disk, shared, place: None, listings: Listings::default() }
    }

    /// Everything durable from `from` on, in order and without a hole between runs: about `bytes_max` bytes of
    /// entries and at least one, or gaps. Empty past the end. `next` of the answer is where the next read goes on.
    pub fn read(&mut self, from: Seq, bytes_max: usize) -> Result<Chunk, ReadError> {
        self.read_to(from, Seq(u64::MAX), bytes_max)
    }

    /// The same, of nothing after `to`.
    pub(crate) fn read_to(&mut self, from: Seq, to: Seq, bytes_max: usize) -> Result<Chunk, ReadError> {
        let mut runs = Runs { runs: Vec::new(), bytes: 0, bytes_max, next: from.max(Seq(1)) };
        let mut view = self.shared.view();
        while runs.next <= view.end.min(to) && !runs.full() {
            let at = runs.next;
            let Some((segment, last)) = view.find(at) else {
                runs.hole(at, view.oldest().prev().min(to), &view, view.trim_cause);
                continue;
            };
            let (segment, last) = (segment.clone(), last.min(to));
            let found = self.block(&view, &segment, at, last, bytes_max);
            match found.map_err(|source| ReadError { at, source })? {
                Some((first, epoch, count, entries)) => {
                    if first > at && self.trimmed(&mut view, &segment) {
                        continue;
                    }
                    if first > at {
                        runs.hole(at, first.prev().min(to), &view, Cause::Damage);
                    } else {
                        let (count, bytes) =
                            runs.entries(first, epoch, count.min(count_to(first, last)), &entries);
                        self.pass(count, bytes);
                    }
                }
                None => {
                    if self.trimmed(&mut view, &segment) {
                        continue;
                    }
                    runs.hole(at, last, &view, Cause::Damage);
                }
            }
        }
        Ok(Chunk { runs: runs.runs, next: runs.next })
    }

    /// The newest durable seq.
    pub fn last(&self) -> Seq {
        self.shared.view().end
    }

    /// The oldest seq that is still there; the one after [`Reader::last`] if none is.
    pub fn oldest(&self) -> Seq {
        self.shared.view().oldest()
    }

    /// The oldest seq that is still there, and when what is before it had been committed, by the host's clock.
    pub(crate) fn begins(&self) -> (Seq, riser_model::Wall) {
        let view = self.shared.view();
        (view.oldest(), view.oldest_at())
    }

    /// What each segment holds, newest first, the one written to included: with [`Footer::ranges`] a search for
    /// the last entries of a channel reads nothing in vain. The one written to lists what it had a while ago, and one
    /// that has lost its footer no channels.
    pub fn footers(&self) -> impl Iterator<Item = Result<Footer, ReadError>> + use<D> {
        let view = self.shared.view();
        let reader = self.clone();
        (0..view.segments.len()).rev().filter_map(move |index| {
            let segment = view.segments.get(index)?;
            let last = view.last_of(index);
            if last < segment.first || !reader.shared.view().holds(segment) {
                return None;
            }
            let footer = reader.footer(&view, segment, last);
            // Trimmed while it was read: what was read is of a later use.
            if !reader.shared.view().holds(segment) {
                return None;
            }
            Some(footer.map_err(|source| ReadError { at: segment.first, source }))
        })
    }

    /// The first entries of the block at hand were handed out.
    fn pass(&mut self, count: u32, bytes: usize) {
        if let Some(block) = self.place.as_mut().and_then(|place| place.block.as_mut()) {
            block.cut(count, bytes);
        }
    }

    /// Looks again, after something unexpected. Whether the segment was trimmed meanwhile: what was met there is
    /// of its next use then.
    fn trimmed(&self, view: &mut Arc<View<D>>, segment: &Segment<D>) -> bool {
        *view = self.shared.view();
        !view.holds(segment)
    }

    /// The entries from `at` on, or else from the first after it that can be read, of the block that has them;
    /// none if the segment has no more.
    fn block(
        &mut self,
        view: &View<D>,
        segment: &Arc<Segment<D>>,
        at: Seq,
        last: Seq,
        bytes_max: usize,
    ) -> io::Result<Option<(Seq, Epoch, u32, Bytes)>> {
        let place = match &mut self.place {
            Some(place) if place.segment.identity == segment.identity && place.reaches(at) => place,
            _ => {
                self.find_points(view, segment, last)?;
                let window = Window::new(self.disk.clone(), segment.file.clone(), segment.length);
                let scanner = Scanner::new(window, segment.identity, segment.point_before(at));
                let place = Place { segment: segment.clone(), scanner, block: None, next: segment.first };
                self.place.insert(place)
            }
        };
        place.scanner.window.set_stop(view.stop_of(segment));
        place.scanner.window.set_ahead(bytes_max.clamp(AHEAD_BYTES_MIN, AHEAD_BYTES_MAX));
        loop {
            if let Some(block) = place.block.as_mut().filter(|block| block.header.last() >= at) {
                let skip = u32::try_from(at.0.saturating_sub(block.header.first.0)).unwrap_or(u32::MAX);
                let (count, bytes) = walk(&block.entries, skip, usize::MAX);
                block.cut(count, bytes);
                let header = &block.header;
                let found = (header.first, header.epoch, header.count, block.entries.clone());
                return Ok((header.first <= last).then_some(found));
            }
            match place.scanner.step()? {
                Step::Block(block) => {
                    place.next = place.next.max(block.header.last().next());
                    place.block = Some(block).filter(|block| block.header.count > 0);
                }
                Step::Skip { .. } => {}
                Step::End { .. } => return Ok(None),
            }
        }
    }

    /// Reads from where to go on inside a sealed segment, unless that is known.
    fn find_points(&self, view: &View<D>, segment: &Segment<D>, last: Seq) -> io::Result<()> {
        let sealed = view.segments.last().is_some_and(|active| active.identity != segment.identity);
        if sealed && !segment.points_known() {
            let footer = self.footer(view, segment, last)?;
            segment.set_points(footer.points);
            if last < footer.last {
                // Its last blocks were appended again in the next segment.
                return Ok(());
            }
            segment.end(footer.data_end);
        }
        Ok(())
    }

    pub(crate) fn footer(&self, view: &View<D>, segment: &Segment<D>, last: Seq) -> io::Result<Footer> {
        if let Some(footer) = segment.footer.get() {
            return Ok((**footer).clone());
        }
        if view.segments.last().is_some_and(|active| active.identity == segment.identity) {
            let unlisted = || Footer::unlisted(segment.first, last, view.end_offset, segment.points());
            return Ok(segment.listed().map_or_else(unlisted, |listed| (*listed).clone()));
        }
        match self.stored_footer(segment)? {
            Some(footer) => Ok(footer),
            None => self.made_footer(view, segment, last),
        }
    }

    /// The footer at a segment's end.
    pub(crate) fn stored_footer(&self, segment: &Segment<D>) -> io::Result<Option<Footer>> {
        let mut window = Window::new(self.disk.clone(), segment.file.clone(), segment.length);
        window.set_ahead(AHEAD_BYTES_MIN);
        let Some(at) = segment.length.checked_sub(TRAILER_BYTES as u64) else { return Ok(None) };
        let trailer = window.get(at, TRAILER_BYTES)?;
        let Some(at) = read_trailer(&trailer).and_then(|bytes| segment.length.checked_sub(u64::from(bytes)))
        else {
            return Ok(None);
        };
        match Scanner::new(window, segment.identity, at).step()? {
            Step::Block(block) if block.header.kind == Kind::Footer => Ok(Footer::load(&block.meta)),
            Step::Block(_) | Step::Skip { .. } | Step::End { .. } => Ok(None),
        }
    }

    /// A footer without channels, for a sealed segment that has lost its own.
    fn made_footer(&self, view: &View<D>, segment: &Segment<D>, last: Seq) -> io::Result<Footer> {
        let mut window = Window::new(self.disk.clone(), segment.file.clone(), view.stop_of(segment));
        window.set_ahead(AHEAD_BYTES);
        let mut scanner = Scanner::new(window, segment.identity, 0);
        let mut tally = Tally::new(segment.first, segment.length);
        loop {
            match scanner.step()? {
                Step::Block(block) if block.header.first > last => break,
                Step::Block(block) => {
                    let offset = block.header.offset;
                    tally.add(offset, scanner.at(), block.header.first, &block.entries, |_, _| {});
                }
                Step::Skip { .. } => {}
                Step::End { .. } => break,
            }
        }
        Ok(tally.footer(&crate::definitions::Definitions::new(0), u64::MAX))
    }
}

impl<D: Disk> Place<D> {
    /// Whether going on from here, instead of looking for a nearer point, leads to `at`.
    fn reaches(&self, at: Seq) -> bool {
        let held =
            self.block.as_ref().is_some_and(|block| (block.header.first..=block.header.last()).contains(&at));
        held || (at >= self.next && self.segment.point_before(at) <= self.scanner.at())
    }
}

/// How many seqs from `first` to `last`.
fn count_to(first: Seq, last: Seq) -> u32 {
    u32::try_from(last.0.saturating_add(1).saturating_sub(first.0)).unwrap_or(u32::MAX)
}

/// How many frames, and how many bytes of them, come to at most `count` and about `bytes_max` bytes.
fn walk(entries: &[u8], count: u32, bytes_max: usize) -> (u32, usize) {
    let (mut n, mut at) = (0, 0);
    while n < count && at < bytes_max {
        let Ok((_, next)) = Frame::read(entries, at) else { break };
        (n, at) = (n + 1, next);
    }
    (n, at)
}

/// What a read has brought so far.
struct Runs {
    runs: Vec<Run>,
    bytes: usize,
    bytes_max: usize,
    next: Seq,
}

impl Runs {
    fn full(&self) -> bool {
        self.bytes >= self.bytes_max.max(1)
    }

    /// Takes about as many entries as there is room for: how many, and how many bytes.
    fn entries(&mut self, first: Seq, epoch: Epoch, count: u32, entries: &Bytes) -> (u32, usize) {
        let room = self.bytes_max.saturating_sub(self.bytes).max(1);
        let (count, bytes) = walk(entries, count, room);
        if count == 0 {
            // The block's checksum held, so the frames are as the writer counted them.
            debug_assert!(false, "a committed block without the frames it counts");
            self.gap(Gap { from: first, to: first, cause: Cause::Damage });
            return (1, 0);
        }
        self.bytes += bytes;
        self.next = first.plus(u64::from(count));
        self.runs.push(Run::Entries { first, count, epoch, entries: entries.slice(..bytes) });
        (count, bytes)
    }

    fn hole<D: Disk>(&mut self, from: Seq, to: Seq, view: &View<D>, otherwise: Cause) {
        for gap in view.gaps.split(from, to.min(view.end), otherwise) {
            self.gap(gap);
        }
    }

    fn gap(&mut self, gap: Gap) {
        self.next = gap.to.next();
        match self.runs.last_mut() {
            Some(Run::Gap(last)) if last.cause == gap.cause && last.to.next() == gap.from => last.to = gap.to,
            _ => self.runs.push(Run::Gap(gap)),
        }
    }
}

const _: () = assert!(AHEAD_BYTES_MIN > HEADER_BYTES);
