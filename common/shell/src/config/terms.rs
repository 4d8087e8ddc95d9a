//! `terms` of a listener: what its MQTT clients are held to.

use super::{ByteSize, Duration};
use riser_gate::Invalid;
use riser_wire::limits::{MQTT_PACKET_BYTES_MAX, RECEIVE_MAXIMUM};
use serde::{Deserialize, Serialize};

/// What is not said is as MQTT has it, or as the defaults of `wire`'s limits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Terms {
    /// The longest keepalive. A client of MQTT 5 that wants a longer one or none is told this one (Server Keep Alive);
    /// one of 3.1.1, which cannot be told, keeps its own. None: whatever the client says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive_max: Option<Duration>,
    /// The longest that a session outlives its connection, one of MQTT 3.1.1 too. A client of MQTT 5 is told. None: as
    /// long as the client says, and for ever in 3.1.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_expiry_max: Option<Duration>,
    /// How many QoS 1 and 2 publications of a client may wait for their acknowledgement; MQTT 5 is told.
    pub receive_maximum: u16,
    /// How many may wait for the client's, if it does not want fewer.
    pub inflight_max: u16,
    /// The largest packet that is taken; MQTT 5 is told. A larger one ends the connection.
    pub packet_max: ByteSize,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            keepalive_max: None,
            session_expiry_max: None,
            receive_maximum: RECEIVE_MAXIMUM,
            inflight_max: RECEIVE_MAXIMUM,
            packet_max: ByteSize(MQTT_PACKET_BYTES_MAX as u64),
        }
    }
}

/// What an operator may raise a packet to: each connection may hold one that is not whole yet.
const PACKET_MAX: ByteSize = ByteSize::mib(16);
/// CONNECT comes before anything is said.
const PACKET_MIN: ByteSize = ByteSize(16 * 1024);

impl Terms {
    /// Whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What is wrong with them.
    pub fn check(&self, key: &str) -> Option<Invalid> {
        let wrong = |name: &str, what: String, want: String| {
            Invalid::new(format!("{key}.terms.{name}"), format!("{what} is out of range"), want)
        };
        let seconds = |name: &str, length: Option<Duration>, most: u64| {
            let length = length?;
            let whole = length.ms().is_multiple_of(1000) && (1..=most).contains(&(length.ms() / 1000));
            (!whole).then(|| wrong(name, length.to_string(), format!("want whole seconds, 1s to {most}s")))
        };
        let count = |name: &str, count: u16| {
            (count == 0).then(|| wrong(name, "0".to_owned(), "want 1 to 65535".to_owned()))
        };
        let packet = !(PACKET_MIN..=PACKET_MAX).contains(&self.packet_max);
        seconds("keepalive_max", self.keepalive_max, u64::from(u16::MAX))
            .or_else(|| seconds("session_expiry_max", self.session_expiry_max, u64::from(u32::MAX - 1)))
            .or_else(|| count("receive_maximum", self.receive_maximum))
            .or_else(|| count("inflight_max", self.inflight_max))
            .or_else(|| {
                let want = format!("want {PACKET_MIN} to {PACKET_MAX}");
                packet.then(|| wrong("packet_max", self.packet_max.to_string(), want))
            })
    }

    /// The longest keepalive, seconds; 0 is any.
    pub fn keepalive_s(&self) -> u16 {
        self.keepalive_max.map_or(0, |length| u16::try_from(length.ms() / 1000).unwrap_or(u16::MAX))
    }

    /// The longest that a session outlives its connection, seconds; the largest number is for ever.
    pub fn session_expiry_s(&self) -> u32 {
        self.session_expiry_max
            .map_or(u32::MAX, |length| u32::try_from(length.ms() / 1000).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_that_mqtt_cannot_say_are_wrong() {
        assert_eq!(Terms::default().check("x").map(|_| ()), None);
        let wrong = [
            Terms { keepalive_max: Some(Duration::seconds(0)), ..Terms::default() },
            Terms { keepalive_max: Some(Duration::seconds(65_536)), ..Terms::default() },
            Terms { keepalive_max: "1500ms".parse().ok(), ..Terms::default() },
            Terms { session_expiry_max: Some(Duration::seconds(0)), ..Terms::default() },
            Terms { receive_maximum: 0, ..Terms::default() },
            Terms { inflight_max: 0, ..Terms::default() },
            Terms { packet_max: ByteSize(1024), ..Terms::default() },
            Terms { packet_max: ByteSize::mib(17), ..Terms::default() },
        ];
        for terms in wrong {
            assert!(terms.check("listen.mqtt[0]").is_some(), "{terms:?}");
        }
        let right = Terms { keepalive_max: Some(Duration::seconds(65_535)), ..Terms::default() };
        assert!(right.check("x").is_none());
        assert_eq!((right.keepalive_s(), Terms::default().session_expiry_s()), (65_535, u32::MAX));
    }
}
