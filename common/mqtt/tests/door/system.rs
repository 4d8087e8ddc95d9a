//! `$SYS`, as the door words it: all of it to a newcomer, then what has changed.

use crate::bench::*;
use riser_model::{
    SubscriptionId,
    door::{Ask, Code, Input, Tell, Want},
};
use rumqttc::v5::mqttbytes::v5::Packet;

fn values(values: &[(&str, &str)]) -> Tell {
    let owned = |(topic, value): &(&str, &str)| (format!("$SYS/broker/{topic}"), (*value).to_owned());
    Tell::System { values: values.iter().map(owned).collect() }
}

fn listening(filter: &str, options: u8) -> Bench {
    let mut bench = Bench::open(5);
    bench.send(&subscribe(5, 9, &[(filter, options)]));
    let asks = bench.asks();
    let want = |ask: &Ask| matches!(ask, Ask::Subscribe { want: Want::System(of), .. } if of == filter);
    assert!(asks.iter().any(want), "{asks:?}");
    bench.subscribed(0, 10);
    bench.got();
    bench.input(Input::Room(100_000));
    bench
}

/// Topics below `$SYS/broker`, values, and whether they are retained.
fn got(bench: &mut Bench) -> Vec<(String, String, bool)> {
    let published = bench.got_v5().into_iter().map(|packet| match packet {
        Packet::Publish(publish) => {
            assert_eq!(publish.qos as u8, 0);
            let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
            let payload = String::from_utf8(publish.payload.to_vec()).unwrap();
            (topic.strip_prefix("$SYS/broker/").unwrap().to_owned(), payload, publish.retain)
        }
        other => panic!("{other:?}"),
    });
    published.collect()
}

fn row(topic: &str, value: &str, retain: bool) -> (String, String, bool) {
    (topic.to_owned(), value.to_owned(), retain)
}

#[test]
fn a_newcomer_is_shown_all_of_it_and_then_what_has_changed() {
    let mut bench = listening("$SYS/#", 1);
    bench.tell(values(&[("uptime", "10 seconds"), ("clients/total", "3")]));
    assert_eq!(got(&mut bench), [row("uptime", "10 seconds", true), row("clients/total", "3", true)]);
    bench.tell(values(&[("uptime", "20 seconds"), ("clients/total", "3")]));
    assert_eq!(got(&mut bench), [row("uptime", "20 seconds", false)]);
    bench.send(&subscribe(5, 10, &[("$SYS/+/clients/#", 1)]));
    bench.subscribed(1, 10);
    let shown = bench.got_v5();
    assert!(shown.iter().any(|packet| matches!(packet, Packet::Publish(publish) if publish.retain)));
}

#[test]
fn a_filter_gets_what_it_meets_and_options_are_kept() {
    // Retain as published; not shown what is there.
    let mut bench = listening("$SYS/broker/+", 0x28);
    bench.tell(values(&[("uptime", "10 seconds"), ("clients/total", "3")]));
    assert_eq!(got(&mut bench), [row("uptime", "10 seconds", true)], "it changed, from nothing");
}

#[test]
fn who_takes_nothing_is_told_the_newest_when_he_does() {
    let mut bench = listening("$SYS/#", 1);
    bench.input(Input::Room(0));
    for n in 0..100 {
        bench.tell(values(&[("uptime", &n.to_string())]));
    }
    assert_eq!(got(&mut bench), []);
    bench.input(Input::Room(1000));
    assert_eq!(got(&mut bench), [row("uptime", "99", true)]);
}

#[test]
fn who_may_not_is_refused_like_anywhere_else() {
    let mut bench = Bench::open(5);
    bench.send(&subscribe(5, 9, &[("$SYS/#", 0)]));
    bench.tell(Tell::Subscribed { subscription: SubscriptionId(0), result: Err(refusal(Code::Denied)) });
    assert_eq!(bench.got().last(), Some(&0x87));
    bench.input(Input::Room(1000));
    bench.tell(values(&[("uptime", "1")]));
    assert_eq!(bench.got(), b"");
}

#[test]
fn what_goes_over_a_connection_is_tallied() {
    let tally = riser_model::tally::Tally::default();
    let state = riser_model::door::SessionState { tally: tally.clone(), ..Default::default() };
    let mut bench = Bench::open_with(5, riser_mqtt::Config::default(), state);
    bench.send(&subscribe(5, 9, &[("hall/#", 0)]));
    bench.subscribed(0, 10);
    bench.input(Input::Room(100_000));
    bench.tell(Tell::Ready);
    bench.tell(Tell::Deliver { pushes: vec![delivery(0, 11, "a", plain(0, b"12345"))], more: false });
    bench.send(
        &[publish(5, "hall/a", 0, 0, b"abc"), publish(5, "hall/a", 1, 7, b"d"), vec![0xc0, 0]].concat(),
    );
    let t = tally.tallied();
    assert_eq!((t.packets_received, t.publications_received, t.publication_bytes_received), (4, 2, 4));
    // SUBACK, PUBLISH, PINGRESP; PUBACK is to come.
    assert_eq!((t.packets_sent, t.publications_sent, t.publication_bytes_sent), (3, 1, 5));
    assert_eq!(t.bytes_sent, bench.got().len() as u64);
}
