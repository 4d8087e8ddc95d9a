//! What a process finds when it begins, held against what its log really had; and when what of it was on disk.

use super::Host;
use crate::{
    journal::{Lost, of_runs},
    mutant::Mutant,
    site::Pasts,
    storage::{Storage, numbers},
};
use riser_instance::LogFold;
use riser_log::Finding;
use riser_model::{Seq, Time};

/// What a process began with.
#[derive(Debug)]
pub struct Opening {
    /// Which.
    pub life: u64,
    /// When.
    pub at: Time,
    /// Its log goes on there.
    pub next: Seq,
    /// The first and last of each of the log's files that say what they hold, where rooms have a retention: newest first.
    pub files: Vec<(Seq, Seq)>,
}

impl Host {
    /// Whether a finding is more than what was done to the disk explains. A failed write may leave a block that
    /// cannot be read, but nothing that was acknowledged in it.
    pub(super) fn is_wrong(&self, finding: &Finding) -> bool {
        match finding {
            Finding::Damage { seqs: Some(_), .. } => !self.damaged,
            Finding::Damage { seqs: None, .. } | Finding::FoldLost => !self.damaged && !self.troubled,
            // A crash while a segment was begun.
            Finding::CheckpointLost { .. }
            | Finding::TailCut { .. }
            | Finding::SetAside { .. }
            | Finding::DrainOnly { .. } => false,
        }
    }

    /// Brings the journal in line with what the log was opened with, and keeps what was lost.
    pub(super) fn reconcile(&mut self, storage: &mut Storage, recovered: &riser_log::Recovered<LogFold>) {
        let mut reader = storage.reader();
        let numbers = numbers(recovered);
        let mut found = Vec::new();
        let mut from = self.journal.next();
        while from < recovered.next {
            match reader.read(from, 1 << 20) {
                Ok(chunk) if chunk.next > from => {
                    found.extend(of_runs(&numbers, &chunk.runs));
                    from = chunk.next;
                }
                Ok(_) | Err(_) => break,
            }
        }
        self.disk.take_cost();
        let allowed = self.damaged;
        let gone = self.journal.opened(recovered.epoch, recovered.next, found, &recovered.cursors);
        if let (Some((first, _)), Some((last, _))) = (gone.first(), gone.last()) {
            let what =
                format!("host {} lost {} to {} of its log at an opening", self.setup.number, first.0, last.0);
            if allowed {
                self.note(what);
            } else {
                self.wrong(what);
            }
        }
        self.lost.extend(gone.into_iter().map(|(seq, entry)| Lost { seq, entry, allowed }));
    }

    /// How much the log has of rooms that do not keep all, as the program counts it at a start.
    pub(super) fn count_past(&mut self, storage: &mut Storage, next: Seq, at: Time) -> Pasts {
        self.commits.push((at, next.prev()));
        let mut opening = Opening { life: self.life, at, next, files: Vec::new() };
        let rooms = self.setup.directory.rooms();
        let mut pasts = Vec::new();
        if rooms.iter().any(|room| !room.retention.is_empty()) {
            let footers = storage.reader().footers().map_while(Result::ok);
            let known = footers.enumerate().filter(|(n, footer)| *n == 0 || footer.complete);
            opening.files = known.map(|(_, footer)| (footer.first, footer.last)).collect();
            pasts = storage.count(rooms);
        }
        self.openings.push(opening);
        if self.setup.mutant == Some(Mutant::PastsForgotten) { Vec::new() } else { pasts }
    }

    /// Whether that was on disk when a process ended, and nobody was told: then it is not known since when.
    pub fn was_found(&self, seq: Seq) -> bool {
        let at = self.committed_at(seq);
        self.openings.iter().any(|opening| opening.at == at)
    }

    /// When that was on disk, or was found there.
    pub fn committed_at(&self, seq: Seq) -> Time {
        let commit = self.commits.partition_point(|(_, through)| *through < seq);
        self.commits.get(commit).map_or(Time(u64::MAX), |(at, _)| *at)
    }
}
