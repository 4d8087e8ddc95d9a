//! What the bus of this instance let go of, refused or holds: promise 3 for what no equation counts.

use super::Level;
use prometheus_client::{
    metrics::counter::Counter,
    registry::{Registry, Unit},
};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Bus {
    /// Entries of batches whose commit failed. Their publishers were told.
    pub failed: Counter,
    /// Seqs that subscriptions were told to be gone.
    pub gapped: Counter,
    /// Channels that devices named and that are none.
    pub quarantined: Counter,
    /// Publications that were stored without being retained.
    pub unretained: Counter,
    /// What rooms' quotas did not take.
    pub over_quota: Counter,
    /// Present values beside a backlog that were discarded.
    pub latest_discarded: Counter,
    /// Reads that were done and let go of.
    pub chunks_discarded: Counter,
    /// Events that nobody hears: a log that fails held too many of them up.
    pub unsaid: Counter,
    /// What visitors of lobbies asked for and have no right to.
    pub visitors_refused: Counter,
    /// Inputs about what is not there any more.
    pub strays: Counter,
    /// Entries about MQTT sessions that could not be read.
    pub unreadable: Counter,
    /// What sessions took from groups at QoS 2 and had not finished when they ended.
    pub unfinished: Counter,
    /// Subscriptions.
    pub subscriptions: Level,
    /// MQTT sessions.
    pub sessions: Level,
    /// Routes of the log.
    pub routes: Level,
    /// Channels that retain something.
    pub retained: Level,
    /// What the shared tail of the log takes.
    pub tail: Level,
    /// What waits for the disk.
    pub unstored: Level,
    /// What was read and waits for its readers.
    pub chunks: Level,
}

impl Bus {
    pub(super) fn register(&self, registry: &mut Registry) {
        for (name, help, counter) in [
            ("entries_failed", "Entries of batches whose commit failed", &self.failed),
            ("deliveries_gapped", "Seqs that subscriptions were told to be gone", &self.gapped),
            ("channels_quarantined", "Channels that devices named and that are none", &self.quarantined),
            ("publications_unretained", "Publications stored without being retained", &self.unretained),
            ("room_quota_exceeded", "What rooms' quotas refused or put into quarantine", &self.over_quota),
            ("latest_discarded", "Present values beside a backlog let go of", &self.latest_discarded),
            (
                "chunks_discarded",
                "Reads of the log let go of before their reader came",
                &self.chunks_discarded,
            ),
            ("events_unsaid", "Events lost because a log that fails held too many of them up", &self.unsaid),
            (
                "visitors_refused",
                "What visitors of lobbies asked for and have no right to",
                &self.visitors_refused,
            ),
            ("inputs_stray", "Inputs about what is not there any more", &self.strays),
            ("sessions_unreadable", "Entries about MQTT sessions not understood", &self.unreadable),
            (
                "group_deliveries_unfinished",
                "Taken from a group at QoS 2 by a session that ended before it was finished",
                &self.unfinished,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
        for (name, help, level) in [
            ("subscriptions", "Subscriptions of those who are connected", &self.subscriptions),
            ("mqtt_sessions", "MQTT sessions, with or without a connection", &self.sessions),
            ("routes", "Routes of the log: room, channel and client", &self.routes),
            ("channels_retaining", "Channels that retain something", &self.retained),
        ] {
            registry.register(name, help, level.clone());
        }
        for (name, help, level) in [
            ("tail", "What the shared tail of the log takes in memory", &self.tail),
            ("unstored", "What waits for the disk", &self.unstored),
            ("chunks", "What was read and waits for its readers", &self.chunks),
        ] {
            registry.register_with_unit(name, help, Unit::Bytes, level.clone());
        }
    }
}
