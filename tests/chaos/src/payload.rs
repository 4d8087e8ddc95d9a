//! What is published: its stream and number, padded to a length, the same bytes each time.

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Body {
    stream: String,
    n: u64,
    pad: String,
}

/// Publication `n` of a stream, of about that many bytes.
pub fn write(stream: &str, n: u64, size: usize) -> Vec<u8> {
    let mut dice = fastrand::Rng::with_seed(n ^ u64::from(crc32c::crc32c(stream.as_bytes())));
    // What surrounds the three values.
    let bare = stream.len() + n.to_string().len() + 27;
    let pad = (bare..size).map(|_| dice.alphanumeric()).collect();
    let body = Body { stream: stream.to_owned(), n, pad };
    serde_json::to_vec(&body).expect("text and a number are JSON")
}

/// Whose it is and which; none for anything else.
pub fn read(bytes: &[u8]) -> Option<(String, u64)> {
    let body: Body = serde_json::from_slice(bytes).ok()?;
    Some((body.stream, body.n))
}

/// What tells whether bytes are those that were sent.
pub fn digest(bytes: &[u8]) -> String {
    format!("{:08x}", crc32c::crc32c(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_is_the_same_each_time_and_read_as_it_was_written() {
        let bytes = write("edge1-s1", 4711, 150);
        assert_eq!((bytes.len(), &bytes), (150, &write("edge1-s1", 4711, 150)));
        assert_eq!(read(&bytes), Some(("edge1-s1".to_owned(), 4711)));
        assert_ne!(digest(&bytes), digest(&write("edge1-s1", 4712, 150)));
        assert_eq!(read(b"something else"), None);
    }
}
