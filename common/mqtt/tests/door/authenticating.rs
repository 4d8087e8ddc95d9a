//! MQTT 5's enhanced authentication: the conversation between CONNECT and CONNACK, and what ends it.

use crate::bench::*;
use riser_model::door::{Ask, Code, Credential, Method, Prompt, SessionState, Tell};
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
    Tell::Prompt(Prompt::Challenge { method: Method::Key, nonce: "nonce".into() })
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

#[test]
fn who_wants_to_authenticate_anew_is_told_that_nobody_does_and_who_says_it_wrongly_is_told_what_is_wrong() {
    for (what, bytes, reason) in [
        ("by the method it began with", auth(0x19, &by("ed25519")), 0x83),
        ("by another", auth(0x19, &by("hmac-sha256")), 0x82),
        ("by none", auth(0x19, &[]), 0x82),
        ("an answer to nothing", answer("ed25519", b"x"), 0x82),
        ("cut", vec![0xf0, 0], 0x81),
    ] {
        let mut bench = challenged();
        bench.send(&answer("ed25519", &[7; 64]));
        bench.tell(entered(SessionState::default()));
        bench.got();
        bench.send(&bytes);
        let got = bench.got();
        assert_eq!((got[0], got[2]), (0xe0, reason), "{what}");
        let words = String::from_utf8_lossy(&got).into_owned();
        assert_eq!(words.contains("nobody authenticates anew"), reason == 0x83, "{what}: {words}");
        assert!(bench.code().is_some(), "{what}");
    }
}
