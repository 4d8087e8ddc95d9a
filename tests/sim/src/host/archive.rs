//! A hub's archive: the folder on its own disk, and the worker that copies into it what archived rooms have in the log's
//! sealed segments, one step of it per event. What a step costs is when its answer is there.

use super::{Effect, Host, Later, Process, Setup};
use crate::{disk::SimDisk, mutant::Mutant, site, storage::Storage};
use riser_instance::LogFold;
use riser_log::{
    Reader, Recovered,
    archive::{Archive, ArchiveFinding, Step, Why},
};
use riser_model::{Archived, EpochSpan, LogId, RoomId, Seq, Time};
use riser_rooms::Input as RoomsInput;
use riser_wire::entry::Kind;
use std::{collections::BTreeMap, io, time::Duration};

/// What could not be written is tried again after so long, and then after twice as long each time.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// At least this often.
const RETRY_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// The archive of a process.
pub struct Shelf {
    /// None while it cannot be opened.
    archive: Option<Archive<SimDisk>>,
    folder: Folder,
    /// It could not be opened at the start.
    late: bool,
    log: Reader<SimDisk>,
    failing: Option<Duration>,
    /// Rises with every step that is on its way: the newest counts.
    turn: u64,
}

/// How an archive is opened.
struct Folder {
    disk: SimDisk,
    log: LogId,
    chain: Vec<EpochSpan>,
    oldest: Seq,
    quota_bytes: u64,
    /// The archived rooms, and up to where each shows nothing any more.
    wanted: BTreeMap<RoomId, Seq>,
}

impl Folder {
    fn open(&self, log: &Reader<SimDisk>) -> io::Result<(Archive<SimDisk>, Vec<ArchiveFinding>)> {
        let disk = self.disk.clone();
        let (mut archive, findings) =
            Archive::open(disk, self.log, &self.chain, self.oldest, self.quota_bytes)?;
        archive.want(self.wanted.clone(), log);
        Ok((archive, findings))
    }
}

/// What is in an archive when a process begins.
#[derive(Debug, Default)]
pub struct Past {
    /// From where on it has everything of which room that the log has not.
    pub rooms: BTreeMap<RoomId, Archived>,
    /// The epochs of what is in it.
    pub spans: Vec<EpochSpan>,
}

impl Shelf {
    /// What is in it.
    pub fn past(&self) -> Past {
        let past = |archive: &Archive<SimDisk>| Past { rooms: archive.rooms(), spans: archive.spans() };
        self.archive.as_ref().map(past).unwrap_or_default()
    }

    /// Up to where the log may let go of what it has.
    fn through(&self, mutant: Option<Mutant>) -> Option<Seq> {
        match &self.archive {
            _ if mutant == Some(Mutant::ArchiveUnawaited) && self.failing.is_some() => None,
            Some(archive) => archive.through(&self.log),
            None => (!self.folder.wanted.is_empty()).then_some(Seq::ZERO),
        }
    }

    /// It could not be written: when it is tried again.
    fn failed(&mut self) -> Duration {
        let wait = self.failing.map_or(RETRY_EVERY, |wait| (wait * 2).min(RETRY_AT_LEAST_EVERY));
        self.failing = Some(wait);
        wait
    }
}

impl Host {
    /// Opens the archive, if the hub has a room that is archived. While it cannot be opened, that is tried again. An error: the
    /// power failed meanwhile.
    pub(super) fn open_archive(
        &mut self,
        recovered: &Recovered<LogFold>,
        storage: &mut Storage,
        at: Time,
    ) -> Result<Option<Shelf>, ()> {
        let rooms = self.setup.directory.rooms().iter();
        let wanted: BTreeMap<RoomId, Seq> =
            rooms.filter(|room| room.is_archived()).map(|room| (room.id, Seq::ZERO)).collect();
        if wanted.is_empty() || self.setup.number > 0 {
            return Ok(None);
        }
        if self.setup.mutant == Some(Mutant::ArchiveEmptied) {
            self.archive_disk = SimDisk::new(self.rng.fork(), Duration::from_millis(1), None);
        }
        let folder = Folder {
            disk: self.archive_disk.clone(),
            log: recovered.log,
            chain: recovered.chain.clone(),
            oldest: recovered.oldest,
            quota_bytes: self.setup.archive_bytes,
            wanted,
        };
        let log = storage.reader();
        let opened = folder.open(&log);
        self.archive_disk.take_cost();
        if self.archive_disk.is_down() {
            // What it found while its power went, nobody heard of.
            self.effects.push_back(Effect::Crashed);
            return Err(());
        }
        let mut shelf = Shelf { archive: None, folder, late: false, log, failing: None, turn: 0 };
        match opened {
            Ok((archive, findings)) => {
                self.found_in_archive(findings);
                storage.read_archive(archive.reader());
                shelf.archive = Some(archive);
            }
            Err(error) => {
                shelf.late = true;
                self.held.closes(at, Time(u64::MAX));
                self.cannot_open_archive(&error);
            }
        }
        storage.set_archived(shelf.through(self.setup.mutant));
        Ok(Some(shelf))
    }

    /// What is there when it is opened: a volume may be whole of which no step has said so, since the power failed.
    fn found_in_archive(&mut self, findings: Vec<ArchiveFinding>) {
        for (first, last) in self.archive_disk.image().keys().filter_map(|file| volume(file)) {
            self.held.archived(first, last);
        }
        for finding in findings {
            self.wrong(format!("host {}: {finding:?} in its archive", self.setup.number));
        }
    }

    fn cannot_open_archive(&mut self, error: &io::Error) {
        let what = format!("host {} cannot open its archive: {error}", self.setup.number);
        // What it could not do while its power went, nobody heard of.
        let is_excused = self.troubled || self.archive_disk.is_shut() || self.archive_disk.is_down();
        if is_excused { self.note(what) } else { self.wrong(what) }
    }

    /// A segment was sealed, or other rooms are archived.
    pub(super) fn archive_soon(&mut self, at: Time) {
        let Some(shelf) = self.process.as_mut().and_then(|process| process.archive.as_mut()) else { return };
        shelf.turn += 1;
        let turn = shelf.turn;
        let moment = self.moment();
        self.later(at.plus(moment), Later::Archive(turn));
    }

    /// These rooms are archived from here on.
    pub(super) fn archive(&mut self, rooms: BTreeMap<RoomId, Seq>, at: Time) {
        if let Some(shelf) = self.process.as_mut().and_then(|process| process.archive.as_mut()) {
            shelf.folder.wanted = rooms;
            if let Some(archive) = &mut shelf.archive {
                archive.want(shelf.folder.wanted.clone(), &shelf.log);
            }
        }
        self.archive_soon(at);
    }

    pub(super) fn archive_step(&mut self, turn: u64, at: Time) {
        self.archive_disk.take_cost();
        let used = self.archive_disk.used();
        let Some(shelf) = self.process.as_mut().and_then(|process| process.archive.as_mut()) else { return };
        if shelf.turn != turn {
            return;
        }
        let Some(archive) = &mut shelf.archive else { return self.open_archive_late(turn, at) };
        let step = archive.step(&shelf.log);
        let rooms = archive.rooms();
        let again_in = match &step {
            Ok(Step::Rests) => {
                shelf.failing = None;
                None
            }
            // On a disk that stays full this one found space, and the next will not.
            Ok(Step::Archived { short, .. }) => {
                shelf.failing = shelf.failing.filter(|_| *short);
                Some(Duration::ZERO)
            }
            Ok(Step::Merged { .. } | Step::LetGo { .. }) => Some(Duration::ZERO),
            Err(_) => Some(shelf.failed()),
        };
        if let Ok(step) = step {
            self.stepped_archive(step, used);
        }
        if self.archive_disk.is_down() {
            return self.effects.push_back(Effect::Crashed);
        }
        let over = at.plus(self.archive_disk.take_cost());
        self.later(over, Later::Archived(rooms));
        if let Some(again_in) = again_in {
            self.later(over.plus(again_in.max(Duration::from_micros(1))), Later::Archive(turn));
        }
    }

    /// The folder could not be opened so far.
    fn open_archive_late(&mut self, turn: u64, at: Time) {
        let Some(Process { archive: Some(shelf), storage, .. }) = &mut self.process else { return };
        let opened = shelf.folder.open(&shelf.log);
        let over = at.plus(self.archive_disk.take_cost());
        let mut found = Vec::new();
        let is_open = opened.is_ok();
        let (then, again_in) = match opened {
            Ok((archive, findings)) => {
                let spans = archive.spans();
                storage.read_archive(archive.reader());
                shelf.archive = Some(archive);
                found = findings;
                (Later::ArchiveOpened(spans), Duration::ZERO)
            }
            Err(error) => {
                let again_in = shelf.failed();
                self.cannot_open_archive(&error);
                (Later::Archived(BTreeMap::new()), again_in)
            }
        };
        if self.archive_disk.is_down() {
            return self.effects.push_back(Effect::Crashed);
        }
        if is_open {
            self.held.opens(over);
            self.note(format!("host {} could open its archive", self.setup.number));
            self.found_in_archive(found);
        }
        self.later(over, then);
        self.later(over.plus(again_in.max(Duration::from_micros(1))), Later::Archive(turn));
    }

    /// What an archive did is written down, and that it let go of what it had for a cause that was there.
    fn stepped_archive(&mut self, step: Step, used: u64) {
        let (quota, number) = (self.setup.archive_bytes, self.setup.number);
        match step {
            Step::Archived { first, last, .. } => self.held.archived(first, last),
            Step::LetGo { first, last, why } => {
                self.held.let_go(last);
                let is_so = match why {
                    Why::Quota => used > quota,
                    Why::Disk => self.archive_disk.is_bounded(),
                    Why::Unseen => false,
                };
                if !is_so {
                    let what = format!("{} to {} for {why:?}, with {used} bytes", first.0, last.0);
                    self.wrong(format!("host {number}: its archive lets go of {what}"));
                }
            }
            Step::Rests if used > quota + 2 * self.setup.log.segment_bytes => {
                self.wrong(format!("host {number}: its archive takes {used} of {quota} bytes"));
            }
            Step::Rests | Step::Merged { .. } => {}
        }
    }

    /// The log lets go of what it had up to there: only what was archived, but where that has failed for so long that it is half
    /// as large again as its quota.
    pub(super) fn lets_go(&mut self, oldest: Seq) {
        let Some(process) = self.process.as_ref().filter(|process| process.archive.is_some()) else { return };
        let ((bytes, _), Setup { quota, log, .. }) = (process.storage.size(), &self.setup);
        let most = quota + quota / 2;
        if self.troubled || bytes + 2 * log.segment_bytes >= most {
            return;
        }
        let room = site::room(site::CHRONICLE);
        let mut gone = self.journal.entries.range(self.oldest..oldest.max(self.oldest));
        let lost = gone.find(|(seq, entry)| {
            entry.room == Some(room) && entry.kind == Kind::Publication && !self.held.had(**seq)
        });
        if let Some((seq, _)) = lost {
            let what =
                format!("the log let go of {}, which is not archived, with {bytes} of {most} bytes", seq.0);
            self.wrong(format!("host {}: {what}", self.setup.number));
        }
    }

    /// The core hears it first, and the log then: nothing leaves that before it can be read here.
    pub(super) fn archived(&mut self, rooms: BTreeMap<RoomId, Archived>, at: Time) {
        let (now, mutant) = (self.now(at), self.setup.mutant);
        let late = self
            .process
            .as_ref()
            .and_then(|process| process.archive.as_ref())
            .is_some_and(|shelf| shelf.late);
        if mutant != Some(Mutant::ArchiveUntold) && !(late && mutant == Some(Mutant::ArchiveOpenedUntold)) {
            self.rooms(RoomsInput::Archived { rooms }, now);
        }
        if let Some(Process { archive: Some(shelf), storage, .. }) = &mut self.process {
            storage.set_archived(shelf.through(mutant));
        }
        self.drain(at);
    }
}

/// What a volume holds, by the name of its file.
fn volume(file: &str) -> Option<(Seq, Seq)> {
    let mut parts = file.strip_prefix("volume-")?.split('-');
    let mut seq = || u64::from_str_radix(parts.next()?, 16).ok().map(Seq);
    Some((seq()?, seq()?))
}
