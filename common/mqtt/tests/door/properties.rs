//! MQTT 5's properties of publications: what may come in, what goes out, and topic aliases.

use crate::bench::*;
use riser_model::door::{Ask, Code, Input, Tell};
use riser_mqtt::Config;
use riser_wire::entry::{ContentType, Publication};
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};

const USER_TWICE: [u8; 28] = [
    38, 0, 1, b'b', 0, 1, b'1', 38, 0, 1, b'a', 0, 1, b'2', 38, 0, 1, b'b', 0, 1, b'0', 38, 0, 1, b'b', 0, 1,
    b'1',
];

fn pairs() -> Vec<(String, String)> {
    [("b", "1"), ("a", "2"), ("b", "0"), ("b", "1")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}

fn published(bench: &mut Bench) -> Vec<Publish> {
    let packets = bench.got_v5().into_iter().map(|packet| match packet {
        Packet::Publish(publish) => publish,
        other => panic!("{other:?}"),
    });
    packets.collect()
}

/// Subscribed to `hall/#`, with room, after a CONNECT with these properties.
fn listening(properties: &[u8]) -> Bench {
    let mut bench = Bench::new(5);
    let fields: [&[u8]; 3] = [&string("id"), &string("u"), &string("p")];
    bench.send(&connect_of(5, 0xc2, properties, &fields));
    bench.tell(entered(Default::default()));
    bench.send(&subscribe(5, 9, &[("hall/#", 1)]));
    bench.subscribed(0, 10);
    bench.input(Input::Room(100_000));
    bench.tell(Tell::Ready);
    bench.asks();
    bench.got();
    bench
}

#[test]
fn properties_that_publish_may_not_have_end_the_connection() {
    for (properties, reason, what) in [
        (&[11, 1][..], 0x81, "a subscription identifier"),
        (&[8, 0, 3, b'a', b'/', b'#'], 0x82, "a response topic with #"),
        (&[8, 0, 3, b'+', b'/', b'a'], 0x82, "a response topic with +"),
        (&[8, 0, 0], 0x82, "an empty response topic"),
        (&[35, 0, 0], 0x94, "alias 0"),
        (&[1, 2], 0x82, "a payload format of 2"),
        (&[1, 0, 1, 0], 0x82, "a payload format twice"),
        (&[2, 0, 0, 0, 1, 2, 0, 0, 0, 1], 0x82, "an expiry twice"),
        (&[3, 0, 1, b'x', 3, 0, 1, b'x'], 0x82, "a content type twice"),
        (&[9, 0, 0, 9, 0, 0], 0x82, "correlation data twice"),
        (&[17, 0, 0, 0, 1], 0x81, "a session expiry"),
        (&[0x7f], 0x81, "one that nobody knows"),
    ] {
        let mut bench = Bench::open(5);
        bench.send(&publish_with(5, "hall/a", 2, 1, properties, b"x"));
        assert!(bench.code().is_some(), "{what}");
        let got = bench.got();
        assert_eq!((got[0], got[2]), (0xe0, reason), "{what}");
        assert!(matches!(&bench.asks()[..], [Ask::Leave { .. }]), "{what}");
    }
}

#[test]
fn every_alias_up_to_the_maximum_that_was_told_is_taken_and_none_above() {
    for most in [0_u16, 1, 32, 300] {
        let config = || Config { topic_aliases_max: most, ..Config::default() };
        let aliased = |topic: &str, alias: u16| {
            let [high, low] = alias.to_be_bytes();
            publish_with(5, topic, 0, 0, &[35, high, low], b"")
        };
        let mut bench = Bench::with(5, config());
        bench.send(&connect(5, true, 0, 0));
        bench.tell(entered(Default::default()));
        bench.asks();
        let Some(Packet::ConnAck(connack)) = bench.got_v5().pop() else { panic!("want CONNACK") };
        assert_eq!(connack.properties.unwrap().topic_alias_max, Some(most));
        let topics: Vec<String> = (1..=most).map(|alias| format!("hall/{alias}")).collect();
        let named = (1..=most).zip(&topics).flat_map(|(alias, topic)| aliased(topic, alias));
        let again = (1..=most).rev().flat_map(|alias| aliased("", alias));
        bench.send(&named.chain(again).collect::<Vec<u8>>());
        if most > 0 {
            let read: Vec<_> =
                entries(&bench.intake(), &mut vec![]).into_iter().map(|entry| entry.topic).collect();
            assert_eq!(read, topics.iter().chain(topics.iter().rev()).cloned().collect::<Vec<_>>());
        }
        bench.send(&aliased("hall/x", most + 1));
        let got = bench.got();
        assert_eq!((got[0], got[2]), (0xe0, 0x94), "{most}");
    }
}

#[test]
fn an_alias_ends_with_its_connection() {
    let state = || riser_model::door::SessionState { number: 42, present: true, ..Default::default() };
    let mut bench = Bench::open_with(5, Config::default(), state());
    bench.send(&publish_with(5, "hall/a", 0, 0, &[35, 0, 1], b""));
    assert_eq!(bench.intake().count, 1);
    let mut bench = Bench::open_with(5, Config::default(), state());
    bench.send(&publish_with(5, "", 0, 0, &[35, 0, 1], b""));
    assert_eq!(bench.code(), Some(Code::WrongState), "it names nothing in the session's next connection");
}

#[test]
fn a_topic_is_said_in_full_once_and_by_its_alias_from_there_on() {
    // As many as the client takes, if the listener gives as many.
    for (taken, given) in [(2, 2), (300, 32)] {
        let [high, low] = u16::to_be_bytes(taken);
        let mut bench = listening(&[34, high, low]);
        let (mut known, mut said) = (std::collections::BTreeMap::new(), 0);
        for n in 0..200_u64 {
            let channel = format!("c{}", n % u64::from(given) / 2);
            bench.tell(Tell::Deliver {
                pushes: vec![delivery(0, 11 + n, &channel, plain(0, b"x"))],
                more: false,
            });
            let publish = published(&mut bench).pop().unwrap();
            let alias = publish.properties.and_then(|p| p.topic_alias).unwrap();
            assert!((1..=given).contains(&alias), "{alias}");
            if !publish.topic.is_empty() {
                said += 1;
                known.insert(alias, String::from_utf8(publish.topic.to_vec()).unwrap());
            }
            assert_eq!(known.get(&alias), Some(&format!("hall/{channel}")));
        }
        assert_eq!(said, usize::from(given.div_ceil(2)));
    }
}

#[test]
fn a_client_that_named_no_alias_maximum_gets_every_topic_in_full() {
    for properties in [&[][..], &[34, 0, 0]] {
        let mut bench = listening(properties);
        let pushes = (0..3).map(|n| delivery(0, 11 + n, "a", plain(0, b"x"))).collect();
        bench.tell(Tell::Deliver { pushes, more: false });
        let got = published(&mut bench);
        assert_eq!(got.len(), 3);
        for publish in got {
            assert_eq!(&publish.topic[..], b"hall/a");
            assert_eq!(publish.properties.and_then(|p| p.topic_alias), None);
        }
    }
}

#[test]
fn user_properties_keep_their_order_and_their_number() {
    let mut bench = Bench::open(5);
    bench.send(&publish_with(5, "hall/a", 0, 0, &USER_TWICE, b""));
    assert_eq!(entries(&bench.intake(), &mut vec![])[0].properties, USER_TWICE);

    let mut bench = listening(&[]);
    let publication = Publication { properties: &USER_TWICE, ..Publication::new(ContentType::Octets, b"x") };
    bench.tell(Tell::Deliver { pushes: vec![delivery(0, 11, "a", publication)], more: false });
    let got = published(&mut bench);
    assert_eq!(got[0].properties.clone().unwrap().user_properties, pairs());

    let mut bench = Bench::new(5);
    let will = [&[USER_TWICE.len() as u8][..], &USER_TWICE, &string("hall/gone"), &string("bye")].concat();
    let fields: [&[u8]; 4] = [&string("id"), &will, &string("u"), &string("p")];
    bench.send(&connect_of(5, 0xc6, &[], &fields));
    match &bench.asks()[..] {
        [Ask::Enter { session: Some(session), .. }] => {
            assert_eq!(session.will.as_ref().unwrap().properties[..], USER_TWICE);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_of_3_1_1_gets_the_payload_without_properties() {
    let mut bench = Bench::open(4);
    bench.send(&subscribe(4, 9, &[("hall/#", 0)]));
    bench.subscribed(0, 10);
    bench.input(Input::Room(100_000));
    bench.tell(Tell::Ready);
    bench.got();
    let publication = Publication { properties: &USER_TWICE, ..Publication::new(ContentType::Json, b"{}") };
    bench.tell(Tell::Deliver { pushes: vec![delivery(0, 11, "a", publication)], more: false });
    assert_eq!(bench.got(), packet(0x30, &[&string("hall/a")[..], b"{}"].concat()));
}

#[test]
fn an_answer_without_properties_says_so_by_a_length_of_0() {
    let mut bench = Bench::open_terse(5);
    bench.send(&[subscribe(5, 9, &[("bad#", 0)]), unsubscribe(5, 10, &["hall/a"])].concat());
    assert_eq!(bench.got(), [0x90, 4, 0, 9, 0, 0x8f, 0xb0, 4, 0, 10, 0, 0x11]);
    let mut bench = listening(&[]);
    bench.tell(Tell::Deliver { pushes: vec![delivery(0, 11, "a", plain(0, b"x"))], more: false });
    assert_eq!(bench.got(), packet(0x30, &[&string("hall/a")[..], &[0], b"x"].concat()));
}

#[test]
fn an_exchange_goes_on_though_its_publication_expired() {
    let mut bench = Bench::open(5);
    bench.send(&publish_with(5, "hall/a", 4, 7, &[2, 0, 0, 0, 1], b"x"));
    bench.store(1, 1, &[]);
    assert_eq!(bench.acks(), [(0x50, 7, 0)]);
    bench.pass(std::time::Duration::from_secs(60));
    bench.send(&publish_with(5, "hall/a", 12, 7, &[2, 0, 0, 0, 1], b"x"));
    bench.send(&ack(0x62, 7));
    assert_eq!(bench.acks(), [(0x50, 7, 0), (0x70, 7, 0)]);
}

#[test]
fn a_content_type_is_delivered_as_it_was_named() {
    for name in ["text/plain", "application/json", "application/octet-stream", "x", "", &"y".repeat(300)] {
        let section = [&[3][..], &string(name)].concat();
        let mut bench = Bench::open(5);
        let body = [&string("hall/a")[..], &length(section.len()), &section, b"{}"].concat();
        bench.send(&packet(0x30, &body));
        let read = entries(&bench.intake(), &mut vec![]).remove(0);
        let mut bench = listening(&[]);
        let publication = Publication {
            properties: &read.properties,
            ..Publication::new(ContentType::named(&read.content_type), b"{}")
        };
        bench.tell(Tell::Deliver { pushes: vec![delivery(0, 11, "a", publication)], more: false });
        let got = published(&mut bench);
        let told = got[0].properties.clone().and_then(|p| p.content_type);
        assert_eq!(told.as_deref(), Some(name));
    }
}

fn length(bytes: usize) -> Vec<u8> {
    if bytes < 128 { vec![bytes as u8] } else { vec![bytes as u8 | 0x80, (bytes >> 7) as u8] }
}
