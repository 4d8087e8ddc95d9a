//! Directories as a person writes them: what they grant, and what they refuse to mean.

use super::*;
use crate::{
    config::{Role, RoomConfig, UserConfig},
    key::KeyText,
};
use figment::{
    Figment,
    providers::{Format, Toml},
};
use riser_model::{ChannelName, History, Right, RoomId};

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQx$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    account: Vec<AccountConfig>,
}

fn parse(text: &str) -> Result<Vec<AccountConfig>, String> {
    let whole = Figment::from(Toml::string(text)).extract::<Whole>();
    whole.map(|whole| whole.account).map_err(|error| error.to_string())
}

fn compile(text: &str) -> Result<Directory, Vec<Invalid>> {
    Directory::compile(&parse(text).unwrap())
}

fn acme() -> String {
    format!(
        r#"
        [[account]]
        name = "acme"
        id = "7d8f1d4e-54ad-4f0c-a0f9-0d1f9f6b2a10"
        grant = [{{ to = "*", right = "subscribe", channels = "public/#" }}]

        [[account.user]]
        name = "ann"
        password = "{HASH}"
        role = "owner"

        [[account.user]]
        name = "bob"
        tokens = ["{token}"]

        [[account.client]]
        name = "gateway"
        id = "0d1f9f6b-2a10-4f0c-a0f9-7d8f1d4e54ad"
        key = "{key}"
        role = "writer"

        [[account.room]]
        name = "plant"
        history = "log"
        grant = [
            {{ to = "bob", right = ["publish", "subscribe"] }},
            {{ to = "*", right = "subscribe", channels = "secret/#", deny = true }},
        ]

        [[account.room]]
        name = "yard"
        linked = false
        "#,
        token = TokenHash::of(b"token-of-bob").text(),
        key = KeyText(PublicKey([9; 32])),
    )
}

fn channel(text: &str) -> ChannelName {
    text.parse().unwrap()
}

#[test]
fn rooms_clients_and_edges_come_out_as_written() {
    let directory = compile(&acme()).unwrap();
    let [plant, yard] = directory.rooms() else { panic!("two rooms") };
    assert_eq!((plant.name.as_str(), plant.history, plant.linked), ("plant", History::Log, true));
    assert_eq!((yard.name.as_str(), yard.history, yard.linked), ("yard", History::None, false));
    assert_eq!(plant.id, RoomId::of(plant.account, "plant"));
    let gateway = directory.named("gateway").unwrap();
    let edge = directory.edge(gateway.client).unwrap();
    assert_eq!((edge.principal, edge.key), (gateway, PublicKey([9; 32])));
    assert_eq!(directory.edges().count(), 1);
    let ann = directory.named("acme/ann").unwrap();
    assert_eq!(directory.edge(ann.client), None);
    assert_eq!(ann.client, client_id(ann.account, &ann.name));
    assert_eq!(directory.principals().count(), 3);
}

#[test]
fn rights_are_what_roles_and_grants_say_and_nothing_else() {
    let directory = compile(&acme()).unwrap();
    let (plant, yard) = (directory.rooms()[0].id, directory.rooms()[1].id);
    let may = |who: &str, right, room, text: &str| {
        directory.named(who).unwrap().grants.allow(right, room, &channel(text))
    };
    assert!(may("ann", Right::Admin, yard, "x") && may("ann", Right::Publish, plant, "secret/x"));
    assert!(!may("ann", Right::Subscribe, plant, "secret/x"), "a deny wins over a role");
    assert!(may("bob", Right::Publish, plant, "x") && may("bob", Right::Subscribe, plant, "x"));
    assert!(!may("bob", Right::Subscribe, yard, "x") && !may("bob", Right::Admin, plant, "x"));
    assert!(may("bob", Right::Subscribe, yard, "public/x"), "the account's grant holds in every room");
    assert!(may("gateway", Right::Publish, yard, "x") && !may("gateway", Right::Subscribe, yard, "x"));
}

#[test]
fn a_device_publishes_and_hears_what_is_addressed_to_it_and_words_of_roles_have_others_beside_them() {
    let text = acme()
        + r#"
        [[account.client]]
        name = "lamp"
        id = "0f8a0000-0000-0000-0000-000000000001"
        role = "device"
        [[account.user]]
        name = "obi"
        role = "observer"
        [[account.user]]
        name = "ada"
        role = "admin"
        "#;
    let directory = compile(&text).unwrap();
    let plant = directory.rooms()[0].id;
    let may = |name: &str, right, channel: &str| {
        let who = directory.named(&format!("acme/{name}")).unwrap();
        who.grants.allow(right, plant, &channel.parse().unwrap())
    };
    let (own, another) =
        ("0f8a0000-0000-0000-0000-000000000001/mode", "0f8a0000-0000-0000-0000-000000000002/mode");
    assert!(may("lamp", Right::Publish, "boiler/x") && may("lamp", Right::Subscribe, own));
    assert!(!may("lamp", Right::Subscribe, "boiler/x") && !may("lamp", Right::Subscribe, another));
    assert!(!may("lamp", Right::Publish, another) && !may("lamp", Right::Admin, "boiler/x"));
    assert!(may("obi", Right::Subscribe, "boiler/x") && !may("obi", Right::Publish, "boiler/x"));
    assert!(may("ada", Right::Admin, "boiler/x"));
    assert!(directory.named("acme/ada").unwrap().grants.administer());
}

#[test]
fn quarantine_is_read_by_those_who_administer_and_written_by_nobody() {
    let mut config = AccountConfig::new("acme".parse().unwrap(), AccountId(Uuid::from_u128(9)));
    config.user = [("ann", Role::Owner), ("max", Role::Member)]
        .map(|(name, role)| UserConfig { role: Some(role), ..UserConfig::new(name.parse().unwrap()) })
        .into();
    let directory = Directory::compile(&[config.clone()]).unwrap();
    let quarantine = RoomId::of(AccountId(Uuid::from_u128(9)), QUARANTINE);
    let may = |user: &str, right| {
        directory.named(user).unwrap().grants.allow(right, quarantine, &"denied/x".parse().unwrap())
    };
    assert!(may("acme/ann", Right::Subscribe) && !may("acme/max", Right::Subscribe));
    assert!(!may("acme/ann", Right::Publish) && !may("acme/max", Right::Publish));
    config.room = vec![RoomConfig::new(QUARANTINE.parse().unwrap(), History::Log)];
    assert!(Directory::compile(&[config]).unwrap_err()[0].to_string().contains("another name"));
}

#[test]
fn a_role_in_a_room_is_held_there_and_nowhere_else() {
    let text = acme()
        + r#"
        roles = { bob = "owner", gateway = "device", "@press" = "observer", "*" = "writer" }
        [[account.user]]
        name = "eve"
        groups = ["press"]
        "#;
    // The last room of that text is the yard.
    let directory = compile(&text).unwrap();
    let account = directory.accounts().next().unwrap().1;
    let [plant, yard] = ["plant", "yard"].map(|name| RoomId::of(account, name));
    let grants = |name: &str| Arc::clone(&directory.named(name).unwrap().grants);
    let (bob, eve, gateway) = (grants("bob"), grants("eve"), grants("gateway"));
    assert!(bob.whole(Right::Admin, yard) && !bob.whole(Right::Admin, plant));
    assert!(!bob.administer() && bob.administers_some());
    assert!(eve.whole(Right::Subscribe, yard) && !eve.allow(Right::Subscribe, plant, &channel("a")));
    assert!(eve.whole(Right::Publish, yard) && !eve.reach(Right::Publish, plant), "by what everybody is");
    // A device reads what is addressed to it, in that room.
    let own: ChannelName = format!("{}/on", directory.named("gateway").unwrap().client.0).parse().unwrap();
    assert!(
        gateway.allow(Right::Subscribe, yard, &own) && !gateway.allow(Right::Subscribe, yard, &channel("a"))
    );
    let ghost = compile(&(acme() + "roles = { bobb = \"owner\" }")).unwrap_err();
    assert!(
        ghost[0].to_string().contains("room[yard].roles.bobb") && ghost[0].to_string().contains("\"bob\"?")
    );
}

#[test]
fn a_short_name_that_two_accounts_have_is_nobody() {
    let text = acme()
        + r#"
        [[account]]
        name = "other"
        id = "11111111-54ad-4f0c-a0f9-0d1f9f6b2a10"
        [[account.user]]
        name = "ann"
        "#;
    let directory = compile(&text).unwrap();
    assert_eq!(directory.named("ann"), None);
    assert!(directory.named("other/ann").is_some() && directory.named("acme/ann").is_some());
    assert!(directory.named("bob").is_some());
}

#[test]
fn configuration_round_trips_except_for_secrets() {
    let accounts = parse(&acme()).unwrap();
    let printed = format!("{accounts:?}") + &figment_text(&accounts);
    assert!(!printed.contains("argon2id") && !printed.contains("sha256:"), "{printed}");
    assert!(printed.contains("(hidden)") && printed.contains("secret/#"));
}

fn figment_text(accounts: &[AccountConfig]) -> String {
    format!("{:?}", figment::value::Value::serialize(accounts).unwrap())
}

/// Each wrong configuration, with the key and the remedy that its error must name.
#[test]
fn every_contradiction_names_its_key_and_a_remedy() {
    let id = "id = \"7d8f1d4e-54ad-4f0c-a0f9-0d1f9f6b2a10\"";
    let cases = [
        ("[[account]]\nname = \"a\"".to_owned(), "account[a].id", "id new"),
        (
            format!("[[account]]\nname = \"a\"\n{id}\n[[account]]\nname = \"a\"\n{id}"),
            "account[a]",
            "another name",
        ),
        (
            format!("[[account]]\nname = \"a\"\n{id}\n[[account]]\nname = \"b\"\n{id}"),
            "account[b].id",
            "id new",
        ),
        (acme() + "[[account.room]]\nname = \"plant\"", "account[acme].room[plant]", "another name"),
        (acme() + "[[account.user]]\nname = \"gateway\"", "account[acme].client[gateway]", "another name"),
        (
            acme() + "grant = [{ to = \"an\", right = \"publish\" }]",
            "account[acme].room[yard].grant[0].to",
            "did you mean \"ann\"?",
        ),
        (
            acme() + "grant = [{ to = \"zebra\", right = \"publish\" }]",
            "account[acme].room[yard].grant[0].to",
            "declare it",
        ),
        (
            acme() + "grant = [{ to = \"ann\", right = [] }]",
            "account[acme].room[yard].grant[0].right",
            "publish, subscribe or admin",
        ),
        (
            acme()
                + &format!(
                    "[[account.user]]\nname = \"eve\"\ntokens = [\"{}\"]",
                    TokenHash::of(b"token-of-bob").text()
                ),
            "account[acme].user[eve].tokens",
            "account token",
        ),
        (
            acme()
                + &format!("[[account.client]]\nname = \"twin\"\nkey = \"{}\"", KeyText(PublicKey([9; 32]))),
            "account[acme].client[twin].key",
            "key new",
        ),
        (
            acme() + "[[account.client]]\nname = \"twin\"\nid = \"0d1f9f6b-2a10-4f0c-a0f9-7d8f1d4e54ad\"",
            "account[acme].client[twin].id",
            "id new",
        ),
        (acme() + "ready = [\"an\"]", "account[acme].room[yard].ready", "did you mean \"ann\"?"),
        (acme() + "kind = \"board\"", "account[acme].room[yard].kind", "history = \"log\""),
        (acme() + "archive = true", "account[acme].room[yard].archive", "history = \"log\""),
    ];
    for (text, key, want) in cases {
        let wrong = compile(&text).expect_err(key);
        assert!(wrong.iter().any(|w| w.key == key && w.want.contains(want)), "{key}: {wrong:?}");
    }
}

#[test]
fn values_that_are_no_values_are_refused_where_they_stand() {
    for (text, part) in [
        ("[[account]]\nname = \"Acme\"", "1 to 64 characters"),
        ("[[account]]\nname = \"a\"\n[[account.user]]\nname = \"b\"\npassword = \"hunter2\"", "account hash"),
        (
            "[[account]]\nname = \"a\"\n[[account.user]]\nname = \"b\"\ntokens = [\"hunter2\"]",
            "account token",
        ),
        ("[[account]]\nname = \"a\"\n[[account.client]]\nname = \"b\"\nkey = \"hunter2\"", "key show"),
        ("[[account]]\nname = \"a\"\ngrant = [{ to = \"*\", right = \"read\" }]", "unknown variant"),
        ("[[account]]\nname = \"a\"\nusers = []", "unknown field"),
    ] {
        let error = parse(text).expect_err(text);
        assert!(error.contains(part) && !error.contains("hunter2"), "{error}");
    }
}

/// Another account in which there is an ann as well.
fn garden() -> String {
    let id = "6f2c8a52-5e2b-4c07-9a5c-3b8f9f0f9a77";
    format!(
        "[[account]]\nname = \"garden\"\nid = \"{id}\"\n[[account.user]]\nname = \"ann\"\n[[account.user]]\nname = \"eve\"\n"
    )
}

#[test]
fn name_without_an_account_is_the_default_account_s_then_the_only_one_and_nobody_s_otherwise() {
    let directory = compile(&(acme() + &garden())).unwrap();
    let of = |directory: &Directory, name: &str| {
        directory.named(name).map(|who| format!("{}/{}", who.account_name, who.name))
    };
    assert_eq!(of(&directory, "ann"), None, "two accounts have it");
    for (bare, ann) in [
        ("garden", Some("garden/ann")),
        ("6f2c8a52-5e2b-4c07-9a5c-3b8f9f0f9a77", Some("garden/ann")),
        ("acme", Some("acme/ann")),
        ("nobody", None),
    ] {
        let directory = directory.clone().with_bare(Some(bare.parse().unwrap()));
        assert_eq!(of(&directory, "ann").as_deref(), ann, "{bare}");
        assert_eq!(of(&directory, "bob").as_deref(), Some("acme/bob"), "{bare}: the only one");
        assert_eq!(of(&directory, "acme/ann").as_deref(), Some("acme/ann"), "{bare}");
    }
}

#[test]
fn name_without_an_account_at_somebody_s_address_is_that_one_s_only_and_says_so_only_where_it_must() {
    let directory = compile(&(acme() + &garden())).unwrap();
    let home = |name: &str| Some(name.parse::<AccountName>().unwrap());
    let shown = |directory: &Directory, user: &str, home: Option<AccountName>| {
        let password = Secret(Bytes::from_static(b"x"));
        let shown = Credential::Password { account: None, user: user.to_owned(), password };
        let Credential::Password { account, user, .. } = directory.at_home(shown, home.as_ref()) else {
            panic!()
        };
        (account.map(|account| account.to_string()), user)
    };
    let is = |account: Option<&str>, user: &str| (account.map(str::to_owned), user.to_owned());
    assert_eq!(shown(&directory, "ann", home("garden")), is(Some("garden"), "ann"));
    assert_eq!(shown(&directory, "ann", home("acme")), is(Some("acme"), "ann"));
    assert_eq!(shown(&directory, "ann", None), is(None, "ann"));
    assert_eq!(shown(&directory, "eve", home("garden")), is(None, "eve"), "what was signed stays as it was");
    assert_eq!(shown(&directory, "bob", home("garden")), is(Some("garden"), "bob"), "not a visitor's");
    let none = "nobody is answered as where there is an account";
    assert_eq!(shown(&directory, "bob", home("nowhere")), is(Some("nowhere"), "bob"), "{none}");
    let id = directory.named("bob").unwrap().client.0.to_string();
    assert_eq!(shown(&directory, &id, home("garden")), is(None, &id), "an id is nobody else's");
    let by_id = home("6f2c8a52-5e2b-4c07-9a5c-3b8f9f0f9a77");
    assert_eq!(shown(&directory, "bob", by_id), is(Some("garden"), "bob"), "the address has its id");
    assert_eq!(shown(&directory, "acme/ann", home("garden")), is(None, "acme/ann"));
    let bare = directory.clone().with_bare(Some("acme".parse().unwrap()));
    assert_eq!(shown(&bare, "ann", home("garden")), is(Some("garden"), "ann"), "the address comes first");
    assert_eq!(bare.typed_at(home("garden").as_ref(), "ann"), "garden/ann");
    assert_eq!(bare.typed_at(None, "ann"), "ann");
}

#[test]
fn visitors_have_what_the_lobby_s_grants_say_and_nothing_of_the_account() {
    let lobby = "[[account.room]]\nname = \"lobby\"\n";
    let grants = "grant = [{ to = \"*/*\", right = \"subscribe\", channels = \"news/#\" }, { to = \"*/*\", right = \"publish\", channels = \"book\" }]\n";
    let directory = compile(&format!("{}{lobby}{grants}{}", acme(), garden())).unwrap();
    let acme = directory.account(&"acme".parse().unwrap());
    let room = RoomId::of(acme.unwrap(), "lobby");
    let eve = directory.named("eve").unwrap();
    let visiting = directory.visiting(eve, acme);
    assert_eq!((Some(visiting.account), visiting.client), (acme, eve.client));
    let may = |who: &Principal, right, room, text| who.grants.allow(right, room, &channel(text));
    assert!(may(&visiting, Right::Subscribe, room, "news/a") && may(&visiting, Right::Publish, room, "book"));
    assert!(
        !may(&visiting, Right::Publish, room, "news/a") && !may(&visiting, Right::Subscribe, room, "book")
    );
    for other in directory.rooms().iter().filter(|other| other.id != room) {
        assert!(!may(&visiting, Right::Subscribe, other.id, "news/a"), "{}", other.name);
    }
    // What is denied to everybody there, or in the whole account, is denied to visitors; in other rooms it is nothing to them.
    let deny = |channels: &str| {
        format!("{{ to = \"*\", right = \"subscribe\", channels = \"{channels}\", deny = true }}")
    };
    let grants = grants.replace("grant = [", &format!("grant = [{}, ", deny("news/a")));
    let of_all = self::acme().replacen("grant = [", &format!("grant = [{}, ", deny("news/b")), 1);
    let of_all = of_all.replace("\"secret/#\"", "\"news/c\"");
    let denying = compile(&format!("{of_all}{lobby}{grants}{}", garden())).unwrap();
    let visiting = denying.visiting(eve, acme);
    let reads = |text| may(&visiting, Right::Subscribe, room, text);
    assert_eq!(["news/a", "news/b", "news/c"].map(reads), [false, false, true]);
    // Of the account itself nobody has anything by that, and without such a grant or account nobody does.
    let bob = directory.named("bob").unwrap();
    assert!(!may(bob, Right::Publish, room, "book"));
    for host in [directory.account(&"garden".parse().unwrap()), None] {
        let nowhere = directory.visiting(bob, host);
        assert!(!may(&nowhere, Right::Subscribe, room, "news/a"), "{host:?}");
        assert!(!nowhere.grants.administers_some());
    }
    for wrong in [
        format!("{}grant = [{{ to = \"*/*\", right = \"subscribe\" }}]\n", lobby.replace("lobby", "hall")),
        format!("{lobby}grant = [{{ to = \"*/*\", right = \"admin\" }}]\n"),
        format!("{lobby}roles = {{ \"*/*\" = \"reader\" }}\n"),
    ] {
        assert!(compile(&format!("{}{wrong}", self::acme())).is_err(), "{wrong}");
    }
}
