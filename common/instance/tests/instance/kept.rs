//! What a session keeps is what the log says, however fast it is asked for.

use crate::world::*;
use riser_instance::Input;
use riser_model::{
    ConnectionId, RouteNumber, SubscriptionId,
    door::{Ask, Code, Flow, From, Intake, Keep, NORMAL, SessionRequest, Showing, Target, Tell, Want},
};
use riser_wire::entry::{ContentType, PacketId, Publication};

fn subscribe(n: u32, filter: &str, options: u8) -> Ask {
    Ask::Subscribe {
        subscription: SubscriptionId(n),
        want: Want::Topic(filter.to_owned()),
        from: From::Live,
        flow: Flow::Credit,
        keep: Some(Keep { options, identifier: 0 }),
        retained: Showing::Nothing,
    }
}

fn unsubscribe(n: u32) -> Ask {
    Ask::Unsubscribe { subscription: SubscriptionId(n) }
}

/// A world in which C1 has entered with a session that is kept.
fn entered() -> World {
    let mut world = World::new();
    world.enter(C1, Some(session()), None);
    world.commit();
    assert!(world.entered(C1));
    world
}

fn settle(world: &mut World) {
    while !world.waiting.is_empty() {
        world.commit();
    }
}

/// Filters and options that the next connection finds.
fn found(world: &mut World) -> Vec<(String, u8)> {
    world.restart();
    settle(world);
    world.enter(C2, Some(session()), None);
    settle(world);
    let told = world.told(C2);
    let held = told.iter().find_map(|tell| match tell {
        Tell::Entered { session, .. } => Some(session.subscriptions.clone()),
        _ => None,
    });
    held.expect("it enters").into_iter().map(|one| (one.filter, one.keep.options)).collect()
}

fn row(filter: &str, options: u8) -> (String, u8) {
    (filter.to_owned(), options)
}

#[test]
fn what_is_subscribed_and_given_up_in_one_breath_stays_given_up() {
    let mut world = entered();
    world.ask(C1, subscribe(0, "hall/a", 1));
    world.ask(C1, unsubscribe(0));
    settle(&mut world);
    assert_eq!(found(&mut world), []);
}

#[test]
fn who_asks_anew_for_what_it_holds_while_the_log_fails_is_closed_and_goes_on_where_it_was() {
    let mut world = entered();
    world.ask(C1, subscribe(0, "hall/a", 1));
    settle(&mut world);
    world.told(C1);
    world.ask(C1, subscribe(1, "hall/a", 2));
    world.fail();
    // Were its subscription gone, so would be the course of what it has begun.
    assert_eq!(world.refused(C1), Some(Code::LogFailing));
    assert_eq!(found(&mut world), [row("hall/a", 1)]);
    // What it does not hold it does not get, and that is all.
    let mut world = entered();
    world.ask(C1, subscribe(0, "hall/a", 1));
    world.fail();
    let told = world.told(C1);
    let refused = |tell: &Tell| matches!(tell, Tell::Subscribed { result: Err(why), .. } if why.code == Code::LogFailing);
    assert!(told.iter().any(refused), "{told:?}");
    assert!(!told.iter().any(|tell| matches!(tell, Tell::Refused(_))), "{told:?}");
    assert_eq!(found(&mut world), []);
}

#[test]
fn what_is_given_up_and_subscribed_in_one_breath_is_held() {
    let mut world = entered();
    world.ask(C1, subscribe(0, "hall/a", 1));
    settle(&mut world);
    world.ask(C1, unsubscribe(0));
    world.ask(C1, subscribe(1, "hall/a", 1));
    settle(&mut world);
    let answered = |tell: &Tell| matches!(tell, Tell::Subscribed { subscription: SubscriptionId(1), .. });
    assert_eq!(world.told(C1).iter().filter(|tell| answered(tell)).count(), 1);
    assert_eq!(found(&mut world), [row("hall/a", 1)]);
}

#[test]
fn the_last_options_of_many_in_one_breath_are_held() {
    let mut world = entered();
    for options in [1, 0, 1, 2, 0] {
        world.ask(C1, subscribe(0, "hall/a", options));
    }
    world.ask(C1, subscribe(1, "hall/b", 1));
    settle(&mut world);
    let answers = world.told(C1).iter().filter(|tell| matches!(tell, Tell::Subscribed { .. })).count();
    assert_eq!(answers, 6);
    assert_eq!(found(&mut world), [row("hall/a", 0), row("hall/b", 1)]);
}

#[test]
fn giving_up_is_answered_when_it_is_durable() {
    let mut world = entered();
    world.ask(C1, subscribe(0, "hall/a", 1));
    settle(&mut world);
    world.told(C1);
    world.ask(C1, unsubscribe(0));
    assert_eq!(world.told(C1), []);
    settle(&mut world);
    assert_eq!(world.told(C1), [Tell::Unsubscribed { subscription: SubscriptionId(0) }]);
}

#[test]
fn a_session_that_is_given_up_is_not_found_by_who_comes_right_after() {
    let mut world = entered();
    world.ask(C1, subscribe(0, "hall/a", 1));
    settle(&mut world);
    world.ask(C1, Ask::Leave { cause: NORMAL.to_owned(), expiry_s: Some(0) });
    world.enter(C2, Some(session()), None);
    world.input(Input::Closed { connection: C1 });
    settle(&mut world);
    let told = world.told(C2);
    assert!(matches!(&told[..], [Tell::Entered { session, .. }] if !session.present), "{told:?}");
    assert_eq!(world.instance.sessions(), 1, "and its own one stays");
}

#[test]
fn a_session_ends_with_its_expiry_and_not_with_the_next_look() {
    let mut world = World::new();
    world.enter(C1, Some(SessionRequest { expiry_s: 3, ..session() }), None);
    world.commit();
    world.input(Input::Closed { connection: C1 });
    settle(&mut world);
    world.now.wall = world.now.wall.plus_s(4);
    world.now.time = world.now.time.plus(std::time::Duration::from_secs(4));
    let newcomer = ConnectionId(3);
    world.enter(newcomer, Some(session()), None);
    settle(&mut world);
    let told = world.told(newcomer);
    assert!(matches!(&told[..], [Tell::Entered { session, .. }] if !session.present), "{told:?}");
}

/// A batch at QoS 2 of a session, of these packet ids.
fn batch(world: &World, ticket: u64, session: u64, ids: std::ops::RangeInclusive<u16>) -> Ask {
    let (mut entries, count) = (Vec::new(), ids.len() as u32);
    for id in ids {
        let packet_id = (session > 0).then_some(PacketId { session, id });
        let publication = Publication { qos: 2, packet_id, ..Publication::new(ContentType::Octets, b"") };
        publication.write_frame(&mut entries, RouteNumber(0), world.now.stamp());
    }
    let aliases = vec![(0, Target::Topic("hall/a".to_owned()))];
    Ask::Publish(Intake { ticket, seen: 0, aliases, entries: entries.into(), count })
}

#[test]
fn who_never_says_pubrel_is_refused_more_of_qos_2_until_it_does() {
    let mut world = World::new();
    let mut numbers = Vec::new();
    for n in 1..=4 {
        world.enter(ConnectionId(n), Some(SessionRequest { id: n.to_string(), ..session() }), None);
        settle(&mut world);
        let told = world.told(ConnectionId(n));
        numbers.extend(told.iter().find_map(|tell| match tell {
            Tell::Entered { session, .. } => Some(session.number),
            _ => None,
        }));
    }
    let mut ticket = 0;
    let mut publish = |world: &mut World, n: u64, session, ids| {
        ticket += 1;
        world.ask(ConnectionId(n), batch(world, ticket, session, ids));
        settle(world);
        world.told(ConnectionId(n)).into_iter().find_map(|tell| match tell {
            Tell::Stored { refused, .. } => Some(refused.len()),
            _ => None,
        })
    };
    for n in 1..=3 {
        for first in (1..u16::MAX).step_by(3855) {
            let ids = first..=first + 3854;
            assert_eq!(publish(&mut world, n, numbers[n as usize - 1], ids), Some(0), "{n} {first}");
        }
    }
    assert_eq!(publish(&mut world, 4, numbers[3], 1..=3), Some(0));
    assert_eq!(publish(&mut world, 4, numbers[3], 4..=5), Some(2), "none of it");
    assert_eq!(publish(&mut world, 4, 0, 4..=5), Some(0), "what needs no memory is taken");
    world.ask(ConnectionId(4), Ask::Release { ticket: 1_000, ids: vec![1] });
    settle(&mut world);
    assert_eq!(publish(&mut world, 4, numbers[3], 4..=5), Some(0));
}
