//! The quarantine: what lies there is listed, shown, placed once, or given up, by those who administer the account.

use crate::world::*;
use riser_instance::Input;
use riser_model::{
    AccountId, ClientId, ConnectionId, Deed, Position, RoomId, Route, RouteNumber, Stamp,
    door::{Ask, Code, Tell},
    look::{Care, Detained, Look, Seen},
};
use riser_rooms::{Append, Input as BusInput};
use riser_wire::entry::{ContentType, Kind, PacketId, Publication};
use uuid::Uuid;

const ACCOUNT: AccountId = AccountId(Uuid::from_u128(1));

/// One entry lies in quarantine that was meant for `a/b` in the hall.
fn world() -> World {
    lying(World::new(), 1)
}

/// So many of them.
fn lying(mut world: World, count: usize) -> World {
    world.enter_as(C2, "boss", None);
    let channel = format!("denied/{}/a/b", RoomId::of(ACCOUNT, "hall"));
    let room = RoomId::of(ACCOUNT, "quarantine");
    let route = Route { room, channel: channel.parse().unwrap(), client: ClientId(Uuid::from_u128(9)) };
    let mut publication = Publication::new(ContentType::Text, b"held");
    (publication.qos, publication.packet_id) = (2, Some(PacketId { session: 3, id: 4 }));
    let mut entries = Vec::new();
    for _ in 0..count {
        publication.write_frame(&mut entries, RouteNumber(0), Stamp::default());
    }
    world.input(Input::Rooms(BusInput::Append(Append::new(5, vec![route], entries))));
    world.commit();
    world.published.clear();
    world.told(C2);
    world
}

fn ask(world: &mut World, connection: ConnectionId, care: Care) {
    world.ask(connection, Ask::Look { id: 7, look: Box::new(Look::Quarantine(care)) });
}

fn answer(world: &mut World, connection: ConnectionId) -> Option<Result<Seen, Code>> {
    world.told(connection).into_iter().find_map(|tell| match tell {
        Tell::Seen { id: 7, result } => Some(result.map_err(|refusal| refusal.code)),
        _ => None,
    })
}

fn list(world: &mut World) -> Vec<Detained> {
    ask(world, C2, Care::List { after: None, most: 10 });
    world.read();
    match answer(world, C2) {
        Some(Ok(Seen::Quarantine(quarantine))) => quarantine.detained,
        other => panic!("{other:?}"),
    }
}

fn entry(world: &mut World) -> Position {
    let [one] = &list(world)[..] else { panic!("one entry lies there") };
    let (room, channel) = one.meant.clone().unwrap();
    assert_eq!((&one.code[..], &room[..], channel.as_str()), ("denied", "hall", "a/b"));
    one.entry
}

fn release(entry: Position) -> Care {
    Care::Release { entry, reason: "granted since".into() }
}

#[test]
fn an_entry_is_released_once_however_often_it_is_asked_and_over_a_restart() {
    let mut world = world();
    let entry = entry(&mut world);
    ask(&mut world, C2, release(entry));
    world.read();
    ask(&mut world, C2, release(entry));
    world.read();
    assert_eq!(answer(&mut world, C2), Some(Err(Code::WrongState)), "it is on its way to the disk");
    world.commit();
    let Some(Ok(Seen::Released(at))) = answer(&mut world, C2) else { panic!("it is placed") };
    assert!(at.seq > entry.seq);
    assert_eq!(world.published, [("a/b".to_owned(), b"held".to_vec())]);
    for restarted in [false, true] {
        if restarted {
            world.restart();
            world.enter_as(C2, "boss", None);
            world.told(C2);
        }
        assert_eq!(list(&mut world), []);
        ask(&mut world, C2, release(entry));
        world.read();
        assert_eq!(answer(&mut world, C2), Some(Err(Code::UnknownPosition)));
    }
    assert_eq!(world.published.len(), 1);
}

#[test]
fn who_settled_an_entry_and_why_is_said_in_the_commit_that_settles_it_each_by_itself() {
    let mut world = lying(World::new().speaking(), 40);
    world.commit();
    let mut before = world.batches().len();
    ask(&mut world, C2, Care::List { after: None, most: 50 });
    world.read();
    let Some(Ok(Seen::Quarantine(all))) = answer(&mut world, C2) else { panic!("they lie there") };
    for (n, one) in all.detained.iter().enumerate() {
        let reason = format!("reason {n}");
        let entry = one.entry;
        let care = if n == 0 { Care::Release { entry, reason } } else { Care::Drop { entry, reason } };
        ask(&mut world, C2, care);
        world.read();
        world.commit();
        let settled = &world.batches()[before..];
        before += settled.len();
        let (kinds, said): (Vec<Kind>, Vec<String>) = settled[0].iter().cloned().unzip();
        let (event, what) = if n == 0 { (2, "released") } else { (1, "dropped") };
        assert_eq!(kinds[event - 1..], [Kind::Settled, Kind::Publication], "in one commit");
        for part in [format!("riser.{what}"), format!("reason {n}\""), "\"by\":\"boss\"".to_owned()] {
            assert!(said[event].contains(&part), "{part} in {said:?}");
        }
        let deed = if n == 0 { Deed::Released } else { Deed::Dropped };
        let audited = world.audited.last().unwrap();
        assert!(audited.deed == deed && audited.why.ends_with(&format!(": reason {n}")), "{audited:?}");
        assert_eq!(audited.name.as_ref().map(ToString::to_string).as_deref(), Some("boss"));
    }
}

#[test]
fn a_release_that_did_not_reach_the_disk_never_was() {
    let mut world = world();
    let entry = entry(&mut world);
    ask(&mut world, C2, release(entry));
    world.read();
    world.restart();
    world.enter_as(C2, "boss", None);
    world.told(C2);
    assert_eq!(list(&mut world).len(), 1);
    assert_eq!(world.published, []);
    ask(&mut world, C2, release(entry));
    world.read();
    world.commit();
    assert!(matches!(answer(&mut world, C2), Some(Ok(Seen::Released(_)))));
    assert_eq!(world.published.len(), 1);
}

#[test]
fn an_entry_is_shown_and_given_up_by_admins_and_by_nobody_else() {
    let mut world = world();
    let entry = entry(&mut world);
    world.enter(C1, None, None);
    world.told(C1);
    for care in [Care::List { after: None, most: 1 }, Care::Inspect { entry }, release(entry)] {
        ask(&mut world, C1, care);
        world.read();
        assert_eq!(answer(&mut world, C1), Some(Err(Code::Denied)));
    }
    ask(&mut world, C2, Care::Inspect { entry });
    world.read();
    let Some(Ok(Seen::Detained(one, body))) = answer(&mut world, C2) else { panic!("it is shown") };
    assert!(one.entry == entry && body.ends_with(b"held"));
    ask(&mut world, C2, Care::Drop { entry, reason: "of no use".into() });
    world.read();
    world.commit();
    assert_eq!(answer(&mut world, C2), Some(Ok(Seen::Dropped)));
    assert_eq!((list(&mut world), world.published.len()), (vec![], 0));
}
