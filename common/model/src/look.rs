//! What somebody asks an instance about itself, and what it sees at that moment: who is in a room, what goes through
//! it, and what lies in quarantine.

use crate::{
    id::{ClientId, ConnectionId, LogId},
    name::{AccountName, ChannelName, Filter, RoomName},
    position::Position,
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
    },
    /// What goes through a room.
    Statistics {
        /// Which.
        room: RoomName,
        /// Of which channels rows are wanted.
        channels: Filter,
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
    /// Those that were left out, for there are very many.
    pub more: u64,
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
    /// The sum of all rows.
    pub rates: Rates,
    /// When the newest was committed.
    pub last: Option<Wall>,
    /// Subscriptions that read the room.
    pub subscribers: u32,
    /// Connections in it.
    pub connections: u32,
    /// Channels that were ever published in.
    pub channels: u32,
    /// One row for each channel that was asked for and may be read.
    pub rows: Vec<ChannelTraffic>,
    /// All channels that have no row of their own in the instance's memory; none for those who may not read them all.
    pub other: Option<Rates>,
    /// The sums leave out what may not be read, or was not asked for.
    pub partial: bool,
    /// Publications addressed to a client that had neither a connection nor a session, in a room without history: nobody
    /// will ever read them.
    pub void: u64,
}

/// What goes through a channel at the moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChannelTraffic {
    /// Which.
    pub channel: ChannelName,
    /// What went through it.
    pub rates: Rates,
    /// When the newest was committed.
    pub last: Option<Wall>,
    /// The body of its newest publication, where that is in memory.
    pub value: Option<Bytes>,
    /// Subscriptions of this channel alone.
    pub subscribers: u32,
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
