//! Pulls that stand: what comes later comes by itself, as long as they last.

use super::{readers::*, script::*};
use riser_model::door::{Ask, Flow, From, Push, Tell};

fn stand(world: &mut World, bytes: u32) {
    world.ask(2, Ask::Pull { bytes, stands: true });
}

/// What was delivered, and whether more waits; none if something else was told.
fn delivered(world: &mut World) -> Option<(Vec<Push>, bool)> {
    match world.told(2)? {
        Tell::Deliver { pushes, more } => Some((pushes, more)),
        other => panic!("{other:?}"),
    }
}

fn payloads(pushes: &[Push]) -> Vec<String> {
    pushes.iter().filter_map(delivery).map(|delivery| payload(&delivery.content.body)).collect()
}

#[test]
fn what_comes_later_is_delivered_unasked_until_the_pull_is_used_up() {
    let mut world = world();
    world.subscribe(2, 1, in_room("a", "#"), From::Live, Flow::Credit);
    stand(&mut world, 300);
    assert_eq!(delivered(&mut world), Some((vec![], false)));
    let (mut came, mut sent) = (Vec::new(), 0);
    loop {
        world.publish(1, &[("a/x", &sent.to_string()), ("a/y", "y")]);
        sent += 1;
        assert!(sent < 10, "it never ends");
        match delivered(&mut world) {
            Some((pushes, false)) => came.extend(payloads(&pushes)),
            Some((pushes, true)) => break came.extend(payloads(&pushes)),
            None => panic!("nothing came"),
        }
        assert!(world.told(2).is_none(), "one delivery of a commit");
    }
    assert!(sent > 1, "some came by themselves");
    world.publish(1, &[("a/x", "last")]);
    assert_eq!(world.told(2), None, "who was told that more waits pulls by itself");
    came.extend(world.payloads(2));
    let wanted: Vec<String> = (0..sent).flat_map(|n| [n.to_string(), "y".to_owned()]).collect();
    assert_eq!(came, [&wanted[..], &["last".to_owned()]].concat());
}

#[test]
fn used_up_to_the_last_byte_it_is_followed_by_ready() {
    let mut world = world();
    world.subscribe(2, 1, in_room("a", "x"), From::Live, Flow::Credit);
    stand(&mut world, 1);
    assert_eq!(delivered(&mut world), Some((vec![], false)));
    world.publish(1, &[("a/x", "0")]);
    let (pushes, more) = delivered(&mut world).unwrap();
    assert_eq!((payloads(&pushes), more), (vec!["0".to_owned()], true));
    assert_eq!(world.pull(2, 1000), (vec![], false));
    world.publish(1, &[("a/x", "1")]);
    assert!(world.ready(2) && world.told(2).is_none(), "that pull did not stand");
}

#[test]
fn nothing_is_delivered_unasked_before_its_commit_or_while_it_rests() {
    let mut world = world();
    world.subscribe(2, 1, in_room("a", "x"), From::Live, Flow::Credit);
    stand(&mut world, 1000);
    delivered(&mut world);
    world.send(1, &[("a/x", "0")], 1);
    assert_eq!(world.told(2), None);
    let subscription = riser_model::SubscriptionId(1);
    world.ask(2, Ask::Pause { subscription, paused: true });
    world.commit();
    assert_eq!(world.told(2), None);
    world.ask(2, Ask::Pause { subscription, paused: false });
    assert_eq!(payloads(&delivered(&mut world).unwrap().0), ["0"]);
}

#[test]
fn pull_stands_no_longer_than_the_subscriptions_for_which_it_was_said() {
    let mut world = world();
    world.subscribe(2, 1, in_room("a", "x"), From::Live, Flow::Credit);
    stand(&mut world, 1000);
    delivered(&mut world);
    world.subscribe(2, 2, in_room("a", "y"), From::Live, Flow::Conflate);
    world.publish(1, &[("a/x", "0")]);
    assert!(world.ready(2));
    assert_eq!(world.payloads(2), ["0"]);
}

#[test]
fn what_is_read_from_the_disk_comes_unasked_too() {
    let mut world = deep(60);
    world.subscribe(2, 1, in_room("a", "x"), From::Start, Flow::Credit);
    world.ready(2);
    let mut came = Vec::new();
    for _ in 0..200 {
        stand(&mut world, 2000);
        world.read();
        while let Some((pushes, _)) = delivered(&mut world) {
            came.extend(payloads(&pushes));
        }
    }
    assert_eq!(came, numbers(0..60));
}
