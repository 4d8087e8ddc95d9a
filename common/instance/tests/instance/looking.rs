//! Who is in a room, page by page.

use crate::world::*;
use riser_model::{
    ConnectionId, SubscriptionId,
    door::{Ask, Flow, From, Showing, Tell, Want},
    look::{Look, Presence, Seen},
};
use std::collections::BTreeSet;

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
