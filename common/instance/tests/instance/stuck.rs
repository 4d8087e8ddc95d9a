//! A thousand who stand still at a gate: they disturb nobody who was let in, and leave when their time is up.

use crate::world::*;
use riser_model::{
    ConnectionId,
    door::{Ask, Credential, Method},
};

#[test]
fn thousand_that_are_stuck_at_a_gate_leave_when_their_time_is_up() {
    let mut world = World::gated("['key']", "");
    world.enter(C1, None, Some("cellar"));
    assert!(world.entered(C1));
    for n in 1000..2000 {
        let connection = ConnectionId(n);
        match n % 3 {
            0 => world.open(connection),
            1 => world.enter(connection, None, Some("hall")),
            _ => {
                world.open(connection);
                let (account, name) = (None, "acme/boss".to_owned());
                let credential = Credential::Claim { account, name, method: Method::Secret };
                world.ask(connection, Ask::Enter { credential, session: None, room: None });
            }
        }
    }
    assert_eq!(world.instance.connections(), 1001);
    world.wait(6);
    assert_eq!(world.instance.connections(), 1, "who was admitted stays, and nobody else");
}
