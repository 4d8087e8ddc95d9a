//! What is counted of the way down: at a hub by edge, at an edge by uplink.

use super::{ByEdge, ByUplink, Level, Seconds};
use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::{Registry, Unit},
};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Downlinks {
    /// 1 while the edge takes what comes down (hub).
    pub up: Family<ByEdge, Level>,
    /// Seqs of the hub's log that the edge has confirmed, or that are not meant for it (hub).
    pub synced: Family<ByEdge, Level>,
    /// Seqs that are neither confirmed nor known not to be meant for it (hub).
    pub queued: Family<ByEdge, Level>,
    /// Seqs that the edge will never have (hub).
    pub gapped: Family<ByEdge, Level>,
    /// The age of the oldest of those that are queued (hub).
    pub lag: Family<ByEdge, Seconds>,
    /// Publications with an id that edges have still to get, and that were forgotten for want of room: their publishers would
    /// not hear that the log let go of them.
    pub forgotten: Counter,
    /// Entries that came down (edge).
    pub entries: Family<ByUplink, Counter>,
    /// Entries that came down for rooms that are not there (edge).
    pub refused: Family<ByUplink, Counter>,
    /// Seqs that the hub no longer had (edge).
    pub missing: Family<ByUplink, Counter>,
    /// Entries that came from this edge or from below it, and were dropped (edge).
    pub returned: Family<ByUplink, Counter>,
}

impl Downlinks {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("downlink_up", "1 while the edge takes what comes down", self.up.clone());
        registry.register(
            "downlink_synced",
            "Seqs of the hub's log that the edge confirmed, or that are not for it",
            self.synced.clone(),
        );
        registry.register(
            "downlink_queued",
            "Seqs of the hub's log that the edge has not confirmed",
            self.queued.clone(),
        );
        registry.register(
            "downlink_gapped",
            "Seqs of the hub's log that the edge will never have",
            self.gapped.clone(),
        );
        registry.register_with_unit(
            "downlink_lag",
            "The age of the oldest seq that the edge has not confirmed",
            Unit::Seconds,
            self.lag.clone(),
        );
        registry.register(
            "downlink_forgotten",
            "Publications whose publishers would not hear that an edge never had them",
            self.forgotten.clone(),
        );
        registry.register("downlink_entries", "Entries that came down", self.entries.clone());
        registry.register(
            "downlink_refused",
            "Entries that came down for rooms that are not here",
            self.refused.clone(),
        );
        registry.register(
            "downlink_missing",
            "Seqs for this site that the hub no longer had",
            self.missing.clone(),
        );
        registry.register(
            "downlink_returned",
            "Entries that came down and were from this edge or from below it: dropped",
            self.returned.clone(),
        );
    }
}
