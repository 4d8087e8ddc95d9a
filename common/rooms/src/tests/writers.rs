//! What publishers and the layer above see: receipts, numbers, refusals, failures.

use super::script::*;
use crate::{Append, Config, Ingest, Input, Output, Placed, Wake};
use riser_model::{
    Binding, Cause, ClientId, CursorKey, CursorValue, Epoch, Gap, History, LogId, Right, RouteNumber, Run,
    Schema, Seq, Stamp, Wall,
    door::{Ask, Code, Flow, From, Intake, Target, Tell},
    schema::{Broken, CHECKED_BYTES_MAX, Check},
    time::Clock,
};
use riser_wire::entry::{Body, Kind, frames, write_frame};
use std::sync::Arc;
use uuid::Uuid;

const EDGE: ClientId = ClientId(Uuid::from_u128(7));

fn world() -> World {
    let mut world = World::new(Config::default());
    world.open(1);
    world
}

pub(super) fn stored(tell: Option<Tell>) -> (u64, u64, Vec<(u32, Code)>) {
    match tell {
        Some(Tell::Stored { ticket, first, refused, .. }) => {
            let refused = refused.into_iter().map(|(index, refusal)| (index, refusal.code)).collect();
            (ticket, first.0, refused)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn receipt_leaves_only_after_the_commit() {
    let mut world = world();
    let ticket = world.send(1, &[("a/x", "1"), ("a/y", "2")], 1);
    assert_eq!(world.told(1), None);
    world.commit();
    assert_eq!(stored(world.told(1)), (ticket, 1, vec![]));
    assert_eq!(world.bus.committed(), Seq(2));
}

#[test]
fn unknown_and_denied_rooms_look_the_same() {
    let mut world = world();
    world.send(1, &[("a/secret/x", "1"), ("nowhere/secret/x", "2")], 1);
    let Some(Tell::Stored { refused, .. }) = world.told(1) else { panic!() };
    let text = |i: usize, room: &str| {
        let (_, refusal) = &refused[i];
        (refusal.code, refusal.what.replace(room, "?"), refusal.want.clone())
    };
    assert_eq!(text(0, "\"a/"), text(1, "\"nowhere/"));
    assert_eq!(text(0, "\"a/").0, Code::Denied);
    assert!(world.storage.waiting.is_empty());
}

/// Takes what begins with a digit.
struct Digits;

impl Check for Digits {
    fn check(&self, payload: &[u8]) -> Result<(), Broken> {
        let rule = || Broken { path: "/0".to_owned(), rule: "/type".to_owned() };
        payload.first().filter(|first| first.is_ascii_digit()).map(|_| ()).ok_or_else(rule)
    }
}

#[test]
fn what_breaks_a_room_s_schema_is_refused_by_place_and_rule_and_takes_nothing_with_it() {
    let mut world = world();
    let schema = |check: Option<Arc<dyn Check>>| {
        let mut rooms = vec![room("a", History::Log), room("b", History::Log)];
        let text = Schema::new("digits");
        rooms[0].schema = Some(check.map_or(text.clone(), |check| text.compiled(check)));
        Input::Reconfigured { rooms, bindings: Vec::new() }
    };
    world.input(schema(None));
    let free = world.send(1, &[("a/x", "x")], 1);
    world.commit();
    assert_eq!(stored(world.told(1)), (free, 1, vec![]), "nobody compiled it");
    world.input(schema(Some(Arc::new(Digits))));
    let large = "1".repeat(CHECKED_BYTES_MAX + 1);
    world.send(1, &[("a/x", "1"), ("a/x", "x"), ("b/x", "x"), ("a/x", &large), ("a/x", "2")], 1);
    world.commit();
    let Some(Tell::Stored { first, refused, .. }) = world.told(1) else { panic!() };
    let refused: Vec<_> =
        refused.into_iter().map(|(index, why)| (index, why.code, why.what, why.want)).collect();
    let [(1, Code::Malformed, what, want), (3, Code::Malformed, _, bound)] = &refused[..] else {
        panic!("{refused:?}")
    };
    assert_eq!(
        (first, what.as_str(), want.as_str()),
        (Seq(2), "/0 of the payload breaks the room's schema", "what /type says")
    );
    assert!(bound.contains(&CHECKED_BYTES_MAX.to_string()), "{bound}");
    assert_eq!(world.bus.committed(), Seq(4));
    assert_eq!(world.bus.statistics().counters.refused(Code::Malformed), 2);
}

#[test]
fn refused_entries_are_named_and_the_others_are_stored_without_a_hole() {
    let mut world = world();
    world.send(1, &[("a/x", "1"), ("Nope", "2"), ("a/y", "3"), ("a/secret/x", "4")], 1);
    world.commit();
    let (_, first, refused) = stored(world.told(1));
    assert_eq!((first, refused), (1, vec![(1, Code::BadName), (3, Code::Denied)]));
    let payloads: Vec<String> =
        world.storage.entries.iter().flat_map(|entry| listed(&entry.frame)).map(|(_, p)| p).collect();
    assert_eq!(payloads, ["1", "3"]);
}

#[test]
fn receipts_come_in_ticket_order_those_of_refused_batches_too() {
    let mut world = world();
    let first = world.send(1, &[("a/x", "1")], 1);
    let refused = world.send(1, &[("nowhere/x", "2")], 1);
    let empty = world.send(1, &[], 1);
    assert_eq!(world.told(1), None);
    let last = world.send(1, &[("a/x", "3")], 1);
    world.commit_one();
    assert_eq!(stored(world.told(1)).0, first);
    assert_eq!(stored(world.told(1)), (refused, 2, vec![(0, Code::Denied)]));
    assert_eq!(stored(world.told(1)).0, empty);
    assert_eq!(world.told(1), None);
    world.commit_one();
    assert_eq!(stored(world.told(1)), (last, 2, vec![]));
    // With nothing on its way a refusal is told at once.
    assert_eq!(
        stored({
            world.send(1, &[("nowhere/x", "2")], 1);
            world.told(1)
        })
        .2,
        vec![(0, Code::Denied)]
    );
}

#[test]
fn failed_batch_takes_all_later_ones_with_it_and_their_seqs_are_given_again() {
    let mut world = world();
    world.publish(1, &[("a/x", "0")]);
    world.told(1);
    world.send(1, &[("a/new", "1")], 1);
    world.send(1, &[("a/x", "2"), ("nowhere/y", "3")], 1);
    world.send(1, &[("a/newer", "4")], 1);
    world.fail(Code::LogFailing);
    assert_eq!(stored(world.told(1)).2, vec![(0, Code::LogFailing)]);
    assert_eq!(stored(world.told(1)).2, vec![(0, Code::LogFailing), (1, Code::Denied)]);
    assert_eq!(stored(world.told(1)).2, vec![(0, Code::LogFailing)]);
    // A late answer for one of them changes nothing.
    world.input(Input::Failed { ticket: 3, code: Code::LogFailing });
    // The storage checks that numbers are dense and that routes are defined.
    world.publish(1, &[("a/newer", "5"), ("a/new", "6")]);
    assert_eq!(stored(world.told(1)).1, 2);
    assert_eq!(world.bus.statistics().counters.failed, 3);
}

#[test]
fn nothing_overtakes_what_its_publisher_has_to_send_again() {
    let mut world = world();
    world.send(1, &[("a/x", "1")], 1);
    world.send(1, &[("a/x", "2")], 0);
    world.fail(Code::LogFailing);
    // What was being filled, and what was sent before its publisher could know.
    assert_eq!(stored(world.told(1)).2, vec![(0, Code::LogFailing)]);
    assert_eq!(stored(world.told(1)).2, vec![(0, Code::LogFailing)]);
    for ticket in [3, 4] {
        let aliases = vec![(0, Target::Topic("a/x".into()))];
        let intake = Intake { ticket, seen: ticket - 3, aliases, entries: entries(&[(0, "3")], 1), count: 1 };
        world.ask(1, Ask::Publish(intake));
        assert_eq!(stored(world.told(1)), (ticket, 1, vec![(0, Code::LogFailing)]));
    }
    world.tickets = 4;
    assert_eq!(world.send(1, &[("a/x", "1")], 1), 5);
    world.commit();
    assert_eq!(stored(world.told(1)), (5, 1, vec![]));
}

#[test]
fn publications_that_wait_for_nobody_share_a_commit_after_50_ms() {
    let mut world = world();
    let first = world.send(1, &[("a/x", "1")], 0);
    world.send(1, &[("a/x", "2")], 0);
    assert!(world.storage.waiting.is_empty());
    let (at, wake) = world.bus.poll_timeout().unwrap();
    assert_eq!(wake, Wake::Commit);
    assert!(at.since(world.now.time).as_millis() >= 49);
    world.now.time = at;
    world.input(Input::Deadline);
    assert_eq!(world.storage.waiting.len(), 1);
    world.commit();
    assert_eq!(stored(world.told(1)), (first, 1, vec![]));
    assert_eq!(stored(world.told(1)).1, 2);
    // They ride with the next one that somebody waits for.
    world.send(1, &[("a/x", "3")], 0);
    world.send(1, &[("a/x", "4")], 1);
    assert_eq!(world.storage.waiting.len(), 1);
    assert_eq!(world.bus.poll_timeout(), None);
}

#[test]
fn inputs_that_are_handled_together_share_a_batch() {
    let mut world = world();
    world.open(2);
    for n in [1, 2] {
        let intake = Intake {
            ticket: 1,
            seen: 0,
            aliases: vec![(0, Target::Topic("a/x".into()))],
            entries: entries(&[(0, "p")], 1),
            count: 1,
        };
        world.bus.handle(Input::Ask { connection: c(n), ask: Ask::Publish(intake) }, world.now);
    }
    let persists = std::iter::from_fn(|| world.bus.poll())
        .filter_map(|output| match output {
            Output::Persist { batch, connections, .. } => Some((batch.count, connections)),
            _ => None,
        })
        .collect::<Vec<_>>();
    assert_eq!(persists, [(2, 2)]);
}

#[test]
fn intake_larger_than_a_batch_is_cut_and_answered_once() {
    let mut world = World::new(Config { batch_bytes_max: 190, ..Config::default() });
    world.open(1);
    let payload = "x".repeat(60);
    let all: Vec<(&str, &str)> = (0..5).map(|_| ("a/x", payload.as_str())).collect();
    let ticket = world.send(1, &all, 1);
    assert_eq!(world.storage.waiting.len(), 5);
    world.commit_one();
    world.commit_one();
    assert_eq!(world.told(1), None);
    world.fail(Code::QuotaExceeded);
    let quota = Code::QuotaExceeded;
    assert_eq!(stored(world.told(1)), (ticket, 1, vec![(2, quota), (3, quota), (4, quota)]));
}

#[test]
fn malformed_and_undefined_entries_are_refused_one_by_one() {
    let mut world = world();
    let mut bytes = entries(&[(0, "1"), (7, "2")], 1).to_vec();
    bytes.extend_from_slice(&[1, 2, 3]);
    let aliases = vec![(0, Target::Topic("a/x".into())), (5, Target::Topic("a/y".into()))];
    let intake = Intake { ticket: 1, seen: 0, aliases, entries: bytes.into(), count: 4 };
    world.ask(1, Ask::Publish(intake));
    world.commit();
    let bad = Code::Malformed;
    assert_eq!(stored(world.told(1)), (1, 1, vec![(1, bad), (2, bad), (3, bad)]));
}

#[test]
fn alias_may_be_given_a_new_meaning() {
    let mut world = world();
    world.publish(1, &[("a/x", "1")]);
    world.publish(1, &[("a/y", "2")]);
    world.publish(1, &[("nowhere/y", "3")]);
    let channels: Vec<String> = world
        .storage
        .entries
        .iter()
        .map(|entry| world.storage.routes[&entry.route].channel.as_str().to_owned())
        .collect();
    assert_eq!(channels, ["x", "y"]);
}

/// A site whose devices know nothing of rooms.
#[test]
fn the_room_of_a_binding_of_everything_is_the_root_of_topics_both_ways() {
    let mut world = world();
    let root =
        Binding { topics: "#".parse().unwrap(), room: "a".parse().unwrap(), strip: 0, prefix: String::new() };
    world.input(Input::Reconfigured { rooms: world.rooms.clone(), bindings: vec![root] });
    for (n, (filter, channels)) in [
        ("é/temp", vec!["é/temp"]),
        ("#", vec!["é/temp", "/leading", "b/x"]),
        ("+/x", vec!["b/x"]),
        ("/#", vec!["/leading"]),
    ]
    .into_iter()
    .enumerate()
    {
        let n = n as u64 + 2;
        world.open(n);
        world.subscribe(n, 0, topic(filter), From::Live, Flow::Credit);
        world.publish(1, &[("é/temp", "1"), ("/leading", "2"), ("b/x", "3")]);
        let all = world.all(n);
        let got: Vec<(&str, bool)> = all
            .iter()
            .filter_map(delivery)
            .map(|delivery| (delivery.content.route.channel.as_str(), delivery.content.rooted))
            .collect();
        let wanted: Vec<(&str, bool)> = channels.into_iter().map(|channel| (channel, true)).collect();
        assert_eq!(got, wanted, "{filter}");
    }
}

#[test]
fn bindings_come_first_and_the_first_that_matches_wins() {
    let mut world = world();
    let binding = |topics: &str, strip, prefix: &str| Binding {
        topics: topics.parse().unwrap(),
        room: "b".parse().unwrap(),
        strip,
        prefix: prefix.into(),
    };
    let bindings = vec![
        binding("zigbee/+/state", 1, "devices/{client}/"),
        binding("zigbee/#", 0, ""),
        binding("flat", 1, "one"),
    ];
    world.input(Input::Reconfigured { rooms: world.rooms.clone(), bindings });
    world.publish(1, &[("zigbee/lamp/state", ""), ("zigbee/lamp/x", ""), ("flat", ""), ("a/zigbee", "")]);
    let places: Vec<_> = world
        .storage
        .routes
        .values()
        .map(|route| {
            let room = world.rooms.iter().find(|room| room.id == route.room).unwrap();
            format!("{}:{}", room.name, route.channel)
        })
        .collect();
    assert_eq!(places, ["b:devices/user-1/lamp/state", "b:zigbee/lamp/x", "b:one", "a:zigbee"]);
}

#[test]
fn what_waits_for_the_disk_is_bounded() {
    let mut world = World::new(Config { unstored_connection_bytes_max: 200, ..Config::default() });
    world.open(1);
    world.open(2);
    world.send(1, &[("a/x", "1"), ("a/x", "2")], 1);
    world.send(1, &[("a/x", &"3".repeat(100))], 1);
    world.send(2, &[("a/x", "4")], 1);
    world.commit();
    assert_eq!(stored(world.told(1)).2, vec![]);
    assert_eq!(stored(world.told(1)).2, vec![(0, Code::TooMany)]);
    assert_eq!(stored(world.told(2)).2, vec![], "others are not disturbed");
    world.publish(1, &[("a/x", "5")]);
    assert_eq!(stored(world.told(1)).2, vec![]);
    assert_eq!(world.bus.statistics().unstored_bytes, 0);
}

#[test]
fn routes_are_bounded() {
    let mut world = World::new(Config { routes_max: 2, ..Config::default() });
    world.open(1);
    world.publish(1, &[("a/1", ""), ("a/2", ""), ("a/3", ""), ("a/1", "")]);
    assert_eq!(stored(world.told(1)).2, vec![(2, Code::TooMany)]);
}

#[test]
fn link_is_not_held_up_by_a_log_without_numbers() {
    let mut world = World::new(Config { routes_max: 1, ..Config::default() });
    world.open(1);
    world.publish(1, &[("b/t", "own")]);
    world.input(Input::Ingest(ingest(3, 11, &[(1, "known"), (0, "new")])));
    world.commit();
    assert_eq!(world.done, [(3, Ok(Placed { epoch: Epoch(1), first: Seq(2), count: 2, quarantined: 0 }))]);
    let frame = frames(&world.storage.entries[2].frame).next().unwrap().unwrap();
    assert_eq!(world.storage.routes[&frame.route], route("quiet", "overflow", 0));
    assert_eq!(world.bus.statistics().counters.refused(Code::TooMany), 2);
}

#[test]
fn system_entries_are_stored_and_shown_to_no_subscriber() {
    let mut world = world();
    world.subscribe(1, 1, topic("#"), From::Live, Flow::Credit);
    let mut frames = Vec::new();
    write_frame(&mut frames, RouteNumber(0), Kind::Canary, 0, world.now.stamp(), |_| {});
    let routes = vec![route("a", "canary", 0)];
    let key = CursorKey::Ingest(EDGE, LogId(1), Epoch(2));
    let value = CursorValue { through: Seq(9), ..CursorValue::default() };
    world.input(Input::Cursor { key, value, at_once: false });
    assert!(world.storage.waiting.is_empty(), "a cursor causes no commit");
    world.input(Input::Append(Append::new(5, routes, frames)));
    world.commit();
    assert_eq!(world.done, [(5, Ok(Placed { epoch: Epoch(1), first: Seq(1), count: 1, quarantined: 0 }))]);
    assert_eq!(world.storage.cursors[&key], value);
    assert_eq!(world.all(1), []);
    world.input(Input::Append(Append::new(6, vec![], entries(&[(0, "")], 1))));
    assert_eq!(world.done[1], (6, Err(Code::Malformed)));
}

#[test]
fn cursors_alone_fail_alone_and_ride_again() {
    let mut world = world();
    let key = CursorKey::Ingest(EDGE, LogId(1), Epoch(2));
    let value = CursorValue { through: Seq(9), ..CursorValue::default() };
    world.send(1, &[("a/x", "1")], 1);
    world.commit();
    world.told(1);
    world.input(Input::Append(Append { token: 1, ..Append::of_cursors(vec![(key, Some(value))]) }));
    world.send(1, &[("a/x", "2")], 1);
    world.fail(Code::LogFailing);
    assert_eq!(world.done, [(1, Err(Code::LogFailing))]);
    world.commit();
    assert_eq!(stored(world.told(1)), (2, 2, vec![]));
    // One that rode, on the other hand, rides on.
    world.input(Input::Cursor { key, value, at_once: false });
    world.send(1, &[("a/x", "3")], 1);
    world.fail(Code::LogFailing);
    assert!(!world.storage.cursors.contains_key(&key));
    world.publish(1, &[("a/x", "4")]);
    assert_eq!(world.storage.cursors[&key], value);
}

pub(super) fn ingest(token: u64, first: u64, payloads: &[(u32, &str)]) -> Ingest {
    let run = Run::Entries {
        first: Seq(first),
        count: payloads.len() as u32,
        epoch: Epoch(50),
        entries: entries(payloads, 1),
    };
    let gap = Run::Gap(Gap { from: Seq(1), to: Seq(first - 1), cause: Cause::Quota });
    let through = Seq(first + payloads.len() as u64 - 1);
    let value = CursorValue { through, ..CursorValue::default() };
    Ingest {
        token,
        log: LogId(9),
        runs: vec![gap, run],
        routes: vec![route("a", "t", 7), route("b", "t", 7)],
        origins: vec![],
        elsewhere: vec![(Seq(first), route("quiet", "quarantine", 7))],
        overflow: route("quiet", "overflow", 0),
        counted: true,
        cursors: vec![(CursorKey::Ingest(EDGE, LogId(9), Epoch(50)), Some(value))],
        clock: Clock::Unanchored,
    }
}

#[test]
fn ingest_renumbers_keeps_origins_and_moves_its_cursor_in_the_same_batch() {
    let mut world = world();
    world.publish(1, &[("b/t", "own")]);
    world.input(Input::Ingest(ingest(3, 11, &[(0, "odd"), (1, "one"), (0, "two")])));
    assert_eq!(world.storage.waiting.len(), 1);
    assert_eq!(world.storage.waiting[0].1.cursors.len(), 1);
    world.commit();
    assert_eq!(world.done, [(3, Ok(Placed { epoch: Epoch(1), first: Seq(2), count: 3, quarantined: 0 }))]);
    let placed: Vec<_> = world.storage.entries[1..]
        .iter()
        .map(|entry| {
            let frame = frames(&entry.frame).next().unwrap().unwrap();
            let origin = frame.origin.unwrap();
            let from = world.storage.origins[&origin.number];
            let route = &world.storage.routes[&frame.route];
            (route.room, route.channel.as_str().to_owned(), from, origin.seq.0)
        })
        .collect();
    let from = (LogId(9), Epoch(50));
    let id = |name: &str| room(name, History::Log).id;
    assert_eq!(
        placed,
        [
            (id("quiet"), "quarantine".to_owned(), from, 11),
            (id("b"), "t".to_owned(), from, 12),
            (id("a"), "t".to_owned(), from, 13)
        ]
    );
}

#[test]
fn ingest_that_cannot_be_read_leaves_nothing_behind() {
    let mut world = world();
    world.send(1, &[("a/x", "held")], 0);
    world.input(Input::Ingest(ingest(3, 11, &[(0, "fine"), (1, "fine"), (9, "unknown route")])));
    assert_eq!(world.done, [(3, Err(Code::Malformed))]);
    world.publish(1, &[("a/x", "next")]);
    assert_eq!(world.storage.entries.len(), 2);
    assert!(world.storage.cursors.is_empty());
}

#[test]
fn entries_of_a_third_log_keep_their_first_identity() {
    let mut world = world();
    let mut frames_in = Vec::new();
    let plain = entries(&[(0, "far")], 1);
    let frame = frames(&plain).next().unwrap().unwrap();
    let origin = Some(riser_wire::entry::Origin { number: 4, seq: Seq(1234), wall: Wall(5) });
    riser_wire::entry::Frame { origin, ..frame }.write(&mut frames_in);
    let run = Run::Entries { first: Seq(1), count: 1, epoch: Epoch(50), entries: frames_in.into() };
    let mut ingest = ingest(1, 5, &[]);
    ingest.elsewhere.clear();
    ingest.runs = vec![run];
    ingest.origins = vec![(4, (LogId(333), Epoch(3)))];
    world.input(Input::Ingest(ingest));
    world.commit();
    let entry = frames(&world.storage.entries[0].frame).next().unwrap().unwrap();
    let origin = entry.origin.unwrap();
    assert_eq!((world.storage.origins[&origin.number], origin.seq), ((LogId(333), Epoch(3)), Seq(1234)));
    assert_eq!(origin.wall, Wall(5), "corrected once, where it first came over a link");
}

#[test]
fn what_came_over_a_link_lies_beside_its_time_by_this_clock() {
    let mut world = world();
    let mut late = Vec::new();
    let stamp = Stamp { boot_us: 2_000_000, wall: Wall(-7), uncertainty_ms: 0 };
    write_frame(&mut late, RouteNumber(0), Kind::Publication, 0, stamp, |out| out.push(0));
    let run = |first| Run::Entries { first, count: 1, epoch: Epoch(50), entries: late.clone().into() };
    let clock = Clock::Anchored { hub_us: 995_000_000, error_ms: 20 };
    for (token, first, clock) in [(1, Seq(1), clock), (2, Seq(2), Clock::Unanchored)] {
        let ingest = Ingest { runs: vec![run(first)], elsewhere: vec![], clock, ..ingest(token, 5, &[]) };
        world.input(Input::Ingest(ingest));
        world.commit();
    }
    let times = world.storage.entries.iter().map(|entry| {
        let frame = frames(&entry.frame).next().unwrap().unwrap();
        assert_eq!(Body::read(frame.body).unwrap().stamp, stamp, "the original is not rewritten");
        frame.origin.unwrap().wall
    });
    assert_eq!(times.collect::<Vec<_>>(), [Wall(997_000), Wall(-7)]);
}

#[test]
fn tail_serves_uplinks_in_whole_entries() {
    let mut world = world();
    for n in 0..4 {
        world.publish(1, &[("a/x", &format!("{n}-1")), ("b/y", &format!("{n}-2"))]);
    }
    let size = world.storage.entries[0].frame.len();
    for from in 1..=9 {
        for max_bytes in [1, size, 2 * size, 3 * size + 1, 100 * size] {
            let chunk = world.bus.tail(Seq(from), max_bytes).unwrap();
            let mut seq = from;
            let mut bytes = 0;
            for run in chunk.runs {
                let Run::Entries { first, count, epoch, entries } = run else { panic!() };
                assert_eq!((first, epoch), (Seq(seq), Epoch(1)));
                let expected: Vec<u8> = world.storage.entries
                    [seq as usize - 1..seq as usize - 1 + count as usize]
                    .iter()
                    .flat_map(|entry| entry.frame.to_vec())
                    .collect();
                assert_eq!(entries, expected);
                seq += u64::from(count);
                bytes += entries.len();
            }
            assert_eq!(chunk.next, Seq(seq));
            assert!(seq > from || from == 9);
            let fits = bytes <= max_bytes || seq == from + 1;
            assert!(fits && (bytes + size > max_bytes || seq == 9), "{from} {max_bytes} {bytes} {seq}");
        }
    }
    assert_eq!(world.bus.tail(Seq(10), 1), None);
}

#[test]
fn shutdown_stores_what_waits_and_then_sends_everybody_away() {
    let mut world = world();
    world.open(2);
    let key = CursorKey::Ingest(EDGE, LogId(1), Epoch(2));
    world.input(Input::Cursor { key, value: CursorValue::default(), at_once: false });
    world.send(1, &[("a/x", "1")], 0);
    world.input(Input::Shutdown);
    let refused = |tell| matches!(tell, Some(Tell::Refused(refusal)) if refusal.code == Code::ShuttingDown);
    assert!(refused(world.told(2)));
    assert_eq!(world.told(1), None);
    world.commit();
    assert_eq!(stored(world.told(1)).1, 1);
    assert!(refused(world.told(1)));
    assert!(world.storage.cursors.contains_key(&key));
    world.send(2, &[("a/x", "2")], 1);
    assert_eq!(stored(world.told(2)).2, vec![(0, Code::ShuttingDown)]);
}

#[test]
fn connection_that_left_is_settled_when_nothing_of_it_waits() {
    let mut world = world();
    world.send(1, &[("a/x", "1")], 1);
    world.ask(1, Ask::Leave { cause: "normal".into(), expiry_s: None });
    let settled = |world: &World| world.events.contains(&Output::Settled { connection: c(1) });
    assert!(!settled(&world));
    world.commit();
    assert!(settled(&world));
    assert_eq!(world.told(1), None);
}

#[test]
fn removed_rooms_take_nothing_and_new_ones_do() {
    let mut world = world();
    world.publish(1, &[("a/x", "1"), ("later/x", "2")]);
    world.told(1);
    let rooms = vec![room("b", History::Log), room("later", History::Log)];
    world.input(Input::Reconfigured { rooms, bindings: vec![] });
    // The same aliases, not defined again.
    let intake = Intake {
        ticket: 99,
        seen: 98,
        aliases: vec![],
        entries: entries(&[(0, "3"), (1, "4")], 1),
        count: 2,
    };
    world.ask(1, Ask::Publish(intake));
    world.commit();
    assert_eq!(stored(world.told(1)).2, vec![(0, Code::Denied)]);
    assert_eq!(world.storage.entries.len(), 2);
}

#[test]
fn right_to_publish_is_per_channel() {
    let mut world = World::new(Config::default());
    world.open_as(1, vec![rule(Some("a"), "in/#", Right::Publish, false)]);
    world.send(1, &[("a/in/x", "1"), ("a/out", "2"), ("b/in/x", "3")], 1);
    world.commit();
    assert_eq!(stored(world.told(1)).2, vec![(1, Code::Denied), (2, Code::Denied)]);
}

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
