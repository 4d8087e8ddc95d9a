//! The door for people, against a scripted bus.

use super::*;
use crate::door::script::*;
use bytes::Bytes;
use riser_model::{
    History, Right, Role, RoomKind, SessionId,
    door::{Errand, KeyInfo, Target},
};
use riser_wire::entry::ContentType;

fn lines(outputs: &[Output]) -> Vec<&str> {
    let line = |output: &'_ Output| match output {
        Output::Text(text) => Some(text.len()),
        Output::Texts(_) | Output::Bytes(_) | Output::Ask(_) | Output::Close(_) | Output::Done => None,
    };
    let texts = outputs.iter().filter(|output| line(output).is_some());
    texts.map(|output| if let Output::Text(text) = output { text.as_str() } else { "" }).collect()
}

fn entering() -> Tty {
    let mut door = Tty::new(None, None);
    let enter = Ask::Enter { credential: Credential::Person, session: None, room: None };
    assert_eq!(door.poll(), Some(Output::Ask(enter)));
    door
}

fn lobby() -> Tty {
    let mut door = entering();
    turn(&mut door, Input::Room(10_000), 0);
    let outputs = tell(&mut door, entered("acme"));
    assert!(lines(&outputs)[0].starts_with("welcome, acme/ann."));
    assert_eq!(asks(&outputs), [&hears("lobby")]);
    assert!(tell(&mut door, not_subscribed(0, Code::Denied)).is_empty(), "nobody expects anything of it");
    door
}

fn hears(room: &str) -> Ask {
    Ask::Subscribe {
        subscription: SUBSCRIPTION,
        want: Want::Room(room.parse().unwrap(), Filter::all()),
        from: From::Live,
        flow: Flow::Conflate,
        keep: None,
        retained: Showing::Nothing,
    }
}

fn hall() -> Tty {
    let mut door = lobby();
    let room: RoomName = "hall".parse().unwrap();
    assert_eq!(asks(&text(&mut door, "connect to room hall")), [&Ask::Move { room: room.clone() }]);
    let outputs = tell(&mut door, Tell::Moved { room, result: Ok(()) });
    assert!(matches!(asks(&outputs)[..], [Ask::Subscribe { flow: Flow::Conflate, .. }]));
    door
}

#[test]
fn what_the_gate_says_is_shown_and_what_the_person_types_is_the_answer() {
    let mut door = entering();
    let said = tell(&mut door, Tell::Prompt(Prompt::Words("name: ".into())));
    assert_eq!(lines(&said), ["name: "]);
    let answered = text(&mut door, "acme/ann\r\n");
    assert_eq!(asks(&answered), [&Ask::Answer(Secret(Bytes::from_static(b"acme/ann")))]);
    let words = tell(&mut door, Tell::Prompt(Prompt::Words("!! incorrect".into())));
    let refused = tell(&mut door, Tell::Refused(no(Code::NotAuthorised)));
    assert_eq!(
        (lines(&words), lines(&refused), closed(&refused)),
        (vec!["!! incorrect"], vec![], Some(Code::NotAuthorised))
    );
    assert!(asks(&refused).is_empty() && text(&mut door, "help").is_empty(), "dropped");
}

#[test]
fn what_is_typed_ahead_of_a_question_answers_nothing() {
    let mut door = entering();
    assert!(text(&mut door, "early").is_empty());
    tell(&mut door, Tell::Prompt(Prompt::Words("name: ".into())));
    assert_eq!(asks(&text(&mut door, "ann")), [&Ask::Answer(Secret(Bytes::from_static(b"ann")))]);
    assert!(text(&mut door, "password").is_empty(), "nobody has asked for it yet");
    tell(&mut door, Tell::Prompt(Prompt::Knocked));
    assert!(text(&mut door, "hello?").is_empty());
    tell(&mut door, Tell::Prompt(Prompt::Words("password: ".into())));
    assert_eq!(asks(&text(&mut door, "p")), [&Ask::Answer(Secret(Bytes::from_static(b"p")))]);
    turn(&mut door, Input::Room(10_000), 0);
    tell(&mut door, entered("acme"));
    text(&mut door, "connect to room hall");
    assert!(asks(&text(&mut door, "early")).is_empty(), "the room's gate has asked nothing");
}

#[test]
fn lobby_knows_its_verbs_and_no_others() {
    let mut door = lobby();
    assert!(lines(&text(&mut door, "help"))[0].contains("connect to room"));
    assert!(
        lines(&text(&mut door, "whoami"))[0]
            .contains("acme/ann (00000000-0000-0000-0000-000000000008), in the lobby")
    );
    assert_eq!(asks(&text(&mut door, "rooms")), [&Ask::Rooms]);
    let rooms = vec![RoomInfo {
        name: "hall".parse().unwrap(),
        gated: true,
        members: 3,
        kind: RoomKind::Bus,
        absent: None,
    }];
    assert_eq!(lines(&tell(&mut door, Tell::Rooms(rooms))), ["hall (3 here, behind a gate)\r\n> "]);
    for wrong in
        ["drop tables", "help me", "say a", "connect", "connect to room NOWHERE", "leave", "rooms of"]
    {
        let outputs = text(&mut door, wrong);
        assert!(lines(&outputs)[0].starts_with("!! ") && asks(&outputs).is_empty(), "{wrong}");
    }
    let bye = text(&mut door, "quit");
    assert_eq!((lines(&bye), bye.last()), (vec!["goodbye"], Some(&Output::Done)));
}

#[test]
fn person_in_a_room_says_and_hears_what_the_room_lets_it() {
    let mut door = hall();
    let said = text(&mut door, "say a/b hello there");
    let Ask::Publish(intake) = asks(&said)[0] else { panic!("{said:?}") };
    assert_eq!((intake.ticket, intake.count), (1, 1));
    let refused = tell(&mut door, stored(1, 1, vec![(0, no(Code::Denied))]));
    assert!(lines(&refused)[0].starts_with("!! no"));
    tell(&mut door, Tell::Ready);
    let plant = tell(&mut door, deliver(vec![publication(0, 1, 2, ContentType::Text, b"from elsewhere")]));
    assert!(lines(&plant).is_empty(), "of a room that it has left");
    let moved = Tell::Moved { room: "plant".parse().unwrap(), result: Ok(()) };
    text(&mut door, "connect to plant");
    tell(&mut door, moved);
    let heard = tell(&mut door, deliver(vec![publication(0, 1, 2, ContentType::Text, b"hi \x1b[2J")]));
    assert_eq!(lines(&heard), ["a/b: hi .[2J"], "nothing is a command to the terminal");
    let next = text(&mut door, "say a/b again");
    let Ask::Publish(intake) = asks(&next)[0] else { panic!("{next:?}") };
    assert_eq!((intake.ticket, intake.aliases.len()), (2, 1), "tickets go on, channels are the new room's");
    let left = text(&mut door, "leave");
    assert_eq!(asks(&left), [&Ask::Part, &hears("lobby")]);
    let said = text(&mut door, "say news x");
    let Ask::Publish(intake) = asks(&said)[0] else { panic!("{said:?}") };
    assert!(matches!(&intake.aliases[..], [(0, Target::Channel(room, _))] if *room == RoomName::lobby()));
}

#[test]
fn person_hears_that_a_session_ended_of_which_something_was_shown() {
    let wiped = |n| Push::Wiped {
        subscription: SUBSCRIPTION,
        session: SessionId { epoch: riser_model::Epoch(1), connection: riser_model::ConnectionId(n) },
    };
    let mut door = hall();
    tell(&mut door, Tell::Ready);
    assert_eq!(lines(&tell(&mut door, deliver(vec![wiped(1)]))), [WIPED]);
}

#[test]
fn gate_of_a_room_is_answered_in_the_lobby_and_a_no_leaves_one_there() {
    let mut door = lobby();
    text(&mut door, "connect to room hall");
    let asked = Tell::Prompt(Prompt::Challenge { method: Method::Key, nonce: "n".into() });
    assert_eq!(lines(&tell(&mut door, asked)), ["sign ed25519 n\r\nanswer: "]);
    assert_eq!(asks(&text(&mut door, "rooms")), [&Ask::Answer(Secret(Bytes::from_static(b"rooms")))]);
    let room = "hall".parse().unwrap();
    let moved = tell(&mut door, Tell::Moved { room, result: Err(no(Code::Denied)) });
    assert!(lines(&moved)[0].starts_with("!! no"));
    assert_eq!(asks(&text(&mut door, "rooms")), [&Ask::Rooms]);
}

#[test]
fn neither_bytes_nor_endless_lines_are_taken() {
    assert_eq!(closed(&turn(&mut lobby(), Input::Bytes(Bytes::from_static(b"x")), 0)), Some(Code::Malformed));
    assert_eq!(closed(&text(&mut lobby(), &"x".repeat(LINE_BYTES_MAX + 1))), Some(Code::TooLarge));
}

#[test]
fn person_has_errands_done_in_plain_words() {
    let mut door = lobby();
    let room: RoomName = "plant".parse().unwrap();
    let bob = || "bob".parse().unwrap();
    let both = vec![Right::Publish, Right::Subscribe];
    for (said, errand) in [
        (
            "create room plant",
            Errand::CreateRoom { room: room.clone(), kind: RoomKind::Bus, history: History::None },
        ),
        (
            "create room plant board",
            Errand::CreateRoom { room: room.clone(), kind: RoomKind::Board, history: History::Log },
        ),
        (
            "create room plant history session",
            Errand::CreateRoom { room: room.clone(), kind: RoomKind::Bus, history: History::Session },
        ),
        ("invite bob to plant", Errand::Invite { name: bob(), room: room.clone(), rights: both }),
        (
            "invite bob to room plant as writer",
            Errand::Invite { name: bob(), room: room.clone(), rights: vec![Right::Publish] },
        ),
        (
            "role @ops in room plant admin",
            Errand::SetRole { whom: "@ops".parse().unwrap(), room: room.clone(), role: Some(Role::Admin) },
        ),
        (
            "role bob in plant none",
            Errand::SetRole { whom: "bob".parse().unwrap(), room: room.clone(), role: None },
        ),
        ("keys", Errand::Keys),
        ("keys make", Errand::MakeKey),
        ("keys revoke 0123456789abcdef", Errand::RevokeKey { fingerprint: "0123456789abcdef".to_owned() }),
    ] {
        assert_eq!(asks(&text(&mut door, said)), [&Ask::Run(Box::new(errand))], "{said}");
        assert_eq!(lines(&text(&mut door, "keys")), ["!! one at a time\r\n> "]);
        let done = tell(&mut door, Tell::Finished(Err(no(Code::Denied))));
        assert_eq!(lines(&done), ["!! no; want yes\r\n> "]);
    }
    for wrong in [
        "create plant",
        "create room",
        "create room a b",
        "invite bob",
        "invite bob to plant as owner",
        "role bob in plant",
        "role bob in plant king",
        "role bob plant owner",
        "keys x",
    ] {
        let outputs = text(&mut door, wrong);
        assert!(asks(&outputs).is_empty() && lines(&outputs)[0].starts_with("!! "), "{wrong}");
    }
    text(&mut door, "keys");
    let key = KeyInfo { kind: "token", fingerprint: "ab".to_owned() };
    let keys = tell(&mut door, Tell::Finished(Ok(Finished::Keys(vec![key.clone()]))));
    assert_eq!(lines(&keys), ["ab token\r\n> "]);
    text(&mut door, "keys make");
    let token = Secret(Bytes::from_static(b"t0ken"));
    let made = tell(&mut door, Tell::Finished(Ok(Finished::KeyMade { key, token })));
    assert!(lines(&made)[0].contains("not shown again: t0ken"));
    assert!(lines(&text(&mut door, "help"))[0].contains("invite <name> to <room>"));
}

#[test]
fn operator_s_token_is_awaited_for_half_a_minute_and_what_comes_later_is_a_command() {
    let mut door = lobby();
    assert_eq!(door.poll_timeout(), None);
    text(&mut door, "move to admin lobby");
    // It was said a millisecond after the beginning.
    assert_eq!(door.poll_timeout(), Some(at(30_001).time), "it is not awaited for ever");
    assert!(turn(&mut door, Input::Deadline, 30_000).is_empty());
    let told = turn(&mut door, Input::Deadline, 30_001);
    assert_eq!(lines(&told), ["\r\n!! no token in time\r\n> "]);
    assert_eq!(door.poll_timeout(), None);
    assert_eq!(asks(&text(&mut door, "rooms")), [&Ask::Rooms]);
    // Who typed it has no deadline any more.
    text(&mut door, "move to admin lobby");
    text(&mut door, "t0ken");
    assert_eq!(door.poll_timeout(), None);
}

#[test]
fn person_goes_into_the_admin_lobby_by_a_token_that_is_no_command() {
    let mut door = lobby();
    assert_eq!(lines(&text(&mut door, "move to admin lobby")), ["the operator's token: "]);
    assert!(asks(&text(&mut door, "")).is_empty(), "nothing is nothing");
    assert_eq!(asks(&text(&mut door, "rooms")), [&Ask::Rooms]);
    text(&mut door, "move to admin lobby");
    let operate = Errand::Operate { token: Some(Secret(Bytes::from_static(b"rooms"))) };
    assert_eq!(asks(&text(&mut door, "rooms")), [&Ask::Run(Box::new(operate))]);
    tell(&mut door, Tell::Finished(Err(no(Code::NotAuthorised))));
    let by_name = Errand::Operate { token: None };
    assert_eq!(asks(&text(&mut door, "move to admin lobby by name")), [&Ask::Run(Box::new(by_name))]);
    let told = tell(&mut door, Tell::Finished(Ok(Finished::Operates)));
    assert_eq!(lines(&told), ["you are in the admin lobby\r\n> "]);
    assert!(lines(&text(&mut door, "whoami"))[0].contains("in the admin lobby"));
    let name: AccountName = "foo".parse().unwrap();
    for (said, errand) in [
        ("accounts", Errand::Accounts),
        ("create account foo", Errand::CreateAccount { name: name.clone(), user: None }),
        (
            "create account foo user bar",
            Errand::CreateAccount { name: name.clone(), user: Some("bar".parse().unwrap()) },
        ),
        ("remove account foo", Errand::RemoveAccount { account: name.clone() }),
    ] {
        assert_eq!(asks(&text(&mut door, said)), [&Ask::Run(Box::new(errand))], "{said}");
        tell(&mut door, Tell::Finished(Err(no(Code::Denied))));
    }
    for wrong in ["create account", "create account foo bar", "remove foo", "accounts foo", "move to lobby"] {
        let outputs = text(&mut door, wrong);
        assert!(asks(&outputs).is_empty() && lines(&outputs)[0].starts_with("!! "), "{wrong}");
    }
    text(&mut door, "connect to room hall");
    tell(&mut door, Tell::Moved { room: "hall".parse().unwrap(), result: Ok(()) });
    text(&mut door, "leave");
    assert!(lines(&text(&mut door, "whoami"))[0].contains("in the lobby"));
}

#[test]
fn person_in_somebody_else_s_lobby_may_look_around() {
    let mut door = Tty::new(None, Some("garden".parse().unwrap()));
    let asked = turn(&mut door, Input::Room(10_000), 0);
    assert!(matches!(asks(&asked)[..], [Ask::Visit { .. }, Ask::Enter { .. }]), "{asked:?}");
    let outputs = tell(&mut door, entered("acme"));
    assert!(lines(&outputs)[0].contains("you are in the lobby of garden"));
    assert_eq!(asks(&outputs), [&hears("lobby")], "what it may hear there is not the door's to say");
    assert!(matches!(asks(&text(&mut door, "say a b"))[..], [Ask::Publish(_)]));
    for denied in
        ["rooms", "connect to room plant", "enter", "create room a", "invite bob to a", "keys", "leave", "x"]
    {
        let outputs = text(&mut door, denied);
        assert!(asks(&outputs).is_empty() && lines(&outputs)[0].contains("visitor"), "{denied}");
    }
    assert!(lines(&text(&mut door, "whoami"))[0].contains("in the lobby of garden, as a visitor"));
}
