//! The stages of a gate, in order. Each is passed by any one of its acceptors.

use crate::acceptor::{Acceptor, Kind};
use riser_model::Wall;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sequence {
    /// In order. Without any, everybody passes who comes.
    pub stages: Vec<Stage>,
}

/// One stage: the first acceptor that takes what was shown, or whose condition is met, decides.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stage {
    /// In order. Without any, nobody passes.
    pub any: Vec<Acceptor>,
}

impl Sequence {
    /// One stage.
    pub fn of(any: Vec<Acceptor>) -> Self {
        Self { stages: vec![Stage { any }] }
    }

    /// Whether whom it lets pass depends on the time of day.
    pub fn has_hours(&self) -> bool {
        self.stages.iter().flat_map(|stage| &stage.any).any(|one| one.kind() == Kind::Schedule)
    }

    /// Whether its hours let somebody pass then, as far as they alone decide.
    pub fn is_open(&self, wall: Wall) -> bool {
        self.stages.iter().all(|stage| {
            let is_shut =
                |one: &Acceptor| matches!(one, Acceptor::Schedule(week) if week.lasts(wall).is_none());
            !stage.any.iter().all(is_shut)
        })
    }

    /// The same by hours that end at that moment.
    pub fn is_open_until(&self, until: Wall, wall: Wall) -> bool {
        let ends =
            |one: &Acceptor| matches!(one, Acceptor::Schedule(week) if week.lasts(wall) == Some(Some(until)));
        self.is_open(wall) && self.stages.iter().flat_map(|stage| &stage.any).any(ends)
    }

    /// This one's stages, and then another's.
    #[must_use]
    pub fn then(&self, other: &Self) -> Self {
        Self { stages: self.stages.iter().chain(&other.stages).cloned().collect() }
    }
}
