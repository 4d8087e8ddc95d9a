//! The bounds of the bus, as the configuration file gives them.

use riser_wire::limits;
use serde::Deserialize;
use std::time::Duration;

/// How much the bus may hold. Every queue in it is bounded by one of these.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The newest committed entries that stay in memory for readers, bytes with their index.
    pub tail_bytes_max: usize,
    /// Publications that wait for the disk, bytes; what comes on top of it is refused.
    pub unstored_bytes_max: usize,
    /// The same for one connection.
    pub unstored_connection_bytes_max: usize,
    /// The largest batch that is made of publications, bytes. One ingest is never split and may be larger.
    pub batch_bytes_max: usize,
    /// How long publications that nobody waits for may wait for company, milliseconds.
    pub hold_ms: u64,
    /// One read from the disk, bytes.
    pub read_bytes: u32,
    /// What was read from the disk and waits for its readers, all connections together, bytes. The chunk that
    /// waits longest is let go and read again later.
    pub chunks_bytes_max: usize,
    /// Newest values of channels that fell out of the tail and are kept for `conflate`, bytes.
    pub copies_bytes_max: usize,
    /// What channels may retain together, in memory and on disk, bytes.
    pub retained_bytes_max: usize,
    /// How far from its end the log is read at the start for the newest values of channels, seqs.
    pub warm_seqs: u64,
    /// The same in bytes of entries, about.
    pub warm_bytes: usize,
    /// Present values beside a backlog, bytes; what comes on top of it is discarded.
    pub latest_bytes_max: usize,
    /// Events of one kind in one technical channel that are written one by one before they are coalesced; 0 writes
    /// none.
    pub events_burst: u32,
    /// After that, one of the kind in this time, milliseconds.
    pub events_every_ms: u64,
    /// Events of all kinds and channels that are written before any is coalesced.
    pub events_together_burst: u32,
    /// After that, one in this time, milliseconds: what the log grows by at most.
    pub events_together_every_ms: u64,
    /// Events of one technical channel that are replayed: the newest so many.
    pub events_kept: u64,
    /// Subscriptions of one connection.
    pub subscriptions_max: usize,
    /// Aliases of one connection: a higher number is refused.
    pub aliases_max: usize,
    /// Channels of one room of which rates are kept at a time: who was quiet for over a minute makes place. Of the others
    /// only what went through them altogether is known, and their last minute is part of what the room has beside its rows.
    pub channels_tracked_max: usize,
    /// How often a room in which something happens tells where its traffic stands, milliseconds.
    pub traffic_every_ms: u64,
    /// Routes of the log; publications that would need more are refused.
    pub routes_max: usize,
    /// The most publications that a subscription may ask for with `last`.
    pub last_max: u32,
    /// Publications of sessions that one room replays; what comes on top of it is refused.
    pub session_max: usize,
    /// How far back `last` searches on the disk, seqs.
    pub seek_seqs_max: u64,
    /// How often a pull tells quiet subscriptions how far they are, milliseconds.
    pub through_every_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tail_bytes_max: 8 << 20,
            unstored_bytes_max: 64 << 20,
            unstored_connection_bytes_max: 8 << 20,
            batch_bytes_max: limits::BATCH_BYTES_MAX / 2,
            hold_ms: 50,
            read_bytes: 256 << 10,
            chunks_bytes_max: 16 << 20,
            copies_bytes_max: 4 << 20,
            retained_bytes_max: 16 << 20,
            warm_seqs: 32_768,
            warm_bytes: 64 << 20,
            latest_bytes_max: 8 << 20,
            events_burst: 16,
            events_every_ms: 5000,
            events_together_burst: 1024,
            events_kept: 4096,
            events_together_every_ms: 500,
            subscriptions_max: limits::SUBSCRIPTIONS_MAX,
            aliases_max: 16_384,
            channels_tracked_max: 512,
            traffic_every_ms: 60_000,
            routes_max: 262_144,
            last_max: 4096,
            session_max: 16_384,
            seek_seqs_max: 262_144,
            through_every_ms: 20_000,
        }
    }
}

impl Config {
    pub(crate) fn hold(&self) -> Duration {
        Duration::from_millis(self.hold_ms)
    }

    pub(crate) fn events_every(&self) -> Duration {
        Duration::from_millis(self.events_every_ms)
    }

    pub(crate) fn events_together_every(&self) -> Duration {
        Duration::from_millis(self.events_together_every_ms)
    }

    pub(crate) fn traffic_every(&self) -> Duration {
        Duration::from_millis(self.traffic_every_ms)
    }

    pub(crate) fn through_every(&self) -> Duration {
        Duration::from_millis(self.through_every_ms)
    }
}
