//! Which entries of the log this connection published itself: MQTT 5's No Local does not get those back.
//!
//! Kept only while a subscription wants it, and only as many ranges as a reader may lag behind; beyond that a
//! publication may come back to its publisher.

use riser_model::{LogId, Position, Seq};
use std::collections::VecDeque;

const RANGES_MAX: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Own {
    wanted: bool,
    /// Batches that are not stored yet: ticket and count.
    asked: VecDeque<(u64, u32)>,
    /// First and last seq, in the order of the log.
    ranges: VecDeque<(LogId, Seq, Seq)>,
}

impl Own {
    /// From here on somebody wants to know.
    pub(crate) fn want(&mut self) {
        self.wanted = true;
    }

    pub(crate) fn asked(&mut self, ticket: u64, count: u32) {
        if self.wanted {
            self.asked.push_back((ticket, count));
        }
    }

    pub(crate) fn stored(&mut self, ticket: u64, log: LogId, first: Seq, refused: usize) {
        while let Some((asked, count)) = self.asked.pop_front_if(|(asked, _)| *asked <= ticket) {
            let stored = u64::from(count).saturating_sub(refused as u64);
            if asked != ticket || stored == 0 {
                continue;
            }
            if self.ranges.len() >= RANGES_MAX {
                self.ranges.pop_front();
            }
            self.ranges.push_back((log, first, first.plus(stored - 1)));
        }
    }

    pub(crate) fn has(&self, pos: Position) -> bool {
        self.ranges.iter().any(|(log, first, last)| *log == pos.log && (*first..=*last).contains(&pos.seq))
    }
}
