//! The envelope door against a scripted bus.

use super::*;
use crate::door::script::*;
use bytes::Bytes;
use riser_model::{
    Position, RoomName, SubscriptionId, Wall,
    door::{self, Flow, From, Method, Prompt, Secret, Showing, Target, Technical, Want},
    event::Scope,
};
use riser_wire::entry::{self, ContentType};
use riser_wire::limits::SUBSCRIPTIONS_CEILING;
use serde_json::{Value, json};

mod going;
mod publishing;
mod reading;
mod renewing;
mod windows;

const HELLO: &str =
    r#"{"op":"hello","id":1,"credential":{"user":"ann","password":"hunter2"},"events":false}"#;

fn door() -> Envelope {
    Envelope::new(place(Credential::Anonymous, false), SEED, at(0))
}

/// Let in, with all the room it wants.
fn open() -> Envelope {
    let mut door = door();
    turn(&mut door, Input::Room(65_536), 0);
    text(&mut door, HELLO);
    tell(&mut door, entered("acme"));
    door
}

/// Let in, with one subscription at position 10 that the bus has something for.
fn reading(options: &str) -> Envelope {
    let mut door = open();
    text(&mut door, &format!(r##"{{"op":"subscribe","id":2,"sub":5,"channels":"#"{options}}}"##));
    tell(&mut door, subscribed(5, 10));
    // What is held back for want of credit, or by what is newer, is asked for each time.
    let stands = !options.contains("credit") && !options.contains("conflate");
    assert_eq!(asks(&tell(&mut door, Tell::Ready)), [&Ask::Pull { bytes: 65_536, stands }]);
    door
}

fn subscribe(sub: u32, from: From, flow: Flow) -> Ask {
    let want = Want::Room("plant".parse().unwrap(), "#".parse().unwrap());
    Ask::Subscribe {
        subscription: SubscriptionId(sub),
        want,
        from,
        flow,
        keep: None,
        retained: Showing::Nothing,
    }
}

fn unsubscribe(sub: u32) -> Ask {
    Ask::Unsubscribe { subscription: SubscriptionId(sub) }
}

/// What a client is told of its subscription: (seq, seq of prev), seq 0 for Latest.
fn steps(outputs: &[Output]) -> Vec<(u64, u64)> {
    let seq = |value: &Value| value.as_str().map_or(0, |text| text.parse::<Position>().unwrap().seq.0);
    let msgs = texts(outputs).into_iter().filter(|push| push["ev"] == "msg");
    msgs.map(|push| (seq(&push["pos"]), seq(&push["prev"]))).collect()
}

#[test]
fn hello_enters_and_is_answered_with_its_subscriptions() {
    let mut door = door();
    turn(&mut door, Input::Room(1000), 0);
    let hello = r##"{"op":"hello","id":1,"credential":{"user":"ann","password":"hunter2"},
        "subscriptions":[{"sub":5,"channels":"#","flow":"conflate"},{"sub":6,"technical":"account"}]}"##;
    let credential = Credential::Password {
        account: Some("acme".parse().unwrap()),
        user: "ann".into(),
        password: Secret(Bytes::from_static(b"hunter2")),
    };
    assert_eq!(asks(&text(&mut door, hello)), [&Ask::Enter { credential, session: None, room: plant() }]);
    let technical = Ask::Subscribe {
        subscription: SubscriptionId(6),
        want: Want::Technical(Technical::of_account()),
        from: From::Live,
        flow: Flow::Credit,
        keep: None,
        retained: Showing::Nothing,
    };
    let outputs = tell(&mut door, entered("acme"));
    assert_eq!(asks(&outputs), [&subscribe(5, From::Live, Flow::Conflate), &technical]);
    assert!(texts(&outputs).is_empty());
    assert!(tell(&mut door, Tell::Ready).is_empty(), "nothing is pulled before hello is answered");
    assert!(tell(&mut door, not_subscribed(6, Code::Denied)).is_empty());
    let outputs = tell(&mut door, subscribed(5, 10));
    assert_eq!(
        texts(&outputs),
        [json!({"re": 1, "ok": {
            "account": "acme", "room": "plant", "client": "00000000-0000-0000-0000-000000000008", "name": "ann",
            "connection": 3, "ping_s": 25, "subscriptions": [
                {"sub": 5, "complete": "full", "gaps": [], "pos": position(10).to_string()},
                {"sub": 6, "error": {"code": "denied", "what": "no", "want": "yes"}},
            ],
        }})]
    );
    assert_eq!(asks(&outputs), [&Ask::Pull { bytes: 1000, stands: false }]);
}

#[test]
fn whoever_shows_nothing_stays_out_unless_the_listener_says_so() {
    let outputs = text(&mut door(), r#"{"op":"hello","id":1}"#);
    assert_eq!(texts(&outputs)[0]["error"]["code"], "not_authorised");
    assert_eq!(texts(&outputs)[1]["close"], 4103);
    assert_eq!((closed(&outputs), asks(&outputs).len()), (Some(Code::NotAuthorised), 0));

    let mut anonymous = Envelope::new(place(Credential::Anonymous, true), SEED, at(0));
    let enter = Ask::Enter { credential: Credential::Anonymous, session: None, room: plant() };
    assert_eq!(asks(&text(&mut anonymous, r#"{"op":"hello","id":1}"#)), [&enter]);

    let token = Credential::Token(Secret(Bytes::from_static(b"t")));
    let mut ticket = Envelope::new(place(token.clone(), false), SEED, at(0));
    let enter = Ask::Enter { credential: token, session: None, room: plant() };
    assert_eq!(asks(&text(&mut ticket, r#"{"op":"hello","id":1}"#)), [&enter]);
}

#[test]
fn a_wrong_beginning_is_told_why_and_closed_before_anything_is_asked() {
    let long = format!(r#"{{"op":"hello","id":1,"credential":{{"token":"{}"}}}}"#, "x".repeat(16 * 1024));
    for (first, code, close) in [
        (r#"{"op":"ping","id":1}"#, Code::WrongState, 4101),
        (r#"{"op":"hello","id":1,"credential":{"user":"ann"}}"#, Code::Malformed, 4100),
        (&HELLO[..HELLO.len() - 1], Code::Malformed, 4100),
        ("", Code::Malformed, 4100),
        (&long, Code::TooLarge, 4105),
    ] {
        let mut door = door();
        let outputs = text(&mut door, first);
        let said = texts(&outputs);
        assert_eq!((closed(&outputs), asks(&outputs).len()), (Some(code), 0), "{code:?}");
        assert_eq!(said.last().unwrap()["close"], close);
        assert!(code == Code::TooLarge || said[0]["error"]["code"] == code.name());
        assert!(text(&mut door, HELLO).is_empty(), "nothing follows a close");
        assert!(turn(&mut door, Input::Gone("peer_closed"), 9).is_empty());
        assert_eq!(door.poll_timeout(), None);
    }
    for cut in 0..HELLO.len() {
        assert_eq!(closed(&text(&mut door(), &HELLO[..cut])), Some(Code::Malformed), "{cut}");
    }
}

#[test]
fn silence_is_closed_after_five_seconds() {
    let mut door = door();
    assert_eq!(door.poll_timeout(), Some(at(5000).time));
    assert!(turn(&mut door, Input::Deadline, 4999).is_empty());
    let outputs = turn(&mut door, Input::Deadline, 5000);
    assert_eq!(closed(&outputs), Some(Code::Timeout));
    assert_eq!(texts(&outputs)[0]["after_ms"], 1000);
}

#[test]
fn nothing_may_come_between_hello_and_its_reply() {
    let mut door = door();
    text(&mut door, HELLO);
    let outputs = text(&mut door, r#"{"op":"ping","id":2}"#);
    assert_eq!(closed(&outputs), Some(Code::WrongState));
    assert_eq!(asks(&outputs), [&Ask::Leave { cause: "wrong_state".into(), expiry_s: None }]);
}

#[test]
fn what_the_gate_asks_is_passed_on_and_so_is_the_answer() {
    let mut door = door();
    let hello = r#"{"op":"hello","id":1,"credential":{"user":"pump","method":"ed25519"}}"#;
    let method = Method::Key;
    let credential =
        Credential::Claim { account: Some("acme".parse().unwrap()), name: "pump".into(), method };
    assert_eq!(asks(&text(&mut door, hello)), [&Ask::Enter { credential, session: None, room: plant() }]);
    let asked = tell(&mut door, Tell::Prompt(Prompt::Challenge { method, nonce: "n".into() }));
    assert_eq!(texts(&asked), [json!({"ev": "challenge", "method": "ed25519", "nonce": "n"})]);
    let answered = text(&mut door, r#"{"op":"answer","proof":"AAAA"}"#);
    assert_eq!(asks(&answered), [&Ask::Answer(Secret(Bytes::from_static(b"AAAA")))]);
    let knocked = tell(&mut door, Tell::Prompt(Prompt::Knocked));
    assert_eq!(texts(&knocked), [json!({"ev": "knocked"})]);
    assert_eq!(texts(&tell(&mut door, entered("acme")))[0]["re"], 1);
    let late = text(&mut door, r#"{"op":"answer","id":2,"proof":"AAAA"}"#);
    assert_eq!(texts(&late)[0]["error"]["code"], "wrong_state");
}

#[test]
fn decisions_are_answered_in_whatever_order_they_are_made() {
    let mut door = open();
    for (id, connection) in [(5, 71), (6, 72)] {
        let decide = format!(r#"{{"op":"decide","id":{id},"connection":{connection},"admit":false}}"#);
        let connection = ConnectionId(connection);
        assert_eq!(asks(&text(&mut door, &decide)), [&Ask::Decide { connection, room: None, admit: false }]);
    }
    let decided = |connection, result| Tell::Decided { connection: ConnectionId(connection), result };
    assert_eq!(texts(&tell(&mut door, decided(72, Ok(()))))[0], json!({"re": 6, "ok": {}}));
    assert_eq!(texts(&tell(&mut door, decided(71, Err(no(Code::Denied)))))[0]["re"], 5);
}

#[test]
fn who_does_not_read_has_one_answer_waiting_for_it() {
    let mut door = open();
    let look = |door: &mut Envelope, id: u64| {
        let asked = text(door, &format!(r#"{{"op":"devices","id":{id}}}"#));
        asks(&asked).len()
    };
    let seen = |id| Tell::Seen {
        id,
        result: Ok(riser_model::look::Seen::Devices { devices: vec![], more: 0, next: None }),
    };
    assert_eq!((look(&mut door, 2), look(&mut door, 3), look(&mut door, 4)), (1, 0, 0));
    let answered = tell(&mut door, seen(1));
    assert_eq!(
        (texts(&answered)[0]["re"].as_u64(), asks(&answered).len()),
        (Some(2), 0),
        "it is not taken yet"
    );
    let edit = format!(r#"{{"op":"edit","id":5,"pos":"{}","data":"x"}}"#, position(4));
    assert_eq!(asks(&text(&mut door, &edit)).len(), 1, "what shows nothing waits for nobody");
    let taken = turn(&mut door, Input::Room(65_536), 1);
    assert!(matches!(asks(&taken)[..], [Ask::Look { id: 2, .. }]), "{taken:?}");
    assert!(asks(&turn(&mut door, Input::Room(65_536), 1)).is_empty(), "one at a time");
    tell(&mut door, seen(2));
    let taken = turn(&mut door, Input::Room(65_536), 1);
    assert!(matches!(asks(&taken)[..], [Ask::Look { id: 3, .. }]));
    tell(&mut door, seen(3));
    assert!(asks(&turn(&mut door, Input::Room(65_536), 1)).is_empty());
    assert_eq!(look(&mut door, 6), 1);
    let more: Vec<Output> =
        (7..30).flat_map(|id| text(&mut door, &format!(r#"{{"op":"devices","id":{id}}}"#))).collect();
    assert_eq!(texts(&more).iter().filter(|one| one["error"]["code"] == "too_many").count(), 23 - 14);
}

#[test]
fn a_refused_peer_is_answered_and_closed() {
    let mut door = door();
    text(&mut door, HELLO);
    let outputs = tell(&mut door, Tell::Refused(no(Code::NotAuthorised)));
    assert_eq!(
        texts(&outputs)[0],
        json!({"re": 1, "error": {"code": "not_authorised", "what": "no", "want": "yes"}})
    );
    assert_eq!(texts(&outputs)[1]["ev"], "bye");
    assert_eq!((closed(&outputs), asks(&outputs).len()), (Some(Code::NotAuthorised), 0));
}

#[test]
fn another_accounts_address_looks_like_a_room_that_is_not() {
    let mut door = door();
    text(&mut door, HELLO);
    let outputs = tell(&mut door, entered("other"));
    assert_eq!(texts(&outputs)[0]["error"]["code"], "denied");
    assert_eq!(closed(&outputs), Some(Code::Denied));
    assert_eq!(asks(&outputs), [&Ask::Leave { cause: "denied".into(), expiry_s: None }]);

    let by_uuid = Place {
        account: uuid::Uuid::from_u128(7).to_string().parse().unwrap(),
        ..place(Credential::Anonymous, true)
    };
    let mut door = Envelope::new(by_uuid, SEED, at(0));
    text(&mut door, HELLO);
    assert_eq!(texts(&tell(&mut door, entered("acme")))[0]["re"], 1);
}

/// What the system says, as the bus delivers it.
fn event(sub: u32, prev: u64, seq: u64) -> door::Push {
    let mut push = publication(sub, prev, seq, ContentType::Json, br#"{"type":"riser.joined"}"#);
    if let door::Push::Publication(delivery) = &mut push {
        Arc::get_mut(&mut delivery.content).unwrap().technical = Some(Scope::Instance);
    }
    push
}

#[test]
fn events_say_their_scope_and_where_they_are() {
    let mut door = reading("");
    let outputs = tell(&mut door, deliver(vec![event(5, 10, 12)]));
    let (pos, prev) = (position(12).to_string(), position(10).to_string());
    assert_eq!(
        texts(&outputs),
        [
            json!({"ev": "event", "sub": 5, "pos": pos, "prev": prev, "scope": "hub", "event": {"type": "riser.joined"}})
        ]
    );
}

#[test]
fn every_connection_hears_the_system_unless_it_does_not_want_to_or_asks_for_some_of_it() {
    let enter = |more: &str| {
        let mut door = Envelope::new(place(Credential::Anonymous, true), SEED, at(0));
        turn(&mut door, Input::Room(65_536), 0);
        text(&mut door, &format!(r##"{{"op":"hello","id":1{more}}}"##));
        let asked = asks(&tell(&mut door, entered("acme"))).into_iter().cloned().collect::<Vec<_>>();
        (door, asked)
    };
    let (mut door, asked) = enter("");
    let technical = Technical { room: plant(), ..Technical::of_account() };
    let unasked = SubscriptionId::UNASKED;
    let [Ask::Subscribe { subscription, want, from: From::Live, .. }] = &asked[..] else {
        panic!("{asked:?}")
    };
    assert_eq!((*subscription, want), (unasked, &Want::Technical(technical)));
    assert!(texts(&tell(&mut door, subscribed(unasked.0, 10))).is_empty(), "nobody asked");
    tell(&mut door, Tell::Ready);
    let outputs = tell(&mut door, deliver(vec![event(unasked.0, 10, 11)]));
    assert_eq!(texts(&outputs)[0]["sub"], Value::Null);
    assert_eq!(texts(&outputs)[0]["event"]["type"], "riser.joined");
    assert!(enter(r#","events":false"#).1.is_empty());
    assert_eq!(enter(r#","subscriptions":[{"sub":1,"technical":"hub"}]"#).1.len(), 1);
    let mut refused = enter("").0;
    assert!(texts(&tell(&mut refused, not_subscribed(unasked.0, Code::Denied))).is_empty());
}

#[test]
fn whoever_is_thrown_out_is_told_why_and_when_to_come_back() {
    let mut door = reading("");
    let outputs = tell(&mut door, Tell::Refused(no(Code::ShuttingDown)));
    assert_eq!(
        texts(&outputs),
        [
            json!({"ev": "bye", "code": "shutting_down", "what": "no", "want": "yes", "close": 4000, "after_ms": 500})
        ]
    );
    assert_eq!(asks(&outputs), [&Ask::Leave { cause: "shutting_down".into(), expiry_s: None }]);
    assert_eq!(closed(&outputs), Some(Code::ShuttingDown));
    assert!(tell(&mut door, deliver(vec![msg(5, 10, 11)])).is_empty());
}

#[test]
fn a_peer_that_is_gone_leaves_once() {
    let mut door = reading("");
    let leave = Ask::Leave { cause: "peer_closed".into(), expiry_s: None };
    assert_eq!(turn(&mut door, Input::Gone("peer_closed"), 2), [Output::Ask(leave)]);
    assert!(turn(&mut door, Input::Gone("peer_closed"), 2).is_empty());
    assert!(tell(&mut door, stored(1, 1, vec![])).is_empty());
}

#[test]
fn tickets_are_drawn_once_each_and_only_their_hashes_leave_the_door() {
    let mut door = open();
    let hashes: Vec<_> = [4, 5]
        .into_iter()
        .map(|id| {
            let outputs = text(&mut door, &format!(r#"{{"op":"ticket","id":{id}}}"#));
            let [Ask::Ticket { hash }] = asks(&outputs)[..] else { panic!("{outputs:?}") };
            assert!(texts(&outputs).is_empty(), "it is given out when it is known");
            *hash
        })
        .collect();
    let told = texts(&tell(&mut door, Tell::Ticketed(Ok(30))));
    assert_eq!((&told[0]["re"], &told[0]["ok"]["expires_s"]), (&json!(4), &json!(30)));
    let ticket = told[0]["ok"]["ticket"].as_str().unwrap();
    assert_eq!(hashes[0].0, <sha2::Sha256 as sha2::Digest>::digest(ticket)[..]);
    assert!(ticket.len() == 43 && hashes[0] != hashes[1]);
    let told = texts(&tell(&mut door, Tell::Ticketed(Err(no(Code::TooMany)))));
    assert_eq!((&told[0]["re"], &told[0]["error"]["code"]), (&json!(5), &json!("too_many")));
    let printed = format!("{door:?} {:?}", hashes[0]);
    assert!(!printed.contains(ticket) && !printed.contains("7, 7, 7"), "{printed}");
}
