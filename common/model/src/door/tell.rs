//! What the bus tells a door.

use super::{Finished, Prompt, Push, Refusal, SessionState};
use crate::{
    gap::Gap,
    id::{ConnectionId, Epoch, LogId, Seq, SubscriptionId},
    look::Seen,
    name::{AccountName, RoomName},
    position::Position,
    principal::Principal,
    room::RoomKind,
};
use std::sync::Arc;

/// How much of what a resume asked for is still there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completeness {
    /// All of it.
    Full,
    /// Some; the gaps say what is missing.
    Partial,
    /// Nothing was asked for, or the room keeps no history.
    None,
}

/// The answer to a subscribe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscribed {
    /// What is missing of what was asked for.
    pub completeness: Completeness,
    /// Reader gaps between the asked position and the first delivery.
    pub gaps: Vec<Gap>,
    /// The subscription's position: the first push's `prev`.
    pub at: Position,
    /// Where the past that was asked for is not kept whole: up to here something of it is gone, by retention or because
    /// the log let it go. None where nothing is, and for who did not ask for the past or goes on from a position.
    pub floor: Option<Position>,
    /// Where what was published before some time is passed over: up to here. Whoever goes on from a position says both again
    /// ([`From::Onward`](super::From::Onward)).
    pub until: Option<Position>,
}

/// A room as a lobby shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomInfo {
    /// Its name.
    pub name: RoomName,
    /// Whether it has a gate of its own.
    pub gated: bool,
    /// How many connections are in it here.
    pub members: u32,
    /// What it is for.
    pub kind: RoomKind,
    /// Who is missing of those without whom it is not ready; none for a room that waits for nobody.
    pub absent: Option<Vec<AccountName>>,
}

/// What the bus tells a door.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tell {
    /// It is in. Said to a session that was there before only when nothing of its former connection waits
    /// for a commit any more: otherwise what that commit holds would be taken twice (QoS 2).
    Entered {
        /// As whom.
        principal: Arc<Principal>,
        /// The connection's id.
        connection: ConnectionId,
        /// Its MQTT session, if it asked for one.
        session: SessionState,
        /// The room in its address, as it is called by now: it may have got another name while this stood at its gate.
        room: Option<RoomName>,
    },
    /// It is not let in, or no longer: say so and close.
    Refused(Refusal),
    /// An acceptor of the gate speaks to the peer, which answers with [`Ask::Answer`](super::Ask::Answer) where
    /// something was asked.
    Prompt(Prompt),
    /// The answer to [`Ask::Renew`](super::Ask::Renew): what it has proven by that holds, and what it had proven before does not.
    Renewed {
        /// The same one as before, with the rights that it has by now.
        principal: Arc<Principal>,
    },
    /// The answer to [`Ask::Move`](super::Ask::Move).
    Moved {
        /// Where to.
        room: RoomName,
        /// Whether its gate let the connection pass. If not, it stays where it is.
        result: Result<(), Refusal>,
    },
    /// The answer to [`Ask::Rooms`](super::Ask::Rooms): those of the account in which the principal may do anything, by
    /// name.
    Rooms(Vec<RoomInfo>),
    /// The answer to [`Ask::Decide`](super::Ask::Decide).
    Decided {
        /// Which one knocked.
        connection: ConnectionId,
        /// Whether it was there, and this one's to decide.
        result: Result<(), Refusal>,
    },
    /// The answer to [`Ask::Run`](super::Ask::Run).
    Finished(Result<Finished, Refusal>),
    /// The batch with this ticket is on disk, except the entries refused. Tickets come in order.
    Stored {
        /// Which batch.
        ticket: u64,
        /// The log.
        log: LogId,
        /// Its epoch.
        epoch: Epoch,
        /// The seq of the batch's first stored entry; the others follow without a hole.
        first: Seq,
        /// (index in the batch, why), rising.
        refused: Vec<(u32, Refusal)>,
    },
    /// The answer to a subscribe.
    Subscribed {
        /// Which.
        subscription: SubscriptionId,
        /// How it went.
        result: Result<Subscribed, Refusal>,
    },
    /// The answer to an unsubscribe.
    Unsubscribed {
        /// Which.
        subscription: SubscriptionId,
    },
    /// The ticket may be shown for so many seconds; or why not.
    Ticketed(Result<u32, Refusal>),
    /// What the instance says of the account, all of it: topics and values. To who asked for
    /// [`Want::System`](super::Want::System), when it was asked for and every now and then.
    System {
        /// Of `$SYS`.
        values: Arc<[(String, String)]>,
    },
    /// The answer to a look.
    Seen {
        /// Which.
        id: u64,
        /// What was seen.
        result: Result<Seen, Refusal>,
    },
    /// There is something to pull, and no pull stands. Said once, until a [`Tell::Deliver`] says that no more waits.
    Ready,
    /// The answer to a pull; of one that stands, what came since as well.
    Deliver {
        /// In order per subscription.
        pushes: Vec<Push>,
        /// Whether more is waiting right now.
        more: bool,
    },
}
