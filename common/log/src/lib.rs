//! The durable log: what an acknowledgement stands on (promise 1), and the one table that is true.
//!
//! It owns blocks, segments, checkpoints, recovery, cursors, trimming and readers. What always holds: a seq that
//! a returned commit gave is readable for ever at its place, or is a gap with a cause; nothing that was not
//! committed is ever handed out by a reader. The rules it keeps are cited by number and told in this crate's
//! `README.md`. Threads, clocks and the real disk are elsewhere (`riser-shell`): everything here is called with
//! the time and with a seed, and speaks to a [`Disk`].
//!
//! Read [`writer`] first (how entries get in), then [`reader`] (how they get out), then [`recovered`]. How a log is
//! looked into without being opened is in [`survey`] and [`verification`].
#![warn(clippy::indexing_slicing)]

pub mod archive;
mod block;
mod checkpoint;
mod commit;
mod config;
mod definitions;
mod disk;
mod errors;
pub mod fault;
mod fold;
mod footer;
mod gaps;
mod listings;
mod pacer;
mod past;
mod pool;
mod read_only;
pub mod reader;
pub mod recovered;
mod recovery;
mod scan;
mod segment;
pub mod selective;
mod staged;
pub mod survey;
mod tables;
mod trim;
pub mod verification;
mod view;
pub mod writer;

pub use checkpoint::Counters;
pub use config::{Config, Holds, OnFull};
pub use disk::Disk;
pub use errors::{BadConfig, CommitError, OpenError, ReadError, Refused};
pub use fold::Fold;
pub use footer::{ChannelFooter, Footer};
pub use gaps::GapRecord;
pub use pacer::{Decision, Pacer, UNWAITED_AFTER, Waiting};
pub use past::pasts;
pub use reader::Reader;
pub use recovered::{Finding, Recovered};
pub use selective::{Index, SegmentKey};
pub use survey::{FileState, FileSurvey, Survey, SurveyError};
pub use verification::{Damage, Tail, Verification, Wrong, verify};
pub use writer::{Committed, Entropy, Status, Writer};
