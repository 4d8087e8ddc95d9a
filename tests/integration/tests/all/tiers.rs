//! Three tiers: an edge below an edge below a hub, and the middle one is killed.

use serde_json::{Value, json};

use crate::needs::{Need, needs};
use crate::program::{EVENTUALLY, SOON, wait};
use crate::site::{Node, OWNER, Plan, SENSOR, Site};

/// Publications per run, at a pace that leaves most of them for after the first kill.
const COUNT: u64 = 1500;
const RATE: u64 = 300;

fn three() -> Site {
    Site::planned(Plan { middle: true, ..Plan::default() })
}

fn wait_for(site: &Site, reader: &str, count: u64) {
    let what = format!("{count} delivered to {reader}");
    site.history.wait(&what, EVENTUALLY, |ledger| ledger.delivered(reader) >= count);
}

/// The equation holds at an edge, nothing is queued, and nothing is gone.
fn drained(node: &Node) -> [f64; 4] {
    let equation = wait(EVENTUALLY, || node.equation().filter(|[_, _, queued, _]| *queued == 0.0));
    let [accepted, synced, queued, gapped] = equation.unwrap_or_else(|| panic!("{:?}", node.equation()));
    assert_eq!((accepted, gapped), (synced + queued, 0.0), "accepted = synced + queued + gapped");
    [accepted, synced, queued, gapped]
}

#[test]
fn a_middle_edge_that_is_killed_loses_doubles_and_reorders_nothing() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let mut site = three();
    let _board = site.dashboard("board", &site.hub, "hall", json!({}));
    site.history.wait_mark("board ready", SOON);
    let ask =
        json!({ "stream": "s", "topic": "sensors/s", "qos": 2, "count": COUNT, "rate": RATE, "version": 4 });
    let publisher = site.client("publisher", "publish_mqttjs.mjs", &site.edge, SENSOR, ask);
    for upto in [150, 500, 900] {
        wait_for(&site, "board", upto);
        site.middle().kill();
        site.middle().start();
    }
    publisher.finish(EVENTUALLY);
    wait_for(&site, "board", COUNT);
    let verdict = site.history.ledger().verdict("board");
    let gaps = site.history.ledger().gaps("board");
    assert!(verdict.is_clean(), "{verdict:?}");
    assert!(gaps.is_empty(), "{gaps:?}");
    drained(&site.edge);
    drained(site.middle());
}

#[test]
fn orders_reach_who_listens_behind_the_lowest_edge_while_the_middle_one_is_killed() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let mut site = three();
    let _low = site.dashboard("low", &site.edge, "orders", json!({}));
    let _high = site.dashboard("high", &site.hub, "orders", json!({}));
    for name in ["low", "high"] {
        site.history.wait_mark(&format!("{name} ready"), SOON);
    }
    let ask = |stream: &str| json!({ "stream": stream, "topic": format!("orders/{stream}"), "qos": 2, "count": COUNT / 2, "rate": RATE });
    let down = site.client("down", "publish_paho.py", &site.hub, OWNER, ask("down"));
    let up = site.client("up", "publish_paho.py", &site.edge, OWNER, ask("up"));
    for upto in [200, 600] {
        wait_for(&site, "low", upto);
        site.middle().kill();
        site.middle().start();
    }
    down.finish(EVENTUALLY);
    up.finish(EVENTUALLY);
    for name in ["low", "high"] {
        wait_for(&site, name, COUNT);
    }
    drained(&site.edge);
    drained(site.middle());
    for name in ["low", "high"] {
        let verdict = site.history.ledger().verdict(name);
        assert!(verdict.is_clean(), "{name}: {verdict:?}");
    }
}

/// Waits until the hub shows the edge below the one between so.
fn is_shown(site: &Site, what: &str, so: impl Fn(&Value) -> bool) -> Value {
    let shown = || {
        let status = site.status();
        let edges = status["edges"].as_array().expect("it has edges");
        let middle = edges.iter().find(|edge| edge["name"] == "middle").expect("it is declared");
        let low = middle["below"].as_array()?.iter().find(|edge| edge["name"] == "edge")?;
        so(low).then(|| low.clone())
    };
    wait(SOON, shown).unwrap_or_else(|| panic!("the edge below is not {what}: {:#}", site.status()))
}

#[test]
fn the_hub_names_the_edge_below_whose_link_is_cut_and_says_how_far_it_is() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let mut site = Site::laid_out(Plan { middle: true, ..Plan::default() });
    let wire = site.wire_edge();
    site.hub.start();
    let _board = site.dashboard("board", &site.hub, "hall", json!({ "technical": "account" }));
    site.history.wait_mark("board ready", SOON);
    site.middle().start();
    is_shown(&site, "shown before it came", |low| low["state"] == "offline" && low["log"].is_null());
    site.edge.start();
    site.history.wait_mark("board event edge_online of edge", SOON);
    site.history.wait_mark("board event caught_up of edge", SOON);
    let flows = |low: &Value| low["state"] == "flowing" && low["backlog"] == 0 && low["accepted"] != 0;
    is_shown(&site, "flowing", flows);
    // Its own link alone: the one between goes on.
    let ask = |stream: &str, count: u64| json!({ "stream": stream, "topic": format!("sensors/{stream}"), "qos": 1, "count": count, "rate": 200 });
    let publish = |stream: &str, count: u64| {
        site.client(stream, "publish_paho.py", &site.edge, SENSOR, ask(stream, count)).finish(EVENTUALLY);
    };
    publish("before", 50);
    wait_for(&site, "board", 50);
    wire.cut();
    site.history.wait_mark("board event edge_silent of edge", SOON);
    let offline = is_shown(&site, "offline", |low| low["state"] == "offline");
    assert!(offline["since"].as_i64() > Some(0) && offline["eta_s"].is_null(), "{offline}");
    publish("meanwhile", 300);
    wire.restore();
    wait_for(&site, "board", 350);
    let again = is_shown(&site, "flowing again", flows);
    assert_eq!(again["last_added"], again["last_synced"], "{again}");
    let caught_up = |low: &Value| {
        low["accepted"].as_u64() >= Some(350) && low["synced"] == low["accepted"] && low["gapped"] == 0
    };
    assert!(caught_up(&again), "{again}");
    // Nobody knows what is below one that is cut off; and it is known again when that is back.
    site.middle().kill();
    is_shown(&site, "unknown", |low| low["state"] == "unknown");
    assert_eq!(site.hub.metric("riser_below_up", ""), Some(0.0));
    site.middle().start();
    is_shown(&site, "flowing at last", flows);
    assert_eq!(site.hub.metric("riser_below_not_shown", ""), Some(0.0));
    let verdict = site.history.ledger().verdict("board");
    assert!(verdict.is_clean(), "{verdict:?}");
}

/// Enough that the edge's log lets go of most of it.
const LARGE: u64 = 1500;
const LARGE_BYTES: u64 = 8000;

#[test]
fn an_edge_that_is_moved_waits_for_what_its_former_parent_has_and_nothing_is_missing() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let quota = "[quota]\nbytes = \"8 MiB\"\nsegment = \"2 MiB\"\n".to_owned();
    let mut site = Site::laid_out(Plan { middle: true, edge_top: quota, ..Plan::default() });
    site.middle().start();
    site.edge.start();
    let ask = |stream: &str, count: u64, size: u64| json!({ "stream": stream, "topic": format!("sensors/{stream}"), "qos": 1, "count": count, "rate": 200, "size": size });
    site.client("before", "publish_paho.py", &site.edge, SENSOR, ask("before", LARGE, LARGE_BYTES))
        .finish(EVENTUALLY);
    drained(&site.edge);
    site.edge.stop();
    site.middle().kill();
    site.hub.start();
    let _board = site.dashboard("board", &site.hub, "hall", json!({}));
    site.history.wait_mark("board ready", SOON);
    site.move_edge_to_hub();
    site.edge.start();
    wait(SOON, || site.edge.metric("riser_uplink_awaits", "").filter(|awaits| *awaits == 1.0))
        .expect("what only the former parent has is waited for");
    let since = json!({ "technical": "account", "since": "start" });
    let _own = site.dashboard("own", &site.edge, "hall", since);
    site.history.wait_mark("own event uplink_awaits", SOON);
    site.middle().start();
    wait_for(&site, "board", LARGE);
    site.client("after", "publish_paho.py", &site.edge, SENSOR, ask("after", 50, 150)).finish(EVENTUALLY);
    wait_for(&site, "board", LARGE + 50);
    drained(&site.edge);
    assert_eq!(site.edge.metric("riser_uplink_awaits", ""), Some(0.0));
    let verdict = site.history.ledger().verdict("board");
    let gaps = site.history.ledger().gaps("board");
    assert!(verdict.is_clean(), "{verdict:?}");
    assert!(gaps.is_empty(), "{gaps:?}");
    let cursors = site.edge.command(&["log", "inspect", "--config"]).arg(&site.edge.config).output();
    let cursors =
        String::from_utf8(cursors.expect("the edge's program can be started").stdout).expect("it is text");
    assert!(cursors.contains("cursor uplink") && !cursors.contains("former"), "{cursors}");
}

#[test]
fn edges_that_are_linked_in_a_ring_are_refused_and_go_on_by_themselves() {
    needs!(Need::Program("curl"), Need::Program("mosquitto_pub"), Need::Python, Need::Node);
    let mut site = Site::laid_out(Plan { middle: true, ..Plan::default() });
    // The one between has the edge below it above it as well.
    let mut key = site.edge.command(&["key", "show"]);
    key.arg(site.edge.data.join("edge.key"));
    let edge_key = crate::program::output(key).trim().to_owned();
    let mut key = site.edge.command(&["key", "show"]);
    key.arg(site.middle().data.join("edge.key"));
    let middle_key = crate::program::output(key).trim().to_owned();
    let port = crate::program::free_port();
    let (hub, own) = (site.hub.link, std::fs::read_to_string(&site.middle().config).unwrap());
    let above = own.lines().find(|line| line.starts_with("hub_key")).unwrap().to_owned();
    let own = own.replace(&format!(":{hub}/link"), &format!(":{port}/link"));
    site.middle().write_config(&own.replace(&above, &format!("hub_key = \"{edge_key}\"")));
    let client = own.lines().find(|line| line.starts_with("client = ")).unwrap().replace("client", "id");
    let edge = std::fs::read_to_string(&site.edge.config).unwrap();
    let edge = edge.replacen("[listen]\n", &format!("[listen]\nlink = \"127.0.0.1:{port}\"\n"), 1);
    let declared = format!(
        "[[account.client]]\nname = \"middle\"\n{client}\nrole = \"member\"\nkey = \"{middle_key}\"\nrelays = true\n"
    );
    site.edge.write_config(&edge.replacen("[[account.room]]", &format!("{declared}\n[[account.room]]"), 1));
    site.middle().start();
    site.edge.start();
    let says = |node: &Node| {
        let printed = node.printed();
        printed.contains("loop").then_some(())
    };
    let refused = wait(EVENTUALLY, || says(&site.edge).or_else(|| says(site.middle.as_ref().unwrap())));
    refused.unwrap_or_else(|| panic!("{}", site.edge.printed()));
    // Both take what their devices say, once: nothing goes round.
    let ask = json!({ "stream": "s", "topic": "sensors/s", "qos": 1, "count": 20 });
    site.client("publisher", "publish_paho.py", &site.edge, SENSOR, ask).finish(EVENTUALLY);
    assert!(site.edge.process().runs() && site.middle().process().runs());
    let _low = site.dashboard("low", &site.edge, "hall", json!({}));
    wait_for(&site, "low", 20);
    let verdict = site.history.ledger().verdict("low");
    assert!(verdict.duplicated == 0 && verdict.reordered == 0, "{verdict:?}");
}
