//! What the program's reading thread does where an archive cannot be read: a volume is waited for, and after a while what it
//! has is told as damage, until it can be read.

use crate::disk::SimDisk;
use riser_log::{ReadError, Reader, archive::ArchiveReader};
use riser_model::{Read, Room, Route, RouteNumber, Selected, Seq, Time};
use std::{collections::BTreeMap, time::Duration};

/// A volume that cannot be read is tried so long before what it has is told as damage.
const UNREADABLE_FOR: Duration = Duration::from_secs(30);
/// One that was given up is waited for again after so long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// See the module.
pub struct Shelved {
    archive: ArchiveReader<SimDisk>,
    /// The volumes that cannot be read: what was to be read first, since when, and when that was last seen.
    unreadable: BTreeMap<Seq, (Read, Time, Time)>,
    given_up: BTreeMap<Seq, Time>,
}

impl Shelved {
    /// Of an archive that is open.
    pub fn new(archive: ArchiveReader<SimDisk>) -> Self {
        Self { archive, unreadable: BTreeMap::new(), given_up: BTreeMap::new() }
    }

    /// Reads in the log or in the archive.
    pub fn read(&mut self, log: &mut Reader<SimDisk>, read: &Read, now: Time) -> Result<Selected, ReadError> {
        self.given_up.retain(|volume, since| {
            let is_over = now.since(*since) >= FORGOTTEN_AFTER;
            if is_over {
                self.archive.wait_again(*volume);
            }
            !is_over
        });
        let found = self.archive.perform(log, read, &mut ());
        match &found {
            Ok(_) => self.unreadable.retain(|_, (first, ..)| !first.is_again(read)),
            Err(error) => self.failed_at(error.at, read, now),
        }
        found
    }

    fn failed_at(&mut self, at: Seq, read: &Read, now: Time) {
        let Some(volume) = self.archive.volume_of(at) else { return };
        self.unreadable.retain(|_, (.., last)| now.since(*last) < FORGOTTEN_AFTER);
        let one = self.unreadable.entry(volume).or_insert_with(|| (read.clone(), now, now));
        let before = std::mem::replace(&mut one.2, now);
        if !one.0.is_again(read) && now.since(before) >= UNREADABLE_FOR {
            *one = (read.clone(), now, now);
        }
        if now.since(one.1) >= UNREADABLE_FOR {
            self.archive.give_up(volume);
            self.unreadable.remove(&volume);
            self.given_up.insert(volume, now);
        }
    }

    /// What numbers mean in what was read last.
    pub fn take_routes(&mut self) -> Vec<(RouteNumber, Route)> {
        self.archive.take_routes()
    }

    /// How much of these rooms is there.
    pub fn count(&mut self, rooms: &[Room], log: &Reader<SimDisk>) -> crate::site::Pasts {
        riser_log::pasts(rooms, log, Some(&mut self.archive))
    }
}
