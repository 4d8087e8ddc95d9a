//! What an edge says of the edges below it, so that whoever is above shows them by name.
//!
//! An edge is told once on each connection, and again when anything but its numbers changed; from then on its number
//! stands for it. Whoever is above answers each frame ([`TreeHeard`]), and nothing more is said before: so one that cannot
//! keep up is told less often, and one that is too old for it is known by its silence.

use super::{HOPS_MAX, at_most};
use riser_model::{AccountId, AccountName, ClientId, Epoch, LogId, Seq};
use serde::{Deserialize, Serialize};

/// The most edges in one [`Tree`].
pub const TREE_PART_MAX: usize = 64;
/// The most numbers in one [`Tree`].
pub const TREE_TAILS_MAX: usize = 1024;
/// The most edges below one edge that whoever is above it shows.
pub const TREE_MAX: usize = 1024;

/// A part of what is below an edge.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Tree {
    /// Edges that were not told on this connection, or changed.
    #[serde(deserialize_with = "at_most::<_, _, TREE_PART_MAX>")]
    pub edges: Vec<Branch>,
    /// How far the logs of told ones go by now, by their numbers.
    #[serde(deserialize_with = "at_most::<_, _, TREE_TAILS_MAX>")]
    pub tails: Vec<(u32, Seq)>,
    /// Told ones that are below no more, by their numbers.
    #[serde(deserialize_with = "at_most::<_, _, TREE_TAILS_MAX>")]
    pub gone: Vec<u32>,
    /// All that are below were told on this connection. Who was told on an earlier one and not on this is below no more.
    pub whole: bool,
}

/// An edge below.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Branch {
    /// What stands for it on this connection.
    pub number: u32,
    /// The edge, as the one above it knows it.
    pub edge: ClientId,
    /// Whose it is.
    pub account: AccountId,
    /// Its name there.
    pub name: AccountName,
    /// The edges between: from the one below who says it, down to the one that has it below itself. None where that is who
    /// says it.
    #[serde(deserialize_with = "at_most::<_, _, { HOPS_MAX as usize }>")]
    pub path: Vec<ClientId>,
    /// The log and the epoch that it showed last; none if it never came.
    pub log: Option<(LogId, Epoch)>,
    /// What its own link does.
    pub link: BranchLink,
    /// For so long, milliseconds.
    pub for_ms: u64,
    /// How far its log goes, as far as the one above it heard.
    pub tail: Seq,
}

/// What the link of an edge below does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum BranchLink {
    /// Welcomed by the edge above it.
    Up,
    /// Not there.
    Down,
    /// An edge between is cut off: nobody can say.
    Unknown,
}

/// What became of a [`Tree`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TreeHeard {
    /// How many edges below the one that said it are shown.
    pub shown: u32,
    /// How many of that frame are not.
    pub refused: u32,
    /// Why the first of them is not.
    pub why: Option<NotShown>,
}

/// Why an edge below is not shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum NotShown {
    /// Who says it may not bring what is below it.
    NoRelay,
    /// It is another account's.
    OtherAccount,
    /// Its log is another account's, or lies here or above.
    OtherLog,
    /// More than [`HOPS_MAX`] links would lead to it.
    TooDeep,
    /// More than [`TREE_MAX`].
    TooMany,
}

impl NotShown {
    /// Its name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoRelay => "no_relay",
            Self::OtherAccount => "other_account",
            Self::OtherLog => "other_log",
            Self::TooDeep => "too_deep",
            Self::TooMany => "too_many",
        }
    }

    /// What would be right.
    pub fn want(self) -> &'static str {
        match self {
            Self::NoRelay => "relays = true for this edge where it is declared above",
            Self::OtherAccount => "edges of one account below an edge of that account",
            Self::OtherLog => "a log that no other account's edge has shown, and no loop",
            Self::TooDeep => "at most 8 links from an edge to the topmost hub",
            Self::TooMany => "at most 1024 edges below one edge: link some of them elsewhere",
        }
    }
}
