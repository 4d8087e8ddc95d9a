//! What publishers and the layer above see: receipts, numbers, refusals, failures.

use super::script::*;
use crate::{Config, Input, Output, Wake};
use riser_model::{
    ClientId, CursorKey, CursorValue, Epoch, History, LogId, Right, Schema, Seq,
    door::{Ask, Code, Intake, Target, Tell},
    schema::{Broken, CHECKED_BYTES_MAX, Check},
};
use std::sync::Arc;
use uuid::Uuid;

pub(super) const EDGE: ClientId = ClientId(Uuid::from_u128(7));

pub(super) fn world() -> World {
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
