//! One message of the link, at both ends, before and after the peer is known. What is read is written as it was.
//!
//! Input: which end and stage, then the message.

use crate::outcome;
use bytes::Bytes;
use riser_model::{
    AccountId, BootId, Cause, ClientId, CursorValue, Epoch, EpochSpan, HubIdentity, LogId, PublicKey, RoomId,
    Route, RouteNumber, Seq, Stamp, Wall, time::Anchor,
};
use riser_wire::{
    entry::{ContentType, Publication},
    link::{
        Batch, Branch, BranchLink, Definitions, EdgeFrame, Hello, HubFrame, Items, ItemsWriter, Nonce,
        NotShown, Opening, Signature, Stage, Tree, TreeHeard, decode_edge, decode_hub, encode_edge,
        encode_hub,
    },
};
use uuid::Uuid;

pub fn run(input: &[u8]) {
    let [how, message @ ..] = input else { return };
    let stage = if how & 2 == 0 { Stage::Unauthenticated } else { Stage::Welcomed };
    let message = Bytes::copy_from_slice(message);
    if how & 1 == 0 { from_edge(message, stage) } else { from_hub(message, stage) }
}

fn from_edge(message: Bytes, stage: Stage) {
    let frame = match decode_edge(message, stage, unpacked) {
        Ok(frame) => frame,
        Err(error) => return outcome::note_error(&error),
    };
    outcome::note(std::mem::discriminant(&frame));
    let again = decode_edge(encode_edge(&frame, |_| None), Stage::Welcomed, |_, _| None);
    assert_eq!(again.as_ref(), Ok(&frame));
    if let EdgeFrame::Batch(batch) | EdgeFrame::Latest(batch) = frame {
        let mut next = batch.first;
        for item in Items::new(batch.first, batch.items).map_while(Result::ok) {
            assert_eq!(item.first(), next, "items lie without a hole");
            next = item.last().next();
        }
    }
}

fn from_hub(message: Bytes, stage: Stage) {
    let frame = match decode_hub(message, stage, unpacked) {
        Ok(frame) => frame,
        Err(error) => return outcome::note_error(&error),
    };
    outcome::note(std::mem::discriminant(&frame));
    assert_eq!(decode_hub(encode_hub(&frame, |_| None), Stage::Welcomed, |_, _| None).as_ref(), Ok(&frame));
}

/// Stands in for zstd: the bytes over and over.
fn unpacked(bytes: &[u8], size: usize) -> Option<Vec<u8>> {
    (!bytes.is_empty()).then(|| bytes.iter().copied().cycle().take(size.min(1 << 16)).collect())
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    Publication::new(ContentType::Json, b"{\"v\":1}").write_frame(
        &mut entries,
        RouteNumber(0),
        Stamp::default(),
    );
    let mut items = ItemsWriter::default();
    items.skip(3);
    items.gap(2, Cause::Quota);
    items.entries(1, &entries);
    let route = Route {
        room: RoomId(Uuid::from_u128(1)),
        channel: "a/b".parse().expect("letters are a channel"),
        client: ClientId(Uuid::from_u128(2)),
    };
    let definitions = Definitions { routes: vec![(RouteNumber(0), route)], ..Definitions::default() };
    let (epoch, last_added) = (Epoch(5), Seq(300));
    let batch = Batch { epoch, first: Seq(4), last_added, definitions, items: items.finish() };
    let anchor = Anchor { boot: BootId(6), boot_us: 1, hub: Some(Wall(1)), error_ms: 2 };
    let span = EpochSpan { epoch, first: Seq(1), last: last_added };
    let hello = Hello {
        edge: ClientId(Uuid::from_u128(3)),
        log: LogId(1),
        chain: vec![Opening { span, anchor: Some(anchor) }],
        live: epoch,
        last_added,
        cursor: CursorValue::default(),
        boot: BootId(6),
        clock: Stamp::default(),
        nonce: Nonce([1; 32]),
    };
    let branch = Branch {
        number: 1,
        edge: ClientId(Uuid::from_u128(4)),
        account: AccountId(Uuid::from_u128(5)),
        name: "low".parse().expect("letters are a name"),
        path: vec![ClientId(Uuid::from_u128(6))],
        log: Some((LogId(7), epoch)),
        link: BranchLink::Up,
        for_ms: 300,
        tail: Seq(300),
    };
    let tree = Tree { edges: vec![branch], tails: vec![(1, Seq(301))], gone: vec![2], whole: true };
    let edge = [
        EdgeFrame::Hello(Box::new(hello), Signature::from_bytes(&[7; 64])),
        EdgeFrame::Batch(batch.clone()),
        EdgeFrame::Latest(batch),
        EdgeFrame::CaughtUp { epoch, through: Seq(2) },
        EdgeFrame::Ping(1),
        EdgeFrame::Bye { last_added },
        EdgeFrame::Tree(tree),
    ];
    let hub = [
        HubFrame::Nonce {
            hub: HubIdentity { key: PublicKey([1; 32]), log: LogId(2) },
            nonce: Nonce([2; 32]),
        },
        HubFrame::Synced { epoch, through: Seq(2), refused: Vec::new() },
        HubFrame::Pong(300),
        HubFrame::Tree(TreeHeard { shown: 1, refused: 1, why: Some(NotShown::TooMany) }),
    ];
    let packed = |body: &[u8]| Some(body.get(..body.len() / 2)?.to_vec());
    let edges = edge.iter().flat_map(|frame| [encode_edge(frame, |_| None), encode_edge(frame, packed)]);
    let edges = edges.map(|message| [&[2], message.as_ref()].concat());
    let hubs = hub.iter().map(|frame| [&[3], encode_hub(frame, |_| None).as_ref()].concat());
    edges.chain(hubs).collect()
}
