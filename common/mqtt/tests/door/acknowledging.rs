//! Acknowledgements both ways: their reasons, what they free, and what they never hold up.

use crate::bench::*;
use riser_model::door::{Ask, Code, Input, Keep, SessionState, SessionSubscription, Showing, Tell};
use riser_mqtt::Config;
use rumqttc::v5::mqttbytes::v5::{Packet, PubRelReason};
use std::time::Duration;

/// Of PUBACK and PUBREC, MQTT 5 tables 3-4 and 3-5.
const PUBLISH_REASONS: [u8; 9] = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];

/// Subscribed to `hall/#` at QoS 1, with room and this window.
fn listening(level: u8, inflight_max: u16) -> Bench {
    let config = Config { inflight_max, ..Config::default() };
    let mut bench = Bench::open_with(level, config, SessionState::default());
    bench.send(&subscribe(level, 9, &[("hall/#", 1)]));
    bench.subscribed(0, 10);
    bench.input(Input::Room(100_000));
    bench.tell(Tell::Ready);
    bench.asks();
    bench.got();
    bench
}

/// These seqs are delivered at QoS 1.
fn deliver(bench: &mut Bench, seqs: impl IntoIterator<Item = u64>) {
    let pushes = seqs.into_iter().map(|seq| delivery(0, seq, "a", plain(1, b"x"))).collect();
    bench.tell(Tell::Deliver { pushes, more: true });
}

/// The first byte and packet id of each PUBLISH that the client got.
fn deliveries(bench: &mut Bench) -> Vec<(u8, u16)> {
    let mut found = Vec::new();
    while !bench.bytes.is_empty() {
        let packet = bench.bytes.split_to(2 + usize::from(bench.bytes[1]));
        let id = 4 + usize::from(packet[3]);
        found.push((packet[0], u16::from_be_bytes([packet[id], packet[id + 1]])));
    }
    found
}

#[test]
fn every_refusal_is_worded_in_the_acks_own_codes() {
    for code in Code::ALL {
        for (qos, first) in [(1, 0x40), (2, 0x50)] {
            let mut bench = Bench::open(5);
            bench.send(&publish(5, "hall/a", qos, 9, b"x"));
            bench.store(1, 1, &[(0, code)]);
            let acks = bench.acks();
            let [(kind, 9, reason)] = acks[..] else { panic!("{code:?}: {acks:?}") };
            assert!(
                kind == first && reason >= 0x80 && PUBLISH_REASONS.contains(&reason),
                "{code:?}: {reason:#x}"
            );
        }
    }
}

#[test]
fn an_id_is_free_for_another_publication_as_soon_as_its_puback_left() {
    for level in BOTH {
        let mut bench = Bench::open(level);
        for (n, flags) in [2, 10, 2].into_iter().enumerate() {
            bench.send(&publish_with(level, "hall/a", flags, 7, &[], b"x"));
            assert_eq!(bench.intake().count, 1, "DUP or not, it is a new publication");
            bench.store(n as u64 + 1, 1, &[]);
            assert_eq!(bench.acks(), [(0x40, 7, 0)]);
        }
    }
}

#[test]
fn an_entry_does_not_know_whether_it_was_sent_again() {
    for level in BOTH {
        let stored = [0x02, 0x0a].map(|flags| {
            let mut bench = Bench::open(level);
            bench.send(&publish_with(level, "hall/a", flags, 7, &[], b"x"));
            bench.intake().entries
        });
        assert_eq!(stored[0], stored[1], "so no subscriber can be told");
    }
}

#[test]
fn a_negative_ack_is_an_ack() {
    for reason in [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99] {
        let subscription = SessionSubscription {
            filter: "hall/#".to_owned(),
            keep: Keep { options: 1, identifier: 0 },
            through: Some(position(10)),
            showing: Showing::Nothing,
        };
        let subscriptions = vec![subscription];
        let state = SessionState { number: 42, present: true, subscriptions, ..SessionState::default() };
        let mut bench = Bench::open_with(5, Config { inflight_max: 1, ..Config::default() }, state);
        bench.subscribed(0, 10);
        bench.input(Input::Room(10_000));
        bench.tell(Tell::Ready);
        deliver(&mut bench, 11..13);
        assert_eq!(deliveries(&mut bench), [(0x32, 1)]);
        bench.asks();
        bench.send(&packet(0x40, &[0, 1, reason]));
        assert_eq!(deliveries(&mut bench), [(0x32, 2)], "{reason:#x}");
        bench.pass(Duration::from_secs(1));
        let through = position(11);
        let asks = bench.asks();
        let done = |ask: &Ask| matches!(ask, Ask::Confirm { through: last, .. } if *last == through);
        assert!(asks.iter().any(done), "it never comes again: {asks:?}");
    }
}

#[test]
fn a_full_window_holds_up_nothing_but_publications() {
    for level in BOTH {
        let mut bench = listening(level, 1);
        deliver(&mut bench, 11..20);
        assert_eq!(deliveries(&mut bench), [(0x32, 1)]);
        bench.asks();
        bench.send(&[0xc0, 0]);
        assert_eq!(bench.got(), [0xd0, 0]);
        bench.send(&subscribe(level, 10, &[("vault/a", 0)]));
        bench.subscribed(1, 10);
        assert_eq!(bench.got()[..1], [0x90]);
        bench.send(&unsubscribe(level, 11, &["vault/a"]));
        bench.tell(Tell::Unsubscribed { subscription: riser_model::SubscriptionId(1) });
        assert_eq!(bench.got()[..1], [0xb0]);
        bench.send(&[publish(level, "hall/b", 1, 1, b""), publish(level, "hall/b", 2, 2, b"")].concat());
        bench.store(1, 2, &[]);
        assert_eq!(bench.acks(), [(0x40, 1, 0), (0x50, 2, 0)], "its ids are its own");
        bench.send(&ack(0x62, 2));
        assert_eq!(bench.acks(), [(0x70, 2, 0)]);
        bench.send(&ack(0x40, 1));
        assert_eq!(deliveries(&mut bench), [(0x32, 2)]);
    }
}

#[test]
fn a_packet_id_is_never_0_and_never_one_that_waits() {
    let mut bench = listening(4, 3);
    deliver(&mut bench, 11..12);
    assert_eq!(deliveries(&mut bench), [(0x32, 1)], "this one is not acknowledged");
    let mut last = 1_u16;
    for seq in 12..70_000 {
        deliver(&mut bench, seq..=seq);
        let sent = deliveries(&mut bench);
        let [(0x32, id)] = sent[..] else { panic!("{seq}: {sent:?}") };
        let wanted = if last == u16::MAX { 2 } else { last + 1 };
        assert_eq!(id, wanted, "neither 0 nor 1 at the turn");
        last = id;
        bench.input(Input::Room(100_000));
        bench.send(&ack(0x40, id));
        bench.asks.clear();
    }
}

#[test]
fn a_publication_at_qos_0_has_neither_an_id_nor_a_repetition() {
    for level in BOTH {
        let mut bench = listening(level, 1);
        let pushes = vec![delivery(0, 11, "a", plain(0, b"x")), delivery(0, 12, "a", plain(0, b"y"))];
        bench.tell(Tell::Deliver { pushes, more: false });
        let body =
            |payload: &[u8]| [&string("hall/a")[..], &[0][..usize::from(level == 5)], payload].concat();
        assert_eq!(bench.got(), [packet(0x30, &body(b"x")), packet(0x30, &body(b"y"))].concat());
    }
}

#[test]
fn the_answers_of_an_exchange_use_its_codes_only() {
    let mut bench = Bench::open(5);
    bench.send(&publish(5, "hall/a", 2, 7, b"x"));
    bench.store(1, 1, &[]);
    bench.send(&[ack(0x62, 7), packet(0x62, &[0, 9, 0]), packet(0x62, &[0, 9, 0x92])].concat());
    assert_eq!(bench.acks(), [(0x50, 7, 0), (0x70, 7, 0), (0x70, 9, 0x92), (0x70, 9, 0x92)]);
    bench.send(&ack(0x50, 77));
    match &bench.got_v5()[..] {
        [Packet::PubRel(release)] => {
            assert_eq!((release.pkid, release.reason), (77, PubRelReason::PacketIdentifierNotFound));
        }
        other => panic!("{other:?}"),
    }
    for (first, reason) in [(0x62, 0x80), (0x70, 0x10), (0x40, 0x92), (0x50, 0x01)] {
        let mut bench = Bench::open(5);
        bench.send(&packet(first, &[0, 7, reason]));
        assert_eq!(bench.code(), Some(Code::Malformed), "{first:#x} {reason:#x}");
    }
}

#[test]
fn what_is_too_large_to_send_takes_no_place_and_never_comes_again() {
    for qos in [1, 2] {
        let mut bench = Bench::with(5, Config { inflight_max: 1, ..Config::default() });
        let fields: [&[u8]; 3] = [&string("id"), &string("u"), &string("p")];
        bench.send(&connect_of(5, 0xc0, &[39, 0, 0, 0, 50, 17, 0, 0, 0, 60], &fields));
        let held = SessionSubscription {
            filter: "hall/#".to_owned(),
            keep: Keep { options: qos, identifier: 0 },
            through: Some(position(10)),
            showing: Showing::Nothing,
        };
        let state = SessionState { number: 42, subscriptions: vec![held], ..SessionState::default() };
        bench.tell(entered(state));
        bench.subscribed(0, 10);
        bench.input(Input::Room(10_000));
        bench.tell(Tell::Ready);
        bench.got();
        let large = [7; 100];
        let publications = [plain(qos, &large), plain(qos, &large), plain(qos, b"x"), plain(0, &large)];
        let pushes = (11..).zip(publications).map(|(seq, publication)| delivery(0, seq, "a", publication));
        bench.tell(Tell::Deliver { pushes: pushes.collect(), more: false });
        while let Some(Ask::HandOver { ticket, .. }) =
            bench.asks().into_iter().find(|ask| matches!(ask, Ask::HandOver { .. }))
        {
            bench.store(ticket, 0, &[]);
        }
        let sent = deliveries(&mut bench);
        assert!(matches!(sent[..], [(first, _)] if first == 0x30 | qos << 1), "{sent:x?}");
        assert_eq!(bench.counters.too_large.total(), 3);
        let id = sent[0].1;
        bench.send(&ack(if qos == 1 { 0x40 } else { 0x50 }, id));
        if let Some(Ask::HandOver { ticket, .. }) = bench.asks().pop() {
            bench.store(ticket, 0, &[]);
            assert_eq!(bench.acks(), [(0x62, id, 0)]);
            bench.send(&ack(0x70, id));
        }
        bench.pass(Duration::from_secs(1));
        let through = position(14);
        let asks = bench.asks();
        let done = |ask: &Ask| matches!(ask, Ask::Confirm { through: last, .. } if *last == through);
        assert!(asks.iter().any(done), "QoS {qos}: {asks:?}");
    }
}
