//! MQTT 5's words for what a door says: a reason code for every refusal, and a sentence for people.

use crate::{
    answer::{AckKind, Grant, Outcome, Ungrant, Welcome},
    v4,
};
use bytes::BytesMut;
use riser_model::door::{Code, Refusal};
use rumqttc::v5::mqttbytes::{
    QoS,
    v5::{
        ConnAck, ConnAckProperties, ConnectReturnCode, Disconnect, DisconnectProperties,
        DisconnectReasonCode, PubAck, PubAckProperties, PubAckReason, PubComp, PubCompProperties,
        PubCompReason, PubRec, PubRecProperties, PubRecReason, PubRel, PubRelProperties, PubRelReason,
        SubAck, SubAckProperties, SubscribeReasonCode, UnsubAck, UnsubAckProperties, UnsubAckReason,
    },
};

/// The codec fails only on packets that cannot be sent, which these are not.
const SENDABLE: &str = "packet ids are not 0 and lengths are bounded";
/// What PUBCOMP 0x92,
const UNKNOWN_ID: &str = "nothing is open under this packet id; want PUBREL after PUBREC only";
/// PUBREL 0x92,
const UNKNOWN_RECEIVED: &str =
    "nothing was sent under this packet id; want PUBREC for what came at QoS 2 only";
/// SUBACK 0x8F
const BAD_FILTER: &str =
    "not a topic filter that this server knows; want room/channel with + and # as whole levels";
/// and UNSUBACK 0x11 say in words.
const NOT_SUBSCRIBED: &str = "nothing was subscribed by this filter; want it as it was in SUBSCRIBE";
/// The longest sentence for people.
const REASON_BYTES_MAX: usize = 255;

pub(crate) fn connected(out: &mut BytesMut, welcome: Welcome) {
    let properties = ConnAckProperties {
        session_expiry_interval: welcome.expiry_s,
        receive_max: Some(welcome.receive_maximum),
        max_packet_size: Some(welcome.packet_bytes_max),
        assigned_client_identifier: welcome.assigned_id,
        topic_alias_max: Some(welcome.topic_aliases_max),
        shared_subscription_available: Some(1),
        server_keep_alive: welcome.keepalive_s,
        authentication_method: welcome.method.map(|method| method.name().to_owned()),
        ..no_connack_properties()
    };
    let session_present = welcome.session_present;
    let ack = ConnAck { session_present, code: ConnectReturnCode::Success, properties: Some(properties) };
    ack.write(out).expect(SENDABLE);
}

pub(crate) fn refused(out: &mut BytesMut, code: ConnectReturnCode, why: Option<&Refusal>) {
    let properties =
        why.map(|why| ConnAckProperties { reason_string: Some(sentence(why)), ..no_connack_properties() });
    ConnAck { session_present: false, code, properties }.write(out).expect(SENDABLE);
}

fn no_connack_properties() -> ConnAckProperties {
    ConnAckProperties {
        session_expiry_interval: None,
        receive_max: None,
        max_qos: None,
        retain_available: None,
        max_packet_size: None,
        assigned_client_identifier: None,
        topic_alias_max: None,
        reason_string: None,
        user_properties: Vec::new(),
        wildcard_subscription_available: None,
        subscription_identifiers_available: None,
        shared_subscription_available: None,
        server_keep_alive: None,
        response_information: None,
        server_reference: None,
        authentication_method: None,
        authentication_data: None,
    }
}

/// CONNACK's code for a refusal by the bus.
pub(crate) fn connect_code(code: Code) -> ConnectReturnCode {
    match code {
        Code::Malformed => ConnectReturnCode::MalformedPacket,
        Code::WrongState => ConnectReturnCode::ProtocolError,
        Code::BadName => ConnectReturnCode::ClientIdentifierNotValid,
        Code::NotAuthorised => ConnectReturnCode::BadUserNamePassword,
        Code::Denied => ConnectReturnCode::NotAuthorized,
        Code::TooLarge => ConnectReturnCode::PacketTooLarge,
        Code::TooMany | Code::QuotaExceeded | Code::SessionFull => ConnectReturnCode::QuotaExceeded,
        Code::LogFailing | Code::Timeout | Code::Dup => ConnectReturnCode::UnspecifiedError,
        Code::UnknownPosition | Code::TakenOver | Code::TooSlow => ConnectReturnCode::ServerBusy,
        Code::ShuttingDown => ConnectReturnCode::ServerUnavailable,
    }
}

/// DISCONNECT's code for a refusal by the bus.
pub(crate) fn disconnect_code(code: Code) -> DisconnectReasonCode {
    match code {
        Code::Malformed => DisconnectReasonCode::MalformedPacket,
        Code::WrongState => DisconnectReasonCode::ProtocolError,
        Code::BadName => DisconnectReasonCode::TopicNameInvalid,
        Code::NotAuthorised | Code::Denied => DisconnectReasonCode::NotAuthorized,
        Code::TooLarge => DisconnectReasonCode::PacketTooLarge,
        Code::TooMany | Code::QuotaExceeded | Code::SessionFull => DisconnectReasonCode::QuotaExceeded,
        Code::LogFailing | Code::Dup => DisconnectReasonCode::UnspecifiedError,
        Code::UnknownPosition => DisconnectReasonCode::ImplementationSpecificError,
        Code::TakenOver => DisconnectReasonCode::SessionTakenOver,
        Code::ShuttingDown => DisconnectReasonCode::ServerShuttingDown,
        Code::Timeout => DisconnectReasonCode::KeepAliveTimeout,
        Code::TooSlow => DisconnectReasonCode::ServerBusy,
    }
}

fn puback_reason(code: Code) -> PubAckReason {
    match code {
        Code::NotAuthorised | Code::Denied => PubAckReason::NotAuthorized,
        Code::BadName => PubAckReason::TopicNameInvalid,
        Code::Malformed => PubAckReason::PayloadFormatInvalid,
        Code::WrongState => PubAckReason::PacketIdentifierInUse,
        Code::TooLarge | Code::UnknownPosition => PubAckReason::ImplementationSpecificError,
        Code::TooMany | Code::QuotaExceeded | Code::SessionFull => PubAckReason::QuotaExceeded,
        Code::LogFailing
        | Code::TakenOver
        | Code::ShuttingDown
        | Code::Timeout
        | Code::TooSlow
        | Code::Dup => PubAckReason::UnspecifiedError,
    }
}

fn pubrec_reason(code: Code) -> PubRecReason {
    match puback_reason(code) {
        PubAckReason::Success => PubRecReason::Success,
        PubAckReason::NoMatchingSubscribers => PubRecReason::NoMatchingSubscribers,
        PubAckReason::UnspecifiedError => PubRecReason::UnspecifiedError,
        PubAckReason::ImplementationSpecificError => PubRecReason::ImplementationSpecificError,
        PubAckReason::NotAuthorized => PubRecReason::NotAuthorized,
        PubAckReason::TopicNameInvalid => PubRecReason::TopicNameInvalid,
        PubAckReason::PacketIdentifierInUse => PubRecReason::PacketIdentifierInUse,
        PubAckReason::QuotaExceeded => PubRecReason::QuotaExceeded,
        PubAckReason::PayloadFormatInvalid => PubRecReason::PayloadFormatInvalid,
    }
}

/// `speak`: whether the client wants sentences.
pub(crate) fn ack(out: &mut BytesMut, kind: AckKind, id: u16, outcome: &Outcome, speak: bool) {
    if matches!(outcome, Outcome::Done) {
        return v4::ack(out, kind, id);
    }
    let refusal = match outcome {
        Outcome::Refused(refusal) => Some(refusal),
        Outcome::Done | Outcome::UnknownId => None,
    };
    let reason_string = refusal.filter(|_| speak).map(|refusal| sentence(refusal));
    match kind {
        AckKind::Published => {
            let reason = refusal.map_or(PubAckReason::Success, |r| puback_reason(r.code));
            let properties = reason_string
                .map(|text| PubAckProperties { reason_string: Some(text), user_properties: Vec::new() });
            PubAck { pkid: id, reason, properties }.write(out)
        }
        AckKind::Received => {
            let reason = refusal.map_or(PubRecReason::Success, |r| pubrec_reason(r.code));
            let properties = reason_string
                .map(|text| PubRecProperties { reason_string: Some(text), user_properties: Vec::new() });
            PubRec { pkid: id, reason, properties }.write(out)
        }
        AckKind::Completed => {
            let reason = match outcome {
                Outcome::Done | Outcome::Refused(_) => PubCompReason::Success,
                Outcome::UnknownId => PubCompReason::PacketIdentifierNotFound,
            };
            let text = matches!(outcome, Outcome::UnknownId) && speak;
            let properties = text.then(|| PubCompProperties {
                reason_string: Some(UNKNOWN_ID.to_owned()),
                user_properties: Vec::new(),
            });
            PubComp { pkid: id, reason, properties }.write(out)
        }
    }
    .expect(SENDABLE);
}

/// PUBREL.
pub(crate) fn release(out: &mut BytesMut, id: u16) {
    let release = PubRel { pkid: id, reason: PubRelReason::Success, properties: None };
    release.write(out).expect(SENDABLE);
}

/// PUBREL for an id that nothing waits for.
pub(crate) fn release_unknown(out: &mut BytesMut, id: u16, speak: bool) {
    let properties = speak.then(|| PubRelProperties {
        reason_string: Some(UNKNOWN_RECEIVED.to_owned()),
        user_properties: Vec::new(),
    });
    let reason = PubRelReason::PacketIdentifierNotFound;
    PubRel { pkid: id, reason, properties }.write(out).expect(SENDABLE);
}

pub(crate) fn subscribed(out: &mut BytesMut, id: u16, grants: &[Grant], speak: bool) {
    let code = |grant: &Grant| match grant {
        Grant::Qos(0) => SubscribeReasonCode::Success(QoS::AtMostOnce),
        Grant::Qos(1) => SubscribeReasonCode::Success(QoS::AtLeastOnce),
        Grant::Qos(_) => SubscribeReasonCode::Success(QoS::ExactlyOnce),
        Grant::Invalid => SubscribeReasonCode::TopicFilterInvalid,
        Grant::Refused(refusal) => subscribe_reason(refusal.code),
    };
    let reason_string = grants.iter().zip(1..).find_map(|(grant, nth)| {
        let text = match grant {
            Grant::Qos(_) => return None,
            Grant::Invalid => BAD_FILTER.to_owned(),
            Grant::Refused(refusal) => sentence(refusal),
        };
        Some(of_filter(grants.len(), nth, text))
    });
    let properties = reason_string
        .filter(|_| speak)
        .map(|text| SubAckProperties { reason_string: Some(text), user_properties: Vec::new() });
    let return_codes = grants.iter().map(code).collect();
    SubAck { pkid: id, return_codes, properties }.write(out).expect(SENDABLE);
}

fn subscribe_reason(code: Code) -> SubscribeReasonCode {
    match code {
        Code::BadName => SubscribeReasonCode::TopicFilterInvalid,
        Code::NotAuthorised | Code::Denied => SubscribeReasonCode::NotAuthorized,
        Code::TooMany | Code::QuotaExceeded | Code::SessionFull => SubscribeReasonCode::QuotaExceeded,
        Code::UnknownPosition => SubscribeReasonCode::ImplementationSpecific,
        Code::Malformed
        | Code::WrongState
        | Code::TooLarge
        | Code::LogFailing
        | Code::TakenOver
        | Code::ShuttingDown
        | Code::Timeout
        | Code::TooSlow
        | Code::Dup => SubscribeReasonCode::Unspecified,
    }
}

pub(crate) fn unsubscribed(out: &mut BytesMut, id: u16, ungrants: &[Ungrant], speak: bool) {
    let reasons = ungrants.iter().map(|ungrant| match ungrant {
        Ungrant::Done => UnsubAckReason::Success,
        Ungrant::Unknown => UnsubAckReason::NoSubscriptionExisted,
    });
    let unknown = ungrants.iter().zip(1..).find(|(ungrant, _)| **ungrant == Ungrant::Unknown);
    let properties = unknown.filter(|_| speak).map(|(_, nth)| UnsubAckProperties {
        reason_string: Some(of_filter(ungrants.len(), nth, NOT_SUBSCRIBED.to_owned())),
        user_properties: Vec::new(),
    });
    UnsubAck { pkid: id, reasons: reasons.collect(), properties }.write(out).expect(SENDABLE);
}

/// One packet has one sentence: that of the first filter that went wrong, by its place among several.
fn of_filter(count: usize, nth: usize, text: String) -> String {
    if count == 1 { text } else { format!("filter {nth}: {text}") }
}

pub(crate) fn disconnect(out: &mut BytesMut, reason_code: DisconnectReasonCode, why: Option<&Refusal>) {
    let Some(why) = why else {
        // The codec takes a DISCONNECT with nothing but its reason for one without.
        out.extend_from_slice(&[0xe0, 1, reason_code as u8]);
        return;
    };
    let properties = Some(DisconnectProperties {
        session_expiry_interval: None,
        reason_string: Some(sentence(why)),
        user_properties: Vec::new(),
        server_reference: None,
    });
    Disconnect { reason_code, properties }.write(out).expect(SENDABLE);
}

/// What was wrong and what would be right.
fn sentence(refusal: &Refusal) -> String {
    let mut text = format!("{}; want {}", refusal.what, refusal.want).replace('\0', " ");
    text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
    text
}
