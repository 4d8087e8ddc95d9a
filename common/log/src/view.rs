//! What readers see of a log: its segments and its durable end, replaced as a whole after each commit.

use crate::{disk::Disk, gaps::GapTable, segment::Segment};
use riser_model::{Cause, Seq, Wall};
use std::sync::{Arc, PoisonError, RwLock};

/// A log as it was after some commit.
pub(crate) struct View<D: Disk> {
    /// Oldest first.
    pub segments: Arc<Vec<Arc<Segment<D>>>>,
    /// The last durable seq.
    pub end: Seq,
    /// Where the last segment's durable blocks end.
    pub end_offset: u64,
    /// Why seqs are gone, where that is known.
    pub gaps: Arc<GapTable>,
    /// Why seqs before the oldest segment are gone, where the table does not say.
    pub trim_cause: Cause,
}

impl<D: Disk> View<D> {
    /// The oldest seq that may still be there; the one after the end if none is.
    pub fn oldest(&self) -> Seq {
        self.segments.first().map_or(self.end.next(), |segment| segment.first.min(self.end.next()))
    }

    /// When the oldest segment began: whatever is gone was committed before.
    pub fn oldest_at(&self) -> Wall {
        self.segments.first().map_or(Wall(i64::MIN), |segment| segment.began)
    }

    /// The segment that `seq` belongs to, and the last seq that does; none below the oldest.
    pub fn find(&self, seq: Seq) -> Option<(&Arc<Segment<D>>, Seq)> {
        let after = self.segments.partition_point(|segment| segment.first <= seq);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        Some((segment, self.last_of(after - 1)))
    }

    /// The last seq that belongs to the segment at `index`.
    pub fn last_of(&self, index: usize) -> Seq {
        self.segments.get(index + 1).map_or(self.end, |next| next.first.prev())
    }

    /// Where the good blocks of a segment end, as far as that is known.
    pub fn stop_of(&self, segment: &Segment<D>) -> u64 {
        let is_last = self.segments.last().is_some_and(|s| s.identity == segment.identity);
        let known = segment.data_end.get().copied();
        known.unwrap_or(if is_last { self.end_offset } else { segment.length })
    }

    pub fn holds(&self, segment: &Segment<D>) -> bool {
        self.segments.iter().any(|s| s.identity == segment.identity)
    }
}

/// The newest view, between one writer and any number of readers.
pub(crate) struct Shared<D: Disk> {
    newest: RwLock<Arc<View<D>>>,
}

impl<D: Disk> Shared<D> {
    pub fn new(view: View<D>) -> Self {
        Self { newest: RwLock::new(Arc::new(view)) }
    }

    pub fn view(&self) -> Arc<View<D>> {
        // Views are replaced whole, so a panic elsewhere leaves a whole one.
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn publish(&self, view: View<D>) {
        let view = Arc::new(view);
        let old = std::mem::replace(&mut *self.newest.write().unwrap_or_else(PoisonError::into_inner), view);
        // Freed outside the lock.
        drop(old);
    }
}
