//! What links bring and what the instance appends of itself: numbered anew, with the cursor that remembers it.

use super::{
    script::*,
    writers::{EDGE, stored, world},
};
use crate::{Append, Config, Ingest, Input, Placed};
use riser_model::{
    Cause, CursorKey, CursorValue, Epoch, Gap, History, LogId, RouteNumber, Run, Seq, Stamp, Wall,
    door::{Code, Flow, From},
    time::Clock,
};
use riser_wire::entry::{Body, ContentType, Kind, Publication, frames, write_frame};

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
    let origin =
        Some(riser_wire::entry::Origin { number: 4, seq: Seq(1234), wall: Wall(5), uncertain: false });
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
    world.now.wall = Wall(1_000_000);
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
        (frame.origin.unwrap().wall, frame.is_uncertain())
    });
    assert_eq!(times.collect::<Vec<_>>(), [(Wall(997_000), false), (Wall(-7), true)]);
    // Who reads it is told, live, from memory and where only the newest is wanted.
    world.open(2);
    world.subscribe(2, 1, in_room("a", "#"), From::Start, Flow::Credit);
    world.subscribe(2, 2, in_room("a", "#"), From::Live, Flow::Conflate);
    let all = world.all(2);
    let told = all.iter().filter_map(delivery).map(|one| (one.content.wall, one.content.uncertain));
    let told: Vec<_> = told.collect();
    assert_eq!(told[..2], [(Wall(997_000), false), (Wall(-7), true)]);
    assert_eq!(told[2..], [(Wall(-7), true)]);
}

#[test]
fn what_a_clock_stamped_that_was_ahead_is_not_later_than_it_came() {
    let mut world = world();
    let now = world.now.wall;
    let passed_on = |ahead_ms: i64| {
        let plain = entries(&[(0, "far")], 1);
        let frame = frames(&plain).next().unwrap().unwrap();
        let wall = Wall(now.0 + ahead_ms);
        let origin = Some(riser_wire::entry::Origin { number: 4, seq: Seq(1234), wall, uncertain: false });
        let mut bytes = Vec::new();
        riser_wire::entry::Frame { origin, ..frame }.write(&mut bytes);
        bytes
    };
    for (first, ahead_ms) in [(1, -7), (2, 500), (3, 400_000_000_000)] {
        let entries = passed_on(ahead_ms).into();
        let run = Run::Entries { first: Seq(first), count: 1, epoch: Epoch(50), entries };
        let origins = vec![(4, (LogId(333), Epoch(3)))];
        let ingest = Ingest { runs: vec![run], elsewhere: vec![], origins, ..ingest(first, 5, &[]) };
        world.input(Input::Ingest(ingest));
        world.commit();
    }
    let times = world.storage.entries.iter().map(|entry| {
        let frame = frames(&entry.frame).next().unwrap().unwrap();
        (frame.origin.unwrap().wall, frame.is_uncertain())
    });
    assert_eq!(times.collect::<Vec<_>>(), [(Wall(now.0 - 7), false), (now, false), (now, true)]);
}

#[test]
fn who_reads_from_a_time_on_is_shown_what_an_edge_published_by_this_clock_and_not_by_its_own() {
    let mut world = world();
    world.now.wall = Wall(1_000_000);
    let clock = Clock::Anchored { hub_us: 995_000_000, error_ms: 20 };
    // By its own clock the first is from long after, and the second from long before.
    for (first, boot_us, wall) in [(1, 2_000_000, 9_999_000), (2, 4_000_000, -7)] {
        let mut entry = Vec::new();
        let stamp = Stamp { boot_us, wall: Wall(wall), uncertainty_ms: 0 };
        let publication = Publication::new(ContentType::Text, b"on");
        publication.write_frame(&mut entry, RouteNumber(0), stamp);
        let run = Run::Entries { first: Seq(first), count: 1, epoch: Epoch(50), entries: entry.into() };
        let ingest = Ingest { runs: vec![run], elsewhere: vec![], clock, ..ingest(first, 5, &[]) };
        world.input(Input::Ingest(ingest));
        world.commit();
    }
    world.open(2);
    let mut walls_since = |subscription, since| {
        world.subscribe(2, subscription, in_room("a", "#"), From::Since(Wall(since)), Flow::Credit);
        let all = world.all(2);
        all.iter().filter_map(delivery).map(|one| one.content.wall.0).collect::<Vec<_>>()
    };
    assert_eq!(walls_since(1, 997_000), [997_000, 999_000]);
    assert_eq!(walls_since(2, 997_001), [999_000]);
    assert_eq!(walls_since(3, 999_001), [] as [i64; 0]);
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
