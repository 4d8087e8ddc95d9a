//! A program's way back from a room to the lobby, on the same connection, over real sockets: what it leaves behind, and what it
//! may do there.

use serde_json::{Value, json};

use crate::accounts::{House, house};
use crate::site::{ACCOUNT, OWNER, PASSWORD, READER};
use crate::terminal::Terminal;

async fn enters(house: &House, room: &str, user: &str) -> Terminal {
    let credential = json!({ "user": user, "password": PASSWORD });
    Terminal::program(&house.site, &format!("/{ACCOUNT}/{room}"), credential).await.unwrap()
}

fn present(presence: &Value) -> Vec<String> {
    let all = presence["ok"]["present"].as_array().unwrap();
    all.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn program_goes_back_to_the_lobby_and_leaves_the_room_as_by_closing() {
    let house = house();
    house.does(&["room", "create", &format!("{ACCOUNT}/stage"), "history=session", "gate=[{ seats = 1 }]"]);
    let mut ann = enters(&house, "stage", OWNER).await;
    let mut rob = Terminal::program(
        &house.site,
        "/",
        json!({ "user": format!("{ACCOUNT}/{READER}"), "password": PASSWORD }),
    )
    .await
    .unwrap();
    let full = rob.asks(json!({ "op": "enter", "room": "stage" })).await;
    assert_eq!(full["error"]["code"], "too_many", "{full}");
    house.does(&["room", "set", &format!("{ACCOUNT}/stage"), "gate=[{ seats = 2 }]"]);
    // Another gate may have asked everybody anew.
    let mut ann = match ann.asks(json!({ "op": "whoami" })).await["ok"].is_object() {
        true => ann,
        false => enters(&house, "stage", OWNER).await,
    };
    ann.asks(json!({ "op": "session" })).await;
    let said = ann.asks(json!({ "op": "publish", "channel": "line", "data": "to be" })).await;
    assert!(said["ok"]["pos"].is_string(), "{said}");
    assert!(ann.asks(json!({ "op": "subscribe", "sub": 1, "channels": "#" })).await["ok"].is_object());

    assert_eq!(rob.asks(json!({ "op": "enter", "room": "stage" })).await["ok"]["room"], "stage");
    let shown = rob.asks(json!({ "op": "subscribe", "sub": 2, "technical": "room" })).await;
    assert!(shown["ok"].is_object(), "{shown}");
    rob.say(&json!({ "op": "subscribe", "id": 9, "sub": 1, "channels": "#", "from": "start" }).to_string())
        .await;
    rob.hears("to be").await;
    assert_eq!(present(&rob.asks(json!({ "op": "presence" })).await).len(), 2);

    // Out of the room, on the same connection.
    let before = ann.asks(json!({ "op": "whoami" })).await["ok"]["connection"].clone();
    ann.say(r#"{"op":"leave","id":8}"#).await;
    let ended = ann.hears("\"ev\":\"end\"").await;
    assert!(ended.contains("\"sub\":1"), "{ended}");
    let left: Value = serde_json::from_str(&ann.hears("\"re\":8").await).unwrap();
    assert_eq!((&left["ok"]["room"], &left["ok"]["account"]), (&Value::Null, &json!(ACCOUNT)), "{left}");
    assert_eq!(left["ok"]["connection"], before);
    let heard = [rob.hears("wiped").await, rob.hears("riser.left").await];
    assert!(heard[1].contains(OWNER), "{heard:?}");
    assert_eq!(present(&rob.asks(json!({ "op": "presence" })).await), [READER]);

    // In the lobby: its verbs and its channels, and the room's are gone.
    let twice = ann.asks(json!({ "op": "leave" })).await;
    assert_eq!(twice["error"]["code"], "wrong_state", "{twice}");
    let rooms = ann.asks(json!({ "op": "rooms" })).await;
    let stage = rooms["ok"]["rooms"].as_array().unwrap().iter().find(|room| room["name"] == "stage").unwrap();
    assert_eq!(stage["members"], 1, "{rooms}");
    assert!(ann.asks(json!({ "op": "subscribe", "sub": 1, "channels": "#" })).await["ok"].is_object());
    let mut person = Terminal::person(&house.site, "/", &format!("{ACCOUNT}/{OWNER}"), PASSWORD).await;
    person.say("say news all out").await;
    ann.hears("all out").await;

    // The seat is free, the session is not replayed to who comes now, and it may come back.
    house.does(&["room", "set", &format!("{ACCOUNT}/stage"), "gate=[]"]);
    assert_eq!(ann.asks(json!({ "op": "enter", "room": "stage" })).await["ok"]["room"], "stage");
    let all = json!({ "op": "subscribe", "sub": 3, "channels": "#", "from": "start" });
    let shown = ann.asks(all).await;
    assert_eq!(shown["ok"]["gaps"], json!([]), "{shown}");
    let said = ann.asks(json!({ "op": "publish", "channel": "line", "data": "or not" })).await;
    assert!(said["ok"]["pos"].is_string(), "{said}");
    let first = ann.hears("\"ev\":\"msg\"").await;
    assert!(first.contains("or not"), "nothing of the session that ended: {first}");
}
