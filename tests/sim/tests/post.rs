//! Publications that are addressed to one client: fixed seeds, each that once found something, and the wrong variants that show
//! there.
#![allow(clippy::panic, reason = "tests")]

use riser_sim::{knobs::Theme, ledger::Counts, mutant::Mutant, run::run_theme, swarm};

fn hold(seeds: impl IntoIterator<Item = u64>) -> Counts {
    let mut counts = Counts::default();
    for seed in seeds {
        let report = run_theme(Theme::Post, seed, None, false);
        assert!(
            report.wrong.is_empty(),
            "see it with: cargo run --release -p riser-sim -- run --seed {seed} --theme post\n{:#?}",
            report.wrong
        );
        assert!(report.counts.offered > 1000 && report.lasted.as_secs() >= 1800, "{:?}", report.counts);
        counts.add(&report.counts);
    }
    counts
}

#[test]
fn what_is_addressed_to_one_client_reaches_it_over_cuts_and_crashes_and_nobody_else() {
    let counts = hold(1..=3);
    assert!(counts.outcomes > 500 && counts.void > 200 && counts.denied > 100, "{counts:?}");
    assert!(counts.crashes > 3 && counts.delivered > 500, "{counts:?}");
}

#[test]
fn a_full_log_whose_commit_failed_goes_on_when_whoever_is_above_has_all_of_it() {
    hold([81_000_008, 81_000_025]);
}

#[test]
fn what_is_addressed_reaches_its_client_without_faults() {
    assert!(hold([15]).void > 50);
}

#[test]
fn what_became_of_what_was_addressed_at_an_edge_between_is_placed_where_nothing_goes_down() {
    hold([8]);
}

#[test]
fn who_is_let_in_and_does_not_listen_yet_is_not_there() {
    hold([14]);
}

#[test]
fn what_four_refusals_hid_is_known_no_more_though_their_writer_heard_of_none() {
    hold([75_000_118]);
}

#[test]
fn a_position_that_an_old_backup_knows_nothing_of_says_not_what_is_missing_however_far_the_log_is_by_now() {
    hold([82_000_232, 82_000_549]);
}

#[test]
fn what_came_after_a_backup_that_a_start_had_yet_to_shorten_is_known_as_lost() {
    hold([82_001_650]);
}

#[test]
fn the_same_seed_is_the_same_run() {
    let lines = || run_theme(Theme::Post, 7, None, true).lines;
    let first = lines();
    assert!(first.len() > 1000 && first == lines());
}

#[test]
fn wrong_variants_of_addresses_are_caught() {
    // A few of them: `riser-sim mutants` has them all, in a build that is fast.
    let of_it = Mutant::ALL.into_iter().filter(|mutant| mutant.theme() == Theme::Post);
    for mutant in of_it.take(3) {
        assert!(swarm::hunt(mutant, 20).is_some(), "{mutant} survived");
    }
}
