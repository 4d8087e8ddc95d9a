//! The usual ports where they are free, any others where they are not.

use anyhow::Context;
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, TcpListener},
};

/// Hands out loopback addresses that are free at this moment, each once.
#[derive(Default)]
pub struct Ports {
    given: BTreeSet<u16>,
}

impl Ports {
    /// The wanted port on loopback, or any free one.
    pub fn free(&mut self, wanted: u16) -> anyhow::Result<SocketAddr> {
        let fits = |port| {
            let address = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?.local_addr().ok()?;
            (!self.given.contains(&address.port())).then_some(address)
        };
        let address = fits(wanted).or_else(|| (0..16).find_map(|_| fits(0))).context("find a free port")?;
        self.given.insert(address.port());
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_replaced_and_none_is_given_twice() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let wanted = taken.local_addr().unwrap().port();
        let mut ports = Ports::default();
        let first = ports.free(wanted).unwrap();
        assert_ne!(first.port(), wanted);
        assert_ne!(ports.free(first.port()).unwrap(), first);
    }
}
