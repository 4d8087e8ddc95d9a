//! What the system says: entries of the log that nobody waits for, a history of their own, and no storms.

use super::{readers::world, script::*};
use crate::{Config, Input, Output, Presences};
use riser_model::{
    AccountId, Cause, ClientId, ConnectionId, Epoch, Gap, Home, Principal, Right, RoomId, Seq,
    SubscriptionId, Wall,
    door::{Ask, Code, Flow, From, Push, Technical, Want},
    event::{Destination, PublishedAs, Scope, SystemEvent},
    look::Behind,
    principal::Rule,
};
use riser_wire::entry::{Body, Frame, Kind, Origin};
use std::{sync::Arc, time::Duration};

const CLOCK: SystemEvent = SystemEvent::ClockStepped { by_ms: 1 };

pub(super) fn of_room(room: &str) -> Want {
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
pub(super) fn settle(world: &mut World) {
    world.now.time = world.now.time.plus(Duration::from_millis(60));
    world.input(Input::Deadline);
    world.commit();
}

pub(super) fn say(world: &mut World, scope: Scope, event: SystemEvent) {
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
    world.ask(1, Ask::Unsubscribe { subscription: SubscriptionId(1) });
    assert_eq!(heard(&mut world, 2), ["joined"]);
    world.ask(1, Ask::Unsubscribe { subscription: SubscriptionId(2) });
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
        SystemEvent::Clone { edge: ClientId::SYSTEM, name: "gate".parse().unwrap() },
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

#[test]
fn what_became_of_many_publications_is_said_of_each_though_the_log_failed_first() {
    let mut world = speaking();
    world.open_as(3, [grants(), vec![rule(None, "#", Right::Admin, false)]].concat());
    world.subscribe(3, 1, of_room("a"), From::Live, Flow::Credit);
    world.subscribe(3, 2, of_account(), From::Live, Flow::Credit);
    heard(&mut world, 3);
    let (entry, client) = (world.bus.position(Seq(1)), principal(1, grants()).client);
    let room = Scope::Room(world.rooms[0].id);
    let fail = |world: &mut World, many: std::ops::RangeInclusive<u64>| {
        for n in many {
            let publish_id = PublishedAs { producer: 9, n };
            let code = "gone".to_owned();
            say(world, room, SystemEvent::Failed { entry, client, publish_id, code });
        }
        world.now.time = world.now.time.plus(Duration::from_millis(60));
        world.input(Input::Deadline);
        while !world.storage.waiting.is_empty() {
            world.fail(Code::QuotaExceeded);
        }
    };
    fail(&mut world, 1..=3000);
    world.publish(2, &[("a/x", "fits again")]);
    settle(&mut world);
    let heard = world.all(3);
    let said: Vec<String> = heard.iter().filter_map(delivery).map(|one| payload(&one.content.body)).collect();
    let failed: Vec<&String> = said.iter().filter(|text| text.contains("riser.failed")).collect();
    assert!(failed.iter().all(|text| !text.contains("\"count\"")), "none stands for others");
    let id = |text: &&String| text.split_once("\"n\":")?.1.split_once(',')?.0.parse::<u64>().ok();
    let mut ids: Vec<u64> = failed.iter().filter_map(id).collect();
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(1..=3000), "each by its own id: {}", ids.len());
    // What is more than that is not said, and counted.
    fail(&mut world, 10_000..=10_000 + 16_384 + 2);
    assert_eq!(world.bus.statistics().counters.unsaid, 3);
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
    let present = |world: &World| world.bus.present(RoomId::of(ACCOUNT, "a")).count();
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
            edge: ClientId::SYSTEM,
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
        world.ask(1, Ask::Unsubscribe { subscription: SubscriptionId(3) });
        world.subscribe(3, 3, Want::Technical(only), From::Start, Flow::Credit);
        assert_eq!(heard(&mut world, 3), [kind.as_str()]);
        world.ask(3, Ask::Unsubscribe { subscription: SubscriptionId(3) });
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
    let denied = world.try_subscribe(8, 1, of_account(), From::Live, Flow::Credit);
    assert_eq!(denied.err(), Some(Code::Denied), "who reads nothing hears nothing");
    world.subscribe(8, 1, of_room("b"), From::Start, Flow::Credit);
    world.open(9);
    world.subscribe(9, 1, in_room("b", "#"), From::Live, Flow::Credit);
    settle(&mut world);
    assert_eq!(heard(&mut world, 8), [""; 0], "but what became of what it published");
    let name = "ann".parse().unwrap();
    let named = SystemEvent::Opened { client: ClientId::SYSTEM, name, connection: c(9) };
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
fn what_became_of_a_publication_is_told_to_its_publisher_and_to_who_looks_after_the_room() {
    let mut world = World::speaking(Config::default());
    let all = |right| rule(Some("a"), "#", right, false);
    let principals: [(u64, &[Right]); 4] = [
        (2, &[Right::Publish]),
        (3, &[Right::Publish]),
        (4, &[Right::Subscribe]),
        (5, &[Right::Subscribe, Right::Admin]),
    ];
    for (n, rights) in principals {
        world.open_as(n, rights.iter().map(|right| all(*right)).collect());
    }
    let said = |world: &mut World, publisher: u128, n| {
        let client = ClientId(uuid::Uuid::from_u128(100 + publisher));
        let publish_id = PublishedAs { producer: 7, n };
        let (entry, to) = (at(1, n), "lamp".parse().unwrap());
        let scope = Scope::Room(RoomId::of(ACCOUNT, "a"));
        say(world, scope, SystemEvent::Delivered { entry, client, publish_id, to });
        settle(world);
    };
    for n in [2, 3] {
        // As every connection listens unless it does not want to.
        let both = Technical { account: true, hub: true, ..Technical::of_room("a".parse().unwrap()) };
        world.subscribe(n, 1, Want::Technical(both), From::Live, Flow::Credit);
    }
    said(&mut world, 2, 1);
    said(&mut world, 3, 2);
    for n in [4, 5] {
        world.subscribe(n, 1, of_room("a"), From::Start, Flow::Credit);
    }
    let mut heard = |n, sub| {
        let pushes = world.all(n);
        let of = pushes.iter().filter_map(delivery).filter(|one| one.subscription == SubscriptionId(sub));
        let told = of.map(|one| (one.content.route.channel.to_string(), payload(&one.content.body)));
        let number = |text: &str| text.split_once("\"n\":")?.1.chars().next()?.to_digit(10);
        told.map(|(kind, text)| (kind, number(&text))).collect::<Vec<_>>()
    };
    let delivered =
        |numbers: &[u32]| numbers.iter().map(|n| ("delivered".to_owned(), Some(*n))).collect::<Vec<_>>();
    assert_eq!(heard(2, 1), delivered(&[1]), "it reads nothing there, and hears of its own");
    assert_eq!(heard(3, 1), delivered(&[2]));
    assert_eq!(heard(4, 1), [], "it reads all there, and hears of nobody else's");
    assert_eq!(heard(5, 1), delivered(&[1, 2]));
    world.subscribe(2, 2, of_room("a"), From::Start, Flow::Credit);
    world.subscribe(3, 2, of_room("a"), From::Start, Flow::Conflate);
    world.subscribe(4, 2, of_room("a"), From::Start, Flow::Conflate);
    let mut heard = |n, sub| {
        let pushes = world.all(n);
        let of = pushes.iter().filter_map(delivery).filter(|one| one.subscription == SubscriptionId(sub));
        of.filter(|one| one.content.route.channel.as_str() == "delivered").count()
    };
    assert_eq!((heard(2, 2), heard(3, 2), heard(4, 2)), (1, 1, 0), "later too");
    let account = Want::Technical(Technical::of_account());
    assert_eq!(world.try_subscribe(2, 3, account, From::Live, Flow::Credit).err(), Some(Code::Denied));
    assert_eq!(world.try_subscribe(2, 3, of_room("b"), From::Live, Flow::Credit).err(), Some(Code::Denied));
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
