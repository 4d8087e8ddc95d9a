//! The last word: DISCONNECT's codes, what fits into it, and that nothing follows.

use crate::bench::*;
use riser_model::{
    SubscriptionId,
    door::{Code, Input, Refusal, SessionState, Tell},
};
use rumqttc::v5::mqttbytes::{
    QoS,
    v5::{Packet, PubCompReason, PubRelReason, SubscribeReasonCode, UnsubAckReason},
};
use std::time::Duration;

/// What a server may say in DISCONNECT, MQTT 5 table 3-10.
const DISCONNECT_REASONS: [u8; 28] = [
    0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97,
    0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
];

/// A client of MQTT 5 with these properties in CONNECT.
fn open_with(properties: &[u8]) -> Bench {
    let mut bench = Bench::new(5);
    let fields: [&[u8]; 3] = [&string("id"), &string("u"), &string("p")];
    bench.send(&connect_of(5, 0xc2, properties, &fields));
    bench.asks();
    bench.tell(entered(SessionState::default()));
    bench.got();
    bench
}

/// A refusal with more to say than fits into a small packet.
fn wordy(code: Code) -> Refusal {
    Refusal { code, what: "x".repeat(100), want: "y".repeat(100) }
}

#[test]
fn every_reason_to_go_is_one_of_disconnects_and_never_names_an_expiry() {
    for code in Code::ALL {
        let mut bench = Bench::open(5);
        bench.tell(Tell::Refused(refusal(code)));
        let bytes = bench.bytes.to_vec();
        assert_eq!((bytes[0], DISCONNECT_REASONS.contains(&bytes[2])), (0xe0, true), "{code:?}: {bytes:x?}");
        let got = bench.got_v5();
        let [Packet::Disconnect(disconnect)] = &got[..] else { panic!("{got:?}") };
        let properties = disconnect.properties.as_ref().unwrap();
        assert_eq!(properties.session_expiry_interval, None);
        assert_eq!(properties.reason_string.as_deref(), Some("it; want that"));
        assert_eq!(bench.code(), Some(code), "the connection ends with it");
    }
}

#[test]
fn a_sentence_that_does_not_fit_is_left_out() {
    const SMALL: usize = 40;
    let small = [39, 0, 0, 0, SMALL as u8];
    let mut bench = open_with(&small);
    bench.tell(Tell::Refused(wordy(Code::ShuttingDown)));
    let got = bench.got();
    assert!(got.len() <= SMALL && got[0] == 0xe0 && got[2] == 0x8b, "{got:x?}");

    let mut bench = Bench::new(5);
    let fields: [&[u8]; 3] = [&string("id"), &string("u"), &string("p")];
    bench.send(&connect_of(5, 0xc2, &small, &fields));
    bench.tell(Tell::Refused(wordy(Code::NotAuthorised)));
    let got = bench.got();
    assert!(got.len() <= SMALL && got[0] == 0x20 && got[3] == 0x86, "{got:x?}");

    for (qos, first) in [(1, 0x40), (2, 0x50)] {
        let mut bench = open_with(&small);
        bench.send(&publish(5, "hall/a", qos, 7, b""));
        let tell = |bench: &mut Bench| {
            let refused = vec![(0, wordy(Code::Denied))];
            let first = riser_model::Seq(1);
            bench.tell(Tell::Stored { ticket: 1, log: LOG, epoch: EPOCH, first, refused });
        };
        tell(&mut bench);
        let got = bench.got();
        assert!(got.len() <= SMALL && got[0] == first && got[4] == 0x87, "{got:x?}");
        let mut bench = open_with(&[]);
        bench.send(&publish(5, "hall/a", qos, 7, b""));
        tell(&mut bench);
        assert!(bench.got().len() > 200, "where it fits it is said");
    }
}

/// What SUBACK, UNSUBACK, PUBCOMP and PUBREL say in words, of a client that refuses, forgets and makes up things.
fn noes(properties: &[u8]) -> Vec<(Packet, Option<String>)> {
    let mut bench = open_with(properties);
    bench.send(&subscribe(5, 1, &[("hall/a", 0), ("hall/b", 0), ("a/#/b", 0)]));
    bench.subscribed(0, 1);
    bench.tell(Tell::Subscribed { subscription: SubscriptionId(1), result: Err(wordy(Code::Denied)) });
    bench.send(&unsubscribe(5, 2, &["nothing"]));
    bench.send(&ack(0x62, 3));
    bench.send(&ack(0x50, 4));
    let got = bench.got_v5();
    let words = |packet: Packet| {
        let text = match &packet {
            Packet::SubAck(ack) => ack.properties.as_ref().and_then(|p| p.reason_string.clone()),
            Packet::UnsubAck(ack) => ack.properties.as_ref().and_then(|p| p.reason_string.clone()),
            Packet::PubComp(ack) => ack.properties.as_ref().and_then(|p| p.reason_string.clone()),
            Packet::PubRel(ack) => ack.properties.as_ref().and_then(|p| p.reason_string.clone()),
            other => panic!("{other:?}"),
        };
        (packet, text)
    };
    got.into_iter().map(words).collect()
}

#[test]
fn every_acknowledgement_that_says_no_says_why() {
    let noes = noes(&[]);
    let [
        (Packet::SubAck(suback), Some(refused)),
        (Packet::UnsubAck(unsuback), Some(unknown)),
        (Packet::PubComp(pubcomp), Some(released)),
        (Packet::PubRel(pubrel), Some(received)),
    ] = &noes[..]
    else {
        panic!("{noes:?}")
    };
    let codes = [
        SubscribeReasonCode::Success(QoS::AtMostOnce),
        SubscribeReasonCode::NotAuthorized,
        SubscribeReasonCode::TopicFilterInvalid,
    ];
    assert_eq!(suback.return_codes, codes);
    assert!(refused.starts_with("filter 2: xxx"), "the first that is refused: {refused}");
    assert_eq!(unsuback.reasons, [UnsubAckReason::NoSubscriptionExisted]);
    assert!(unknown.contains("nothing was subscribed"), "{unknown}");
    assert_eq!(pubcomp.reason, PubCompReason::PacketIdentifierNotFound);
    assert_eq!(pubrel.reason, PubRelReason::PacketIdentifierNotFound);
    assert!(released.contains("want") && received.contains("want"), "{released} {received}");
}

#[test]
fn what_an_acknowledgement_says_in_words_is_left_out_where_it_does_not_fit_or_is_not_wanted() {
    for properties in [&[39, 0, 0, 0, 40][..], &[23, 0]] {
        let noes = noes(properties);
        assert_eq!(noes.len(), 4, "the codes are said: {noes:?}");
        assert!(noes.iter().all(|(_, words)| words.is_none()), "{noes:?}");
    }
    let room = noes(&[39, 0, 0, 1, 0]);
    assert!(room.iter().all(|(_, words)| words.is_some()), "{room:?}");
}

#[test]
fn a_client_that_wants_no_sentences_gets_none_in_its_acks() {
    for wants in [0, 1] {
        let mut bench = open_with(&[23, wants]);
        let stream = [publish(5, "hall/a", 1, 7, b""), publish(5, "hall/a", 2, 8, b"")];
        bench.send(&stream.concat());
        bench.store(1, 2, &[(0, Code::Denied), (1, Code::Denied)]);
        let sentences = bench.got_v5().into_iter().map(|packet| match packet {
            Packet::PubAck(ack) => ack.properties.and_then(|p| p.reason_string),
            Packet::PubRec(ack) => ack.properties.and_then(|p| p.reason_string),
            other => panic!("{other:?}"),
        });
        let sentence = (wants == 1).then(|| "it; want that".to_owned());
        assert_eq!(sentences.collect::<Vec<_>>(), [sentence.clone(), sentence]);
    }
}

#[test]
fn a_reason_is_said_without_a_sentence_too() {
    for code in Code::ALL {
        let last = [0, 1].map(|wants| {
            let mut bench = open_with(&[23, wants]);
            bench.tell(Tell::Refused(refusal(code)));
            bench.got()
        });
        let reason = last[1][2];
        assert!(reason >= 0x80, "{code:?}");
        assert_eq!(last[0], [0xe0, 1, reason], "{code:?}");
    }
}

#[test]
fn nothing_follows_disconnect_from_either_side() {
    for level in BOTH {
        let mut ends: Vec<Bench> = (0..3).map(|_| Bench::open(level)).collect();
        ends[0].send(&[0xe0, 0]);
        ends[1].tell(Tell::Refused(refusal(Code::TakenOver)));
        ends[2].send(&[0xc1, 0]);
        for mut bench in ends {
            assert!(bench.closed.is_some());
            bench.asks();
            bench.got();
            bench.send(&[publish(level, "hall/a", 1, 1, b"x"), vec![0xc0, 0]].concat());
            bench.tell(Tell::Refused(refusal(Code::ShuttingDown)));
            bench.store(1, 1, &[]);
            bench.input(Input::Room(1000));
            bench.pass(Duration::from_secs(100));
            assert_eq!((bench.asks(), bench.got()), (vec![], vec![]));
        }
    }
}

#[test]
fn an_answer_that_the_client_could_not_take_is_not_sent() {
    let entering = |most: u8| {
        let mut bench = Bench::new(5);
        bench.send(&connect_of(5, 0xc2, &[39, 0, 0, 0, most], &[&string("id"), &string("u"), &string("p")]));
        bench.tell(entered(SessionState::default()));
        bench
    };
    let mut bench = entering(12);
    assert_eq!((bench.got(), bench.code()), (vec![], Some(Code::TooLarge)));
    let mut bench = entering(40);
    bench.got();
    let filters: Vec<String> = (0..60).map(|n| format!("hall/{n}")).collect();
    let filters: Vec<(&str, u8)> = filters.iter().map(|filter| (filter.as_str(), 0)).collect();
    bench.send(&subscribe(5, 9, &filters));
    (0..60).for_each(|n| bench.subscribed(n, 1));
    assert_eq!(bench.code(), Some(Code::TooLarge));
    assert_eq!(bench.got(), [0xe0, 1, 0x95], "DISCONNECT, packet too large");
}

#[test]
fn a_client_that_is_not_read_from_is_not_silent() {
    for level in BOTH {
        let mut bench = Bench::new(level);
        bench.send(&connect(level, true, 0, 10));
        bench.tell(entered(SessionState::default()));
        bench.pass(Duration::from_secs(14));
        bench.input(Input::Unheard);
        bench.pass(Duration::from_secs(14));
        assert_eq!(bench.closed, None, "one and a half times 10 s, from when it is read from again");
        bench.pass(Duration::from_secs(1));
        assert_eq!(bench.code(), Some(Code::Timeout));
        let mut bench = Bench::new(level);
        bench.pass(Duration::from_secs(4));
        bench.input(Input::Unheard);
        bench.pass(Duration::from_secs(1));
        assert_eq!(bench.code(), Some(Code::Timeout), "nothing puts CONNECT off");
    }
}
