//! Groups that share a subscription, when a session holds one: what a restart finds is what was acknowledged.

use crate::world::*;
use bytes::Bytes;
use riser_instance::Input;
use riser_model::{
    ConnectionId, RouteNumber, Seq, ShareKey, ShareState, ShareWant, SubscriptionId,
    door::{Ask, Flow, From, Intake, Keep, Loose, Push, SessionRequest, Showing, Target, Tell, Want},
};
use riser_wire::entry::{ContentType, Publication};

const FILTER: &str = "$share/g/hall/#";
const PUBLISHER: ConnectionId = ConnectionId(9);

fn subscribe(kept: bool) -> Ask {
    let (filter, topic) = (FILTER.to_owned(), "hall/#".to_owned());
    Ask::Subscribe {
        subscription: SubscriptionId(0),
        want: Want::Shared(Box::new(ShareWant { filter, topic, most: 100, kept, own: vec![] })),
        from: From::Live,
        flow: Flow::Credit,
        keep: kept.then_some(Keep { options: 1, identifier: 0 }),
        retained: Showing::Nothing,
    }
}

fn settle(world: &mut World) {
    while !world.waiting.is_empty() {
        world.commit();
    }
}

/// C1 is a member whose session is kept, C2 one whose session is not.
fn members() -> World {
    let mut world = World::new();
    world.enter(C1, Some(session()), None);
    world.enter(C2, Some(SessionRequest { id: "other".to_owned(), expiry_s: 0, ..session() }), None);
    world.enter(PUBLISHER, None, None);
    settle(&mut world);
    for (connection, kept) in [(C1, true), (C2, false)] {
        world.ask(connection, subscribe(kept));
        settle(&mut world);
    }
    world.tells.clear();
    world
}

fn publish(world: &mut World, count: u64) {
    for ticket in 1..=count {
        let mut entries = Vec::new();
        let publication = Publication { qos: 1, ..Publication::new(ContentType::Octets, b"x") };
        publication.write_frame(&mut entries, RouteNumber(0), world.now.stamp());
        let aliases = vec![(0, Target::Topic("hall/a".to_owned()))];
        world.ask(
            PUBLISHER,
            Ask::Publish(Intake {
                ticket,
                seen: ticket - 1,
                aliases,
                entries: Bytes::from(entries),
                count: 1,
            }),
        );
    }
    settle(world);
}

fn pull(world: &mut World, connection: ConnectionId) -> Vec<Seq> {
    world.tells.clear();
    world.ask(connection, Ask::Pull { bytes: 100_000, stands: false });
    let pushes = world.told(connection).into_iter().filter_map(|tell| match tell {
        Tell::Deliver { pushes, .. } => Some(pushes),
        _ => None,
    });
    let seqs = pushes.flatten().filter_map(|push| match push {
        Push::Publication(delivery) => delivery.pos.map(|pos| pos.seq),
        _ => None,
    });
    seqs.collect()
}

fn done(world: &mut World, connection: ConnectionId, done: &[Seq]) {
    let (subscription, done, returned) = (SubscriptionId(0), done.to_vec(), vec![]);
    world.ask(connection, Ask::Settle { subscription, done, returned });
}

fn state(world: &World) -> Option<ShareState> {
    world.instance.bus().share(&ShareKey { account: world.account(), filter: FILTER.to_owned() })
}

/// What is nobody's or ahead, as a restart finds it: every seq of a publication that some member will get.
fn owed(world: &mut World) -> Vec<Seq> {
    world.restart();
    settle(world);
    let state = state(world).expect("a session holds it");
    let ahead = state.cursor.seq.0 + 1..=world.instance.bus().committed().0;
    let ahead = ahead.map(Seq).filter(|seq| !state.taken.contains(seq) && world.is_publication(*seq));
    state.open.iter().copied().chain(ahead).collect()
}

#[test]
fn suback_of_a_kept_member_waits_for_its_record() {
    let mut world = World::new();
    world.enter(C1, Some(session()), None);
    settle(&mut world);
    world.tells.clear();
    world.ask(C1, subscribe(true));
    assert_eq!(world.told(C1), []);
    settle(&mut world);
    assert!(matches!(&world.told(C1)[..], [Tell::Subscribed { result: Ok(_), .. }]));
}

#[test]
fn nothing_is_lost_over_a_restart_and_what_was_acknowledged_does_not_come_again() {
    let mut world = members();
    publish(&mut world, 10);
    let own = pull(&mut world, C1);
    let others = pull(&mut world, C2);
    assert!(own.len() > 2 && others.len() > 1, "{own:?} {others:?}");
    done(&mut world, C1, &own[..2]);
    done(&mut world, C2, &others[..1]);
    let all: Vec<Seq> = [&own[2..], &others[1..]].concat();
    world.wait(2);
    let mut owed = owed(&mut world);
    owed.sort_unstable();
    let rest = owed.iter().filter(|seq| !all.contains(seq)).count();
    assert!(all.iter().all(|seq| owed.contains(seq)), "{all:?} {owed:?}");
    assert_eq!(rest, 10 - own.len() - others.len(), "nothing that was acknowledged");
}

#[test]
fn a_restart_before_that_was_noted_sends_again_and_loses_nothing() {
    let mut world = members();
    publish(&mut world, 4);
    let own = pull(&mut world, C1);
    done(&mut world, C1, &own);
    assert_eq!(owed(&mut world).len(), 4);
}

#[test]
fn what_a_session_has_at_qos_2_is_for_nobody_else_not_even_when_it_ends() {
    let mut world = members();
    publish(&mut world, 4);
    let own = pull(&mut world, C1);
    let first = world.instance.bus().position(own[0]);
    let sent = vec![(1, SubscriptionId(0), first)];
    let (released, left, loose, done) = (vec![], vec![], vec![], vec![]);
    world.ask(C1, Ask::HandOver { ticket: 1, sent, released, left, loose, done, shown: vec![] });
    world.input(Input::Closed { connection: C1 });
    let others = pull(&mut world, C2);
    assert!(!others.contains(&own[0]), "it is the session's though that is not on disk");
    settle(&mut world);
    assert!(!owed(&mut world).contains(&own[0]));
}

#[test]
fn what_a_session_had_at_qos_1_is_for_another_when_it_ends() {
    let mut world = members();
    publish(&mut world, 4);
    let own = pull(&mut world, C1);
    let first = world.instance.bus().position(own[0]);
    let left = vec![(1, SubscriptionId(0), first)];
    let (sent, released, loose, done) = (vec![], vec![], vec![], vec![]);
    world.ask(C1, Ask::HandOver { ticket: 1, sent, released, left, loose, done, shown: vec![] });
    world.ask(C1, Ask::Leave { cause: "cut".to_owned(), expiry_s: Some(5) });
    settle(&mut world);
    let mut others = Vec::new();
    for _ in 0..6 {
        others.extend(pull(&mut world, C2));
    }
    assert!(!others.contains(&own[0]), "its session keeps it");
    world.wait(30);
    assert_eq!(pull(&mut world, C2), [own[0]]);
}

#[test]
fn what_a_session_had_and_had_not_said_is_for_another_when_it_gives_the_group_up() {
    let mut world = members();
    publish(&mut world, 4);
    let own = pull(&mut world, C1);
    assert!(own.len() > 1, "{own:?}");
    let [said, unsaid] = [own[0], own[1]].map(|seq| world.instance.bus().position(seq));
    let sent = vec![(1, SubscriptionId(0), said), (2, SubscriptionId(0), unsaid)];
    let (released, left, loose, done) = (vec![], vec![], vec![], vec![]);
    world.ask(C1, Ask::HandOver { ticket: 1, sent, released, left, loose, done, shown: vec![] });
    let begun = Loose { id: 1, position: said, at_least_once: false, retained: false };
    let (sent, released, left, done) = (vec![], vec![], vec![], vec![]);
    world.ask(C1, Ask::HandOver { ticket: 2, sent, released, left, loose: vec![begun], done, shown: vec![] });
    world.ask(C1, Ask::Unsubscribe { subscription: SubscriptionId(0) });
    settle(&mut world);
    let mut others = Vec::new();
    for _ in 0..6 {
        others.extend(pull(&mut world, C2));
    }
    assert!(others.contains(&own[1]), "{others:?}");
    assert!(!others.contains(&own[0]), "what was said is its own to finish: {others:?}");
}
