//! Sessions and wills wait by a clock that no step of the wall clock moves, over restarts too.

use crate::world::*;
use riser_gate::Verdict;
use riser_instance::Input;
use riser_model::{
    ClientId, RoomId, Route, RouteNumber, Time,
    door::{Code, Credential, Secret, SessionRequest, Target, Will},
    event::{Scope, SystemEvent},
};
use riser_rooms::{Append, Input as BusInput};
use riser_wire::entry::{ContentType, Publication, PublishId};
use uuid::Uuid;

const DAY_MS: i64 = 24 * 3600 * 1000;
const DELAY_S: u64 = 100;
const EXPIRY_S: u64 = 200;

/// A world in which somebody with a will was cut off.
fn cut_off() -> World {
    let mut world = World::new();
    let will = Will {
        target: Target::Topic("hall/state".to_owned()),
        retain: false,
        qos: 1,
        content_type: String::new(),
        properties: Default::default(),
        payload: b"gone"[..].into(),
        delay_s: DELAY_S as u32,
    };
    let asked = SessionRequest { will: Some(will), expiry_s: EXPIRY_S as u32, ..session() };
    world.enter(C1, Some(asked), None);
    world.commit();
    assert!(world.entered(C1));
    world.input(Input::Closed { connection: C1 });
    world.commit();
    world
}

fn step(world: &mut World, ms: i64) {
    world.now.wall.0 += ms;
}

fn published(world: &World) -> usize {
    world.published.iter().filter(|(channel, _)| channel == "state").count()
}

/// What is left is a will for so long, and a session for so long after that.
fn ends_after(world: &mut World, delay_s: u64, what: &str) {
    let looked_for_s = 12;
    world.wait(delay_s - 2);
    assert_eq!(published(world), 0, "{what}: the will is early");
    world.wait(4);
    assert_eq!(published(world), 1, "{what}: the will is late");
    world.wait(EXPIRY_S - DELAY_S - 4);
    assert_eq!(world.instance.sessions(), 1, "{what}: the session ends early");
    world.wait(4 + looked_for_s);
    assert_eq!(world.instance.sessions(), 0, "{what}: the session ends late");
}

#[test]
fn a_step_of_the_wall_clock_ends_nothing_early_or_late() {
    for ms in [DAY_MS, -DAY_MS, 5_000, i64::MAX / 2] {
        let mut world = cut_off();
        step(&mut world, ms);
        ends_after(&mut world, DELAY_S, &format!("{ms} ms"));
    }
}

#[test]
fn what_was_stepped_is_known_after_a_restart_and_on_a_machine_that_boots() {
    for ms in [DAY_MS, -DAY_MS] {
        for boots in [false, true] {
            let mut world = cut_off();
            step(&mut world, ms);
            world.wait(20);
            if boots {
                world.now.time = Time(1);
            }
            world.restart();
            world.commit();
            ends_after(&mut world, DELAY_S - 20, &format!("{ms} ms, boots {boots}"));
        }
    }
}

#[test]
fn a_step_that_is_taken_back_leaves_no_trace() {
    let mut world = cut_off();
    step(&mut world, DAY_MS);
    world.wait(20);
    step(&mut world, -DAY_MS);
    world.wait(20);
    world.restart();
    world.commit();
    ends_after(&mut world, DELAY_S - 40, "taken back");
}

#[test]
fn time_without_a_process_counts_and_a_clock_that_starts_in_the_past_adds_none() {
    let mut world = cut_off();
    step(&mut world, 50_000);
    world.restart();
    world.commit();
    ends_after(&mut world, DELAY_S - 50, "50 s later");

    let mut world = cut_off();
    step(&mut world, -DAY_MS);
    world.restart();
    world.commit();
    ends_after(&mut world, DELAY_S, "a machine that does not keep the time");
}

/// Somebody publishes to one client, for whom it is of use for so many seconds.
fn addressed(world: &mut World, expiry_s: u8) {
    let channel = format!("{}/mode", Uuid::from_u128(77)).parse().unwrap();
    let (room, client) = (RoomId::of(world.account(), "hall"), ClientId(Uuid::from_u128(78)));
    let properties = [2, 0, 0, 0, expiry_s];
    let publication = Publication {
        properties: &properties,
        publish_id: Some(PublishId { producer: 3, n: 4 }),
        ..Publication::new(ContentType::Text, b"on")
    };
    let mut entries = Vec::new();
    publication.write_frame(&mut entries, RouteNumber(0), world.now.stamp());
    let route = Route { room, channel, client };
    world.input(Input::Rooms(BusInput::Append(Append::new(0, vec![route], entries))));
    world.commit();
}

#[test]
fn what_a_publication_expires_by_is_not_stepped_with_the_wall_clock() {
    for (before, after) in [(0, DAY_MS), (0, -DAY_MS), (DAY_MS, 0), (-DAY_MS, 0), (DAY_MS, -DAY_MS)] {
        let mut world = World::new();
        world.wait(1);
        step(&mut world, before);
        world.wait(1);
        addressed(&mut world, 60);
        step(&mut world, after);
        let expired =
            |world: &World| world.published.iter().filter(|(channel, _)| channel == "expired").count();
        // What was under way may still be acknowledged; and it is looked at once a minute at least.
        world.wait(59);
        assert_eq!(expired(&world), 0, "{before} {after}: early");
        world.wait(64);
        assert_eq!(expired(&world), 1, "{before} {after}: late");
    }
}

/// Somebody comes by a token of an issuer's, good for so many seconds by that one's clock, and a minute between clocks.
fn comes_by_token(world: &mut World, until_s: i64) {
    let part = |text: String| base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, text);
    let claims = format!(r#"{{"iss":"sso","aud":"riser","sub":"guest","exp":{until_s}}}"#);
    let token = [part(r#"{"alg":"EdDSA"}"#.into()), part(claims), part("x".into())].join(".");
    world.show(C1, Credential::Token(Secret(token.into())), None);
    let ticket = world.verifying.pop().unwrap();
    world.input(Input::Verified { connection: C1, ticket, verdict: Verdict::Matches });
    assert!(world.entered(C1));
}

/// What the program says when it sees that the clock was set.
fn is_noticed(world: &mut World, by_ms: i64) {
    let event = SystemEvent::ClockStepped { by_ms };
    world.input(Input::Rooms(BusInput::Event { scope: Scope::Instance, event }));
    if world.instance.poll_timeout().is_some_and(|(time, _)| time <= world.now.time) {
        world.input(Input::Deadline);
    }
}

#[test]
fn a_token_ends_when_it_says_by_the_clock_as_it_is_set_meanwhile() {
    const HOUR_MS: i64 = 3600 * 1000;
    // A clock that is behind is set right: the token has ended by then.
    let mut world = World::new();
    let until_s = world.now.wall.0 / 1000 + 600;
    comes_by_token(&mut world, until_s);
    step(&mut world, HOUR_MS);
    is_noticed(&mut world, HOUR_MS);
    assert_eq!(world.refused(C1), Some(Code::NotAuthorised));
    // One that is ahead, behind which it seemed to end early.
    let mut world = World::new();
    step(&mut world, HOUR_MS);
    let until_s = world.now.wall.0 / 1000 + 600;
    comes_by_token(&mut world, until_s);
    step(&mut world, -600_000);
    is_noticed(&mut world, -600_000);
    world.wait(600 + 60 + 599);
    assert_eq!(world.refused(C1), None, "it is good by the clock");
    world.wait(2);
    assert_eq!(world.refused(C1), Some(Code::NotAuthorised));
    // And one that is moved bit by bit, of which nobody says anything.
    let mut world = World::new();
    let until_s = world.now.wall.0 / 1000 + 600;
    comes_by_token(&mut world, until_s);
    for _ in 0..100 {
        step(&mut world, 300);
        world.wait(1);
    }
    world.wait(660 - 130 - 2);
    assert_eq!(world.refused(C1), None);
    world.wait(4);
    assert_eq!(world.refused(C1), Some(Code::NotAuthorised), "half a minute earlier");
}
