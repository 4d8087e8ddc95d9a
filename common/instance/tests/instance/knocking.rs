//! Who knocks, and for how long: until somebody has answered, and no longer.

use crate::world::*;
use riser_gate::{Stand, Verdict, acceptor::Kind};
use riser_instance::Input;
use riser_model::{
    AccountId, ConnectionId, Deed, RoomId,
    door::{Ask, Code, Prompt, Secret, Tell},
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
    world.ask(admin, Ask::Decide { connection, admit });
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
    assert!(!world.instance.decide_for((account(), None), C1, false, "operator", now));
    assert_eq!(turned_away(&world), 0);
    world.ask(C1, Ask::Answer(Secret("A".repeat(86).into())));
    let ticket = world.verifying.pop().unwrap();
    world.input(Input::Verified { connection: C1, ticket, verdict: Verdict::Matches });
    assert!(world.entered(C1));
}

#[test]
fn who_looks_after_a_room_answers_no_knock_of_the_account_s_that_was_answered_before() {
    let mut world = World::gated("['key']", "['knock']");
    world.enter(C1, None, Some("hall"));
    assert!(is_knocked(&mut world, C1));
    let now = world.now;
    assert!(world.instance.decide_for((account(), None), C1, true, "operator", now));
    world.input(Input::Deadline);
    assert_eq!(world.instance.state_of(C1), Some(Stand::Hears(Kind::Key)), "of the room's own gate");
    let hall = RoomId::of(account(), "hall");
    assert!(!world.instance.decide_for((account(), Some(hall)), C1, false, "keeper", now));
    assert_eq!(turned_away(&world), 0);
}

#[test]
fn knock_of_a_later_stage_is_open_in_its_turn() {
    let mut world = World::gated("['knock']", "['knock']");
    world.enter_as(BOSS, "boss", None);
    // The account's gate is before its admins too.
    let now = world.now;
    assert!(world.instance.decide_for((account(), None), BOSS, true, "operator", now));
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
