//! Fan-outs to many: rounds, and who is not made to wait for one.

use super::{readers::*, script::*};
use crate::rounds::{AT_ONCE, ROUND_MAX};
use riser_model::{
    Time,
    door::{Ask, Flow, From, Push, Tell},
};
use std::time::Duration;

/// Readers of `a/x`, from connection 10 on, whose pulls stand.
fn crowd() -> (World, std::ops::Range<u64>) {
    let mut world = world();
    world.now.time = world.now.time.plus(ROUND_MAX);
    let crowd = 10..10 + AT_ONCE as u64;
    for n in crowd.clone() {
        world.open(n);
        world.subscribe(n, 1, in_room("a", "x"), From::Live, Flow::Credit);
        stand(&mut world, n);
    }
    (world, crowd)
}

fn stand(world: &mut World, n: u64) {
    world.ask(n, Ask::Pull { bytes: 60_000, stands: true });
    world.tells.clear();
}

/// What a connection was told to have, piece by piece.
fn delivered(world: &mut World, n: u64) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    while let Some(tell) = world.told(n) {
        let Tell::Deliver { pushes, .. } = tell else { panic!("{tell:?}") };
        all.push(payloads(&pushes));
    }
    all
}

fn payloads(pushes: &[Push]) -> Vec<String> {
    pushes.iter().filter_map(delivery).map(|delivery| payload(&delivery.content.body)).collect()
}

/// Time passes until everybody in the round has had a turn.
fn next_round(world: &mut World) {
    let began = world.now.time;
    while let Some((at, wake)) = world.bus.poll_timeout() {
        assert_eq!(wake, crate::Wake::Round);
        world.now.time = Time(at.0 - 1000);
        world.input(crate::Input::Deadline);
    }
    let took = world.now.time.since(began);
    assert!(took > Duration::ZERO && took <= ROUND_MAX, "{took:?}");
}

#[test]
fn one_that_comes_alone_is_delivered_at_once_and_what_follows_it_together() {
    let (mut world, crowd) = crowd();
    world.publish(1, &[("a/x", "0")]);
    for n in crowd.clone() {
        assert_eq!(delivered(&mut world, n), [["0"]], "who is alone waits for nobody");
    }
    for text in ["1", "2", "3"] {
        world.publish(1, &[("a/x", text)]);
    }
    assert!(crowd.clone().all(|n| delivered(&mut world, n).is_empty()), "they gather");
    next_round(&mut world);
    for n in crowd.clone() {
        assert_eq!(delivered(&mut world, n), [["1", "2", "3"]]);
    }
    world.now.time = world.now.time.plus(ROUND_MAX);
    world.publish(1, &[("a/x", "4")]);
    assert!(crowd.into_iter().all(|n| delivered(&mut world, n) == [["4"]]), "the next one is alone again");
    assert_eq!(world.bus.poll_timeout(), None);
}

#[test]
fn receipts_and_what_is_for_few_wait_for_no_round() {
    let (mut world, crowd) = crowd();
    world.subscribe(10, 2, in_room("a", "mine"), From::Live, Flow::Credit);
    stand(&mut world, 10);
    world.publish(1, &[("a/x", "0")]);
    world.tells.clear();
    world.publish(1, &[("a/x", "1")]);
    assert!(matches!(world.told(1), Some(Tell::Stored { .. })), "its publisher has its receipt");
    world.publish(1, &[("a/mine", "for one")]);
    assert_eq!(delivered(&mut world, 10), [["1", "for one"]], "and what had gathered, in order");
    assert_eq!(delivered(&mut world, 11), Vec::<Vec<String>>::new());
    next_round(&mut world);
    assert_eq!(delivered(&mut world, 10), Vec::<Vec<String>>::new(), "nothing twice");
    assert!(crowd.skip(1).all(|n| delivered(&mut world, n) == [["1"]]));
}

#[test]
fn who_pulls_or_subscribes_while_a_round_gathers_misses_nothing() {
    let (mut world, crowd) = crowd();
    world.publish(1, &[("a/x", "0")]);
    world.tells.clear();
    world.publish(1, &[("a/x", "1")]);
    assert_eq!(payloads(&world.pull(10, 1000).0), ["1"], "who pulls has it");
    // It says anew that it holds nothing back, so no delivery may come unasked.
    world.subscribe(11, 2, in_room("a", "other"), From::Live, Flow::Conflate);
    world.publish(1, &[("a/x", "2")]);
    assert_eq!((world.told(10), world.told(11)), (None, None));
    next_round(&mut world);
    for (n, wanted) in [(10, &["2"][..]), (11, &["1", "2"])] {
        assert_eq!(world.told(n), Some(Tell::Ready), "{n}");
        assert_eq!(payloads(&world.pull(n, 1000).0), wanted);
    }
    assert!(crowd.skip(2).all(|n| delivered(&mut world, n) == [["1", "2"]]));
}

#[test]
fn nobody_waits_for_a_round_when_the_instance_goes_down() {
    let (mut world, crowd) = crowd();
    world.publish(1, &[("a/x", "0")]);
    world.publish(1, &[("a/x", "1")]);
    world.tells.clear();
    world.input(crate::Input::Shutdown);
    for n in crowd {
        assert!(matches!(world.told(n), Some(Tell::Refused(_))));
        assert_eq!(delivered(&mut world, n), [["1"]]);
    }
}
