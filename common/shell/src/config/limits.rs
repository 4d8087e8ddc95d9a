//! `[limits]`: how much peers may cost this process.

use super::{ByteSize, Duration};
use riser_gate::Invalid;
use riser_wire::limits;
use serde::{Deserialize, Serialize};

/// The bounds that an operator may want to move. Those of the protocols are fixed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Connections of the process, over all listeners.
    pub connections: usize,
    /// Connections of one address (of one /64 where it is IPv6).
    pub connections_per_address: usize,
    /// Connections of one user or client.
    pub connections_per_principal: usize,
    /// Connections of one address per second, let in or not; 0 is no bound.
    pub handshakes_per_second: u64,
    /// Connections that each listener accepts per second; more wait their turn. 0 is no bound.
    pub accepts_per_second: u64,
    /// What one user or client publishes per second, on all its connections; who is over it is read from more slowly.
    /// 0 is no bound.
    pub publications_per_second: u64,
    /// The same in bytes.
    pub published_per_second: ByteSize,
    /// What one user or client subscribes to and unsubscribes from per second, on all its connections; who does more is
    /// read from more slowly. 0 is no bound.
    pub subscriptions_per_second: u64,
    /// How often one user or client says anew who it is per second, on all its connections; who does so more often is read
    /// from more slowly. 0 is no bound.
    pub renewals_per_second: u64,
    /// Subscriptions of one connection.
    pub subscriptions: usize,
    /// TLS, HTTP and the first frame take at most this long.
    pub first_frame: Duration,
    /// A peer that takes nothing of what waits for it for this long is closed.
    pub stall: Duration,
    /// At shutdown, connections may take this long to finish what they have begun.
    pub drain: Duration,
    /// Memory for the newest publications that all readers share.
    pub tail: ByteSize,
    /// What channels may retain together, in memory and on disk.
    pub retained: ByteSize,
    /// Passwords verified at the same time; each takes 19 MiB for a moment, twice that on a machine that is never
    /// at rest. 0 is half of the processors, one at least.
    pub password_verifiers: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections: limits::CONNECTIONS_MAX,
            connections_per_address: 2_500,
            connections_per_principal: 2_500,
            handshakes_per_second: 200,
            accepts_per_second: 1_000,
            publications_per_second: 100_000,
            published_per_second: ByteSize::mib(64),
            subscriptions_per_second: 10_000,
            renewals_per_second: 10,
            subscriptions: limits::SUBSCRIPTIONS_MAX,
            first_frame: Duration(limits::FIRST_FRAME_DEADLINE),
            stall: Duration::seconds(30),
            drain: Duration::seconds(5),
            tail: ByteSize::mib(4),
            retained: ByteSize::mib(4),
            password_verifiers: 0,
        }
    }
}

impl LimitsConfig {
    /// What is wrong with it: each value has a range in which the process still works.
    pub fn check(&self) -> Vec<Invalid> {
        let count = |name: &str, value: usize, max: usize| {
            (!(1..=max).contains(&value)).then(|| {
                Invalid::new(
                    format!("limits.{name}"),
                    format!("{value} is out of range"),
                    format!("want 1 to {max}"),
                )
            })
        };
        let verifiers = (self.password_verifiers > 64).then(|| {
            let what = format!("{} is out of range", self.password_verifiers);
            Invalid::new("limits.password_verifiers", what, "want 0 (half of the processors) to 64")
        });
        let length = |name: &str, value: Duration, max_s: u64| {
            (!(1..=max_s * 1000).contains(&value.ms())).then(|| {
                let max = Duration::seconds(max_s);
                Invalid::new(
                    format!("limits.{name}"),
                    format!("{value} is out of range"),
                    format!("want 1ms to {max}"),
                )
            })
        };
        let tail = (!(1 << 20..=1 << 32).contains(&self.tail.0)).then(|| {
            Invalid::new("limits.tail", format!("{} is out of range", self.tail), "want 1 MiB to 4 GiB")
        });
        let retained = (self.retained.0 > 1 << 30).then(|| {
            Invalid::new(
                "limits.retained",
                format!("{} is out of range", self.retained),
                "want at most 1 GiB",
            )
        });
        [
            retained,
            count("connections", self.connections, 1_000_000),
            count("connections_per_address", self.connections_per_address, 1_000_000),
            count("connections_per_principal", self.connections_per_principal, 1_000_000),
            count("subscriptions", self.subscriptions, limits::SUBSCRIPTIONS_CEILING),
            length("first_frame", self.first_frame, 60),
            length("stall", self.stall, 3600),
            length("drain", self.drain, 600),
            tail,
            verifiers,
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}
