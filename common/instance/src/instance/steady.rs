//! The clock by which sessions and wills wait: wall time that no step of the wall clock moves.
//!
//! While the process lives it goes on with the monotonic clock. A start takes it from the wall clock, without what that
//! was stepped while a process of this log lived, which is in the log, and never from before what the log tells of. A step
//! while none lives is not to be told from time that passed.

use super::{Awaited, Instance, Record};
use riser_model::{AccountId, Now, Time, Wall};
use riser_mqtt::SessionKey;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steady {
    start: Wall,
    since: Time,
    /// How far the wall clock was ahead when the log was told last, unless it is to be told again.
    told_ms: Option<i64>,
}

impl Steady {
    pub(super) fn new(start: Wall, since: Time) -> Self {
        Self { start, since, told_ms: None }
    }

    /// What time it is.
    pub(super) fn wall(self, now: Now) -> Wall {
        let ms = i64::try_from(now.time.since(self.since).as_millis()).unwrap_or(i64::MAX);
        Wall(self.start.0.saturating_add(ms))
    }
}

impl Instance {
    /// What the wall clock was stepped is told to the log where something waits for a time. `again`: what was told is in
    /// the log by now, or was lost with its commit.
    pub(super) fn look_at_clock(&mut self, again: bool, now: Now) {
        if again {
            self.steady.told_ms = None;
        }
        if self.sessions.is_empty() && !self.sessions.has_waiting_wills() {
            return;
        }
        let record = self.sessions.step(self.steady.wall(now), now.wall, self.steady.told_ms);
        if let Some(record) = record {
            if let Record::Stepped { ahead_ms, .. } = record {
                self.steady.told_ms = Some(ahead_ms);
            }
            // It is nobody's session.
            let nobody = SessionKey::of_nobody(AccountId::NONE, "clock");
            self.append(nobody, &[record], Awaited::Nobody, now);
        }
    }
}
