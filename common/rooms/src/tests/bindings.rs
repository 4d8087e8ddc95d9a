//! Topics of devices that know nothing of rooms: which room and channel a binding makes of them.

use super::{script::*, writers::world};
use crate::Input;
use riser_model::{
    Binding,
    door::{Flow, From},
};

/// A site whose devices know nothing of rooms.
#[test]
fn the_room_of_a_binding_of_everything_is_the_root_of_topics_both_ways() {
    let mut world = world();
    let root =
        Binding { topics: "#".parse().unwrap(), room: "a".parse().unwrap(), strip: 0, prefix: String::new() };
    world.input(Input::Reconfigured { rooms: world.rooms.clone(), bindings: vec![root] });
    for (n, (filter, channels)) in [
        ("é/temp", vec!["é/temp"]),
        ("#", vec!["é/temp", "/leading", "b/x"]),
        ("+/x", vec!["b/x"]),
        ("/#", vec!["/leading"]),
    ]
    .into_iter()
    .enumerate()
    {
        let n = n as u64 + 2;
        world.open(n);
        world.subscribe(n, 0, topic(filter), From::Live, Flow::Credit);
        world.publish(1, &[("é/temp", "1"), ("/leading", "2"), ("b/x", "3")]);
        let all = world.all(n);
        let got: Vec<(&str, bool)> = all
            .iter()
            .filter_map(delivery)
            .map(|delivery| (delivery.content.route.channel.as_str(), delivery.content.rooted))
            .collect();
        let wanted: Vec<(&str, bool)> = channels.into_iter().map(|channel| (channel, true)).collect();
        assert_eq!(got, wanted, "{filter}");
    }
}

#[test]
fn bindings_come_first_and_the_first_that_matches_wins() {
    let mut world = world();
    let binding = |topics: &str, strip, prefix: &str| Binding {
        topics: topics.parse().unwrap(),
        room: "b".parse().unwrap(),
        strip,
        prefix: prefix.into(),
    };
    let bindings = vec![
        binding("zigbee/+/state", 1, "devices/{client}/"),
        binding("zigbee/#", 0, ""),
        binding("flat", 1, "one"),
    ];
    world.input(Input::Reconfigured { rooms: world.rooms.clone(), bindings });
    world.publish(1, &[("zigbee/lamp/state", ""), ("zigbee/lamp/x", ""), ("flat", ""), ("a/zigbee", "")]);
    let places: Vec<_> = world
        .storage
        .routes
        .values()
        .map(|route| {
            let room = world.rooms.iter().find(|room| room.id == route.room).unwrap();
            format!("{}:{}", room.name, route.channel)
        })
        .collect();
    assert_eq!(places, ["b:devices/user-1/lamp/state", "b:zigbee/lamp/x", "b:one", "a:zigbee"]);
}
