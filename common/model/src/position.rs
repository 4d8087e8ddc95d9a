//! Where an item is, for ever: (log, epoch, seq), never shorter (rule 6.1).

use crate::id::{Epoch, LogId, Seq};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The place of one item. Its text form `log.epoch.seq` (two 16-digit hexadecimal numbers and a decimal one)
/// is opaque to clients.
///
/// Positions of one log are ordered by the place of their epoch in the log's chain, then by seq. Seqs go on
/// across epochs, so within one unforked chain seq alone orders them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Position {
    /// The log it is in.
    pub log: LogId,
    /// The opening of that log it was appended under.
    pub epoch: Epoch,
    /// Its ordinal in that log.
    pub seq: Seq,
}

/// Each byte in hexadecimal.
const HEX: [[u8; 2]; 256] = {
    let (digits, mut all, mut byte) = (b"0123456789abcdef", [[0; 2]; 256], 0);
    while byte < all.len() {
        all[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    all
};
/// Of a number of 64 bits.
const HEX_DIGITS: usize = 16;
/// Two numbers in hexadecimal and one in decimal, with dots between.
const TEXT_BYTES_MAX: usize = 2 * (HEX_DIGITS + 1) + 20;

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every delivery has one or two: by hand, in one piece.
        let mut text = [b'.'; TEXT_BYTES_MAX];
        let (numbers, seq) = text.split_at_mut(2 * (HEX_DIGITS + 1));
        for (place, number) in numbers.chunks_exact_mut(HEX_DIGITS + 1).zip([self.log.0, self.epoch.0]) {
            for (digits, byte) in place.chunks_exact_mut(2).zip(number.to_be_bytes()) {
                digits.copy_from_slice(&HEX[usize::from(byte)]);
            }
        }
        let (mut begin, mut left) = (seq.len(), self.seq.0);
        for digit in seq.iter_mut().rev() {
            (*digit, begin, left) = (b'0' + (left % 10) as u8, begin - 1, left / 10);
            if left == 0 {
                break;
            }
        }
        let end = numbers.len();
        text.copy_within(end + begin.., end);
        let text = text.get(..TEXT_BYTES_MAX - begin).and_then(|text| std::str::from_utf8(text).ok());
        f.write_str(text.unwrap_or_default())
    }
}

/// A text that is not a position.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("parse position {0:?}: use one exactly as it was received (log.epoch.seq)")]
pub struct NotAPosition(pub String);

impl FromStr for Position {
    type Err = NotAPosition;

    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        parse(text).ok_or_else(|| NotAPosition(text.chars().take(64).collect()))
    }
}

fn parse(text: &str) -> Option<Position> {
    let mut parts = text.split('.');
    let (log, epoch, seq) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_hexdigit());
    if parts.next().is_some() || log.len() != 16 || epoch.len() != 16 {
        return None;
    }
    if !digits(log) || !digits(epoch) || !seq.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(Position {
        log: LogId(u64::from_str_radix(log, 16).ok()?),
        epoch: Epoch(u64::from_str_radix(epoch, 16).ok()?),
        seq: Seq(seq.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn position_text_round_trips() {
        let position = Position { log: LogId(0xabc), epoch: Epoch(u64::MAX), seq: Seq(42) };
        assert_eq!(position.to_string().parse(), Ok(position));
    }

    #[test]
    fn text_is_two_numbers_of_sixteen_digits_and_one_as_it_is() {
        for seq in [0, 1, 9, 10, 42, 99, 100, 1 << 40, u64::MAX - 1, u64::MAX] {
            for (log, epoch) in [(0, u64::MAX), (0x0123_4567_89ab_cdef, 1), (seq, !seq)] {
                let position = Position { log: LogId(log), epoch: Epoch(epoch), seq: Seq(seq) };
                assert_eq!(position.to_string(), format!("{log:016x}.{epoch:016x}.{seq}"));
            }
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "1.2.3", "..", "0000000000000abc.0000000000000001.", "+000000000000abc.0000000000000001.1"]
        {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }
}
