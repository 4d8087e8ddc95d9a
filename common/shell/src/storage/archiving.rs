//! The archive's worker: copies what archived rooms have in the log's sealed segments, and lets go of what is too much.
//!
//! It is told when a segment was sealed and which rooms are archived; whatever it does, the core hears first and the
//! committing worker then, so that nothing leaves the log before it can be read from the archive.

use super::{Answer, Failing, RETRY_EVERY, reading::Late};
use riser_log::{
    Disk, Reader,
    archive::{Archive, Step, Why},
};
use riser_model::{RoomId, Seq};
use std::{collections::BTreeMap, io, sync::PoisonError, time::Duration};

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

/// Opens an archive; how many of its files are not as they should be.
pub type Open<D> = Box<dyn FnMut() -> io::Result<(Archive<D>, u64)> + Send>;

/// The folder of an archive.
pub struct ArchiveFolder<D: Disk> {
    /// The archive in it; none while it cannot be opened.
    pub archive: Option<Archive<D>>,
    /// Opens it.
    pub open: Open<D>,
    /// The archived rooms, and up to where each shows nothing any more.
    pub wanted: BTreeMap<RoomId, Seq>,
}

pub(super) struct Archiving<D: Disk, A> {
    pub(super) folder: ArchiveFolder<D>,
    /// Where a reader is left for who reads, if the folder is opened later.
    late: Late<D>,
    log: Reader<D>,
    answer: A,
    /// When it tries again, while it fails.
    failing: Option<Duration>,
    meanwhile: Meanwhile,
}

/// What became of the rooms while their archive could not be opened. Who was archived no more for a time begins anew with
/// that, whether the archive heard of it at once or not.
#[derive(Default)]
struct Meanwhile {
    /// Those that were archived at first, if others were after them.
    first: Option<BTreeMap<RoomId, Seq>>,
    /// Those that were archived and then were not.
    left: BTreeMap<RoomId, Seq>,
}

impl Meanwhile {
    fn hears(&mut self, before: BTreeMap<RoomId, Seq>, rooms: &BTreeMap<RoomId, Seq>) {
        self.left.extend(before.iter().filter(|(room, _)| !rooms.contains_key(room)));
        self.first.get_or_insert(before);
    }

    /// What comes to the same for an archive that hears it when it is open: each that left is there, and then is not.
    fn tell(self, rooms: &BTreeMap<RoomId, Seq>) -> impl Iterator<Item = BTreeMap<RoomId, Seq>> {
        let (mut with, mut without) = (rooms.clone(), rooms.clone());
        with.extend(self.left.iter());
        without.retain(|room, _| !self.left.contains_key(room));
        self.first.into_iter().chain([with, without])
    }
}

impl<D: Disk, A: Fn(Answer)> Archiving<D, A> {
    pub(super) fn new(folder: ArchiveFolder<D>, late: Late<D>, log: Reader<D>, answer: A) -> Self {
        Self { folder, late, log, answer, failing: None, meanwhile: Meanwhile::default() }
    }

    /// False if it is to end.
    pub(super) fn take(&mut self, order: Order) -> bool {
        match order {
            Order::Sealed => {}
            Order::Rooms(rooms) => {
                let before = std::mem::replace(&mut self.folder.wanted, rooms);
                if self.folder.archive.is_none() {
                    self.meanwhile.hears(before, &self.folder.wanted);
                }
                self.want();
            }
            Order::Stop => return false,
        }
        true
    }

    fn want(&mut self) {
        if let Some(archive) = &mut self.folder.archive {
            archive.want(self.folder.wanted.clone(), &self.log);
        }
    }

    /// Up to where the log may let go of what it has.
    pub(super) fn through(&self) -> Option<Seq> {
        match &self.folder.archive {
            Some(archive) => archive.through(&self.log),
            None => (!self.folder.wanted.is_empty()).then_some(Seq::ZERO),
        }
    }

    pub(super) fn step(&mut self) -> Next {
        let Some(archive) = &mut self.folder.archive else { return self.open() };
        match archive.step(&self.log) {
            Ok(Step::Rests) => {
                self.recovered();
                self.say(None, None);
                Next::Wait(None)
            }
            Ok(Step::Archived { first, last, bytes, short }) => {
                tracing::debug!(first = first.0, last = last.0, bytes, "a segment of the log is archived");
                // On a disk that stays full this one found space, and the next will not.
                if !short {
                    self.recovered();
                }
                self.say(self.failing.map(|_| Failing::DiskFull), None);
                Next::Step
            }
            Ok(Step::Merged { first, last, volumes }) => {
                tracing::debug!(
                    first = first.0,
                    last = last.0,
                    volumes,
                    "small files of the archive are one"
                );
                self.say(None, None);
                Next::Step
            }
            Ok(Step::LetGo { first, last, why }) => {
                let (first, last) = (first.0, last.0);
                match why {
                    Why::Quota => tracing::info!(
                        first,
                        last,
                        "the archive is full and let go of its oldest; quota.archive says how much it keeps"
                    ),
                    Why::Disk => tracing::warn!(
                        first,
                        last,
                        "the disk is full, and the archive let go of its oldest for what comes; free space"
                    ),
                    Why::Unseen => {}
                }
                let lost = (why != Why::Unseen).then_some((last + 1 - first, why));
                // It goes on failing until something is written.
                self.say(self.failing.map(|_| Failing::Disk), lost);
                Next::Step
            }
            Err(error) => self.failed(&error),
        }
    }

    /// The folder could not be opened so far.
    fn open(&mut self) -> Next {
        match (self.folder.open)() {
            Ok((mut archive, amiss)) => {
                let spans = archive.spans();
                let meanwhile = std::mem::take(&mut self.meanwhile);
                if meanwhile.first.is_some() {
                    meanwhile.tell(&self.folder.wanted).for_each(|rooms| archive.want(rooms, &self.log));
                }
                *self.late.lock().unwrap_or_else(PoisonError::into_inner) = Some(archive.reader());
                self.folder.archive = Some(archive);
                self.want();
                tracing::info!("the archive could be opened");
                (self.answer)(Answer::ArchiveOpened { spans, amiss });
                Next::Step
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &io::Error) -> Next {
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
        let full = error.kind() == io::ErrorKind::StorageFull;
        self.say(Some(if full { Failing::DiskFull } else { Failing::Disk }), None);
        Next::Wait(Some(wait))
    }

    fn recovered(&mut self) {
        if self.failing.take().is_some() {
            tracing::info!("the archive is written again");
        }
    }

    fn say(&self, failing: Option<Failing>, let_go: Option<(u64, Why)>) {
        let archive = self.folder.archive.as_ref();
        let rooms = archive.map(Archive::rooms).unwrap_or_default();
        let status = archive.map(Archive::status).unwrap_or_default();
        (self.answer)(Answer::Archived { rooms, status, let_go, failing });
    }
}
