//! What MQTT doors did without a word to anybody: every drop is counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of one listener, shared by its doors. They decide nothing.
#[derive(Debug, Default)]
pub struct Counters {
    /// QoS 0 publications that the bus refused for want of space.
    pub shed: Count,
    /// QoS 2 publications and PUBRELs that came again and shared the first one's answer.
    pub duplicates: Count,
    /// Deliveries larger than the client's maximum packet size.
    pub too_large: Count,
    /// Deliveries whose stored entry could not be read.
    pub unreadable: Count,
    /// Seqs that were missing in subscriptions, of which MQTT 3.1.1 has no word to tell.
    pub gaps: Count,
    /// Acknowledgements of packet ids that nothing waited for.
    pub unknown_ids: Count,
    /// Subscriptions that a session held and that were refused when it came back.
    pub lost_subscriptions: Count,
}

/// One count.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// As it stands.
    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
}
