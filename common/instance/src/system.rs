//! What an account's MQTT clients did, in mosquitto's words: the topics of `$SYS/broker`.
//!
//! Everything here is of one account: who administers it learns nothing of others. What is not known of an account, or
//! not counted, has no topic. Averages are mosquitto's: of what happened per minute, weighed over 1, 5 and 15 minutes.

use riser_model::{
    Time,
    tally::{Tallied, Tally},
};
use std::time::Duration;

/// As often as mosquitto does (`sys_interval`).
pub(crate) const EVERY: Duration = Duration::from_secs(10);

/// What is counted of one account beside what its doors tally.
#[derive(Debug, Default)]
pub(crate) struct System {
    pub(crate) tally: Tally,
    /// Connections, since the process started.
    pub(crate) connections: u64,
    /// Of those, the ones that are there.
    pub(crate) connected: usize,
    /// The most at a time.
    pub(crate) connected_max: usize,
    /// Sessions that ended by their expiry.
    pub(crate) expired: u64,
    loads: [Load; 9],
    sampled: Option<Time>,
}

/// What is not counted here, as it stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    pub(crate) uptime: Duration,
    pub(crate) connected: usize,
    /// Of those, the ones without a connection.
    pub(crate) alone: usize,
    pub(crate) subscriptions: usize,
    pub(crate) shared: usize,
    pub(crate) retained: usize,
}

/// Averages of one count over 1, 5 and 15 minutes.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    last: u64,
    per_minute: [f64; 3],
}

impl Load {
    fn sample(&mut self, now: u64, seconds: f64) {
        let rate = now.saturating_sub(self.last) as f64 * 60.0 / seconds;
        self.last = now;
        for (average, minutes) in self.per_minute.iter_mut().zip([1.0, 5.0, 15.0]) {
            let kept = (-seconds / (60.0 * minutes)).exp();
            *average = rate + kept * (*average - rate);
        }
    }
}

const LOADS: [&str; 9] = [
    "messages/received",
    "messages/sent",
    "publish/received",
    "publish/sent",
    "publish/dropped",
    "bytes/received",
    "bytes/sent",
    "sockets",
    "connections",
];

impl System {
    /// Brings the averages up to date.
    pub(crate) fn sample(&mut self, now: Time) {
        let before = self.sampled.replace(now);
        let seconds = before.map_or(EVERY, |before| now.since(before)).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        let t = self.tally.tallied();
        let counts = [
            t.packets_received,
            t.packets_sent,
            t.publications_received,
            t.publications_sent,
            t.publications_dropped,
            t.bytes_received,
            t.bytes_sent,
            self.connections,
            self.connections,
        ];
        for (load, count) in self.loads.iter_mut().zip(counts) {
            load.sample(count, seconds);
        }
    }

    /// Topics and their values.
    pub(crate) fn values(&self, standing: &Standing) -> Vec<(String, String)> {
        let Tallied {
            packets_received,
            packets_sent,
            bytes_received,
            bytes_sent,
            publications_received,
            publications_sent,
            publications_dropped,
            publication_bytes_received,
            publication_bytes_sent,
        } = self.tally.tallied();
        let s = standing;
        let counts = [
            ("clients/total", (s.connected + s.alone) as u64),
            ("clients/connected", s.connected as u64),
            ("clients/active", s.connected as u64),
            ("clients/disconnected", s.alone as u64),
            ("clients/inactive", s.alone as u64),
            ("clients/maximum", self.connected_max as u64),
            ("clients/expired", self.expired),
            ("subscriptions/count", s.subscriptions as u64),
            ("shared_subscriptions/count", s.shared as u64),
            ("retained messages/count", s.retained as u64),
            ("messages/received", packets_received),
            ("messages/sent", packets_sent),
            ("bytes/received", bytes_received),
            ("bytes/sent", bytes_sent),
            ("publish/messages/received", publications_received),
            ("publish/messages/sent", publications_sent),
            ("publish/messages/dropped", publications_dropped),
            ("publish/bytes/received", publication_bytes_received),
            ("publish/bytes/sent", publication_bytes_sent),
        ];
        let named = |name: &str, value: String| (format!("$SYS/broker/{name}"), value);
        let mut values = vec![
            named("version", concat!("riser version ", env!("CARGO_PKG_VERSION")).to_owned()),
            named("uptime", format!("{} seconds", s.uptime.as_secs())),
        ];
        values.extend(counts.into_iter().map(|(name, count)| named(name, count.to_string())));
        for (name, load) in LOADS.into_iter().zip(&self.loads) {
            for (average, over) in load.per_minute.iter().zip(["1min", "5min", "15min"]) {
                values.push(named(&format!("load/{name}/{over}"), format!("{average:.2}")));
            }
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_are_of_minutes_and_fall_when_nothing_happens() {
        let mut system = System::default();
        let value = |system: &System, topic: &str| -> f64 {
            let values = system.values(&Standing::default());
            let found = values.iter().find(|(of, _)| of.strip_prefix("$SYS/broker/") == Some(topic));
            found.unwrap().1.parse().unwrap()
        };
        for n in 1..=60 {
            system.tally.add(&Tallied { packets_received: 100, ..Tallied::default() });
            system.sample(Time(n * 10_000_000_000));
        }
        assert!((value(&system, "load/messages/received/1min") - 600.0).abs() < 1.0);
        assert!((value(&system, "load/messages/received/15min") - 292.0).abs() < 5.0);
        assert_eq!(value(&system, "messages/received"), 6000.0);
        for n in 61..=90 {
            system.sample(Time(n * 10_000_000_000));
        }
        assert!(value(&system, "load/messages/received/1min") < 5.0);
    }
}
