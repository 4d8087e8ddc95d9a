//! Roles in one room, over real sockets: who has one there looks after that room, lets others into it, and has nothing of the
//! rest of the account.

use serde_json::{Value, json};

use crate::accounts::{House, house};
use crate::needs::{Need, needs};
use crate::program::{SOON, wait};
use crate::site::{ACCOUNT, OWNER, PASSWORD, READER};
use crate::terminal::Terminal;

#[tokio::test]
async fn owner_of_a_room_decides_over_the_admin_interface_who_knocks_there_and_nowhere_else() {
    needs!(Need::Program("curl"));
    let house = house();
    for room in ["porch", "attic"] {
        house.does(&["room", "create", &format!("{ACCOUNT}/{room}"), "history=log", "gate=[\"knock\"]"]);
    }
    let (kim, lea) = (user(&house, "kim"), user(&house, "lea"));
    for room in ["porch", "attic"] {
        house.does(&["role", &format!("{ACCOUNT}/{room}"), "lea", "member"]);
    }
    house.does(&["role", &format!("{ACCOUNT}/porch"), "kim", "owner"]);
    let knocks = async |room: &str| {
        let mut guest =
            Terminal::open(&house.site, &format!("/{ACCOUNT}/{room}"), Some("riser.v1.json")).await;
        guest.say(&json!({ "op": "hello", "id": 1, "credential": { "token": lea } }).to_string()).await;
        guest.hears("knocked").await;
        guest
    };
    let decides = |room: &str, connection: &Value, admit: bool| {
        let path = format!("/v1/accounts/{ACCOUNT}/rooms/{room}/connections/{connection}/decide");
        house.bears(&kim, &path, Some(&json!({ "admit": admit })))
    };
    let (mut at_porch, at_attic) = (knocks("porch").await, knocks("attic").await);
    let path = format!("/v1/accounts/{ACCOUNT}/rooms/porch/connections");
    let (status, waiting) = house.bears(&kim, &path, None);
    assert_eq!((status, waiting.as_array().map(Vec::len)), (200, Some(1)), "{waiting}");
    assert_eq!((&waiting[0]["name"], &waiting[0]["knocks"]), (&json!("lea"), &json!(true)));
    let all = house.does(&["connection", "list", ACCOUNT]);
    let number = |room: &str| {
        let found = all.as_array().unwrap().iter().find(|one| one["room"] == room);
        found.unwrap()["connection"].clone()
    };
    assert_eq!(waiting[0]["connection"], number("porch"));
    assert!(waiting[0]["from"].is_null(), "where it comes from is for the account's admins");

    // Not at another room, neither by its own address nor by that of hers, and not at the account's.
    assert_eq!(decides("attic", &number("attic"), true).0, 404);
    assert_eq!(decides("porch", &number("attic"), true).0, 404);
    let whole = format!("/v1/accounts/{ACCOUNT}/connections/{}/decide", number("porch"));
    assert_eq!(house.bears(&kim, &whole, Some(&json!({ "admit": true }))).0, 404);
    drop(at_attic);
    assert_eq!(decides("porch", &number("porch"), true).0, 200);
    let entered = at_porch.hears("\"re\":1").await;
    assert!(entered.contains("\"room\":\"porch\""), "{entered}");
    assert_eq!(decides("porch", &number("porch"), true).0, 404, "it is in");

    // By the command, with her token and with the operator's.
    let file = house.site.folder.path().join("kim.token");
    std::fs::write(&file, &kim).unwrap();
    let by_kim = file.to_str().unwrap().to_owned();
    let mut refused = knocks("porch").await;
    let place = format!("{ACCOUNT}/porch");
    let waiting = house.does(&["--token-file", &by_kim, "connection", "list", &place]);
    let one = waiting[0]["connection"].to_string();
    assert!(
        house.refuses(&["--token-file", &by_kim, "connection", "admit", ACCOUNT, &one]).contains("not yours")
    );
    house.does(&["--token-file", &by_kim, "connection", "refuse", &place, &one]);
    let answer = refused.hears("\"re\":1").await;
    assert!(answer.contains("denied"), "{answer}");
    let written = house.does(&["audit", ACCOUNT]).to_string();
    assert!(written.contains(&format!("by {ACCOUNT}/kim")), "{written}");
}

/// A new user without any role, and its token.
fn user(house: &House, name: &str) -> String {
    house.does(&["user", "add", &format!("{ACCOUNT}/{name}")]);
    house.does(&["key", "add", &format!("{ACCOUNT}/{name}")])["value"].as_str().unwrap().to_owned()
}

async fn enters(house: &House, room: &str, token: &str) -> Result<Terminal, Value> {
    Terminal::program(&house.site, &format!("/{ACCOUNT}/{room}"), json!({ "token": token })).await
}

#[tokio::test]
async fn owner_of_a_room_lets_in_broadcasts_and_gives_roles_there_and_nowhere_else() {
    needs!(Need::Program("curl"));
    let house = house();
    for room in ["porch", "attic"] {
        house.does(&["room", "create", &format!("{ACCOUNT}/{room}"), "history=log"]);
    }
    let (kim, lea, dev) = (user(&house, "kim"), user(&house, "lea"), user(&house, "dev"));
    assert_eq!(enters(&house, "porch", &kim).await.err(), Some(json!("denied")), "nothing is hers yet");
    let porch = format!("{ACCOUNT}/porch");
    house.does(&["role", &porch, "kim", "owner"]);
    assert!(enters(&house, "attic", &kim).await.is_err(), "another room of the account");

    // In the lobby: the same verbs, for that room alone.
    let mut lobby = Terminal::program(&house.site, "/", json!({ "token": kim })).await.unwrap();
    let role = |name: &str, room: &str, role: &str| json!({ "op": "role", "name": name, "room": room, "role": role });
    let given = lobby.asks(role("lea", "porch", "member")).await;
    assert_eq!(given["ok"], json!({ "name": "lea", "room": "porch", "role": "member" }));
    assert_eq!(lobby.asks(role("dev", "porch", "device")).await["ok"]["role"], "device");
    for denied in [
        role("lea", "attic", "member"),
        role("kim", "hall", "owner"),
        json!({ "op": "create", "room": "attic" }),
        json!({ "op": "invite", "name": "stranger", "room": "porch" }),
    ] {
        assert_eq!(lobby.asks(denied.clone()).await["error"]["code"], "denied", "{denied}");
    }
    let mut reading = enters(&house, "porch", &lea).await.unwrap();
    assert_eq!(reading.asks(json!({ "op": "subscribe", "sub": 1, "channels": "#" })).await["ok"]["sub"], 1);
    let said = reading.asks(json!({ "op": "publish", "channel": "a", "data": "x" })).await;
    assert!(said["ok"]["pos"].is_string(), "{said}");
    let taken = lobby.asks(role("lea", "porch", "reader")).await;
    assert_eq!(taken["ok"]["role"], "reader");
    let said = reading.asks(json!({ "op": "publish", "channel": "a", "data": "x" })).await;
    assert_eq!(said["error"]["code"], "denied", "another role holds at once");

    // What an owner says to a device, it hears; what others say, it does not.
    let mut device = enters(&house, "porch", &dev).await.unwrap();
    let shown = house.does(&["account", "show", ACCOUNT]);
    let id =
        shown["users"].as_array().unwrap().iter().find(|user| user["name"] == "dev").unwrap()["id"].clone();
    let own = format!("{}/#", id.as_str().unwrap());
    assert!(device.asks(json!({ "op": "subscribe", "sub": 1, "channels": own })).await["ok"].is_object());
    assert_eq!(
        device.asks(json!({ "op": "subscribe", "sub": 2, "channels": "a" })).await["error"]["code"],
        "denied"
    );
    let mut keeper = enters(&house, "porch", &kim).await.unwrap();
    let order = json!({ "op": "publish", "channel": format!("{}/on", id.as_str().unwrap()), "data": "now" });
    assert!(keeper.asks(order).await["ok"]["pos"].is_string());
    assert!(device.hears("\"now\"").await.contains("\"ev\":\"msg\""));

    // Who knocks there is hers to let in, and who knocks at another room is not.
    drop(keeper);
    for room in ["porch", "attic"] {
        house.does(&["room", "set", &format!("{ACCOUNT}/{room}"), "gate=[\"knock\"]"]);
        house.does(&["role", &format!("{ACCOUNT}/{room}"), "lea", "member"]);
    }
    house.does(&["role", &format!("{ACCOUNT}/hall"), "kim", "reader"]);
    let mut keeper = enters(&house, "hall", &kim).await.unwrap();
    for (room, is_hers) in [("attic", false), ("porch", true)] {
        let mut guest =
            Terminal::open(&house.site, &format!("/{ACCOUNT}/{room}"), Some("riser.v1.json")).await;
        guest.say(&json!({ "op": "hello", "id": 1, "credential": { "token": lea } }).to_string()).await;
        guest.hears("knocked").await;
        let all = house.does(&["connection", "list", ACCOUNT]);
        let knocker = all.as_array().unwrap().iter().find(|one| one["knocks"] == true && one["room"] == room);
        let decide = json!({ "op": "decide", "connection": knocker.unwrap()["connection"], "admit": true });
        let decided = keeper.asks(decide).await;
        assert_eq!(decided["ok"].is_object(), is_hers, "{room}: {decided}");
        if is_hers {
            guest.hears("\"re\":1").await;
        }
    }
}

#[test]
fn roles_in_a_room_are_written_down_last_over_a_restart_and_end_with_the_room_role_alone() {
    needs!(Need::Program("curl"));
    let mut house = house();
    house.does(&["room", "create", &format!("{ACCOUNT}/porch"), "history=log"]);
    let porch = format!("{ACCOUNT}/porch");
    house.does(&["role", &porch, READER, "admin"]);
    house.does(&["role", &porch, "@ops", "observer"]);
    let rob = format!("{ACCOUNT}/{READER}:{PASSWORD}");
    let ann = format!("{ACCOUNT}/{OWNER}:{PASSWORD}");
    let room = |house: &House, user: &str| house.asks(user, &format!("/v1/accounts/{ACCOUNT}/rooms/porch"));
    house.site.hub.stop();
    house.site.hub.start();
    let (status, shown) = room(&house, &rob);
    assert_eq!((status, &shown["room"]["roles"]), (200, &json!({ READER: "admin", "@ops": "observer" })));
    let members = house.asks(&rob, &format!("/v1/accounts/{ACCOUNT}/rooms/porch/members")).1;
    let own = members["members"].as_array().unwrap().iter().find(|one| one["name"] == READER).unwrap();
    assert_eq!((&own["role"], &own["room_role"]), (&json!("reader"), &json!("admin")));
    assert_eq!(house.asks(&rob, &format!("/v1/accounts/{ACCOUNT}/rooms/shallow")).0, 404, "another room");
    let written = house.does(&["audit", ACCOUNT]).to_string();
    for line in [format!("admin to {READER} in room porch"), "observer to @ops in room porch".to_owned()] {
        assert!(written.contains("role set") && written.contains(&line), "{written}");
    }
    house.does(&["role", &porch, READER, "none"]);
    let refused = wait(SOON, || (room(&house, &rob).0 == 401).then_some(()));
    assert!(refused.is_some(), "he administers nothing any more");
    assert_eq!(room(&house, &ann).0, 200);
}

#[tokio::test]
async fn admin_of_a_room_gives_every_role_there_but_that_of_an_owner() {
    needs!(Need::Program("curl"));
    let house = house();
    let porch = format!("{ACCOUNT}/porch");
    house.does(&["room", "create", &porch, "history=log"]);
    let rob = json!({ "user": format!("{ACCOUNT}/{READER}"), "password": PASSWORD });
    let gives = |name: &str, role: &str| json!({ "op": "role", "name": name, "room": "porch", "role": role });
    for (own, may) in [("admin", false), ("owner", true)] {
        house.does(&["role", &porch, READER, own]);
        let mut lobby = Terminal::program(&house.site, "/", rob.clone()).await.unwrap();
        for role in ["admin", "member", "reader", "observer", "writer", "device", "none"] {
            let answer = lobby.asks(gives("@ops", role)).await;
            assert_eq!(answer["ok"]["role"], role, "{own}: {answer}");
        }
        let answer = lobby.asks(gives("@ops", "owner")).await;
        assert_eq!(answer["ok"].is_object(), may, "{own}: {answer}");
        let answer = lobby.asks(gives(READER, "owner")).await;
        assert_eq!(answer["ok"].is_object(), may, "itself, as {own}: {answer}");
    }
}
