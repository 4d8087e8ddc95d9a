//! What archived rooms had in segments that the log recycles: kept beyond the log's quota.
//!
//! It owns a folder of its own with one file, a *volume*, per sealed segment: everything that archived rooms have in
//! it, at its positions. What always holds: a volume counts only when all of it is on disk under its name, and never
//! changes after that; the log is held until the volume of its oldest segment is there ([`Archive::through`]). So
//! there is no cursor that could be wrong after a crash: what is missing is made again, and what is there twice is the
//! same. Damage is a gap in place and deletes nothing.
//!
//! How it is read is in [`ArchiveReader`]. The rules, with their bounds, are in this crate's `README.md`.

mod copy;
mod merge;
mod shelf;
mod since;
mod survey;
mod volume;

pub use shelf::ArchiveReader;
pub use survey::{ArchiveSurvey, Held, VolumeSurvey};

use crate::{disk::Disk, reader::Reader, view::View};
use riser_model::{Archived, EpochSpan, LogId, RoomId, Seq};
use shelf::{Shelf, Volume};
use since::Since;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};
use volume::{ASIDE, Head, Making, Name, Opened, UNFINISHED};

/// Something in an archive's folder that was not as it should be. Nothing was deleted because of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ArchiveFinding {
    /// What it says of itself cannot be read: it is a gap `damage`, but for what of it can be.
    Unreadable {
        /// The file.
        file: String,
    },
    /// Since when which room is archived cannot be read there: it is taken from an older file, or from the volumes.
    RoomsLost {
        /// The file.
        file: String,
    },
    /// It is of another log, of a past that this log does not have, or in the place of another: it was renamed and is
    /// not read.
    SetAside {
        /// The name that it has now.
        file: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// A segment of which the medium cannot read everything is tried again so often; then the rest of it is archived.
const UNREADABLE_TRIES: u32 = 30;
/// So much a volume takes at most for an entry, beside its bytes: it may lie alone between others' entries.
const STRETCH_BYTES: u64 = 40;
/// A volume's heads, its index and what its pieces define take no more than this part of a segment; if they do, the
/// volume finds no space, and a whole segment is looked for.
const LISTING: u64 = 16;
/// Why something is set aside that speaks of what another volume speaks of.
const IN_PLACE: &str = "another volume speaks of it";

/// What a step did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Nothing: everything that is sealed is archived, and nothing is too much.
    Rests,
    /// A segment's volume is on disk.
    Archived {
        /// Its first seq.
        first: Seq,
        /// Its last.
        last: Seq,
        /// Its bytes.
        bytes: u64,
    },
    /// Small volumes that followed one another are one.
    Merged {
        /// The first seq of it.
        first: Seq,
        /// The last.
        last: Seq,
        /// How many there were.
        volumes: usize,
    },
    /// The oldest volume went.
    LetGo {
        /// Its first seq.
        first: Seq,
        /// Its last.
        last: Seq,
        /// Why.
        why: Why,
    },
}

/// Why the oldest volume went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// The archive is over its quota.
    Quota,
    /// The disk is full, and the log is about to let go of what is not archived: the newest is worth more.
    Disk,
    /// No room shows any of it any more.
    Unseen,
}

/// An archive's size, now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ArchiveStatus {
    /// Bytes of all its volumes, but for what was set aside.
    pub bytes: u64,
    /// Bytes of what was set aside. It does not count against the quota: it would cost what can be read.
    pub aside: u64,
    /// Its quota.
    pub quota: u64,
    /// How many volumes there are.
    pub volumes: u64,
}

/// The one that writes. Everything it does to the disk happens in the caller's thread.
pub struct Archive<D: Disk> {
    disk: D,
    log: LogId,
    quota_bytes: u64,
    /// The archived rooms, and up to where each shows nothing any more.
    wanted: BTreeMap<RoomId, Seq>,
    since: Since,
    misses: bool,
    /// In order.
    volumes: Vec<Arc<Volume>>,
    shelf: Arc<Shelf>,
    aside_bytes: u64,
    /// Nothing below is archived: it was let go, though the log may have it still.
    given_up: Seq,
    generation: u32,
    /// How often the medium could not read all of which segment.
    unreadable: (Seq, u32),
    /// A volume of the segment that begins there did not find space, though there seemed to be enough.
    refused: Option<Seq>,
    /// How much it let go of for the volume at hand, bytes.
    freed: u64,
    /// Small volumes that are not to be merged with others: that failed, or something of them cannot be read.
    stay: BTreeSet<Name>,
}

impl<D: Disk> Archive<D> {
    /// Opens the archive of the log with that id and those epochs, which has everything from `oldest` on, or makes one. What
    /// is of another log or of a past that this log does not have is set aside. The folder must be locked by the caller. What is wrong with one file
    /// costs that file alone: an error is one of the folder.
    pub fn open(
        disk: D,
        log: LogId,
        chain: &[EpochSpan],
        oldest: Seq,
        quota_bytes: u64,
    ) -> io::Result<(Self, Vec<ArchiveFinding>)> {
        let files = disk.list()?;
        let (since, damaged) = Since::load(&disk, &files, log)?;
        let mut archive = Self {
            disk,
            log,
            quota_bytes,
            wanted: BTreeMap::new(),
            since,
            misses: false,
            volumes: Vec::new(),
            shelf: Arc::default(),
            aside_bytes: 0,
            given_up: Seq::ZERO,
            generation: 0,
            unreadable: (Seq::ZERO, 0),
            refused: None,
            freed: 0,
            stay: BTreeSet::new(),
        };
        let mut findings: Vec<ArchiveFinding> =
            damaged.into_iter().map(|file| ArchiveFinding::RoomsLost { file }).collect();
        let mut names: Vec<Name> = Vec::new();
        for file in files {
            if file.starts_with(UNFINISHED) {
                // If it cannot be removed now, a later start does.
                let _ = archive.disk.remove(&file);
            } else if file.starts_with(ASIDE) {
                archive.aside_bytes += archive.disk.open(&file).map_or(0, |(_, bytes)| bytes);
            } else {
                names.extend(Name::of(&file));
            }
        }
        archive.generation = names.iter().map(|name| name.generation).max().unwrap_or(0);
        // Of one place the newest first, and what speaks of more before what speaks of less.
        names.sort_by_key(|name| (name.first, std::cmp::Reverse((name.last, name.generation))));
        for name in names {
            archive.take(name, (chain, oldest), &mut findings);
        }
        archive.publish();
        Ok((archive, findings))
    }

    /// Takes a volume that was found, if it is of this log and in nobody's place; else it is set aside.
    fn take(&mut self, name: Name, (chain, oldest): (&[EpochSpan], Seq), findings: &mut Vec<ArchiveFinding>) {
        let opened = self.disk.open(&name.file());
        let bytes = opened.as_ref().map_or(0, |(_, bytes)| *bytes);
        if name.log != self.log {
            return self.put_aside(name, bytes, "another log", findings);
        }
        let head =
            opened.and_then(|(file, bytes)| Opened::new(self.disk.clone(), file, bytes, name).head(name));
        // It may be read later: what keeps it from being read now is no reason to lose it.
        let head = head.unwrap_or_default();
        if let Some(head) = &head
            && !head.spans.iter().all(|span| is_of(chain, span))
        {
            // What was made of several may begin long before the log went back.
            if let Some(kept) = self.keep_before(head, chain, oldest) {
                self.volumes.push(kept);
            }
            return self.put_aside(name, bytes, "a past that the log does not have", findings);
        }
        if let Some(newer) = self.volumes.last().cloned().filter(|newer| newer.name.last >= name.first) {
            let merged = newer.name.holds(&name) && has_rooms_of(newer.head.as_ref(), head.as_ref());
            if !(newer.name.is_of_the_same(&name) || merged) || head.is_none() {
                return self.put_aside(name, bytes, IN_PLACE, findings);
            }
            if newer.head.is_some() {
                // A crash came between the newer one and this one's end. If it stays, a later start removes it.
                let _ = self.disk.remove(&name.file());
                return;
            }
            // Of the newer one nothing is known, and this one is whole.
            self.volumes.pop();
            self.put_aside(newer.name, newer.bytes, IN_PLACE, findings);
        } else if head.is_none() {
            findings.push(ArchiveFinding::Unreadable { file: name.file() });
        }
        self.volumes.push(Arc::new(Volume { name, bytes, head }));
    }

    /// Sets it aside; where that fails it is not read either, and stays as it is.
    fn put_aside(&mut self, name: Name, bytes: u64, why: &'static str, findings: &mut Vec<ArchiveFinding>) {
        let aside = self.set_aside(name, bytes, why);
        findings.push(aside.unwrap_or_else(|_| ArchiveFinding::SetAside { file: name.file(), why }));
    }

    fn set_aside(&mut self, name: Name, bytes: u64, why: &'static str) -> io::Result<ArchiveFinding> {
        let taken = self.disk.list()?;
        let numbered = (0..).map(|n: u32| format!("{ASIDE}{n:x}-{}", name.file()));
        let file = numbered.into_iter().find(|file| !taken.contains(file)).unwrap_or_default();
        self.disk.rename(&name.file(), &file)?;
        self.disk.sync_dir()?;
        self.aside_bytes += bytes;
        Ok(ArchiveFinding::SetAside { file, why })
    }

    /// A reader of it. Readers see a volume when all of it is on disk.
    pub fn reader(&self) -> ArchiveReader<D> {
        ArchiveReader::new(self.disk.clone(), Arc::clone(&self.shelf))
    }

    /// From where on there is everything of which room.
    pub fn rooms(&self) -> BTreeMap<RoomId, Archived> {
        self.shelf.contents().rooms.clone()
    }

    /// The epochs of everything in it, as far as it knows them.
    pub fn spans(&self) -> Vec<EpochSpan> {
        let mut spans: Vec<EpochSpan> = Vec::new();
        for span in self.volumes.iter().filter_map(|volume| volume.head.as_ref()).flat_map(|head| &head.spans)
        {
            match spans.last_mut() {
                Some(last) if last.epoch == span.epoch => last.last = span.last,
                _ => spans.push(*span),
            }
        }
        spans
    }

    /// Its size.
    pub fn status(&self) -> ArchiveStatus {
        ArchiveStatus {
            bytes: self.bytes(),
            aside: self.aside_bytes,
            quota: self.quota_bytes,
            volumes: self.volumes.len() as u64,
        }
    }

    fn bytes(&self) -> u64 {
        self.volumes.iter().map(|volume| volume.bytes).sum()
    }

    /// Which rooms are archived from here on, each with the seq up to which it shows nothing any more. What is there
    /// of other rooms stays until the quota wants its space, and is never shown again.
    pub fn want(&mut self, rooms: BTreeMap<RoomId, Seq>, log: &Reader<D>) {
        self.since.want(rooms.keys(), self.misses, log);
        self.wanted = rooms;
        self.publish();
    }

    /// Whoever says which rooms are archived may miss some until this process ends: what they had is shown when they
    /// are back.
    pub fn expect_misses(&mut self) {
        self.misses = true;
    }

    /// Up to where the log may let go of its segments; none if all of it may go.
    pub fn through(&self, log: &Reader<D>) -> Option<Seq> {
        if self.wanted.is_empty() {
            return None;
        }
        let view = log.shared.view();
        let due = self.due(&view).and_then(|at| view.segments.get(at)).or(view.segments.last());
        Some(due.map_or(view.end, |segment| segment.first.prev()))
    }

    /// Does one bounded thing: lets go of the oldest volume if it is too much, or archives the oldest segment of the log
    /// that is not. An error leaves everything as it was; the next step tries again.
    pub fn step(&mut self, log: &Reader<D>) -> io::Result<Step> {
        // On a full disk it cannot be saved before something went.
        let saved = self.since.save(&self.disk, self.log);
        if let Some(step) = self.let_go()? {
            return Ok(step);
        }
        let view = log.shared.view();
        match self.due(&view).filter(|_| !self.wanted.is_empty()) {
            Some(at) => self.archive(log, &view, at, saved),
            None => saved.and_then(|()| self.merge(&view)),
        }
    }

    /// The oldest sealed segment of which there is no volume that names all archived rooms.
    fn due(&self, view: &View<D>) -> Option<usize> {
        let sealed = view.segments.len().checked_sub(1)?;
        (0..sealed).find(|at| {
            let first = view.segments.get(*at).map_or(Seq::ZERO, |segment| segment.first);
            let last = view.last_of(*at);
            first <= last && last >= self.given_up && !self.has(first, last)
        })
    }

    fn has(&self, first: Seq, last: Seq) -> bool {
        let Some(volume) = shelf::find(&self.volumes, first) else { return false };
        if (volume.name.first, volume.name.last) != (first, last) {
            // It was made of several, of what the log had let go of, and the log went back since: it stays whole.
            return volume.name.first < first && last <= volume.name.last;
        }
        let head = volume.head.as_ref();
        head.is_some_and(|head| self.wanted.keys().all(|room| head.rooms.contains(room)))
    }

    /// Makes one volume of small ones, where there are enough of them.
    fn merge(&mut self, view: &View<D>) -> io::Result<Step> {
        let Some(segment) = view.segments.first() else { return Ok(Step::Rests) };
        let Some(run) = merge::run(&self.volumes, view.oldest(), segment.length, &self.stay) else {
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
    fn make_of<'a>(
        &mut self,
        heads: impl Iterator<Item = &'a Head> + Clone,
        names: &[Name],
        (first, last): (Seq, Seq),
        bytes: u64,
    ) -> io::Result<Option<Arc<Volume>>> {
        self.generation = self.generation.wrapping_add(1);
        let name = Name { first, last, generation: self.generation, log: self.log };
        let Some(head) = merge::head(heads, name) else { return Ok(None) };
        let spans = head.spans.clone();
        let unfinished = format!("{UNFINISHED}{}", name.file());
        let file = self.disk.create(&unfinished)?;
        let make = || {
            let mut making = Making::begin(self.disk.clone(), file, head, bytes)?;
            for part in names {
                if !merge::copy(&self.disk, (*part, part.last.min(last)), &mut making)? {
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

    /// What a volume has from before both the log's past and what it holds part, as a volume of its own: the log has the
    /// rest, as it was then.
    fn keep_before(&mut self, head: &Head, chain: &[EpochSpan], oldest: Seq) -> Option<Arc<Volume>> {
        let parts = head.spans.iter().find(|span| !is_of(chain, span))?;
        let known = chain.iter().find(|known| known.epoch == parts.epoch && known.first <= parts.first);
        let last = known.map_or(parts.first.prev(), |known| known.last).min(oldest.prev());
        if last < head.name.first
            || self.volumes.last().is_some_and(|volume| volume.name.last >= head.name.first)
        {
            return None;
        }
        let (_, bytes) = self.disk.open(&head.name.file()).ok()?;
        let names = [head.name];
        self.make_of(std::iter::once(head), &names, (head.name.first, last), bytes).ok().flatten()
    }

    fn let_go(&mut self) -> io::Result<Option<Step>> {
        let Some(oldest) = self.volumes.first() else { return Ok(None) };
        let shown = |room: &RoomId| {
            let floor = self.wanted.get(room).map(|floor| (*floor).max(self.since.before(*room)));
            floor.is_none_or(|floor| floor < oldest.name.last)
        };
        let nobodys = oldest.head.as_ref().is_some_and(|head| !head.rooms.iter().any(shown));
        if self.bytes() > self.quota_bytes && self.volumes.len() > 1 {
            self.let_go_of_oldest(Why::Quota)
        } else if nobodys {
            self.let_go_of_oldest(Why::Unseen)
        } else {
            Ok(None)
        }
    }

    fn let_go_of_oldest(&mut self, why: Why) -> io::Result<Option<Step>> {
        let Some(oldest) = self.volumes.first().cloned() else { return Ok(None) };
        let Name { first, last, .. } = oldest.name;
        // Readers know first: what they do not find then is a hole, and no error.
        self.volumes.remove(0);
        self.publish();
        if let Err(error) = self.disk.remove(&oldest.name.file()) {
            self.volumes.insert(0, oldest);
            self.publish();
            return Err(error);
        }
        self.given_up = self.given_up.max(last.next());
        self.freed += if why == Why::Disk { oldest.bytes } else { 0 };
        // One that comes back with a crash goes again.
        let _ = self.disk.sync_dir();
        Ok(Some(Step::LetGo { first, last, why }))
    }

    /// On a full disk the newest is worth more than the oldest. But somebody else may fill it, and for a time: so nothing
    /// goes before the log is about to let go of what is not archived, then no more than makes space for that, and
    /// nothing at all where all that may go would not. Only what is older than the segment that begins at `before` may:
    /// a newer one is worth more than that segment.
    fn make_space(&mut self, (needed, free): (u64, u64), before: Seq) -> io::Result<Option<Step>> {
        let older = self.volumes.iter().take_while(|volume| volume.name.last < before);
        // One stays in any case.
        let most = self.volumes.len().saturating_sub(1);
        let (mut may_go, mut bytes) = (0, free);
        for volume in older.take(most) {
            may_go += 1;
            bytes = bytes.saturating_add(volume.bytes);
        }
        if may_go == 0 || bytes < needed || self.freed >= needed {
            return Ok(None);
        }
        self.let_go_of_oldest(Why::Disk)
    }

    /// How many bytes the volume of a segment takes at most, as far as the segment says what it holds of the rooms.
    fn volume_bytes(&self, log: &Reader<D>, view: &View<D>, at: usize) -> u64 {
        let Some(segment) = view.segments.get(at) else { return 0 };
        let footer = log.footer(view, segment, view.last_of(at)).ok();
        // One that found no space was larger than that.
        let said = footer.filter(|footer| footer.complete && self.refused != Some(segment.first));
        let Some(footer) = said else { return segment.length };
        let rooms = footer.sums().into_iter().filter(|(room, _)| self.wanted.contains_key(room));
        let entries =
            rooms.map(|(_, mark)| mark.bytes.saturating_add(mark.count.saturating_mul(STRETCH_BYTES)));
        let listing = segment.length / LISTING;
        entries.fold(listing, u64::saturating_add).min(segment.length)
    }

    /// Archives that segment, or makes space for it. No volume is written before it is `saved` since when which room is
    /// archived.
    fn archive(
        &mut self,
        log: &Reader<D>,
        view: &View<D>,
        at: usize,
        saved: io::Result<()>,
    ) -> io::Result<Step> {
        let Some(segment) = view.segments.get(at) else { return Ok(Step::Rests) };
        // As much again stays for the log, which promises more; not where the log would let go of this very segment soon.
        let soon = at < view.segments.len().saturating_sub(1).div_ceil(2);
        let needed = if soon { self.volume_bytes(log, view, at) } else { segment.length.saturating_mul(2) };
        let free = self.disk.free_space()?;
        if soon
            && (free < needed || self.refused == Some(segment.first))
            && let Some(step) = self.make_space((needed, free), segment.first)?
        {
            self.refused = None;
            return Ok(step);
        }
        saved?;
        if free < needed {
            let kind = io::ErrorKind::StorageFull;
            return Err(io::Error::new(
                kind,
                format!("it needs {needed} bytes of free space, {free} are there"),
            ));
        }
        if self.unreadable.0 != segment.first {
            self.unreadable = (segment.first, 0);
        }
        let as_it_is = self.unreadable.1 >= UNREADABLE_TRIES;
        self.unreadable.1 += 1;
        self.generation = self.generation.wrapping_add(1);
        let name =
            Name { first: segment.first, last: view.last_of(at), generation: self.generation, log: self.log };
        let rooms: BTreeSet<RoomId> = self.wanted.keys().copied().collect();
        let head = Head { name, began: segment.began, rooms, spans: Vec::new() };
        let unfinished = format!("{UNFINISHED}{}", name.file());
        let file = self.disk.create(&unfinished)?;
        let made = Making::begin(self.disk.clone(), file, head, segment.length)
            .and_then(|making| copy::copy(log, view, at, making, as_it_is))
            .and_then(|making| making.finish())
            .and_then(|made| {
                // Recycled while it was read: what was read is of its next use.
                let whole = log.shared.view().holds(segment);
                whole
                    .then_some(made)
                    .ok_or_else(|| io::Error::other("the segment was recycled before it was archived"))
            })
            .and_then(|made| self.disk.rename(&unfinished, &name.file()).map(|()| made));
        let (head, bytes) = made.inspect_err(|error| {
            self.refused = (error.kind() == io::ErrorKind::StorageFull).then_some(name.first);
            // If it cannot be removed now, the next start does.
            let _ = self.disk.remove(&unfinished);
        })?;
        if let Err(error) = self.disk.sync_dir() {
            // Whether that name is durable nobody knows: another is made.
            let _ = self.disk.remove(&name.file());
            return Err(error);
        }
        let older: Vec<Arc<Volume>> = self
            .volumes
            .iter()
            .filter(|volume| volume.name.first <= name.last && volume.name.last >= name.first)
            .cloned()
            .collect();
        self.volumes.retain(|volume| volume.name.last < name.first || volume.name.first > name.last);
        (self.refused, self.freed) = (None, 0);
        let place = self.volumes.partition_point(|volume| volume.name.first < name.first);
        self.volumes.insert(place, Arc::new(Volume { name, bytes, head: Some(head) }));
        self.publish();
        for volume in older {
            // What it had is in the newer one, if that is known of it. If it stays now, the next start sees to it.
            if volume.head.is_some() && name.is_of_the_same(&volume.name) {
                let _ = self.disk.remove(&volume.name.file());
            } else {
                let _ = self.set_aside(volume.name, volume.bytes, IN_PLACE);
            }
        }
        Ok(Step::Archived { first: name.first, last: name.last, bytes })
    }

    fn publish(&self) {
        self.shelf.publish(self.volumes.clone(), &self.since);
    }
}

/// Whether a volume has everything of the rooms of which another has.
fn has_rooms_of(newer: Option<&Head>, older: Option<&Head>) -> bool {
    // Of one that says nothing of itself nothing is known either way: the other one is taken.
    let (Some(newer), Some(older)) = (newer, older) else { return true };
    newer.rooms.is_superset(&older.rooms)
}

/// Whether the log has that past, as far as it remembers.
fn is_of(chain: &[EpochSpan], span: &EpochSpan) -> bool {
    let oldest = chain.first().map_or(Seq(1), |first| first.first);
    let known = chain.iter().find(|known| known.epoch == span.epoch);
    known.map_or(span.last < oldest, |known| known.first <= span.first && span.last <= known.last)
}
