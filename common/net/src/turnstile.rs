//! In front of a listener: how many are let through per second, whoever they are.
//!
//! When a whole site comes back after a power cut, or somebody opens connections as fast as it goes, those who are inside
//! must not feel it. Who is too many is not turned away: it waits in the system's queue, and is accepted in its turn. Who is
//! turned away for another limit costs little, and takes little of the rate: a single address that knocks and knocks delays
//! others by that much only.

use crate::pace::Rate;
use riser_model::Time;
use std::time::Duration;

/// What may come at once beyond the rate. More would be felt by who is inside.
const BURST: Duration = Duration::from_millis(100);
/// Who is turned away costs so small a part of what a handshake does.
const TURNED_AWAY: u64 = 8;
/// A storm is told in the log again after this long.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// One listener's.
#[derive(Debug, Default)]
pub(crate) struct Turnstile {
    rate: Rate,
    told: Option<Time>,
}

/// That the next has to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wait {
    pub(crate) until: Time,
    /// A person is to hear of it.
    pub(crate) tell: bool,
}

impl Turnstile {
    /// One came, and was let in or turned away. Until when nobody else may come, at so many per second (0: as many as come).
    pub(crate) fn pass(&mut self, let_in: bool, per_second: u64, now: Time) -> Option<Wait> {
        let cost = if let_in { TURNED_AWAY } else { 1 };
        let per_second = per_second.saturating_mul(TURNED_AWAY);
        let until = self.rate.take_beyond(BURST, cost, per_second, now)?;
        let tell = self.told.is_none_or(|told| now.since(told) >= TOLD_EVERY);
        if tell {
            self.told = Some(now);
        }
        Some(Wait { until, tell })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long it takes until so many have passed, and how often a person heard of it.
    fn storm(count: u32, let_in: bool, per_second: u64) -> (Duration, u32) {
        let (mut turnstile, begin, mut told) = (Turnstile::default(), Time(1 << 40), 0);
        let mut now = begin;
        for _ in 0..count {
            if let Some(wait) = turnstile.pass(let_in, per_second, now) {
                now = wait.until;
                told += u32::from(wait.tell);
            }
        }
        (now.since(begin), told)
    }

    #[test]
    fn ten_thousand_who_come_back_at_once_are_in_after_ten_seconds_and_told_of_once() {
        let (took, told) = storm(10_000, true, 1_000);
        assert_eq!((took, told), (Duration::from_millis(9_900), 1));
        assert_eq!(storm(10_000, true, 100), (Duration::from_millis(99_900), 2));
        assert_eq!(storm(10_000, true, 0), (Duration::ZERO, 0), "0 is no bound");
    }

    #[test]
    fn who_is_turned_away_delays_others_little() {
        assert_eq!(storm(10_000, false, 1_000).0, Duration::from_millis(1_150));
    }

    #[test]
    fn a_few_at_once_do_not_wait() {
        assert_eq!(storm(100, true, 1_000), (Duration::ZERO, 0));
    }
}
