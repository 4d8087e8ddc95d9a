//! What channels retain, as the door asks for it and words it; and what expires before it is delivered.

use crate::bench::*;
use riser_model::{
    SubscriptionId,
    door::{Ask, Input, Keep, Push, SessionDelivery, SessionState, SessionSubscription, Showing, Tell},
};
use riser_mqtt::Config;
use riser_wire::entry::{ContentType, Publication};
use rumqttc::v5::mqttbytes::v5::Packet;

/// Subscribed to `hall/#` with these options, with room.
fn listening(level: u8, options: u8) -> Bench {
    let mut bench = Bench::open(level);
    bench.send(&subscribe(level, 9, &[("hall/#", options)]));
    bench.subscribed(0, 10);
    bench.input(Input::Room(100_000));
    bench.tell(Tell::Ready);
    bench.asks();
    bench.got();
    bench
}

/// A delivery of what channel `a` retains.
fn retained(publication: Publication<'_>) -> Push {
    match delivery(0, 11, "a", Publication { retain: true, ..publication }) {
        Push::Publication(mut delivery) => {
            (delivery.pos, delivery.retained) = (None, Some(position(11)));
            Push::Publication(delivery)
        }
        other => panic!("{other:?}"),
    }
}

fn deliver(bench: &mut Bench, pushes: Vec<Push>) {
    bench.tell(Tell::Deliver { pushes, more: false });
}

/// Whether each subscribe that is asked for wants what its channels retain.
fn wants_retained(bench: &mut Bench) -> Vec<bool> {
    let asks = bench.asks().into_iter().filter_map(|ask| match ask {
        Ask::Subscribe { retained, .. } => Some(retained != Showing::Nothing),
        _ => None,
    });
    asks.collect()
}

#[test]
fn retain_handling_says_when_the_retained_are_wanted() {
    for (options, new, again) in [(0x01, true, vec![true]), (0x11, true, vec![]), (0x21, false, vec![])] {
        let mut bench = Bench::open(5);
        bench.send(&subscribe(5, 9, &[("hall/#", options)]));
        assert_eq!(wants_retained(&mut bench), [new], "{options:#x}");
        bench.subscribed(0, 10);
        bench.send(&subscribe(5, 10, &[("hall/#", options)]));
        assert_eq!(wants_retained(&mut bench), again, "{options:#x}");
        bench.subscribed(0, 10);
        bench.send(&[unsubscribe(5, 11, &["hall/#"]), subscribe(5, 12, &[("hall/#", options)])].concat());
        assert_eq!(wants_retained(&mut bench), [new], "{options:#x}: a new one again");
    }
    let mut bench = Bench::open(4);
    for id in [9, 10] {
        bench.send(&subscribe(4, id, &[("hall/#", 1)]));
        assert_eq!(wants_retained(&mut bench), [true], "MQTT 3.1.1 always wants them");
        bench.subscribed(0, 10);
    }
}

#[test]
fn a_session_that_is_taken_up_is_not_shown_the_retained_again() {
    for level in BOTH {
        let keep = Keep { options: 1, identifier: 0 };
        let held = SessionSubscription {
            filter: "hall/#".to_owned(),
            keep,
            through: Some(position(10)),
            showing: Showing::Nothing,
        };
        let state =
            SessionState { number: 42, present: true, subscriptions: vec![held], ..SessionState::default() };
        let mut bench = Bench::open_with(level, Config::default(), state);
        assert_eq!(wants_retained(&mut bench), [false]);
    }
}

#[test]
fn what_is_shown_because_it_is_retained_has_the_flag_and_what_comes_live_has_not() {
    for level in BOTH {
        for (asked, published, qos) in [(0, 1, 0), (1, 1, 1), (2, 1, 1), (2, 2, 2), (1, 0, 0)] {
            let mut bench = listening(level, asked);
            deliver(&mut bench, vec![retained(plain(published, b"x"))]);
            assert_eq!(bench.got()[0], 0x31 | qos << 1, "whatever Retain As Published says");
            let live = Publication { retain: true, ..plain(published, b"x") };
            deliver(&mut bench, vec![delivery(0, 11, "a", live)]);
            assert_eq!(bench.got()[0], 0x30 | qos << 1);
        }
    }
    for retain in [true, false] {
        let mut bench = listening(5, 0x08);
        deliver(&mut bench, vec![delivery(0, 11, "a", Publication { retain, ..plain(0, b"x") })]);
        assert_eq!(bench.got()[0], 0x30 | u8::from(retain), "as published");
    }
}

#[test]
fn an_empty_retained_publication_is_delivered_like_any_other() {
    for level in BOTH {
        let mut bench = Bench::open(level);
        bench.send(&publish_with(level, "hall/a", 0x03, 7, &[], b""));
        let read = entries(&bench.intake(), &mut vec![]);
        assert!(read[0].retain && read[0].payload.is_empty());
        let mut bench = listening(level, 0);
        deliver(&mut bench, vec![delivery(0, 11, "a", Publication { retain: true, ..plain(1, b"") })]);
        assert_eq!(bench.got()[0], 0x30);
    }
}

/// A publication that lives for 9 seconds.
fn mortal() -> Publication<'static> {
    const PROPERTIES: [u8; 12] = [1, 1, 2, 0, 0, 0, 9, 9, 0, 2, 7, 7];
    Publication { properties: &PROPERTIES, ..Publication::new(ContentType::Octets, b"x") }
}

#[test]
fn a_publication_is_delivered_with_what_is_left_of_its_expiry() {
    for (waited_ms, left_s) in [(0, 9), (1, 9), (4_000, 5), (8_001, 1), (8_999, 1)] {
        let mut bench = listening(5, 0);
        bench.now.time = bench.now.time.plus(std::time::Duration::from_millis(waited_ms));
        deliver(&mut bench, vec![delivery(0, 11, "a", mortal())]);
        match &bench.got_v5()[..] {
            [Packet::Publish(publish)] => {
                let properties = publish.properties.clone().unwrap();
                assert_eq!(properties.message_expiry_interval, Some(left_s), "{waited_ms}");
                assert_eq!(properties.payload_format_indicator, Some(1));
                assert_eq!(properties.correlation_data.as_deref(), Some(&[7, 7][..]), "the rest stays");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_expired_publication_is_passed_over_and_counted() {
    for level in BOTH {
        let mut bench = listening(level, 1);
        bench.now.time = bench.now.time.plus(std::time::Duration::from_secs(9));
        let qos_1 = Publication { qos: 1, ..mortal() };
        deliver(&mut bench, vec![delivery(0, 11, "a", qos_1), delivery(0, 12, "a", plain(0, b"y"))]);
        assert_eq!(bench.got().last(), Some(&b'y'));
        assert_eq!(bench.counters.expired.total(), 1);
        bench.send(&ack(0x40, 1));
        assert_eq!(bench.counters.unknown_ids.total(), 1, "it has taken no packet id");
    }
    let mut bench = listening(5, 0);
    bench.now.time = bench.now.time.plus(std::time::Duration::from_secs(1_000));
    deliver(&mut bench, vec![delivery(0, 11, "a", plain(0, b"y"))]);
    assert_eq!(bench.got().last(), Some(&b'y'), "without an expiry nothing expires");
    bench.tell(Tell::Unsubscribed { subscription: SubscriptionId(0) });
}

/// A session of which one subscription is held, and of that something is still to be shown.
fn resumed(level: u8, options: u8, showing: Showing, deliveries: Vec<SessionDelivery>) -> Bench {
    let keep = Keep { options, identifier: 0 };
    let held =
        SessionSubscription { filter: "hall/#".to_owned(), keep, through: Some(position(10)), showing };
    let state = SessionState {
        number: 42,
        present: true,
        deliveries,
        subscriptions: vec![held],
        ..SessionState::default()
    };
    let mut bench = Bench::open_with(level, Config::default(), state);
    bench.input(Input::Room(100_000));
    bench.tell(Tell::Ready);
    bench.subscribed(0, 10);
    bench
}

/// What those channels retain, as published there.
fn kept(qos: u8, channels: &[(&str, u64)]) -> Vec<Push> {
    let all = channels.iter().map(|(channel, seq)| {
        match delivery(0, *seq, channel, Publication { retain: true, ..plain(qos, b"x") }) {
            Push::Publication(mut delivery) => {
                (delivery.pos, delivery.retained) = (None, Some(position(*seq)));
                Push::Publication(delivery)
            }
            other => panic!("{other:?}"),
        }
    });
    all.collect()
}

fn behind(channel: &str) -> Showing {
    match &kept(0, &[(channel, 1)])[..] {
        [Push::Publication(delivery)] => {
            Showing::After(delivery.content.route.room, delivery.content.route.channel.clone())
        }
        other => panic!("{other:?}"),
    }
}

/// What is told to be left of what channels retain, newest last.
fn told(bench: &mut Bench) -> Vec<Showing> {
    let shown = bench.asks().into_iter().filter_map(|ask| match ask {
        Ask::HandOver { shown, .. } => Some(shown),
        _ => None,
    });
    shown.flatten().map(|(_, left)| left).collect()
}

const AWHILE: std::time::Duration = std::time::Duration::from_secs(2);

#[test]
fn a_session_goes_on_being_shown_the_retained_behind_what_its_client_has() {
    for level in BOTH {
        for showing in [Showing::All, behind("b")] {
            let mut bench = resumed(level, 1, showing.clone(), vec![]);
            let asked = bench.asks().into_iter().find_map(|ask| match ask {
                Ask::Subscribe { retained, .. } => Some(retained),
                _ => None,
            });
            assert_eq!(asked, Some(showing));
        }
        let mut bench = resumed(level, 1, Showing::All, vec![]);
        bench.asks();
        deliver(&mut bench, kept(1, &[("a", 1), ("b", 2), ("c", 3)]));
        bench.pass(AWHILE);
        assert_eq!(told(&mut bench), [], "nothing is acknowledged");
        bench.send(&ack(0x40, 2));
        bench.pass(AWHILE);
        assert_eq!(told(&mut bench), [], "the first is not");
        bench.send(&ack(0x40, 1));
        bench.pass(AWHILE);
        assert_eq!(told(&mut bench), [behind("b")]);
        deliver(&mut bench, vec![Push::Through { subscription: SubscriptionId(0), pos: position(10) }]);
        bench.send(&ack(0x40, 3));
        bench.pass(AWHILE);
        assert_eq!(told(&mut bench), [Showing::Nothing]);
        bench.pass(AWHILE);
        assert_eq!(told(&mut bench), [], "said once");
    }
}

#[test]
fn what_of_the_retained_is_said_when_the_connection_ends_is_remembered_and_the_rest_is_left() {
    for level in BOTH {
        let mut bench = resumed(level, 1, Showing::All, vec![]);
        bench.asks();
        deliver(&mut bench, kept(1, &[("a", 1), ("b", 2)]));
        bench.send(&ack(0x40, 1));
        bench.send(&packet(0xe0, &[]));
        let last = bench.asks().into_iter().rev().find_map(|ask| match ask {
            Ask::HandOver { loose, shown, .. } => Some((loose, shown)),
            _ => None,
        });
        let (loose, shown) = last.expect("it is told");
        assert_eq!(loose.iter().map(|one| one.position).collect::<Vec<_>>(), [position(2)]);
        assert_eq!(shown, [(SubscriptionId(0), behind("b"))]);
    }
}

#[test]
fn what_a_session_finishes_of_the_retained_is_not_shown_once_more() {
    let begun = SessionDelivery {
        id: 7,
        filter: None,
        position: position(2),
        released: false,
        over: false,
        at_least_once: false,
        retained: true,
    };
    for level in BOTH {
        let mut bench = resumed(level, 0, behind("a"), vec![begun.clone()]);
        bench.asks();
        deliver(&mut bench, kept(0, &[("b", 2), ("c", 3)]));
        assert_eq!(bench.got().iter().filter(|byte| **byte == b'c').count(), 1);
        bench.pass(AWHILE);
        assert_eq!(told(&mut bench), [behind("c")], "the other one is passed over");
    }
}

#[test]
fn a_filter_that_comes_again_while_the_retained_are_shown_loses_none_of_them() {
    let mut bench = resumed(5, 0x11, Showing::All, vec![]);
    bench.asks();
    deliver(&mut bench, kept(1, &[("a", 1), ("b", 2)]));
    bench.send(&subscribe(5, 9, &[("hall/#", 0x10)]));
    let asked = |bench: &mut Bench| {
        bench.asks().into_iter().find_map(|ask| match ask {
            Ask::Subscribe { retained, .. } => Some(retained),
            _ => None,
        })
    };
    assert_eq!(asked(&mut bench), Some(behind("b")), "other options: it goes on");
    bench.got();
    deliver(&mut bench, kept(0, &[("b", 2), ("c", 3)]));
    assert_eq!(bench.got().iter().filter(|byte| **byte == 0x31).count(), 1, "what was on its way comes once");
    bench.subscribed(0, 10);
    bench.send(&subscribe(5, 10, &[("hall/#", 0x00)]));
    assert_eq!(asked(&mut bench), Some(Showing::All), "asked for again: all of them");
    deliver(&mut bench, kept(0, &[("d", 4)]));
    bench.pass(AWHILE);
    let told = told(&mut bench);
    assert_eq!(told, [], "that was of the former one");
}
