//! What devices said and no room takes: it lies in quarantine, and whoever minds is told.

use super::script::*;
use crate::{Config, Input};
use riser_model::{
    Right,
    door::{Ask, Code, Flow, From, Intake, Tell},
};

#[test]
fn what_a_device_says_that_names_no_channel_is_in_quarantine_and_told() {
    use riser_model::{RoomId, door::Target, room::QUARANTINE};
    let mut world = World::speaking(Config::default());
    world.open(1);
    world.open_as(9, [grants(), vec![rule(None, "#", Right::Admin, false)]].concat());
    let technical = riser_model::door::Technical {
        kinds: "quarantined".parse().unwrap(),
        ..riser_model::door::Technical::of_account()
    };
    world.subscribe(9, 1, riser_model::door::Want::Technical(technical), From::Live, Flow::Credit);
    world.commit();
    let deep = format!("a/{}", "x/".repeat(40));
    let topics = ["a/../b", deep.as_str(), "$else/x", "Not A Room/x", "a/fine"];
    for (n, topic) in topics.into_iter().enumerate() {
        let aliases = vec![(0, Target::Device(topic.to_owned()))];
        let intake = Intake {
            ticket: n as u64 + 1,
            seen: n as u64,
            aliases,
            entries: entries(&[(0, topic)], 1),
            count: 1,
        };
        world.ask(1, Ask::Publish(intake));
        world.commit();
        assert!(
            matches!(world.told(1), Some(Tell::Stored { refused, .. }) if refused.is_empty()),
            "{topic}: it is acknowledged"
        );
    }
    // Again by the meaning that it has, behind something of another: each is told where it is.
    let again = Intake {
        ticket: 6,
        seen: 5,
        aliases: vec![(1, Target::Device("b/../c".to_owned())), (2, Target::Device("b/fine".to_owned()))],
        entries: entries(&[(2, "fine"), (1, "1"), (1, "2")], 1),
        count: 3,
    };
    world.ask(1, Ask::Publish(again));
    world.commit();
    assert!(matches!(world.told(1), Some(Tell::Stored { refused, .. }) if refused.is_empty()));
    let quarantine = RoomId::of(ACCOUNT, QUARANTINE);
    let channels: Vec<_> = world.bus.channels(quarantine).collect();
    assert_eq!(channels.len(), 1);
    assert_eq!((channels[0].name.as_str(), channels[0].traffic.messages), ("bad-name", 6));
    world.now.time.0 += 1_000_000_000;
    world.input(Input::Deadline);
    world.commit();
    let told: Vec<u64> = world
        .all(9)
        .iter()
        .filter_map(delivery)
        .map(|one| {
            let said: serde_json::Value = serde_json::from_str(&payload(&one.content.body)).unwrap();
            said["data"]["seq"].as_u64().unwrap()
        })
        .collect();
    let lies: Vec<u64> = world
        .storage
        .entries
        .iter()
        .zip(1..)
        .filter(|(entry, _)| {
            let (frame, _) = riser_wire::entry::Frame::read(&entry.frame, 0).unwrap();
            world.bus.route(frame.route).is_some_and(|route| route.room == quarantine)
        })
        .map(|(_, seq)| seq)
        .collect();
    assert_eq!((told.len(), told), (6, lies), "each is told, and where it is");
    assert_eq!(world.bus.statistics().counters.quarantined, 5, "channels that devices named");
    // Who hears of a refusal is refused, and so is a device where it has no right.
    let targets = [Target::Topic("a/../b".into()), Target::Device("a/secret/x".into())];
    for (n, target) in targets.into_iter().enumerate() {
        let ticket = n as u64 + 10;
        let aliases = vec![(0, target)];
        world.ask(
            1,
            Ask::Publish(Intake {
                ticket,
                seen: ticket - 1,
                aliases,
                entries: entries(&[(0, "x")], 1),
                count: 1,
            }),
        );
        world.commit();
        assert!(matches!(world.told(1), Some(Tell::Stored { refused, .. }) if refused.len() == 1));
    }
}

#[test]
fn publications_that_a_door_gave_up_are_told_and_what_was_told_at_its_channel_is_not_told_again() {
    let mut world = World::speaking(Config::default());
    world.open(1);
    let refusal = |code| riser_model::door::Refusal { code, what: "it".into(), want: "that".into() };
    let technical = riser_model::event::Scope::Account(ACCOUNT).room();
    let told = |world: &World| {
        let refused = world.bus.channels(technical).find(|one| one.name.as_str() == "refused");
        refused.map_or(0, |one| one.traffic.messages)
    };
    for (code, events) in [(Code::Denied, 0), (Code::TooLarge, 1)] {
        world.ask(1, Ask::Dropped { refusal: refusal(code), count: 3 });
        world.now.time.0 += 1_000_000_000;
        world.input(Input::Deadline);
        world.commit();
        assert_eq!(told(&world), events, "{code:?}");
    }
}
