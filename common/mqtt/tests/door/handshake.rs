//! What both standards demand of CONNECT and CONNACK beyond what a client notices: ids, what is said to whom, and
//! what is not.

use crate::bench::*;
use riser_model::door::{Ask, Code, SessionState, Tell};
use riser_mqtt::{Config, MqttDoor};
use rumqttc::v5::mqttbytes::v5::{ConnAck, ConnAckProperties, Packet};
use std::{sync::Arc, time::Duration};

/// Flags: a clean session with user name and password.
const LOGIN: u8 = 0xc2;

fn login(level: u8, properties: &[u8], id: &str) -> Vec<u8> {
    connect_of(level, LOGIN, properties, &[&string(id), &string("u"), &string("p")])
}

/// The session id that CONNECT asks for.
fn asked_id(bench: &mut Bench) -> String {
    match bench.asks().pop() {
        Some(Ask::Enter { session: Some(session), .. }) => session.id,
        other => panic!("want Enter: {other:?}"),
    }
}

fn connack(bench: &mut Bench) -> ConnAck {
    match &bench.got_v5()[..] {
        [Packet::ConnAck(connack)] => connack.clone(),
        other => panic!("want CONNACK: {other:?}"),
    }
}

/// What CONNACK says to a client of MQTT 5 whose CONNECT has these properties.
fn welcomed(config: Config, properties: &[u8], id: &str) -> (Bench, ConnAckProperties) {
    let mut bench = Bench::with(5, config);
    bench.send(&login(5, properties, id));
    bench.asks();
    bench.tell(entered(SessionState::default()));
    let properties = connack(&mut bench).properties.unwrap();
    (bench, properties)
}

#[test]
fn ids_of_1_to_23_letters_and_digits_are_taken_as_they_are() {
    let all = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for level in BOTH {
        for id in ["0", "Z", &all[..23], &all[20..43], &all[39..]] {
            let mut bench = Bench::new(level);
            bench.send(&login(level, &[], id));
            assert_eq!(asked_id(&mut bench), id);
        }
    }
}

#[test]
fn whoever_has_no_id_gets_one_that_nobody_else_has() {
    for level in BOTH {
        let ids = [0xabc, 0xdef].map(|entropy| {
            let door = |b: &Bench| MqttDoor::new(Arc::default(), Arc::clone(&b.counters), entropy, b.now);
            let bench = Bench::new(level);
            let mut bench = Bench { door: door(&bench), ..bench };
            bench.send(&login(level, &[], ""));
            let id = asked_id(&mut bench);
            bench.tell(entered(SessionState::default()));
            match level {
                5 => {
                    let told = connack(&mut bench).properties.unwrap().assigned_client_identifier;
                    assert_eq!(told.as_ref(), Some(&id));
                }
                _ => assert_eq!(bench.got(), [0x20, 2, 0, 0]),
            }
            id
        });
        assert!(!ids[0].is_empty() && ids[0] != ids[1], "{ids:?}");
    }
    let (_, told) = welcomed(Config::default(), &[], "own");
    assert_eq!(told.assigned_client_identifier, None, "whoever has an id keeps it");
}

#[test]
fn a_rejected_id_is_told_by_its_code_and_closed() {
    let kept_without_id = connect_of(4, 0xc0, &[], &[&string(""), &string("u"), &string("p")]);
    let long = |level| login(level, &[], &"x".repeat(257));
    for (level, bytes, code) in [(4, kept_without_id, 2), (4, long(4), 2), (5, long(5), 0x85)] {
        let mut bench = Bench::new(level);
        bench.send(&bytes);
        let connack = bench.got();
        assert_eq!((connack[0], connack[2], connack[3]), (0x20, 0, code));
        assert_eq!((bench.code(), bench.asks.len()), (Some(Code::BadName), 0));
    }
}

/// CONNECTs that are not as the standards have them.
fn malformed(level: u8) -> Vec<(Vec<u8>, &'static str)> {
    let (id, user, secret) = (string("id"), string("u"), string("p"));
    let will = |topic: &[u8]| match level {
        5 => [&[0][..], topic, &[0, 0]].concat(),
        _ => [topic, &[0, 0]].concat(),
    };
    let all: &[&[u8]] = &[&id, &user, &secret];
    let mut cases = vec![
        (connect_of(level, 0xc3, &[], all), "the reserved flag"),
        (connect_of(level, 0xca, &[], all), "a will's QoS without a will"),
        (connect_of(level, 0xe2, &[], all), "a will's retain without a will"),
        (connect_of(level, 0xde, &[], &[&id, &will(&[0, 1, b't']), &user, &secret]), "a will at QoS 3"),
        (connect_of(level, 0x06, &[], &[&id]), "no will where one is announced"),
        (connect_of(level, 0xc2, &[], &[&id, &will(&[0, 1, b't']), &user, &secret]), "a will unannounced"),
        (connect_of(level, 0x82, &[], &[&id]), "no user where one is announced"),
        (connect_of(level, 0x02, &[], &[&id, &user]), "a user unannounced"),
        (connect_of(level, 0xc2, &[], &[&id, &user]), "no password where one is announced"),
        (connect_of(level, 0x82, &[], all), "a password unannounced"),
        (connect_of(level, 0x02, &[], &[]), "no client id"),
        (connect_of(level, 0x02, &[], &[&[0, 2, 0xc3, 0x28]]), "a client id that is not UTF-8"),
        (connect_of(level, 0x06, &[], &[&id, &will(&[0, 1, 0xff])]), "a will's topic that is not UTF-8"),
        (connect_of(level, 0x06, &[], &[&id, &will(&[0, 0])]), "a will without a topic"),
        (connect_of(level, 0x82, &[], &[&id, &[0, 1, 0xff]]), "a user that is not UTF-8"),
        (connect_of(level, 0x82, &[], &[&id, &[0, 1, 0]]), "NUL in a user"),
    ];
    if level == 4 {
        cases.push((connect_of(4, 0x42, &[], &[&id, &secret]), "a password without a user"));
    }
    cases
}

#[test]
fn a_connect_that_breaks_the_format_gets_no_connack_in_3_1_1_and_its_reason_in_5() {
    for level in BOTH {
        for (bytes, what) in malformed(level) {
            let mut bench = Bench::with(level, Config { allow_anonymous: true, ..Config::default() });
            bench.send(&[bytes, publish(level, "hall/a", 1, 1, b"")].concat());
            assert_eq!(bench.code(), Some(Code::Malformed), "{what}");
            assert_eq!(bench.asks, [], "{what}");
            let got = bench.got();
            let right = if level == 5 { got[0] == 0x20 && got[2..4] == [0, 0x81] } else { got.is_empty() };
            assert!(right, "{what}: {got:x?}");
        }
    }
}

#[test]
fn another_protocols_name_gets_no_answer() {
    for name in ["MQTX", "mqtt", "HTTP", ""] {
        let mut bench = Bench::new(4);
        bench.send(&packet(0x10, &[string(name), vec![4, 2, 0, 60], string("id")].concat()));
        assert_eq!(
            (bench.code(), bench.got(), bench.asks.len()),
            (Some(Code::Malformed), vec![], 0),
            "{name}"
        );
    }
}

#[test]
fn a_clean_start_is_never_told_of_a_session() {
    for level in BOTH {
        let mut bench = Bench::new(level);
        bench.send(&connect(level, true, 60, 0));
        bench.tell(entered(SessionState { number: 3, present: true, ..SessionState::default() }));
        assert_eq!(bench.got()[2..4], [0, 0]);
    }
}

#[test]
fn a_second_connect_ends_the_connection_and_brings_no_second_connack() {
    for level in BOTH {
        let mut bench = Bench::open(level);
        bench.tell(entered(SessionState::default()));
        assert_eq!(bench.got(), b"", "the bus may say it twice");
        bench.send(&connect(level, true, 0, 0));
        assert_eq!(bench.code(), Some(Code::WrongState));
        let got = bench.got();
        assert!(if level == 5 { got[0] == 0xe0 && got[2] == 0x82 } else { got.is_empty() }, "{got:x?}");
    }
}

#[test]
fn whatever_comes_before_connect_closes_without_a_word() {
    for level in BOTH {
        for first in [
            publish(level, "hall/a", 0, 0, b"x"),
            publish(level, "hall/a", 2, 1, b"x"),
            ack(0x40, 1),
            ack(0x50, 1),
            ack(0x62, 1),
            ack(0x70, 1),
            subscribe(level, 1, &[("hall/a", 0)]),
            unsubscribe(level, 1, &["hall/a"]),
            vec![0xc0, 0],
            vec![0xe0, 0],
            vec![0xf0, 0],
        ] {
            let mut bench = Bench::new(level);
            bench.send(&[first.clone(), connect(level, true, 0, 0)].concat());
            assert_eq!(bench.code(), Some(Code::WrongState), "{first:x?}");
            assert_eq!((bench.got(), bench.asks.len()), (vec![], 0), "{first:x?}");
        }
    }
}

#[test]
fn what_came_behind_a_refused_connect_is_not_looked_at() {
    for level in BOTH {
        let mut bench = Bench::new(level);
        let behind =
            [publish(level, "hall/a", 1, 1, b"x"), subscribe(level, 2, &[("hall/a", 1)]), vec![0xc0, 0]];
        bench.send(&[connect(level, true, 0, 0), behind.concat()].concat());
        bench.tell(Tell::Refused(refusal(Code::NotAuthorised)));
        bench.send(&behind.concat());
        assert!(matches!(&bench.asks()[..], [Ask::Enter { .. }]), "level {level}");
        let got = bench.got();
        assert_eq!((got[0], got.len()), (0x20, 2 + usize::from(got[1])), "CONNACK and nothing else");
    }
}

#[test]
fn the_keepalive_that_counts_is_the_servers_where_it_named_one() {
    let bounded = Config { keepalive_s_max: 30, ..Config::default() };
    for (config, asked, told, silence_ms) in [
        (&bounded, 100, Some(30), 45_000),
        (&bounded, 0, Some(30), 45_000),
        (&bounded, 20, None, 30_000),
        (&Config::default(), 100, None, 150_000),
    ] {
        let mut bench = Bench::with(5, config.clone());
        bench.send(&connect(5, true, 0, asked));
        bench.tell(entered(SessionState::default()));
        assert_eq!(connack(&mut bench).properties.unwrap().server_keep_alive, told, "{asked}");
        bench.pass(Duration::from_millis(silence_ms - 1));
        assert_eq!(bench.closed, None, "{asked}");
        bench.pass(Duration::from_millis(1));
        assert_eq!(bench.code(), Some(Code::Timeout), "{asked}");
    }
    let mut bench = Bench::with(4, bounded);
    bench.send(&connect(4, true, 0, 100));
    bench.tell(entered(SessionState::default()));
    bench.pass(Duration::from_millis(149_999));
    assert_eq!(bench.closed, None, "a client of MQTT 3.1.1 cannot be told another");
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.code(), Some(Code::Timeout));
}

#[test]
fn connack_says_nothing_that_nobody_asked_for() {
    for request_response in [&[][..], &[25, 0], &[25, 1]] {
        let (bench, told) = welcomed(Config::default(), request_response, "id");
        assert_eq!((told.response_information, told.server_reference), (None, None));
        assert_eq!((told.authentication_method, told.authentication_data), (None, None));
        assert_eq!((told.max_qos, told.reason_string, told.user_properties), (None, None, vec![]));
        assert!(bench.bytes.is_empty(), "no AUTH either");
    }
}

#[test]
fn an_authentication_method_is_refused_by_its_name_and_no_auth_is_sent() {
    let mut bench = Bench::new(5);
    let method = [&[21, 0, 5][..], b"PLAIN", &[22, 0, 1, 7]].concat();
    bench.send(&login(5, &method, "id"));
    let connack = bench.got();
    assert_eq!((connack[0], connack[2], connack[3]), (0x20, 0, 0x8c));
    assert_eq!((bench.code(), bench.asks.len()), (Some(Code::NotAuthorised), 0));
}

/// Of CONNACK in MQTT 5, table 3-1.
const CONNECT_REASONS: [u8; 21] = [
    0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a,
    0x9b, 0x9c, 0x9d, 0x9f,
];

#[test]
fn every_refusal_of_a_connect_is_worded_in_connacks_codes_or_not_at_all() {
    for code in Code::ALL {
        for level in BOTH {
            let mut bench = Bench::new(level);
            bench.send(&connect(level, false, 60, 0));
            bench.tell(Tell::Refused(refusal(code)));
            assert_eq!(bench.code(), Some(code), "it closes");
            let got = bench.got();
            let known = |reason: &u8| match level {
                5 => CONNECT_REASONS.contains(reason),
                _ => (1..=5).contains(reason),
            };
            let right = got.is_empty() || got[0] == 0x20 && got[2] == 0 && known(&got[3]);
            assert!(right, "{code:?} {level}: {got:x?}");
        }
    }
}
