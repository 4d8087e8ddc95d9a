//! Names of accounts, rooms and channels, and filters over channels. Parsed once, valid ever after.

use crate::id::ClientId;
use serde::{Deserialize, Serialize, de};
use std::{fmt, str::FromStr, sync::Arc};
use uuid::Uuid;

/// Why a text is not a name. Says what would be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAName {
    /// Account and room names: 1-64 of `[a-z0-9-]`.
    #[error("parse name: want 1 to 64 characters of a-z, 0-9 and -")]
    Name,
    /// Channels: 1-255 bytes of UTF-8, 1-16 levels (an empty one is a level, as in MQTT), no control
    /// characters, no `+` or `#`, no level `..`, no leading `$`.
    #[error(
        "parse channel: want 1 to 255 bytes, at most 16 levels, no control characters, +, #, .. or leading $"
    )]
    Channel,
    /// Filters: a channel in which a whole level may be `+`, and the last level `#`.
    #[error("parse filter: want a channel in which a whole level may be + and the last level may be #")]
    Filter,
}

impl RoomName {
    /// The room whose channels are those of an account's lobby.
    pub fn lobby() -> Self {
        Self(crate::room::LOBBY.into())
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $parse:ident, $why:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NotAName;

            fn from_str(text: &str) -> Result<Self, NotAName> {
                if $parse(text) { Ok(Self(text.into())) } else { Err($why) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}

name!(
    /// The name of an account or of a user: 1-64 of `[a-z0-9-]`.
    AccountName, is_name, NotAName::Name
);
name!(
    /// The name of a room within its account: 1-64 of `[a-z0-9-]`. It may change; the room's id may not.
    RoomName, is_name, NotAName::Name
);
name!(
    /// A channel within a room: `/`-separated levels.
    ChannelName, is_channel, NotAName::Channel
);
name!(
    /// A filter over the channels of a room, in MQTT's grammar (`+` one level, a final `#` the rest).
    Filter, is_filter, NotAName::Filter
);

/// The longest channel, in bytes.
pub const CHANNEL_BYTES_MAX: usize = 255;
/// The most levels of a channel.
pub const CHANNEL_LEVELS_MAX: usize = 16;

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_path(text: &str, level: impl Fn(&str) -> bool) -> bool {
    (1..=CHANNEL_BYTES_MAX).contains(&text.len())
        && text.split('/').count() <= CHANNEL_LEVELS_MAX
        && text.split('/').all(level)
        && !text.chars().any(char::is_control)
}

fn is_channel(text: &str) -> bool {
    is_path(text, |level| !level.contains(['+', '#']) && level != "..") && !text.starts_with('$')
}

fn is_filter(text: &str) -> bool {
    let body = text.strip_suffix("/#").unwrap_or(if text == "#" { "+" } else { text });
    is_path(text, |_| true) && body.split('/').all(|level| level == "+" || !level.contains(['+', '#']))
}

impl ChannelName {
    /// The client that it is the address of: its first level is that client's UUID, in lower case and with hyphens.
    pub fn addressee(&self) -> Option<ClientId> {
        const UUID_BYTES: usize = 36;
        let first = self.0.get(..UUID_BYTES)?;
        let ends = matches!(self.0.as_bytes().get(UUID_BYTES), None | Some(b'/'));
        let id = if ends { Uuid::try_parse(first).ok()? } else { return None };
        let mut text = [0; UUID_BYTES];
        (id.as_hyphenated().encode_lower(&mut text) == first).then_some(ClientId(id))
    }
}

impl Filter {
    /// Whether its first level is no wildcard.
    pub fn names_first(&self) -> bool {
        !self.0.starts_with(['+', '#'])
    }

    /// The filter that matches every channel of a room.
    pub fn all() -> Self {
        Self("#".into())
    }

    /// Whether a channel is meant, as MQTT 5 section 4.7 has it: `a/#` meets `a` too.
    pub fn matches(&self, channel: &ChannelName) -> bool {
        let mut levels = channel.as_str().split('/');
        for wanted in self.0.split('/') {
            match (wanted, levels.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (wanted, Some(level)) if wanted == level => {}
                _ => return false,
            }
        }
        levels.next().is_none()
    }

    /// Whether it meets one channel only, and then which.
    pub fn exact(&self) -> Option<ChannelName> {
        self.0.parse().ok()
    }
}

impl From<ChannelName> for Filter {
    fn from(channel: ChannelName) -> Self {
        Self(channel.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(filter: &str, channel: &str) -> bool {
        filter.parse::<Filter>().unwrap().matches(&channel.parse().unwrap())
    }

    #[test]
    fn filters_match_as_mqtt_says() {
        for (filter, channel) in [
            ("a/b", "a/b"),
            ("a/+", "a/é"),
            ("+/+", "a/b"),
            ("#", "a/b"),
            ("/#", "/b"),
            ("a/#", "a"),
            ("a/#", "a/b/c"),
            ("+/b", "/b"),
            ("a//+", "a//b"),
        ] {
            assert!(matches(filter, channel), "{filter} {channel}");
        }
        for (filter, channel) in
            [("a/b", "a"), ("a", "a/b"), ("+", "a/b"), ("a/#", "ab"), ("a/b", "a//b"), ("/#", "a")]
        {
            assert!(!matches(filter, channel), "{filter} {channel}");
        }
    }

    #[test]
    fn bad_names_are_refused() {
        for text in ["", "$a", "a+", "a/#", "a\0b", "a\nb", "a/../b", &"x".repeat(256), &"a/".repeat(16)] {
            assert!(text.parse::<ChannelName>().is_err(), "{text:?}");
        }
        for text in ["", "a#", "#/a", "a/#/b", "a+/b"] {
            assert!(text.parse::<Filter>().is_err(), "{text:?}");
        }
        for text in ["", "A", "a b", "a_b", "é", &"x".repeat(65)] {
            assert!(text.parse::<RoomName>().is_err(), "{text:?}");
        }
    }
}
