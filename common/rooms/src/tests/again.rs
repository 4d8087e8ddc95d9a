//! A room that is made again under its old name is another room: its id is another, and nothing of the one before is shown
//! on any path, before and after a restart.

use super::script::*;
use crate::{Config, Input};
use bytes::Bytes;
use riser_model::{
    Epoch, History, Room, RoomId, RouteNumber, SubscriptionId,
    door::{Ask, Completeness, Flow, From, Intake, Showing, Target, Tell},
};
use riser_wire::entry::{ContentType, Publication};

/// The room `a`, as it is made the second time.
fn another() -> Room {
    Room { id: RoomId::of(ACCOUNT, "a, made again"), ..room("a", History::Log) }
}

/// Three were published in the room before, the last of them retained; then it was removed and made again.
fn made_again(restarts: bool) -> World {
    let mut world = World::new(Config::default());
    world.open(1);
    world.publish(1, &[("a/x", "old 1"), ("a/x", "old 2")]);
    let mut entries = Vec::new();
    let retained = Publication { retain: true, qos: 1, ..Publication::new(ContentType::Text, b"old 3") };
    retained.write_frame(&mut entries, RouteNumber(0), world.now.stamp());
    world.tickets += 1;
    let (ticket, seen) = (world.tickets, world.tickets - 1);
    let aliases = vec![(0, Target::Topic("a/x".into()))];
    world.ask(1, Ask::Publish(Intake { ticket, seen, aliases, entries: Bytes::from(entries), count: 1 }));
    world.commit();
    for changes in std::mem::take(&mut world.retained) {
        world.storage.save(&changes);
    }
    world.rooms.remove(0);
    world.input(Input::Reconfigured { rooms: world.rooms.clone(), bindings: vec![] });
    world.rooms.push(another());
    world.input(Input::Reconfigured { rooms: world.rooms.clone(), bindings: vec![] });
    for changes in std::mem::take(&mut world.retained) {
        world.storage.save(&changes);
    }
    if restarts {
        world.restart(Epoch(2));
        world.open(1);
    }
    world.tells.clear();
    world
}

#[test]
fn replay_of_a_room_that_was_made_again_shows_nothing_of_the_one_before() {
    for restarts in [false, true] {
        let mut world = made_again(restarts);
        let all = [From::Start, From::Last(10), From::After(at(1, 1)), From::Live];
        for (n, from) in (10..).zip(all) {
            for (id, (want, flow)) in (1..).zip([
                (in_room("a", "x"), Flow::Credit),
                (in_room("a", "#"), Flow::Credit),
                (topic("#"), Flow::Credit),
                (in_room("a", "#"), Flow::Conflate),
            ]) {
                world.open(n * 10 + id);
                let told = world.subscribe(n * 10 + id, 1, want, from, flow);
                assert_eq!(world.all(n * 10 + id), [], "{from:?}, {id}, restarts: {restarts}");
                assert_eq!(told.gaps, [], "{from:?}, {id}, restarts: {restarts}");
                assert_ne!(told.completeness, Completeness::Partial);
            }
        }
        world.publish(1, &[("a/x", "new")]);
        world.open(2);
        world.subscribe(2, 1, in_room("a", "x"), From::Start, Flow::Credit);
        assert_eq!(world.payloads(2), ["new"], "restarts: {restarts}");
        world.open(3);
        world.subscribe(3, 1, in_room("a", "x"), From::Last(5), Flow::Conflate);
        assert_eq!(world.payloads(3), ["new"], "restarts: {restarts}");
    }
}

#[test]
fn what_a_room_retained_is_not_what_the_one_of_its_name_retains() {
    for restarts in [false, true] {
        let mut world = made_again(restarts);
        for (n, want) in (2..).zip([in_room("a", "x"), in_room("a", "#"), topic("a/#"), topic("#")]) {
            world.open(n);
            let (subscription, from, flow) = (SubscriptionId(1), From::Live, Flow::Credit);
            let retained = Showing::All;
            world.ask(n, Ask::Subscribe { subscription, want, from, flow, keep: None, retained });
            assert_eq!(world.payloads(n), [""; 0], "{n}, restarts: {restarts}");
        }
    }
}

#[test]
fn who_listened_in_the_room_before_hears_nothing_of_it_in_the_one_of_its_name() {
    let mut world = World::new(Config::default());
    world.open(1);
    world.open(2);
    let (subscription, from, flow) = (SubscriptionId(1), From::Live, Flow::Credit);
    let want = in_room("a", "#");
    world.ask(2, Ask::Subscribe { subscription, want, from, flow, keep: None, retained: Showing::Nothing });
    world.publish(1, &[("a/x", "old")]);
    world.rooms.remove(0);
    world.input(Input::Reconfigured { rooms: world.rooms.clone(), bindings: vec![] });
    world.rooms.push(another());
    world.input(Input::Reconfigured { rooms: world.rooms.clone(), bindings: vec![] });
    assert_eq!(world.payloads(2), [""; 0]);
    world.publish(1, &[("a/x", "new")]);
    let seen = world.payloads(2);
    assert!(!seen.contains(&"old".to_owned()), "{seen:?}");
    let tells: Vec<&Tell> = world.tells.get(&c(2)).into_iter().flatten().collect();
    assert!(!format!("{tells:?}").contains("old"), "{tells:?}");
}
