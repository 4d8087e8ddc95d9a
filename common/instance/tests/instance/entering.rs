//! Who gets in, and who has a session.

use crate::world::*;
use riser_instance::Input;
use riser_model::{
    ClientId, ConnectionId, Epoch, LogId, RoomId, Route, RouteNumber, Run, Seq, Stamp,
    door::{Ask, Code, Credential, SessionRequest, Tell},
    time::Clock,
};
use riser_rooms::{Ingest, Input as BusInput};
use riser_wire::entry::{ContentType, Publication};

#[test]
fn room_without_a_right_looks_like_a_room_that_is_not() {
    let mut world = World::new();
    for room in ["vault", "attic"] {
        world.enter(C1, None, Some(room));
        assert_eq!(world.refused(C1), Some(Code::Denied), "{room}");
        world.input(Input::Closed { connection: C1 });
    }
    world.enter(C2, None, Some("hall"));
    assert!(world.entered(C2));
}

#[test]
fn nothing_is_taken_from_whom_no_gate_let_in() {
    let mut world = World::new();
    world.open(C1);
    world.ask(C1, nothing(1));
    assert_eq!(world.refused(C1), Some(Code::WrongState));
    world.enter(C2, None, None);
    assert!(world.entered(C2));
    world.ask(C2, Ask::Enter { credential: Credential::Anonymous, session: None, room: None });
    assert_eq!(world.refused(C2), Some(Code::WrongState), "nobody enters twice");
}

#[test]
fn kept_session_is_durable_before_its_connection_enters() {
    let mut world = World::new();
    world.enter(C1, Some(session()), None);
    assert_eq!((world.told(C1), world.waiting.len()), (Vec::new(), 1));
    world.commit();
    assert!(world.entered(C1));
}

#[test]
fn session_that_cannot_be_kept_lets_nobody_in() {
    let mut world = World::new();
    world.enter(C1, Some(session()), None);
    let ticket = world.waiting.pop().unwrap();
    world.input(Input::Rooms(BusInput::Failed { ticket, code: Code::LogFailing }));
    assert_eq!(world.refused(C1), Some(Code::LogFailing));
}

#[test]
fn newcomer_takes_a_session_over_when_nothing_of_the_former_waits() {
    let mut world = World::new();
    world.enter(C1, Some(session()), None);
    world.commit();
    assert!(world.entered(C1));
    world.ask(C1, Ask::Release { ticket: 1, ids: vec![7] });
    world.enter(C2, Some(session()), None);
    assert!(world.told(C1).iter().any(|tell| matches!(tell, Tell::Refused(r) if r.code == Code::TakenOver)));
    world.input(Input::Closed { connection: C1 });
    world.commit();
    world.commit();
    let told = world.told(C2);
    assert!(
        matches!(&told[..], [Tell::Entered { session, .. }] if session.present && session.number == 1),
        "{told:?}"
    );
}

#[test]
fn of_those_who_wait_for_a_session_the_newest_that_is_still_there_has_it() {
    let mut world = World::new();
    let [third, fourth] = [ConnectionId(3), ConnectionId(4)];
    world.enter(C1, Some(session()), None);
    world.commit();
    world.ask(C1, Ask::Release { ticket: 1, ids: vec![7] });
    for connection in [C2, third, fourth] {
        world.enter(connection, Some(session()), None);
    }
    world.input(Input::Closed { connection: fourth });
    world.input(Input::Closed { connection: C1 });
    world.commit();
    world.commit();
    assert_eq!(world.refused(C2), Some(Code::TakenOver));
    assert!(world.entered(third));
}

#[test]
fn everything_is_settled_when_everybody_has_left() {
    let mut world = World::new();
    world.enter(C1, Some(session()), None);
    world.commit();
    assert!(!world.instance.is_settled());
    world.ask(C1, Ask::Leave { cause: "normal".to_owned(), expiry_s: Some(0) });
    world.input(Input::Closed { connection: C1 });
    world.commit();
    assert!(world.instance.is_settled());
    assert_eq!(world.instance.sessions(), 0, "it gave its session up");
}

#[test]
fn who_has_no_session_to_keep_is_taken_over_too_and_by_its_own_id_only() {
    let brief = |id: &str| SessionRequest { id: id.to_owned(), clean: true, expiry_s: 0, ..session() };
    let mut world = World::new();
    let other = ConnectionId(3);
    for (connection, id) in [(C1, "sensor"), (other, "Sensor"), (C2, "sensor")] {
        world.enter(connection, Some(brief(id)), None);
        world.commit();
    }
    let told = world.told(C1);
    assert!(
        matches!(&told[..], [Tell::Entered { .. }, Tell::Refused(r)] if r.code == Code::TakenOver),
        "{told:?}"
    );
    world.input(Input::Closed { connection: C1 });
    world.commit();
    assert!(world.entered(C2));
    assert!(matches!(&world.told(other)[..], [Tell::Entered { .. }]), "an id is another by its case alone");
}

#[test]
fn connections_of_one_client_are_bounded_and_one_that_ends_frees_its_place() {
    let mut world = World::new();
    world.limit(2);
    for connection in [C1, C2] {
        world.enter(connection, None, None);
        assert!(world.entered(connection));
    }
    let third = ConnectionId(77);
    world.enter(third, None, None);
    assert_eq!(world.refused(third), Some(Code::TooMany));
    world.input(Input::Closed { connection: third });
    world.input(Input::Closed { connection: C1 });
    let fourth = ConnectionId(78);
    world.enter(fourth, None, None);
    assert!(world.entered(fourth));
}

#[test]
fn who_publishes_behind_an_edge_or_asks_without_a_connection_is_used() {
    let mut world = World::new();
    let [device, page] = [7, 8].map(|n| ClientId(uuid::Uuid::from_u128(n)));
    let mut entries = Vec::new();
    let stamp = Stamp::default();
    let publication = Publication { qos: 1, ..Publication::new(ContentType::Text, b"on") };
    publication.write_frame(&mut entries, RouteNumber(0), stamp);
    let run = Run::Entries { first: Seq(1), count: 1, epoch: Epoch(50), entries: entries.into() };
    let room = RoomId::of(world.account(), "hall");
    let route = Route { room, channel: "x".parse().unwrap(), client: device };
    let ingest = Ingest {
        token: 1,
        log: LogId(9),
        runs: vec![run],
        routes: vec![route.clone()],
        origins: Vec::new(),
        elsewhere: Vec::new(),
        overflow: route,
        counted: true,
        cursors: Vec::new(),
        clock: Clock::Unanchored,
    };
    world.input(Input::Rooms(BusInput::Ingest(ingest)));
    while !world.waiting.is_empty() {
        world.commit();
    }
    world.instance.came(page);
    assert!(world.instance.has_come(device) && world.instance.has_come(page));
    assert_eq!(world.instance.used(), [device, page].into());
    assert_eq!(world.instance.used(), [].into(), "since it was asked for");
}

#[test]
fn two_that_take_one_session_from_each_other_are_stopped_and_one_keeps_it_until_it_leaves() {
    let mut world = World::new().speaking();
    let boss = ConnectionId(7);
    world.enter_as(boss, "boss", None);
    world.listens(boss);
    let brief = |id: &str| SessionRequest { id: id.to_owned(), clean: true, expiry_s: 0, ..session() };
    let comes = |world: &mut World, n: u64, id: &str| {
        let connection = ConnectionId(n);
        world.enter(connection, Some(brief(id)), None);
        world.commit();
        let told = world.told(connection);
        told.iter().find_map(|tell| match tell {
            Tell::Refused(refusal) => Some(refusal.clone()),
            _ => None,
        })
    };
    assert_eq!(comes(&mut world, 100, "sensor"), None);
    for n in 101..=110 {
        assert_eq!(comes(&mut world, n, "sensor"), None, "{n}");
        assert_eq!(world.refused(ConnectionId(n - 1)), Some(Code::TakenOver));
        world.input(Input::Closed { connection: ConnectionId(n - 1) });
    }
    world.heard(boss);
    let refused = comes(&mut world, 111, "sensor").unwrap();
    assert_eq!(refused.code, Code::TooMany);
    assert!(refused.want.contains("come back in a moment"), "{refused:?}");
    assert!(world.heard(boss).contains("too_many"), "who administers the account hears of it");
    assert_eq!(world.refused(ConnectionId(110)), None, "who has it keeps it");
    assert_eq!(comes(&mut world, 112, "another"), None, "another id is another session");
    // Where nobody has it there is nothing to be taken over.
    world.input(Input::Closed { connection: ConnectionId(110) });
    world.commit();
    assert_eq!(comes(&mut world, 113, "sensor"), None);
    assert!(comes(&mut world, 114, "sensor").is_some());
    world.wait(11);
    assert_eq!(comes(&mut world, 115, "sensor"), None, "a moment later");
    assert_eq!(world.refused(ConnectionId(113)), Some(Code::TakenOver));
}
