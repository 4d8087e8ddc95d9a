//! Reading what concerns somebody, and passing over the rest by what the segments' footers say (rule 6.6).
//!
//! What always holds: whatever may concern the reader is read, or is a gap; a footer that does not list all
//! channels, and the newest part of the segment that is written to, are read as a whole.

use crate::{disk::Disk, errors::ReadError, footer::Footer, reader::Reader, segment::Segment, view::View};
use riser_model::{Chunk, Interest, Read, Run, Selected, Seq};
use std::sync::Arc;

/// One read looks into the footers of at most so many segments: it lets the next reader have its turn.
const SEGMENTS_MAX: usize = 32;

/// Knows what sealed segments hold without reading them. It is never asked to be right about what it does not know.
pub trait Index {
    /// What a sealed segment holds that may concern somebody: its listing, in which other channels may be missing.
    fn find(&mut self, segment: SegmentKey, of: &Interest) -> Option<Footer>;
    /// What a sealed segment holds, as its footer was read.
    fn learn(&mut self, segment: SegmentKey, footer: &Footer);
    /// Whether it would rather not be told what that sealed segment holds.
    fn knows(&mut self, segment: SegmentKey) -> bool;
    /// Nothing is left of what was before.
    fn forget_before(&mut self, oldest: Seq);
}

/// Knows nothing.
impl Index for () {
    fn find(&mut self, _: SegmentKey, _: &Interest) -> Option<Footer> {
        None
    }

    fn learn(&mut self, _: SegmentKey, _: &Footer) {}

    fn knows(&mut self, _: SegmentKey) -> bool {
        true
    }

    fn forget_before(&mut self, _: Seq) {}
}

/// One use of one segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentKey {
    /// Its first seq.
    pub first: Seq,
    /// What tells this use from every other.
    pub salt: u64,
}

/// What is to be done with the seqs from some place on.
enum Part {
    /// Read them, to here.
    Read(Seq),
    /// Pass over them, to here.
    Skip(Seq),
}

impl<D: Disk> Reader<D> {
    /// Does what is asked.
    pub fn perform(&mut self, read: &Read, index: &mut dyn Index) -> Result<Selected, ReadError> {
        match read {
            Read::All { from, max_bytes } => self.read(*from, *max_bytes as usize).map(Selected::from),
            Read::Of { from, max_bytes, of } => self.read_of(*from, *max_bytes as usize, of, index),
            Read::Before { before, of } => self.read_before(*before, of, index),
        }
    }

    /// Everything durable from `from` on that may concern `of`, in order: about `bytes_max` bytes of entries and at
    /// least one, or gaps, or what was passed over. Empty past the end. `next` is where the next read goes on.
    pub fn read_of(
        &mut self,
        from: Seq,
        bytes_max: usize,
        of: &Interest,
        index: &mut dyn Index,
    ) -> Result<Selected, ReadError> {
        let next = from.max(Seq(1));
        let mut found = Selected { chunk: Chunk { runs: Vec::new(), next }, skips: Vec::new() };
        let (mut bytes, mut looks) = (0, 0);
        while bytes < bytes_max.max(1) && looks < SEGMENTS_MAX {
            let view = self.shared.view();
            let at = found.chunk.next;
            if at > view.end {
                break;
            }
            match self.part(&view, at, of, index) {
                None => {}
                Some(Part::Skip(to)) => {
                    skip(&mut found, at, to);
                    looks += 1;
                }
                Some(Part::Read(to)) => {
                    let chunk = self.read_to(at, to, bytes_max - bytes)?;
                    if chunk.runs.is_empty() {
                        break;
                    }
                    bytes += append(&mut found, chunk);
                }
            }
        }
        Ok(found)
    }

    /// The newest part before `before` that may concern `of`, from its first seq, which is the answer's first, to
    /// `before`: about 1/256 of a segment. Empty if there is none; `next` is then how far down it has looked.
    pub fn read_before(
        &mut self,
        before: Seq,
        of: &Interest,
        index: &mut dyn Index,
    ) -> Result<Selected, ReadError> {
        let mut end = before;
        for _ in 0..SEGMENTS_MAX {
            let view = self.shared.view();
            end = end.min(view.end.next());
            if end <= view.oldest() {
                break;
            }
            match self.newest(&view, end.prev(), of, index) {
                None => {}
                Some((from, None)) => end = from,
                Some((from, Some(to))) => {
                    let chunk = self.read_to(from, to, usize::MAX)?;
                    let mut found =
                        Selected { chunk: Chunk { runs: Vec::new(), next: from }, skips: Vec::new() };
                    append(&mut found, chunk);
                    let next = found.chunk.next;
                    if next < before {
                        skip(&mut found, next, before.prev());
                    }
                    return Ok(found);
                }
            }
        }
        Ok(Selected { chunk: Chunk { runs: Vec::new(), next: end }, skips: Vec::new() })
    }

    /// Tells an index of one sealed segment that it does not know, the newest first. False if there is none.
    pub fn teach(&mut self, index: &mut dyn Index) -> Result<bool, ReadError> {
        let view = self.shared.view();
        index.forget_before(view.oldest());
        for (at, segment) in view.segments.iter().enumerate().rev().skip(1) {
            let key = segment.key();
            if segment.listed().is_some() || segment.footer.get().is_some() || index.knows(key) {
                continue;
            }
            let footer = self.footer(&view, segment, view.last_of(at));
            let footer = footer.map_err(|source| ReadError { at: segment.first, source })?;
            if self.shared.view().holds(segment) {
                index.learn(key, &footer);
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// What to do with the seqs from `at` on; none if their segment went away meanwhile.
    fn part(&mut self, view: &View<D>, at: Seq, of: &Interest, index: &mut dyn Index) -> Option<Part> {
        let Some((segment, last)) = view.find(at) else {
            return Some(Part::Read(view.oldest().prev()));
        };
        let listing = self.listing(view, segment, last, of, index)?;
        let end = listing.last.min(last);
        if !listing.complete || at > end {
            return Some(Part::Read(last));
        }
        let wanted = listing.wanted(of);
        let next = wanted.iter().find(|(_, to)| *to >= at);
        Some(match next {
            Some((from, _)) if *from > end => Part::Skip(end),
            Some((from, _)) if *from > at => Part::Skip(from.prev()),
            Some((_, to)) => Part::Read((*to).min(end)),
            None => Part::Skip(end),
        })
    }

    /// The newest part of a segment up to `at`: from where, and to where if anything of it may concern the reader.
    fn newest(
        &mut self,
        view: &View<D>,
        at: Seq,
        of: &Interest,
        index: &mut dyn Index,
    ) -> Option<(Seq, Option<Seq>)> {
        let Some((segment, last)) = view.find(at) else { return Some((view.oldest(), None)) };
        let listing = self.listing(view, segment, last, of, index)?;
        let unlisted = !listing.complete || at > listing.last;
        let range = if unlisted {
            let from = if listing.complete { listing.last.next() } else { listing.first };
            Some((from, at))
        } else {
            listing.wanted(of).into_iter().rev().find(|(from, _)| *from <= at)
        };
        Some(match range {
            Some((from, to)) => {
                let to = to.min(at);
                let point = segment.point_of(to).max(listing.point_before(to));
                (point.max(from).max(segment.first), Some(to))
            }
            None => (segment.first, None),
        })
    }

    /// What a segment holds; none if it went away meanwhile. Where that cannot be read, nothing is passed over.
    fn listing(
        &mut self,
        view: &View<D>,
        segment: &Arc<Segment<D>>,
        last: Seq,
        of: &Interest,
        index: &mut dyn Index,
    ) -> Option<Arc<Footer>> {
        let known = || segment.footer.get().cloned().or_else(|| self.listings.get(segment.identity));
        if let Some(footer) = segment.listed().or_else(known) {
            return Some(footer);
        }
        let key = segment.key();
        if let Some(footer) = index.find(key, of) {
            return Some(Arc::new(footer));
        }
        let footer = self.footer(view, segment, last);
        if !self.shared.view().holds(segment) {
            return None;
        }
        let Ok(footer) = footer else {
            return Some(Arc::new(Footer::unlisted(segment.first, last, 0, segment.points())));
        };
        index.learn(key, &footer);
        let footer = Arc::new(footer);
        self.listings.keep(segment.identity, footer.clone());
        Some(footer)
    }
}

fn skip(found: &mut Selected, from: Seq, to: Seq) {
    match found.skips.last_mut() {
        Some(last) if last.1.next() == from => last.1 = to,
        _ => found.skips.push((from, to)),
    }
    found.chunk.next = to.next();
}

/// How many bytes of entries it brought; a gap counts as one.
fn append(found: &mut Selected, chunk: Chunk) -> usize {
    found.chunk.next = chunk.next;
    let bytes = chunk.runs.iter().map(|run| match run {
        Run::Entries { entries, .. } => entries.len(),
        Run::Gap(_) => 1,
    });
    let bytes = bytes.sum();
    found.chunk.runs.extend(chunk.runs);
    bytes
}
