//! `[[source]]`: where an edge takes messages from besides its listeners.

use riser_gate::Invalid;
use riser_model::{AccountName, RoomName, name::CHANNEL_LEVELS_MAX};
use riser_shell::config::Duration;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

/// The most filters of one broker.
const FILTERS_MAX: usize = 100;
/// The longest text in an MQTT packet.
const TEXT_BYTES_MAX: usize = 65_535;
/// Every server of MQTT 3.1.1 must take a client id of up to 23 letters and digits; those in use take more.
const CLIENT_ID_BYTES_MAX: usize = 64;

/// One source: exactly one of `mqtt` and `stdin`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// What people call it, in logs and metrics.
    pub name: AccountName,
    /// The user or client (`account/name`) as whom it publishes, with the rights of that one and no others.
    #[serde(rename = "as")]
    pub principal: String,
    /// The room that everything goes to. Unless set, topics mean what they mean at a listener: the first
    /// `[[binding]]` that matches, and `{room}/{channel}` otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomName>,
    /// With `room`: how many leading levels of the topic are cut off.
    #[serde(default)]
    pub strip: u8,
    /// With `room`: what the channel then begins with, as it stands.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// Lines on standard input, read by `riser-edge pipe`.
    #[serde(default)]
    pub stdin: bool,
    /// A broker that the site already has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mqtt: Option<BrokerConfig>,
}

/// `[source.mqtt]`: a broker of MQTT 3.1.1, and what to take from it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BrokerConfig {
    /// Where it is: `mqtts://broker:8883`, or `mqtt://broker:1883`.
    pub url: BrokerUrl,
    /// Under this id the broker keeps what was not acknowledged yet. No other client of that broker has it.
    pub client_id: ClientIdText,
    /// What to subscribe to.
    pub filters: Vec<TopicFilter>,
    /// The quality of service that is asked for: 0, 1 or 2.
    #[serde(default = "at_least_once")]
    pub qos: u8,
    /// The user, where the broker wants one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The file whose one line is the password. Only its owner may read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// PEM file with the certificate authorities to believe, instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Speak without encryption outside loopback.
    #[serde(default)]
    pub insecure: bool,
    /// The broker hears something from here at least this often.
    #[serde(default = "half_a_minute")]
    pub keepalive: Duration,
}

fn at_least_once() -> u8 {
    1
}

fn half_a_minute() -> Duration {
    Duration::seconds(30)
}

impl SourceConfig {
    /// The name of a source's entrance, by its place in the configuration: `source[0]`.
    pub fn key(index: usize) -> String {
        format!("source[{index}]")
    }

    /// What is wrong with it. `own_ports` are those on which this edge itself speaks MQTT.
    pub fn check(&self, key: &str, own_ports: &[u16]) -> Vec<Invalid> {
        let mut wrong = Vec::new();
        match (&self.mqtt, self.stdin) {
            (Some(broker), false) => wrong.extend(broker.check(&format!("{key}.mqtt"), own_ports)),
            (None, true) => {}
            (Some(_), true) => wrong.push(Invalid::new(
                format!("{key}.stdin"),
                "a source is a broker or standard input, not both",
                "write a [[source]] for each",
            )),
            (None, false) => wrong.push(Invalid::new(
                key,
                "nothing says where its messages come from",
                "add [source.mqtt] with url, client_id and filters, or stdin = true",
            )),
        }
        if self.room.is_none() && (self.strip > 0 || !self.prefix.is_empty()) {
            wrong.push(Invalid::new(
                format!("{key}.room"),
                "strip and prefix make a channel of a room that is not named",
                "name the room here, or use a [[binding]] instead",
            ));
        }
        if usize::from(self.strip) >= CHANNEL_LEVELS_MAX {
            let want = format!("cut off at most {}", CHANNEL_LEVELS_MAX - 1);
            wrong.push(Invalid::new(format!("{key}.strip"), "no topic has as many levels", want));
        }
        if !self.prefix.is_empty() && format!("{}x", self.prefix).parse::<riser_model::ChannelName>().is_err()
        {
            wrong.push(Invalid::new(
                format!("{key}.prefix"),
                "no channel can begin with it",
                "use levels without +, # or a leading $",
            ));
        }
        wrong
    }
}

impl BrokerConfig {
    fn check(&self, key: &str, own_ports: &[u16]) -> Vec<Invalid> {
        let mut wrong = Vec::new();
        let mut say = |field: &str, what: &str, want: &str| {
            wrong.push(Invalid::new(format!("{key}.{field}"), what, want));
        };
        if !self.url.tls && !self.insecure && !self.url.is_loopback() {
            say(
                "url",
                "what leaves this host is encrypted",
                "use mqtts://, or set insecure = true to do without",
            );
        }
        if self.url.is_loopback() && own_ports.contains(&self.url.port) {
            say(
                "url",
                "this edge itself listens there: it would take what it publishes over and over",
                "name the other broker; what is published at this edge is here already",
            );
        }
        if self.ca.is_some() && !self.url.tls {
            say("ca", "mqtt:// shows no certificate", "use mqtts://, or leave ca out");
        }
        if self.filters.is_empty() {
            say("filters", "nothing is subscribed to", "name at least one, such as [\"sensors/#\"]");
        }
        if self.filters.len() > FILTERS_MAX {
            say("filters", "too many", "at most 100; + and # stand for many topics");
        }
        if self.qos > 2 {
            say("qos", "no such quality of service", "want 0, 1 or 2");
        }
        if self.password_file.is_some() && self.user.is_none() {
            say("user", "a password without a user", "name the user, or leave password_file out");
        }
        if self.user.as_ref().is_some_and(|user| user.len() > TEXT_BYTES_MAX) {
            say("user", "longer than MQTT can say", "at most 65535 bytes");
        }
        if !(1_000..=3_600_000).contains(&self.keepalive.ms()) {
            say("keepalive", "out of range", "want 1s to 1h");
        }
        wrong
    }
}

/// The address of a broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokerUrl {
    /// Whether it is encrypted (`mqtts`).
    pub tls: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// 1883, with TLS 8883, unless set.
    pub port: u16,
}

impl BrokerUrl {
    /// Whether it leads to this host and nowhere else.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tls, host, port } = self;
        let scheme = if *tls { "mqtts" } else { "mqtt" };
        if host.contains(':') {
            write!(f, "{scheme}://[{host}]:{port}")
        } else {
            write!(f, "{scheme}://{host}:{port}")
        }
    }
}

/// A text that is not the address of a broker. It is not repeated: it might hold a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("parse url: want mqtts://host:8883 or mqtt://host:1883, without user, password or path")]
pub struct NotABrokerUrl;

impl FromStr for BrokerUrl {
    type Err = NotABrokerUrl;

    fn from_str(text: &str) -> Result<Self, NotABrokerUrl> {
        parse_url(text).ok_or(NotABrokerUrl)
    }
}

fn parse_url(text: &str) -> Option<BrokerUrl> {
    let (scheme, rest) = text.split_once("://")?;
    let (tls, standard) = match scheme {
        "mqtts" => (true, 8883),
        "mqtt" => (false, 1883),
        _ => return None,
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let named = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
    if host.is_empty() || !host.bytes().all(named) {
        return None;
    }
    let port = port.map_or(Some(standard), |port| port.parse().ok().filter(|port| *port > 0))?;
    Some(BrokerUrl { tls, host: host.to_owned(), port })
}

/// The id under which a broker keeps a session: 1 to 64 of `[A-Za-z0-9._-]`.
///
/// There are brokers that stop when an id has `+`, `$`, `#` or `/` in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientIdText(String);

impl ClientIdText {
    /// It as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no client id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("parse client id: want 1 to 64 of letters, digits, '.', '_' and '-'")]
pub struct NotAClientId;

impl FromStr for ClientIdText {
    type Err = NotAClientId;

    fn from_str(text: &str) -> Result<Self, NotAClientId> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let is_id = (1..=CLIENT_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(fits);
        if is_id { Ok(Self(text.to_owned())) } else { Err(NotAClientId) }
    }
}

/// A filter of somebody else's topics, in MQTT's grammar; `$share/{group}/{filter}` takes part in a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicFilter(String);

impl TopicFilter {
    /// It as the broker is told.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The group that takes it in turns, if there is one, and what topics are held against.
    fn parts(text: &str) -> (Option<&str>, &str) {
        match text.strip_prefix("$share/") {
            None => (None, text),
            Some(rest) => {
                rest.split_once('/').map_or((Some(rest), ""), |(group, filter)| (Some(group), filter))
            }
        }
    }

    /// Whether the broker had reason to send this topic for it. A wildcard does not meet a leading `$`.
    pub fn matches(&self, topic: &str) -> bool {
        let (_, filter) = Self::parts(&self.0);
        if topic.starts_with('$') && !filter.starts_with('$') {
            return false;
        }
        let mut levels = topic.split('/');
        for wanted in filter.split('/') {
            match (wanted, levels.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (wanted, Some(level)) if wanted == level => {}
                (_, Some(_) | None) => return false,
            }
        }
        levels.next().is_none()
    }
}

/// A text that is no filter.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "parse filter {0:?}: want levels between slashes, + for any one of them, # alone at the end for all the rest"
)]
pub struct NotAFilter(pub String);

impl FromStr for TopicFilter {
    type Err = NotAFilter;

    fn from_str(text: &str) -> Result<Self, NotAFilter> {
        let (group, filter) = Self::parts(text);
        let is_group = |group: &str| !group.is_empty() && !group.contains(['+', '#', '\0']);
        let is_level = |level: &str| level == "+" || !level.contains(['+', '#', '\0']);
        let mut levels = filter.split('/').rev();
        let last = levels.next().unwrap_or_default();
        let fits = !filter.is_empty() && text.len() <= TEXT_BYTES_MAX && group.is_none_or(is_group);
        if fits && (last == "#" || is_level(last)) && levels.all(is_level) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAFilter(text.chars().take(64).collect()))
        }
    }
}

macro_rules! as_text {
    ($type:ident, $expecting:literal, $show:expr) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let show: fn(&Self) -> String = $show;
                serializer.serialize_str(&show(self))
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl de::Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expecting)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }

                deserializer.deserialize_any(Text)
            }
        }
    };
}

as_text!(BrokerUrl, "an address such as \"mqtts://broker:8883\"", |url| url.to_string());
as_text!(ClientIdText, "a client id such as \"riser-cellar\"", |id| id.0.clone());
as_text!(TopicFilter, "a filter such as \"sensors/#\"", |filter| filter.0.clone());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_brokers_are_read_or_refused() {
        for (text, shown) in [
            ("mqtt://broker", "mqtt://broker:1883"),
            ("mqtts://broker.example/", "mqtts://broker.example:8883"),
            ("mqtt://127.0.0.1:1884", "mqtt://127.0.0.1:1884"),
            ("mqtts://[::1]:9", "mqtts://[::1]:9"),
            ("mqtt://[::1]", "mqtt://[::1]:1883"),
        ] {
            assert_eq!(text.parse::<BrokerUrl>().map(|url| url.to_string()), Ok(shown.into()), "{text}");
        }
        for text in [
            "broker",
            "tcp://broker",
            "mqtt://",
            "mqtt://user:secret@broker",
            "mqtt://broker/path",
            "mqtt://broker:",
            "mqtt://broker:0",
            "mqtt://broker:99999",
            "mqtt://[broker]",
            "mqtt://::1",
        ] {
            assert!(text.parse::<BrokerUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn filters_are_mqtts_and_shared_ones_match_without_their_group() {
        for text in ["a", "#", "+/b", "a//+", "é/#", "$SYS/#", "$share/g/a/#", "Building 1/+"] {
            assert!(text.parse::<TopicFilter>().is_ok(), "{text}");
        }
        for text in
            ["", "a#", "#/a", "a/#/b", "a+/b", "$share/g", "$share/g/", "$share//a", "$share/+/a", "a\0b"]
        {
            assert!(text.parse::<TopicFilter>().is_err(), "{text:?}");
        }
        let matches = |filter: &str, topic: &str| filter.parse::<TopicFilter>().unwrap().matches(topic);
        for (filter, topic) in [
            ("a/#", "a"),
            ("a/#", "a/b/c"),
            ("+/é", "x/é"),
            ("#", "/"),
            ("$SYS/#", "$SYS/a"),
            ("$share/g/a", "a"),
        ] {
            assert!(matches(filter, topic), "{filter} {topic}");
        }
        for (filter, topic) in
            [("a", "a/b"), ("a/b", "a"), ("#", "$SYS/a"), ("+", "a/b"), ("$share/g/a", "b")]
        {
            assert!(!matches(filter, topic), "{filter} {topic}");
        }
    }

    #[test]
    fn client_ids_are_such_as_every_broker_survives() {
        assert!("riser-cellar_1.a".parse::<ClientIdText>().is_ok());
        for text in ["", "a/b", "a+b", "a#", "$a", "é", &"x".repeat(65)] {
            assert!(text.parse::<ClientIdText>().is_err(), "{text:?}");
        }
    }
}
