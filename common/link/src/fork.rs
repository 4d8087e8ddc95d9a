//! What a hub cannot have because other entries bear its name there (section 7.5).
//!
//! A machine that is restored while it runs goes on under an epoch whose later seqs the hub has already, as other
//! entries. Its log is then opened anew, and what it wrote since the restore keeps the forked name. That is known
//! from the moment the fork is found until the hub's cursor has passed it, in the hub's own cursor on disk: a
//! process that dies in between must not take the hub's "I have these" for its own entries.

use crate::chain::Chain;
use riser_model::{CursorValue, Seq};

/// The seqs of one log that one hub may have as other entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fork {
    /// The first of them.
    from: Seq,
    /// One of the last epoch that was found forked: they end where it does.
    last_found: Seq,
}

impl Fork {
    /// As a cursor was saved with it.
    pub(crate) fn saved(cursor: CursorValue) -> Option<Self> {
        (cursor.first > Seq::ZERO).then_some(Self { from: cursor.first, last_found: cursor.heard })
    }

    /// A cursor with it.
    pub(crate) fn save(fork: Option<Self>, cursor: CursorValue) -> CursorValue {
        let (first, heard) = fork.map_or((Seq::ZERO, Seq::ZERO), |fork| (fork.from, fork.last_found));
        CursorValue { first, heard, ..cursor }
    }

    /// The live epoch is found forked: the hub has nothing of it past `delivered`. An earlier one that is not passed
    /// yet stays known.
    pub(crate) fn found(earlier: Option<Self>, chain: &Chain, delivered: Seq) -> Self {
        let from = delivered.next().max(chain.live().first);
        Self { from: earlier.map_or(from, |earlier| earlier.from.min(from)), last_found: from }
    }

    /// The first seq that is not delivered under its name.
    pub(crate) fn from(self) -> Seq {
        self.from
    }

    /// Whether a cursor that is there has passed it.
    pub(crate) fn is_passed(self, through: Seq) -> bool {
        through >= self.from
    }

    /// What the hub does not have when its cursor is at `through`, and everything up to `reached` is known to have
    /// been delivered.
    pub(crate) fn lost(self, chain: &Chain, reached: Seq, through: Seq) -> (Seq, Seq) {
        (self.from.max(reached.next()), chain.at(self.last_found).last.min(through))
    }
}
