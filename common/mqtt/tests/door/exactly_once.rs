//! QoS 2 going out: said once under one id, over cuts and crashes of either side; nothing is said before it is on disk.

use crate::bench::*;
use bytes::Bytes;
use riser_model::{
    Cause, Gap, Position, Seq, SubscriptionId,
    door::{Ask, Code, Input, Keep, Push, SessionDelivery, SessionState, SessionSubscription, Showing, Tell},
};
use riser_mqtt::Config;
use riser_wire::entry::Publication;
use std::time::Duration;

const FILTER: &str = "hall/#";

/// Subscribed at QoS 2 without a session that outlives the connection, with room and this window.
fn listening(level: u8, inflight_max: u16) -> Bench {
    let config = Config { inflight_max, ..Config::default() };
    let mut bench = Bench::open_with(level, config, SessionState::default());
    bench.send(&subscribe(level, 9, &[(FILTER, 2)]));
    bench.subscribed(0, 10);
    ready(bench)
}

/// A session that holds the subscription, through seq 10, and remembers these deliveries.
fn kept(level: u8, deliveries: &[(u16, u64, bool)]) -> Bench {
    let mut bench = Bench::open_with(level, Config::default(), remembering(deliveries));
    bench.subscribed(0, 10);
    bench
}

fn remembering(deliveries: &[(u16, u64, bool)]) -> SessionState {
    let deliveries = deliveries.iter().map(|(id, seq, released)| SessionDelivery {
        id: *id,
        filter: Some(FILTER.to_owned()),
        position: position(*seq),
        released: *released,
        over: false,
        at_least_once: false,
        retained: false,
    });
    let held = SessionSubscription {
        filter: FILTER.to_owned(),
        keep: Keep { options: 2, identifier: 0 },
        through: Some(position(10)),
        showing: Showing::Nothing,
    };
    SessionState {
        number: 42,
        present: true,
        deliveries: deliveries.collect(),
        subscriptions: vec![held],
        ..SessionState::default()
    }
}

fn ready(mut bench: Bench) -> Bench {
    bench.got();
    bench.input(Input::Room(100_000));
    bench.tell(Tell::Ready);
    bench.asks();
    bench
}

/// These seqs are delivered, as published at QoS 2.
fn deliver(bench: &mut Bench, seqs: impl IntoIterator<Item = u64>) {
    let pushes = seqs.into_iter().map(|seq| delivery(0, seq, "a", plain(2, &[seq as u8]))).collect();
    bench.tell(Tell::Deliver { pushes, more: true });
}

/// First byte, packet id and last byte of every packet that the client got.
fn got(bench: &mut Bench) -> Vec<(u8, u16, u8)> {
    let mut found = Vec::new();
    while !bench.bytes.is_empty() {
        let packet = bench.bytes.split_to(2 + usize::from(bench.bytes[1]));
        let id = if packet[0] >> 4 == 3 { 4 + usize::from(packet[3]) } else { 2 };
        let last = if packet[0] >> 4 == 3 { *packet.last().unwrap() } else { 0 };
        found.push((packet[0], u16::from_be_bytes([packet[id], packet[id + 1]]), last));
    }
    found
}

/// What a session is asked to remember: ticket, ids with their seqs, and ids that the peer has.
fn handed_over(bench: &mut Bench) -> (u64, Vec<(u16, u64)>, Vec<u16>) {
    let asks = bench.asks();
    let news = asks.iter().filter_map(|ask| match ask {
        Ask::HandOver { ticket, sent, released, .. } => {
            assert!(sent.iter().all(|(_, of, _)| *of == SubscriptionId(0)));
            let sent = sent.iter().map(|(id, _, position)| (*id, position.seq.0)).collect();
            Some((*ticket, sent, released.clone()))
        }
        _ => None,
    });
    match &news.collect::<Vec<_>>()[..] {
        [one] => one.clone(),
        other => panic!("want one: {other:?} in {asks:?}"),
    }
}

fn confirmed(bench: &mut Bench) -> Vec<Position> {
    let through = |ask| if let Ask::Confirm { through, .. } = ask { Some(through) } else { None };
    bench.asks().into_iter().filter_map(through).collect()
}

#[test]
fn an_exchange_out_goes_publish_pubrel_and_then_its_place_is_free() {
    for level in BOTH {
        let mut bench = listening(level, 2);
        deliver(&mut bench, 11..15);
        assert_eq!(got(&mut bench), [(0x34, 1, 11), (0x34, 2, 12)], "new ids, and no duplicates");
        bench.send(&ack(0x50, 2));
        bench.send(&ack(0x50, 1));
        assert_eq!(got(&mut bench), [(0x62, 2, 0), (0x62, 1, 0)], "PUBRELs in the order of the PUBRECs");
        bench.send(&ack(0x50, 1));
        assert_eq!(got(&mut bench), [(0x62, 1, 0)], "a PUBREC that comes again gets no second PUBLISH");
        bench.send(&ack(0x70, 2));
        assert_eq!(got(&mut bench), [(0x34, 3, 13)], "a place is free at PUBCOMP, not before");
        bench.send(&ack(0x70, 2));
        assert_eq!((got(&mut bench), bench.counters.unknown_ids.total()), (vec![], 1));
        bench.send(&ack(0x70, 1));
        assert_eq!(got(&mut bench), [(0x34, 4, 14)]);
        assert!(bench.asks().iter().all(|ask| !matches!(ask, Ask::HandOver { .. })), "nobody remembers it");
    }
}

#[test]
fn an_id_is_on_disk_before_its_publish_and_its_pubrec_before_its_pubrel() {
    for level in BOTH {
        let mut bench = ready(kept(level, &[]));
        deliver(&mut bench, 11..13);
        assert_eq!(got(&mut bench), [], "not before the session remembers what the ids stand for");
        let (ticket, sent, released) = handed_over(&mut bench);
        assert_eq!((sent, released), (vec![(1, 11), (2, 12)], vec![]), "one commit for both");
        bench.store(ticket, 0, &[]);
        assert_eq!(got(&mut bench), [(0x34, 1, 11), (0x34, 2, 12)]);
        bench.send(&[ack(0x50, 1), ack(0x50, 2)].concat());
        assert_eq!(got(&mut bench), [], "not before the session remembers that the peer has them");
        let (ticket, sent, released) = handed_over(&mut bench);
        assert_eq!((sent, released), (vec![], vec![1, 2]));
        bench.store(ticket, 0, &[]);
        assert_eq!(got(&mut bench), [(0x62, 1, 0), (0x62, 2, 0)]);
        bench.send(&[ack(0x70, 1), ack(0x70, 2)].concat());
        bench.pass(Duration::from_secs(1));
        let confirmed = |ask: &Ask| matches!(ask, Ask::Confirm { through, .. } if *through == position(12));
        assert!(bench.asks().iter().any(confirmed), "and its place moves on");
    }
}

#[test]
fn what_was_numbered_before_the_cut_comes_again_under_its_id_as_a_duplicate() {
    for level in BOTH {
        let mut bench = ready(kept(level, &[(700, 11, false), (3, 12, false)]));
        deliver(&mut bench, 11..14);
        assert_eq!(got(&mut bench), [(0x3c, 700, 11), (0x3c, 3, 12)], "in the order of before");
        let (ticket, sent, _) = handed_over(&mut bench);
        assert_eq!(sent, [(1, 13)], "only what is new gets an id, and none that is taken");
        bench.store(ticket, 0, &[]);
        assert_eq!(got(&mut bench), [(0x34, 1, 13)]);
    }
}

#[test]
fn what_was_begun_does_not_expire() {
    const TEN_SECONDS: [u8; 5] = [2, 0, 0, 0, 10];
    for level in BOTH {
        let mut bench = ready(kept(level, &[(700, 11, false)]));
        bench.pass(Duration::from_secs(60));
        let mortal = || Publication { properties: &TEN_SECONDS, ..plain(2, b"x") };
        let pushes = [11, 12].map(|seq| delivery(0, seq, "a", mortal())).into();
        bench.tell(Tell::Deliver { pushes, more: false });
        assert_eq!(got(&mut bench), [(0x3c, 700, b'x')], "what was not begun did");
        assert_eq!(bench.counters.expired.total(), 1);
    }
}

#[test]
fn what_the_peer_has_is_released_again_and_never_published_again() {
    for level in BOTH {
        let mut bench = kept(level, &[(700, 11, true)]);
        assert_eq!(got(&mut bench), [(0x62, 700, 0)], "PUBREL comes again on the next connection");
        let mut bench = ready(bench);
        deliver(&mut bench, 11..12);
        assert_eq!(got(&mut bench), [], "no second PUBLISH after PUBREL");
        bench.send(&ack(0x70, 700));
        deliver(&mut bench, 12..13);
        let (_, sent, _) = handed_over(&mut bench);
        assert_eq!(sent, [(1, 12)]);
    }
}

#[test]
fn what_was_said_and_is_gone_is_released_and_its_id_stands_for_nothing_else_until_pubcomp() {
    for level in BOTH {
        let mut bench = ready(kept(level, &[(1, 11, false), (2, 12, false)]));
        let gap = Gap { from: Seq(11), to: Seq(12), cause: Cause::Retention };
        let gap = Push::Gap { subscription: SubscriptionId(0), gap, pos: position(12) };
        bench.tell(Tell::Deliver { pushes: vec![gap], more: true });
        assert_eq!(
            got(&mut bench),
            [],
            "not before the session remembers that its place tells nothing of them"
        );
        let asks = bench.asks();
        let remembered = asks.iter().find_map(|ask| match ask {
            Ask::HandOver { ticket, released, loose, .. } => Some((*ticket, released.clone(), loose.clone())),
            _ => None,
        });
        let (ticket, released, loose) = remembered.unwrap_or_else(|| panic!("{asks:?}"));
        let loose: Vec<_> = loose.iter().map(|one| (one.id, one.position, one.at_least_once)).collect();
        assert_eq!(loose, [(1, position(11), false), (2, position(12), false)]);
        assert_eq!(released, [1, 2]);
        bench.store(ticket, 0, &[]);
        assert_eq!(got(&mut bench), [(0x62, 1, 0), (0x62, 2, 0)], "the peer may hold them");
        deliver(&mut bench, [13]);
        let (_, sent, _) = handed_over(&mut bench);
        assert_eq!(sent, [(3, 13)]);
        bench.send(&[ack(0x70, 1), ack(0x70, 2)].concat());
        let over = bench.asks().into_iter().find_map(|ask| match ask {
            Ask::HandOver { done, .. } => Some(done),
            _ => None,
        });
        assert_eq!((over, bench.counters.unknown_ids.total()), (Some(vec![1, 2]), 0));
    }
}

#[test]
fn what_a_channel_retains_is_said_though_the_log_let_go_of_it_under_an_id_that_the_peer_may_hold() {
    for level in BOTH {
        let mut bench = ready(kept(level, &[(1, 11, false)]));
        let gap = Gap { from: Seq(11), to: Seq(11), cause: Cause::Retention };
        let gap = Push::Gap { subscription: SubscriptionId(0), gap, pos: position(11) };
        bench.tell(Tell::Deliver { pushes: vec![gap], more: true });
        let (ticket, ..) = handed_over(&mut bench);
        bench.store(ticket, 0, &[]);
        assert_eq!(got(&mut bench), [(0x62, 1, 0)]);
        // The same publication, as what is retained of its channel.
        let retained = match delivery(0, 11, "b", Publication { retain: true, ..plain(2, b"\xfe") }) {
            Push::Publication(mut delivery) => {
                (delivery.pos, delivery.retained) = (None, Some(position(11)));
                Push::Publication(delivery)
            }
            other => panic!("{other:?}"),
        };
        bench.tell(Tell::Deliver { pushes: vec![retained], more: true });
        let begun = bench.asks().into_iter().find_map(|ask| match ask {
            Ask::HandOver { ticket, loose, .. } => Some((ticket, loose)),
            _ => None,
        });
        let (ticket, loose) = begun.expect("it is remembered before it is said");
        let loose: Vec<_> = loose.iter().map(|one| (one.id, one.position, one.retained)).collect();
        assert_eq!(loose, [(2, position(11), true)]);
        bench.store(ticket, 0, &[]);
        assert_eq!(got(&mut bench).last(), Some(&(0x35, 2, 0xfe)));
    }
}

#[test]
fn what_the_place_passes_and_the_peer_may_hold_is_the_sessions_before_the_place_moves() {
    let ends = [None, Some(Input::Gone("cut")), Some(Input::Bytes(Bytes::from_static(&[0xe0, 0])))];
    for (level, end) in BOTH.into_iter().flat_map(|level| ends.clone().map(|end| (level, end))) {
        let mut bench = ready(kept(level, &[(700, 11, false)]));
        // What was said on the other connection is not there any more, and no gap tells of it.
        let through = Push::Through { subscription: SubscriptionId(0), pos: position(12) };
        bench.tell(Tell::Deliver { pushes: vec![through], more: false });
        match end {
            Some(end) => bench.input(end),
            None => bench.pass(Duration::from_secs(1)),
        }
        let asks = bench.asks();
        let kept = asks.iter().position(|ask| match ask {
            Ask::HandOver { loose, released, .. } => {
                loose.iter().any(|one| (one.id, one.position) == (700, position(11))) && released[..] == [700]
            }
            _ => false,
        });
        let moved = asks.iter().position(|ask| matches!(ask, Ask::Confirm { .. }));
        assert!(kept.is_some() && moved.is_some() && kept < moved, "{asks:?}");
    }
}

/// A session that comes back with this Maximum Packet Size.
fn cramped(packet_bytes_max: u8, deliveries: &[(u16, u64, bool)]) -> Bench {
    let mut bench = Bench::new(5);
    let fields: [&[u8]; 3] = [&string("id"), &string("u"), &string("p")];
    bench.send(&connect_of(5, 0xc0, &[39, 0, 0, 0, packet_bytes_max, 17, 0, 0, 0, 60], &fields));
    bench.tell(entered(remembering(deliveries)));
    bench.subscribed(0, 10);
    ready(bench)
}

#[test]
fn what_was_said_and_is_too_large_now_is_released_and_its_id_stands_for_nothing_else_until_pubcomp() {
    let mut bench = cramped(50, &[(1, 11, false)]);
    let large = [7; 100];
    let pushes = vec![delivery(0, 11, "a", plain(2, &large)), delivery(0, 12, "a", plain(2, b"x"))];
    bench.tell(Tell::Deliver { pushes, more: true });
    assert_eq!(bench.counters.too_large.total(), 1);
    assert_eq!(got(&mut bench), [], "not before the session remembers that it is not said again");
    let (ticket, sent, released) = handed_over(&mut bench);
    assert_eq!((sent, released), (vec![(2, 12)], vec![1]));
    bench.store(ticket, 0, &[]);
    let said = got(&mut bench);
    assert_eq!(said, [(0x62, 1, 0), (0x34, 2, b'x')], "the peer may hold it, and a new id for the next");
    bench.send(&ack(0x50, 2));
    let (ticket, _, released) = handed_over(&mut bench);
    assert_eq!(released, [2]);
    bench.store(ticket, 0, &[]);
    assert_eq!(got(&mut bench), [(0x62, 2, 0)]);
    bench.send(&ack(0x70, 2));
    bench.pass(Duration::from_secs(1));
    assert!(confirmed(&mut bench).is_empty(), "its place waits for PUBCOMP");
    bench.send(&ack(0x70, 1));
    bench.pass(Duration::from_secs(1));
    assert_eq!(confirmed(&mut bench), [position(12)]);

    let mut back = cramped(50, &[(1, 11, true)]);
    back.tell(Tell::Deliver { pushes: vec![delivery(0, 11, "a", plain(2, &large))], more: true });
    assert_eq!((got(&mut back), back.counters.too_large.total()), (vec![], 0), "nor after the next cut");
}

#[test]
fn what_was_begun_at_qos_2_is_finished_at_qos_2_whatever_was_subscribed_since() {
    for (level, qos) in BOTH.into_iter().flat_map(|level| [0, 1].map(|qos| (level, qos))) {
        let mut bench = ready(kept(level, &[(700, 11, false)]));
        bench.send(&subscribe(level, 9, &[(FILTER, qos)]));
        bench.subscribed(0, 10);
        bench.got();
        bench.asks();
        deliver(&mut bench, 11..12);
        assert_eq!(got(&mut bench), [(0x3c, 700, 11)], "its peer may hold it under that id");
        deliver(&mut bench, 12..13);
        assert_eq!(bench.got()[0], 0x30 | qos << 1, "what follows goes as it is granted");
        bench.send(&ack(0x50, 700));
        let (ticket, _, released) = handed_over(&mut bench);
        assert_eq!(released, [700]);
        bench.store(ticket, 0, &[]);
        assert_eq!(got(&mut bench), [(0x62, 700, 0)]);
    }
}

#[test]
fn a_pubrec_that_refuses_ends_the_exchange() {
    for reason in [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99] {
        let mut bench = listening(5, 1);
        deliver(&mut bench, 11..13);
        assert_eq!(got(&mut bench), [(0x34, 1, 11)]);
        bench.send(&packet(0x50, &[0, 1, reason]));
        assert_eq!(got(&mut bench), [(0x34, 2, 12)], "no PUBREL, and its place is free");
    }
}

#[test]
fn a_commit_that_fails_ends_the_connection_and_says_nothing() {
    for level in BOTH {
        let mut bench = ready(kept(level, &[]));
        deliver(&mut bench, 11..12);
        let (ticket, ..) = handed_over(&mut bench);
        bench.store(ticket, 0, &[(0, Code::LogFailing)]);
        assert_eq!(bench.code(), Some(Code::LogFailing));
        assert!(got(&mut bench).iter().all(|(first, ..)| first >> 4 != 3));
    }
}

#[test]
fn a_puback_for_qos_2_is_an_ack_of_nothing() {
    let mut bench = listening(5, 1);
    deliver(&mut bench, 11..13);
    got(&mut bench);
    bench.send(&ack(0x40, 1));
    assert_eq!((got(&mut bench), bench.counters.unknown_ids.total()), (vec![], 1));
}

#[test]
fn what_was_said_at_qos_1_comes_again_under_its_id() {
    for level in BOTH {
        let mut bench = ready(kept(level, &[]));
        let at_qos_1 = |seqs: std::ops::Range<u64>| -> Vec<_> {
            seqs.map(|seq| delivery(0, seq, "a", plain(1, &[seq as u8]))).collect()
        };
        bench.tell(Tell::Deliver { pushes: at_qos_1(11..14), more: false });
        bench.send(&ack(0x40, 1));
        bench.got();
        bench.asks();
        bench.input(Input::Gone("cut"));
        let handed: Vec<_> = bench
            .asks()
            .into_iter()
            .filter_map(|ask| match ask {
                Ask::HandOver { left, .. } => Some(left),
                _ => None,
            })
            .flatten()
            .map(|(id, _, pos)| (id, pos.seq.0))
            .collect();
        assert_eq!(handed, [(2, 12), (3, 13)]);
        let mut back = ready(kept(level, &[(2, 12, false), (3, 13, false)]));
        back.tell(Tell::Deliver { pushes: at_qos_1(12..15), more: false });
        let got = back.got();
        let heads: Vec<u8> = got.chunks(got.len() / 3).map(|packet| packet[0]).collect();
        assert_eq!(heads, [0x3a, 0x3a, 0x32], "DUP for what was said before, and for nothing else");
        let ids: Vec<u8> = got.chunks(got.len() / 3).map(|packet| packet[2 + 2 + 6 + 1]).collect();
        assert_eq!(ids, [2, 3, 1]);
        back.send(&ack(0x40, 2));
        assert_eq!(back.counters.unknown_ids.total(), 0);
    }
}
