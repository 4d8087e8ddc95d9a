//! SUBSCRIBE and UNSUBSCRIBE as they come in: checked on the bytes, read by the codec of their version.

use crate::{
    fault::Fault,
    fields::{CUT, Fields},
    frame::Frame,
    peer::Version,
    property::{self, Allowed, IN_SUBSCRIBE, IN_UNSUBSCRIBE},
    publish::packet_id,
    subscription::options,
};
use bytes::Bytes;
use riser_model::door::{Code, Keep};
use riser_wire::limits::SUBSCRIPTIONS_CEILING;
use rumqttc::{
    mqttbytes::v4,
    v5::mqttbytes::v5::{self, DisconnectReasonCode, RetainForwardRule},
};

/// A SUBSCRIBE packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Subscribe {
    pub(crate) id: u16,
    pub(crate) filters: Vec<(String, Keep)>,
}

/// An UNSUBSCRIBE packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Unsubscribe {
    pub(crate) id: u16,
    pub(crate) filters: Vec<String>,
}

/// The most filters of one packet: as many as a connection may ever hold.
const FILTERS_MAX: usize = SUBSCRIPTIONS_CEILING;

/// Reads SUBSCRIBE.
pub(crate) fn read_subscribe(frame: &Frame<'_>, version: Version) -> Result<Subscribe, Fault> {
    let read = match version {
        Version::V4 => {
            check(frame, None, |fields| check_options(fields, !options::QOS))?;
            subscribe_v4(frame)
        }
        Version::V5 => {
            check(frame, Some(IN_SUBSCRIBE), |fields| check_options(fields, options::RESERVED))?;
            subscribe_v5(frame)
        }
    };
    read.ok_or(Fault::malformed("the codec reads no SUBSCRIBE in it"))
}

/// Reads UNSUBSCRIBE.
pub(crate) fn read_unsubscribe(frame: &Frame<'_>, version: Version) -> Result<Unsubscribe, Fault> {
    let read = match version {
        Version::V4 => {
            check(frame, None, |_| Ok(()))?;
            unsubscribe_v4(frame)
        }
        Version::V5 => {
            check(frame, Some(IN_UNSUBSCRIBE), |_| Ok(()))?;
            unsubscribe_v5(frame)
        }
    };
    read.ok_or(Fault::malformed("the codec reads no UNSUBSCRIBE in it"))
}

fn check(
    frame: &Frame<'_>,
    section: Option<Allowed>,
    after_filter: impl Fn(&mut Fields<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut fields = Fields::new(frame.body());
    packet_id(&mut fields)?;
    if let Some(allowed) = section {
        property::section(&mut fields, allowed)?;
    }
    if fields.is_empty() {
        return Err(Fault::protocol("a packet without a topic filter", "at least one"));
    }
    let mut filters = 0;
    while !fields.is_empty() {
        filters += 1;
        if filters > FILTERS_MAX {
            return Err(Fault {
                code: Code::TooMany,
                reason: DisconnectReasonCode::QuotaExceeded,
                what: "very many filters in one packet",
                want: "at most 10000",
            });
        }
        if fields.text()?.is_empty() {
            return Err(Fault::malformed("an empty topic filter"));
        }
        after_filter(&mut fields)?;
    }
    Ok(())
}

fn check_options(fields: &mut Fields<'_>, forbidden: u8) -> Result<(), Fault> {
    let bits = fields.u8().ok_or(CUT)?;
    let whole = |mask| bits & mask != mask;
    if bits & forbidden == 0 && whole(options::QOS) && whole(options::RETAIN_HANDLING) {
        Ok(())
    } else {
        Err(Fault::malformed("subscription options that MQTT does not have"))
    }
}

fn subscribe_v4(frame: &Frame<'_>) -> Option<Subscribe> {
    let packet = v4::Subscribe::read(head_v4(frame)?, Bytes::copy_from_slice(frame.whole)).ok()?;
    let keep = |qos| Keep { options: qos as u8, identifier: 0 };
    let filters = packet.filters.into_iter().map(|filter| (filter.path, keep(filter.qos)));
    Some(Subscribe { id: packet.pkid, filters: filters.collect() })
}

fn subscribe_v5(frame: &Frame<'_>) -> Option<Subscribe> {
    let packet = v5::Subscribe::read(head_v5(frame)?, Bytes::copy_from_slice(frame.whole)).ok()?;
    let identifier = u32::try_from(packet.properties.and_then(|p| p.id).unwrap_or(0)).ok()?;
    let filters = packet.filters.into_iter().map(|filter| {
        let options = options_v5(&filter);
        (filter.path, Keep { options, identifier })
    });
    Some(Subscribe { id: packet.pkid, filters: filters.collect() })
}

fn options_v5(filter: &v5::Filter) -> u8 {
    let no_local = if filter.nolocal { options::NO_LOCAL } else { 0 };
    let as_published = if filter.preserve_retain { options::RETAIN_AS_PUBLISHED } else { 0 };
    let handling = match filter.retain_forward_rule {
        RetainForwardRule::OnEverySubscribe => 0,
        RetainForwardRule::OnNewSubscribe => 1,
        RetainForwardRule::Never => 2,
    };
    filter.qos as u8 | no_local | as_published | handling << 4
}

fn unsubscribe_v4(frame: &Frame<'_>) -> Option<Unsubscribe> {
    let packet = v4::Unsubscribe::read(head_v4(frame)?, Bytes::copy_from_slice(frame.whole)).ok()?;
    Some(Unsubscribe { id: packet.pkid, filters: packet.topics })
}

fn unsubscribe_v5(frame: &Frame<'_>) -> Option<Unsubscribe> {
    let packet = v5::Unsubscribe::read(head_v5(frame)?, Bytes::copy_from_slice(frame.whole)).ok()?;
    Some(Unsubscribe { id: packet.pkid, filters: packet.filters })
}

/// The frame's head as the codec for MQTT 3.1.1 wants it.
pub(crate) fn head_v4(frame: &Frame<'_>) -> Option<rumqttc::mqttbytes::FixedHeader> {
    let first = *frame.whole.first()?;
    Some(rumqttc::mqttbytes::FixedHeader::new(first, frame.head.bytes - 1, frame.head.body_bytes))
}

/// The frame's head as the codec for MQTT 5 wants it.
pub(crate) fn head_v5(frame: &Frame<'_>) -> Option<v5::FixedHeader> {
    let first = *frame.whole.first()?;
    Some(v5::FixedHeader::new(first, frame.head.bytes - 1, frame.head.body_bytes))
}
