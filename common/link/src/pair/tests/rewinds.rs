//! Disks go back in time: images of either side restored, running machines restored, hubs that changed.

use super::*;
use riser_model::LogId;

#[test]
fn restored_spool_goes_on_under_a_new_epoch_and_what_was_heard_is_a_gap() {
    for synced in [true, false] {
        let mut pair = Pair::new(21);
        pair.publish(0, 50);
        pair.run_for(ms(500));
        let image = pair.edges[0].disk.clone();
        pair.publish(0, 30);
        pair.run_for(ms(500));
        if !synced {
            // The hub hears of these, and does not get them.
            pair.net.faults.bytes_per_s = 20_000;
            pair.publish(0, 500);
            pair.run_for(ms(900));
        }
        pair.crash(Victim::Edge(0));
        pair.edges[0].disk = image;
        pair.net.faults.bytes_per_s = 10_000_000;
        pair.start(Victim::Edge(0));
        pair.publish(0, 40);
        pair.run_for(ms(100));
        drained(&mut pair);
        let lost = gaps(&pair, 0, Cause::EdgeLost);
        assert_eq!(lost.is_empty(), synced, "{lost:?}");
        let newest = pair.hubs[0].disk.entries.last().unwrap().seq;
        assert!(newest.0 < 100, "seqs go on from the image: {newest}");
    }
}

#[test]
fn what_the_hub_heard_of_before_it_crashed_is_still_known_lost() {
    let mut pair = Pair::new(22);
    pair.publish(0, 50);
    pair.run_for(ms(500));
    let image = pair.edges[0].disk.clone();
    pair.net.faults.bytes_per_s = 20_000;
    pair.publish(0, 500);
    pair.run_for(ms(900));
    assert!((60..540).contains(&pair.hubs[0].disk.entries.len()), "{}", pair.hubs[0].disk.entries.len());
    pair.crash(Victim::Edge(0));
    pair.restart(Victim::Hub(0));
    pair.edges[0].disk = image;
    pair.start(Victim::Edge(0));
    drained(&mut pair);
    let lost: u64 = gaps(&pair, 0, Cause::EdgeLost).iter().map(Gap::count).sum();
    assert_eq!(pair.hubs[0].disk.entries.len() as u64 + lost, 550, "at least what was heard");
}

#[test]
fn restored_hub_is_filled_again_from_the_ring() {
    let mut pair = Pair::new(23);
    pair.publish(0, 50);
    pair.run_for(ms(500));
    let image = pair.hubs[0].disk.clone();
    pair.publish(0, 50);
    pair.run_for(ms(500));
    pair.crash(Victim::Hub(0));
    pair.hubs[0].disk = image;
    pair.start(Victim::Hub(0));
    drained(&mut pair);
    assert_eq!(pair.hubs[0].disk.entries.len(), 100);
    assert!(said(&pair, "Rewound") && pair.hubs[0].disk.gaps.is_empty());
}

#[test]
fn a_hub_restored_to_before_many_epochs_is_filled_again() {
    for epochs in [3, 400] {
        let mut pair = Pair::new(28);
        pair.publish(0, 5);
        pair.run_for(ms(500));
        let image = pair.hubs[0].disk.clone();
        for _ in 0..epochs {
            pair.crash(Victim::Edge(0));
            pair.start(Victim::Edge(0));
            pair.publish(0, 1);
            pair.run_for(ms(100));
        }
        pair.run_for(ms(500));
        pair.crash(Victim::Hub(0));
        pair.hubs[0].disk = image;
        pair.start(Victim::Hub(0));
        drained(&mut pair);
        assert_eq!(pair.hubs[0].disk.entries.len(), 5 + epochs);
    }
}

#[test]
fn what_a_restored_hub_cannot_get_again_is_receiver_rewound() {
    let mut pair = Pair::new(24);
    pair.publish(0, 50);
    pair.run_for(ms(500));
    let image = pair.hubs[0].disk.clone();
    pair.publish(0, 50);
    pair.run_for(ms(500));
    let ring_from = Seq(81);
    pair.drop_oldest(0, ring_from.prev());
    pair.crash(Victim::Hub(0));
    pair.hubs[0].disk = image;
    pair.start(Victim::Hub(0));
    drained(&mut pair);
    let lost = gaps(&pair, 0, Cause::ReceiverRewound);
    let from = lost[0].from;
    assert_eq!(lost, [Gap { from, to: Seq(80), cause: Cause::ReceiverRewound }]);
    let gapped: u64 = pair.edges[0].tallies().iter().map(|(_, tally)| tally.gapped).sum();
    assert_eq!(gapped, 80 - from.prev().0);
}

#[test]
fn both_disks_restored_to_different_times() {
    for (edge_first, seed) in [(true, 1), (false, 2), (true, 3), (false, 4)] {
        let mut pair = Pair::new(seed);
        let mut images = Vec::new();
        for _ in 0..4 {
            pair.publish(0, 25);
            pair.run_for(ms(300));
            images.push((pair.edges[0].disk.clone(), pair.hubs[0].disk.clone()));
        }
        pair.crash(Victim::Edge(0));
        pair.crash(Victim::Hub(0));
        let (older, newer) = (images[1].clone(), images[2].clone());
        (pair.edges[0].disk, pair.hubs[0].disk) =
            if edge_first { (older.0, newer.1) } else { (newer.0, older.1) };
        pair.start(Victim::Hub(0));
        pair.start(Victim::Edge(0));
        pair.publish(0, 25);
        drained(&mut pair);
    }
}

/// A virtual machine restored while it ran: the process goes on under the same epoch with other entries.
#[test]
fn a_running_machine_restored_from_an_image_opens_a_new_epoch() {
    for ahead in [0, 10, 40] {
        let mut pair = Pair::new(25);
        pair.publish(0, 50);
        pair.run_for(ms(500));
        let image = pair.edges[0].snapshot();
        pair.publish(0, 20);
        pair.run_for(ms(500));
        pair.cut(true);
        let now = pair.now;
        pair.edges[0].rewind(image, now);
        pair.edge_input(0, sender::Input::Deadline);
        pair.net.faults.refuse_dials = true;
        pair.publish(0, ahead);
        pair.run_for(ms(200));
        pair.publish(0, ahead);
        drained(&mut pair);
        assert!(said(&pair, "Forked"), "{ahead}");
        assert_eq!(pair.hubs[0].disk.entries.len(), 70 + 2 * ahead);
    }
}

/// A machine that was restored while it ran: it wrote 10 entries under names of which its hub has 30 other ones, and
/// the hub does not know of it yet.
fn forked_by_ten() -> Pair {
    let mut pair = Pair::new(25);
    pair.publish(0, 50);
    pair.run_for(ms(500));
    let image = pair.edges[0].snapshot();
    pair.publish(0, 30);
    pair.run_for(ms(500));
    pair.cut(true);
    let now = pair.now;
    pair.edges[0].rewind(image, now);
    pair.net.faults.refuse_dials = true;
    pair.edge_input(0, sender::Input::Deadline);
    pair.publish(0, 10);
    pair.run_for(ms(200));
    pair
}

/// The ten are said to be lost, and what comes after them arrives.
fn ten_are_lost(pair: &mut Pair) {
    assert!(pair.heal(LONG), "{:#?}", pair.said);
    let tallies = pair.edges[0].tallies();
    let gapped: u64 = tallies.iter().map(|(_, tally)| tally.gapped).sum();
    assert_eq!(gapped, 10, "{tallies:?}");
    assert_eq!(pair.said.iter().filter(|said| said.contains("EdgeLost")).count(), 1, "{:#?}", pair.said);
    pair.publish(0, 7);
    assert!(pair.heal(LONG));
    assert_eq!(pair.hubs[0].disk.entries.len(), 80 + 7);
    let (_, saved) = pair.edges[0].snapshot().cursor.unwrap();
    assert_eq!((saved.first, saved.heard), (Seq::ZERO, Seq::ZERO), "what is passed is forgotten");
}

/// A program opens its log anew where this one only renames: what was acknowledged since the image lies under the old
/// name for ever, where the hub has other entries.
#[test]
fn what_a_log_opened_anew_for_a_fork_cannot_deliver_is_a_gap() {
    let mut pair = forked_by_ten();
    pair.edges[0].on_fork = OnFork::Reopen;
    ten_are_lost(&mut pair);
    assert!(said(&pair, "Forked"), "{:#?}", pair.said);
}

#[test]
fn a_fork_is_known_after_a_crash_before_the_log_is_opened_anew() {
    let mut pair = forked_by_ten();
    pair.edges[0].on_fork = OnFork::Wait;
    pair.net.faults.refuse_dials = false;
    pair.run_for(Duration::from_secs(10));
    assert!(said(&pair, "Forked"), "{:#?}", pair.said);
    // Twice: what was read from the disk is known as well as what was found.
    for _ in 0..2 {
        pair.net.faults.refuse_dials = true;
        pair.crash(Victim::Edge(0));
        pair.start(Victim::Edge(0));
        pair.run_for(ms(200));
    }
    ten_are_lost(&mut pair);
}

#[test]
fn a_fork_that_another_hub_found_is_known_to_an_uplink_that_was_away() {
    let mut pair = forked_by_ten();
    pair.edge_input(0, sender::Input::Forked);
    pair.run_for(ms(200));
    pair.crash(Victim::Edge(0));
    pair.start(Victim::Edge(0));
    ten_are_lost(&mut pair);
}

#[test]
fn a_machine_restored_and_called_forked_twice_before_it_meets_its_hub_again_names_everything_lost() {
    let mut pair = forked_by_ten();
    for _ in 0..2 {
        pair.edge_input(0, sender::Input::Forked);
        pair.run_for(ms(200));
        pair.crash(Victim::Edge(0));
        pair.start(Victim::Edge(0));
        pair.run_for(ms(200));
    }
    ten_are_lost(&mut pair);
}

/// The same key, another log: a copy of the configuration. It is due everything that is still there, and what the
/// former log did not have when its place was taken it gets when it comes back: from where it says that it is.
#[test]
fn staging_hub_takes_the_place_of_the_former_one_until_that_comes_back() {
    for (restarted, epochs) in [(false, 0), (true, 0), (true, 300)] {
        let mut pair = Pair::new(26);
        let staging = pair.add_hub(1, 99);
        pair.net.faults.refuse_dials = true;
        for _ in 0..epochs {
            pair.publish(0, 1);
            pair.run_for(ms(10));
            pair.crash(Victim::Edge(0));
            pair.start(Victim::Edge(0));
        }
        pair.net.faults.refuse_dials = false;
        pair.publish(0, 49);
        pair.run_for(Duration::from_secs(10));
        pair.publish(0, 1);
        pair.run_for(ms(500));
        pair.edges[0].address = staging;
        pair.cut(true);
        pair.publish(0, 10);
        pair.run_for(Duration::from_secs(5));
        assert_eq!(pair.hubs[staging].disk.entries.len(), epochs + 60);
        assert_eq!(pair.hubs[0].disk.entries.len(), epochs + 50);
        assert!(said(&pair, "OtherHub") && !said(&pair, "Refused"), "{:#?}", pair.said);
        pair.publish(0, 1);
        pair.run_for(ms(100));
        let of = pair.edges[0].disk.cursor.map(|(hub, _)| hub.log);
        assert_eq!(of, Some(LogId(99)), "what the former log had holds nothing any more");
        pair.edges[0].address = 0;
        if restarted {
            pair.restart(Victim::Edge(0));
        }
        pair.cut(true);
        drained(&mut pair);
        assert_eq!(pair.hubs[0].disk.entries.len(), epochs + 61);
        assert!(pair.hubs[0].disk.gaps.is_empty());
    }
}

/// What holds custody is the cursor of the hub that was met last: also of one that was met before and is behind.
#[test]
fn a_hub_that_comes_back_holds_custody_from_where_it_is() {
    let mut pair = Pair::new(26);
    let staging = pair.add_hub(1, 99);
    pair.publish(0, 50);
    pair.run_for(ms(500));
    pair.edges[0].address = staging;
    pair.cut(true);
    pair.publish(0, 50);
    pair.run_for(Duration::from_secs(5));
    pair.edges[0].address = 0;
    pair.cut(true);
    pair.hubs[0].failing = true;
    pair.run_for(Duration::from_secs(5));
    pair.publish(0, 1);
    pair.run_for(ms(100));
    let (hub, value) = pair.edges[0].disk.cursor.unwrap();
    assert!(hub.log != LogId(99) && value.through < Seq(60), "{value:?}");
    pair.hubs[0].failing = false;
    drained(&mut pair);
}

#[test]
fn a_hub_with_another_key_gets_nothing() {
    let mut pair = Pair::new(27);
    let impostor = pair.add_hub(2, 1);
    pair.edges[0].address = impostor;
    pair.publish(0, 50);
    pair.run_for(Duration::from_secs(30));
    assert!(pair.hubs[impostor].disk.entries.is_empty());
    assert!(said(&pair, "WrongHub"));
    assert!(!pair.edges[0].status(pair.now).unwrap().welcomed);
    pair.edges[0].address = 0;
    drained(&mut pair);
}
