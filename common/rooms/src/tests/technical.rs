//! What the system says: entries of the log that nobody waits for, a history of their own, and no storms.

use super::{readers::world, script::*};
use crate::{Config, Input, Output, Presences};
use riser_model::{
    AccountId, Cause, ConnectionId, Epoch, Gap, Home, Principal, Right, Seq, Wall,
    door::{Ask, Code, Flow, From, Push, Technical, Want},
    event::{Destination, Scope, SystemEvent},
    look::{Behind, ChannelTraffic, Rates, RowsWanted},
    principal::Rule,
};
use riser_wire::entry::{Body, Frame, Kind, Origin};
use std::{sync::Arc, time::Duration};

const CLOCK: SystemEvent = SystemEvent::ClockStepped { by_ms: 1 };

fn of_room(room: &str) -> Want {
    Want::Technical(Technical::of_room(room.parse().unwrap()))
}

fn of_account() -> Want {
    Want::Technical(Technical::of_account())
}

fn speaking() -> World {
    let mut world = World::speaking(Config::default());
    world.open(1);
    world.open(2);
    settle(&mut world);
    world
}

/// What nobody waits for reaches the disk too.
fn settle(world: &mut World) {
    world.now.time = world.now.time.plus(Duration::from_millis(60));
    world.input(Input::Deadline);
    world.commit();
}

fn say(world: &mut World, scope: Scope, event: SystemEvent) {
    world.input(Input::Event { scope, event });
}

/// (kind, how many it stands for).
fn kinds(pushes: &[Push]) -> Vec<(String, u64)> {
    let kind = |push: &Push| {
        let delivery = delivery(push)?;
        assert!(delivery.content.technical.is_some());
        let text = payload(&delivery.content.body);
        let count = text
            .split_once("\"count\":")
            .map_or(1, |(_, rest)| rest.split(',').next().unwrap().parse().unwrap());
        assert!(text.contains(&format!("\"type\":\"riser.{}\"", delivery.content.route.channel)), "{text}");
        Some((delivery.content.route.channel.as_str().to_owned(), count))
    };
    pushes.iter().filter_map(kind).collect()
}

fn heard(world: &mut World, n: u64) -> Vec<String> {
    settle(world);
    kinds(&world.all(n)).into_iter().map(|(kind, _)| kind).collect()
}

#[test]
fn joins_and_leaves_are_heard_in_their_room_only() {
    let mut world = speaking();
    world.subscribe(2, 1, of_room("a"), From::Live, Flow::Credit);
    world.subscribe(2, 2, of_room("b"), From::Live, Flow::Credit);
    world.publish(1, &[("a/x", "1"), ("a/y", "2")]);
    world.publish(1, &[("a/x", "3")]);
    assert_eq!(heard(&mut world, 2), ["joined"]);
    world.subscribe(1, 1, in_room("b", "#"), From::Live, Flow::Credit);
    world.subscribe(1, 2, in_room("b", "x"), From::Live, Flow::Credit);
    world.ask(1, Ask::Unsubscribe { subscription: riser_model::SubscriptionId(1) });
    assert_eq!(heard(&mut world, 2), ["joined"]);
    world.ask(1, Ask::Unsubscribe { subscription: riser_model::SubscriptionId(2) });
    assert_eq!(heard(&mut world, 2), ["left"]);
    world.ask(1, Ask::Leave { cause: "too_slow".into(), expiry_s: None });
    settle(&mut world);
    let pushes = world.all(2);
    let left = delivery(&pushes[0]).unwrap();
    assert_eq!(left.content.technical, Some(Scope::Room(world.rooms[0].id)));
    assert!(payload(&left.content.body).contains("\"cause\":\"too_slow\""));
    assert_eq!(pushes.len(), 1);
    let hooks: Vec<bool> =
        world.events.iter().map(|output| matches!(output, Output::Joined { .. })).collect();
    assert_eq!(hooks, [true, true, false, false, false], "joined a, joined b, left b, left a, settled");
}

#[test]
fn who_goes_out_of_its_room_is_in_none_and_stays_out_until_it_does_something_there() {
    let mut world = speaking();
    for (sub, room) in [(1, "a"), (2, "b")] {
        world.subscribe(2, sub, of_room(room), From::Live, Flow::Credit);
    }
    world.publish(1, &[("a/x", "1")]);
    world.subscribe(1, 1, in_room("a", "#"), From::Live, Flow::Credit);
    world.subscribe(1, 2, in_room("b", "#"), From::Live, Flow::Credit);
    assert_eq!(heard(&mut world, 2), ["joined", "joined"]);
    world.ask(1, Ask::Part);
    settle(&mut world);
    let pushes = world.all(2);
    let cause = |push| payload(&delivery(push).unwrap().content.body).contains("\"cause\":\"left\"");
    assert!(kinds(&pushes).iter().all(|(kind, _)| kind == "left") && pushes.iter().all(cause), "{pushes:?}");
    assert_eq!(pushes.len(), 2);
    assert_eq!(world.bus.statistics().rooms.iter().map(|room| room.subscribers).sum::<u32>(), 0);
    // Rights that are looked at again bring nobody back.
    world.input(Input::Principal { connection: ConnectionId(1), principal: principal(1, grants()) });
    world.publish(2, &[("a/x", "2")]);
    assert_eq!(heard(&mut world, 2), ["joined"], "whoever publishes, and not who was there");
    assert_eq!(world.payloads(1), [""; 0]);
    world.publish(1, &[("b/x", "3")]);
    assert_eq!(heard(&mut world, 2), ["joined"]);
}

#[test]
fn who_took_nothing_of_what_waited_is_told_to_be_a_slow_reader() {
    for (cause, told) in [("too_slow", true), ("stalled", true), ("cut", false)] {
        let mut world = speaking();
        world.subscribe(1, 1, of_account(), From::Live, Flow::Credit);
        world.ask(2, Ask::Leave { cause: cause.into(), expiry_s: None });
        let told: &[&str] = if told { &["slow_reader", "closed"] } else { &["closed"] };
        assert_eq!(heard(&mut world, 1), told, "{cause}");
    }
}

#[test]
fn who_was_away_hears_what_was_said_over_a_restart_too() {
    let mut world = speaking();
    let began = world.subscribe(2, 1, of_account(), From::Live, Flow::Credit).at;
    say(
        &mut world,
        Scope::Account(ACCOUNT),
        SystemEvent::Clone { edge: riser_model::ClientId::SYSTEM, name: "gate".parse().unwrap() },
    );
    say(&mut world, Scope::Instance, CLOCK);
    settle(&mut world);
    world.restart(Epoch(2));
    world.open_as(3, [grants(), vec![rule(None, "#", Right::Admin, false)]].concat());
    settle(&mut world);
    world.subscribe(3, 1, of_account(), From::After(began), Flow::Credit);
    assert_eq!(heard(&mut world, 3), ["clone", "clock_stepped", "opened"]);
    world.subscribe(3, 2, of_account(), From::Last(2), Flow::Credit);
    assert_eq!(heard(&mut world, 3), ["clock_stepped", "opened"]);
    world.subscribe(3, 3, of_account(), From::Start, Flow::Credit);
    assert_eq!(heard(&mut world, 3), ["opened", "opened", "clone", "clock_stepped", "opened"]);
}

#[test]
fn a_storm_is_coalesced_and_counted_and_the_log_grows_by_a_known_rate() {
    let mut world = speaking();
    world.subscribe(1, 1, of_account(), From::Live, Flow::Credit);
    let before = world.bus.committed();
    for _ in 0..10_000 {
        say(&mut world, Scope::Instance, CLOCK);
    }
    settle(&mut world);
    let all = kinds(&world.all(1));
    assert_eq!(all.len(), 16);
    assert!(all.iter().all(|(kind, count)| kind == "clock_stepped" && *count == 1));
    let (due, wake) = world.bus.poll_timeout().unwrap();
    assert_eq!(wake, crate::Wake::Event);
    world.now.time = due;
    world.input(Input::Deadline);
    settle(&mut world);
    assert_eq!(kinds(&world.all(1)), [("clock_stepped".to_owned(), 10_000 - 16)]);
    assert_eq!(world.bus.poll_timeout(), None, "nothing is left to be said");
    assert_eq!(world.bus.committed(), before.plus(17));
    assert_eq!(world.bus.statistics().counters.coalesced, 10_000 - 16);
}

#[test]
fn many_channels_together_are_bounded_too() {
    let config = Config { events_together_burst: 5, ..Config::default() };
    let mut world = World::speaking(config);
    world.open(1);
    world.subscribe(1, 1, of_account(), From::Start, Flow::Credit);
    for n in 0..30 {
        let uplink = format!("hub-{n}").parse().unwrap();
        say(&mut world, Scope::Instance, SystemEvent::UplinkUp { uplink, backlog: n });
        say(&mut world, Scope::Instance, CLOCK);
    }
    settle(&mut world);
    assert_eq!(world.all(1).len(), 5, "one for the connection, four of these");
}

#[test]
fn what_a_failing_log_could_not_hold_is_said_when_it_recovers() {
    let mut world = speaking();
    world.subscribe(1, 1, of_account(), From::Live, Flow::Credit);
    say(&mut world, Scope::Instance, CLOCK);
    world.now.time = world.now.time.plus(Duration::from_millis(60));
    world.input(Input::Deadline);
    world.fail(Code::QuotaExceeded);
    world.now.time = world.now.time.plus(Duration::from_millis(60));
    world.input(Input::Deadline);
    // Of the failing itself is told once, however often the telling fails.
    for _ in 0..3 {
        world.fail(Code::QuotaExceeded);
    }
    assert_eq!(world.all(1), []);
    world.publish(2, &[("a/x", "fits again")]);
    let mut all = heard(&mut world, 1);
    all.sort();
    assert_eq!(all, ["clock_stepped", "log_recovered", "quota_reached"]);
}

/// Connection 3 administers the account, connection 1 does not; both listen to it, in order and conflated.
fn overheard() -> World {
    let mut world = speaking();
    world.open_as(3, [grants(), vec![rule(None, "#", Right::Admin, false)]].concat());
    settle(&mut world);
    for n in [1, 3] {
        world.subscribe(n, 1, of_account(), From::Live, Flow::Credit);
        world.subscribe(n, 2, of_account(), From::Live, Flow::Conflate);
        heard(&mut world, n);
    }
    world
}

#[test]
fn what_a_visitor_may_not_do_is_said_to_nobody_and_what_it_does_with_its_account_and_it_is_no_member() {
    let mut world = overheard();
    world.subscribe(3, 3, of_room("a"), From::Live, Flow::Credit);
    heard(&mut world, 3);
    // It is called as somebody of the account is.
    let home = Some(Home { account: AccountId(uuid::Uuid::from_u128(77)), name: "garden".parse().unwrap() });
    let visitor =
        |rules| Arc::new(Principal { home: home.clone(), ..Principal::clone(&principal(2, rules)) });
    let connection = ConnectionId(4);
    world.input(Input::Open { connection, principal: visitor(Vec::new()) });
    assert_eq!(world.try_subscribe(4, 1, in_room("a", "#"), From::Live, Flow::Credit), Err(Code::Denied));
    world.publish(4, &[("a/x", "1")]);
    assert_eq!(heard(&mut world, 3), [""; 0], "neither that it came nor what it was denied");
    assert_eq!(world.bus.statistics().counters.visitors_refused, 2);
    world.input(Input::Principal { connection, principal: visitor(grants()) });
    world.subscribe(4, 2, in_room("a", "#"), From::Live, Flow::Credit);
    settle(&mut world);
    let said = world.all(3);
    let with_account =
        |push| payload(&delivery(push).unwrap().content.body).contains(r#""account":"garden""#);
    assert!(
        kinds(&said).iter().any(|(kind, _)| kind == "joined") && said.iter().all(with_account),
        "{said:?}"
    );
    let present = |world: &World| world.bus.present(riser_model::RoomId::of(ACCOUNT, "a")).count();
    assert_eq!(present(&world), 0, "no room that waits for its namesake is ready by it");
    world.subscribe(2, 2, in_room("a", "#"), From::Live, Flow::Credit);
    assert_eq!(present(&world), 1);
}

#[test]
fn events_for_admins_reach_nobody_else_on_any_path() {
    let mut world = overheard();
    world.publish(2, &[("nowhere/x", "refused")]);
    assert_eq!(heard(&mut world, 1), [""; 0]);
    assert_eq!(heard(&mut world, 3), ["refused", "refused"]);
    world.subscribe(1, 3, of_account(), From::Start, Flow::Credit);
    assert!(!heard(&mut world, 1).contains(&"refused".to_owned()));
    let only = Technical { kinds: "refused".parse().unwrap(), hub: false, ..Technical::of_account() };
    world.subscribe(1, 4, Want::Technical(only.clone()), From::Start, Flow::Credit);
    assert_eq!(heard(&mut world, 1), [""; 0]);
    world.subscribe(3, 4, Want::Technical(only), From::Start, Flow::Credit);
    assert_eq!(heard(&mut world, 3), ["refused"]);
}

#[test]
fn what_is_said_of_the_quarantine_is_for_admins_it_names_rooms_that_others_may_not_read() {
    let mut world = overheard();
    let entry = world.bus.position(Seq(1));
    let (by, reason) = ("ann".parse().unwrap(), "the room was made");
    let to = Destination { room: "b".parse().unwrap(), channel: "secret/x".parse().unwrap() };
    let all = [
        SystemEvent::Quarantined {
            edge: riser_model::ClientId::SYSTEM,
            seq: Seq(1),
            code: "bad_name".to_owned(),
            reason: "the topic `secret//x`".to_owned(),
        },
        SystemEvent::Released { entry, to, by, reason: reason.to_owned() },
        SystemEvent::Dropped { entry, by: "ann".parse().unwrap(), reason: reason.to_owned() },
    ];
    let said = all.each_ref().map(|event| event.kind().to_owned());
    all.into_iter().for_each(|event| say(&mut world, Scope::Account(ACCOUNT), event));
    assert_eq!(heard(&mut world, 1), [""; 0], "live");
    assert_eq!(heard(&mut world, 3), [&said[..], &said[..]].concat());
    for kind in &said {
        let kinds = kind.parse().unwrap();
        let only = Technical { kinds, hub: false, ..Technical::of_account() };
        world.subscribe(1, 3, Want::Technical(only.clone()), From::Start, Flow::Credit);
        assert_eq!(heard(&mut world, 1), [""; 0], "{kind}, of the past");
        world.ask(1, Ask::Unsubscribe { subscription: riser_model::SubscriptionId(3) });
        world.subscribe(3, 3, Want::Technical(only), From::Start, Flow::Credit);
        assert_eq!(heard(&mut world, 3), [kind.as_str()]);
        world.ask(3, Ask::Unsubscribe { subscription: riser_model::SubscriptionId(3) });
    }
}

#[test]
fn a_room_speaks_to_its_readers_and_the_hub_names_nobody() {
    let mut world = world();
    let only_b: Vec<Rule> = vec![rule(Some("b"), "#", Right::Subscribe, false)];
    world.open_as(7, only_b);
    let denied = world.try_subscribe(7, 1, of_room("a"), From::Live, Flow::Credit);
    assert_eq!(denied.err(), Some(Code::Denied));
    world.subscribe(7, 1, of_room("b"), From::Live, Flow::Credit);
    world.open_as(8, vec![rule(None, "#", Right::Publish, false)]);
    for want in [of_room("b"), of_account()] {
        let denied = world.try_subscribe(8, 1, want, From::Live, Flow::Credit);
        assert_eq!(denied.err(), Some(Code::Denied), "who reads nothing hears nothing");
    }
    let name = "ann".parse().unwrap();
    let named = SystemEvent::Opened { client: riser_model::ClientId::SYSTEM, name, connection: c(9) };
    let before = world.bus.statistics().counters.strays;
    say(&mut world, Scope::Instance, named);
    assert_eq!(world.bus.statistics().counters.strays, before + 1);
}

#[test]
fn a_technical_channel_takes_part_in_no_statistics_and_joins_nobody() {
    let mut world = speaking();
    world.subscribe(2, 1, of_room("a"), From::Live, Flow::Credit);
    world.publish(1, &[("a/x", "1")]);
    settle(&mut world);
    let statistics = world.bus.statistics();
    assert_eq!(statistics.rooms.len(), 3);
    let a = &statistics.rooms[0];
    assert_eq!((a.traffic.messages, a.members, a.subscribers, a.channels), (1, 1, 0, 1));
}

#[test]
fn a_gap_that_a_reader_meets_is_an_event() {
    let mut world = World::speaking(Config { tail_bytes_max: 1, ..Config::default() });
    world.open(1);
    world.open(2);
    settle(&mut world);
    world.subscribe(1, 1, of_account(), From::Live, Flow::Credit);
    world.subscribe(2, 1, in_room("a", "x"), From::Live, Flow::Credit);
    for n in 0..4 {
        world.publish(1, &[("a/x", &n.to_string())]);
    }
    let committed = world.bus.committed();
    let oldest = committed.prev();
    let gone = Gap { from: Seq(1), to: oldest.prev(), cause: Cause::HubQuota };
    world.trim(oldest.0, vec![gone]);
    assert!(world.all(2).iter().any(|push| matches!(push, Push::Gap { .. })));
    settle(&mut world);
    let heard = heard(&mut world, 1);
    assert!(heard.contains(&"reader_gap".to_owned()), "{heard:?}");
}

#[test]
fn who_comes_and_goes_is_an_entry_of_a_room_that_uplinks_carry() {
    let mut world = World::new(Config::default());
    world.rooms[0].linked = true;
    world.restart(Epoch(2));
    world.open(1);
    world.subscribe(1, 1, in_room("a", "#"), From::Live, Flow::Credit);
    world.subscribe(1, 2, in_room("b", "#"), From::Live, Flow::Credit);
    world.ask(1, Ask::Leave { cause: "cut".into(), expiry_s: None });
    settle(&mut world);
    let kinds: Vec<Kind> = world
        .storage
        .entries
        .iter()
        .filter_map(|entry| {
            let (frame, _) = Frame::read(&entry.frame, 0).ok()?;
            let body = Body::read(frame.body).ok()?;
            Some(body.kind)
        })
        .collect();
    assert_eq!(kinds, [Kind::Opened, Kind::Closed], "of the room that is carried, and of no other");
}

/// Who a hub would say is in the room, from what lies in this log.
fn present_above(world: &World) -> Vec<ConnectionId> {
    let mut presences = Presences::default();
    for entry in &world.storage.entries {
        let (frame, _) = Frame::read(&entry.frame, 0).unwrap();
        let origin = Some(Origin { number: 1, seq: Seq(1), wall: Wall(0), uncertain: false });
        presences.apply(&Frame { origin, ..frame });
    }
    let behind = |log| Behind { edge: None, log, cut_off: false };
    presences.present(world.rooms[0].id, behind).iter().map(|one| one.connection).collect()
}

#[test]
fn who_is_there_is_named_anew_when_more_came_and_went_than_waits_for_a_failing_log() {
    let mut world = World::new(Config::default());
    world.rooms[0].linked = true;
    world.restart(Epoch(2));
    let came = |world: &mut World, n| {
        world.open(n);
        world.subscribe(n, 1, in_room("a", "#"), From::Live, Flow::Credit);
    };
    let goes = |world: &mut World, n| {
        world.ask(n, Ask::Leave { cause: "cut".into(), expiry_s: None });
    };
    came(&mut world, 1);
    came(&mut world, 2);
    settle(&mut world);
    assert_eq!(present_above(&world), [c(1), c(2)]);
    for n in 10..900 {
        came(&mut world, n);
        goes(&mut world, n);
        world.now.time = world.now.time.plus(Duration::from_millis(60));
        world.input(Input::Deadline);
        world.fail(Code::LogFailing);
    }
    goes(&mut world, 2);
    came(&mut world, 3);
    settle(&mut world);
    settle(&mut world);
    assert_eq!(present_above(&world), [c(1), c(3)]);
}

#[test]
fn channels_add_up_to_their_room_also_beyond_those_that_are_tracked() {
    let mut world = World::new(Config { channels_tracked_max: 3, ..Config::default() });
    world.open(1);
    for n in 0..40 {
        world.publish(1, &[(&format!("a/c{}", n % 8), &"x".repeat(n))]);
    }
    let see = |world: &World, rules: Vec<Rule>, filter: &str| {
        world.bus.traffic(&principal(1, rules), &rows(filter, None, 100), world.now.time).unwrap()
    };
    let all = vec![rule(None, "#", Right::Subscribe, false)];
    let seen = see(&world, all.clone(), "#");
    let other = seen.other.unwrap();
    let sum = |of: fn(&Rates) -> u64| seen.rows.iter().map(|row| of(&row.rates)).sum::<u64>() + of(&other);
    assert_eq!((seen.rows.len(), seen.channels), (8, 8));
    let lately = seen.rows.iter().filter(|row| row.rates.minute.0 > 0).count();
    assert_eq!((lately, other.messages, other.minute.0), (3, 0, 25));
    assert_eq!((seen.rates.messages, sum(|r| r.messages)), (40, 40));
    assert_eq!((seen.rates.bytes, seen.rates.minute.1), (sum(|r| r.bytes), sum(|r| r.minute.1)));
    assert_eq!(payload(seen.rows[0].value.as_ref().unwrap()), "x".repeat(32));
    // Of what may not be read nothing is learned.
    let some = vec![rule(None, "#", Right::Subscribe, false), rule(None, "c1", Right::Subscribe, true)];
    let seen = see(&world, some, "#");
    assert!(seen.partial && seen.other.is_none() && seen.rows.iter().all(|row| row.channel.as_str() != "c1"));
    assert_eq!((seen.rates.messages, seen.rows.len()), (35, 7));
    assert_eq!(see(&world, all, "c2").rates.messages, 5);
}

fn rows(filter: &str, after: Option<&str>, most: u32) -> RowsWanted {
    let after = after.map(|name| name.parse().unwrap());
    RowsWanted { room: "a".parse().unwrap(), channels: filter.parse().unwrap(), after, most }
}

#[test]
fn channels_that_have_a_value_have_a_row_after_a_restart_too_page_by_page() {
    let mut world = World::new(Config::default());
    world.open(1);
    for n in 0..5 {
        world.publish_at(1, &format!("a/c{n}"), &n.to_string(), Wall(1000 + n));
    }
    world.restart(Epoch(2));
    world.drain();
    world.read();
    let all = principal(1, vec![rule(None, "#", Right::Subscribe, false)]);
    let see = |after: Option<&str>| world.bus.traffic(&all, &rows("#", after, 2), world.now.time).unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = see(after.as_deref());
        let shown = |row: &ChannelTraffic| {
            assert_eq!(row.rates, Rates::default());
            (row.channel.to_string(), row.last, payload(row.value.as_ref().unwrap()))
        };
        seen.push(page.rows.iter().map(shown).collect::<Vec<_>>());
        assert_eq!((page.last, page.channels), (Some(Wall(1004)), 5));
        let Some(next) = page.next else { break };
        after = Some(next.to_string());
    }
    let row = |n: i64| (format!("c{n}"), Some(Wall(1000 + n)), n.to_string());
    assert_eq!(seen, [vec![row(0), row(1)], vec![row(2), row(3)], vec![row(4)]]);
}

#[test]
fn a_channel_has_rates_as_soon_as_another_was_quiet_for_more_than_a_minute() {
    let mut world = World::new(Config { channels_tracked_max: 2, ..Config::default() });
    world.open(1);
    let all = principal(1, vec![rule(None, "#", Right::Subscribe, false)]);
    let lately = |world: &World| {
        let seen = world.bus.traffic(&all, &rows("#", None, 10), world.now.time).unwrap();
        let rows: Vec<_> = seen.rows.iter().map(|row| (row.rates.messages, row.rates.minute.0)).collect();
        (rows, seen.other.unwrap().minute.0)
    };
    for topic in ["a/c0", "a/c1", "a/c2"] {
        world.publish(1, &[(topic, "x")]);
    }
    assert_eq!(lately(&world), (vec![(1, 1), (1, 1), (1, 0)], 1));
    world.now.time = world.now.time.plus(Duration::from_secs(70));
    for _ in 0..2 {
        world.publish(1, &[("a/c1", "x"), ("a/c2", "y")]);
    }
    assert_eq!(lately(&world), (vec![(1, 0), (3, 2), (3, 2)], 0));
    world.publish(1, &[("a/c0", "x")]);
    assert_eq!(lately(&world), (vec![(2, 0), (3, 2), (3, 2)], 1), "who is not quiet keeps its place");
}

#[test]
fn what_a_rooms_traffic_event_says_has_the_last_second_and_the_time_of_the_newest() {
    let config = Config { traffic_every_ms: 1000, ..Config::default() };
    let mut world = World::speaking(config);
    world.open(1);
    world.open_as(2, vec![rule(None, "#", Right::Subscribe, false)]);
    world.subscribe(2, 1, of_room("a"), From::Live, Flow::Credit);
    for ms in [5000, 1000] {
        for _ in 0..3 {
            world.publish(1, &[("a/x", "1")]);
        }
        world.now.time = world.now.time.plus(Duration::from_millis(ms));
        world.now.wall = Wall(77_000 + ms as i64);
    }
    world.publish(1, &[("a/x", "2")]);
    settle(&mut world);
    let told: Vec<String> = world
        .all(2)
        .iter()
        .filter_map(delivery)
        .filter(|one| one.content.route.channel.as_str() == "statistics")
        .map(|one| payload(&one.content.body))
        .collect();
    let last = told.last().unwrap();
    assert!(last.contains("\"per_s\":3") && last.contains("\"last\":78000"), "{told:?}");
}

#[test]
fn when_traffic_stops_and_when_somebody_goes_the_room_says_so_once() {
    let mut world = World::speaking(Config { traffic_every_ms: 1000, ..Config::default() });
    world.open(1);
    world.open_as(2, vec![rule(None, "#", Right::Subscribe, false)]);
    world.open(3);
    world.subscribe(2, 1, of_room("a"), From::Live, Flow::Credit);
    world.subscribe(3, 1, in_room("a", "#"), From::Live, Flow::Credit);
    for _ in 0..20 {
        world.publish(1, &[("a/x", "1")]);
        world.now.time = world.now.time.plus(Duration::from_millis(100));
    }
    let told = |world: &mut World, seconds: u64| {
        for _ in 0..seconds {
            world.now.time = world.now.time.plus(Duration::from_secs(1));
            if world.bus.poll_timeout().is_some_and(|(at, _)| at <= world.now.time) {
                settle(world);
            }
        }
        let heard = world.all(2);
        let said = heard.iter().filter_map(delivery).map(|one| payload(&one.content.body));
        let mut said: Vec<String> = said.filter(|text| text.contains("riser.statistics")).collect();
        let last = said.pop().map(|text| text.split_once("\"data\":").expect("it has data").1.to_owned());
        (said.len(), last)
    };
    let (_, last) = told(&mut world, 120);
    let last = last.expect("it is told");
    assert!(last.contains("\"per_min\":0,\"per_s\":0") && last.contains("\"subscribers\":1"), "{last}");
    assert_eq!(told(&mut world, 120), (0, None), "nothing happens, and nothing is said");
    assert_eq!(world.bus.poll_timeout(), None, "nor looked after");
    world.ask(3, Ask::Unsubscribe { subscription: riser_model::SubscriptionId(1) });
    let (before, last) = told(&mut world, 10);
    let last = last.expect("it is told");
    assert!(
        before == 0 && last.contains("\"subscribers\":0") && last.contains("\"connections\":1"),
        "{last}"
    );
}

#[test]
fn who_may_not_read_all_of_a_room_hears_no_figures_of_it_and_nobody_those_of_addresses() {
    let config = Config { traffic_every_ms: 1000, ..Config::default() };
    let mut world = World::speaking(config);
    let lamp = format!("a/{}/on", uuid::Uuid::from_u128(7));
    let all = |right| rule(None, "#", right, false);
    world.open_as(1, vec![all(Right::Publish), all(Right::Admin)]);
    world.open_as(2, vec![all(Right::Subscribe)]);
    world.open_as(3, vec![all(Right::Subscribe), rule(Some("a"), "secret/#", Right::Subscribe, true)]);
    world.open_as(4, vec![rule(Some("a"), "open/#", Right::Subscribe, false)]);
    for n in [2, 3, 4] {
        world.subscribe(n, 1, of_room("a"), From::Start, Flow::Credit);
    }
    for _ in 0..3 {
        world.publish(1, &[("a/secret/x", "1"), (&lamp, "22")]);
        world.now.time = world.now.time.plus(Duration::from_secs(5));
    }
    settle(&mut world);
    let mut told = |n| {
        let heard = world.all(n);
        let figures = heard
            .iter()
            .filter_map(delivery)
            .filter(|one| one.content.route.channel.as_str() == "statistics");
        figures.map(|one| payload(&one.content.body)).collect::<Vec<_>>()
    };
    let figures = told(2);
    let last = figures.last().unwrap();
    assert_eq!((told(3), told(4)), (vec![], vec![]));
    let seen = world.bus.statistics().rooms.swap_remove(0);
    assert_eq!((seen.traffic.messages, seen.open.messages), (6, 3));
    assert!(last.contains("\"messages\":3,\"per_min\":3"), "{last}");
    assert!(last.contains(&format!("\"bytes\":{},", seen.open.bytes)), "{last}");
    assert_eq!((seen.channels, seen.open_channels), (2, 1));
}

#[test]
fn who_comes_and_goes_while_one_of_both_fails_is_no_ghost() {
    let mut world = World::new(Config::default());
    world.rooms[0].linked = true;
    world.restart(Epoch(2));
    let came = |world: &mut World, n| {
        world.open(n);
        world.subscribe(n, 1, in_room("a", "#"), From::Live, Flow::Credit);
        world.now.time = world.now.time.plus(Duration::from_millis(60));
        world.input(Input::Deadline);
    };
    came(&mut world, 1);
    world.commit();
    came(&mut world, 2);
    world.fail(Code::LogFailing);
    // What it says next is on disk before what failed.
    world.ask(2, Ask::Leave { cause: "cut".into(), expiry_s: None });
    settle(&mut world);
    world.now.time = world.now.time.plus(Duration::from_secs(2));
    settle(&mut world);
    assert_eq!(present_above(&world), [c(1)]);
}

#[test]
fn of_what_the_system_says_the_last_ones_are_kept_and_the_rest_is_a_gap() {
    let mut world = World::speaking(Config { events_kept: 5, ..Config::default() });
    world.open(1);
    world.open(2);
    settle(&mut world);
    for _ in 0..12 {
        say(&mut world, Scope::Instance, CLOCK);
        // Each by itself: a storm would be one.
        world.now.time = world.now.time.plus(Duration::from_secs(60));
        settle(&mut world);
    }
    let hub = Want::Technical(Technical { account: false, ..Technical::of_account() });
    world.subscribe(2, 1, hub, From::Start, Flow::Credit);
    settle(&mut world);
    let pushes = world.all(2);
    let heard = kinds(&pushes);
    assert_eq!(heard.len(), 5, "{heard:?}");
    assert!(heard.iter().all(|(kind, _)| kind == "clock_stepped"), "{heard:?}");
}
