//! The newest value per channel, and what the system says.

use super::{ingested::ingest, readers::*, script::*};
use crate::{Config, Input, Latest};
use bytes::Bytes;
use riser_model::{
    Cause, Epoch, LogId, Seq,
    door::{Flow, From, Push},
};
use riser_wire::entry::frames;

pub(super) fn body(payload: &str) -> Bytes {
    let frame = entries(&[(0, payload)], 1);
    let body = frames(&frame).next().unwrap().unwrap().body;
    frame.slice_ref(body)
}

pub(super) fn shown(pushes: &[Push]) -> Vec<(String, u64)> {
    pushes.iter().filter_map(delivery).map(|one| (payload(&one.content.body), one.skipped)).collect()
}

pub(super) fn values(pairs: &[(&str, u64)]) -> Vec<(String, u64)> {
    pairs.iter().map(|(value, skipped)| ((*value).to_owned(), *skipped)).collect()
}

#[test]
fn conflate_shows_the_current_value_first_and_then_the_newest_with_what_it_passed_over() {
    let mut world = world();
    world.publish(1, &[("a/x", "1"), ("a/x", "2"), ("a/y", "3")]);
    world.subscribe(2, 1, in_room("a", "#"), From::Live, Flow::Conflate);
    assert_eq!(shown(&world.all(2)), values(&[("2", 0), ("3", 0)]));
    for n in 4..9 {
        world.publish(1, &[("a/x", &n.to_string())]);
    }
    world.publish(1, &[("a/y", "9"), ("a/new", "10"), ("a/new", "11")]);
    assert_eq!(shown(&world.all(2)), values(&[("8", 4), ("9", 0), ("11", 1)]));
    // A room without history shows nothing of its past.
    world.publish(1, &[("quiet/x", "1")]);
    world.subscribe(2, 2, in_room("quiet", "x"), From::Live, Flow::Conflate);
    assert_eq!(world.all(2), []);
    world.publish(1, &[("quiet/x", "2"), ("quiet/x", "3")]);
    assert_eq!(shown(&world.all(2)), values(&[("3", 1)]));
    // After a position, only what is newer.
    world.subscribe(2, 3, in_room("a", "#"), From::After(at(1, 8)), Flow::Conflate);
    assert_eq!(shown(&world.all(2)), values(&[("9", 0), ("11", 1)]));
}

#[test]
fn conflate_keeps_values_that_fell_out_of_the_tail() {
    for copies_bytes_max in [4096, 0] {
        let mut world = World::new(Config { copies_bytes_max, ..small() });
        world.open(1);
        world.open(2);
        world.publish(1, &[("a/rare", "rare"), ("b/rare", "too")]);
        for n in 0..50 {
            world.publish(1, &[("a/x", &n.to_string())]);
        }
        world.subscribe(2, 1, topic("+/rare"), From::Live, Flow::Conflate);
        assert_eq!(shown(&world.all(2)), values(&[("rare", 0), ("too", 0)]), "{copies_bytes_max}");
        // What is gone from the disk too is told.
        world.trim(40, vec![]);
        world.subscribe(2, 2, in_room("a", "rare"), From::Live, Flow::Conflate);
        assert_eq!(gaps(&world.all(2)), [(1, 1, Cause::Retention)]);
    }
}

#[test]
fn slow_conflate_reader_gets_one_value_per_channel() {
    let mut world = World::new(small());
    world.open(1);
    world.open(2);
    world.subscribe(2, 1, in_room("a", "#"), From::Live, Flow::Conflate);
    for n in 0..200 {
        world.publish(1, &[("a/x", &n.to_string()), ("a/y", &n.to_string())]);
    }
    let mut all = world.all(2);
    assert_eq!(shown(&all), values(&[("199", 199), ("199", 199)]));
    let positions: Vec<_> = all.drain(..).map(|push| delivery(&push).unwrap().pos.unwrap().seq.0).collect();
    assert_eq!(positions, [399, 400]);
}

pub(super) fn latest(seq: u64, value: &str) -> Input {
    Input::Latest(Latest {
        log: LogId(9),
        epoch: Epoch(50),
        seq: Seq(seq),
        route: route("a", "t", 7),
        body: body(value),
    })
}

pub(super) fn backlog(token: u64, first: u64, values: &[&str]) -> Input {
    let entries: Vec<(u32, &str)> = values.iter().map(|value| (0, *value)).collect();
    let mut ingest = ingest(token, first, &entries);
    ingest.elsewhere.clear();
    Input::Ingest(ingest)
}

#[test]
fn conflate_shows_the_present_beside_a_backlog_and_never_steps_back() {
    let mut world = world();
    world.subscribe(2, 1, in_room("a", "t"), From::Live, Flow::Conflate);
    world.subscribe(2, 2, in_room("a", "t"), From::Live, Flow::Credit);
    world.input(latest(500, "now"));
    let pushes = world.all(2);
    assert_eq!(shown(&pushes), values(&[("now", 0)]));
    assert_eq!(delivery(&pushes[0]).unwrap().pos, None);
    let of = |pushes: &[Push], id| -> Vec<(String, u64)> {
        let mine = |push: &&Push| delivery(push).unwrap().subscription.0 == id;
        shown(&pushes.iter().filter(mine).cloned().collect::<Vec<_>>())
    };
    // The backlog drains: only the one that wants everything sees it.
    world.input(backlog(1, 100, &["old", "older"]));
    world.commit();
    let pushes = world.all(2);
    assert_eq!(of(&pushes, 1), []);
    assert_eq!(of(&pushes, 2), values(&[("old", 0), ("older", 0)]));
    // An older present is no news; a newer one is.
    world.input(latest(400, "stale"));
    world.input(latest(600, "newer"));
    assert_eq!(of(&world.all(2), 1), values(&[("newer", 2)]));
    world.input(backlog(2, 500, &["now"]));
    world.commit();
    assert_eq!(of(&world.all(2), 1), []);
    // The backlog reaches the present, and goes on.
    world.input(backlog(3, 600, &["newer", "newest"]));
    world.commit();
    assert_eq!(of(&world.all(2), 1), values(&[("newest", 2)]));
    world.input(latest(550, "late"));
    assert_eq!(of(&world.all(2), 1), []);
    // A fresh subscription begins with the newest too.
    world.subscribe(2, 3, in_room("a", "t"), From::Live, Flow::Conflate);
    assert_eq!(of(&world.all(2), 3), values(&[("newest", 0)]));
}

#[test]
fn present_of_a_later_epoch_is_not_overtaken_by_the_backlog_of_an_earlier_one() {
    let mut world = world();
    world.subscribe(2, 1, in_room("a", "t"), From::Live, Flow::Conflate);
    world.input(backlog(1, 100, &["epoch 50"]));
    world.commit();
    let Input::Latest(mut next) = latest(200, "epoch 51") else { panic!() };
    next.epoch = Epoch(51);
    world.input(Input::Latest(next));
    world.all(2);
    world.input(backlog(2, 150, &["still epoch 50"]));
    world.commit();
    assert_eq!(shown(&world.all(2)), []);
    let Input::Ingest(mut drained) = backlog(3, 201, &["epoch 51 too"]) else { panic!() };
    for run in &mut drained.runs {
        if let riser_model::Run::Entries { epoch, .. } = run {
            *epoch = Epoch(51);
        }
    }
    world.input(Input::Ingest(drained));
    world.commit();
    assert_eq!(shown(&world.all(2)), values(&[("epoch 51 too", 1)]));
}

#[test]
fn presents_are_bounded_and_counted() {
    let mut world = World::new(Config { latest_bytes_max: 100, ..Config::default() });
    world.open(2);
    world.subscribe(2, 1, in_room("a", "t"), From::Live, Flow::Conflate);
    world.input(latest(1, "fits"));
    world.input(latest(2, "replaces"));
    world.input(latest(3, &"too large".repeat(20)));
    assert_eq!(shown(&world.all(2)), values(&[("replaces", 0)]));
    assert_eq!(world.bus.statistics().counters.latest_discarded, 1);
}
