//! What a connection's door asks of the bus, and what the bus tells the door.
//!
//! A *door* is the pure state machine of one protocol on one connection (MQTT, envelope, raw). It turns bytes
//! into [`Ask`]s and [`Tell`]s into bytes, in its connection's own task. The bus behind it knows nothing of
//! protocols. Every `Ask` that has a ticket or a subscription is answered exactly once.

use crate::{
    event::Scope,
    gap::Gap,
    id::{ConnectionId, Epoch, LogId, Seq, SessionId, SubscriptionId},
    look::{Look, Seen},
    name::{AccountName, ChannelName, Filter, RoomName},
    position::Position,
    principal::Principal,
    route::Route,
    share::ShareWant,
    tally::Tally,
    time::{Now, Time, Wall},
};
use bytes::Bytes;
use std::{
    fmt,
    sync::{Arc, OnceLock},
};

/// A secret as it came from a peer. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Bytes);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// The SHA-256 of a ticket: all that is kept of it. Never printed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TicketHash(pub [u8; 32]);

impl fmt::Debug for TicketHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketHash(redacted)")
    }
}

/// What a peer shows at a gate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Credential {
    /// None at all: enters only where a listener allows it by name.
    Anonymous,
    /// A user or device and its password. `account` where the protocol names one beside the user.
    Password {
        /// The tenant, when the address or the user text (`account/user`) names it.
        account: Option<AccountName>,
        /// The user or device.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A bearer token.
    Token(Secret),
    /// Nothing but that it is a person at a terminal, who can be asked.
    Person,
    /// A ticket: good once, and not for long.
    Ticket(Secret),
    /// A name that the peer will prove to be its own, by answering a [`Prompt::Challenge`].
    Claim {
        /// The tenant, when the address or the name (`account/name`) names it.
        account: Option<AccountName>,
        /// The user or device, by its name or its client's UUID.
        name: String,
        /// How.
        method: Method,
    },
}

/// How a claim is proven.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Method {
    /// A signature by an ed25519 key that the directory knows.
    Key,
    /// An HMAC-SHA-256 under a secret that both sides know.
    Secret,
}

impl Method {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Key, Self::Secret];

    /// Its name in every protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "ed25519",
            Self::Secret => "hmac-sha256",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }
}

/// What an acceptor says to a peer that stands at a gate. The door's protocol words it; a door whose protocol knows no
/// conversation leaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Prompt {
    /// Prove the claim: answer with a signature or an HMAC over [`Prompt::challenge`] of this nonce and the name as it was
    /// claimed.
    Challenge {
        /// How.
        method: Method,
        /// Good for this one answer.
        nonce: String,
    },
    /// Somebody was asked whether to let it in. There is nothing to answer.
    Knocked,
    /// Words for a person, as they are: without an end of line.
    Words(String),
}

impl Prompt {
    /// The bytes that prove a claim when they are signed. Nothing else that a key of ours signs begins like this.
    pub fn challenge(nonce: &str, name: &str) -> String {
        format!("riser gate challenge 1\n{nonce}\n{name}\n")
    }
}

/// An MQTT session that outlives its connection, as CONNECT asks for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionRequest {
    /// The MQTT client id. It names a session within its principal, nothing else.
    pub id: String,
    /// Forget what an earlier session of that name left.
    pub clean: bool,
    /// How long it outlives its connection, seconds; 0 ends with it, `u32::MAX` never.
    pub expiry_s: u32,
    /// What to publish in the client's name if the connection ends with any cause but [`NORMAL`]. Committed
    /// before [`Tell::Entered`].
    pub will: Option<Will>,
}

/// The cause in [`Ask::Leave`] with which a client takes its leave on purpose: its will is forgotten.
pub const NORMAL: &str = "normal";

/// A publication that a client leaves behind for the case that it cannot say goodbye.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Will {
    /// Where to.
    pub target: Target,
    /// MQTT's retain flag.
    pub retain: bool,
    /// 0, 1 or 2.
    pub qos: u8,
    /// The payload's content type by name; empty when nobody named one.
    pub content_type: String,
    /// MQTT 5 properties that travel, as in an entry.
    pub properties: Bytes,
    /// The payload.
    pub payload: Bytes,
    /// Published that many seconds after the connection's end, or at the session's if that is earlier; not at
    /// all if the session is opened again before.
    pub delay_s: u32,
}

/// That a session keeps a subscription beyond its connection, and what of it only MQTT knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keep {
    /// MQTT's subscription options byte (QoS in the low bits).
    pub options: u8,
    /// MQTT 5's subscription identifier; 0 for none.
    pub identifier: u32,
}

/// What an MQTT session found of itself when it was opened again.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SessionState {
    /// The number by which stored entries name the session.
    pub number: u64,
    /// Whether there was one (CONNACK's session present).
    pub present: bool,
    /// QoS 2 packet ids that were received and not yet released.
    pub open_ids: Vec<u16>,
    /// Its own deliveries that its peer may have, by their packet ids.
    pub deliveries: Vec<SessionDelivery>,
    /// The last packet id that it is known to have given to a delivery; 0 without.
    pub last_id: u16,
    /// The subscriptions it holds, in the order of their making; the door re-asks for them.
    pub subscriptions: Vec<SessionSubscription>,
    /// Where the door counts what goes over its connection.
    pub tally: Tally,
}

/// A delivery that a session remembers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionDelivery {
    /// Its packet id.
    pub id: u16,
    /// The MQTT topic filter of its subscription; none of one that is [`Loose`].
    pub filter: Option<String>,
    /// What it delivers.
    pub position: Position,
    /// The peer has it: what is left to say is PUBREL.
    pub released: bool,
    /// It is over: nothing is left to say.
    pub over: bool,
    /// At QoS 1; else at QoS 2.
    pub at_least_once: bool,
    /// It was shown because its channel retains it.
    pub retained: bool,
}

/// A delivery that is in no subscription's course: what its channel retained, or what was begun before its subscription
/// was given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loose {
    /// Its packet id.
    pub id: u16,
    /// What it delivers.
    pub position: Position,
    /// At QoS 1; else at QoS 2.
    pub at_least_once: bool,
    /// It was shown because its channel retains it.
    pub retained: bool,
}

/// A subscription that a session holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionSubscription {
    /// The MQTT topic filter as the client wrote it.
    pub filter: String,
    /// What of it only MQTT knows.
    pub keep: Keep,
    /// Everything up to here was delivered and acknowledged; at first, where it began.
    pub through: Option<Position>,
}

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
    /// These and nothing else, in order. One that is not to be had is passed over by a [`Push::Through`] of its own.
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
    /// Rises by one per batch of the connection; echoed by [`Tell::Stored`], in order.
    pub ticket: u64,
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
    /// Let this connection in. Answered by [`Tell::Entered`] or [`Tell::Refused`]. At most once, and first.
    Enter {
        /// What the peer showed.
        credential: Credential,
        /// The MQTT session it wants, if it is an MQTT door.
        session: Option<Box<SessionRequest>>,
        /// The room that its address names, if it names one: refused where the principal may do nothing there.
        room: Option<RoomName>,
    },
    /// What the peer said to a [`Tell::Prompt`]. Not answered by itself.
    Answer(Secret),
    /// Move on into another room of the account. Answered by [`Tell::Moved`], perhaps after prompts.
    Move {
        /// Where to.
        room: RoomName,
    },
    /// Which rooms are there? Answered by [`Tell::Rooms`].
    Rooms,
    /// Say yes or no to a connection that knocks. Answered by [`Tell::Decided`].
    Decide {
        /// Which one knocks.
        connection: ConnectionId,
        /// Whether to let it in.
        admit: bool,
    },
    /// Store these. Answered by [`Tell::Stored`] after the commit.
    Publish(Intake),
    /// A session's QoS 2 ids were released by PUBREL: make that durable. Answered by [`Tell::Stored`] with
    /// the ticket (it shares the numbering of [`Intake::ticket`]), after which PUBCOMP may leave.
    Release {
        /// As [`Intake::ticket`].
        ticket: u64,
        /// The ids.
        ids: Vec<u16>,
    },
    /// What a session must know of its deliveries before they go on: answered by [`Tell::Stored`] with the
    /// ticket, after which the PUBLISHs and PUBRELs may leave.
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
    /// Start reading. Answered by [`Tell::Subscribed`].
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
        /// First what the channels retain, in the order of their names. Not with [`Flow::Conflate`], which shows
        /// what is newest anyway.
        retained: bool,
    },
    /// What this connection publishes from now on, in rooms that offer session history, is replayed to whoever joins
    /// them until it ends. Not answered.
    KeepSession,
    /// Stop reading. Answered by [`Tell::Unsubscribed`].
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
    /// The socket can take about this many payload bytes now. Answered by one [`Tell::Deliver`], which may
    /// be empty. If it says that no more waits, [`Tell::Ready`] follows when there is something.
    Pull {
        /// How many.
        bytes: u32,
    },
    /// Look at something as it is at the moment. Answered by [`Tell::Seen`].
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
    /// [`Tell::Ticketed`], in order.
    Ticket {
        /// All that anybody keeps of it.
        hash: TicketHash,
    },
    /// The connection is over; nothing more will come from it. Not answered.
    Leave {
        /// Why: the name of a close code, or [`NORMAL`].
        cause: String,
        /// MQTT 5 DISCONNECT may change the session's expiry, in seconds.
        expiry_s: Option<u32>,
    },
}

/// Why the bus did not do something. The door's protocol words it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The code.
    pub code: Code,
    /// What was wrong, a lowercase fragment. No secrets.
    pub what: String,
    /// What would be right.
    pub want: String,
}

/// Error codes, the same in every protocol. A closed list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Code {
    /// The peer's bytes are not the protocol.
    Malformed,
    /// Fine bytes, at the wrong moment.
    WrongState,
    /// Not a name, topic, filter or position.
    BadName,
    /// The credential was not accepted. Wrong user, wrong password and unknown account look the same.
    NotAuthorised,
    /// Not allowed there, or no such room: they look the same from outside.
    Denied,
    /// Larger than allowed.
    TooLarge,
    /// More than allowed.
    TooMany,
    /// The quota is used up (`reject`).
    QuotaExceeded,
    /// As much as a room replays of sessions is there already.
    SessionFull,
    /// The log cannot commit.
    LogFailing,
    /// The position belongs to another log, or to a fork that no longer exists.
    UnknownPosition,
    /// Another connection took over.
    TakenOver,
    /// The instance is going down; come back.
    ShuttingDown,
    /// A deadline passed.
    Timeout,
    /// It did not keep up with what a bounded queue holds.
    TooSlow,
    /// It is in the log already, from an earlier time that it was sent.
    Dup,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Malformed,
        Self::WrongState,
        Self::BadName,
        Self::NotAuthorised,
        Self::Denied,
        Self::TooLarge,
        Self::TooMany,
        Self::QuotaExceeded,
        Self::SessionFull,
        Self::LogFailing,
        Self::UnknownPosition,
        Self::TakenOver,
        Self::ShuttingDown,
        Self::Timeout,
        Self::TooSlow,
        Self::Dup,
    ];

    /// Its name on the wire, in metrics and in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::WrongState => "wrong_state",
            Self::BadName => "bad_name",
            Self::NotAuthorised => "not_authorised",
            Self::Denied => "denied",
            Self::TooLarge => "too_large",
            Self::TooMany => "too_many",
            Self::QuotaExceeded => "quota_exceeded",
            Self::SessionFull => "session_full",
            Self::LogFailing => "log_failing",
            Self::UnknownPosition => "unknown_position",
            Self::TakenOver => "taken_over",
            Self::ShuttingDown => "shutting_down",
            Self::Timeout => "timeout",
            Self::TooSlow => "too_slow",
            Self::Dup => "dup",
        }
    }
}

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
}

/// What the doors of one protocol make of a publication for everybody who gets it: the first that needs it makes it.
/// Says nothing of the publication, and so makes no difference between deliveries.
#[derive(Clone, Default)]
pub struct Wording(Arc<OnceLock<Box<str>>>);

impl Wording {
    /// The words, made by `make` if nobody has made them yet.
    pub fn get(&self, make: impl FnOnce() -> String) -> &str {
        self.0.get_or_init(|| make().into_boxed_str())
    }
}

impl PartialEq for Wording {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Wording {}

impl fmt::Debug for Wording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wording")
    }
}

/// One publication for one subscription.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// For which subscription.
    pub subscription: SubscriptionId,
    /// Where it is; none for Latest, which is never stored, and for what a channel retains, which may be gone there.
    pub pos: Option<Position>,
    /// The subscription's position before it.
    pub prev: Position,
    /// Room, channel, source.
    pub route: Arc<Route>,
    /// The room's name.
    pub room: RoomName,
    /// The entry's body (`riser-wire`'s `entry::Body`).
    pub body: Bytes,
    /// What envelope doors make of it, where more than one may get it.
    pub wording: Option<Wording>,
    /// How many were passed over since the last one (`conflate`).
    pub skipped: u64,
    /// It is shown because its channel retains it, to a subscription that was not there when it was published: where it
    /// was published.
    pub retained: Option<Position>,
    /// When it was published, by the clock of this instance (section 7.10).
    pub wall: Wall,
    /// Its room is the root of MQTT's topics: its channel is the topic, without the room before it.
    pub rooted: bool,
    /// Whose session it belongs to, if it is replayed to others until that ends.
    pub session: Option<SessionId>,
    /// The system says it, in this technical channel; `room` is then the room it speaks of, or says whose it is.
    pub technical: Option<Scope>,
}

/// What a door pushes to its peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Push {
    /// A publication.
    Publication(Delivery),
    /// Something is missing here for this subscription.
    Gap {
        /// For which subscription.
        subscription: SubscriptionId,
        /// What is missing.
        gap: Gap,
        /// The subscription's position after the gap.
        pos: Position,
    },
    /// A session ended of which this subscription was shown something in a replay: that is replayed no more.
    Wiped {
        /// For which subscription.
        subscription: SubscriptionId,
        /// The session.
        session: SessionId,
    },
    /// Everything of this subscription up to here was pushed: what a ping's `through` carries.
    Through {
        /// For which subscription.
        subscription: SubscriptionId,
        /// Up to here.
        pos: Position,
    },
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
    },
    /// It is not let in, or no longer: say so and close.
    Refused(Refusal),
    /// An acceptor of the gate speaks to the peer, which answers with [`Ask::Answer`] where something was asked.
    Prompt(Prompt),
    /// The answer to [`Ask::Move`].
    Moved {
        /// Where to.
        room: RoomName,
        /// Whether its gate let the connection pass. If not, it stays where it is.
        result: Result<(), Refusal>,
    },
    /// The answer to [`Ask::Rooms`]: those of the account in which the principal may do anything, by name.
    Rooms(Vec<RoomInfo>),
    /// The answer to [`Ask::Decide`].
    Decided {
        /// Which one knocked.
        connection: ConnectionId,
        /// Whether it was there, and this one's to decide.
        result: Result<(), Refusal>,
    },
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
    /// What the instance says of the account, all of it: topics and values. To who asked for [`Want::System`], when it
    /// was asked for and every now and then.
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
    /// There is something to pull. Said once, until a [`Tell::Deliver`] says that no more waits.
    Ready,
    /// The answer to a pull.
    Deliver {
        /// In order per subscription.
        pushes: Vec<Push>,
        /// Whether more is waiting right now.
        more: bool,
    },
}

/// What happens to a door.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// Bytes of the stream (MQTT), or one whole binary message (WebSocket).
    Bytes(Bytes),
    /// One whole text message (WebSocket).
    Text(String),
    /// The bus answered or has something.
    Tell(Tell),
    /// The socket can take about this many bytes now. Until it is said again, a door sends answers only.
    Room(u32),
    /// The deadline that [`Door::poll_timeout`] named has come.
    Deadline,
    /// The peer closed, or the socket broke: the name says which. Nothing can be sent any more.
    Gone(&'static str),
}

/// What a door wants done. Drain these after every input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Write these to the stream, or as one binary message.
    Bytes(Bytes),
    /// Write this as one text message.
    Text(String),
    /// Ask the bus.
    Ask(Ask),
    /// After what was said before is written, close: nothing follows.
    Close(Refusal),
    /// The peer took its leave: close as above, nothing is wrong.
    Done,
}

/// The one shape of all doors. Implemented by the MQTT, envelope and raw doors.
///
/// One input, then `poll` until it is empty, then the next.
pub trait Door: Send {
    /// Takes one input.
    fn handle(&mut self, input: Input, now: Now);
    /// What it wants done next.
    fn poll(&mut self) -> Option<Output>;
    /// When it wants [`Input::Deadline`].
    fn poll_timeout(&self) -> Option<Time>;
    /// Whether it has as much of its peer's as it can hold: nothing more is read until an answer has changed that.
    fn is_full(&self) -> bool {
        false
    }
}
