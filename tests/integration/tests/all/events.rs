//! What real programs say of themselves when it happens to them, heard on the technical channel.

use std::fs;

use riser_link::receivers::cursors_max;
use riser_log::Config;
use riser_model::{Batch, ClientId, CursorKey, CursorValue, Epoch, LogId};
use riser_shell::Clock;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::accounts::house;
use crate::mqtt_wire::{Mqtt, Version};
use crate::needs::{Need, needs};
use crate::program::{EVENTUALLY, SOON, wait};
use crate::site::{ACCOUNT, Node, OWNER, PASSWORD, Plan, READER, SENSOR, Site};

/// Listens to what an instance says of the account and itself, from its beginning.
pub fn listen(site: &Site, name: &str, node: &Node) -> crate::client::Client {
    let client = site.dashboard(name, node, "hall", json!({ "technical": "account", "since": "start" }));
    site.history.wait_mark(&format!("{name} ready"), SOON);
    client
}

pub fn hears(site: &Site, name: &str, kinds: &[&str]) {
    for kind in kinds {
        site.history.wait_mark(&format!("{name} event {kind}"), EVENTUALLY);
    }
}

fn hears_not(site: &Site, name: &str, kind: &str) {
    assert!(!site.history.ledger().has_mark(&format!("{name} event {kind}")), "{kind} is told already");
}

/// Publications of a size, at least once.
pub fn much(site: &Site, name: &str, node: &Node, user: &str, asked: Value) {
    let mut ask = json!({ "stream": name, "version": 5, "qos": 1 });
    ask.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
    site.client(name, "publish_paho.py", node, user, ask).finish(EVENTUALLY);
}

#[test]
fn an_edge_says_that_its_link_is_down_and_up_and_drained() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let mut site = Site::start();
    let _own = listen(&site, "own", &site.edge);
    hears(&site, "own", &["uplink_up"]);
    hears_not(&site, "own", "uplink_down");
    site.hub.kill();
    hears(&site, "own", &["uplink_down"]);
    much(&site, "away", &site.edge, SENSOR, json!({ "topic": "sensors/s", "count": 20 }));
    site.hub.start();
    hears(&site, "own", &["uplink_drained"]);
}

#[test]
fn an_edge_on_a_slow_link_is_told_to_be_behind_with_when_it_will_be_done_and_then_to_flow() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let mut site = Site::laid_out(Plan::default());
    let wire = site.wire_edge();
    site.edge.start();
    much(&site, "much", &site.edge, SENSOR, json!({ "topic": "sensors/s", "count": 8000 }));
    wire.pace(Some(16 << 10));
    site.hub.start();
    let _board = listen(&site, "board", &site.hub);
    let behind = wait(EVENTUALLY, || {
        let edge = site.status()["edges"][0].clone();
        (edge["state"] == "behind" && edge["drain_per_s"].as_u64() > Some(0)).then_some(edge)
    });
    let behind = behind.unwrap_or_else(|| panic!("{}", site.status()));
    let number = |what: &str| behind[what].as_f64().unwrap();
    // Nobody knows more than the rate of the last second.
    let done = number("backlog") / number("drain_per_s");
    assert!((number("eta_s") - done).abs() < 0.01 && done > 1.0, "{behind}");
    assert!(number("lag_ms") > 0.0, "{behind}");
    hears_not(&site, "board", "edge_lag");
    hears(&site, "board", &["edge_lag"]);
    hears_not(&site, "board", "edge_flowing");
    wire.pace(None);
    hears(&site, "board", &["edge_flowing", "caught_up"]);
    let done = || {
        let edge = site.status()["edges"][0].clone();
        (edge["backlog"] == 0 && edge["eta_s"] == 0.0).then_some(())
    };
    wait(SOON, done).unwrap_or_else(|| panic!("{}", site.status()));
}

/// Lets a hub that never ran have met so many other logs.
fn met(hub: &Node, config: Config, logs: usize) {
    let (mut log, _) = riser_host::setup::open_log(&hub.data.join("log"), config, Clock.now()).unwrap();
    for n in 0..logs as u64 {
        let key = CursorKey::Ingest(ClientId(Uuid::from_u128(7)), LogId(n + 1), Epoch(1));
        log.set_cursor(key, CursorValue::default());
    }
    log.stage(Batch { first: log.next(), ..Batch::default() }).unwrap();
    log.commit(Clock.now()).unwrap();
}

#[test]
fn an_edge_whose_log_a_hub_has_no_room_to_remember_is_turned_away_and_its_account_hears_of_it() {
    needs!(Need::Program("curl"), Need::Node);
    let hub_top = "[quota]\nbytes = \"16 MiB\"\nsegment = \"4 MiB\"\n".to_owned();
    let config = Config { segment_bytes: 4 << 20, quota_bytes: 16 << 20, ..Config::hub() };
    let most = cursors_max(config.segment_bytes);
    for (logs, kind) in [(most - 1, "edge_online"), (most, "edge_refused")] {
        let mut site = Site::laid_out(Plan { hub_top: hub_top.clone(), ..Plan::default() });
        met(&site.hub, Config { view_bytes_max: 4 << 20, ..config.clone() }, logs);
        site.hub.start();
        let _board = listen(&site, "board", &site.hub);
        site.edge.start();
        hears(&site, "board", &[kind]);
        let turned_away = site.history.ledger().has_mark("board event edge_refused");
        assert_eq!(turned_away, kind == "edge_refused", "{logs} logs");
    }
}

#[test]
fn an_edge_whose_quota_is_used_up_says_so_when_it_can_and_that_it_recovered() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let quota = "[quota]\nbytes = \"8 MiB\"\nsegment = \"2 MiB\"\n".to_owned();
    let mut site = Site::laid_out(Plan { edge_top: quota, ..Plan::default() });
    site.edge.start();
    let _own = listen(&site, "own", &site.edge);
    much(&site, "much", &site.edge, SENSOR, json!({ "topic": "sensors/s", "count": 80, "size": 200_000 }));
    assert!(!site.history.ledger().refused("much").is_empty(), "there was no room");
    site.hub.start();
    let took_again = || {
        much(&site, "again", &site.edge, SENSOR, json!({ "topic": "sensors/s", "count": 1 }));
        (site.history.ledger().acked("again") > 0).then_some(())
    };
    assert!(wait(EVENTUALLY, took_again).is_some(), "what the hub has makes room");
    hears(&site, "own", &["quota_reached", "log_recovered"]);
}

#[test]
fn an_edge_that_drops_the_oldest_says_which_will_never_be_at_the_hub() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let quota = "[quota]\nbytes = \"8 MiB\"\nsegment = \"2 MiB\"\npolicy = \"drop_oldest\"\n".to_owned();
    let mut site = Site::laid_out(Plan { edge_top: quota, ..Plan::default() });
    site.edge.start();
    much(&site, "much", &site.edge, SENSOR, json!({ "topic": "sensors/s", "count": 80, "size": 200_000 }));
    site.hub.start();
    let _own = listen(&site, "own", &site.edge);
    hears(&site, "own", &["uplink_gap"]);
    let _board = listen(&site, "board", &site.hub);
    hears(&site, "board", &["link_gap"]);
}

#[test]
fn a_hub_says_that_its_configuration_was_refused_and_that_a_table_of_accounts_was_damaged() {
    needs!(Need::Program("curl"), Need::Node);
    let mut site = Site::laid_out(Plan::default());
    site.hub.start();
    site.hub.stop();
    let right = fs::read_to_string(&site.hub.config).expect("it was just written");
    site.hub.write_config(&format!("{right}\nthis is no TOML\n"));
    let table = site.hub.data.join("accounts-copy.redb");
    assert!(table.exists());
    fs::write(&table, b"no table").expect("the file is ours");
    site.hub.start();
    let _board = listen(&site, "board", &site.hub);
    hears(&site, "board", &["configuration_refused", "accounts_damaged"]);
}

#[test]
fn a_hub_says_that_another_configuration_of_rooms_is_in_force() {
    needs!(Need::Program("curl"), Need::Node);
    let house = house();
    let _board = listen(&house.site, "board", &house.site.hub);
    hears_not(&house.site, "board", "configuration_changed");
    house.does(&["room", "create", &format!("{ACCOUNT}/annex"), "history=log"]);
    hears(&house.site, "board", &["configuration_changed", "account_changed"]);
}

#[test]
fn a_reader_that_takes_nothing_is_told_to_be_slow() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let mut site = Site::laid_out(Plan { hub_top: "limits.stall = \"2s\"\n".to_owned(), ..Plan::default() });
    site.hub.start();
    let _board = listen(&site, "board", &site.hub);
    let mut slow =
        Mqtt::connect(site.hub.mqtt, Version::Five, "slow", (Some(READER), PASSWORD), (true, 0)).unwrap();
    slow.subscribe(&["hall/#".to_owned()], false);
    hears_not(&site, "board", "slow_reader");
    much(&site, "much", &site.hub, OWNER, json!({ "topic": "hall/s", "count": 150, "size": 200_000 }));
    hears(&site, "board", &["slow_reader"]);
}

#[test]
fn a_hub_says_what_did_not_go_down_to_an_edge() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let quota = "[quota]\nbytes = \"16 MiB\"\nsegment = \"4 MiB\"\n".to_owned();
    let mut site = Site::planned(Plan { hub_top: quota, ..Plan::default() });
    let _own = listen(&site, "own", &site.edge);
    hears(&site, "own", &["uplink_up"]);
    site.edge.kill();
    much(&site, "much", &site.hub, OWNER, json!({ "topic": "orders/x", "count": 150, "size": 200_000 }));
    let _board = listen(&site, "board", &site.hub);
    hears_not(&site, "board", "downlink_gap");
    site.edge.start();
    hears(&site, "board", &["downlink_gap"]);
}
