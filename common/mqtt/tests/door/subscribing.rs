//! SUBSCRIBE, UNSUBSCRIBE and what a session keeps.

use crate::bench::*;
use riser_model::{
    SubscriptionId,
    door::{Ask, Code, Flow, From, Keep, SessionState, SessionSubscription, Showing, Technical, Tell, Want},
};
use riser_mqtt::Config;
use rumqttc::{mqttbytes::v4, v5::mqttbytes::v5};

fn asked(ask: &Ask) -> (u32, &Want, From, Option<Keep>) {
    match ask {
        Ask::Subscribe { subscription, want, from, flow: Flow::Credit, keep, retained: _ } => {
            (subscription.0, want, *from, *keep)
        }
        other => panic!("want Subscribe: {other:?}"),
    }
}

fn topic(filter: &str) -> Want {
    Want::Topic(filter.to_owned())
}

fn session(subscriptions: Vec<SessionSubscription>) -> SessionState {
    SessionState {
        number: 42,
        present: true,
        last_id: 0,
        deliveries: vec![],
        open_ids: vec![],
        subscriptions,
        tally: Default::default(),
    }
}

fn held(filter: &str, options: u8, through: u64) -> SessionSubscription {
    let keep = Keep { options, identifier: 0 };
    SessionSubscription {
        filter: filter.to_owned(),
        keep,
        through: Some(position(through)),
        showing: Showing::Nothing,
    }
}

#[test]
fn every_filter_is_a_subscription_and_suback_waits_for_all() {
    for level in BOTH {
        let mut bench = Bench::open(level);
        let filters = [
            ("hall/+", 0),
            ("+/x/#", 1),
            ("$riser/account/#", 2),
            ("$riser/room/hall/#", 0),
            ("a#", 0),
            ("$else/x", 1),
        ];
        bench.send(&subscribe(level, 9, &filters));
        let asks = bench.asks();
        let wants: Vec<_> = asks.iter().map(asked).collect();
        assert_eq!(
            wants,
            [
                (0, &topic("hall/+"), From::Live, None),
                (1, &topic("+/x/#"), From::Live, None),
                (2, &Want::Technical(Technical { hub: false, ..Technical::of_account() }), From::Live, None),
                (3, &Want::Technical(Technical::of_room("hall".parse().unwrap())), From::Live, None),
            ]
        );
        bench.subscribed(2, 1);
        bench.subscribed(0, 1);
        bench.subscribed(3, 1);
        assert_eq!(bench.got(), b"");
        bench.tell(Tell::Subscribed { subscription: SubscriptionId(1), result: Err(refusal(Code::Denied)) });
        let (denied, invalid) = if level == 5 { (0x87, 0x8f) } else { (0x80, 0x80) };
        let got = bench.got();
        assert_eq!(got[2..4], [0, 9]);
        assert_eq!(got[got.len() - 6..], [0, denied, 2, 0, invalid, invalid]);
    }
}

#[test]
fn a_kept_session_keeps_its_subscriptions_with_their_identifiers() {
    let mut bench = Bench::open_with(5, Config::default(), session(vec![]));
    let body = [&[0, 9][..], &[3, 11, 0xac, 0x02], &string("hall/a"), &[0x2d]].concat();
    bench.send(&packet(0x82, &body));
    let asks = bench.asks();
    let keep = Keep { options: 0x2d, identifier: 300 };
    assert_eq!(asked(&asks[0]), (0, &topic("hall/a"), From::Live, Some(keep)));
}

#[test]
fn a_reconnect_goes_on_where_the_peer_left_off_and_asking_again_loses_nothing() {
    for level in BOTH {
        let state = session(vec![held("hall/a", 1, 70), held("hall/b", 0, 80)]);
        let mut bench = Bench::open_with(level, Config::default(), state);
        let asks = bench.asks();
        let keep = |options| Some(Keep { options, identifier: 0 });
        assert_eq!(asked(&asks[0]), (0, &topic("hall/a"), From::After(position(70)), keep(1)));
        assert_eq!(asked(&asks[1]), (1, &topic("hall/b"), From::After(position(80)), keep(0)));
        bench.send(&subscribe(level, 9, &[("hall/a", 1)]));
        let again = (0, &topic("hall/a"), From::After(position(70)), keep(1));
        assert_eq!(asked(&bench.asks()[0]), again, "for what its channel retains");
        bench.subscribed(0, 70);
        assert_eq!(bench.got(), b"", "this one answers the reconnect");
        bench.subscribed(0, 70);
        assert_eq!(bench.got().last(), Some(&1));
        bench.send(&subscribe(level, 10, &[("hall/b", 1)]));
        let asks = bench.asks();
        assert_eq!(asked(&asks[0]), (1, &topic("hall/b"), From::After(position(80)), keep(1)), "kept anew");
        bench.subscribed(1, 80);
        assert_eq!(bench.got(), b"", "this one answers the reconnect");
        bench.subscribed(1, 80);
        assert_eq!(bench.got().last(), Some(&1));
    }
}

#[test]
fn asking_again_changes_options_without_the_bus_where_nobody_keeps_them() {
    let mut bench = Bench::open(5);
    bench.send(&subscribe(5, 9, &[("hall/a", 1)]));
    bench.subscribed(0, 1);
    bench.asks();
    bench.got();
    // Retain Handling 1: what the channel retains is for new subscriptions.
    bench.send(&subscribe(5, 10, &[("hall/a", 0x10)]));
    assert_eq!(bench.asks(), []);
    assert_eq!(bench.got(), [0x90, 4, 0, 10, 0, 0]);
}

#[test]
fn a_held_subscription_that_is_refused_on_return_is_counted_and_goes_on_where_it_was_when_it_is_allowed() {
    let mut bench = Bench::open_with(4, Config::default(), session(vec![held("hall/a", 1, 70)]));
    bench.asks();
    bench.tell(Tell::Subscribed { subscription: SubscriptionId(0), result: Err(refusal(Code::Denied)) });
    assert_eq!(bench.counters.lost_subscriptions.total(), 1);
    bench.send(&subscribe(4, 9, &[("hall/a", 1)]));
    assert_eq!(asked(&bench.asks()[0]).2, From::After(position(70)), "what waits there is the client's");
}

#[test]
fn a_held_subscription_whose_position_is_none_any_more_begins_anew_when_it_is_asked_for() {
    let mut bench = Bench::open_with(4, Config::default(), session(vec![held("hall/a", 1, 70)]));
    bench.asks();
    let result = Err(refusal(Code::UnknownPosition));
    bench.tell(Tell::Subscribed { subscription: SubscriptionId(0), result });
    bench.send(&subscribe(4, 9, &[("hall/a", 1)]));
    assert_eq!(asked(&bench.asks()[0]).2, From::Live, "that place would be refused for ever");
}

#[test]
fn a_held_subscription_that_is_refused_on_return_can_be_given_up() {
    let mut bench = Bench::open_with(5, Config::default(), session(vec![held("hall/a", 1, 70)]));
    bench.asks();
    bench.tell(Tell::Subscribed { subscription: SubscriptionId(0), result: Err(refusal(Code::Denied)) });
    bench.send(&unsubscribe(5, 9, &["hall/a"]));
    assert_eq!(bench.asks(), [Ask::Unsubscribe { subscription: SubscriptionId(0) }]);
    bench.send(&subscribe(5, 10, &[("hall/a", 1)]));
    assert_eq!(asked(&bench.asks()[0]).2, From::Live);
}

#[test]
fn unsuback_waits_for_the_bus_and_knows_what_was_not_there() {
    for level in BOTH {
        let mut bench = Bench::open_terse(level);
        bench.send(&subscribe(level, 9, &[("hall/a", 1)]));
        bench.subscribed(0, 1);
        bench.asks();
        bench.got();
        bench.send(&unsubscribe(level, 10, &["hall/b", "hall/a"]));
        assert_eq!(bench.asks(), [Ask::Unsubscribe { subscription: SubscriptionId(0) }]);
        assert_eq!(bench.got(), b"");
        bench.tell(Tell::Unsubscribed { subscription: SubscriptionId(0) });
        match level {
            5 => assert_eq!(bench.got(), [0xb0, 5, 0, 10, 0, 0x11, 0]),
            _ => assert_eq!(bench.got(), [0xb0, 2, 0, 10]),
        }
        bench.send(&unsubscribe(level, 11, &["hall/a"]));
        assert_eq!((bench.asks(), bench.got().len()), (vec![], if level == 5 { 6 } else { 4 }));
        bench.send(&subscribe(level, 12, &[("hall/a", 1)]));
        assert_eq!(asked(&bench.asks()[0]).0, 1, "numbers are not reused");
    }
}

#[test]
fn giving_up_what_is_not_granted_yet_leaves_no_answer_open() {
    let mut bench = Bench::open(4);
    bench.send(&[subscribe(4, 9, &[("hall/a", 1)]), unsubscribe(4, 10, &["hall/a"])].concat());
    bench.subscribed(0, 1);
    bench.tell(Tell::Unsubscribed { subscription: SubscriptionId(0) });
    assert_eq!(bench.got(), [0x90, 3, 0, 9, 1, 0xb0, 2, 0, 10]);
}

#[test]
fn subscriptions_are_bounded() {
    let mut bench = Bench::open(5);
    let filters: Vec<String> = (0..101).map(|n| format!("hall/{n}")).collect();
    let filters: Vec<(&str, u8)> = filters.iter().map(|filter| (filter.as_str(), 0)).collect();
    bench.send(&subscribe(5, 9, &filters));
    assert_eq!(bench.asks().len(), 100);
    (0..100).for_each(|n| bench.subscribed(n, 1));
    assert_eq!(bench.got().last(), Some(&0x97));
    let mut bench = Bench::open(5);
    (0..257).for_each(|n| bench.send(&subscribe(5, n + 1, &[("hall/a", 0)])));
    assert_eq!(bench.code(), Some(Code::TooMany), "answers that are awaited are bounded too");
}

#[test]
fn bad_filters_and_options_end_the_connection() {
    for (level, body) in [
        (4, vec![0, 0, 0, 1, b'a', 0]),
        (4, vec![0, 1]),
        (4, vec![0, 1, 0, 1, b'a', 3]),
        (4, vec![0, 1, 0, 1, b'a', 4]),
        (4, vec![0, 1, 0, 0, 0]),
        (4, vec![0, 1, 0, 1, 0, 0]),
        (4, vec![0, 1, 0, 1, 0xff, 0]),
        (4, vec![0, 1, 0, 1, b'a']),
        (5, vec![0, 1, 0, 0, 1, b'a', 0x40]),
        (5, vec![0, 1, 0, 0, 1, b'a', 0x30]),
        (5, vec![0, 1, 2, 11, 0, 0, 1, b'a', 0]),
        (5, vec![0, 1, 4, 11, 1, 11, 1, 0, 1, b'a', 0]),
    ] {
        let mut bench = Bench::open(level);
        bench.send(&packet(0x82, &body));
        assert!(bench.code().is_some(), "{body:?}");
        assert!(matches!(&bench.asks()[..], [Ask::Leave { .. }]));
    }
    let mut bench = Bench::open(5);
    bench.send(&packet(0xa2, &[0, 1, 0]));
    assert!(bench.code().is_some(), "UNSUBSCRIBE without a filter");
}

#[test]
fn one_packet_that_names_a_filter_a_thousand_times_is_one_look_at_what_is_retained() {
    let mut bench = Bench::open(5);
    bench.send(&subscribe(5, 9, &[("hall/#", 1); 1000]));
    assert_eq!(bench.asks().len(), 1);
    bench.subscribed(0, 1);
    bench.got();
    bench.send(&subscribe(5, 10, &[("hall/#", 1)]));
    assert_eq!(bench.asks().len(), 1, "and again when it was answered");
    bench.send(&subscribe(5, 11, &[("hall/#", 1); 10_001]));
    assert_eq!(bench.code(), Some(Code::TooMany));
}

#[test]
fn a_connection_holds_as_many_subscriptions_as_its_listener_says_and_the_next_one_is_told() {
    let config = Config { subscriptions_max: 1_000, ..Config::default() };
    for level in BOTH {
        let mut bench = Bench::open_with(level, config.clone(), Default::default());
        let filters: Vec<String> = (0..1_001).map(|n| format!("hall/{n}")).collect();
        let asked: Vec<(&str, u8)> = filters.iter().map(|filter| (filter.as_str(), 0)).collect();
        bench.send(&subscribe(level, 1, &asked));
        assert_eq!(bench.asks().iter().filter(|ask| matches!(ask, Ask::Subscribe { .. })).count(), 1_000);
        (0..1_000).for_each(|n| bench.subscribed(n, 1));
        let codes: Vec<u8> = match level {
            4 => match &bench.got_v4()[..] {
                [v4::Packet::SubAck(ack)] => ack.return_codes.iter().map(|code| code4(*code)).collect(),
                other => panic!("{other:?}"),
            },
            _ => match &bench.got_v5()[..] {
                [v5::Packet::SubAck(ack)] => {
                    let words = ack.properties.as_ref().and_then(|p| p.reason_string.as_deref());
                    assert_eq!(
                        words,
                        Some("filter 1001: one subscription more; want at most 1000 on one connection")
                    );
                    ack.return_codes.iter().map(|code| code5(*code)).collect()
                }
                other => panic!("{other:?}"),
            },
        };
        let refused = if level == 4 { 0x80 } else { 0x97 };
        assert_eq!((codes[999], codes[1_000], codes.len()), (0, refused, 1_001));
        // Who gives one up has room for another, and asks again for what it has.
        bench.send(&unsubscribe(level, 2, &["hall/7"]));
        bench.tell(Tell::Unsubscribed { subscription: SubscriptionId(7) });
        bench.got();
        bench.send(&subscribe(level, 3, &[("hall/1000", 0), ("hall/8", 0), ("hall/7", 0)]));
        assert_eq!(bench.asks().iter().filter(|ask| matches!(ask, Ask::Subscribe { .. })).count(), 2);
    }
}

fn code4(code: v4::SubscribeReasonCode) -> u8 {
    if matches!(code, v4::SubscribeReasonCode::Success(_)) { 0 } else { 0x80 }
}

fn code5(code: v5::SubscribeReasonCode) -> u8 {
    match code {
        v5::SubscribeReasonCode::Success(_) => 0,
        v5::SubscribeReasonCode::QuotaExceeded => 0x97,
        other => panic!("{other:?}"),
    }
}
