//! When an edge asks its hub what was given up of its account: when the link comes up, and again and again while it is, for
//! an answer is what says that the hub is heard.
//!
//! A hub that is older than that question closes the link over it: it is asked later then ([`Shy`]).

use crate::shy::Shy;
use riser_model::Time;
use std::time::Duration;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Asking {
    /// None where nobody is asked.
    every: Option<Duration>,
    at: Option<Time>,
    shy: Shy,
}

impl Asking {
    pub(crate) fn every(every: Duration) -> Self {
        Self { every: Some(every), ..Self::default() }
    }

    /// The link is up.
    pub(crate) fn up(&mut self, now: Time) {
        self.at = self.every.map(|_| self.shy.from(now));
    }

    /// The link is down; the hub may have said that it did not understand. For how long it is not asked on the next, if that
    /// is why.
    pub(crate) fn down(&mut self, not_understood: bool, now: Time) -> Option<Duration> {
        self.at = None;
        self.shy.closed(not_understood, now)
    }

    /// When it is to be asked.
    pub(crate) fn due_at(&self) -> Option<Time> {
        self.at
    }

    /// Whether it is to be asked now: then it is.
    pub(crate) fn asks(&mut self, now: Time) -> bool {
        let is_due = self.at.is_some_and(|at| at <= now);
        if is_due {
            self.shy.asked(now);
            self.at = self.every.map(|every| now.plus(every));
        }
        is_due
    }

    /// It answered.
    pub(crate) fn answered(&mut self) {
        self.shy.answered();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Time {
        Time(0).plus(Duration::from_secs(s))
    }

    #[test]
    fn a_hub_is_asked_when_the_link_comes_up_and_again_and_again() {
        let mut asking = Asking::every(Duration::from_secs(60));
        assert_eq!((asking.asks(at(0)), asking.due_at()), (false, None));
        asking.up(at(1));
        assert!(asking.asks(at(1)) && !asking.asks(at(2)));
        asking.answered();
        assert_eq!(asking.due_at(), Some(at(61)));
        assert!(asking.asks(at(61)));
        asking.answered();
        assert_eq!(asking.down(false, at(62)), None);
        asking.up(at(63));
        assert!(asking.asks(at(63)), "at once, over a cut");
        let mut nobody = Asking::default();
        nobody.up(at(0));
        assert_eq!(nobody.due_at(), None);
    }

    #[test]
    fn a_hub_that_closes_over_the_question_is_asked_later_and_later_until_it_answers() {
        let mut asking = Asking::every(Duration::from_secs(60));
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..8 {
            asking.up(at(now));
            let due = asking.due_at().unwrap().since(at(0)).as_secs();
            assert_eq!(due - now, waits.last().copied().unwrap_or(0), "the way up goes on meanwhile");
            now = due;
            assert!(asking.asks(at(now)));
            waits.push(asking.down(true, at(now + 1)).unwrap().as_secs());
        }
        assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        asking.up(at(now));
        now += 3600;
        assert!(asking.asks(at(now)));
        asking.answered();
        asking.down(true, at(now + 1));
        asking.up(at(now + 1));
        assert!(asking.asks(at(now + 1)));
        assert_eq!(asking.down(true, at(now + 20)), None, "that was no answer to a question");
    }

    #[test]
    fn a_hub_whose_link_is_cut_over_the_question_is_asked_as_soon_as_the_next_one_is_up() {
        let mut asking = Asking::every(Duration::from_secs(60));
        let mut cut = |from: u64| {
            asking.up(at(from));
            let due = asking.due_at().unwrap();
            assert!(asking.asks(due));
            asking.down(false, due.plus(Duration::from_secs(6)));
            due.since(at(from)).as_secs()
        };
        assert_eq!([cut(0), cut(1_000), cut(2_000)], [0, 0, 0], "of some cuts nothing is concluded");
        assert_eq!(cut(3_000), 60, "a hub that says nothing and closes may be older too");
        asking.up(at(4_000));
        assert!(asking.asks(at(4_120)));
        asking.answered();
        asking.down(false, at(4_121));
        // Nobody closes over a question after a silence of twelve seconds.
        for n in 5..9 {
            asking.up(at(1_000 * n));
            assert!(asking.asks(at(1_000 * n)), "the {n}th");
            assert_eq!(asking.down(false, at(1_000 * n + 12)), None);
        }
    }
}
