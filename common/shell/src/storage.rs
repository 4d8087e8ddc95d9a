//! The log's workers, threads of their own: one that commits, one that reads, and one that archives. The task that owns the core never waits for a disk.
//!
//! The committing one takes everything that waits, stages it, and makes it durable with one write and one sync;
//! what arrives meanwhile is the next commit (rules 6.3 and 6.4). What may wait is bounded by the core, which
//! refuses publications beyond its bound. Answers come in the order of the tickets.

use archiving::Archiving;
use committing::{Committing, Pause};
use reading::{Late, Reading};
use riser_log::{
    Committed, Disk, Fold, Index, Status, Writer,
    archive::{Archive, ArchiveStatus, Why},
};
use riser_model::{
    Archived, Batch, CursorKey, CursorValue, EpochSpan, Gap, Mark, Read, Room, RoomId, Route, RouteNumber,
    Selected, Seq, Wall, door::Code,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

mod archiving;
mod committing;
mod reading;

pub use archiving::{ArchiveFolder, Open};

// In a simulation there is one thread, and a sync takes virtual time.
#[cfg(riser_turmoil)]
#[path = "storage/tasks.rs"]
mod workers;
#[cfg(not(riser_turmoil))]
#[path = "storage/threads.rs"]
mod workers;

use workers::Workers;

/// A log that could not write tries again this often.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// What storage answers.
#[derive(Debug)]
pub enum Answer {
    /// The batch with this ticket, and all before it, are on disk.
    Persisted {
        /// The newest ticket.
        ticket: u64,
        /// What the commit was.
        committed: Committed,
        /// How long write and sync took.
        took: Duration,
        /// The log's size after it.
        status: Status,
    },
    /// The batch with this ticket was not stored, and if it has entries, none that was ordered after it before this
    /// answer was read.
    Failed {
        /// The ticket.
        ticket: u64,
        /// Why, for those who wait.
        code: Code,
        /// Why, for people.
        reason: String,
    },
    /// The log let go of its oldest entries.
    Trimmed {
        /// The oldest seq that is still there.
        oldest: Seq,
        /// What is gone was committed before this, by the host's clock.
        oldest_at: Wall,
        /// What is gone that somebody may miss.
        gaps: Vec<Gap>,
    },
    /// The answer to a read; empty if it could not be read.
    Read {
        /// The ticket.
        ticket: u64,
        /// What was found.
        found: Selected,
    },
    /// What route numbers mean under which archived entries come from here on.
    Routes(Vec<(RouteNumber, Route)>),
    /// How much of which room is there, oldest first.
    Pasts(Vec<(RoomId, Vec<Mark>)>),
    /// The archive took a step, or could not.
    Archived {
        /// From where on it has everything of which room that the log has not.
        rooms: BTreeMap<RoomId, Archived>,
        /// Its size.
        status: ArchiveStatus,
        /// How many seqs it let go of in this step that somebody may miss, and why.
        let_go: Option<(u64, Why)>,
        /// Why it cannot be written.
        failing: Option<Failing>,
    },
    /// The archive could be opened after the start only. After it, `Archived` says what it has.
    ArchiveOpened {
        /// The epochs of what is in it.
        spans: Vec<EpochSpan>,
        /// How many of its files are not as they should be.
        amiss: u64,
    },
    /// What somebody reads of the archive cannot be read: in so many volumes in which that was not known.
    ArchiveDamaged {
        /// How many.
        volumes: u64,
    },
    /// The log writes again after it failed.
    Recovered,
    /// So many changes of a view are in its table on disk, in the order in which they were ordered.
    Saved {
        /// How many.
        changes: usize,
    },
}

/// Why an archive cannot be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failing {
    /// The disk is full.
    DiskFull,
    /// Something else; the log says what.
    Disk,
}

/// What the committing worker is told.
enum Order {
    Persist { ticket: u64, batch: Batch, connections: u32 },
    Cursor(CursorKey, CursorValue),
    Views(Option<Seq>),
    Archived(Option<Seq>),
}

/// The way to the log's workers. Dropped, it ends them when they have done what was ordered.
#[derive(Debug)]
pub struct Storage {
    workers: Workers,
}

impl Storage {
    /// Starts the workers. `index` knows what the log's segments hold; `archive`, if there is one, knows already which
    /// rooms are archived; `answer` is called from all of them and must not wait.
    pub fn start<D: Disk, F: Fold>(
        mut writer: Writer<D, F>,
        index: Box<dyn Index + Send>,
        archive: Option<ArchiveFolder<D>>,
        answer: impl Fn(Answer) + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let archived = archive.as_ref().and_then(|folder| folder.archive.as_ref()).map(Archive::reader);
        let late = Late::default();
        let (reader, log) = (writer.reader(), writer.reader());
        let archiving = archive.map(|folder| Archiving::new(folder, Arc::clone(&late), log, answer.clone()));
        let reading = Reading::new(reader, archived, late, index, answer.clone());
        if let Some(archiving) = &archiving {
            writer.set_archived(archiving.through());
        }
        let workers = Workers::start(Committing::new(writer, answer), reading, archiving)?;
        Ok(Self { workers })
    }

    /// These rooms are archived from here on, and no other; each shows nothing up to that seq any more.
    pub fn archive(&self, rooms: BTreeMap<RoomId, Seq>) {
        self.workers.archive(archiving::Order::Rooms(rooms));
    }

    /// Stores a batch for that many connections. Answered by `Persisted` or `Failed`.
    pub fn persist(&self, ticket: u64, batch: Batch, connections: u32) {
        self.workers.order(Order::Persist { ticket, batch, connections });
    }

    /// Moves a cursor with the next commit.
    pub fn set_cursor(&self, key: CursorKey, value: CursorValue) {
        self.workers.order(Order::Cursor(key, value));
    }

    /// Views have seen everything up to here, or with none all there is: what comes after stays, within a bound
    /// (rule 6.10).
    pub fn hold_for_views(&self, through: Option<Seq>) {
        self.workers.order(Order::Views(through));
    }

    /// Reads. Answered by `Read`.
    pub fn read(&self, ticket: u64, read: Read) {
        self.workers.read(Asked::Read(ticket, read));
    }

    /// Counts how much of these rooms is there. Answered by `Pasts`.
    pub fn count(&self, rooms: Vec<Room>) {
        self.workers.read(Asked::Count(rooms));
    }
}

/// What the reading worker is asked.
#[derive(Debug)]
enum Asked {
    Read(u64, Read),
    Count(Vec<Room>),
}

#[cfg(test)]
mod tests;
