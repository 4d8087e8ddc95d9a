//! The raw door against a scripted bus.

use super::*;
use crate::door::script::*;
use riser_model::{
    RoomName,
    door::{Credential, Secret, Showing, Target},
};

fn token() -> Credential {
    Credential::Token(Secret(Bytes::from_static(b"t")))
}

fn entering() -> Raw {
    let mut door = Raw::new(place(token(), false), "a/b".parse().unwrap(), None);
    assert_eq!(
        door.poll(),
        Some(Output::Ask(Ask::Enter { credential: token(), session: None, room: plant() }))
    );
    door
}

fn open() -> Raw {
    let mut door = entering();
    turn(&mut door, Input::Room(1000), 0);
    tell(&mut door, entered("acme"));
    tell(&mut door, subscribed(0, 10));
    door
}

#[test]
fn it_enters_at_once_and_conflates_its_channel() {
    let mut door = entering();
    let want = Want::Room("plant".parse().unwrap(), "a/b".parse().unwrap());
    let subscribe = Ask::Subscribe {
        subscription: SUBSCRIPTION,
        want,
        from: From::Live,
        flow: Flow::Conflate,
        keep: None,
        retained: Showing::Nothing,
    };
    assert_eq!(asks(&tell(&mut door, entered("acme"))), [&subscribe]);
}

#[test]
fn nobody_without_a_credential_comes_in() {
    let mut door = Raw::new(place(Credential::Anonymous, false), "a".parse().unwrap(), None);
    let outputs = turn(&mut door, Input::Room(1), 0);
    assert_eq!((closed(&outputs), asks(&outputs).len()), (Some(Code::NotAuthorised), 0));
    let mut door = Raw::new(place(Credential::Anonymous, true), "a".parse().unwrap(), None);
    assert!(matches!(door.poll(), Some(Output::Ask(Ask::Enter { .. }))));
}

#[test]
fn what_comes_in_is_published_byte_for_byte_in_order_even_before_it_is_let_in() {
    let mut door = entering();
    assert!(text(&mut door, "hé").is_empty());
    assert!(turn(&mut door, Input::Bytes(Bytes::from_static(b"\x00\xff")), 0).is_empty());
    let outputs = tell(&mut door, entered("acme"));
    let asked = asks(&outputs);
    assert_eq!(entries(asked[1]), [(0, 0, "text/plain".into(), "hé".into(), None)]);
    assert_eq!(entries(asked[2]), [(0, 0, "application/octet-stream".into(), vec![0, 255], None)]);
    let Ask::Publish(intake) = asked[1] else { panic!("not a publish") };
    assert_eq!(intake.aliases, [(0, Target::Channel("plant".parse().unwrap(), "a/b".parse().unwrap()))]);
}

#[test]
fn what_is_held_for_a_stranger_is_bounded() {
    let mut bytes = entering();
    assert!(turn(&mut bytes, Input::Bytes(vec![0; 16 * 1024].into()), 0).is_empty());
    assert_eq!(closed(&text(&mut bytes, "x")), Some(Code::TooLarge));
    let mut count = entering();
    for _ in 0..HELD_MAX {
        assert!(text(&mut count, "").is_empty());
    }
    assert_eq!(closed(&text(&mut count, "")), Some(Code::TooLarge));
}

#[test]
fn who_is_challenged_answers_with_its_next_message() {
    let mut door = entering();
    let method = riser_model::door::Method::Key;
    let asked = tell(&mut door, Tell::Prompt(Prompt::Challenge { method, nonce: "n".into() }));
    assert_eq!(asked, [Output::Text("challenge ed25519 n".into())]);
    let answered = text(&mut door, "proof");
    assert_eq!(asks(&answered), [&Ask::Answer(Secret(Bytes::from_static(b"proof")))]);
    assert!(text(&mut door, "21.5").is_empty(), "what comes then is to be published");
    let outputs = tell(&mut door, entered("acme"));
    assert!(matches!(asks(&outputs)[..], [Ask::Subscribe { .. }, Ask::Publish(_)]), "{outputs:?}");
}

#[test]
fn a_refusal_closes_with_its_reason() {
    let mut door = open();
    assert_eq!(asks(&text(&mut door, "x")).len(), 1);
    assert!(tell(&mut door, stored(1, 1, vec![])).is_empty(), "there are no receipts");
    text(&mut door, "x");
    let outputs = tell(&mut door, stored(2, 2, vec![(0, no(Code::QuotaExceeded))]));
    assert_eq!(closed(&outputs), Some(Code::QuotaExceeded));
    assert_eq!(asks(&outputs), [&Ask::Leave { cause: "quota_exceeded".into(), expiry_s: None }]);

    let mut large = open();
    assert_eq!(closed(&text(&mut large, &"x".repeat(256 * 1024 + 1))), Some(Code::TooLarge));

    let mut stranger = entering();
    let outputs = tell(&mut stranger, Tell::Refused(no(Code::NotAuthorised)));
    assert_eq!((closed(&outputs), asks(&outputs).len()), (Some(Code::NotAuthorised), 0));
    let mut other = entering();
    assert_eq!(closed(&tell(&mut other, entered("other"))), Some(Code::Denied));
}

#[test]
fn what_is_published_goes_out_as_it_came_in() {
    let mut door = open();
    assert_eq!(asks(&tell(&mut door, Tell::Ready)), [&Ask::Pull { bytes: 1000, stands: false }]);
    let pushes = vec![
        publication(0, 10, 11, ContentType::Text, "hé".as_bytes()),
        publication(0, 11, 12, ContentType::Octets, b"text"),
        publication(0, 12, 13, ContentType::Json, b"{}"),
        publication(0, 13, 0, ContentType::Text, b"\xff"),
        gap(0, 14, 15),
        through(0, 16),
    ];
    let outputs = tell(&mut door, deliver(pushes));
    let told = [
        Output::Text("hé".into()),
        Output::Bytes(Bytes::from_static(b"text")),
        Output::Text("{}".into()),
        Output::Bytes(Bytes::from_static(b"\xff")),
    ];
    assert_eq!(outputs, told);
    assert_eq!(asks(&tell(&mut door, Tell::Ready)), [&Ask::Pull { bytes: 1000 - 10, stands: false }]);
}

#[test]
fn a_peer_that_may_only_publish_stays_and_one_that_may_neither_is_told() {
    let mut silent = open();
    tell(&mut silent, not_subscribed(0, Code::Denied));
    assert_eq!(silent.poll_timeout(), Some(at(5001).time));
    assert!(turn(&mut silent, Input::Deadline, 5000).is_empty());
    assert_eq!(closed(&turn(&mut silent, Input::Deadline, 5001)), Some(Code::Denied));

    let mut publisher = open();
    tell(&mut publisher, not_subscribed(0, Code::Denied));
    text(&mut publisher, "x");
    assert_eq!(publisher.poll_timeout(), None);
    assert!(turn(&mut publisher, Input::Deadline, 9000).is_empty());
}

#[test]
fn a_peer_that_is_gone_leaves_once() {
    let mut door = open();
    let leave = Ask::Leave { cause: "peer_closed".into(), expiry_s: None };
    assert_eq!(turn(&mut door, Input::Gone("peer_closed"), 2), [Output::Ask(leave)]);
    assert!(turn(&mut door, Input::Gone("peer_closed"), 2).is_empty());
    assert!(text(&mut door, "x").is_empty());
}

#[test]
fn in_a_lobby_whoever_is_of_another_account_visits_and_the_bus_says_what_it_may() {
    let lobby = || Place { room: RoomName::lobby(), ..place(token(), false) };
    for (account, is_in_lobby) in [("acme", true), ("other", true), ("other", false)] {
        let channel = "a/b".parse().unwrap();
        let mut door = match is_in_lobby {
            true => Raw::in_lobby(lobby(), channel, None),
            false => Raw::new(lobby(), channel, None),
        };
        let visit = Output::Ask(Ask::Visit { lobby: "acme".parse().unwrap() });
        let enter = Ask::Enter { credential: token(), session: None, room: Some(RoomName::lobby()) };
        let asked: Vec<Output> = std::iter::from_fn(|| door.poll()).collect();
        let visits = is_in_lobby.then_some(visit);
        assert_eq!(asked, visits.into_iter().chain([Output::Ask(enter)]).collect::<Vec<_>>());
        let outputs = tell(&mut door, entered(account));
        let listens = asks(&outputs).iter().any(|ask| match ask {
            Ask::Subscribe { want: Want::Room(room, _), .. } => *room == RoomName::lobby(),
            _ => false,
        });
        assert_eq!((listens, closed(&outputs).is_none()), (is_in_lobby, is_in_lobby), "{account}");
    }
    // Who shows nothing where nothing is lent asks for nothing.
    let nothing = Place { room: RoomName::lobby(), ..place(Credential::Anonymous, false) };
    let mut door = Raw::in_lobby(nothing, "a".parse().unwrap(), None);
    assert!(matches!(door.poll(), Some(Output::Close(_))));
}

/// At the address of a client; one's own is 8.
fn at_address(of: u128) -> (Raw, Vec<Output>) {
    let of = ClientId(uuid::Uuid::from_u128(of));
    let mut door = Raw::new(place(token(), false), "a/b".parse().unwrap(), Some(of));
    turn(&mut door, Input::Room(1000), 0);
    let outputs = tell(&mut door, entered("acme"));
    (door, outputs)
}

#[test]
fn at_ones_own_address_one_publishes_as_oneself_and_reads_nothing() {
    let (mut door, outputs) = at_address(8);
    assert!(asks(&outputs).is_empty(), "{outputs:?}");
    let outputs = text(&mut door, "x");
    assert_eq!(entries(asks(&outputs)[0])[0].3, b"x");
}

#[test]
fn at_anothers_address_one_reads_what_that_client_publishes_and_publishes_nothing() {
    let (mut door, outputs) = at_address(9);
    assert!(matches!(asks(&outputs)[..], [Ask::Subscribe { flow: Flow::Credit, .. }]), "{outputs:?}");
    tell(&mut door, subscribed(0, 10));
    assert!(tell(&mut door, deliver(vec![msg(0, 10, 11)])).is_empty(), "that was published by client 8");
    let outputs = text(&mut door, "x");
    assert_eq!((closed(&outputs), asks(&outputs).len()), (Some(Code::Denied), 1), "it only leaves");

    let (mut door, _) = at_address(9);
    let outputs = tell(&mut door, not_subscribed(0, Code::Denied));
    assert_eq!(closed(&outputs), Some(Code::Denied), "there is nothing else to do there");
}
