//! What MQTT doors did without a word to anybody: every drop is counted.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of one listener, shared by its doors. They decide nothing.
#[derive(Debug, Default)]
pub struct Counters {
    /// QoS 0 publications that the bus refused for want of space.
    pub shed: Count,
    /// Publications that can never be stored, of clients that hear of no refusal: at QoS 0, and at any of MQTT 3.1.1.
    pub given_up: Count,
    /// Clients of MQTT 3.1 that were let in.
    pub old_clients: Count,
    /// QoS 2 publications and PUBRELs that came again and shared the first one's answer.
    pub duplicates: Count,
    /// Publications of clients that had as many unacknowledged as the Receive Maximum allows, and were taken all the same.
    pub over_receive_maximum: Count,
    /// Deliveries larger than the client's maximum packet size.
    pub too_large: Count,
    /// Deliveries that came to their subscriber's turn after the time that their publisher gave them.
    pub expired: Count,
    /// Deliveries whose stored entry could not be read.
    pub unreadable: Count,
    /// Seqs that were missing in subscriptions, of which MQTT 3.1.1 has no word to tell.
    pub gaps: Count,
    /// Acknowledgements of packet ids that nothing waited for.
    pub unknown_ids: Count,
    /// Subscriptions that a session held and that were refused when it came back.
    pub lost_subscriptions: Count,
}

impl Counters {
    /// Each count: its metric's name without prefix and `_total`, and what it stands at.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        [
            ("mqtt_qos0_shed", &self.shed),
            ("mqtt_publications_given_up", &self.given_up),
            ("mqtt_old_clients", &self.old_clients),
            ("mqtt_qos2_duplicates", &self.duplicates),
            ("mqtt_over_receive_maximum", &self.over_receive_maximum),
            ("mqtt_deliveries_too_large", &self.too_large),
            ("mqtt_deliveries_expired", &self.expired),
            ("mqtt_deliveries_unreadable", &self.unreadable),
            ("mqtt_deliveries_missing", &self.gaps),
            ("mqtt_unknown_packet_ids", &self.unknown_ids),
            ("mqtt_subscriptions_lost", &self.lost_subscriptions),
        ]
        .into_iter()
        .map(|(name, count)| (name, count.total()))
    }
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
