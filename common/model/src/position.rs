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

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{:016x}.{}", self.log.0, self.epoch.0, self.seq.0)
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
    fn other_texts_are_refused() {
        for text in
            ["", "1.2.3", "..", "0000000000000abc.0000000000000001.", "+000000000000abc.0000000000000001.1"]
        {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }
}
