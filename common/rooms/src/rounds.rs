//! Who is to hear of something, and when: a fan-out to few at once, those to many in rounds.
//!
//! Whoever hears of a publication costs a wake, a write and a read, however little it is. After a fan-out to many, what is
//! committed while the last of them still have theirs to read gathers, and everybody hears of it together in the next
//! round: fewer and larger deliveries. The first one begins a round at once, so a publication that comes alone waits for
//! nothing. Nobody is in two rounds, and nothing is queued here but the ids of connections, each at most twice: once for a round, once to hear at once.

use riser_model::{ConnectionId, Time};
use std::{collections::VecDeque, time::Duration};

/// From so many on a fan-out is one to many.
pub(crate) const MANY: usize = 64;
/// What the next round waits for each who hears in this one.
const EACH: Duration = Duration::from_micros(10);
/// The most that it waits.
pub(crate) const WAIT_MAX: Duration = Duration::from_millis(50);

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
    /// Who hears in this round and has not yet.
    round: VecDeque<ConnectionId>,
    /// Who hears in the next one.
    gathering: VecDeque<ConnectionId>,
    /// When that may begin.
    next: Time,
}

impl Rounds {
    /// That one hears at once.
    pub(crate) fn push(&mut self, connection: ConnectionId) {
        self.due.push_back(connection);
    }

    /// That one hears in the next round.
    pub(crate) fn gather(&mut self, connection: ConnectionId) {
        self.gathering.push_back(connection);
    }

    /// Who hears next, and how. None if nobody does yet.
    pub(crate) fn pop(&mut self, now: Time) -> Option<Turn> {
        if let Some(connection) = self.due.pop_front() {
            return Some(Turn::AtOnce(connection));
        }
        if self.round.is_empty() && !self.gathering.is_empty() && now >= self.next {
            std::mem::swap(&mut self.round, &mut self.gathering);
            let width = u32::try_from(self.round.len()).unwrap_or(u32::MAX);
            self.next = now.plus(EACH.saturating_mul(width).min(WAIT_MAX));
        }
        self.round.pop_front().map(Turn::InRound)
    }

    /// When the next round begins, if anybody waits for it.
    pub(crate) fn deadline(&self) -> Option<Time> {
        (!self.gathering.is_empty()).then_some(self.next)
    }

    /// Nobody waits any more.
    pub(crate) fn hurry(&mut self) {
        self.next = Time::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(rounds: &mut Rounds, now: Time) -> usize {
        std::iter::from_fn(|| rounds.pop(now)).count()
    }

    #[test]
    fn the_next_round_waits_for_everybody_in_this_one_and_no_longer_than_its_bound() {
        let mut rounds = Rounds::default();
        for (width, wait) in [(100, Duration::from_millis(1)), (100_000, WAIT_MAX)] {
            let now = Time::default().plus(Duration::from_secs(width));
            (0..width).for_each(|n| rounds.gather(ConnectionId(n)));
            assert_eq!(all(&mut rounds, now), width as usize, "the first begins at once");
            rounds.gather(ConnectionId(1));
            rounds.push(ConnectionId(2));
            assert_eq!(rounds.deadline(), Some(now.plus(wait)));
            let turn = rounds.pop(now);
            assert_eq!(
                turn,
                Some(Turn::AtOnce(ConnectionId(2))),
                "who is not one of many waits for no round"
            );
            assert_eq!(all(&mut rounds, now), 0);
            assert_eq!(all(&mut rounds, now.plus(wait)), 1);
            assert_eq!(rounds.deadline(), None);
        }
    }
}
