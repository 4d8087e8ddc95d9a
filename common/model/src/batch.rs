//! What goes to a log in one piece, and what comes back when it is read.

use crate::{
    cursor::CursorMove,
    gap::Gap,
    id::{Epoch, LogId, Seq},
    route::{Route, RouteNumber},
};
use bytes::Bytes;

/// Numbered entries and what commits with them. A commit holds whole batches.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    /// The seq of the first entry; the log refuses a batch that does not start at its end.
    pub first: Seq,
    /// Frames (`riser-wire`'s `entry`) with this log's route and origin numbers, back to back.
    pub entries: Bytes,
    /// How many. May be 0: cursors alone, at shutdown.
    pub count: u32,
    /// Routes defined here first.
    pub routes: Vec<(RouteNumber, Route)>,
    /// Origins defined here first: their numbers begin at 1.
    pub origins: Vec<(u32, (LogId, Epoch))>,
    /// Cursors that move in the same commit.
    pub cursors: Vec<CursorMove>,
}

/// A piece of a log as its reader meets it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Run {
    /// Entries without a hole.
    Entries {
        /// The seq of the first.
        first: Seq,
        /// How many.
        count: u32,
        /// The epoch of all of them.
        epoch: Epoch,
        /// Their frames, back to back.
        entries: Bytes,
    },
    /// Seqs that are gone, in place.
    Gap(Gap),
}

/// What one read brought: runs in order, without holes between them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Chunk {
    /// The runs.
    pub runs: Vec<Run>,
    /// Where the next read goes on.
    pub next: Seq,
}
