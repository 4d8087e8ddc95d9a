//! What became of a publication is told to its publisher and to who looks after the room, on whatever path it comes.

use super::{readers::small, script::*, technical::*};
use crate::{Config, Input};
use riser_model::{
    ClientId, Right, RoomId, SubscriptionId,
    door::{Delivery, Flow, From, Push, Technical, Want},
    event::{PublishedAs, Scope, SystemEvent},
    principal::Rule,
};

fn all(rights: &[Right]) -> Vec<Rule> {
    rights.iter().map(|right| rule(Some("a"), "#", *right, false)).collect()
}

/// Connections 2 and 3 publish in room `a`, 5 looks after it; what became of what they published was told in turn, of 2 first.
fn world(config: Config) -> World {
    let mut world = World::speaking(config);
    world.open_as(2, all(&[Right::Publish]));
    world.open_as(3, all(&[Right::Publish]));
    world.open_as(5, all(&[Right::Subscribe, Right::Admin]));
    for n in 1..=6 {
        delivered(&mut world, 3 - u128::from(n % 2), n);
    }
    world
}

/// The `n`-th publication reached whom it was for.
fn delivered(world: &mut World, publisher: u128, n: u64) {
    let client = ClientId(uuid::Uuid::from_u128(100 + publisher));
    let publish_id = PublishedAs { producer: 7, n };
    let (entry, to) = (at(1, n), "lamp".parse().unwrap());
    say(
        world,
        Scope::Room(RoomId::of(ACCOUNT, "a")),
        SystemEvent::Delivered { entry, client, publish_id, to },
    );
    settle(world);
}

/// Of which publications these tell.
fn numbers(pushes: &[Push]) -> Vec<u32> {
    let number = |one: &Delivery| {
        let text = payload(&one.content.body);
        text.split_once("\"n\":")?.1.chars().next()?.to_digit(10)
    };
    pushes.iter().filter_map(delivery).filter_map(number).collect()
}

#[test]
fn who_no_longer_looks_after_the_room_is_shown_no_single_entry_of_what_became_of_others_publications() {
    for config in [Config::default(), small()] {
        let mut world = world(config);
        world.subscribe(5, 1, of_room("a"), From::Start, Flow::Credit);
        let pushes = world.all(5);
        assert_eq!(numbers(&pushes), [1, 2, 3, 4, 5, 6]);
        let outcomes = pushes.iter().filter_map(delivery);
        let outcomes = outcomes.filter(|one| one.content.route.channel.as_str() == "delivered");
        let places: Vec<_> = outcomes.filter_map(|one| one.pos).collect();
        let single = || Want::Positions(places.clone());
        let demoted = principal(5, all(&[Right::Subscribe]));
        world.input(Input::Principal { connection: c(5), principal: demoted });
        world.all(5);
        world.subscribe(5, 2, single(), From::Live, Flow::Credit);
        let pushes = world.all(5);
        assert_eq!(numbers(&pushes), [0; 0]);
        let passed = pushes.iter().filter(|push| matches!(push, Push::Through { .. })).count();
        assert_eq!(passed, 6, "it is told that there is nothing for it");
        world.subscribe(2, 2, single(), From::Live, Flow::Credit);
        assert_eq!(numbers(&world.all(2)), [1, 3, 5], "its own are still its own");
    }
}

#[test]
fn last_ones_are_counted_without_what_became_of_others_publications() {
    for config in [Config::default(), small()] {
        let mut world = world(config);
        world.subscribe(3, 1, of_room("a"), From::Last(1), Flow::Credit);
        assert_eq!(numbers(&world.all(3)), [6]);
        world.subscribe(2, 1, of_room("a"), From::Last(2), Flow::Credit);
        assert_eq!(numbers(&world.all(2)), [3, 5]);
        world.subscribe(5, 1, of_room("a"), From::Last(2), Flow::Credit);
        assert_eq!(numbers(&world.all(5)), [5, 6]);
    }
}

#[test]
fn what_became_of_ones_publications_is_told_in_order_to_who_asks_for_the_newest_too() {
    let mut world = world(Config::default());
    world.subscribe(2, 1, of_room("a"), From::Start, Flow::Conflate);
    assert_eq!(numbers(&world.all(2)), [1, 3, 5]);
    for n in 7..=9 {
        delivered(&mut world, 3 - u128::from(n % 2), n);
    }
    let pushes = world.all(2);
    assert_eq!(numbers(&pushes), [7, 9]);
    assert!(pushes.iter().filter_map(delivery).all(|one| one.skipped == 0), "nor how many others had");
    // Of what is the same to all who hear it the newest is enough.
    for n in [6, 7] {
        world.open(n);
        world.subscribe(n, 1, in_room("a", "#"), From::Live, Flow::Credit);
        settle(&mut world);
    }
    let kinds = "joined".parse().unwrap();
    let joined = Want::Technical(Technical { kinds, ..Technical::of_room("a".parse().unwrap()) });
    world.subscribe(5, 2, joined, From::Start, Flow::Conflate);
    let newest: Vec<_> = world.all(5).iter().filter_map(delivery).map(|one| one.subscription).collect();
    assert_eq!(newest, [SubscriptionId(2)]);
}
