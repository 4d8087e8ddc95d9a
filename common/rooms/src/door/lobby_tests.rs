//! The lobby for programs, against a scripted bus.

use super::*;
use crate::door::script::*;
use bytes::Bytes;
use riser_model::door::{Method, Prompt, Secret};
use serde_json::json;

const HELLO: &str = r#"{"op":"hello","id":1,"credential":{"user":"acme/ann","password":"x"}}"#;

fn door() -> Lobby {
    Lobby::new(None, false, TicketSeed([7; 32]), at(0))
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
    let kind = riser_model::RoomKind::Board;
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
    assert_eq!(texts(&text(&mut door, r#"{"op":"rooms","id":6}"#))[0]["error"]["code"], "wrong_state");
}

#[test]
fn gate_that_says_no_leaves_the_program_in_the_lobby() {
    let mut door = open();
    text(&mut door, r#"{"op":"move","id":4,"room":"attic"}"#);
    let twice = text(&mut door, r#"{"op":"move","id":5,"room":"plant"}"#);
    assert_eq!(texts(&twice)[0]["error"]["code"], "wrong_state");
    let no = tell(&mut door, Tell::Moved { room: "attic".parse().unwrap(), result: Err(no(Code::Denied)) });
    assert_eq!(texts(&no), [json!({"re": 4, "error": {"code": "denied", "what": "no", "want": "yes"}})]);
    for (id, request) in [
        (7, r##"{"op":"subscribe","id":7,"sub":1,"channels":"#"}"##),
        (8, r#"{"op":"publish","id":8,"channel":"a","data":1}"#),
        (9, r#"{"op":"answer","id":9,"proof":"p"}"#),
        (10, r#"{"op":"move","id":10,"room":"NO ROOM"}"#),
    ] {
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
