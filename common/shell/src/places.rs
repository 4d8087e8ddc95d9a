//! Places for those who wait, so many for each address: whoever comes from one place does not take those of all others.
//!
//! Addresses count as in [`riser_gate::offenders`]; loopback does not, for behind it may be a proxy and everybody.

use riser_gate::offenders::neighbourhood;
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many of one address.
pub const OF_ADDRESS_MAX: usize = 8;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Places {
    taken: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    address: Option<IpAddr>,
}

impl Places {
    /// One for somebody from there; none while that address has all that it may.
    pub fn take(&self, from: Option<IpAddr>) -> Option<Place> {
        let address = from.filter(|from| !from.to_canonical().is_loopback()).map(neighbourhood);
        if let Some(address) = address {
            let mut taken = self.taken();
            let own = taken.entry(address).or_default();
            if *own >= OF_ADDRESS_MAX {
                return None;
            }
            *own += 1;
        }
        Some(Place { places: self.clone(), address })
    }

    fn taken(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut taken = self.places.taken();
        if let Some(own) = taken.get_mut(&address) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_takes_its_own_places_and_nobody_else_s() {
        let places = Places::default();
        let take = |from: &str| places.take(Some(from.parse().unwrap()));
        let held: Vec<Place> = (0..OF_ADDRESS_MAX).filter_map(|_| take("2001:db8::1")).collect();
        assert_eq!(held.len(), OF_ADDRESS_MAX);
        assert!(take("2001:db8::2").is_none(), "the same /64");
        assert!(take("2001:db8:0:1::1").is_some() && take("192.0.2.1").is_some());
        let local: Vec<Place> = (0..100).filter_map(|_| take("::ffff:127.0.0.1")).collect();
        assert_eq!(local.len(), 100);
        assert!(places.take(None).is_some());
        drop(held);
        assert!(take("2001:db8::2").is_some());
        assert!(places.taken().is_empty(), "nothing stays");
    }
}
