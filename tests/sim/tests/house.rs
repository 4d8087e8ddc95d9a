//! Houses: fixed seeds, each that once found something, and the wrong variants that show there.
#![allow(clippy::panic, reason = "tests")]

use riser_sim::{Report, knobs::Theme, mutant::Mutant, run::run_theme, swarm};

fn holds(seed: u64) -> Report {
    let report = run_theme(Theme::House, seed, None, false);
    assert!(
        report.wrong.is_empty(),
        "see it with: cargo run --release -p riser-sim -- run --seed {seed} --theme house\n{:#?}",
        report.wrong
    );
    report
}

#[test]
fn gates_let_in_whom_the_book_lets_in_and_nobody_else() {
    let mut counts = riser_sim::ledger::Counts::default();
    for seed in 1..=4 {
        counts.add(&holds(seed).counts);
    }
    assert!(counts.entries > 50 && counts.turned_away > 50 && counts.changes > 20, "{counts:?}");
    assert!(counts.heard > 500 && counts.whole > 5, "{counts:?}");
}

#[test]
fn a_house_without_faults_lets_in_all_who_should_be_in() {
    assert!(holds(15).counts.whole > 0);
}

#[test]
fn who_loses_its_rights_while_it_stands_at_a_gate_does_not_pass_it() {
    holds(24);
}

#[test]
fn who_was_at_the_door_when_its_key_came_gets_in_by_it() {
    holds(7_000_227);
}

#[test]
fn a_gate_that_is_given_again_is_no_other_one() {
    holds(9_300_119);
}

#[test]
fn who_is_asked_nothing_by_another_gate_stays_inside_and_is_past_that_one_too() {
    holds(21);
    holds(35);
}

#[test]
fn an_operator_decides_when_it_was_let_in_and_not_before() {
    holds(40);
}

#[test]
fn a_seat_is_free_again_when_the_network_has_forgotten_who_sat_there() {
    holds(9_300_084);
}

#[test]
fn the_same_seed_is_the_same_house() {
    let lines = || run_theme(Theme::House, 7, None, true).lines;
    let first = lines();
    assert!(first.len() > 1000 && first == lines());
}

#[test]
fn wrong_variants_of_a_house_are_caught() {
    // A few of them: `riser-sim mutants` has them all, in a build that is fast.
    let of_it = Mutant::ALL.into_iter().filter(|mutant| mutant.theme() == Theme::House);
    for mutant in of_it.take(3) {
        assert!(swarm::hunt(mutant, 20).is_some(), "{mutant} survived");
    }
}

#[test]
fn the_one_who_was_ever_let_in_may_have_been_told_nothing_when_the_hub_died() {
    holds(74_000_003);
}

#[test]
fn who_says_anew_who_it_is_is_known_by_that_alone() {
    let counts = holds(1).counts;
    assert!(counts.renewed > 0, "{counts:?}");
    for mutant in [Mutant::RenewalsUnheard, Mutant::RenewalsStale] {
        assert!(swarm::hunt(mutant, 3).is_some(), "{mutant} survived");
    }
}

#[test]
fn an_issuer_s_token_shown_anew_is_refused_by_no_gate_that_takes_other_tokens_too() {
    assert!(holds(77_000_052).counts.renewed > 0);
}

#[test]
fn a_log_whose_writes_failed_while_room_was_made_is_tried_again() {
    holds(80_000_055);
}
