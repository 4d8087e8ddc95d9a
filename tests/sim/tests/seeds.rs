//! Fixed seeds: a few of every kind, and each that once found something.
#![allow(clippy::panic, reason = "tests")]

use riser_sim::{mutant::Mutant, run, swarm};

fn holds(seed: u64) {
    let report = run(seed, None, false);
    assert!(
        report.wrong.is_empty(),
        "see it with: cargo run --release -p riser-sim -- run --seed {seed}\n{:#?}",
        report.wrong
    );
    assert!(report.counts.offered > 1000 && report.lasted.as_secs() >= 1800, "{:?}", report.counts);
}

#[test]
fn a_run_without_faults_delivers_everything() {
    holds(15);
}

#[test]
fn everything_arrives_over_cuts_and_crashes() {
    holds(2);
}

#[test]
fn a_spool_goes_on_after_it_was_full() {
    holds(1);
}

#[test]
fn what_was_published_after_a_restart_goes_up_under_new_numbers() {
    holds(25);
}

#[test]
fn links_and_sessions_follow_a_commit_larger_than_the_tail() {
    holds(108);
}

#[test]
fn an_id_is_free_after_a_release_met_a_full_spool() {
    holds(604);
}

#[test]
fn a_window_that_was_full_goes_on_where_it_was() {
    holds(3);
}

#[test]
fn a_hub_goes_on_after_a_commit_of_cursors_and_entries_failed() {
    holds(167);
}

#[test]
fn a_packet_id_that_a_peer_still_holds_names_no_other_publication() {
    holds(18);
}

#[test]
fn who_comes_back_at_once_after_a_restart_does_not_undo_a_will() {
    holds(20);
}

#[test]
fn what_a_session_brought_along_gets_its_turn_whatever_its_number() {
    holds(84);
}

#[test]
fn who_is_between_tells_nobody_what_became_of_what_came_up() {
    holds(9);
}

#[test]
fn a_storm_of_events_is_no_batch_that_the_log_cannot_take() {
    holds(122);
}

#[test]
fn what_came_up_and_was_let_go_of_before_a_restart_is_told_to_nobody() {
    holds(8_100_008);
}

#[test]
fn what_an_edge_between_has_twice_comes_down_in_the_order_of_either() {
    holds(9_200_134);
}

#[test]
fn a_will_that_met_a_full_log_is_owed_though_its_client_is_back() {
    holds(9_200_106);
}

#[test]
fn what_comes_from_two_tiers_below_did_not_come_down_whichever_frame_names_its_log_first() {
    holds(9_500_070);
}

#[test]
fn what_waits_for_a_site_below_keeps_nobody_out() {
    holds(9_900_050);
}

#[test]
fn who_was_refused_a_subscription_by_a_full_log_has_it_when_it_asks_again() {
    holds(9_900_059);
}

#[test]
fn a_channel_that_the_log_let_go_of_is_counted_anew_after_a_restart() {
    holds(9_950_276);
}

#[test]
fn a_channel_counts_that_was_named_for_what_broke_the_schema() {
    holds(9_950_286);
}

#[test]
fn a_session_may_miss_what_its_log_let_go_of_before_the_core_heard_of_it() {
    holds(50_000_293);
}

#[test]
fn a_channel_that_a_hub_forgot_with_its_log_may_find_no_place_again() {
    holds(50_001_149);
}

#[test]
fn a_table_that_could_not_be_written_for_longer_than_its_log_waits_has_what_it_had() {
    holds(81_000_026);
}

#[test]
fn who_was_shown_that_a_channel_is_cleared_is_not_owed_what_came_before() {
    holds(82_000_345);
}

#[test]
fn what_a_schema_or_a_full_room_refuses_makes_older_numbers_forgotten_too() {
    holds(82_000_874);
    holds(82_001_018);
}

#[test]
fn who_subscribes_anew_while_a_log_fails_is_told_at_qos_2_once_all_the_same() {
    holds(84_001_870);
}

#[test]
fn the_same_seed_is_the_same_run() {
    let (first, second) = (run(7, None, true), run(7, None, true));
    assert!(first.lines.len() > 1000);
    assert!(first.lines == second.lines);
}

#[test]
fn wrong_variants_are_caught() {
    for mutant in [Mutant::AckBeforeSync, Mutant::DeliveryDropped, Mutant::IdsInMemoryOnly] {
        assert!(swarm::hunt(mutant, 8).is_some(), "{mutant} survived");
    }
}

#[test]
fn a_packet_id_whose_publication_the_log_let_go_of_stands_for_no_other_while_the_peer_holds_it() {
    holds(74_000_029);
}
