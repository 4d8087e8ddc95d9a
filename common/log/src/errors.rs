//! What can be wrong, one enum per operation.

use crate::writer::Committed;
use riser_model::{RouteNumber, Seq, door::Code};
use riser_wire::entry::BadEntry;
use std::io;

/// A configuration that no log can be run with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadConfig {
    /// The segment length.
    #[error("segments of {bytes} bytes: want a multiple of 4096 from 16 KiB to 1 GiB")]
    Segment {
        /// As configured.
        bytes: u64,
    },
    /// The quota.
    #[error("quota of {bytes} bytes: want at least four segments of {segment} bytes")]
    Quota {
        /// As configured.
        bytes: u64,
        /// The segment length.
        segment: u64,
    },
}

/// Why a log could not be opened. Damage and lack of space are not among them: those are findings (promise 4).
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration.
    #[error("open log: {0}")]
    Config(#[from] BadConfig),
    /// The disk could not be asked.
    #[error("open log: {what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a batch was not staged. Nothing of it was.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// It does not start at the log's end.
    #[error("stage batch: it starts at {got}, the log ends before {want}")]
    NotNext {
        /// The seq that comes next.
        want: Seq,
        /// The batch's.
        got: Seq,
    },
    /// Its entries are not as many as it says.
    #[error("stage batch: {claimed} entries claimed, {found} found")]
    Count {
        /// As claimed.
        claimed: u32,
        /// As found.
        found: u32,
    },
    /// Its entries are not frames.
    #[error("stage batch: {0}")]
    Entry(#[from] BadEntry),
    /// It is larger than a block may be.
    #[error("stage batch: {bytes} bytes, a block holds {max}")]
    TooLarge {
        /// The batch's.
        bytes: usize,
        /// The most.
        max: usize,
    },
    /// An entry has a route number that neither the log nor the batch defines.
    #[error("stage batch: route {} is not defined", .0.0)]
    UnknownRoute(RouteNumber),
    /// An entry has an origin number that neither the log nor the batch defines.
    #[error("stage batch: origin {0} is not defined")]
    UnknownOrigin(u32),
    /// A number that stored entries use was defined as something else.
    #[error("stage batch: number {0} is defined already, as something else")]
    Redefined(u32),
    /// The quota is used up by entries that must stay.
    #[error("stage batch: the quota of {quota} bytes is used up by entries that are not confirmed yet")]
    Quota {
        /// The quota.
        quota: u64,
    },
    /// More is staged than one commit may take to the next segment.
    #[error("stage batch: commit what is staged first")]
    CommitFirst,
    /// The disk is full, though the quota is not.
    #[error("stage batch: no space left for another segment: free some, or lower the quota")]
    NoSpace,
    /// The log was opened without room to write.
    #[error("stage batch: the log is drain-only until there is space")]
    DrainOnly,
    /// Commits fail.
    #[error("stage batch: the log is failing: {reason}")]
    Failing {
        /// What the system said.
        reason: String,
    },
}

impl Refused {
    /// What whoever published is told: its log is full, or cannot commit.
    pub fn code(&self) -> Code {
        match self {
            Self::Quota { .. } => Code::QuotaExceeded,
            Self::NoSpace
            | Self::CommitFirst
            | Self::DrainOnly
            | Self::Failing { .. }
            | Self::NotNext { .. }
            | Self::Count { .. }
            | Self::Entry(_)
            | Self::TooLarge { .. }
            | Self::UnknownRoute(_)
            | Self::UnknownOrigin(_)
            | Self::Redefined(_) => Code::LogFailing,
        }
    }
}

impl Refused {
    /// What it means that no segment could be made ready.
    pub(crate) fn from_io(error: &io::Error, quota: u64) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull => Self::NoSpace,
            io::ErrorKind::QuotaExceeded => Self::Quota { quota },
            _ => Self::Failing { reason: error.to_string() },
        }
    }
}

/// A commit that failed. The staged entries from `refused` on are forgotten and their seqs come again; the
/// batches before it are committed.
#[derive(Debug, thiserror::Error)]
#[error("commit from seq {refused}: {source}")]
pub struct CommitError {
    /// What was committed before it failed.
    pub committed: Option<Committed>,
    /// The first seq that was not.
    pub refused: Seq,
    /// What the system said.
    pub source: io::Error,
}

/// Why nothing could be read. Damage is not among them: it is a gap.
#[derive(Debug, thiserror::Error)]
#[error("read log at seq {at}: {source}")]
pub struct ReadError {
    /// Where.
    pub at: Seq,
    /// What the system said.
    pub source: io::Error,
}
