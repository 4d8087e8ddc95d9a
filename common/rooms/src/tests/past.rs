//! What a room's past is when retention, or the log's quota, came over it.

use super::{
    ingested::ingest,
    readers::{numbers, small},
    script::*,
};
use crate::{Config, Input};
use riser_model::{
    Cause, Mark, Read, Retention, Seq, SubscriptionId, Wall,
    door::{Ask, Completeness, Flow, From, Push, Showing},
    size::ByteSize,
};

/// Room `a` keeps its newest twenty.
fn world() -> World {
    let mut world = World::new(Config { tail_bytes_max: 1000, read_bytes: 300, ..Config::default() });
    world.rooms[0].retention = Retention { count: Some(20), ..Retention::default() };
    let rooms = world.rooms.clone();
    world.input(Input::Reconfigured { rooms, bindings: vec![] });
    world.open(1);
    world.open(2);
    world
}

#[test]
fn channel_that_was_quiet_for_longer_than_retention_is_resumed_without_a_gap() {
    let mut world = world();
    world.subscribe(2, 1, in_room("a", "rare"), From::Live, Flow::Credit);
    world.publish(1, &[("a/rare", "once")]);
    assert_eq!(world.payloads(2), ["once"]);
    for n in 0..100 {
        world.publish(1, &[("a/x", &n.to_string())]);
        assert_eq!(world.payloads(2), [""; 0]);
    }
    world.trim(80, vec![]);
    world.now.time.0 += 30_000_000_000;
    let said = world.all(2);
    let [Push::Through { pos, .. }] = said[..] else { panic!("{said:?}") };
    world.open(3);
    let resumed = world.subscribe(3, 1, in_room("a", "rare"), From::After(pos), Flow::Credit);
    assert_eq!((resumed.completeness, resumed.gaps), (Completeness::Full, vec![]));
    // Who was told nothing since cannot know that nothing was there.
    let resumed = world.subscribe(3, 2, in_room("a", "rare"), From::After(at(1, 1)), Flow::Credit);
    assert_eq!(resumed.completeness, Completeness::Partial);
    assert_eq!(resumed.gaps.first().map(|gap| (gap.from, gap.cause)), Some((Seq(2), Cause::Retention)));
}

/// The log is one: a room over what it may keep lets its own oldest go, and neither links nor other rooms wait for it.
#[test]
fn one_room_over_its_retention_trims_itself_and_holds_up_neither_links_nor_other_rooms() {
    let mut world = world();
    for n in 0..100 {
        let (a, b) = (format!("a{n}"), format!("{n}"));
        world.input(Input::Ingest(ingest(n, 11 + 3 * n, &[(0, "elsewhere"), (0, &a), (1, &b)])));
        world.commit();
        let taken = matches!(world.done.last(), Some((token, Ok(_))) if *token == n);
        assert!(taken, "{:?}", world.done.last());
    }
    world.subscribe(2, 1, in_room("b", "#"), From::Start, Flow::Credit);
    assert_eq!(world.payloads(2), numbers(0..100), "the other room has all of its past");
    world.ask(2, Ask::Unsubscribe { subscription: SubscriptionId(1) });
    world.subscribe(2, 2, in_room("a", "#"), From::Start, Flow::Credit);
    let kept = world.payloads(2);
    assert!((20..=23).contains(&kept.len()), "{kept:?}");
    assert_eq!(kept.last().map(String::as_str), Some("a99"));
}

#[test]
fn the_more_read_the_past_the_less_each_is_read_at_once() {
    let all = 256 << 10;
    let config = Config { read_bytes: all, chunks_bytes_max: all as usize, ..small() };
    let mut world = World::new(config);
    world.open(1);
    for n in 0..60 {
        world.publish(1, &[("a/x", &n.to_string())]);
    }
    for n in 10..20 {
        world.open(n);
        let (subscription, from, flow) = (SubscriptionId(1), From::Start, Flow::Credit);
        let (want, retained) = (in_room("a", "x"), Showing::Nothing);
        world.ask(n, Ask::Subscribe { subscription, want, from, flow, keep: None, retained });
    }
    let most = |(_, read): &(u64, Read)| match read {
        Read::Of { max_bytes, .. } | Read::All { max_bytes, .. } => *max_bytes,
        other => panic!("{other:?}"),
    };
    let asked: Vec<u32> = world.storage.reads.iter().map(most).collect();
    assert_eq!(asked.len(), 10);
    assert!(asked.is_sorted_by(|a, b| a >= b) && asked[0] > 2 * asked[3], "{asked:?}");
    assert_eq!(asked[9], 32 << 10, "however many they are");
}

#[test]
fn a_retention_that_is_new_hides_what_is_older_as_soon_as_that_is_counted() {
    let mut world = World::new(small());
    world.open(1);
    for n in 0..60 {
        world.publish(1, &[("a/x", &n.to_string())]);
    }
    world.rooms[0].retention = Retention { count: Some(20), ..Retention::default() };
    let rooms = world.rooms.clone();
    world.input(Input::Reconfigured { rooms: rooms.clone(), bindings: vec![] });
    assert_eq!(world.counted, [world.rooms[0].id]);
    for n in 60..65 {
        world.publish(1, &[("a/x", &n.to_string())]);
    }
    let id = world.rooms[0].id;
    let mark = |last, count| Mark { last: Seq(last), count, bytes: 100, newest: Wall(5) };
    // The newest part reaches into what it has counted itself.
    world.input(Input::Pasts(vec![(id, vec![mark(20, 20), mark(40, 20), mark(55, 15), mark(62, 7)])]));
    world.open(2);
    world.subscribe(2, 1, in_room("a", "#"), From::Start, Flow::Credit);
    assert_eq!(world.payloads(2), numbers(40..65), "at least twenty, and no part more than that takes");
    // Once it counts, it counts.
    world.input(Input::Reconfigured { rooms, bindings: vec![] });
    world.input(Input::Pasts(vec![(id, vec![mark(64, 1000)])]));
    assert_eq!(world.counted.len(), 1);
    world.open(3);
    world.subscribe(3, 1, in_room("a", "#"), From::Start, Flow::Credit);
    assert_eq!(world.payloads(3), numbers(40..65));
}

/// What the log's files say of it at a start is in frames too.
#[test]
fn the_bytes_that_a_room_keeps_are_those_of_its_entries_as_the_log_has_them() {
    let mut world = World::new(small());
    world.open(1);
    world.open(2);
    for n in 100..200 {
        world.publish(1, &[("a/x", &n.to_string())]);
    }
    let ten: u64 = world.storage.entries.iter().rev().take(10).map(|entry| entry.frame.len() as u64).sum();
    world.rooms[0].retention = Retention { bytes: Some(ByteSize(ten)), ..Retention::default() };
    let rooms = world.rooms.clone();
    world.input(Input::Reconfigured { rooms, bindings: vec![] });
    for n in 200..300 {
        world.publish(1, &[("a/x", &n.to_string())]);
    }
    world.subscribe(2, 1, in_room("a", "#"), From::Start, Flow::Credit);
    let kept = world.payloads(2);
    assert!((10..=11).contains(&kept.len()), "{kept:?}");
}
