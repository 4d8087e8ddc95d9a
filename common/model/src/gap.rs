//! What is gone, in place, and why (rule 6.2, promise 3).

use crate::id::Seq;
use serde::{Deserialize, Serialize};

/// Why seqs are gone. A closed list; the numbers are part of the formats and never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The edge's ring dropped it before the hub had it (`drop_oldest`).
    Quota,
    /// A block that could not be read, with valid ones after it.
    Damage,
    /// A torn end that is proven to have been acknowledged.
    TailCut,
    /// Heard of by the hub, no longer in the edge's chain: a lower bound.
    EdgeLost,
    /// The hub lost it and the edge no longer has it.
    ReceiverRewound,
    /// The hub could not place it and the account's quarantine was full.
    Refused,
    /// Larger than the link carries.
    TooLarge,
    /// A hole from a tier below.
    RelayLost,
    /// For readers: the room was trimmed by its quota.
    HubQuota,
    /// For readers: below the room's floor.
    Retention,
}

impl Cause {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Quota,
        Self::Damage,
        Self::TailCut,
        Self::EdgeLost,
        Self::ReceiverRewound,
        Self::Refused,
        Self::TooLarge,
        Self::RelayLost,
        Self::HubQuota,
        Self::Retention,
    ];

    /// Its number in stored and sent formats.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The cause with that number, if there is one.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its name in events, metrics and replies.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quota => "quota",
            Self::Damage => "damage",
            Self::TailCut => "tail_cut",
            Self::EdgeLost => "edge_lost",
            Self::ReceiverRewound => "receiver_rewound",
            Self::Refused => "refused",
            Self::TooLarge => "too_large",
            Self::RelayLost => "relay_lost",
            Self::HubQuota => "hub_quota",
            Self::Retention => "retention",
        }
    }
}

/// Seqs that are gone: both ends inclusive, `from <= to`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Gap {
    /// The first seq that is gone.
    pub from: Seq,
    /// The last seq that is gone.
    pub to: Seq,
    /// Why.
    pub cause: Cause,
}

impl Gap {
    /// How many seqs are gone.
    pub fn count(&self) -> u64 {
        self.to.0.saturating_sub(self.from.0).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cause_numbers_are_stable() {
        for (number, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(cause.number()), number);
            assert_eq!(Cause::from_number(cause.number()), Some(cause));
        }
        assert_eq!(Cause::from_number(10), None);
    }
}
