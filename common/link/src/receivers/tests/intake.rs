//! What is taken.

use super::*;
use crate::registry::EPOCHS_KEPT;
use riser_model::time::Clock;
use riser_wire::entry::{FRAME_HEADER_BYTES, Frame, Origin};
use riser_wire::link::{Bytes, Stage, decode_edge, encode_edge};
use std::collections::BTreeMap;

fn up(hello: &Hello) -> Hub {
    let mut hub = Hub::new();
    assert!(welcomed(hub.greet(C1, hello), C1));
    hub
}

/// The cursors as all commits that were asked for leave them.
fn saved(hub: &Hub) -> BTreeMap<CursorKey, CursorValue> {
    let mut saved = BTreeMap::new();
    for (key, value) in ingests(&hub.outputs).into_iter().flat_map(|ingest| ingest.cursors.clone()) {
        match value {
            Some(value) => drop(saved.insert(key, value)),
            None => drop(saved.remove(&key)),
        }
    }
    saved
}

#[test]
fn nothing_is_confirmed_before_its_commit_returned() {
    let mut hub = up(&hello());
    assert!(synced(hub.frame(C1, EdgeFrame::Batch(batch(5, 1, 4)))).is_empty());
    assert!(synced(hub.frame(C1, EdgeFrame::Batch(batch(5, 5, 4)))).is_empty());
    let refused = vec![Gap { from: Seq(2), to: Seq(3), cause: Cause::Refused }];
    let outputs = hub.input(Input::Ingested { token: 1, refused: refused.clone() });
    let sent = HubFrame::Synced { epoch: Epoch(5), through: Seq(4), refused };
    assert!(outputs.contains(&Output::Send { connection: C1, frame: sent }));
    assert_eq!(synced(hub.input(Input::Ingested { token: 2, refused: Vec::new() })), [8]);
    assert_eq!(hub.receivers.cursor(LogId(1), Epoch(5)).map(|c| c.through), Some(Seq(8)));
}

#[test]
fn a_commit_moves_the_cursor_with_its_entries_and_what_was_heard() {
    let mut hub = up(&hello());
    let mut first = batch(5, 1, 4);
    first.last_added = Seq(300);
    hub.frame(C1, EdgeFrame::Batch(first));
    let ingest = ingests(&hub.outputs)[0];
    let frames = entries(4);
    let crc = riser_wire::entry::frames(&frames).last().unwrap().unwrap().crc;
    let value = CursorValue { through: Seq(4), heard: Seq(300), crc, first: Seq(1), gapped: 0 };
    assert_eq!(ingest.cursors, [(CursorKey::Ingest(EDGE, LogId(1), Epoch(5)), Some(value))]);
    assert!(matches!(ingest.clock, Clock::Anchored { .. }));
    assert_eq!(ingest.definitions.routes, [(RouteNumber(0), route())]);
}

#[test]
fn a_restarted_hub_knows_how_far_it_is_and_what_was_gone() {
    let mut hub = up(&hello());
    let mut writer = ItemsWriter::default();
    writer.gap(2, Cause::Quota);
    let gap = Batch { items: writer.finish(), ..batch(5, 1, 1) };
    hub.frame(C1, EdgeFrame::Batch(gap));
    hub.frame(C1, EdgeFrame::Batch(batch(5, 3, 4)));
    let restarted = Hub::over(saved(&hub));
    let Progress { heard, through, accepted, synced, queued, gapped, .. } =
        restarted.receivers.progress(EDGE);
    assert_eq!((heard, through), (Seq(10), Seq(6)));
    assert_eq!((accepted, synced, queued, gapped), (10, 4, 4, 2));
}

/// What an edge that restarts for ever leaves behind is bounded, and its numbers still add up.
#[test]
fn of_the_oldest_epochs_only_what_they_add_up_to_is_kept() {
    let old = EPOCHS_KEPT as u64 + 20;
    let of_old = (0..old).map(|n| {
        let first = Seq(1 + 10 * n);
        let value = CursorValue { through: first.plus(7), heard: first.plus(9), crc: 1, first, gapped: 2 };
        (CursorKey::Ingest(EDGE, LogId(1), Epoch(1000 + n)), value)
    });
    let mut hub = Hub::over(of_old.clone());
    let span = EpochSpan { epoch: Epoch(5), first: Seq(1 + 10 * old), last: Seq(10 + 10 * old) };
    let oldest = EpochSpan { epoch: Epoch(1000), first: Seq(1), last: Seq(10) };
    let named = Hello { chain: vec![Opening { span, anchor: None }], last_added: span.last, ..hello() };
    assert!(welcomed(hub.greet(C1, &named), C1));
    let before = hub.receivers.progress(EDGE);
    let forgotten = |ingest: &Ingest| ingest.cursors.iter().filter(|(_, value)| value.is_none()).count();
    let mut saved: BTreeMap<_, _> = of_old.collect();
    for (n, fails) in [(0, true), (1, false), (2, false)] {
        let first = if n == 2 { span.first.0 + 4 } else { span.first.0 };
        hub.frame(ConnectionId(C1.0 + n), EdgeFrame::Batch(batch(5, first, 4)));
        let ingest = ingests(&hub.outputs).pop().unwrap().clone();
        // 20 and the live one; again until a commit holds it.
        assert_eq!(forgotten(&ingest), if n == 2 { 0 } else { 21 }, "{n}");
        assert!(ingest.cursors.contains(&(CursorKey::Ingest(EDGE, LogId(1), oldest.epoch), None)) || n == 2);
        if fails {
            hub.input(Input::Failed { token: ingest.token });
            assert!(welcomed(hub.greet(ConnectionId(C1.0 + 1), &named), ConnectionId(C1.0 + 1)));
            continue;
        }
        for (key, value) in &ingest.cursors {
            match value {
                Some(value) => drop(saved.insert(*key, *value)),
                None => drop(saved.remove(key)),
            }
        }
        hub.input(Input::Ingested { token: ingest.token, refused: Vec::new() });
        if n == 1 {
            hub.input(Input::Closed { connection: ConnectionId(C1.0 + 1) });
            assert!(welcomed(hub.greet(ConnectionId(C1.0 + 2), &named), ConnectionId(C1.0 + 2)));
        }
    }
    assert_eq!(saved.len(), EPOCHS_KEPT + 1);
    for after in [hub.receivers.progress(EDGE), Hub::over(saved).receivers.progress(EDGE)] {
        assert_eq!((after.accepted, after.gapped), (before.accepted, before.gapped));
        assert_eq!(after.synced, before.synced + 8);
        assert_eq!(after.heard, span.last);
    }
}

#[test]
fn a_batch_again_is_dropped_and_any_other_start_closes() {
    let mut hub = up(&hello());
    hub.frame(C1, EdgeFrame::Batch(batch(5, 1, 4)));
    assert!(hub.frame(C1, EdgeFrame::Batch(batch(5, 1, 4))).is_empty(), "dropped");
    assert!(hub.frame(C1, EdgeFrame::Batch(batch(5, 2, 2))).is_empty(), "dropped");
    for (epoch, first) in [(5, 6), (5, 4), (9, 5)] {
        let mut hub = up(&hello());
        hub.frame(C1, EdgeFrame::Batch(batch(5, 1, 4)));
        let outputs = hub.frame(C1, EdgeFrame::Batch(batch(epoch, first, 4)));
        assert_eq!(closed(outputs, C1), Some(RefusedCode::OutOfOrder), "{epoch} {first}");
        assert!(ingests(outputs).is_empty());
    }
}

#[test]
fn epochs_come_in_the_order_of_the_chain_and_end_where_it_says() {
    let opening = |epoch, first, last| Opening {
        span: EpochSpan { epoch: Epoch(epoch), first: Seq(first), last: Seq(last) },
        anchor: None,
    };
    let hello = Hello { chain: vec![opening(4, 1, 3), opening(5, 4, 10)], ..hello() };
    let mut hub = up(&hello);
    assert_eq!(closed(hub.frame(C1, EdgeFrame::Batch(batch(5, 4, 1))), C1), Some(RefusedCode::OutOfOrder));
    let mut hub = up(&hello);
    assert_eq!(closed(hub.frame(C1, EdgeFrame::Batch(batch(4, 1, 4))), C1), Some(RefusedCode::OutOfOrder));
    let mut hub = up(&hello);
    assert_eq!(ingests(hub.frame(C1, EdgeFrame::Batch(batch(4, 1, 3)))).len(), 1);
    let outputs = hub.frame(C1, EdgeFrame::Batch(batch(5, 4, 2)));
    assert_eq!(ingests(outputs).len(), 1);
    assert_eq!(closed(hub.frame(C1, EdgeFrame::Batch(batch(4, 4, 1))), C1), Some(RefusedCode::OutOfOrder));
}

#[test]
fn what_was_heard_of_an_epoch_and_is_not_in_the_chain_is_lost_at_least() {
    let cursor = CursorValue { through: Seq(3), heard: Seq(9), crc: 0, first: Seq(1), gapped: 1 };
    let mut hub = Hub::over([(CursorKey::Ingest(EDGE, LogId(1), Epoch(4)), cursor)]);
    let opening = |epoch, first, last| Opening {
        span: EpochSpan { epoch: Epoch(epoch), first: Seq(first), last: Seq(last) },
        anchor: None,
    };
    let hello = Hello { chain: vec![opening(4, 1, 5), opening(5, 6, 10)], ..hello() };
    assert!(ingests(hub.greet(C1, &hello)).is_empty(), "4 and 5 are still to come");
    let outputs = hub.frame(C1, EdgeFrame::Batch(batch(4, 4, 2))).to_vec();
    let lost = Gap { from: Seq(6), to: Seq(9), cause: Cause::EdgeLost };
    let ingests = ingests(&outputs);
    assert_eq!(ingests[1].items, [Item::Gap(lost)]);
    let moved = CursorValue { through: Seq(9), heard: Seq(9), crc: 0, first: Seq(1), gapped: 5 };
    assert_eq!(ingests[1].cursors[0], (CursorKey::Ingest(EDGE, LogId(1), Epoch(4)), Some(moved)));
    assert!(outputs.iter().any(|o| {
        matches!(o, Output::Emit { event: SystemEvent::LinkGap { gap, at_least: true, .. }, .. } if *gap == lost)
    }));
    // The edge is told of its own batch, not of a gap that it cannot know.
    assert_eq!(synced(hub.input(Input::Ingested { token: 1, refused: Vec::new() })), [5]);
    assert!(synced(hub.input(Input::Ingested { token: 2, refused: Vec::new() })).is_empty());
    // Nine of the old epoch, five of them gone; five of the live one still to come.
    let progress = hub.receivers.progress(EDGE);
    assert_eq!(progress.epoch, Some(Epoch(5)));
    let Progress { accepted, synced, queued, gapped, .. } = progress;
    assert_eq!((accepted, synced, queued, gapped), (14, 4, 5, 5));
}

#[test]
fn damaged_entries_close_the_connection_and_store_nothing() {
    let good = batch(5, 1, 3);
    for at in 0..good.items.len() {
        let mut items = good.items.to_vec();
        items[at] ^= 0x10;
        let mut hub = up(&hello());
        let outputs = hub.frame(C1, EdgeFrame::Batch(Batch { items: items.into(), ..good.clone() }));
        // A flipped origin number is not under the checksum, but then that origin is not defined.
        assert!(ingests(outputs).is_empty(), "byte {at}");
        assert!(closed(outputs, C1).is_some(), "byte {at}");
    }
}

#[test]
fn entries_whose_route_or_origin_is_not_defined_are_malformed() {
    let mut hub = up(&hello());
    let undefined = Batch { definitions: Definitions::default(), ..batch(5, 1, 1) };
    assert_eq!(closed(hub.frame(C1, EdgeFrame::Batch(undefined)), C1), Some(RefusedCode::Malformed));
    let mut hub = up(&hello());
    hub.frame(C1, EdgeFrame::Batch(batch(5, 1, 1)));
    let forget = Definitions { forget: true, ..Definitions::default() };
    let forgotten = Batch { definitions: forget, ..batch(5, 2, 1) };
    assert_eq!(closed(hub.frame(C1, EdgeFrame::Batch(forgotten)), C1), Some(RefusedCode::Malformed));
}

#[test]
fn canaries_are_confirmed_and_stored_nowhere() {
    let mut frames = entries(1);
    write_frame(&mut frames, RouteNumber(4444), Kind::Canary, 0, Stamp::default(), |_| {});
    frames.extend_from_slice(&entries(1));
    let mut items = ItemsWriter::default();
    items.entries(3, &frames);
    let mut hub = up(&hello());
    let outputs = hub.frame(C1, EdgeFrame::Batch(Batch { items: items.finish(), ..batch(5, 1, 3) }));
    let spans: Vec<_> = ingests(outputs)[0]
        .items
        .iter()
        .map(|item| (matches!(item, Item::Entries { .. }), item.first().0, item.last().0))
        .collect();
    assert_eq!(spans, [(true, 1, 1), (false, 2, 2), (true, 3, 3)]);
    assert_eq!(synced(hub.input(Input::Ingested { token: 1, refused: Vec::new() })), [3]);
}

#[test]
fn an_edge_that_sends_on_without_confirmation_is_closed() {
    let mut hub = up(&hello());
    let mut first = 1;
    let code = loop {
        let outputs = hub.frame(C1, EdgeFrame::Batch(batch(5, first, 4000)));
        if let Some(code) = closed(outputs, C1) {
            break code;
        }
        first += 4000;
        assert!(first < 1_000_000, "never closed");
    };
    assert_eq!(code, RefusedCode::TooLarge);
}

#[test]
fn a_failed_commit_confirms_nothing_and_sends_the_edge_away() {
    let mut hub = up(&hello());
    hub.frame(C1, EdgeFrame::Batch(batch(5, 1, 4)));
    hub.frame(C1, EdgeFrame::Batch(batch(5, 5, 4)));
    assert_eq!(closed(hub.input(Input::Failed { token: 1 }), C1), Some(RefusedCode::LogFailing));
    assert!(!welcomed(hub.greet(C2, &hello()), C2), "one more is outstanding");
    assert!(welcomed(hub.input(Input::Failed { token: 2 }), C2));
    assert_eq!(ingests(hub.frame(C2, EdgeFrame::Batch(batch(5, 1, 4)))).len(), 1, "from the start again");
}

#[test]
fn hostile_frames_never_panic() {
    let mut dice = fastrand::Rng::with_seed(5);
    let frames = [
        EdgeFrame::Batch(batch(5, 1, 3)),
        EdgeFrame::Latest(batch(5, 1, 3)),
        EdgeFrame::CaughtUp { epoch: Epoch(5), through: Seq(3) },
        EdgeFrame::Ping(1),
        EdgeFrame::Pong(1),
        EdgeFrame::Bye { last_added: Seq(3) },
    ];
    for round in 0..3000 {
        let mut hub = up(&hello());
        for _ in 0..3 {
            let mut message = encode_edge(&frames[dice.usize(..frames.len())], |_| None).to_vec();
            for _ in 0..dice.usize(0..4) {
                let at = dice.usize(..message.len());
                message[at] = dice.u8(..);
            }
            if dice.u8(0..8) == 0 {
                message.truncate(dice.usize(..message.len()));
            }
            match decode_edge(Bytes::from(message), Stage::Welcomed, |_, _| None) {
                Ok(frame) => hub.frame(C1, frame),
                Err(bad) => hub.input(Input::Malformed { connection: C1, what: bad.to_string() }),
            };
            hub.input(Input::Ingested { token: dice.u64(0..4), refused: Vec::new() });
        }
        assert!(hub.receivers.connections() <= 1, "round {round}");
    }
}

#[test]
fn the_largest_batch_fits_into_one_commit_with_every_entrys_origin() {
    let entries = LIMITS.batch_entries as usize;
    let body = vec![7; LIMITS.batch_bytes as usize / entries - FRAME_HEADER_BYTES];
    let frame = Frame { route: RouteNumber(0), origin: None, crc: 0, body: &body };
    assert!(frame.size() * (entries + 1) > LIMITS.batch_bytes as usize, "as large as they may be");
    let origin = Some(Origin { number: 1, seq: Seq(1), wall: Wall(1), uncertain: false });
    assert!(Frame { origin, ..frame }.size() * entries <= BATCH_BYTES_MAX);
}

/// A few bytes are an item: as many as fit into a batch would be a hundred times as large in memory.
#[test]
fn a_batch_of_more_items_than_its_entries_could_lie_between_is_refused() {
    let most = 4 * (LIMITS.batch_entries as usize + 1);
    for (count, refused) in [(most, None), (most + 1, Some(RefusedCode::TooLarge))] {
        let mut hub = up(&hello());
        // Causes in turn, so that no two are one.
        let mut items = ItemsWriter::default();
        for n in 0..count {
            items.gap(1, if n % 2 == 0 { Cause::Quota } else { Cause::Damage });
        }
        let whole = Batch { items: items.finish(), ..batch(5, 1, 1) };
        assert_eq!(closed(hub.frame(C1, EdgeFrame::Batch(whole)), C1), refused, "{count} items");
    }
}
