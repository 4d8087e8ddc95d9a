//! Who knocks, and for how long: until somebody has answered, and no longer.

use crate::world::*;
use riser_gate::{
    Stand, Verdict,
    acceptor::Kind,
    config::{GrantConfig, Rights, Whom},
};
use riser_instance::Input;
use riser_model::{
    AccountId, ConnectionId, Deed, Right, RoomId,
    door::{Ask, Code, Prompt, Push, Secret, Technical, Tell},
    look::{Look, Seen},
};
use uuid::Uuid;

const BOSS: ConnectionId = ConnectionId(7);

fn account() -> AccountId {
    AccountId(Uuid::from_u128(1))
}

fn is_knocked(world: &mut World, connection: ConnectionId) -> bool {
    world.told(connection).iter().any(|tell| matches!(tell, Tell::Prompt(Prompt::Knocked)))
}

fn is_challenged(world: &mut World, connection: ConnectionId) -> bool {
    world.told(connection).iter().any(|tell| matches!(tell, Tell::Prompt(Prompt::Challenge { .. })))
}

/// What an admin is answered to its yes or no.
fn decides(world: &mut World, admin: ConnectionId, connection: ConnectionId, admit: bool) -> Option<Code> {
    world.ask(admin, Ask::Decide { connection, room: None, admit });
    let told = world.told(admin);
    let decided = told.into_iter().find_map(|tell| match tell {
        Tell::Decided { result, .. } => Some(result.err().map(|refusal| refusal.code)),
        _ => None,
    });
    decided.expect("a yes or no is answered")
}

/// Whether somebody is said to knock: over the admin interface, and to who looks after the room.
fn is_said_to_knock(world: &mut World, connection: ConnectionId) -> (bool, bool) {
    let listed = world.instance.connections_of(account());
    let listed = listed.iter().any(|one| one.connection == connection && one.knocks);
    let look = Look::Presence { room: "cellar".parse().unwrap(), after: 0 };
    world.ask(BOSS, Ask::Look { id: 7, look: Box::new(look) });
    let seen = world.told(BOSS).into_iter().find_map(|tell| match tell {
        Tell::Seen { result: Ok(Seen::Presence(seen)), .. } => Some(seen.waiting),
        _ => None,
    });
    let seen = seen.expect("who administers sees who waits");
    (listed, seen.iter().any(|one| one.connection == connection && one.knocks))
}

fn turned_away(world: &World) -> usize {
    world.audited.iter().filter(|one| one.deed == Deed::TurnedAway).count()
}

#[test]
fn knock_that_was_answered_is_open_no_more_and_nobody_is_turned_away_who_then_comes_in() {
    let mut world = World::gated("['knock', 'key']", "");
    world.enter_as(BOSS, "boss", Some("cellar"));
    assert!(world.entered(BOSS));
    world.enter(C1, None, Some("hall"));
    assert!(is_knocked(&mut world, C1));
    assert_eq!(is_said_to_knock(&mut world, C1), (true, true));
    assert_eq!(decides(&mut world, BOSS, C1, true), None);
    assert_eq!(world.instance.state_of(C1), Some(Stand::Hears(Kind::Key)));
    assert!(is_challenged(&mut world, C1));
    assert_eq!(is_said_to_knock(&mut world, C1), (false, false), "it was answered");
    assert_eq!(decides(&mut world, BOSS, C1, false), Some(Code::Denied));
    let now = world.now;
    assert!(!world.instance.decide_for((account(), None), (C1, None), false, "operator", now));
    assert_eq!(turned_away(&world), 0);
    world.ask(C1, Ask::Answer(Secret("A".repeat(86).into())));
    let ticket = world.verifying.pop().unwrap();
    world.input(Input::Verified { connection: C1, ticket, verdict: Verdict::Matches });
    assert!(world.entered(C1));
}

#[test]
fn a_yes_for_one_room_lets_nobody_in_who_knocks_at_another_by_then() {
    let mut world = World::gated("['knock']", "");
    world.enter_as(BOSS, "boss", Some("cellar"));
    assert!(world.entered(BOSS));
    world.enter(C1, None, Some("hall"));
    assert!(is_knocked(&mut world, C1));
    let (vault, now) = (Some("vault".parse().unwrap()), world.now);
    assert!(!world.instance.decide_for((account(), None), (C1, vault), true, "operator", now));
    let mut says = |room: &str, admit| {
        let room = Some(room.parse().unwrap());
        world.ask(BOSS, Ask::Decide { connection: C1, room, admit });
        let is_done =
            world.told(BOSS).iter().any(|tell| matches!(tell, Tell::Decided { result: Ok(()), .. }));
        (is_done, world.told(C1).len())
    };
    assert_eq!(says("vault", true), (false, 0));
    assert_eq!(says("vault", false), (false, 0), "nor is anybody turned away");
    assert!(says("hall", true).0);
    assert_eq!(turned_away(&world), 0);
    // In front of the account's own gate it knocks at no room.
    let mut world = World::gated("", "['knock']");
    world.visit(C1, "acme/stranger", "acme");
    assert!(is_knocked(&mut world, C1));
    world.enter_as(BOSS, "boss", None);
    let now = world.now;
    assert!(world.instance.decide_for((account(), None), (BOSS, None), true, "operator", now));
    world.input(Input::Deadline);
    assert!(world.entered(BOSS));
    let hall = Some("hall".parse().unwrap());
    world.ask(BOSS, Ask::Decide { connection: C1, room: hall, admit: true });
    assert!(world.told(BOSS).iter().any(|tell| matches!(tell, Tell::Decided { result: Err(_), .. })));
    assert_eq!(decides(&mut world, BOSS, C1, true), None);
    assert!(world.entered(C1));
}

#[test]
fn who_looks_after_a_room_answers_no_knock_of_the_account_s_that_was_answered_before() {
    let mut world = World::gated("['key']", "['knock']");
    world.enter(C1, None, Some("hall"));
    assert!(is_knocked(&mut world, C1));
    let now = world.now;
    assert!(world.instance.decide_for((account(), None), (C1, None), true, "operator", now));
    world.input(Input::Deadline);
    assert_eq!(world.instance.state_of(C1), Some(Stand::Hears(Kind::Key)), "of the room's own gate");
    let hall = RoomId::of(account(), "hall");
    assert!(!world.instance.decide_for((account(), Some(hall)), (C1, None), false, "keeper", now));
    assert_eq!(turned_away(&world), 0);
}

#[test]
fn knock_of_a_later_stage_is_open_in_its_turn() {
    let mut world = World::gated("['knock']", "['knock']");
    world.enter_as(BOSS, "boss", None);
    // The account's gate is before its admins too.
    let now = world.now;
    assert!(world.instance.decide_for((account(), None), (BOSS, None), true, "operator", now));
    world.input(Input::Deadline);
    assert!(world.entered(BOSS));
    world.enter(C1, None, Some("hall"));
    for _ in 0..2 {
        assert!(is_knocked(&mut world, C1));
        assert!(is_said_to_knock(&mut world, C1).0);
        assert_eq!(decides(&mut world, BOSS, C1, true), None);
    }
    assert!(world.entered(C1));
    assert!(!is_said_to_knock(&mut world, C1).0);
}

#[test]
fn who_knocks_is_let_in_by_an_admin_of_that_room_only() {
    let mut world = World::gated("['knock']", "").speaking();
    let c3 = ConnectionId(3);
    world.enter_as(C2, "boss", Some("cellar"));
    world.enter(c3, None, Some("cellar"));
    world.told(C2);
    world.told(c3);
    world.listens(C2);
    for admit in [true, false] {
        world.enter(C1, None, Some("hall"));
        assert_eq!(prompt(&mut world, C1), Prompt::Knocked);
        let heard = knocks(&mut world, C2);
        let [knock] = &heard[..] else { panic!("{heard:?}") };
        assert!(knock.contains("\"connection\":1,") && knock.contains("\"acceptor\":\"knock\""), "{knock}");
        let decide = Ask::Decide { connection: C1, room: None, admit };
        world.ask(c3, decide.clone());
        let told = world.told(c3);
        let [Tell::Decided { result: Err(_), .. }] = &told[..] else { panic!("{told:?}") };
        assert_eq!(world.told(C1), [], "only an admin opens");
        world.ask(C2, decide.clone());
        assert!(world.told(C2).iter().any(|tell| matches!(tell, Tell::Decided { result: Ok(()), .. })));
        match admit {
            true => assert!(world.entered(C1)),
            false => assert_eq!(world.refused(C1), Some(Code::Denied)),
        }
        world.ask(C2, decide);
        assert!(
            world.told(C2).iter().any(|tell| matches!(tell, Tell::Decided { result: Err(_), .. })),
            "once"
        );
        world.input(Input::Closed { connection: C1 });
    }
}

/// What somebody who listens to a technical channel is told of who knocks.
fn knocks(world: &mut World, connection: ConnectionId) -> Vec<String> {
    world.wait(1);
    world.ask(connection, Ask::Pull { bytes: 100_000, stands: false });
    let pushes = world.told(connection).into_iter().filter_map(|tell| match tell {
        Tell::Deliver { pushes, .. } => Some(pushes),
        _ => None,
    });
    let knocks = pushes.flatten().filter_map(|push| match push {
        Push::Publication(said) if said.content.route.channel.as_str() == "knock" => {
            Some(said.content.body.clone())
        }
        _ => None,
    });
    knocks.map(|body| String::from_utf8_lossy(&body).into_owned()).collect()
}

#[test]
fn who_owns_a_room_by_its_role_there_hears_who_knocks_at_it_and_nobody_else_of_its_readers_does() {
    let mut world = World::gated("['knock']", "['knock']").speaking();
    world.change(|config| {
        let keeper = Whom::Named("stranger".parse().unwrap());
        config.room[0].roles.insert(keeper, riser_gate::Role::Owner);
    });
    let account = account();
    let [keeper, guest, knocker] = [3, 4, 5].map(ConnectionId);
    let admit = |world: &mut World, connection| {
        assert_eq!(prompt(world, connection), Prompt::Knocked);
        let now = world.now;
        assert!(world.instance.decide_for((account, None), (connection, None), true, "operator", now));
        world.wait(1);
    };
    for (connection, name) in [(guest, "guest"), (keeper, "stranger")] {
        world.enter_as(connection, name, Some("hall"));
        admit(&mut world, connection);
        admit(&mut world, connection);
        assert!(world.entered(connection), "{name}");
        world.listens_to(connection, Technical::of_room("hall".parse().unwrap()));
    }
    world.enter(knocker, None, Some("hall"));
    assert_eq!(knocks(&mut world, keeper), [""; 0], "the account's gate is not the room's");
    admit(&mut world, knocker);
    let heard = knocks(&mut world, keeper);
    let [knock] = &heard[..] else { panic!("{heard:?}") };
    assert!(knock.contains("\"connection\":5,") && knock.contains("\"room\":\"hall\""), "{knock}");
    assert_eq!(knocks(&mut world, guest), [""; 0], "who reads there only");
    let decide = Ask::Decide { connection: knocker, room: None, admit: true };
    world.ask(guest, decide.clone());
    assert!(matches!(&world.told(guest)[..], [Tell::Decided { result: Err(_), .. }]));
    world.ask(keeper, decide);
    assert!(world.told(keeper).iter().any(|tell| matches!(tell, Tell::Decided { result: Ok(()), .. })));
    assert!(world.entered(knocker));
}

#[test]
fn who_administers_a_room_says_yes_at_its_gate_and_not_at_the_accounts() {
    for (gates, channels, opens) in [
        (("['knock']", ""), "#", true),
        // Some channels of it are not the room.
        (("['knock']", ""), "x/#", false),
        (("", "['knock']"), "#", false),
        // The account's stage comes first, and is its owners'.
        (("['knock']", "['knock']"), "#", false),
    ] {
        let mut world = World::gated(gates.0, gates.1);
        world.change(|config| {
            config.room[0].grant.push(GrantConfig {
                to: Whom::Named("stranger".parse().unwrap()),
                right: Rights(vec![Right::Admin]),
                channels: channels.parse().unwrap(),
                deny: false,
            });
            // It is where no gate is.
            config.gate = gate("");
        });
        world.enter_as(C2, "stranger", None);
        assert!(world.entered(C2));
        world.change(|config| config.gate = gate(gates.1));
        world.told(C2);
        world.enter(C1, None, Some("hall"));
        assert_eq!(prompt(&mut world, C1), Prompt::Knocked, "{gates:?}");
        world.ask(C2, Ask::Decide { connection: C1, room: None, admit: true });
        let said = world.told(C2);
        let yes = said.iter().any(|tell| matches!(tell, Tell::Decided { result: Ok(()), .. }));
        assert_eq!(yes, opens, "{gates:?} {channels}: {said:?}");
        assert_eq!(world.entered(C1), opens, "{gates:?} {channels}");
    }
}
