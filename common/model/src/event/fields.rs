//! What events carry that is a thing of its own.

use super::as_text;
use crate::{
    name::{ChannelName, RoomName},
    position::Position,
    time::Wall,
};
use serde::{Deserialize, Serialize};

/// Where the traffic of a room or a channel stands, as it is told once in a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Told {
    /// Publications since the process started.
    pub messages: u64,
    /// Their bodies, bytes.
    pub bytes: u64,
    /// Publications of the last whole second.
    #[serde(default)]
    pub per_s: u64,
    /// Publications of the last minute.
    pub per_min: u64,
    /// Bytes of the last whole second.
    #[serde(default)]
    pub bytes_per_s: u64,
    /// Bytes of the last minute.
    #[serde(default)]
    pub bytes_per_min: u64,
    /// When the newest was committed, milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Wall>,
    /// Subscriptions that read it.
    pub subscribers: u32,
    /// Connections in the room, or those that read the channel.
    pub connections: u32,
}

/// Where a room's traffic stands, and that of the channels that were published in last.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Statistics {
    /// The room's.
    #[serde(flatten)]
    pub room: Told,
    /// Its newest publication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Latest>,
    /// Channels, the one that was published in last first. What the room has beside them went through others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<ChannelTold>,
    /// More read these channels than were looked at: their subscribers and connections are at least so many.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
}

/// The newest publication of a room: where it is, for its room may let go of it before the event is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Latest {
    /// Its channel.
    pub channel: ChannelName,
    /// Its place in the log; none of one that came beside a backlog, and has none yet.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "as_text::optional")]
    pub pos: Option<Position>,
}

/// Where a channel's traffic stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChannelTold {
    /// Which.
    pub channel: ChannelName,
    /// Its figures; of the last second and minute 0 past the bound of channels that have rates.
    #[serde(flatten)]
    pub told: Told,
}

/// The id by which a publisher knows its publication.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PublishedAs {
    /// Drawn by the publisher. Text, as in requests: JavaScript would round it.
    #[serde(with = "number_as_text")]
    pub producer: u64,
    /// Rises with every publication.
    pub n: u64,
}

/// A channel of a room, by their names as they were.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Destination {
    /// The room.
    pub room: RoomName,
    /// The channel.
    pub channel: ChannelName,
}

mod number_as_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// What an acceptor did with a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateStep {
    /// It said something, and waits for an answer.
    Asked,
    /// It asked somebody else, and waits.
    Waits,
    /// It let the connection pass.
    Passed,
    /// It sent the connection away.
    Refused,
}
