//! What the receivers want done, and what they wait for.

use riser_model::{
    AccountId, ClientId, ConnectionId, CursorMove, Epoch, LogId, Seq, event::SystemEvent, time::Clock,
};
use riser_wire::link::{Branch, Definitions, DownAnswer, HubFrame, Item, NotShown, RefusedCode, Tree};
use std::collections::BTreeSet;

/// Items to commit with their cursors, all or nothing. Tokens rise; commits happen in that order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ingest {
    /// Answered by `Ingested` or `Failed` with it.
    pub token: u64,
    /// The connection that the definitions belong to.
    pub connection: ConnectionId,
    /// The edge.
    pub edge: ClientId,
    /// Whose it is.
    pub account: AccountId,
    /// The edge's log.
    pub log: LogId,
    /// The epoch of all items.
    pub epoch: Epoch,
    /// Items without a hole. The frames' route and origin numbers are the connection's; origin 0 is
    /// (`log`, `epoch`). Canaries are skips here.
    pub items: Vec<Item>,
    /// Of these, the entries that the edge brought from a log of another account: for the edge's account's quarantine alone.
    pub foreign: BTreeSet<Seq>,
    /// Numbers that this connection uses from here on.
    pub definitions: Definitions,
    /// To move in the same commit.
    pub cursors: Vec<CursorMove>,
    /// How the clock of these entries' boot relates to the hub's.
    pub clock: Clock,
}

/// What the receivers want done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Send this.
    Send {
        /// On which connection.
        connection: ConnectionId,
        /// What.
        frame: HubFrame,
    },
    /// Close after what was sent before. Not answered; nothing more of it is listened to.
    Close {
        /// Which.
        connection: ConnectionId,
        /// Why; its close code is the WebSocket's.
        code: RefusedCode,
    },
    /// Who is this? Answered by `Found`.
    Lookup {
        /// For which connection.
        connection: ConnectionId,
        /// The id it claims.
        edge: ClientId,
    },
    /// The edge is in: from here on its messages may be as large as batches, and compressed.
    Welcomed {
        /// Which connection.
        connection: ConnectionId,
        /// Whose.
        edge: ClientId,
    },
    /// A welcomed edge says something of its downlink.
    Down {
        /// On which connection.
        connection: ConnectionId,
        /// Which edge.
        edge: ClientId,
        /// What.
        answer: DownAnswer,
    },
    /// A welcomed edge asks what was given up of its account, and is to be told when there is more.
    GivenUp {
        /// On which connection.
        connection: ConnectionId,
        /// Which edge.
        edge: ClientId,
    },
    /// A welcomed edge says which edges are below it. Answered with [`HubFrame::Tree`].
    Tree {
        /// On which connection.
        connection: ConnectionId,
        /// Which edge.
        edge: ClientId,
        /// What of it may be shown.
        tree: Tree,
        /// What more it said, and may not. What was shown in the place of one of these goes.
        left_out: Vec<Branch>,
        /// Why the first of these may not.
        why: Option<NotShown>,
    },
    /// Commit this.
    Ingest(Box<Ingest>),
    /// The newest values of changed channels: for `conflate` subscriptions, never stored.
    Latest {
        /// On which connection.
        connection: ConnectionId,
        /// From which edge.
        edge: ClientId,
        /// The log and epoch of the seqs.
        log: LogId,
        /// The epoch.
        epoch: Epoch,
        /// The values; skips lie between them.
        items: Vec<Item>,
        /// Numbers that this connection uses from here on.
        definitions: Definitions,
    },
    /// Latest ends.
    CaughtUp {
        /// Which edge.
        edge: ClientId,
    },
    /// Whoever is above is to be asked how far an epoch of a log was taken there. Answered by
    /// [`Input::Reached`](super::Input::Reached), if at all.
    Ask {
        /// The log.
        log: LogId,
        /// The epoch.
        epoch: Epoch,
    },
    /// For the account's technical channel.
    Emit {
        /// Whose.
        account: AccountId,
        /// What.
        event: SystemEvent,
    },
}

/// What the receivers wait for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Wake {
    /// The first frame.
    Hello,
    /// A connection is to be pinged, or has been silent for too long.
    Silence,
    /// A connection that may have a clone has not answered.
    Clone,
}
