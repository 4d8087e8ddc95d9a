//! A hub's archive: the folder on its own disk, and the worker that copies into it what archived rooms have in the log's
//! sealed segments, one step of it per event. What a step costs is when its answer is there.

use super::{Effect, Host, Later, Process};
use crate::{disk::SimDisk, mutant::Mutant, storage::Storage};
use riser_instance::LogFold;
use riser_log::{
    Reader, Recovered,
    archive::{Archive, Step},
};
use riser_model::{Archived, EpochSpan, RoomId, Seq, Time};
use riser_rooms::Input as RoomsInput;
use std::{collections::BTreeMap, time::Duration};

/// More than a run has.
const QUOTA_BYTES: u64 = 256 << 20;
/// What could not be written is tried again after so long, and then after twice as long each time.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// At least this often.
const RETRY_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// The archive of a process.
pub struct Shelf {
    archive: Archive<SimDisk>,
    log: Reader<SimDisk>,
    failing: Option<Duration>,
    /// Rises with every step that is on its way: the newest counts.
    turn: u64,
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
        Past { rooms: self.archive.rooms(), spans: self.archive.spans() }
    }
}

impl Host {
    /// Opens the archive, if the hub has a room that is archived. An error: it cannot be opened.
    pub(super) fn open_archive(
        &mut self,
        recovered: &Recovered<LogFold>,
        storage: &mut Storage,
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
        let disk = self.archive_disk.clone();
        let opened = Archive::open(disk, recovered.log, &recovered.chain, recovered.oldest, QUOTA_BYTES);
        self.archive_disk.take_cost();
        let (mut archive, findings) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                if self.archive_disk.is_down() {
                    self.effects.push_back(Effect::Crashed);
                } else if self.troubled {
                    self.note(format!("host {} cannot open its archive: {error}", self.setup.number));
                } else {
                    self.wrong(format!("host {} does not open its archive: {error}", self.setup.number));
                }
                return Err(());
            }
        };
        if self.archive_disk.is_down() {
            // What it found while its power went, nobody heard of.
            self.effects.push_back(Effect::Crashed);
            return Err(());
        }
        for finding in findings {
            self.wrong(format!("host {}: {finding:?} in its archive", self.setup.number));
        }
        let log = storage.reader();
        archive.want(wanted, &log);
        storage.read_archive(archive.reader());
        let shelf = Shelf { archive, log, failing: None, turn: 0 };
        storage.set_archived(shelf.archive.through(&shelf.log));
        Ok(Some(shelf))
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
            shelf.archive.want(rooms, &shelf.log);
        }
        self.archive_soon(at);
    }

    pub(super) fn archive_step(&mut self, turn: u64, at: Time) {
        self.archive_disk.take_cost();
        let Some(shelf) = self.process.as_mut().and_then(|process| process.archive.as_mut()) else { return };
        if shelf.turn != turn {
            return;
        }
        let again_in = match shelf.archive.step(&shelf.log) {
            Ok(Step::Rests) => {
                shelf.failing = None;
                None
            }
            Ok(Step::Archived { .. } | Step::Merged { .. } | Step::LetGo { .. }) => Some(Duration::ZERO),
            Err(_) => {
                let wait = shelf.failing.map_or(RETRY_EVERY, |wait| (wait * 2).min(RETRY_AT_LEAST_EVERY));
                shelf.failing = Some(wait);
                Some(wait)
            }
        };
        let rooms = shelf.archive.rooms();
        if self.archive_disk.is_down() {
            return self.effects.push_back(Effect::Crashed);
        }
        let over = at.plus(self.archive_disk.take_cost());
        self.later(over, Later::Archived(rooms));
        if let Some(again_in) = again_in {
            self.later(over.plus(again_in.max(Duration::from_micros(1))), Later::Archive(turn));
        }
    }

    /// The core hears it first, and the log then: nothing leaves that before it can be read here.
    pub(super) fn archived(&mut self, rooms: BTreeMap<RoomId, Archived>, at: Time) {
        let now = self.now(at);
        if self.setup.mutant != Some(Mutant::ArchiveUntold) {
            self.rooms(RoomsInput::Archived { rooms }, now);
        }
        if let Some(Process { archive: Some(shelf), storage, .. }) = &mut self.process {
            storage.set_archived(shelf.archive.through(&shelf.log));
        }
        self.drain(at);
    }
}
