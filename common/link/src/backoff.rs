//! How long to wait before the next attempt: full jitter, a cap of 5 s, and never before the hub said
//! (rule 7.6).

use std::time::Duration;

const BASE: Duration = Duration::from_millis(100);
const CAP: Duration = Duration::from_secs(5);

/// The attempts that failed in a row, and the dice.
#[derive(Debug)]
pub(crate) struct Backoff {
    dice: fastrand::Rng,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(seed: u64) -> Self {
        Self { dice: fastrand::Rng::with_seed(seed), failures: 0 }
    }

    /// The wait after one more failure: anywhere between nothing and the cap, on top of what the hub asked for,
    /// so that edges that were sent away together do not come back together.
    pub(crate) fn after_failure(&mut self, asked: Duration) -> Duration {
        let cap = BASE.saturating_mul(1 << self.failures.min(10)).min(CAP);
        self.failures = self.failures.saturating_add(1);
        let jitter = self.dice.u64(0..=u64::try_from(cap.as_nanos()).unwrap_or(u64::MAX));
        asked + Duration::from_nanos(jitter)
    }

    /// Something was delivered: the next failure is a first one.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_jittered_capped_and_never_before_what_was_asked() {
        let mut backoff = Backoff::new(1);
        let waits: Vec<_> = (0..200).map(|_| backoff.after_failure(Duration::ZERO)).collect();
        assert!(waits[0] <= BASE);
        assert!(waits.iter().all(|w| *w <= CAP));
        assert!(waits.iter().any(|w| *w > CAP * 9 / 10) && waits[50..].iter().any(|w| *w < CAP / 10));
        assert!(backoff.after_failure(Duration::from_secs(30)) >= Duration::from_secs(30));
        backoff.succeeded();
        assert!(backoff.after_failure(Duration::ZERO) <= BASE);
    }
}
