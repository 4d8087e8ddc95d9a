//! Appends to a log: stages batches, commits them as blocks, trims.
//!
//! It owns the segment that is written to and all of the log's state. What always holds: a commit that returned
//! is durable, whole and readable; one that failed left nothing behind that counts; at most one commit is in
//! flight. How a block gets to the disk is in [`commit`](crate::commit), what makes room for it in
//! [`trim`](crate::trim), how a log is opened in [`recovery`](crate::recovery).

use crate::block::ENTRIES_BYTES_MAX;
use crate::{
    config::{Config, Holds},
    disk::Disk,
    errors::{CommitError, OpenError, Refused},
    fold::Fold,
    footer::{Footer, Tally},
    gaps::GapRecord,
    pool::Pool,
    reader::Reader,
    recovered::Recovered,
    recovery,
    segment::Segment,
    staged::{Staged, Uses, meta_size},
    tables::{CursorChanges, Tables, move_later},
    view::{Shared, View},
};
use riser_model::{Batch, CursorKey, CursorValue, Epoch, Now, Route, Seq, Wall};
use std::{collections::VecDeque, io, sync::Arc};

/// The seed of a log's ids, epochs and salts: drawn by the program at each start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entropy(pub u64);

/// What a commit made durable.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Committed {
    /// The first seq that became durable.
    pub first: Seq,
    /// The last; `first - 1` if there were only cursors, or nothing.
    pub last: Seq,
    /// Bytes written to the disk for it.
    pub bytes_written: u64,
    /// Segments trimmed since the last commit.
    pub segments_trimmed: u32,
    /// Gaps made since the last commit.
    pub gaps: Vec<GapRecord>,
    /// The oldest entry that is still there.
    pub oldest: Seq,
    /// What is gone was committed before this, by the host's clock.
    pub oldest_at: Wall,
    /// Why a write or a sync failed since the last commit, if one did. What it was for is in a segment of its own.
    pub gave_up: Option<String>,
}

/// A log's size, now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Status {
    /// Bytes of all its files, spares included.
    pub bytes: u64,
    /// Its quota.
    pub quota: u64,
    /// Segments that hold entries.
    pub segments: u32,
    /// Whether the next segment is ready.
    pub next_ready: bool,
    /// Whether nothing can be written: commits fail, or there is no room.
    pub failing: bool,
}

/// The one that appends. Everything it does to the disk happens in the caller's thread.
pub struct Writer<D: Disk, F: Fold = ()> {
    pub(crate) disk: D,
    pub(crate) config: Config,
    pub(crate) holds: Holds,
    pub(crate) rng: fastrand::Rng,
    pub(crate) now: Now,
    pub(crate) tables: Tables<F>,
    pub(crate) pool: Pool<D>,
    pub(crate) shared: Arc<Shared<D>>,
    /// Oldest first; the last is the one written to, if any is.
    pub(crate) segments: Vec<Arc<Segment<D>>>,
    pub(crate) active: Option<Active<D>>,
    /// The segment with the newest checkpoint.
    pub(crate) anchor: Option<u64>,
    /// Bytes of files that this build does not know, and leaves alone.
    pub(crate) aside_bytes: u64,
    pub(crate) staged: VecDeque<Staged>,
    pub(crate) uses: Uses,
    pub(crate) buffers: Vec<Vec<u8>>,
    /// Cursors that ride in the next block.
    pub(crate) moved: CursorChanges,
    /// What the last block said for good, and the next one says again: one damaged block does not take it along.
    pub(crate) repeated: Repeated,
    /// Gaps and a floor that no block has said yet.
    pub(crate) unsaid: Unsaid,
    /// The footer of a sealed segment that is not written yet.
    pub(crate) footer_due: Option<(Arc<Segment<D>>, Footer)>,
    pub(crate) trimmed: u32,
    pub(crate) gaps: Vec<GapRecord>,
    pub(crate) bytes_written: u64,
    pub(crate) gave_up: Option<String>,
    /// Why nothing can be written.
    pub(crate) failing: Option<Failing>,
    /// Why no segment could be made ready, last time.
    pub(crate) blocked: Option<Refused>,
}

/// The segment that is written to.
pub(crate) struct Active<D: Disk> {
    pub segment: Arc<Segment<D>>,
    pub offset: u64,
    /// Bytes of it that were left empty.
    pub empty: u64,
    pub tally: Tally,
}

/// What two blocks in a row carry, in the form in which they do. Cursors are not among it: one that is lost with
/// its block makes the far side send again what was lost with it.
#[derive(Debug, Default)]
pub(crate) struct Repeated {
    pub routes: Vec<(u32, Route)>,
    pub origins: Vec<(u32, (riser_model::LogId, Epoch))>,
    pub gaps: Vec<GapRecord>,
    pub floor: Option<Seq>,
}

#[derive(Debug, Default)]
pub(crate) struct Unsaid {
    pub gaps: Vec<GapRecord>,
    pub floor: Option<Seq>,
}

/// Why nothing can be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Failing {
    /// There was no room when it was opened.
    DrainOnly,
    /// A commit failed, and so did going on in the next segment.
    Commit(String),
}

impl<D: Disk, F: Fold> Writer<D, F> {
    /// Opens a log under a new epoch, or makes one. Damage and a full disk do not keep it from opening (promise
    /// 4); the disk must be locked by the caller.
    pub fn open(
        disk: D,
        config: Config,
        entropy: Entropy,
        now: Now,
    ) -> Result<(Self, Recovered<F>), OpenError> {
        recovery::open(disk, config, entropy, now)
    }

    /// Takes a batch into the next block. It is durable when a [`Writer::commit`] that follows returns. Of a refused
    /// one only what others have confirmed is kept: that is true without the rest, and may be what makes room.
    pub fn stage(&mut self, batch: Batch) -> Result<(), Refused> {
        let held = batch.cursors.iter().filter(|(key, _)| key.holds());
        move_later(&mut self.moved, &held.copied().collect());
        match &self.failing {
            Some(Failing::DrainOnly) => return Err(Refused::DrainOnly),
            Some(Failing::Commit(reason)) => return Err(Refused::Failing { reason: reason.clone() }),
            None => {}
        }
        let want = self.next();
        if batch.first != want {
            return Err(Refused::NotNext { want, got: batch.first });
        }
        let (bytes, max) = (batch.entries.len(), self.entries_bytes_max());
        if bytes > max {
            return Err(Refused::TooLarge { bytes, max });
        }
        self.uses.of(&batch, &self.tables)?;
        if batch.count > 0 {
            self.make_room(&batch)?;
        }
        // What others have confirmed rides along twice: it stays though this block fails.
        for (key, _) in batch.cursors.iter().filter(|(key, _)| !key.holds()) {
            self.moved.remove(key);
        }
        if self.staged.back().is_none_or(|block| block.entries_bytes() + bytes > max) {
            let buffer = self.buffers.pop().unwrap_or_default();
            self.staged.push_back(Staged::new(want, buffer));
        }
        if let Some(block) = self.staged.back_mut() {
            block.add(batch, &self.uses, &mut self.tables);
        }
        Ok(())
    }

    /// Makes everything staged durable: one write and one sync, unless it is more than one block may hold.
    /// Cursors that were only set ride along; alone they cause no commit.
    pub fn commit(&mut self, now: Now) -> Result<Committed, CommitError> {
        self.now = now;
        let first = self.next_durable();
        while let Some(mut block) = self.staged.pop_front() {
            let placed = self.place(&mut block, false);
            if let Err(source) = placed {
                self.refuse(block);
                while let Some(block) = self.staged.pop_front() {
                    self.refuse(block);
                }
                let refused = self.next_durable();
                let committed = (refused > first).then(|| self.committed(first));
                return Err(CommitError { committed, refused, source });
            }
            self.keep_buffer(block.bytes);
        }
        Ok(self.committed(first))
    }

    /// Moves a cursor with the next commit. An uplink's puts an end to those of other logs under its hub's key.
    pub fn set_cursor(&mut self, key: CursorKey, value: CursorValue) {
        move_later(&mut self.moved, &CursorChanges::from([(key, Some(value))]));
    }

    /// Forgets a cursor with the next commit.
    pub fn remove_cursor(&mut self, key: CursorKey) {
        self.moved.insert(key, None);
    }

    /// Says what must stay beside what cursors hold.
    pub fn set_holds(&mut self, holds: Holds) {
        self.holds = holds;
    }

    /// Says how far views have seen the log; everything, with none.
    pub fn set_views(&mut self, views: Option<Seq>) {
        self.holds.views = views;
    }

    /// Says up to where an archive has what it wants; everything, with none. What it has not is held while the log takes
    /// less than half its quota more than that.
    pub fn set_archived(&mut self, through: Option<Seq>) {
        self.holds.archive = through;
    }

    /// Which segment is written to, as a number that rises with each.
    pub fn segment(&self) -> Option<u64> {
        self.active.as_ref().map(|active| active.segment.identity.segment)
    }

    /// Does a bounded piece of what makes the next segment ready, and whatever else was put off; says whether
    /// there is more to do. For idle moments.
    pub fn prepare(&mut self, now: Now) -> io::Result<bool> {
        self.now = now;
        self.prepare_step(self.config.segment_bytes)
    }

    /// Whether [`Writer::prepare`] must not wait for an idle moment any longer. While the segment at hand is filled from a
    /// quarter to the half, the next one is made ready in step with it: a commit that waited for all of that at once would
    /// wait for long.
    pub fn prepare_due(&self) -> bool {
        let Some(active) = &self.active else { return false };
        let Some(beyond) = active.offset.checked_sub(active.segment.length / 4) else { return false };
        let lags = self.pool.zeroed().is_none_or(|zeroed| zeroed < beyond.saturating_mul(4));
        lags && self.blocked.is_none() && !self.pool.is_ready(self.config.segment_bytes)
    }

    /// Tries to write again after commits failed, or when there was no room at the start. Opens a segment whose
    /// first block names the end before it.
    pub fn retry(&mut self, now: Now) -> io::Result<()> {
        self.now = now;
        if self.active.is_some() {
            return Ok(());
        }
        let mut block = self.empty_block();
        self.place(&mut block, true)
    }

    /// Goes on under a new epoch: what a sender does that finds its log forked. What is staged is committed
    /// under the old one first. If it fails, the new epoch holds all the same once writing works again.
    pub fn new_epoch(&mut self, now: Now) -> Result<Epoch, CommitError> {
        self.commit(now)?;
        let epoch = Epoch(self.rng.u64(1..));
        self.tables.begin_epoch(epoch);
        let mut block = self.empty_block();
        let placed = self.place(&mut block, true);
        placed.map_err(|source| CommitError { committed: None, refused: self.next_durable(), source })?;
        Ok(epoch)
    }

    /// A reader of this log. Readers see an entry when its commit has returned.
    pub fn reader(&self) -> Reader<D> {
        Reader::new(self.disk.clone(), self.shared.clone())
    }

    /// The seq that the next batch must start at: after everything staged.
    pub fn next(&self) -> Seq {
        self.staged.back().map_or_else(|| self.next_durable(), |block| block.last().next())
    }

    /// The epoch of what is appended.
    pub fn epoch(&self) -> Epoch {
        self.tables.epoch()
    }

    /// Its size.
    pub fn status(&self) -> Status {
        Status {
            bytes: self.bytes(),
            quota: self.config.quota_bytes,
            segments: u32::try_from(self.segments.len()).unwrap_or(u32::MAX),
            next_ready: self.pool.is_ready(self.config.segment_bytes),
            failing: self.active.is_none(),
        }
    }

    /// The most entry bytes of a batch and of a block.
    pub fn entries_bytes_max(&self) -> usize {
        ENTRIES_BYTES_MAX.min((self.config.segment_bytes / 4) as usize)
    }

    pub(crate) fn next_durable(&self) -> Seq {
        self.tables.end.next()
    }

    pub(crate) fn empty_block(&self) -> Staged {
        Staged::new(self.next_durable(), Vec::new())
    }

    /// Finds room for a batch beside what is staged, if need be by making the next segment ready.
    fn make_room(&mut self, batch: &Batch) -> Result<(), Refused> {
        let staged: u64 = self.staged.iter().map(Staged::size).sum();
        let meta = meta_size(batch.routes.len(), batch.origins.len(), batch.cursors.len() + self.moved.len());
        let size = staged + batch.entries.len() as u64 + meta + 1024;
        if self.active.as_ref().is_some_and(|active| size <= active.room(true)) {
            return Ok(());
        }
        if !self.may_roll() {
            self.prepare_all(self.config.segment_bytes)
                .map_err(|error| Refused::from_io(&error, self.config.quota_bytes))?;
        }
        if !self.may_roll() {
            return Err(self.blocked.clone().unwrap_or(Refused::Quota { quota: self.config.quota_bytes }));
        }
        // What is staged goes to one more segment at most, behind its checkpoint.
        let usable = self.pool.ready_length().unwrap_or(0) / 2;
        if staged > 0 && size > usable { Err(Refused::CommitFirst) } else { Ok(()) }
    }

    pub(crate) fn committed(&mut self, first: Seq) -> Committed {
        Committed {
            first,
            last: self.tables.end,
            bytes_written: std::mem::take(&mut self.bytes_written),
            gave_up: self.gave_up.take(),
            segments_trimmed: std::mem::take(&mut self.trimmed),
            gaps: std::mem::take(&mut self.gaps),
            oldest: self.shared.view().oldest(),
            oldest_at: self.shared.view().oldest_at(),
        }
    }

    fn refuse(&mut self, block: Staged) {
        self.tables.routes.refused(block.routes.iter().map(|(number, _)| *number));
        self.tables.origins.refused(block.origins.iter().map(|(number, _)| *number));
        self.keep_buffer(block.bytes);
    }

    fn keep_buffer(&mut self, buffer: Vec<u8>) {
        if self.buffers.len() < 2 {
            self.buffers.push(buffer);
        }
    }

    pub(crate) fn publish(&self) {
        self.shared.publish(View {
            segments: Arc::new(self.segments.clone()),
            end: self.tables.end,
            end_offset: self.active.as_ref().map_or(0, |active| active.offset),
            gaps: Arc::new(self.tables.gaps.clone()),
            trim_cause: self.config.trim_cause,
        });
    }
}
