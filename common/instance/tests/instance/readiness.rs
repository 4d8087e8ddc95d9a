//! A room that waits for somebody is ready when they are there, and says so.

use crate::world::*;
use riser_model::{
    ConnectionId, SubscriptionId,
    door::{Ask, Flow, From, Showing, Tell, Want},
    look::{Look, Seen},
};

fn absent(world: &mut World, connection: ConnectionId) -> Option<Vec<String>> {
    let look = Look::Presence { room: "cellar".parse().unwrap(), after: 0 };
    world.ask(connection, Ask::Look { id: 7, look: Box::new(look) });
    let seen = world.told(connection).into_iter().find_map(|tell| match tell {
        Tell::Seen { id: 7, result } => Some(result.unwrap()),
        _ => None,
    });
    let Some(Seen::Presence(presence)) = seen else { panic!("{seen:?}") };
    presence.absent.map(|names| names.iter().map(ToString::to_string).collect())
}

fn subscribe(world: &mut World, connection: ConnectionId) {
    let want = Want::Room("cellar".parse().unwrap(), "#".parse().unwrap());
    let subscription = SubscriptionId(1);
    let (from, flow) = (From::Live, Flow::Credit);
    world.ask(
        connection,
        Ask::Subscribe { subscription, want, from, flow, retained: Showing::Nothing, keep: None },
    );
}

#[test]
fn room_is_ready_while_those_it_waits_for_are_there_and_says_when_that_changes() {
    let mut world = World::new().speaking();
    world.enter_as(C1, "guest", None);
    world.enter_as(C2, "boss", None);
    let missing = || Some(vec!["guest".to_owned()]);
    assert_eq!(absent(&mut world, C2), missing());
    subscribe(&mut world, C1);
    assert_eq!(absent(&mut world, C2), Some(vec![]));
    world.ask(C1, Ask::Leave { cause: "done".into(), expiry_s: None });
    assert_eq!(absent(&mut world, C2), missing());
    world.wait(3);
    let ready = world.published.iter().filter(|(channel, _)| channel == "ready");
    let said: Vec<bool> =
        ready.map(|(_, text)| String::from_utf8_lossy(text).contains(r#""ready":true"#)).collect();
    assert_eq!(said, [true, false]);
}
