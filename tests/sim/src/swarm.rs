//! Many runs: over fresh seeds, and over the wrong variants, each of which some seed must catch.

use crate::{Report, knobs::Theme, ledger::Counts, mutant::Mutant, run::run_theme};
use std::ops::Range;

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

/// Runs these seeds; each report is shown as it comes.
pub fn swarm(themes: &[Theme], seeds: Range<u64>, mut show: impl FnMut(&Report)) -> Total {
    let mut total = Total::default();
    for (seed, theme) in seeds.flat_map(|seed| themes.iter().map(move |theme| (seed, *theme))) {
        let report = run_theme(theme, seed, None, false);
        total.seeds += 1;
        total.hours += report.lasted.as_secs_f64() / 3600.0;
        total.counts.add(&report.counts);
        if !report.wrong.is_empty() {
            total.failed.push((theme, seed));
        }
        show(&report);
    }
    total
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
