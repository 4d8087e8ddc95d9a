//! When to ask the bus for more: there is something, the socket has room, and nothing is under way.

use riser_model::door::Ask;

/// Who is behind asks for so much at a time, bytes: the bus looks for one part while the one before is worded and written.
const PART_BYTES: usize = 32 * 1024;

/// The pace of one connection.
#[derive(Debug, Default)]
pub(super) struct Pull {
    ready: bool,
    asked: bool,
    room: usize,
    /// More waits than the last pull brought.
    behind: bool,
}

impl Pull {
    /// The socket said how much it takes.
    pub(super) fn room(&mut self, bytes: u32) {
        self.room = bytes as usize;
    }

    /// The bus has something.
    pub(super) fn ready(&mut self) {
        self.ready = true;
    }

    /// The bus answered. If no more waits, it says `Ready` when there is something again.
    pub(super) fn delivered(&mut self, more: bool) {
        self.asked = false;
        (self.ready, self.behind) = (more, more);
    }

    /// So much was written.
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.room = self.room.saturating_sub(bytes);
    }

    /// Whether the socket takes anything beside answers.
    pub(super) fn has_room(&self) -> bool {
        self.room > 0
    }

    /// Whether the bus owes an answer.
    pub(super) fn is_asked(&self) -> bool {
        self.asked
    }

    /// The pull to ask for, if it is time for one. It stands where nothing of what it brings is held back here.
    pub(super) fn next(&mut self, stands: bool) -> Option<Ask> {
        if !self.ready || self.asked || self.room == 0 {
            return None;
        }
        self.asked = true;
        let most = if self.behind { PART_BYTES } else { usize::MAX };
        Some(Ask::Pull { bytes: u32::try_from(self.room.min(most)).unwrap_or(u32::MAX), stands })
    }
}
