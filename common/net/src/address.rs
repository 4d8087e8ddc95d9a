//! The URL scheme, in one place: what a path names, and what is wrong with one that names nothing.
//!
//! `/` is the front door, `/user/{name}` a user's lobby, `/user/{name}/{channel...}` a channel in it, for visitors too, `/{account}/{room}` a room,
//! `/{account}/{room}/{channel...}` a channel in it, `/{account}/{room}/{client-uuid}/` a client's address in it, and
//! `/{account}/{room}/{client-uuid}/{channel...}` a channel there. A few first segments are reserved and can be no account's name here.

use riser_model::{AccountName, ChannelName, ClientId, RoomName};
use std::fmt;

/// The longest path.
pub const PATH_BYTES_MAX: usize = 2048;

/// What a path names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// The front door: the page, or the main lobby.
    Lobby,
    /// A user's lobby.
    User(AccountName),
    /// A room.
    Room {
        /// The account's name or UUID.
        account: AccountName,
        /// The room.
        room: RoomName,
    },
    /// A channel in a room.
    Channel {
        /// The account's name or UUID.
        account: AccountName,
        /// The room.
        room: RoomName,
        /// The channel.
        channel: ChannelName,
    },
    /// A client's address in a room.
    Client {
        /// The account's name or UUID.
        account: AccountName,
        /// The room.
        room: RoomName,
        /// Whose.
        client: ClientId,
        /// The channel; none is the address itself.
        channel: Option<ChannelName>,
    },
    /// Something of the instance's own; the rest of the path is its business.
    Reserved(Reserved),
}

/// First segments that are no accounts. Kept here so that a proxy can put every listener behind one name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reserved {
    /// MQTT over WebSocket.
    Mqtt,
    /// Edges; it has its own listener.
    Link,
    /// Long polling.
    Poll,
    /// Operations' numbers; they have their own listener.
    Metrics,
    /// Whether the process runs.
    Livez,
    /// Whether it can work.
    Readyz,
    /// Administration; it has its own listener.
    Admin,
    /// Files of the page.
    Assets,
    /// What the page asks.
    Api,
    /// What only the demo has.
    Demo,
}

impl Reserved {
    fn of(segment: &str) -> Option<Self> {
        Some(match segment {
            "mqtt" => Self::Mqtt,
            "link" => Self::Link,
            "poll" => Self::Poll,
            "metrics" => Self::Metrics,
            "livez" => Self::Livez,
            "readyz" => Self::Readyz,
            "admin" => Self::Admin,
            "assets" => Self::Assets,
            "api" => Self::Api,
            "demo" => Self::Demo,
            _ => return None,
        })
    }
}

/// Why a path names nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{what}; want {want}")]
pub struct BadAddress {
    /// The HTTP status: 400, 404 or 414.
    pub status: u16,
    /// What is wrong, without repeating what the peer sent.
    pub what: &'static str,
    /// What would be right.
    pub want: &'static str,
}

const SCHEME: &str = "/, /user/{name}, /{account}/{room} or /{account}/{room}/{channel}";

impl Address {
    /// What the path of a WebSocket names: the part of a URL between authority and query, as it came. A proxy that lets through
    /// or keeps out by path has to decode it first, as this does.
    pub fn parse(path: &str) -> Result<Self, BadAddress> {
        if path.len() > PATH_BYTES_MAX {
            return Err(bad(414, "the path is too long", "at most 2048 bytes"));
        }
        let Some(rest) = path.strip_prefix('/') else {
            return Err(bad(400, "the path does not begin with /", SCHEME));
        };
        let (first, rest) = rest.split_once('/').map_or((rest, None), |(first, rest)| (first, Some(rest)));
        // A letter that is written with a percent sign is that letter (RFC 3986 section 6.2.2.2), to proxies too.
        let first = decode(first)?;
        if let Some(reserved) = Reserved::of(&first) {
            return Ok(Self::Reserved(reserved));
        }
        match (first.as_str(), rest) {
            ("", None) => Ok(Self::Lobby),
            ("", Some(_)) => Err(bad(404, "the first segment is empty", SCHEME)),
            ("user", Some(rest)) => in_lobby(rest),
            ("user", None) => Err(bad(404, "the user's name is missing", "/user/{name}")),
            (_, None) => Err(bad(404, "an account alone is no address", "/{account}/{room}")),
            (first, Some(rest)) => in_account(account(first)?, rest),
        }
    }
}

/// What lies below a user's lobby is a channel of it. It is one of the account's room `lobby`, and so there is none where an
/// account of that name could have no room's address.
fn in_lobby(rest: &str) -> Result<Address, BadAddress> {
    let (name, below) = rest.split_once('/').map_or((rest, ""), |(name, below)| (name, below));
    let name = decode(name)?;
    let account = account(&name)?;
    match below {
        "" => Ok(Address::User(account)),
        _ if name == "user" || Reserved::of(&name).is_some() => {
            Err(bad(404, "this name is reserved and no account's", SCHEME))
        }
        below => in_room(account, RoomName::lobby(), below),
    }
}

fn in_account(account: AccountName, rest: &str) -> Result<Address, BadAddress> {
    let (room, rest) = rest.split_once('/').map_or((rest, None), |(room, rest)| (room, Some(rest)));
    let room: RoomName = decode(room)?
        .parse()
        .map_err(|_| bad(400, "this is no room's name", "1 to 64 characters of a-z, 0-9 and -"))?;
    match rest {
        Some(rest) => in_room(account, room, rest),
        None => Ok(Address::Room { account, room }),
    }
}

fn in_room(account: AccountName, room: RoomName, rest: &str) -> Result<Address, BadAddress> {
    let (third, below) = rest.split_once('/').map_or((rest, None), |(third, below)| (third, Some(below)));
    match (client(&decode(third)?), below) {
        (Some(client), None | Some("")) => Ok(Address::Client { account, room, client, channel: None }),
        (Some(client), Some(below)) => {
            Ok(Address::Client { account, room, client, channel: Some(channel(below)?) })
        }
        (None, _) => Ok(Address::Channel { account, room, channel: channel(rest)? }),
    }
}

fn account(segment: &str) -> Result<AccountName, BadAddress> {
    segment
        .parse()
        .map_err(|_| bad(400, "this is no account's or user's name", "1 to 64 characters of a-z, 0-9 and -"))
}

/// A client's UUID in its usual form. Others that a UUID may have are channels.
fn client(segment: &str) -> Option<ClientId> {
    let hyphenated = segment.len() == 36;
    hyphenated.then(|| uuid::Uuid::try_parse(segment).ok().map(ClientId)).flatten()
}

fn channel(path: &str) -> Result<ChannelName, BadAddress> {
    if path.is_empty() || path.ends_with('/') {
        return Err(bad(404, "the channel's last level is empty", "an address without a / at its end"));
    }
    let levels = path.split('/').map(decode).collect::<Result<Vec<_>, _>>()?;
    levels.join("/").parse().map_err(|_| {
        bad(
            400,
            "this is no channel",
            "1 to 255 bytes, at most 16 levels, no control characters, +, #, .. or leading $",
        )
    })
}

/// One segment without its percent signs. An encoded `/` is refused: two spellings of one path would be two
/// ways past a rule that looks at paths.
fn decode(segment: &str) -> Result<String, BadAddress> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(bad(400, "a percent sign without two hexadecimal digits", "%25 for a percent sign"));
        };
        match u8::try_from(high * 16 + low) {
            Ok(b'/') => return Err(bad(400, "an encoded /", "levels separated by a plain /")),
            Ok(byte) => bytes.push(byte),
            Err(_) => unreachable!("two hexadecimal digits are at most 255"),
        }
    }
    String::from_utf8(bytes).map_err(|_| bad(400, "the path is not UTF-8", "UTF-8, percent-encoded"))
}

fn bad(status: u16, what: &'static str, want: &'static str) -> BadAddress {
    BadAddress { status, what, want }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lobby => f.write_str("/"),
            Self::User(name) => write!(f, "/user/{name}"),
            Self::Room { account, room } => write!(f, "/{account}/{room}"),
            Self::Channel { account, room, channel } => write!(f, "/{account}/{room}/{channel}"),
            Self::Client { account, room, client, channel } => {
                let channel = channel.as_ref().map_or("", ChannelName::as_str);
                write!(f, "/{account}/{room}/{client}/{channel}")
            }
            Self::Reserved(reserved) => write!(f, "{reserved:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(path: &str) -> String {
        match Address::parse(path) {
            Ok(address) => address.to_string(),
            Err(bad) => format!("{} {}", bad.status, bad.what),
        }
    }

    #[test]
    fn paths_name_what_the_scheme_says() {
        for path in [
            "/",
            "/user/ann",
            "/acme/plant",
            "/acme/plant/line-1/temp",
            "/acme/plant/a//b",
            "/6f2c8a52-5e2b-4c07-9a5c-3b8f9f0f9a11/plant",
            "/acme/plant/6f2c8a52-5e2b-4c07-9a5c-3b8f9f0f9a11/status/now",
            "/acme/plant/6f2c8a52-5e2b-4c07-9a5c-3b8f9f0f9a11/",
        ] {
            assert_eq!(parsed(path), path);
        }
        assert_eq!(parsed("/user/ann/"), "/user/ann");
        assert_eq!(parsed("/user/ann/news/today"), "/ann/lobby/news/today", "a channel of that lobby");
        assert_eq!(parsed("/acme/plant/caf%C3%A9/a%20b"), "/acme/plant/café/a b");
        assert!(matches!(Address::parse("/acme/plant/x"), Ok(Address::Channel { .. })));
        let client = "/acme/plant/6f2c8a52-5e2b-4c07-9a5c-3b8f9f0f9a11/x";
        assert!(matches!(Address::parse(client), Ok(Address::Client { .. })));
        assert_eq!(Address::parse("/mqtt"), Ok(Address::Reserved(Reserved::Mqtt)));
        assert_eq!(Address::parse("/assets/page.js"), Ok(Address::Reserved(Reserved::Assets)));
    }

    #[test]
    fn a_lobby_of_a_reserved_name_has_no_channels() {
        for name in ["api", "user", "%61pi"] {
            assert_eq!(Address::parse(&format!("/user/{name}/status")).unwrap_err().status, 404, "{name}");
        }
        assert!(matches!(Address::parse("/user/api"), Ok(Address::User(_))));
        let client = "7d8f1d4e-54ad-4f0c-a0f9-0d1f9f6b2a10";
        for rest in ["a/b".to_owned(), client.to_owned(), format!("{client}/a")] {
            let [own, of_the_room] = ["/user/ann", "/ann/lobby"].map(|place| format!("{place}/{rest}"));
            assert_eq!(Address::parse(&own), Address::parse(&of_the_room), "{own}");
        }
    }

    #[test]
    fn every_reserved_segment_is_no_account() {
        for segment in "mqtt link poll metrics livez readyz admin assets api demo".split(' ') {
            let path = format!("/{segment}/room");
            assert!(matches!(Address::parse(&path), Ok(Address::Reserved(_))), "{path}");
        }
        assert!(matches!(Address::parse("/user/room"), Ok(Address::User(_))));
    }

    #[test]
    fn letter_with_a_percent_sign_is_that_letter_in_every_segment() {
        for (path, plain) in [
            ("/%6Dqtt", "/mqtt"),
            ("/%61pi/status", "/api/status"),
            ("/%75ser/%61nn", "/user/ann"),
            ("/%61cme/pl%61nt/%78", "/acme/plant/x"),
            (
                "/acme/plant/6f2c8a52%2D5e2b%2d4c07-9a5c-3b8f9f0f9a11/x",
                "/acme/plant/6f2c8a52-5e2b-4c07-9a5c-3b8f9f0f9a11/x",
            ),
        ] {
            assert_eq!(Address::parse(path), Address::parse(plain), "{path}");
        }
        assert!(Address::parse("/%2561cme/plant").is_err(), "once is enough");
    }

    #[test]
    fn bad_paths_say_what_is_wrong() {
        for (path, status) in [
            ("", 400),
            ("acme/plant", 400),
            ("//plant", 404),
            ("/acme", 404),
            ("/user", 404),
            ("/user/", 400),
            ("/user/a/..", 400),
            ("/user/a//", 404),
            ("/acme/", 400),
            ("/Acme/plant", 400),
            ("/acme/Plant", 400),
            ("/acme/plant/", 404),
            ("/acme/plant/x/", 404),
            ("/acme/plant/..", 400),
            ("/acme/plant/%2e%2e/x", 400),
            ("/acme/plant/a%2fb", 400),
            ("/acme/plant/%00", 400),
            ("/acme/plant/%0a", 400),
            ("/acme/plant/+", 400),
            ("/acme/plant/a%23", 400),
            ("/acme/plant/$riser", 400),
            ("/acme/plant/%zz", 400),
            ("/acme/plant/%4", 400),
            ("/acme/plant/%", 400),
            ("/acme/plant/%ff", 400),
            ("/acme/%70lant%2f", 400),
            ("/acme/plant/6f2c8a52-5e2b-4c07-9a5c-3b8f9f0f9a11//", 404),
        ] {
            let bad = Address::parse(path).expect_err(path);
            assert_eq!(bad.status, status, "{path}: {bad}");
            assert!(!bad.want.is_empty());
        }
        assert_eq!(Address::parse(&format!("/a/b/{}", "x".repeat(3000))).unwrap_err().status, 414);
        assert_eq!(Address::parse(&format!("/a/b/{}", "x/".repeat(16))).unwrap_err().status, 404);
        assert_eq!(Address::parse(&format!("/a/b/{}x", "x/".repeat(16))).unwrap_err().status, 400);
    }
}
