//! The envelope door against a scripted bus.

use super::*;
use crate::door::script::*;
use bytes::Bytes;
use riser_model::{
    SubscriptionId,
    door::{Flow, From, Method, Prompt, Secret, Showing, Target, Technical, Want},
    event::Scope,
};
use riser_wire::entry::{self, ContentType};
use riser_wire::limits::SUBSCRIPTIONS_CEILING;
use serde_json::{Value, json};

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
        assert_eq!(asks(&text(&mut door, &decide)), [&Ask::Decide { connection, admit: false }]);
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
    let seen = |id| Tell::Seen { id, result: Ok(riser_model::look::Seen::Devices(vec![])) };
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

#[test]
fn a_receipt_leaves_only_after_the_commit() {
    let mut door = open();
    let request =
        r#"{"op":"publish","id":4,"channel":"a/b","data":{"x":1},"publish_id":{"producer":"9","n":1}}"#;
    let outputs = text(&mut door, request);
    assert!(texts(&outputs).is_empty());
    let [Ask::Publish(intake)] = asks(&outputs)[..] else { panic!("{outputs:?}") };
    let channel = Target::Channel("plant".parse().unwrap(), "a/b".parse().unwrap());
    assert_eq!((intake.ticket, &intake.aliases), (1, &vec![(0, channel)]));
    assert_eq!(
        entries(asks(&outputs)[0]),
        [(0, 1, "application/json".into(), b"{\"x\":1}".to_vec(), Some(9))]
    );

    let again = text(&mut door, r#"{"op":"publish","id":5,"channel":"a/b","data":"t"}"#);
    let [Ask::Publish(intake)] = asks(&again)[..] else { panic!("{again:?}") };
    assert_eq!((intake.ticket, intake.aliases.len()), (2, 0), "a channel is named once");

    assert_eq!(
        texts(&tell(&mut door, stored(1, 7, vec![]))),
        [json!({"re": 4, "ok": {"pos": position(7).to_string()}})]
    );
    let refused = tell(&mut door, stored(2, 8, vec![(0, no(Code::QuotaExceeded))]));
    assert_eq!(
        texts(&refused),
        [json!({"re": 5, "error": {"code": "quota_exceeded", "what": "no", "want": "yes"}})]
    );
    assert!(tell(&mut door, stored(2, 8, vec![])).is_empty(), "a ticket is answered once");
}

#[test]
fn a_batch_gets_a_receipt_each() {
    let mut door = open();
    let outputs = text(
        &mut door,
        r#"{"op":"publish","id":4,"messages":[{"channel":"a","data":1},{"channel":"b","data":2},{"channel":"a","data":3}]}"#,
    );
    let aliases: Vec<u32> = entries(asks(&outputs)[0]).into_iter().map(|entry| entry.0).collect();
    assert_eq!(aliases, [0, 1, 0]);
    let outputs = tell(&mut door, stored(1, 7, vec![(1, no(Code::Denied))]));
    let receipts = json!([
        {"pos": position(7).to_string()},
        {"error": {"code": "denied", "what": "no", "want": "yes"}},
        {"pos": position(8).to_string()},
    ]);
    assert_eq!(texts(&outputs), [json!({"re": 4, "ok": {"receipts": receipts}})]);
}

#[test]
fn what_is_wrong_with_a_request_does_not_disturb_the_others() {
    let mut door = open();
    for (request, code) in [
        (r#"{"op":"publish","id":4,"channel":"a/#","data":1}"#, "bad_name"),
        (r#"{"op":"publish","id":4,"chanel":"a","data":1}"#, "malformed"),
        (r#"{"op":"hello","id":4}"#, "wrong_state"),
        (r#"{"op":"unsubscribe","id":4,"sub":1}"#, "wrong_state"),
        (r#"{"op":"credit","id":4,"sub":1,"n":1}"#, "wrong_state"),
    ] {
        let outputs = text(&mut door, request);
        assert_eq!((outputs.len(), &texts(&outputs)[0]["re"]), (1, &json!(4)), "{request}");
        assert_eq!(texts(&outputs)[0]["error"]["code"], code, "{request}");
    }
    assert_eq!(texts(&text(&mut door, r#"{"op":"ping","id":6}"#)), [json!({"re": 6, "ok": {}})]);
}

#[test]
fn what_no_reply_could_name_closes() {
    for input in
        [Input::Text("[1]".into()), Input::Text(r#"{"op":"ping"}"#.into()), Input::Bytes(Bytes::new())]
    {
        let mut door = open();
        let outputs = turn(&mut door, input, 1);
        assert_eq!(closed(&outputs), Some(Code::Malformed));
        assert_eq!(asks(&outputs), [&Ask::Leave { cause: "malformed".into(), expiry_s: None }]);
    }
}

#[test]
fn a_batch_that_fits_into_no_commit_is_refused_whole() {
    let mut door = open();
    let data = "x".repeat(250 * 1024);
    let message = format!(r#"{{"channel":"a","data":"{data}"}}"#);
    let batch = format!(r#"{{"op":"publish","id":4,"messages":[{}]}}"#, vec![message; 5].join(","));
    let outputs = text(&mut door, &batch);
    assert_eq!(texts(&outputs)[0]["error"]["code"], "too_large");
    assert!(asks(&outputs).is_empty());
    // Its channel was not named to the bus, so the next one must be.
    let outputs = text(&mut door, r#"{"op":"publish","id":5,"channel":"a","data":1}"#);
    let [Ask::Publish(intake)] = asks(&outputs)[..] else { panic!("{outputs:?}") };
    assert_eq!((intake.ticket, intake.aliases.len()), (1, 1));
}

#[test]
fn channels_without_end_are_numbered_anew() {
    let mut door = open();
    for round in 0..3 {
        let messages: Vec<_> =
            (0..4096).map(|i| format!(r#"{{"channel":"{round}/{i}","data":1}}"#)).collect();
        let outputs =
            text(&mut door, &format!(r#"{{"op":"publish","id":4,"messages":[{}]}}"#, messages.join(",")));
        let [Ask::Publish(intake)] = asks(&outputs)[..] else { panic!("no intake") };
        let first = if round == 1 { 4096 } else { 0 };
        assert_eq!((intake.aliases.len(), intake.aliases[0].0), (4096, first), "{round}");
        tell(&mut door, stored(round + 1, 1, vec![]));
    }
}

#[test]
fn every_push_says_where_the_one_before_it_was() {
    let mut door = reading("");
    let outputs = tell(
        &mut door,
        deliver(vec![msg(5, 10, 11), through(5, 20), msg(5, 20, 21), gap(5, 22, 24), msg(5, 24, 25)]),
    );
    // The client does not hear of 20: to it, 21 follows 11.
    assert_eq!(steps(&outputs), [(11, 10), (21, 11), (25, 24)]);
    assert_eq!(texts(&outputs)[2]["count"], 3);
    let outputs = tell(&mut door, deliver(vec![msg(5, 11, 26)]));
    assert_eq!(steps(&outputs), [(26, 11)], "where the bus jumped, the client must see it");
}

#[test]
fn a_bus_that_goes_on_from_the_last_delivery_is_followed_too() {
    let mut door = reading("");
    let outputs = tell(&mut door, deliver(vec![msg(5, 10, 11), through(5, 20), msg(5, 11, 21)]));
    assert_eq!(steps(&outputs), [(11, 10), (21, 11)]);
}

#[test]
fn who_is_behind_asks_for_the_next_part_before_it_says_this_one_unless_its_window_decides_that() {
    let part = |door: &mut Envelope| tell(door, Tell::Deliver { pushes: vec![msg(5, 10, 11)], more: true });
    let behind = part(&mut reading(""));
    assert!(matches!(behind[..], [Output::Ask(Ask::Pull { bytes: 32_768, stands: true }), Output::Text(_)]));
    let windowed = part(&mut reading(r#","credit":9"#));
    assert!(matches!(windowed[..], [Output::Text(_), Output::Ask(Ask::Pull { stands: false, .. })]));
}

#[test]
fn pings_carry_how_far_everything_was_pushed_and_move_the_client_there() {
    let mut door = reading("");
    tell(&mut door, deliver(vec![msg(5, 10, 11)]));
    assert_eq!(door.poll_timeout(), Some(at(25_001).time));
    assert!(turn(&mut door, Input::Deadline, 25_000).is_empty());
    // How far a quiet subscription is, the bus says when it is asked.
    let outputs = turn(&mut door, Input::Deadline, 25_001);
    assert!(matches!(asks(&outputs)[..], [Ask::Pull { .. }]) && texts(&outputs).is_empty());
    let ping = tell(&mut door, deliver(vec![through(5, 20)]));
    assert_eq!(texts(&ping), [json!({"ev": "ping", "through": {"5": position(20).to_string()}})]);
    assert_eq!(door.poll_timeout(), Some(at(50_001).time));
    tell(&mut door, Tell::Ready);
    assert_eq!(steps(&tell(&mut door, deliver(vec![msg(5, 20, 21)]))), [(21, 20)]);
    turn(&mut door, Input::Room(0), 3);
    assert!(turn(&mut door, Input::Deadline, 60_000).is_empty(), "a socket that takes nothing gets no pings");
}

#[test]
fn a_client_without_credit_is_pinged_too() {
    let mut door = reading(r#","credit":0"#);
    tell(&mut door, deliver(vec![msg(5, 10, 11)]));
    let ping = turn(&mut door, Input::Deadline, 25_001);
    assert_eq!(texts(&ping), [json!({"ev": "ping", "through": {"5": position(10).to_string()}})]);
}

#[test]
fn latest_is_shown_without_moving_the_position() {
    let mut door = reading(r#","flow":"conflate""#);
    let outputs = tell(&mut door, deliver(vec![msg(5, 10, 0), msg(5, 10, 11)]));
    assert_eq!(texts(&outputs)[0]["latest"], true);
    assert_eq!(steps(&outputs), [(0, 10), (11, 10)]);
}

#[test]
fn entries_that_are_no_publications_are_passed_over_and_damage_is_a_gap() {
    let mut door = reading("");
    let mut canary = Vec::new();
    let stamp = at(0).stamp();
    entry::write_frame(&mut canary, riser_model::RouteNumber(0), entry::Kind::Opened, 0, stamp, |_| {});
    let opened = Bytes::from(canary).slice(entry::FRAME_HEADER_BYTES..);
    let pushes =
        vec![delivery(5, 10, 11, opened), delivery(5, 11, 12, Bytes::from_static(b"?")), msg(5, 12, 13)];
    let outputs = tell(&mut door, deliver(pushes));
    let pushed = texts(&outputs);
    assert_eq!(
        (&pushed[0]["ev"], &pushed[0]["cause"], &pushed[0]["from"]),
        (&json!("gap"), &json!("damage"), &json!(12))
    );
    assert_eq!(steps(&outputs), [(13, 12)]);
}

#[test]
fn nothing_is_pulled_beyond_the_sockets_room() {
    let mut door = reading("");
    let big = "x".repeat(70_000);
    let push = publication(5, 10, 11, ContentType::Text, big.as_bytes());
    let outputs = tell(&mut door, deliver(vec![push]));
    assert_eq!((texts(&outputs).len(), asks(&outputs).len()), (1, 0), "the room is used up");
    assert!(tell(&mut door, Tell::Ready).is_empty());
    assert_eq!(asks(&turn(&mut door, Input::Room(500), 2)), [&Ask::Pull { bytes: 500, stands: true }]);
    assert!(turn(&mut door, Input::Room(500), 2).is_empty(), "one pull at a time");
    let some = Tell::Deliver { pushes: vec![msg(5, 11, 12)], more: true };
    assert_eq!(asks(&tell(&mut door, some)).len(), 1, "there is more, and there is room");
    assert!(tell(&mut door, deliver(vec![])).is_empty(), "when nothing more waits the bus says when");
    assert_eq!(asks(&tell(&mut door, Tell::Ready)).len(), 1);
}

#[test]
fn a_window_is_never_overdrawn() {
    let mut door = reading(r#","credit":2"#);
    let outputs = tell(&mut door, deliver((11..15).map(|seq| msg(5, seq - 1, seq)).collect()));
    assert_eq!((steps(&outputs), asks(&outputs).len()), (vec![(11, 10), (12, 11)], 0));
    assert!(tell(&mut door, Tell::Ready).is_empty(), "nothing is pulled that could only be parked");
    let outputs = text(&mut door, r#"{"op":"credit","sub":5,"n":1}"#);
    assert_eq!((steps(&outputs), asks(&outputs).len()), (vec![(13, 12)], 0));
    let outputs = text(&mut door, r#"{"op":"credit","id":9,"sub":5,"n":2}"#);
    assert_eq!(steps(&outputs), [(14, 13)]);
    assert!(matches!(asks(&outputs)[..], [Ask::Pull { .. }]), "it goes on where it stopped");
    assert_eq!(texts(&outputs)[1], json!({"re": 9, "ok": {}}));
    assert_eq!(steps(&tell(&mut door, deliver(vec![msg(5, 14, 15), msg(5, 15, 16)]))), [(15, 14)]);
}

/// A subscription with a window beside one without, both at position 10.
fn beside(window: &str) -> Envelope {
    let mut door = reading(window);
    text(&mut door, r##"{"op":"subscribe","id":3,"sub":6,"channels":"#","flow":"conflate"}"##);
    tell(&mut door, subscribed(6, 10));
    door
}

fn pause(sub: u32, paused: bool) -> Ask {
    Ask::Pause { subscription: SubscriptionId(sub), paused }
}

#[test]
fn a_full_window_does_not_hold_the_others_and_goes_on_where_it_stopped() {
    let mut door = beside(r#","credit":1"#);
    let outputs = tell(&mut door, deliver((11..14).map(|seq| msg(5, seq - 1, seq)).collect()));
    assert_eq!((steps(&outputs), asks(&outputs)), (vec![(11, 10)], vec![&pause(5, true)]));
    assert!(matches!(asks(&tell(&mut door, Tell::Ready))[..], [Ask::Pull { .. }]), "it is let rest once");
    assert_eq!(steps(&tell(&mut door, deliver(vec![msg(6, 10, 14)]))), [(14, 10)]);

    let outputs = text(&mut door, r#"{"op":"credit","sub":5,"n":1}"#);
    assert_eq!(
        (steps(&outputs), asks(&outputs).len()),
        (vec![(12, 11)], 0),
        "there is more than it may have"
    );
    let outputs = text(&mut door, r#"{"op":"credit","sub":5,"n":2}"#);
    assert_eq!((steps(&outputs), asks(&outputs)), (vec![(13, 12)], vec![&pause(5, false)]));
    tell(&mut door, Tell::Ready);
    assert_eq!(steps(&tell(&mut door, deliver(vec![msg(5, 13, 14), msg(5, 14, 15)]))), [(14, 13)]);
}

#[test]
fn what_the_system_says_does_not_wait_behind_a_full_window() {
    let mut door = reading(r#","credit":0"#);
    text(&mut door, r#"{"op":"subscribe","id":3,"sub":6,"technical":"room"}"#);
    tell(&mut door, subscribed(6, 0));
    let outputs = tell(&mut door, deliver(vec![msg(5, 10, 11)]));
    assert_eq!(asks(&outputs), [&pause(5, true)]);
    assert!(matches!(asks(&tell(&mut door, Tell::Ready))[..], [Ask::Pull { .. }]));
    assert_eq!(texts(&tell(&mut door, deliver(vec![event(6, 0, 12)])))[0]["ev"], "event");
}

#[test]
fn what_is_parked_is_bounded_and_read_again() {
    let big = vec![b'x'; 10_000];
    let pushes = || (11..20).map(|seq| publication(5, seq - 1, seq, ContentType::Text, &big)).collect();
    for mut door in [reading(r#","credit":0"#), beside(r#","credit":0"#)] {
        assert!(texts(&tell(&mut door, deliver(pushes()))).is_empty());
        let outputs = text(&mut door, r#"{"op":"credit","sub":5,"n":100}"#);
        assert_eq!(steps(&outputs), [(11, 10), (12, 11)]);
        assert_eq!(asks(&outputs), [&subscribe(5, From::After(position(12)), Flow::Credit)]);
        tell(&mut door, subscribed(5, 12));
        tell(&mut door, Tell::Ready);
        assert_eq!(steps(&tell(&mut door, deliver(vec![msg(5, 12, 13)]))), [(13, 12)]);
    }
}

#[test]
fn a_window_that_is_read_again_tells_what_went_missing_meanwhile_or_why_it_ends() {
    let big = vec![b'x'; 10_000];
    let overrun = || {
        let mut door = beside(r#","credit":0"#);
        let pushes = (11..15).map(|seq| publication(5, seq - 1, seq, ContentType::Text, &big)).collect();
        tell(&mut door, deliver(pushes));
        text(&mut door, r#"{"op":"credit","sub":5,"n":100}"#);
        door
    };
    let mut door = overrun();
    let outputs = tell(&mut door, subscribed_after_gap(5, 13, 30));
    assert_eq!((&texts(&outputs)[0]["ev"], &texts(&outputs)[0]["count"]), (&json!("gap"), &json!(18)));
    tell(&mut door, Tell::Ready);
    assert_eq!(steps(&tell(&mut door, deliver(vec![msg(5, 30, 31)]))), [(31, 30)]);

    let mut door = overrun();
    let outputs = tell(&mut door, not_subscribed(5, Code::Denied));
    assert_eq!(
        texts(&outputs),
        [json!({"ev": "end", "sub": 5, "error": {"code": "denied", "what": "no", "want": "yes"}})]
    );
}

#[test]
fn pushes_of_a_replaced_subscription_belong_to_nobody() {
    let mut door = reading("");
    let outputs = text(&mut door, r##"{"op":"subscribe","id":3,"sub":5,"channels":"#","from":"start"}"##);
    assert_eq!(asks(&outputs), [&subscribe(5, From::Start, Flow::Credit)]);
    assert!(texts(&tell(&mut door, deliver(vec![msg(5, 10, 11)]))).is_empty());
    assert_eq!(texts(&tell(&mut door, subscribed(5, 0)))[0]["re"], 3);
    assert_eq!(steps(&tell(&mut door, deliver(vec![msg(5, 0, 1)]))), [(1, 0)]);

    let outputs = text(&mut door, r#"{"op":"unsubscribe","id":4,"sub":5}"#);
    assert_eq!((asks(&outputs), texts(&outputs).len()), (vec![&unsubscribe(5)], 0));
    assert!(texts(&tell(&mut door, deliver(vec![msg(5, 1, 2)]))).is_empty());
    let done = tell(&mut door, Tell::Unsubscribed { subscription: SubscriptionId(5) });
    assert_eq!(texts(&done), [json!({"re": 4, "ok": {}})]);
}

#[test]
fn subscriptions_are_counted_and_a_refused_one_frees_its_place() {
    let mut door = open();
    let request = |sub| format!(r##"{{"op":"subscribe","id":3,"sub":{sub},"channels":"#"}}"##);
    for sub in 0..SUBSCRIPTIONS_CEILING {
        assert_eq!(asks(&text(&mut door, &request(sub))).len(), 1);
    }
    assert_eq!(texts(&text(&mut door, &request(SUBSCRIPTIONS_CEILING)))[0]["error"]["code"], "too_many");
    assert_eq!(
        asks(&text(&mut door, &request(SUBSCRIPTIONS_CEILING - 1))).len(),
        1,
        "a replacement needs no place"
    );
    assert_eq!(texts(&tell(&mut door, not_subscribed(7, Code::Denied)))[0]["error"]["code"], "denied");
    assert_eq!(asks(&text(&mut door, &request(SUBSCRIPTIONS_CEILING))).len(), 1);
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
