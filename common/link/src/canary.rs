//! When to write a canary: only when everything is confirmed and nothing else was accepted for 5 s, then ever
//! more seldom up to 60 s, because every one is a commit on somebody's flash (rule 7.6).

use riser_model::Time;
use std::time::Duration;

const FIRST_AFTER: Duration = Duration::from_secs(5);
const AT_MOST_AFTER: Duration = Duration::from_secs(60);

/// The time since anything was accepted.
#[derive(Debug)]
pub(crate) struct Canary {
    quiet_since: Time,
    after: Duration,
    ordered: bool,
}

impl Canary {
    pub(crate) fn new(now: Time) -> Self {
        Self { quiet_since: now, after: FIRST_AFTER, ordered: false }
    }

    /// When one is due, while all that was accepted is confirmed.
    pub(crate) fn due(&self) -> Option<Time> {
        (!self.ordered).then(|| self.quiet_since.plus(self.after))
    }

    /// One was asked for.
    pub(crate) fn ordered(&mut self) {
        self.ordered = true;
    }

    /// The log gave out `count` seqs. A single one after an order is taken for the canary.
    pub(crate) fn added(&mut self, count: u64, now: Time) {
        self.after =
            if self.ordered && count == 1 { (self.after * 2).min(AT_MOST_AFTER) } else { FIRST_AFTER };
        self.ordered = false;
        self.quiet_since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canaries_stretch_to_a_minute_and_anything_else_resets_them() {
        let mut canary = Canary::new(Time(0));
        let mut waits = Vec::new();
        for _ in 0..6 {
            let due = canary.due().unwrap();
            waits.push(due.since(canary.quiet_since).as_secs());
            canary.ordered();
            assert_eq!(canary.due(), None);
            canary.added(1, due);
        }
        assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
        let now = Time(1 << 40);
        canary.added(1, now);
        assert_eq!(canary.due(), Some(now.plus(FIRST_AFTER)));
    }
}
