//! MQTT sessions that outlive their connections, as doors and bus speak of them.

use super::Target;
use crate::{id::RoomId, name::ChannelName, position::Position, tally::Tally};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

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
    /// before [`Tell::Entered`](super::Tell::Entered).
    pub will: Option<Will>,
}

/// The cause in [`Ask::Leave`](super::Ask::Leave) with which a client takes its leave on purpose: its will is
/// forgotten.
pub const NORMAL: &str = "normal";

/// The cause with which a door leaves whose peer took nothing of what waited for it.
pub const STALLED: &str = "stalled";

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

/// What a subscription is still to be shown of what its channels retain: in the order of rooms' ids, and of channels'
/// names in them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Showing {
    /// Nothing: nobody asked for it, or all of it was shown.
    #[default]
    Nothing,
    /// All of it.
    All,
    /// What is behind that channel.
    After(RoomId, ChannelName),
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
    /// What it has not yet had of what its channels retain.
    pub showing: Showing,
}
