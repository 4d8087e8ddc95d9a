//! What goes to a log in one piece, and what comes back when it is read.

use crate::{
    cursor::CursorMove,
    gap::Gap,
    id::{Epoch, LogId, Seq},
    interest::Interest,
    route::{Route, RouteNumber},
    time::Wall,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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

impl Run {
    /// The first seq that it speaks of.
    pub fn first(&self) -> Seq {
        match self {
            Self::Entries { first, .. } => *first,
            Self::Gap(gap) => gap.from,
        }
    }
}

/// What one read brought: runs in order, without holes between them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Chunk {
    /// The runs.
    pub runs: Vec<Run>,
    /// Where the next read goes on.
    pub next: Seq,
}

/// What is asked of a log's reader.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Read {
    /// Everything from a seq on.
    All {
        /// The first seq wanted.
        from: Seq,
        /// About how many bytes of frames.
        max_bytes: u32,
    },
    /// What may concern somebody, from a seq on.
    Of {
        /// The first seq wanted.
        from: Seq,
        /// About how many bytes of frames.
        max_bytes: u32,
        /// What concerns it.
        of: Arc<Interest>,
    },
    /// The newest piece before a seq that may concern somebody, and everything from there to that seq: about 1/256
    /// of a segment. Without any, the answer is empty, and its `next` says how far down it looked.
    Before {
        /// The seq.
        before: Seq,
        /// What concerns it.
        of: Arc<Interest>,
    },
}

/// From where on an archive has everything of a room that its log has not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Archived {
    /// The oldest seq.
    pub oldest: Seq,
    /// What is before it was committed before this, by the host's clock.
    pub oldest_at: Wall,
}

/// A part of a room's past: so much of it, up to here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mark {
    /// Its last seq.
    pub last: Seq,
    /// How many publications.
    pub count: u64,
    /// How many bytes of entries.
    pub bytes: u64,
    /// The latest time of any, by this instance's clock.
    pub newest: Wall,
}

/// What a read brought that may have passed over what does not concern its reader.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Selected {
    /// The runs, in order; between them is what was passed over.
    pub chunk: Chunk,
    /// What was passed over: from and to, in order.
    pub skips: Vec<(Seq, Seq)>,
}

impl From<Chunk> for Selected {
    fn from(chunk: Chunk) -> Self {
        Self { chunk, skips: Vec::new() }
    }
}

impl Read {
    /// Whether that is the same read again: how much is to be read at once depends on who else reads.
    pub fn is_again(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All { from, .. }, Self::All { from: other, .. }) => from == other,
            (Self::Of { from, of, .. }, Self::Of { from: other, of: others, .. }) => {
                from == other && of == others
            }
            (Self::Before { .. }, Self::Before { .. }) => self == other,
            (Self::All { .. } | Self::Of { .. } | Self::Before { .. }, _) => false,
        }
    }

    /// The answer when nothing could be read.
    pub fn nothing(&self) -> Selected {
        match *self {
            Self::All { from: next, .. }
            | Self::Of { from: next, .. }
            | Self::Before { before: next, .. } => Chunk { runs: Vec::new(), next }.into(),
        }
    }
}
