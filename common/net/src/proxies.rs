//! Proxies before a listener whose word is taken on who is behind them, as `X-Forwarded-For` says it.
//!
//! The header is a list to which each proxy appends whom it was asked by, so it is read from its end: whoever is named last by
//! one that is believed is who asks, unless that is such a proxy itself. What stands before that anybody may have written, in
//! any bytes. Where one that is believed names somebody by no address, nobody is taken for the proxy: the request is refused.
//! From everybody else the header is nothing, but that a request from this host that has it, or one like it, came by a proxy
//! that is not named: behind such an address may be everybody.

use hyper::{HeaderMap, header::HeaderValue};
use riser_model::Networks;
use std::net::{IpAddr, SocketAddr};

/// The header.
const NAME: &str = "x-forwarded-for";
/// Headers by which a proxy says that it is one.
const MARKS: [&str; 3] = [NAME, "forwarded", "via"];

/// See the module. None unless configured.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Proxies(Networks);

/// There is none.
pub(crate) static NONE: Proxies = Proxies(Networks(Vec::new()));

/// A proxy that is believed names somebody by something that is no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoAddress;

impl Proxies {
    /// Those at these addresses.
    pub fn new(networks: Networks) -> Self {
        Self(networks)
    }

    /// Whether one is at this address.
    pub fn has(&self, address: IpAddr) -> bool {
        self.0.hold(address)
    }

    /// Whether everybody may be behind this peer, who says nothing that is believed of who asks: it is one of these, or is on
    /// this host and forwards what it was asked.
    pub(crate) fn hides(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        let forwards = || MARKS.iter().any(|name| headers.contains_key(*name));
        self.has(peer) || (peer.to_canonical().is_loopback() && forwards())
    }

    /// Who is behind this peer; none if it is no such proxy, or says nothing.
    ///
    /// # Errors
    /// It says something that is no address: whoever that is would be taken for the proxy.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Result<Option<IpAddr>, NoAddress> {
        if !self.has(peer) {
            return Ok(None);
        }
        let values: Vec<&[u8]> = headers.get_all(NAME).iter().map(HeaderValue::as_bytes).collect();
        let named = values.into_iter().rev().flat_map(|value| value.rsplit(|byte| *byte == b','));
        let mut client = None;
        for text in named {
            let address = address(text).ok_or(NoAddress)?;
            client = Some(address);
            if !self.has(address) {
                break;
            }
        }
        Ok(client)
    }
}

/// One of the list: an address, with or without a port, an IPv6 one then in brackets.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let bare =
        text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).filter(|text| text.contains(':'));
    let address = bare.unwrap_or(text).parse::<IpAddr>().ok();
    let address = address.or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_forwards_on_this_host_hides_everybody_whether_it_is_named_or_not() {
        let proxies = Proxies::new(Networks(vec!["192.0.2.1".parse().unwrap()]));
        let hides = |peer: &str, name: Option<&'static str>| {
            let headers = name.map(|name| (name.parse().unwrap(), HeaderValue::from_static("198.51.100.7")));
            proxies.hides(peer.parse().unwrap(), &headers.into_iter().collect())
        };
        for peer in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            for name in ["x-forwarded-for", "forwarded", "via"] {
                assert!(hides(peer, Some(name)), "{peer} {name}");
            }
            assert!(!hides(peer, None) && !hides(peer, Some("host")), "{peer}");
        }
        assert!(!hides("192.0.2.2", Some("x-forwarded-for")), "anybody may say so of itself");
        assert!(hides("192.0.2.1", None) && hides("192.0.2.1", Some("via")));
    }

    #[test]
    fn word_of_a_proxy_is_taken_from_its_end_and_nobody_elses_at_all() {
        let proxies =
            Proxies::new(Networks(vec!["192.0.2.1".parse().unwrap(), "10.0.0.0/8".parse().unwrap()]));
        let client = |peer: &str, values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(NAME, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            let client = proxies.client(peer.parse().unwrap(), &headers);
            client.map(|client| client.map(|address| address.to_string()))
        };
        let is = |text: &str| Ok(Some(text.to_owned()));
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
        for rubbish in ["\u{e9}", "unknown", "", ",", "127.0.0.1:x"] {
            let list = format!("{rubbish}, 198.51.100.7");
            assert_eq!(client("192.0.2.1", &[&list]), is("198.51.100.7"), "{list:?}");
            assert_eq!(client("192.0.2.1", &[rubbish, "198.51.100.7"]), is("198.51.100.7"), "{rubbish:?}");
        }
        for (named, address) in [
            ("198.51.100.7:4711", "198.51.100.7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
        ] {
            assert_eq!(client("192.0.2.1", &[named]), is(address));
        }
        for nobody in [
            "",
            "unknown",
            "\u{e9}",
            "198.51.100.7, _hidden",
            "198.51.100.7,",
            "unknown, 10.1.2.3",
            "198.51.100.7, \u{e9}",
        ] {
            assert_eq!(client("192.0.2.1", &[nobody]), Err(NoAddress), "{nobody:?}");
            assert_eq!(client("192.0.2.2", &[nobody]), Ok(None), "{nobody:?}");
        }
        assert_eq!(client("192.0.2.1", &[]), Ok(None), "it says nothing");
        assert_eq!(client("192.0.2.2", &["198.51.100.7"]), Ok(None), "no proxy of ours");
        assert_eq!(NONE.client("127.0.0.1".parse().unwrap(), &HeaderMap::new()), Ok(None));
    }
}
