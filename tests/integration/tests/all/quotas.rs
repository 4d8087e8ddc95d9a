//! Rooms' quotas on real sockets: what is owed to somebody reaches him whatever a quota says.

use crate::mqtt_wire::{Mqtt, Version};
use crate::site::{Node, OWNER, PASSWORD, Plan, READER, SENSOR, Site};

/// A room of that program's file takes no more than this.
pub fn bound(node: &Node, room: &str, quota: &str) {
    let text = std::fs::read_to_string(&node.config).unwrap();
    let named = format!("name = \"{room}\"\n");
    assert!(text.contains(&named));
    node.write_config(&text.replace(&named, &format!("{named}quota = {{ {quota} }}\n")));
}

fn enters(node: &Node, user: &str, id: &str, session: (bool, u32)) -> Mqtt {
    Mqtt::connect(node.mqtt, Version::Five, id, (Some(user), PASSWORD), session).unwrap()
}

fn heard(topic: &str, payloads: &[&str]) -> Vec<(String, Vec<u8>, bool)> {
    payloads.iter().map(|payload| (topic.to_owned(), payload.as_bytes().to_vec(), false)).collect()
}

#[test]
fn what_comes_down_reaches_a_device_beyond_the_quota_of_its_edges_room() {
    let mut site = Site::laid_out(Plan::default());
    bound(&site.edge, "orders", "messages = 1, every = \"1h\"");
    site.hub.start();
    site.edge.start();
    let mut device = enters(&site.edge, SENSOR, "valve", (true, 0));
    device.subscribe(&["orders/#".to_owned()], false);
    let mut owner = enters(&site.hub, OWNER, "owner", (true, 0));
    let orders = ["open", "shut", "open again"];
    for order in orders {
        assert!(owner.publish("orders/valve", order.as_bytes(), false).is_some_and(|reason| reason < 0x80));
    }
    device.hears(&heard("orders/valve", &orders));
    let mut local = enters(&site.edge, OWNER, "local", (true, 0));
    assert!(local.publish("orders/valve", b"here", false).is_some_and(|reason| reason < 0x80));
    assert_eq!(
        local.publish("orders/valve", b"too many", false),
        Some(0x97),
        "what is published there is held to it"
    );
}

#[test]
fn what_waits_for_a_session_reaches_it_though_others_have_taken_its_place_in_the_room() {
    let mut site = Site::laid_out(Plan::default());
    bound(&site.hub, "hall", "connections = 1, subscriptions = 1");
    site.hub.start();
    let mut reader = enters(&site.hub, READER, "reader", (true, 3600));
    reader.subscribe(&["hall/#".to_owned()], false);
    reader.disconnect();
    let mut owner = enters(&site.hub, OWNER, "owner", (true, 0));
    let publish = |owner: &mut Mqtt| owner.publish("hall/x", b"waits", false);
    let taken =
        crate::program::wait(crate::program::SOON, || publish(&mut owner).filter(|reason| *reason < 0x80));
    assert!(taken.is_some(), "the place is free by now");
    let mut reader = enters(&site.hub, READER, "reader", (false, 3600));
    reader.hears(&heard("hall/x", &["waits"]));
}

#[test]
fn who_has_used_up_what_a_room_takes_of_one_user_is_refused_on_all_connections_and_others_are_not() {
    let mut site = Site::laid_out(Plan::default());
    bound(&site.edge, "hall", "user_messages = 2, every = \"1h\"");
    site.edge.start();
    let mut both = ["one", "other"].map(|id| enters(&site.edge, OWNER, id, (true, 0)));
    let mut sensor = enters(&site.edge, SENSOR, "sensor", (true, 0));
    let said = |client: &mut Mqtt, topic: &str| client.publish(topic, b"x", false);
    let [one, other] = &mut both;
    let taken = |reason: Option<u8>| reason.is_some_and(|reason| reason < 0x80);
    assert!(taken(said(one, "hall/x")) && taken(said(other, "hall/x")));
    assert_eq!((said(one, "hall/x"), said(other, "hall/y")), (Some(0x97), Some(0x97)));
    assert!(taken(said(other, "orders/x")), "in another room");
    assert!(taken(said(&mut sensor, "sensors/x")) && taken(said(&mut sensor, "sensors/x")));
    assert_eq!(said(&mut sensor, "sensors/x"), Some(0x97));
    assert_eq!(site.edge.metric("riser_room_quota_exceeded", ""), Some(3.0));
}
