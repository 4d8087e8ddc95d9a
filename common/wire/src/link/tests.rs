//! Frames of the link: round trips, golden bytes, truncation and limits.

use super::{items::numbered, message::MESSAGE_BYTES_MAX, *};
use crate::{
    entry::{ContentType, Publication},
    limits::UNAUTHENTICATED_BYTES_MAX,
};
use riser_model::{Cause, PublicKey, RoomId};

const HUB: HubIdentity = HubIdentity { key: PublicKey([3; 32]), log: LogId(4) };

fn span() -> EpochSpan {
    EpochSpan { epoch: Epoch(5), first: Seq(1), last: Seq(300) }
}

fn cursor() -> CursorValue {
    CursorValue { through: Seq(7), heard: Seq(8), crc: 9, ..CursorValue::default() }
}

fn hello() -> Hello {
    let anchor = Anchor { boot: BootId(6), boot_us: 1, hub: Some(Wall(-1)), error_ms: 2 };
    Hello {
        edge: ClientId::SYSTEM,
        log: LogId(1),
        chain: vec![Opening { span: span(), anchor: Some(anchor) }],
        live: Epoch(5),
        last_added: Seq(300),
        cursor: cursor(),
        boot: BootId(6),
        clock: Stamp { boot_us: 1, wall: Wall(2), uncertainty_ms: 3 },
        nonce: Nonce([1; 32]),
    }
}

fn welcome() -> Welcome {
    Welcome {
        hub: HUB,
        chain: vec![span()],
        taken: vec![Taken { epoch: Epoch(5), cursor: cursor() }],
        limits: Limits { batch_bytes: 1, batch_entries: 2, body_bytes: 3, unconfirmed_bytes: 4 },
        clock: Wall(1),
    }
}

fn frames(n: u32) -> Vec<u8> {
    let mut out = Vec::new();
    for i in 0..n {
        let payload = vec![i as u8; 10];
        Publication::new(ContentType::Octets, &payload).write_frame(
            &mut out,
            RouteNumber(0),
            Stamp::default(),
        );
    }
    out
}

fn batch() -> Batch {
    let mut items = ItemsWriter::default();
    items.entries(2, &frames(2));
    items.skip(3);
    items.gap(4, Cause::Quota);
    let route =
        Route { room: RoomId(ClientId::SYSTEM.0), channel: "a/b".parse().unwrap(), client: ClientId::SYSTEM };
    Batch {
        epoch: Epoch(5),
        first: Seq(10),
        last_added: Seq(300),
        definitions: Definitions {
            forget: true,
            routes: vec![(RouteNumber(0), route)],
            origins: vec![(1, (LogId(2), Epoch(3)))],
        },
        items: items.finish(),
    }
}

fn edge_frames() -> Vec<EdgeFrame> {
    vec![
        EdgeFrame::Hello(Box::new(hello()), Signature::from_bytes(&[7; 64])),
        EdgeFrame::Batch(batch()),
        EdgeFrame::Latest(batch()),
        EdgeFrame::CaughtUp { epoch: Epoch(1), through: Seq(2) },
        EdgeFrame::Ping(1),
        EdgeFrame::Pong(2),
        EdgeFrame::Bye { last_added: Seq(300) },
        EdgeFrame::Down(DownAnswer::Ready),
        EdgeFrame::Down(DownAnswer::Welcome(Box::new(welcome()))),
        EdgeFrame::Down(DownAnswer::Synced {
            epoch: Epoch(5),
            through: Seq(2),
            refused: vec![refused_gap()],
        }),
        EdgeFrame::Down(DownAnswer::Refused(refusal())),
        EdgeFrame::Above,
        EdgeFrame::Reached { log: LogId(300), epoch: Epoch(5) },
        EdgeFrame::GivenUp,
        EdgeFrame::Tree(tree()),
    ]
}

fn refused_gap() -> Gap {
    Gap { from: Seq(1), to: Seq(2), cause: Cause::Refused }
}

fn refusal() -> Refused {
    Refused { code: RefusedCode::Clone, what: "a".into(), want: "b".into(), after_ms: Some(300) }
}

fn hub_frames() -> Vec<HubFrame> {
    vec![
        HubFrame::Nonce { hub: HUB, nonce: Nonce([2; 32]) },
        HubFrame::Welcome(Box::new(welcome()), Signature::from_bytes(&[8; 64])),
        HubFrame::Synced { epoch: Epoch(5), through: Seq(2), refused: vec![refused_gap()] },
        HubFrame::Refused(refusal()),
        HubFrame::Ping(1),
        HubFrame::Pong(300),
        HubFrame::Down(DownFrame::Hello(Box::new(hello()))),
        HubFrame::Down(DownFrame::Batch(batch())),
        HubFrame::Above(Above { hops: 2, logs: vec![LogId(4), LogId(300)] }),
        HubFrame::Reached { log: LogId(300), epoch: Epoch(5), through: Seq(70_000) },
        HubFrame::GivenUp(given_up()),
        HubFrame::Tree(TreeHeard { shown: 300, refused: 1, why: Some(NotShown::TooMany) }),
    ]
}

fn given_up() -> GivenUp {
    let account = AccountId(uuid::Uuid::from_u128(7));
    GivenUp { account, credentials: vec![[4; 32]], ids: vec![[5; 16]], more: true }
}

fn tree() -> Tree {
    let branch = Branch {
        number: 300,
        edge: ClientId(uuid::Uuid::from_u128(9)),
        account: AccountId(uuid::Uuid::from_u128(7)),
        name: "low".parse().expect("it is a name"),
        path: vec![ClientId(uuid::Uuid::from_u128(8))],
        log: Some((LogId(1), Epoch(5))),
        link: BranchLink::Unknown,
        for_ms: 300,
        tail: Seq(70_000),
    };
    Tree { edges: vec![branch], tails: vec![(1, Seq(2))], gone: vec![3], whole: true }
}

fn plain(frame: &EdgeFrame) -> Bytes {
    encode_edge(frame, |_| None)
}

fn plain_hub(frame: &HubFrame) -> Bytes {
    encode_hub(frame, |_| None)
}

/// Stands in for zstd: the body's length, and one byte of which it consists.
fn squeeze(body: &[u8]) -> Option<Vec<u8>> {
    Some(vec![body.first().copied()?; body.len() / 2])
}

#[test]
fn every_frame_round_trips() {
    for frame in edge_frames() {
        assert_eq!(decode_edge(plain(&frame), Stage::Welcomed, |_, _| None), Ok(frame));
    }
    for frame in hub_frames() {
        assert_eq!(decode_hub(plain_hub(&frame), Stage::Welcomed, |_, _| None), Ok(frame));
    }
}

#[test]
fn frame_bytes_are_golden() {
    let short: Vec<Bytes> = vec![
        plain(&EdgeFrame::CaughtUp { epoch: Epoch(300), through: Seq(2) }),
        plain(&EdgeFrame::Ping(1)),
        plain(&EdgeFrame::Pong(300)),
        plain(&EdgeFrame::Bye { last_added: Seq(300) }),
        plain_hub(&HubFrame::Ping(1)),
        plain_hub(&HubFrame::Pong(300)),
    ];
    let golden: [&[u8]; 6] = [
        &[1, 0, 3, 172, 2, 2],
        &[1, 0, 4, 1],
        &[1, 0, 5, 172, 2],
        &[1, 0, 6, 172, 2],
        &[1, 0, 4, 1],
        &[1, 0, 5, 172, 2],
    ];
    for (got, want) in short.iter().zip(golden) {
        assert_eq!(got.as_ref(), want);
    }
    let down: Vec<Bytes> = edge_frames().iter().skip(7).map(plain).collect();
    assert_eq!(down[0].as_ref(), [2, 0, 7, 0]);
    assert_eq!(down[2].as_ref(), [2, 0, 7, 2, 5, 2, 1, 1, 2, 5]);
    assert_eq!(down[3].as_ref(), [2, 0, 7, 3, 6, 1, b'a', 1, b'b', 1, 172, 2]);
    assert_eq!(down[4].as_ref(), [3, 0, 8]);
    assert_eq!(plain_hub(&hub_frames()[8]).as_ref(), [3, 0, 7, 2, 2, 4, 172, 2]);
    assert_eq!(down[6].as_ref(), [5, 0, 10]);
    let parts = [&[5, 0, 9, 16][..], &[0; 15], &[7, 1], &[4; 32], &[1], &[5; 16], &[1]];
    assert_eq!(plain_hub(&hub_frames()[10]).as_ref(), parts.concat());
    // One edge: number, edge, account, name, path, log and epoch, link, for how long, tail.
    let branch =
        [&[172, 2, 16][..], &[0; 15], &[9, 16], &[0; 15], &[7, 3, b'l', b'o', b'w', 1, 16], &[0; 15], &[8]];
    let branch = [&branch.concat()[..], &[1, 1, 5, 2, 172, 2, 240, 162, 4]].concat();
    assert_eq!(down[7].as_ref(), [&[6, 0, 11, 1][..], &branch, &[1, 1, 2, 1, 3, 1]].concat());
    assert_eq!(plain_hub(&hub_frames()[11]).as_ref(), [6, 0, 10, 172, 2, 1, 1, 4]);
    let refused = &hub_frames()[3];
    assert_eq!(plain_hub(refused).as_ref(), [1, 0, 3, 6, 1, b'a', 1, b'b', 1, 172, 2]);
    let synced = &hub_frames()[2];
    assert_eq!(plain_hub(synced).as_ref(), [1, 0, 2, 5, 2, 1, 1, 2, 5]);
}

#[test]
fn long_frame_bytes_are_golden() {
    let nonce = plain_hub(&hub_frames()[0]);
    let mut golden = vec![1, 0, 0];
    golden.extend_from_slice(&[3; 32]);
    golden.push(4);
    golden.extend_from_slice(&[2; 32]);
    assert_eq!(nonce.as_ref(), golden);

    let hello = plain(&edge_frames()[0]);
    let mut golden = vec![1, 0, 0, 16]; // version, flags, variant, length of a UUID
    golden.extend_from_slice(&[0; 16]); // edge
    golden.extend_from_slice(&[1, 1, 5, 1, 172, 2]); // log, one opening: epoch, first, last
    golden.extend_from_slice(&[1, 6, 1, 1, 1, 2]); // its anchor: boot, boot_us, hub (zigzag), error
    golden.extend_from_slice(&[5, 172, 2, 7, 8, 9, 0, 0]); // live, last_added, cursor
    golden.extend_from_slice(&[6, 1, 4, 3]); // boot, clock: boot_us, wall (zigzag), uncertainty
    golden.extend_from_slice(&[1; 32]);
    golden.extend_from_slice(&[7; 64]);
    assert_eq!(hello.as_ref(), golden);

    let welcome = plain_hub(&hub_frames()[1]);
    let mut golden = vec![1, 0, 1];
    golden.extend_from_slice(&[3; 32]);
    golden.extend_from_slice(&[4, 1, 5, 1, 172, 2]); // hub's log, its chain
    golden.extend_from_slice(&[1, 5, 7, 8, 9, 0, 0]); // taken
    golden.extend_from_slice(&[1, 2, 3, 4, 2]); // limits, clock (zigzag)
    golden.extend_from_slice(&[8; 64]);
    assert_eq!(welcome.as_ref(), golden);
}

#[test]
fn batch_bytes_are_golden() {
    let message = plain(&EdgeFrame::Batch(batch()));
    let mut golden = vec![1, 0, 1, 5, 10, 172, 2, 1, 1, 0, 16]; // ..., epoch, first, last_added, forget, one route
    golden.extend_from_slice(&[0; 16]); // room
    golden.extend_from_slice(&[3, b'a', b'/', b'b', 16]);
    golden.extend_from_slice(&[0; 16]); // client
    golden.extend_from_slice(&[1, 1, 2, 3]); // one origin
    let frames = frames(2);
    golden.extend_from_slice(&[1, 2, 0, 0, 0, frames.len() as u8, 0, 0, 0]);
    golden.extend_from_slice(&frames);
    golden.extend_from_slice(&[3, 3, 0, 0, 0, 0, 0, 0, 0]);
    golden.extend_from_slice(&[2, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(message.as_ref(), golden);
}

#[test]
fn bytes_of_the_way_down_are_those_of_the_way_up_behind_their_own_numbers() {
    let hub: Vec<Bytes> = hub_frames().iter().map(plain_hub).collect();
    let edge: Vec<Bytes> = edge_frames().iter().map(plain).collect();
    // Without the 64 bytes of the signature.
    assert_eq!(hub[6][..4], [2, 0, 6, 0]);
    assert_eq!(hub[6][4..], edge[0][3..edge[0].len() - 64]);
    assert_eq!(hub[7][..4], [2, 0, 6, 1]);
    assert_eq!(hub[7][4..], edge[1][3..]);
    assert_eq!(edge[8][..4], [2, 0, 7, 1]);
    assert_eq!(edge[8][4..], hub[1][3..hub[1].len() - 64]);
}

#[test]
fn items_say_where_everything_is() {
    let items: Vec<Item> = Items::new(Seq(10), batch().items).map(Result::unwrap).collect();
    let spans: Vec<_> = items.iter().map(|i| (i.first().0, i.last().0)).collect();
    assert_eq!(spans, [(10, 11), (12, 14), (15, 18)]);
    let Item::Entries { first, count, frames } = &items[0] else { panic!("{items:?}") };
    let seqs: Vec<_> = numbered(*first, frames).map(|f| f.unwrap().0.0).collect();
    assert_eq!((seqs, *count), (vec![10, 11], 2));
}

#[test]
fn adjacent_items_of_a_kind_become_one() {
    let mut writer = ItemsWriter::default();
    let one = frames(1);
    for _ in 0..3 {
        writer.entries(1, &one);
    }
    writer.skip(1);
    writer.skip(1);
    writer.gap(1, Cause::Quota);
    writer.gap(1, Cause::Quota);
    writer.gap(1, Cause::Damage);
    assert_eq!((writer.seqs(), writer.entry_count()), (8, 3));
    let spans: Vec<_> =
        Items::new(Seq(1), writer.finish()).map(|i| i.map(|i| (i.first().0, i.last().0)).unwrap()).collect();
    assert_eq!(spans, [(1, 3), (4, 5), (6, 7), (8, 8)]);
}

#[test]
fn every_cut_of_every_frame_is_seen() {
    for frame in edge_frames() {
        let message = plain(&frame);
        let items = match &frame {
            EdgeFrame::Batch(batch) | EdgeFrame::Latest(batch) => batch.items.len(),
            _ => 0,
        };
        for cut in 0..message.len() - items {
            let got = decode_edge(message.slice(..cut), Stage::Welcomed, |_, _| None);
            assert!(got.is_err(), "{frame:?} at {cut}: {got:?}");
        }
    }
    for frame in hub_frames() {
        let message = plain_hub(&frame);
        let items = match &frame {
            HubFrame::Down(DownFrame::Batch(batch)) => batch.items.len(),
            _ => 0,
        };
        for cut in 0..message.len() - items {
            assert!(decode_hub(message.slice(..cut), Stage::Welcomed, |_, _| None).is_err());
        }
    }
    let block = batch().items;
    let whole: Vec<usize> = vec![0, 9 + frames(2).len(), 9 + frames(2).len() + 9];
    for cut in 0..block.len() {
        let seen = Items::new(Seq(1), block.slice(..cut)).any(|i| i.is_err());
        assert_eq!(seen, !whole.contains(&cut), "{cut}");
    }
}

#[test]
fn bytes_after_a_frame_are_refused() {
    let mut message = plain(&EdgeFrame::Ping(1)).to_vec();
    message.push(0);
    assert_eq!(decode_edge(message.into(), Stage::Welcomed, |_, _| None), Err(BadMessage::Trailing));
}

#[test]
fn versions_and_flags_of_others_are_refused() {
    let refuse = |bytes: &'static [u8]| decode_edge(Bytes::from_static(bytes), Stage::Welcomed, |_, _| None);
    assert_eq!(refuse(&[4, 0, 4, 1]), Err(BadMessage::Version { got: 4 }));
    assert_eq!(refuse(&[0, 0, 4, 1]), Err(BadMessage::Version { got: 0 }));
    assert_eq!(refuse(&[2, 0, 4, 1]), Err(BadMessage::Version { got: 2 }), "pings came with version 1");
    assert_eq!(
        refuse(&[1, 0, 7, 0]),
        Err(BadMessage::Version { got: 1 }),
        "the way down came with version 2"
    );
    assert_eq!(refuse(&[1, 2, 4, 1]), Err(BadMessage::Flags { got: 2 }));
    assert_eq!(refuse(&[1, 0, 99, 1]), Err(BadMessage::Frame));
}

#[test]
fn compression_is_bounded_before_it_is_called() {
    let never = |_: &[u8], _: usize| -> Option<Vec<u8>> { panic!("called") };
    let packed = |declared: u32, bytes: usize| {
        let mut message = vec![1, 1];
        message.extend_from_slice(&declared.to_le_bytes());
        message.resize(6 + bytes, 0);
        Bytes::from(message)
    };
    assert_eq!(decode_edge(packed(10, 10), Stage::Unauthenticated, never), Err(BadMessage::CompressedEarly));
    assert_eq!(
        decode_edge(packed(u32::MAX, 1000), Stage::Welcomed, never),
        Err(BadMessage::TooLarge { size: u32::MAX as usize, max: MESSAGE_BYTES_MAX })
    );
    assert_eq!(
        decode_edge(packed(201, 1), Stage::Welcomed, never),
        Err(BadMessage::Ratio { packed: 1, declared: 201 })
    );
    assert_eq!(
        decode_edge(packed(200, 1), Stage::Welcomed, |_, n| Some(vec![0; n + 1])),
        Err(BadMessage::Compression)
    );
    assert_eq!(decode_edge(packed(200, 1), Stage::Welcomed, |_, _| None), Err(BadMessage::Compression));
    let long = Bytes::from(vec![1; UNAUTHENTICATED_BYTES_MAX + 1]);
    assert!(matches!(decode_edge(long, Stage::Unauthenticated, never), Err(BadMessage::TooLarge { .. })));
}

#[test]
fn compressed_frames_come_back_whole() {
    let mut frame = batch();
    frame.items = vec![3; 1000].into();
    let frame = EdgeFrame::Batch(frame);
    let mut kept = Vec::new();
    let message = encode_edge(&frame, |body| {
        kept = body.to_vec();
        squeeze(body)
    });
    assert_eq!(&message[..2], [1, 1]);
    let back =
        decode_edge(message, Stage::Welcomed, |_, declared| (kept.len() == declared).then(|| kept.clone()));
    assert_eq!(back, Ok(frame));
}

#[test]
fn a_long_hello_goes_uncompressed() {
    let mut hello = hello();
    hello.chain = vec![hello.chain[0]; CHAIN_MAX];
    let hello = EdgeFrame::Hello(Box::new(hello), Signature::from_bytes(&[0; 64]));
    let message = encode_edge(&hello, squeeze);
    assert_eq!(decode_edge(message, Stage::Unauthenticated, |_, _| None), Ok(hello));
}

#[test]
fn what_the_receiver_would_take_for_a_bomb_goes_uncompressed() {
    let mut frame = batch();
    frame.items = vec![0; 100_000].into();
    let message = encode_edge(&EdgeFrame::Batch(frame), |_| Some(vec![0; 10]));
    assert_eq!(&message[..2], [1, 0]);
}

#[test]
fn lists_are_bounded_whatever_they_claim() {
    let mut hello = hello();
    hello.chain = vec![hello.chain[0]; CHAIN_MAX + 1];
    let message = plain(&EdgeFrame::Hello(Box::new(hello), Signature::from_bytes(&[0; 64])));
    assert_eq!(decode_edge(message, Stage::Welcomed, |_, _| None), Err(BadMessage::Frame));
    let long = |tree: Tree| decode_edge(plain(&EdgeFrame::Tree(tree)), Stage::Welcomed, |_, _| None);
    let branch = tree().edges.remove(0);
    let deep = Branch { path: vec![branch.edge; usize::from(HOPS_MAX) + 1], ..branch.clone() };
    let (tails, gone) = (vec![(1, Seq(1)); TREE_TAILS_MAX + 1], vec![1; TREE_TAILS_MAX + 1]);
    for tree in [
        Tree { edges: vec![branch; TREE_PART_MAX + 1], ..Tree::default() },
        Tree { edges: vec![deep], ..Tree::default() },
        Tree { tails, ..Tree::default() },
        Tree { gone, ..Tree::default() },
    ] {
        assert_eq!(long(tree), Err(BadMessage::Frame));
    }
    // A list that claims 2^60 elements and holds none.
    let mut message = vec![VERSION, 0, 2, 5, 2];
    message.extend_from_slice(&[255, 255, 255, 255, 255, 255, 255, 255, 15]);
    assert_eq!(decode_hub(message.into(), Stage::Welcomed, |_, _| None), Err(BadMessage::Frame));
}

#[test]
fn hostile_counts_do_not_wrap() {
    for block in [
        [&[3u8][..], &u64::MAX.to_le_bytes()].concat(),
        [&[2u8, 0][..], &u64::MAX.to_le_bytes()].concat(),
        [&[3u8][..], &0u64.to_le_bytes()].concat(),
        vec![1, 255, 255, 255, 255, 255, 255, 255, 255],
        vec![2, 99, 1, 0, 0, 0, 0, 0, 0, 0],
        vec![9],
    ] {
        let mut items = Items::new(Seq(5), block.into());
        assert!(items.next().unwrap().is_err());
        assert!(items.next().is_none());
    }
}

#[test]
fn random_bytes_never_panic() {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as u8
    };
    let seeds: Vec<Bytes> =
        edge_frames().iter().map(plain).chain(hub_frames().iter().map(plain_hub)).collect();
    for round in 0..20_000 {
        let mut message = seeds[round % seeds.len()].to_vec();
        for _ in 0..1 + round % 3 {
            let at = usize::from(next()) * 7 % message.len();
            message[at] = next();
        }
        let message = Bytes::from(message);
        let unpack = |packed: &[u8], _: usize| Some(packed.to_vec());
        if let Ok(EdgeFrame::Batch(batch)) = decode_edge(message.clone(), Stage::Welcomed, unpack) {
            Items::new(batch.first, batch.items).for_each(drop);
        }
        let _ = decode_hub(message, Stage::Welcomed, unpack);
    }
}

#[test]
fn signatures_are_over_everything_that_makes_the_connection() {
    let base = sign::hello_bytes(&hello(), HUB, Nonce([2; 32]), b"tls");
    let other_hub = HubIdentity { key: PublicKey([4; 32]), ..HUB };
    let other_log = HubIdentity { log: LogId(9), ..HUB };
    for other in [
        sign::hello_bytes(&Hello { last_added: Seq(1), ..hello() }, HUB, Nonce([2; 32]), b"tls"),
        sign::hello_bytes(&Hello { nonce: Nonce([9; 32]), ..hello() }, HUB, Nonce([2; 32]), b"tls"),
        sign::hello_bytes(&hello(), other_hub, Nonce([2; 32]), b"tls"),
        sign::hello_bytes(&hello(), other_log, Nonce([2; 32]), b"tls"),
        sign::hello_bytes(&hello(), HUB, Nonce([3; 32]), b"tls"),
        sign::hello_bytes(&hello(), HUB, Nonce([2; 32]), b""),
        sign::welcome_bytes(&welcome(), &hello(), Nonce([2; 32]), b"tls"),
    ] {
        assert_ne!(base, other);
    }
    let signature = Signature::from_bytes(&std::array::from_fn(|i| i as u8));
    assert_eq!(Signature::from_bytes(&signature.to_bytes()), signature);
}
