//! Who is to hear of something, and when: a fan-out to few at once, those to many in turns.
//!
//! Whoever hears of a publication costs a wake, a write and a read, however little it is. In fan-outs to many, one after the
//! other hears, each [`EACH`] after the one before: what is committed until somebody's turn comes again gathers, and is heard
//! together. Who hears is spread over that time, for all at once would wait for each other longer than they gather. After a
//! rest two hundred hear without waiting, so a publication that comes alone is heard as it comes. Nobody is in the round
//! twice, and nothing is queued here but the ids of connections, each at most twice: once for the round, once to hear at once.

use riser_model::{ConnectionId, Time};
use std::{collections::VecDeque, time::Duration};

/// From so many on a fan-out is one to many.
pub(crate) const MANY: usize = 64;
/// What each who hears has of a round: half again what it costs two processors (`tests/bench`, fan-out).
const EACH: Duration = Duration::from_micros(15);
/// Whose turn it was has the next one about so long after it at the latest, however many there are.
pub(crate) const ROUND_MAX: Duration = Duration::from_millis(50);
/// Whose turn comes within this hear together: a timer of the runtime has no finer grain.
const SLICE: Duration = Duration::from_millis(1);
/// What a slice makes up for at most: a timer that was late, or a rest.
const LATE_MAX: Duration = Duration::from_millis(3);
/// So many hear at once after a rest.
#[cfg(test)]
pub(crate) const AT_ONCE: usize = 200;

/// What a connection is to a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Place {
    /// Nothing.
    #[default]
    None,
    /// It is to hear in it.
    Waits,
    /// It was to, and has heard otherwise.
    Had,
}

/// Whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// Of one that is not one of many.
    AtOnce(ConnectionId),
    /// Of one in a round.
    InRound(ConnectionId),
}

#[derive(Debug, Default)]
pub(crate) struct Rounds {
    /// Who hears at once, in order.
    due: VecDeque<ConnectionId>,
    /// Who hears in its turn, in order.
    round: VecDeque<ConnectionId>,
    /// When the slice that runs began, and how many may still hear in it.
    began: Time,
    left: u128,
    is_hurried: bool,
}

impl Rounds {
    /// That one hears at once.
    pub(crate) fn push(&mut self, connection: ConnectionId) {
        self.due.push_back(connection);
    }

    /// That one hears when all who are in the round have.
    pub(crate) fn gather(&mut self, connection: ConnectionId) {
        self.round.push_back(connection);
    }

    /// Who hears next, and how. None if nobody does yet.
    pub(crate) fn pop(&mut self, now: Time) -> Option<Turn> {
        if let Some(connection) = self.due.pop_front() {
            return Some(Turn::AtOnce(connection));
        }
        let width = u32::try_from(self.round.len()).unwrap_or(u32::MAX);
        if width == 0 {
            return None;
        }
        let passed = now.since(self.began);
        if passed >= SLICE {
            let each = EACH.min(ROUND_MAX / width).max(Duration::from_nanos(1));
            self.began = now;
            self.left = passed.min(LATE_MAX).as_nanos() / each.as_nanos();
        }
        if !self.is_hurried {
            self.left = self.left.checked_sub(1)?;
        }
        self.round.pop_front().map(Turn::InRound)
    }

    /// When the next slice begins, if anybody waits for it.
    pub(crate) fn deadline(&self) -> Option<Time> {
        (!self.round.is_empty()).then(|| self.began.plus(SLICE))
    }

    /// Nobody waits any more.
    pub(crate) fn hurry(&mut self) {
        self.is_hurried = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(rounds: &mut Rounds, now: Time) -> usize {
        std::iter::from_fn(|| rounds.pop(now)).count()
    }

    #[test]
    fn after_a_rest_some_hear_at_once_and_the_others_so_many_in_a_millisecond() {
        let mut rounds = Rounds::default();
        let mut now = Time::default().plus(Duration::from_secs(1));
        (0..900).for_each(|n| rounds.gather(ConnectionId(n)));
        assert_eq!(heard(&mut rounds, now), AT_ONCE);
        for slice in [66, 66, 66] {
            rounds.push(ConnectionId(1000));
            let turn = rounds.pop(now);
            assert_eq!(
                turn,
                Some(Turn::AtOnce(ConnectionId(1000))),
                "who is not one of many waits for nobody"
            );
            assert_eq!(heard(&mut rounds, now), 0);
            now = now.plus(SLICE);
            assert_eq!(rounds.deadline(), Some(now));
            assert_eq!(heard(&mut rounds, now), slice);
        }
        now = now.plus(SLICE * 2);
        assert_eq!(heard(&mut rounds, now), 133, "what a timer was late is made up for");
        now = now.plus(Duration::from_secs(1));
        assert_eq!(heard(&mut rounds, now), AT_ONCE, "as after a rest");
        now = now.plus(Duration::from_secs(1));
        assert_eq!(heard(&mut rounds, now), 900 - 2 * AT_ONCE - 3 * 66 - 133, "who is left");
        assert_eq!(rounds.deadline(), None);
        rounds.gather(ConnectionId(0));
        assert_eq!(heard(&mut rounds, now), 1, "and what is left of the slice is anybody's");
    }

    #[test]
    fn however_many_there_are_their_turn_comes() {
        let mut rounds = Rounds::default();
        let mut now = Time::default().plus(Duration::from_secs(1));
        (0..1_000_000).for_each(|n| rounds.gather(ConnectionId(n)));
        let (mut all, began) = (0, now);
        while rounds.deadline().is_some() && now.since(began) < ROUND_MAX * 3 {
            all += heard(&mut rounds, now);
            now = now.plus(SLICE);
        }
        assert!(all > 900_000, "{all}: one in fifty in each millisecond");
    }

    #[test]
    fn who_is_in_a_hurry_waits_for_no_slice() {
        let mut rounds = Rounds::default();
        rounds.hurry();
        (0..1000).for_each(|n| rounds.gather(ConnectionId(n)));
        assert_eq!(heard(&mut rounds, Time::default()), 1000);
    }
}
