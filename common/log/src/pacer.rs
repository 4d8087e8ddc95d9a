//! When to commit (rule 6.4): at once, except where waiting for the connections that the last commit served
//! makes the next one worth more than it costs.

use riser_model::Time;
use std::time::Duration;

/// Below this a wait only costs.
const SYNC_WORTH_WAITING: Duration = Duration::from_micros(400);
/// How long entries that nobody waits for may lie in RAM (promise 1).
pub const UNWAITED_AFTER: Duration = Duration::from_millis(50);

/// Whether to commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// Now.
    Commit,
    /// Not before this time, unless more arrives.
    WaitUntil(Time),
}

/// What waits for the next commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Waiting {
    /// Different connections that wait for an answer.
    pub connections: u32,
    /// When the oldest entry that nobody waits for arrived, if there are any.
    pub unwaited_since: Option<Time>,
}

/// Decides from the durations of past syncs. Pure: it is told the time.
#[derive(Clone, Debug, Default)]
pub struct Pacer {
    sync: Duration,
    served: u32,
    returned: Time,
}

impl Pacer {
    /// A commit returned at `now` after `sync`, and answered that many connections.
    pub fn committed(&mut self, now: Time, sync: Duration, connections: u32) {
        self.sync = if self.sync.is_zero() { sync } else { (self.sync * 7 + sync) / 8 };
        self.served = connections;
        self.returned = now;
    }

    /// The smoothed duration of a sync.
    pub fn sync(&self) -> Duration {
        self.sync
    }

    /// Whether to commit what waits; none if nothing does.
    pub fn decide(&self, now: Time, waiting: Waiting) -> Option<Decision> {
        let unwaited = waiting.unwaited_since.map(|since| since.plus(UNWAITED_AFTER));
        let waited = (waiting.connections > 0).then(|| self.waited(waiting.connections));
        let at = match (waited, unwaited) {
            (Some(a), Some(b)) => a.min(b),
            (Some(at), None) | (None, Some(at)) => at,
            (None, None) => return None,
        };
        Some(if at <= now { Decision::Commit } else { Decision::WaitUntil(at) })
    }

    /// When a commit for that many connections is due.
    fn waited(&self, connections: u32) -> Time {
        if self.sync <= SYNC_WORTH_WAITING || self.served <= 1 || connections >= self.served {
            return Time(0);
        }
        self.returned.plus(self.sync / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(ms: u64) -> Time {
        Time(ms * 1_000_000)
    }

    fn connections(connections: u32) -> Waiting {
        Waiting { connections, unwaited_since: None }
    }

    #[test]
    fn fast_disk_never_waits() {
        let mut pacer = Pacer::default();
        pacer.committed(at(0), MS * 3 / 10, 50);
        assert_eq!(pacer.decide(at(0), connections(1)), Some(Decision::Commit));
    }

    #[test]
    fn slow_disk_waits_for_those_it_served_and_no_longer_than_a_quarter() {
        let mut pacer = Pacer::default();
        pacer.committed(at(100), MS * 8, 50);
        assert_eq!(pacer.decide(at(100), connections(49)), Some(Decision::WaitUntil(at(102))));
        assert_eq!(pacer.decide(at(101), connections(50)), Some(Decision::Commit));
        assert_eq!(pacer.decide(at(102), connections(1)), Some(Decision::Commit));
    }

    #[test]
    fn one_connection_alone_never_waits() {
        let mut pacer = Pacer::default();
        pacer.committed(at(0), MS * 8, 1);
        assert_eq!(pacer.decide(at(0), connections(1)), Some(Decision::Commit));
    }

    #[test]
    fn entries_that_nobody_waits_for_cause_a_commit_after_fifty_ms() {
        let pacer = Pacer::default();
        let waiting = Waiting { connections: 0, unwaited_since: Some(at(10)) };
        assert_eq!(pacer.decide(at(20), waiting), Some(Decision::WaitUntil(at(60))));
        assert_eq!(pacer.decide(at(60), waiting), Some(Decision::Commit));
        let ridden = Waiting { connections: 1, ..waiting };
        assert_eq!(pacer.decide(at(20), ridden), Some(Decision::Commit));
        assert_eq!(pacer.decide(at(60), Waiting::default()), None);
    }

    #[test]
    fn the_sync_time_is_smoothed() {
        let mut pacer = Pacer::default();
        pacer.committed(at(0), MS * 8, 50);
        pacer.committed(at(0), Duration::ZERO, 50);
        assert_eq!(pacer.sync(), MS * 7);
    }
}
