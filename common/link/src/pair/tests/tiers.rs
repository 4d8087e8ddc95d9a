//! Three instances, and what happens to the one in the middle.

use super::super::{
    Pair, Victim,
    middle::{LOWEST, MIDDLE, MIDDLE_HUB, TOP},
};
use riser_model::{CursorKey, CursorValue, Seq};
use riser_wire::link::Above;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(120);

/// What the top one has of the lowest one's log: payload numbers in the order in which they lie there.
fn at_the_top(pair: &Pair) -> Vec<u64> {
    let log = pair.edges[LOWEST].disk.log;
    pair.hubs[TOP]
        .disk
        .entries
        .iter()
        .filter(|stored| stored.log == log)
        .map(|stored| stored.payload.n)
        .collect()
}

/// What the lowest one published for it.
fn published(pair: &Pair) -> Vec<u64> {
    pair.edges[LOWEST].accepted.iter().filter(|payload| payload.linked).map(|payload| payload.n).collect()
}

/// The top one's cursors of the lowest one's log.
fn cursors(pair: &Pair) -> Vec<CursorValue> {
    let log = pair.edges[LOWEST].disk.log;
    let of_log = |key: &CursorKey| matches!(key, CursorKey::Relayed(_, of, _) | CursorKey::Ingest(_, of, _) if *of == log);
    pair.hubs[TOP].disk.cursors.iter().filter(|(key, _)| of_log(key)).map(|(_, value)| *value).collect()
}

/// Seqs of the lowest one's log that the top one has as entries or as told to be none, and those that it calls gone.
fn equation(pair: &Pair) -> (u64, u64) {
    let taken = cursors(pair).iter().map(|value| value.through.0 - value.first.prev().0).sum::<u64>();
    let gapped = cursors(pair).iter().map(|value| value.gapped).sum();
    (taken, gapped)
}

fn drain(pair: &mut Pair) {
    assert!(pair.heal(LONG), "{:?}", pair.said);
    pair.check().unwrap();
}

#[test]
fn what_the_lowest_one_says_is_at_the_top_once_and_in_order_with_its_own_seqs() {
    let mut pair = Pair::three(1);
    for _ in 0..20 {
        pair.publish(LOWEST, 3);
        pair.publish_local(LOWEST, 2);
        pair.publish(MIDDLE, 1);
        pair.run_for(Duration::from_millis(30));
    }
    drain(&mut pair);
    assert_eq!(at_the_top(&pair), published(&pair));
    // Every seq is accounted for: rooms that stay on site, anchors and canaries too.
    assert_eq!(equation(&pair), (pair.edges[LOWEST].disk.last().0, 0), "{:?}", cursors(&pair));
}

#[test]
fn a_middle_one_that_crashes_at_any_moment_loses_doubles_and_reorders_nothing() {
    let run = |crash: Option<u64>| {
        let mut pair = Pair::three(7);
        pair.crash_at = crash.map(|at| (at, Victim::Edge(MIDDLE)));
        for round in 0..12 {
            pair.publish(LOWEST, 4);
            pair.publish_local(LOWEST, 1);
            if round == 6 {
                pair.restart(Victim::Edge(LOWEST));
            }
            pair.run_for(Duration::from_millis(40));
        }
        drain(&mut pair);
        assert_eq!(at_the_top(&pair), published(&pair), "crash at {crash:?}");
        assert_eq!(
            equation(&pair),
            (pair.edges[LOWEST].disk.last().0, 0),
            "crash at {crash:?}: {:?}",
            cursors(&pair)
        );
        pair.boundaries
    };
    let boundaries = run(None);
    assert!(boundaries > 150, "{boundaries}");
    for at in (1..boundaries).step_by(3) {
        run(Some(at));
    }
}

#[test]
fn crashes_cuts_and_a_network_that_doubles_and_delays_lose_nothing_over_three_tiers() {
    for seed in 1..40 {
        let mut pair = Pair::three(seed);
        for round in 0..15_u64 {
            pair.publish(LOWEST, 3);
            pair.publish_local(LOWEST, 1);
            match (seed + round) % 6 {
                0 => pair.restart(Victim::Edge(MIDDLE)),
                1 => pair.cut(true),
                2 => pair.restart(Victim::Hub(TOP)),
                3 => pair.restart(Victim::Edge(LOWEST)),
                4 => pair.cut(false),
                _ => pair.publish(MIDDLE, 2),
            }
            pair.run_for(Duration::from_millis(150 * (1 + (seed * round) % 4)));
        }
        drain(&mut pair);
        assert_eq!(at_the_top(&pair), published(&pair), "seed {seed}");
        assert_eq!(equation(&pair), (pair.edges[LOWEST].disk.last().0, 0), "seed {seed}");
    }
}

#[test]
fn what_the_middle_one_lets_go_is_a_hole_that_the_top_one_calls_lost_by_the_relay() {
    let mut pair = Pair::three(3);
    pair.publish(LOWEST, 5);
    drain(&mut pair);
    pair.crash(Victim::Hub(TOP));
    pair.publish(LOWEST, 10);
    pair.run_for(Duration::from_secs(2));
    let last = pair.edges[MIDDLE].disk.last();
    pair.drop_oldest(MIDDLE, Seq(last.0 - 3));
    pair.publish(LOWEST, 5);
    assert!(pair.heal(LONG), "{:?}", pair.said);
    let got = at_the_top(&pair);
    let missing: Vec<u64> = published(&pair).into_iter().filter(|n| !got.contains(n)).collect();
    let (taken, gapped) = equation(&pair);
    assert!(!missing.is_empty() && got.is_sorted());
    assert_eq!(taken, pair.edges[LOWEST].disk.last().0);
    assert!(gapped >= missing.len() as u64, "{gapped} of {missing:?}");
    assert!(pair.said.iter().any(|said| said.contains("RelayLost")), "{:?}", pair.said);
}

#[test]
fn an_edge_that_links_to_the_top_itself_brings_nothing_twice() {
    let mut pair = Pair::three(5);
    pair.publish(LOWEST, 20);
    drain(&mut pair);
    pair.publish(LOWEST, 20);
    pair.run_for(Duration::from_millis(3));
    pair.crash(Victim::Edge(LOWEST));
    pair.move_edge(LOWEST, TOP);
    pair.start(Victim::Edge(LOWEST));
    pair.publish(LOWEST, 20);
    assert!(pair.heal(LONG), "{:?}", pair.said);
    assert_eq!(at_the_top(&pair), published(&pair));
    pair.check_hub(TOP).unwrap();
    // Back again, below the middle one, which has less of it by now.
    pair.crash(Victim::Edge(LOWEST));
    pair.move_edge(LOWEST, MIDDLE_HUB);
    pair.start(Victim::Edge(LOWEST));
    pair.publish(LOWEST, 20);
    assert!(pair.heal(LONG), "{:?}", pair.said);
    assert_eq!(at_the_top(&pair), published(&pair));
    pair.check_hub(TOP).unwrap();
}

/// Only the lowest one has a backlog, over a slow link: the middle one has none of its own to show anything beside.
#[test]
fn the_present_of_the_lowest_one_is_at_the_top_beside_its_backlog() {
    let mut pair = Pair::three(6);
    pair.run_for(Duration::from_secs(1));
    pair.crash(Victim::Edge(MIDDLE));
    for _ in 0..60 {
        pair.publish(LOWEST, 200);
        pair.run_for(Duration::from_secs(1));
    }
    pair.net.faults.bytes_per_s = 200_000;
    pair.start(Victim::Edge(MIDDLE));
    let shown = |pair: &Pair, n: u64| pair.hubs[TOP].latest.iter().any(|(payload, _)| payload.n == n);
    let middle = |pair: &Pair| pair.hubs[MIDDLE_HUB].latest.len();
    assert!(pair.run_until(LONG, |pair| middle(pair) > 0), "{:?}", pair.said);
    let from = pair.now.time;
    assert!(pair.run_until(LONG, |pair| shown(pair, 12_000)), "{:?}", pair.said);
    assert!(pair.now.time.since(from) < Duration::from_secs(1), "{:?}", pair.now.time.since(from));
    assert!((at_the_top(&pair).len() as u64) < 6_000, "the backlog is still under way");
    let from = pair.now.time;
    pair.publish(LOWEST, 1);
    assert!(pair.run_until(LONG, |pair| shown(pair, 12_001)));
    assert!(pair.now.time.since(from) < Duration::from_secs(1), "{:?}", pair.now.time.since(from));
    drain(&mut pair);
    assert!(pair.run_until(LONG, |pair| at_the_top(pair) == published(pair)));
    let places = pair.edges[MIDDLE].sender().map(|sender| sender.presents().count());
    assert_eq!(places, Some(0), "what is an entry is shown no more");
}

/// The lowest one is confirmed by the middle one, which has not delivered the last 20 of it, and its ring has let go of
/// nearly all. It is down, and may be moved.
fn confirmed_and_not_delivered(seed: u64) -> Pair {
    let mut pair = Pair::three(seed);
    pair.publish(LOWEST, 20);
    drain(&mut pair);
    pair.crash(Victim::Hub(TOP));
    pair.publish(LOWEST, 20);
    assert!(pair.run_until(LONG, |pair| pair.drained(LOWEST)), "{:?}", pair.said);
    // The cursor is on disk with the next commit.
    pair.publish(LOWEST, 1);
    pair.run_for(Duration::from_secs(1));
    let last = pair.edges[LOWEST].disk.last();
    pair.drop_oldest(LOWEST, Seq(last.0 - 5));
    assert!(pair.edges[LOWEST].disk.gaps.is_empty(), "all of it was confirmed");
    pair.crash(Victim::Edge(LOWEST));
    pair.crash(Victim::Edge(MIDDLE));
    pair.start(Victim::Hub(TOP));
    pair
}

fn awaited(pair: &Pair) -> Option<Seq> {
    pair.edges[LOWEST].status(pair.now).and_then(|status| status.awaits)
}

fn has_lost(pair: &Pair) -> bool {
    pair.said.iter().any(|said| said.contains("ReceiverRewound") || said.contains("RelayLost"))
}

#[test]
fn an_edge_that_is_moved_waits_until_its_former_parent_has_delivered() {
    let mut pair = confirmed_and_not_delivered(11);
    pair.move_edge(LOWEST, TOP);
    pair.start(Victim::Edge(LOWEST));
    pair.publish(LOWEST, 10);
    pair.run_for(Duration::from_secs(60));
    assert!(awaited(&pair).is_some() && !has_lost(&pair), "{:?}", pair.said);
    assert_eq!(at_the_top(&pair).len(), 20, "nothing goes before what the former parent has");
    // It waits through a restart, too.
    pair.restart(Victim::Edge(LOWEST));
    pair.run_for(Duration::from_secs(60));
    assert!(awaited(&pair).is_some() && at_the_top(&pair).len() == 20);
    pair.start(Victim::Edge(MIDDLE));
    assert!(pair.heal(LONG), "{:?}", pair.said);
    assert_eq!(at_the_top(&pair), published(&pair));
    assert!(!has_lost(&pair) && awaited(&pair).is_none(), "{:?}", pair.said);
    pair.check_hub(TOP).unwrap();
}

#[test]
fn an_edge_that_is_moved_beside_its_former_parent_learns_from_above_that_that_one_has_delivered() {
    let mut pair = confirmed_and_not_delivered(12);
    let beside = pair.add_beside();
    pair.move_edge(LOWEST, beside);
    pair.start(Victim::Edge(LOWEST));
    pair.publish(LOWEST, 10);
    pair.run_for(Duration::from_secs(60));
    assert!(awaited(&pair).is_some() && at_the_top(&pair).len() == 20, "{:?}", pair.said);
    pair.start(Victim::Edge(MIDDLE));
    assert!(pair.heal(LONG), "{:?}", pair.said);
    assert!(pair.run_until(LONG, |pair| at_the_top(pair) == published(pair)), "{:?}", at_the_top(&pair));
    let (taken, gapped) = equation(&pair);
    assert_eq!((taken, gapped), (pair.edges[LOWEST].disk.last().0, 0), "{:?}", pair.said);
}

#[test]
fn an_edge_that_is_told_not_to_wait_goes_on_and_says_what_is_lost() {
    let mut pair = confirmed_and_not_delivered(13);
    pair.move_edge(LOWEST, TOP);
    pair.edges[LOWEST].waits = false;
    pair.start(Victim::Edge(LOWEST));
    pair.publish(LOWEST, 10);
    assert!(pair.run_until(LONG, |pair| pair.drained(LOWEST)), "{:?}", pair.said);
    assert!(pair.said.iter().any(|said| said.contains("Awaits") && said.contains("waits: false")));
    assert!(has_lost(&pair), "{:?}", pair.said);
    // What the former parent brings now is too late.
    assert!(pair.heal(LONG), "{:?}", pair.said);
    assert!(at_the_top(&pair).len() < published(&pair).len());
    let (taken, gapped) = equation(&pair);
    assert_eq!(taken, pair.edges[LOWEST].disk.last().0);
    assert!(gapped >= (published(&pair).len() - at_the_top(&pair).len()) as u64);
}

#[test]
fn an_edge_that_is_moved_down_again_or_still_has_everything_does_not_wait() {
    // It has everything: it delivers itself what its former parent has not.
    let mut pair = Pair::three(14);
    pair.publish(LOWEST, 20);
    drain(&mut pair);
    pair.crash(Victim::Hub(TOP));
    pair.publish(LOWEST, 20);
    assert!(pair.run_until(LONG, |pair| pair.drained(LOWEST)));
    pair.crash(Victim::Edge(LOWEST));
    pair.crash(Victim::Edge(MIDDLE));
    pair.start(Victim::Hub(TOP));
    pair.move_edge(LOWEST, TOP);
    pair.start(Victim::Edge(LOWEST));
    assert!(pair.run_until(LONG, |pair| pair.drained(LOWEST)), "{:?}", pair.said);
    assert_eq!(at_the_top(&pair), published(&pair));
    // Down again, below who has nothing of it: what goes there comes to who confirmed it.
    let beside = pair.add_beside();
    let last = pair.edges[LOWEST].disk.last();
    pair.publish(LOWEST, 1);
    pair.run_for(Duration::from_secs(1));
    pair.drop_oldest(LOWEST, last);
    pair.crash(Victim::Edge(LOWEST));
    // As if somebody had been above the top one; and who was passed before is forgotten.
    let disk = &mut pair.edges[LOWEST].disk;
    let cursor = disk.cursor.as_mut().unwrap();
    assert_eq!(cursor.1.gapped, 1, "nobody is above the top one, and that is on disk");
    cursor.1.gapped = 0;
    disk.former.clear();
    pair.move_edge(LOWEST, beside);
    pair.start(Victim::Edge(LOWEST));
    pair.publish(LOWEST, 10);
    let last = published(&pair).len() + 10;
    assert!(pair.run_until(LONG, |pair| at_the_top(pair).len() == last), "{:?}", pair.said);
    assert_eq!(at_the_top(&pair), published(&pair));
    assert!(!pair.said.iter().any(|said| said.contains("Awaits")), "{:?}", pair.said);
    assert_eq!(equation(&pair).1, 0);
}

#[test]
fn nobody_links_to_who_is_below_and_no_more_than_eight_links_lead_to_the_top() {
    let lowest = |pair: &Pair| pair.edges[LOWEST].disk.log;
    for (hops, is_loop, why) in [(1, true, "Down(Loop)"), (8, false, "Down(TooDeep)")] {
        let mut pair = Pair::three(9);
        pair.run_for(Duration::from_secs(1));
        let logs = if is_loop { vec![lowest(&pair)] } else { Vec::new() };
        // The one in the middle hears from its own uplink who is above.
        pair.tell_above(MIDDLE_HUB, Above { hops, logs });
        pair.run_for(Duration::from_secs(5));
        assert!(
            pair.said.iter().any(|said| said.contains(why) || said.contains("code: Loop")),
            "{:?}",
            pair.said
        );
        assert!(pair.edges[LOWEST].status(pair.now).is_none_or(|status| !status.welcomed));
    }
}
