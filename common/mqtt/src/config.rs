//! What a listener allows its MQTT clients.

use riser_wire::limits::{MQTT_PACKET_BYTES_MAX, RECEIVE_MAXIMUM, SUBSCRIPTIONS_MAX};
use serde::{Deserialize, Serialize};

/// One listener's limits, the same for all of its connections.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The largest packet that is taken, bytes; clients of MQTT 5 are told.
    pub packet_bytes_max: u32,
    /// How many QoS 1 and 2 publications may wait for our acknowledgement; clients of MQTT 5 are told. Who has more is
    /// counted, and closed at 65,535.
    pub receive_maximum: u16,
    /// How many QoS 1 publications may wait for the client's acknowledgement, if it does not want fewer.
    pub inflight_max: u16,
    /// The longest keepalive, seconds; clients of MQTT 5 that want a longer one or none are told. 0: any.
    pub keepalive_s_max: u16,
    /// The longest that a session may outlive its connection, seconds, in both versions; clients of MQTT 5 are told.
    pub session_expiry_s_max: u32,
    /// How many topic aliases a client of MQTT 5 may define.
    pub topic_aliases_max: u16,
    /// How many topic aliases are given out to a client of MQTT 5, if it does not take fewer.
    pub aliases_given_max: u16,
    /// How many subscriptions one connection, and its session, may hold.
    pub subscriptions_max: usize,
    /// Whether clients without any credential are let in.
    pub allow_anonymous: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            packet_bytes_max: MQTT_PACKET_BYTES_MAX as u32,
            receive_maximum: RECEIVE_MAXIMUM,
            inflight_max: RECEIVE_MAXIMUM,
            keepalive_s_max: 0,
            session_expiry_s_max: u32::MAX,
            topic_aliases_max: 32,
            aliases_given_max: 32,
            subscriptions_max: SUBSCRIPTIONS_MAX,
            allow_anonymous: false,
        }
    }
}
