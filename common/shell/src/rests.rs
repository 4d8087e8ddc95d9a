//! Rests of addresses: from where a password was wrong, the next is verified after a while, and one at a time.
//!
//! Verifying costs the processor what everybody inside wants of it, at whatever priority it is done. So guessing from one place
//! has a small share of the time, however many connections and names it is done by, and those who come from elsewhere neither
//! wait for it nor notice. It is where a guess came from that counts, and no name: were it that, whoever guesses would choose who
//! waits. Loopback is one address: behind a proxy that a listener does not name, everybody rests with who guesses.

use riser_gate::offenders::neighbourhood;
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Mutex as Line, OwnedMutexGuard, Semaphore},
    time::{Instant, sleep_until},
};

/// How long an address rests at least. Who mistypes does not notice.
pub const REST_MIN: Duration = Duration::from_millis(250);
/// And at most: who shares an address with somebody who guesses waits for it.
pub const REST_MAX: Duration = Duration::from_secs(1);
/// And for how many times as long as the guess took, between those.
const RESTS: u32 = 16;
/// So long after its rest an address is not let in side by side yet.
const LATELY: Duration = Duration::from_secs(10);
/// How many wait for an address to rest, of all addresses.
pub const RESTING_MAX: usize = 512;
/// Of how many addresses it is known that they were wrong. Then who has rested longest is not held to it any more.
const ADDRESSES_MAX: usize = 4096;

/// See the module.
#[derive(Clone, Debug)]
pub struct Rests {
    addresses: Arc<Mutex<BTreeMap<IpAddr, Address>>>,
    waiting: Arc<Semaphore>,
}

/// One that was wrong lately.
#[derive(Debug)]
struct Address {
    rests_until: Instant,
    line: Arc<Line<()>>,
}

/// One's turn at an address, until it is dropped. Where nobody was wrong lately, many have it.
#[derive(Debug)]
pub struct Turn {
    rests: Rests,
    address: Option<IpAddr>,
    first: Option<OwnedMutexGuard<()>>,
}

impl Default for Rests {
    fn default() -> Self {
        Self { addresses: Arc::default(), waiting: Arc::new(Semaphore::new(RESTING_MAX)) }
    }
}

impl Rests {
    /// A turn for somebody from there: at once, or after those who came before and when the address has rested. None if too
    /// many wait for that.
    pub async fn turn(&self, from: Option<IpAddr>) -> Option<Turn> {
        let address = from.map(neighbourhood);
        let Some(line) = address.and_then(|address| self.line(address)) else {
            return Some(Turn { rests: self.clone(), address, first: None });
        };
        let _waiting = self.waiting.try_acquire().ok()?;
        let first = Some(line.lock_owned().await);
        let turn = Turn { rests: self.clone(), address, first };
        while let Some(until) = turn.rests_until() {
            sleep_until(until).await;
        }
        Some(turn)
    }

    /// Where to stand in line, from where somebody was wrong lately.
    fn line(&self, address: IpAddr) -> Option<Arc<Line<()>>> {
        let now = Instant::now();
        let mut addresses = self.addresses();
        let one = addresses.get(&address)?;
        if one.is_forgiven(now) {
            addresses.remove(&address);
            return None;
        }
        Some(Arc::clone(&one.line))
    }

    fn addresses(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Address>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Address {
    /// Whether it was long ago. Whoever is in line goes on.
    fn is_forgiven(&self, now: Instant) -> bool {
        self.rests_until + LATELY <= now && Arc::strong_count(&self.line) == 1
    }
}

impl Turn {
    /// Whether it is nobody else's turn, if somebody was wrong since it was given.
    pub fn stands(&self) -> bool {
        self.first.is_some() || self.rests_until().is_none()
    }

    /// It was wrong, which took so long to find out: the address rests.
    pub fn was_wrong(&self, took: Duration) {
        let Some(address) = self.address else { return };
        let now = Instant::now();
        let rests_until = now + took.saturating_mul(RESTS).clamp(REST_MIN, REST_MAX);
        let mut addresses = self.rests.addresses();
        if addresses.len() >= ADDRESSES_MAX && !addresses.contains_key(&address) {
            addresses.retain(|_, one| !one.is_forgiven(now));
            if addresses.len() >= ADDRESSES_MAX
                && let Some(oldest) =
                    addresses.iter().min_by_key(|(_, one)| one.rests_until).map(|(at, _)| *at)
            {
                addresses.remove(&oldest);
            }
        }
        let one = addresses.entry(address).or_insert_with(|| Address { rests_until, line: Arc::default() });
        one.rests_until = one.rests_until.max(rests_until);
    }

    /// Until when it rests, if it does.
    fn rests_until(&self) -> Option<Instant> {
        let until = self.rests.addresses().get(&self.address?)?.rests_until;
        (until > Instant::now()).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{advance, timeout};

    const QUICK: Duration = Duration::from_millis(10);

    fn from(address: &str) -> Option<IpAddr> {
        Some(address.parse().unwrap())
    }

    async fn turn(rests: &Rests, address: &str) -> Turn {
        rests.turn(from(address)).await.unwrap()
    }

    async fn guess(rests: &Rests, address: &str) {
        turn(rests, address).await.was_wrong(QUICK);
    }

    #[tokio::test(start_paused = true)]
    async fn who_guesses_has_a_small_share_of_the_time_and_others_do_not_wait() {
        let rests = Rests::default();
        let began = Instant::now();
        let guesses = (0..9).map(|n| {
            let rests = rests.clone();
            tokio::spawn(async move { guess(&rests, ["2001:db8::1", "2001:db8::2"][n % 2]).await })
        });
        guess(&rests, "2001:db8::3").await;
        for guess in guesses.collect::<Vec<_>>() {
            guess.await.unwrap();
        }
        assert_eq!(began.elapsed(), REST_MIN * 9, "one /64, one after the other");
        let began = Instant::now();
        for other in ["2001:db8:0:1::1", "192.0.2.1", "127.0.0.1"] {
            assert!(turn(&rests, other).await.stands());
        }
        assert!(rests.turn(None).await.is_some());
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_is_as_long_as_what_was_wrong_took_within_its_bounds() {
        for (took, rest) in [(1, REST_MIN), (30, Duration::from_millis(480)), (5_000, REST_MAX)] {
            let rests = Rests::default();
            turn(&rests, "127.0.0.1").await.was_wrong(Duration::from_millis(took));
            let began = Instant::now();
            turn(&rests, "127.0.0.1").await;
            assert_eq!(began.elapsed().as_millis(), rest.as_millis());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_from_before_somebody_was_wrong_is_not_one_any_more() {
        let rests = Rests::default();
        let (one, other) = (turn(&rests, "192.0.2.1").await, turn(&rests, "192.0.2.1").await);
        one.was_wrong(QUICK);
        assert!(!other.stands(), "the address rests");
        drop((one, other));
        let first = turn(&rests, "192.0.2.1").await;
        assert!(first.stands());
        assert!(timeout(REST_MAX, turn(&rests, "192.0.2.1")).await.is_err(), "one at a time");
        drop(first);
        assert!(turn(&rests, "192.0.2.1").await.stands(), "who was right leaves no rest");
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_waiting_holds_nobody_up_and_so_many_wait_at_most() {
        let rests = Rests::default();
        guess(&rests, "192.0.2.1").await;
        for _ in 0..9 {
            assert!(timeout(QUICK, turn(&rests, "192.0.2.1")).await.is_err(), "it rests");
        }
        let _waiting = rests.waiting.try_acquire_many(u32::try_from(RESTING_MAX).unwrap()).unwrap();
        assert!(rests.turn(from("192.0.2.1")).await.is_none(), "too many wait");
        assert!(rests.turn(from("192.0.2.2")).await.is_some(), "who was never wrong does not");
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_are_forgiven_after_a_while_and_their_number_is_bounded() {
        let rests = Rests::default();
        guess(&rests, "192.0.2.1").await;
        advance(REST_MIN + LATELY).await;
        let side_by_side = (turn(&rests, "192.0.2.1").await, turn(&rests, "192.0.2.1").await);
        assert!(side_by_side.0.stands() && rests.addresses().is_empty());
        for n in 0..=ADDRESSES_MAX {
            guess(&rests, &format!("10.{}.{}.1", n >> 8, n & 255)).await;
            advance(Duration::from_micros(1)).await;
        }
        assert_eq!(rests.addresses().len(), ADDRESSES_MAX);
        assert!(turn(&rests, "10.0.0.1").await.first.is_none(), "the one that was wrong longest ago");
        assert!(!rests.addresses().contains_key(&"10.0.0.1".parse().unwrap()));
    }
}
