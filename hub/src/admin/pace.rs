//! How fast requests are taken: of each address before it is known who asks, and of each admin after that. Nobody uses up
//! what is another's.

use riser_model::ClientId;
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// So many requests at once, and so many a second.
const BURST: f64 = 200.0;
const PER_SECOND: f64 = 50.0;
/// After this long without a request nothing is left to remember.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(4);
/// The most that are remembered.
const WHOSE_MAX: usize = 4096;

/// Whose requests are counted together. Of IPv6 a whole /64: one host has that many.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Whose {
    Address(IpAddr),
    Client(ClientId),
}

/// See the module.
#[derive(Debug, Default)]
pub struct Pace(Mutex<BTreeMap<Whose, (Instant, f64)>>);

impl Pace {
    /// Whether there is one more.
    pub(super) fn take(&self, whose: Whose) -> bool {
        self.take_at(whose, Instant::now())
    }

    fn take_at(&self, whose: Whose, now: Instant) -> bool {
        let whose = match whose {
            Whose::Address(IpAddr::V6(address)) => {
                Whose::Address(IpAddr::V6((address.to_bits() & (u128::MAX << 64)).into()))
            }
            Whose::Address(IpAddr::V4(_)) | Whose::Client(_) => whose,
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= WHOSE_MAX && !all.contains_key(&whose) {
            all.retain(|_, (last, _)| now.saturating_duration_since(*last) < FORGOTTEN_AFTER);
            if all.len() >= WHOSE_MAX {
                return false;
            }
        }
        let (last, left) = all.entry(whose).or_insert((now, BURST));
        let since = now.saturating_duration_since(*last).min(FORGOTTEN_AFTER);
        (*last, *left) = (now, (*left + since.as_secs_f64() * PER_SECOND).min(BURST));
        let is_one = *left >= 1.0;
        if is_one {
            *left -= 1.0;
        }
        is_one
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn address(text: &str) -> Whose {
        Whose::Address(text.parse().unwrap())
    }

    #[test]
    fn requests_beyond_the_burst_wait_and_nobody_waits_for_anothers() {
        let (pace, now) = (Pace::default(), Instant::now());
        let taken = |whose, at| (0..300).filter(|_| pace.take_at(whose, at)).count();
        assert_eq!(taken(address("192.0.2.1"), now), 200);
        assert_eq!(taken(address("192.0.2.2"), now), 200);
        assert_eq!(taken(Whose::Client(ClientId(uuid::Uuid::nil())), now), 200);
        assert_eq!(taken(address("192.0.2.1"), now + Duration::from_secs(1)), 50);
        assert_eq!(taken(address("2001:db8::1"), now), 200);
        assert_eq!(taken(address("2001:db8::2"), now), 0, "one host has a /64");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten() {
        let (pace, now) = (Pace::default(), Instant::now());
        let from = |n: u32| Whose::Address(IpAddr::V4(n.into()));
        let all = 2 * WHOSE_MAX as u32;
        assert_eq!((0..all).filter(|n| pace.take_at(from(*n), now)).count(), WHOSE_MAX);
        assert!(pace.take_at(from(all), now + FORGOTTEN_AFTER));
    }
}
