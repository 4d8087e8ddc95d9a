//! Where the log begins and ends, under which epochs, and why what is gone is gone.
//!
//! Owns the translation between seqs and positions. A position of a fork that no longer exists is never
//! matched by its number (section 7.4).

use riser_model::{Archived, Cause, Epoch, EpochSpan, Gap, LogId, Position, Seq, Wall};

/// The most gaps whose causes are remembered; older ones are told as what the log trims.
const GAPS_MAX: usize = 1024;

/// What a position means in this log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Resume {
    /// Everything up to here is the same history.
    Exact(Seq),
    /// It lies past the end of its epoch as this log knows it: the histories part here.
    Fork(Seq),
    /// An epoch that this log does not know.
    Unknown,
    /// Another log.
    OtherLog,
}

#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) log: LogId,
    pub(crate) epoch: Epoch,
    spans: Vec<EpochSpan>,
    first: Seq,
    /// The newest seq that is on disk.
    pub(crate) committed: Seq,
    /// The oldest seq that is still there.
    pub(crate) oldest: Seq,
    /// What is gone was committed before this.
    oldest_at: Wall,
    gaps: Vec<Gap>,
    /// Why what no gap names is gone: the same that who reads the disk is told there.
    trim_cause: Cause,
}

impl Chain {
    pub(crate) fn new(
        log: LogId,
        epoch: Epoch,
        mut spans: Vec<EpochSpan>,
        next: Seq,
        (oldest, oldest_at): (Seq, Wall),
        (gaps, trim_cause): (Vec<Gap>, Cause),
    ) -> Self {
        // A log names the live epoch too, as far as it went when it was opened: it goes on.
        spans.retain(|span| span.epoch != epoch);
        let mut chain = Self {
            log,
            epoch,
            spans,
            first: next,
            committed: next.prev(),
            oldest,
            oldest_at,
            gaps: Vec::new(),
            trim_cause,
        };
        chain.trim((oldest, oldest_at), gaps);
        chain
    }

    /// Epochs of which only the archive knows.
    pub(crate) fn learn(&mut self, spans: Vec<EpochSpan>) {
        let known = |epoch| epoch == self.epoch || self.spans.iter().any(|span| span.epoch == epoch);
        let unknown: Vec<EpochSpan> = spans.into_iter().filter(|span| !known(span.epoch)).collect();
        self.spans.splice(0..0, unknown);
    }

    /// The position of a seq. A seq just below its epoch's first is where that epoch began.
    pub(crate) fn position(&self, seq: Seq) -> Position {
        let holds = |span: &&EpochSpan| span.first <= seq && seq <= span.last;
        let begins = |span: &&EpochSpan| span.first == seq.next();
        let epoch = if seq >= self.first {
            self.epoch
        } else {
            let span = self.spans.iter().rev().find(holds);
            span.or_else(|| self.spans.iter().find(begins)).map_or(self.epoch, |span| span.epoch)
        };
        Position { log: self.log, epoch, seq }
    }

    pub(crate) fn resume(&self, position: Position) -> Resume {
        if position.log != self.log {
            return Resume::OtherLog;
        }
        let here = EpochSpan { epoch: self.epoch, first: self.first, last: self.committed };
        let mut spans = self.spans.iter().chain(std::iter::once(&here));
        match spans.find(|span| span.epoch == position.epoch) {
            Some(span) if position.seq.next() < span.first => Resume::Unknown,
            Some(span) if position.seq > span.last.max(span.first.prev()) => Resume::Fork(span.last),
            Some(_) => Resume::Exact(position.seq),
            None => Resume::Unknown,
        }
    }

    /// Notes what the log let go of.
    pub(crate) fn trim(&mut self, (oldest, at): (Seq, Wall), gaps: Vec<Gap>) {
        self.oldest = self.oldest.max(oldest);
        self.oldest_at = self.oldest_at.max(at);
        self.gaps.extend(gaps);
        self.gaps.sort_by_key(|gap| (gap.from, gap.to));
        self.gaps.dedup_by(|next, gap| {
            let merges = next.cause == gap.cause && next.from <= gap.to.next();
            if merges {
                gap.to = gap.to.max(next.to);
            }
            merges
        });
        let surplus = self.gaps.len().saturating_sub(GAPS_MAX);
        self.gaps.drain(..surplus);
    }

    /// Where the past begins of a room of which that is archived, or of one that is not.
    pub(crate) fn past(&self, archived: Option<Archived>) -> Archived {
        let log = Archived { oldest: self.oldest, oldest_at: self.oldest_at };
        archived.filter(|archived| archived.oldest < log.oldest).unwrap_or(log)
    }

    /// What is before `oldest`, which is no more there, and after `seq`, with its causes, in order.
    pub(crate) fn missing_after(&self, seq: Seq, oldest: Seq) -> Vec<Gap> {
        self.missing(seq.next(), oldest.prev())
    }

    /// The seqs `from..=to`, all of them gone, cut by their causes.
    pub(crate) fn missing(&self, mut from: Seq, to: Seq) -> Vec<Gap> {
        let mut found: Vec<Gap> = Vec::new();
        let mut push = |gap: Gap| match found.last_mut() {
            Some(last) if last.cause == gap.cause => last.to = gap.to,
            _ => found.push(gap),
        };
        for gap in &self.gaps {
            // Where nothing is left, a gap that goes on beyond that is none of this.
            if from > to {
                break;
            }
            if gap.to < from || gap.from > to {
                continue;
            }
            if gap.from > from {
                push(Gap { from, to: gap.from.prev(), cause: self.trim_cause });
                from = gap.from;
            }
            let end = gap.to.min(to);
            push(Gap { from, to: end, cause: gap.cause });
            from = end.next();
        }
        if from <= to {
            push(Gap { from, to, cause: self.trim_cause });
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Chain {
        let span = |epoch, first, last| EpochSpan { epoch: Epoch(epoch), first: Seq(first), last: Seq(last) };
        let gaps = vec![Gap { from: Seq(5), to: Seq(6), cause: Cause::Quota }];
        let spans = vec![span(1, 1, 10), span(2, 11, 10), span(3, 11, 20)];
        let mut chain =
            Chain::new(LogId(9), Epoch(4), spans, Seq(21), (Seq(9), Wall(5)), (gaps, Cause::HubQuota));
        chain.committed = Seq(30);
        chain
    }

    fn at(epoch: u64, seq: u64) -> Position {
        Position { log: LogId(9), epoch: Epoch(epoch), seq: Seq(seq) }
    }

    #[test]
    fn every_position_given_is_found_again() {
        for seq in 0..=30 {
            let chain = chain();
            assert_eq!(chain.resume(chain.position(Seq(seq))), Resume::Exact(Seq(seq)), "{seq}");
        }
        assert_eq!(chain().position(Seq(20)), at(3, 20));
        assert_eq!(chain().position(Seq(21)), at(4, 21));
    }

    /// What the log let go of may be in an archive, and what it did not: a room's past begins where that says.
    #[test]
    fn nothing_is_missing_where_the_past_begins_right_behind_whatever_gap_lies_across() {
        let mut chain = chain();
        let gap = |from, to, cause| Gap { from: Seq(from), to: Seq(to), cause };
        chain.trim((Seq(12), Wall(6)), vec![gap(8, 11, Cause::Quota), gap(10, 11, Cause::Damage)]);
        assert_eq!(chain.missing_after(Seq(8), Seq(9)), []);
        assert_eq!(chain.missing_after(Seq(8), Seq(11)), [gap(9, 10, Cause::Quota)]);
    }

    #[test]
    fn the_live_epoch_goes_on_though_the_log_names_it_where_it_began() {
        let spans = [(1, 1, 10), (2, 11, 10)].map(|(epoch, first, last)| EpochSpan {
            epoch: Epoch(epoch),
            first: Seq(first),
            last: Seq(last),
        });
        let mut chain = Chain::new(
            LogId(9),
            Epoch(2),
            spans.to_vec(),
            Seq(11),
            (Seq(1), Wall(0)),
            (Vec::new(), Cause::Retention),
        );
        chain.committed = Seq(30);
        assert_eq!(chain.resume(at(2, 20)), Resume::Exact(Seq(20)));
        assert_eq!(chain.resume(at(2, 10)), Resume::Exact(Seq(10)));
        assert_eq!(chain.resume(at(1, 10)), Resume::Exact(Seq(10)));
    }

    #[test]
    fn forks_are_never_matched_by_number() {
        assert_eq!(chain().resume(at(3, 25)), Resume::Fork(Seq(20)));
        assert_eq!(chain().resume(at(4, 31)), Resume::Fork(Seq(30)));
        assert_eq!(chain().resume(at(7, 15)), Resume::Unknown);
        assert_eq!(chain().resume(at(4, 3)), Resume::Unknown);
        let other = Position { log: LogId(8), ..at(4, 25) };
        assert_eq!(chain().resume(other), Resume::OtherLog);
    }

    #[test]
    fn what_is_missing_keeps_its_causes_and_its_count() {
        let gap = |from, to, cause| Gap { from: Seq(from), to: Seq(to), cause };
        let mut chain = chain();
        let trimmed = Cause::HubQuota;
        let all = [gap(1, 4, trimmed), gap(5, 6, Cause::Quota), gap(7, 8, trimmed)];
        assert_eq!(chain.missing_after(Seq(0), chain.oldest), all);
        assert_eq!(chain.missing_after(Seq(5), chain.oldest), [gap(6, 6, Cause::Quota), gap(7, 8, trimmed)]);
        assert_eq!(chain.missing_after(Seq(8), chain.oldest), []);
        chain.trim((Seq(12), Wall(9)), vec![gap(7, 11, Cause::Quota)]);
        assert_eq!(chain.missing_after(Seq(4), chain.oldest), [gap(5, 11, Cause::Quota)]);
    }
}
