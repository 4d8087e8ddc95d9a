//! Who stands before the chat bot: people have not shown who they are and may take their time, so only so many may stand
//! there at once.
//!
//! Addresses count as in [`crate::Offenders`]; loopback counts in the total alone.

use crate::offenders::neighbourhood;
use riser_model::ConnectionId;
use std::{collections::BTreeMap, net::IpAddr};

/// How many may stand there.
pub const PERSONS_MAX: usize = 1000;
/// How many of one address.
pub const PERSONS_OF_ADDRESS_MAX: usize = 32;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Persons {
    standing: BTreeMap<ConnectionId, Option<IpAddr>>,
    of_address: BTreeMap<IpAddr, usize>,
}

impl Persons {
    /// One more comes, from there. Whether there is a place.
    pub fn come(&mut self, connection: ConnectionId, address: Option<IpAddr>) -> bool {
        self.left(connection);
        let address = address.filter(|address| !address.to_canonical().is_loopback()).map(neighbourhood);
        let own = address.and_then(|address| self.of_address.get(&address)).copied().unwrap_or(0);
        if self.standing.len() >= PERSONS_MAX || own >= PERSONS_OF_ADDRESS_MAX {
            return false;
        }
        if let Some(address) = address {
            self.of_address.insert(address, own + 1);
        }
        self.standing.insert(connection, address);
        true
    }

    /// It does not stand there any more, if it did.
    pub fn left(&mut self, connection: ConnectionId) {
        let Some(Some(address)) = self.standing.remove(&connection) else { return };
        if let Some(own) = self.of_address.get_mut(&address) {
            *own -= 1;
            if *own == 0 {
                self.of_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_stand_there_in_all_and_of_one_address() {
        let mut persons = Persons::default();
        let mut ids = (0..).map(ConnectionId);
        let mut come = |persons: &mut Persons, address: &str| {
            let id = ids.next().unwrap();
            persons.come(id, Some(address.parse().unwrap())).then_some(id)
        };
        let first = come(&mut persons, "2001:db8::1").unwrap();
        for _ in 1..PERSONS_OF_ADDRESS_MAX {
            assert!(come(&mut persons, "2001:db8::2").is_some());
        }
        assert_eq!(come(&mut persons, "2001:db8::3"), None, "the same /64");
        assert!(come(&mut persons, "2001:db8:0:1::1").is_some());
        persons.left(first);
        persons.left(first);
        assert!(come(&mut persons, "2001:db8::3").is_some());
        assert_eq!(come(&mut persons, "2001:db8::3"), None);
        while persons.standing.len() < PERSONS_MAX {
            assert!(come(&mut persons, "127.0.0.1").is_some());
        }
        assert_eq!((come(&mut persons, "127.0.0.1"), come(&mut persons, "192.0.2.1")), (None, None));
        let all: Vec<_> = persons.standing.keys().copied().collect();
        all.into_iter().for_each(|id| persons.left(id));
        assert!(persons.of_address.is_empty(), "nothing stays");
    }
}
