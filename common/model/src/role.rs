//! Roles, and whom a role or a grant is for.

use crate::{
    name::{AccountName, NotAName},
    principal::Right,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// What somebody may do by one word: in every room of its account, or in one room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Publish, subscribe and admin, and to say who else is owner.
    Owner,
    /// What an owner may, but for what makes or unmakes one, and rooms that are removed.
    Admin,
    /// Publish and subscribe.
    Member,
    /// Subscribe.
    Reader,
    /// What a reader may, under the word for who only looks on.
    Observer,
    /// Publish: what a sensor or an edge without downlink needs.
    Writer,
    /// Publish, and subscribe to what is addressed to it: it hears its orders, and nothing of what others say.
    Device,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Owner, Self::Admin, Self::Member, Self::Reader, Self::Observer, Self::Writer, Self::Device];

    /// The rights it stands for.
    pub fn rights(self) -> &'static [Right] {
        match self {
            Self::Owner => &[Right::Publish, Right::Subscribe, Right::Admin, Right::Own],
            Self::Admin => &[Right::Publish, Right::Subscribe, Right::Admin],
            Self::Member => &[Right::Publish, Right::Subscribe],
            Self::Reader | Self::Observer => &[Right::Subscribe],
            Self::Writer | Self::Device => &[Right::Publish],
        }
    }

    /// Whether it reads what is addressed to it, and that alone.
    pub fn hears_orders(self) -> bool {
        self == Self::Device
    }

    /// The one that this word stands for.
    pub fn of(word: &str) -> Option<Self> {
        Some(match word {
            "owner" => Self::Owner,
            "admin" => Self::Admin,
            "member" => Self::Member,
            "reader" => Self::Reader,
            "observer" => Self::Observer,
            "writer" => Self::Writer,
            "device" => Self::Device,
            _ => return None,
        })
    }

    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Reader => "reader",
            Self::Observer => "observer",
            Self::Writer => "writer",
            Self::Device => "device",
        }
    }
}

/// Whom a grant or a role is for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Whom {
    /// Each user and client of the account: `*`.
    Everyone,
    /// Those who are in a group: `@` and its name.
    Group(AccountName),
    /// One of them.
    Named(AccountName),
    /// Whoever is of another account and visits the lobby of this one: `*/*`. Of that room alone.
    Visitors,
}

const VISITORS: &str = "*/*";

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("*"),
            Self::Group(name) => write!(f, "@{name}"),
            Self::Named(name) => write!(f, "{name}"),
            Self::Visitors => f.write_str(VISITORS),
        }
    }
}

impl FromStr for Whom {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.strip_prefix('@')) {
            ("*", _) => Ok(Self::Everyone),
            (VISITORS, _) => Ok(Self::Visitors),
            (_, Some(group)) => group.parse().map(Self::Group),
            (name, None) => name.parse().map(Self::Named),
        }
    }
}

impl Serialize for Whom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Whom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_configurations() {
        for role in Role::ALL {
            assert_eq!(Role::of(role.name()), Some(role));
        }
        let differs = |one: Role, other: Role| one.rights() != other.rights();
        assert!(differs(Role::Owner, Role::Admin) && !Role::Admin.rights().contains(&Right::Own));
        assert!(!Role::Observer.rights().contains(&Right::Publish));
        assert_eq!(Role::of("king"), None);
        for whom in ["*", "@ops", "ann", "*/*"] {
            assert_eq!(whom.parse::<Whom>().unwrap().to_string(), whom);
        }
        assert!("@".parse::<Whom>().is_err() && "@*".parse::<Whom>().is_err());
    }
}
