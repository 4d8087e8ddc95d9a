//! Proxies before a listener whose word is taken on who is behind them, as `X-Forwarded-For` says it.
//!
//! The header is a list to which each proxy appends whom it was asked by, so it is read from its end: whoever is named last by
//! one that is believed is who asks, unless that is such a proxy itself. What stands before that anybody may have written. From
//! everybody else the header is nothing.

use hyper::HeaderMap;
use riser_model::Networks;
use std::net::IpAddr;

/// See the module. None unless configured.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Proxies(Networks);

/// There is none.
pub(crate) static NONE: Proxies = Proxies(Networks(Vec::new()));

impl Proxies {
    /// Those at these addresses.
    pub fn new(networks: Networks) -> Self {
        Self(networks)
    }

    /// Whether one is at this address.
    pub fn has(&self, address: IpAddr) -> bool {
        self.0.hold(address)
    }

    /// Who is behind this peer; none if it is no such proxy, or names nobody.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        if !self.has(peer) {
            return None;
        }
        let mut named = Vec::new();
        for value in headers.get_all("x-forwarded-for") {
            named.extend(value.to_str().ok()?.split(',').map(str::trim));
        }
        let mut client = None;
        for text in named.into_iter().rev() {
            let Ok(address) = text.parse::<IpAddr>() else { break };
            client = Some(address.to_canonical());
            if !self.has(address) {
                break;
            }
        }
        client
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_of_a_proxy_is_taken_from_its_end_and_nobody_elses_at_all() {
        let proxies =
            Proxies::new(Networks(vec!["192.0.2.1".parse().unwrap(), "10.0.0.0/8".parse().unwrap()]));
        let client = |peer: &str, values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-forwarded-for", value.parse().unwrap());
            }
            proxies.client(peer.parse().unwrap(), &headers).map(|address| address.to_string())
        };
        let is = |text: &str| Some(text.to_owned());
        assert_eq!(client("192.0.2.1", &["198.51.100.7"]), is("198.51.100.7"));
        assert_eq!(client("::ffff:192.0.2.1", &["2001:db8::7"]), is("2001:db8::7"));
        assert_eq!(
            client("192.0.2.1", &["203.0.113.9, 198.51.100.7"]),
            is("198.51.100.7"),
            "what it saw itself"
        );
        assert_eq!(
            client("192.0.2.1", &["203.0.113.9", "198.51.100.7,10.1.2.3"]),
            is("198.51.100.7"),
            "behind two"
        );
        assert_eq!(client("192.0.2.1", &["10.1.2.3"]), is("10.1.2.3"), "nobody else is named");
        for nothing in [&[][..], &[""], &["unknown"], &["198.51.100.7, _hidden"], &["198.51.100.7,"]] {
            assert_eq!(client("192.0.2.1", nothing), None, "{nothing:?}");
        }
        assert_eq!(client("192.0.2.2", &["198.51.100.7"]), None, "no proxy of ours");
        assert_eq!(NONE.client("127.0.0.1".parse().unwrap(), &HeaderMap::new()), None);
    }
}
