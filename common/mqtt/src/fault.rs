//! What a peer did wrong, before it is worded in its protocol.

use riser_model::door::{Code, Refusal};
use rumqttc::v5::mqttbytes::v5::DisconnectReasonCode;

/// What does not fit into the client's Maximum Packet Size (MQTT 5, section 3.1.2.11.4),
pub(crate) const ANSWER: &str = "an answer larger than the client's Maximum Packet Size";
/// and what would be right.
pub(crate) const PACKET_FOR_IT: &str = "a larger Maximum Packet Size, or fewer filters in one packet";

/// A reason to end the connection: the peer broke MQTT's rules or one of our limits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Fault {
    /// As every door says it.
    pub(crate) code: Code,
    /// As MQTT 5 says it.
    pub(crate) reason: DisconnectReasonCode,
    /// What was wrong.
    pub(crate) what: &'static str,
    /// What would be right.
    pub(crate) want: &'static str,
}

impl Fault {
    /// The bytes are not MQTT.
    pub(crate) fn malformed(what: &'static str) -> Self {
        Self {
            code: Code::Malformed,
            reason: DisconnectReasonCode::MalformedPacket,
            what,
            want: "a packet as in MQTT 3.1.1 or 5",
        }
    }

    /// The bytes are MQTT, at a moment or with a content that MQTT forbids.
    pub(crate) fn protocol(what: &'static str, want: &'static str) -> Self {
        Self { code: Code::WrongState, reason: DisconnectReasonCode::ProtocolError, what, want }
    }

    /// Larger than a limit.
    pub(crate) fn too_large(what: &'static str, want: &'static str) -> Self {
        Self { code: Code::TooLarge, reason: DisconnectReasonCode::PacketTooLarge, what, want }
    }

    /// The same for every door.
    pub(crate) fn refusal(&self) -> Refusal {
        Refusal { code: self.code, what: self.what.to_owned(), want: self.want.to_owned() }
    }
}
