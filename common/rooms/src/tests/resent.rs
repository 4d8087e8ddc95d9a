//! Publications with ids: one that is sent again is stored once, whatever happened in between.

use super::script::*;
use super::writers::stored;
use crate::{Config, Input};
use riser_model::{
    Epoch, Now, RouteNumber,
    door::{Ask, Code, Intake, Target, Tell},
};
use riser_wire::entry::{ContentType, Publication, PublishId};

/// Publishes these n of a producer in one batch, in a channel each may.
fn send(world: &mut World, connection: u64, ticket: u64, producer: u64, ns: &[u64]) {
    send_to(world, connection, ticket, producer, ns, "a/x");
}

fn send_to(world: &mut World, connection: u64, ticket: u64, producer: u64, ns: &[u64], topic: &str) {
    let mut entries = Vec::new();
    for n in ns {
        let id = PublishId { producer, n: *n };
        let payload = format!("{producer}:{n}");
        let publication = Publication {
            qos: 1,
            publish_id: Some(id),
            ..Publication::new(ContentType::Text, payload.as_bytes())
        };
        publication.write_frame(&mut entries, RouteNumber(0), Now::default().stamp());
    }
    let aliases = vec![(0, Target::Topic(topic.into()))];
    let intake =
        Intake { ticket, seen: ticket - 1, aliases, entries: entries.into(), count: ns.len() as u32 };
    world.ask(connection, Ask::Publish(intake));
}

fn world() -> World {
    let mut world = World::new(Config::default());
    world.open(1);
    world
}

fn in_log(world: &World) -> Vec<String> {
    world.storage.entries.iter().flat_map(|entry| listed(&entry.frame)).map(|(_, payload)| payload).collect()
}

#[test]
fn what_is_sent_again_is_answered_dup_and_stored_once() {
    let mut world = world();
    send(&mut world, 1, 1, 7, &[1, 2]);
    world.commit();
    assert_eq!(stored(world.told(1)), (1, 1, vec![]));
    send(&mut world, 1, 2, 7, &[1, 2, 3, 3]);
    world.commit();
    assert_eq!(stored(world.told(1)), (2, 3, vec![(0, Code::Dup), (1, Code::Dup), (3, Code::Dup)]));
    send(&mut world, 1, 3, 7, &[2]);
    assert_eq!(stored(world.told(1)).2, vec![(0, Code::Dup)], "without a commit of its own");
    assert_eq!(in_log(&world), ["7:1", "7:2", "7:3"]);
    assert_eq!(world.bus.statistics().counters.refused(Code::Dup), 4);
}

#[test]
fn what_is_sent_again_over_a_restart_is_answered_dup() {
    let mut world = world();
    send(&mut world, 1, 1, 7, &[1, 2]);
    world.commit();
    send(&mut world, 1, 2, 7, &[3]);
    world.restart(Epoch(2));
    world.open(1);
    send(&mut world, 1, 1, 7, &[1, 2, 3]);
    world.commit();
    assert_eq!(stored(world.told(1)).2, vec![(0, Code::Dup), (1, Code::Dup)], "3 never came to the disk");
    assert_eq!(in_log(&world), ["7:1", "7:2", "7:3"]);
}

#[test]
fn one_on_its_way_is_answered_dup_only_after_its_commit() {
    let mut world = world();
    send(&mut world, 1, 1, 7, &[1]);
    // The same client by another socket: the first one is cut, and does not know it yet.
    let principal = principal(1, grants());
    world.input(Input::Open { connection: c(2), principal });
    send(&mut world, 2, 1, 7, &[1]);
    assert_eq!((world.told(1), world.told(2)), (None, None));
    world.commit();
    assert_eq!(stored(world.told(1)).2, vec![]);
    assert_eq!(stored(world.told(2)).2, vec![(0, Code::Dup)]);
    assert_eq!(in_log(&world), ["7:1"]);
}

#[test]
fn one_whose_batch_failed_is_not_answered_dup_and_may_come_again() {
    let mut world = world();
    send(&mut world, 1, 1, 7, &[1]);
    let principal = principal(1, grants());
    world.input(Input::Open { connection: c(2), principal });
    send(&mut world, 2, 1, 7, &[1]);
    send(&mut world, 2, 2, 7, &[1, 2]);
    world.fail(Code::LogFailing);
    world.commit();
    let told: Vec<_> = std::iter::from_fn(|| world.told(2)).map(|tell| stored(Some(tell)).2).collect();
    assert!(told.iter().flatten().all(|(_, code)| *code == Code::LogFailing), "{told:?}");
    assert_eq!(told[0].len(), 1);
    assert!(matches!(world.told(1), Some(Tell::Stored { refused, .. }) if refused.len() == 1));
    send(&mut world, 1, 2, 7, &[1]);
    world.commit();
    assert_eq!(stored(world.told(1)).2, vec![]);
    assert_eq!(in_log(&world).iter().filter(|payload| *payload == "7:1").count(), 1);
}

#[test]
fn what_was_refused_is_not_answered_dup_when_a_higher_one_is_stored() {
    let mut world = world();
    send_to(&mut world, 1, 1, 7, &[1], "a/secret/x");
    assert_eq!(stored(world.told(1)).2, vec![(0, Code::Denied)]);
    send(&mut world, 1, 2, 7, &[2]);
    world.commit();
    world.told(1);
    send(&mut world, 1, 3, 7, &[1]);
    world.commit();
    assert_eq!(stored(world.told(1)).2, vec![]);
    assert_eq!(in_log(&world), ["7:2", "7:1"]);
}

#[test]
fn of_what_is_too_old_to_be_remembered_nobody_is_told_that_it_is_stored() {
    let mut world = world();
    // Every second one is refused, so each that is stored is a run of its own.
    for n in 0..12 {
        send_to(&mut world, 1, n + 1, 7, &[n], if n % 2 == 0 { "a/x" } else { "nowhere/x" });
        world.commit();
        world.told(1);
    }
    send(&mut world, 1, 20, 7, &[0, 1, 3, 5, 9, 10]);
    world.commit();
    let old = |index| (index, Code::WrongState);
    let refused = stored(world.told(1)).2;
    assert_eq!(refused, [old(0), old(1), (5, Code::Dup)], "3, 5 and 9 were refused, and may come now");
    assert_eq!(in_log(&world).len(), 6 + 3);
}

#[test]
fn nobody_else_uses_up_a_producers_ids() {
    let mut world = world();
    world.open(2);
    send(&mut world, 2, 1, 7, &[1]);
    world.commit();
    send(&mut world, 1, 1, 7, &[1]);
    world.commit();
    assert_eq!(stored(world.told(1)).2, vec![]);
    assert_eq!(in_log(&world).len(), 2);
}

#[test]
fn a_batch_larger_than_a_commit_names_each_that_was_sent_before() {
    let mut world = World::new(Config { batch_bytes_max: 150, ..Config::default() });
    world.open(1);
    send(&mut world, 1, 1, 7, &[1, 3, 5]);
    world.commit();
    world.told(1);
    send(&mut world, 1, 2, 7, &[1, 2, 3, 4, 5, 6, 6]);
    world.commit();
    let dup = |index| (index, Code::Dup);
    assert_eq!(stored(world.told(1)), (2, 4, vec![dup(0), dup(2), dup(4), dup(6)]));
    assert_eq!(in_log(&world).len(), 6);
}
