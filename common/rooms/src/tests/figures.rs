//! What goes through a room: asked for, and told once in a while.

use super::{
    script::*,
    technical::{of_room, settle},
};
use crate::{Config, readership::LOOKS_MAX};
use riser_model::{
    Epoch, Right, SubscriptionId, Wall,
    door::{Ask, Flow, From},
    look::{ChannelTraffic, ROWS_MAX, Rates, RoomTraffic, RowsWanted},
    principal::Rule,
};
use std::time::Duration;

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
    let number = |name: &str| {
        let text = last.split_once(&format!("\"{name}\":")).expect("it is told").1;
        text.split([',', '}']).next().unwrap().parse::<u64>().unwrap()
    };
    let each = number("bytes") / number("messages");
    assert_eq!(number("bytes_per_s"), 3 * each);
    assert_eq!(number("bytes_per_min"), number("per_min") * each);
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
    world.ask(3, Ask::Unsubscribe { subscription: SubscriptionId(1) });
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
fn a_room_tells_its_newest_publication_and_the_channels_that_were_published_in_last() {
    let mut world = World::speaking(Config { traffic_every_ms: 1000, ..Config::default() });
    let lamp = format!("a/{}/on", uuid::Uuid::from_u128(7));
    let all = |right| rule(None, "#", right, false);
    world.open_as(1, vec![all(Right::Publish), all(Right::Admin)]);
    for n in [2, 3] {
        world.open_as(n, vec![all(Right::Subscribe)]);
    }
    world.subscribe(2, 1, of_room("a"), From::Live, Flow::Credit);
    world.subscribe(3, 1, in_room("a", "c/19"), From::Live, Flow::Credit);
    world.subscribe(3, 2, in_room("a", "c/#"), From::Live, Flow::Credit);
    for n in 0..20 {
        world.publish_at(1, &format!("a/c/{n}"), "12", Wall(500 + n));
    }
    world.publish(1, &[("a/c/19", "3")]);
    world.publish(1, &[(&lamp, "nobody else's")]);
    world.now.time = world.now.time.plus(Duration::from_secs(5));
    settle(&mut world);
    settle(&mut world);
    let heard = world.all(2);
    let said = heard.iter().filter_map(delivery);
    let said: Vec<String> = said.map(|one| payload(&one.content.body)).collect();
    let told = said.iter().rev().find(|text| text.contains("riser.statistics")).expect("it is told");
    let event: serde_json::Value = serde_json::from_str(told).unwrap();
    let data = &event["data"];
    assert_eq!((&data["messages"], &data["newest"]["channel"]), (&21.into(), &"c/19".into()));
    let shown = world.all(3);
    let newest = shown.iter().filter_map(delivery).next_back().unwrap().pos.unwrap();
    assert_eq!(data["newest"]["pos"], newest.to_string());
    let rows = data["channels"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["channel"].as_str().unwrap()).collect();
    assert_eq!(names, (4..20).rev().map(|n| format!("c/{n}")).collect::<Vec<_>>());
    let row = |n: usize| {
        let of = |name: &str| rows[n][name].as_u64().unwrap();
        ["messages", "per_min", "subscribers", "connections"].map(of)
    };
    assert_eq!((row(0), row(1)), ([2, 2, 2, 1], [1, 1, 1, 1]));
    assert_eq!((&rows[1]["last"], data.get("at_least")), (&world.now.wall.0.into(), None));
    assert!(!told.contains(&lamp[2..]), "{told}");
}

#[test]
fn a_channel_is_read_by_who_named_it_and_by_whose_filter_meets_it_and_may() {
    let mut world = World::new(Config::default());
    world.open(1);
    let all = || rule(None, "#", Right::Subscribe, false);
    let not_x = vec![all(), rule(None, "x", Right::Subscribe, true)];
    world.open_as(2, vec![all()]);
    world.open_as(3, not_x.clone());
    world.publish(1, &[("a/x", "1"), ("a/y", "22"), ("b/x", "3")]);
    for (connection, id, want) in [
        (1, 1, in_room("a", "x")),
        (1, 2, in_room("a", "#")),
        (2, 1, in_room("a", "+")),
        (2, 2, in_room("b", "x")),
        (2, 3, topic("+/y")),
        (3, 1, in_room("a", "#")),
    ] {
        world.subscribe(connection, id, want, From::Live, Flow::Credit);
    }
    let see = |world: &World, rules: Vec<Rule>, filter: &str| {
        world.bus.traffic(&principal(1, rules), &rows(filter, None, 100), world.now.time).unwrap()
    };
    let readers = |seen: &RoomTraffic| -> Vec<_> {
        seen.rows.iter().map(|row| (row.channel.to_string(), row.subscribers, row.connections)).collect()
    };
    let row = |name: &str, subscribers, connections| (name.to_owned(), subscribers, connections);
    let seen = see(&world, vec![all()], "#");
    assert_eq!(readers(&seen), [row("x", 3, 2), row("y", 4, 3)]);
    assert!(!seen.at_least);
    assert_eq!(readers(&see(&world, vec![all()], "y")), [row("y", 4, 3)], "whatever else is asked for");
    // The room has its newest as its channels have theirs, for each as far as it may read.
    let newest = |seen: RoomTraffic| {
        let newest = seen.newest.unwrap();
        (newest.channel.to_string(), payload(&newest.value.unwrap()))
    };
    assert_eq!(newest(seen), ("y".to_owned(), "22".to_owned()));
    world.publish(1, &[("a/x", "4")]);
    assert_eq!(newest(see(&world, vec![all()], "#")), ("x".to_owned(), "4".to_owned()));
    assert_eq!(newest(see(&world, not_x, "#")), ("y".to_owned(), "22".to_owned()));
    assert_eq!(newest(see(&world, vec![all()], "y")), ("y".to_owned(), "22".to_owned()));
    world.ask(1, Ask::Unsubscribe { subscription: SubscriptionId(2) });
    world.ask(2, Ask::Leave { cause: String::new(), expiry_s: None });
    assert_eq!(readers(&see(&world, vec![all()], "#")), [row("x", 1, 1), row("y", 1, 1)]);
}

#[test]
fn whoever_is_not_in_the_room_is_a_look_too_when_its_readers_are_counted() {
    let mut world = World::new(Config::default());
    world.open(1);
    world.publish(1, &[("a/x", "1")]);
    for elsewhere in 2..10 {
        world.open(elsewhere);
    }
    world.open(10);
    world.subscribe(10, 1, in_room("a", "x"), From::Live, Flow::Credit);
    let graph = &world.bus.graph;
    let room = graph.room_of(world.rooms[0].id).unwrap();
    let channels: Vec<_> = graph.by_name(room, None).filter(|one| one.name.as_str() == "x").collect();
    let counted = |looks| {
        let (readers, whole) = world.bus.readers(room, &channels, looks);
        (readers[0].subscribers, readers[0].connections, whole)
    };
    assert_eq!(counted(9), (1, 1, true), "eight who are elsewhere, and one who reads");
    assert_eq!(counted(8), (1, 0, false), "who named it is known all the same");
}

#[test]
fn more_readers_than_are_looked_at_make_a_lower_bound_that_says_so() {
    let mut world = World::new(Config::default());
    world.open(1);
    for n in 0..ROWS_MAX {
        world.publish(1, &[(&format!("a/c{n}"), "1")]);
    }
    let most = LOOKS_MAX as u32 / ROWS_MAX;
    for n in 0..=most {
        let connection = 2 + u64::from(n);
        world.open(connection);
        world.subscribe(connection, 1, in_room("a", "#"), From::Live, Flow::Credit);
    }
    for connection in 1000..1004 {
        world.open(connection);
        for id in 1..=most * 3 / 4 {
            world.subscribe(connection, id, in_room("a", "c7"), From::Live, Flow::Credit);
        }
    }
    let all = principal(1, vec![rule(None, "#", Right::Subscribe, false)]);
    let see = |filter: &str| {
        let seen = world.bus.traffic(&all, &rows(filter, None, ROWS_MAX), world.now.time).unwrap();
        let of = |name: &str| {
            let row = seen.rows.iter().find(|row| row.channel.as_str() == name).unwrap();
            (row.subscribers, row.connections)
        };
        (seen.at_least, of("c7"), (filter == "#").then(|| of("c1")))
    };
    assert_eq!(see("#"), (true, (3 * most, most), Some((most, most))));
    assert_eq!(see("c7"), (false, (4 * most + 1, most + 5), None), "of one channel it is all of them");
}
