//! What a segment holds of each channel, so that readers can skip it.

use riser_model::{ChannelName, RoomId, Seq, Wall};
use serde::{Deserialize, Serialize};

/// What a segment holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Footer {
    /// The first seq of the segment.
    pub first: Seq,
    /// The last.
    pub last: Seq,
    /// Whether all channels are listed. If not, one that is missing may be there all the same.
    pub complete: bool,
    /// The channels, in order of room and name.
    pub channels: Vec<ChannelFooter>,
}

/// What a segment holds of one channel.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChannelFooter {
    /// Its room.
    pub room: RoomId,
    /// The channel.
    pub channel: ChannelName,
    /// Its first seq here.
    pub first: Seq,
    /// Its last seq here.
    pub last: Seq,
    /// How many entries.
    pub count: u64,
    /// How many bytes of frames.
    pub bytes: u64,
    /// The earliest wall stamp.
    pub time_min: Wall,
    /// The latest wall stamp.
    pub time_max: Wall,
}
