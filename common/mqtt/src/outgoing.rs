//! PUBLISH as it goes out. The entry's properties are in MQTT 5's encoding already and are copied as they are.

use crate::{
    aliases::Alias,
    peer::Version,
    property::{ALIAS, CONTENT_TYPE, SUBSCRIPTION_IDENTIFIER, USER},
};
use bytes::{BufMut, BytesMut};
use riser_wire::entry::ContentType;

/// A publication for one subscription.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    /// 0, 1 or 2.
    pub(crate) qos: u8,
    /// It was said before, under this id.
    pub(crate) dup: bool,
    pub(crate) retain: bool,
    /// The topic's first level, if it lies apart from the rest.
    pub(crate) room: Option<&'a str>,
    pub(crate) topic: &'a str,
    /// A number for it.
    pub(crate) alias: Option<Alias>,
    /// 0 at QoS 0.
    pub(crate) id: u16,
    pub(crate) content_type: ContentType<'a>,
    pub(crate) properties: &'a [u8],
    /// 0 for none.
    pub(crate) identifier: u32,
    /// User properties of ours.
    pub(crate) notes: &'a [(&'static str, String)],
    pub(crate) payload: &'a [u8],
}

/// The longest remaining length that MQTT can express.
const REMAINING_MAX: usize = 268_435_455;

impl Outgoing<'_> {
    /// The packet's size.
    pub(crate) fn size(&self, version: Version) -> usize {
        let remaining = self.remaining(version);
        1 + varint_bytes(remaining) + remaining
    }

    /// Appends the packet.
    pub(crate) fn write(&self, version: Version, out: &mut BytesMut) {
        let remaining = self.remaining(version);
        debug_assert!(remaining <= REMAINING_MAX, "entries are bounded far below");
        out.reserve(5 + remaining);
        out.put_u8(0x30 | u8::from(self.dup) << 3 | self.qos << 1 | u8::from(self.retain));
        put_varint(out, remaining);
        out.put_u16(self.topic_bytes() as u16);
        if !self.is_known() {
            if let Some(room) = self.room {
                out.put_slice(room.as_bytes());
                out.put_u8(b'/');
            }
            out.put_slice(self.topic.as_bytes());
        }
        if self.qos > 0 {
            out.put_u16(self.id);
        }
        if version == Version::V5 {
            self.write_properties(out);
        }
        out.put_slice(self.payload);
    }

    fn write_properties(&self, out: &mut BytesMut) {
        put_varint(out, self.property_bytes());
        if let Some(name) = self.named_type() {
            out.put_u8(CONTENT_TYPE);
            put_text(out, name);
        }
        if let Some(alias) = self.alias {
            out.put_u8(ALIAS);
            out.put_u16(alias.number);
        }
        out.put_slice(self.properties);
        if self.identifier != 0 {
            out.put_u8(SUBSCRIPTION_IDENTIFIER);
            put_varint(out, self.identifier as usize);
        }
        for (name, value) in self.notes {
            out.put_u8(USER);
            put_text(out, name);
            put_text(out, value);
        }
    }

    /// What nobody named is not named.
    fn named_type(&self) -> Option<&str> {
        match self.content_type {
            ContentType::Octets => None,
            named @ (ContentType::Text | ContentType::Json | ContentType::Other(_)) => Some(named.name()),
        }
    }

    fn is_known(&self) -> bool {
        self.alias.is_some_and(|alias| alias.known)
    }

    fn topic_bytes(&self) -> usize {
        if self.is_known() {
            return 0;
        }
        self.topic.len() + self.room.map_or(0, |room| room.len() + 1)
    }

    fn property_bytes(&self) -> usize {
        let identifier = if self.identifier == 0 { 0 } else { 1 + varint_bytes(self.identifier as usize) };
        let notes: usize = self.notes.iter().map(|(name, value)| 5 + name.len() + value.len()).sum();
        let alias = if self.alias.is_some() { 3 } else { 0 };
        self.named_type().map_or(0, |name| 3 + name.len())
            + alias
            + self.properties.len()
            + identifier
            + notes
    }

    fn remaining(&self, version: Version) -> usize {
        let properties = match version {
            Version::V4 => 0,
            Version::V5 => varint_bytes(self.property_bytes()) + self.property_bytes(),
        };
        2 + self.topic_bytes() + if self.qos > 0 { 2 } else { 0 } + properties + self.payload.len()
    }
}

fn varint_bytes(value: usize) -> usize {
    match value {
        0..128 => 1,
        128..16_384 => 2,
        16_384..2_097_152 => 3,
        _ => 4,
    }
}

fn put_varint(out: &mut BytesMut, value: usize) {
    let mut left = value;
    while left > 127 {
        out.put_u8((left % 128) as u8 | 0x80);
        left /= 128;
    }
    out.put_u8(left as u8);
}

/// Names and values of ours are short.
fn put_text(out: &mut BytesMut, text: &str) {
    out.put_u16(text.len() as u16);
    out.put_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use rumqttc::{mqttbytes::v4, v5::mqttbytes::v5};

    fn outgoing(payload: &[u8]) -> Outgoing<'_> {
        Outgoing {
            qos: 1,
            dup: false,
            retain: true,
            room: Some("hall"),
            topic: "a/é",
            alias: None,
            id: 77,
            content_type: ContentType::Json,
            properties: &[USER, 0, 1, b'k', 0, 1, b'v'],
            identifier: 300,
            notes: &[],
            payload,
        }
    }

    #[test]
    fn the_codecs_read_what_is_written() {
        for length in [0, 1, 100, 127, 128, 16_384, 200_000] {
            let payload = vec![7; length];
            let notes = [("riser-gap", "1..2:retention".to_owned())];
            let outgoing = Outgoing { notes: &notes, ..outgoing(&payload) };
            let mut out = BytesMut::new();
            outgoing.write(Version::V5, &mut out);
            assert_eq!(out.len(), outgoing.size(Version::V5));
            let Ok(v5::Packet::Publish(read)) = v5::Packet::read(&mut out, None) else {
                panic!("not a PUBLISH");
            };
            assert!(out.is_empty());
            assert_eq!((&read.topic[..], read.pkid, read.retain), ("hall/a/é".as_bytes(), 77, true));
            assert_eq!(read.payload, payload);
            let properties = read.properties.unwrap();
            assert_eq!(properties.content_type.as_deref(), Some("application/json"));
            assert_eq!(properties.subscription_identifiers, [300]);
            assert_eq!(
                properties.user_properties,
                [("k".to_owned(), "v".to_owned()), ("riser-gap".to_owned(), "1..2:retention".to_owned())]
            );

            let mut out = BytesMut::new();
            Outgoing { qos: 0, ..outgoing }.write(Version::V4, &mut out);
            assert_eq!(out.len(), Outgoing { qos: 0, ..outgoing }.size(Version::V4));
            let Ok(v4::Packet::Publish(read)) = v4::Packet::read(&mut out, 1 << 20) else {
                panic!("not a PUBLISH");
            };
            assert!(out.is_empty());
            assert_eq!((read.topic.as_str(), read.pkid), ("hall/a/é", 0));
            assert_eq!(read.payload, payload);
        }
    }
}
