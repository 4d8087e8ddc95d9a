//! Takes one packet at a time off a broker's stream.
//!
//! The codec never sees more than one whole frame. Only what a server may send comes through, and nothing larger
//! than an edge can store is ever held: of a longer PUBLISH the head is read and the rest is passed over, because
//! a broker would send it again and again to whoever broke the connection off.

use bytes::{Buf, BytesMut};
use riser_model::door::{Code, Refusal};
use riser_wire::limits::PUBLICATION_BYTES_MAX;
use rumqttc::mqttbytes::v4::Packet;

/// The longest topic, its length, a packet id and a fixed header.
const HEAD_BYTES_MAX: usize = 65_535 + 2 + 2 + 5;
/// The largest packet that is held.
const PACKET_BYTES_MAX: usize = PUBLICATION_BYTES_MAX + HEAD_BYTES_MAX;
/// The largest packet that is no PUBLISH.
const CONTROL_BYTES_MAX: usize = 4 * 1024;
/// A buffer above this size is given back when it is empty.
const BUFFER_BYTES_KEPT: usize = 64 * 1024;

/// What a broker said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Frame {
    /// A packet.
    Packet(Packet),
    /// A publication that is larger than any that can be stored.
    TooLarge(Head),
}

/// What is known of a publication whose payload was passed over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) dup: bool,
    pub(super) qos: u8,
    pub(super) topic: String,
    /// 0 at QoS 0.
    pub(super) id: u16,
    /// The whole packet.
    pub(super) bytes: usize,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    buffer: BytesMut,
    /// What is being passed over, and how much of it is to come.
    passing: Option<(Head, usize)>,
}

impl Splitter {
    /// Takes what was read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next packet; none when more is needed.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Refusal> {
        if self.passing.is_some() {
            return Ok(self.pass_over().map(Frame::TooLarge));
        }
        let Some((first, head_bytes, body_bytes)) = fixed_header(&self.buffer)? else {
            self.give_back();
            return Ok(None);
        };
        let bytes = head_bytes + body_bytes;
        let is_publish = first >> 4 == 3;
        if !is_publish && bytes > CONTROL_BYTES_MAX {
            return Err(malformed("a packet that is larger than any of its kind"));
        }
        if bytes > PACKET_BYTES_MAX {
            let Some(head) = self.head(first, head_bytes, bytes)? else { return Ok(None) };
            self.passing = Some((head, bytes));
            return Ok(self.pass_over().map(Frame::TooLarge));
        }
        if self.buffer.len() < bytes {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(bytes);
        // Whatever the codec has to say of a whole frame, even that it wants more, is said of a bad one.
        let packet = Packet::read(&mut frame, bytes).map_err(|error| malformed(&error.to_string()))?;
        Ok(Some(Frame::Packet(packet)))
    }

    /// The head of a publication that is too large, as soon as it is here.
    fn head(&self, first: u8, head_bytes: usize, bytes: usize) -> Result<Option<Head>, Refusal> {
        let qos = first >> 1 & 3;
        let mut rest = self.buffer.get(head_bytes..).unwrap_or_default();
        let Ok(length) = rest.try_get_u16() else { return Ok(None) };
        let Some((topic, mut rest)) = rest.split_at_checked(usize::from(length)) else { return Ok(None) };
        let id = match qos {
            0 => 0,
            _ => match rest.try_get_u16() {
                Ok(0) => return Err(malformed("packet id 0")),
                Ok(id) => id,
                Err(_) => return Ok(None),
            },
        };
        let topic = std::str::from_utf8(topic).map_err(|_| malformed("a topic that is not UTF-8"))?;
        Ok(Some(Head { dup: first & 8 != 0, qos, topic: topic.to_owned(), id, bytes }))
    }

    fn pass_over(&mut self) -> Option<Head> {
        let (_, left) = self.passing.as_mut()?;
        let here = self.buffer.len().min(*left);
        self.buffer.advance(here);
        *left -= here;
        if *left > 0 {
            return None;
        }
        self.passing.take().map(|(head, _)| head)
    }

    fn give_back(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > BUFFER_BYTES_KEPT {
            self.buffer = BytesMut::new();
        }
    }
}

/// The first byte, the bytes of the fixed header and those that follow it, once they are here.
fn fixed_header(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>, Refusal> {
    let Some((first, rest)) = bytes.split_first() else { return Ok(None) };
    let wanted_flags = match first >> 4 {
        3 if first & 6 == 6 => return Err(malformed("QoS 3")),
        3 => first & 0x0f,
        // CONNACK, SUBACK, PINGRESP.
        2 | 9 | 13 => 0,
        // PUBREL.
        6 => 2,
        _ => return Err(malformed("a packet that a server does not send to a subscriber")),
    };
    if first & 0x0f != wanted_flags {
        return Err(malformed("reserved bits of the first byte"));
    }
    let mut length = 0;
    for (index, byte) in rest.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((*first, 2 + index, length)));
        }
    }
    if rest.len() >= 4 { Err(malformed("a remaining length that is no length")) } else { Ok(None) }
}

/// The broker does not speak MQTT 3.1.1.
pub(super) fn malformed(what: &str) -> Refusal {
    Refusal {
        code: Code::Malformed,
        what: format!("the broker sent what is not MQTT 3.1.1: {what}"),
        want: "a broker of MQTT 3.1.1 at this address".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use rumqttc::mqttbytes::{
        QoS,
        v4::{PubRel, Publish},
    };

    fn publish(topic: &str, id: u16, payload_bytes: usize) -> (Publish, BytesMut) {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, vec![b'x'; payload_bytes]);
        publish.pkid = id;
        let mut bytes = BytesMut::new();
        publish.write(&mut bytes).unwrap();
        (publish, bytes)
    }

    /// All frames of a stream that arrives in pieces of that size.
    fn frames(stream: &[u8], piece: usize) -> Result<Vec<Frame>, Refusal> {
        let mut splitter = Splitter::default();
        let mut frames = Vec::new();
        for piece in stream.chunks(piece) {
            splitter.push(piece);
            while let Some(frame) = splitter.next()? {
                frames.push(frame);
            }
        }
        assert!(splitter.buffer.is_empty());
        Ok(frames)
    }

    #[test]
    fn frames_are_the_same_however_they_arrive() {
        let (first, mut stream) = publish("é/temp", 1, 300);
        let (empty, bytes) = publish("a", 2, 0);
        stream.unsplit(bytes);
        PubRel::new(7).write(&mut stream).unwrap();
        stream.extend_from_slice(&[0xd0, 0]);
        for piece in [1, 2, 3, 7, 100, stream.len()] {
            let frames = frames(&stream, piece).unwrap();
            let packets = [
                Packet::Publish(first.clone()),
                Packet::Publish(empty.clone()),
                Packet::PubRel(PubRel::new(7)),
                Packet::PingResp,
            ];
            assert_eq!(frames, packets.map(Frame::Packet), "{piece}");
        }
    }

    #[test]
    fn of_a_publication_that_is_too_large_only_the_head_is_held() {
        let (_, mut stream) = publish("big/é", 9, 3 << 20);
        let bytes = stream.len();
        let (small, after) = publish("a", 10, 1);
        stream.unsplit(after);
        let head = Head { dup: false, qos: 1, topic: "big/é".to_owned(), id: 9, bytes };
        for piece in [1000, 64 * 1024, stream.len()] {
            let frames = frames(&stream, piece).unwrap();
            assert_eq!(
                frames,
                [Frame::TooLarge(head.clone()), Frame::Packet(Packet::Publish(small.clone()))]
            );
        }
        let mut splitter = Splitter::default();
        for piece in stream.chunks(64 * 1024) {
            splitter.push(piece);
            while splitter.next().unwrap().is_some() {}
            assert!(splitter.buffer.len() <= 64 * 1024);
        }
    }

    #[test]
    fn what_no_server_sends_is_refused_before_it_is_here() {
        for start in [
            &[0x10][..],
            &[0x40],
            &[0x36],
            &[0x60],
            &[0xd1],
            &[0xf0],
            &[0x00],
            &[0x30, 0xff, 0xff, 0xff, 0xff],
        ] {
            let mut splitter = Splitter::default();
            splitter.push(start);
            assert_eq!(splitter.next().unwrap_err().code, Code::Malformed, "{start:02x?}");
        }
        let mut splitter = Splitter::default();
        splitter.push(&[0x90, 0xff, 0xff, 0x7f]);
        assert!(splitter.next().is_err(), "a SUBACK of two megabytes");
    }

    #[test]
    fn no_bytes_make_it_panic_or_hold_much() {
        let mut random = fastrand(7);
        for _ in 0..20_000 {
            let mut splitter = Splitter::default();
            for _ in 0..3 {
                let mut bytes: Vec<u8> = (0..random() % 40).map(|_| random() as u8).collect();
                if let Some(first) = bytes.first_mut() {
                    *first = [0x20, 0x30, 0x32, 0x34, 0x3a, 0x62, 0x90, 0xd0][(*first % 8) as usize];
                }
                splitter.push(&bytes);
                while let Ok(Some(_)) = splitter.next() {}
            }
            assert!(splitter.buffer.len() < 200);
        }
    }

    /// A small seeded generator.
    fn fastrand(mut state: u64) -> impl FnMut() -> u64 {
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        }
    }

    #[test]
    fn truncated_packets_are_awaited_and_shortened_ones_refused() {
        let (_, stream) = publish("a/b", 3, 2);
        for end in 0..stream.len() {
            let mut splitter = Splitter::default();
            splitter.push(&stream[..end]);
            assert_eq!(splitter.next(), Ok(None), "{end}");
        }
        // The topic is said to be longer than the packet.
        let mut bad = Bytes::from_static(&[0x30, 3, 0, 9, b'a']);
        let mut splitter = Splitter::default();
        splitter.push(&bad.split_off(0));
        assert!(splitter.next().is_err());
    }
}
