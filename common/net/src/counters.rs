//! What the network did, as plain numbers that only rise. Whoever exports metrics reads them.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// How much it is.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn one(&self) {
        self.add(1);
    }
}

/// The counters of a process's sockets.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections let past the limits.
    pub accepted: Counter,
    /// Connections refused because there are as many as allowed in all.
    pub refused_total: Counter,
    /// Connections refused because their address has as many as allowed.
    pub refused_address: Counter,
    /// Connections refused because their address knocks more often than allowed.
    pub refused_knocks: Counter,
    /// Times that a listener accepted nobody for a while because more came than it accepts per second.
    pub accepts_paced: Counter,
    /// Times that a connection was read from no further because its principal publishes more than it may.
    pub paced: Counter,
    /// Failures to accept, such as having no file descriptors left.
    pub accept_errors: Counter,
    /// TLS handshakes that failed or took too long.
    pub tls_failed: Counter,
    /// Connections whose first request or first frame took too long.
    pub first_frame_late: Counter,
    /// Connections closed because they took nothing of what was to be written for too long.
    pub stalled: Counter,
    /// WebSockets closed because nothing came from them, not even the answer to a ping.
    pub silent: Counter,
    /// Connections that were told more than a door can need.
    pub overrun: Counter,
    /// Connections closed for sending too much before they were authenticated, or one message that is too
    /// large.
    pub too_large: Counter,
    /// Connections closed because their bytes were not WebSocket or HTTP.
    pub malformed: Counter,
    /// WebSocket handshakes refused for their Origin.
    pub origin_refused: Counter,
    /// Requests refused because a proxy that is believed names who asks by no address.
    pub nobody_behind: Counter,
    /// Bytes read from doors and links.
    pub read_bytes: Counter,
    /// Bytes written to doors and links.
    pub written_bytes: Counter,
    /// Link frames' bytes before compression, both directions.
    pub link_plain_bytes: Counter,
    /// Link frames' bytes after compression, both directions.
    pub link_packed_bytes: Counter,
}

impl Counters {
    /// Every counter with its metric name (without prefix and `_total`) and labels.
    pub fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        [
            ("connections_accepted", "", &self.accepted),
            ("connections_refused", "reason=\"connections_max\"", &self.refused_total),
            ("connections_refused", "reason=\"per_address_max\"", &self.refused_address),
            ("connections_refused", "reason=\"handshakes_per_second\"", &self.refused_knocks),
            ("accepts_paced", "", &self.accepts_paced),
            ("publishers_paced", "", &self.paced),
            ("accept_errors", "", &self.accept_errors),
            ("connections_closed", "reason=\"tls\"", &self.tls_failed),
            ("connections_closed", "reason=\"first_frame\"", &self.first_frame_late),
            ("connections_closed", "reason=\"stalled\"", &self.stalled),
            ("connections_closed", "reason=\"silent\"", &self.silent),
            ("connections_closed", "reason=\"overrun\"", &self.overrun),
            ("connections_closed", "reason=\"too_large\"", &self.too_large),
            ("connections_closed", "reason=\"malformed\"", &self.malformed),
            ("connections_closed", "reason=\"origin\"", &self.origin_refused),
            ("requests_refused", "reason=\"forwarded_for\"", &self.nobody_behind),
            ("socket_read_bytes", "", &self.read_bytes),
            ("socket_written_bytes", "", &self.written_bytes),
            ("link_plain_bytes", "", &self.link_plain_bytes),
            ("link_packed_bytes", "", &self.link_packed_bytes),
        ]
        .into_iter()
        .map(|(name, labels, counter)| (name, labels, counter.read()))
    }
}
