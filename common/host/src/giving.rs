//! What those who wait for more are to be given, in whose turn, and how many have theirs at once.
//!
//! Who is near the present gets little and goes first. A part of the past is large: to look for it, to word it and to write it
//! keeps a thread busy for about as long as a live message is under way altogether. Whoever reads the past alone, or where
//! nobody says anything, has all threads. While something is said, many who read have half of them together, and one at
//! least: on the others somebody hears at once what comes. Each has one part in turn, in the order in which they asked.

use riser_model::{ConnectionId, Route, RouteNumber, Selected, Time};
use std::{collections::VecDeque, time::Duration};

/// Up to so many that wait for each turn are few: one who reads has two things under way.
const FEW: usize = 2;
/// So long after something was said more is expected.
const LIVELY: Duration = Duration::from_millis(250);

/// What somebody is to be given.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Gift {
    /// It pulls.
    Pull { connection: ConnectionId, bytes: u32, stands: bool },
    /// What numbers mean in what was read next.
    Routes(Vec<(RouteNumber, Route)>),
    /// The log was read for it.
    Read { ticket: u64, found: Selected },
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Giving {
    /// For those who are near the present.
    present: VecDeque<Gift>,
    past: VecDeque<Gift>,
    /// How many may be given a part of the past at once.
    turns: usize,
    /// When something was said last.
    said: Option<Time>,
}

impl Giving {
    /// Nobody waits; so many may be given a part of the past at once.
    pub(crate) fn new(turns: usize) -> Self {
        Self { present: VecDeque::new(), past: VecDeque::new(), turns, said: None }
    }

    /// For somebody who is near the present.
    pub(crate) fn push_present(&mut self, gift: Gift) {
        self.present.push_back(gift);
    }

    /// A part of the past.
    pub(crate) fn push_past(&mut self, gift: Gift) {
        self.past.push_back(gift);
    }

    /// Something was said, and is on disk.
    pub(crate) fn said(&mut self, now: Time) {
        self.said = Some(now);
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.present.is_empty() && self.past.is_empty()
    }

    /// How many turns must be free for the next gift.
    pub(crate) fn wants_free(&self, now: Time) -> usize {
        if !self.present.is_empty() {
            return 0;
        }
        let lively = self.said.is_some_and(|said| now.since(said) < LIVELY);
        if lively && self.past.len() > FEW * self.turns { self.turns / 2 + 1 } else { 1 }
    }

    /// The next one, if so many turns are free.
    pub(crate) fn next(&mut self, free: usize, now: Time) -> Option<Gift> {
        if free < self.wants_free(now) {
            return None;
        }
        self.present.pop_front().or_else(|| self.past.pop_front())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURNS: usize = 4;

    fn pull(connection: u64) -> Gift {
        Gift::Pull { connection: ConnectionId(connection), bytes: 1, stands: true }
    }

    fn readers(count: u64) -> Giving {
        let mut giving = Giving::new(TURNS);
        (0..count).for_each(|n| giving.push_past(pull(n)));
        giving
    }

    fn at(ms: u64) -> Time {
        Time(1 << 40).plus(Duration::from_millis(ms))
    }

    #[test]
    fn who_is_near_the_present_waits_for_nobody_who_reads_the_past() {
        let mut giving = readers(200);
        assert_eq!(giving.next(1, at(0)), Some(pull(0)));
        giving.push_present(pull(1000));
        assert_eq!(giving.next(0, at(0)), Some(pull(1000)), "nor for the parts that are being given");
        assert_eq!(giving.next(0, at(0)), None);
        let rest = std::iter::from_fn(|| giving.next(1, at(0)));
        assert_eq!(rest.collect::<Vec<_>>(), (1..200).map(pull).collect::<Vec<_>>());
        assert!(giving.is_empty());
    }

    #[test]
    fn many_who_read_leave_half_of_the_threads_to_what_is_said() {
        let mut giving = readers(200);
        assert_eq!(giving.wants_free(at(0)), 1, "nobody says anything");
        giving.said(at(0));
        assert_eq!(giving.wants_free(at(249)), 3);
        assert_eq!(giving.next(2, at(249)), None);
        assert_eq!(giving.next(3, at(249)), Some(pull(0)));
        assert_eq!(giving.wants_free(at(250)), 1, "nobody says anything any more");
        let mut few = readers(2 * TURNS as u64);
        few.said(at(0));
        assert_eq!(few.wants_free(at(0)), 1, "few who read may have all of them");
        let mut alone = Giving::new(1);
        (0..200).for_each(|n| alone.push_past(pull(n)));
        alone.said(at(0));
        assert_eq!(alone.next(1, at(0)), Some(pull(0)), "somebody always has a turn");
    }
}
