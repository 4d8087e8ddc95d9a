//! What is made ready once for everybody is what each would have been given.

use super::{readers::*, script::*};
use crate::Input;
use riser_model::{
    Binding,
    door::{Flow, From},
};
use std::sync::Arc;

#[test]
fn everybody_gets_the_same_and_what_rooms_are_meanwhile_counts() {
    let mut world = world();
    let contents = |world: &mut World, n| {
        world.subscribe(n, 1, in_room("a", "#"), From::Start, Flow::Credit);
        let all = world.all(n);
        all.iter().filter_map(delivery).map(|one| Arc::clone(&one.content)).collect::<Vec<_>>()
    };
    (3..6).for_each(|n| world.open(n));
    world.publish(1, &[("a/x", "1")]);
    let (second, third) = (contents(&mut world, 2), contents(&mut world, 3));
    assert!(Arc::ptr_eq(&second[0], &third[0]) && !second[0].rooted, "made once");
    // Its room is the root of topics now.
    let root =
        Binding { topics: "#".parse().unwrap(), room: "a".parse().unwrap(), strip: 0, prefix: String::new() };
    world.input(Input::Reconfigured { rooms: world.rooms.clone(), bindings: vec![root] });
    assert!(contents(&mut world, 4)[0].rooted);
}
