//! The log's workers, threads of their own: one that commits, one that reads, and one that archives. The task that owns the core never waits for a disk.
//!
//! The committing one takes everything that waits, stages it, and makes it durable with one write and one sync;
//! what arrives meanwhile is the next commit (rules 6.3 and 6.4). What may wait is bounded by the core, which
//! refuses publications beyond its bound. Answers come in the order of the tickets.

use crate::clock::Clock;
use archiving::Archiving;
use riser_log::{
    Committed, Decision, Disk, Fold, Index, Pacer, Reader, Refused, Status, Waiting, Writer,
    archive::{Archive, ArchiveReader, ArchiveStatus},
    pasts,
};
use riser_model::{
    Archived, Batch, CursorKey, CursorValue, Gap, Mark, Read, Room, RoomId, Route, RouteNumber, Selected,
    Seq, Wall, door::Code,
};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

mod archiving;

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
        /// How many seqs its quota cost in this step.
        let_go: u64,
        /// Why it cannot be written, for people.
        failing: Option<String>,
    },
    /// The log writes again after it failed.
    Recovered,
    /// So many changes of a view are in its table on disk, in the order in which they were ordered.
    Saved {
        /// How many.
        changes: usize,
    },
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
    /// rooms are archived, and without one what the writer was told of it stays; `answer` is called from all of them and must not wait.
    pub fn start<D: Disk, F: Fold>(
        mut writer: Writer<D, F>,
        index: Box<dyn Index + Send>,
        archive: Option<Archive<D>>,
        answer: impl Fn(Answer) + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let archived = archive.as_ref().map(Archive::reader);
        let reading = Reading { reader: writer.reader(), archived, index, answer: answer.clone() };
        let archiving = archive.map(|archive| Archiving::new(archive, writer.reader(), answer.clone()));
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

/// What the committing worker does before it looks what else was ordered.
enum Pause {
    /// Nothing: there is something to be done.
    None,
    /// It waits so long at most.
    AtMost(Duration),
    /// It waits for an order.
    Order,
}

struct Committing<D: Disk, F: Fold, A> {
    writer: Writer<D, F>,
    answer: A,
    pacer: Pacer,
    clock: Clock,
    /// Staged batches: ticket and first seq, in order.
    staged: VecDeque<(u64, Seq)>,
    connections: u32,
    failing: bool,
    /// Who hears that a segment was sealed, and the one that is written to.
    sealed: Option<Sealed>,
    segment: Option<u64>,
}

/// Hears that a segment was sealed.
type Sealed = Box<dyn Fn() + Send>;

impl<D: Disk, F: Fold, A: Fn(Answer)> Committing<D, F, A> {
    fn new(writer: Writer<D, F>, answer: A) -> Self {
        let failing = writer.status().failing;
        Self {
            writer,
            answer,
            pacer: Pacer::default(),
            clock: Clock,
            staged: VecDeque::new(),
            connections: 0,
            failing,
            sealed: None,
            segment: None,
        }
    }

    /// How long it may wait for the next order.
    fn pause(&mut self) -> Pause {
        let now = self.clock.now();
        match self.pacer.decide(now.time, self.waiting()) {
            Some(Decision::Commit) => Pause::None,
            Some(Decision::WaitUntil(at)) => Pause::AtMost(at.since(now.time)),
            None if self.failing => Pause::AtMost(RETRY_EVERY),
            None if self.prepare() => Pause::None,
            None => Pause::Order,
        }
    }

    /// After each pause, and what was ordered by then.
    fn work(&mut self) {
        self.commit_if_due();
        self.look_after();
    }

    fn waiting(&self) -> Waiting {
        // Whatever is ordered is waited for: what nobody waits for has been held back by the core long enough.
        let connections = if self.staged.is_empty() { 0 } else { self.connections.max(1) };
        Waiting { connections, unwaited_since: None }
    }

    fn take(&mut self, order: Order) {
        match order {
            Order::Cursor(key, value) => self.writer.set_cursor(key, value),
            Order::Views(views) => self.writer.set_views(views),
            Order::Archived(through) => self.writer.set_archived(through),
            Order::Persist { ticket, batch, connections } => {
                let first = batch.first;
                let mut staged = self.writer.stage(batch.clone());
                if staged == Err(Refused::CommitFirst) {
                    self.commit();
                    staged = self.writer.stage(batch);
                }
                match staged {
                    Ok(()) => {
                        self.staged.push_back((ticket, first));
                        self.connections += connections;
                    }
                    Err(refused) => {
                        // Answers come in order: what was staged before is committed first.
                        self.commit();
                        self.failed(ticket, &refused);
                    }
                }
            }
        }
    }

    fn failed(&self, ticket: u64, refused: &Refused) {
        let code = match refused {
            Refused::Quota { .. } => Code::QuotaExceeded,
            Refused::NoSpace
            | Refused::CommitFirst
            | Refused::DrainOnly
            | Refused::Failing { .. }
            | Refused::NotNext { .. }
            | Refused::Count { .. }
            | Refused::Entry(_)
            | Refused::TooLarge { .. }
            | Refused::UnknownRoute(_)
            | Refused::UnknownOrigin(_)
            | Refused::Redefined(_) => Code::LogFailing,
        };
        (self.answer)(Answer::Failed { ticket, code, reason: refused.to_string() });
    }

    fn commit_if_due(&mut self) {
        if let Some(Decision::Commit) = self.pacer.decide(self.clock.now().time, self.waiting()) {
            self.commit();
        }
    }

    fn commit(&mut self) {
        if self.staged.is_empty() {
            return;
        }
        let before = self.clock.now();
        let result = self.writer.commit(before);
        let after = self.clock.now();
        let took = after.time.since(before.time);
        match result {
            Ok(committed) => {
                self.pacer.committed(after.time, took, self.connections);
                let newest = self.staged.back().map(|(ticket, _)| *ticket);
                self.staged.clear();
                self.committed(newest, committed, took);
            }
            Err(error) => {
                let stored = self.staged.iter().take_while(|(_, first)| *first < error.refused).count();
                let newest = self.staged.drain(..stored).next_back().map(|(ticket, _)| ticket);
                if let Some(committed) = error.committed {
                    self.committed(newest, committed, took);
                }
                tracing::error!(error = %error.source, "the log cannot commit");
                // Each of them is answered: cursors without entries fail alone, and say nothing of what follows.
                for (ticket, _) in self.staged.drain(..) {
                    let reason = error.source.to_string();
                    (self.answer)(Answer::Failed { ticket, code: Code::LogFailing, reason });
                }
                self.failing = true;
            }
        }
        self.connections = 0;
    }

    fn committed(&mut self, newest: Option<u64>, committed: Committed, took: Duration) {
        let gaps: Vec<Gap> = committed.gaps.iter().map(|record| record.gap).collect();
        let trimmed = (committed.segments_trimmed > 0 || !gaps.is_empty()).then(|| Answer::Trimmed {
            oldest: committed.oldest,
            oldest_at: committed.oldest_at,
            gaps,
        });
        if let Some(ticket) = newest {
            let status = self.writer.status();
            if let Some(reason) = &committed.gave_up {
                tracing::warn!(
                    reason,
                    "a write to the log failed; it goes on in another segment, nothing is lost"
                );
            }
            (self.answer)(Answer::Persisted { ticket, committed, took, status });
        }
        trimmed.into_iter().for_each(&self.answer);
        let segment = self.writer.segment();
        if let Some(sealed) = self.sealed.as_ref().filter(|_| segment != self.segment) {
            self.segment = segment;
            sealed();
        }
    }

    /// What must not wait for an idle moment: the next segment, and a second try after a failure.
    fn look_after(&mut self) {
        if self.writer.prepare_due() {
            while self.prepare() && self.writer.prepare_due() {}
        }
        if self.failing && self.staged.is_empty() && self.writer.retry(self.clock.now()).is_ok() {
            self.failing = self.writer.status().failing;
            if !self.failing {
                tracing::info!("the log writes again");
                (self.answer)(Answer::Recovered);
            }
        }
    }

    /// One piece of making the next segment ready; says whether there is more to do.
    fn prepare(&mut self) -> bool {
        match self.writer.prepare(self.clock.now()) {
            Ok(more) => more,
            Err(error) => {
                // The commit that needs the segment will meet the same disk and say so to those who wait.
                tracing::warn!(%error, "the log's next segment could not be made ready");
                false
            }
        }
    }
}

struct Reading<D: Disk, A> {
    reader: Reader<D>,
    archived: Option<ArchiveReader<D>>,
    index: Box<dyn Index + Send>,
    answer: A,
}

impl<D: Disk, A: Fn(Answer)> Reading<D, A> {
    /// Tells the index one thing that it does not know; says whether there may be more.
    fn teach(&mut self) -> bool {
        self.reader.teach(&mut *self.index).unwrap_or_else(|error| {
            tracing::warn!(%error, "the log's index could not be told what a segment holds");
            false
        })
    }

    fn answer(&mut self, asked: &Asked) {
        match asked {
            Asked::Read(ticket, read) => self.perform(*ticket, read),
            Asked::Count(rooms) => {
                let pasts = pasts(rooms, &self.reader, self.archived.as_mut());
                (self.answer)(Answer::Pasts(pasts));
            }
        }
    }

    fn perform(&mut self, ticket: u64, read: &Read) {
        let found = match &mut self.archived {
            Some(archived) => archived.perform(&mut self.reader, read, &mut *self.index),
            None => self.reader.perform(read, &mut *self.index),
        };
        let found = found.unwrap_or_else(|error| {
            tracing::warn!(%error, "the log could not be read");
            read.nothing()
        });
        let routes = self.archived.as_mut().map(ArchiveReader::take_routes).unwrap_or_default();
        if !routes.is_empty() {
            (self.answer)(Answer::Routes(routes));
        }
        (self.answer)(Answer::Read { ticket, found });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_log::{Config, Entropy, fault::FaultDisk};
    use riser_model::{HubIdentity, LogId, Now, PublicKey, RouteNumber, Stamp};
    use riser_wire::entry::{self, Kind};
    use std::sync::mpsc;

    #[test]
    fn every_batch_of_a_failed_commit_is_answered() {
        let disk = FaultDisk::new(1);
        let opened = Writer::<_, ()>::open(disk.clone(), Config::tiny(), Entropy(1), Now::default());
        let writer = opened.unwrap().0;
        let (said, answers) = mpsc::channel();
        let mut committing = Committing::new(writer, move |answer| said.send(answer).unwrap());
        (1..10).for_each(|n| disk.fail_sync(disk.counts().syncs + n));
        let hub = CursorKey::Uplink(HubIdentity { key: PublicKey([0; 32]), log: LogId(1) });
        let alone =
            Batch { first: Seq(1), cursors: vec![(hub, Some(CursorValue::default()))], ..Batch::default() };
        let mut entries = Vec::new();
        entry::write_frame(&mut entries, RouteNumber::NONE, Kind::Canary, 0, Stamp::default(), |_| {});
        let entry = Batch { first: Seq(1), entries: entries.into(), count: 1, ..Batch::default() };
        for (ticket, batch) in [(1, alone), (2, entry)] {
            committing.take(Order::Persist { ticket, batch, connections: 1 });
        }
        committing.commit();
        let failed = |answer| match answer {
            Answer::Failed { ticket, .. } => ticket,
            answer => panic!("{answer:?}"),
        };
        assert_eq!(answers.try_iter().map(failed).collect::<Vec<_>>(), [1, 2]);
    }
}
