//! Where clients enter the lines of a history: their standard output, or in a simulation, where all of them are on one
//! thread, its memory.

use riser_integration::ledger::Line;

#[cfg(riser_turmoil)]
pub use memory::{clear, say, take};

/// Enters a line in the history.
#[cfg(not(riser_turmoil))]
pub fn say(line: &Line) {
    println!("{}", serde_json::to_string(line).expect("a line is JSON"));
}

#[cfg(riser_turmoil)]
mod memory {
    use super::Line;
    use std::cell::RefCell;

    thread_local!(static LINES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) });

    /// Enters a line in the history.
    pub fn say(line: &Line) {
        LINES.with_borrow_mut(|lines| lines.push(line.clone()));
    }

    /// What was entered since the last time.
    pub fn take() -> Vec<Line> {
        LINES.take()
    }

    /// Forgets what was entered.
    pub fn clear() {
        take();
    }
}
