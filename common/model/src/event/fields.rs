//! What events carry that is a thing of its own.

use crate::{
    name::{ChannelName, RoomName},
    time::Wall,
};
use serde::{Deserialize, Serialize};

/// Where traffic stands, as it is told once in a while.
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
    /// Subscriptions that read the room.
    pub subscribers: u32,
    /// Connections in it.
    pub connections: u32,
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
