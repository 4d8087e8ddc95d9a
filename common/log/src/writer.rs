//! Appends to a log: stages batches, commits them as blocks, trims.

use crate::{
    Reader, Recovered,
    config::{Config, Holds},
    disk::Disk,
    errors::{CommitError, OpenError, Refused},
    fold::Fold,
    gaps::GapRecord,
};
use riser_model::{Batch, CursorKey, CursorValue, Epoch, Now, Seq};
use std::{io, marker::PhantomData};

/// The seed of a log's ids, epochs and salts: drawn by the program at each start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entropy(pub u64);

/// What a commit made durable.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Committed {
    /// The first seq that became durable.
    pub first: Seq,
    /// The last; `first - 1` if there were only cursors.
    pub last: Seq,
    /// Bytes written to the disk for it.
    pub bytes_written: u64,
    /// Segments trimmed since the last commit.
    pub segments_trimmed: u32,
    /// Gaps made since the last commit.
    pub gaps: Vec<GapRecord>,
    /// The oldest entry that is still there.
    pub oldest: Seq,
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
    /// Whether commits fail, or there is no room to write at all.
    pub failing: bool,
}

/// The one that appends. Everything it does to the disk happens in the caller's thread.
pub struct Writer<D: Disk, F: Fold = ()> {
    of: PhantomData<(D, F)>,
}

impl<D: Disk, F: Fold> Writer<D, F> {
    /// Opens a log under a new epoch, or makes one.
    pub fn open(
        disk: D,
        config: Config,
        entropy: Entropy,
        now: Now,
    ) -> Result<(Self, Recovered<F>), OpenError> {
        let _ = (disk, config, entropy, now);
        unimplemented!()
    }

    /// Takes a batch into the next block. It is durable when a [`Writer::commit`] that follows returns.
    pub fn stage(&mut self, batch: Batch) -> Result<(), Refused> {
        let _ = batch;
        unimplemented!()
    }

    /// Makes everything staged durable: one write and one sync, unless it is more than a block may hold.
    /// Cursors that were only set ride along; alone they cause no commit.
    pub fn commit(&mut self, now: Now) -> Result<Committed, CommitError> {
        let _ = now;
        unimplemented!()
    }

    /// Moves a cursor with the next commit.
    pub fn set_cursor(&mut self, key: CursorKey, value: CursorValue) {
        let _ = (key, value);
        unimplemented!()
    }

    /// Forgets a cursor with the next commit.
    pub fn remove_cursor(&mut self, key: CursorKey) {
        let _ = key;
        unimplemented!()
    }

    /// Says what must stay beside what cursors hold.
    pub fn set_holds(&mut self, holds: Holds) {
        let _ = holds;
        unimplemented!()
    }

    /// Does a bounded piece of what makes the next segment ready; says whether there is more to do.
    pub fn prepare(&mut self, now: Now) -> io::Result<bool> {
        let _ = now;
        unimplemented!()
    }

    /// Whether [`Writer::prepare`] must not wait for an idle moment any longer.
    pub fn prepare_due(&self) -> bool {
        unimplemented!()
    }

    /// Tries to write again after commits failed, or when there was no room at the start.
    pub fn retry(&mut self, now: Now) -> io::Result<()> {
        let _ = now;
        unimplemented!()
    }

    /// Goes on under a new epoch: what a sender does that finds its log forked.
    pub fn new_epoch(&mut self, now: Now) -> Result<Epoch, CommitError> {
        let _ = now;
        unimplemented!()
    }

    /// A reader of this log. Readers see an entry when its commit has returned.
    pub fn reader(&self) -> Reader<D> {
        unimplemented!()
    }

    /// The seq of the next batch.
    pub fn next(&self) -> Seq {
        unimplemented!()
    }

    /// Its size.
    pub fn status(&self) -> Status {
        unimplemented!()
    }
}
