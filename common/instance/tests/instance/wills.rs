//! Wills: kept before anybody is let in, published when nobody said goodbye, once.

use crate::world::*;
use riser_instance::Input;
use riser_model::{
    ConnectionId,
    door::{Ask, Code, NORMAL, SessionRequest, Target, Will},
};
use riser_rooms::Input as BusInput;

const GONE: &[u8] = b"gone";

fn will(delay_s: u32) -> Will {
    Will {
        target: Target::Topic("hall/state".to_owned()),
        retain: false,
        qos: 1,
        content_type: String::new(),
        properties: Default::default(),
        payload: GONE.into(),
        delay_s,
    }
}

fn willed(delay_s: u32, expiry_s: u32) -> SessionRequest {
    SessionRequest { will: Some(will(delay_s)), expiry_s, ..session() }
}

/// A world in which C1 has entered with this session.
fn entered(session: SessionRequest) -> World {
    let mut world = World::new();
    world.enter(C1, Some(session), None);
    world.commit();
    assert!(world.entered(C1));
    world
}

fn cut(world: &mut World, connection: ConnectionId) {
    world.input(Input::Closed { connection });
    world.commit();
}

fn published(world: &World) -> usize {
    world.published.iter().filter(|(channel, payload)| channel == "state" && payload == GONE).count()
}

#[test]
fn will_is_on_disk_before_its_client_is_let_in() {
    let mut world = World::new();
    world.enter(C1, Some(willed(0, 0)), None);
    assert_eq!((world.told(C1), world.waiting.len()), (Vec::new(), 1));
    world.commit();
    assert!(world.entered(C1));
}

#[test]
fn will_is_published_once_when_the_connection_is_cut() {
    for expiry_s in [0, 3600] {
        let mut world = entered(willed(0, expiry_s));
        assert_eq!(published(&world), 0);
        cut(&mut world, C1);
        assert_eq!(published(&world), 1);
        world.wait(20);
        world.restart();
        world.wait(20);
        assert_eq!(published(&world), 1);
    }
}

#[test]
fn who_left_no_will_is_mourned_by_nobody() {
    for expiry_s in [0, 3600] {
        let mut world = entered(SessionRequest { expiry_s, ..session() });
        cut(&mut world, C1);
        world.wait(20);
        world.restart();
        world.wait(20);
        assert_eq!(world.published, []);
    }
}

#[test]
fn a_goodbye_takes_the_will_away_for_good() {
    let mut world = entered(willed(0, 3600));
    world.ask(C1, Ask::Leave { cause: NORMAL.to_owned(), expiry_s: None });
    cut(&mut world, C1);
    world.restart();
    world.wait(20);
    assert_eq!(published(&world), 0);
}

#[test]
fn a_goodbye_that_asks_for_the_will_is_none() {
    let mut world = entered(willed(0, 3600));
    world.ask(C1, Ask::Leave { cause: "with_will".to_owned(), expiry_s: None });
    cut(&mut world, C1);
    assert_eq!(published(&world), 1);
}

#[test]
fn will_waits_for_its_delay_and_no_longer_than_its_session_lives() {
    for (delay_s, expiry_s, due_s) in [(30, 3600, 30), (3600, 40, 40)] {
        let mut world = entered(willed(delay_s, expiry_s));
        cut(&mut world, C1);
        world.wait(due_s - 2);
        assert_eq!(published(&world), 0, "{delay_s} {expiry_s}");
        world.wait(4);
        assert_eq!(published(&world), 1, "{delay_s} {expiry_s}");
    }
}

#[test]
fn who_comes_back_within_the_delay_is_not_mourned() {
    for again in [session(), willed(30, 3600)] {
        let mut world = entered(willed(30, 3600));
        cut(&mut world, C1);
        world.wait(10);
        world.enter(C2, Some(again), None);
        world.commit();
        assert!(world.entered(C2));
        world.wait(60);
        assert_eq!(published(&world), 0);
    }
}

#[test]
fn a_session_that_is_made_anew_ends_the_former_one_with_its_will() {
    let mut world = entered(willed(30, 3600));
    cut(&mut world, C1);
    world.wait(10);
    world.enter(C2, Some(SessionRequest { clean: true, ..session() }), None);
    world.commit();
    assert!(world.entered(C2));
    assert_eq!(published(&world), 1);
    world.wait(60);
    assert_eq!(published(&world), 1);
}

#[test]
fn who_is_taken_over_is_mourned_unless_the_delay_forgives() {
    for (delay_s, expected) in [(0, 1), (30, 0)] {
        let mut world = entered(willed(delay_s, 3600));
        world.enter(C2, Some(session()), None);
        world.commit();
        world.input(Input::Closed { connection: C1 });
        world.commit();
        assert!(world.entered(C2), "{delay_s}");
        world.wait(60);
        assert_eq!(published(&world), expected, "{delay_s}");
    }
}

#[test]
fn a_process_that_dies_took_its_connections_with_it_and_a_restart_does_not_shorten_the_delay() {
    for (delay_s, expiry_s) in [(0, 0), (30, 3600)] {
        let mut world = entered(willed(delay_s, expiry_s));
        world.restart();
        world.commit();
        world.wait(u64::from(delay_s.saturating_sub(3)));
        assert_eq!(published(&world), 0, "{delay_s}");
        world.wait(6);
        assert_eq!(published(&world), 1, "{delay_s}");
        world.restart();
        world.wait(20);
        assert_eq!(published(&world), 1, "{delay_s}");
    }
}

#[test]
fn who_comes_back_after_a_restart_within_the_delay_is_not_mourned() {
    let mut world = entered(willed(30, 3600));
    world.restart();
    world.commit();
    world.wait(10);
    world.enter(C1, Some(session()), None);
    world.commit();
    assert!(world.entered(C1));
    world.wait(60);
    assert_eq!(published(&world), 0);
}

#[test]
fn who_comes_back_at_once_after_a_restart_does_not_undo_a_will_that_was_to_wait_for_nothing() {
    for again in [session(), willed(30, 3600)] {
        let mut world = entered(willed(0, 3600));
        world.restart();
        world.enter(C2, Some(again), None);
        world.commit();
        world.commit();
        assert!(world.entered(C2));
        world.wait(20);
        assert_eq!(published(&world), 1);
    }
}

#[test]
fn will_that_may_not_be_published_keeps_nobody_out() {
    let mut world = World::new();
    let target = Target::Topic("vault/state".to_owned());
    let forbidden = SessionRequest { will: Some(Will { target, ..will(0) }), ..session() };
    world.enter(C1, Some(forbidden), None);
    world.commit();
    assert!(world.entered(C1));
    cut(&mut world, C1);
    world.wait(20);
    assert!(world.published.is_empty());
}

#[test]
fn will_that_the_log_could_not_take_is_published_when_it_can() {
    let mut world = entered(willed(0, 3600));
    world.input(Input::Closed { connection: C1 });
    for ticket in std::mem::take(&mut world.waiting) {
        world.input(Input::Rooms(BusInput::Failed { ticket, code: Code::LogFailing }));
    }
    assert_eq!(published(&world), 0);
    world.wait(5);
    assert_eq!(published(&world), 1);
}

#[test]
fn will_that_the_log_could_not_take_is_owed_though_its_client_is_back() {
    let mut world = entered(willed(0, 0));
    world.input(Input::Closed { connection: C1 });
    fail(&mut world);
    world.enter(C2, Some(SessionRequest { clean: true, expiry_s: 0, ..session() }), None);
    fail(&mut world);
    assert!(world.entered(C2), "of a session that lasts as long as its connection nothing is stored");
    world.wait(5);
    assert_eq!(published(&world), 1);
    cut(&mut world, C2);
    world.wait(20);
    assert_eq!(published(&world), 1);
}

fn fail(world: &mut World) {
    for ticket in std::mem::take(&mut world.waiting) {
        world.input(Input::Rooms(BusInput::Failed { ticket, code: Code::LogFailing }));
    }
}

#[test]
fn what_the_log_could_not_note_of_an_end_is_noted_when_it_can() {
    let mut world = entered(willed(30, 3600));
    world.input(Input::Closed { connection: C1 });
    fail(&mut world);
    world.wait(40);
    assert_eq!(published(&world), 1, "its delay is over");
    let mut world = entered(willed(30, 3600));
    world.ask(C1, Ask::Leave { cause: NORMAL.to_owned(), expiry_s: None });
    fail(&mut world);
    world.wait(5);
    world.restart();
    world.commit();
    world.wait(60);
    assert_eq!(published(&world), 0, "it said goodbye");
}

#[test]
fn who_left_before_it_was_let_in_left_no_will() {
    let mut world = World::new();
    world.enter(C1, Some(willed(0, 3600)), None);
    world.input(Input::Closed { connection: C1 });
    world.commit();
    world.commit();
    world.restart();
    world.wait(20);
    assert_eq!(published(&world), 0);
}

#[test]
fn so_many_wills_and_no_more() {
    let mut world = World::new();
    let large = || Will { payload: vec![7; 60_000].into(), ..will(0) };
    let mut refused = None;
    for n in 0..60 {
        let connection = ConnectionId(n);
        let session = SessionRequest { id: format!("s{n}"), will: Some(large()), ..session() };
        world.enter(connection, Some(session), None);
        world.commit();
        if let Some(code) = world.refused(connection) {
            refused.get_or_insert((n, code));
        }
    }
    assert_eq!(refused, Some((52, Code::TooMany)), "three megabytes of one client");
}
