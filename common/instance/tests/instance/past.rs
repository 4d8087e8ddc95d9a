//! A room's past, page by page, and what is said otherwise in a board.

use crate::world::*;
use riser_gate::directory::client_id;
use riser_instance::Input;
use riser_model::{
    AccountId, Cause, ClientId, ConnectionId, Epoch, Gap, LogId, Position, RoomId, Route, RouteNumber, Seq,
    Stamp,
    door::{Ask, Code, Tell},
    look::{Edit, Look, Past, PastWanted, Seen},
};
use riser_rooms::{Append, Input as BusInput};
use riser_wire::entry::{Body, ContentType, Publication};
use uuid::Uuid;

const ACCOUNT: AccountId = AccountId(Uuid::from_u128(1));

fn client(name: &str) -> ClientId {
    client_id(ACCOUNT, &name.parse().unwrap())
}

/// Somebody said these in a room, each in a commit of its own.
fn say(world: &mut World, room: &str, channel: &str, name: &str, texts: &[&str]) {
    for text in texts {
        let route = Route {
            room: RoomId::of(ACCOUNT, room),
            channel: channel.parse().unwrap(),
            client: client(name),
        };
        let mut entries = Vec::new();
        let publication = Publication { qos: 1, ..Publication::new(ContentType::Text, text.as_bytes()) };
        publication.write_frame(&mut entries, RouteNumber(0), Stamp::default());
        world.input(Input::Rooms(BusInput::Append(Append::new(5, vec![route], entries))));
        world.commit();
    }
}

/// The guest is in connection 1, the boss in connection 2.
fn world() -> World {
    let mut world = World::new();
    world.enter_as(C1, "guest", None);
    world.enter_as(C2, "boss", None);
    say(&mut world, "cellar", "news", "guest", &["1", "2", "3", "4", "5"]);
    say(&mut world, "cellar", "aside", "boss", &["6"]);
    say(&mut world, "vault", "news", "boss", &["7"]);
    world.told(C1);
    world.told(C2);
    world
}

fn asked(world: &mut World, connection: ConnectionId, look: Look) -> Result<Seen, Code> {
    world.ask(connection, Ask::Look { id: 7, look: Box::new(look) });
    for _ in 0..100 {
        world.read();
        world.commit();
        let told = world.told(connection).into_iter().find_map(|tell| match tell {
            Tell::Seen { id: 7, result } => Some(result.map_err(|refusal| refusal.code)),
            _ => None,
        });
        if let Some(told) = told {
            return told;
        }
    }
    panic!("no answer");
}

fn page(
    world: &mut World,
    connection: ConnectionId,
    (room, channels): (&str, &str),
    before: Option<Position>,
    most: u32,
) -> Result<Past, Code> {
    let (room, channels) = (room.parse().unwrap(), channels.parse().unwrap());
    match asked(world, connection, Look::Past(PastWanted { room, channels, before, most }))? {
        Seen::Past(past) => Ok(past),
        other => panic!("{other:?}"),
    }
}

fn texts(past: &Past) -> Vec<String> {
    let text = |body: &[u8]| {
        let body = Body::read(body).unwrap();
        let publication = Publication::read(&body).unwrap();
        let edit = publication.replaces.map(|_| "edit ").unwrap_or_default();
        format!("{edit}{}", String::from_utf8_lossy(publication.payload))
    };
    past.entries.iter().map(|one| text(&one.body)).collect()
}

fn edit(world: &mut World, connection: ConnectionId, room: &str, entry: Position) -> Result<Position, Code> {
    let edit = Edit {
        room: room.parse().unwrap(),
        entry,
        content_type: "text/plain".to_owned(),
        payload: "otherwise".into(),
    };
    match asked(world, connection, Look::Edit(edit))? {
        Seen::Edited(at) => Ok(at),
        other => panic!("{other:?}"),
    }
}

#[test]
fn pages_go_backwards_through_the_past_without_hole_or_double() {
    let mut world = world();
    let mut pages = Vec::new();
    let mut before = None;
    loop {
        let past = page(&mut world, C1, ("cellar", "#"), before, 2).unwrap();
        pages.push(texts(&past));
        before = past.next;
        if before.is_none() {
            break;
        }
    }
    let found: Vec<String> = pages.iter().rev().flatten().cloned().collect();
    assert_eq!(found, ["1", "2", "3", "4", "5", "6"], "{pages:?}");
    assert!(pages.iter().all(|page| page.len() <= 2));
    let some = page(&mut world, C1, ("cellar", "news"), None, 3).unwrap();
    assert_eq!(texts(&some), ["3", "4", "5"], "of one channel");
    assert_eq!(page(&mut world, C1, ("cellar", "none"), None, 3), Ok(Past::default()));
}

#[test]
fn what_is_gone_between_the_entries_of_a_page_is_told_there_and_once() {
    let mut world = world();
    let all = page(&mut world, C1, ("cellar", "#"), None, 100).unwrap();
    assert_eq!(all.gaps, []);
    let lost = [all.entries[1].entry.seq, all.entries[2].entry.seq, all.entries[4].entry.seq];
    world.damaged = lost.to_vec();
    for most in 1..8 {
        let (mut found, mut gaps, mut before) = (Vec::new(), Vec::new(), None);
        loop {
            let past = page(&mut world, C1, ("cellar", "#"), before, most).unwrap();
            let between = |gap: &Gap| past.next.is_none_or(|next| gap.from >= next.seq);
            assert!(past.gaps.iter().all(between), "{past:?}");
            found.splice(0..0, texts(&past));
            gaps.splice(0..0, past.gaps);
            before = past.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(found, ["1", "4", "6"]);
        let told: Vec<Seq> = gaps.iter().flat_map(|gap| (gap.from.0..=gap.to.0).map(Seq)).collect();
        assert_eq!(told, lost, "{most} a page");
        assert!(gaps.iter().all(|gap| gap.cause == Cause::Damage));
    }
}

#[test]
fn past_is_shown_to_those_who_may_read_it_and_of_this_log_only() {
    let mut world = world();
    assert_eq!(page(&mut world, C1, ("vault", "#"), None, 9), Err(Code::Denied));
    assert_eq!(page(&mut world, C1, ("nowhere", "#"), None, 9), Err(Code::Denied), "the same");
    assert_eq!(texts(&page(&mut world, C2, ("vault", "#"), None, 9).unwrap()), ["7"]);
    let first = page(&mut world, C1, ("cellar", "#"), None, 9).unwrap().entries[0].entry;
    for wrong in [
        Position { log: LogId(9), ..first },
        Position { epoch: Epoch(77), ..first },
        Position { seq: Seq(999), ..first },
    ] {
        assert_eq!(page(&mut world, C1, ("cellar", "#"), Some(wrong), 9), Err(Code::UnknownPosition));
    }
    assert_eq!(page(&mut world, C1, ("cellar", "#"), Some(first), 9).unwrap().entries, []);
}

#[test]
fn an_edit_is_its_author_s_or_an_admin_s_and_names_the_first_wording() {
    let mut world = world();
    let all = page(&mut world, C1, ("cellar", "#"), None, 9).unwrap();
    let (own, other) = (all.entries[0].entry, all.entries[5].entry);
    assert_eq!(edit(&mut world, C1, "cellar", other), Err(Code::Denied), "the boss said it");
    let at = edit(&mut world, C1, "cellar", own).unwrap();
    assert_eq!(edit(&mut world, C1, "cellar", at), Err(Code::WrongState), "it is one already");
    edit(&mut world, C2, "cellar", own).unwrap();
    let past = page(&mut world, C1, ("cellar", "news"), None, 2).unwrap();
    assert_eq!(texts(&past), ["edit otherwise", "edit otherwise"]);
    assert_eq!(past.entries[0].entry, at);
    assert_eq!([past.entries[0].client, past.entries[1].client], ["guest", "boss"].map(client));
    // What it replaces is there as it was.
    assert_eq!(texts(&page(&mut world, C1, ("cellar", "#"), Some(other), 9).unwrap())[0], "1");
}

#[test]
fn an_edit_elsewhere_than_in_a_board_of_one_s_own_is_refused() {
    let mut world = world();
    let vault = page(&mut world, C2, ("vault", "#"), None, 9).unwrap().entries[0].entry;
    assert_eq!(edit(&mut world, C2, "vault", vault), Err(Code::WrongState), "no board");
    assert_eq!(edit(&mut world, C1, "vault", vault), Err(Code::Denied));
    assert_eq!(edit(&mut world, C2, "cellar", vault), Err(Code::UnknownPosition), "of another room");
    let published = world.published.len();
    assert_eq!(
        edit(&mut world, C2, "cellar", Position { seq: Seq(999), ..vault }),
        Err(Code::UnknownPosition)
    );
    assert_eq!(world.published.len(), published);
}

fn ask_for_a_page(world: &mut World, connection: ConnectionId, id: u64) {
    let (room, channels) = ("cellar".parse().unwrap(), "#".parse().unwrap());
    let wanted = PastWanted { room, channels, before: None, most: 9 };
    world.ask(connection, Ask::Look { id, look: Box::new(Look::Past(wanted)) });
}

#[test]
fn who_loses_the_right_while_the_log_is_read_is_shown_nothing() {
    let mut world = world();
    ask_for_a_page(&mut world, C1, 7);
    world.change(|config| {
        config.room.iter_mut().flat_map(|room| &mut room.grant).for_each(|grant| grant.deny = true);
    });
    (0..9).for_each(|_| world.read());
    let seen = world.told(C1).into_iter().find_map(|tell| match tell {
        Tell::Seen { result: Ok(Seen::Past(past)), .. } => Some(past),
        _ => None,
    });
    assert_eq!(seen, Some(Past::default()));
}

#[test]
fn one_client_has_eight_questions_open_and_takes_nobody_elses_place() {
    let mut world = world();
    (0..9).for_each(|id| ask_for_a_page(&mut world, C1, id));
    let refused: Vec<_> = world
        .told(C1)
        .into_iter()
        .filter(|tell| matches!(tell, Tell::Seen { id: 8, result: Err(_) }))
        .collect();
    assert_eq!(refused.len(), 1);
    ask_for_a_page(&mut world, C2, 1);
    assert_eq!(world.told(C2), vec![], "it is being read");
}
