//! The usual ports where they are free, any others where they are not.

use anyhow::Context;
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    ops::Range,
};

/// Where others are looked for: none that the kernel gives to outgoing connections, since one of those would take
/// an edge's port while the edge is down.
const OTHERS: Range<u16> = 20_000..32_000;

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
        let begin = (std::process::id() % u32::from(OTHERS.end - OTHERS.start)) as u16 + OTHERS.start;
        let mut others = (begin..OTHERS.end).chain(OTHERS.start..begin);
        let address = fits(wanted).or_else(|| others.find_map(fits)).context("find a free port")?;
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
