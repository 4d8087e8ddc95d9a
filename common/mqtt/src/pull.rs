//! When to ask the bus for more: it has something, the socket has room, and no answer is awaited.

/// The most that is asked for at once, bytes: what waits here until the peer has acknowledged enough.
const PULL_BYTES_MAX: usize = 128 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Pull {
    ready: bool,
    asked: bool,
    room: usize,
}

impl Pull {
    /// The socket said how much it takes.
    pub(crate) fn room(&mut self, bytes: u32) {
        self.room = bytes as usize;
    }

    /// The bus has something.
    pub(crate) fn ready(&mut self) {
        self.ready = true;
    }

    /// The bus answered. If no more waits, it says so when there is something again.
    pub(crate) fn delivered(&mut self, more: bool) {
        self.asked = false;
        self.ready = more;
    }

    /// So much was written.
    pub(crate) fn wrote(&mut self, bytes: usize) {
        self.room = self.room.saturating_sub(bytes);
    }

    /// Whether the socket takes anything beside answers.
    pub(crate) fn has_room(&self) -> bool {
        self.room > 0
    }

    /// How much to ask for, if it is time to.
    pub(crate) fn next(&mut self) -> Option<u32> {
        if !self.ready || self.asked || self.room == 0 {
            return None;
        }
        self.asked = true;
        Some(self.room.min(PULL_BYTES_MAX) as u32)
    }
}
