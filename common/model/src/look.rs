//! What somebody asks an instance about itself, and what it sees at that moment: who is in a room, what goes through
//! it, and what lies in quarantine.

use crate::{
    gap::Gap,
    id::{ClientId, ConnectionId, LogId},
    name::{AccountName, ChannelName, Filter, RoomName},
    position::Position,
    room::RoomKind,
    time::Wall,
};
use bytes::Bytes;

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Look {
    /// Who is in a room.
    Presence {
        /// Which.
        room: RoomName,
        /// Without so many of the first connections: where a page before this one ended.
        after: u64,
    },
    /// What goes through a room.
    Statistics(RowsWanted),
    /// A page of a room's past, backwards.
    Past(PastWanted),
    /// Another wording of what was published in a board.
    Edit(Edit),
    /// The devices that a room's admin reaches in it.
    Devices {
        /// Which room.
        room: RoomName,
        /// Without so many of the first: where a page before this one ended.
        after: u64,
    },
    /// What lies in the account's quarantine, or what is to become of an entry there.
    Quarantine(Care),
}

/// What is seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    /// Who is in a room.
    Presence(Presence),
    /// What goes through a room.
    Statistics(Box<RoomTraffic>),
    /// A page of a room's past.
    Past(Past),
    /// The other wording is on disk, here.
    Edited(Position),
    /// The devices of a room.
    Devices {
        /// A page of them.
        devices: Vec<Device>,
        /// Those after these.
        more: u64,
        /// After how many to go on, if there are more.
        next: Option<u64>,
    },
    /// What lies in quarantine.
    Quarantine(Quarantine),
    /// One entry of it, in full.
    Detained(Box<Detained>, Bytes),
    /// It was placed where it was meant to go, here.
    Released(Position),
    /// It was given up.
    Dropped,
}

/// Who is in a room at the moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Presence {
    /// Connections: this instance's own first, those behind edges after them.
    pub present: Vec<Present>,
    /// Those after these, for there are very many.
    pub more: u64,
    /// After how many connections to go on, if there are more.
    pub next: Option<u64>,
    /// There were more behind edges than an instance keeps: some may be missing, here or in other rooms.
    pub incomplete: bool,
    /// Who is missing of those without whom the room is not ready; none for a room that waits for nobody.
    pub absent: Option<Vec<AccountName>>,
    /// What the room is for.
    pub kind: RoomKind,
    /// Whether it is the asking one's to look after.
    pub administers: bool,
    /// The room's gate, for who looks after the room: the acceptors of each stage.
    pub gate: Vec<Vec<&'static str>>,
    /// Who stands at the gates of the account and its rooms, as far as they are the asking one's to look after.
    pub waiting: Vec<Waiting>,
}

/// The most rows of channels in one answer.
pub const ROWS_MAX: u32 = 512;

/// What is wanted of what goes through a room: a page of rows, by the names of channels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowsWanted {
    /// Which room.
    pub room: RoomName,
    /// Of which channels.
    pub channels: Filter,
    /// Those after this one; from the first without one.
    pub after: Option<ChannelName>,
    /// At most so many, and [`ROWS_MAX`].
    pub most: u32,
}

/// A connection at a gate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// Which.
    pub connection: ConnectionId,
    /// As whom, where that is proven.
    pub name: Option<AccountName>,
    /// Its account, if it is a visitor from another one.
    pub account: Option<AccountName>,
    /// The acceptor before which it stands.
    pub acceptor: &'static str,
    /// Somebody is asked whether to let it in.
    pub knocks: bool,
    /// The room before which it stands; none before the account's lobby.
    pub room: Option<RoomName>,
}

/// What is wanted of a room's past: the newest before a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PastWanted {
    /// Which room.
    pub room: RoomName,
    /// Of which channels.
    pub channels: Filter,
    /// Before this; before what comes next without one.
    pub before: Option<Position>,
    /// At most so many.
    pub most: u32,
}

/// A page of the past.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Past {
    /// The oldest first.
    pub entries: Vec<PastEntry>,
    /// What is gone between them, down to where the next page begins, in order: nobody knows any more whether there was
    /// anything for the reader.
    pub gaps: Vec<Gap>,
    /// Before which one to go on, if there may be more.
    pub next: Option<Position>,
}

/// One publication of the past.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PastEntry {
    /// Where it is.
    pub entry: Position,
    /// Its channel.
    pub channel: ChannelName,
    /// Whose it is.
    pub client: ClientId,
    /// Its time is as much as the clock of its host says, which never met a hub's.
    pub uncertain: bool,
    /// Its body (`riser-wire`'s `entry::Body`).
    pub body: Bytes,
}

/// Another wording of a publication.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edit {
    /// In which room.
    pub room: RoomName,
    /// Of which publication: not of an edit of one.
    pub entry: Position,
    /// What the payload is.
    pub content_type: String,
    /// The payload.
    pub payload: Bytes,
}

/// A user or client that proves itself with a key or secret of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// The participant.
    pub client: ClientId,
    /// Its name.
    pub name: AccountName,
    /// Its connections in the room, here and behind edges.
    pub connections: u32,
}

/// One connection in a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Present {
    /// The participant.
    pub client: ClientId,
    /// Its name.
    pub name: AccountName,
    /// Which of its connections.
    pub connection: ConnectionId,
    /// Since when, by the clock of the instance that it is connected to.
    pub since: Wall,
    /// Behind which edge; none for a connection of this instance.
    pub behind: Option<Behind>,
}

/// An edge, as the place of a connection. What is known of it comes with the delay of the link.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Behind {
    /// Its name, where it is known.
    pub edge: Option<AccountName>,
    /// Its log.
    pub log: LogId,
    /// No link to it is up: who came and went since is not known.
    pub cut_off: bool,
}

/// What went through a room or a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rates {
    /// Publications since the process started.
    pub messages: u64,
    /// Their bodies, bytes.
    pub bytes: u64,
    /// Publications and bytes of the last whole second.
    pub second: (u64, u64),
    /// Publications and bytes of the last minute, as far as it lies in whole spans of five seconds.
    pub minute: (u64, u64),
}

/// What goes through a room at the moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomTraffic {
    /// The sum of all rows of all pages, and of what is `other`.
    pub rates: Rates,
    /// When the newest was committed; of one that was there at the start, when it was published.
    pub last: Option<Wall>,
    /// Subscriptions that read the room.
    pub subscribers: u32,
    /// Connections in it.
    pub connections: u32,
    /// The newest of what was asked for and may be read.
    pub newest: Option<Newest>,
    /// Channels that were ever published in.
    pub channels: u32,
    /// One row for each channel that was asked for, may be read and has a newest value or had a publication since the
    /// process started; by name.
    pub rows: Vec<ChannelTraffic>,
    /// After which channel to go on, if there are more.
    pub next: Option<ChannelName>,
    /// What is in none of these rows: that of other pages, and the last minute of channels beyond those of which rates are
    /// kept. None for those who may not read them all.
    pub other: Option<Rates>,
    /// The sums leave out what may not be read, or was not asked for.
    pub partial: bool,
    /// More read these rows' channels than were looked at: their subscribers and connections are at least so many.
    pub at_least: bool,
    /// Publications addressed to a client that had neither a connection nor a session, in a room without history: nobody
    /// will ever read them. For who looks after the room; 0 for everybody else.
    pub void: u64,
}

/// What goes through a channel at the moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChannelTraffic {
    /// Which.
    pub channel: ChannelName,
    /// What went through it.
    pub rates: Rates,
    /// When the newest was committed; of one that was there at the start, when it was published.
    pub last: Option<Wall>,
    /// The body of its newest publication, where that is in memory.
    pub value: Option<Bytes>,
    /// Subscriptions that read it: of this channel alone, and by filters that meet it.
    pub subscribers: u32,
    /// Connections that these are of.
    pub connections: u32,
}

/// The newest of a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Newest {
    /// Its channel.
    pub channel: ChannelName,
    /// Its body, where that is in memory.
    pub value: Option<Bytes>,
}

/// What is to happen with what lies in quarantine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Care {
    /// List what lies there, the oldest first.
    List {
        /// Those after this one.
        after: Option<Position>,
        /// At most so many.
        most: u32,
    },
    /// Show one in full.
    Inspect {
        /// Which.
        entry: Position,
    },
    /// Place it where it was meant to go, through the checks of everybody who publishes there.
    Release {
        /// Which.
        entry: Position,
        /// Why, for the technical channel.
        reason: String,
    },
    /// Give it up.
    Drop {
        /// Which.
        entry: Position,
        /// Why, for the technical channel.
        reason: String,
    },
}

/// What lies in an account's quarantine.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Quarantine {
    /// Entries, the oldest first.
    pub detained: Vec<Detained>,
    /// After which one to go on, if the list does not end here.
    pub next: Option<Position>,
}

/// An entry in quarantine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Detained {
    /// Where it is.
    pub entry: Position,
    /// Why it could not be placed: a code.
    pub code: String,
    /// The room and channel that it was meant for, as far as that is known.
    pub meant: Option<(String, ChannelName)>,
    /// Whose it is.
    pub client: ClientId,
    /// When it was published, by this instance's clock.
    pub time: Wall,
    /// Its body, bytes.
    pub bytes: u32,
}
