//! Copies what some rooms have in one sealed segment.
//!
//! It reads the whole segment, block after block: the first one is a checkpoint and the others say what they define, so
//! what a route number means is said by the segment itself. Where that is damaged the checkpoint of the next segment
//! knows it too; what nobody knows any more is a gap.

use super::volume::Making;
use crate::{
    block::Kind,
    checkpoint::{Changes, Checkpoint},
    disk::Disk,
    reader::Reader,
    scan::{Scanner, Step, Window},
    view::View,
};
use riser_model::{Cause, Epoch, EpochSpan, Gap, RoomId, Route, RouteNumber, Seq};
use riser_wire::entry::{Frame, frames};
use std::{
    collections::{BTreeSet, HashMap},
    io,
};

/// What a copy knows while it goes through a segment.
struct Copy<D: Disk> {
    making: Making<D>,
    rooms: BTreeSet<RoomId>,
    routes: HashMap<u32, Route>,
    /// The seq that comes next, and the last.
    at: Seq,
    last: Seq,
    spans: Vec<EpochSpan>,
}

/// Copies what a volume is to have of the segment at that place. What the medium could not read is an error, and with
/// `as_it_is` a gap: it may be readable again, and a gap in a volume is for ever.
pub(super) fn copy<D: Disk>(
    log: &Reader<D>,
    view: &View<D>,
    at: usize,
    making: Making<D>,
    as_it_is: bool,
) -> io::Result<Making<D>> {
    let Some(segment) = view.segments.get(at) else { return Ok(making) };
    let mut copy = Copy {
        rooms: making.rooms().clone(),
        making,
        routes: HashMap::new(),
        at: segment.first,
        last: view.last_of(at),
        spans: Vec::new(),
    };
    let mut scanner = scanner(log, view, at);
    let mut asked = false;
    loop {
        match scanner.step()? {
            Step::Block(block) if block.header.first > copy.last => break,
            Step::Block(block) => {
                match block.header.kind {
                    Kind::Checkpoint => copy.learn(Checkpoint::load(&block.meta)),
                    Kind::Changes => {
                        copy.routes.extend(Changes::load(&block.meta).unwrap_or_default().routes)
                    }
                    Kind::Footer => break,
                }
                if !asked && copy.lacks(&block.entries) {
                    // What defined it cannot be read. The next segment's checkpoint names what live entries use.
                    copy.learn(next_checkpoint(log, view, at + 1)?);
                    asked = true;
                }
                copy.hole(view, block.header.first.prev().min(copy.last));
                copy.block(block.header.first, block.header.epoch, &block.entries)?;
            }
            Step::Skip { .. } => {}
            Step::End { .. } => break,
        }
    }
    if scanner.window.unreadable() && !as_it_is {
        return Err(io::Error::other("a segment of the log cannot be read where the medium should know it"));
    }
    copy.hole(view, copy.last);
    copy.making.spans(copy.spans);
    Ok(copy.making)
}

impl<D: Disk> Copy<D> {
    fn learn(&mut self, checkpoint: Option<Checkpoint>) {
        let routes = checkpoint.into_iter().flat_map(|checkpoint| checkpoint.routes);
        // What is known from the segment itself stays.
        routes.for_each(|(number, route, _)| {
            self.routes.entry(number).or_insert(route);
        });
    }

    /// Whether it is not known what all these entries' numbers mean.
    fn lacks(&self, entries: &[u8]) -> bool {
        let known = |number: RouteNumber| number == RouteNumber::NONE || self.routes.contains_key(&number.0);
        frames(entries).map_while(Result::ok).any(|frame| !known(frame.route))
    }

    /// The log has nothing up to here any more.
    fn hole(&mut self, view: &View<D>, to: Seq) {
        if self.at <= to {
            view.gaps.split(self.at, to, Cause::Damage).into_iter().for_each(|gap| self.making.gap(gap));
            self.at = to.next();
        }
    }

    fn block(&mut self, first: Seq, epoch: Epoch, entries: &[u8]) -> io::Result<()> {
        let (mut seq, mut from) = (first, 0);
        while let Ok((frame, next)) = Frame::read(entries, from) {
            if seq >= self.at && seq <= self.last {
                self.entry(seq, epoch, frame.route, entries.get(from..next).unwrap_or_default())?;
                self.at = seq.next();
            }
            (seq, from) = (seq.next(), next);
        }
        Ok(())
    }

    fn entry(&mut self, seq: Seq, epoch: Epoch, number: RouteNumber, frame: &[u8]) -> io::Result<()> {
        match self.spans.last_mut() {
            Some(span) if span.epoch == epoch => span.last = seq,
            _ => self.spans.push(EpochSpan { epoch, first: seq, last: seq }),
        }
        match self.routes.get(&number.0) {
            Some(route) if self.rooms.contains(&route.room) => self.making.entry(seq, epoch, frame, route),
            Some(_) => Ok(()),
            None if number == RouteNumber::NONE => Ok(()),
            None => {
                // Whose it was nobody knows any more.
                self.making.gap(Gap { from: seq, to: seq, cause: Cause::Damage });
                Ok(())
            }
        }
    }
}

fn scanner<D: Disk>(log: &Reader<D>, view: &View<D>, at: usize) -> Scanner<D> {
    let segment = view.segments.get(at).expect("the caller has looked");
    let window = Window::new(log.disk.clone(), segment.file.clone(), view.stop_of(segment));
    Scanner::new(window, segment.identity, 0)
}

fn next_checkpoint<D: Disk>(log: &Reader<D>, view: &View<D>, at: usize) -> io::Result<Option<Checkpoint>> {
    if view.segments.get(at).is_none() {
        return Ok(None);
    }
    match scanner(log, view, at).step()? {
        Step::Block(block) if block.header.kind == Kind::Checkpoint => Ok(Checkpoint::load(&block.meta)),
        Step::Block(_) | Step::Skip { .. } | Step::End { .. } => Ok(None),
    }
}
