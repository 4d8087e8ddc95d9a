//! Accounts that change: by changes, by files, and by both.

use super::*;
use crate::{
    QUARANTINE,
    config::{Rights, Role},
    credential::Fingerprint,
    device_key::DeviceKey,
    hidden::{PasswordHash, TokenHash},
    key::KeyText,
};
use figment::{
    Figment,
    providers::{Format, Toml},
};
use riser_model::{AccountName, History, PublicKey, Right, RoomName, event::Scope};

mod files;
mod gates;
mod mandated;
mod rows;

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQx$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";
const ACME: AccountId = AccountId(Uuid::from_u128(1));
/// The rooms that every account has.
const MANDATED: usize = 2;

#[derive(Deserialize)]
struct Whole {
    account: Vec<AccountConfig>,
}

fn file(account: &str) -> Vec<AccountConfig> {
    let text = format!("[[account]]\nname = \"acme\"\nid = \"{ACME}\"\n{account}");
    Figment::from(Toml::string(&text)).extract::<Whole>().unwrap().account
}

fn token(text: &str) -> CredentialConfig {
    CredentialConfig::Token(TokenHash::of(text.as_bytes()))
}

/// With a user ann who has a token, and a room hall.
fn declared() -> String {
    format!(
        "[[account.user]]\nname = \"ann\"\nrole = \"member\"\ntokens = [\"{}\"]\n[[account.room]]\nname = \"hall\"\n",
        TokenHash::of(b"first").text()
    )
}

fn imported() -> Accounts {
    let mut accounts = Accounts::default();
    assert_eq!(accounts.import(&file(&declared())), vec![]);
    accounts
}

fn ann() -> ClientId {
    client_id(ACME, &name("ann"))
}

fn name(text: &str) -> AccountName {
    text.parse().unwrap()
}

fn hall() -> RoomId {
    RoomId::of(ACME, "hall")
}

fn within(change: AccountChange) -> Change {
    Change::Within(ACME, change)
}

fn change(accounts: &mut Accounts, change: AccountChange) -> Result<Arc<Directory>, Why> {
    let (changed, directory, id) = accounts.apply(within(change)).map_err(|refused| refused.why)?;
    assert_eq!(id, ACME);
    *accounts = changed;
    Ok(directory)
}

fn user(text: &str) -> Box<Member> {
    let mut user = UserConfig::new(name(text));
    user.id = Some(user_id(text));
    Box::new(Member::User(user))
}

fn user_id(text: &str) -> ClientId {
    ClientId(Uuid::new_v5(&Uuid::nil(), text.as_bytes()))
}

fn grant(to: Whom, deny: bool) -> GrantConfig {
    GrantConfig { to, right: Rights(vec![Right::Subscribe]), channels: "#".parse().unwrap(), deny }
}

fn reads(directory: &Directory, client: ClientId) -> bool {
    let may = |one: &Arc<riser_model::Principal>| one.grants.reach(Right::Subscribe, hall());
    directory.principal(client).is_some_and(may)
}

#[test]
fn an_account_is_made_with_all_that_it_has_and_never_again_under_its_id() {
    let accounts = imported();
    let id = AccountId(Uuid::from_u128(2));
    let create = |name: &str, id| {
        let mut config = AccountConfig::new(name.parse().unwrap(), id);
        config.user = vec![UserConfig { role: Some(Role::Owner), ..UserConfig::new("max".parse().unwrap()) }];
        Change::CreateAccount(Box::new(config))
    };
    let (accounts, directory, made) = accounts.apply(create("foo", id)).unwrap();
    assert_eq!(made, id);
    assert!(directory.named("foo/max").is_some() && directory.named("acme/ann").is_some());
    assert_eq!(accounts.apply(create("foo", AccountId(Uuid::from_u128(3)))).unwrap_err().why, Why::Taken);
    assert_eq!(accounts.apply(create("bar", id)).unwrap_err().why, Why::Taken);
    let (accounts, directory, _) = accounts.apply(Change::RemoveAccount(id)).unwrap();
    assert!(directory.named("foo/max").is_none());
    assert_eq!(accounts.apply(create("foo", id)).unwrap_err().why, Why::Taken, "its id was another one's");
    assert!(accounts.apply(create("foo", AccountId(Uuid::from_u128(3)))).is_ok(), "its name is free");
    assert_eq!(accounts.apply(Change::RemoveAccount(id)).unwrap_err().why, Why::Unknown);
}

#[test]
fn an_issuer_of_another_account_is_not_named_for_the_same_audience() {
    let issuer = |issuer: &str, audience: &str| {
        let text = format!(
            r#"{{ "issuer": "{issuer}", "audience": "{audience}", "claim": "sub", "key": [{{ "alg": "EdDSA", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }}] }}"#
        );
        serde_json::from_str::<crate::IssuerConfig>(&text).unwrap()
    };
    let mut accounts = imported();
    let other = AccountId(Uuid::from_u128(2));
    let foo = Change::CreateAccount(Box::new(AccountConfig::new(name("foo"), other)));
    accounts = accounts.apply(foo).unwrap().0;
    let set = |accounts: &Accounts, id, issuers: Vec<_>| {
        accounts.apply(Change::Within(id, AccountChange::SetIssuers(issuers))).map_err(|refused| refused.why)
    };
    accounts = set(&accounts, ACME, vec![issuer("sso", "riser")]).unwrap().0;
    assert_eq!(set(&accounts, other, vec![issuer("sso", "riser")]).err(), Some(Why::Taken));
    accounts = set(&accounts, other, vec![issuer("sso", "of-foo"), issuer("another", "riser")]).unwrap().0;
    assert!(set(&accounts, ACME, vec![issuer("sso", "riser")]).is_ok(), "its own is its own");
    assert_eq!(set(&accounts, ACME, vec![issuer("another", "riser")]).err(), Some(Why::Taken));
    accounts = set(&accounts, other, vec![]).unwrap().0;
    assert!(set(&accounts, ACME, vec![issuer("another", "riser")]).is_ok(), "nobody has it");
}

#[test]
fn a_user_is_made_renamed_granted_grouped_and_removed() {
    let mut accounts = imported();
    let bob = ClientId(Uuid::new_v5(&Uuid::nil(), b"bob"));
    let directory = change(&mut accounts, AccountChange::CreateMember(user("bob"))).unwrap();
    assert!(!reads(&directory, bob), "silence denies");
    assert_eq!(change(&mut accounts, AccountChange::CreateMember(user("bob"))).err(), Some(Why::Taken));
    let to_bob = grant(Whom::Named(name("bob")), false);
    let directory = change(&mut accounts, AccountChange::Grant(Some(hall()), to_bob.clone())).unwrap();
    assert!(reads(&directory, bob));
    assert_eq!(change(&mut accounts, AccountChange::Grant(Some(hall()), to_bob)).err(), Some(Why::Taken));
    let directory = change(
        &mut accounts,
        AccountChange::SetMember(bob, MemberChange { name: Some(name("rob")), ..MemberChange::default() }),
    )
    .unwrap();
    assert!(reads(&directory, bob) && directory.named("acme/rob").is_some());
    assert!(directory.named("acme/bob").is_none());
    let mut waiting = Box::new(RoomConfig::new("hall".parse::<RoomName>().unwrap(), History::Log));
    (waiting.id, waiting.ready) = (Some(RoomId::of(ACME, "yard")), vec![name("rob")]);
    waiting.name = "yard".parse().unwrap();
    let yard = |directory: &Directory| directory.room(ACME, RoomId::of(ACME, "yard")).unwrap().ready.clone();
    let directory = change(&mut accounts, AccountChange::CreateRoom(waiting)).unwrap();
    assert_eq!(yard(&directory), [name("rob")]);
    let directory = change(
        &mut accounts,
        AccountChange::SetMember(bob, MemberChange { name: Some(name("bob")), ..MemberChange::default() }),
    )
    .unwrap();
    assert_eq!(yard(&directory), [name("bob")], "who is waited for keeps being");
    change(
        &mut accounts,
        AccountChange::SetMember(bob, MemberChange { name: Some(name("rob")), ..MemberChange::default() }),
    )
    .unwrap();
    change(&mut accounts, AccountChange::Grant(None, grant(Whom::Group(name("ops")), true))).unwrap();
    let directory = change(
        &mut accounts,
        AccountChange::SetMember(
            bob,
            MemberChange { groups: Some(vec![name("ops")]), ..MemberChange::default() },
        ),
    )
    .unwrap();
    assert!(!reads(&directory, bob) && reads(&directory, ann()), "a group's deny wins for who is in it");
    let directory = change(
        &mut accounts,
        AccountChange::SetMember(bob, MemberChange { groups: Some(vec![]), ..MemberChange::default() }),
    )
    .unwrap();
    assert!(reads(&directory, bob));
    let directory = change(&mut accounts, AccountChange::RemoveMember(bob)).unwrap();
    assert!(directory.principal(bob).is_none());
    assert!(yard(&directory).is_empty(), "nobody waits for who is no more");
    assert_eq!(change(&mut accounts, AccountChange::CreateMember(user("bob"))).err(), Some(Why::Taken));
    assert_eq!(change(&mut accounts, AccountChange::RemoveMember(bob)).err(), Some(Why::Unknown));
    let two = grant(Whom::Named(name("nobody")), false);
    assert_eq!(change(&mut accounts, AccountChange::Grant(None, two)).err(), Some(Why::Invalid));
}

#[test]
fn roles_in_a_room_are_set_follow_a_name_and_go_with_who_has_them() {
    let mut accounts = imported();
    let bob = user_id("bob");
    change(&mut accounts, AccountChange::CreateMember(user("bob"))).unwrap();
    let whom = |text: &str| text.parse::<Whom>().unwrap();
    let set = |text: &str, role| AccountChange::SetRole(hall(), whom(text), role);
    let directory = change(&mut accounts, set("bob", Some(Role::Owner))).unwrap();
    let looks_after =
        |directory: &Directory, who| directory.principal(who).unwrap().grants.whole(Right::Admin, hall());
    assert!(looks_after(&directory, bob) && !looks_after(&directory, ann()));
    let rename = |name| MemberChange { name: Some(name), ..MemberChange::default() };
    let directory = change(&mut accounts, AccountChange::SetMember(bob, rename(name("rob")))).unwrap();
    assert!(looks_after(&directory, bob), "it follows the name");
    let roles = |accounts: &Accounts| accounts.get(ACME).unwrap().config.room[0].roles.clone();
    assert_eq!(roles(&accounts).into_keys().collect::<Vec<_>>(), [whom("rob")]);
    // One role in a room: another one takes its place.
    let directory = change(&mut accounts, set("rob", Some(Role::Reader))).unwrap();
    assert!(!looks_after(&directory, bob) && reads(&directory, bob));
    assert_eq!(change(&mut accounts, set("bob", Some(Role::Owner))).err(), Some(Why::Invalid), "nobody");
    assert_eq!(change(&mut accounts, set("@ops", None)).err(), Some(Why::Unknown));
    let nowhere = AccountChange::SetRole(RoomId(Uuid::from_u128(404)), Whom::Everyone, Some(Role::Reader));
    assert_eq!(change(&mut accounts, nowhere).err(), Some(Why::Unknown));
    let directory = change(&mut accounts, set("rob", None)).unwrap();
    assert!(!reads(&directory, bob));
    change(&mut accounts, set("rob", Some(Role::Owner))).unwrap();
    change(&mut accounts, AccountChange::RemoveMember(bob)).unwrap();
    assert!(roles(&accounts).is_empty(), "whoever gets the name gets nothing by it");
    for n in 0..ROLES_MAX {
        // Not by changes, each of which compiles all: that is another test's time.
        let mut account = Account::clone(accounts.get(ACME).unwrap());
        account.config.room[0].roles.insert(whom(&format!("@group-{n}")), Role::Reader);
        accounts.insert(account);
    }
    assert_eq!(change(&mut accounts, set("@more", Some(Role::Reader))).err(), Some(Why::TooMany));
    change(&mut accounts, set("@group-1", Some(Role::Owner))).unwrap();
    // A file may declare more: then the rest of the room is still changed, and its roles become fewer.
    let mut room = accounts.get(ACME).unwrap().config.room[0].clone();
    room.roles.insert(whom("@more"), Role::Reader);
    let whole = |room: &RoomConfig| AccountChange::SetRoom(Box::new(room.clone()));
    assert_eq!(change(&mut accounts, whole(&room)).err(), Some(Why::TooMany));
    let mut account = Account::clone(accounts.get(ACME).unwrap());
    account.config.room[0] = RoomConfig { roles: room.roles.clone(), ..room.clone() };
    accounts.insert(account);
    change(&mut accounts, whole(&RoomConfig { down: true, ..room.clone() })).unwrap();
    change(&mut accounts, set("@more", None)).unwrap();
    assert_eq!(change(&mut accounts, whole(&room)).err(), Some(Why::TooMany));
}

#[test]
fn browsers_of_a_user_prove_themselves_as_it_does_are_bounded_and_go_with_it() {
    let mut accounts = imported();
    let browser = |n: u128| ClientId(Uuid::from_u128(0xb0 + n));
    let associate = |n| AccountChange::Associate(browser(n), ann());
    let directory = change(&mut accounts, associate(0)).unwrap();
    let one = directory.principal(browser(0)).unwrap();
    assert_eq!((one.user(), one.name.as_str(), one.client), (ann(), "ann", browser(0)));
    assert!(reads(&directory, browser(0)) && directory.is_person(ann()) && !directory.is_person(browser(0)));
    assert_eq!(directory.named("acme/ann").unwrap().client, ann(), "the name is the user's");
    // What it was let in by is the user's, and ends with that.
    assert_eq!(directory.bound(browser(0)).unwrap().1, directory.bound(ann()).unwrap().1);
    assert_eq!(change(&mut accounts, associate(0)).err(), Some(Why::Taken));
    assert_eq!(
        change(&mut accounts, AccountChange::Associate(browser(1), browser(0))).err(),
        Some(Why::Unknown)
    );
    let foreign =
        RoomConfig { id: Some(RoomId(browser(0).0)), ..RoomConfig::new("x".parse().unwrap(), History::Log) };
    assert_eq!(change(&mut accounts, AccountChange::CreateRoom(Box::new(foreign))).err(), Some(Why::Taken));
    for n in 1..ASSOCIATED_MAX as u128 {
        change(&mut accounts, associate(n)).unwrap();
    }
    let more = ASSOCIATED_MAX as u128;
    assert_eq!(change(&mut accounts, associate(more)).err(), Some(Why::TooMany));
    let directory = change(&mut accounts, AccountChange::Part(browser(0))).unwrap();
    assert!(directory.principal(browser(0)).is_none());
    assert_eq!(directory.user_of(browser(0)).unwrap().client, ann(), "what it said is hers still");
    assert_eq!(change(&mut accounts, associate(0)).err(), Some(Why::Taken), "its id never comes back");
    assert_eq!(change(&mut accounts, AccountChange::Part(browser(0))).err(), Some(Why::Unknown));
    // It is no word of a file, and a file that says something else of the user takes none of them.
    assert_eq!(accounts.import(&file(&declared().replace("\"member\"", "\"reader\""))), vec![]);
    assert!(accounts.compile().unwrap().principal(browser(1)).is_some());
    let row = accounts.get(ACME).unwrap();
    assert_eq!(row::read(&row::write(row)).as_ref(), Ok(&**row));
    let directory = change(&mut accounts, AccountChange::RemoveMember(ann())).unwrap();
    assert!(directory.principal(browser(1)).is_none() && accounts.get(ACME).unwrap().associated.is_empty());
}

#[test]
fn of_several_changes_all_are_made_or_none() {
    let mut accounts = imported();
    let before = accounts.clone();
    let invited = |room| {
        AccountChange::All(vec![
            AccountChange::CreateMember(user("new")),
            AccountChange::Grant(Some(room), grant(Whom::Named(name("new")), false)),
            AccountChange::AddCredential(user_id("new"), token("of-new")),
        ])
    };
    let nowhere = RoomId(Uuid::from_u128(404));
    assert_eq!(change(&mut accounts, invited(nowhere)).err(), Some(Why::Unknown));
    assert_eq!(accounts, before, "nobody was made who could not come");
    let directory = change(&mut accounts, invited(hall())).unwrap();
    assert!(reads(&directory, user_id("new")));
    assert_eq!(change(&mut accounts, invited(hall())).err(), Some(Why::Taken));
}

#[test]
fn what_was_revoked_holds_no_more_and_never_again() {
    let mut accounts = imported();
    let (first, second) = (token("first"), token("second"));
    let before = accounts.compile().unwrap();
    let evidence = before.evidence(
        crate::acceptor::Kind::Token,
        ann(),
        &riser_model::door::Credential::Token(riser_model::door::Secret(b"first".as_slice().into())),
    );
    let directory = change(&mut accounts, AccountChange::AddCredential(ann(), second.clone())).unwrap();
    assert_eq!(directory.holds(ann(), &evidence), crate::directory::Holds::Yes, "one more closes nobody");
    let revoke = |one: &CredentialConfig| AccountChange::RevokeCredential(ann(), one.fingerprint());
    let directory = change(&mut accounts, revoke(&first)).unwrap();
    assert_eq!(directory.holds(ann(), &evidence), crate::directory::Holds::No);
    assert!(directory.token(TokenHash::of(b"first")).is_none());
    assert!(directory.token(TokenHash::of(b"second")).is_some());
    let again = AccountChange::AddCredential(ann(), first.clone());
    assert_eq!(change(&mut accounts, again).err(), Some(Why::Taken));
    assert_eq!(change(&mut accounts, revoke(&first)).err(), Some(Why::Unknown));
    // The same file, and one that says something else of the user.
    accounts.import(&file(&declared()));
    let other = declared().replace("\"member\"", "\"reader\"");
    accounts.import(&file(&other));
    let directory = accounts.compile().unwrap();
    assert!(directory.token(TokenHash::of(b"first")).is_none(), "a file gives nothing back");
    // A password replaces the one before, which is revoked with that.
    let hash = |end: char| -> PasswordHash { format!("{}{end}", &HASH[..HASH.len() - 1]).parse().unwrap() };
    for end in ['a', 'b'] {
        let password = CredentialConfig::Password(hash(end));
        change(&mut accounts, AccountChange::AddCredential(ann(), password)).unwrap();
    }
    let former = AccountChange::AddCredential(ann(), CredentialConfig::Password(hash('a')));
    assert_eq!(change(&mut accounts, former).err(), Some(Why::Taken));
    change(&mut accounts, AccountChange::RevokeAll(ann())).unwrap();
    assert_eq!(accounts.get(ACME).unwrap().member(ann()).unwrap().credentials(), vec![]);
    assert!("0000000000000000".parse::<Fingerprint>().is_ok());
}

#[test]
fn names_in_certificates_are_credentials_and_are_revoked_like_others() {
    use crate::{acceptor::Kind, directory::Holds};

    let says = declared().replace("tokens", "certificates = [\"ann.example\", \"urn:ann\"]\ntokens");
    let mut accounts = Accounts::default();
    assert_eq!(accounts.import(&file(&says)), vec![]);
    let known = |directory: &Directory, name: &str| directory.certified(&[name.to_owned()]).is_some();
    let directory = accounts.compile().unwrap();
    assert!(known(&directory, "ann.example") && known(&directory, "urn:ann"));
    let nothing = riser_model::door::Credential::Anonymous;
    let evidence = directory.evidence(Kind::Certificate, ann(), &nothing);
    let name = CredentialConfig::Certificate("urn:ann".to_owned());
    let revoke = AccountChange::RevokeCredential(ann(), name.fingerprint());
    let directory = change(&mut accounts, revoke).unwrap();
    assert!(known(&directory, "ann.example") && !known(&directory, "urn:ann"));
    assert_eq!(directory.holds(ann(), &evidence), Holds::Unsure);
    assert_eq!(change(&mut accounts, AccountChange::AddCredential(ann(), name)).err(), Some(Why::Taken));
    let directory = change(&mut accounts, AccountChange::RevokeAll(ann())).unwrap();
    assert!(!known(&directory, "ann.example"));
    assert_eq!(directory.holds(ann(), &evidence), Holds::No);
    accounts.import(&file(&says.replace("\"member\"", "\"reader\"")));
    assert!(!known(&accounts.compile().unwrap(), "ann.example"), "a file gives nothing back");
    let another = CredentialConfig::Certificate("new.example".to_owned());
    let directory = change(&mut accounts, AccountChange::AddCredential(ann(), another)).unwrap();
    assert!(known(&directory, "new.example"));
}

#[test]
fn one_of_several_keys_that_is_gone_has_to_be_shown_anew() {
    let mut accounts = imported();
    let keys = [1, 2].map(|n| CredentialConfig::Key(DeviceKey([n; 32])));
    for key in &keys {
        change(&mut accounts, AccountChange::AddCredential(ann(), key.clone())).unwrap();
    }
    let nothing = riser_model::door::Credential::Anonymous;
    let evidence = accounts.compile().unwrap().evidence(crate::acceptor::Kind::Key, ann(), &nothing);
    let revoke = |one: &CredentialConfig| AccountChange::RevokeCredential(ann(), one.fingerprint());
    let directory = change(&mut accounts, revoke(&keys[0])).unwrap();
    assert_eq!(directory.holds(ann(), &evidence), crate::directory::Holds::Unsure);
    let directory = change(&mut accounts, revoke(&keys[1])).unwrap();
    assert_eq!(directory.holds(ann(), &evidence), crate::directory::Holds::No);
}

#[test]
fn rooms_are_made_changed_and_removed_and_their_ids_do_not_come_back() {
    let mut accounts = imported();
    let room = |name: &str| Box::new(RoomConfig::new(name.parse::<RoomName>().unwrap(), History::Log));
    let directory = change(&mut accounts, AccountChange::CreateRoom(room("yard"))).unwrap();
    let yard = RoomId::of(ACME, "yard");
    assert_eq!(directory.room(ACME, yard).unwrap().history, History::Log);
    assert_eq!(change(&mut accounts, AccountChange::CreateRoom(room("yard"))).err(), Some(Why::Invalid));
    let mut other = room("court");
    other.id = Some(yard);
    other.down = true;
    let directory = change(&mut accounts, AccountChange::SetRoom(other)).unwrap();
    let court = directory.room(ACME, yard).unwrap();
    assert_eq!((court.name.as_str(), court.down), ("court", true));
    let directory = change(&mut accounts, AccountChange::RemoveRoom(yard)).unwrap();
    assert!(directory.room(ACME, yard).is_none());
    assert_eq!(change(&mut accounts, AccountChange::RemoveRoom(yard)).err(), Some(Why::Unknown));
    let refused = accounts.apply(within(AccountChange::CreateRoom(room("yard")))).unwrap_err();
    assert!(refused.why == Why::Taken && refused.want.contains("an id of its own"));
    let mut own = room("yard");
    own.id = Some(RoomId(Uuid::from_u128(77)));
    assert!(change(&mut accounts, AccountChange::CreateRoom(own)).is_ok());
}

#[test]
fn nobody_is_let_in_by_a_sealed_account_until_somebody_says_so() {
    let mut accounts = Accounts::default();
    let lobby = "[[account.room]]\nname = \"lobby\"\ngrant = [{ to = \"*/*\", right = \"subscribe\" }]\n";
    assert_eq!(accounts.import(&file(&(declared() + lobby))), vec![]);
    let eve = AccountId(Uuid::from_u128(2));
    let mut config = AccountConfig::new("garden".parse().unwrap(), eve);
    config.user = vec![UserConfig::new("eve".parse().unwrap())];
    let (mut accounts, ..) = accounts.apply(Change::CreateAccount(Box::new(config))).unwrap();
    let visits = |directory: &Directory| {
        let eve = directory.named("garden/eve").unwrap();
        let room = RoomId::of(ACME, "lobby");
        directory.visiting(eve, Some(ACME)).grants.reach(Right::Subscribe, room)
    };
    assert!(visits(&accounts.compile().unwrap()));
    accounts.seal(|id| id == ACME);
    let directory = accounts.compile().unwrap();
    assert!(!visits(&directory), "a visitor neither");
    assert!(accounts.is_sealed() && directory.token(TokenHash::of(b"first")).is_none());
    assert_eq!(directory.rooms().len(), 1 + MANDATED, "its rooms are there");
    let (accounts, directory, _) = accounts.apply(Change::Unseal(ACME)).unwrap();
    assert!(!accounts.is_sealed() && directory.token(TokenHash::of(b"first")).is_some());
    assert!(visits(&directory));
    assert_eq!(accounts.apply(Change::Unseal(ACME)).unwrap_err().why, Why::Unknown);
}

#[test]
fn no_room_of_an_account_has_the_id_of_one_that_the_system_speaks_in_or_of_anothers_quarantine() {
    let other = AccountId(Uuid::from_u128(2));
    let (accounts, _, _) =
        imported().apply(Change::CreateAccount(Box::new(AccountConfig::new(name("foo"), other)))).unwrap();
    let reserved = [
        Scope::Instance.room(),
        Scope::Account(other).room(),
        Scope::Account(ACME).room(),
        Scope::Room(hall()).room(),
        RoomId::of(other, QUARANTINE),
    ];
    let create = |id: RoomId| {
        let room = RoomConfig { id: Some(id), ..RoomConfig::new("x".parse().unwrap(), History::Log) };
        accounts.apply(within(AccountChange::CreateRoom(Box::new(room)))).err().map(|refused| refused.why)
    };
    assert_eq!(reserved.map(create), [Some(Why::Invalid); 5]);
    assert_eq!(create(RoomId(Uuid::from_u128(9))), None);
}

#[test]
fn what_was_removed_in_one_account_is_nobodys_in_another() {
    let (mut accounts, other) = (imported(), AccountId(Uuid::from_u128(2)));
    change(&mut accounts, AccountChange::CreateMember(user("bob"))).unwrap();
    change(&mut accounts, AccountChange::RemoveMember(user_id("bob"))).unwrap();
    let create = |config: AccountConfig| Change::CreateAccount(Box::new(config));
    let room = RoomConfig { id: Some(hall()), ..RoomConfig::new("x".parse().unwrap(), History::Log) };
    for removed in [within(AccountChange::RemoveRoom(hall())), Change::RemoveAccount(ACME)] {
        let (accounts, _, _) = accounts.apply(removed).unwrap();
        let (accounts, _, _) = accounts.apply(create(AccountConfig::new(name("foo"), other))).unwrap();
        for change in
            [AccountChange::CreateRoom(Box::new(room.clone())), AccountChange::CreateMember(user("bob"))]
        {
            let refused = accounts.apply(Change::Within(other, change)).unwrap_err();
            assert_eq!(refused.why, Why::Taken);
        }
        let whole = AccountConfig {
            room: vec![room.clone()],
            ..AccountConfig::new(name("bar"), AccountId(Uuid::from_u128(3)))
        };
        assert_eq!(accounts.apply(create(whole)).unwrap_err().why, Why::Taken);
    }
}

#[test]
fn an_account_that_does_not_compile_is_in_nobody_elses_way() {
    let mut accounts = imported();
    let foo = |n| AccountConfig::new(name("foo"), AccountId(Uuid::from_u128(n)));
    let (made, _, _) = accounts.apply(Change::CreateAccount(Box::new(foo(2)))).unwrap();
    accounts = made;
    // The file calls another one foo: it is not taken, and said.
    let mut both = file(&declared());
    both.push(foo(3));
    let notes = accounts.import(&both);
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(accounts.get(AccountId(Uuid::from_u128(3))).is_none());
    // Even one that is wrong already, as a version that refuses more finds it, lets the others change.
    accounts.insert(Account::new(foo(4)));
    assert!(accounts.compile().is_err());
    let directory = change(&mut accounts, AccountChange::RemoveMember(ann())).unwrap();
    assert!(directory.principal(ann()).is_none());
    assert_eq!(
        change(
            &mut accounts,
            AccountChange::CreateRoom(Box::new(RoomConfig::new("hall".parse().unwrap(), History::Log)))
        )
        .err(),
        Some(Why::Invalid)
    );
}

#[test]
fn what_an_account_makes_of_itself_is_bounded_and_a_file_that_declares_more_is_in_no_changes_way() {
    let mut accounts = imported();
    let to = |n: usize| {
        let channels = format!("c{n}/#").parse().unwrap();
        AccountChange::Grant(Some(hall()), GrantConfig { channels, ..grant(Whom::Named(name("ann")), false) })
    };
    (0..GRANTS_MAX).for_each(|n| drop(change(&mut accounts, to(n)).unwrap()));
    assert_eq!(change(&mut accounts, to(GRANTS_MAX)).err(), Some(Why::TooMany));
    let room = accounts.get(ACME).unwrap().config.room[0].clone();
    let more = |count: usize| {
        let one = room.grant[0].clone();
        RoomConfig { grant: vec![one; count], ..room.clone() }
    };
    let set = |count| AccountChange::SetRoom(Box::new(more(count)));
    assert_eq!(change(&mut accounts, set(GRANTS_MAX + 1)).err(), Some(Why::TooMany));
    let groups = (0..=GROUPS_MAX).map(|n| name(&format!("group-{n}"))).collect();
    assert_eq!(
        change(
            &mut accounts,
            AccountChange::SetMember(ann(), MemberChange { groups: Some(groups), ..MemberChange::default() })
        )
        .err(),
        Some(Why::TooMany)
    );
    // As a file may declare it: everybody times everything.
    let mut account = Account::clone(accounts.get(ACME).unwrap());
    let declared = (0..2 * RULES_MAX / GRANTS_MAX).map(|n| {
        let id = Some(ClientId(Uuid::from_u128(1000 + n as u128)));
        UserConfig { id, ..UserConfig::new(name(&format!("user-{n}"))) }
    });
    account.config.user.extend(declared);
    accounts.insert(account);
    assert_eq!(
        accounts.apply(within(AccountChange::CreateMember(user("bob")))).unwrap_err().why,
        Why::TooMany
    );
    let gone = AccountChange::RemoveMember(ClientId(Uuid::from_u128(1000)));
    assert!(!matches!(accounts.apply(within(gone)), Err(Refused { why: Why::TooMany, .. })));
}
