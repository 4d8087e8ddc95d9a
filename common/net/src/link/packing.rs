//! Compression of link messages. All that one end sends is one stream of zstd, cut at the ends of messages: what was
//! said before need not be said again, so that even a batch of one entry becomes small.
//!
//! A message that goes as it is ends the stream, and the next compressed one begins another: it is known by the magic
//! number, with which no block can begin. Contexts are made when first needed; their window is bounded at both ends.

use crate::counters::Counters;
use riser_wire::link::message::worth_sending;
use std::fmt;
use zstd::{
    stream::raw::{CParameter, DParameter, Decoder, Encoder, InBuffer, Operation, OutBuffer},
    zstd_safe::{MAGICNUMBER, compress_bound},
};

/// The level: most of the gain is in the first, and an edge's processor is small.
const LEVEL: i32 = 1;
/// How far back a message may refer, as a power of two: some hundred entries. A hub pays for it per edge.
const WINDOW_LOG: u32 = 16;
/// A link that says less than this pays for no contexts, here or there.
const BEGIN_AFTER_BYTES: usize = 4 * 1024;
/// What a stream adds to what its bytes need at most: the head of a frame, and of a flushed block.
const SLACK_BYTES: usize = 64;

/// One link's compression.
#[derive(Default)]
pub struct Packing {
    encoder: Option<Encoder<'static>>,
    decoder: Option<Decoder<'static>>,
    /// What went as it is because the stream has not begun.
    before: usize,
    /// The plain size of what was last packed or unpacked.
    plain: Option<usize>,
}

impl fmt::Debug for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packing")
    }
}

impl Packing {
    /// Compresses what is then sent; none when the bytes go as they are.
    pub(super) fn pack(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None if self.before + bytes.len() < BEGIN_AFTER_BYTES => {
                self.before += bytes.len();
                return None;
            }
            None => encoder().ok()?,
        };
        let packed = squeeze(&mut encoder, bytes).filter(|packed| worth_sending(packed.len(), bytes.len()));
        match packed {
            Some(_) => self.plain = Some(bytes.len()),
            // The peer does not see what the encoder now knows.
            None => encoder.reinit().ok()?,
        }
        self.encoder = Some(encoder);
        packed
    }

    /// Decompresses to exactly that size, which the caller has checked; none when it becomes anything else.
    pub(super) fn unpack(&mut self, bytes: &[u8], size: usize) -> Option<Vec<u8>> {
        let begins = bytes.starts_with(&MAGICNUMBER.to_le_bytes());
        let decoder = match &mut self.decoder {
            Some(decoder) if begins => {
                decoder.reinit().ok()?;
                decoder
            }
            Some(decoder) => decoder,
            none if begins => none.insert(decoder().ok()?),
            None => return None,
        };
        let plain = expand(decoder, bytes, size)?;
        self.plain = Some(plain.len());
        Some(plain)
    }

    /// Counts a message of that size on the line.
    pub(super) fn count(&mut self, counters: &Counters, packed: usize) {
        counters.link_packed_bytes.add(packed as u64);
        counters.link_plain_bytes.add(self.plain.take().unwrap_or(packed) as u64);
    }
}

fn encoder() -> std::io::Result<Encoder<'static>> {
    let mut encoder = Encoder::new(LEVEL)?;
    encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
    Ok(encoder)
}

fn decoder() -> std::io::Result<Decoder<'static>> {
    let mut decoder = Decoder::new()?;
    decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
    Ok(decoder)
}

fn squeeze(encoder: &mut Encoder<'_>, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut packed = Vec::with_capacity(compress_bound(bytes.len()) + SLACK_BYTES);
    let mut output = OutBuffer::around(&mut packed);
    let mut input = InBuffer::around(bytes);
    while input.pos() < bytes.len() && output.pos() < output.capacity() {
        encoder.run(&mut input, &mut output).ok()?;
    }
    while encoder.flush(&mut output).ok()? > 0 {
        if output.pos() == output.capacity() {
            return None;
        }
    }
    Some(packed)
}

fn expand(decoder: &mut Decoder<'_>, bytes: &[u8], size: usize) -> Option<Vec<u8>> {
    // Room for one byte more than is allowed shows that there is more.
    let mut plain = Vec::with_capacity(size + 1);
    let mut output = OutBuffer::around(&mut plain);
    let mut input = InBuffer::around(bytes);
    loop {
        let before = (input.pos(), output.pos());
        decoder.run(&mut input, &mut output).ok()?;
        if output.pos() > size {
            return None;
        }
        if (input.pos(), output.pos()) == before {
            break;
        }
    }
    (input.pos() == bytes.len() && output.pos() == size).then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(n: u32) -> Vec<u8> {
        format!("{{\"n\":{n},\"device\":\"sensor-{:05}\",\"celsius\":{}.{}}}", n % 50, n % 31, n % 7)
            .into_bytes()
    }

    /// Bytes without any pattern.
    fn noise(count: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let next = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn small_messages_shrink_by_what_was_said_before() {
        let (mut here, mut there) = (Packing::default(), Packing::default());
        let (mut plain, mut packed) = (0, 0);
        assert_eq!(here.pack(&message(0)), None, "an idle link pays for nothing");
        for n in 0..5_000 {
            let bytes = [message(n), message(n + 1)].concat();
            let Some(sent) = here.pack(&bytes) else {
                assert!(n < 50);
                continue;
            };
            assert_eq!(there.unpack(&sent, bytes.len()).unwrap(), bytes);
            (plain, packed) = (plain + bytes.len(), packed + sent.len());
        }
        assert!(packed * 3 < plain, "{packed} of {plain}");
    }

    #[test]
    fn what_goes_as_it_is_breaks_nothing() {
        let (mut here, mut there) = (Packing::default(), Packing::default());
        let (mut as_it_is, mut begun) = (0, 0);
        for n in 1..=300 {
            let bytes = match n % 3 {
                0 => message(n).repeat(20),
                1 => noise(100 * n as usize),
                _ => vec![0; 200_000],
            };
            match here.pack(&bytes) {
                Some(sent) => {
                    begun += usize::from(sent.starts_with(&MAGICNUMBER.to_le_bytes()));
                    assert_eq!(there.unpack(&sent, bytes.len()).unwrap(), bytes);
                }
                None => as_it_is += 1,
            }
        }
        assert_eq!(as_it_is, 200, "noise does not shrink, and zeros shrink too far");
        assert_eq!(begun, 100);
    }

    #[test]
    fn other_sizes_and_foreign_streams_are_refused() {
        let bytes: Vec<u8> = (0..300).flat_map(message).collect();
        let sent = Packing::default().pack(&bytes).unwrap();
        for size in [0, 1, bytes.len() - 1, bytes.len() + 1] {
            assert_eq!(Packing::default().unpack(&sent, size), None, "{size}");
        }
        assert_eq!(Packing::default().unpack(&sent[..sent.len() - 1], bytes.len()), None);
        assert_eq!(Packing::default().unpack(&sent[4..], bytes.len()), None, "no stream was begun");
        let mut wide = Encoder::new(LEVEL).unwrap();
        wide.set_parameter(CParameter::WindowLog(WINDOW_LOG + 1)).unwrap();
        let far = noise(300_000);
        let sent = squeeze(&mut wide, &far).unwrap();
        assert_eq!(Packing::default().unpack(&sent, far.len()), None, "a window that is too wide");
        assert_eq!(Packing::default().unpack(&noise(100), 100), None);
    }
}
