//! Who was let in at hours that are listed is in no longer than they last.

use crate::world::*;
use riser_gate::{AcceptorConfig, acceptor::schedule::Schedule};
use riser_instance::Input;
use riser_model::{
    Deed,
    door::{Ask, Code, Prompt, SessionRequest, Tell},
};

/// From the beginning of a world to the end of its Tuesday.
const TUESDAY_LASTS_S: u64 = 2 * 3600 - 800;

fn hours(text: &[&str]) -> AcceptorConfig {
    AcceptorConfig::Schedule(Schedule(text.iter().map(|text| text.parse().unwrap()).collect()))
}

fn hall(world: &mut World, stages: Vec<AcceptorConfig>) {
    world.change(|config| config.room[0].gate.0 = stages);
}

/// Time goes by, without a look at each second.
fn pass(world: &mut World, seconds: u64) {
    world.now.time = world.now.time.plus(std::time::Duration::from_secs(seconds));
    world.now.wall = world.now.wall.plus_s(u32::try_from(seconds).unwrap());
    world.input(Input::Deadline);
    world.commit();
}

#[test]
fn who_is_in_a_room_when_its_hours_end_is_asked_to_leave_and_told_why() {
    let mut world = World::gated("['tuesdays']", "");
    world.enter(C1, None, Some("hall"));
    assert!(world.entered(C1));
    pass(&mut world, TUESDAY_LASTS_S - 1);
    assert_eq!(world.refused(C1), None);
    pass(&mut world, 1);
    let told = world.told(C1);
    let [Tell::Refused(why)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(
        (why.code, why.what.as_str()),
        (Code::Timeout, "the hours at which the room hall is open are over")
    );
    let closed = world.audited.last().unwrap();
    assert!(closed.deed == Deed::Revoked && closed.why.contains("hours"), "{closed:?}");
    world.enter(C2, None, Some("hall"));
    assert_eq!(world.refused(C2), Some(Code::Denied), "nor may it come back");
}

#[test]
fn hours_of_an_account_end_for_whoever_is_in_it_wherever_it_is() {
    let mut world = World::gated("", "['tuesdays']");
    for (connection, room) in [(C1, None), (C2, Some("cellar"))] {
        world.enter(connection, None, room);
        assert!(world.entered(connection));
    }
    pass(&mut world, TUESDAY_LASTS_S);
    for connection in [C1, C2] {
        let told = world.told(connection);
        let [Tell::Refused(why)] = &told[..] else { panic!("{told:?}") };
        assert!(why.what.contains("the account"), "{why:?}");
    }
}

#[test]
fn hours_of_a_room_are_nothing_to_who_has_left_it() {
    let mut world = World::gated("['tuesdays']", "");
    world.enter(C1, None, Some("hall"));
    world.ask(C1, Ask::Move { room: "cellar".parse().unwrap() });
    world.enter(C2, None, None);
    world.ask(C2, Ask::Move { room: "hall".parse().unwrap() });
    world.told(C1);
    world.told(C2);
    pass(&mut world, TUESDAY_LASTS_S);
    assert_eq!(world.refused(C1), None);
    assert_eq!(world.refused(C2), Some(Code::Timeout), "who has come by a move goes");
}

#[test]
fn of_mqtt_only_who_has_to_do_with_the_room_goes_and_the_others_may_do_nothing_there() {
    let mut world = World::gated("['tuesdays']", "");
    for (connection, id) in [(C1, "one"), (C2, "two")] {
        world.enter(connection, Some(SessionRequest { id: id.to_owned(), ..brief() }), None);
        assert!(world.entered(connection));
    }
    assert!(may_read(&mut world, C1, "hall/#"));
    pass(&mut world, TUESDAY_LASTS_S);
    assert_eq!(world.refused(C1), Some(Code::Timeout));
    assert_eq!(world.refused(C2), None);
    assert!(!may_read(&mut world, C2, "hall/#") && may_read(&mut world, C2, "cellar/#"));
    // When they begin again it may, without a word of its own: nothing would make it connect anew.
    pass(&mut world, 6 * 24 * 3600);
    assert!(may_read(&mut world, C2, "hall/#"));
}

#[test]
fn whom_the_gate_lets_pass_all_the_same_goes_on_and_who_would_be_asked_something_does_not() {
    let mut world = World::new();
    let tuesday_and_on = || hours(&["tue 00:00-24:00", "wed 00:00-01:00"]);
    hall(&mut world, vec![tuesday_and_on()]);
    world.enter(C1, None, Some("hall"));
    assert!(world.entered(C1));
    pass(&mut world, TUESDAY_LASTS_S);
    assert_eq!(world.refused(C1), None, "no break, no end");
    // The gate lets it pass by other hours, which lasts as long as those.
    hall(&mut world, vec![hours(&["wed 00:00-02:00"])]);
    pass(&mut world, 3600);
    assert_eq!(world.refused(C1), None);
    pass(&mut world, 3600);
    assert_eq!(world.refused(C1), Some(Code::Timeout));

    let mut world = World::new();
    hall(&mut world, vec![hours(&["tue 00:00-24:00"]), AcceptorConfig::Knock]);
    world.enter_as(C2, "boss", None);
    assert!(world.entered(C2));
    world.enter(C1, None, Some("hall"));
    assert!(world.told(C1).iter().any(|tell| matches!(tell, Tell::Prompt(Prompt::Knocked))));
    world.ask(C2, Ask::Decide { connection: C1, room: None, admit: true });
    assert!(world.entered(C1));
    pass(&mut world, TUESDAY_LASTS_S);
    assert_eq!(world.refused(C1), Some(Code::Timeout));
}

#[test]
fn hours_end_by_the_clock_as_it_is_set_meanwhile() {
    let mut world = World::gated("['tuesdays']", "");
    world.enter_with(C1, "boss", None, Some("hall"));
    assert!(world.entered(C1));
    world.now.wall = world.now.wall.plus_s(u32::try_from(TUESDAY_LASTS_S).unwrap());
    world.input(Input::Deadline);
    assert_eq!(world.refused(C1), Some(Code::Timeout));
}

#[test]
fn who_speaks_mqtt_and_came_before_the_hours_is_in_within_a_minute_of_their_beginning() {
    let mut world = World::new();
    hall(&mut world, vec![hours(&["wed 00:00-18:00"])]);
    world.enter(C1, Some(brief()), None);
    assert!(world.entered(C1) && !may_read(&mut world, C1, "hall/#"));
    for _ in 0..TUESDAY_LASTS_S.div_ceil(60) {
        pass(&mut world, 60);
    }
    assert!(may_read(&mut world, C1, "hall/#"));
    // A clock that is set finds it in the room too.
    let mut world = World::new();
    hall(&mut world, vec![hours(&["sun 00:00-18:00"])]);
    world.enter(C1, Some(brief()), None);
    assert!(!may_read(&mut world, C1, "hall/#"));
    world.now.wall = world.now.wall.plus_s(u32::try_from(TUESDAY_LASTS_S).unwrap() + 4 * 24 * 3600);
    pass(&mut world, 60);
    assert!(may_read(&mut world, C1, "hall/#"));
}

#[test]
fn a_clock_that_is_set_back_leaves_nobody_in_before_the_hours() {
    let mut world = World::gated("['tuesdays']", "");
    world.enter(C1, None, Some("hall"));
    assert!(world.entered(C1));
    world.now.wall = riser_model::Wall(world.now.wall.0 - 24 * 3600 * 1000);
    world.input(Input::Deadline);
    assert_eq!(world.refused(C1), Some(Code::Timeout));
    let mut world = World::new();
    hall(&mut world, vec![hours(&["mon-tue 00:00-24:00"])]);
    world.enter(C1, None, Some("hall"));
    assert!(world.entered(C1));
    world.now.wall = riser_model::Wall(world.now.wall.0 - 24 * 3600 * 1000);
    world.input(Input::Deadline);
    assert_eq!(world.refused(C1), None, "on Monday it would be let in too");

    // Within the hours nobody is asked again: who was let in by a person need not be so twice.
    let mut world = World::new();
    hall(&mut world, vec![hours(&["tue 00:00-24:00"]), AcceptorConfig::Knock]);
    world.enter_as(C2, "boss", None);
    assert!(world.entered(C2));
    world.enter(C1, None, Some("hall"));
    world.told(C1);
    world.ask(C2, Ask::Decide { connection: C1, room: None, admit: true });
    assert!(world.entered(C1));
    world.now.wall = riser_model::Wall(world.now.wall.0 - 1100);
    world.input(Input::Deadline);
    assert_eq!(world.refused(C1), None);
    world.now.wall = riser_model::Wall(world.now.wall.0 - 24 * 3600 * 1000);
    world.input(Input::Deadline);
    assert_eq!(world.refused(C1), Some(Code::Timeout), "it is Monday");
}
