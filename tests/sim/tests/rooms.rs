//! What rooms keep for those who come: fixed seeds, each that once found something, and the wrong variants that show there.
#![allow(clippy::panic, reason = "tests")]

use riser_sim::{Report, knobs::Theme, ledger::Counts, mutant::Mutant, run::run_theme, swarm};

fn holds(seed: u64) -> Report {
    let report = run_theme(Theme::Rooms, seed, None, false);
    assert!(
        report.wrong.is_empty(),
        "see it with: cargo run --release -p riser-sim -- run --seed {seed} --theme rooms\n{:#?}",
        report.wrong
    );
    report
}

#[test]
fn sessions_are_replayed_while_they_last_and_wiped_when_they_end() {
    let mut counts = Counts::default();
    for seed in 1..=4 {
        counts.add(&holds(seed).counts);
    }
    assert!(counts.replayed > 1000 && counts.wiped > 100 && counts.full > 20, "{counts:?}");
}

#[test]
fn rooms_without_faults_keep_what_they_promise() {
    let counts = holds(15).counts;
    assert!(counts.replayed > 100 && counts.crashes == 0, "{counts:?}");
}

#[test]
fn who_hears_late_that_there_was_no_place_was_told_what_was_so() {
    holds(229);
    // Others had the places while it asked, and the log did not take them.
    holds(61_002_084);
}

#[test]
fn what_an_edge_that_is_short_of_room_let_go_of_a_session_is_told_as_gone() {
    holds(31_000_131);
}

#[test]
fn what_a_hub_whose_disk_is_full_let_go_of_a_session_is_told_as_its_quota() {
    holds(50_000_921);
    // The same over a start.
    holds(50_001_052);
    // Who reads found it gone before a commit said so.
    holds(61_009_492);
}

#[test]
fn a_session_is_known_over_a_start_though_the_log_has_nothing_of_it_any_more() {
    holds(61_005_678);
    holds(61_007_329);
}

#[test]
fn a_session_at_an_edge_whose_log_was_full_when_it_began_anew_is_live_until_there_is_room_to_say_so() {
    holds(61_004_757);
}

#[test]
fn who_was_cut_off_hears_that_a_session_ended_when_it_is_there_again() {
    holds(50_000_562);
}

#[test]
fn sessions_of_an_epoch_are_over_with_the_first_word_of_the_next_in_any_room() {
    holds(32_000_087);
}

#[test]
fn a_session_lasts_for_who_asks_for_a_place_until_the_core_has_heard_of_its_end() {
    holds(83_000_123);
}

#[test]
fn what_a_hub_let_go_of_before_an_edge_came_back_is_told_and_not_owed() {
    holds(50_000_448);
}

#[test]
fn the_same_seed_is_the_same_run() {
    let lines = || run_theme(Theme::Rooms, 7, None, true).lines;
    let first = lines();
    assert!(first.len() > 1000 && first == lines());
}

#[test]
fn wrong_variants_of_rooms_are_caught() {
    // A few of them: `riser-sim mutants` has them all, in a build that is fast.
    let of_it = Mutant::ALL.into_iter().filter(|mutant| mutant.theme() == Theme::Rooms);
    for mutant in of_it.take(3) {
        assert!(swarm::hunt(mutant, 20).is_some(), "{mutant} survived");
    }
}
