//! What is published at a hub reaches those who listen at an edge.

use serde_json::{Value, json};

use crate::client::Client;
use crate::needs::{Need, needs};
use crate::place::Cable;
use crate::program::{EVENTUALLY, Program, SOON, output, wait};
use crate::site::{ACCOUNT, Node, OWNER, PASSWORD, Plan, READER, SENSOR, Site};
use crate::terminal::Terminal;

const COUNT: u64 = 1200;
const RATE: u64 = 150;

/// A device that is told what to do, once it listens: a session that is kept, at QoS 1.
fn device(site: &Site) -> Program {
    let edge = &site.edge;
    // To a file it would print in blocks.
    let mut command = edge.place.command("stdbuf");
    command.args([
        "-oL",
        "mosquitto_sub",
        "-h",
        &edge.place.address().to_string(),
        "-p",
        &edge.mqtt.to_string(),
    ]);
    command.args(["-u", SENSOR, "-P", PASSWORD, "-V", "mqttv5", "-i", "valve", "-c", "-x", "3600"]);
    command.args(["-q", "1", "-t", "orders/#", "-F", "%t %p", "-d"]);
    let mut device = Program::start("valve", command, site.folder.path());
    device.wait_printed("Subscribed", SOON);
    device
}

fn publish(site: &Site, node: &Node, arguments: &[&str]) {
    let mut command = node.place.command("mosquitto_pub");
    command.args([
        "-h",
        &node.place.address().to_string(),
        "-p",
        &node.mqtt.to_string(),
        "-u",
        OWNER,
        "-P",
        PASSWORD,
    ]);
    command.args(["-V", "mqttv5", "-q", "1"]).args(arguments);
    Program::start("mosquitto_pub", command, site.folder.path()).ended(SOON);
}

/// How many different lines of that stream the device printed, and the highest number among them.
fn heard(device: &Program, stream: &str) -> usize {
    let mark = format!("\"stream\":\"{stream}\"");
    let text = device.printed().replace("\": ", "\":");
    let mut lines: Vec<&str> = text.lines().filter(|line| line.contains(&mark)).collect();
    lines.sort_unstable();
    lines.dedup();
    lines.len()
}

#[test]
fn orders_reach_a_device_behind_an_edge_that_is_killed_and_cut_off() {
    needs!(Need::Namespaces, Need::Program("mosquitto_sub"), Need::Program("curl"), Need::Python, Need::Node);
    let cable = Cable::lay();
    let plan =
        Plan { hub_place: Some(cable.a.clone()), edge_place: Some(cable.b.clone()), ..Plan::default() };
    let mut site = Site::planned(plan);
    let board = site.dashboard("board", &site.edge, "orders", json!({}));
    site.history.wait_mark("board ready", SOON);
    let device = device(&site);
    let ask = json!({ "stream": "s", "topic": "orders/valve", "qos": 2, "count": COUNT, "rate": RATE });
    let publisher = site.client("publisher", "publish_paho.py", &site.hub, OWNER, ask);
    let delivered = |site: &Site, count: u64| {
        site.history
            .wait(&format!("{count} delivered"), EVENTUALLY, |ledger| ledger.delivered("board") >= count);
    };
    delivered(&site, 150);
    site.edge.kill();
    site.edge.start();
    delivered(&site, 400);
    // While the site is cut off, the hub takes everything, and the edge dies once more.
    cable.cut();
    publisher.finish(EVENTUALLY);
    site.edge.kill();
    site.edge.start();
    let behind = site.history.ledger().delivered("board");
    assert!(behind < COUNT, "the cut came before the end");
    cable.heal();
    delivered(&site, COUNT);
    let verdict = site.history.ledger().verdict("board");
    assert!(verdict.is_clean(), "{verdict:?}");
    let all = wait(SOON, || (heard(&device, "s") as u64 == COUNT).then_some(()));
    assert!(all.is_some(), "the device heard {} of {COUNT}", heard(&device, "s"));
    drop(board);
}

#[test]
fn what_came_up_does_not_come_down_again_and_what_came_down_not_up() {
    needs!(Need::Program("mosquitto_sub"), Need::Program("curl"), Need::Python, Need::Node);
    let site = Site::start();
    let device = device(&site);
    let _boards = [("above", &site.hub), ("below", &site.edge)]
        .map(|(name, node)| site.dashboard(name, node, "orders", json!({})));
    for name in ["above", "below"] {
        site.history.wait_mark(&format!("{name} ready"), SOON);
    }
    let ask = |stream: &str| json!({ "stream": stream, "topic": format!("orders/{stream}"), "qos": 1, "count": 100 });
    let up = site.client("up", "publish_paho.py", &site.edge, OWNER, ask("up"));
    let down = site.client("down", "publish_paho.py", &site.hub, OWNER, ask("down"));
    up.finish(EVENTUALLY);
    down.finish(EVENTUALLY);
    // Retained, and for a client that comes later: it is retained at the edge too.
    publish(&site, &site.hub, &["-r", "-t", "orders/mode", "-m", "night"]);
    for name in ["above", "below"] {
        site.history.wait(&format!("{name} has both"), EVENTUALLY, |ledger| ledger.delivered(name) == 200);
    }
    wait(SOON, || device.printed().contains("orders/mode night").then_some(()))
        .expect("the device hears of it");
    // Everything is confirmed both ways: nothing more comes.
    let settled = wait(SOON, || site.edge.equation().filter(|[_, _, queued, _]| *queued == 0.0));
    assert!(settled.is_some(), "{:?}", site.edge.equation());
    for name in ["above", "below"] {
        let verdict = site.history.ledger().verdict(name);
        assert!(verdict.is_clean(), "{name}: {verdict:?}");
    }
    let mut late = site.edge.place.command("stdbuf");
    late.args(["-oL", "mosquitto_sub", "-p", &site.edge.mqtt.to_string(), "-u", SENSOR, "-P", PASSWORD]);
    late.args(["-t", "orders/mode", "-v", "-C", "1"]);
    let mut late = Program::start("late", late, site.folder.path());
    late.ended(SOON);
    assert!(late.printed().contains("orders/mode night"), "{}", late.printed());
}

#[test]
fn what_expired_while_a_site_was_away_is_not_delivered_there() {
    needs!(Need::Program("mosquitto_sub"), Need::Program("mosquitto_pub"), Need::Program("curl"));
    let mut site = Site::start();
    let mut device = device(&site);
    publish(&site, &site.hub, &["-t", "orders/valve", "-m", "first"]);
    device.wait_printed("orders/valve first", SOON);
    site.edge.kill();
    let expires = ["-D", "publish", "message-expiry-interval", "1"];
    publish(&site, &site.hub, &[&["-r", "-t", "orders/valve", "-m", "stale"], &expires[..]].concat());
    publish(&site, &site.hub, &["-t", "orders/valve", "-m", "fresh"]);
    // The hub's own clock says when it is over: what is retained there expires with it.
    let is_over = || {
        let mut late = site.hub.place.command("mosquitto_sub");
        late.args(["-p", &site.hub.mqtt.to_string(), "-u", OWNER, "-P", PASSWORD, "-V", "mqttv5"]);
        late.args(["-t", "orders/valve", "-C", "1", "-W", "1"]);
        let shown = late.output().expect("mosquitto_sub is installed").stdout;
        shown.is_empty().then_some(())
    };
    assert!(wait(SOON, is_over).is_some(), "it expires at the hub");
    site.edge.start();
    device.wait_printed("orders/valve fresh", SOON);
    assert!(!device.printed().contains("stale"), "{}", device.printed());
}

/// A client of a room at the hub that asks one request after the other and says what it hears.
fn asks(site: &Site, name: &str, room: &str, asked: Value) -> Client {
    let url = format!("ws://{}:{}/{ACCOUNT}/{room}", site.hub.place.address(), site.hub.http);
    let mut all = json!({ "url": url, "user": OWNER, "password": PASSWORD, "reader": name });
    all.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
    Client::start(name, "asks.mjs", &site.hub.place, &all, &site.history, site.folder.path())
}

/// One order under a publish id, and for how long it is of use.
fn order(site: &Site, room: &str, n: u64, expires_s: Option<u64>) {
    let mut request = json!({ "op": "publish", "channel": "lamp", "data": format!("order {n}"),
        "publish_id": { "producer": "18446744073709551615", "n": n } });
    if let Some(expires_s) = expires_s {
        request["expires_s"] = json!(expires_s);
    }
    asks(site, &format!("{room}-{n}"), room, json!({ "requests": [request], "hello": { "events": false } }))
        .finish(SOON);
}

fn outcome(name: &str, kind: &str, n: u64) -> String {
    format!("{name} heard riser.{kind} of 18446744073709551615/{n}")
}

#[test]
fn who_published_hears_what_became_of_it_at_the_edge_over_kills_and_once() {
    needs!(Need::Program("mosquitto_sub"), Need::Program("curl"), Need::Node);
    // The edge has no attic.
    let hub_account = "\n[[account.room]]\nname = \"attic\"\nhistory = \"log\"\ndown = true\n".to_owned();
    let mut site = Site::planned(Plan { hub_account, ..Plan::default() });
    let device = device(&site);
    let _ears = ["orders", "attic"].map(|room| asks(&site, room, room, json!({ "stays": true })));
    for room in ["orders", "attic"] {
        site.history.wait_mark(&format!("{room} ready"), SOON);
    }
    order(&site, "orders", 1, None);
    site.history.wait_mark(&outcome("orders", "delivered", 1), SOON);
    order(&site, "attic", 9, None);
    site.history.wait_mark(&outcome("attic", "failed", 9), SOON);
    // Nobody is there any more: what is kept for the device waits for it, as long as it is of use.
    drop(device);
    order(&site, "orders", 2, Some(1));
    order(&site, "orders", 3, None);
    site.history.wait_mark(&outcome("orders", "expired", 2), SOON);
    // The edge knows over a crash what it has not told, and what it has.
    site.edge.kill();
    order(&site, "orders", 4, None);
    site.edge.start();
    let device = crate::downlink::device(&site);
    for n in [3, 4] {
        site.history.wait_mark(&outcome("orders", "delivered", n), EVENTUALLY);
    }
    assert!(!device.printed().contains("order 2"), "{}", device.printed());
    // Who comes later finds it all, once.
    let hello =
        json!({ "subscriptions": [{ "sub": 1, "technical": "room", "from": "start" }], "events": false });
    let _late = asks(&site, "late", "orders", json!({ "stays": true, "hello": hello }));
    let all = [("delivered", 1), ("expired", 2), ("delivered", 3), ("delivered", 4)];
    for (kind, n) in all {
        site.history.wait_mark(&outcome("late", kind, n), SOON);
        let ledger = site.history.ledger();
        assert_eq!(ledger.marks_of(&outcome("late", kind, n)).len(), 1);
    }
    assert!(site.history.ledger().marks_of("late heard riser.").len() == all.len());
}

#[test]
fn who_published_what_the_hub_let_go_of_before_an_edge_that_was_away_had_it_hears_so() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let quota = "[quota]\nbytes = \"16 MiB\"\nsegment = \"4 MiB\"\n".to_owned();
    let mut site = Site::planned(Plan { hub_top: quota, ..Plan::default() });
    let _own = crate::events::listen(&site, "own", &site.edge);
    crate::events::hears(&site, "own", &["uplink_up"]);
    site.edge.kill();
    order(&site, "orders", 1, None);
    let many = json!({ "topic": "orders/x", "count": 150, "size": 200_000 });
    crate::events::much(&site, "much", &site.hub, OWNER, many);
    order(&site, "orders", 2, None);
    let _ears = asks(&site, "ears", "orders", json!({ "stays": true }));
    site.history.wait_mark("ears ready", SOON);
    site.edge.start();
    site.history.wait_mark(&outcome("ears", "failed", 1), EVENTUALLY);
    assert!(!site.history.ledger().has_mark(&outcome("ears", "failed", 2)), "that went down");
}

#[tokio::test]
async fn who_may_only_write_hears_what_became_of_its_own_and_who_reads_all_does_not() {
    let mut site = Site::laid_out(Plan::default());
    site.hub.start();
    let shown = |user: &str| json!({ "user": user, "password": PASSWORD });
    let path = format!("/{ACCOUNT}/orders");
    let mut before = Terminal::program(&site, &path, shown(READER)).await.expect("it is let in");
    let id =
        before.asks(json!({ "op": "whoami" })).await["ok"]["client"].as_str().expect("it is one").to_owned();
    site.hub.stop();
    let config = std::fs::read_to_string(&site.hub.config).expect("it was just written");
    let hash = config.lines().find(|line| line.starts_with("password = ")).expect("somebody has a password");
    let orders = "name = \"orders\"\n";
    assert_eq!(config.matches(orders).count(), 1);
    let grant = format!("grant = [{{ to = \"wim\", right = \"publish\", channels = \"{id}/#\" }}]\n");
    let config = config.replace(orders, &format!("{orders}{grant}"));
    site.hub
        .write_config(&format!("{config}\n[[account.user]]\nname = \"wim\"\n{hash}\nrole = \"writer\"\n"));
    site.hub.start();
    let mut reader = Terminal::program(&site, &path, shown(READER)).await.expect("it is let in");
    let mode = format!("{id}/mode");
    assert!(reader.asks(json!({ "op": "subscribe", "sub": 1, "channels": mode })).await["ok"].is_object());
    let mut writer = Terminal::program(&site, &path, shown("wim")).await.expect("it is let in");
    let publish_id = json!({ "producer": "7", "n": 1 });
    let order = json!({ "op": "publish", "id": 2, "channel": mode, "data": "on", "publish_id": publish_id });
    writer.say(&order.to_string()).await;
    let told = loop {
        let next = writer.json().await;
        if next["event"]["type"] == "riser.delivered" {
            break next["event"]["data"].clone();
        }
    };
    assert_eq!((&told["publish_id"], &told["to"]), (&publish_id, &json!(READER)));
    // By the time that it hears what comes after that, it would have heard it.
    drop(writer);
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != "riser.left") {
        let next = reader.json().await;
        kinds.extend(next["event"]["type"].as_str().map(str::to_owned));
    }
    assert!(!kinds.contains(&"riser.delivered".to_owned()), "{kinds:?}");
}

/// What the hub's HTTP answers the owner.
fn get(site: &Site, path: &str) -> Value {
    let mut curl = site.hub.place.command("curl");
    let url = format!("http://127.0.0.1:{}{path}", site.hub.http);
    curl.args(["--silent", "--user", &format!("{OWNER}:{PASSWORD}"), &url]);
    serde_json::from_str(&output(curl)).expect("the hub answers with JSON")
}

#[test]
fn a_message_to_a_client_reaches_all_its_connections_wherever_they_are_and_nobody_else() {
    needs!(Need::Program("mosquitto_sub"), Need::Program("mosquitto_pub"), Need::Program("curl"), Need::Node);
    let site = Site::start();
    let listen = |name: &str, node: &Node, user: &str, room: &str| {
        let mut command = node.place.command("stdbuf");
        command.args(["-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", &node.mqtt.to_string()]);
        command.args([
            "-u",
            user,
            "-P",
            PASSWORD,
            "-i",
            name,
            "-t",
            &format!("{room}/#"),
            "-F",
            "%t %p",
            "-d",
        ]);
        let mut program = Program::start(name, command, site.folder.path());
        program.wait_printed("Subscribed", SOON);
        program
    };
    let mut own = [("above", &site.hub), ("below", &site.edge)]
        .map(|(name, node)| listen(name, node, SENSOR, "orders"));
    let others =
        [("high", &site.hub), ("low", &site.edge)].map(|(name, node)| listen(name, node, READER, "orders"));
    let found = wait(EVENTUALLY, || {
        let seen = get(&site, "/api/rooms/orders/presence");
        let mut present = seen["present"].as_array()?.iter();
        Some(present.find(|one| one["name"] == SENSOR)?["client"].as_str()?.to_owned())
    });
    let client = found.expect("the device is in the room");
    publish(&site, &site.hub, &["-t", &format!("orders/{client}/mode"), "-m", "night"]);
    publish(&site, &site.edge, &["-t", &format!("orders/{client}/mode"), "-m", "day"]);
    publish(&site, &site.hub, &["-t", "orders/all", "-m", "last"]);
    publish(&site, &site.edge, &["-t", "orders/all", "-m", "least"]);
    for one in &mut own {
        for payload in ["night", "day"] {
            one.wait_printed(&format!("orders/{client}/mode {payload}"), SOON);
        }
    }
    for mut other in others {
        for payload in ["last", "least"] {
            other.wait_printed(&format!("orders/all {payload}"), SOON);
        }
        assert!(!other.printed().contains(&client), "{}", other.printed());
    }
    // Who may publish everywhere in the room may not address anybody for that.
    let request = json!({ "op": "publish", "channel": format!("{client}/mode"), "data": "dusk" });
    let asked = json!({ "requests": [request], "user": SENSOR });
    asks(&site, "itself", "orders", asked).finish(SOON);
    let own_answer = "itself answer 2 {\"pos\"";
    assert_eq!(site.history.ledger().marks_of(own_answer).len(), 1, "at its own address it may");
    let other = "00000000-0000-4000-8000-000000000001";
    let request = json!({ "op": "publish", "channel": format!("{other}/mode"), "data": "dusk" });
    asks(&site, "thief", "orders", json!({ "requests": [request], "user": SENSOR })).finish(SOON);
    assert_eq!(site.history.ledger().marks_of("thief answer 2 {\"code\":\"denied\"").len(), 1);
    // Where nothing is kept and nobody listens, it is nobody's, and counted.
    let void = || get(&site, "/api/rooms/fleeting/statistics")["void"].clone();
    assert_eq!(void(), json!(0));
    publish(&site, &site.hub, &["-t", &format!("fleeting/{other}/mode"), "-m", "void"]);
    publish(&site, &site.hub, &["-t", &format!("fleeting/{client}/mode"), "-m", "unheard"]);
    assert_eq!(void(), json!(2), "it is there, and listens elsewhere");
    let mut hears = site.hub.place.command("stdbuf");
    hears.args([
        "-oL",
        "mosquitto_sub",
        "-d",
        "-p",
        &site.hub.mqtt.to_string(),
        "-u",
        SENSOR,
        "-P",
        PASSWORD,
    ]);
    hears.args(["-t", "fleeting/#"]);
    let mut hears = Program::start("hears", hears, site.folder.path());
    hears.wait_printed("Subscribed", SOON);
    publish(&site, &site.hub, &["-t", &format!("fleeting/{client}/mode"), "-m", "heard"]);
    hears.wait_printed("heard", SOON);
    assert_eq!(void(), json!(2));
    let counted = site.hub.metric("riser_publications_void", "");
    assert_eq!(counted, Some(2.0));
}
