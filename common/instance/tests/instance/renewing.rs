//! Who is in says anew who it is, and works on meanwhile.

use crate::world::*;
use riser_gate::{
    TokenHash, Verdict,
    acceptor::{Acceptor, schedule::Schedule},
};
use riser_instance::Input;
use riser_model::{
    ConnectionId, Deed, Right,
    door::{Ask, Code, Credential, Errand, Finished, Method, Prompt, Secret, Tell},
};

fn token(text: &str) -> Credential {
    Credential::Token(Secret(text.to_owned().into()))
}

fn key() -> Credential {
    let account = Some("acme".parse().unwrap());
    Credential::Claim { account, name: "guest".to_owned(), method: Method::Key }
}

/// With gates, where guest and boss have tokens of their own names.
fn world(hall: &str, account: &str) -> World {
    let mut world = World::gated(hall, account).speaking();
    world.change(|config| {
        for user in &mut config.user {
            user.tokens = vec![TokenHash::of(user.name.as_str().as_bytes())];
        }
    });
    world
}

fn verified(world: &mut World, connection: ConnectionId, verdict: Verdict) {
    let ticket = world.verifying.pop().expect("a proof is verified");
    world.input(Input::Verified { connection, ticket, verdict });
}

fn answered(world: &mut World, connection: ConnectionId, verdict: Verdict) {
    world.ask(connection, Ask::Answer(Secret("A".repeat(86).into())));
    verified(world, connection, verdict);
}

/// Whether it is told that it is who it says.
fn renewed(world: &mut World, connection: ConnectionId) -> bool {
    world.told(connection).iter().any(|tell| matches!(tell, Tell::Renewed { .. }))
}

/// In by this, in a room.
fn come(world: &mut World, connection: ConnectionId, credential: Credential, room: Option<&str>) {
    world.open(connection);
    let room = room.map(|room| room.parse().unwrap());
    world.ask(connection, Ask::Enter { credential, session: None, room });
}

#[test]
fn who_says_anew_who_it_is_stays_beyond_the_end_of_what_it_came_by() {
    let mut world = world("[]", "");
    let first = of_issuer(&world, 30);
    come(&mut world, C1, first, Some("hall"));
    verified(&mut world, C1, Verdict::Matches);
    assert!(world.entered(C1));
    world.wait(60);
    let second = of_issuer(&world, 100);
    world.ask(C1, Ask::Renew(second));
    assert!(may_read(&mut world, C1, "hall/#"), "it works on while that is verified");
    verified(&mut world, C1, Verdict::Matches);
    assert!(renewed(&mut world, C1));
    world.wait(155);
    assert_eq!(world.refused(C1), None, "the first token has ended long ago");
    world.wait(10);
    assert_eq!(world.refused(C1), Some(Code::NotAuthorised), "the second has ended too");

    // By another kind of its own, which does not end; and the other way round.
    let mut world = self::world("[]", "");
    let (first, end) = (of_issuer(&world, 30), of_issuer(&world, 30));
    come(&mut world, C1, first, Some("hall"));
    verified(&mut world, C1, Verdict::Matches);
    come(&mut world, C2, token("guest"), Some("hall"));
    world.ask(C1, Ask::Renew(token("guest")));
    world.ask(C2, Ask::Renew(end));
    verified(&mut world, C2, Verdict::Matches);
    assert!(renewed(&mut world, C1) && renewed(&mut world, C2));
    world.wait(120);
    assert_eq!((world.refused(C1), world.refused(C2)), (None, Some(Code::NotAuthorised)));
}

#[test]
fn revoking_what_it_came_by_closes_nobody_who_has_shown_something_else_since() {
    for renews in [false, true] {
        let mut world = world("[]", "");
        come(&mut world, C1, token("guest"), Some("hall"));
        assert!(world.entered(C1));
        if renews {
            world.ask(C1, Ask::Renew(key()));
            answered(&mut world, C1, Verdict::Matches);
            assert!(renewed(&mut world, C1));
        }
        world.change(|config| config.user[0].tokens.clear());
        assert_eq!(world.refused(C1).is_some(), !renews);
        if renews {
            world.change(|config| config.user[0].keys.clear());
            assert_eq!(world.refused(C1), Some(Code::NotAuthorised), "it stands by its key alone");
        }
    }
}

#[test]
fn who_fails_is_closed_and_written_down_and_told_to_who_administers_as_at_the_first_time() {
    let mut world = world("[]", "");
    come(&mut world, C2, token("boss"), None);
    world.told(C2);
    world.listens(C2);
    come(&mut world, C1, token("guest"), Some("hall"));
    assert!(world.entered(C1));
    world.ask(C1, Ask::Renew(key()));
    assert!(matches!(&world.told(C1)[..], [Tell::Prompt(Prompt::Challenge { method: Method::Key, .. })]));
    answered(&mut world, C1, Verdict::Differs);
    assert_eq!(world.refused(C1), Some(Code::NotAuthorised));
    let refused = world.audited.iter().find(|one| one.deed == Deed::Refused).unwrap();
    assert_eq!((refused.connection, refused.why.as_str()), (C1, "key: a wrong signature"));
    let heard = world.heard(C2);
    let refused =
        heard.split("specversion").find(|event| event.contains("riser.refused")).expect("it is told");
    assert!(refused.contains("not_authorised") && refused.contains(r#""name":"guest""#), "{refused}");

    // Nobody is whoever's credential it happens to have: what is here is the one's who came.
    let mut world = self::world("[]", "");
    come(&mut world, C1, token("guest"), Some("hall"));
    assert!(world.entered(C1));
    world.ask(C1, Ask::Renew(token("boss")));
    assert_eq!(world.refused(C1), Some(Code::NotAuthorised));
    assert!(world.audited.iter().any(|one| one.why.contains("somebody else")), "{:?}", world.audited);
    // Who takes too long too.
    come(&mut world, C2, token("guest"), Some("hall"));
    assert!(world.entered(C2));
    world.ask(C2, Ask::Renew(key()));
    world.wait(6);
    assert_eq!(world.refused(C2), Some(Code::Timeout));
}

#[test]
fn guess_at_somebody_of_another_account_is_told_there_and_the_guesser_s_account_learns_nothing_of_it() {
    let mut own = Vec::new();
    for (name, verdict) in
        [("guest", Verdict::Differs), ("guest", Verdict::Matches), ("nobody", Verdict::Differs)]
    {
        let mut world = World::gated("[]", "").beside("garden", "").speaking();
        let boss = ConnectionId(3);
        for (connection, owner) in [(boss, "acme/boss"), (C2, "garden/eve")] {
            come(&mut world, connection, token(owner), None);
            assert!(world.entered(connection));
            world.listens(connection);
        }
        come(&mut world, C1, token("garden/eve"), None);
        assert!(world.entered(C1));
        world.heard(boss);
        world.heard(C2);
        let account = Some("acme".parse().unwrap());
        world.ask(C1, Ask::Renew(Credential::Claim { account, name: name.to_owned(), method: Method::Key }));
        answered(&mut world, C1, verdict);
        let told = world.told(C1).pop();
        let heard = world.heard(C2);
        assert!(heard.contains("riser.refused") && !heard.contains("acme"), "{name} {verdict:?}: {heard}");
        let at_home = world.heard(boss);
        let why = if verdict == Verdict::Matches { "somebody else than who is" } else { "a wrong signature" };
        let is_somebody = name == "guest";
        assert_eq!(at_home.contains(why) && at_home.contains(name), is_somebody, "{verdict:?}: {at_home}");
        let refused = world.audited.iter().filter(|one| one.deed == Deed::Refused);
        let (there, here): (Vec<_>, Vec<_>) =
            refused.cloned().partition(|one| one.account == Some(world.account()));
        assert!(there.iter().all(|one| one.why.contains(why) && one.name.is_some()), "{there:?}");
        assert_eq!((there.len(), here.len()), (usize::from(is_somebody), 1), "{there:?} {here:?}");
        own.push((told, here));
    }
    assert!(matches!(&own[0].0, Some(Tell::Refused(why)) if why.code == Code::NotAuthorised), "{own:?}");
    assert!(own.iter().all(|one| *one == own[0]), "{own:?}");
}

#[test]
fn room_s_gate_is_asked_anew_and_holds_nobody_to_what_it_proved_before() {
    for verdict in [Verdict::Matches, Verdict::Differs] {
        let mut world = world("['key']", "['secret']");
        come(&mut world, C1, token("guest"), Some("hall"));
        answered(&mut world, C1, Verdict::Matches);
        answered(&mut world, C1, Verdict::Matches);
        assert!(world.entered(C1));
        world.ask(C1, Ask::Renew(token("guest")));
        answered(&mut world, C1, Verdict::Matches);
        assert!(may_read(&mut world, C1, "hall/#"), "it works on while it is asked");
        answered(&mut world, C1, verdict);
        match verdict {
            Verdict::Matches => {
                assert!(renewed(&mut world, C1));
                assert!(may_read(&mut world, C1, "hall/x"));
                let entered = world.audited.last().unwrap();
                assert_eq!((entered.deed, entered.why.as_str()), (Deed::Entered, "anew: token, key, secret"));
                assert_eq!(entered.room.as_ref().map(|room| room.as_str()), Some("hall"));
            }
            _ => assert_eq!(world.refused(C1), Some(Code::NotAuthorised)),
        }
    }
    // It has its seat already.
    let mut world = world("[{ seats = 1 }]", "");
    come(&mut world, C1, token("guest"), Some("hall"));
    assert!(world.entered(C1));
    world.ask(C1, Ask::Renew(token("guest")));
    assert!(renewed(&mut world, C1));
    assert!(may_read(&mut world, C1, "hall/#"));
}

/// Who administers the account says yes.
fn admitted(world: &mut World, connection: ConnectionId) {
    let account = world.account();
    assert!(world.instance.decide_for((account, None), (connection, None), true, "boss", world.now));
    world.input(Input::Deadline);
}

#[test]
fn room_is_not_overfilled_by_who_lost_its_seat_there_and_says_anew_who_it_is() {
    for others in [false, true] {
        let mut world = world("[{ seats = 1 }, 'knock']", "");
        come(&mut world, C1, token("guest"), Some("hall"));
        admitted(&mut world, C1);
        assert!(world.entered(C1));
        // It may do nothing there for a time, and gives its seat back.
        let mut grants = Vec::new();
        world.change(|config| grants = std::mem::take(&mut config.room[0].grant));
        world.change(|config| config.room[0].grant = grants);
        world.ask(C1, Ask::Renew(token("guest")));
        if others {
            come(&mut world, C2, token("guest"), Some("hall"));
            admitted(&mut world, C2);
            assert!(world.entered(C2), "a seat is free");
        }
        admitted(&mut world, C1);
        match others {
            true => assert_eq!(world.refused(C1), Some(Code::TooMany)),
            false => assert!(renewed(&mut world, C1) && may_read(&mut world, C1, "hall/#")),
        }
    }
}

#[test]
fn gate_that_says_nobody_s_name_renews_nobody() {
    let mut world = world("[]", "");
    let wednesdays = Schedule(vec!["wed 00:00-24:00".parse().unwrap()]);
    world.listening(vec![Acceptor::Schedule(wednesdays.week()), Acceptor::Token]);
    come(&mut world, C1, token("guest"), Some("hall"));
    assert!(world.entered(C1));
    world.wait(2 * 3600);
    world.ask(C1, Ask::Renew(token("guest")));
    assert_eq!(world.refused(C1), Some(Code::Denied));
}

#[test]
fn device_of_mqtt_keeps_the_rooms_and_the_session_that_it_has() {
    let mut world = world("['key']", "");
    world.show(C1, key(), Some(session()));
    answered(&mut world, C1, Verdict::Matches);
    world.commit();
    assert!(world.entered(C1));
    let sessions = world.instance.sessions();
    world.ask(C1, nothing(1));
    world.ask(C1, Ask::Renew(key()));
    world.ask(C1, nothing(2));
    answered(&mut world, C1, Verdict::Matches);
    world.commit();
    let told = world.told(C1);
    let stored = told.iter().filter(|tell| matches!(tell, Tell::Stored { .. })).count();
    assert!(stored == 2 && told.iter().any(|tell| matches!(tell, Tell::Renewed { .. })), "{told:?}");
    assert!(may_read(&mut world, C1, "hall/#"));
    assert_eq!(world.instance.sessions(), sessions);

    // Who came to a room in time is there until its hours end, whatever it says anew meanwhile.
    let mut world = self::world("['tuesdays']", "");
    world.show(C1, key(), Some(session()));
    answered(&mut world, C1, Verdict::Matches);
    world.commit();
    assert!(world.entered(C1));
    world.wait(3600);
    world.ask(C1, Ask::Renew(key()));
    answered(&mut world, C1, Verdict::Matches);
    assert!(renewed(&mut world, C1));
    assert!(may_read(&mut world, C1, "hall/#"));
    world.wait(3600);
    assert_eq!(world.refused(C1), Some(Code::Timeout), "it is Wednesday");
}

#[test]
fn one_gate_at_a_time_is_asked_and_what_changed_meanwhile_is_not_passed_by() {
    let mut world = world("['key']", "");
    come(&mut world, C1, token("guest"), Some("cellar"));
    assert!(world.entered(C1));
    world.ask(C1, Ask::Renew(key()));
    world.told(C1);
    world.ask(C1, Ask::Move { room: "hall".parse().unwrap() });
    let told = world.told(C1);
    assert!(
        matches!(&told[..], [Tell::Moved { result: Err(why), .. }] if why.code == Code::WrongState),
        "{told:?}"
    );
    world.ask(C1, Ask::Renew(key()));
    assert_eq!(world.refused(C1), Some(Code::WrongState));

    // The room has another gate by the time that the old one has let it pass.
    let mut world = self::world("['key']", "");
    come(&mut world, C1, key(), Some("hall"));
    answered(&mut world, C1, Verdict::Matches);
    assert!(world.entered(C1));
    world.ask(C1, Ask::Renew(key()));
    world.change(|config| config.room[0].gate = gate("['key', { seats = 1 }]"));
    assert_eq!(world.refused(C1), None, "that one asks nothing more");
    answered(&mut world, C1, Verdict::Matches);
    assert_eq!(world.refused(C1), Some(Code::Timeout), "it comes back and is asked");

    // Who may do nothing in its room any more is in it no more.
    let mut world = self::world("[]", "");
    come(&mut world, C1, token("guest"), Some("hall"));
    world.change(|config| config.room[0].grant[0].right.0 = vec![Right::Subscribe]);
    assert!(world.entered(C1));
    world.change(|config| config.room[0].grant.clear());
    world.ask(C1, Ask::Renew(token("guest")));
    assert_eq!(world.refused(C1), Some(Code::Denied));
}

#[test]
fn admin_lobby_is_asked_for_again_by_who_said_anew_who_it_is() {
    let mut world = world("[]", "");
    come(&mut world, C1, token("guest"), None);
    assert!(world.entered(C1));
    let operates = || Input::Ran { connection: C1, result: Ok(Finished::Operates) };
    world.ask(C1, Ask::Run(Box::new(Errand::Operate { token: None })));
    world.input(operates());
    world.ask(C1, Ask::Renew(token("guest")));
    assert!(renewed(&mut world, C1));
    world.ask(C1, Ask::Run(Box::new(Errand::Accounts)));
    let told = world.told(C1);
    assert!(
        matches!(&told[..], [Tell::Finished(Err(why))] if why.code == Code::Denied),
        "it was let in by what counts no more: {told:?}"
    );

    // An answer that crosses it is none for who it is by then.
    world.ask(C1, Ask::Run(Box::new(Errand::Operate { token: None })));
    world.ask(C1, Ask::Renew(token("guest")));
    assert!(renewed(&mut world, C1));
    world.input(operates());
    let told = world.told(C1);
    assert!(
        matches!(&told[..], [Tell::Finished(Err(why))] if why.code == Code::WrongState),
        "it is told so: {told:?}"
    );
}

#[test]
fn who_says_anew_who_it_is_is_in_for_its_admins_who_see_when_it_knocks() {
    let mut world = world("['knock']", "");
    come(&mut world, C2, token("guest"), None);
    come(&mut world, C1, token("guest"), Some("hall"));
    let listed = |world: &World| {
        let all = world.instance.connections_of(world.account());
        let one = all.into_iter().find(|one| one.connection == C1).unwrap();
        (one.stands, one.knocks)
    };
    assert_eq!(listed(&world), ("knock", true), "it is not in yet");
    admitted(&mut world, C1);
    assert!(world.entered(C1));
    world.ask(C1, Ask::Renew(key()));
    assert_eq!(listed(&world), ("in", false));
    answered(&mut world, C1, Verdict::Matches);
    assert_eq!(listed(&world), ("in", true));
    admitted(&mut world, C1);
    assert!(renewed(&mut world, C1));
    assert_eq!(listed(&world), ("in", false));
}
