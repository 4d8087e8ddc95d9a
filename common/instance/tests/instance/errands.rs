//! Errands of those who stand in lobbies: who may have which done, and that everybody hears of its own.

use crate::world::*;
use riser_gate::{TokenHash, Verdict};
use riser_instance::Input;
use riser_model::{
    ConnectionId, History, Right, Role, RoomId, RoomKind, Whom,
    door::{Ask, Code, Credential, Errand, Finished, Secret, Tell},
};

const C3: ConnectionId = ConnectionId(3);
const C4: ConnectionId = ConnectionId(4);

fn create() -> Errand {
    Errand::CreateRoom { room: "plant".parse().unwrap(), kind: RoomKind::Bus, history: History::Log }
}

fn invite(room: &str) -> Errand {
    let rights = vec![Right::Subscribe];
    Errand::Invite { name: "stranger".parse().unwrap(), room: room.parse().unwrap(), rights }
}

fn role(room: &str) -> Errand {
    Errand::SetRole { whom: Whom::Everyone, room: room.parse().unwrap(), role: Some(Role::Owner) }
}

fn revoke() -> Errand {
    Errand::RevokeKey { fingerprint: "0123456789abcdef".to_owned() }
}

/// Everybody has a token of its own name, and `stranger` looks after the vault, and nothing else.
fn world() -> World {
    let mut world = World::gated("[]", "");
    world.change(|config| {
        for user in &mut config.user {
            user.tokens = vec![TokenHash::of(user.name.as_str().as_bytes())];
        }
        config.room[1].roles.insert(Whom::Named("stranger".parse().unwrap()), Role::Owner);
    });
    for (connection, name) in [(C1, "guest"), (C2, "boss"), (C3, "stranger")] {
        world.open(connection);
        let credential = Credential::Token(Secret(name.into()));
        world.ask(connection, Ask::Enter { credential, session: None, room: None });
        assert!(world.entered(connection), "{name}");
    }
    // The listener lends `guest` to those who show nothing.
    world.enter(C4, None, None);
    assert!(world.entered(C4));
    world
}

fn answer(world: &mut World, connection: ConnectionId) -> Option<Result<Finished, Code>> {
    world.told(connection).into_iter().find_map(|tell| match tell {
        Tell::Finished(result) => Some(result.map_err(|why| why.code)),
        _ => None,
    })
}

#[test]
fn each_errand_is_for_those_whose_rights_say_so_and_for_nobody_else() {
    let rows = [
        (create(), [false, true, false, false]),
        (invite("hall"), [false, true, false, false]),
        (invite("vault"), [false, true, true, false]),
        (invite("nowhere"), [false; 4]),
        (role("hall"), [false, true, false, false]),
        (role("vault"), [false, true, true, false]),
        (role("nowhere"), [false; 4]),
        (Errand::Keys, [true, true, true, false]),
        (Errand::MakeKey, [true, true, true, false]),
        (revoke(), [true, true, true, false]),
    ];
    for (errand, may) in rows {
        for (connection, may) in [C1, C2, C3, C4].into_iter().zip(may) {
            let mut world = world();
            world.ask(connection, Ask::Run(Box::new(errand.clone())));
            assert_eq!(world.running.len(), usize::from(may), "{errand:?} of {connection:?}");
            let denied = (!may).then_some(Err(Code::Denied));
            assert_eq!(answer(&mut world, connection), denied, "{errand:?} of {connection:?}");
        }
    }
}

#[test]
fn admin_lobby_is_for_who_was_let_in_there_until_it_goes_into_a_room() {
    let operate = || Errand::Operate { token: Some(Secret("t".into())) };
    let found = || Errand::CreateAccount { name: "foo".parse().unwrap(), user: None };
    let remove = || Errand::RemoveAccount { account: "foo".parse().unwrap() };
    let mut world = world();
    // Whoever administers an account does not operate the instance.
    for (connection, errand) in [(C2, Errand::Accounts), (C2, found()), (C2, remove()), (C4, operate())] {
        world.ask(connection, Ask::Run(Box::new(errand)));
        assert_eq!(answer(&mut world, connection), Some(Err(Code::Denied)));
    }
    world.ask(C1, Ask::Run(Box::new(operate())));
    let refused =
        riser_model::door::Refusal { code: Code::NotAuthorised, what: "x".into(), want: "y".into() };
    world.input(Input::Ran { connection: C1, result: Err(refused) });
    answer(&mut world, C1);
    world.ask(C1, Ask::Run(Box::new(found())));
    assert_eq!(answer(&mut world, C1), Some(Err(Code::Denied)), "it was not let in");

    // Who went into a room meanwhile has it no more, back in the lobby neither.
    world.ask(C1, Ask::Run(Box::new(operate())));
    world.ask(C1, Ask::Move { room: "hall".parse().unwrap() });
    world.ask(C1, Ask::Part);
    world.input(Input::Ran { connection: C1, result: Ok(Finished::Operates) });
    answer(&mut world, C1);
    world.ask(C1, Ask::Run(Box::new(found())));
    assert_eq!(answer(&mut world, C1), Some(Err(Code::Denied)), "it was in a room");

    world.ask(C1, Ask::Run(Box::new(operate())));
    world.input(Input::Ran { connection: C1, result: Ok(Finished::Operates) });
    answer(&mut world, C1);
    let before = world.running.len();
    world.ask(C1, Ask::Run(Box::new(found())));
    assert_eq!(world.running.len(), before + 1);
    world.input(Input::Ran { connection: C1, result: Ok(Finished::Keys(Vec::new())) });
    answer(&mut world, C1);
    world.ask(C3, Ask::Run(Box::new(found())));
    assert_eq!(answer(&mut world, C3), Some(Err(Code::Denied)), "nobody else is");

    world.ask(C1, Ask::Move { room: "hall".parse().unwrap() });
    world.told(C1);
    for (errand, code) in [(found(), Code::Denied), (operate(), Code::WrongState)] {
        world.ask(C1, Ask::Run(Box::new(errand)));
        assert_eq!(answer(&mut world, C1), Some(Err(code)), "it is in a room");
    }
    world.ask(C1, Ask::Part);
    world.ask(C1, Ask::Run(Box::new(found())));
    assert_eq!(answer(&mut world, C1), Some(Err(Code::Denied)), "and then in the other lobby");
}

#[test]
fn who_is_vouched_for_elsewhere_makes_no_key_and_operates_by_no_name() {
    let mut world = world();
    let c5 = ConnectionId(5);
    let part = |text: String| base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, text);
    let exp = world.now.wall.0 / 1000 + 30;
    let claims = format!(r#"{{"iss":"sso","aud":"riser","sub":"guest","exp":{exp}}}"#);
    let token = format!("{}.{}.{}", part(r#"{"alg":"EdDSA"}"#.into()), part(claims), part("x".into()));
    world.open(c5);
    let credential = Credential::Token(Secret(token.into()));
    world.ask(c5, Ask::Enter { credential, session: None, room: None });
    let ticket = world.verifying.pop().unwrap();
    world.input(Input::Verified { connection: c5, ticket, verdict: Verdict::Matches });
    assert!(world.entered(c5));
    let by_name = || Errand::Operate { token: None };
    for errand in [Errand::MakeKey, by_name()] {
        world.ask(c5, Ask::Run(Box::new(errand)));
        assert_eq!(answer(&mut world, c5), Some(Err(Code::Denied)));
    }
    assert_eq!(world.running.len(), 0);
    // The same user by a token of its own, and the operator's token by whatever.
    for (connection, errand) in [(C1, by_name()), (c5, Errand::Operate { token: Some(Secret("t".into())) })] {
        world.ask(connection, Ask::Run(Box::new(errand)));
        assert_eq!(answer(&mut world, connection), None);
    }
    assert_eq!(world.running.len(), 2, "the hub looks whether that is so");
}

#[test]
fn one_errand_at_a_time_is_answered_to_whoever_asked() {
    let mut world = world();
    world.ask(C2, Ask::Run(Box::new(create())));
    world.ask(C2, Ask::Run(Box::new(Errand::Keys)));
    assert_eq!(answer(&mut world, C2), Some(Err(Code::WrongState)));
    assert_eq!(world.running.len(), 1);
    assert_eq!(world.running[0].1.by.name.as_str(), "boss");
    let made = || Finished::RoomCreated { room: "plant".parse().unwrap(), id: RoomId(uuid::Uuid::nil()) };
    // An answer that nobody waits for is nobody's.
    world.input(Input::Ran { connection: C3, result: Ok(made()) });
    assert_eq!(answer(&mut world, C3), None);
    world.input(Input::Ran { connection: C2, result: Ok(made()) });
    assert_eq!(answer(&mut world, C2), Some(Ok(made())));
    world.ask(C2, Ask::Run(Box::new(Errand::Keys)));
    assert_eq!(world.running.len(), 2);
    world.input(Input::Closed { connection: C2 });
    world.input(Input::Ran { connection: C2, result: Ok(Finished::Keys(Vec::new())) });
    assert_eq!(answer(&mut world, C2), None);
}
