//! What is published: 150 bytes of JSON whose values differ from message to message.

use std::sync::OnceLock;

/// Bytes of every payload.
pub const PAYLOAD_BYTES: usize = 150;
/// How many different payloads a flood is made of: more than any link batch holds.
pub const PAYLOADS: usize = 16_384;
/// How far the connections of a flood are apart in them.
const STRIDE: usize = 331;

/// The payload of message `n` of a connection. Deterministic; about as compressible as a sensor's.
pub fn payload(connection: u32, n: u64) -> Vec<u8> {
    let noise = (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from(connection)).rotate_left(23);
    let mut text = format!(
        "{{\"n\":{n},\"device\":\"sensor-{connection:05}\",\"temperature\":{:.3},\"humidity\":{:.2},\"battery\":{:.3},\"ok\":{},\"note\":\"",
        15.0 + (noise % 20_000) as f64 / 1000.0,
        (noise >> 16) as f64 % 10_000.0 / 100.0,
        2.5 + (noise >> 32) as f64 % 1500.0 / 1000.0,
        noise & 1 == 0,
    );
    while text.len() < PAYLOAD_BYTES - 2 {
        let letter = b'a' + (noise >> (text.len() % 32) & 15) as u8;
        text.push(char::from(letter));
    }
    text.truncate(PAYLOAD_BYTES - 2);
    text.push_str("\"}");
    text.into_bytes()
}

/// The `n` of a payload that [`payload`] made.
pub fn number(payload: &[u8]) -> Option<u64> {
    let digits = payload.strip_prefix(b"{\"n\":")?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
}

/// The connection of a payload that [`payload`] made.
pub fn device(payload: &[u8]) -> Option<u32> {
    const FIELD: &[u8] = b",\"device\":\"sensor-";
    let at = payload.windows(FIELD.len()).position(|found| found == FIELD)? + FIELD.len();
    std::str::from_utf8(payload.get(at..at + 5)?).ok()?.parse().ok()
}

/// The `n` of a payload somewhere in these bytes.
pub fn number_within(bytes: &[u8]) -> Option<u64> {
    number(bytes.get(bytes.windows(5).position(|found| found == b"{\"n\":")?..)?)
}

/// A payload for a flood, made beforehand: writing floating point numbers would cost more than the servers do.
pub fn prepared(connection: u32, n: u64) -> &'static [u8] {
    static ALL: OnceLock<Vec<u8>> = OnceLock::new();
    let all = ALL.get_or_init(|| (0..PAYLOADS).flat_map(|n| payload(n as u32 % 50, n as u64)).collect());
    let at = place(connection, n) * PAYLOAD_BYTES;
    &all[at..at + PAYLOAD_BYTES]
}

/// Which of those that were prepared: the number that it calls itself.
fn place(connection: u32, n: u64) -> usize {
    (connection as usize * STRIDE + n as usize) % PAYLOADS
}

/// How often each of those that were prepared is in a flood of which each of these connections sent so many.
pub fn counts(sent: &[(u32, u64)]) -> Vec<u64> {
    let mut counts = vec![0; PAYLOADS];
    for (connection, sent) in sent {
        let (rounds, rest) = (sent / PAYLOADS as u64, sent % PAYLOADS as u64);
        counts.iter_mut().for_each(|count| *count += rounds);
        (0..rest).for_each(|n| counts[place(*connection, n)] += 1);
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_json_of_the_stated_size_and_vary() {
        for n in [0, 1, 99_999, u64::from(u32::MAX)] {
            let bytes = payload(7, n);
            assert_eq!(bytes.len(), PAYLOAD_BYTES);
            let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(value["n"], n);
            assert_eq!((device(&bytes), number(&bytes)), (Some(7), Some(n)));
        }
        assert_ne!(payload(1, 5)[20..], payload(1, 6)[20..]);
    }

    #[test]
    fn flood_is_counted_by_the_payloads_that_it_is_made_of() {
        let sent = [(49, PAYLOADS as u64 + 700), (7, 3)];
        let mut one_by_one = vec![0; PAYLOADS];
        for (connection, sent) in sent {
            for n in 0..sent {
                one_by_one[number(prepared(connection, n)).unwrap() as usize] += 1;
            }
        }
        assert_eq!(counts(&sent), one_by_one);
    }

    #[test]
    fn what_was_prepared_is_the_same_corpus() {
        for (connection, n) in [(0, 0), (3, 77), (999, u64::from(u32::MAX))] {
            let bytes = prepared(connection, n);
            assert_eq!(bytes.len(), PAYLOAD_BYTES);
            assert!(serde_json::from_slice::<serde_json::Value>(bytes).is_ok());
            assert_ne!(bytes, prepared(connection, n + 1));
        }
    }
}
