//! What the bus wants done.

use crate::retained::Changes;
use riser_model::{
    Batch, ConnectionId, Epoch, Read, Room, RoomId, Seq,
    door::{Code, Tell},
};
use std::collections::BTreeMap;

/// Where appended or ingested entries are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed {
    /// The epoch.
    pub epoch: Epoch,
    /// The seq of the first entry; the others follow without a hole.
    pub first: Seq,
    /// How many.
    pub count: u32,
    /// How many of them are elsewhere than their route says, because their room took no more.
    pub quarantined: u32,
}

/// One effect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Tell a connection's door.
    Tell {
        /// Which.
        connection: ConnectionId,
        /// What.
        tell: Tell,
    },
    /// Store a batch. Answered by `Persisted` or `Failed`. Tickets and seqs rise in the order of these.
    Persist {
        /// Which.
        ticket: u64,
        /// What.
        batch: Batch,
        /// How many connections wait for it (rule 6.4).
        connections: u32,
    },
    /// Read the log. Answered by `Read`.
    Read {
        /// Which.
        ticket: u64,
        /// What.
        read: Read,
    },
    /// The answer to an append or ingest.
    Done {
        /// Which.
        token: u64,
        /// Where it is, or why it is not.
        result: Result<Placed, Code>,
    },
    /// The table of what channels retain is to have these on disk too, sooner or later. Not answered.
    Retained(Changes),
    /// Everything up to here is on disk, and in [`Bus::tail`](crate::Bus::tail) for uplinks.
    Committed {
        /// The new `last_added`.
        through: Seq,
    },
    /// These rooms are archived, and no other; each shows nothing up to that seq any more. Answered by `Archived`,
    /// whenever there is something to say.
    Archive(BTreeMap<RoomId, Seq>),
    /// How much of these rooms is there is to be counted: how much of it they keep is new. Answered by `Pasts`.
    Count(Vec<Room>),
    /// A connection published or subscribed in a room for the first time.
    Joined {
        /// Which.
        connection: ConnectionId,
        /// Where.
        room: RoomId,
    },
    /// A connection has nothing to do with a room any more.
    Left {
        /// Which.
        connection: ConnectionId,
        /// Where.
        room: RoomId,
        /// Why: the cause of its leave, or `unsubscribed`.
        cause: String,
    },
    /// Nothing of a connection that left waits for a commit any more.
    Settled {
        /// Which.
        connection: ConnectionId,
    },
}

/// What a deadline is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wake {
    /// Publications that nobody waits for have waited long enough for company.
    Commit,
    /// A read that brought nothing is tried again.
    Read,
    /// What happened and was held back is said.
    Event,
    /// Those of a wide fan-out hear what has gathered since the last.
    Round,
}
