//! Who is in a room, page by page.

use crate::world::*;
use riser_instance::Input;
use riser_model::{
    AccountId, ClientId, ConnectionId, Epoch, LogId, RoomId, Route, RouteNumber, Run, Seq, Stamp,
    SubscriptionId,
    door::{Ask, Flow, From, Showing, Tell, Want},
    look::{Look, Presence, Seen},
};
use riser_wire::{
    entry::{Kind, write_frame},
    membership::Membership,
};
use std::collections::BTreeSet;
use uuid::Uuid;

fn presence(world: &mut World, after: u64) -> Presence {
    let look = Look::Presence { room: "hall".parse().unwrap(), after };
    world.ask(C1, Ask::Look { id: 7, look: Box::new(look) });
    let seen = world.told(C1).into_iter().find_map(|tell| match tell {
        Tell::Seen { id: 7, result } => Some(result.unwrap()),
        _ => None,
    });
    let Some(Seen::Presence(presence)) = seen else { panic!("{seen:?}") };
    presence
}

#[test]
fn a_room_with_very_many_in_it_is_shown_page_by_page() {
    let mut world = World::new();
    world.limit(2000);
    for n in 1..=1001 {
        let connection = ConnectionId(n);
        world.enter(connection, None, None);
        let want = Want::Room("hall".parse().unwrap(), "#".parse().unwrap());
        let (subscription, retained) = (SubscriptionId(1), Showing::Nothing);
        let (from, flow, keep) = (From::Live, Flow::Credit, None);
        world.ask(connection, Ask::Subscribe { subscription, want, from, flow, retained, keep });
    }
    let first = presence(&mut world, 0);
    assert_eq!((first.present.len(), first.more, first.next), (1000, 1, Some(1000)));
    assert!(!first.incomplete);
    let rest = presence(&mut world, 1000);
    assert_eq!((rest.present.len(), rest.more, rest.next), (1, 0, None));
    let all: BTreeSet<ConnectionId> =
        first.present.iter().chain(&rest.present).map(|one| one.connection).collect();
    assert_eq!(all.len(), 1001);
    assert_eq!(presence(&mut world, u64::MAX).present, []);
}

/// Ann comes into the hall behind an edge.
fn ann_comes(world: &mut World, log: LogId) {
    let (room, client) = (RoomId::of(AccountId(Uuid::from_u128(1)), "hall"), ClientId(Uuid::from_u128(9)));
    let (epoch, connection, name) = (Epoch(1), ConnectionId(3), "ann".parse().unwrap());
    let one = Membership { log, epoch, room, connection, client, name, cause: String::new() };
    let mut entries = Vec::new();
    write_frame(&mut entries, RouteNumber(0), Kind::Opened, 0, Stamp::default(), |out| one.write(out));
    let route = |channel: &str| Route { room, channel: channel.parse().unwrap(), client: ClientId::SYSTEM };
    let run = Run::Entries { first: Seq(1), count: 1, epoch, entries: entries.into() };
    world.brings(log, run, vec![route("members")], route("overflow"));
}

/// Of each roll on the disk from there on, whether it names her.
fn rolls(world: &World, from: usize) -> Vec<bool> {
    let rolls = world.batches().into_iter().skip(from).flatten().filter(|(kind, _)| *kind == Kind::Roll);
    rolls.map(|(_, text)| text.contains("ann")).collect()
}

#[test]
fn while_it_is_written_that_a_log_is_no_more_nobody_is_named_behind_it() {
    let mut world = World::new();
    world.link_rooms();
    ann_comes(&mut world, LogId(9));
    world.instance.call_rolls(world.now);
    world.wait(2);
    assert_eq!(rolls(&world, 0).iter().filter(|names| **names).count(), 1);
    world.instance.end_site(LogId(9), "removed", world.now);
    assert!(!world.instance.may_call(), "she is there until that is on the disk");
    world.input(Input::Deadline);
    world.fail();
    assert!(world.instance.may_call(), "it is not written, and she is there");
    let before = world.batches().len();
    world.instance.end_site(LogId(9), "removed", world.now);
    world.instance.end_site(LogId(9), "removed", world.now);
    world.wait(2);
    assert!(world.instance.may_call());
    world.instance.call_rolls(world.now);
    world.wait(2);
    let said = rolls(&world, before);
    assert!(!said.is_empty() && !said.contains(&true), "{said:?}");
    let kinds: Vec<Kind> = world.batches().into_iter().skip(before).flatten().map(|(kind, _)| kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == Kind::Departed).count(), 1);
    let rolls = |kinds: &[Kind]| kinds.iter().all(|kind| *kind == Kind::Roll);
    let at = kinds.iter().position(|kind| *kind == Kind::Departed).unwrap();
    assert!(at == 3 && rolls(&kinds[..at]), "whoever is above is told first, of each room: {kinds:?}");
    assert_eq!(kinds.len(), 7, "what failed the first time is said again: {kinds:?}");
}
