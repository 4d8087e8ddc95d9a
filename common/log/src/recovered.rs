//! What an opened log found of itself.

use crate::{checkpoint::Counters, gaps::GapRecord};
use riser_model::{Cause, CursorKey, CursorValue, Epoch, EpochSpan, LogId, Route, RouteNumber, Seq, Wall};

/// A log as it was found, and the epoch it was opened under.
#[derive(Clone, Debug)]
pub struct Recovered<F> {
    /// Which log.
    pub log: LogId,
    /// The epoch of this opening.
    pub epoch: Epoch,
    /// All openings that may still matter, oldest first; the last is this one.
    pub chain: Vec<EpochSpan>,
    /// The seq of the next entry.
    pub next: Seq,
    /// The oldest entry that is still there; `next` if none is.
    pub oldest: Seq,
    /// What is gone was committed before this, by the host's clock.
    pub oldest_at: Wall,
    /// The live routes, by number.
    pub routes: Vec<(RouteNumber, Route)>,
    /// The first number that no route of this log ever had.
    pub next_route: RouteNumber,
    /// The live origins, by number.
    pub origins: Vec<(u32, (LogId, Epoch))>,
    /// The first number that no origin of this log ever had; at least 1.
    pub next_origin: u32,
    /// All cursors, in order.
    pub cursors: Vec<(CursorKey, CursorValue)>,
    /// The folded state.
    pub fold: F,
    /// The table of causes, in order.
    pub gaps: Vec<GapRecord>,
    /// Why what the table does not name is gone, as the log is configured.
    pub trim_cause: Cause,
    /// What was counted since the log was made.
    pub counters: Counters,
    /// What was not as it should be.
    pub findings: Vec<Finding>,
    /// The most that one batch may hold, bytes of entries.
    pub batch_bytes_max: usize,
    /// There is no room to write: it reads, sends and trims, and refuses new work until [`crate::Writer::retry`]
    /// succeeds.
    pub drain_only: bool,
}

/// Something that was not as it should be. Nothing was deleted because of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// The last block was torn or damaged: the log ends before it (rule 6.7).
    TailCut {
        /// The last seq that is there.
        end: Seq,
        /// How many bytes were cut, as far as can be told.
        bytes: u64,
        /// How many seqs the torn block says it held, if its header can be read.
        seqs: Option<u32>,
        /// Seqs that a cursor proves to have been acknowledged; they are a gap.
        proven: u64,
    },
    /// Unreadable bytes with valid blocks after them (rule 6.7).
    Damage {
        /// The file.
        file: String,
        /// Where they begin.
        from: u64,
        /// Where the next valid block begins.
        to: u64,
        /// The seqs that are gone: both ends inclusive, or none.
        seqs: Option<(Seq, Seq)>,
    },
    /// A file in a format, or of a log, that this build does not know. It is left as it is.
    SetAside {
        /// The file.
        file: String,
        /// What is not known about it.
        why: &'static str,
    },
    /// The newest checkpoint could not be read; an older one was rolled forward.
    CheckpointLost {
        /// The file.
        file: String,
    },
    /// The folded state could not be read and was folded from the entries that are still there.
    FoldLost,
    /// The log could not be made ready for writing.
    DrainOnly {
        /// Why.
        reason: String,
    },
}
