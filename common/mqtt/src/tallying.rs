//! What was written, counted packet by packet for the account's tally.

use crate::peer::Version;
use riser_model::tally::Tallied;

/// Packets that are whole, back to back, as this crate writes them.
pub(crate) fn sent(bytes: &[u8], version: Version) -> Tallied {
    let mut tallied = Tallied { bytes_sent: bytes.len() as u64, ..Tallied::default() };
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let Some((length, after)) = varint(after) else { break };
        let Some((body, after)) = after.split_at_checked(length) else { break };
        tallied.packets_sent += 1;
        if first >> 4 == 3 {
            tallied.publications_sent += 1;
            let payload = payload_bytes(*first, body, version).unwrap_or_default();
            tallied.publication_bytes_sent += payload as u64;
        }
        rest = after;
    }
    tallied
}

fn payload_bytes(first: u8, body: &[u8], version: Version) -> Option<usize> {
    let (topic, rest) = body.split_first_chunk::<2>()?;
    let rest = rest.get(usize::from(u16::from_be_bytes(*topic))..)?;
    let rest = if first & 0x06 == 0 { rest } else { rest.get(2..)? };
    match version {
        Version::V4 => Some(rest.len()),
        Version::V5 => varint(rest).and_then(|(properties, rest)| rest.len().checked_sub(properties)),
    }
}

fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (place, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(place + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packet_and_every_payload_is_counted() {
        let ping = [0xd0, 0];
        let at_once = [0x30, 6, 0, 1, b'a', 0, 7, 8];
        let twice = [0x34, 8, 0, 1, b'a', 0, 9, 0, 7, 8];
        let bytes = [&ping[..], &at_once, &twice].concat();
        let five = sent(&bytes, Version::V5);
        assert_eq!((five.packets_sent, five.publications_sent, five.publication_bytes_sent), (3, 2, 4));
        assert_eq!(sent(&bytes, Version::V4).publication_bytes_sent, 6);
        assert_eq!(five.bytes_sent, bytes.len() as u64);
        for cut in 0..bytes.len() {
            assert!(sent(&bytes[..cut], Version::V5).packets_sent < 3);
        }
    }
}
