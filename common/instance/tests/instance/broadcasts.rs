//! What is said to all devices of a room: whom it reaches, what of it is on the disk, and what became of it.

use crate::world::*;
use bytes::Bytes;
use riser_gate::{ClientConfig, DeviceKey, Directory, GrantConfig, TokenHash, config::Rights, config::Whom};
use riser_instance::{Became, Broadcast, Broadcasted, Input};
use riser_model::{
    ClientId, Epoch, LogId, Position, Right, RoomId, Route, RouteNumber, Run, Seq, Stamp, Wall,
    door::{Ask, Code},
    event::{PublishedAs, Scope, SystemEvent},
};
use riser_rooms::Input as BusInput;
use riser_wire::{
    cloud_event::{self, About},
    entry::{ContentType, Publication},
};
use std::sync::Arc;
use uuid::Uuid;

fn id(n: u128) -> ClientId {
    ClientId(Uuid::from_u128(100 + n))
}

/// So many devices with keys, called `pump-1` and so on, of which `pump-1` has a token too, and a client that has only one.
fn house(devices: u16) -> World {
    let mut world = World::new();
    world.change(|config| {
        let client = |n: u16, keys: Vec<DeviceKey>| ClientConfig {
            id: Some(id(u128::from(n))),
            keys,
            tokens: vec![TokenHash::of(format!("pump-{n}").as_bytes())],
            ..ClientConfig::new(format!("pump-{n}").parse().unwrap())
        };
        config.client = (1..=devices).map(|n| client(n, vec![key(n)])).collect();
        config.client.push(client(0, Vec::new()));
        config.room[0].grant.push(GrantConfig {
            to: Whom::Everyone,
            right: Rights(vec![Right::Subscribe]),
            channels: "#".parse().unwrap(),
            deny: false,
        });
    });
    world
}

fn key(n: u16) -> DeviceKey {
    let mut key = [0; 32];
    key[..2].copy_from_slice(&n.to_be_bytes());
    DeviceKey(key)
}

fn directory(world: &World) -> Arc<Directory> {
    world.directory()
}

fn hall(world: &World) -> RoomId {
    RoomId::of(world.account(), "hall")
}

fn say(world: &mut World, broadcast: u64, bytes: usize, expires_s: Option<u32>) -> Result<usize, Code> {
    let said = said(world, broadcast, bytes, expires_s);
    let (directory, now) = (directory(world), world.now);
    let count = world.instance.broadcast(&directory, said, now);
    world.drain();
    count.map_err(|refusal| refusal.code)
}

fn said(world: &World, broadcast: u64, bytes: usize, expires_s: Option<u32>) -> Broadcast {
    Broadcast {
        id: broadcast,
        place: (world.account(), hall(world)),
        client: ClientId::SYSTEM,
        channel: "mode".parse().unwrap(),
        content_type: "application/octet-stream".to_owned(),
        payload: Bytes::from(vec![7; bytes]),
        expires_s,
    }
}

fn looked(world: &World, broadcast: u64, after: usize) -> Broadcasted {
    world.instance.broadcasted((world.account(), hall(world)), broadcast, after).unwrap()
}

fn became(world: &World, broadcast: u64) -> Vec<Became> {
    looked(world, broadcast, 0).reached.into_iter().map(|one| one.became).collect()
}

fn device(world: &mut World, n: u128) {
    let token = riser_model::door::Secret(Bytes::from(format!("pump-{n}")));
    world.listening_to_tokens();
    world.show(riser_model::ConnectionId(n as u64 + 10), riser_model::door::Credential::Token(token), None);
}

#[test]
fn a_broadcast_is_one_publication_to_each_device_that_has_a_key_and_to_nobody_else() {
    let mut world = house(2);
    // Guest has a key, and is a person.
    assert_eq!(say(&mut world, 5, 3, None), Ok(2));
    assert_eq!(became(&world, 5), [Became::Unstored, Became::Unstored]);
    assert!(!world.instance.is_broadcast_stored(5));
    world.commit();
    assert!(world.instance.is_broadcast_stored(5));
    let expected = [1, 2].map(|n| (format!("{}/mode", id(n)), vec![7; 3]));
    assert_eq!(world.published, expected);
    assert_eq!(became(&world, 5), [Became::Pending, Became::Pending]);
    assert_eq!(looked(&world, 5, 0).counts, [("pending", 2)].into());
    let elsewhere = (world.account(), RoomId::of(world.account(), "vault"));
    assert_eq!(world.instance.broadcasted(elsewhere, 5, 0), None, "another room's");
    assert_eq!(world.instance.broadcasted((world.account(), hall(&world)), 6, 0), None);
}

#[test]
fn who_is_here_and_came_by_something_else_than_its_key_is_not_reached() {
    let mut world = house(2);
    device(&mut world, 1);
    assert_eq!(say(&mut world, 5, 3, None), Ok(1));
    world.commit();
    assert_eq!(looked(&world, 5, 0).reached[0].name.as_str(), "pump-2");
}

#[test]
fn what_became_of_a_broadcast_is_known_of_each_device() {
    let mut world = house(4);
    assert_eq!(say(&mut world, 5, 3, Some(5)), Ok(4));
    world.commit();
    let seq = world.last_published();
    let position = Position { seq, ..Position { log: LogId(1), epoch: Epoch(1), seq } };
    device(&mut world, 4);
    world.ask(riser_model::ConnectionId(14), Ask::Delivered { at: vec![position] });
    assert_eq!(became(&world, 5)[3], Became::Delivered);
    // The log lets go of the first two.
    let (oldest, oldest_at) = (Seq(seq.0 - 1), world.now.wall);
    world.input(Input::Rooms(BusInput::Trimmed { oldest, oldest_at, gaps: Vec::new() }));
    assert_eq!(became(&world, 5)[0], Became::Failed("gone".to_owned()));
    world.wait(10);
    let gone = || Became::Failed("gone".to_owned());
    assert_eq!(became(&world, 5), [gone(), gone(), Became::Expired, Became::Delivered]);
    let counts = looked(&world, 5, 0).counts;
    assert_eq!(counts, [("failed", 2), ("expired", 1), ("delivered", 1)].into());
    world.restart();
    assert_eq!(world.instance.broadcasted((world.account(), hall(&world)), 5, 0), None, "it is forgotten");
}

#[test]
fn a_broadcast_is_bounded_and_stored_part_by_part() {
    let mut world = house(200);
    let largest = 256 * 1024;
    assert_eq!(say(&mut world, 5, largest + 1, None), Err(Code::TooLarge));
    assert_eq!(say(&mut world, 5, largest * 2, None), Err(Code::TooLarge));
    // Two hundred of them are 50 MiB.
    assert_eq!(say(&mut world, 5, largest, None), Ok(200));
    assert_eq!(say(&mut world, 6, 1, None), Err(Code::TooMany), "one at a time");
    let mut parts = 0;
    while !world.instance.is_broadcast_stored(5) {
        let before = world.published.len();
        world.commit();
        let stored = world.published.len() - before;
        assert!(stored <= 4, "{stored} of the largest at once");
        parts += 1;
    }
    assert_eq!((world.published.len(), parts), (200, 50));
    let first = looked(&world, 5, 0);
    assert_eq!((first.devices, first.reached.len(), first.next), (200, 200, None));
    let mut world = house(201);
    assert_eq!(say(&mut world, 7, 1, None), Ok(201));
    while !world.instance.is_broadcast_stored(7) {
        world.commit();
    }
    assert_eq!(looked(&world, 7, 0).next, Some(200));
    assert_eq!((looked(&world, 7, 200).reached.len(), looked(&world, 7, 200).next), (1, None));
    let mut world = house(300);
    let (most, count) = (64 * 1024 * 1024 / 300, 300);
    assert_eq!(say(&mut world, 8, most + 1, None), Err(Code::TooLarge), "all copies together");
    assert_eq!(say(&mut world, 8, most, None), Ok(count));
}

#[test]
fn a_broadcast_of_a_type_that_no_publication_may_have_is_refused_and_reaches_no_device() {
    let mut world = house(2);
    let typed = |world: &mut World, id: u64, content_type: &str| {
        let said = Broadcast { content_type: content_type.to_owned(), ..said(world, id, 3, None) };
        let (directory, now) = (directory(world), world.now);
        let count = world.instance.broadcast(&directory, said, now);
        world.drain();
        world.commit();
        count
    };
    for (id, wrong) in (1..).zip(["", "a\u{0}b", "tëxt", "a\nb", &"a".repeat(256)]) {
        let refused = typed(&mut world, id, wrong).unwrap_err();
        assert_eq!((refused.code, refused.what.as_str()), (Code::Malformed, "a broadcast with a wrong type"));
        assert!(refused.want.contains("1 to 255 visible"), "{wrong:?}: {}", refused.want);
    }
    assert_eq!(world.published, []);
    for (id, right) in (9..).zip(["text/plain; charset=utf-8", &"a".repeat(255)]) {
        assert_eq!(typed(&mut world, id, right).ok(), Some(2), "{right}");
    }
    assert_eq!(world.published.len(), 4);
}

#[test]
fn what_a_log_does_not_take_of_a_broadcast_failed_and_the_last_ones_are_remembered() {
    let mut world = house(2);
    assert_eq!(say(&mut world, 1, 3, None), Ok(2));
    world.fail();
    assert_eq!(became(&world, 1), [(); 2].map(|()| Became::Failed("log_failing".to_owned())));
    for broadcast in 2..=20 {
        assert_eq!(say(&mut world, broadcast, 3, None), Ok(2));
        world.commit();
    }
    let hall = hall(&world);
    let kept = |n: &u64| world.instance.broadcasted((world.account(), hall), *n, 0).is_some();
    assert_eq!((1..=20).filter(kept).collect::<Vec<_>>(), (5..=20).collect::<Vec<_>>());
}

#[test]
fn a_room_s_quota_counts_a_broadcast_and_what_is_beyond_it_is_not_stored() {
    let mut world = house(3);
    world.change(|config| config.room[0].quota.messages = Some(2));
    assert_eq!(say(&mut world, 5, 3, None), Ok(3));
    world.commit();
    let full = Became::Failed("quota_exceeded".to_owned());
    assert_eq!(became(&world, 5), [Became::Pending, Became::Pending, full]);
    assert_eq!(world.published.len(), 2);
}

#[test]
fn what_an_edge_says_of_a_device_is_in_the_answer_until_the_device_has_it() {
    let mut world = house(4);
    assert_eq!(say(&mut world, 5, 3, Some(60)), Ok(4));
    world.commit();
    let publish_id = |n| PublishedAs { producer: 5, n };
    let entry = |log| Position { log: LogId(log), epoch: Epoch(1), seq: Seq(1) };
    let client = ClientId::SYSTEM;
    let expired = |n, log| SystemEvent::Expired { entry: entry(log), client, publish_id: publish_id(n) };
    let failed = |n| {
        let code = "refused".to_owned();
        SystemEvent::Failed { entry: entry(1), client, publish_id: publish_id(n), code }
    };
    let delivered = |n| {
        let to = "pump".parse().unwrap();
        SystemEvent::Delivered { entry: entry(1), client, publish_id: publish_id(n), to }
    };
    let refused = || Became::Failed("refused".to_owned());
    edge_says(&mut world, 1, "hall", &[expired(1, 1), failed(2), expired(3, 7), failed(9)]);
    edge_says(&mut world, 5, "vault", &[failed(4)]);
    let pending = || Became::Pending;
    assert_eq!(became(&world, 5), [Became::Expired, refused(), pending(), pending()]);
    edge_says(&mut world, 6, "hall", &[failed(1), delivered(2), delivered(3)]);
    edge_says(&mut world, 9, "hall", &[expired(2, 1)]);
    let has = || Became::Delivered;
    assert_eq!(became(&world, 5), [Became::Expired, has(), has(), pending()]);
    // It is an edge's word, and costs no more than a word.
    let code = "\u{e9}".repeat(100_000);
    let much = SystemEvent::Failed { entry: entry(1), client, publish_id: publish_id(4), code };
    edge_says(&mut world, 10, "hall", &[much]);
    assert_eq!(became(&world, 5).last(), Some(&Became::Failed("\u{e9}".repeat(64))));
}

/// An edge brings, from that seq of its log on, what it says of publications in a room.
fn edge_says(world: &mut World, first: u64, room: &str, events: &[SystemEvent]) {
    let scope = Scope::Room(RoomId::of(world.account(), room));
    let route = |channel: &str| Route {
        room: scope.room(),
        channel: channel.parse().unwrap(),
        client: ClientId::SYSTEM,
    };
    let (mut entries, mut routes) = (Vec::new(), Vec::new());
    for (n, event) in (0..).zip(events) {
        let about = About {
            log: LogId(9),
            id: (Epoch(50), u64::from(n)),
            scope,
            name: Some(room),
            wall: Wall(0),
            count: 1,
        };
        let payload = cloud_event::payload(about, event);
        let publication = Publication::new(ContentType::Json, &payload);
        publication.write_frame(&mut entries, RouteNumber(n), Stamp::default());
        routes.push(route(event.kind()));
    }
    let count = events.len() as u32;
    let run = Run::Entries { first: Seq(first), count, epoch: Epoch(50), entries: entries.into() };
    world.brings(LogId(9), run, routes, route("overflow"));
}

#[test]
fn a_broadcast_that_is_of_use_for_no_second_is_refused_and_reaches_no_device() {
    let mut world = house(2);
    let said = said(&world, 5, 3, Some(0));
    let (directory, now) = (directory(&world), world.now);
    let refused = world.instance.broadcast(&directory, said, now).unwrap_err();
    assert_eq!(refused.code, Code::Malformed);
    assert!(refused.what.contains("0 seconds") && refused.want.contains("1 to 4294967295"), "{refused:?}");
    world.drain();
    world.commit();
    assert_eq!(world.published, []);
    assert_eq!(say(&mut world, 6, 3, Some(1)), Ok(2));
}
