//! Accounts that change while connections are open: who goes, who stays with which rights, and what is kept for whom.

use crate::world::*;
use bytes::Bytes;
use riser_gate::{
    AcceptorConfig, AccountConfig, GateConfig, PasswordHash, RoomConfig, TokenHash, UserConfig, Verdict,
    config::{GrantConfig, Rights, Role, Whom},
};
use riser_instance::Input;
use riser_model::{
    ConnectionId, History, Right, RoomId, RouteNumber,
    door::{Ask, Code, Credential, Intake, Push, Secret, SessionRequest, Target, Tell, TicketHash, Will},
};
use riser_wire::entry::{ContentType, Publication};
use sha2::{Digest, Sha256};

const BOSS: ConnectionId = ConnectionId(9);
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQx$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";
const OTHER: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQx$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTYx";

fn user<'a>(config: &'a mut AccountConfig, name: &str) -> &'a mut UserConfig {
    config.user.iter_mut().find(|user| user.name.as_str() == name).unwrap()
}

fn remove(config: &mut AccountConfig, name: &str) {
    config.user.retain(|user| user.name.as_str() != name);
    for room in &mut config.room {
        room.grant.retain(|grant| grant.to != Whom::Named(name.parse().unwrap()));
        room.ready.retain(|awaited| awaited.as_str() != name);
    }
}

fn token(text: &str) -> Credential {
    Credential::Token(Secret(Bytes::copy_from_slice(text.as_bytes())))
}

fn password() -> Credential {
    let account = Some("acme".parse().unwrap());
    Credential::Password { account, user: "guest".to_owned(), password: Secret("x".into()) }
}

/// The boss says something, and it is on disk.
fn publish(world: &mut World, ticket: u64, topic: &str) {
    let mut entries = Vec::new();
    let publication = Publication { qos: 1, ..Publication::new(ContentType::Octets, b"x") };
    publication.write_frame(&mut entries, RouteNumber(0), world.now.stamp());
    let aliases = vec![(0, Target::Topic(topic.to_owned()))];
    let entries = Bytes::from(entries);
    world.ask(BOSS, Ask::Publish(Intake { ticket, seen: ticket - 1, aliases, entries, count: 1 }));
    world.commit();
}

/// How many publications a connection gets when it pulls.
fn pulled(world: &mut World, connection: ConnectionId) -> usize {
    world.told(connection);
    world.ask(connection, Ask::Pull { bytes: 100_000, stands: false });
    let pushes = world.told(connection).into_iter().filter_map(|tell| match tell {
        Tell::Deliver { pushes, .. } => Some(pushes),
        _ => None,
    });
    pushes.flatten().filter(|push| matches!(push, Push::Publication(_))).count()
}

/// `guest` has two tokens, `first` and `second`, and a password; the boss is there.
fn world() -> World {
    let mut world = World::new();
    world.change(|config| {
        let guest = user(config, "guest");
        guest.tokens = vec![TokenHash::of(b"first"), TokenHash::of(b"second")];
        guest.password = Some(HASH.parse::<PasswordHash>().unwrap());
    });
    world.enter_as(BOSS, "boss", None);
    world
}

#[test]
fn an_account_s_other_gate_is_asked_of_who_is_inside() {
    let mut world = world();
    world.show(C1, token("first"), None);
    assert!(world.entered(C1));
    world.change(|config| config.gate = GateConfig(vec![AcceptorConfig::Token]));
    assert_eq!(world.refused(C1), None, "it has passed that");
    world.show(C2, token("second"), None);
    assert!(world.entered(C2));
    let any = vec![AcceptorConfig::Certificate, AcceptorConfig::Token];
    world.change(|config| config.gate = GateConfig(vec![AcceptorConfig::Any(any)]));
    assert_eq!((world.refused(C1), world.refused(C2)), (None, None));
    world.change(|config| config.gate = GateConfig(vec![AcceptorConfig::Token, AcceptorConfig::Knock]));
    for connection in [C1, C2] {
        assert_eq!(world.refused(connection), Some(Code::Timeout), "it may come back and knock");
    }
}

#[test]
fn gate_of_an_account_that_is_called_something_else_is_asked_of_who_came_by_its_former_name() {
    let mut world = World::new();
    for (connection, lobby) in [(C1, "acme"), (C2, "nobody")] {
        world.visit(connection, "acme/stranger", lobby);
        assert!(world.entered(connection));
    }
    world.change(|config| config.name = "nobody".parse().unwrap());
    assert_eq!([C1, C2].map(|connection| world.refused(connection)), [None; 2]);
    world.change(|config| config.gate = GateConfig(vec![AcceptorConfig::Knock]));
    assert_eq!(world.refused(C1), Some(Code::Timeout));
    assert_eq!(world.refused(C2), None, "it came to nobody, whoever has that name by now");
}

#[test]
fn who_is_removed_is_told_to_go_and_gets_nothing_that_waited_for_it() {
    let mut world = world();
    for (connection, session) in [(C1, None), (C2, Some(brief()))] {
        world.show(connection, token("first"), session);
        assert!(world.entered(connection));
        assert_eq!(subscribe(&mut world, connection, "hall/#"), Ok(()));
    }
    publish(&mut world, 1, "hall/a");
    assert_eq!(pulled(&mut world, C1), 1);
    publish(&mut world, 2, "hall/a");
    world.change(|config| remove(config, "guest"));
    for connection in [C1, C2] {
        assert_eq!(world.refused(connection), Some(Code::NotAuthorised));
        assert_eq!(pulled(&mut world, connection), 0, "what waited stays where it is");
    }
    assert_eq!(world.refused(BOSS), None, "others hear nothing of it");
    world.show(C1, token("first"), None);
    assert_eq!(world.refused(C1), Some(Code::NotAuthorised));
    world.open(C2);
    world.ask(C2, Ask::Enter { credential: Credential::Anonymous, session: None, room: None });
    assert_eq!(world.refused(C2), Some(Code::NotAuthorised), "the listener let it in by name");
}

#[test]
fn who_showed_what_was_revoked_goes_and_who_showed_something_else_stays() {
    let mut world = world();
    world.show(C1, token("first"), None);
    world.show(C2, token("second"), None);
    let by_password = ConnectionId(3);
    world.show(by_password, password(), None);
    let ticket = world.verifying.pop().unwrap();
    world.input(Input::Verified { connection: by_password, ticket, verdict: Verdict::Matches });
    // A ticket that the first one had made, shown and not shown.
    let (shown, kept) = (ConnectionId(4), "kept");
    for text in ["shown", kept] {
        world.ask(C1, Ask::Ticket { hash: TicketHash(Sha256::digest(text).into()) });
    }
    world.show(shown, Credential::Ticket(Secret("shown".into())), None);
    for connection in [C1, C2, by_password, shown] {
        assert!(world.entered(connection), "{connection}");
    }
    world.change(|config| user(config, "guest").tokens = vec![TokenHash::of(b"second")]);
    for connection in [C1, shown] {
        assert_eq!(world.refused(connection), Some(Code::NotAuthorised), "{connection}");
    }
    for connection in [C2, by_password] {
        assert_eq!(world.refused(connection), None, "{connection}");
    }
    let late = ConnectionId(5);
    world.show(late, Credential::Ticket(Secret(kept.into())), None);
    assert_eq!(world.refused(late), Some(Code::NotAuthorised), "its ticket is worth no more than it was");
    // Another password takes the place of the former one.
    world.change(|config| user(config, "guest").password = Some(OTHER.parse().unwrap()));
    assert_eq!(world.refused(by_password), Some(Code::NotAuthorised));
    assert_eq!(world.refused(C2), None);
}

#[test]
fn a_password_that_is_revoked_while_it_is_verified_lets_nobody_in() {
    for gone in [false, true] {
        let mut world = world();
        world.show(C1, password(), None);
        let ticket = world.verifying.pop().unwrap();
        world.change(|config| match gone {
            true => remove(config, "guest"),
            false => user(config, "guest").password = Some(OTHER.parse().unwrap()),
        });
        world.input(Input::Verified { connection: C1, ticket, verdict: Verdict::Matches });
        assert_eq!(world.refused(C1), Some(Code::NotAuthorised));
    }
}

#[test]
fn who_has_shown_nothing_yet_when_accounts_change_is_known_by_what_it_was_given_then() {
    let mut world = world();
    for connection in [C1, C2] {
        world.open(connection);
    }
    world.change(|config| user(config, "guest").tokens = vec![TokenHash::of(b"third")]);
    for (connection, shown) in [(C1, "third"), (C2, "first")] {
        world.ask(connection, Ask::Enter { credential: token(shown), session: None, room: None });
    }
    assert!(world.entered(C1));
    assert_eq!(world.refused(C2), Some(Code::NotAuthorised));
}

#[test]
fn rights_that_are_taken_hold_at_once_and_so_do_those_that_are_given() {
    let mut world = world();
    world.show(C1, token("first"), None);
    assert_eq!(subscribe(&mut world, C1, "hall/#"), Ok(()));
    publish(&mut world, 1, "hall/a");
    let grant = GrantConfig {
        to: Whom::Group("night".parse().unwrap()),
        right: Rights(vec![Right::Subscribe]),
        channels: "#".parse().unwrap(),
        deny: true,
    };
    world.change(|config| {
        config.grant.push(grant);
        user(config, "guest").groups = vec!["night".parse().unwrap()];
    });
    assert_eq!(world.refused(C1), None, "it stays, with fewer rights");
    assert_eq!(pulled(&mut world, C1), 0, "what waited was published when it might read it");
    assert_eq!(subscribe(&mut world, C1, "hall/a"), Err(Code::Denied));
    world.change(|config| user(config, "guest").groups.clear());
    assert_eq!(subscribe(&mut world, C1, "hall/a"), Ok(()));
    publish(&mut world, 2, "hall/a");
    assert!(pulled(&mut world, C1) > 0);
}

#[test]
fn rooms_are_there_as_soon_as_they_are_made_and_gone_as_soon_as_they_are_removed() {
    let mut world = world();
    world.show(C1, token("first"), None);
    assert_eq!(subscribe(&mut world, C1, "yard/#"), Err(Code::Denied));
    let yard = |config: &mut AccountConfig| {
        let to = Whom::Named("guest".parse().unwrap());
        let right = Rights(vec![Right::Subscribe]);
        let grant = GrantConfig { to, right, channels: "#".parse().unwrap(), deny: false };
        let room = RoomConfig::new("yard".parse().unwrap(), History::Log);
        config.room.push(RoomConfig { grant: vec![grant], ..room });
    };
    world.change(yard);
    assert_eq!(subscribe(&mut world, C1, "yard/#"), Ok(()));
    publish(&mut world, 1, "yard/a");
    assert_eq!(pulled(&mut world, C1), 1);
    publish(&mut world, 2, "yard/a");
    world.change(|config| drop(config.room.pop()));
    assert_eq!(pulled(&mut world, C1), 0, "nobody reads a room that is gone");
    assert_eq!(subscribe(&mut world, C1, "yard/#"), Err(Code::Denied));
}

/// Connections that are in the hall, each in another way: by its address, moved there, over MQTT.
fn in_the_hall(world: &mut World) -> [ConnectionId; 3] {
    let own = [11, 12, 13].map(ConnectionId);
    let [by_address, moved, mqtt] = own;
    let room = Some("hall".parse().unwrap());
    world.open(by_address);
    world.ask(by_address, Ask::Enter { credential: token("first"), session: None, room });
    world.show(moved, token("first"), None);
    world.ask(moved, Ask::Move { room: "hall".parse().unwrap() });
    world.show(mqtt, token("first"), Some(brief()));
    assert_eq!(subscribe(world, mqtt, "hall/#"), Ok(()));
    assert_eq!(subscribe(world, by_address, "hall/#"), Ok(()));
    own
}

fn hall(config: &mut AccountConfig, gate: Vec<AcceptorConfig>) {
    config.room[0].gate = GateConfig(gate);
}

#[test]
fn who_is_in_a_room_that_is_given_another_gate_is_told_so_and_comes_back_to_pass_it() {
    let mut world = world();
    let inside = in_the_hall(&mut world);
    let [elsewhere, lobby, mqtt] = [21, 22, 23].map(ConnectionId);
    world.enter(elsewhere, None, Some("cellar"));
    world.show(lobby, token("first"), None);
    world.show(mqtt, token("second"), Some(SessionRequest { id: "other".to_owned(), ..brief() }));
    assert_eq!(subscribe(&mut world, mqtt, "cellar/#"), Ok(()));
    world.change(|config| hall(config, vec![AcceptorConfig::Token]));
    for connection in inside {
        assert_eq!(world.refused(connection), None, "it has passed that: {connection}");
        assert_eq!(subscribe(&mut world, connection, "hall/a"), Ok(()), "and may what it might");
    }
    let any = AcceptorConfig::Any(vec![AcceptorConfig::Certificate, AcceptorConfig::Token]);
    world.change(|config| hall(config, vec![any]));
    world.change(|config| config.room[2].gate = GateConfig(vec![]));
    assert_eq!(inside.map(|connection| world.refused(connection)), [None; 3]);
    publish(&mut world, 1, "hall/a");
    world.change(|config| hall(config, vec![AcceptorConfig::Key]));
    for connection in inside {
        let told = world.told(connection);
        let why = told.iter().find_map(|tell| match tell {
            Tell::Refused(refusal) => Some(refusal),
            _ => None,
        });
        let why = why.unwrap_or_else(|| panic!("{connection} is told nothing"));
        assert_eq!((why.code, why.want.as_str()), (Code::Timeout, "come back and pass it"));
        assert!(why.what.contains("hall"), "{why:?}");
        assert_eq!(pulled(&mut world, connection), 0);
    }
    for other in [elsewhere, lobby, mqtt, BOSS] {
        assert_eq!(world.refused(other), None, "{other} is not there");
    }
    world.change(|config| hall(config, vec![]));
    assert_eq!(subscribe(&mut world, mqtt, "hall/#"), Ok(()));
}

#[test]
fn who_loses_its_rights_in_a_room_loses_its_seat_there() {
    for (n, gate) in [vec![AcceptorConfig::Seats(3)], vec![AcceptorConfig::Token, AcceptorConfig::Seats(3)]]
        .into_iter()
        .enumerate()
    {
        let mut world = world();
        world.change(|config| hall(config, gate));
        let inside = in_the_hall(&mut world);
        world.show(C1, token("first"), None);
        world.ask(C1, Ask::Move { room: "hall".parse().unwrap() });
        let full = world.told(C1);
        assert!(
            full.iter().any(
                |tell| matches!(tell, Tell::Moved { result: Err(why), .. } if why.code == Code::TooMany)
            )
        );
        let granted = std::cell::Cell::new(None);
        world.change(|config| granted.set(config.room[0].grant.pop()));
        for connection in inside {
            assert_eq!(subscribe(&mut world, connection, "hall/#"), Err(Code::Denied), "{n}");
        }
        // Somebody else's that has rights: the boss.
        let others = [31, 32, 33].map(ConnectionId);
        if n == 0 {
            for other in others {
                world.enter_as(other, "boss", Some("hall"));
                assert!(world.entered(other), "the seats are free");
            }
        }
        world.change(|config| config.room[0].grant.extend(granted.take()));
        let back = inside.map(|connection| subscribe(&mut world, connection, "hall/#").is_ok());
        assert_eq!(back, [n == 1; 3], "who has rights again has its seat again, if there is one");
    }
}

#[test]
fn who_stands_at_the_gate_of_a_room_that_gets_another_name_is_let_into_that_room() {
    for moves in [false, true] {
        let mut world = World::gated("['knock']", "");
        world.enter_as(BOSS, "boss", None);
        let account = world.account();
        let rename = |config: &mut AccountConfig| {
            config.room[0].id = Some(RoomId::of(account, "hall"));
            config.room[0].name = "saal".parse().unwrap();
        };
        let other_gate = |config: &mut AccountConfig| {
            config.room[0].name = "salle".parse().unwrap();
            hall(config, vec![AcceptorConfig::Knock, AcceptorConfig::Knock]);
        };
        let at = |world: &mut World, connection| {
            world.enter(connection, None, (!moves).then_some("hall"));
            if moves {
                world.ask(connection, Ask::Move { room: "hall".parse().unwrap() });
            }
        };
        at(&mut world, C1);
        at(&mut world, C2);
        world.change(rename);
        world.told(C1);
        world.ask(BOSS, Ask::Decide { connection: C1, room: None, admit: true });
        world.change(other_gate);
        world.told(C2);
        world.ask(BOSS, Ask::Decide { connection: C2, room: None, admit: true });
        world.ask(BOSS, Ask::Decide { connection: C2, room: None, admit: true });
        for (connection, name) in [(C1, "saal"), (C2, "salle")] {
            let told = world.told(connection);
            let into = told.iter().find_map(|tell| match tell {
                Tell::Entered { room, .. } => room.clone(),
                Tell::Moved { room, result: Ok(()) } => Some(room.clone()),
                _ => None,
            });
            assert_eq!(into.as_ref().map(|room| room.as_str()), Some(name), "{moves}: {told:?}");
        }
        assert_eq!(subscribe(&mut world, C2, "salle/#"), Ok(()));
    }
}

#[test]
fn who_stands_at_a_gate_that_changes_stands_at_the_new_one() {
    let mut world = World::gated("['knock']", "");
    world.enter(C1, None, Some("hall"));
    assert!(!world.entered(C1));
    world.change(|config| user(config, "stranger").role = Some(Role::Reader));
    assert!(!world.entered(C1) && world.refused(C1).is_none(), "others' rights are none of its business");
    world.change(|config| config.room[0].gate = GateConfig(vec![]));
    assert!(world.entered(C1), "there is no gate any more");
    world.enter(C2, None, Some("vault"));
    assert_eq!(world.refused(C2), Some(Code::Denied));
}

#[test]
fn whose_rights_are_taken_while_it_stands_at_a_gate_is_not_let_into_the_room() {
    for moves in [false, true] {
        let mut world = World::gated("['knock']", "");
        world.enter_as(BOSS, "boss", None);
        world.enter(C1, None, (!moves).then_some("hall"));
        if moves {
            world.ask(C1, Ask::Move { room: "hall".parse().unwrap() });
        }
        let grant = GrantConfig {
            to: Whom::Everyone,
            right: Rights(vec![Right::Subscribe, Right::Publish, Right::Admin]),
            channels: "#".parse().unwrap(),
            deny: true,
        };
        let named = GrantConfig { to: Whom::Named("guest".parse().unwrap()), ..grant };
        world.change(|config| config.room[0].grant.push(named));
        world.told(C1);
        world.ask(BOSS, Ask::Decide { connection: C1, room: None, admit: true });
        let told = world.told(C1);
        match moves {
            false => {
                assert!(matches!(&told[..], [Tell::Refused(why)] if why.code == Code::Denied), "{told:?}")
            }
            true => assert!(
                matches!(&told[..], [Tell::Moved { result: Err(why), .. }] if why.code == Code::Denied),
                "{told:?}"
            ),
        }
    }
}

#[test]
fn sessions_and_wills_of_who_is_removed_end_with_it() {
    let will = Will {
        target: Target::Topic("hall/state".to_owned()),
        retain: false,
        qos: 1,
        content_type: String::new(),
        properties: Default::default(),
        payload: b"gone".as_slice().into(),
        delay_s: 5,
    };
    for connected in [true, false] {
        let mut world = world();
        let request = SessionRequest { will: Some(will.clone()), ..session() };
        world.show(C1, token("first"), Some(request));
        world.commit();
        assert!(world.entered(C1));
        assert_eq!(world.instance.sessions(), 1);
        if !connected {
            world.input(Input::Closed { connection: C1 });
            world.commit();
        }
        world.change(|config| remove(config, "guest"));
        world.commit();
        world.wait(20);
        assert_eq!(world.instance.sessions(), 0, "connected: {connected}");
        let said = world.published.iter().filter(|(channel, _)| channel == "state").count();
        assert_eq!(said, 0, "nobody speaks for who is gone");
    }
}
