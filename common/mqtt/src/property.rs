//! MQTT 5's properties: which belong where, and what of a publication's travels with it.
//!
//! The codec does not see properties that come twice, run over the end of their section, or hold a value
//! that MQTT forbids; [`section`] does. It copies nothing.

use crate::{
    fault::Fault,
    fields::{CUT, Fields},
    topic,
};
use rumqttc::v5::mqttbytes::v5::DisconnectReasonCode;
use std::borrow::Cow;

pub(crate) const PAYLOAD_FORMAT: u8 = 1;
pub(crate) const MESSAGE_EXPIRY: u8 = 2;
pub(crate) const CONTENT_TYPE: u8 = 3;
pub(crate) const RESPONSE_TOPIC: u8 = 8;
pub(crate) const CORRELATION_DATA: u8 = 9;
pub(crate) const SUBSCRIPTION_IDENTIFIER: u8 = 11;
pub(crate) const SESSION_EXPIRY: u8 = 17;
pub(crate) const AUTHENTICATION_METHOD: u8 = 21;
pub(crate) const AUTHENTICATION_DATA: u8 = 22;
pub(crate) const REQUEST_PROBLEM: u8 = 23;
pub(crate) const WILL_DELAY: u8 = 24;
pub(crate) const REQUEST_RESPONSE: u8 = 25;
pub(crate) const REASON: u8 = 31;
pub(crate) const RECEIVE_MAXIMUM: u8 = 33;
pub(crate) const ALIAS_MAXIMUM: u8 = 34;
pub(crate) const ALIAS: u8 = 35;
pub(crate) const USER: u8 = 38;
pub(crate) const PACKET_SIZE_MAXIMUM: u8 = 39;

/// Which properties a section may hold.
#[derive(Clone, Copy)]
pub(crate) struct Allowed(u64);

impl Allowed {
    const fn these(ids: &[u8]) -> Self {
        let mut set = 0;
        let mut rest = ids;
        while let [id, more @ ..] = rest {
            set |= 1 << *id;
            rest = more;
        }
        Self(set)
    }

    fn has(self, id: u8) -> bool {
        id < 64 && self.0 & (1 << id) != 0
    }
}

pub(crate) const IN_CONNECT: Allowed = Allowed::these(&[
    SESSION_EXPIRY,
    RECEIVE_MAXIMUM,
    PACKET_SIZE_MAXIMUM,
    ALIAS_MAXIMUM,
    REQUEST_RESPONSE,
    REQUEST_PROBLEM,
    USER,
    AUTHENTICATION_METHOD,
    AUTHENTICATION_DATA,
]);
pub(crate) const IN_WILL: Allowed = Allowed::these(&[
    WILL_DELAY,
    PAYLOAD_FORMAT,
    MESSAGE_EXPIRY,
    CONTENT_TYPE,
    RESPONSE_TOPIC,
    CORRELATION_DATA,
    USER,
]);
pub(crate) const IN_PUBLISH: Allowed = Allowed::these(&[
    PAYLOAD_FORMAT,
    MESSAGE_EXPIRY,
    ALIAS,
    RESPONSE_TOPIC,
    CORRELATION_DATA,
    USER,
    CONTENT_TYPE,
]);
pub(crate) const IN_ACK: Allowed = Allowed::these(&[REASON, USER]);
pub(crate) const IN_SUBSCRIBE: Allowed = Allowed::these(&[SUBSCRIPTION_IDENTIFIER, USER]);
pub(crate) const IN_UNSUBSCRIBE: Allowed = Allowed::these(&[USER]);
pub(crate) const IN_AUTH: Allowed =
    Allowed::these(&[AUTHENTICATION_METHOD, AUTHENTICATION_DATA, REASON, USER]);
pub(crate) const IN_DISCONNECT: Allowed = Allowed::these(&[SESSION_EXPIRY, REASON, USER]);

/// Takes a property section, checks all of it, and returns its bytes without the length.
pub(crate) fn section<'a>(fields: &mut Fields<'a>, allowed: Allowed) -> Result<&'a [u8], Fault> {
    let length = fields.varint().ok_or(CUT)?;
    let section = fields.take(length as usize).ok_or(CUT)?;
    let mut rest = Fields::new(section);
    let mut seen = 0u64;
    while !rest.is_empty() {
        let id = rest.u8().ok_or(CUT)?;
        if !allowed.has(id) {
            return Err(Fault::malformed("a property that does not belong in its packet"));
        }
        if id != USER && seen & (1 << id) != 0 {
            return Err(Fault::protocol("a property comes twice", "at most one of each but user properties"));
        }
        seen |= 1 << id;
        check_value(id, &mut rest)?;
    }
    Ok(section)
}

fn check_value(id: u8, fields: &mut Fields<'_>) -> Result<(), Fault> {
    let valid = match id {
        PAYLOAD_FORMAT | REQUEST_PROBLEM | REQUEST_RESPONSE => fields.u8().ok_or(CUT)? <= 1,
        MESSAGE_EXPIRY | SESSION_EXPIRY | WILL_DELAY => fields.u32().is_some(),
        PACKET_SIZE_MAXIMUM => fields.u32().ok_or(CUT)? != 0,
        RECEIVE_MAXIMUM => fields.u16().ok_or(CUT)? != 0,
        ALIAS_MAXIMUM => fields.u16().is_some(),
        ALIAS if fields.u16().ok_or(CUT)? == 0 => {
            return Err(Fault {
                reason: DisconnectReasonCode::TopicAliasInvalid,
                ..Fault::protocol("topic alias 0", "a topic alias from 1 to the maximum in CONNACK")
            });
        }
        ALIAS => true,
        SUBSCRIPTION_IDENTIFIER => fields.varint().ok_or(CUT)? != 0,
        RESPONSE_TOPIC => topic::is_topic(fields.text()?),
        CONTENT_TYPE | AUTHENTICATION_METHOD | REASON => fields.text().map(|_| true)?,
        CORRELATION_DATA | AUTHENTICATION_DATA => fields.binary().is_some(),
        USER => fields.text().and_then(|_| fields.text()).map(|_| true)?,
        // `Allowed` holds no others.
        _ => false,
    };
    if valid {
        Ok(())
    } else {
        Err(Fault::protocol("a property has a value that MQTT forbids", "one that it allows"))
    }
}

/// The properties of a checked section: number and value, strings and binary data without their lengths.
pub(crate) fn each(section: &[u8]) -> impl Iterator<Item = Property<'_>> {
    let mut rest = Fields::new(section);
    std::iter::from_fn(move || {
        let whole = rest.rest();
        let id = rest.u8()?;
        let value = match id {
            PAYLOAD_FORMAT | REQUEST_PROBLEM | REQUEST_RESPONSE => rest.take(1)?,
            RECEIVE_MAXIMUM | ALIAS_MAXIMUM | ALIAS => rest.take(2)?,
            MESSAGE_EXPIRY | SESSION_EXPIRY | WILL_DELAY | PACKET_SIZE_MAXIMUM => rest.take(4)?,
            SUBSCRIPTION_IDENTIFIER => {
                let from = rest.rest();
                rest.varint()?;
                from.get(..from.len() - rest.rest().len())?
            }
            USER => {
                let from = rest.rest();
                rest.binary()?;
                rest.binary()?;
                from.get(..from.len() - rest.rest().len())?
            }
            _ => rest.binary()?,
        };
        Some(Property { id, value, whole: whole.get(..whole.len() - rest.rest().len())? })
    })
}

/// One property of a checked section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Property<'a> {
    pub(crate) id: u8,
    pub(crate) value: &'a [u8],
    /// With its number, as it lay in the packet.
    pub(crate) whole: &'a [u8],
}

/// The longest content type that an entry has a place for; a longer one travels as a property.
const CONTENT_TYPE_BYTES_MAX: usize = 255;
/// What an entry has the same place for as for none: it travels as a property where somebody named it.
const UNNAMED: &[u8] = b"application/octet-stream";

/// What of a publication's or will's section goes into its entry.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Travelling<'a> {
    pub(crate) content_type: &'a str,
    /// In MQTT 5's own encoding; copied only where something in between stays behind.
    pub(crate) properties: Cow<'a, [u8]>,
    /// 0 if there is none.
    pub(crate) alias: u16,
}

impl<'a> Travelling<'a> {
    /// Sorts a checked section.
    pub(crate) fn of(section: &'a [u8]) -> Self {
        let mut sorted = Self::default();
        let mut stays = 0;
        for property in each(section) {
            match (property.id, property.value) {
                (ALIAS, [high, low]) => sorted.alias = u16::from_be_bytes([*high, *low]),
                (CONTENT_TYPE, name) if has_place(name) => {
                    sorted.content_type = std::str::from_utf8(name).unwrap_or_default();
                }
                (WILL_DELAY, _) => {}
                _ => continue,
            }
            stays += property.whole.len();
        }
        sorted.properties = if stays == 0 {
            Cow::Borrowed(section)
        } else if stays == section.len() {
            Cow::Borrowed(&[])
        } else {
            Cow::Owned(each(section).filter(travels).flat_map(|p| p.whole.iter().copied()).collect())
        };
        sorted
    }
}

fn travels(property: &Property<'_>) -> bool {
    match property.id {
        ALIAS | WILL_DELAY => false,
        CONTENT_TYPE => !has_place(property.value),
        _ => true,
    }
}

fn has_place(content_type: &[u8]) -> bool {
    (1..=CONTENT_TYPE_BYTES_MAX).contains(&content_type.len()) && content_type != UNNAMED
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(bytes: &[u8], allowed: Allowed) -> Result<&[u8], Fault> {
        section(&mut Fields::new(bytes), allowed)
    }

    #[test]
    fn sections_are_whole_or_refused() {
        let section = [
            &[19, PAYLOAD_FORMAT, 1, USER, 0, 1, b'k', 0, 1, b'v', CORRELATION_DATA, 0, 1, 0xff][..],
            &[MESSAGE_EXPIRY, 0, 0, 0, 9, CONTENT_TYPE],
        ]
        .concat();
        assert!(take(&section, IN_PUBLISH).is_err(), "the last property is cut by the section's end");
        let mut whole = section.clone();
        whole[0] = 18;
        whole.truncate(19);
        let inside = take(&whole, IN_PUBLISH).unwrap();
        let ids: Vec<u8> = each(inside).map(|p| p.id).collect();
        assert_eq!(ids, [PAYLOAD_FORMAT, USER, CORRELATION_DATA, MESSAGE_EXPIRY]);
        assert_eq!(each(inside).flat_map(|p| p.whole.to_vec()).collect::<Vec<u8>>(), inside);
        for cut in 0..whole.len() {
            assert!(take(&whole[..cut], IN_PUBLISH).is_err(), "{cut}");
        }
    }

    #[test]
    fn forbidden_values_are_refused() {
        for bytes in [
            &[2, PAYLOAD_FORMAT, 2][..],
            &[3, RECEIVE_MAXIMUM, 0, 0],
            &[5, PACKET_SIZE_MAXIMUM, 0, 0, 0, 0],
            &[6, ALIAS_MAXIMUM, 0, 1, ALIAS_MAXIMUM, 0, 1],
            &[2, 99, 0],
        ] {
            assert!(take(bytes, IN_CONNECT).is_err(), "{bytes:?}");
        }
        for bytes in
            [&[3, ALIAS, 0, 0][..], &[4, RESPONSE_TOPIC, 0, 1, b'#'], &[2, SUBSCRIPTION_IDENTIFIER, 1]]
        {
            assert!(take(bytes, IN_PUBLISH).is_err(), "{bytes:?}");
        }
    }
}
