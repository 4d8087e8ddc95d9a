//! The lobby for programs, against a scripted bus.

use super::*;
use crate::door::script::*;
use bytes::Bytes;
use riser_model::{
    History, Right, Role, RoomId, RoomKind, Whom,
    door::{Errand, Finished, KeyInfo, Method, Prompt, RoomInfo, Secret, Target, Want},
};
use serde_json::json;

const HELLO: &str = r#"{"op":"hello","id":1,"credential":{"user":"acme/ann","password":"x"}}"#;

fn door() -> Lobby {
    Lobby::new(None, None, false, TicketSeed([7; 32]), at(0))
}

fn open() -> Lobby {
    let mut door = door();
    turn(&mut door, Input::Room(10_000), 0);
    text(&mut door, HELLO);
    let outputs = tell(&mut door, entered("acme"));
    assert_eq!(texts(&outputs)[0]["ok"]["name"], "ann");
    door
}

#[test]
fn program_looks_around_and_is_moved_into_a_room() {
    let mut door = open();
    assert_eq!(asks(&text(&mut door, r#"{"op":"rooms","id":2}"#)), [&Ask::Rooms]);
    let name: RoomName = "plant".parse().unwrap();
    let kind = RoomKind::Board;
    let absent = Some(vec!["pump".parse().unwrap()]);
    let rooms = vec![RoomInfo { name, gated: true, members: 3, kind, absent }];
    let shown = tell(&mut door, Tell::Rooms(rooms));
    let plant = json!({ "name": "plant", "gated": true, "members": 3, "kind": "board", "absent": ["pump"] });
    assert_eq!(texts(&shown), [json!({ "re": 2, "ok": { "rooms": [plant] } })]);
    let who = text(&mut door, r#"{"op":"whoami","id":3}"#);
    assert_eq!((&texts(&who)[0]["re"], &texts(&who)[0]["ok"]["account"]), (&json!(3), &json!("acme")));

    let room: RoomName = "plant".parse().unwrap();
    assert_eq!(
        asks(&text(&mut door, r#"{"op":"move","id":4,"room":"plant"}"#)),
        [&Ask::Move { room: room.clone() }]
    );
    let asked = tell(&mut door, Tell::Prompt(Prompt::Challenge { method: Method::Key, nonce: "n".into() }));
    assert_eq!(texts(&asked)[0]["ev"], "challenge");
    let proof = Secret(Bytes::from_static(b"p"));
    assert_eq!(asks(&text(&mut door, r#"{"op":"answer","proof":"p"}"#)), [&Ask::Answer(proof)]);
    let moved = tell(&mut door, Tell::Moved { room, result: Ok(()) });
    assert_eq!((&texts(&moved)[0]["re"], &texts(&moved)[0]["ok"]["room"]), (&json!(4), &json!("plant")));
    let subscribe = text(&mut door, r##"{"op":"subscribe","id":5,"sub":1,"channels":"#"}"##);
    assert!(matches!(asks(&subscribe)[..], [Ask::Subscribe { .. }]), "it speaks the envelope protocol there");
    tell(&mut door, subscribed(1, 10));
    assert_eq!(asks(&text(&mut door, r#"{"op":"rooms","id":6}"#)), [&Ask::Rooms]);
    let on = Ask::Move { room: "hall".parse().unwrap() };
    assert_eq!(asks(&text(&mut door, r#"{"op":"enter","id":7,"room":"hall"}"#)), [&on]);
}

#[test]
fn gate_that_says_no_leaves_the_program_in_the_lobby() {
    let mut door = open();
    text(&mut door, r#"{"op":"move","id":4,"room":"attic"}"#);
    let twice = text(&mut door, r#"{"op":"move","id":5,"room":"plant"}"#);
    assert_eq!(texts(&twice)[0]["error"]["code"], "wrong_state");
    let no = tell(&mut door, Tell::Moved { room: "attic".parse().unwrap(), result: Err(no(Code::Denied)) });
    assert_eq!(texts(&no), [json!({"re": 4, "error": {"code": "denied", "what": "no", "want": "yes"}})]);
    for (id, request) in
        [(9, r#"{"op":"answer","id":9,"proof":"p"}"#), (10, r#"{"op":"move","id":10,"room":"NO ROOM"}"#)]
    {
        let outputs = text(&mut door, request);
        assert!(asks(&outputs).is_empty() && closed(&outputs).is_none(), "{request}");
        assert_eq!(texts(&outputs)[0]["re"], id);
        assert!(texts(&outputs)[0]["error"]["code"].is_string());
    }
}

#[test]
fn nobody_is_in_the_lobby_without_a_hello_that_is_answered() {
    for first in [r#"{"op":"rooms","id":1}"#, "{{{", r#"{"op":"hello","id":1}"#] {
        let mut door = door();
        let outputs = text(&mut door, first);
        assert!(asks(&outputs).is_empty() && closed(&outputs).is_some(), "{first}");
    }
    let mut eager = door();
    text(&mut eager, HELLO);
    let outputs = text(&mut eager, r#"{"op":"rooms","id":2}"#);
    assert_eq!(closed(&outputs), Some(Code::WrongState));
    assert!(matches!(asks(&outputs)[..], [Ask::Leave { .. }]));
    let mut refused = door();
    text(&mut refused, HELLO);
    let outputs = tell(&mut refused, Tell::Refused(no(Code::NotAuthorised)));
    assert_eq!((closed(&outputs), asks(&outputs).len()), (Some(Code::NotAuthorised), 0));
    let mut silent = door();
    assert_eq!(closed(&turn(&mut silent, Input::Deadline, 5000)), Some(Code::Timeout));
    let mut large = door();
    assert_eq!(closed(&text(&mut large, &"x".repeat(16 * 1024 + 1))), Some(Code::TooLarge));
}

fn room() -> RoomName {
    "plant".parse().unwrap()
}

#[test]
fn errands_are_asked_one_at_a_time_and_answered_by_what_was_done() {
    let mut door = open();
    let create = r#"{"op":"create","id":2,"room":"plant","history":"log"}"#;
    let errand = Errand::CreateRoom { room: room(), kind: RoomKind::Bus, history: History::Log };
    assert_eq!(asks(&text(&mut door, create)), [&Ask::Run(Box::new(errand))]);
    let twice = text(&mut door, r#"{"op":"keys","id":3}"#);
    assert_eq!((asks(&twice).len(), &texts(&twice)[0]["error"]["code"]), (0, &json!("wrong_state")));
    let id = RoomId(uuid::Uuid::from_u128(5));
    let done = tell(&mut door, Tell::Finished(Ok(Finished::RoomCreated { room: room(), id })));
    assert_eq!(texts(&done), [json!({ "re": 2, "ok": { "room": "plant", "id": id } })]);
    let rights = vec![Right::Subscribe];
    let invite = Errand::Invite { name: "bob".parse().unwrap(), room: room(), rights };
    let asked = text(&mut door, r#"{"op":"invite","id":4,"name":"bob","room":"plant","as":"reader"}"#);
    assert_eq!(asks(&asked), [&Ask::Run(Box::new(invite))]);
    let no = tell(&mut door, Tell::Finished(Err(no(Code::Denied))));
    assert_eq!((&texts(&no)[0]["re"], &texts(&no)[0]["error"]["code"]), (&json!(4), &json!("denied")));
    for (said, errand) in [
        (
            r#"{"op":"role","id":10,"name":"*","room":"plant","role":"observer"}"#,
            Errand::SetRole { whom: Whom::Everyone, room: room(), role: Some(Role::Observer) },
        ),
        (r#"{"op":"keys","id":5}"#, Errand::Keys),
        (r#"{"op":"keys","id":6,"make":"token"}"#, Errand::MakeKey),
        (r#"{"op":"keys","id":7,"revoke":"ab"}"#, Errand::RevokeKey { fingerprint: "ab".to_owned() }),
    ] {
        assert_eq!(asks(&text(&mut door, said)), [&Ask::Run(Box::new(errand))], "{said}");
        let token = Secret(Bytes::from_static(b"t0ken"));
        let key = KeyInfo { kind: "token", fingerprint: "ab".to_owned() };
        let done = tell(&mut door, Tell::Finished(Ok(Finished::KeyMade { key, token })));
        assert_eq!(texts(&done)[0]["ok"]["token"], "t0ken");
    }
    for wrong in [
        r#"{"op":"create","id":8,"room":"NO ROOM"}"#,
        r#"{"op":"create","id":8,"room":"a","kind":"house"}"#,
        r#"{"op":"invite","id":8,"name":"bob","room":"plant","as":"owner"}"#,
        r#"{"op":"role","id":8,"name":"bob","room":"plant"}"#,
        r#"{"op":"role","id":8,"name":"bob","room":"plant","role":"king"}"#,
        r#"{"op":"keys","id":8,"make":"password"}"#,
        r#"{"op":"keys","id":8,"make":"token","revoke":"ab"}"#,
        r#"{"op":"keys","id":8,"value":"x"}"#,
    ] {
        let outputs = text(&mut door, wrong);
        assert!(asks(&outputs).is_empty() && texts(&outputs)[0]["error"]["want"].is_string(), "{wrong}");
    }
    let name: AccountName = "foo".parse().unwrap();
    for (said, errand) in [
        (
            r#"{"op":"admin","id":5,"token":"t"}"#,
            Errand::Operate { token: Some(Secret(Bytes::from_static(b"t"))) },
        ),
        (r#"{"op":"admin","id":5}"#, Errand::Operate { token: None }),
        (r#"{"op":"accounts","id":5}"#, Errand::Accounts),
        (
            r#"{"op":"create","id":5,"account":"foo"}"#,
            Errand::CreateAccount { name: name.clone(), user: None },
        ),
        (r#"{"op":"remove","id":5,"account":"foo"}"#, Errand::RemoveAccount { account: name.clone() }),
    ] {
        assert_eq!(asks(&text(&mut door, said)), [&Ask::Run(Box::new(errand))], "{said}");
        tell(&mut door, Tell::Finished(Ok(Finished::AccountRemoved { name: name.clone() })));
    }
    for wrong in [
        r#"{"op":"admin","id":5,"token":7}"#,
        r#"{"op":"create","id":5,"account":"foo","room":"plant"}"#,
        r#"{"op":"remove","id":5,"room":"plant"}"#,
    ] {
        assert!(asks(&text(&mut door, wrong)).is_empty(), "{wrong}");
    }
    let help = text(&mut door, r#"{"op":"help","id":9}"#);
    assert_eq!(texts(&help)[0]["ok"]["verbs"].as_array().unwrap().len(), client::VERBS.len());
}

#[test]
fn somebody_else_s_lobby_is_for_looking_around_whether_there_is_such_an_account_or_not() {
    let open = |of: &str| {
        let mut door = Lobby::new(None, Some(of.parse().unwrap()), false, TicketSeed([7; 32]), at(0));
        turn(&mut door, Input::Room(10_000), 0);
        let asked = text(&mut door, HELLO);
        let visit = Ask::Visit { lobby: of.parse().unwrap() };
        assert_eq!(asks(&asked)[0], &visit, "whose gate it is is said before who comes");
        assert!(matches!(asks(&asked)[1..], [Ask::Enter { .. }]));
        let outputs = tell(&mut door, entered("acme"));
        (door, texts(&outputs)[0]["ok"]["visits"].clone())
    };
    let (mut own, visits) = open("acme");
    assert_eq!((visits, asks(&text(&mut own, r#"{"op":"rooms","id":2}"#)).len()), (json!(null), 1));
    let personal: RoomName = "personal".parse().unwrap();
    assert_eq!(asks(&text(&mut own, r#"{"op":"enter","id":3}"#)), [&Ask::Move { room: personal }]);
    let (mut by_id, visits) = open(&uuid::Uuid::from_u128(7).to_string());
    assert_eq!((visits, asks(&text(&mut by_id, r#"{"op":"rooms","id":2}"#)).len()), (json!(null), 1));
    let (mut visitor, visits) = open("garden");
    assert_eq!(visits, "garden");
    for denied in [
        r#"{"op":"rooms","id":2}"#,
        r#"{"op":"enter","id":2}"#,
        r#"{"op":"move","id":2,"room":"plant"}"#,
        r#"{"op":"create","id":2,"room":"plant"}"#,
        r#"{"op":"invite","id":2,"name":"bob","room":"plant"}"#,
        r#"{"op":"keys","id":2}"#,
    ] {
        let outputs = text(&mut visitor, denied);
        assert_eq!(
            (asks(&outputs).len(), &texts(&outputs)[0]["error"]["code"]),
            (0, &json!("denied")),
            "{denied}"
        );
    }
    // What it may read and publish in the lobby's channels is not the door's to say.
    let subscribed = text(&mut visitor, r##"{"op":"subscribe","id":2,"sub":1,"channels":"#"}"##);
    assert!(matches!(asks(&subscribed)[..], [Ask::Subscribe { .. }]), "{subscribed:?}");
    let published = text(&mut visitor, r#"{"op":"publish","id":2,"channel":"a","data":1}"#);
    assert!(matches!(asks(&published)[..], [Ask::Publish(_)]), "{published:?}");
    for denied in [
        r#"{"op":"subscribe","id":2,"sub":2,"technical":"room"}"#,
        r#"{"op":"session","id":2}"#,
        r#"{"op":"presence","id":2}"#,
        r#"{"op":"ticket","id":2}"#,
    ] {
        let outputs = text(&mut visitor, denied);
        let answer = &texts(&outputs)[0];
        assert_eq!((asks(&outputs).len(), &answer["error"]["code"]), (0, &json!("denied")), "{denied}");
    }
    for allowed in [r#"{"op":"whoami","id":2}"#, r#"{"op":"help","id":2}"#, r#"{"op":"ping","id":2}"#] {
        assert!(texts(&text(&mut visitor, allowed))[0]["ok"].is_object(), "{allowed}");
    }
}

#[test]
fn channels_of_a_lobby_are_those_of_the_account_s_room_of_that_name() {
    let mut door = door();
    turn(&mut door, Input::Room(10_000), 0);
    let hello =
        r##"{"op":"hello","id":1,"credential":{"token":"t"},"subscriptions":[{"sub":9,"channels":"#"}]}"##;
    assert!(matches!(asks(&text(&mut door, hello))[..], [Ask::Enter { room: None, .. }]), "the main one");
    let outputs = tell(&mut door, entered("acme"));
    let lobby = |ask: &Ask| matches!(ask, Ask::Subscribe { want: Want::Room(room, _), .. } if *room == RoomName::lobby());
    assert!(matches!(asks(&outputs)[..], [ask] if lobby(ask)), "{outputs:?}");
    let hello = tell(&mut door, subscribed(9, 10));
    let said = &texts(&hello)[0]["ok"];
    assert_eq!((&said["room"], &said["subscriptions"][0]["complete"]), (&json!(null), &json!("full")));
    let published = text(&mut door, r#"{"op":"publish","id":2,"channel":"news","data":"x"}"#);
    let asked = asks(&published);
    let [Ask::Publish(intake)] = asked[..] else { panic!("{published:?}") };
    assert_eq!(intake.aliases, [(0, Target::Channel(RoomName::lobby(), "news".parse().unwrap()))]);
    tell(&mut door, stored(1, 20, vec![]));
    text(&mut door, r#"{"op":"move","id":3,"room":"plant"}"#);
    let moved = tell(&mut door, Tell::Moved { room: room(), result: Ok(()) });
    assert_eq!((&texts(&moved)[0]["ev"], &texts(&moved)[0]["sub"]), (&json!("end"), &json!(9)));
    assert_eq!(texts(&moved)[1]["ok"]["room"], "plant");
}

#[test]
fn nothing_is_said_after_the_close() {
    let mut left = open();
    turn(&mut left, Input::Gone("cut"), 0);
    let mut refused = door();
    text(&mut refused, r#"{"op":"rooms","id":1}"#);
    for mut closed in [left, refused] {
        for late in ["{{{", r#"{"op":"rooms","id":2}"#] {
            assert_eq!(text(&mut closed, late), [], "{late}");
        }
        assert_eq!(tell(&mut closed, Tell::Prompt(Prompt::Knocked)), []);
        assert_eq!(turn(&mut closed, Input::Bytes(Bytes::new()), 0), []);
    }
}
