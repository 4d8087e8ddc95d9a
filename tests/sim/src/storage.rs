//! The log's two threads in virtual time: what the program's storage does, one turn of its loop per event.
//!
//! What the disk calls of a turn cost is when its answers arrive; meanwhile orders pile up, as in the program. The
//! journal is kept here, from what is really staged and really committed.

use crate::{
    disk::SimDisk,
    journal::{Journal, Numbers},
    mutant::Mutant,
    site::Pasts,
};
use bytes::{Bytes, BytesMut};
use riser_instance::LogFold;
use riser_log::{
    Committed, Decision, Pacer, Reader, Recovered, Refused, Waiting, Writer, archive::ArchiveReader,
};
use riser_model::{
    Batch, CursorKey, CursorMove, CursorValue, Gap, Now, Read, Room, Route, RouteNumber, Selected, Seq,
    Stamp, Time, Wall, door::Code,
};
use riser_mqtt::Record;
use riser_wire::entry::{Body, frames};
use shelved::Shelved;
use std::{collections::VecDeque, time::Duration};

mod shelved;

/// A log that could not write tries again this often.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// What storage answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Up to this ticket everything is on disk.
    Persisted(u64),
    /// This ticket is not; if it has entries, none after it.
    Failed(u64, Code),
    /// The oldest that is there, and what is gone that somebody may miss.
    Trimmed(Seq, Wall, Vec<Gap>),
    /// The answer to a read.
    Read(u64, Selected),
    /// How much of rooms is there.
    Pasts(Pasts),
    /// What route numbers mean in the answer to a read that comes next.
    Routes(Vec<(RouteNumber, Route)>),
}

#[derive(Debug)]
struct Order {
    ticket: u64,
    batch: Batch,
    connections: u32,
}

/// What a turn left.
#[derive(Debug, Default)]
pub struct Turned {
    /// To be given to the core after what the turn took.
    pub answers: Vec<Answer>,
    /// When to turn again, counted from when this turn is over; none: when something is ordered.
    pub again_in: Option<Duration>,
    /// Why something was not stored.
    pub refused: Option<String>,
}

/// A log's threads.
pub struct Storage {
    disk: SimDisk,
    writer: Writer<SimDisk, LogFold>,
    reader: Reader<SimDisk>,
    archived: Option<Shelved>,
    numbers: Numbers,
    orders: VecDeque<Order>,
    staged: VecDeque<(u64, Seq)>,
    connections: u32,
    pacer: Pacer,
    failing: bool,
    mutant: Option<Mutant>,
    /// Whether this is the hub's: some variants are wrong only there.
    hub: bool,
    answers: Vec<Answer>,
    refused: Option<String>,
    answered: u64,
    /// Cursors that a wrong variant holds back.
    deferred: Vec<CursorMove>,
    /// When the turn under way began.
    now: Now,
}

impl Storage {
    /// Over a log as it was opened.
    pub fn new(
        disk: SimDisk,
        writer: Writer<SimDisk, LogFold>,
        recovered: &Recovered<LogFold>,
        hub: bool,
        mutant: Option<Mutant>,
    ) -> Self {
        Self {
            reader: writer.reader(),
            archived: None,
            failing: writer.status().failing,
            writer,
            disk,
            numbers: numbers(recovered),
            orders: VecDeque::new(),
            staged: VecDeque::new(),
            connections: 0,
            pacer: Pacer::default(),
            mutant,
            hub,
            answers: Vec::new(),
            refused: None,
            answered: 0,
            deferred: Vec::new(),
            now: Now::default(),
        }
    }

    /// Orders a batch. Some variants answer at once.
    pub fn persist(&mut self, ticket: u64, batch: Batch, connections: u32) -> Option<Answer> {
        self.orders.push_back(Order { ticket, batch, connections });
        (self.mutant == Some(Mutant::AckBeforeSync)).then_some(Answer::Persisted(ticket))
    }

    /// What views have not saved is kept.
    pub fn hold_for_views(&mut self, through: Option<Seq>) {
        self.writer.set_views(through);
    }

    /// What is before this is gone, though nobody may have heard of it: who reads finds that before the next commit says
    /// so.
    pub fn oldest(&self) -> Seq {
        self.reader.oldest()
    }

    /// A reader of this log.
    pub fn reader(&self) -> Reader<SimDisk> {
        self.writer.reader()
    }

    /// Reads, as the reading thread does.
    pub fn read(&mut self, ticket: u64, read: &Read, now: Time) -> Vec<Answer> {
        let found = match &mut self.archived {
            Some(archived) => archived.read(&mut self.reader, read, now),
            None => self.reader.perform(read, &mut ()),
        };
        let mut found = found.unwrap_or_else(|_| read.nothing());
        if self.mutant == Some(Mutant::ReadSkipsFirst) && self.hub {
            found.chunk.runs.clear();
        }
        let routes = self.archived.as_mut().map(Shelved::take_routes).unwrap_or_default();
        let routes = (!routes.is_empty()).then_some(Answer::Routes(routes));
        routes.into_iter().chain([Answer::Read(ticket, found)]).collect()
    }

    /// Reads an archive too.
    pub fn read_archive(&mut self, archived: ArchiveReader<SimDisk>) {
        self.archived = Some(Shelved::new(archived));
    }

    /// How much of these rooms is there.
    pub fn count(&mut self, rooms: &[Room]) -> Pasts {
        match &mut self.archived {
            Some(archived) => archived.count(rooms, &self.reader),
            None => riser_log::pasts(rooms, &self.reader, None),
        }
    }

    /// What comes after that is not archived, and stays within a bound.
    pub fn set_archived(&mut self, through: Option<Seq>) {
        self.writer.set_archived(through);
    }

    /// Which segment is written to.
    pub fn segment(&self) -> Option<u64> {
        self.writer.segment()
    }

    /// Whether nothing is left to be done.
    pub fn is_idle(&self) -> bool {
        self.orders.is_empty() && self.staged.is_empty()
    }

    /// The bytes of all files, and the quota.
    pub fn size(&self) -> (u64, u64) {
        let status = self.writer.status();
        (status.bytes, status.quota)
    }

    /// One turn of the committing thread's loop.
    pub fn turn(&mut self, now: Now, journal: &mut Journal) -> Turned {
        self.now = now;
        let mut again_in = None;
        if self.orders.is_empty() {
            match self.pacer.decide(now.time, self.waiting()) {
                Some(Decision::Commit) => {}
                Some(Decision::WaitUntil(at)) => again_in = Some(at.since(now.time)),
                None if self.failing => again_in = Some(RETRY_EVERY),
                None if self.prepare() => again_in = Some(Duration::ZERO),
                None => {}
            }
        }
        while let Some(order) = self.orders.pop_front() {
            self.take(order, journal);
        }
        if let Some(Decision::Commit) = self.pacer.decide(self.later().time, self.waiting()) {
            self.commit(journal);
            again_in = Some(Duration::ZERO);
        } else if !self.staged.is_empty() && again_in.is_none() {
            again_in = Some(Duration::ZERO);
        }
        self.look_after();
        if self.failing && again_in.is_none() {
            again_in = Some(RETRY_EVERY);
        }
        Turned { answers: std::mem::take(&mut self.answers), again_in, refused: self.refused.take() }
    }

    /// The process goes down on purpose: what was ordered is stored.
    pub fn finish(&mut self, now: Now, journal: &mut Journal) {
        self.now = now;
        while let Some(order) = self.orders.pop_front() {
            self.take(order, journal);
        }
        self.commit(journal);
        self.answers.clear();
    }

    /// The time, with what this turn's disk calls have taken so far.
    fn later(&self) -> Now {
        let cost = self.disk.cost();
        let ms = i64::try_from(cost.as_millis()).unwrap_or(i64::MAX);
        Now { time: self.now.time.plus(cost), wall: Wall(self.now.wall.0.saturating_add(ms)) }
    }

    fn waiting(&self) -> Waiting {
        let connections = if self.staged.is_empty() { 0 } else { self.connections.max(1) };
        Waiting { connections, unwaited_since: None }
    }

    fn take(&mut self, order: Order, journal: &mut Journal) {
        let Order { ticket, batch, connections } = order;
        let batch = self.mutated(batch);
        let first = batch.first;
        self.numbers.routes.extend(batch.routes.iter().cloned());
        self.numbers.origins.extend(batch.origins.iter().copied());
        let entries = self.numbers.read(self.writer.epoch(), &batch.entries);
        let cursors = batch.cursors.clone();
        let mut staged = self.writer.stage(batch.clone());
        if staged == Err(Refused::CommitFirst) {
            self.commit(journal);
            staged = self.writer.stage(batch);
        }
        match staged {
            Ok(()) => {
                journal.stage(first, entries, &cursors);
                self.staged.push_back((ticket, first));
                self.connections += connections;
            }
            Err(refused) => {
                self.commit(journal);
                journal.refusing.insert(self.writer.epoch());
                self.refused = Some(format!("{refused:?}"));
                self.failed(ticket, refused.code());
                self.failing |= self.writer.status().failing;
            }
        }
    }

    fn commit(&mut self, journal: &mut Journal) {
        if self.staged.is_empty() {
            return;
        }
        let before = self.later();
        let result = self.writer.commit(before);
        let after = self.later();
        match result {
            Ok(committed) => {
                self.pacer.committed(after.time, after.time.since(before.time), self.connections);
                let newest = self.staged.back().map(|(ticket, _)| *ticket);
                self.staged.clear();
                self.committed(newest, &committed, journal);
            }
            Err(error) => {
                let stored = self.staged.iter().take_while(|(_, first)| *first < error.refused).count();
                let newest = self.staged.drain(..stored).next_back().map(|(ticket, _)| ticket);
                if let Some(committed) = &error.committed {
                    self.committed(newest, committed, journal);
                }
                while let Some((ticket, _)) = self.staged.pop_front() {
                    self.failed(ticket, Code::LogFailing);
                }
                journal.refused();
                journal.refusing.insert(self.writer.epoch());
                self.refused = Some(format!("{error:?}"));
                self.failing = true;
            }
        }
        self.connections = 0;
    }

    fn committed(&mut self, newest: Option<u64>, committed: &Committed, journal: &mut Journal) {
        journal.committed(committed.first, committed.last);
        if let Some(ticket) = newest {
            self.answered += 1;
            // One alone is made good by the next: it speaks for all before it.
            if self.mutant != Some(Mutant::AnswerLost) || self.answered < 40 {
                self.answers.push(Answer::Persisted(ticket));
            }
        }
        let gaps: Vec<Gap> = committed.gaps.iter().map(|record| record.gap).collect();
        if committed.segments_trimmed > 0 || !gaps.is_empty() {
            let ahead = if self.mutant == Some(Mutant::TrimmedAhead) && !self.hub { 40 } else { 0 };
            let oldest = committed.oldest.plus(ahead).min(self.writer.next());
            self.answers.push(Answer::Trimmed(oldest, committed.oldest_at, gaps));
        }
    }

    fn failed(&mut self, ticket: u64, code: Code) {
        let answer = match self.mutant {
            Some(Mutant::AckOnFailure) => Answer::Persisted(ticket),
            _ => Answer::Failed(ticket, code),
        };
        self.answers.push(answer);
    }

    fn look_after(&mut self) {
        if self.writer.prepare_due() {
            while self.prepare() && self.writer.prepare_due() {}
        }
        if self.failing && self.staged.is_empty() && self.writer.retry(self.later()).is_ok() {
            self.failing = self.writer.status().failing;
        }
    }

    fn prepare(&mut self) -> bool {
        let prepared = self.writer.prepare(self.later());
        self.failing |= prepared.is_err() && self.writer.status().failing;
        prepared.unwrap_or(false)
    }

    // The wrong variants.

    fn mutated(&mut self, mut batch: Batch) -> Batch {
        if let Some(drops) = dropped(self.mutant) {
            batch.entries = without(&batch.entries, drops);
        }
        if !self.hub {
            if self.mutant == Some(Mutant::DownCursorInNextCommit) {
                let down = |(key, _): &(CursorKey, _)| matches!(key, CursorKey::Ingest(..));
                let later = batch.cursors.extract_if(.., |moved| down(moved)).collect();
                batch.cursors.append(&mut std::mem::replace(&mut self.deferred, later));
            }
            return batch;
        }
        match self.mutant {
            Some(Mutant::CursorInNextCommit) => {
                std::mem::swap(&mut self.deferred, &mut batch.cursors);
            }
            Some(Mutant::DedupeInMemoryOnly) => {
                batch.cursors.retain(|(key, _)| !matches!(key, CursorKey::Ingest(..)));
            }
            Some(Mutant::CursorAhead) => {
                ingests(&mut batch).for_each(|value| value.through = value.through.next());
            }
            Some(Mutant::CursorBehind) => {
                ingests(&mut batch).for_each(|value| value.through = value.through.prev());
            }
            Some(Mutant::RoutesSwapped) => {
                if let [(_, first), (_, second), ..] = &mut batch.routes[..] {
                    std::mem::swap(first, second);
                }
            }
            Some(Mutant::OriginShifted) => {
                batch.origins.iter_mut().for_each(|(_, (_, epoch))| epoch.0 ^= 1);
            }
            Some(Mutant::EntriesSwapped) => batch.entries = rearranged(&batch.entries, |n| n ^ 1),
            Some(Mutant::EntryDoubled) => batch.entries = rearranged(&batch.entries, |n| n & !1),
            Some(Mutant::PayloadFlipped) if !batch.entries.is_empty() => {
                let mut bytes = BytesMut::from(&batch.entries[..]);
                if let Some(last) = bytes.last_mut() {
                    *last ^= 1;
                }
                batch.entries = bytes.freeze();
            }
            _ => {}
        }
        batch
    }
}

/// Which records of sessions a wrong variant drops.
fn dropped(mutant: Option<Mutant>) -> Option<fn(&Record) -> bool> {
    match mutant {
        Some(Mutant::HandOverDropped) => Some(|record| matches!(record, Record::HandedOver { .. })),
        Some(Mutant::ShareDropped) => Some(|record| matches!(record, Record::Shared { .. })),
        Some(Mutant::WilledDropped) => Some(|record| matches!(record, Record::Willed { .. })),
        Some(Mutant::UnwilledDropped) => Some(|record| matches!(record, Record::Unwilled { .. })),
        _ => None,
    }
}

/// The frames of a batch with records that say nothing in the place of some.
fn without(entries: &Bytes, drops: fn(&Record) -> bool) -> Bytes {
    let mut out = Vec::with_capacity(entries.len());
    for frame in frames(entries).map_while(Result::ok) {
        let record = Body::read(frame.body).ok().and_then(|body| Record::read(&body));
        if record.as_ref().is_some_and(drops) {
            let nothing = Record::Confirmed { number: 0, through: Vec::new() };
            nothing.write_frame(&mut out, frame.route, Stamp::default());
        } else {
            frame.write(&mut out);
        }
    }
    out.into()
}

/// What a batch says of how far it goes.
fn ingests(batch: &mut Batch) -> impl Iterator<Item = &mut CursorValue> {
    let ingests = batch.cursors.iter_mut().filter(|(key, _)| matches!(key, CursorKey::Ingest(..)));
    ingests.filter_map(|(_, value)| value.as_mut())
}

/// The frames of a batch from a link in another order; one that is not there stays.
fn rearranged(entries: &Bytes, place: impl Fn(usize) -> usize) -> Bytes {
    let all: Vec<_> = frames(entries).map_while(Result::ok).collect();
    let mut out = Vec::with_capacity(entries.len());
    for (n, frame) in all.iter().enumerate() {
        all.get(place(n))
            .filter(|f| f.origin.is_some() && frame.origin.is_some())
            .unwrap_or(frame)
            .write(&mut out);
    }
    out.into()
}

/// The numbers that a log recovered.
pub fn numbers(recovered: &Recovered<LogFold>) -> Numbers {
    Numbers {
        routes: recovered.routes.iter().cloned().collect(),
        origins: recovered.origins.iter().copied().collect(),
    }
}
