//! The archive's worker: copies what archived rooms have in the log's sealed segments, and lets go of what is too much.
//!
//! It is told when a segment was sealed and which rooms are archived; whatever it does, the core hears first and the
//! committing worker then, so that nothing leaves the log before it can be read from the archive.

use super::{Answer, RETRY_EVERY};
use riser_log::{
    Disk, Reader,
    archive::{Archive, Step},
};
use riser_model::{RoomId, Seq};
use std::{collections::BTreeMap, time::Duration};

/// An archive that cannot be written tries again this often at least, and sooner when a segment is sealed.
const RETRY_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// What the archiving worker is told.
#[derive(Debug)]
pub(super) enum Order {
    /// The log has one more sealed segment.
    Sealed,
    /// These rooms are archived; each shows nothing up to that seq any more.
    Rooms(BTreeMap<RoomId, Seq>),
    /// Do nothing more.
    Stop,
}

/// What it does after a step.
pub(super) enum Next {
    /// The next one.
    Step,
    /// It waits for an order, or so long.
    Wait(Option<Duration>),
}

pub(super) struct Archiving<D: Disk, A> {
    archive: Archive<D>,
    log: Reader<D>,
    answer: A,
    /// When it tries again, while it fails.
    failing: Option<Duration>,
}

impl<D: Disk, A: Fn(Answer)> Archiving<D, A> {
    pub(super) fn new(archive: Archive<D>, log: Reader<D>, answer: A) -> Self {
        Self { archive, log, answer, failing: None }
    }

    /// False if it is to end.
    pub(super) fn take(&mut self, order: Order) -> bool {
        match order {
            Order::Sealed => {}
            Order::Rooms(rooms) => self.archive.want(rooms, &self.log),
            Order::Stop => return false,
        }
        true
    }

    /// Up to where the log may let go of what it has.
    pub(super) fn through(&self) -> Option<Seq> {
        self.archive.through(&self.log)
    }

    pub(super) fn step(&mut self) -> Next {
        match self.archive.step(&self.log) {
            Ok(Step::Rests) => {
                self.recovered();
                self.say(None, 0);
                Next::Wait(None)
            }
            Ok(Step::Archived { first, last, bytes }) => {
                self.recovered();
                tracing::debug!(first = first.0, last = last.0, bytes, "a segment of the log is archived");
                self.say(None, 0);
                Next::Step
            }
            Ok(Step::LetGo { first, last, by_quota }) => {
                if by_quota {
                    tracing::info!(
                        first = first.0,
                        last = last.0,
                        "the archive is full and let go of its oldest; quota.archive says how much it keeps"
                    );
                }
                self.say(None, if by_quota { last.0 + 1 - first.0 } else { 0 });
                Next::Step
            }
            Err(error) => {
                if self.failing.is_none() {
                    tracing::error!(
                        %error,
                        "the archive cannot be written: the log keeps what is not archived until it is half as \
                         large again as its quota, then the oldest is lost; free space, or mend the disk"
                    );
                }
                // Each try may write as much as a segment, where others want the disk.
                let wait = self.failing.map_or(RETRY_EVERY, |wait| (wait * 2).min(RETRY_AT_LEAST_EVERY));
                self.failing = Some(wait);
                self.say(Some(error.to_string()), 0);
                Next::Wait(Some(wait))
            }
        }
    }

    fn recovered(&mut self) {
        if self.failing.take().is_some() {
            tracing::info!("the archive is written again");
        }
    }

    fn say(&self, failing: Option<String>, let_go: u64) {
        let (rooms, status) = (self.archive.rooms(), self.archive.status());
        (self.answer)(Answer::Archived { rooms, status, let_go, failing });
    }
}
