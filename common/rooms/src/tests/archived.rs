//! Rooms whose past reaches beyond the log, beside rooms whose does not.

use super::{
    readers::{gaps, numbers, small},
    script::*,
};
use crate::Input;
use riser_model::{
    Archived, Cause, Epoch, EpochSpan, History, Mark, Quota, Retention, RoomId, RouteNumber, Seq,
    SubscriptionId, Wall,
    door::{Ask, Completeness, Flow, From, Push},
};

fn id(room: &str) -> RoomId {
    RoomId::of(ACCOUNT, room)
}

/// Room `a` is archived and `b` is not; each has 60 publications, in turn, and the log has let go of most.
fn world() -> World {
    let mut world = World::new(small());
    world.rooms[0].archive = true;
    let rooms = world.rooms.clone();
    world.input(Input::Reconfigured { rooms, bindings: vec![] });
    world.open(1);
    for n in 0..60 {
        world.publish(1, &[("a/x", &n.to_string()), ("b/x", &n.to_string())]);
    }
    world.open(2);
    archive(&mut world, 1);
    world.trim(81, vec![]);
    world
}

/// The archive has room `a` from there on.
fn archive(world: &mut World, oldest: u64) {
    world.storage.archived = [(id("a"), Seq(oldest))].into();
    let archived = Archived { oldest: Seq(oldest), oldest_at: Wall(oldest as i64) };
    world.input(Input::Archived { rooms: [(id("a"), archived)].into() });
}

#[test]
fn an_archived_room_is_replayed_over_the_seam_from_everywhere() {
    let mut world = world();
    let subscribed = world.subscribe(2, 1, in_room("a", "#"), From::Start, Flow::Credit);
    assert_eq!((subscribed.completeness, subscribed.gaps), (Completeness::Full, vec![]));
    let pushes = world.all(2);
    assert_eq!(gaps(&pushes), []);
    let told: Vec<String> =
        pushes.iter().filter_map(delivery).map(|one| payload(&one.content.body)).collect();
    assert_eq!(told, numbers(0..60));
    let positions: Vec<_> = pushes.iter().filter_map(delivery).filter_map(|one| one.pos).collect();
    world.open(3);
    for (n, position) in positions.iter().enumerate() {
        let subscribed = world.subscribe(3, 1, in_room("a", "x"), From::After(*position), Flow::Credit);
        assert_eq!((subscribed.completeness, subscribed.gaps), (Completeness::Full, vec![]));
        assert_eq!(world.payloads(3), numbers(n + 1..60));
        world.ask(3, Ask::Unsubscribe { subscription: SubscriptionId(1) });
    }
    world.open(4);
    for last in [1, 19, 20, 21, 45, 60, 90] {
        world.subscribe(4, 1, in_room("a", "#"), From::Last(last), Flow::Credit);
        assert_eq!(world.payloads(4), numbers(60 - (last as usize).min(60)..60), "the last {last}");
        world.ask(4, Ask::Unsubscribe { subscription: SubscriptionId(1) });
    }
}

#[test]
fn what_a_room_that_is_not_archived_has_lost_is_told_beside_one_that_is() {
    let mut world = world();
    world.subscribe(2, 1, in_room("a", "#"), From::After(at(1, 2)), Flow::Credit);
    let subscribed = world.subscribe(2, 2, in_room("b", "#"), From::After(at(1, 2)), Flow::Credit);
    assert_eq!(subscribed.completeness, Completeness::Partial);
    assert_eq!(subscribed.gaps.iter().map(|gap| (gap.from, gap.to)).collect::<Vec<_>>(), [(Seq(3), Seq(80))]);
    let pushes = world.all(2);
    let of = |n: u32| -> Vec<String> {
        let all = pushes.iter().filter_map(delivery).filter(|one| one.subscription.0 == n);
        all.map(|one| payload(&one.content.body)).collect()
    };
    assert_eq!((of(1), of(2)), (numbers(1..60), numbers(40..60)));
}

#[test]
fn who_reads_slowly_while_the_log_lets_go_goes_on_in_the_archive_and_is_told_a_gap_elsewhere() {
    let mut world = World::new(small());
    world.rooms[0].archive = true;
    let rooms = world.rooms.clone();
    world.input(Input::Reconfigured { rooms, bindings: vec![] });
    world.open(1);
    world.open(2);
    world.subscribe(2, 1, in_room("a", "#"), From::Start, Flow::Credit);
    world.subscribe(2, 2, in_room("b", "#"), From::Start, Flow::Credit);
    for n in 0..60 {
        world.publish(1, &[("a/x", &n.to_string()), ("b/x", &n.to_string())]);
    }
    archive(&mut world, 1);
    world.trim(81, vec![]);
    let pushes = world.all(2);
    let of = |n: u32| -> Vec<String> {
        let all = pushes.iter().filter_map(delivery).filter(|one| one.subscription.0 == n);
        all.map(|one| payload(&one.content.body)).collect()
    };
    assert_eq!((of(1), of(2)), (numbers(0..60), numbers(40..60)));
    let gapped = pushes.iter().filter_map(|push| match push {
        Push::Gap { subscription, gap, .. } => Some((subscription.0, gap.from, gap.to)),
        _ => None,
    });
    assert_eq!(gapped.collect::<Vec<_>>(), [(2, Seq(1), Seq(80))]);
}

#[test]
fn a_subscription_over_several_rooms_begins_where_all_of_them_do() {
    let mut world = world();
    let subscribed = world.subscribe(2, 1, topic("+/x"), From::After(at(1, 2)), Flow::Credit);
    assert_eq!(subscribed.completeness, Completeness::Partial);
    assert_eq!(subscribed.gaps.iter().map(|gap| (gap.from, gap.to)).collect::<Vec<_>>(), [(Seq(3), Seq(80))]);
    let both: Vec<String> = (40..60).flat_map(|n| [n.to_string(), n.to_string()]).collect();
    assert_eq!(world.payloads(2), both);
}

#[test]
fn what_the_archive_has_let_go_of_is_told_and_a_room_that_is_archived_no_more_has_what_the_log_has() {
    let mut world = world();
    archive(&mut world, 21);
    let subscribed = world.subscribe(2, 1, in_room("a", "#"), From::After(at(1, 3)), Flow::Credit);
    assert_eq!(subscribed.completeness, Completeness::Partial);
    let told: Vec<_> = subscribed.gaps.iter().map(|gap| (gap.from, gap.to, gap.cause)).collect();
    assert_eq!(told, [(Seq(4), Seq(20), Cause::Retention)]);
    assert_eq!(world.payloads(2), numbers(10..60));
    // From a time that the archive has all of, and from one that it has not.
    let since = |world: &mut World, n, wall| {
        world.open(n);
        world.subscribe(n, 1, in_room("a", "#"), From::Since(Wall(wall)), Flow::Credit).completeness
    };
    assert_eq!(since(&mut world, 5, 21), Completeness::Full);
    assert_eq!(since(&mut world, 6, 20), Completeness::Partial);
    world.rooms[0].archive = false;
    let rooms = world.rooms.clone();
    world.input(Input::Reconfigured { rooms, bindings: vec![] });
    world.open(3);
    world.subscribe(3, 1, in_room("a", "#"), From::Start, Flow::Credit);
    assert_eq!(world.payloads(3), numbers(40..60));
}

#[test]
fn what_is_archived_is_said_with_the_floors_that_retention_makes() {
    let mut world = World::new(small());
    assert!(world.archive.is_empty());
    world.rooms[0].archive = true;
    world.rooms[0].retention = Retention { count: Some(20), ..Retention::default() };
    world.rooms[2].archive = true;
    assert_eq!(world.rooms[2].history, History::None, "which is archived in no way");
    let rooms = world.rooms.clone();
    world.input(Input::Reconfigured { rooms, bindings: vec![] });
    assert_eq!(world.archive, [(id("a"), Seq(0))].into());
    world.open(1);
    for n in 0..60 {
        world.publish(1, &[("a/x", &n.to_string())]);
    }
    world.trim(10, vec![]);
    let floor = world.archive[&id("a")].0;
    assert!((36..=40).contains(&floor), "{floor}");
}

#[test]
fn a_room_that_is_archived_anew_shows_nothing_of_what_was_archived_before_whatever_the_archive_still_says() {
    let mut world = world();
    for archive in [false, true] {
        world.rooms[0].archive = archive;
        let rooms = world.rooms.clone();
        world.input(Input::Reconfigured { rooms, bindings: vec![] });
    }
    // The archive has not heard of it yet.
    world.open(3);
    let subscribed = world.subscribe(3, 1, in_room("a", "#"), From::After(at(1, 2)), Flow::Credit);
    assert_eq!(subscribed.completeness, Completeness::Partial);
    assert_eq!(world.payloads(3), numbers(40..60));
    archive(&mut world, 1);
    world.open(4);
    world.subscribe(4, 1, in_room("a", "#"), From::Start, Flow::Credit);
    assert_eq!(world.payloads(4), numbers(40..60));
    // What is archived from here on is shown when the log has let go of it.
    archive(&mut world, 81);
    world.storage.archived = [(id("a"), Seq(81))].into();
    world.trim(101, vec![]);
    world.open(5);
    let subscribed = world.subscribe(5, 1, in_room("a", "#"), From::After(at(1, 80)), Flow::Credit);
    assert_eq!(subscribed.completeness, Completeness::Full);
    assert_eq!(world.payloads(5), numbers(40..60));
}

#[test]
fn channels_that_only_the_archive_has_are_read_and_count_nowhere_and_are_forgotten_when_they_were() {
    let mut world = World::new(small());
    world.rooms[0].archive = true;
    world.rooms[0].quota = Quota { channels: Some(41), ..Quota::default() };
    let rooms = world.rooms.clone();
    world.input(Input::Reconfigured { rooms, bindings: vec![] });
    world.open(1);
    for n in 0..40 {
        world.publish(1, &[(&format!("a/{n}"), &n.to_string())]);
    }
    world.publish(1, &[("b/x", "0")]);
    archive(&mut world, 1);
    world.trim(41, vec![]);
    // After a start the log says nothing of them.
    let kept = world.storage.routes.split_off(&RouteNumber(40));
    world.storage.gone = std::mem::replace(&mut world.storage.routes, kept);
    world.restart(Epoch(2));
    archive(&mut world, 1);
    world.open(1);
    world.open(2);
    for (id, topic) in [(1, "#"), (2, "7"), (3, "+")] {
        world.subscribe(2, id, in_room("a", topic), From::Start, Flow::Credit);
    }
    let pushes = world.all(2);
    let of = |n: u32| -> Vec<String> {
        let all = pushes.iter().filter_map(delivery).filter(|one| one.subscription.0 == n);
        all.map(|one| payload(&one.content.body)).collect()
    };
    assert_eq!((of(1), of(2), of(3)), (numbers(0..40), numbers(7..8), numbers(0..40)));
    assert_eq!(world.bus.statistics().rooms.iter().find(|room| room.id == id("a")).unwrap().channels, 0);
    let new: Vec<String> = (100..141).map(|n| format!("a/{n}")).collect();
    for topic in &new {
        world.publish(1, &[(topic, "new")]);
    }
    assert_eq!(world.payloads(2).len(), 82, "the room's quota has space for all of them");
    assert_eq!(world.bus.routes.archived(), 0, "nothing of what was read is known any more");
}

#[test]
fn an_archive_that_is_opened_late_is_read_by_its_positions_and_counted() {
    let mut world = World::new(small());
    world.rooms[0].archive = true;
    world.rooms[0].retention = Retention { count: Some(30), ..Retention::default() };
    let rooms = world.rooms.clone();
    world.input(Input::Reconfigured { rooms, bindings: vec![] });
    world.open(1);
    for n in 0..60 {
        if n == 40 {
            world.restart(Epoch(2));
            world.open(1);
        }
        world.publish(1, &[("a/x", &n.to_string())]);
    }
    world.trim(41, vec![]);
    // The log has twenty of them, and knows nothing of the epoch before.
    world.storage.forget(Epoch(1));
    world.restart(Epoch(3));
    world.counted.clear();
    world.open(2);
    let subscribed = world.subscribe(2, 1, in_room("a", "#"), From::After(at(1, 35)), Flow::Credit);
    assert_ne!(subscribed.completeness, Completeness::Full);
    let span = EpochSpan { epoch: Epoch(1), first: Seq(1), last: Seq(40) };
    world.input(Input::ArchiveOpened(vec![span]));
    assert_eq!(world.counted, [id("a")]);
    archive(&mut world, 1);
    let mark = |last, count| Mark { last: Seq(last), count, bytes: 100, newest: Wall(5) };
    world.input(Input::Pasts(vec![(id("a"), vec![mark(20, 20), mark(30, 10), mark(40, 10), mark(60, 20)])]));
    world.open(3);
    let subscribed = world.subscribe(3, 1, in_room("a", "#"), From::After(at(1, 35)), Flow::Credit);
    assert_eq!((subscribed.completeness, subscribed.gaps), (Completeness::Full, vec![]));
    assert_eq!(world.payloads(3), numbers(35..60));
    world.open(4);
    world.subscribe(4, 1, in_room("a", "#"), From::Start, Flow::Credit);
    assert_eq!(world.payloads(4), numbers(30..60), "what it keeps, wherever it is");
}
