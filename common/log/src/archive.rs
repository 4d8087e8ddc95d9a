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
mod found;
mod merge;
mod shelf;
mod since;
mod space;
mod survey;
mod volume;

pub use shelf::ArchiveReader;
pub use survey::{ArchiveSurvey, Held, VolumeSurvey};

use crate::{disk::Disk, reader::Reader, view::View};
use found::IN_PLACE;
use riser_model::{Archived, EpochSpan, LogId, RoomId, Seq};
use shelf::{Shelf, Volume};
use since::Since;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};
use volume::{ASIDE, Head, Making, Name, UNFINISHED};

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
        /// The disk has less free than the next one wants, unless the log is about to let go of that.
        short: bool,
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
    /// The rooms that are wanted next may not be all.
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
    /// A volume of several could not be written when that segment was the newest.
    unmerged: Option<Seq>,
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
            unmerged: None,
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
        self.since.want(rooms.keys(), std::mem::take(&mut self.misses), log);
        self.wanted = rooms;
        self.publish();
    }

    /// Whoever says which rooms are archived lost some: those that are not among the first may be of them, and what they
    /// had is shown when they are back. Who is not among those that come after was taken out.
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
        let spare = segment.length.saturating_mul(2);
        let needed = if soon { self.volume_bytes(log, view, at) } else { spare };
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
        let short = free.saturating_sub(bytes) < spare;
        Ok(Step::Archived { first: name.first, last: name.last, bytes, short })
    }

    fn publish(&self) {
        self.shelf.publish(self.volumes.clone(), &self.since);
    }
}
