//! Many runs: over fresh seeds, and over the wrong variants, each of which some seed must catch.
//!
//! Runs share nothing, so as many go on at once as there are threads to be had.

use crate::{Report, knobs::Theme, ledger::Counts, mutant::Mutant, run::run_theme};
use std::{
    fmt,
    ops::Range,
    sync::{Mutex, PoisonError},
};

/// What a swarm came to.
#[derive(Debug, Default)]
pub struct Total {
    /// Runs, of all themes.
    pub seeds: u64,
    /// Their own time, hours.
    pub hours: f64,
    /// What was counted over all.
    pub counts: Counts,
    /// Runs in which something was not as it must be.
    pub failed: Vec<(Theme, u64)>,
}

impl Total {
    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.hours += other.hours;
        self.counts.add(&other.counts);
        self.failed.extend(other.failed);
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let c = &self.counts;
        let counted = [
            (c.cuts, "partitions"),
            (c.crashes, "crashes"),
            (c.others, "other faults"),
            (c.offered, "messages offered"),
            (c.acked, "acknowledged"),
            (c.hub_entries, "at the hub"),
            (c.delivered, "delivered"),
            (c.kept, "at QoS 2 to sessions that are kept"),
            (c.shows, "times shown what is retained"),
            (c.wills, "wills"),
            (c.dups, "sent again and stored once"),
            (c.gapped, "under gaps"),
            (c.disk_lost, "gone with a disk"),
            (c.entries, "times let in at a gate"),
            (c.turned_away, "turned away"),
            (c.whole, "told all behind it"),
            (c.replayed, "of sessions replayed"),
            (c.wiped, "times wiped"),
            (c.full, "times full"),
            (c.shared, "to who shares a subscription"),
            (c.shared_again, "of them again"),
            (c.over, "times over a quota"),
            (c.floors, "times told where a past begins"),
            (c.changes, "changes of accounts"),
            (c.outcomes, "times told what became of a publication"),
            (c.broken, "times told that a schema is broken"),
            (c.steps, "times gone on into another room"),
            (c.renewed, "times said anew who it is"),
            (c.given_up, "given up at an edge"),
            (c.void, "addressed and nobody's"),
            (c.denied, "addressed and refused"),
            (self.failed.len() as u64, "violations"),
        ];
        write!(f, "{} runs, {:.0} simulated hours", self.seeds, self.hours)?;
        counted.into_iter().try_for_each(|(count, what)| write!(f, ", {count} {what}"))
    }
}

/// Runs these seeds, so many at once; each report is shown as it comes.
pub fn swarm(themes: &[Theme], seeds: Range<u64>, jobs: usize, show: impl FnMut(&Report) + Send) -> Total {
    let runs = seeds.flat_map(|seed| themes.iter().map(move |theme| (seed, *theme)));
    let all = Mutex::new((Total::default(), show));
    each(runs, jobs, |(seed, theme)| {
        let report = run_theme(theme, seed, None, false);
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        let (total, show) = &mut *all;
        total.seeds += 1;
        total.hours += report.lasted.as_secs_f64() / 3600.0;
        total.counts.add(&report.counts);
        if !report.wrong.is_empty() {
            total.failed.push((theme, seed));
        }
        show(&report);
    });
    all.into_inner().unwrap_or_else(PoisonError::into_inner).0
}

/// Hunts every wrong variant, so many at once. What each came to is shown as it comes: the seed that catches it and what that
/// says, or nothing.
pub fn hunt_all(seeds: u64, jobs: usize, show: impl FnMut(Mutant, Option<(u64, String)>) + Send) {
    let show = Mutex::new(show);
    each(Mutant::ALL.into_iter(), jobs, |mutant| {
        let caught = hunt(mutant, seeds);
        (show.lock().unwrap_or_else(PoisonError::into_inner))(mutant, caught);
    });
}

/// Which of the first seeds catches a wrong variant, and by what.
pub fn hunt(mutant: Mutant, seeds: u64) -> Option<(u64, String)> {
    (1..=seeds).find_map(|seed| {
        let caught = std::panic::catch_unwind(|| run_theme(mutant.theme(), seed, Some(mutant), false));
        match caught {
            Ok(report) => report.wrong.first().map(|(_, what)| (seed, what.clone())),
            // A core that finds itself in a state that cannot be stops its process: that is caught too.
            Err(_) => Some((seed, "a core panicked".to_owned())),
        }
    })
}

/// Does it with each, so many at once.
fn each<T: Send>(all: impl Iterator<Item = T> + Send, jobs: usize, does: impl Fn(T) + Sync) {
    let all = Mutex::new(all);
    let next = || all.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(one) = next() {
                    does(one);
                }
            });
        }
    });
}
