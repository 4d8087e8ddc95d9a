//! The way down: the same ledger, with the ends changed over, and most of the log not meant for the receiver.

use super::*;
use riser_model::Wall;

/// What is taken goes on from where the last one ended, whatever lies between.
fn publish_for_others(pair: &mut Pair, n: usize) {
    pair.publish_local(0, n);
}

#[test]
fn everything_for_the_edge_arrives_once_in_order_and_nothing_else() {
    let mut pair = Pair::down(1);
    for _ in 0..100 {
        pair.publish(0, 3);
        publish_for_others(&mut pair, 20);
        pair.run_for(ms(5));
    }
    drained(&mut pair);
    assert_eq!(pair.hubs[0].disk.entries.len(), 300);
    assert!(pair.hubs[0].disk.gaps.is_empty());
}

#[test]
fn what_is_not_for_the_edge_costs_the_link_nothing_and_frees_the_log() {
    let mut pair = Pair::down(2);
    pair.publish(0, 1);
    pair.run_for(Duration::from_secs(1));
    let messages = pair.net.messages;
    for _ in 0..200 {
        publish_for_others(&mut pair, 50);
        pair.run_for(ms(50));
    }
    assert_eq!(pair.net.messages, messages, "not a message, and so not a commit at the edge");
    let status = pair.edges[0].status(pair.now).unwrap();
    assert_eq!(status.last_synced, status.last_added);
    pair.publish(0, 1);
    pair.run_for(Duration::from_secs(1));
    let (_, saved) = pair.edges[0].disk.cursor.unwrap();
    assert!(saved.through.0 > 9_000, "{saved:?}");
    pair.publish(0, 1);
    drained(&mut pair);
    assert_eq!(pair.hubs[0].disk.entries.len(), 3);
}

#[test]
fn an_edge_that_comes_back_after_a_long_time_of_nothing_has_lost_nothing() {
    let mut pair = Pair::down(3);
    pair.publish(0, 5);
    pair.run_for(Duration::from_secs(1));
    for restarts in 0..3 {
        pair.cut(true);
        pair.net.faults.refuse_dials = true;
        publish_for_others(&mut pair, 500);
        pair.run_for(ms(500));
        // What it passed is not there any more either.
        let last = pair.edges[0].disk.last();
        pair.drop_oldest(0, last);
        if restarts > 0 {
            pair.restart(Victim::Edge(0));
        }
        pair.run_for(ms(500));
        pair.net.faults.refuse_dials = false;
        pair.publish(0, 5);
        pair.run_for(Duration::from_secs(1));
    }
    drained(&mut pair);
    assert_eq!(pair.hubs[0].disk.entries.len(), 20);
    assert!(pair.hubs[0].disk.gaps.iter().all(|(.., gap)| gap.count() > 0), "{:?}", pair.hubs[0].disk.gaps);
    assert!(!said(&pair, "Rewound"), "{:#?}", pair.said);
}

#[test]
fn an_edge_that_never_was_there_begins_where_it_was_made_known() {
    let mut pair = Pair::down(4);
    pair.net.faults.refuse_dials = true;
    pair.publish(0, 10);
    pair.run_for(ms(500));
    pair.restart(Victim::Edge(0));
    pair.run_for(ms(500));
    pair.publish(0, 5);
    drained(&mut pair);
    assert_eq!(pair.hubs[0].disk.entries.len(), 15, "it is owed from the first start on");
}

#[test]
fn loss_duplicates_and_cuts_lose_and_repeat_nothing() {
    for seed in seeds(30) {
        let mut pair = Pair::down(seed);
        let mut dice = fastrand::Rng::with_seed(seed);
        pair.net.faults.loss = [0.0, 0.02, 0.1][dice.usize(0..3)];
        pair.net.faults.duplicate = [0.0, 0.05, 0.3][dice.usize(0..3)];
        pair.net.faults.cut = [0.0, 0.01, 0.1][dice.usize(0..3)];
        for _ in 0..50 {
            pair.publish(0, dice.usize(0..20));
            publish_for_others(&mut pair, dice.usize(0..60));
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
fn anything_at_once_keeps_the_ledger_of_a_downlink() {
    for seed in seeds(60) {
        let mut pair = Pair::down(seed);
        let mut dice = fastrand::Rng::with_seed(seed ^ 0xabc);
        pair.net.faults.duplicate = [0.0, 0.1][dice.usize(0..2)];
        pair.net.faults.cut = [0.0, 0.02][dice.usize(0..2)];
        let mut image = None;
        for _ in 0..60 {
            pair.publish(0, dice.usize(0..40));
            publish_for_others(&mut pair, dice.usize(0..60));
            match dice.u8(0..26) {
                0 | 1 => pair.restart(Victim::Edge(0)),
                2 => pair.restart(Victim::Hub(0)),
                3 => pair.cut(dice.bool()),
                4 => {
                    let last = pair.edges[0].disk.last().0;
                    pair.drop_oldest(0, Seq(dice.u64(0..=last)));
                }
                // An empty log is a new edge's: it does not get what the one before had.
                5 => image = Some(pair.hubs[0].disk.clone()).filter(|disk| !disk.cursors.is_empty()),
                6 => {
                    if let Some(image) = image.clone() {
                        pair.crash(Victim::Hub(0));
                        pair.hubs[0].disk = image;
                        pair.start(Victim::Hub(0));
                    }
                }
                7 => pair.hubs[0].failing = true,
                8 => {
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

fn scenario(pair: &mut Pair) {
    for n in 0..6 {
        pair.publish(0, 5);
        publish_for_others(pair, 3);
        pair.run_for(ms(15));
        if n == 3 {
            pair.cut(true);
        }
        publish_for_others(pair, 3);
        pair.run_for(ms(200));
    }
    pair.run_for(ms(1500));
}

#[test]
fn either_end_crashes_at_every_boundary() {
    for victim in [Victim::Edge(0), Victim::Hub(0)] {
        let mut calm = Pair::down(11);
        scenario(&mut calm);
        let boundaries = calm.boundaries;
        assert!(boundaries > 40, "{boundaries}");
        for at in 1..=boundaries {
            let mut pair = Pair::down(11);
            pair.crash_at = Some((at, victim));
            scenario(&mut pair);
            drained(&mut pair);
            assert!(pair.hubs[0].disk.gaps.is_empty(), "crash at {at}: {:?}", pair.hubs[0].disk.gaps);
        }
    }
}

#[test]
fn a_restored_edge_gets_again_what_its_log_has_lost() {
    let mut pair = Pair::down(23);
    pair.publish(0, 50);
    publish_for_others(&mut pair, 50);
    pair.run_for(ms(800));
    let image = pair.hubs[0].disk.clone();
    publish_for_others(&mut pair, 50);
    pair.publish(0, 50);
    publish_for_others(&mut pair, 50);
    pair.run_for(ms(800));
    pair.crash(Victim::Hub(0));
    pair.hubs[0].disk = image;
    pair.start(Victim::Hub(0));
    drained(&mut pair);
    assert_eq!(pair.hubs[0].disk.entries.len(), 100);
    assert!(said(&pair, "Rewound") && pair.hubs[0].disk.gaps.is_empty());
}

#[test]
fn an_edge_restored_to_before_many_epochs_of_the_hub_is_filled_again() {
    for epochs in [3, 400] {
        let mut pair = Pair::down(28);
        pair.publish(0, 5);
        pair.run_for(ms(800));
        let image = pair.hubs[0].disk.clone();
        for _ in 0..epochs {
            pair.crash(Victim::Edge(0));
            pair.start(Victim::Edge(0));
            pair.publish(0, 1);
            publish_for_others(&mut pair, 1);
            pair.run_for(ms(600));
        }
        pair.crash(Victim::Hub(0));
        pair.hubs[0].disk = image;
        pair.start(Victim::Hub(0));
        drained(&mut pair);
        assert_eq!(pair.hubs[0].disk.entries.len(), 5 + epochs);
    }
}

#[test]
fn more_epochs_of_nothing_than_a_hello_names_are_passed() {
    let mut pair = Pair::down(29);
    pair.publish(0, 5);
    pair.run_for(ms(800));
    pair.net.faults.refuse_dials = true;
    for n in 0..700 {
        pair.crash(Victim::Edge(0));
        pair.start(Victim::Edge(0));
        publish_for_others(&mut pair, n % 3);
        pair.run_for(ms(10));
    }
    pair.publish(0, 5);
    pair.run_for(ms(10));
    drained(&mut pair);
    assert_eq!(pair.hubs[0].disk.entries.len(), 10);
}

#[test]
fn an_edge_with_an_empty_log_goes_on_where_the_one_before_was() {
    let mut pair = Pair::down(30);
    pair.publish(0, 20);
    publish_for_others(&mut pair, 20);
    pair.run_for(ms(800));
    pair.crash(Victim::Hub(0));
    pair.hubs[0].disk = HubDisk::default();
    pair.publish(0, 7);
    pair.start(Victim::Hub(0));
    pair.run_for(Duration::from_secs(10));
    assert_eq!(pair.hubs[0].disk.entries.len(), 7, "yesterday's commands are not given again");
    assert!(pair.hubs[0].disk.gaps.is_empty());
}

#[test]
fn what_the_hub_let_go_by_its_quota_is_a_gap_in_place_and_told() {
    let mut pair = Pair::down(31);
    pair.publish(0, 5);
    pair.run_for(ms(800));
    pair.cut(true);
    pair.net.faults.refuse_dials = true;
    pair.publish(0, 100);
    pair.run_for(ms(50));
    pair.drop_oldest(0, Seq(65));
    pair.run_for(ms(50));
    drained(&mut pair);
    let gap = Gap { from: Seq(6), to: Seq(65), cause: Cause::HubQuota };
    assert_eq!(gaps(&pair, 0, Cause::HubQuota), [gap]);
    assert_eq!(pair.hubs[0].disk.entries.len(), 45);
    assert!(said(&pair, "edge 0: Gap"), "{:#?}", pair.said);
    let gapped: u64 = pair.edges[0].tallies().iter().map(|(_, tally)| tally.gapped).sum();
    assert_eq!(gapped, 60);
}

#[test]
fn a_hub_restored_from_a_backup_goes_on_under_a_new_epoch() {
    for ahead in [0, 30] {
        let mut pair = Pair::down(21);
        pair.publish(0, 50);
        publish_for_others(&mut pair, 5);
        pair.run_for(ms(800));
        let image = pair.edges[0].disk.clone();
        pair.publish(0, ahead);
        pair.run_for(ms(800));
        pair.crash(Victim::Edge(0));
        pair.edges[0].disk = image;
        pair.start(Victim::Edge(0));
        pair.publish(0, 40);
        drained(&mut pair);
        assert_eq!(pair.hubs[0].disk.entries.len(), 90 + ahead);
        assert!(gaps(&pair, 0, Cause::EdgeLost).is_empty());
    }
}

/// A virtual machine with the hub, restored while it ran: the process goes on under the same epoch with other entries.
#[test]
fn a_running_hub_restored_from_an_image_opens_a_new_epoch() {
    for (ahead, on_fork) in
        [(0, OnFork::Relabel), (10, OnFork::Relabel), (40, OnFork::Relabel), (10, OnFork::Reopen)]
    {
        let mut pair = Pair::down(25);
        pair.publish(0, 50);
        pair.run_for(ms(800));
        let image = pair.edges[0].snapshot();
        pair.publish(0, 20);
        pair.run_for(ms(800));
        pair.cut(true);
        let now = pair.now;
        pair.edges[0].on_fork = on_fork;
        pair.edges[0].rewind(image, now);
        pair.net.faults.refuse_dials = true;
        pair.publish(0, ahead);
        pair.run_for(ms(200));
        pair.net.faults.refuse_dials = false;
        pair.run_for(Duration::from_secs(10));
        pair.publish(0, 7);
        pair.run_for(Duration::from_secs(10));
        pair.check_hub(0).unwrap();
        assert!(said(&pair, "Forked"), "{ahead}");
        let tallies = pair.edges[0].tallies();
        let gapped: u64 = tallies.iter().map(|(_, tally)| tally.gapped).sum();
        let lost = if on_fork == OnFork::Reopen { ahead as u64 } else { 0 };
        assert_eq!(gapped, lost, "{ahead} {on_fork:?} {tallies:?} {:#?}", pair.said);
        assert_eq!(pair.hubs[0].disk.entries.len() as u64, 77 + ahead as u64 - lost);
    }
}

#[test]
fn what_comes_down_is_dated_by_the_clock_of_the_edge() {
    let mut pair = Pair::down(32);
    pair.edges[0].wall_off_ms = -5_000_000_000;
    pair.crash(Victim::Edge(0));
    pair.start(Victim::Edge(0));
    pair.run_for(ms(800));
    let Wall(published) = pair.now.wall;
    pair.publish(0, 3);
    drained(&mut pair);
    for stored in &pair.hubs[0].disk.entries {
        assert!((stored.wall.0 - published).abs() < 50, "{stored:?}, published at {published}");
    }
}
