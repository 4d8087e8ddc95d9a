//! The few packets of MQTT that a publisher needs, written and read by hand: it must know of every PUBLISH that
//! it puts on the wire, and a client library resends on its own.

/// One of the two versions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// 3.1.1.
    V4,
    /// 5.
    V5,
}

/// What a server says to a publisher.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    /// CONNACK with its code.
    Connack(u8),
    /// PUBACK with the packet's id and the reason's code; 0 is success.
    Puback(u16, u8),
    /// PINGRESP.
    Pong,
    /// DISCONNECT with its reason.
    Bye(u8),
    /// Anything else.
    Other(u8),
}

/// PINGREQ.
pub const PING: [u8; 2] = [0xC0, 0];
/// DISCONNECT.
pub const BYE: [u8; 2] = [0xE0, 0];

/// CONNECT that keeps its session.
pub fn connect(version: Version, client: &str) -> Vec<u8> {
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T'];
    match version {
        Version::V4 => body.extend([4, 0, 0, 60]),
        // Session expiry: an hour.
        Version::V5 => body.extend([5, 0, 0, 60, 5, 0x11, 0, 0, 0x0E, 0x10]),
    }
    put_text(&mut body, client);
    packet(0x10, &body)
}

/// PUBLISH at QoS 1.
pub fn publish(version: Version, topic: &str, id: u16, again: bool, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(topic.len() + payload.len() + 5);
    put_text(&mut body, topic);
    body.extend(id.to_be_bytes());
    if version == Version::V5 {
        body.push(0);
    }
    body.extend(payload);
    packet(if again { 0x3A } else { 0x32 }, &body)
}

/// The first whole packet of the input, and its length.
pub fn read(input: &[u8]) -> Option<(Said, usize)> {
    let (first, rest) = input.split_first()?;
    let (mut length, mut shift) = (0_usize, 0);
    for (index, byte) in rest.iter().enumerate().take(4) {
        length |= usize::from(byte & 127) << shift;
        shift += 7;
        if byte & 128 == 0 {
            let body = rest.get(index + 1..index + 1 + length)?;
            return Some((said(*first, body), index + 2 + length));
        }
    }
    None
}

fn said(first: u8, body: &[u8]) -> Said {
    match (first >> 4, body) {
        (2, [_, code, ..]) => Said::Connack(*code),
        (4, [high, low]) => Said::Puback(u16::from_be_bytes([*high, *low]), 0),
        (4, [high, low, code, ..]) => Said::Puback(u16::from_be_bytes([*high, *low]), *code),
        (13, _) => Said::Pong,
        (14, body) => Said::Bye(body.first().copied().unwrap_or(0)),
        (kind, _) => Said::Other(kind),
    }
}

fn put_text(output: &mut Vec<u8>, text: &str) {
    output.extend((text.len() as u16).to_be_bytes());
    output.extend(text.as_bytes());
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut length = body.len();
    while length > 127 {
        packet.push((length & 127) as u8 | 128);
        length >>= 7;
    }
    packet.push(length as u8);
    packet.extend(body);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_as_the_standard_has_them() {
        assert_eq!(connect(Version::V4, "a"), b"\x10\x0d\x00\x04MQTT\x04\x00\x00\x3c\x00\x01a");
        assert_eq!(publish(Version::V4, "a/b", 258, false, b"x"), b"\x32\x08\x00\x03a/b\x01\x02x");
        assert_eq!(publish(Version::V5, "a/b", 1, true, b"x"), b"\x3a\x09\x00\x03a/b\x00\x01\x00x");
        let long = publish(Version::V4, "t", 1, false, &[7; 300]);
        assert_eq!((&long[..3], long.len()), (&[0x32, 0xB1, 0x02][..], 3 + 305));
    }

    #[test]
    fn answers_are_read_whole_or_not_at_all() {
        let bytes = [0x40, 3, 1, 2, 0x97, 0x40, 2, 0, 9, 0xD0, 0, 0x20, 2, 0, 5, 0xE0, 1, 0x8B];
        let mut at = 0;
        let said: Vec<Said> = std::iter::from_fn(|| {
            let (said, length) = read(&bytes[at..])?;
            at += length;
            Some(said)
        })
        .collect();
        let want =
            [Said::Puback(258, 0x97), Said::Puback(9, 0), Said::Pong, Said::Connack(5), Said::Bye(0x8B)];
        assert_eq!(said, want);
        assert_eq!((0..5).find_map(|cut| read(&bytes[..cut])), None);
    }
}
