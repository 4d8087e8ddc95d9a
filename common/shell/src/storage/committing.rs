//! The worker that commits: it takes everything that waits, stages it, and makes it durable with one write and one sync.

use super::{Answer, Order, RETRY_EVERY};
use crate::clock::Clock;
use riser_log::{Committed, Decision, Disk, Fold, Pacer, Refused, Waiting, Writer};
use riser_model::{Gap, Seq, door::Code};
use std::{collections::VecDeque, time::Duration};

/// What the committing worker does before it looks what else was ordered.
pub(super) enum Pause {
    /// Nothing: there is something to be done.
    None,
    /// It waits so long at most.
    AtMost(Duration),
    /// It waits for an order.
    Order,
}

pub(super) struct Committing<D: Disk, F: Fold, A> {
    writer: Writer<D, F>,
    answer: A,
    pacer: Pacer,
    clock: Clock,
    /// Staged batches: ticket and first seq, in order.
    staged: VecDeque<(u64, Seq)>,
    connections: u32,
    failing: bool,
    /// Who hears that a segment was sealed, and the one that is written to.
    pub(super) sealed: Option<Sealed>,
    segment: Option<u64>,
}

/// Hears that a segment was sealed.
pub(super) type Sealed = Box<dyn Fn() + Send>;

impl<D: Disk, F: Fold, A: Fn(Answer)> Committing<D, F, A> {
    pub(super) fn new(writer: Writer<D, F>, answer: A) -> Self {
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
    pub(super) fn pause(&mut self) -> Pause {
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
    pub(super) fn work(&mut self) {
        self.commit_if_due();
        self.look_after();
    }

    fn waiting(&self) -> Waiting {
        // Whatever is ordered is waited for: what nobody waits for has been held back by the core long enough.
        let connections = if self.staged.is_empty() { 0 } else { self.connections.max(1) };
        Waiting { connections, unwaited_since: None }
    }

    pub(super) fn take(&mut self, order: Order) {
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
                        // A write that was to make room for it may have failed, in no commit: it is tried again all the same.
                        self.failing |= self.writer.status().failing;
                    }
                }
            }
        }
    }

    fn failed(&self, ticket: u64, refused: &Refused) {
        let code = refused.code();
        (self.answer)(Answer::Failed { ticket, code, reason: refused.to_string() });
    }

    fn commit_if_due(&mut self) {
        if let Some(Decision::Commit) = self.pacer.decide(self.clock.now().time, self.waiting()) {
            self.commit();
        }
    }

    pub(super) fn commit(&mut self) {
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
                // It may have been a block that says what goes: then nobody else tries to write again.
                self.failing |= self.writer.status().failing;
                false
            }
        }
    }
}
