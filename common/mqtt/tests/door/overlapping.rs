//! Filters that overlap, come again or are given up while something is on its way.

use crate::bench::*;
use riser_model::{
    SubscriptionId,
    door::{Ask, Input, Push, Tell},
};
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};

/// SUBSCRIBE of MQTT 5 with a subscription identifier below 128; 0 for none.
fn subscribe_as(identifier: u8, filter: &str, options: u8) -> Vec<u8> {
    let section: &[u8] = if identifier == 0 { &[0] } else { &[2, 11, identifier] };
    packet(0x82, &[&[0, 9][..], section, &string(filter), &[options]].concat())
}

/// Subscribed like this, one after the other from subscription 0, with room.
fn listening(level: u8, filters: &[(u8, &str, u8)]) -> Bench {
    let mut bench = Bench::open_terse(level);
    for (n, (identifier, filter, options)) in filters.iter().enumerate() {
        let bytes = match level {
            5 => subscribe_as(*identifier, filter, *options),
            _ => subscribe(4, 9, &[(filter, *options)]),
        };
        bench.send(&bytes);
        bench.subscribed(n as u32, 10);
    }
    bench.input(Input::Room(100_000));
    bench.tell(Tell::Ready);
    bench.asks();
    bench.got();
    bench
}

fn deliver(bench: &mut Bench, pushes: Vec<Push>) {
    bench.tell(Tell::Deliver { pushes, more: false });
}

fn publishes(bench: &mut Bench) -> Vec<Publish> {
    let packets = bench.got_v5().into_iter().map(|packet| match packet {
        Packet::Publish(publish) => publish,
        other => panic!("{other:?}"),
    });
    packets.collect()
}

fn identifiers(publish: &Publish) -> Vec<usize> {
    publish.properties.clone().unwrap_or_default().subscription_identifiers
}

#[test]
fn each_of_overlapping_subscriptions_gets_its_copy_with_its_qos_and_identifier() {
    let mut bench = listening(5, &[(7, "hall/#", 0), (0, "hall/+", 1), (9, "+/a", 1)]);
    deliver(&mut bench, (0..3).map(|n| delivery(n, 11, "a", plain(1, b"x"))).collect());
    let copies: Vec<_> = publishes(&mut bench).iter().map(|p| (p.qos as u8, identifiers(p))).collect();
    assert_eq!(copies, [(0, vec![7]), (1, vec![]), (1, vec![9])], "the highest granted is among them");
    let mut bench = listening(4, &[(0, "hall/#", 0), (0, "hall/+", 1)]);
    deliver(&mut bench, (0..2).map(|n| delivery(n, 11, "a", plain(1, b"x"))).collect());
    assert_eq!(bench.got_v4().len(), 2);
}

#[test]
fn a_filter_that_comes_again_replaces_its_options_and_loses_nothing() {
    let mut bench = listening(5, &[(7, "hall/#", 1)]);
    deliver(&mut bench, vec![delivery(0, 11, "a", plain(1, b"x"))]);
    bench.send(&subscribe_as(8, "hall/#", 0x08));
    assert_eq!(bench.asks().iter().filter(|ask| matches!(ask, Ask::Unsubscribe { .. })).count(), 0);
    bench.bytes.clear();
    deliver(&mut bench, vec![delivery(0, 12, "a", plain(1, b"y")), delivery(0, 13, "a", plain(1, b"z"))]);
    let copies: Vec<_> =
        publishes(&mut bench).iter().map(|p| (p.qos as u8, identifiers(p), p.payload.to_vec())).collect();
    assert_eq!(copies, [(0, vec![8], b"y".to_vec()), (0, vec![8], b"z".to_vec())], "one copy of each");
}

#[test]
fn only_the_same_filter_gives_a_subscription_up() {
    for level in BOTH {
        let mut bench = listening(level, &[(0, "hall/#", 1)]);
        let others = ["hall/+", "hall", "hall/#/", "+/#", "HALL/#", "#"];
        bench.send(&unsubscribe(level, 10, &others));
        assert_eq!(bench.asks(), []);
        let got = bench.got();
        let wanted =
            if level == 5 { packet(0xb0, &[&[0, 10, 0][..], &[0x11; 6]].concat()) } else { ack(0xb0, 10) };
        assert_eq!(got, wanted, "it is answered all the same");
        deliver(&mut bench, vec![delivery(0, 11, "a", plain(0, b"x"))]);
        assert_eq!(bench.got().last(), Some(&b'x'));
    }
}

#[test]
fn one_packet_of_many_filters_is_many_packets_with_one_answer() {
    let filters = [("hall/a", 0), ("hall/b", 1), ("bad#", 1), ("hall/a", 1), ("hall/c", 2)];
    let mut together = Bench::open_terse(5);
    together.send(&subscribe(5, 9, &filters));
    let mut alone = Bench::open_terse(5);
    filters.iter().for_each(|filter| alone.send(&subscribe(5, 9, &[*filter])));
    assert_eq!(together.asks(), alone.asks());
    for bench in [&mut together, &mut alone] {
        (0..3).rev().for_each(|n| bench.subscribed(n, 1));
        // It was asked twice: what its channel retains is wanted again.
        bench.subscribed(0, 1);
    }
    let last_of_each: Vec<u8> = alone.got().chunks(6).filter_map(|suback| suback.last().copied()).collect();
    let mut sorted = last_of_each.clone();
    sorted.sort_unstable();
    let got = together.got();
    assert_eq!(got[..5], [0x90, 8, 0, 9, 0]);
    assert_eq!(got[5..], [0, 1, 0x8f, 1, 2], "in the order of the filters");
    let mut codes = got[5..].to_vec();
    codes.sort_unstable();
    assert_eq!(codes, sorted);

    for (bench, packets) in [
        (&mut together, vec![unsubscribe(5, 10, &["hall/b", "hall/x", "hall/a"])]),
        (&mut alone, ["hall/b", "hall/x", "hall/a"].map(|filter| unsubscribe(5, 10, &[filter])).into()),
    ] {
        bench.send(&packets.concat());
        let given_up = |n| Ask::Unsubscribe { subscription: SubscriptionId(n) };
        assert_eq!(bench.asks(), [given_up(1), given_up(0)]);
        (0..2).for_each(|n| bench.tell(Tell::Unsubscribed { subscription: SubscriptionId(n) }));
    }
    assert_eq!(together.got(), [0xb0, 6, 0, 10, 0, 0, 0x11, 0]);
}

#[test]
fn what_was_begun_is_finished_after_unsubscribe_and_nothing_new_begins() {
    for level in BOTH {
        let mut bench = listening(level, &[(0, "hall/#", 1)]);
        deliver(&mut bench, vec![delivery(0, 11, "a", plain(1, b"x"))]);
        assert_eq!(bench.got()[0], 0x32);
        bench.send(&unsubscribe(level, 10, &["hall/#"]));
        deliver(&mut bench, vec![delivery(0, 12, "a", plain(1, b"y")), delivery(0, 13, "a", plain(0, b"z"))]);
        assert_eq!(bench.got(), b"", "what the bus had on its way goes nowhere");
        bench.tell(Tell::Unsubscribed { subscription: SubscriptionId(0) });
        assert_eq!(bench.got()[0], 0xb0);
        bench.send(&ack(0x40, 1));
        assert_eq!(
            (bench.counters.unknown_ids.total(), bench.closed.clone()),
            (0, None),
            "this one was awaited"
        );
        bench.send(&ack(0x40, 1));
        assert_eq!(bench.counters.unknown_ids.total(), 1);
    }
}

/// Of SUBACK, MQTT 5 table 3-8, from 0x80 on.
const SUBSCRIBE_REFUSALS: [u8; 9] = [0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2];

#[test]
fn every_refusal_of_a_filter_is_worded_in_subacks_codes() {
    for code in riser_model::door::Code::ALL {
        for level in BOTH {
            let mut bench = Bench::open(level);
            bench.send(&subscribe(level, 9, &[("hall/a", 1)]));
            let result = Err(refusal(code));
            bench.tell(Tell::Subscribed { subscription: SubscriptionId(0), result });
            let reason = *bench.got().last().unwrap();
            let right = if level == 5 { SUBSCRIBE_REFUSALS.contains(&reason) } else { reason == 0x80 };
            assert!(right, "{code:?} {level}: {reason:#x}");
            assert_eq!(bench.closed, None, "the others stay");
        }
    }
}
