//! Both ends of the link, driven against each other through a wire that loses, repeats and cuts.

use super::*;
use riser_model::{Cause, Gap};

mod clones;
mod crashes;
mod down;
mod flow;
mod rewinds;
mod tiers;

const LONG: Duration = Duration::from_secs(300);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// How many seeds a sweep tries: more with `RISER_LINK_SEEDS`.
fn seeds(default: u64) -> std::ops::Range<u64> {
    0..std::env::var("RISER_LINK_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// Heals everything and holds the ledger against what was accepted.
#[track_caller]
fn drained(pair: &mut Pair) {
    if !pair.heal(LONG) {
        let status: Vec<_> = pair.edges.iter().map(|e| (e.status(pair.now), e.tallies())).collect();
        panic!("not drained: {status:#?}\n{}", pair.said.join("\n"));
    }
    if let Err(wrong) = pair.check() {
        panic!("{wrong}\n{}", pair.said.join("\n"));
    }
}

fn gaps(pair: &Pair, hub: usize, cause: Cause) -> Vec<Gap> {
    let of_cause = |(_, _, gap): &(_, _, Gap)| (gap.cause == cause).then_some(*gap);
    pair.hubs[hub].disk.gaps.iter().filter_map(of_cause).collect()
}

fn said(pair: &Pair, what: &str) -> bool {
    pair.said.iter().any(|line| line.contains(what))
}

#[test]
fn everything_arrives_once_in_order() {
    let mut pair = Pair::new(1);
    for _ in 0..100 {
        pair.publish(0, 10);
        pair.publish_local(0, 1);
        pair.run_for(ms(5));
    }
    drained(&mut pair);
    assert_eq!(pair.hubs[0].disk.entries.len(), 1000);
    assert!(pair.hubs[0].disk.gaps.is_empty());
}

#[test]
fn same_seed_same_run() {
    let run = |seed| {
        let mut pair = Pair::new(seed);
        pair.net.faults.cut = 0.05;
        pair.net.faults.duplicate = 0.05;
        for _ in 0..100 {
            pair.publish(0, 3);
            pair.run_for(ms(20));
        }
        drained(&mut pair);
        (pair.said, pair.net.messages, pair.net.bytes_up, pair.now, pair.hubs.remove(0).disk.entries)
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5).1, run(6).1);
}

#[test]
fn loss_duplicates_and_cuts_lose_and_repeat_nothing() {
    for seed in seeds(30) {
        let mut pair = Pair::new(seed);
        let mut dice = fastrand::Rng::with_seed(seed);
        pair.net.faults.loss = [0.0, 0.02, 0.1][dice.usize(0..3)];
        pair.net.faults.duplicate = [0.0, 0.05, 0.3][dice.usize(0..3)];
        pair.net.faults.cut = [0.0, 0.01, 0.1][dice.usize(0..3)];
        for _ in 0..50 {
            pair.publish(0, dice.usize(0..40));
            pair.publish_local(0, dice.usize(0..3));
            if dice.u8(0..10) == 0 {
                pair.cut(dice.bool());
            }
            pair.run_for(ms(dice.u64(0..800)));
        }
        drained(&mut pair);
        assert!(pair.hubs[0].disk.gaps.is_empty(), "seed {seed}: {:?}", pair.hubs[0].disk.gaps);
    }
}

#[test]
fn anything_at_once_keeps_the_ledger() {
    for seed in seeds(60) {
        let mut pair = Pair::new(seed);
        let mut dice = fastrand::Rng::with_seed(seed ^ 0xabc);
        pair.net.faults.duplicate = [0.0, 0.1][dice.usize(0..2)];
        pair.net.faults.cut = [0.0, 0.02][dice.usize(0..2)];
        let mut hub_image = None;
        for _ in 0..60 {
            pair.publish(0, dice.usize(0..40));
            pair.publish_local(0, dice.usize(0..3));
            match dice.u8(0..24) {
                0 => pair.restart(Victim::Edge(0)),
                1 => pair.restart(Victim::Hub(0)),
                2 => pair.cut(dice.bool()),
                3 => {
                    let last = pair.edges[0].disk.last().0;
                    pair.drop_oldest(0, Seq(dice.u64(0..=last)));
                }
                4 => hub_image = Some(pair.hubs[0].disk.clone()),
                5 => {
                    if let Some(image) = hub_image.clone() {
                        pair.crash(Victim::Hub(0));
                        pair.hubs[0].disk = image;
                        pair.start(Victim::Hub(0));
                    }
                }
                6 => pair.hubs[0].failing = true,
                7 => {
                    let n = dice.u64(0..1000);
                    pair.hubs[0].poison.insert(n, Poison::Refuse);
                }
                _ => pair.hubs[0].failing = false,
            }
            pair.run_for(ms(dice.u64(0..700)));
            pair.check_hub(0).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
        }
        pair.hubs[0].failing = false;
        drained(&mut pair);
    }
}

#[test]
fn poison_at_the_head_of_a_backlog_stops_nothing() {
    let mut pair = Pair::new(3);
    pair.net.faults.refuse_dials = true;
    pair.publish(0, 500);
    pair.hubs[0].poison.insert(1, Poison::Refuse);
    pair.hubs[0].poison.insert(2, Poison::Quarantine);
    pair.run_for(ms(100));
    drained(&mut pair);
    assert_eq!(pair.hubs[0].disk.entries.len(), 499);
    let gapped: u64 = pair.edges[0].tallies().iter().map(|(_, tally)| tally.gapped).sum();
    assert_eq!(gapped, 1, "refused in the hub and counted at the edge");
    assert!(said(&pair, "Refused") && gaps(&pair, 0, Cause::Refused).len() == 1);
}

#[test]
fn quota_drop_between_send_and_confirmation_makes_no_gap() {
    let mut pair = Pair::new(4);
    pair.run_for(ms(500));
    pair.commit_takes = ms(300);
    pair.publish(0, 20);
    // The edge's commit, the way up, and half of the hub's commit.
    pair.run_for(ms(500));
    assert!(pair.hubs[0].disk.entries.is_empty(), "the batch is under way");
    let last = pair.edges[0].disk.last();
    pair.drop_oldest(0, last);
    let gapped: u64 = pair.edges[0].tallies().iter().map(|(_, tally)| tally.gapped).sum();
    assert!(gapped >= 20, "dropped before the hub had it");
    drained(&mut pair);
    assert_eq!(pair.hubs[0].disk.entries.len(), 20);
    let tallies = pair.edges[0].tallies();
    assert!(tallies.iter().all(|(_, tally)| tally.gapped == 0), "{tallies:?}");
}

#[test]
fn quota_drop_of_an_unsent_backlog_is_a_gap_in_place_on_both_sides() {
    let mut pair = Pair::new(5);
    pair.net.faults.refuse_dials = true;
    pair.publish(0, 100);
    pair.run_for(ms(50));
    pair.drop_oldest(0, Seq(60));
    pair.publish(0, 10);
    pair.run_for(ms(50));
    drained(&mut pair);
    assert_eq!(gaps(&pair, 0, Cause::Quota), [Gap { from: Seq(1), to: Seq(60), cause: Cause::Quota }]);
    let gapped: u64 = pair.edges[0].tallies().iter().map(|(_, tally)| tally.gapped).sum();
    assert_eq!(gapped, 60);
    assert!(said(&pair, "LinkGap") && said(&pair, "edge 0: Gap"));
}

#[test]
fn a_failing_hub_log_confirms_nothing_and_loses_nothing() {
    let mut pair = Pair::new(6);
    pair.publish(0, 10);
    pair.run_for(ms(500));
    pair.hubs[0].failing = true;
    pair.publish(0, 10);
    pair.run_for(Duration::from_secs(20));
    assert_eq!(pair.hubs[0].disk.entries.len(), 10);
    let status = pair.edges[0].status(pair.now).unwrap();
    assert!(status.since_flow > Duration::from_secs(15) && status.lag() >= 10, "{status:?}");
    pair.hubs[0].failing = false;
    drained(&mut pair);
    assert_eq!(pair.hubs[0].disk.entries.len(), 20);
}

#[test]
fn more_epochs_than_a_hello_names_are_sent_greeting_by_greeting() {
    let mut pair = Pair::new(7);
    pair.net.faults.refuse_dials = true;
    for _ in 0..600 {
        pair.publish(0, 1);
        pair.run_for(ms(10));
        pair.crash(Victim::Edge(0));
        pair.start(Victim::Edge(0));
    }
    drained(&mut pair);
    assert_eq!(pair.hubs[0].disk.entries.len(), 600);
}

#[test]
fn goodbye_waits_for_what_is_queued_and_says_where_it_stopped() {
    let mut pair = Pair::new(8);
    pair.run_for(ms(300));
    pair.publish(0, 50);
    pair.run_for(ms(3));
    pair.edge_input(0, sender::Input::Shutdown(Duration::from_secs(3)));
    pair.run_for(Duration::from_secs(4));
    assert_eq!(pair.hubs[0].disk.entries.len(), 50);
    assert!(said(&pair, "queued: 0") && said(&pair, "cause: \"bye\""), "{:?}", pair.said);
    pair.run_for(Duration::from_secs(60));
    assert_eq!(pair.hubs[0].connections(), 0);
}

#[test]
fn goodbye_does_not_wait_for_a_log_that_is_to_be_opened_anew() {
    let mut pair = Pair::new(25);
    pair.run_for(ms(500));
    let image = pair.edges[0].snapshot();
    pair.publish(0, 20);
    pair.run_for(ms(500));
    pair.cut(true);
    let now = pair.now;
    pair.edges[0].on_fork = OnFork::Wait;
    pair.edges[0].rewind(image, now);
    pair.edge_input(0, sender::Input::Deadline);
    pair.run_for(Duration::from_secs(1));
    assert!(said(&pair, "Forked"), "{:#?}", pair.said);
    pair.edge_input(0, sender::Input::Shutdown(Duration::from_secs(3)));
    assert!(said(&pair, "Stopped"), "{:#?}", pair.said);
}

#[test]
fn goodbye_does_not_wait_for_a_hub_that_is_away() {
    let mut pair = Pair::new(9);
    pair.run_for(ms(300));
    pair.cut(false);
    pair.publish(0, 5);
    pair.run_for(ms(10));
    pair.edge_input(0, sender::Input::Shutdown(Duration::from_secs(3)));
    pair.run_for(Duration::from_secs(4));
    assert!(said(&pair, "queued: 5"), "{:?}", pair.said);
}
