//! The floor of a room: its retention is a line in the log below which it shows nothing, though it lies there.

use super::{readers::*, script::*};
use crate::Input;
use riser_model::{
    Cause, Retention, Seq, Wall,
    door::{Ask, Completeness, Flow, From, Push},
};

/// Room `a` keeps its newest twenty; a hundred were published, and as many in room `b`.
fn shallow() -> World {
    let mut world = World::new(small());
    world.rooms[0].retention = Retention { count: Some(20), ..Retention::default() };
    let rooms = world.rooms.clone();
    world.input(Input::Reconfigured { rooms, bindings: vec![] });
    world.open(1);
    world.open(2);
    for n in 0..100 {
        world.publish(1, &[("a/x", &n.to_string()), ("b/x", "-")]);
    }
    world
}

#[test]
fn room_shows_the_past_that_its_retention_names_and_no_more() {
    let mut world = shallow();
    for (id, from) in [(1, From::Start), (2, From::Last(90)), (3, From::Since(Wall(0)))] {
        let subscribed = world.subscribe(2, id, in_room("a", "x"), from, Flow::Credit);
        let payloads = world.payloads(2);
        let floor = subscribed.floor.expect("it says that there was more");
        assert!(floor.seq >= Seq(2 * 77) && floor.seq <= subscribed.at.seq, "{subscribed:?}");
        assert!((20..=22).contains(&payloads.len()), "{from:?}: {payloads:?}");
        assert_eq!(payloads, numbers(100 - payloads.len()..100), "{from:?}");
        world.ask(2, Ask::Unsubscribe { subscription: riser_model::SubscriptionId(id) });
    }
    let subscribed = world.subscribe(2, 4, in_room("b", "x"), From::Start, Flow::Credit);
    assert_eq!((world.payloads(2).len(), subscribed.floor), (100, None), "the other room keeps all");
    let subscribed = world.subscribe(2, 5, in_room("a", "x"), From::Live, Flow::Credit);
    assert_eq!(subscribed.floor, None, "who asks for nothing of the past misses nothing of it");
}

#[test]
fn position_below_the_floor_of_a_room_is_partial_and_says_what_is_gone() {
    let mut world = shallow();
    let subscribed = world.subscribe(2, 1, in_room("a", "x"), From::After(at(1, 10)), Flow::Credit);
    assert_eq!(subscribed.completeness, Completeness::Partial);
    let [gap] = subscribed.gaps[..] else { panic!("{subscribed:?}") };
    assert_eq!((gap.from, gap.to, gap.cause), (Seq(11), subscribed.at.seq, Cause::Retention));
    let payloads = world.payloads(2);
    assert_eq!(payloads, numbers(100 - payloads.len()..100));
    let subscribed = world.subscribe(2, 1, in_room("a", "x"), From::After(at(1, 190)), Flow::Credit);
    assert_eq!((subscribed.completeness, subscribed.gaps), (Completeness::Full, vec![]));
    let subscribed = world.subscribe(2, 2, topic("#"), From::After(at(1, 10)), Flow::Credit);
    assert_eq!(subscribed.completeness, Completeness::Partial, "of one of the rooms");
}

#[test]
fn reader_whom_the_floor_overtakes_is_told_what_it_missed() {
    let mut world = shallow();
    world.subscribe(2, 1, in_room("a", "x"), From::Live, Flow::Credit);
    for n in 100..200 {
        world.publish(1, &[("a/x", &n.to_string())]);
    }
    let pushes = world.all(2);
    let [(from, to, Cause::Retention)] = gaps(&pushes)[..] else { panic!("{:?}", gaps(&pushes)) };
    assert_eq!(from, 201);
    assert!((276..=280).contains(&to), "{to}");
    assert_eq!(pushes.len() as u64, 1 + 300 - to);
}

#[test]
fn what_one_of_several_rooms_keeps_no_more_is_told_to_who_comes_back_for_it() {
    let mut world = shallow();
    let from = From::After(at(1, 10));
    let subscribed = world.subscribe(2, 1, topic("#"), from, Flow::Credit);
    assert_eq!(subscribed.completeness, Completeness::Partial);
    let pushes = world.all(2);
    let gone: u64 = gaps(&pushes).iter().map(|(from, to, _)| to - from + 1).sum();
    let there = pushes.iter().filter(|push| matches!(push, Push::Publication(_))).count() as u64;
    assert_eq!(gone + there, 190, "each is shown or told");
    assert!((75..=80).contains(&gone), "{gone} of the first room");
    world.subscribe(2, 2, topic("#"), From::Start, Flow::Credit);
    assert_eq!(gaps(&world.all(2)), [], "who comes anew misses nothing");
}
