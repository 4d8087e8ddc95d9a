//! What a door asks of the bus.

use super::{Credential, Errand, Keep, Loose, Refusal, Secret, SessionRequest, Showing, TicketHash};
use crate::{
    id::{ConnectionId, Seq, SubscriptionId},
    look::Look,
    name::{AccountName, ChannelName, Filter, RoomName},
    position::Position,
    share::ShareWant,
    time::Wall,
};
use bytes::Bytes;

/// Where a batch's entries go, before the bus has looked.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Target {
    /// An MQTT topic: `{room}/{channel}`, or whatever a binding of this listener makes of it.
    Topic(String),
    /// The same of a device that has no word for a refusal, and would send again for ever: what is no name goes to the
    /// account's quarantine, and what cannot be retained is stored without.
    Device(String),
    /// A channel of a room of the principal's account.
    Channel(RoomName, ChannelName),
}

/// What a subscription asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Want {
    /// Channels of one room.
    Room(RoomName, Filter),
    /// An MQTT topic filter over `{room}/{channel}`: its first level may be `+` or `#`.
    Topic(String),
    /// What the members of a group share among them.
    Shared(Box<ShareWant>),
    /// What the instance says of the account, by a topic filter below `$SYS`: for who administers it.
    System(String),
    /// These and nothing else, in order. One that is not to be had is passed over by a
    /// [`Push::Through`](super::Push::Through) of its own.
    Positions(Vec<Position>),
    /// What the system says.
    Technical(Technical),
}

/// Whose technical channels, and which kinds of events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Technical {
    /// That room's.
    pub room: Option<RoomName>,
    /// The account's.
    pub account: bool,
    /// The instance's own.
    pub hub: bool,
    /// The kinds.
    pub kinds: Filter,
}

impl Technical {
    /// All that is said about a room.
    pub fn of_room(room: RoomName) -> Self {
        Self { room: Some(room), account: false, hub: false, kinds: Filter::all() }
    }

    /// All that is said about the account, and by the instance about itself.
    pub fn of_account() -> Self {
        Self { room: None, account: true, hub: true, kinds: Filter::all() }
    }
}

/// Where a subscription starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum From {
    /// With the next publication.
    Live,
    /// After this position.
    After(Position),
    /// With the last n matching publications that are still there.
    Last(u32),
    /// With the oldest that is still there.
    Start,
    /// With what was published from this time on, by this instance's clock, in order of position; and everything
    /// that comes after the subscription was made.
    Since(Wall),
    /// After this position, of what began with [`From::Since`].
    Onward {
        /// Where it is.
        after: Position,
        /// From when on.
        since: Wall,
        /// What comes after this is meant whatever its time ([`Subscribed::until`](super::Subscribed::until)).
        until: Position,
    },
}

/// What happens when a reader is slower than its channels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// Everything, in order, at the reader's pace.
    Credit,
    /// The newest per channel; what was passed over is counted. Shows Latest.
    Conflate,
}

/// Publications of one connection, encoded as log entries (`riser-wire`'s `entry`), whose route numbers are
/// the connection's own *aliases*.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Intake {
    /// Rises by one per batch of the connection; echoed by [`Tell::Stored`](super::Tell::Stored), in order.
    pub ticket: u64,
    /// The last ticket whose [`Tell::Stored`](super::Tell::Stored) the door had taken in. When a batch could not be
    /// stored, what its connection sent before it could know that is not stored either: nothing overtakes what will be
    /// sent again.
    pub seen: u64,
    /// Aliases first used in this batch. A connection numbers them densely from 0; a later batch may give a
    /// number a new meaning, which it then has from its first entry on.
    pub aliases: Vec<(u32, Target)>,
    /// The entries, back to back.
    pub entries: Bytes,
    /// How many entries.
    pub count: u32,
}

/// What a door asks of the bus.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ask {
    /// The address of this connection is the lobby of that account, by its name or UUID, whether there is one or not: its gate
    /// is asked instead of that of one's own account. Before [`Ask::Enter`], at most once. Not answered.
    Visit {
        /// Whose.
        lobby: AccountName,
    },
    /// Let this connection in. Answered by [`Tell::Entered`](super::Tell::Entered) or
    /// [`Tell::Refused`](super::Tell::Refused). At most once, and first but for [`Ask::Visit`].
    Enter {
        /// What the peer showed.
        credential: Credential,
        /// The MQTT session it wants, if it is an MQTT door.
        session: Option<Box<SessionRequest>>,
        /// The room that its address names, if it names one: refused where the principal may do nothing there.
        room: Option<RoomName>,
    },
    /// What the peer said to a [`Tell::Prompt`](super::Tell::Prompt). Not answered by itself.
    Answer(Secret),
    /// Say anew who this is, on a connection that goes on meanwhile: the gates that it came by are asked as if it came now, and
    /// what it proves to them is all that counts from then on. Answered by [`Tell::Renewed`](super::Tell::Renewed), perhaps
    /// after prompts, or by [`Tell::Refused`](super::Tell::Refused): who fails is closed, and so is whoever shows a credential
    /// of somebody else. Not beside [`Ask::Move`], and one at a time.
    Renew(Credential),
    /// Move on into another room of the account, out of the one that it is in: as [`Ask::Part`]. Answered by
    /// [`Tell::Moved`](super::Tell::Moved), perhaps after prompts.
    Move {
        /// Where to.
        room: RoomName,
    },
    /// Out of its room, back into the lobby: its seat is another's, and what the room's gate let it do it may do no more.
    /// Its subscriptions have ended with that, its session history too, and its aliases mean nothing. Not answered.
    Part,
    /// Which rooms are there? Answered by [`Tell::Rooms`](super::Tell::Rooms).
    Rooms,
    /// Say yes or no to a connection that knocks. Answered by [`Tell::Decided`](super::Tell::Decided).
    Decide {
        /// Which one knocks.
        connection: ConnectionId,
        /// At which room, for whom it matters: it may knock at another one by then. None: wherever it does.
        room: Option<RoomName>,
        /// Whether to let it in.
        admit: bool,
    },
    /// Have this done with the account. One at a time; answered by [`Tell::Finished`](super::Tell::Finished).
    Run(Box<Errand>),
    /// Store these. Answered by [`Tell::Stored`](super::Tell::Stored) after the commit.
    Publish(Intake),
    /// A session's QoS 2 ids were released by PUBREL: make that durable. Answered by
    /// [`Tell::Stored`](super::Tell::Stored) with the ticket (it shares the numbering of [`Intake::ticket`]), after
    /// which PUBCOMP may leave.
    Release {
        /// As [`Intake::ticket`].
        ticket: u64,
        /// The ids.
        ids: Vec<u16>,
    },
    /// What a session must know of its deliveries before they go on: answered by [`Tell::Stored`](super::Tell::Stored)
    /// with the ticket, after which the PUBLISHs and PUBRELs may leave.
    HandOver {
        /// As [`Intake::ticket`].
        ticket: u64,
        /// Packet ids, and what they stand for.
        sent: Vec<(u16, SubscriptionId, Position)>,
        /// Packet ids of what the peer has.
        released: Vec<u16>,
        /// The same as `sent` at QoS 1, of a connection that is over: said, and not acknowledged.
        left: Vec<(u16, SubscriptionId, Position)>,
        /// What no subscription's place tells of: it is remembered until it is done.
        loose: Vec<Loose>,
        /// Packet ids of those that are done.
        done: Vec<u16>,
        /// What subscriptions are still to be shown of what their channels retain: the rest the peer has, or it is
        /// among these.
        shown: Vec<(SubscriptionId, Showing)>,
    },
    /// What became of entries of a shared subscription. Not answered.
    Settle {
        /// Which.
        subscription: SubscriptionId,
        /// The peer has them, or nobody is to get them.
        done: Vec<Seq>,
        /// They were not said: another member may have them.
        returned: Vec<Seq>,
    },
    /// Start reading. Answered by [`Tell::Subscribed`](super::Tell::Subscribed).
    Subscribe {
        /// The door's number for it; reusing a live one replaces that subscription.
        subscription: SubscriptionId,
        /// What.
        want: Want,
        /// From where.
        from: From,
        /// How.
        flow: Flow,
        /// For a session that outlives its connection: keep it, and answer only when that is durable.
        keep: Option<Keep>,
        /// First what the channels retain. Not with [`Flow::Conflate`], which shows what is newest anyway. Of one that
        /// is kept a [`Push::Through`](super::Push::Through) says when that is over.
        retained: Showing,
    },
    /// What this connection publishes from now on, in rooms that offer session history, is replayed to whoever joins
    /// them until it ends. Not answered.
    KeepSession,
    /// The peer has these, whose deliveries were [`Delivery::reported`](super::Delivery::reported). Not answered. Said
    /// before a [`Ask::Confirm`] that covers them: what a session knows to be delivered was told before.
    Delivered {
        /// Where they are.
        at: Vec<Position>,
    },
    /// Publications that can never be stored were given up, and their peer has no word to hear it: who administers the
    /// account is told. Not answered.
    Dropped {
        /// Why, of the newest of them.
        refusal: Refusal,
        /// How many.
        count: u32,
    },
    /// Stop reading. Answered by [`Tell::Unsubscribed`](super::Tell::Unsubscribed).
    Unsubscribe {
        /// Which.
        subscription: SubscriptionId,
    },
    /// Let a subscription rest, or go on where it rested: the others go on meanwhile. Not answered; what was pulled
    /// for it before is still delivered.
    Pause {
        /// Which.
        subscription: SubscriptionId,
        /// Whether it rests.
        paused: bool,
    },
    /// The socket can take about this many payload bytes now. Answered by one [`Tell::Deliver`](super::Tell::Deliver),
    /// which may be empty. If it says that no more waits, more comes by itself when there is something, as long as
    /// what is left of a pull that stands lasts; after that, and of one that does not stand, [`Tell::Ready`](super::Tell::Ready)
    /// says that there is something to pull.
    Pull {
        /// How many.
        bytes: u32,
        /// Whether what this pull does not bring may come later without being asked for. A door that holds back what
        /// it was given, or wants the newest of what there is when the socket has room, does not say so.
        stands: bool,
    },
    /// Look at something as it is at the moment. Answered by [`Tell::Seen`](super::Tell::Seen).
    Look {
        /// To be echoed.
        id: u64,
        /// At what.
        look: Box<Look>,
    },
    /// Everything of this subscription up to here was acknowledged by the peer (kept sessions only).
    Confirm {
        /// Which.
        subscription: SubscriptionId,
        /// Up to here.
        through: Position,
    },
    /// A ticket was made, with which one more connection may enter as this one's principal. Answered by
    /// [`Tell::Ticketed`](super::Tell::Ticketed), in order.
    Ticket {
        /// All that anybody keeps of it.
        hash: TicketHash,
    },
    /// The connection is over; nothing more will come from it. Not answered.
    Leave {
        /// Why: the name of a close code, or [`NORMAL`](super::NORMAL).
        cause: String,
        /// MQTT 5 DISCONNECT may change the session's expiry, in seconds.
        expiry_s: Option<u32>,
    },
}
