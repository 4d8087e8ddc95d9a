//! MQTT 3.1.1's words for what a door says. It has none for most refusals: there the connection closes.

use crate::answer::{AckKind, Grant};
use bytes::BytesMut;
use riser_model::door::Code;
use rumqttc::mqttbytes::{
    QoS,
    v4::{
        ConnAck, ConnectReturnCode, PubAck, PubComp, PubRec, PubRel, SubAck, SubscribeReasonCode, UnsubAck,
    },
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

pub(crate) fn ack(out: &mut BytesMut, kind: AckKind, id: u16) {
    match kind {
        AckKind::Published => PubAck::new(id).write(out),
        AckKind::Received => PubRec::new(id).write(out),
        AckKind::Completed => PubComp::new(id).write(out),
    }
    .expect(SENDABLE);
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
