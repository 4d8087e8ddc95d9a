//! Who is at the other end: its version and the limits it named. Puts every answer in its words.

use crate::{
    answer::{AckKind, Grant, Outcome, Ungrant, Welcome},
    v4, v5,
};
use bytes::BytesMut;
use riser_model::door::Refusal;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode};

/// MQTT's protocol level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Version {
    /// MQTT 3.1.1.
    V4,
    /// MQTT 5.
    V5,
}

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Peer {
    pub(crate) version: Version,
    /// It speaks MQTT 3.1, which was looser: as 3.1.1 otherwise.
    pub(crate) old: bool,
    /// How many QoS 1 publications it takes unacknowledged.
    pub(crate) receive_maximum: u16,
    /// The largest packet that it takes.
    pub(crate) packet_bytes_max: u32,
    /// How many topic aliases it takes.
    pub(crate) topic_aliases_max: u16,
    /// Whether it wants sentences beside reason codes.
    pub(crate) problem_information: bool,
}

impl Peer {
    /// A peer that named no limits.
    pub(crate) fn new(version: Version) -> Self {
        let (receive_maximum, packet_bytes_max, topic_aliases_max) = (u16::MAX, u32::MAX, 0);
        Self {
            version,
            old: false,
            receive_maximum,
            packet_bytes_max,
            topic_aliases_max,
            problem_information: true,
        }
    }

    pub(crate) fn connected(&self, out: &mut BytesMut, welcome: Welcome) {
        match self.version {
            // In MQTT 3.1 that byte is reserved.
            Version::V4 => v4::connected(out, welcome.session_present && !self.old),
            Version::V5 => v5::connected(out, welcome),
        }
    }

    pub(crate) fn connect_refused(&self, out: &mut BytesMut, reason: ConnectReturnCode, why: &Refusal) {
        match self.version {
            Version::V4 => v4::refused(out, why.code),
            Version::V5 => self.briefly(out, |out, speak| v5::refused(out, reason, speak.then_some(why))),
        }
    }

    pub(crate) fn ack(&self, out: &mut BytesMut, kind: AckKind, id: u16, outcome: &Outcome) {
        match self.version {
            Version::V4 => v4::ack(out, kind, id),
            Version::V5 => self.briefly(out, |out, speak| v5::ack(out, kind, id, outcome, speak)),
        }
    }

    /// PUBREL.
    pub(crate) fn release(&self, out: &mut BytesMut, id: u16) {
        match self.version {
            Version::V4 => v4::release(out, id),
            Version::V5 => v5::release(out, id),
        }
    }

    /// PUBREL for an id that nothing waits for.
    pub(crate) fn release_unknown(&self, out: &mut BytesMut, id: u16) {
        match self.version {
            Version::V4 => v4::release(out, id),
            Version::V5 => self.briefly(out, |out, speak| v5::release_unknown(out, id, speak)),
        }
    }

    pub(crate) fn subscribed(&self, out: &mut BytesMut, id: u16, grants: &[Grant]) {
        match self.version {
            Version::V4 => v4::subscribed(out, id, grants),
            Version::V5 => self.briefly(out, |out, speak| v5::subscribed(out, id, grants, speak)),
        }
    }

    pub(crate) fn unsubscribed(&self, out: &mut BytesMut, id: u16, ungrants: &[Ungrant]) {
        match self.version {
            Version::V4 => v4::unsubscribed(out, id),
            Version::V5 => self.briefly(out, |out, speak| v5::unsubscribed(out, id, ungrants, speak)),
        }
    }

    /// MQTT 3.1.1 has no such packet: there the closed connection says it.
    pub(crate) fn disconnect(&self, out: &mut BytesMut, reason: DisconnectReasonCode, why: &Refusal) {
        match self.version {
            Version::V4 => {}
            Version::V5 => self.briefly(out, |out, speak| v5::disconnect(out, reason, speak.then_some(why))),
        }
    }

    /// Writes a packet with its sentence if the peer wants one and it fits, otherwise without.
    fn briefly(&self, out: &mut BytesMut, write: impl Fn(&mut BytesMut, bool)) {
        let start = out.len();
        write(out, self.problem_information);
        if self.problem_information && out.len() - start > self.packet_bytes_max as usize {
            out.truncate(start);
            write(out, false);
        }
    }
}
