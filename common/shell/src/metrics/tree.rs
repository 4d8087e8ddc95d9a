//! What is counted of the edges below edges, as the edges between say it.

use super::{ByBranch, Level};
use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct TreeMetrics {
    /// 1 while the edge above it says that its link is up; 0 where that is down, or not known.
    pub up: Family<ByBranch, Level>,
    /// Seqs that it is known to have, and that are not here.
    pub queued: Family<ByBranch, Level>,
    /// Edges that were told and are not shown.
    pub not_shown: Counter,
}

impl TreeMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "below_up",
            "1 while the edge above it says that the link of an edge below an edge is up",
            self.up.clone(),
        );
        registry.register(
            "below_queued",
            "Seqs that an edge below an edge is known to have, and that are not here",
            self.queued.clone(),
        );
        registry.register(
            "below_not_shown",
            "Edges that an edge said are below it, and that are not shown: too many, or not its to say",
            self.not_shown.clone(),
        );
    }
}
