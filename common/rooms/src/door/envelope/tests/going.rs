//! From one room into another.

use super::*;

const GO: &str = r#"{"op":"enter","id":7,"room":"vault"}"#;

fn go() -> Ask {
    Ask::Move { room: "vault".parse().unwrap() }
}

fn moved(door: &mut Envelope, result: Result<(), Refusal>) -> Vec<Output> {
    tell(door, Tell::Moved { room: "vault".parse().unwrap(), result })
}

#[test]
fn move_says_that_what_was_read_has_ended_and_what_follows_is_the_new_room_s() {
    let mut door = reading("");
    tell(&mut door, deliver(vec![msg(5, 10, 11)]));
    assert_eq!(asks(&text(&mut door, GO)), [&go()]);
    let before = tell(&mut door, deliver(vec![msg(5, 11, 12)]));
    assert_eq!(steps(&before), [(12, 11)], "until it is answered it reads where it is");
    let outputs = moved(&mut door, Ok(()));
    let said = texts(&outputs);
    assert_eq!((&said[0]["ev"], &said[0]["sub"]), (&json!("end"), &json!(5)));
    assert_eq!(said[0]["error"]["code"], "wrong_state");
    assert_eq!((&said[1]["re"], &said[1]["ok"]["room"]), (&json!(7), &json!("vault")));
    assert!(asks(&outputs).is_empty(), "it did not hear what the system says");
    assert!(texts(&tell(&mut door, deliver(vec![msg(5, 12, 13)]))).is_empty(), "late ones are nobody's");
    assert_eq!(texts(&text(&mut door, r#"{"op":"whoami","id":8}"#))[0]["ok"]["room"], "vault");
    let again = text(&mut door, r##"{"op":"subscribe","id":9,"sub":5,"channels":"#"}"##);
    let asked = asks(&again);
    let [Ask::Subscribe { want: Want::Room(room, _), .. }] = asked[..] else { panic!("{again:?}") };
    assert_eq!(room.as_str(), "vault");
    let published = text(&mut door, r#"{"op":"publish","id":10,"channel":"a","data":"x"}"#);
    let asked = asks(&published);
    let [Ask::Publish(intake)] = asked[..] else { panic!("{published:?}") };
    assert_eq!(intake.aliases, [(0, Target::Channel("vault".parse().unwrap(), "a".parse().unwrap()))]);
}

#[test]
fn move_waits_for_receipts_and_subscriptions_and_nothing_is_asked_of_the_room_meanwhile() {
    let mut door = open();
    text(&mut door, r#"{"op":"publish","id":2,"channel":"a","data":"x"}"#);
    text(&mut door, r##"{"op":"subscribe","id":3,"sub":5,"channels":"#"}"##);
    assert!(asks(&text(&mut door, GO)).is_empty());
    for denied in [
        r#"{"op":"publish","id":4,"channel":"a","data":"x"}"#,
        r##"{"op":"subscribe","id":4,"sub":6,"channels":"#"}"##,
        r#"{"op":"session","id":4}"#,
        r#"{"op":"presence","id":4}"#,
        r#"{"op":"enter","id":4,"room":"hall"}"#,
    ] {
        let outputs = text(&mut door, denied);
        assert_eq!(texts(&outputs)[0]["error"]["code"], "wrong_state", "{denied}");
        assert!(asks(&outputs).is_empty(), "{denied}");
    }
    assert!(asks(&tell(&mut door, subscribed(5, 20))).is_empty());
    text(&mut door, r#"{"op":"unsubscribe","id":5,"sub":5}"#);
    assert!(asks(&tell(&mut door, stored(1, 20, vec![]))).is_empty());
    assert_eq!(asks(&tell(&mut door, Tell::Unsubscribed { subscription: SubscriptionId(5) })), [&go()]);
    let prompt = Tell::Prompt(Prompt::Challenge { method: Method::Key, nonce: "n".into() });
    assert_eq!(texts(&tell(&mut door, prompt))[0]["ev"], "challenge");
    let answer = Ask::Answer(Secret(Bytes::from_static(b"AAAA")));
    assert_eq!(asks(&text(&mut door, r#"{"op":"answer","proof":"AAAA"}"#)), [&answer]);
}

#[test]
fn who_is_refused_stays_where_it_was_and_everything_goes_on() {
    let mut door = reading(r#","credit":1"#);
    // Far more than is parked for it: the rest is read again when there is credit.
    let large = vec![b'x'; 20_000];
    let push = |prev, seq| publication(5, prev, seq, ContentType::Octets, &large);
    tell(&mut door, deliver(vec![push(10, 11), push(11, 12), push(12, 13)]));
    text(&mut door, GO);
    let given = text(&mut door, r#"{"op":"credit","sub":5,"n":5}"#);
    assert_eq!(steps(&given), [(12, 11)]);
    assert!(
        !asks(&given).iter().any(|ask| matches!(ask, Ask::Subscribe { .. })),
        "it may be elsewhere before that is asked for: {given:?}"
    );
    let outputs = moved(&mut door, Err(no(Code::Denied)));
    assert_eq!(texts(&outputs), [json!({"re": 7, "error": {"code": "denied", "what": "no", "want": "yes"}})]);
    assert!(asks(&outputs).contains(&&subscribe(5, From::After(position(12)), Flow::Credit)), "{outputs:?}");
    let published = text(&mut door, r#"{"op":"publish","id":10,"channel":"a","data":"x"}"#);
    let asked = asks(&published);
    let [Ask::Publish(intake)] = asked[..] else { panic!("{published:?}") };
    assert_eq!(intake.aliases, [(0, Target::Channel("plant".parse().unwrap(), "a".parse().unwrap()))]);
}

#[test]
fn what_the_system_says_without_being_asked_is_of_the_room_that_it_is_in() {
    let mut door = door();
    turn(&mut door, Input::Room(65_536), 0);
    text(&mut door, &HELLO.replace(r#","events":false"#, ""));
    tell(&mut door, entered("acme"));
    tell(&mut door, subscribed(u32::MAX, 10));
    assert_eq!(asks(&text(&mut door, GO)), [&go()]);
    let outputs = moved(&mut door, Ok(()));
    assert_eq!(texts(&outputs).len(), 1, "nobody is told that what nobody asked for has ended");
    let asked = asks(&outputs);
    let [Ask::Subscribe { want: Want::Technical(technical), .. }] = asked[..] else { panic!("{outputs:?}") };
    assert_eq!(technical.room, Some("vault".parse().unwrap()));
}

#[test]
fn session_history_is_asked_for_in_each_room_anew() {
    let mut door = open();
    let session = |outputs: &[Output]| {
        let asked = asks(outputs);
        let Some(Ask::Publish(intake)) = asked.last() else { panic!("{outputs:?}") };
        let frame = entry::frames(&intake.entries).next().unwrap().unwrap();
        entry::Publication::read(&entry::Body::read(frame.body).unwrap()).unwrap().session.is_some()
    };
    text(&mut door, r#"{"op":"session","id":2}"#);
    assert!(session(&text(&mut door, r#"{"op":"publish","id":3,"channel":"a","data":"x"}"#)));
    tell(&mut door, stored(1, 20, vec![]));
    text(&mut door, GO);
    moved(&mut door, Ok(()));
    assert!(!session(&text(&mut door, r#"{"op":"publish","id":4,"channel":"a","data":"x"}"#)));
}

const LEAVE: &str = r#"{"op":"leave","id":7}"#;

#[test]
fn who_leaves_is_in_the_lobby_when_everything_is_answered_and_what_it_read_has_ended() {
    let mut door = reading("");
    text(&mut door, r#"{"op":"publish","id":2,"channel":"a","data":"x"}"#);
    assert!(asks(&text(&mut door, LEAVE)).is_empty(), "a receipt is on its way");
    let twice = text(&mut door, LEAVE);
    assert_eq!(texts(&twice)[0]["error"]["code"], "wrong_state");
    let outputs = tell(&mut door, stored(1, 20, vec![]));
    assert!(asks(&outputs).contains(&&Ask::Part), "{outputs:?}");
    let said = texts(&outputs);
    assert_eq!((&said[0]["re"], &said[1]["ev"], &said[1]["sub"]), (&json!(2), &json!("end"), &json!(5)));
    assert_eq!((&said[2]["re"], &said[2]["ok"]["room"]), (&json!(7), &json!(null)));
    assert_eq!(said[2]["ok"]["account"], "acme");
    assert!(texts(&tell(&mut door, deliver(vec![msg(5, 10, 11)]))).is_empty(), "late ones are nobody's");
    assert_eq!(texts(&text(&mut door, LEAVE))[0]["error"]["code"], "wrong_state", "it is in the lobby");
    let published = text(&mut door, r#"{"op":"publish","id":10,"channel":"a","data":"x"}"#);
    let asked = asks(&published);
    let [Ask::Publish(intake)] = asked[..] else { panic!("{published:?}") };
    assert_eq!(intake.aliases, [(0, Target::Channel(RoomName::lobby(), "a".parse().unwrap()))]);
}

#[test]
fn what_the_system_says_unasked_is_silent_in_the_lobby_and_goes_on_in_the_next_room() {
    let mut door = door();
    turn(&mut door, Input::Room(65_536), 0);
    text(&mut door, &HELLO.replace(r#","events":false"#, ""));
    tell(&mut door, entered("acme"));
    tell(&mut door, subscribed(u32::MAX, 10));
    assert_eq!(asks(&text(&mut door, LEAVE)), [&Ask::Part], "a lobby says nothing by itself");
    assert_eq!(asks(&text(&mut door, GO)), [&go()]);
    let outputs = moved(&mut door, Ok(()));
    let asked = asks(&outputs);
    let [Ask::Subscribe { want: Want::Technical(technical), .. }] = asked[..] else { panic!("{outputs:?}") };
    assert_eq!(technical.room, Some("vault".parse().unwrap()));
}
