//! Saying anew who one is.

use super::*;

const RENEW: &str = r#"{"op":"renew","id":7,"credential":{"user":"ann","method":"ed25519"}}"#;

fn claim() -> Ask {
    let account = Some("acme".parse().unwrap());
    Ask::Renew(Credential::Claim { account, name: "ann".into(), method: Method::Key })
}

fn renewed(door: &mut Envelope) -> Vec<Output> {
    let Tell::Entered { principal, .. } = entered("acme") else { unreachable!() };
    tell(door, Tell::Renewed { principal })
}

#[test]
fn who_renews_is_asked_what_the_gate_asks_and_reads_and_says_what_it_likes_meanwhile() {
    let mut door = reading("");
    assert_eq!(asks(&text(&mut door, RENEW)), [&claim()]);
    let challenge = Prompt::Challenge { method: Method::Key, nonce: "n".into() };
    let pushed = texts(&tell(&mut door, Tell::Prompt(challenge)));
    assert_eq!(pushed, [json!({ "ev": "challenge", "method": "ed25519", "nonce": "n" })]);
    assert_eq!(steps(&tell(&mut door, deliver(vec![msg(5, 10, 11)]))), [(11, 10)]);
    let published = text(&mut door, r#"{"op":"publish","id":8,"channel":"a","data":"x"}"#);
    assert!(matches!(asks(&published)[..], [Ask::Publish(_)]), "{published:?}");
    let answer = text(&mut door, r#"{"op":"answer","proof":"cHJvb2Y="}"#);
    assert_eq!(asks(&answer), [&Ask::Answer(Secret(Bytes::from_static(b"cHJvb2Y=")))]);
    let said = texts(&renewed(&mut door));
    assert_eq!(said, [json!({ "re": 7, "ok": {} })]);
    let late = texts(&text(&mut door, r#"{"op":"answer","id":9,"proof":"cHJvb2Y="}"#));
    assert_eq!(late[0]["error"]["code"], "wrong_state", "nothing is asked any more");
}

#[test]
fn who_fails_is_answered_and_sent_away() {
    let mut door = open();
    text(&mut door, RENEW);
    let why = Refusal { code: Code::NotAuthorised, what: "no".into(), want: "yes".into() };
    let outputs = tell(&mut door, Tell::Refused(why));
    let said = texts(&outputs);
    assert_eq!((&said[0]["re"], &said[0]["error"]["code"]), (&json!(7), &json!("not_authorised")));
    assert_eq!((&said[1]["ev"], &said[1]["close"]), (&json!("bye"), &json!(4103)));
}

#[test]
fn one_gate_at_a_time_is_stood_at() {
    let mut door = open();
    text(&mut door, RENEW);
    for second in [RENEW, r#"{"op":"enter","id":8,"room":"vault"}"#, r#"{"op":"leave","id":8}"#] {
        let outputs = text(&mut door, second);
        assert_eq!(texts(&outputs)[0]["error"]["code"], "wrong_state", "{second}");
        assert!(asks(&outputs).is_empty(), "{second}");
    }
    renewed(&mut door);
    text(&mut door, r#"{"op":"enter","id":8,"room":"vault"}"#);
    assert_eq!(texts(&text(&mut door, RENEW))[0]["error"]["code"], "wrong_state");
}

#[test]
fn credential_that_is_none_or_too_large_is_refused_and_nothing_else_happens() {
    let mut door = open();
    let large = format!(r#"{{"op":"renew","id":7,"credential":{{"token":"{}"}}}}"#, "x".repeat(17_000));
    for (what, said, code) in [
        ("too large", large.as_str(), "too_large"),
        ("none", r#"{"op":"renew","id":7}"#, "malformed"),
        ("no password", r#"{"op":"renew","id":7,"credential":{"user":"ann"}}"#, "malformed"),
    ] {
        let outputs = text(&mut door, said);
        assert_eq!(texts(&outputs)[0]["error"]["code"], code, "{what}");
        assert!(asks(&outputs).is_empty(), "{what}");
    }
    let other =
        text(&mut door, r#"{"op":"renew","id":7,"credential":{"user":"acme/ann","password":"hunter2"}}"#);
    let password = Secret(Bytes::from_static(b"hunter2"));
    let credential = Credential::Password { account: None, user: "acme/ann".into(), password };
    assert_eq!(asks(&other), [&Ask::Renew(credential)], "a name with its account says whose it is");
}
