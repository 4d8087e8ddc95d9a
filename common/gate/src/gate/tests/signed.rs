//! What a device signs with its key: a challenge, or a password that is good once.

use super::*;

#[test]
fn who_claims_a_name_passes_by_what_it_signs_and_is_challenged_once() {
    let mut gate = gate(None);
    let Output::Say(Prompt::Challenge { nonce, .. }) = show(&mut gate, claim("pump", Method::Key)) else {
        panic!("no challenge")
    };
    assert_eq!(gate.stand(), Stand::Hears(Kind::Key));
    let signature = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [7; 64]);
    gate.handle(Input::Answered(secret(&signature)), Now::default());
    let verify = next(&mut gate).unwrap();
    let Output::Do { effect: Effect::Verify(Proof::Signature { keys, message, .. }), .. } = &verify else {
        panic!("{verify:?}")
    };
    assert_eq!(
        (&keys[..], &message[..]),
        (
            &[VerifyingKey::Ed25519(KEY.0)][..],
            format!("riser gate challenge 2\n{nonce}\nacme/pump\n{INSTANCE}\n").as_bytes()
        ),
        "what is signed is for this instance and for no other"
    );
    let passed = judge(&mut gate, &verify, Verdict::Matches);
    assert_eq!(who(&gate, &passed), "pump");
    gate.handle(Input::Answered(secret(&signature)), Now::default());
    assert_eq!(next(&mut gate), None);
}

fn signed(seconds: i64, nonce: &str, bytes: usize) -> Credential {
    let signature = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, vec![7; bytes]);
    password(None, "acme/pump", &format!("riser2.{seconds}.{nonce}.{signature}"))
}

const NONCE: &str = "0123456789abcdef";

/// A listener over TLS, ten minutes after 1970 began.
fn private(tls: bool, address: &str) -> (Gate, Now) {
    let now = Now { wall: Wall(600_000), ..Now::default() };
    let caller = Caller {
        tls,
        address: Some(address.parse().unwrap()),
        instance: INSTANCE.into(),
        ..Caller::default()
    };
    (Gate::front(&Policy::new(&directory(), None, "").unwrap(), caller, now), now)
}

#[test]
fn signed_password_counts_as_the_key_it_is_signed_with_and_only_once() {
    for (first, passes) in [(Verdict::Matches, true), (Verdict::Differs, false), (Verdict::Busy, false)] {
        let (mut gate, now) = private(true, "192.0.2.1");
        gate.handle(Input::Shown(signed(600, NONCE, 64)), now);
        let Some(Output::Do { ticket, effect: Effect::Verify(Proof::Signature { keys, message, .. }) }) =
            next(&mut gate)
        else {
            panic!("it is verified")
        };
        assert_eq!(keys, [VerifyingKey::Ed25519(KEY.0)]);
        assert_eq!(message, format!("riser signed password 2\n600\n{NONCE}\nacme/pump\n{INSTANCE}\n"));
        gate.handle(Input::Done { ticket, verdict: Verdict::Matches }, now);
        let Some(Output::Do { ticket, effect: Effect::Once { .. } }) = next(&mut gate) else {
            panic!("only once")
        };
        gate.handle(Input::Done { ticket, verdict: first }, now);
        assert_eq!(next(&mut gate) == Some(Output::Pass), passes);
        assert_eq!(gate.standing().passed.contains(&Kind::Key), passes);
    }
}

#[test]
fn signed_password_is_good_for_a_minute_and_where_nobody_listens() {
    let refused = |tls, address, credential| {
        let (mut gate, now) = private(tls, address);
        gate.handle(Input::Shown(credential), now);
        match next(&mut gate) {
            Some(Output::Refuse(refusal)) => {
                assert_eq!(refusal.code, Code::NotAuthorised);
                true
            }
            Some(Output::Do { effect: Effect::Verify(Proof::Signature { .. }), .. }) => false,
            other => panic!("{other:?}"),
        }
    };
    for good in [540, 600, 660] {
        assert!(!refused(true, "192.0.2.1", signed(good, NONCE, 64)), "{good}");
    }
    assert!(!refused(false, "127.0.0.1", signed(600, NONCE, 64)), "within the host");
    assert!(refused(false, "192.0.2.1", signed(600, NONCE, 64)), "anybody can listen");
    for (seconds, nonce, bytes) in [
        (539, NONCE, 64),
        (661, NONCE, 64),
        (i64::MIN, NONCE, 64),
        (i64::MAX, NONCE, 64),
        (600, "short", 64),
        (600, &"n".repeat(65), 64),
        (600, NONCE, 63),
        (600, NONCE, 0),
    ] {
        assert!(refused(true, "192.0.2.1", signed(seconds, nonce, bytes)), "{seconds} {nonce} {bytes}");
    }
    let plain = |text: &str| {
        let (mut gate, now) = private(true, "192.0.2.1");
        gate.handle(Input::Shown(password(None, "ann", text)), now);
        matches!(next(&mut gate), Some(Output::Do { effect: Effect::Verify(Proof::Password { .. }), .. }))
    };
    assert!(
        ["riser2", "riser2.1", "riser2.1.2", "riser1.1.2.3", ""].into_iter().all(plain),
        "others are passwords"
    );
}

#[test]
fn nobody_can_tell_by_a_challenge_who_exists() {
    for method in Method::ALL {
        for name in ["pump", "ann", "nobody", "", "NO NAME", "00000000-0000-0000-0000-000000000001"] {
            let mut gate = gate(None);
            assert!(
                matches!(show(&mut gate, claim(name, method)), Output::Say(Prompt::Challenge { .. })),
                "{name}"
            );
            gate.handle(Input::Answered(secret(&"A".repeat(86))), Now::default());
            let verify = next(&mut gate).unwrap();
            let refused =
                judge(&mut gate, &verify, if name == "pump" { Verdict::Differs } else { Verdict::Matches });
            assert_eq!(code(&refused), Code::NotAuthorised, "{name}: even where the stand-in holds");
        }
    }
}

#[test]
fn nonces_of_a_connection_never_come_twice_and_are_its_own() {
    let nonce = |caller: Caller, drawn| {
        let standing = Standing { drawn, ..standing("pump", Kind::Token) };
        let mut gate = inner("gate = ['key']", &standing, caller, Now::default());
        let Some(Output::Say(Prompt::Challenge { nonce, .. })) = next(&mut gate) else {
            panic!("no challenge")
        };
        assert!(gate.standing().drawn > drawn);
        nonce
    };
    let other = || Caller { entropy: [1; 32], ..Caller::default() };
    let mut all = vec![nonce(Caller::default(), 0), nonce(Caller::default(), 1), nonce(other(), 0)];
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 3);
}
