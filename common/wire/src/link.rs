//! What edge and hub say to each other on the link (`riser.link.v1`): the frames of both directions.
//!
//! The hub speaks first ([`HubFrame::Nonce`]); the edge proves who it is ([`Hello`]); the hub proves who it is
//! and where it stands ([`Welcome`]); then batches go up and confirmations come down. The frames are plain
//! values here. [`message`] turns them into WebSocket messages and back, [`items`] is the block of entries,
//! gaps and skips inside a batch, and [`sign`] is what the two signatures are over.
//!
//! On the same socket the same delivery goes down: the edge says that it takes ([`DownAnswer::Ready`]), the hub greets
//! as an edge does, and batches come down and confirmations go up ([`down`]).
//!
//! Frames are postcard, which is positional: a changed frame is a new variant or a new version, never an edited
//! struct.

use riser_model::{
    AccountId, BootId, ClientId, CursorValue, Epoch, EpochSpan, Gap, HubIdentity, LogId, Route, RouteNumber,
    Seq, Stamp, Wall, time::Anchor,
};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::{fmt, marker::PhantomData, time::Duration};

pub mod down;
pub mod items;
pub mod message;
pub mod sign;
pub mod tree;

pub use bytes::Bytes;
pub use down::{DownAnswer, DownFrame};
pub use items::{Item, Items, ItemsWriter};
pub use message::{BadMessage, Stage, decode_edge, decode_hub, encode_edge, encode_hub};
pub use sign::{Nonce, Signature};
pub use tree::{Branch, BranchLink, NotShown, TREE_MAX, TREE_PART_MAX, TREE_TAILS_MAX, Tree, TreeHeard};

/// The WebSocket sub-protocol.
pub const SUBPROTOCOL: &str = "riser.link.v1";
/// The path of the link's listener.
pub const PATH: &str = "/link";
/// The newest version of frames and framing that this build speaks. A message carries the version that its frame came
/// with, so that who knows only older ones reads all that it ever knew: 1 is the way up, 2 the way down, 3 what lies above, 4
/// how far a log was taken there, 5 what was given up of an account, 6 which edges are below.
pub const VERSION: u8 = 6;
/// The most epochs in one [`Hello`]; an edge with more greets again when these are synced.
pub const CHAIN_MAX: usize = 256;
/// The most refused ranges in one [`HubFrame::Synced`].
pub const REFUSED_MAX: usize = 4096;
/// The most routes, and the most origins, that one link session defines before it forgets them all.
pub const ROUTES_MAX: usize = 16_384;
/// The most links between an edge and the topmost instance above it.
pub const HOPS_MAX: u8 = 8;
/// The most credentials, and the most ids, in one [`GivenUp`].
pub const GIVEN_UP_MAX: usize = 4096;
/// The most instances that are above one.
pub const ABOVE_MAX: usize = 256;
/// No log gets as far as this; a peer that claims so is malformed.
pub const SEQ_MAX: Seq = Seq(1 << 62);
/// An edge that a connected newcomer may be a clone of has this long to answer a ping (rule 7.5).
pub const CLONE_PING: Duration = Duration::from_secs(5);

/// One epoch of the edge's chain, and how its clock relates to a hub's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Opening {
    /// The epoch, its first and its last seq.
    pub span: EpochSpan,
    /// The boot it was opened in and what ties that boot to a hub's clock; none when the log no longer says.
    pub anchor: Option<Anchor>,
}

/// Who the edge is and what it has. Signed: see [`sign`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hello {
    /// The edge, as the hub's configuration knows it.
    pub edge: ClientId,
    /// Its log.
    pub log: LogId,
    /// The epochs that may not be fully synced, oldest first, at most [`CHAIN_MAX`].
    #[serde(deserialize_with = "at_most::<_, _, CHAIN_MAX>")]
    pub chain: Vec<Opening>,
    /// The epoch that the log is open under. The last of `chain`, unless there were too many to name.
    pub live: Epoch,
    /// The newest seq of the log.
    pub last_added: Seq,
    /// The edge's own cursor for this hub and the checksum of the entry there (0: none).
    pub cursor: CursorValue,
    /// The boot that the edge is in.
    pub boot: BootId,
    /// Its clocks at this moment.
    pub clock: Stamp,
    /// Drawn for this connection.
    pub nonce: Nonce,
}

/// What the hub took of one epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Taken {
    /// The epoch.
    pub epoch: Epoch,
    /// How far, and what was heard of.
    pub cursor: CursorValue,
}

/// What the hub will take on this connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Limits {
    /// The largest batch message, bytes before compression.
    pub batch_bytes: u32,
    /// The most entries in a batch.
    pub batch_entries: u32,
    /// The largest entry body, bytes; a larger one becomes a gap `too_large`.
    pub body_bytes: u32,
    /// The most item bytes that may be unconfirmed.
    pub unconfirmed_bytes: u32,
}

/// Who the hub is and where the edge goes on. Signed: see [`sign`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// The hub.
    pub hub: HubIdentity,
    /// The newest epochs of the hub's own chain, oldest first, at most [`CHAIN_MAX`].
    #[serde(deserialize_with = "at_most::<_, _, CHAIN_MAX>")]
    pub chain: Vec<EpochSpan>,
    /// What it took of the epochs in [`Hello::chain`]; unknown ones are left out and start at their first seq.
    #[serde(deserialize_with = "at_most::<_, _, CHAIN_MAX>")]
    pub taken: Vec<Taken>,
    /// What it will take.
    pub limits: Limits,
    /// Its wall clock at this moment.
    pub clock: Wall,
}

/// What a session has not defined yet and the frame with it uses. The numbers are the edge log's own; their
/// meaning ends with the connection, or when a frame says `forget`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Definitions {
    /// Everything that was defined before is void.
    pub forget: bool,
    /// Routes of entries.
    #[serde(deserialize_with = "at_most::<_, _, ROUTES_MAX>")]
    pub routes: Vec<(RouteNumber, Route)>,
    /// Origins of entries that were first appended in a log below the edge's.
    #[serde(deserialize_with = "at_most::<_, _, ROUTES_MAX>")]
    pub origins: Vec<(u32, (LogId, Epoch))>,
}

impl Definitions {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        !self.forget && self.routes.is_empty() && self.origins.is_empty()
    }
}

/// A run of one epoch's items. They lie behind the postcard part of the message, uncopied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Batch {
    /// The epoch of all of them.
    pub epoch: Epoch,
    /// The seq of the first: where the last batch ended, plus one.
    pub first: Seq,
    /// The newest seq of the log, in its live epoch.
    pub last_added: Seq,
    /// Route and origin numbers used here first.
    pub definitions: Definitions,
    /// The items (see [`items`]).
    #[serde(skip)]
    pub items: Bytes,
}

/// From the edge.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum EdgeFrame {
    /// The first frame.
    Hello(Box<Hello>, Signature),
    /// Items in order.
    Batch(Batch),
    /// The newest value per changed channel, beside the backlog; skips lie between them. Never stored, never
    /// confirmed.
    Latest(Batch),
    /// Latest ends: everything up to here was sent.
    CaughtUp {
        /// The epoch.
        epoch: Epoch,
        /// Up to here.
        through: Seq,
    },
    /// Answer with the same number.
    Ping(u64),
    /// The answer.
    Pong(u64),
    /// The edge closes on purpose; nothing follows.
    Bye {
        /// The newest seq of its log.
        last_added: Seq,
    },
    /// Of the way down.
    Down(DownAnswer),
    /// Who is above? Answered by [`HubFrame::Above`], and again whenever that changes.
    Above,
    /// How far was this taken, of the edge's own log or of one below it? Answered by [`HubFrame::Reached`], and again when
    /// somebody above says so.
    Reached {
        /// The log.
        log: LogId,
        /// The epoch.
        epoch: Epoch,
    },
    /// What was given up of this edge's account? Answered by [`HubFrame::GivenUp`], a part of it where that says so; to be
    /// asked again then. What comes later is said without being asked.
    GivenUp,
    /// A part of what is below this edge. Answered by [`HubFrame::Tree`]; nothing more of it is said before.
    Tree(Tree),
}

/// From the hub.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum HubFrame {
    /// The first frame.
    Nonce {
        /// Who the hub claims to be; [`Welcome`] proves it.
        hub: HubIdentity,
        /// Drawn for this connection.
        nonce: Nonce,
    },
    /// The edge is in.
    Welcome(Box<Welcome>, Signature),
    /// Everything of the epoch up to here is on the hub's disk.
    Synced {
        /// The epoch.
        epoch: Epoch,
        /// Up to here: the end of a batch.
        through: Seq,
        /// What of it the hub took as gaps, rising.
        #[serde(deserialize_with = "at_most::<_, _, REFUSED_MAX>")]
        refused: Vec<Gap>,
    },
    /// Why the hub closes now.
    Refused(Refused),
    /// Answer with the same number.
    Ping(u64),
    /// The answer.
    Pong(u64),
    /// Of the way down.
    Down(DownFrame),
    /// What lies above the edge, this instance included.
    Above(Above),
    /// How far the one that says it, or somebody above it, took an epoch of a log; 0 if nothing is known, or is the edge's
    /// to know.
    Reached {
        /// The log.
        log: LogId,
        /// The epoch.
        epoch: Epoch,
        /// Of every seq up to here something is said there.
        through: Seq,
    },
    /// What was given up of the edge's account.
    GivenUp(GivenUp),
    /// What became of what the edge said of those below it.
    Tree(TreeHeard),
}

/// What was given up of an account for ever: it lets nobody in any more, whatever a file declares. A part of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GivenUp {
    /// Of which account.
    pub account: AccountId,
    /// Credentials that were revoked, by their digests.
    #[serde(deserialize_with = "at_most::<_, _, GIVEN_UP_MAX>")]
    pub credentials: Vec<[u8; 32]>,
    /// Users, clients and rooms that were removed, by their UUIDs.
    #[serde(deserialize_with = "at_most::<_, _, GIVEN_UP_MAX>")]
    pub ids: Vec<[u8; 16]>,
    /// There is more, to be asked for; otherwise this is all that there is at the moment.
    pub more: bool,
}

/// The instances above an edge, so that none becomes its own ancestor.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Above {
    /// How many links lead from the one that says it to the topmost.
    pub hops: u8,
    /// Their logs, that of the one that says it among them, rising.
    #[serde(deserialize_with = "at_most::<_, _, ABOVE_MAX>")]
    pub logs: Vec<LogId>,
}

/// Why the hub closes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// The code.
    pub code: RefusedCode,
    /// What was wrong, a lowercase fragment.
    pub what: String,
    /// What would be right.
    pub want: String,
    /// Do not come back before.
    pub after_ms: Option<u32>,
}

/// Why a link is refused. The numbers are part of the format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum RefusedCode {
    /// The bytes are not the protocol, or an entry is not what was taken at intake.
    Malformed,
    /// A frame at the wrong moment.
    WrongState,
    /// Larger or more than allowed.
    TooLarge,
    /// A version that this hub does not speak.
    Version,
    /// Unknown edge, wrong key or wrong signature: they look the same.
    NotAuthorised,
    /// A batch that does not start where the last ended.
    OutOfOrder,
    /// A machine with this edge's identity and another epoch is connected and alive.
    Clone,
    /// A newer connection of the same machine took over.
    Replaced,
    /// The entry at the cursor is not the one that the hub took: the edge must open a new epoch.
    Forked,
    /// The hub's log cannot commit.
    LogFailing,
    /// The hub goes down on purpose.
    ShuttingDown,
    /// A deadline passed.
    Timeout,
    /// More connections than the hub takes.
    TooMany,
    /// The edge is above this instance, or the same.
    Loop,
}

impl RefusedCode {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::Malformed,
        Self::WrongState,
        Self::TooLarge,
        Self::Version,
        Self::NotAuthorised,
        Self::OutOfOrder,
        Self::Clone,
        Self::Replaced,
        Self::Forked,
        Self::LogFailing,
        Self::ShuttingDown,
        Self::Timeout,
        Self::TooMany,
        Self::Loop,
    ];

    /// Its name in logs, metrics and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::WrongState => "wrong_state",
            Self::TooLarge => "too_large",
            Self::Version => "version",
            Self::NotAuthorised => "not_authorised",
            Self::OutOfOrder => "out_of_order",
            Self::Clone => "clone",
            Self::Replaced => "replaced",
            Self::Forked => "forked",
            Self::LogFailing => "log_failing",
            Self::ShuttingDown => "shutting_down",
            Self::Timeout => "timeout",
            Self::TooMany => "too_many",
            Self::Loop => "loop",
        }
    }

    /// The WebSocket close code that follows the frame, in the two bands of [`crate::close`].
    pub fn close_code(self) -> u16 {
        match self {
            Self::ShuttingDown => 4000,
            Self::Timeout => 4001,
            Self::LogFailing => 4003,
            Self::TooMany => 4005,
            Self::Malformed => 4100,
            Self::WrongState => 4101,
            Self::NotAuthorised => 4103,
            Self::TooLarge => 4105,
            Self::Replaced => 4107,
            Self::OutOfOrder => 4120,
            Self::Version => 4121,
            Self::Clone => 4122,
            Self::Forked => 4123,
            Self::Loop => 4124,
        }
    }
}

/// Reads a list without believing its length: it grows as elements come, and no further than `N`.
pub(crate) fn at_most<'de, D, T, const N: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct List<T, const N: usize>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>, const N: usize> de::Visitor<'de> for List<T, N> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {N} elements")
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(element) = seq.next_element()? {
                if list.len() == N {
                    return Err(de::Error::invalid_length(N + 1, &self));
                }
                list.push(element);
            }
            Ok(list)
        }
    }

    deserializer.deserialize_seq(List::<T, N>(PhantomData))
}

#[cfg(test)]
mod tests;
