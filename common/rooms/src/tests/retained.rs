//! What channels retain: shown to those who come later, outliving its place in the log, within its bound.

use super::script::*;
use crate::{Config, Input, RetainedTable, retained::BadTable};
use bytes::Bytes;
use riser_model::{
    ChannelName, Epoch, Now, Right, RoomId, RouteNumber, SubscriptionId, Wall,
    door::{Ask, Code, Delivery, Flow, From, Intake, Keep, Push, Showing, Target, Tell, Want},
};
use riser_wire::entry::{ContentType, Publication};

/// Publishes at QoS 1 to be retained; the code of its refusal.
fn retain(world: &mut World, topic: &str, payload: &str, properties: &[u8]) -> Option<Code> {
    retain_at(world, 1, topic, payload, properties)
}

fn retain_at(world: &mut World, qos: u8, topic: &str, payload: &str, properties: &[u8]) -> Option<Code> {
    let mut entries = Vec::new();
    let publication = Publication {
        retain: true,
        qos,
        properties,
        ..Publication::new(ContentType::Text, payload.as_bytes())
    };
    publication.write_frame(&mut entries, RouteNumber(0), world.now.stamp());
    let (ticket, aliases) = (1000, vec![(0, Target::Topic(topic.into()))]);
    world.ask(
        1,
        Ask::Publish(Intake { ticket, seen: ticket - 1, aliases, entries: Bytes::from(entries), count: 1 }),
    );
    // At QoS 0 nobody waits for its commit.
    if let Some((at, _)) = world.bus.poll_timeout().filter(|_| world.storage.waiting.is_empty()) {
        world.now.time = at;
        world.input(Input::Deadline);
    }
    world.commit();
    let tells = world.tells.entry(c(1)).or_default();
    let stored = tells.iter().find_map(|tell| match tell {
        Tell::Stored { refused, .. } => Some(refused.first().map(|(_, refusal)| refusal.code)),
        _ => None,
    });
    tells.clear();
    stored.expect("it is answered")
}

fn ask(world: &mut World, n: u64, want: Want) {
    let (subscription, from, flow) = (SubscriptionId(1), From::Live, Flow::Credit);
    world.ask(n, Ask::Subscribe { subscription, want, from, flow, keep: None, retained: Showing::All });
}

/// What a newcomer is shown: channel, payload, whether because it is retained.
fn shown(world: &mut World, n: u64, want: Want) -> Vec<(String, String, bool)> {
    ask(world, n, want);
    pulled(world, n)
}

fn pulled(world: &mut World, n: u64) -> Vec<(String, String, bool)> {
    let all = world.all(n);
    let deliveries = all.iter().filter_map(delivery);
    let named = |one: &Delivery| {
        (one.content.route.channel.as_str().to_owned(), payload(&one.content.body), one.retained.is_some())
    };
    deliveries.map(named).collect()
}

fn row(channel: &str, payload: &str, retained: bool) -> (String, String, bool) {
    (channel.to_owned(), payload.to_owned(), retained)
}

fn world() -> World {
    let mut world = World::new(Config::default());
    world.open(1);
    world
}

/// The table on disk has everything that was handed out.
fn save(world: &mut World) {
    for changes in std::mem::take(&mut world.retained) {
        world.storage.save(&changes);
    }
}

#[test]
fn a_newcomer_is_shown_the_newest_of_each_channel_that_it_wants_and_then_what_comes() {
    let mut world = world();
    for (topic, payload) in [("a/y", "1"), ("a/x", "2"), ("a/x", "3"), ("b/x", "4"), ("quiet/x", "5")] {
        assert_eq!(retain(&mut world, topic, payload, &[]), None);
    }
    world.publish(1, &[("a/x", "not retained")]);
    world.open(2);
    assert_eq!(shown(&mut world, 2, topic("a/#")), [row("x", "3", true), row("y", "1", true)]);
    world.publish(1, &[("a/x", "6")]);
    retain(&mut world, "a/x", "7", &[]);
    assert_eq!(pulled(&mut world, 2), [row("x", "6", false), row("x", "7", false)]);
    world.open(3);
    assert_eq!(shown(&mut world, 3, topic("b/x")), [row("x", "4", true)]);
    world.open(4);
    let mut all = [("x", "7"), ("y", "1"), ("x", "4"), ("x", "5")].map(|(at, what)| row(at, what, true));
    let mut found = shown(&mut world, 4, topic("#"));
    all.sort();
    found.sort();
    assert_eq!(found, all);
}

#[test]
fn a_publication_is_retained_whatever_its_qos() {
    for (former, qos) in [(1, 0), (2, 0), (0, 1), (0, 2), (2, 1)] {
        let mut world = world();
        retain_at(&mut world, former, "a/x", "old", &[]);
        retain_at(&mut world, qos, "a/x", "new", &[]);
        world.open(2);
        assert_eq!(shown(&mut world, 2, topic("a/x")), [row("x", "new", true)]);
        retain_at(&mut world, 0, "a/x", "", &[]);
        world.open(3);
        assert_eq!(shown(&mut world, 3, topic("a/x")), []);
    }
}

#[test]
fn an_empty_payload_takes_it_away() {
    let mut world = world();
    retain(&mut world, "a/x", "1", &[]);
    retain(&mut world, "a/x", "", &[]);
    world.open(2);
    assert_eq!(shown(&mut world, 2, topic("a/#")), []);
    save(&mut world);
    assert!(world.storage.saved.rows.is_empty());
}

#[test]
fn what_comes_while_the_retained_are_shown_comes_once() {
    let mut world = world();
    for n in 0..50 {
        retain(&mut world, &format!("a/{n:02}"), "old", &[]);
    }
    world.open(2);
    ask(&mut world, 2, topic("a/#"));
    let (first, _) = world.pull(2, 100);
    assert!((1..49).contains(&first.len()), "{}", first.len());
    retain(&mut world, "a/00", "new", &[]);
    retain(&mut world, "a/49", "new", &[]);
    let rest = pulled(&mut world, 2);
    let of = |channel: &str| -> Vec<_> { rest.iter().filter(|(at, _, _)| at == channel).cloned().collect() };
    assert_eq!(of("00"), [row("00", "new", false)]);
    assert_eq!(of("49"), [row("49", "new", false)], "its old value is gone when its turn comes");
    assert_eq!(first.len() + rest.len(), 51);
}

#[test]
fn what_a_channel_retains_outlives_its_place_in_the_log_and_the_process() {
    let mut world = world();
    retain(&mut world, "a/x", "1", &[]);
    save(&mut world);
    retain(&mut world, "a/y", "2", &[]);
    world.publish(1, &[("a/z", "3")]);
    world.trim(3, vec![]);
    world.open(2);
    assert_eq!(shown(&mut world, 2, topic("a/#")).len(), 2);
    world.storage.oldest = riser_model::Seq(2);
    world.restart(Epoch(2));
    world.open(2);
    assert_eq!(shown(&mut world, 2, topic("a/#")), [row("x", "1", true), row("y", "2", true)]);
}

#[test]
fn a_table_of_another_line_of_the_log_gives_way_to_the_log() {
    let mut world = world();
    retain(&mut world, "a/x", "old", &[]);
    retain(&mut world, "a/y", "kept", &[]);
    let image = (world.storage.entries.clone(), world.storage.routes.clone());
    retain(&mut world, "a/x", "lost with the disk", &[]);
    retain(&mut world, "a/z", "lost too", &[]);
    save(&mut world);
    (world.storage.entries, world.storage.routes) = image;
    world.restart(Epoch(2));
    world.open(2);
    assert_eq!(shown(&mut world, 2, topic("a/#")), [row("x", "old", true), row("y", "kept", true)]);
}

#[test]
fn what_may_not_be_read_is_not_shown() {
    let mut world = world();
    retain(&mut world, "a/x", "1", &[]);
    retain(&mut world, "b/x", "2", &[]);
    world.open_as(2, vec![rule(Some("b"), "#", Right::Subscribe, false)]);
    assert_eq!(shown(&mut world, 2, topic("#")), [row("x", "2", true)]);
}

fn later(world: &World, ms: u64) -> Now {
    let time = world.now.time.plus(std::time::Duration::from_millis(ms));
    Now { time, wall: Wall(world.now.wall.0 + ms as i64) }
}

#[test]
fn a_step_of_the_wall_clock_makes_nothing_expire_early_or_late() {
    const DAY_MS: i64 = 24 * 3600 * 1000;
    for step in [DAY_MS, -DAY_MS] {
        let mut world = world();
        let expiry = [2, 0, 0, 0, 10];
        retain(&mut world, "a/before", "1", &expiry);
        world.now.wall.0 += step;
        retain(&mut world, "a/after", "2", &expiry);
        world.now = later(&world, 9_000);
        world.open(2);
        assert_eq!(shown(&mut world, 2, topic("#")).len(), 2, "{step}");
        world.publish(1, &[("a/y", "2")]);
        assert_eq!(world.bus.retained().len(), 2, "{step}");
        world.now = later(&world, 2_000);
        world.open(3);
        assert_eq!(shown(&mut world, 3, topic("#")), [], "{step}");
        world.publish(1, &[("a/y", "2")]);
        assert!(world.bus.retained().is_empty(), "{step}");
    }
}

#[test]
fn what_has_expired_is_not_shown_and_leaves_the_table() {
    let mut world = world();
    let expiry = [2, 0, 0, 0, 10];
    retain(&mut world, "a/x", "1", &expiry);
    world.now = later(&world, 9_000);
    world.open(2);
    assert_eq!(shown(&mut world, 2, topic("a/x")).len(), 1);
    world.now = later(&world, 2_000);
    world.open(3);
    assert_eq!(shown(&mut world, 3, topic("a/x")), []);
    world.publish(1, &[("a/y", "2")]);
    assert!(world.bus.retained().is_empty());
    save(&mut world);
    assert!(world.storage.saved.rows.is_empty());
}

#[test]
fn a_full_table_refuses_new_channels_and_takes_new_values() {
    // Three quarters of it for one client.
    let mut world = World::new(Config { retained_bytes_max: 1868, ..Config::default() });
    world.open(1);
    let large = "7".repeat(1100);
    assert_eq!(retain(&mut world, "a/x", &large, &[]), None);
    assert_eq!(retain(&mut world, "a/y", "1", &[]), Some(Code::QuotaExceeded));
    assert_eq!(retain(&mut world, "a/y", "", &[]), None, "clearing is always possible");
    assert_eq!(retain(&mut world, "a/x", &large.repeat(2), &[]), Some(Code::QuotaExceeded), "by size, too");
    assert_eq!(retain(&mut world, "a/x", "2", &[]), None);
    assert_eq!(retain(&mut world, "a/y", "3", &[]), None);
    assert_eq!(world.bus.retained().len(), 2);
}

#[test]
fn no_client_takes_all_the_room_from_the_others() {
    let mut world = World::new(Config { retained_bytes_max: 4000, ..Config::default() });
    world.open(1);
    let mut taken = 0;
    while retain(&mut world, &format!("a/{taken}"), &"7".repeat(300), &[]).is_none() {
        taken += 1;
    }
    assert!((5..8).contains(&taken), "{taken}");
    world.open(2);
    let tell = |world: &mut World, topic: &str| {
        let mut entries = Vec::new();
        let publication =
            Publication { retain: true, qos: 1, ..Publication::new(ContentType::Text, &[b'7'; 300]) };
        publication.write_frame(&mut entries, RouteNumber(0), world.now.stamp());
        let (ticket, aliases) = (1000, vec![(0, Target::Topic(topic.into()))]);
        world.ask(
            2,
            Ask::Publish(Intake {
                ticket,
                seen: ticket - 1,
                aliases,
                entries: Bytes::from(entries),
                count: 1,
            }),
        );
        world.commit();
        world.tells.entry(c(2)).or_default().drain(..).find_map(|tell| match tell {
            Tell::Stored { refused, .. } => Some(refused.is_empty()),
            _ => None,
        })
    };
    assert_eq!(tell(&mut world, "a/other"), Some(true), "another one finds room");
    assert_eq!(tell(&mut world, "a/0"), Some(true), "and may replace what the first one said");
    assert_eq!(retain(&mut world, "a/new", &"7".repeat(300), &[]), None, "which is not its own any more");
}

#[test]
fn a_device_that_no_refusal_reaches_is_stored_without_being_retained_and_that_is_told_once() {
    let mut world = World::speaking(Config { retained_bytes_max: 1000, ..Config::default() });
    world.open(1);
    world.open(2);
    world.subscribe(2, 1, topic("a/#"), From::Live, Flow::Credit);
    for ticket in 1..=3 {
        let mut entries = Vec::new();
        let large = [b'7'; 2000];
        let publication = Publication { retain: true, qos: 1, ..Publication::new(ContentType::Text, &large) };
        publication.write_frame(&mut entries, RouteNumber(0), world.now.stamp());
        let aliases = vec![(0, Target::Device("a/x".into()))];
        world.ask(
            1,
            Ask::Publish(Intake {
                ticket,
                seen: ticket - 1,
                aliases,
                entries: Bytes::from(entries),
                count: 1,
            }),
        );
        world.commit();
    }
    let all = world.all(2);
    assert_eq!(all.iter().filter_map(delivery).count(), 3, "stored and delivered");
    world.now.time.0 += 1_000_000_000;
    world.input(Input::Deadline);
    world.commit();
    let technical = riser_model::event::Scope::Account(ACCOUNT).room();
    let told: Vec<_> =
        world.bus.channels(technical).filter(|one| one.name.as_str() == "not_retained").collect();
    assert_eq!(told.iter().map(|one| one.traffic.messages).sum::<u64>(), 1);
    assert_eq!(world.bus.statistics().counters.unretained, 3);
    assert!(world.bus.retained().is_empty());
}

#[test]
fn a_damaged_row_is_known_to_be_damaged() {
    let mut world = world();
    retain(&mut world, "a/x", "1", &[]);
    save(&mut world);
    let saved = &world.storage.saved;
    assert_eq!(RetainedTable::read(saved).unwrap().0.len(), 1);
    let (key, value) = saved.rows.first_key_value().map(|(key, value)| (key.clone(), value.clone())).unwrap();
    for at in 0..value.len() {
        let mut bad = saved.clone();
        bad.rows.get_mut(&key).unwrap()[at] ^= 0x40;
        assert_eq!(RetainedTable::read(&bad).err(), Some(BadTable { row: 0 }), "{at}");
    }
    let mut bad = saved.clone();
    bad.through = Some(vec![1, 2]);
    assert_eq!(RetainedTable::read(&bad).err(), Some(BadTable { row: 1 }));
}

/// What C`n` is shown behind that place of a subscription that is kept, and whether it is told that it was all.
fn goes_on(world: &mut World, n: u64, want: Want, retained: Showing) -> (Vec<(RoomId, ChannelName)>, bool) {
    let (subscription, from, flow) = (SubscriptionId(1), From::Live, Flow::Credit);
    let keep = Some(Keep { options: 1, identifier: 0 });
    world.ask(n, Ask::Subscribe { subscription, want, from, flow, keep, retained });
    let all = world.all(n);
    let places = all
        .iter()
        .filter_map(delivery)
        .map(|one| (one.content.route.room, one.content.route.channel.clone()));
    let told = all.iter().filter(|push| matches!(push, Push::Through { .. })).count();
    (places.collect(), told == 1)
}

#[test]
fn who_goes_on_being_shown_the_retained_is_shown_what_lies_behind_over_a_restart_too() {
    let mut world = world();
    for topic in ["a/x", "a/y", "b/x", "quiet/x", "quiet/z"] {
        retain(&mut world, topic, "1", &[]);
    }
    save(&mut world);
    let mut epochs = (2..).map(Epoch);
    for want in ["#", "a/#", "a/x"] {
        let (all, told) = goes_on(&mut world, 1, topic(want), Showing::All);
        assert!(told && !all.is_empty(), "{want}: {all:?}");
        for n in 0..all.len() {
            // Their order in the configuration says nothing.
            world.rooms.rotate_left(1);
            world.restart(epochs.next().unwrap());
            world.open(1);
            let (room, channel) = all[n].clone();
            let (rest, told) = goes_on(&mut world, 1, topic(want), Showing::After(room, channel));
            assert_eq!((&rest[..], told), (&all[n + 1..], true), "{want} {n}");
        }
    }
    world.open(2);
    ask(&mut world, 2, topic("a/#"));
    let told = world.all(2).iter().any(|push| matches!(push, Push::Through { .. }));
    assert!(!told, "who keeps nothing need not know");
}
