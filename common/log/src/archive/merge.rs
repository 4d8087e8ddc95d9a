//! Makes one volume of several small ones that follow one another.
//!
//! A log whose archived rooms are quiet leaves a small volume per segment: each costs a file, a look at the start and a
//! place in memory. Only what the log has let go of is merged: what it still has may be archived anew for another room.
//! What always holds: the new volume is on disk under its name before one of the old goes, has all that they have, and
//! nothing is merged that cannot be read whole.

use super::{
    Archive, Step,
    shelf::Volume,
    volume::{Found, Head, Making, Name, Opened, Part, UNFINISHED, routes},
};
use crate::{disk::Disk, view::View};
use riser_model::{EpochSpan, Seq};
use riser_wire::entry::Frame;
use std::{collections::BTreeSet, io, sync::Arc};

/// So much is read at once.
const AHEAD_BYTES: usize = 128 << 10;
/// So many are merged at least: fewer are not worth it.
const RUN_MIN: usize = 8;
/// A volume of less than this part of a segment is small.
const SMALL: u64 = 8;

impl<D: Disk> Archive<D> {
    /// Makes one volume of small ones, where there are enough of them.
    pub(super) fn merge(&mut self, view: &View<D>) -> io::Result<Step> {
        let Some(segment) = view.segments.first() else { return Ok(Step::Rests) };
        let Some(run) = run(&self.volumes, view.oldest(), segment.length, &self.stay) else {
            return Ok(Step::Rests);
        };
        let bytes: u64 = run.iter().map(|volume| volume.bytes).sum();
        if self.disk.free_space()? < bytes.saturating_add(segment.length.saturating_mul(2)) {
            return Ok(Step::Rests);
        }
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(Step::Rests) };
        let (first, last) = (first.name.first, last.name.last);
        let heads = run.iter().filter_map(|volume| volume.head.as_ref());
        let names: Vec<Name> = run.iter().map(|volume| volume.name).collect();
        let made = self.make_of(heads, &names, (first, last), bytes);
        let Some(merged) = made.unwrap_or(None) else {
            // Nothing is lost by it: they stay as they are until the next start.
            self.stay.extend(names);
            return Ok(Step::Rests);
        };
        self.volumes.retain(|volume| volume.name.last < first || volume.name.first > last);
        let place = self.volumes.partition_point(|volume| volume.name.first < first);
        self.volumes.insert(place, merged);
        self.publish();
        for name in &names {
            // If one stays now, the next start sees to it.
            let _ = self.disk.remove(&name.file());
        }
        Ok(Step::Merged { first, last, volumes: names.len() })
    }

    /// Makes a volume of what these have in those seqs. None if something of them cannot be read.
    pub(super) fn make_of<'a>(
        &mut self,
        heads: impl Iterator<Item = &'a Head> + Clone,
        names: &[Name],
        (first, last): (Seq, Seq),
        bytes: u64,
    ) -> io::Result<Option<Arc<Volume>>> {
        self.generation = self.generation.wrapping_add(1);
        let name = Name { first, last, generation: self.generation, log: self.log };
        let Some(head) = head(heads, name) else { return Ok(None) };
        let spans = head.spans.clone();
        let unfinished = format!("{UNFINISHED}{}", name.file());
        let file = self.disk.create(&unfinished)?;
        let make = || {
            let mut making = Making::begin(self.disk.clone(), file, head, bytes)?;
            for part in names {
                if !copy(&self.disk, (*part, part.last.min(last)), &mut making)? {
                    return Ok(None);
                }
            }
            making.spans(spans);
            let made = making.finish()?;
            self.disk.rename(&unfinished, &name.file())?;
            self.disk.sync_dir()?;
            Ok(Some(made))
        };
        let made: io::Result<Option<(Head, u64)>> = make();
        if !matches!(made, Ok(Some(_))) {
            // Under whatever name it has by now.
            let _ = self.disk.remove(&unfinished);
            let _ = self.disk.remove(&name.file());
        }
        Ok(made?.map(|(head, bytes)| Arc::new(Volume { name, bytes, head: Some(head) })))
    }
}

/// The oldest run of small volumes that are worth it, before `end`: of the same rooms, without a hole, and together no
/// larger than a segment. Those that `stay` are in none.
fn run(
    volumes: &[Arc<Volume>],
    end: Seq,
    segment_bytes: u64,
    stay: &BTreeSet<Name>,
) -> Option<Vec<Arc<Volume>>> {
    let may = |volume: &Volume| {
        let small = volume.bytes < segment_bytes / SMALL && volume.name.last < end;
        small && volume.head.is_some() && !stay.contains(&volume.name)
    };
    let follows = |before: &Volume, next: &Volume| {
        let same = match (&before.head, &next.head) {
            (Some(before), Some(next)) => before.rooms == next.rooms,
            _ => false,
        };
        same && before.name.last.next() == next.name.first
    };
    let (mut found, mut bytes): (Vec<Arc<Volume>>, u64) = (Vec::new(), 0);
    for volume in volumes {
        let fits =
            found.last().is_none_or(|last| follows(last, volume)) && bytes + volume.bytes <= segment_bytes;
        if !may(volume) || !fits {
            if found.len() >= RUN_MIN {
                break;
            }
            (found, bytes) = (Vec::new(), 0);
        }
        if may(volume) {
            bytes += volume.bytes;
            found.push(volume.clone());
        }
    }
    (found.len() >= RUN_MIN).then_some(found)
}

/// The head of the volume that takes the place of these, as far as its name says.
fn head<'a>(heads: impl Iterator<Item = &'a Head> + Clone, name: Name) -> Option<Head> {
    let first = heads.clone().next()?;
    let mut spans: Vec<EpochSpan> = Vec::new();
    for span in heads.flat_map(|head| &head.spans).filter(|span| span.first <= name.last) {
        let last = span.last.min(name.last);
        match spans.last_mut() {
            Some(before) if before.epoch == span.epoch => before.last = last,
            _ => spans.push(EpochSpan { last, ..*span }),
        }
    }
    Some(Head { name, began: first.began, rooms: first.rooms.clone(), spans })
}

/// Copies what a volume has up to `to` into the one that takes its place. False if something of it cannot be read, or
/// the log had lost something of it: every reader comes by such a one, and should come by no more than that.
fn copy<D: Disk>(disk: &D, volume: (Name, Seq), making: &mut Making<D>) -> io::Result<bool> {
    let (name, to) = volume;
    let (file, length) = disk.open(&name.file())?;
    let mut opened = Opened::new(disk.clone(), file, length, name);
    let Some((_, parts)) = opened.footer()? else { return Ok(false) };
    let mut parts: Vec<Part> = parts.into_iter().filter(|part| part.first <= to).collect();
    if to < name.last {
        // The one that is cut counts as nothing: more is kept then than is named.
        parts.pop();
    }
    making.parts(parts);
    opened.set_ahead(AHEAD_BYTES);
    let (mut offset, mut next) = (0, name.first);
    while next <= to {
        let (directory, entries, after) = match opened.piece(offset)? {
            Found::Piece { directory, entries, next } => (directory, entries, next),
            // The head is before the first piece.
            Found::Other { next: after } if next == name.first => {
                offset = after;
                continue;
            }
            Found::Other { .. } | Found::End => return Ok(false),
        };
        if directory.first != next || !directory.gaps.is_empty() {
            return Ok(false);
        }
        let known = routes(&directory);
        let mut rest = entries;
        for stretch in &directory.stretches {
            let bytes = rest.split_to((stretch.bytes as usize).min(rest.len()));
            let (mut seq, mut at) = (stretch.first, 0);
            while let Some((frame, after)) = Frame::read(&bytes, at).ok().filter(|_| seq <= to) {
                let (Some(route), Some(whole)) = (known.get(&frame.route), bytes.get(at..after)) else {
                    return Ok(false);
                };
                making.entry(seq, stretch.epoch, whole, route)?;
                (seq, at) = (seq.next(), after);
            }
        }
        (offset, next) = (after, directory.last.next());
    }
    Ok(true)
}
