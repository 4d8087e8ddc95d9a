//! Gates of accounts and rooms: who passes which, and what is denied until then.

use crate::world::*;
use riser_gate::{Stand, Verdict, acceptor::Kind};
use riser_instance::Input;
use riser_model::{
    ConnectionId, Deed,
    door::{Ask, Code, Credential, Method, Prompt, Secret, Tell},
};

fn answer(world: &mut World, connection: ConnectionId, verdict: Verdict) {
    world.ask(connection, Ask::Answer(Secret("A".repeat(86).into())));
    let ticket = world.verifying.pop().expect("an answer is verified");
    world.input(Input::Verified { connection, ticket, verdict });
}

#[test]
fn room_with_a_gate_is_entered_by_its_dance() {
    for verdict in [Verdict::Matches, Verdict::Differs] {
        let mut world = World::gated("['key']", "");
        world.enter(C1, None, Some("hall"));
        assert!(matches!(prompt(&mut world, C1), Prompt::Challenge { method: Method::Key, .. }));
        assert_eq!(world.instance.state_of(C1), Some(Stand::Hears(Kind::Key)));
        answer(&mut world, C1, verdict);
        let told = world.told(C1);
        match verdict {
            Verdict::Matches => assert!(matches!(&told[..], [Tell::Entered { .. }]), "{told:?}"),
            _ => assert!(matches!(&told[..], [Tell::Refused(why)] if why.code == Code::NotAuthorised)),
        }
    }
}

#[test]
fn mqtt_is_let_into_rooms_that_ask_nothing_more_than_connect_brought() {
    let brief = |id: &str| riser_model::door::SessionRequest {
        id: id.to_owned(),
        clean: true,
        expiry_s: 0,
        ..session()
    };
    let mut open = World::gated("[{ seats = 1 }]", "");
    open.enter(C1, Some(brief("one")), None);
    assert!(open.entered(C1));
    assert_eq!(subscribe(&mut open, C1, "hall/#"), Ok(()));
    open.enter(C2, Some(brief("two")), None);
    open.told(C2);
    assert_eq!(subscribe(&mut open, C2, "hall/#"), Err(Code::Denied), "the one seat is taken");
    assert_eq!(subscribe(&mut open, C2, "hall/x"), Err(Code::Denied));
    assert_eq!(subscribe(&mut open, C2, "cellar/#"), Ok(()), "a room without a gate");
    open.input(Input::Closed { connection: C1 });
    open.input(Input::Closed { connection: C2 });
    open.enter(C2, Some(brief("two")), None);
    open.told(C2);
    assert_eq!(subscribe(&mut open, C2, "hall/#"), Ok(()), "it is free again");

    let mut closed = World::gated("['key']", "");
    closed.enter(C1, Some(brief("one")), None);
    assert!(closed.entered(C1), "the others are open to it");
    assert_eq!(
        subscribe(&mut closed, C1, "hall/#"),
        Err(Code::Denied),
        "nobody can ask it in the middle of MQTT"
    );
    assert_eq!(subscribe(&mut closed, C1, "+/#"), Ok(()));
    let joined = closed.instance.bus().statistics().rooms;
    assert!(
        joined.iter().all(|room| room.name.as_str() != "hall" || room.subscribers == 0),
        "nor by a wildcard"
    );
}

#[test]
fn lobby_shows_rooms_and_takes_no_seat_in_them() {
    let mut world = World::gated("[{ seats = 1 }]", "");
    world.enter(C1, None, None);
    world.told(C1);
    world.ask(C1, Ask::Rooms);
    let told = world.told(C1);
    let [Tell::Rooms(rooms)] = &told[..] else { panic!("{told:?}") };
    let rooms: Vec<_> = rooms.iter().map(|room| (room.name.as_str(), room.gated)).collect();
    assert_eq!(rooms, [("cellar", false), ("hall", true)], "and not the vault");
    assert_eq!(subscribe(&mut world, C1, "hall/#"), Err(Code::Denied), "it is in the lobby");
    world.enter(C2, None, Some("hall"));
    assert!(world.entered(C2));
    world.ask(C1, Ask::Move { room: "hall".parse().unwrap() });
    let told = world.told(C1);
    assert!(
        matches!(&told[..], [Tell::Moved { result: Err(why), .. }] if why.code == Code::TooMany),
        "{told:?}"
    );
}

#[test]
fn seat_is_free_when_it_is_taken_and_not_only_when_it_was_looked_for() {
    for moving in [false, true] {
        let mut world = World::gated("[{ seats = 1 }, 'knock']", "");
        let knockers = [11, 12, 13].map(ConnectionId);
        world.enter_as(C2, "boss", Some("cellar"));
        for knocker in knockers {
            world.enter(knocker, None, (!moving).then_some("hall"));
            if moving {
                world.ask(knocker, Ask::Move { room: "hall".parse().unwrap() });
            }
            assert_eq!(prompt(&mut world, knocker), Prompt::Knocked);
        }
        for knocker in knockers {
            world.ask(C2, Ask::Decide { connection: knocker, room: None, admit: true });
        }
        let is_in = |world: &mut World, knocker| match moving {
            false => world.entered(knocker),
            true => matches!(&world.told(knocker)[..], [Tell::Moved { result: Ok(()), .. }]),
        };
        assert_eq!(knockers.map(|knocker| is_in(&mut world, knocker)), [true, false, false], "{moving}");
        world.input(Input::Closed { connection: knockers[0] });
        world.enter(C1, None, Some("hall"));
        assert_eq!(prompt(&mut world, C1), Prompt::Knocked, "it is free again");
    }
}

#[test]
fn who_may_do_nothing_in_a_room_takes_no_seat_there() {
    let mut world = World::gated("[{ seats = 1 }]", "");
    world.enter_with(C2, "stranger", Some(session()), None);
    world.commit();
    assert!(world.entered(C2));
    world.enter(C1, None, Some("hall"));
    assert!(world.entered(C1));
}

#[test]
fn answer_that_no_gate_awaits_any_more_is_nobody_s() {
    let mut world = World::gated("[]", "");
    world.enter(C1, None, Some("hall"));
    assert!(world.entered(C1));
    world.ask(C1, Ask::Answer(Secret("too late".into())));
    assert_eq!(world.told(C1), []);
    assert_eq!(subscribe(&mut world, C1, "hall/#"), Ok(()));
}

#[test]
fn only_so_many_people_stand_at_the_gate_at_once_and_places_are_free_again() {
    let mut world = World::gated("[]", "");
    let most = riser_gate::persons::PERSONS_OF_ADDRESS_MAX as u64;
    let come = |world: &mut World, n: u64, credential: Credential| {
        let connection = ConnectionId(n);
        world.open_from(connection, "198.51.100.7");
        world.ask(connection, Ask::Enter { credential, session: None, room: None });
        world.refused(connection)
    };
    for n in 0..most {
        assert_eq!(come(&mut world, 100 + n, Credential::Person), None);
    }
    assert_eq!(come(&mut world, 99, Credential::Person), Some(Code::TooMany));
    let token = Credential::Token(Secret("nope".into()));
    assert_eq!(come(&mut world, 98, token), Some(Code::NotAuthorised), "programs are not persons");
    world.input(Input::Closed { connection: ConnectionId(100) });
    assert_eq!(come(&mut world, 97, Credential::Person), None);
    world.wait(16);
    for n in 0..most {
        assert_eq!(
            come(&mut world, 200 + n, Credential::Person),
            None,
            "who is silent goes, and is no offender"
        );
    }
}

#[test]
fn repeated_offender_is_known_across_connections_for_a_while() {
    for address in ["198.51.100.7", "127.0.0.1"] {
        known_for_a_while(address);
    }
}

fn known_for_a_while(address: &str) {
    let mut world = World::gated("[]", "");
    let come = |world: &mut World, n: u64| {
        let connection = ConnectionId(n);
        world.open_from(connection, address);
        let credential = Credential::Person;
        world.ask(connection, Ask::Enter { credential, session: None, room: None });
        let told = world.told(connection);
        let [Tell::Prompt(Prompt::Words(words)), rest @ ..] = &told[..] else { panic!("{told:?}") };
        let asked = words.starts_with("command: ttymode");
        assert_eq!(rest.len(), usize::from(!asked), "{told:?}");
        if asked {
            world.ask(connection, Ask::Answer(Secret("acme/guest".into())));
            world.ask(connection, Ask::Answer(Secret("wrong".into())));
            let ticket = world.verifying.pop().unwrap();
            world.input(Input::Verified { connection, ticket, verdict: Verdict::Differs });
            assert_eq!(world.refused(connection), Some(Code::NotAuthorised));
        }
        world.input(Input::Closed { connection });
        asked
    };
    assert!(come(&mut world, 11) && come(&mut world, 12));
    assert!(!come(&mut world, 13) && !come(&mut world, 14), "it is known");
    world.wait(11 * 60);
    assert!(come(&mut world, 15), "and forgotten");
}

#[test]
fn account_s_gate_stands_before_every_room() {
    let mut world = World::gated("[]", "['secret']");
    for room in [None, Some("cellar")] {
        world.enter(C1, None, room);
        assert!(matches!(prompt(&mut world, C1), Prompt::Challenge { method: Method::Secret, .. }));
        assert_eq!(world.told(C1), []);
        world.input(Input::Closed { connection: C1 });
    }
    world.enter(C1, None, None);
    answer(&mut world, C1, Verdict::Matches);
    assert!(world.entered(C1));
}

#[test]
fn move_runs_the_other_room_s_gate_anew_and_leaves_the_one_behind() {
    let mut world = World::gated("['key']", "");
    let go = |room: &str| Ask::Move { room: room.parse().unwrap() };
    let mut refused = Vec::new();
    world.enter(C1, None, None);
    world.told(C1);
    for verdict in [Verdict::Differs, Verdict::Matches] {
        world.ask(C1, go("hall"));
        prompt(&mut world, C1);
        answer(&mut world, C1, verdict);
        let told = world.told(C1);
        let [Tell::Moved { result, .. }] = &told[..] else { panic!("{told:?}") };
        assert_eq!(result.is_ok(), verdict == Verdict::Matches, "it stays where it is unless it passes");
        assert_eq!(subscribe(&mut world, C1, "hall/#").is_ok(), verdict == Verdict::Matches);
        refused.extend(result.clone().err());
    }
    world.ask(C1, go("cellar"));
    world.told(C1);
    assert_eq!(subscribe(&mut world, C1, "hall/#"), Err(Code::Denied), "it has left the hall");
    for nowhere in ["attic", "vault"] {
        world.ask(C1, go(nowhere));
        let told = world.told(C1);
        let [Tell::Moved { result: Err(why), .. }] = &told[..] else { panic!("{told:?}") };
        refused.push(why.clone());
    }
    assert_eq!(refused.len(), 3);
    let why = &refused[0];
    assert!(why.code == Code::Denied && refused.iter().all(|other| other == why), "{refused:?}");
}

#[test]
fn lobby_asks_for_the_gate_of_the_account_that_its_address_names() {
    // Of one's own account, by name and UUID, as the main one.
    for own in ["acme", "00000000-0000-0000-0000-000000000001"] {
        let mut world = World::gated("[]", "['knock']");
        world.visit(C1, "acme/stranger", own);
        assert_eq!(prompt(&mut world, C1), Prompt::Knocked, "{own}");
    }
    // Of an account that is not: what its own account asks nobody asks.
    let mut world = World::gated("[]", "['knock']");
    world.visit(C1, "acme/stranger", "nobody");
    assert!(world.entered(C1));
    // Of another one: that one's gate, whose admins decide and have it in their log.
    let mut world = World::new().beside("garden", "['key or knock']");
    world.visit(C1, "acme/stranger", "garden");
    assert_eq!(prompt(&mut world, C1), Prompt::Knocked);
    let [boss, eve] = [7, 8].map(ConnectionId);
    let decide = Ask::Decide { connection: C1, room: None, admit: true };
    world.enter_as(boss, "boss", Some("cellar"));
    world.told(boss);
    world.ask(boss, decide.clone());
    assert!(
        matches!(&world.told(boss)[..], [Tell::Decided { result: Err(why), .. }] if why.code == Code::Denied),
        "its own account's admins have no say there"
    );
    // Nor from elsewhere, and who administers the other one sees who stands there.
    let [acme, garden] = [1, 2].map(|id| riser_model::AccountId(uuid::Uuid::from_u128(id)));
    let now = world.now;
    assert!(!world.instance.decide_for((acme, None), (C1, None), true, "boss", now));
    let seen = |world: &World, account| {
        let all = world.instance.connections_of(account);
        all.into_iter().find(|one| one.connection == C1).map(|one| (one.account, one.knocks))
    };
    assert_eq!(seen(&world, acme), Some((None, false)));
    assert_eq!(seen(&world, garden), Some((Some("acme".parse().unwrap()), true)));
    world.visit(eve, "garden/eve", "garden");
    prompt(&mut world, eve);
    answer(&mut world, eve, Verdict::Matches);
    assert!(world.entered(eve));
    world.ask(eve, decide);
    assert!(matches!(&world.told(eve)[..], [Tell::Decided { result: Ok(()), .. }]));
    assert!(world.entered(C1));
    let admitted = world.audited.iter().find(|one| one.deed == Deed::Admitted).unwrap();
    assert_eq!(admitted.account, Some(riser_model::AccountId(uuid::Uuid::from_u128(2))));
    // Inside it is seen there still, and may be closed; that is written down there.
    let acme_name = Some("acme".parse().unwrap());
    assert_eq!(seen(&world, garden), Some((acme_name, false)));
    let now = world.now;
    assert!(!world.instance.send_away(riser_model::AccountId(uuid::Uuid::nil()), C1, "eve", now));
    assert!(world.instance.send_away(garden, C1, "garden/eve", now));
    world.input(Input::Deadline);
    let closed = world.audited.last().unwrap();
    assert_eq!((closed.deed, closed.account), (Deed::Revoked, Some(garden)));
    assert!(closed.why.ends_with("(a visitor from acme)"), "{closed:?}");
    assert_eq!(world.refused(C1), Some(Code::Timeout));
}

#[test]
fn visitor_is_in_no_room_whatever_it_asked_for_and_nobody_visits_by_what_a_listener_lends() {
    let mut world = World::new().beside("garden", "");
    let lobby = || Some("lobby".parse().unwrap());
    let visit = |lobby: &str| Ask::Visit { lobby: lobby.parse().unwrap() };
    let token = |name: &str| Credential::Token(Secret(name.to_owned().into()));
    for host in ["garden", "nobody"] {
        world.open(C1);
        world.ask(C1, visit(host));
        world.ask(C1, Ask::Enter { credential: token("acme/guest"), session: None, room: lobby() });
        let told = world.told(C1);
        assert!(matches!(&told[..], [Tell::Entered { room: None, .. }]), "{host}: {told:?}");
        assert_eq!(subscribe(&mut world, C1, "lobby/#"), Err(Code::Denied), "{host} lets it do nothing");
        world.input(Input::Closed { connection: C1 });

        world.open(C2);
        world.ask(C2, visit(host));
        let credential = Credential::Anonymous;
        world.ask(C2, Ask::Enter { credential, session: None, room: lobby() });
        assert_eq!(world.refused(C2), Some(Code::Denied), "{host}");
        world.input(Input::Closed { connection: C2 });
    }
    // Of one's own account it is a room like any other.
    world.open(C1);
    world.ask(C1, visit("acme"));
    world.ask(C1, Ask::Enter { credential: token("acme/guest"), session: None, room: lobby() });
    assert_eq!(world.refused(C1), Some(Code::Denied), "it may do nothing in it");
}

#[test]
fn who_administers_its_own_account_hears_of_a_visitor_that_is_not_let_in_and_nobody_else_does() {
    let mut world = World::new().beside("garden", "").speaking();
    world.limit(1);
    let [boss, eve] = [7, 8].map(ConnectionId);
    for (connection, name, account) in [(boss, "acme/boss", "acme"), (eve, "garden/eve", "garden")] {
        world.visit(connection, name, account);
        assert!(world.entered(connection), "{name}");
        world.listens(connection);
    }
    world.visit(C1, "acme/guest", "acme");
    assert!(world.entered(C1));
    world.visit(C2, "acme/guest", "garden");
    assert_eq!(world.refused(C2), Some(Code::TooMany), "it is in already");
    let [own, host] = [boss, eve].map(|admin| world.heard(admin));
    assert!(own.contains("riser.refused") && own.contains("too_many"), "{own}");
    assert!(!host.contains("riser.refused"), "{host}");
}

#[test]
fn late_verdict_of_a_former_gate_opens_no_other() {
    let mut world = World::gated("['key']", "");
    world.enter(C1, None, None);
    world.ask(C1, Ask::Move { room: "hall".parse().unwrap() });
    world.ask(C1, Ask::Answer(Secret("A".repeat(86).into())));
    let former = world.verifying.pop().unwrap();
    world.wait(60);
    world.ask(C1, Ask::Move { room: "hall".parse().unwrap() });
    world.ask(C1, Ask::Answer(Secret("A".repeat(86).into())));
    world.told(C1);
    world.input(Input::Verified { connection: C1, ticket: former, verdict: Verdict::Matches });
    assert_eq!(world.told(C1), []);
}

#[test]
fn who_came_by_a_token_goes_when_it_expires() {
    let mut world = World::gated("[]", "");
    let credential = of_issuer(&world, 30);
    world.open(C1);
    world.ask(C1, Ask::Enter { credential, session: None, room: None });
    let ticket = world.verifying.pop().unwrap();
    world.input(Input::Verified { connection: C1, ticket, verdict: Verdict::Matches });
    assert!(world.entered(C1));
    world.wait(89);
    assert_eq!(world.refused(C1), None, "a minute is between clocks");
    world.wait(2);
    assert_eq!(world.refused(C1), Some(Code::NotAuthorised));
}

#[test]
fn who_closes_a_connection_is_written_down() {
    let mut world = World::new();
    world.enter(C1, None, Some("cellar"));
    assert!(world.entered(C1));
    let (account, now) = (world.account(), world.now);
    assert!(!world.instance.send_away(riser_model::AccountId(uuid::Uuid::nil()), C1, "eve", now));
    assert!(world.instance.send_away(account, C1, "acme/boss", now));
    world.input(Input::Deadline);
    let closed = world.audited.last().unwrap();
    assert!(closed.deed == Deed::Revoked && closed.why.ends_with(": acme/boss"), "{closed:?}");
    assert_eq!(world.refused(C1), Some(Code::Timeout), "it may come back");
}

#[test]
fn captured_signed_password_opens_nothing_a_second_time() {
    let mut world = World::gated("['key']", "");
    let now_s = world.now.wall.0 / 1000;
    let signature = "A".repeat(86);
    let password = |nonce: &str| Secret(format!("riser2.{now_s}.{nonce}.{signature}").into());
    let mut come = |n: u64, nonce: &str| {
        let connection = ConnectionId(n);
        world.open_from(connection, "127.0.0.1");
        let (account, user) = (Some("acme".parse().unwrap()), "guest".to_owned());
        let credential = Credential::Password { account, user, password: password(nonce) };
        let session =
            Some(Box::new(riser_model::door::SessionRequest { clean: true, expiry_s: 0, ..session() }));
        world.ask(connection, Ask::Enter { credential, session, room: None });
        let ticket = world.verifying.pop().unwrap();
        world.input(Input::Verified { connection, ticket, verdict: Verdict::Matches });
        // Whether it came before this process began.
        if let Some(ticket) = world.verifying.pop() {
            let verdict = if nonce.starts_with("earlier") { Verdict::Differs } else { Verdict::Matches };
            world.input(Input::Verified { connection, ticket, verdict });
        }
        world.commit();
        let entered = world.entered(connection);
        let hall = entered && subscribe(&mut world, connection, "hall/#").is_ok();
        world.input(Input::Closed { connection });
        (entered, hall)
    };
    assert_eq!(come(21, "0123456789abcdef"), (true, true), "MQTT 3.1.1 enters a room that wants a key");
    assert_eq!(come(22, "0123456789abcdef"), (false, false), "a replay");
    assert_eq!(come(23, "0123456789abcdeg"), (true, true));
    assert_eq!(come(24, "earlier-89abcdef"), (false, false), "one of before");
}

#[test]
fn who_goes_out_of_a_room_gives_its_seat_back_and_may_do_nothing_there() {
    let mut world = World::gated("[{ seats = 1 }]", "");
    let hall = || Ask::Move { room: "hall".parse().unwrap() };
    let moved = |world: &mut World, connection| {
        let told = world.told(connection);
        told.iter().any(|tell| matches!(tell, Tell::Moved { result: Ok(()), .. }))
    };
    for one in [C1, C2] {
        world.enter(one, None, None);
        world.told(one);
    }
    world.ask(C1, hall());
    assert!(moved(&mut world, C1));
    assert_eq!(subscribe(&mut world, C1, "hall/x"), Ok(()));
    world.ask(C2, hall());
    assert!(!moved(&mut world, C2), "the room is full");
    world.ask(C1, Ask::Unsubscribe { subscription: SUB });
    world.ask(C1, Ask::Part);
    world.told(C1);
    world.ask(C2, hall());
    assert!(moved(&mut world, C2));
    assert_eq!(subscribe(&mut world, C1, "hall/x"), Err(Code::Denied));
    world.ask(C1, hall());
    assert!(!moved(&mut world, C1), "the room is full");
}

#[test]
fn who_moved_on_is_in_the_former_room_no_more() {
    let mut world = World::gated("[{ seats = 1 }]", "");
    world.enter(C1, None, None);
    world.told(C1);
    world.ask(C1, Ask::Move { room: "hall".parse().unwrap() });
    assert_eq!(subscribe(&mut world, C1, "hall/x"), Ok(()));
    world.ask(C1, Ask::Move { room: "cellar".parse().unwrap() });
    assert_eq!(subscribe(&mut world, C1, "cellar/x"), Ok(()), "in place of the other");
    world.told(C1);
    world.change(|config| config.room[0].gate = gate("['key']"));
    assert_eq!(world.refused(C1), None, "the hall's new gate is nothing to it");
    assert_eq!(subscribe(&mut world, C1, "cellar/x"), Ok(()));
}
