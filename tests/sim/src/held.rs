//! What an archive has: each volume of which a step said that it is on disk, but for those that it let go of, and when nobody
//! could read it. Who reads is told nothing of that as gone, and a log lets go of nothing that was never there.

use riser_model::{Seq, Time};
use std::{collections::BTreeMap, time::Duration};

/// What was said may have been looked up so long before: whoever takes nothing for longer is left.
const SAID_WITHIN: Duration = Duration::from_secs(35);

/// See the module.
#[derive(Debug, Default)]
pub struct Held {
    /// From a seq on: to which, and whether it is still there.
    volumes: BTreeMap<Seq, (Seq, bool)>,
    /// From when to when nobody could read it.
    closed: Vec<(Time, Time)>,
}

impl Held {
    /// A volume is on disk.
    pub fn archived(&mut self, first: Seq, last: Seq) {
        self.volumes.insert(first, (last, true));
    }

    /// The archive let go of what it had up to there.
    pub fn let_go(&mut self, last: Seq) {
        self.volumes.values_mut().filter(|(to, _)| *to <= last).for_each(|(_, there)| *there = false);
    }

    /// Whether it has that.
    pub fn has(&self, seq: Seq) -> bool {
        self.volume(seq).is_some_and(|there| there)
    }

    /// Whether it ever had that.
    pub fn had(&self, seq: Seq) -> bool {
        self.volume(seq).is_some()
    }

    fn volume(&self, seq: Seq) -> Option<bool> {
        let (_, (last, there)) = self.volumes.range(..=seq).next_back()?;
        (seq <= *last).then_some(*there)
    }

    /// Nobody can read it from then on, until then at most.
    pub fn closes(&mut self, from: Time, until: Time) {
        self.closed.push((from, until));
    }

    /// Whoever could not open it has done so, or is no more.
    pub fn opens(&mut self, at: Time) {
        let open_end = self.closed.iter_mut().filter(|(_, until)| *until == Time(u64::MAX));
        open_end.for_each(|(_, until)| *until = at);
    }

    /// Whether what was said then may have been said because nobody could read it.
    pub fn was_closed(&self, at: Time) -> bool {
        self.closed.iter().any(|(from, until)| *from <= at && at <= until.plus(SAID_WITHIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_archive_let_go_of_it_had() {
        let mut held = Held::default();
        held.archived(Seq(3), Seq(7));
        held.archived(Seq(8), Seq(9));
        held.let_go(Seq(7));
        assert!([3, 7].into_iter().all(|seq| held.had(Seq(seq)) && !held.has(Seq(seq))));
        assert!(held.has(Seq(8)) && !held.had(Seq(2)) && !held.had(Seq(10)));
    }

    #[test]
    fn what_is_said_soon_after_an_archive_was_opened_may_not_know_of_it() {
        let mut held = Held::default();
        let at = |s| Time(0).plus(Duration::from_secs(s));
        held.closes(at(10), Time(u64::MAX));
        held.opens(at(20));
        assert!([10, 20, 50].into_iter().all(|s| held.was_closed(at(s))));
        assert!(!held.was_closed(at(9)) && !held.was_closed(at(56)));
    }
}
