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
/// What is merged takes at most this part of the archive's quota: so much the quota costs at once.
const QUOTA_PART: u64 = 16;

/// Why there is no volume of several.
pub(super) enum NotMade {
    /// Something of this one cannot be read, or the log had lost something of it.
    Part(Name),
    /// It could not be written.
    Unwritten,
}

impl<D: Disk> Archive<D> {
    /// Makes one volume of small ones, where there are enough of them.
    pub(super) fn merge(&mut self, view: &View<D>) -> io::Result<Step> {
        let Some(segment) = view.segments.first() else { return Ok(Step::Rests) };
        let newest = view.segments.last().map(|segment| segment.first);
        if self.unmerged.is_some() && self.unmerged == newest {
            return Ok(Step::Rests);
        }
        self.unmerged = None;
        let most = segment.length.min(self.quota_bytes / QUOTA_PART);
        let small = segment.length / SMALL;
        let Some(run) = run(&self.volumes, view.oldest(), (small, most), &self.stay) else {
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
        let merged = match self.make_of(heads, &names, (first, last), bytes) {
            Ok(merged) => merged,
            Err(NotMade::Part(part)) => {
                // Nothing is lost by it: it stays as it is until the next start, and the others are merged without it.
                self.stay.insert(part);
                return Ok(Step::Rests);
            }
            // They are there: it is tried again when the next segment is sealed.
            Err(NotMade::Unwritten) => {
                self.unmerged = newest;
                return Ok(Step::Rests);
            }
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

    /// Makes a volume of what these have in those seqs.
    pub(super) fn make_of<'a>(
        &mut self,
        heads: impl Iterator<Item = &'a Head> + Clone,
        names: &[Name],
        (first, last): (Seq, Seq),
        bytes: u64,
    ) -> Result<Arc<Volume>, NotMade> {
        self.generation = self.generation.wrapping_add(1);
        let name = Name { first, last, generation: self.generation, log: self.log };
        let head = head(heads, name).ok_or(NotMade::Unwritten)?;
        let spans = head.spans.clone();
        let unfinished = format!("{UNFINISHED}{}", name.file());
        let file = self.disk.create(&unfinished)?;
        let make = || {
            let mut making = Making::begin(self.disk.clone(), file, head, bytes)?;
            for part in names {
                copy(&self.disk, (*part, part.last.min(last)), &mut making)?;
            }
            making.spans(spans);
            let made = making.finish()?;
            self.disk.rename(&unfinished, &name.file())?;
            self.disk.sync_dir()?;
            Ok(made)
        };
        let made: Result<(Head, u64), NotMade> = make();
        if made.is_err() {
            // Under whatever name it has by now.
            let _ = self.disk.remove(&unfinished);
            let _ = self.disk.remove(&name.file());
        }
        made.map(|(head, bytes)| Arc::new(Volume { name, bytes, head: Some(head) }))
    }
}

/// What is written: what cannot be read says of which volume.
impl From<io::Error> for NotMade {
    fn from(_: io::Error) -> Self {
        Self::Unwritten
    }
}

/// The oldest run of volumes that are worth it, before `end`: each smaller than `small` bytes, of the same rooms, without a
/// hole, and together no larger than `most` bytes. Those that `stay` are in none.
fn run(
    volumes: &[Arc<Volume>],
    end: Seq,
    (small, most): (u64, u64),
    stay: &BTreeSet<Name>,
) -> Option<Vec<Arc<Volume>>> {
    let may = |volume: &Volume| {
        let small = volume.bytes < small && volume.name.last < end;
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
        let fits = found.last().is_none_or(|last| follows(last, volume)) && bytes + volume.bytes <= most;
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

/// Copies what a volume has up to `to` into the one that takes its place, but not one of which something cannot be read, or
/// the log had lost something: every reader comes by such a one, and should come by no more than that.
fn copy<D: Disk>(disk: &D, (name, to): (Name, Seq), making: &mut Making<D>) -> Result<(), NotMade> {
    let stays = || NotMade::Part(name);
    let (file, length) = disk.open(&name.file()).map_err(|_| stays())?;
    let mut opened = Opened::new(disk.clone(), file, length, name);
    let (_, parts) = opened.footer().ok().flatten().ok_or_else(stays)?;
    let mut parts: Vec<Part> = parts.into_iter().filter(|part| part.first <= to).collect();
    if to < name.last {
        // The one that is cut counts as nothing: more is kept then than is named.
        parts.pop();
    }
    making.parts(parts);
    opened.set_ahead(AHEAD_BYTES);
    let (mut offset, mut next) = (0, name.first);
    while next <= to {
        let (directory, entries, after) = match opened.piece(offset).map_err(|_| stays())? {
            Found::Piece { directory, entries, next } => (directory, entries, next),
            // The head is before the first piece.
            Found::Other { next: after } if next == name.first => {
                offset = after;
                continue;
            }
            Found::Other { .. } | Found::End => return Err(stays()),
        };
        if directory.first != next || !directory.gaps.is_empty() {
            return Err(stays());
        }
        let known = routes(&directory);
        let mut rest = entries;
        for stretch in &directory.stretches {
            let bytes = rest.split_to((stretch.bytes as usize).min(rest.len()));
            let (mut seq, mut at) = (stretch.first, 0);
            while let Some((frame, after)) = Frame::read(&bytes, at).ok().filter(|_| seq <= to) {
                let entry = known.get(&frame.route).zip(bytes.get(at..after));
                let (route, whole) = entry.ok_or_else(stays)?;
                making.entry(seq, stretch.epoch, whole, route)?;
                (seq, at) = (seq.next(), after);
            }
        }
        (offset, next) = (after, directory.last.next());
    }
    Ok(())
}
