//! What a room takes of everybody together and of one user, and what becomes of what it does not take.

use super::{ingested::ingest, script::*, writers::stored};
use crate::{Config, Ingest, Input, Latest, Placed};
use riser_model::{
    Epoch, Grants, History, Principal, Quota, Route, RouteNumber, Run, Seq, Stamp, SubscriptionId, Wall,
    door::{Ask, Code, Flow, From, Intake, Keep, Showing, Tell},
    duration::Duration,
    event::Scope,
    size::ByteSize,
};
use riser_wire::entry::{ContentType, Publication, frames};
use std::sync::Arc;

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
        [(3, Ok(Placed { epoch: Epoch(1), first: Seq(1), count: 4, quarantined: 1 }))],
        "its cursor moves past all of them"
    );
    let quarantined = format!("quota/{}/t", room("a", History::Log).id);
    assert_eq!(channels(&world), ["t", "t", quarantined.as_str(), "t"]);
    assert_eq!(route_of(&world, 2).client, route("a", "t", 7).client, "it stays whose it is");
    assert_eq!(world.bus.statistics().counters.over_quota, 1);
}

fn route_of(world: &World, entry: usize) -> Route {
    let frame = frames(&world.storage.entries[entry].frame).next().unwrap().unwrap();
    world.storage.routes[&frame.route].clone()
}

fn channels(world: &World) -> Vec<String> {
    let all = 0..world.storage.entries.len();
    all.map(|entry| route_of(world, entry).channel.as_str().to_owned()).collect()
}

#[test]
fn what_a_link_brings_for_a_channel_too_many_goes_to_quarantine() {
    let mut world = world(Quota { channels: Some(0), ..Quota::default() });
    let mut brought = ingest(3, 11, &[(0, "one"), (1, "b")]);
    brought.elsewhere.clear();
    world.input(Input::Ingest(brought));
    world.commit();
    assert!(matches!(world.done[..], [(3, Ok(Placed { count: 2, .. }))]), "{:?}", world.done);
    let quarantined = format!("quota/{}/t", room("a", History::Log).id);
    assert_eq!(channels(&world), [quarantined.as_str(), "t"]);
    assert_eq!(
        route_of(&world, 0),
        Route { channel: quarantined.parse().unwrap(), ..route("quiet", "t", 7) }
    );
}

#[test]
fn where_the_log_has_no_number_left_what_is_beyond_a_quota_overflows() {
    let mut world = World::new(Config { routes_max: 1, ..Config::default() });
    world.input(with(Quota { channels: Some(0), ..Quota::default() }));
    let mut brought = ingest(3, 11, &[(1, "b"), (0, "one")]);
    brought.elsewhere.clear();
    world.input(Input::Ingest(brought));
    world.commit();
    assert_eq!(channels(&world), ["t", "overflow"]);
}

#[test]
fn what_comes_down_was_counted_where_it_was_published() {
    let mut world = world(Quota { messages: Some(0), channels: Some(0), ..Quota::default() });
    let mut brought = Ingest { counted: false, ..ingest(3, 11, &[(0, "one"), (0, "two")]) };
    brought.elsewhere.clear();
    world.input(Input::Ingest(brought));
    world.commit();
    assert_eq!(world.done, [(3, Ok(Placed { epoch: Epoch(1), first: Seq(1), count: 2, quarantined: 0 }))]);
    assert_eq!(channels(&world), ["t", "t"]);
    let routes = [route_of(&world, 0), route_of(&world, 1)];
    assert!(routes.iter().all(|at| *at == route("a", "t", 7)), "{routes:?}");
}

/// Entries of room `a` that were made at these times.
fn made_at(token: u64, first: u64, walls: &[i64]) -> Ingest {
    let mut bytes = Vec::new();
    for wall in walls {
        let stamp = Stamp { wall: Wall(*wall), ..Stamp::default() };
        Publication::new(ContentType::Text, b"late").write_frame(&mut bytes, RouteNumber(0), stamp);
    }
    let (epoch, count) = (Epoch(50), walls.len() as u32);
    let run = Run::Entries { first: Seq(first), count, epoch, entries: bytes.into() };
    Ingest { runs: vec![run], elsewhere: Vec::new(), ..ingest(token, first, &[]) }
}

#[test]
fn a_site_that_was_cut_off_brings_its_backlog_within_the_quota_that_it_kept() {
    let every = Some(Duration::seconds(60));
    let mut world = world(Quota { messages: Some(2), every, ..Quota::default() });
    world.now.wall = Wall(100_000_000);
    let each_half_minute: Vec<i64> = (0..20).map(|n| 90_000_000 + n * 30_000).collect();
    world.input(Input::Ingest(made_at(3, 11, &each_half_minute)));
    let late = [90_001_000, 90_001_000, 90_001_000, 100_000_000, 100_000_000, 100_000_000];
    world.input(Input::Ingest(made_at(4, 31, &late)));
    world.commit();
    let quarantined: Vec<u32> =
        world.done.iter().map(|(_, placed)| placed.as_ref().unwrap().quarantined).collect();
    assert_eq!(quarantined, [0, 2], "one that is a fifth in its minute, and one that is now");
}

#[test]
fn what_could_not_be_stored_is_not_counted() {
    let mut world = world(Quota { messages: Some(1), ..Quota::default() });
    world.send(1, &[("a/x", "lost")], 1);
    world.fail(Code::LogFailing);
    assert_eq!(stored(world.told(1)).2, [(0, Code::LogFailing)]);
    world.send(1, &[("a/x", "again")], 1);
    assert_eq!(refusals(&mut world), []);

    let mut world = self::world(Quota { messages: Some(1), ..Quota::default() });
    let mut broken = ingest(3, 11, &[(0, "fine"), (9, "unknown route")]);
    broken.elsewhere.clear();
    world.input(Input::Ingest(broken));
    world.input(Input::Ingest(made_at(4, 11, &[5])));
    world.fail(Code::LogFailing);
    world.input(Input::Ingest(made_at(5, 11, &[5])));
    world.commit();
    let placed = Placed { epoch: Epoch(1), first: Seq(1), count: 1, quarantined: 0 };
    assert_eq!(world.done, [(3, Err(Code::Malformed)), (4, Err(Code::LogFailing)), (5, Ok(placed))]);
}

#[test]
fn what_a_session_has_no_place_for_is_not_counted() {
    let mut world = World::new(Config { session_max: 1, ..Config::default() });
    world.open(1);
    let mut rooms = vec![room("a", History::Session)];
    rooms[0].quota = Quota { messages: Some(2), ..Quota::default() };
    world.input(Input::Reconfigured { rooms, bindings: Vec::new() });
    world.ask(1, Ask::KeepSession);
    world.send(1, &[("a/x", "1"), ("a/x", "no place"), ("a/x", "nor here")], 1);
    let codes: Vec<Code> = refusals(&mut world).into_iter().map(|(_, code, ..)| code).collect();
    assert_eq!(codes, [Code::SessionFull, Code::SessionFull]);
    world.open(2);
    world.send(2, &[("a/x", "of no session"), ("a/x", "too many")], 1);
    world.commit();
    assert_eq!(stored(world.told(2)).2, [(1, Code::QuotaExceeded)]);
}

#[test]
fn a_present_beside_a_backlog_makes_no_channel_too_many() {
    let mut world = world(Quota { channels: Some(1), ..Quota::default() });
    let mut present = |seq, channel| {
        let newest = entries(&[(0, "newest")], 1);
        let body = newest.slice_ref(frames(&newest).next().unwrap().unwrap().body);
        let latest = Latest {
            log: riser_model::LogId(9),
            epoch: Epoch(1),
            seq: Seq(seq),
            route: route("a", channel, 7),
            body,
        };
        world.input(Input::Latest(latest));
        world.bus.statistics().counters.latest_discarded
    };
    assert_eq!([present(1, "x"), present(2, "y"), present(3, "x")], [0, 1, 1]);
}

/// Publishes one under the alias 0, which was defined before, and says what was refused.
fn send_again(world: &mut World, n: u64) -> Vec<(u32, Code)> {
    world.tickets += 1;
    let entries = entries(&[(0, "again")], 1);
    let (ticket, seen) = (world.tickets, world.tickets - 1);
    world.ask(n, Ask::Publish(Intake { ticket, seen, aliases: Vec::new(), entries, count: 1 }));
    world.commit();
    stored(world.told(n)).2
}

#[test]
fn who_was_refused_for_want_of_a_place_has_one_when_somebody_left_and_not_before() {
    let quota = Quota { connections: Some(1), ..Quota::default() };
    let mut world = world(quota);
    world.open(2);
    world.publish(1, &[("a/x", "the one")]);
    world.publish(2, &[("a/x", "one more")]);
    assert_eq!(stored(world.told(2)).2, [(0, Code::QuotaExceeded)]);
    world.input(with(Quota { messages: Some(9), ..quota }));
    assert_eq!(send_again(&mut world, 2), [(0, Code::QuotaExceeded)], "a new configuration is no place");
    world.ask(1, Ask::Leave { cause: "normal".into(), expiry_s: None });
    assert_eq!(send_again(&mut world, 2), []);
    world.open(3);
    world.publish(3, &[("a/x", "one more")]);
    assert_eq!(stored(world.told(3)).2, [(0, Code::QuotaExceeded)], "that one is in the room");
}

#[test]
fn a_subscription_in_the_place_of_one_of_another_room_is_one_more() {
    let mut world = world(Quota { subscriptions: Some(1), ..Quota::default() });
    let mut subscribe =
        |id, room| world.try_subscribe(1, id, in_room(room, "#"), From::Live, Flow::Credit).map(drop);
    assert_eq!((subscribe(1, "a"), subscribe(2, "b")), (Ok(()), Ok(())));
    assert_eq!(subscribe(2, "a"), Err(Code::QuotaExceeded));
    assert_eq!(subscribe(1, "a"), Ok(()));
}

#[test]
fn what_a_session_left_is_taken_up_whatever_the_quota() {
    let mut world = world(Quota { subscriptions: Some(1), connections: Some(1), ..Quota::default() });
    world.open(2);
    world.subscribe(1, 1, in_room("a", "#"), From::Live, Flow::Credit);
    let mut subscribe = |from, keep| {
        let (subscription, want) = (SubscriptionId(1), in_room("a", "#"));
        let (flow, retained) = (Flow::Credit, Showing::Nothing);
        world.ask(2, Ask::Subscribe { subscription, want, from, flow, keep, retained });
        match world.told(2) {
            Some(Tell::Subscribed { result, .. }) => result.map(drop).map_err(|refusal| refusal.code),
            other => panic!("{other:?}"),
        }
    };
    let kept = Some(Keep { options: 1, identifier: 0 });
    assert_eq!(subscribe(From::Live, kept), Err(Code::QuotaExceeded), "a new one");
    assert_eq!(subscribe(From::After(at(1, 0)), None), Err(Code::QuotaExceeded), "nobody keeps it");
    assert_eq!(subscribe(From::After(at(1, 0)), kept), Ok(()));
}

/// What room `a` says of its quota by a moment later.
fn said(world: &mut World) -> Vec<String> {
    world.now.time = world.now.time.plus(std::time::Duration::from_millis(60));
    world.input(Input::Deadline);
    world.commit();
    let of_quota = |frame: &[u8]| {
        let frame = frames(frame).next()?.ok()?;
        let route = world.storage.routes.get(&frame.route)?;
        let own = route.room == Scope::Room(room("a", History::Log).id).room();
        (own && route.channel.as_str() == "room_quota")
            .then(|| payload(&bytes::Bytes::copy_from_slice(frame.body)))
    };
    world.storage.entries.iter().filter_map(|entry| of_quota(&entry.frame)).collect()
}

#[test]
fn a_room_takes_so_much_of_each_user_whichever_connections_it_is_by_and_of_others_all_the_same() {
    let own = |n, of| {
        let grants = Grants::new(grants()).of(principal(of, Vec::new()).client);
        Arc::new(Principal { grants: Arc::new(grants), ..Principal::clone(&principal(n, Vec::new())) })
    };
    let mut world = World::speaking(Config::default());
    for (n, of) in [(1, 1), (2, 1), (3, 3)] {
        world.input(Input::Open { connection: c(n), principal: own(u128::from(n), of) });
    }
    let quota = Quota {
        messages: Some(5),
        user_messages: Some(2),
        user_bytes: Some(ByteSize(400)),
        ..Quota::default()
    };
    world.input(with(quota));
    let refused = |world: &mut World, n, sent: &[(&str, &str)]| {
        world.send(n, sent, 1);
        world.commit();
        let Some(Tell::Stored { refused, .. }) = world.told(n) else { panic!("a receipt") };
        refused.into_iter().map(|(index, why)| (index, why.what)).collect::<Vec<_>>()
    };
    let beyond = |index, what: &str| vec![(index, what.to_owned())];
    let of_user = "the room's quota of one user: 2 messages in 1m";
    assert_eq!(refused(&mut world, 1, &[("a/x", "1"), ("b/x", "elsewhere")]), []);
    let sent = [("a/x", "2"), ("a/x", "3"), ("b/x", "elsewhere")];
    assert_eq!(refused(&mut world, 2, &sent), beyond(1, of_user), "by another client of the same user");
    let long = "x".repeat(500);
    let of_bytes = "the room's quota of one user: 400 bytes in 1m";
    assert_eq!(refused(&mut world, 3, &[("a/x", &long), ("a/x", "1"), ("a/x", "2")]), beyond(0, of_bytes));
    assert_eq!(refused(&mut world, 3, &[("a/x", "3")]), beyond(0, of_user), "each has its own");
    // What a link brings was counted by user where it was published: of all that there is, it is the last one.
    let mut brought = ingest(3, 11, &[(0, "first"), (0, "second")]);
    brought.elsewhere.clear();
    world.input(Input::Ingest(brought));
    world.commit();
    assert!(matches!(world.done[..], [(3, Ok(Placed { quarantined: 1, .. }))]), "{:?}", world.done);
    assert_eq!(world.bus.statistics().counters.over_quota, 4);
    let said = said(&mut world);
    let of = |n| format!(r#""client":"{}""#, principal(n, Vec::new()).client);
    assert!(said[0].contains(r#""limit":"user_messages""#) && said[0].contains(r#""most":2"#), "{said:?}");
    assert!(said.iter().any(|event| event.contains("user_bytes") && event.contains(&of(3))), "{said:?}");

    world.now.time = world.now.time.plus(std::time::Duration::from_secs(60));
    assert_eq!(refused(&mut world, 1, &[("a/x", "1"), ("a/x", "2")]), [], "another span");
}

#[test]
fn what_a_user_published_and_was_not_stored_may_be_published_again() {
    let mut world = world(Quota { user_messages: Some(1), ..Quota::default() });
    for _ in 0..3 {
        world.send(1, &[("a/x", "1")], 1);
        world.fail(Code::LogFailing);
        assert_eq!(stored(world.told(1)).2, [(0, Code::LogFailing)]);
    }
    world.send(1, &[("a/x", "1"), ("a/x", "2")], 1);
    let refused = refusals(&mut world);
    assert!(matches!(refused[..], [(1, Code::QuotaExceeded, ..)]), "{refused:?}");
}

#[test]
fn a_room_says_that_its_quota_is_used_up() {
    let mut world = World::speaking(Config::default());
    world.open(1);
    world.input(with(Quota { messages: Some(0), ..Quota::default() }));
    world.send(1, &[("a/x", "1"), ("a/x", "2")], 1);
    let said = said(&mut world);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains(r#""limit":"messages""#) && said[0].contains(r#""again_ms":60000"#), "{said:?}");
}

#[test]
fn who_came_and_went_takes_no_channel_of_the_quota() {
    let mut world = World::speaking(Config::default());
    world.open(1);
    world.input(with(Quota { channels: Some(1), ..Quota::default() }));
    let system = Route { client: riser_model::ClientId::SYSTEM, ..route("a", "members", 7) };
    let mut brought = ingest(3, 11, &[(0, "who came"), (1, "b")]);
    brought.elsewhere.clear();
    brought.routes[0] = system;
    world.input(Input::Ingest(brought));
    world.send(1, &[("a/x", "the first channel"), ("a/y", "the second")], 1);
    let refused: Vec<u32> = refusals(&mut world).into_iter().map(|(index, ..)| index).collect();
    assert_eq!(refused, [1]);
    world.send(1, &[("a/members", "one of another's")], 1);
    assert_eq!(refusals(&mut world).len(), 1, "a channel that is called so is one");
    let mut brought = ingest(4, 21, &[(0, "who came")]);
    brought.elsewhere.clear();
    brought.routes[0] = Route { client: riser_model::ClientId::SYSTEM, ..route("a", "members", 7) };
    world.input(Input::Ingest(brought));
    world.commit();
    assert!(
        world.done.iter().all(|(_, placed)| placed.as_ref().unwrap().quarantined == 0),
        "{:?}",
        world.done
    );
}

#[test]
fn who_has_no_place_takes_no_channel() {
    let mut world = world(Quota { connections: Some(1), channels: Some(1), ..Quota::default() });
    world.open(2);
    world.subscribe(1, 1, in_room("a", "#"), From::Live, Flow::Credit);
    world.publish(2, &[("a/y", "no place")]);
    assert_eq!(stored(world.told(2)).2, [(0, Code::QuotaExceeded)]);
    world.send(1, &[("a/x", "the one channel")], 1);
    assert_eq!(refusals(&mut world), []);
    world.ask(1, Ask::Leave { cause: "normal".into(), expiry_s: None });
    assert_eq!(
        send_again(&mut world, 2),
        [(0, Code::QuotaExceeded)],
        "a place by now, and a channel too many"
    );
}

#[test]
fn what_is_beyond_a_quota_has_so_many_routes_and_no_more() {
    let mut world = world(Quota { channels: Some(0), ..Quota::default() });
    let routes: Vec<Route> = (0..1500).map(|n| route("a", &format!("c{n}"), 7)).collect();
    let sent: Vec<(u32, String)> = (0..1500).map(|n| (n, n.to_string())).collect();
    let sent: Vec<(u32, &str)> = sent.iter().map(|(n, text)| (*n, text.as_str())).collect();
    let mut brought = ingest(3, 11, &sent);
    brought.elsewhere.clear();
    brought.routes = routes;
    world.input(Input::Ingest(brought));
    world.commit();
    let placed: Vec<u32> =
        world.done.iter().map(|(_, placed)| placed.as_ref().unwrap().quarantined).collect();
    assert_eq!(placed, [1500]);
    let routes = world.bus.statistics().routes;
    assert!((1000..1010).contains(&routes), "{routes}");
}
