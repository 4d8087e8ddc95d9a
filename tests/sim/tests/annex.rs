//! Gates at an edge that hears from its hub whom that gave up, and people who go from room to room: fixed seeds, and the wrong
//! variants that show there.
#![allow(clippy::panic, reason = "tests")]

use riser_sim::{knobs::Theme, ledger::Counts, mutant::Mutant, run::run_theme, swarm};

fn hold(seeds: impl IntoIterator<Item = u64>) -> Counts {
    let mut counts = Counts::default();
    for seed in seeds {
        let report = run_theme(Theme::Annex, seed, None, false);
        assert!(
            report.wrong.is_empty(),
            "see it with: cargo run --release -p riser-sim -- run --seed {seed} --theme annex\n{:#?}",
            report.wrong
        );
        assert!(report.counts.offered > 1000 && report.lasted.as_secs() >= 1800, "{:?}", report.counts);
        counts.add(&report.counts);
    }
    counts
}

#[test]
fn who_is_given_up_at_the_hub_is_given_up_at_an_edge_and_nobody_else() {
    let counts = hold(1..=3);
    assert!(counts.given_up > 5 && counts.entries > 100 && counts.whole > 5, "{counts:?}");
}

#[test]
fn who_goes_from_room_to_room_passes_each_gate_and_hears_what_is_there() {
    let counts = hold(4..=5);
    assert!(counts.steps > 50 && counts.heard > 500, "{counts:?}");
}

#[test]
fn who_answers_with_what_was_given_up_stays_where_it_is_by_what_it_came_by() {
    hold([9_549, 9_557]);
}

#[test]
fn who_has_come_for_the_last_time_leaves_its_seat() {
    hold([9_532]);
}

#[test]
fn an_annex_without_faults_lets_in_all_who_should_be_in() {
    assert!(hold([15]).whole > 0);
}

#[test]
fn the_same_seed_is_the_same_run() {
    let lines = || run_theme(Theme::Annex, 7, None, true).lines;
    let first = lines();
    assert!(first.len() > 1000 && first == lines());
}

#[test]
fn wrong_variants_of_an_annex_are_caught() {
    // A few of them: `riser-sim mutants` has them all, in a build that is fast.
    let of_it = Mutant::ALL.into_iter().filter(|mutant| mutant.theme() == Theme::Annex);
    for mutant in of_it.take(3) {
        assert!(swarm::hunt(mutant, 20).is_some(), "{mutant} survived");
    }
}

#[test]
fn an_edge_whose_link_was_cut_over_its_question_asks_on_the_next_what_was_given_up() {
    hold([74_000_030]);
}

#[test]
fn who_is_let_in_by_an_operator_is_let_in_where_it_knocked() {
    hold([83_000_704, 83_000_777, 83_001_236, 84_000_101, 84_001_025]);
}
