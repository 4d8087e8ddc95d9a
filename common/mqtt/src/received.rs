//! QoS 2 packet ids between their PUBLISH and our PUBCOMP: what tells a publication from its repetition.

use std::collections::BTreeMap;

/// How far an exchange is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// The publication is not on disk yet, or its PUBREC waits for those before it.
    Storing,
    /// PUBREC left; PUBREL is to come.
    Open,
    /// PUBREL came; PUBCOMP leaves when that is on disk.
    Releasing,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Received {
    stages: BTreeMap<u16, Stage>,
}

impl Received {
    /// As a session left it.
    pub(crate) fn new(open_ids: &[u16]) -> Self {
        Self { stages: open_ids.iter().map(|id| (*id, Stage::Open)).collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.stages.len()
    }

    pub(crate) fn stage(&self, id: u16) -> Option<Stage> {
        self.stages.get(&id).copied()
    }

    pub(crate) fn set(&mut self, id: u16, stage: Stage) {
        self.stages.insert(id, stage);
    }

    /// PUBREC left: a refused publication's id is free again.
    pub(crate) fn recorded(&mut self, id: u16, accepted: bool) {
        if self.stage(id) != Some(Stage::Storing) {
            return;
        }
        if accepted {
            self.set(id, Stage::Open);
        } else {
            self.stages.remove(&id);
        }
    }

    /// PUBCOMP left.
    pub(crate) fn completed(&mut self, id: u16) {
        if self.stage(id) == Some(Stage::Releasing) {
            self.stages.remove(&id);
        }
    }
}
