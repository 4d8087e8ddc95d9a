//! The rooms that every account has, of accounts that a file declares.

use super::*;
use riser_model::room::{LOBBY, PERSONAL};

fn room(accounts: &Accounts, name: &str) -> Option<RoomConfig> {
    let account = accounts.get(ACME).unwrap();
    account.config.room.iter().find(|room| room.name.as_str() == name).cloned()
}

fn says(room: &str) -> Vec<AccountConfig> {
    file(&format!("{}{room}", declared()))
}

fn lobby_id() -> RoomId {
    RoomId::of(ACME, LOBBY)
}

/// As an instance has it that knew of no such rooms when it took the file.
fn without() -> Accounts {
    let mut account = Account::clone(imported().get(ACME).unwrap());
    for config in [Some(&mut account.config), account.imported.as_mut()].into_iter().flatten() {
        config.room.retain(|room| room.name.as_str() == "hall");
    }
    Accounts::of([account])
}

#[test]
fn account_of_a_file_has_a_lobby_and_a_personal_room_whose_ids_stay() {
    let mut accounts = imported();
    for mandated in RoomConfig::mandated() {
        let id = Some(RoomId::of(ACME, mandated.name.as_str()));
        assert_eq!(room(&accounts, mandated.name.as_str()), Some(RoomConfig { id, ..mandated }));
    }
    let first = accounts.clone();
    assert_eq!(accounts.import(&says("")), vec![]);
    assert_eq!(accounts, first, "nor its revision");
    // One that was there before there were such rooms gets them once, and nobody a right elsewhere by it.
    let mut before = without();
    let rights = before.compile().unwrap().named("acme/ann").unwrap().grants.clone();
    assert_eq!(before.import(&says("")), vec![]);
    assert_eq!(before.get(ACME).unwrap().config, first.get(ACME).unwrap().config);
    assert_eq!(before.compile().unwrap().named("acme/ann").unwrap().grants, rights);
    let once = before.clone();
    assert_eq!(before.import(&says("")), vec![]);
    assert_eq!(before, once);
    // Declared no more, it is no more: they are no change of its own.
    assert_eq!(before.import(&[]), vec![]);
    assert_eq!(before.iter().count(), 0);
}

#[test]
fn mandated_rooms_give_nobody_a_right_who_has_none_in_every_room() {
    let text =
        "[[account.user]]\nname = \"ann\"\n[[account.room]]\nname = \"hall\"\nroles = { ann = \"owner\" }\n";
    let mut accounts = Accounts::default();
    accounts.import(&file(text));
    let directory = accounts.compile().unwrap();
    let reaches = |room: &str| {
        let id = RoomId::of(ACME, room);
        let rights = [Right::Publish, Right::Subscribe, Right::Admin];
        rights.map(|right| directory.named("acme/ann").unwrap().grants.reach(right, id))
    };
    assert_eq!(directory.rooms().len(), 3);
    assert_eq!((reaches("hall"), reaches(LOBBY), reaches(PERSONAL)), ([true; 3], [false; 3], [false; 3]));
}

#[test]
fn what_a_file_says_of_a_mandated_room_holds() {
    let own = "[[account.room]]\nname = \"lobby\"\nhistory = \"log\"\nlinked = true\n";
    let mut accounts = Accounts::default();
    assert_eq!(accounts.import(&says(own)), vec![]);
    let lobby = room(&accounts, LOBBY).unwrap();
    assert_eq!((lobby.history, lobby.linked, lobby.id), (History::Log, true, Some(lobby_id())));
    assert_eq!(accounts.compile().unwrap().rooms().len(), 3);
    // Not any more, and again, under an id of its own.
    assert_eq!(accounts.import(&says("")), vec![]);
    assert_eq!(room(&accounts, LOBBY).unwrap().history, History::None);
    let other = format!("{own}id = \"{}\"\n", Uuid::from_u128(9));
    assert_eq!(accounts.import(&says(&other)), vec![]);
    assert_eq!(room(&accounts, LOBBY).unwrap().id, Some(RoomId(Uuid::from_u128(9))));
    assert_eq!(accounts.compile().unwrap().rooms().len(), 3);
    assert_eq!(accounts.import(&says("")), vec![]);
    assert_eq!(room(&accounts, LOBBY).unwrap().id, Some(lobby_id()));
    // A room with that id under another name is that room.
    let renamed = format!("[[account.room]]\nname = \"porch\"\nid = \"{}\"\n", lobby_id());
    assert_eq!(accounts.import(&says(&renamed)), vec![]);
    assert!(room(&accounts, LOBBY).is_none() && room(&accounts, "porch").is_some());
}

#[test]
fn mandated_room_stays_as_changes_made_it() {
    let mut accounts = imported();
    let lobby = RoomConfig { down: true, ..room(&accounts, LOBBY).unwrap() };
    change(&mut accounts, AccountChange::SetRoom(Box::new(lobby.clone()))).unwrap();
    change(&mut accounts, AccountChange::RemoveRoom(RoomId::of(ACME, PERSONAL))).unwrap();
    let config = |accounts: &Accounts| accounts.get(ACME).unwrap().config.clone();
    let changed = config(&accounts);
    for n in 0..2 {
        assert_eq!(accounts.import(&says("")), vec![], "{n}: nobody is told of what nobody said");
        assert_eq!(config(&accounts), changed, "{n}");
    }
    // Renamed, and another one in its place.
    let porch = RoomConfig { name: "porch".parse().unwrap(), ..lobby };
    change(&mut accounts, AccountChange::SetRoom(Box::new(porch))).unwrap();
    let new = RoomConfig { id: Some(RoomId(Uuid::from_u128(9))), ..RoomConfig::lobby() };
    change(&mut accounts, AccountChange::CreateRoom(Box::new(new))).unwrap();
    let changed = accounts.clone();
    assert_eq!(accounts.import(&says("")), vec![]);
    assert_eq!(accounts, changed);
}

#[test]
fn room_of_that_name_that_was_made_here_before_stays_what_it_is() {
    for id in [lobby_id(), RoomId(Uuid::from_u128(9))] {
        let mut accounts = without();
        let own = RoomConfig { id: Some(id), ..RoomConfig::new(LOBBY.parse().unwrap(), History::Log) };
        change(&mut accounts, AccountChange::CreateRoom(Box::new(own.clone()))).unwrap();
        // Twice: by now the file is taken to say nothing of it.
        for n in 0..2 {
            assert_eq!(accounts.import(&says("[[account.room]]\nname = \"yard\"\n")), vec![], "{n}");
            assert_eq!(room(&accounts, LOBBY), Some(own.clone()), "{n}");
        }
        assert!(room(&accounts, "yard").is_some() && room(&accounts, PERSONAL).is_some());
    }
}
