//! MQTT 3.1.1's words for what a door says. It has none for most refusals: there the connection closes.

use crate::answer::{AckKind, Grant};
use bytes::BytesMut;
use riser_model::door::Code;
use rumqttc::mqttbytes::{
    QoS,
    v4::{ConnAck, ConnectReturnCode, PubRel, SubAck, SubscribeReasonCode, UnsubAck},
};

/// The codec fails only on packets that cannot be sent, which these are not.
const SENDABLE: &str = "packet ids are not 0 and lengths are bounded";

pub(crate) fn connected(out: &mut BytesMut, session_present: bool) {
    ConnAck::new(ConnectReturnCode::Success, session_present).write(out).expect(SENDABLE);
}

pub(crate) fn refused(out: &mut BytesMut, code: Code) {
    ConnAck::new(connect_code(code), false).write(out).expect(SENDABLE);
}

/// To a client whose protocol level is neither 4 nor 5.
pub(crate) fn unknown_version(out: &mut BytesMut) {
    ConnAck::new(ConnectReturnCode::RefusedProtocolVersion, false).write(out).expect(SENDABLE);
}

fn connect_code(code: Code) -> ConnectReturnCode {
    match code {
        // Its other code is for credentials that are malformed [MQTT 3.1.1, table 3.1].
        Code::NotAuthorised | Code::Denied => ConnectReturnCode::NotAuthorized,
        Code::BadName => ConnectReturnCode::BadClientId,
        Code::Malformed
        | Code::WrongState
        | Code::TooLarge
        | Code::TooMany
        | Code::QuotaExceeded
        | Code::SessionFull
        | Code::LogFailing
        | Code::UnknownPosition
        | Code::TakenOver
        | Code::ShuttingDown
        | Code::Timeout
        | Code::TooSlow
        | Code::Dup => ConnectReturnCode::ServiceUnavailable,
    }
}

/// MQTT 5 has the same word for what went well. By hand, as they leave by the million; a test holds that the codecs write
/// the same.
pub(crate) fn ack(out: &mut BytesMut, kind: AckKind, id: u16) {
    let first = match kind {
        AckKind::Published => 0x40,
        AckKind::Received => 0x50,
        AckKind::Completed => 0x70,
    };
    let [high, low] = id.to_be_bytes();
    out.extend_from_slice(&[first, 2, high, low]);
}

pub(crate) fn release(out: &mut BytesMut, id: u16) {
    PubRel::new(id).write(out).expect(SENDABLE);
}

pub(crate) fn subscribed(out: &mut BytesMut, id: u16, grants: &[Grant]) {
    let codes = grants.iter().map(|grant| match grant {
        Grant::Qos(0) => SubscribeReasonCode::Success(QoS::AtMostOnce),
        Grant::Qos(1) => SubscribeReasonCode::Success(QoS::AtLeastOnce),
        Grant::Qos(_) => SubscribeReasonCode::Success(QoS::ExactlyOnce),
        Grant::Refused(_) | Grant::Invalid => SubscribeReasonCode::Failure,
    });
    SubAck::new(id, codes.collect()).write(out).expect(SENDABLE);
}

pub(crate) fn unsubscribed(out: &mut BytesMut, id: u16) {
    UnsubAck::new(id).write(out).expect(SENDABLE);
}

#[cfg(test)]
mod tests {
    use super::*;
    use rumqttc::{mqttbytes::v4, v5::mqttbytes::v5};

    fn both(kind: AckKind, id: u16) -> [BytesMut; 2] {
        let (mut four, mut five) = (BytesMut::new(), BytesMut::new());
        match kind {
            AckKind::Published => {
                v4::PubAck::new(id).write(&mut four).unwrap();
                v5::PubAck::new(id, None).write(&mut five).unwrap();
            }
            AckKind::Received => {
                v4::PubRec::new(id).write(&mut four).unwrap();
                v5::PubRec::new(id, None).write(&mut five).unwrap();
            }
            AckKind::Completed => {
                v4::PubComp::new(id).write(&mut four).unwrap();
                v5::PubComp::new(id, None).write(&mut five).unwrap();
            }
        }
        [four, five]
    }

    #[test]
    fn acknowledgements_are_what_the_codecs_write() {
        for kind in [AckKind::Published, AckKind::Received, AckKind::Completed] {
            for id in [1, 255, 256, u16::MAX] {
                let mut ours = BytesMut::new();
                ack(&mut ours, kind, id);
                assert_eq!(both(kind, id), [ours.clone(), ours], "{kind:?} {id}");
            }
        }
    }
}
