//! The worker that reads, in the log and in the archive.

use super::{Answer, Asked};
use crate::clock::Clock;
use riser_log::{Disk, Index, Reader, archive::ArchiveReader, pasts};
use riser_model::{Read, Seq, Time};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The reader of an archive whose folder could be opened late.
pub(super) type Late<D> = Arc<Mutex<Option<ArchiveReader<D>>>>;

/// A volume that cannot be read is tried so long before what it has is told as damage.
const UNREADABLE_FOR: Duration = Duration::from_secs(30);
/// Who could not read there for so long does not ask any more, whatever a disk takes for an answer.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// A volume that cannot be read.
struct Unreadable {
    /// What was to be read first that could not be.
    read: Read,
    since: Time,
    /// When that was last seen, of whatever read.
    last: Time,
}

pub(super) struct Reading<D: Disk, A> {
    reader: Reader<D>,
    pub(super) archived: Option<ArchiveReader<D>>,
    late: Late<D>,
    index: Box<dyn Index + Send>,
    answer: A,
    clock: Clock,
    /// The archive's volumes that cannot be read, by their first seq.
    unreadable: BTreeMap<Seq, Unreadable>,
    /// Those that are not waited for, and since when: after a while they are again.
    given_up: BTreeMap<Seq, Time>,
}

impl<D: Disk, A: Fn(Answer)> Reading<D, A> {
    /// Reads the log, and the archive if it is open, or as soon as `late` has a reader of it.
    pub(super) fn new(
        reader: Reader<D>,
        archived: Option<ArchiveReader<D>>,
        late: Late<D>,
        index: Box<dyn Index + Send>,
        answer: A,
    ) -> Self {
        Self {
            reader,
            archived,
            late,
            index,
            answer,
            clock: Clock,
            unreadable: BTreeMap::new(),
            given_up: BTreeMap::new(),
        }
    }

    /// Tells the index one thing that it does not know; says whether there may be more.
    pub(super) fn teach(&mut self) -> bool {
        self.reader.teach(&mut *self.index).unwrap_or_else(|error| {
            tracing::warn!(%error, "the log's index could not be told what a segment holds");
            false
        })
    }

    pub(super) fn answer(&mut self, asked: &Asked) {
        if self.archived.is_none() {
            self.archived = self.late.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        match asked {
            Asked::Read(ticket, read) => self.perform(*ticket, read),
            Asked::Count(rooms) => {
                let pasts = pasts(rooms, &self.reader, self.archived.as_mut());
                (self.answer)(Answer::Pasts(pasts));
            }
        }
    }

    fn perform(&mut self, ticket: u64, read: &Read) {
        self.wait_again(self.clock.now().time);
        let found = match &mut self.archived {
            Some(archived) => archived.perform(&mut self.reader, read, &mut *self.index),
            None => self.reader.perform(read, &mut *self.index),
        };
        let found = match found {
            Ok(found) => {
                self.succeeded(read);
                found
            }
            Err(error) => {
                tracing::warn!(%error, "the log could not be read");
                self.failed_at(error.at, read, self.clock.now().time);
                read.nothing()
            }
        };
        let volumes = self.archived.as_mut().map_or(0, ArchiveReader::take_damaged);
        if volumes > 0 {
            tracing::error!(volumes, "something in the archive cannot be read: `log verify` says what");
            (self.answer)(Answer::ArchiveDamaged { volumes });
        }
        let routes = self.archived.as_mut().map(ArchiveReader::take_routes).unwrap_or_default();
        if !routes.is_empty() {
            (self.answer)(Answer::Routes(routes));
        }
        (self.answer)(Answer::Read { ticket, found });
    }

    /// What could not be read can be. Only the same read proves that: others pass over what holds it up.
    pub(super) fn succeeded(&mut self, read: &Read) {
        self.unreadable.retain(|_, one| !one.read.is_again(read));
    }

    /// Whoever reads there is not held up for ever, where it is the archive that cannot be read.
    pub(super) fn failed_at(&mut self, at: Seq, read: &Read, now: Time) {
        let Some(archived) = &mut self.archived else { return };
        let Some(volume) = archived.volume_of(at) else { return };
        self.unreadable.retain(|_, one| now.since(one.last) < FORGOTTEN_AFTER);
        let begun = || Unreadable { read: read.clone(), since: now, last: now };
        let one = self.unreadable.entry(volume).or_insert_with(begun);
        let before = std::mem::replace(&mut one.last, now);
        // Two that fail far from each other are two troubles.
        if !one.read.is_again(read) && now.since(before) >= UNREADABLE_FOR {
            *one = begun();
        }
        if now.since(one.since) >= UNREADABLE_FOR {
            tracing::error!(
                at = at.0,
                "a volume of the archive cannot be read: what it has is told as damage"
            );
            archived.give_up(volume);
            self.unreadable.remove(&volume);
            self.given_up.insert(volume, now);
        }
    }

    /// A volume that was given up long ago is waited for again: what cannot be read for a moment is no damage.
    pub(super) fn wait_again(&mut self, now: Time) {
        let Some(archived) = &mut self.archived else { return };
        self.given_up.retain(|volume, since| {
            let is_over = now.since(*since) >= FORGOTTEN_AFTER;
            if is_over {
                archived.wait_again(*volume);
            }
            !is_over
        });
    }
}
