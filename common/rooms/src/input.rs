//! What the bus is told: by connections, by links and sessions above it, and by the storage below it.

use crate::{producers::Producers, retained::RetainedTable};
use bytes::Bytes;
use riser_model::{
    Archived, Binding, Cause, ConnectionId, CursorKey, CursorMove, CursorValue, Epoch, EpochSpan, Gap, LogId,
    Mark, Principal, Room, RoomId, Route, RouteNumber, Run, Selected, Seq, ShareChange, Wall,
    door::{Ask, Code},
    event::{Scope, SystemEvent},
    time::Clock,
};
use riser_wire::roll::Roll;
use std::{collections::BTreeMap, sync::Arc};

/// What the log said when it was opened, and what the configuration says.
#[derive(Clone, Debug)]
pub struct Start {
    /// The log.
    pub log: LogId,
    /// This opening of it.
    pub epoch: Epoch,
    /// The earlier openings that it knows, oldest first.
    pub chain: Vec<EpochSpan>,
    /// The seq that the next entry gets: the first of this epoch.
    pub next: Seq,
    /// The oldest seq that is still there, or `next`.
    pub oldest: Seq,
    /// What is gone was committed before this, by this instance's clock.
    pub oldest_at: Wall,
    /// Why seqs below `oldest` or in its holes are gone, as far as it is known.
    pub gaps: Vec<Gap>,
    /// Why they are where nothing is known of them: what the log's configuration says of what it trims.
    pub trim_cause: Cause,
    /// The routes that the log has defined.
    pub routes: Vec<(RouteNumber, Route)>,
    /// The origins that the log has defined.
    pub origins: Vec<(u32, (LogId, Epoch))>,
    /// From where on the archive has everything of which room that the log has not.
    pub archived: BTreeMap<RoomId, Archived>,
    /// The past of rooms whose retention names how much of it is kept, oldest first.
    pub pasts: Vec<(RoomId, Vec<Mark>)>,
    /// The rooms.
    pub rooms: Vec<Room>,
    /// The bindings of topics to rooms.
    pub bindings: Vec<Binding>,
    /// What channels retain, as it is with the log's last entry.
    pub retained: RetainedTable,
    /// Publish ids of what was published here.
    pub producers: Producers,
}

/// Entries of the instance itself: sessions, anchors, canaries, wills. Answered by `Done` after the commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Append {
    /// Echoed by the answer.
    pub token: u64,
    /// What the route numbers in `entries` mean.
    pub routes: Vec<Route>,
    /// Frames back to back, without origins. May be empty: then only cursors move.
    pub entries: Bytes,
    /// What is said of it in the same commit: never coalesced with others, and lost with it or not at all.
    pub said: Vec<(Scope, SystemEvent)>,
    /// Whether rooms' quotas count it: what one takes no more of is not stored, nor is the rest.
    pub counted: bool,
    /// Cursors that move in the same commit.
    pub cursors: Vec<CursorMove>,
}

impl Append {
    /// Entries, and nothing beside them.
    pub fn new(token: u64, routes: Vec<Route>, entries: impl Into<Bytes>) -> Self {
        Self { token, routes, entries: entries.into(), said: Vec::new(), counted: false, cursors: Vec::new() }
    }

    /// Entries in no room, whose answer nobody waits for.
    pub fn unawaited(entries: impl Into<Bytes>) -> Self {
        Self::new(0, Vec::new(), entries)
    }

    /// Cursors that move without an entry; nobody waits for the answer.
    pub fn of_cursors(cursors: Vec<CursorMove>) -> Self {
        Self { cursors, ..Self::unawaited(Bytes::new()) }
    }
}

/// What came over a link, with the cursor that remembers it: one batch, one commit. Answered by `Done` after it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ingest {
    /// Echoed by the answer.
    pub token: u64,
    /// The log that the items come from.
    pub log: LogId,
    /// The items, with that log's seqs and epochs. Gaps store nothing. Together at most
    /// [`BATCH_BYTES_MAX`](riser_wire::limits::BATCH_BYTES_MAX): they are not split.
    pub runs: Vec<Run>,
    /// What the route numbers in the runs mean.
    pub routes: Vec<Route>,
    /// What the origin numbers in the runs mean: entries that came to that log from a third one.
    pub origins: Vec<(u32, (LogId, Epoch))>,
    /// Entries (by their seq there) that are placed elsewhere than their route says: quarantine.
    pub elsewhere: Vec<(Seq, Route)>,
    /// Where entries go for whose own route the log has no number left: a link is never held up (rule 7.3). One
    /// per edge, so that these are few however many channels an edge makes up.
    pub overflow: Route,
    /// Whether rooms' quotas count it. What comes down from a hub was counted there when it was published.
    pub counted: bool,
    /// Cursors that move in the same commit.
    pub cursors: Vec<CursorMove>,
    /// How the clock of these entries' boot relates to this instance's.
    pub clock: Clock,
}

/// The newest value of a channel beside a backlog (section 7.7). Shown to `conflate` subscriptions, never stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Latest {
    /// The log that will deliver it again in its turn.
    pub log: LogId,
    /// The epoch of that log.
    pub epoch: Epoch,
    /// Its seq there.
    pub seq: Seq,
    /// Where it belongs.
    pub route: Route,
    /// The entry's body.
    pub body: Bytes,
}

/// One input; after it, drain [`Bus::poll`](crate::Bus::poll). Several inputs may be handled before draining:
/// their publications then share a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A connection was let in.
    Open {
        /// Which.
        connection: ConnectionId,
        /// As whom.
        principal: Arc<Principal>,
    },
    /// A connection may do something else from here on than before.
    Principal {
        /// Which.
        connection: ConnectionId,
        /// The same one, with other rights.
        principal: Arc<Principal>,
    },
    /// A connection asks. What is asked of a gate, `Release` and `Confirm` and what is kept of a
    /// subscription are the business of the layer above, and ignored.
    Ask {
        /// Which.
        connection: ConnectionId,
        /// What.
        ask: Ask,
    },
    /// Store entries of the instance itself.
    Append(Append),
    /// Store what a link brought.
    Ingest(Ingest),
    /// A cursor moved; it rides in the next batch, and in one of its own only at shutdown.
    Cursor {
        /// Whose.
        key: CursorKey,
        /// Where it is.
        value: CursorValue,
        /// Without waiting for entries to ride with.
        at_once: bool,
    },
    /// A channel's present, beside the backlog.
    Latest(Latest),
    /// What the sessions above mean for a group that shares a subscription.
    Share(ShareChange),
    /// The system speaks about itself.
    Event {
        /// To whom.
        scope: Scope,
        /// What.
        event: SystemEvent,
    },
    /// Something that was said upwards of who is in which room may be lost: everybody is named anew.
    NameMembers,
    /// Who is in rooms behind logs below is said upwards, in those rooms that uplinks carry.
    Rolls(Vec<Roll>),
    /// The batch with this ticket, and all before it, are on disk.
    Persisted {
        /// Which.
        ticket: u64,
    },
    /// The batch with this ticket was not stored. If it has entries, no batch that was numbered after it can
    /// be, and all of them count as failed with it; their seqs are given again. A batch of cursors alone fails
    /// alone. Answers for tickets that failed already are ignored.
    Failed {
        /// Which.
        ticket: u64,
        /// Why: `QuotaExceeded` or `LogFailing`.
        code: Code,
    },
    /// The answer to a read. It begins at the seq that was asked for, brings at least one entry or gap if there
    /// is one, and need not stop at the end that the bus knows.
    Read {
        /// Which.
        ticket: u64,
        /// What was found. Empty if it could not be read: it is tried again later.
        found: Selected,
    },
    /// The log let go of its oldest entries.
    Trimmed {
        /// The oldest seq that is still there.
        oldest: Seq,
        /// What is gone was committed before this.
        oldest_at: Wall,
        /// Why the ones below are gone.
        gaps: Vec<Gap>,
    },
    /// From where on the archive has everything of which room that the log has not.
    Archived {
        /// Rooms that are not named are not in it.
        rooms: BTreeMap<RoomId, Archived>,
    },
    /// What route numbers mean in the answer to a read that comes next: there, and nowhere else. Numbers that an answer
    /// before had are no others while what it brought may be held.
    ArchivedRoutes(Vec<(RouteNumber, Route)>),
    /// The archive could be opened after the start only: the epochs of what it has.
    ArchiveOpened(Vec<EpochSpan>),
    /// How much of which room was there, oldest first, when that was asked.
    Pasts(Vec<(RoomId, Vec<Mark>)>),
    /// The configuration changed.
    Reconfigured {
        /// The rooms, all of them.
        rooms: Vec<Room>,
        /// The bindings, all of them. Topics that a connection used before keep their meaning for it.
        bindings: Vec<Binding>,
    },
    /// The deadline that [`Bus::poll_timeout`](crate::Bus::poll_timeout) named has come.
    Deadline,
    /// Take nothing more, store what waits, and send every connection away when it has its receipts.
    Shutdown,
}
