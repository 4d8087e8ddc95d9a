//! What a subscription may reach: rights, rooms of the account, and rooms that come and go.

use super::{ingested::ingest, present::body, readers::*, script::*};
use crate::{Input, Latest};
use riser_model::{
    Epoch, History, LogId, Right, RoomId, Seq, Wall,
    door::{Code, Flow, From, Technical, Want},
};

#[test]
fn rights_hold_on_every_path() {
    let rules =
        || vec![rule(None, "#", Right::Subscribe, false), rule(None, "hidden/#", Right::Subscribe, true)];
    for from in [From::Live, From::Start, From::Last(10), From::After(at(1, 0)), From::Since(Wall(0))] {
        for flow in [Flow::Credit, Flow::Conflate] {
            for want in
                [topic("#"), topic("a/#"), topic("+/hidden/x"), in_room("a", "hidden/+"), in_room("a", "#")]
            {
                let mut world = deep(40);
                for _ in 0..3 {
                    world.publish(1, &[("a/hidden/x", "hidden"), ("a/open", "open")]);
                }
                for _ in 0..30 {
                    world.publish(1, &[("b/open", "open")]);
                }
                world.open_as(5, rules());
                world.subscribe(5, 1, want.clone(), from, flow);
                world.publish(1, &[("a/hidden/x", "hidden"), ("a/open", "open")]);
                let latest = Latest {
                    log: LogId(9),
                    epoch: Epoch(1),
                    seq: Seq(1),
                    route: route("a", "hidden/x", 3),
                    body: body("hidden"),
                };
                world.input(Input::Latest(latest));
                assert!(!world.payloads(5).contains(&"hidden".to_owned()), "{want:?} {from:?} {flow:?}");
            }
        }
    }
}

#[test]
fn exact_subscription_without_the_right_is_denied_like_an_unknown_room() {
    let mut world = world();
    world.open_as(5, vec![rule(Some("a"), "open/#", Right::Subscribe, false)]);
    let mut denied = |want| world.try_subscribe(5, 1, want, From::Live, Flow::Credit).err();
    assert_eq!(denied(in_room("a", "closed")), Some(Code::Denied));
    assert_eq!(denied(in_room("b", "#")), Some(Code::Denied));
    assert_eq!(denied(in_room("nowhere", "#")), Some(Code::Denied));
    assert_eq!(denied(topic("nowhere/x")), Some(Code::Denied));
    assert_eq!(denied(Want::Technical(Technical::of_room("b".parse().unwrap()))), Some(Code::Denied));
    assert_eq!(denied(topic("room")), Some(Code::BadName));
    assert_eq!(denied(topic("$SYS/#")), Some(Code::BadName));
    assert_eq!(denied(in_room("a", "#")), None);
}

#[test]
fn rooms_of_other_accounts_are_out_of_reach() {
    let mut world = world();
    let mut other = room("theirs", History::Log);
    other.account = riser_model::AccountId(uuid::Uuid::from_u128(2));
    other.id = RoomId::of(other.account, "theirs");
    let rooms = [world.rooms.clone(), vec![other]].concat();
    world.input(Input::Reconfigured { rooms, bindings: vec![] });
    assert_eq!(
        world.try_subscribe(1, 1, topic("theirs/x"), From::Live, Flow::Credit).err(),
        Some(Code::Denied)
    );
    world.subscribe(1, 1, topic("#"), From::Start, Flow::Credit);
    let mut foreign = ingest(1, 5, &[(0, "theirs")]);
    foreign.elsewhere.clear();
    foreign.routes[0].room = RoomId::of(riser_model::AccountId(uuid::Uuid::from_u128(2)), "theirs");
    world.input(Input::Ingest(foreign));
    world.commit();
    assert_eq!(world.storage.entries.len(), 1);
    assert_eq!(world.all(1), []);
}

#[test]
fn filters_over_all_rooms_meet_later_rooms_and_lose_removed_ones() {
    let mut world = world();
    world.subscribe(2, 1, topic("+/x"), From::Live, Flow::Credit);
    world.publish(1, &[("a/x", "1"), ("b/x", "2"), ("b/y", "3")]);
    assert_eq!(world.payloads(2), ["1", "2"]);
    let rooms = vec![room("b", History::Log), room("later", History::Log)];
    world.input(Input::Reconfigured { rooms, bindings: vec![] });
    world.publish(1, &[("a/x", "4"), ("b/x", "5"), ("later/x", "6")]);
    assert_eq!(world.payloads(2), ["5", "6"]);
}
