//! Deliveries: pulled by room and window, in order, acknowledged and confirmed.

use crate::bench::*;
use bytes::Bytes;
use riser_model::{
    AccountId, Cause, ClientId, Gap, RoomId, Route, Seq, SubscriptionId,
    door::{Ask, Code, Input, Keep, Push, SessionState, SessionSubscription, Showing, Tell},
    event::Scope,
};
use riser_mqtt::Config;
use riser_wire::entry::{self, Body, ContentType, Publication, Publisher};
use rumqttc::v5::mqttbytes::v5;
use std::{sync::Arc, time::Duration};

/// Subscribed to `hall/#`, with room.
fn subscribed(level: u8, options: u8) -> Bench {
    let mut bench = Bench::open(level);
    listen(&mut bench, options);
    bench
}

fn listen(bench: &mut Bench, options: u8) {
    bench.send(&subscribe(bench.level, 9, &[("hall/#", options)]));
    bench.subscribed(0, 10);
    bench.input(Input::Room(10_000));
    bench.asks();
    bench.got();
}

fn pulls(bench: &mut Bench) -> usize {
    bench.asks().iter().filter(|ask| matches!(ask, Ask::Pull { .. })).count()
}

fn deliver(bench: &mut Bench, pushes: Vec<Push>) {
    bench.tell(Tell::Deliver { pushes, more: false });
}

#[test]
fn nothing_is_pulled_before_there_is_something_and_room_for_it() {
    let mut bench = Bench::open(4);
    bench.send(&subscribe(4, 9, &[("hall/#", 0)]));
    bench.subscribed(0, 10);
    bench.asks();
    bench.tell(Tell::Ready);
    assert_eq!(bench.asks(), []);
    bench.input(Input::Room(5_000));
    assert_eq!(bench.asks(), [Ask::Pull { bytes: 5_000, stands: true }]);
    bench.input(Input::Room(5_000));
    assert_eq!(bench.asks(), [], "one pull at a time");
    bench.tell(Tell::Deliver { pushes: vec![], more: true });
    assert_eq!(pulls(&mut bench), 1);
    deliver(&mut bench, vec![]);
    assert_eq!(bench.asks(), [], "the bus says when there is more");
    bench.tell(Tell::Ready);
    assert_eq!(pulls(&mut bench), 1);
}

#[test]
fn pull_stands_where_nothing_is_acknowledged() {
    for (options, stands) in [(0, true), (1, false), (2, false)] {
        let mut bench = subscribed(5, options);
        bench.tell(Tell::Ready);
        assert_eq!(bench.asks(), [Ask::Pull { bytes: 10_000, stands }], "{options}");
    }
}

#[test]
fn room_that_was_said_before_connack_counts() {
    let mut bench = Bench::new(4);
    bench.input(Input::Room(3_000));
    bench.send(&connect(4, true, 0, 0));
    bench.tell(entered(SessionState::default()));
    bench.tell(Tell::Ready);
    assert_eq!(bench.asks().last(), Some(&Ask::Pull { bytes: 3_000, stands: true }));
}

#[test]
fn a_delivery_has_the_lower_qos_and_its_topic() {
    for level in BOTH {
        for (asked, published, wanted) in [(0, 1, 0), (1, 0, 0), (1, 1, 1), (1, 2, 1), (2, 1, 1), (2, 2, 2)] {
            let mut bench = subscribed(level, asked);
            bench.tell(Tell::Ready);
            deliver(&mut bench, vec![delivery(0, 11, "a/b", plain(published, b"payload"))]);
            let got = bench.got();
            let id: &[u8] = if wanted > 0 { &[0, 1] } else { &[] };
            let properties: &[u8] = if level == 5 { &[0] } else { &[] };
            assert_eq!(got[2..], [&string("hall/a/b")[..], id, properties, b"payload"].concat());
            assert_eq!(got[0], 0x30 | wanted << 1);
        }
    }
}

#[test]
fn deliveries_stop_at_the_window_and_go_on_with_each_ack() {
    let mut bench =
        Bench::open_with(4, Config { inflight_max: 2, ..Config::default() }, SessionState::default());
    listen(&mut bench, 1);
    bench.tell(Tell::Ready);
    assert_eq!(pulls(&mut bench), 1);
    let payloads = [b"1", b"2", b"3", b"4"];
    let pushes = (0..4).map(|n| delivery(0, 11 + n, "a", plain(1, payloads[n as usize])));
    bench.tell(Tell::Deliver { pushes: pushes.collect(), more: true });
    let payload = |bench: &mut Bench| -> Vec<u8> { bench.got_v4().iter().map(last_byte).collect() };
    assert_eq!(payload(&mut bench), b"12");
    assert_eq!(pulls(&mut bench), 0, "nothing is pulled while something is held");
    bench.send(&ack(0x40, 2));
    assert_eq!(payload(&mut bench), b"3", "any ack makes room");
    bench.send(&ack(0x40, 2));
    assert_eq!((payload(&mut bench), bench.counters.unknown_ids.total()), (vec![], 1));
    bench.send(&ack(0x40, 1));
    assert_eq!(payload(&mut bench), b"4");
    assert_eq!(pulls(&mut bench), 0, "the window is full");
    bench.send(&ack(0x40, 3));
    assert_eq!(pulls(&mut bench), 1);
}

fn last_byte(packet: &rumqttc::mqttbytes::v4::Packet) -> u8 {
    match packet {
        rumqttc::mqttbytes::v4::Packet::Publish(publish) => *publish.payload.last().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_peers_receive_maximum_is_kept() {
    let mut bench = Bench::new(5);
    let mut body = string("MQTT");
    body.extend([5, 0xc2, 0, 0, 3, 33, 0, 1]);
    body.extend([string("id"), string("u"), string("p")].concat());
    bench.send(&packet(0x10, &body));
    bench.tell(entered(SessionState::default()));
    listen(&mut bench, 1);
    bench.tell(Tell::Ready);
    deliver(&mut bench, (0..3).map(|n| delivery(0, 11 + n, "a", plain(1, b""))).collect());
    assert_eq!(bench.got_v5().len(), 1);
    bench.send(&ack(0x40, 1));
    assert_eq!(bench.got_v5().len(), 1);
}

#[test]
fn a_socket_without_room_gets_answers_only() {
    let mut bench = subscribed(4, 1);
    bench.input(Input::Room(60));
    bench.tell(Tell::Ready);
    deliver(&mut bench, (0..3).map(|n| delivery(0, 11 + n, "a", plain(1, &[0; 50]))).collect());
    assert_eq!(bench.got_v4().len(), 1);
    bench.send(&[0xc0, 0]);
    assert_eq!(bench.got(), [0xd0, 0]);
    bench.input(Input::Room(60));
    assert_eq!(bench.got_v4().len(), 1);
}

#[test]
fn what_was_published_with_it_comes_with_it() {
    let mut bench = Bench::open(5);
    let body = [&[0, 9][..], &[3, 11, 0xac, 0x02], &string("hall/#"), &[0x09]].concat();
    bench.send(&packet(0x82, &body));
    bench.subscribed(0, 10);
    bench.input(Input::Room(10_000));
    bench.got();
    bench.tell(Tell::Ready);
    let properties = [1, 1, 2, 0, 0, 0, 9, 8, 0, 1, b'r', 9, 0, 1, b'c', 38, 0, 1, b'k', 0, 1, b'v'];
    let publication = Publication {
        retain: true,
        qos: 1,
        properties: &properties,
        ..Publication::new(ContentType::Json, b"{}")
    };
    deliver(&mut bench, vec![delivery(0, 11, "a", publication)]);
    let Some(v5::Packet::Publish(publish)) = bench.got_v5().pop() else {
        panic!("want PUBLISH");
    };
    assert!(publish.retain, "retain as published");
    assert_eq!(
        publish.properties,
        Some(v5::PublishProperties {
            payload_format_indicator: Some(1),
            message_expiry_interval: Some(9),
            topic_alias: None,
            response_topic: Some("r".to_owned()),
            correlation_data: Some(Bytes::from_static(b"c")),
            user_properties: vec![("k".to_owned(), "v".to_owned())],
            subscription_identifiers: vec![300],
            content_type: Some("application/json".to_owned()),
        })
    );
}

#[test]
fn retain_is_cleared_unless_asked_for() {
    for (level, options) in [(4, 1), (5, 1)] {
        let mut bench = subscribed(level, options);
        bench.tell(Tell::Ready);
        deliver(&mut bench, vec![delivery(0, 11, "a", Publication { retain: true, ..plain(1, b"") })]);
        assert_eq!(bench.got()[0], 0x32);
    }
}

#[test]
fn a_delivery_larger_than_the_peer_takes_is_passed_over_and_counted() {
    let mut bench = Bench::new(5);
    let mut body = string("MQTT");
    body.extend([5, 0xc2, 0, 0, 5, 39, 0, 0, 0, 50]);
    body.extend([string("id"), string("u"), string("p")].concat());
    bench.send(&packet(0x10, &body));
    bench.tell(entered(SessionState::default()));
    bench.got();
    listen(&mut bench, 1);
    bench.tell(Tell::Ready);
    let pushes = [100, 10].map(|length| delivery(0, 111 - length, "a", plain(1, &vec![0; length as usize])));
    deliver(&mut bench, pushes.into());
    assert_eq!(bench.got_v5().len(), 1);
    assert_eq!(bench.counters.too_large.total(), 1);
}

fn kept(level: u8) -> Bench {
    let subscription = SessionSubscription {
        filter: "hall/#".to_owned(),
        keep: Keep { options: 1, identifier: 0 },
        through: Some(position(10)),
        showing: Showing::Nothing,
    };
    let state = SessionState {
        number: 42,
        present: true,
        last_id: 0,
        deliveries: vec![],
        open_ids: vec![],
        subscriptions: vec![subscription],
        tally: Default::default(),
    };
    let mut bench = Bench::open_with(level, Config::default(), state);
    bench.subscribed(0, 10);
    bench.input(Input::Room(10_000));
    bench.asks();
    bench
}

/// What is confirmed a second later.
fn confirmed(bench: &mut Bench) -> Vec<u64> {
    assert!(
        bench.asks().iter().all(|ask| !matches!(ask, Ask::Confirm { .. })),
        "one entry a second is enough"
    );
    bench.pass(Duration::from_secs(1));
    let confirms = bench.asks().into_iter().filter_map(|ask| match ask {
        Ask::Confirm { subscription: SubscriptionId(0), through } => Some(through.seq.0),
        _ => None,
    });
    confirms.collect()
}

#[test]
fn a_kept_session_confirms_what_the_peer_has_without_a_hole() {
    for level in BOTH {
        let mut bench = kept(level);
        bench.tell(Tell::Ready);
        let pushes = [(11, 1), (12, 1), (13, 0), (14, 1), (15, 0)];
        deliver(&mut bench, pushes.map(|(seq, qos)| delivery(0, seq, "a", plain(qos, b""))).into());
        assert_eq!(confirmed(&mut bench), [0u64; 0]);
        bench.send(&ack(0x40, 2));
        assert_eq!(confirmed(&mut bench), [0u64; 0], "11 is not acknowledged");
        bench.send(&ack(0x40, 1));
        assert_eq!(confirmed(&mut bench), [13]);
        bench.send(&ack(0x40, 3));
        assert_eq!(confirmed(&mut bench), [15]);
        deliver(&mut bench, vec![Push::Through { subscription: SubscriptionId(0), pos: position(40) }]);
        assert_eq!(confirmed(&mut bench), [40], "what is not for it needs no ack");
    }
}

#[test]
fn the_end_of_the_connection_confirms_what_the_peer_has() {
    for end in [Input::Gone("reset"), Input::Bytes(Bytes::from_static(&[0xe0, 0]))] {
        let mut bench = kept(4);
        bench.tell(Tell::Ready);
        deliver(&mut bench, (11..14).map(|seq| delivery(0, seq, "a", plain(1, b""))).collect());
        bench.send(&[ack(0x40, 1), ack(0x40, 2)].concat());
        bench.asks();
        bench.input(end);
        let asks = bench.asks();
        let through = position(12);
        assert!(
            matches!(
                &asks[..],
                [Ask::Confirm { through: last, .. }, Ask::HandOver { left, .. }, Ask::Leave { .. }]
                    if *last == through && left[..] == [(3, SubscriptionId(0), position(13))]
            ),
            "{asks:?}"
        );
    }
}

#[test]
fn what_is_unacknowledged_comes_again_on_the_next_connection() {
    let mut bench = kept(4);
    bench.tell(Tell::Ready);
    deliver(&mut bench, (11..14).map(|seq| delivery(0, seq, "a", plain(1, b""))).collect());
    bench.send(&[ack(0x40, 1), ack(0x40, 3)].concat());
    assert_eq!(confirmed(&mut bench), [11], "the next connection is asked from 12 on");
}

#[test]
fn what_comes_twice_around_a_change_of_options_goes_out_once() {
    let mut bench = kept(4);
    bench.tell(Tell::Ready);
    bench.send(&subscribe(4, 9, &[("hall/#", 0)]));
    deliver(&mut bench, (11..13).map(|seq| delivery(0, seq, "a", plain(1, b""))).collect());
    bench.subscribed(0, 10);
    deliver(&mut bench, (11..15).map(|seq| delivery(0, seq, "a", plain(1, b""))).collect());
    assert_eq!(bench.got().iter().filter(|byte| **byte == 0x30).count(), 4);
}

#[test]
fn a_gap_is_told_with_the_next_delivery() {
    let gap = Gap { from: Seq(11), to: Seq(15), cause: Cause::Retention };
    let pushes = vec![
        Push::Gap { subscription: SubscriptionId(0), gap, pos: position(15) },
        delivery(0, 16, "a", plain(1, b"")),
        delivery(0, 17, "a", plain(1, b"")),
    ];
    for level in BOTH {
        let mut bench = subscribed(level, 1);
        bench.tell(Tell::Ready);
        deliver(&mut bench, pushes.clone());
        assert_eq!(bench.counters.gaps.total(), 5);
        if level == 4 {
            assert_eq!(bench.got_v4().len(), 2);
            continue;
        }
        let notes: Vec<_> = bench.got_v5().into_iter().map(notes).collect();
        assert_eq!(notes, [vec![("riser-gap".to_owned(), "11..15:retention".to_owned())], vec![]]);
    }
}

fn notes(packet: v5::Packet) -> Vec<(String, String)> {
    match packet {
        v5::Packet::Publish(publish) => publish.properties.unwrap_or_default().user_properties,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_system_says_comes_under_its_own_topics_and_is_acknowledged() {
    let scopes = [
        (Scope::Account(AccountId(uuid::Uuid::nil())), "$riser/account/joined"),
        (Scope::Instance, "$riser/hub/joined"),
        (Scope::Room(RoomId(uuid::Uuid::nil())), "$riser/room/hall/joined"),
    ];
    for (level, (scope, topic)) in BOTH.into_iter().flat_map(|level| scopes.map(|one| (level, one))) {
        let mut bench = Bench::open(level);
        bench.send(&subscribe(level, 9, &[(&topic.replace("joined", "#"), 1)]));
        bench.subscribed(0, 10);
        bench.input(Input::Room(10_000));
        bench.got();
        bench.tell(Tell::Ready);
        let mut said = delivery(0, 11, "joined", plain(1, b"{}"));
        if let Push::Publication(delivery) = &mut said {
            Arc::get_mut(&mut delivery.content).unwrap().technical = Some(scope);
        }
        deliver(&mut bench, vec![said]);
        let got = bench.got();
        assert_eq!(got[0], 0x32, "QoS 1");
        assert_eq!(&got[4..4 + topic.len()], topic.as_bytes());
    }
}

/// A delivery of what that MQTT client id published, of the bench's own client or of another one.
fn published_by(id: &str, own_client: bool, seq: u64) -> Push {
    let payload = [seq as u8];
    let publication = Publication { publisher: Some(Publisher::of(id)), ..plain(0, &payload) };
    match delivery(0, seq, "a", publication) {
        Push::Publication(mut delivery) if own_client => {
            let route =
                Route { client: ClientId(uuid::Uuid::from_u128(2)), ..(*delivery.content.route).clone() };
            Arc::get_mut(&mut delivery.content).unwrap().route = Arc::new(route);
            Push::Publication(delivery)
        }
        other => other,
    }
}

/// 5.0: MQTT-3.8.3-3.
#[test]
fn no_local_gets_nothing_back_of_its_client_id_whatever_connection_published_it() {
    let mut bench = subscribed(5, 4);
    bench.tell(Tell::Ready);
    let retained = match published_by("pump-1", true, 15) {
        Push::Publication(mut delivery) => {
            (delivery.pos, delivery.retained) = (None, Some(position(15)));
            Push::Publication(delivery)
        }
        other => panic!("{other:?}"),
    };
    let pushes = vec![
        published_by("pump-1", true, 11),
        published_by("pump-2", true, 12),
        published_by("pump-1", false, 13),
        delivery(0, 14, "a", plain(0, &[14])),
        retained,
    ];
    deliver(&mut bench, pushes);
    let seqs: Vec<_> = bench.got().chunks(12).map(|packet| *packet.last().unwrap()).collect();
    assert_eq!(seqs, [12, 13, 14]);
    let mut bench = subscribed(5, 0);
    bench.tell(Tell::Ready);
    deliver(&mut bench, vec![published_by("pump-1", true, 11)]);
    assert!(!bench.got().is_empty(), "who wants its own gets them");
}

/// The publisher of each entry of the one batch.
fn publishers(bench: &mut Bench) -> Vec<Option<Publisher>> {
    let intake = bench.intake();
    let frames = entry::frames(&intake.entries).map(|frame| {
        let frame = frame.unwrap();
        Publication::read(&Body::read(frame.body).unwrap()).unwrap().publisher
    });
    frames.collect()
}

#[test]
fn what_may_come_back_to_its_publisher_says_who_that_is() {
    let own = Some(Publisher::of("pump-1"));
    let all =
        |level| [publish(level, "hall/a", 0, 0, b""), publish_with(level, "hall/a", 1, 0, &[], b"")].concat();
    let mut bench = Bench::open(5);
    bench.send(&all(5));
    assert_eq!(publishers(&mut bench), [own, own]);
    let mut bench = Bench::open(4);
    bench.send(&all(4));
    assert_eq!(publishers(&mut bench), [None, own], "MQTT 3.1.1 has no No Local; what is retained stays");
    let keep = Keep { options: 4, identifier: 0 };
    let held = SessionSubscription {
        filter: "hall/#".to_owned(),
        keep,
        through: Some(position(10)),
        showing: Showing::Nothing,
    };
    let state =
        SessionState { number: 7, present: true, subscriptions: vec![held], ..SessionState::default() };
    let mut bench = Bench::open_with(4, Config::default(), state);
    bench.asks();
    bench.send(&all(4));
    assert_eq!(publishers(&mut bench), [own, own], "a session that was opened with MQTT 5 before");
}

#[test]
fn what_is_held_for_a_subscription_that_was_given_up_is_not_sent() {
    let mut bench =
        Bench::open_with(4, Config { inflight_max: 1, ..Config::default() }, SessionState::default());
    listen(&mut bench, 1);
    bench.tell(Tell::Ready);
    deliver(&mut bench, (11..14).map(|seq| delivery(0, seq, "a", plain(1, b""))).collect());
    bench.got();
    bench.send(&[unsubscribe(4, 10, &["hall/#"]), ack(0x40, 1)].concat());
    bench.tell(Tell::Unsubscribed { subscription: SubscriptionId(0) });
    assert_eq!(bench.got(), [0xb0, 2, 0, 10]);
}

#[test]
fn exchanges_of_another_time_are_ended() {
    for (level, wanted) in [(4, vec![0, 5]), (5, vec![0, 5, 0x92])] {
        let mut bench = subscribed(level, 1);
        bench.send(&ack(0x50, 5));
        let got = bench.got();
        assert_eq!((got[0], &got[2..2 + wanted.len()]), (0x62, &wanted[..]));
        bench.send(&ack(0x70, 5));
        assert_eq!((bench.got(), bench.closed.clone()), (vec![], None));
        bench.tell(Tell::Ready);
        deliver(&mut bench, vec![delivery(0, 11, "a", plain(1, b""))]);
        bench.send(&ack(0x50, 1));
        assert_eq!(bench.code(), Some(Code::WrongState), "PUBREC for QoS 1");
    }
}
