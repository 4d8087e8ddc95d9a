//! Who was sent away lately by the chat bot or at sign-in, by address: a memory that is bounded and fades.
//!
//! An offence weighs less and less: half after each [`HALF_LIFE`]. IPv6 addresses count by their /64, for whoever has one
//! has all of them. What comes from loopback may come from a proxy, and so from everybody: only what people did before the
//! chat bot counts there, and only there. When the memory is full, who offended longest ago is forgotten first.

use riser_model::Time;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

/// How many are remembered.
pub const REMEMBERED_MAX: usize = 4096;
/// After this time an offence weighs half.
pub const HALF_LIFE: Duration = Duration::from_secs(300);

/// What one offence weighs.
const OFFENCE: u32 = 4;
/// What it weighs to sign in wrongly: to mistype is human.
const MISTAKE: u32 = 1;
/// Who has so much is known: two offences in a row, or seven mistakes.
const KNOWN: u32 = 2 * OFFENCE - 1;
/// More is not held against anybody: forgotten after five half-lives.
const WORST: u32 = 16 * OFFENCE;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Offenders {
    by_address: BTreeMap<IpAddr, Offender>,
    by_time: BTreeSet<(Time, IpAddr)>,
}

#[derive(Clone, Copy, Debug)]
struct Offender {
    weight: u32,
    at: Time,
}

impl Offender {
    fn weight(self, now: Time) -> u32 {
        let since = Duration::from_nanos(now.0.saturating_sub(self.at.0));
        let halves = since.as_millis() / HALF_LIFE.as_millis().max(1);
        u32::try_from(halves).ok().and_then(|halves| self.weight.checked_shr(halves)).unwrap_or(0)
    }
}

impl Offenders {
    /// Whether whoever comes from there has offended more than once lately. Nobody has who comes from loopback.
    pub fn knows(&self, address: IpAddr, now: Time) -> bool {
        !address.to_canonical().is_loopback() && self.knows_person(address, now)
    }

    /// The same of a person before the chat bot, which knows those again who come from loopback too.
    pub fn knows_person(&self, address: IpAddr, now: Time) -> bool {
        self.by_address.get(&neighbourhood(address)).is_some_and(|one| one.weight(now) >= KNOWN)
    }

    /// A person from there was sent away by the chat bot.
    pub fn offended(&mut self, address: IpAddr, now: Time) {
        self.note(address, OFFENCE, now);
    }

    /// Somebody from there signed in wrongly.
    pub fn mistaken(&mut self, address: IpAddr, now: Time) {
        if !address.to_canonical().is_loopback() {
            self.note(address, MISTAKE, now);
        }
    }

    fn note(&mut self, address: IpAddr, weight: u32, now: Time) {
        let address = neighbourhood(address);
        let before = self.by_address.remove(&address);
        if let Some(before) = before {
            self.by_time.remove(&(before.at, address));
        }
        let weight = (before.map_or(0, |one| one.weight(now)) + weight).min(WORST);
        if self.by_address.len() >= REMEMBERED_MAX
            && let Some((_, oldest)) = self.by_time.pop_first()
        {
            self.by_address.remove(&oldest);
        }
        self.by_address.insert(address, Offender { weight, at: now });
        self.by_time.insert((now, address));
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.by_address.len()
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }
}

/// The unit in which addresses are counted: an IPv4 address, or the /64 of an IPv6 one.
pub fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: u64) -> Time {
        Time(0).plus(Duration::from_secs(60 * minutes))
    }

    #[test]
    fn who_offends_twice_is_known_for_a_while_and_by_its_neighbourhood() {
        let address = |text: &str| text.parse().unwrap();
        let mut offenders = Offenders::default();
        offenders.offended(address("2001:db8::1"), at(0));
        assert!(!offenders.knows(address("2001:db8::1"), at(0)), "once is nothing");
        offenders.offended(address("2001:db8::2"), at(1));
        assert!(offenders.knows(address("2001:db8::3"), at(2)));
        assert!(!offenders.knows(address("2001:db8:0:1::1"), at(2)));
        assert!(!offenders.knows(address("2001:db8::3"), at(7)), "it fades");
        for local in ["127.0.0.1", "::1", "::ffff:127.0.0.2"].map(address) {
            (0..9).for_each(|_| offenders.mistaken(local, at(0)));
            assert!(!offenders.knows_person(local, at(0)), "a proxy's address is everybody's");
            (0..2).for_each(|_| offenders.offended(local, at(0)));
            assert!(offenders.knows_person(local, at(0)) && !offenders.knows(local, at(0)));
        }
        offenders.offended(address("192.0.2.1"), at(0));
        offenders.offended(address("192.0.2.1"), at(4 * 60));
        assert!(!offenders.knows(address("192.0.2.1"), at(4 * 60)), "long ago does not count");
    }

    #[test]
    fn who_mistypes_seven_times_is_known() {
        let address = "192.0.2.1".parse().unwrap();
        let mut offenders = Offenders::default();
        for mistakes in 0..7 {
            assert!(!offenders.knows(address, at(0)), "{mistakes}");
            offenders.mistaken(address, at(0));
        }
        assert!(offenders.knows(address, at(0)) && !offenders.knows(address, at(5)));
    }

    #[test]
    fn nobody_is_known_for_ever_and_the_memory_is_bounded() {
        let mut offenders = Offenders::default();
        let address = |n: u32| IpAddr::from(n.to_be_bytes());
        (0..1000).for_each(|_| offenders.offended(address(0), at(0)));
        assert!(offenders.knows(address(0), at(14)) && !offenders.knows(address(0), at(21)));
        for n in 0..3 * REMEMBERED_MAX as u32 {
            offenders.offended(address(n), at(1));
            offenders.offended(address(n), at(1));
        }
        assert_eq!(offenders.len(), REMEMBERED_MAX);
        assert_eq!(offenders.by_time.len(), REMEMBERED_MAX);
        assert!(offenders.knows(address(3 * REMEMBERED_MAX as u32 - 1), at(1)));
    }
}
