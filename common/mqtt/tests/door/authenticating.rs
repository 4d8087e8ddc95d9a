//! MQTT 5's enhanced authentication: the conversation between CONNECT and CONNACK, what ends it, and the one by
//! which a client says anew who it is.

use crate::bench::*;
use riser_model::door::{Ask, Code, Credential, Method, Prompt, Secret, SessionState, Tell};
use std::time::Duration;

fn text(text: &[u8]) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text].concat()
}

/// CONNECT of `acme/pump` with these properties.
fn connect_by(properties: &[u8]) -> Vec<u8> {
    let length = u8::try_from(properties.len()).unwrap();
    let body = [&text(b"MQTT")[..], &[5, 0x82, 0, 0, length], properties, &text(b"id"), &text(b"acme/pump")]
        .concat();
    [&[0x10, u8::try_from(body.len()).unwrap()][..], &body].concat()
}

fn by(method: &str) -> Vec<u8> {
    [&[21][..], &text(method.as_bytes())].concat()
}

fn auth(reason: u8, properties: &[u8]) -> Vec<u8> {
    let length = u8::try_from(properties.len()).unwrap();
    [&[0xf0, length + 2, reason, length][..], properties].concat()
}

fn answer(method: &str, data: &[u8]) -> Vec<u8> {
    auth(0x18, &[&by(method)[..], &[22], &text(data)].concat())
}

fn challenge() -> Tell {
    challenge_of("nonce")
}

fn challenge_of(nonce: &str) -> Tell {
    Tell::Prompt(Prompt::Challenge { method: Method::Key, nonce: nonce.into() })
}

/// Challenged, and nothing answered yet.
fn challenged() -> Bench {
    let mut bench = Bench::new(5);
    bench.send(&connect_by(&by("ed25519")));
    let Some(Ask::Enter { credential, .. }) = bench.asks.pop() else { panic!("no Enter") };
    let (account, method) = (Some("acme".parse().unwrap()), Method::Key);
    assert_eq!(credential, Credential::Claim { account, name: "pump".into(), method });
    bench.tell(challenge());
    bench
}

#[test]
fn device_is_challenged_by_auth_and_let_in_by_its_answer() {
    let mut bench = challenged();
    assert_eq!(bench.got(), answer("ed25519", b"nonce"), "the server's AUTH");
    bench.send(&answer("ed25519", &[7; 64]));
    let Some(Ask::Answer(proof)) = bench.asks.pop() else { panic!("no answer") };
    assert_eq!(proof.0, [7; 64].as_slice());
    bench.tell(entered(SessionState::default()));
    let connack = bench.got();
    assert_eq!((connack[0], connack[3]), (0x20, 0));
    let method = by("ed25519");
    assert!(connack.windows(method.len()).any(|part| part == method), "CONNACK names the method too");
    assert_eq!(bench.closed, None);
}

#[test]
fn wrong_answer_is_refused_by_connack() {
    let mut bench = challenged();
    bench.got();
    bench.send(&answer("ed25519", &[7; 64]));
    bench.tell(Tell::Refused(refusal(Code::NotAuthorised)));
    let connack = bench.got();
    assert_eq!((connack[0], connack[3], bench.code()), (0x20, 0x86, Some(Code::NotAuthorised)));
}

#[test]
fn nothing_but_the_awaited_auth_may_come_before_connack() {
    for (what, bytes) in [
        ("another method", answer("hmac-sha256", b"x")),
        ("no method", auth(0x18, &[&[22][..], &text(b"x")].concat())),
        ("no data", auth(0x18, &by("ed25519"))),
        ("success", auth(0, &[&by("ed25519")[..], &[22], &text(b"x")].concat())),
        ("re-authenticate", auth(0x19, &[&by("ed25519")[..], &[22], &text(b"x")].concat())),
        ("nothing in it", vec![0xf0, 0]),
        ("bytes behind its end", vec![0xf0, 3, 0x18, 0, 0]),
        ("a property that does not belong", auth(0x18, &[&[1, 1][..], &by("ed25519")].concat())),
        ("PINGREQ", vec![0xc0, 0]),
        ("a second CONNECT", connect_by(&by("ed25519"))),
    ] {
        let mut bench = challenged();
        bench.got();
        bench.send(&bytes);
        assert!(bench.code().is_some(), "{what}");
        assert!(!bench.asks.iter().any(|ask| matches!(ask, Ask::Answer(_))), "{what}");
        assert!(bench.asks.iter().any(|ask| matches!(ask, Ask::Leave { .. })), "{what}");
    }
    let whole = answer("ed25519", &[7; 64]);
    for cut in 0..whole.len() {
        let mut bench = challenged();
        bench.send(&whole[..cut]);
        assert!(bench.asks.is_empty() && bench.closed.is_none(), "{cut}: it is not whole yet");
        bench.send(&whole[cut..]);
        assert!(matches!(bench.asks[..], [Ask::Answer(_)]), "{cut}");
    }
}

#[test]
fn what_was_said_ahead_of_the_challenge_ends_the_conversation() {
    let mut bench = Bench::new(5);
    bench.send(&connect_by(&by("ed25519")));
    bench.send(&answer("ed25519", &[7; 64]));
    bench.tell(challenge());
    assert_eq!(bench.code(), Some(Code::Denied));
}

#[test]
fn who_named_no_method_is_refused_where_the_gate_asks() {
    for level in BOTH {
        let mut bench = Bench::new(level);
        bench.send(&connect(level, true, 60, 0));
        bench.asks.clear();
        bench.tell(challenge());
        let connack = bench.got();
        assert_eq!((connack[0], connack[3]), (0x20, if level == 5 { 0x87 } else { 5 }));
        assert!(matches!(bench.asks[..], [Ask::Leave { .. }]));
        assert_eq!(bench.code(), Some(Code::Denied));
        bench.pass(Duration::from_secs(1));
    }
}

/// Let in by its key.
fn open() -> Bench {
    let mut bench = challenged();
    bench.send(&answer("ed25519", &[7; 64]));
    bench.tell(entered(SessionState::default()));
    bench.got();
    bench.asks();
    bench
}

fn renewed() -> Tell {
    let Tell::Entered { principal, .. } = entered(SessionState::default()) else { unreachable!() };
    Tell::Renewed { principal }
}

#[test]
fn client_authenticates_anew_by_the_method_it_began_with_as_often_as_it_likes() {
    let mut bench = open();
    for _ in 0..2 {
        bench.send(&auth(0x19, &by("ed25519")));
        let (account, method) = (Some("acme".parse().unwrap()), Method::Key);
        let credential = Credential::Claim { account, name: "pump".into(), method };
        assert_eq!(bench.asks(), [Ask::Renew(credential)], "as whom it came");
        assert_eq!(bench.got(), [0; 0], "the gate decides what is asked");
        bench.tell(challenge());
        assert_eq!(bench.got(), answer("ed25519", b"nonce"), "the server's AUTH");
        bench.send(&answer("ed25519", &[8; 64]));
        assert_eq!(bench.asks(), [Ask::Answer(Secret(vec![8; 64].into()))]);
        bench.tell(renewed());
        assert_eq!(bench.got(), auth(0, &by("ed25519")), "AUTH 0x00 by the same method");
    }
    // A certificate may have proven it already.
    bench.send(&auth(0x19, &[&by("ed25519")[..], &[22], &text(b"whatever")].concat()));
    bench.tell(renewed());
    assert_eq!(bench.got(), auth(0, &by("ed25519")));
    assert_eq!(bench.closed, None);
}

#[test]
fn everything_else_goes_on_while_a_client_authenticates_anew() {
    let mut bench = open();
    let publish = |id: u8| [&[0x32, 10, 0, 3][..], b"a/b", &[0, id, 0], b"xy"].concat();
    bench.send(&[publish(1), auth(0x19, &by("ed25519")), publish(2)].concat());
    let asks = bench.asks();
    let [Ask::Publish(first), Ask::Renew(_), Ask::Publish(second)] = &asks[..] else { panic!("{asks:?}") };
    bench.store(first.ticket, 1, &[]);
    assert_eq!(bench.got(), [0x40, 2, 0, 1]);
    bench.tell(challenge());
    bench.got();
    bench.store(second.ticket, 1, &[]);
    assert_eq!(bench.got(), [0x40, 2, 0, 2], "asked, and nothing answered yet");
    bench.send(&[0xc0, 0]);
    assert_eq!(bench.got(), [0xd0, 0]);
    bench.send(&answer("ed25519", &[7; 64]));
    bench.tell(renewed());
    assert_eq!((bench.got()[0], bench.closed.clone()), (0xf0, None));
}

#[test]
fn who_fails_to_authenticate_anew_is_sent_away_with_the_reason() {
    let mut bench = open();
    bench.send(&auth(0x19, &by("ed25519")));
    bench.tell(challenge());
    bench.send(&answer("ed25519", &[8; 64]));
    bench.got();
    bench.tell(Tell::Refused(refusal(Code::NotAuthorised)));
    let got = bench.got();
    assert_eq!((got[0], got[2], bench.code()), (0xe0, 0x87, Some(Code::NotAuthorised)));
    // What its gate asks beyond the method's challenge nobody could ask at CONNECT either.
    for prompt in [
        Prompt::Knocked,
        Prompt::Challenge { method: Method::Secret, nonce: "nonce".into() },
        Prompt::Words("who?".into()),
    ] {
        let mut bench = open();
        bench.send(&auth(0x19, &by("ed25519")));
        bench.tell(Tell::Prompt(prompt));
        let got = bench.got();
        assert_eq!((got[0], got[2], bench.code()), (0xe0, 0x87, Some(Code::Denied)));
    }
    // A challenge that the client would not take is not said.
    let mut bench = Bench::new(5);
    let properties = [&by("ed25519")[..], &[39, 0, 0, 0, 32]].concat();
    bench.send(&connect_by(&properties));
    bench.tell(entered(SessionState::default()));
    assert_eq!(bench.code(), None);
    bench.got();
    bench.send(&auth(0x19, &by("ed25519")));
    bench.tell(challenge_of(&"n".repeat(43)));
    assert_eq!(bench.code(), Some(Code::TooLarge));
    assert!(bench.got().len() <= 32);
}

#[test]
fn auth_after_connack_begins_or_answers_once_and_by_the_method_of_connect() {
    let anew = || auth(0x19, &by("ed25519"));
    let (begun, asked): (&[Vec<u8>], _) = (&[anew()], true);
    for (what, before, is_asked, bytes, reason) in [
        ("by another method", &[][..], false, auth(0x19, &by("hmac-sha256")), 0x82),
        ("by none", &[], false, auth(0x19, &[]), 0x82),
        ("success", &[], false, auth(0, &by("ed25519")), 0x82),
        ("an answer to nothing", &[], false, answer("ed25519", b"x"), 0x82),
        ("cut", &[], false, vec![0xf0, 0], 0x81),
        ("an answer ahead of the challenge", begun, false, answer("ed25519", b"x"), 0x82),
        ("a second beginning", begun, false, anew(), 0x82),
        ("a second beginning instead of the answer", begun, asked, anew(), 0x82),
        ("an answer by another method", begun, asked, answer("hmac-sha256", b"x"), 0x82),
        ("an answer without data", begun, asked, auth(0x18, &by("ed25519")), 0x82),
    ] {
        let mut bench = open();
        before.iter().for_each(|bytes| bench.send(bytes));
        if is_asked {
            bench.tell(challenge());
        }
        bench.got();
        bench.asks();
        bench.send(&bytes);
        let got = bench.got();
        assert_eq!((got[0], got[2]), (0xe0, reason), "{what}");
        assert!(bench.code().is_some(), "{what}");
        assert!(!bench.asks.iter().any(|ask| matches!(ask, Ask::Answer(_) | Ask::Renew(_))), "{what}");
    }
    // Who named no method in CONNECT has none.
    let mut bench = Bench::open(5);
    bench.send(&anew());
    let got = bench.got();
    assert_eq!((got[0], got[2]), (0xe0, 0x82));
}
