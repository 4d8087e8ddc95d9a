//! What is published: 150 bytes of JSON whose values differ from message to message.

/// Bytes of every payload.
pub const PAYLOAD_BYTES: usize = 150;

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
        }
        assert_ne!(payload(1, 5)[20..], payload(1, 6)[20..]);
    }
}
