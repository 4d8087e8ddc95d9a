//! Identifiers, one type each, so that no id is ever taken for another.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_id!(
    /// A tenant that owns rooms, clients and quotas.
    AccountId
);
uuid_id!(
    /// The unit of membership, configuration, history and statistics. Its name may change, this may not.
    RoomId
);
uuid_id!(
    /// A lasting participant: a device, a person's browser, an edge. Not an MQTT client id.
    ClientId
);

/// A connection with session history, for those who are shown what it published: never that of another one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId {
    /// The epoch in which the instance took it.
    pub epoch: Epoch,
    /// Which.
    pub connection: ConnectionId,
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", self.epoch.0, self.connection.0)
    }
}

impl RoomId {
    /// The id of a room that does not set one: UUIDv5 of the account and the room's first name.
    pub fn of(account: AccountId, name: &str) -> Self {
        Self(Uuid::new_v5(&account.0, name.as_bytes()))
    }
}

impl AccountId {
    /// Nobody's: what concerns the whole instance.
    pub const NONE: Self = Self(Uuid::nil());
}

impl ClientId {
    /// The source of entries that no participant published: the instance itself.
    pub const SYSTEM: Self = Self(Uuid::nil());
}

number_id!(
    /// One transport socket of one process, from accept to close; never reused within the process.
    ConnectionId
);
number_id!(
    /// One durable log: drawn at random when its folder is first made.
    LogId
);
number_id!(
    /// One writable opening of a log: drawn at random (rule 6.1).
    Epoch
);
number_id!(
    /// The ordinal of an item in a log. Dense, starts at 1, goes on across epochs.
    Seq
);
number_id!(
    /// One boot of one machine: monotonic times compare only within it.
    BootId
);

impl Seq {
    /// Before the first entry of any log.
    pub const ZERO: Self = Self(0);

    /// The seq after this one. A log that appends a million entries a second lasts 500,000 years.
    #[must_use]
    pub fn next(self) -> Self {
        self.plus(1)
    }

    /// The seq `n` places after this one.
    #[must_use]
    pub fn plus(self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    /// The seq before this one; `ZERO` stays.
    #[must_use]
    pub fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// A subscription's number within its connection; the door chooses it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubscriptionId(pub u32);

impl SubscriptionId {
    /// Of what a door reads without having been asked: it takes no place among its client's.
    pub const UNASKED: Self = Self(u32::MAX);
}
