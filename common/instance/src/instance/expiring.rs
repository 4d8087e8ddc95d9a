//! What connections have shown expires, by the wall clock.
//!
//! The deadline by which an instance is woken is of the monotonic clock, so it is reckoned anew when the wall clock has been
//! moved against that: what was shown ends when it says, by the clock as it is by then.

use super::{Instance, refusal};
use riser_model::{ConnectionId, Now, Time, Wall, door::Code};
use std::time::Duration;

/// By so much the wall clock may be off from where it was when deadlines were reckoned, in one step or bit by bit.
const OFF_MS_MAX: u64 = 1000;

impl Instance {
    /// Notes when what a connection has shown expires.
    pub(super) fn expires(&mut self, id: ConnectionId, now: Now) {
        self.lasts(id);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if let Some(until) = connection.standing.until.map(|until| deadline(until, now)) {
            connection.expires = Some(until);
            self.expiries.insert((until, id));
        }
    }

    /// It expires no more, or has.
    pub(super) fn lasts(&mut self, id: ConnectionId) {
        let expires = self.connections.get_mut(&id).and_then(|connection| connection.expires.take());
        if let Some(time) = expires {
            self.expiries.remove(&(time, id));
        }
    }

    /// What a connection has shown holds no longer.
    pub(super) fn expire(&mut self, id: ConnectionId, now: Now) {
        self.lasts(id);
        let (what, want) = ("what was shown has expired", "show it again, or a new one");
        self.refuse(id, refusal(Code::NotAuthorised, what, want), now);
    }

    /// Reckons anew when what was shown expires, if the wall clock is not where it was.
    pub(super) fn look_at_expiries(&mut self, now: Now) {
        let passed = now.time.since(self.reckoned.time).as_millis();
        let expected = self.reckoned.wall.0.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX));
        if now.wall.0.abs_diff(expected) <= OFF_MS_MAX {
            return;
        }
        self.reckoned = now;
        let all: Vec<ConnectionId> = self.expiries.iter().map(|(_, id)| *id).collect();
        for id in all {
            self.expires(id, now);
        }
    }
}

/// When that will be, if no clock is set until then.
fn deadline(until: Wall, now: Now) -> Time {
    let left = u64::try_from(until.0.saturating_sub(now.wall.0)).unwrap_or(0);
    now.time.plus(Duration::from_millis(left))
}
