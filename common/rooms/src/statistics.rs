//! What was counted: per room, per channel, and what was let go of, for metrics and pages.
//!
//! Every number is counted where it happens. Counts begin at zero when the process starts.

use riser_model::{AccountId, ChannelName, RoomId, RoomName, Wall, door::Code};

/// What went through a room or a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Publications.
    pub messages: u64,
    /// Their bodies, bytes.
    pub bytes: u64,
    /// When the newest was committed; of one that was there at the start, when it was published.
    pub last: Option<Wall>,
}

impl Traffic {
    pub(crate) fn add(&mut self, bytes: u64, wall: Wall) {
        self.messages += 1;
        self.bytes += bytes;
        self.last = Some(wall);
    }
}

/// One room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomStatistics {
    /// Its id.
    pub id: RoomId,
    /// Whose it is.
    pub account: AccountId,
    /// Its name.
    pub name: RoomName,
    /// What went through it.
    pub traffic: Traffic,
    /// What of it went through channels that are nobody's address: all that whoever may read the whole room reads of it, unless
    /// it looks after it.
    pub open: Traffic,
    /// Connections in it.
    pub members: u32,
    /// Subscriptions that read it.
    pub subscribers: u32,
    /// Channels that were ever published in.
    pub channels: u32,
    /// Those of them that are nobody's address.
    pub open_channels: u32,
}

/// One channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChannelStatistics {
    /// Its name.
    pub name: ChannelName,
    /// What went through it.
    pub traffic: Traffic,
    /// Subscriptions of this channel alone.
    pub subscribers: u32,
}

/// What was let go of or refused, and how often.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Entries refused, by the number of the code in [`Code::ALL`].
    pub refused: [u64; Code::ALL.len()],
    /// Entries that batches lost because they failed; their publishers were told.
    pub failed: u64,
    /// Entries committed.
    pub committed: u64,
    /// Publications delivered.
    pub delivered: u64,
    /// Publications that `conflate` passed over.
    pub skipped: u64,
    /// Gaps told to subscribers, in seqs.
    pub gapped: u64,
    /// Events of the system that were not written by themselves: others that stand for them are.
    pub coalesced: u64,
    /// Events that a log that fails could not take, of which more came than are kept to be said later.
    pub unsaid: u64,
    /// Events that say what became of a publication that went down.
    pub outcomes: u64,
    /// Publications that were addressed to a client that was not there, in rooms that keep nothing for it.
    pub void: u64,
    /// Channels that devices named and that are none: what they publish there goes to quarantine.
    pub quarantined: u64,
    /// Publications of devices that were to be retained, and were stored without for want of room.
    pub unretained: u64,
    /// What rooms' quotas refused, or put into quarantine where a link brought it.
    pub over_quota: u64,
    /// Present values beside a backlog that were discarded for want of room.
    pub latest_discarded: u64,
    /// Chunks that were read and let go of before their reader came.
    pub chunks_discarded: u64,
    /// What visitors of lobbies asked for and have no right to: no event says so.
    pub visitors_refused: u64,
    /// Inputs about connections or tickets that do not exist (any more).
    pub strays: u64,
}

impl Counters {
    pub(crate) fn refuse(&mut self, code: Code, entries: u64) {
        if let Some(count) = self.refused.get_mut(code as usize) {
            *count += entries;
        }
    }

    /// How many entries were refused with that code.
    pub fn refused(&self, code: Code) -> u64 {
        self.refused.get(code as usize).copied().unwrap_or(0)
    }
}

/// The bus at this moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statistics {
    /// The configured rooms, in the order in which the log first met them.
    pub rooms: Vec<RoomStatistics>,
    /// Connections.
    pub connections: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Routes of the log.
    pub routes: usize,
    /// Channels that retain something.
    pub retained: usize,
    /// What the tail holds, bytes with its index.
    pub tail_bytes: usize,
    /// What waits for the disk, bytes.
    pub unstored_bytes: usize,
    /// What was read and waits for its readers, bytes.
    pub chunks_bytes: usize,
    /// What was let go of or refused.
    pub counters: Counters,
}
