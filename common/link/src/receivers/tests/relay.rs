//! What comes from logs below an edge's own, and who is above.

use super::*;
use riser_wire::{
    entry::{Frame, Origin},
    link::Above,
    passed::Passed,
};
use std::collections::BTreeSet;

/// The log below, and an epoch of it.
const BELOW: (LogId, Epoch) = (LogId(50), Epoch(8));

fn up(above: Above) -> Hub {
    let mut hub = Hub::new();
    hub.input(Input::Above(above));
    assert!(welcomed(hub.greet(C1, &hello()), C1));
    hub
}

/// Frames of the log below, with these seqs there.
fn relayed(seqs: &[u64]) -> Vec<u8> {
    let plain = entries(seqs.len() as u32);
    let mut out = Vec::new();
    for (seq, frame) in seqs.iter().zip(riser_wire::entry::frames(&plain).map(Result::unwrap)) {
        let origin = Origin { number: 1, seq: Seq(*seq), wall: Wall(7), uncertain: false };
        Frame { origin: Some(origin), ..frame }.write(&mut out);
    }
    out
}

/// What says that seqs up to `to` are no entries.
fn passed(from: u64, to: u64, first: u64, cause: Option<Cause>) -> Vec<u8> {
    let (mut plain, mut out) = (Vec::new(), Vec::new());
    Passed { from: Seq(from), first: Seq(first), cause }.write(Stamp::default(), &mut plain);
    let (frame, _) = Frame::read(&plain, 0).unwrap();
    let origin = Origin { number: 1, seq: Seq(to), wall: Wall(7), uncertain: false };
    Frame { origin: Some(origin), ..frame }.write(&mut out);
    out
}

/// A batch from the edge's `first` on, of so many frames of the log that its number 1 stands for.
fn of(place: (LogId, Epoch), first: u64, frames: &[u8]) -> EdgeFrame {
    let count = riser_wire::entry::frames(frames).count() as u32;
    let mut items = ItemsWriter::default();
    items.entries(count, frames);
    let batch = batch(5, first, 1);
    let definitions = Definitions { origins: vec![(1, place)], ..batch.definitions.clone() };
    EdgeFrame::Batch(Batch { definitions, items: items.finish(), ..batch })
}

/// How many entries were kept of the last batch, and the cursor of the log below that it made.
fn kept(hub: &Hub) -> (u32, Option<CursorValue>) {
    let ingest = ingests(&hub.outputs)[0];
    let count = |item: &Item| if let Item::Entries { count, .. } = item { *count } else { 0 };
    let key = CursorKey::Relayed(EDGE, BELOW.0, BELOW.1);
    let cursor = ingest.cursors.iter().find(|(of, _)| *of == key).and_then(|(_, value)| *value);
    (ingest.items.iter().map(count).sum(), cursor)
}

fn lost(hub: &Hub) -> Vec<(LogId, Gap)> {
    let gap = |output: &Output| match output {
        Output::Emit { event: SystemEvent::LinkGap { log, gap, .. }, .. } => Some((*log, *gap)),
        _ => None,
    };
    hub.outputs.iter().filter_map(gap).collect()
}

#[test]
fn seqs_of_a_log_below_are_taken_once_and_a_hole_is_a_gap() {
    let mut hub = up(Above::default());
    hub.frame(C1, of(BELOW, 1, &[passed(1, 0, 1, None), relayed(&[1, 2])].concat()));
    let (count, cursor) = kept(&hub);
    assert_eq!((count, cursor.map(|c| (c.first.0, c.through.0, c.gapped))), (2, Some((1, 2, 0))));
    // Before that is on disk: one again, one that is new.
    hub.frame(C1, of(BELOW, 4, &relayed(&[2, 3])));
    assert_eq!(kept(&hub).0, 1);
    assert_eq!(hub.receivers.dropped().again, 1);
    assert!(lost(&hub).is_empty());
    // 4 and 5 stay on site, 6 was gone there already, 7 and 8 nobody speaks of.
    let said = [passed(4, 5, 0, None), passed(6, 6, 0, Some(Cause::Quota)), relayed(&[9])].concat();
    hub.frame(C1, of(BELOW, 6, &said));
    let gap = |from, to, cause| (BELOW.0, Gap { from: Seq(from), to: Seq(to), cause });
    assert_eq!(lost(&hub), [gap(6, 6, Cause::Quota), gap(7, 8, Cause::RelayLost)]);
    let (count, cursor) = kept(&hub);
    assert_eq!(
        (count, cursor.map(|c| (c.through.0, c.gapped))),
        (1, Some((9, 3))),
        "stubs end at the topmost"
    );
}

#[test]
fn an_epoch_that_ended_short_of_the_next_one_lost_its_end() {
    let mut hub = up(Above::default());
    hub.frame(C1, of(BELOW, 1, &relayed(&[5])));
    let next = (BELOW.0, Epoch(9));
    let batch = of(next, 2, &[passed(9, 8, 9, None), relayed(&[9])].concat());
    hub.frame(C1, batch);
    let gap = Gap { from: Seq(6), to: Seq(8), cause: Cause::RelayLost };
    assert_eq!(lost(&hub), [(BELOW.0, gap)]);
    let cursors = &ingests(&hub.outputs)[0].cursors;
    let of = |epoch| {
        let key = CursorKey::Relayed(EDGE, BELOW.0, epoch);
        cursors
            .iter()
            .find(|(of, _)| *of == key)
            .and_then(|(_, value)| *value)
            .map(|c| (c.through.0, c.gapped))
    };
    assert_eq!((of(BELOW.1), of(Epoch(9))), (Some((8, 3)), Some((9, 0))));
}

#[test]
fn a_failed_commit_is_forgotten_of_logs_below_too() {
    let mut hub = up(Above::default());
    hub.frame(C1, of(BELOW, 1, &relayed(&[1, 2])));
    hub.input(Input::Failed { token: 1 });
    assert!(welcomed(hub.greet(C2, &hello()), C2));
    let EdgeFrame::Batch(batch) = of(BELOW, 1, &relayed(&[1, 2])) else { unreachable!() };
    hub.frame(C2, EdgeFrame::Batch(batch));
    assert_eq!((kept(&hub).0, hub.receivers.dropped().again), (2, 0));
}

#[test]
fn what_is_its_own_or_from_above_is_dropped_and_counted() {
    for log in [HUB_LOG, LogId(60)] {
        let mut hub = up(Above { hops: 1, logs: vec![LogId(60)] });
        hub.frame(C1, of((log, Epoch(1)), 1, &relayed(&[1, 2, 3])));
        assert_eq!((kept(&hub).0, hub.receivers.dropped().own), (0, 3));
        assert_eq!(synced(hub.input(Input::Ingested { token: 1, refused: Vec::new() })), [3]);
    }
}

#[test]
fn what_is_of_another_accounts_log_is_the_carriers_own_and_moves_no_cursor_of_that_log() {
    let other = ClientId(Uuid::from_bytes([2; 16]));
    let value = CursorValue { through: Seq(3), heard: Seq(3), first: Seq(1), ..CursorValue::default() };
    let mut hub = Hub::over([(CursorKey::Ingest(other, BELOW.0, BELOW.1), value)]);
    hub.receivers.know([(other, AccountId(Uuid::from_bytes([8; 16])))]);
    assert!(welcomed(hub.greet(C1, &hello()), C1));
    hub.frame(C1, of(BELOW, 1, &relayed(&[4, 9])));
    assert_eq!(closed(&hub.outputs, C1), None, "the rest of what it brings goes on");
    assert!(lost(&hub).is_empty(), "nobody believes it that 5 to 8 are gone");
    let ingest = ingests(&hub.outputs)[0].clone();
    assert_eq!(ingest.foreign, BTreeSet::from([Seq(1), Seq(2)]));
    let has_origin = |item: &Item| match item {
        Item::Entries { frames: bytes, .. } => {
            riser_wire::entry::frames(bytes).any(|frame| frame.unwrap().origin.is_some())
        }
        Item::Gap(_) | Item::Skip { .. } => true,
    };
    assert!(!ingest.items.iter().any(has_origin), "{:?}", ingest.items);
    let keys: Vec<CursorKey> = ingest.cursors.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, [CursorKey::Ingest(EDGE, hello().log, Epoch(5))]);
    assert_eq!(synced(hub.input(Input::Ingested { token: 1, refused: Vec::new() })), [2]);
}

/// A hub with the link of an edge that is not declared to relay.
pub(super) fn not_to_relay() -> Hub {
    let mut hub = Hub::new();
    hub.open(C1);
    let frame = hub.signed(C1, &hello());
    hub.frame(C1, frame);
    let edge = Some(Registered { relays: false, ..registered() });
    assert!(welcomed(hub.input(Input::Found { connection: C1, edge }), C1));
    hub
}

#[test]
fn an_edge_that_is_not_declared_to_relay_brings_nothing_of_another_log() {
    let mut hub = not_to_relay();
    hub.frame(C1, of(BELOW, 1, &relayed(&[1])));
    assert_eq!(closed(&hub.outputs, C1), Some(RefusedCode::NotAuthorised));
    assert!(ingests(&hub.outputs).is_empty());
}

#[test]
fn what_its_own_link_has_on_its_way_is_not_taken_from_another_again() {
    let mut hub = up(Above::default());
    let own = (hello().log, Epoch(5));
    hub.frame(C1, EdgeFrame::Batch(batch(5, 1, 3)));
    let between = Hello { edge: ClientId(Uuid::from_bytes([2; 16])), log: LogId(2), ..hello() };
    assert!(welcomed(hub.greet(C2, &between), C2));
    hub.frame(C2, of(own, 1, &relayed(&[2, 3, 4])));
    let ingest = ingests(&hub.outputs)[0];
    let count = |item: &Item| if let Item::Entries { count, .. } = item { *count } else { 0 };
    assert_eq!(ingest.items.iter().map(count).sum::<u32>(), 1, "4 alone is new");
    let moves: Vec<_> = ingest.cursors.iter().filter(|(_, value)| value.is_some()).collect();
    let key = CursorKey::Ingest(EDGE, own.0, own.1);
    let cursor = moves.iter().find(|(of, _)| *of == key).and_then(|(_, value)| *value);
    assert_eq!(
        cursor.map(|c| (c.through.0, c.crc)),
        Some((4, 0)),
        "by the name that it will have, of an unknown end"
    );
    let named_otherwise = |(of, _): &&&(CursorKey, Option<CursorValue>)| matches!(of, CursorKey::Relayed(..));
    assert_eq!(moves.iter().filter(named_otherwise).count(), 0);
}

#[test]
fn who_is_above_is_refused_below_and_who_comes_to_be_is_sent_away() {
    let mut hub = Hub::new();
    hub.input(Input::Above(Above { hops: 1, logs: vec![LogId(1)] }));
    hub.greet(C1, &hello());
    assert_eq!(closed(&hub.outputs, C1), Some(RefusedCode::Loop));
    let mut hub = up(Above::default());
    let said = |hops, logs: &[u64]| {
        let logs = logs.iter().copied().map(LogId).collect();
        Output::Send { connection: C1, frame: HubFrame::Above(Above { hops, logs }) }
    };
    assert_eq!(hub.frame(C1, EdgeFrame::Above), [said(0, &[HUB_LOG.0])]);
    let above = Above { hops: 1, logs: vec![LogId(60)] };
    assert_eq!(hub.input(Input::Above(above)), [said(1, &[60, HUB_LOG.0])], "it is told of a change");
    hub.input(Input::Above(Above { hops: 2, logs: vec![LogId(1), LogId(60)] }));
    assert_eq!(closed(&hub.outputs, C1), Some(RefusedCode::Loop));
    // The instance itself, by its own log.
    let own = Hello { log: HUB_LOG, ..hello() };
    hub.greet(C2, &own);
    assert_eq!(closed(&hub.outputs, C2), Some(RefusedCode::Loop));
}

#[test]
fn a_log_below_that_is_new_is_turned_away_where_segments_have_no_room_for_its_cursors() {
    let mut hub = up(Above::default());
    hub.receivers.config.cursors_max = 1;
    hub.frame(C1, of(BELOW, 1, &relayed(&[1, 2])));
    assert_eq!(closed(&hub.outputs, C1), Some(RefusedCode::TooMany));
}

fn reached(outputs: &[Output]) -> Vec<(ConnectionId, u64)> {
    let told = |output: &Output| match output {
        Output::Send { connection, frame: HubFrame::Reached { through, .. } } => {
            Some((*connection, through.0))
        }
        _ => None,
    };
    outputs.iter().filter_map(told).collect()
}

#[test]
fn how_far_a_log_was_taken_is_told_to_those_whose_it_is_and_asked_above() {
    let cursor = |account_of, log| {
        let value = CursorValue { through: Seq(7), ..CursorValue::default() };
        (CursorKey::Relayed(account_of, log, BELOW.1), value)
    };
    let other = ClientId(Uuid::from_bytes([9; 16]));
    let mut hub = Hub::over([cursor(EDGE, BELOW.0), cursor(other, LogId(60))]);
    hub.receivers.know([(other, AccountId(Uuid::from_bytes([8; 16])))]);
    hub.receivers.config.others = Others::Relayed;
    hub.greet(C1, &hello());
    let (log, epoch) = BELOW;
    let asks = |outputs: &[Output]| outputs.iter().any(|o| matches!(o, Output::Ask { .. }));
    let said = hub.frame(C1, EdgeFrame::Reached { log, epoch }).to_vec();
    assert_eq!((reached(&said), asks(&said)), (vec![(C1, 7)], true));
    let said = hub.input(Input::Reached { log, epoch, through: Seq(20) }).to_vec();
    assert_eq!(reached(&said), [(C1, 20)]);
    // There may be somebody else above, who answers too; and what nobody asked for is nobody's.
    let said = hub.input(Input::Reached { log, epoch, through: Seq(30) }).to_vec();
    assert_eq!(reached(&said), [(C1, 30)]);
    let said = hub.input(Input::Reached { log, epoch: Epoch(99), through: Seq(30) }).to_vec();
    assert_eq!(reached(&said), []);
    let said = hub.frame(C1, EdgeFrame::Reached { log: LogId(60), epoch }).to_vec();
    assert_eq!((reached(&said), asks(&said)), (vec![(C1, 0)], false), "another account's log");
    // The topmost has nobody to ask.
    hub.receivers.config.others = Others::All;
    let said = hub.frame(C1, EdgeFrame::Reached { log, epoch }).to_vec();
    assert_eq!((reached(&said), asks(&said)), (vec![(C1, 7)], false));
}

#[test]
fn what_is_shown_of_a_log_below_is_only_what_the_edge_may_bring() {
    let other = ClientId(Uuid::from_bytes([9; 16]));
    let foreign = (CursorKey::Relayed(other, LogId(60), BELOW.1), CursorValue::default());
    let mut hub = Hub::over([foreign]);
    hub.receivers.know([(other, AccountId(Uuid::from_bytes([8; 16])))]);
    assert!(welcomed(hub.greet(C1, &hello()), C1));
    let shown = |hub: &mut Hub, place| {
        let EdgeFrame::Batch(batch) = of(place, 1, &relayed(&[5])) else { panic!("made above") };
        let said = hub.frame(C1, EdgeFrame::Latest(batch)).to_vec();
        let items = |output: &Output| match output {
            Output::Latest { items, .. } => Some(items.len()),
            _ => None,
        };
        said.iter().find_map(items)
    };
    assert_eq!(shown(&mut hub, BELOW), Some(1));
    assert_eq!(shown(&mut hub, (LogId(60), BELOW.1)), Some(0), "another account's log");
    assert_eq!(shown(&mut hub, (HUB_LOG, BELOW.1)), Some(0), "the hub's own log");
}
