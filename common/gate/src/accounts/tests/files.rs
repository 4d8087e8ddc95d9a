//! What files say anew of accounts that were changed meanwhile.

use super::*;

#[test]
fn browsers_of_a_user_whom_a_file_declares_no_more_are_gone_for_ever() {
    let mut accounts = imported();
    let browser = ClientId(Uuid::from_u128(0xb0));
    change(&mut accounts, AccountChange::Associate(browser, ann())).unwrap();
    let others = declared().replace("\"ann\"", "\"bob\"");
    assert_eq!(accounts.import(&file(&others)), vec![]);
    let row = accounts.get(ACME).unwrap();
    assert!(row.associated.is_empty() && row.gone.contains(&browser.0));
    assert_eq!(row::read(&row::write(row)).as_ref(), Ok(&**row));
    assert_eq!(accounts.import(&file(&declared())), vec![]);
    let directory = accounts.compile().unwrap();
    assert!(directory.principal(ann()).is_some() && directory.principal(browser).is_none());
    let again = AccountChange::Associate(browser, ann());
    assert_eq!(change(&mut accounts, again).err(), Some(Why::Taken));
}

#[test]
fn a_file_is_taken_once_and_what_both_changed_stays_as_it_runs() {
    let mut accounts = imported();
    let revision = accounts.get(ACME).unwrap().revision;
    assert_eq!(accounts.import(&file(&declared())), vec![], "the same again says nothing");
    assert_eq!(accounts.get(ACME).unwrap().revision, revision);
    // Only here: the file has nothing to say about it.
    change(
        &mut accounts,
        AccountChange::SetMember(
            ann(),
            MemberChange { role: Some(Some(Role::Owner)), ..MemberChange::default() },
        ),
    )
    .unwrap();
    change(&mut accounts, AccountChange::CreateMember(user("bob"))).unwrap();
    assert_eq!(accounts.import(&file(&declared())), vec![]);
    assert!(accounts.compile().unwrap().named("acme/ann").unwrap().grants.administer());
    assert!(accounts.compile().unwrap().named("acme/bob").is_some());
    // Only in the file: taken.
    let more = declared() + "[[account.room]]\nname = \"yard\"\n";
    assert_eq!(accounts.import(&file(&more)), vec![]);
    assert_eq!(accounts.compile().unwrap().rooms().len(), 2 + MANDATED);
    // In both: what runs holds, and that is said once.
    let other = more.replace("\"member\"", "\"reader\"");
    let notes = accounts.import(&file(&other));
    assert_eq!(notes.len(), 1);
    assert_eq!((notes[0].of.as_str(), notes[0].what.contains("what is running holds")), ("user ann", true));
    assert!(accounts.compile().unwrap().named("acme/ann").unwrap().grants.administer());
    assert_eq!(accounts.import(&file(&other)), vec![], "it was said");
    // Gone from the file, and not changed here: gone. What was made here stays.
    accounts.import(&file(&declared()));
    assert_eq!(accounts.compile().unwrap().rooms().len(), 1 + MANDATED);
    assert!(accounts.compile().unwrap().named("acme/bob").is_some());
    // Removed here: the file does not bring it back.
    change(&mut accounts, AccountChange::RemoveRoom(hall())).unwrap();
    let notes = accounts.import(&file(&declared()));
    assert!(notes.iter().any(|note| note.of == "room hall" && note.what.contains("stays removed")));
    assert_eq!(accounts.compile().unwrap().rooms().len(), MANDATED);
}

#[test]
fn a_file_that_does_not_go_with_what_was_made_here_changes_nothing_and_is_told() {
    let mut accounts = imported();
    change(&mut accounts, AccountChange::CreateMember(user("bob"))).unwrap();
    let before = accounts.clone();
    let clash = declared() + "[[account.client]]\nname = \"bob\"\n";
    let notes = accounts.import(&file(&clash));
    assert!(notes.iter().any(|note| note.what.contains("does not go with")), "{notes:?}");
    assert_eq!(accounts, before);
}

#[test]
fn an_account_that_the_file_declares_no_more_is_gone_unless_it_was_changed_here() {
    let mut accounts = imported();
    assert_eq!(accounts.import(&[]), vec![]);
    assert_eq!(accounts.iter().count(), 0);
    accounts.import(&file(&declared()));
    assert_eq!(accounts.iter().count(), 1, "the file may declare it again");
    change(
        &mut accounts,
        AccountChange::SetMember(ann(), MemberChange { role: Some(None), ..MemberChange::default() }),
    )
    .unwrap();
    assert_eq!(accounts.import(&[]).len(), 1);
    assert_eq!(accounts.iter().count(), 1);
    let (mut accounts, ..) = accounts.apply(Change::RemoveAccount(ACME)).unwrap();
    assert_eq!(accounts.import(&file(&declared())).len(), 1);
    assert_eq!(accounts.iter().count(), 0, "what was removed here stays removed");
}
