//! How large a log may become and what it does then.

use crate::errors::BadConfig;
use riser_model::{Cause, Seq};

/// The smallest segment, bytes: a small checkpoint still fits twice. Only tests use ones below a megabyte.
pub const SEGMENT_BYTES_MIN: u64 = 16 * 1024;
/// The largest segment, bytes.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;
/// The fewest segments that a quota must have room for: one written to, one ready, one to trim, one read.
pub const SEGMENTS_MIN: u64 = 4;

/// What a full log does with a new entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnFull {
    /// Refuses it.
    Reject,
    /// Drops the oldest segment, confirmed or not: a gap with cause `quota` where it was not.
    DropOldest,
}

/// What must stay beside what cursors hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Holds {
    /// How many custody cursors there must be before anything may go: an uplink that has not met its hub has none
    /// yet, and everything is its due.
    pub custodians: usize,
    /// Everything after this is wanted by views, and held within [`Config::view_bytes_max`].
    pub views: Option<Seq>,
    /// Everything after this is not archived yet: while it is the oldest, the log may take half its quota more.
    pub archive: Option<Seq>,
    /// Ways down hold as views do: where new entries are refused before old ones go, a site that is away must not stop
    /// what comes in.
    pub downlinks_as_views: bool,
}

/// A log's bounds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The length of a segment, bytes; a multiple of 4,096. One that must carry a larger checkpoint is longer.
    pub segment_bytes: u64,
    /// The most that all files of the log may take together, spares included.
    pub quota_bytes: u64,
    /// What a full log does.
    pub on_full: OnFull,
    /// Why readers below the oldest entry find nothing there: `retention`, or `hub_quota`.
    pub trim_cause: Cause,
    /// What must stay, until [`crate::Writer::set_holds`] says otherwise.
    pub holds: Holds,
    /// How many bytes at the log's end views may hold.
    pub view_bytes_max: u64,
}

impl Config {
    /// An edge's spool: 8 MiB segments, 1 GiB, full means refuse.
    pub fn edge() -> Self {
        Self {
            segment_bytes: 8 << 20,
            quota_bytes: 1 << 30,
            on_full: OnFull::Reject,
            trim_cause: Cause::Retention,
            holds: Holds::default(),
            view_bytes_max: 256 << 20,
        }
    }

    /// A hub's log: 64 MiB segments, 16 GiB, full means that the oldest goes.
    pub fn hub() -> Self {
        Self {
            segment_bytes: 64 << 20,
            quota_bytes: 16 << 30,
            on_full: OnFull::DropOldest,
            trim_cause: Cause::HubQuota,
            holds: Holds::default(),
            view_bytes_max: 4 << 30,
        }
    }

    /// A log so small that a test reaches every bound of it: 16 KiB segments, 8 of them.
    pub fn tiny() -> Self {
        Self {
            segment_bytes: 16 << 10,
            quota_bytes: 128 << 10,
            on_full: OnFull::Reject,
            trim_cause: Cause::Retention,
            holds: Holds::default(),
            view_bytes_max: 32 << 10,
        }
    }

    /// Whether a log can be run with it.
    pub fn check(&self) -> Result<(), BadConfig> {
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&self.segment_bytes)
            || !self.segment_bytes.is_multiple_of(4096)
        {
            return Err(BadConfig::Segment { bytes: self.segment_bytes });
        }
        if self.quota_bytes / SEGMENTS_MIN < self.segment_bytes {
            return Err(BadConfig::Quota { bytes: self.quota_bytes, segment: self.segment_bytes });
        }
        Ok(())
    }
}
