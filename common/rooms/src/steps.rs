//! Steps of the wall clock, by where the log was: what an entry's time is against the clock that it was stamped by.
//!
//! A publication's time is over so long after it was published, whatever the wall clock was set to meanwhile. What always
//! holds: while the process lives, [`Steps::steady`] goes on as the monotonic clock does, and [`Steps::of`] says an entry's
//! time by the same clock. What was stamped before the process began is as old as the wall clock of its start had it, or as the
//! wall clock says by now, whichever is more: of a host that began without the time and was told it later, the first is wrong.

use riser_model::{Now, Seq, Wall};
use std::collections::BTreeMap;

/// What the wall clock goes ahead of the monotonic one between two looks, or falls behind, is a step from so much on. Less
/// than this is a clock that is slewed.
const STEP_MS: i64 = 500;
/// Of older ones it is not known which entries were stamped before.
const KEPT: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    looked: Option<Now>,
    /// How far the wall clock is ahead by now of what it would be.
    ahead_ms: i64,
    /// From which entry on it was so far ahead.
    at: BTreeMap<Seq, i64>,
    /// How far it was before the oldest of those.
    before_ms: i64,
    /// What is below was stamped before the process began.
    first: Seq,
}

impl Steps {
    /// Of a process that stamps from here on.
    pub(crate) fn new(first: Seq) -> Self {
        Self { first, ..Self::default() }
    }

    /// Looks at the clocks; `next` is the entry that is stamped next.
    pub(crate) fn look(&mut self, next: Seq, now: Now) {
        let ahead_ms = self.ahead_ms(now);
        self.looked = Some(now);
        if ahead_ms == self.ahead_ms {
            return;
        }
        self.ahead_ms = ahead_ms;
        self.at.insert(next, self.ahead_ms);
        if self.at.len() > KEPT
            && let Some((_, oldest)) = self.at.pop_first()
        {
            self.before_ms = oldest;
        }
    }

    /// What time it is, by a clock that is not stepped.
    pub(crate) fn steady(&self, now: Now) -> Wall {
        Wall(now.wall.0.saturating_sub(self.ahead_ms(now)))
    }

    /// How far the wall clock is ahead then, with what it was stepped since the last look.
    fn ahead_ms(&self, now: Now) -> i64 {
        let Some(before) = self.looked else { return self.ahead_ms };
        let wall = now.wall.0.saturating_sub(before.wall.0);
        let step = wall.saturating_sub(ms(now)).saturating_add(ms(before));
        let is_step = step.saturating_abs() >= STEP_MS;
        if is_step { self.ahead_ms.saturating_add(step) } else { self.ahead_ms }
    }

    /// Entries from there on failed: their seqs are given again.
    pub(crate) fn rewind(&mut self, next: Seq) {
        if !self.at.split_off(&next).is_empty() {
            self.at.insert(next, self.ahead_ms);
        }
    }

    /// When an entry was stamped, by that clock.
    pub(crate) fn of(&self, seq: Seq, wall: Wall) -> Wall {
        if self.is_before(seq) {
            return wall;
        }
        let ahead = self.at.range(..=seq).next_back().map_or(self.before_ms, |(_, ahead)| *ahead);
        Wall(wall.0.saturating_sub(ahead))
    }

    /// The same in milliseconds of the monotonic clock; below 0 before the host began.
    pub(crate) fn born_ms(&self, seq: Seq, wall: Wall, now: Now) -> i64 {
        let age = self.steady(now).0.saturating_sub(self.of(seq, wall).0);
        let by_wall = self.is_before(seq).then(|| now.wall.0.saturating_sub(wall.0));
        ms(now).saturating_sub(by_wall.map_or(age, |by_wall| by_wall.max(age)))
    }

    /// Whether that time, by the clock that stamped an entry, is over.
    pub(crate) fn is_over(&self, seq: Seq, wall: Wall, now: Now) -> bool {
        let by = if self.is_before(seq) { self.latest(now) } else { self.steady(now) };
        self.of(seq, wall) <= by
    }

    /// What time it is for what was stamped before the process began: by that clock or the wall clock, whichever is later.
    pub(crate) fn latest(&self, now: Now) -> Wall {
        self.steady(now).max(now.wall)
    }

    fn is_before(&self, seq: Seq) -> bool {
        seq < self.first
    }
}

fn ms(now: Now) -> i64 {
    i64::try_from(now.time.0 / 1_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::Time;

    fn at(ms: u64, wall: i64) -> Now {
        Now { time: Time(ms * 1_000_000), wall: Wall(wall) }
    }

    #[test]
    fn an_entry_is_as_old_as_the_monotonic_clock_says_whatever_the_wall_clock_does() {
        let mut steps = Steps::default();
        steps.look(Seq(1), at(1_000, 70_000));
        steps.look(Seq(5), at(2_000, 71_000));
        // A year ahead, a little slewed, and back again.
        steps.look(Seq(6), at(3_000, 9_000_000));
        steps.look(Seq(8), at(4_000, 9_001_100));
        steps.look(Seq(9), at(5_000, 74_000));
        let now = at(10_000, 79_000);
        steps.look(Seq(20), now);
        for (seq, wall, born) in [(5, 71_000, 2_000), (7, 9_000_000, 2_900), (9, 74_000, 4_900)] {
            let found = steps.born_ms(Seq(seq), Wall(wall), now);
            assert!((found - born).abs() <= 100, "{seq}: {found} and not {born}");
        }
        assert_eq!(steps.born_ms(Seq(1), Wall(60_000), at(10_000, 79_000)), -9_100, "before the host began");
        // It was stepped, and nobody has looked yet.
        assert_eq!(steps.steady(at(11_000, 5)), Wall(steps.steady(now).0 + 1_000));
    }

    #[test]
    fn what_was_stamped_before_a_start_without_the_time_is_as_old_as_the_clock_says_that_was_set_after() {
        let mut steps = Steps::new(Seq(5));
        // It began in 1970, and was told the time.
        steps.look(Seq(5), at(1_000, 1_000));
        assert!(!steps.is_over(Seq(4), Wall(950_000), at(1_000, 1_000)));
        steps.look(Seq(7), at(2_000, 1_000_000));
        let now = at(3_000, 1_001_000);
        assert_eq!(steps.born_ms(Seq(4), Wall(900_000), now), 3_000 - 101_000);
        assert!(steps.is_over(Seq(4), Wall(950_000), now), "it expired while nothing ran");
        assert!(!steps.is_over(Seq(4), Wall(1_001_001), now));
        assert_eq!(steps.born_ms(Seq(6), Wall(1_500), now), 1_500, "by the clock of this process");
        assert!(!steps.is_over(Seq(6), Wall(3_001), now));
        assert!(steps.is_over(Seq(7), Wall(1_001_000), now));
        // Set back again, it is not younger than the start had it.
        assert_eq!(steps.born_ms(Seq(4), Wall(500), at(4_000, 600)), 4_000 - 3_500);
    }

    #[test]
    fn a_seq_that_is_given_again_is_stamped_by_the_clock_of_then() {
        let mut steps = Steps::new(Seq(1));
        steps.look(Seq(1), at(1_000, 1_000));
        steps.look(Seq(10), at(2_000, 902_000));
        // Those from the fifth on failed.
        steps.rewind(Seq(5));
        assert_eq!(steps.of(Seq(4), Wall(1_500)), Wall(1_500));
        assert_eq!(steps.of(Seq(5), Wall(902_500)), Wall(2_500));
        steps.rewind(Seq(7));
        assert_eq!(steps.of(Seq(7), Wall(902_500)), Wall(2_500), "nothing was stepped since");
    }

    #[test]
    fn steps_take_bounded_memory_and_extremes_are_no_trouble() {
        let mut steps = Steps::default();
        for n in 0..500_u64 {
            let wall = if n % 2 == 0 { i64::MIN } else { i64::MAX };
            steps.look(Seq(n), at(n, wall));
        }
        assert!(steps.at.len() <= KEPT);
        steps.born_ms(Seq(3), Wall(i64::MIN), at(1, i64::MAX));
    }
}
