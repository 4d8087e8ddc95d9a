//! CONNECT, CONNACK, deadlines and the ways in which a connection ends.

use crate::bench::*;
use riser_model::{
    Time,
    door::{Ask, Code, Credential, Input, NORMAL, Secret, SessionRequest, SessionState, Target, Tell, Will},
};
use riser_mqtt::Config;
use rumqttc::v5::mqttbytes::v5;
use std::time::Duration;

fn asked(bench: &mut Bench) -> (Credential, SessionRequest) {
    match bench.asks().pop() {
        Some(Ask::Enter { credential, session: Some(session), room: None }) => (credential, *session),
        other => panic!("want Enter: {other:?}"),
    }
}

#[test]
fn connect_asks_to_enter_with_credential_and_session() {
    for (level, clean, expiry_s, wanted) in
        [(4, true, 0, 0), (4, false, 0, u32::MAX), (5, true, 0, 0), (5, false, 77, 77), (5, true, 77, 77)]
    {
        let mut bench = Bench::new(level);
        bench.send(&connect(level, clean, expiry_s, 60));
        let (credential, session) = asked(&mut bench);
        assert_eq!(
            credential,
            Credential::Password {
                account: Some("acme".parse().unwrap()),
                user: "pump".to_owned(),
                password: Secret("secret".into())
            }
        );
        assert_eq!(session, SessionRequest { id: "pump-1".to_owned(), clean, expiry_s: wanted, will: None });
        assert_eq!(bench.got(), b"", "nothing is said before the bus has decided");
    }
}

#[test]
fn credentials_come_in_every_form() {
    let anonymous = Config { allow_anonymous: true, ..Config::default() };
    let secret = || Secret("secret".into());
    let password = |account: Option<&str>, user: &str, password| Credential::Password {
        account: account.map(|name| name.parse().unwrap()),
        user: user.to_owned(),
        password,
    };
    let id = string("id");
    for (level, flags, fields, wanted) in [
        (4, 0xc2, vec![string("pump"), string("secret")], password(None, "pump", secret())),
        (4, 0x82, vec![string("acme/pump")], password(Some("acme"), "pump", Secret("".into()))),
        (5, 0xc2, vec![string("acme/a/b"), string("secret")], password(Some("acme"), "a/b", secret())),
        (5, 0xc2, vec![string("No Name/x"), string("secret")], password(None, "No Name/x", secret())),
        (5, 0xc2, vec![string(""), string("")], password(None, "", Secret("".into()))),
        (5, 0x42, vec![string("secret")], Credential::Token(secret())),
        (4, 0x02, vec![], Credential::Anonymous),
        (5, 0x02, vec![], Credential::Anonymous),
    ] {
        let mut bench = Bench::with(level, anonymous.clone());
        let fields: Vec<&[u8]> = [&id].into_iter().chain(&fields).map(Vec::as_slice).collect();
        bench.send(&connect_of(level, flags, &[], &fields));
        assert_eq!(asked(&mut bench).0, wanted);
    }
}

#[test]
fn nobody_is_anonymous_unless_the_listener_says_so() {
    for (level, connack) in [(4, vec![0x20, 2, 0, 5]), (5, vec![0x20])] {
        let mut bench = Bench::new(level);
        bench.send(&connect_of(level, 2, &[], &[&string("id")]));
        assert_eq!(bench.code(), Some(Code::Denied));
        assert!(bench.asks.is_empty());
        assert!(bench.got().starts_with(&connack));
    }
}

#[test]
fn a_will_travels_with_the_session_request() {
    let will_properties = [24, 0, 0, 0, 5, 1, 1, 3, 0, 1, b'x', 38, 0, 1, b'k', 0, 1, b'v'];
    let section = [&[will_properties.len() as u8], &will_properties[..]].concat();
    for level in BOTH {
        let mut bench = Bench::new(level);
        let mut fields = vec![string("id"), string("hall/gone"), string("bye"), string("u"), string("p")];
        if level == 5 {
            fields.insert(1, section.clone());
        }
        let fields: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
        bench.send(&connect_of(level, 0xc0 | 0x20 | 0x08 | 0x04 | 0x02, &[], &fields));
        let v5 = level == 5;
        assert_eq!(
            asked(&mut bench).1.will,
            Some(Will {
                target: Target::Topic("hall/gone".to_owned()),
                retain: true,
                qos: 1,
                content_type: if v5 { "x".to_owned() } else { String::new() },
                properties: if v5 {
                    will_properties[5..7].iter().chain(&will_properties[11..]).copied().collect()
                } else {
                    "".into()
                },
                payload: "bye".into(),
                delay_s: if v5 { 5 } else { 0 },
            })
        );
    }
}

#[test]
fn connack_tells_what_is_not_as_asked() {
    let config = Config { keepalive_s_max: 30, session_expiry_s_max: 100, ..Config::default() };
    let mut bench = Bench::with(5, config);
    bench.send(&connect_of(5, 0xc0, &[17, 0, 0, 1, 0], &[&string(""), &string("u"), &string("p")]));
    let (_, session) = asked(&mut bench);
    assert_eq!((session.expiry_s, session.id.as_str()), (100, "riser-0000000000000abc"));
    bench.tell(entered(SessionState { number: 3, present: true, ..SessionState::default() }));
    let Some(v5::Packet::ConnAck(connack)) = bench.got_v5().pop() else {
        panic!("want CONNACK");
    };
    assert!(connack.session_present);
    let properties = connack.properties.unwrap();
    assert_eq!(properties.session_expiry_interval, Some(100));
    assert_eq!(properties.server_keep_alive, Some(30));
    assert_eq!(properties.assigned_client_identifier.as_deref(), Some("riser-0000000000000abc"));
    assert_eq!((properties.receive_max, properties.topic_alias_max), (Some(100), Some(32)));
    assert_eq!(
        (properties.max_packet_size, properties.shared_subscription_available),
        (Some(1 << 20), Some(1))
    );
}

#[test]
fn session_present_is_said_in_both_versions() {
    for (level, present) in [(4, true), (4, false), (5, true), (5, false)] {
        let mut bench = Bench::new(level);
        bench.send(&connect(level, false, 9, 0));
        bench.tell(entered(SessionState { number: 3, present, ..SessionState::default() }));
        assert_eq!(bench.got()[2], u8::from(present));
    }
}

#[test]
fn a_refused_connect_gets_its_code() {
    for (code, v4, v5) in [(Code::NotAuthorised, 5, 0x86), (Code::Denied, 5, 0x87), (Code::BadName, 2, 0x85)]
    {
        for (level, wanted) in [(4, v4), (5, v5)] {
            let mut bench = Bench::new(level);
            bench.send(&connect(level, true, 0, 0));
            bench.tell(Tell::Refused(refusal(code)));
            let connack = bench.got();
            assert_eq!((connack[0], connack[2], connack[3]), (0x20, 0, wanted));
            assert_eq!(bench.code(), Some(code));
        }
    }
}

#[test]
fn a_refusal_that_will_pass_closes_without_a_word() {
    for code in [Code::ShuttingDown, Code::LogFailing, Code::TooMany] {
        for level in [4, 5] {
            let mut bench = Bench::new(level);
            bench.send(&connect(level, true, 0, 0));
            bench.tell(Tell::Refused(refusal(code)));
            assert_eq!((bench.got().len(), bench.code()), (0, Some(code)));
        }
    }
}

#[test]
fn other_levels_are_told_which_are_spoken() {
    for (name, level) in [("MQIsdp", 4), ("MQTT", 3), ("MQTT", 6), ("MQTT", 0x84)] {
        let mut bench = Bench::new(level);
        let body = [string(name), vec![level, 2, 0, 60], string("id")].concat();
        bench.send(&packet(0x10, &body));
        assert_eq!(bench.got(), [0x20, 2, 0, 1]);
        assert_eq!(bench.code(), Some(Code::Malformed));
    }
}

#[test]
fn bad_connects_are_refused_and_ask_nothing() {
    let (id, user, secret) = (string("id"), string("u"), string("p"));
    let all: &[&[u8]] = &[&id, &user, &secret];
    let will: &[&[u8]] = &[&id, &[0, 1, b'#'], &[0, 0], &user, &secret];
    for (level, flags, properties, fields, what) in [
        (4, 0xc3, &[][..], all, "the reserved bit"),
        (4, 0x42, &[], &[&id[..], &secret], "a password without a user"),
        (4, 0xca, &[], all, "a will's QoS without a will"),
        (4, 0xe2, &[], all, "a will's retain without a will"),
        (4, 0xde, &[], will, "a will at QoS 3"),
        (4, 0xc6, &[], will, "a will on a wildcard"),
        (4, 0xc2, &[], &[&id, &user, &secret, &[0]], "a byte behind its end"),
        (4, 0xc2, &[], &[&id, &user], "no password where one is announced"),
        (4, 0xc2, &[], &[&[0, 1, 0], &user, &secret], "NUL in the client id"),
        (4, 0xc2, &[], &[&[0, 1, 0xff], &user, &secret], "a client id that is not UTF-8"),
        (5, 0xc2, &[33, 0, 0], all, "a Receive Maximum of 0"),
        (5, 0xc2, &[39, 0, 0, 0, 0], all, "a Maximum Packet Size of 0"),
        (5, 0xc2, &[34, 0, 1, 34, 0, 1], all, "a property twice"),
        (5, 0xc2, &[1, 1], all, "a property that does not belong"),
        (5, 0xc2, &[17, 0, 0], all, "a property that is cut"),
        (5, 0xc2, &[21, 0, 1, b'x'], all, "an authentication method"),
        (5, 0xc2, &[22, 0, 1, b'x'], all, "authentication data without a method"),
        (4, 0xc0, &[], &[&string(""), &user, &secret], "a kept session without an id"),
        (4, 0xc2, &[], &[&string(&"x".repeat(300)), &user, &secret], "a long id"),
    ] {
        let mut bench = Bench::new(level);
        bench.send(&connect_of(level, flags, properties, fields));
        assert!(bench.code().is_some(), "{what}");
        assert!(bench.asks.is_empty(), "{what}");
        let connack = bench.got();
        assert!(level == 4 || connack[0] == 0x20 && connack[3] >= 0x80, "{what}: {connack:x?}");
    }
}

#[test]
fn a_client_that_says_nothing_is_closed_after_five_seconds() {
    let mut bench = Bench::new(4);
    bench.send(&connect(4, true, 0, 0)[..10]);
    bench.pass(Duration::from_millis(4_999));
    assert_eq!(bench.closed, None);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.code(), Some(Code::Timeout));
    assert_eq!(bench.got(), b"");
}

#[test]
fn only_received_packets_push_the_keepalive() {
    for level in BOTH {
        let mut bench = Bench::new(level);
        bench.send(&connect(level, true, 0, 10));
        bench.tell(entered(SessionState::default()));
        bench.got();
        bench.asks();
        bench.pass(Duration::from_millis(14_999));
        bench.send(&[0xc0, 0]);
        assert_eq!(bench.got(), [0xd0, 0]);
        bench.pass(Duration::from_millis(10_000));
        bench.input(Input::Room(1000));
        bench.tell(Tell::Ready);
        bench.send(&publish(level, "a/b", 0, 0, b"x")[..3]);
        bench.pass(Duration::from_millis(4_999));
        assert_eq!(bench.closed, None);
        bench.pass(Duration::from_millis(1));
        assert_eq!(bench.code(), Some(Code::Timeout));
        let last = bench.got();
        assert!(if level == 5 { last[0] == 0xe0 && last[2] == 0x8d } else { last.is_empty() });
        assert!(matches!(bench.asks().last(), Some(Ask::Leave { cause, .. }) if cause == "timeout"));
    }
}

#[test]
fn keepalive_zero_is_off() {
    let bench = Bench::open(4);
    assert_eq!(riser_model::door::Door::poll_timeout(&bench.door), None::<Time>);
}

#[test]
fn a_goodbye_forgets_the_will_and_may_change_the_expiry() {
    for (level, bytes, cause, expiry_s) in [
        (4, vec![0xe0, 0], NORMAL, None),
        (5, vec![0xe0, 0], NORMAL, None),
        (5, vec![0xe0, 1, 0], NORMAL, None),
        (5, vec![0xe0, 1, 4], "with_will", None),
        (5, vec![0xe0, 2, 0, 0], NORMAL, None),
        (5, vec![0xe0, 7, 0, 5, 17, 0, 0, 0, 9], NORMAL, Some(9)),
    ] {
        let mut bench =
            Bench::open_with(level, Config::default(), SessionState { number: 1, ..SessionState::default() });
        bench.send(&bytes);
        assert_eq!(bench.asks(), [Ask::Leave { cause: cause.to_owned(), expiry_s }]);
        assert_eq!((bench.closed.take(), bench.got()), (Some(Ok(())), vec![]));
    }
    let mut bench = Bench::open(5);
    bench.send(&[0xe0, 7, 0, 5, 17, 0, 0, 0, 9]);
    assert_eq!(bench.code(), Some(Code::WrongState), "no expiry for a session that has none");
}

#[test]
fn whoever_is_told_to_go_is_told_why() {
    for (code, reason) in [(Code::TakenOver, 0x8e), (Code::ShuttingDown, 0x8b), (Code::Denied, 0x87)] {
        let mut bench = Bench::open(5);
        bench.tell(Tell::Refused(refusal(code)));
        let last = bench.got();
        assert_eq!((last[0], last[2]), (0xe0, reason));
        assert_eq!(bench.code(), Some(code));
        let mut bench = Bench::open(4);
        bench.tell(Tell::Refused(refusal(code)));
        assert_eq!((bench.got(), bench.code()), (vec![], Some(code)));
    }
}

#[test]
fn a_broken_socket_is_a_leave_with_its_cause() {
    let mut bench = Bench::open(4);
    bench.input(Input::Gone("reset"));
    assert_eq!(bench.asks(), [Ask::Leave { cause: "reset".to_owned(), expiry_s: None }]);
    bench.store(1, 1, &[]);
    bench.send(&[0xc0, 0]);
    assert!(bench.asks.is_empty() && bench.bytes.is_empty());
}

#[test]
fn what_follows_connect_waits_until_the_bus_has_decided() {
    for level in BOTH {
        let mut bench = Bench::new(level);
        let first = connect(level, true, 0, 0);
        let stream = [first, publish(level, "a/b", 1, 7, b"x"), vec![0xc0]].concat();
        bench.send(&stream);
        bench.send(&[0]);
        asked(&mut bench);
        assert_eq!(bench.got(), b"");
        bench.tell(entered(SessionState::default()));
        assert_eq!(bench.intake().count, 1);
        let got = bench.got();
        assert_eq!((got[0], &got[got.len() - 2..]), (0x20, &[0xd0, 0][..]));
    }
}

#[test]
fn at_most_16_kib_are_taken_before_anybody_is_authenticated() {
    let flood = publish(4, "a/b", 1, 7, &[0; 1000]).repeat(17);
    for splits in [1, 100] {
        let mut bench = Bench::new(4);
        bench.send(&connect(4, true, 0, 0));
        asked(&mut bench);
        for chunk in flood.chunks(flood.len().div_ceil(splits)) {
            bench.send(chunk);
        }
        assert_eq!(bench.code(), Some(Code::TooLarge));
        assert!(matches!(&bench.asks()[..], [Ask::Leave { .. }]));
    }
    let mut bench = Bench::new(5);
    bench.send(&[0x10, 0xff, 0xff, 0x01]);
    assert_eq!(bench.code(), Some(Code::TooLarge), "refused at its fixed header");
}

/// CONNECT of MQTT 3.1 with these flags.
fn connect_3_1(flags: u8, fields: &[&[u8]]) -> Vec<u8> {
    let mut body = string("MQIsdp");
    body.extend([3, flags, 0, 60]);
    fields.iter().for_each(|field| body.extend_from_slice(field));
    packet(0x10, &body)
}

#[test]
fn a_client_of_mqtt_3_1_is_served_by_its_looser_rules_and_counted() {
    let fields: [&[u8]; 5] =
        [&string("pump-1"), &string("hall/will"), &string("gone"), &string("acme/pump"), &string("secret")];
    let mut bench = Bench::new(4);
    // The lowest bit and a will's bits without a will were nobody's concern.
    bench.send(&connect_3_1(0xc0 | 0x04 | 0x08 | 0x01, &fields));
    let (credential, session) = asked(&mut bench);
    assert!(matches!(credential, Credential::Password { user, .. } if user == "pump"));
    assert_eq!((session.id.as_str(), session.clean, session.expiry_s), ("pump-1", false, u32::MAX));
    let will = session.will.unwrap();
    assert_eq!(
        (will.target, &will.payload[..], will.qos),
        (Target::Topic("hall/will".into()), &b"gone"[..], 1)
    );
    bench.tell(entered(SessionState { present: true, number: 7, ..SessionState::default() }));
    assert_eq!(bench.got(), [0x20, 2, 0, 0], "there is no session present in it");
    assert_eq!(bench.counters.old_clients.total(), 1);
    bench.asks();
    bench.send(&subscribe(4, 9, &[("hall/#", 1)]).iter().enumerate().map(again).collect::<Vec<_>>());
    bench.subscribed(0, 1);
    assert_eq!(bench.got(), [0x90, 3, 0, 9, 1], "what is said again has DUP, whatever it is");
    bench.send(&[0x6a, 2, 0, 5]);
    assert_eq!((bench.got(), bench.closed.clone()), (vec![0x70, 2, 0, 5], None));

    let mut bench = Bench::new(4);
    bench.send(&connect_3_1(0xc2, &[&string(""), &string("u"), &string("p")]));
    assert_eq!(bench.got(), [0x20, 2, 0, 2], "it has to have an id");
    for level in BOTH {
        let mut bench = Bench::open(level);
        bench.send(&[0x6a, 2, 0, 5]);
        assert_eq!(bench.code(), Some(Code::Malformed), "in later ones that bit is reserved");
        assert_eq!(bench.counters.old_clients.total(), 0);
    }
}

fn again((place, byte): (usize, &u8)) -> u8 {
    if place == 0 { byte | 8 } else { *byte }
}
