//! `[[uplink]]`: a hub that an edge delivers to.

use riser_gate::{Invalid, KeyText};
use riser_model::{AccountName, ClientId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

/// One hub.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UplinkConfig {
    /// What people call it; `hub`, then `hub-2` and so on, unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<AccountName>,
    /// Where it is: `wss://hub.example:7420/link`.
    pub url: UplinkUrl,
    /// The hub's public key, as `riser-hub key show` prints it: no other hub is believed.
    pub hub_key: KeyText,
    /// Which client this edge is there: the id that the hub's `[[account.client]]` has.
    pub client: ClientId,
    /// This edge's key file; `edge.key` in the data folder unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// PEM file with the certificate authorities to believe, instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Deliver without encryption outside loopback. Both ends are still authenticated by their keys.
    #[serde(default)]
    pub insecure: bool,
    /// Whether an edge that was moved here waits for what its former parent confirmed, and has not delivered to anybody above
    /// this one, before it goes on without it.
    #[serde(default = "waits")]
    pub wait_for_former: bool,
}

fn waits() -> bool {
    true
}

impl UplinkConfig {
    /// What people call it, by its place in the configuration (from 0).
    pub fn name(&self, index: usize) -> AccountName {
        let standard = || if index == 0 { "hub".to_owned() } else { format!("hub-{}", index + 1) };
        self.name
            .clone()
            .unwrap_or_else(|| standard().parse().expect("letters, a dash and digits are a name"))
    }

    /// The file with this edge's key.
    pub fn key_file(&self, data: &Path) -> PathBuf {
        self.key.clone().unwrap_or_else(|| data.join("edge.key"))
    }

    /// What is wrong with it.
    pub fn check(&self, key: &str) -> Vec<Invalid> {
        let mut wrong = Vec::new();
        if !self.url.tls && !self.insecure && !self.url.is_loopback() {
            wrong.push(Invalid::new(
                format!("{key}.url"),
                "links outside loopback are encrypted",
                "use wss://, or set insecure = true to do without",
            ));
        }
        if !crate::keys::is_public_key(&self.hub_key.0) {
            wrong.push(Invalid::new(
                format!("{key}.hub_key"),
                "not a point of the curve",
                "copy what `riser-hub key show` prints",
            ));
        }
        wrong
    }
}

/// The address of a hub's link listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UplinkUrl {
    /// Whether it is encrypted (`wss`).
    pub tls: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// 7420 unless set.
    pub port: u16,
}

/// The link's port.
pub const LINK_PORT: u16 = 7420;
/// The link's path, always.
pub const LINK_PATH: &str = "/link";

impl UplinkUrl {
    /// Whether it leads to this host and nowhere else.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }

    /// Host and port, for the socket and the Host header.
    pub fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for UplinkUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "wss" } else { "ws" };
        write!(f, "{scheme}://{}{LINK_PATH}", self.authority())
    }
}

/// A text that is not the address of a link listener. It is not repeated: it might hold a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("parse url: want wss://host:7420/link, without user, password, query or fragment")]
pub struct NotAnUplinkUrl;

impl FromStr for UplinkUrl {
    type Err = NotAnUplinkUrl;

    fn from_str(text: &str) -> Result<Self, NotAnUplinkUrl> {
        parse(text).ok_or(NotAnUplinkUrl)
    }
}

fn parse(text: &str) -> Option<UplinkUrl> {
    let (scheme, rest) = text.split_once("://")?;
    let tls = match scheme {
        "wss" => true,
        "ws" => false,
        _ => return None,
    };
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '@' | '?' | '#' | '\\' | '"' | '<' | '>');
    if !rest.chars().all(plain) {
        return None;
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match authority.strip_prefix('[') {
        Some(v6) => {
            let (host, port) = v6.split_once(']')?;
            let IpAddr::V6(_) = host.parse().ok()? else { return None };
            (host, port)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port = match port {
        "" => LINK_PORT,
        port => port.strip_prefix(':')?.parse().ok().filter(|port| *port != 0)?,
    };
    let fits = !host.is_empty() && matches!(path, "" | "/" | LINK_PATH);
    fits.then(|| UplinkUrl { tls, host: host.to_owned(), port })
}

impl Serialize for UplinkUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UplinkUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_hubs_are_read_with_their_defaults() {
        for (text, whole, loopback) in [
            ("wss://hub.example", "wss://hub.example:7420/link", false),
            ("wss://hub.example/", "wss://hub.example:7420/link", false),
            ("ws://127.0.0.1:9/link", "ws://127.0.0.1:9/link", true),
            ("ws://[::1]", "ws://[::1]:7420/link", true),
            ("ws://localhost:1", "ws://localhost:1/link", true),
            ("wss://[2001:db8::1]:443/link", "wss://[2001:db8::1]:443/link", false),
        ] {
            let url: UplinkUrl = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), url.is_loopback()), (whole, loopback));
            assert_eq!(whole.parse(), Ok(url));
        }
    }

    #[test]
    fn other_texts_are_no_urls_of_hubs() {
        for text in [
            "",
            "hub.example:7420",
            "https://hub.example",
            "wss://",
            "wss://user:hunter2@hub.example",
            "wss://hub.example/other",
            "wss://hub.example/link?token=x",
            "wss://hub.example:0",
            "wss://hub.example:99999",
            "wss://[hub]",
            "wss://hub example",
        ] {
            let error = text.parse::<UplinkUrl>().expect_err(text).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
