//! What went over the MQTT connections of one account, counted where it happens.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// One tally, shared by the doors of an account. It decides nothing: two of them are never different.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    packets_received: AtomicU64,
    packets_sent: AtomicU64,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
    publications_received: AtomicU64,
    publications_sent: AtomicU64,
    publications_dropped: AtomicU64,
    publication_bytes_received: AtomicU64,
    publication_bytes_sent: AtomicU64,
}

impl PartialEq for Tally {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Tally {}

/// A tally as it stands, since the process started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tallied {
    /// Control packets of any kind.
    pub packets_received: u64,
    /// The same.
    pub packets_sent: u64,
    /// Of the streams.
    pub bytes_received: u64,
    /// The same.
    pub bytes_sent: u64,
    /// PUBLISH packets.
    pub publications_received: u64,
    /// The same.
    pub publications_sent: u64,
    /// That were to be sent and were not: expired, too large, unreadable; or were refused at QoS 0.
    pub publications_dropped: u64,
    /// Their payloads.
    pub publication_bytes_received: u64,
    /// The same.
    pub publication_bytes_sent: u64,
}

impl Tally {
    /// Adds to all of it.
    pub fn add(&self, more: &Tallied) {
        let counts = &self.0;
        for (count, more) in [
            (&counts.packets_received, more.packets_received),
            (&counts.packets_sent, more.packets_sent),
            (&counts.bytes_received, more.bytes_received),
            (&counts.bytes_sent, more.bytes_sent),
            (&counts.publications_received, more.publications_received),
            (&counts.publications_sent, more.publications_sent),
            (&counts.publications_dropped, more.publications_dropped),
            (&counts.publication_bytes_received, more.publication_bytes_received),
            (&counts.publication_bytes_sent, more.publication_bytes_sent),
        ] {
            if more > 0 {
                count.fetch_add(more, Ordering::Relaxed);
            }
        }
    }

    /// As it stands.
    pub fn tallied(&self) -> Tallied {
        let counts = &self.0;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Tallied {
            packets_received: read(&counts.packets_received),
            packets_sent: read(&counts.packets_sent),
            bytes_received: read(&counts.bytes_received),
            bytes_sent: read(&counts.bytes_sent),
            publications_received: read(&counts.publications_received),
            publications_sent: read(&counts.publications_sent),
            publications_dropped: read(&counts.publications_dropped),
            publication_bytes_received: read(&counts.publication_bytes_received),
            publication_bytes_sent: read(&counts.publication_bytes_sent),
        }
    }
}
