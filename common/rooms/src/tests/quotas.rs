//! What a room takes of everybody together, and what becomes of what it does not take.

use super::{
    script::*,
    writers::{ingest, stored},
};
use crate::{Config, Input, Placed};
use riser_model::{
    Epoch, History, Quota, Seq,
    door::{Ask, Code, Flow, From, Tell},
    duration::Duration,
    event::Scope,
    size::ByteSize,
};
use riser_wire::entry::frames;

/// The rooms `a` (with this quota), `b` and `quiet`.
fn with(quota: Quota) -> Input {
    let mut rooms = vec![room("a", History::Log), room("b", History::Log), room("quiet", History::None)];
    rooms[0].quota = quota;
    Input::Reconfigured { rooms, bindings: Vec::new() }
}

fn world(quota: Quota) -> World {
    let mut world = World::new(Config::default());
    world.open(1);
    world.input(with(quota));
    world
}

fn refusals(world: &mut World) -> Vec<(u32, Code, String, String)> {
    world.commit();
    let Some(Tell::Stored { refused, .. }) = world.told(1) else { panic!("a receipt") };
    refused.into_iter().map(|(index, why)| (index, why.code, why.what, why.want)).collect()
}

#[test]
fn a_room_takes_so_many_publications_in_a_span_and_says_which_limit_how_much_and_when_to_come_back() {
    let every = Some(Duration::seconds(60));
    let mut world = world(Quota { messages: Some(2), every, ..Quota::default() });
    world.send(1, &[("a/x", "1"), ("a/x", "2"), ("b/x", "other"), ("a/x", "3")], 1);
    let refused = refusals(&mut world);
    let [(3, Code::QuotaExceeded, what, want)] = &refused[..] else { panic!("{refused:?}") };
    assert_eq!((what.as_str(), want.as_str()), ("the room's quota: 2 messages in 1m", "come back in 61 s"));
    world.send(1, &[("a/x", "4")], 1);
    assert_eq!(refusals(&mut world).len(), 1, "in the same span");
    world.now.time = world.now.time.plus(std::time::Duration::from_secs(60));
    world.send(1, &[("a/x", "5")], 1);
    assert_eq!(refusals(&mut world), []);
    let statistics = world.bus.statistics();
    assert_eq!((statistics.counters.over_quota, statistics.counters.refused(Code::QuotaExceeded)), (2, 2));
    world.input(with(Quota::default()));
    world.send(1, &[("a/x", "6"), ("a/x", "7"), ("a/x", "8")], 1);
    assert_eq!(refusals(&mut world), [], "without a quota");
}

#[test]
fn a_room_takes_so_many_bytes() {
    let mut world = world(Quota { bytes: Some(ByteSize(400)), ..Quota::default() });
    let long = "x".repeat(300);
    world.send(1, &[("a/x", &long), ("a/x", &long), ("a/x", "short")], 1);
    let refused = refusals(&mut world);
    assert_eq!((refused.len(), refused[0].0), (1, 1), "{refused:?}");
    assert_eq!(refused[0].2, "the room's quota: 400 bytes in 1m");
}

#[test]
fn a_room_has_so_many_channels() {
    let mut world = world(Quota { channels: Some(1), ..Quota::default() });
    world.send(1, &[("a/x", "1"), ("a/y", "2"), ("a/x", "3")], 1);
    let refused = refusals(&mut world);
    let [(1, Code::QuotaExceeded, what, _)] = &refused[..] else { panic!("{refused:?}") };
    assert_eq!(what, "the room's quota: 1 channels");
    world.open(2);
    world.send(2, &[("a/x", "another's")], 1);
    world.commit();
    assert_eq!(stored(world.told(2)).2, [], "a channel that there is");
}

#[test]
fn a_room_has_so_many_subscriptions_and_connections() {
    let quota = Quota { connections: Some(2), subscriptions: Some(2), ..Quota::default() };
    let mut world = world(quota);
    (2..5).for_each(|n| world.open(n));
    let mut subscribe =
        |n, id, filter| world.try_subscribe(n, id, in_room("a", filter), From::Live, Flow::Credit).map(drop);
    assert_eq!(subscribe(1, 1, "#"), Ok(()));
    assert_eq!(subscribe(1, 2, "x"), Ok(()));
    assert_eq!(subscribe(1, 3, "y"), Err(Code::QuotaExceeded));
    assert_eq!(subscribe(1, 2, "z"), Ok(()), "in the place of another");
    assert_eq!(subscribe(2, 1, "#"), Err(Code::QuotaExceeded));
    let all = world.try_subscribe(2, 2, topic("#"), From::Live, Flow::Credit).map(drop);
    assert_eq!(all, Err(Code::QuotaExceeded), "a filter over all rooms is no way around it");
    world.input(with(Quota { subscriptions: None, ..quota }));
    let mut subscribe = |n| world.try_subscribe(n, 9, in_room("a", "#"), From::Live, Flow::Credit).map(drop);
    assert_eq!((subscribe(2), subscribe(3)), (Ok(()), Err(Code::QuotaExceeded)));
    world.send(3, &[("a/x", "1")], 1);
    world.commit();
    let refused = world.tells.get_mut(&c(3)).unwrap().pop_front();
    assert_eq!(stored(refused).2, [(0, Code::QuotaExceeded)], "who publishes is in it too");
    world.ask(2, Ask::Leave { cause: "normal".into(), expiry_s: None });
    assert_eq!(world.try_subscribe(4, 9, in_room("a", "#"), From::Live, Flow::Credit).map(drop), Ok(()));
}

#[test]
fn what_a_link_brings_beyond_a_quota_goes_to_quarantine_and_never_waits() {
    let mut world = world(Quota { messages: Some(1), channels: Some(5), ..Quota::default() });
    let mut brought = ingest(3, 11, &[(1, "b"), (0, "first"), (0, "second"), (1, "b too")]);
    brought.elsewhere.clear();
    world.input(Input::Ingest(brought));
    world.commit();
    assert_eq!(
        world.done,
        [(3, Ok(Placed { epoch: Epoch(1), first: Seq(1), count: 4 }))],
        "its cursor moves past all of them"
    );
    let places: Vec<String> = world
        .storage
        .entries
        .iter()
        .map(|entry| {
            let frame = frames(&entry.frame).next().unwrap().unwrap();
            world.storage.routes[&frame.route].channel.as_str().to_owned()
        })
        .collect();
    let quarantined = format!("quota/{}/t", room("a", History::Log).id);
    assert_eq!(places, ["t", "t", quarantined.as_str(), "t"]);
    assert_eq!(world.bus.statistics().counters.over_quota, 1);
}

#[test]
fn what_a_link_brings_for_a_channel_too_many_goes_to_quarantine() {
    let mut world = world(Quota { channels: Some(0), ..Quota::default() });
    let mut brought = ingest(3, 11, &[(0, "one"), (1, "b")]);
    brought.elsewhere.clear();
    world.input(Input::Ingest(brought));
    world.commit();
    assert!(matches!(world.done[..], [(3, Ok(Placed { count: 2, .. }))]), "{:?}", world.done);
    let channel = |entry: usize| {
        let frame = frames(&world.storage.entries[entry].frame).next().unwrap().unwrap();
        world.storage.routes[&frame.route].channel.as_str().to_owned()
    };
    assert_eq!((channel(0), channel(1)), ("overflow".to_owned(), "t".to_owned()));
}

#[test]
fn a_room_says_that_its_quota_is_used_up() {
    let mut world = World::speaking(Config::default());
    world.open(1);
    world.input(with(Quota { messages: Some(0), ..Quota::default() }));
    world.send(1, &[("a/x", "1"), ("a/x", "2")], 1);
    world.now.time = world.now.time.plus(std::time::Duration::from_millis(60));
    world.input(Input::Deadline);
    world.commit();
    let said: Vec<String> = world
        .storage
        .entries
        .iter()
        .filter_map(|entry| {
            let frame = frames(&entry.frame).next()?.ok()?;
            let route = world.storage.routes.get(&frame.route)?;
            let own = route.room == Scope::Room(room("a", History::Log).id).room();
            (own && route.channel.as_str() == "room_quota")
                .then(|| payload(&bytes::Bytes::copy_from_slice(frame.body)))
        })
        .collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains(r#""limit":"messages""#) && said[0].contains(r#""again_ms":60000"#), "{said:?}");
}
