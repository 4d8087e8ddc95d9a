//! The log's workers, threads of their own: one that commits, one that reads, and one that archives. The task that owns the core never waits for a disk.
//!
//! The committing one takes everything that waits, stages it, and makes it durable with one write and one sync;
//! what arrives meanwhile is the next commit (rules 6.3 and 6.4). What may wait is bounded by the core, which
//! refuses publications beyond its bound. Answers come in the order of the tickets.

use crate::clock::Clock;
use archiving::Archiving;
use riser_log::{
    Committed, Decision, Disk, Fold, Index, Pacer, Reader, Refused, Status, Waiting, Writer,
    archive::{Archive, ArchiveReader, ArchiveStatus, Why},
    pasts,
};
use riser_model::{
    Archived, Batch, CursorKey, CursorValue, EpochSpan, Gap, Mark, Read, Room, RoomId, Route, RouteNumber,
    Selected, Seq, Time, Wall, door::Code,
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

mod archiving;

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
        let (late, unreadable) = (Late::default(), BTreeMap::new());
        let (reader, log) = (writer.reader(), writer.reader());
        let archiving = archive.map(|folder| Archiving::new(folder, Arc::clone(&late), log, answer.clone()));
        let reading =
            Reading { reader, archived, late, index, answer: answer.clone(), clock: Clock, unreadable };
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

/// The reader of an archive whose folder could be opened late.
type Late<D> = Arc<Mutex<Option<ArchiveReader<D>>>>;

/// A volume that cannot be read is tried so long before what it has is told as damage.
const UNREADABLE_FOR: Duration = Duration::from_secs(30);
/// It was readable in between, if nobody failed there for so long.
const READ_BETWEEN: Duration = Duration::from_secs(10);

struct Reading<D: Disk, A> {
    reader: Reader<D>,
    archived: Option<ArchiveReader<D>>,
    late: Late<D>,
    index: Box<dyn Index + Send>,
    answer: A,
    clock: Clock,
    /// The archive's volumes that cannot be read: since when, and when that was last seen.
    unreadable: BTreeMap<Seq, (Time, Time)>,
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
        let found = match &mut self.archived {
            Some(archived) => archived.perform(&mut self.reader, read, &mut *self.index),
            None => self.reader.perform(read, &mut *self.index),
        };
        let found = found.unwrap_or_else(|error| {
            tracing::warn!(%error, "the log could not be read");
            self.failed_at(error.at, self.clock.now().time);
            read.nothing()
        });
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

    /// Whoever reads there is not held up for ever, where it is the archive that cannot be read.
    fn failed_at(&mut self, at: Seq, now: Time) {
        let Some(archived) = &mut self.archived else { return };
        let Some(volume) = archived.volume_of(at) else { return };
        let (since, last) = self.unreadable.entry(volume).or_insert((now, now));
        if now.since(*last) > READ_BETWEEN {
            *since = now;
        }
        *last = now;
        if now.since(*since) >= UNREADABLE_FOR {
            tracing::error!(
                at = at.0,
                "a volume of the archive cannot be read: what it has is told as damage"
            );
            archived.give_up(volume);
            self.unreadable.remove(&volume);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_log::{Config, Entropy, fault::FaultDisk};
    use riser_model::{HubIdentity, LogId, Now, PublicKey, RouteNumber, Stamp};
    use riser_wire::entry::{self, Kind};
    use std::sync::mpsc;

    /// A log with some sealed segments, an archive's disk, and what opens that.
    fn archived() -> (Writer<FaultDisk>, FaultDisk, Open<FaultDisk>, BTreeMap<RoomId, Seq>) {
        let (disk, archive) = (FaultDisk::new(1), FaultDisk::new(2));
        let opened = Writer::<_, ()>::open(disk, Config::tiny(), Entropy(1), Now::default());
        let (mut writer, recovered) = opened.unwrap();
        let route = Route {
            room: RoomId(uuid::Uuid::from_u128(1)),
            channel: "a".parse().unwrap(),
            client: riser_model::ClientId(uuid::Uuid::from_u128(2)),
        };
        for n in 0..12 {
            let mut entries = Vec::new();
            let publication = entry::Publication::new(entry::ContentType::Octets, &[7; 4000]);
            publication.write_frame(&mut entries, RouteNumber(0), Stamp::default());
            let routes = if n == 0 { vec![(RouteNumber(0), route.clone())] } else { Vec::new() };
            let (first, entries) = (writer.next(), entries.into());
            writer.stage(Batch { first, entries, count: 1, routes, ..Batch::default() }).unwrap();
            writer.commit(Now::default()).unwrap();
            writer.prepare(Now::default()).unwrap();
        }
        let (log, chain, on) = (recovered.log, recovered.chain, archive.clone());
        let open: Open<FaultDisk> = Box::new(move || {
            Archive::open(on.clone(), log, &chain, Seq(1), 1 << 30)
                .map(|(archive, found)| (archive, found.len() as u64))
        });
        (writer, archive, open, [(route.room, Seq::ZERO)].into())
    }

    #[test]
    fn a_folder_that_cannot_be_opened_is_tried_again_and_read_when_it_can_be() {
        let (writer, disk, open, wanted) = archived();
        let (said, answers) = mpsc::channel();
        let answer = move |answer| said.send(answer).unwrap();
        let late = Late::default();
        let folder = ArchiveFolder { archive: None, open, wanted };
        let mut archiving = Archiving::new(folder, Arc::clone(&late), writer.reader(), answer.clone());
        let next = disk.counts().calls;
        (1..=3).for_each(|call| disk.fail_call(next + call, riser_log::fault::Failure::Io));
        for _ in 0..3 {
            assert!(matches!(archiving.step(), archiving::Next::Wait(Some(_))));
            assert_eq!(archiving.through(), Some(Seq::ZERO), "the log holds all of it");
            let failing = |answer| matches!(answer, Answer::Archived { failing: Some(Failing::Disk), .. });
            assert!(answers.try_iter().all(failing) && late.lock().unwrap().is_none());
        }
        while matches!(archiving.step(), archiving::Next::Step) {}
        let all: Vec<Answer> = answers.try_iter().collect();
        assert!(matches!(all[0], Answer::ArchiveOpened { amiss: 0, .. }), "{all:?}");
        let Some(Answer::Archived { rooms, failing: None, .. }) = all.last() else { panic!("{all:?}") };
        assert_eq!(rooms.len(), 1);
        assert!(archiving.through().unwrap() > Seq::ZERO);
        // Who reads finds it.
        let (archived, unreadable) = (None, BTreeMap::new());
        let (reader, index) = (writer.reader(), Box::new(()));
        let mut reading = Reading { reader, archived, late, index, answer, clock: Clock, unreadable };
        reading.answer(&Asked::Count(Vec::new()));
        assert!(reading.archived.is_some());
    }

    #[test]
    fn a_volume_that_cannot_be_read_for_half_a_minute_is_told_as_damage() {
        let (writer, disk, mut open, wanted) = archived();
        let (mut archive, _) = open().unwrap();
        archive.want(wanted, &writer.reader());
        while archive.step(&writer.reader()).unwrap() != riser_log::archive::Step::Rests {}
        let answer = |_| {};
        let (reader, index) = (writer.reader(), Box::new(()));
        let (archived, late, unreadable) = (Some(archive.reader()), Late::default(), BTreeMap::new());
        let mut reading = Reading { reader, archived, late, index, answer, clock: Clock, unreadable };
        let read = |fails_at: u64, reading: &mut Reading<FaultDisk, _>| {
            let next = disk.counts().calls;
            (1..20).for_each(|call| disk.fail_call(next + call, riser_log::fault::Failure::Full));
            let of = riser_model::Interest {
                rooms: [(RoomId(uuid::Uuid::from_u128(1)), Vec::new())].into(),
                grants: Arc::new(riser_model::Grants::new(Vec::new())),
                open: Default::default(),
            };
            let found = reading.archived.as_mut().unwrap().read_of(Seq(1), Seq(2), 1, &of);
            disk.calm();
            if let Err(error) = &found {
                reading.failed_at(error.at, Time(fails_at * 1_000_000_000));
            }
            found.is_ok()
        };
        // It could be read in between: it waits anew.
        assert!(!read(100, &mut reading) && !read(105, &mut reading) && !read(140, &mut reading));
        for second in 141..170 {
            assert!(!read(second, &mut reading), "{second}");
        }
        assert!(!read(170, &mut reading));
        assert!(read(171, &mut reading), "then it is a gap");
    }

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
