//! PUBLISH as it comes in, read in place.
//!
//! This is the one packet that comes by the million, and the one that is not given to a codec; a test holds
//! that both read the same.

use crate::{
    fault::Fault,
    fields::{CUT, Fields},
    frame::Frame,
    peer::Version,
    property::{self, IN_PUBLISH, Travelling},
};

/// A publication in a client's packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Publish<'a> {
    pub(crate) dup: bool,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// Not looked at yet; empty where an alias stands for it.
    pub(crate) topic: &'a [u8],
    /// 0 at QoS 0.
    pub(crate) id: u16,
    pub(crate) travelling: Travelling<'a>,
    pub(crate) payload: &'a [u8],
}

/// Reads a PUBLISH frame.
pub(crate) fn read<'a>(frame: &Frame<'a>, version: Version) -> Result<Publish<'a>, Fault> {
    let flags = frame.head.flags;
    let (dup, qos, retain) = (flags & 8 != 0, flags >> 1 & 3, flags & 1 != 0);
    if dup && qos == 0 {
        return Err(Fault::malformed("DUP at QoS 0"));
    }
    let mut fields = Fields::new(frame.body());
    let topic = fields.binary().ok_or(CUT)?;
    let id = if qos == 0 { 0 } else { packet_id(&mut fields)? };
    let travelling = match version {
        Version::V4 => Travelling::default(),
        Version::V5 => match property::section(&mut fields, IN_PUBLISH)? {
            [] => Travelling::default(),
            section => Travelling::of(section),
        },
    };
    Ok(Publish { dup, qos, retain, topic, id, travelling, payload: fields.rest() })
}

/// A packet id, which is never 0.
pub(crate) fn packet_id(fields: &mut Fields<'_>) -> Result<u16, Fault> {
    match fields.u16().ok_or(CUT)? {
        0 => Err(Fault::malformed("packet id 0")),
        id => Ok(id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame;
    use bytes::{Bytes, BytesMut};
    use rumqttc::{
        mqttbytes::{QoS, v4},
        v5::mqttbytes::{QoS as QoS5, v5},
    };

    /// A small seeded generator.
    struct Random(u64);

    impl Random {
        fn below(&mut self, n: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % n as u64) as usize
        }

        fn text(&mut self) -> String {
            (0..self.below(12)).map(|_| ['a', '/', 'é', '7', '$'][self.below(5)]).collect()
        }

        fn some<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Option<T> {
            (self.below(3) == 0).then(|| make(self))
        }

        fn bytes(&mut self) -> Bytes {
            (0..self.below(200)).map(|_| self.below(256) as u8).collect()
        }

        fn publish_v4(&mut self) -> BytesMut {
            let mut publish = v4::Publish::new(
                self.text(),
                [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][self.below(3)],
                self.bytes(),
            );
            publish.pkid = 1 + self.below(65_535) as u16;
            publish.retain = self.below(2) == 0;
            publish.dup = publish.qos != QoS::AtMostOnce && self.below(2) == 0;
            let mut out = BytesMut::new();
            publish.write(&mut out).unwrap();
            out
        }

        fn publish_v5(&mut self) -> BytesMut {
            let properties = v5::PublishProperties {
                payload_format_indicator: self.some(|r| r.below(2) as u8),
                message_expiry_interval: self.some(|r| r.below(1 << 32) as u32),
                topic_alias: self.some(|r| 1 + r.below(65_535) as u16),
                response_topic: self.some(|r| "r".to_owned() + &r.text()),
                correlation_data: self.some(Self::bytes),
                user_properties: (0..self.below(3)).map(|_| (self.text(), self.text())).collect(),
                subscription_identifiers: vec![],
                content_type: self.some(Self::text),
            };
            let qos = [QoS5::AtMostOnce, QoS5::AtLeastOnce, QoS5::ExactlyOnce][self.below(3)];
            let mut publish =
                v5::Publish::new(self.text(), qos, self.bytes(), self.some(|_| properties.clone()));
            publish.pkid = 1 + self.below(65_535) as u16;
            publish.retain = self.below(2) == 0;
            publish.dup = publish.qos != QoS5::AtMostOnce && self.below(2) == 0;
            let mut out = BytesMut::new();
            publish.write(&mut out).unwrap();
            out
        }
    }

    fn ours(bytes: &[u8], version: Version) -> Option<Publish<'_>> {
        let head =
            frame::head(bytes, 1 << 20, false).ok()?.filter(|head| head.kind == frame::Kind::Publish)?;
        let whole = bytes.get(..head.bytes + head.body_bytes)?;
        read(&Frame { head, whole }, version).ok()
    }

    #[test]
    fn the_codec_for_3_1_1_reads_the_same() {
        let mut random = Random(0x1234_5678_9abc_def1);
        let mut both = 0;
        for n in 0..20_000 {
            let mut bytes = random.publish_v4();
            if n % 2 == 0 {
                let at = random.below(bytes.len());
                bytes[at] = random.below(256) as u8;
            }
            let theirs = match v4::Packet::read(&mut bytes.clone(), 1 << 20) {
                Ok(v4::Packet::Publish(publish)) => Some(publish),
                _ => None,
            };
            let ours = ours(&bytes, Version::V4);
            assert!(n % 2 == 0 || ours.is_some(), "{bytes:x?}");
            let Some(ours) = ours.filter(|ours| std::str::from_utf8(ours.topic).is_ok()) else {
                continue;
            };
            let theirs = theirs.unwrap();
            both += 1;
            assert_eq!((ours.dup, ours.qos, ours.retain), (theirs.dup, theirs.qos as u8, theirs.retain));
            assert_eq!((ours.topic, ours.id), (theirs.topic.as_bytes(), theirs.pkid));
            assert_eq!(ours.payload, theirs.payload);
        }
        assert!(both > 15_000, "{both}");
    }

    #[test]
    fn the_codec_for_5_reads_the_same() {
        let mut random = Random(0x1234_5678_9abc_def1);
        let mut both = 0;
        for n in 0..20_000 {
            let mut bytes = random.publish_v5();
            if n % 2 == 0 {
                let at = random.below(bytes.len());
                bytes[at] = random.below(256) as u8;
            }
            let theirs = match v5::Packet::read(&mut bytes.clone(), None) {
                Ok(v5::Packet::Publish(publish)) => Some(publish),
                _ => None,
            };
            let ours = ours(&bytes, Version::V5);
            assert!(n % 2 == 0 || ours.is_some(), "{bytes:x?}");
            let Some(ours) = ours else {
                continue;
            };
            let theirs = theirs.unwrap();
            both += 1;
            assert_eq!((ours.dup, ours.qos, ours.retain), (theirs.dup, theirs.qos as u8, theirs.retain));
            assert_eq!((ours.topic, ours.id), (&theirs.topic[..], theirs.pkid));
            assert_eq!(ours.payload, theirs.payload);
            let sent = theirs.properties.unwrap_or_default();
            assert_eq!(ours.travelling.alias, sent.topic_alias.unwrap_or(0));
            assert_eq!(ours.travelling.content_type, sent.content_type.clone().unwrap_or_default());
            let unplaced = sent.content_type.clone().filter(String::is_empty);
            let travels = v5::PublishProperties { topic_alias: None, content_type: unplaced, ..sent };
            let section = [&varint(ours.travelling.properties.len()), &*ours.travelling.properties].concat();
            let section = v5::PublishProperties::read(&mut Bytes::from(section)).unwrap();
            assert_eq!(section.unwrap_or_default(), travels);
        }
        assert!(both > 15_000, "{both}");
    }

    fn varint(n: usize) -> Vec<u8> {
        if n < 128 { vec![n as u8] } else { vec![n as u8 | 0x80, (n >> 7) as u8] }
    }
}
