//! The stages of a gate, in order. Each is passed by any one of its acceptors.

use crate::acceptor::{Acceptor, Kind};

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

    /// This one's stages, and then another's.
    #[must_use]
    pub fn then(&self, other: &Self) -> Self {
        Self { stages: self.stages.iter().chain(&other.stages).cloned().collect() }
    }
}
