//! What can be seen of a hub while it runs: what it says about itself, who is in its rooms, what goes through them.

use serde_json::{Value, json};

use crate::client::Client;
use crate::needs::{Need, needs};
use crate::program::{EVENTUALLY, SOON, output, wait};
use crate::site::{ACCOUNT, Node, OWNER, PASSWORD, Plan, READER, SENSOR, Site};
use crate::terminal::Terminal;

/// A client that asks one request after the other in the hall, and says the answers.
fn asks(site: &Site, name: &str, user: &str, asked: Value) -> Client {
    let url = format!("ws://{}:{}/{ACCOUNT}/hall", site.hub.place.address(), site.hub.http);
    let mut all = json!({ "url": url, "user": user, "password": PASSWORD, "reader": name });
    all.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
    Client::start(name, "asks.mjs", &site.hub.place, &all, &site.history, site.folder.path())
}

/// The answer to the n-th request of such a client.
fn answer(site: &Site, name: &str, n: usize) -> Value {
    let beginning = format!("{name} answer {} ", n + 2);
    site.history.wait("the answer", SOON, |ledger| !ledger.marks_of(&beginning).is_empty());
    let ledger = site.history.ledger();
    serde_json::from_str(ledger.marks_of(&beginning)[0]).expect("an answer is JSON")
}

/// What the hub's HTTP answers to somebody.
fn get(site: &Site, user: &str, path: &str) -> Value {
    let mut curl = site.hub.place.command("curl");
    let url = format!("http://127.0.0.1:{}{path}", site.hub.http);
    curl.args(["--silent", "--user", &format!("{user}:{PASSWORD}"), &url]);
    serde_json::from_str(&output(curl)).expect("the hub answers with JSON")
}

#[test]
fn every_connection_hears_the_system_and_finds_what_it_missed() {
    needs!(Need::Program("curl"), Need::Node, Need::Python);
    let mut site = Site::start();
    let _board = asks(&site, "board", OWNER, json!({ "stays": true }));
    site.history.wait_mark("board ready", SOON);
    let devices = json!({ "filters": ["$riser/room/hall/#", "$riser/account/opened", "$riser/hub/+"], "reader": "ear" });
    let ear = site.client("ear", "events_paho.py", &site.hub, OWNER, devices.clone());
    site.history.wait_mark("ear ready", SOON);
    let guest = site.dashboard("guest", &site.hub, "hall", json!({}));
    site.history.wait_mark("board heard room riser.joined", SOON);
    site.history.wait_mark("board heard account riser.opened", SOON);
    site.history.wait_mark("ear heard $riser/room/hall/joined riser.joined at QoS 1", SOON);
    site.history.wait_mark("ear heard $riser/account/opened riser.opened at QoS 1", SOON);
    // Who is away for a while, over a restart too, is told what it missed.
    drop(ear);
    drop(guest);
    site.history.wait_mark("board heard room riser.left", SOON);
    site.hub.kill();
    site.hub.start();
    let _ear = site.client("ear", "events_paho.py", &site.hub, OWNER, devices);
    site.history.wait_mark("ear heard $riser/room/hall/left riser.left at QoS 1", EVENTUALLY);
    site.history.wait_mark("ear heard $riser/hub/started riser.started at QoS 1", SOON);
}

#[test]
fn refusals_are_heard_by_admins_only() {
    needs!(Need::Node);
    let site = Site::start();
    let owner = json!({ "stays": true, "hello": { "subscriptions": [{ "sub": 1, "technical": "account", "from": "start" }] } });
    let _owner = asks(&site, "owner", OWNER, owner.clone());
    let _reader = asks(&site, "reader", READER, owner);
    for reader in ["owner", "reader"] {
        site.history.wait_mark(&format!("{reader} ready"), SOON);
    }
    let publish = json!([{ "op": "publish", "channel": "a", "data": 1 }]);
    asks(&site, "thief", READER, json!({ "requests": publish })).finish(SOON);
    assert_eq!(answer(&site, "thief", 0)["code"], "denied");
    site.history.wait_mark("owner heard account riser.refused", SOON);
    // Both are told that it left, after that.
    site.history.wait_mark("reader heard account riser.closed", SOON);
    assert!(!site.history.ledger().has_mark("reader heard account riser.refused"));
}

#[tokio::test]
async fn who_comes_and_goes_behind_an_edge_is_heard_at_the_hub_with_the_edge_s_name() {
    needs!(Need::Node, Need::Python);
    let site = Site::start();
    let shown = json!({ "user": OWNER, "password": PASSWORD });
    let mut board = Terminal::program(&site, &format!("/{ACCOUNT}/hall"), shown).await.unwrap();
    board.asks(json!({ "op": "subscribe", "sub": 1, "technical": "room" })).await;
    let listens = json!({ "filter": "hall/#", "reader": "panel" });
    let panel = site.client("panel", "subscribe_paho.py", &site.edge, READER, listens);
    let data = |text: String| serde_json::from_str::<Value>(&text).unwrap()["event"]["data"].clone();
    let behind = |kind: &str, said: &Value| {
        assert_eq!((&said["name"], &said["behind"]), (&json!(READER), &json!("edge")), "{kind}: {said}");
    };
    let joined = data(board.hears("riser.joined").await);
    behind("joined", &joined);
    drop(panel);
    let left = data(board.hears("riser.left").await);
    behind("left", &left);
    assert_eq!(left["connection"], joined["connection"]);
    assert!(left["cause"].is_string(), "{left}");
}

/// Who is in a room, by name, and whether behind a site that is cut off.
fn names(seen: &Value) -> Vec<(String, Value)> {
    let present = seen["present"].as_array().expect("a list").iter();
    let mut names: Vec<(String, Value)> = present
        .map(|one| (one["name"].as_str().unwrap_or_default().to_owned(), one["behind"]["cut_off"].clone()))
        .collect();
    names.sort_by(|one, other| one.0.cmp(&other.0));
    names
}

/// Waits until these are in the hall, as the hub shows it.
fn present(site: &Site, wanted: &[(&str, Value)]) -> Value {
    let wanted: Vec<(String, Value)> =
        wanted.iter().map(|(name, cut)| ((*name).to_owned(), cut.clone())).collect();
    let seen = wait(EVENTUALLY, || {
        let seen = get(site, OWNER, "/api/rooms/hall/presence");
        (names(&seen) == wanted).then_some(seen)
    });
    seen.unwrap_or_else(|| panic!("{:?} is not {wanted:?}", get(site, OWNER, "/api/rooms/hall/presence")))
}

/// Only its keys are left of its data.
fn replace_disk(node: &Node) {
    for file in std::fs::read_dir(&node.data).unwrap().map(Result::unwrap) {
        let name = file.file_name().to_string_lossy().into_owned();
        match file.file_type().unwrap() {
            _ if name.contains("key") => {}
            kind if kind.is_dir() => std::fs::remove_dir_all(file.path()).unwrap(),
            _ => std::fs::remove_file(file.path()).unwrap(),
        }
    }
}

#[test]
fn presence_shows_who_is_there_behind_edges_too_and_a_cut_off_site_as_such() {
    needs!(Need::Program("curl"), Need::Node, Need::Python);
    let mut site = Site::start();
    let _board = site.dashboard("board", &site.hub, "hall", json!({}));
    site.history.wait_mark("board ready", SOON);
    let listens = json!({ "filter": "hall/#", "reader": "panel" });
    let panel = site.client("panel", "subscribe_paho.py", &site.edge, READER, listens);
    site.history.wait_mark("panel ready", SOON);
    let seen = present(&site, &[(OWNER, Value::Null), (READER, json!(false))]);
    let behind = seen["present"].as_array().unwrap().iter().find(|one| one["name"] == READER).unwrap();
    assert_eq!(behind["behind"]["edge"], "edge");
    assert!(behind["since"].as_i64().unwrap() > 1_600_000_000_000);
    // What the hub has heard outlives its restart; its own connections do not.
    site.hub.kill();
    site.edge.kill();
    site.hub.start();
    present(&site, &[(OWNER, Value::Null), (READER, json!(true))]);
    // The panel comes back to the edge by itself, as another connection: until then the one that was is shown.
    site.edge.start();
    let is_another = || {
        let seen = present(&site, &[(OWNER, Value::Null), (READER, json!(false))]);
        let panel = seen["present"].as_array().unwrap().iter().find(|one| one["name"] == READER).cloned()?;
        (panel["since"].as_i64() > behind["since"].as_i64()).then_some(())
    };
    wait(EVENTUALLY, is_another).expect("the panel comes back");
    // Its disk is replaced: nobody is left who could say that those are gone who were behind the former one.
    site.edge.kill();
    replace_disk(&site.edge);
    present(&site, &[(OWNER, Value::Null), (READER, json!(true))]);
    site.edge.start();
    present(&site, &[(OWNER, Value::Null), (READER, json!(false))]);
    drop(panel);
    present(&site, &[(OWNER, Value::Null)]);
    // The same over the socket, and not for those who may read nothing.
    asks(&site, "looker", READER, json!({ "requests": [{ "op": "presence" }] })).finish(SOON);
    assert!(names(&answer(&site, "looker", 0)).iter().any(|(name, _)| name == OWNER));
    assert_eq!(get(&site, OWNER, "/api/rooms/attic/presence")["error"]["code"], "denied");
}

#[test]
fn nobody_is_left_behind_an_edge_below_another_whose_disk_was_replaced_or_whose_leaving_was_lost_between() {
    needs!(Need::Program("curl"), Need::Node, Need::Python);
    let mut site = Site::laid_out(Plan { middle: true, ..Plan::default() });
    // The one between lets go of its oldest.
    let quota = "\n[quota]\nbytes = \"32 MiB\"\npolicy = \"drop_oldest\"\n";
    let file = std::fs::read_to_string(&site.middle().config).unwrap();
    site.middle().write_config(&(file + quota));
    site.hub.start();
    site.middle().start();
    site.edge.start();
    let _board = site.dashboard("board", &site.hub, "hall", json!({}));
    site.history.wait_mark("board ready", SOON);
    let panel = |site: &Site, name: &str| {
        let listens = json!({ "filter": "hall/#", "reader": name });
        let panel = site.client(name, "subscribe_paho.py", &site.edge, READER, listens);
        site.history.wait_mark(&format!("{name} ready"), SOON);
        panel
    };
    let first = panel(&site, "first");
    present(&site, &[(OWNER, Value::Null), (READER, json!(false))]);
    site.edge.kill();
    replace_disk(&site.edge);
    drop(first);
    site.edge.start();
    present(&site, &[(OWNER, Value::Null)]);
    // It goes while the hub is away, and the one between has no room for all that came meanwhile.
    let second = panel(&site, "second");
    present(&site, &[(OWNER, Value::Null), (READER, json!(false))]);
    site.hub.kill();
    drop(second);
    let much =
        json!({ "stream": "s", "topic": "sensors/s", "qos": 1, "count": 500, "rate": 100, "size": 100_000 });
    site.client("publisher", "publish_paho.py", &site.edge, SENSOR, much).finish(EVENTUALLY);
    let empty = || site.edge.equation().filter(|[_, _, queued, _]| *queued == 0.0);
    wait(EVENTUALLY, empty).expect("the one between takes all of it");
    site.hub.start();
    present(&site, &[(OWNER, Value::Null)]);
    let [.., gapped] = site.middle().equation().expect("it runs");
    assert!(gapped > 0.0, "nothing was lost");
}

#[test]
fn channels_add_up_to_their_room() {
    needs!(Need::Program("curl"), Need::Node, Need::Python);
    let site = Site::start();
    for (stream, count) in [("one", 20), ("two", 30)] {
        let asked = json!({ "stream": stream, "topic": format!("hall/{stream}"), "qos": 1, "count": count });
        site.client(stream, "publish_paho.py", &site.hub, OWNER, asked).finish(SOON);
    }
    let seen = get(&site, OWNER, "/api/rooms/hall/statistics");
    let rows = seen["channels"].as_array().expect("rows");
    let sum = |what: &str| rows.iter().map(|row| row[what].as_u64().unwrap()).sum::<u64>();
    assert_eq!((seen["messages"].clone(), sum("messages")), (json!(50), 50), "{seen}");
    assert_eq!(seen["bytes"], sum("bytes"));
    let minute: u64 = rows.iter().map(|row| row["last_min"]["messages"].as_u64().unwrap()).sum();
    assert_eq!((seen["last_min"]["messages"].clone(), minute), (json!(50), 50));
    assert_eq!((seen["other"]["messages"].clone(), seen["partial"].clone()), (json!(0), json!(false)));
    let one = rows.iter().find(|row| row["channel"] == "one").expect("a row for each");
    // A device that does not say what it sends has its bytes shown as bytes.
    assert_eq!((one["messages"].clone(), one["value"]["data_b64"].is_string()), (json!(20), true), "{one}");
    let requests =
        json!([{ "op": "statistics", "channels": "two" }, { "op": "statistics", "channels": "#/#" }]);
    asks(&site, "looker", READER, json!({ "requests": requests })).finish(SOON);
    let seen = answer(&site, "looker", 0);
    assert_eq!((seen["messages"].clone(), seen["partial"].clone()), (json!(30), json!(true)));
    assert_eq!(answer(&site, "looker", 1)["code"], "bad_name");
}

#[tokio::test]
async fn who_begins_to_listen_is_told_at_once_where_a_room_and_its_channels_stand() {
    needs!(Need::Python);
    let site = Site::start();
    for (stream, count) in [("one", 20), ("two", 30)] {
        let asked = json!({ "stream": stream, "topic": format!("hall/{stream}"), "qos": 1, "count": count });
        site.client(stream, "publish_paho.py", &site.hub, OWNER, asked).finish(SOON);
    }
    let shown = json!({ "user": OWNER, "password": PASSWORD });
    let mut board = Terminal::program(&site, &format!("/{ACCOUNT}/hall"), shown).await.unwrap();
    let said: Value = serde_json::from_str(&board.hears("riser.statistics").await).unwrap();
    let told = &said["event"]["data"];
    let rows = told["channels"].as_array().expect("rows");
    let names: Vec<&str> = rows.iter().filter_map(|row| row["channel"].as_str()).collect();
    assert_eq!(names, ["two", "one"], "the one that was published in last first");
    for (figure, most) in
        [("messages", 50), ("per_min", 50), ("bytes", u64::MAX), ("bytes_per_min", u64::MAX)]
    {
        let sum = rows.iter().map(|row| row[figure].as_u64().unwrap()).sum::<u64>();
        assert_eq!(told[figure], sum, "{figure}: {told}");
        assert!((50..=most).contains(&sum), "{figure}: {told}");
    }
    assert_eq!(told["last"], rows[0]["last"]);
    assert!(rows[0]["subscribers"].is_u64() && rows[0]["connections"].is_u64(), "{told}");
    let newest = &told["newest"];
    assert!(newest["channel"] == "two" && newest["pos"].is_string(), "{told}");
}
