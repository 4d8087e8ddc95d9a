//! Sensors that others wrote publish at the edge; dashboards that others wrote read at the hub and at the edge.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::json;

use crate::needs::{Need, needs};
use crate::program::{EVENTUALLY, Program, SOON, free_port, output, wait};
use crate::site::{ACCOUNT, OWNER, PASSWORD, READER, SENSOR, Site};

/// Publications per client: enough for several batches, few enough for seconds.
const COUNT: u64 = 300;

#[test]
fn sensors_of_every_client_reach_a_hub_subscriber() {
    needs!(Need::Program("mosquitto_pub"), Need::Program("curl"), Need::Python, Need::Node);
    let site = Site::start();
    let board = site.dashboard("board", &site.hub, "hall", json!({ "technical": "account" }));
    site.history.wait_mark("board ready", SOON);

    let ask = |stream: &str, qos: u8, version: u8| json!({ "stream": stream, "topic": format!("sensors/{stream}"), "qos": qos, "version": version, "count": COUNT });
    let publishers = [
        site.client("paho1", "publish_paho.py", &site.edge, SENSOR, ask("paho1", 1, 4)),
        site.client("paho2", "publish_paho.py", &site.edge, SENSOR, ask("paho2", 2, 5)),
        site.client("js1", "publish_mqttjs.mjs", &site.edge, SENSOR, ask("js1", 1, 5)),
        site.client("js2", "publish_mqttjs.mjs", &site.edge, SENSOR, ask("js2", 2, 4)),
    ];
    for publisher in publishers {
        publisher.finish(EVENTUALLY);
    }
    for (n, qos) in ["0", "1", "2"].into_iter().enumerate() {
        mosquitto_pub(&site, qos, &format!("from mosquitto {n}"));
    }

    site.history.wait("everything is delivered", EVENTUALLY, |ledger| {
        ledger.delivered("board") == 4 * COUNT
            && (0..3).all(|n| ledger.has_mark(&format!("board got from mosquitto {n}")))
    });
    let verdict = site.history.ledger().verdict("board");
    assert!(verdict.is_clean(), "{verdict:?}");
    assert!(!site.history.ledger().has_mark("board torn"));
    drop(board);

    let equation = wait(SOON, || site.edge.equation().filter(|[a, s, _, _]| a == s));
    let [accepted, synced, queued, gapped] = equation.expect("the uplink confirms everything");
    assert!(accepted >= 4.0 * 300.0 + 3.0, "accepted {accepted}");
    assert!(accepted == synced + queued + gapped, "{accepted} = {synced} + {queued} + {gapped}");
}

#[test]
fn every_kind_of_subscriber_hears_what_the_edge_took() {
    needs!(Need::Program("mosquitto_sub"), Need::Program("curl"), Need::Python, Need::Node);
    let site = Site::start();
    let filter = format!("hall/{SENSOR}/#");
    let readers = ["paho4", "paho5", "js4", "js5", "board", "raw", "local"];
    let at = |version: u8, reader: &str| json!({ "filter": filter, "version": version, "reader": reader });
    let url = format!("ws://127.0.0.1:{}/{ACCOUNT}/hall/{SENSOR}/temperature", site.hub.http);
    let _clients = [
        site.client("paho4", "subscribe_paho.py", &site.hub, READER, at(4, "paho4")),
        site.client("paho5", "subscribe_paho.py", &site.hub, READER, at(5, "paho5")),
        site.client("js4", "subscribe_mqttjs.mjs", &site.hub, READER, at(4, "js4")),
        site.client("js5", "subscribe_mqttjs.mjs", &site.hub, READER, at(5, "js5")),
        site.dashboard("board", &site.hub, "hall", json!({ "from": "live" })),
        site.client("raw", "raw.mjs", &site.hub, READER, json!({ "url": url, "reader": "raw" })),
        site.client("local", "subscribe_paho.py", &site.edge, SENSOR, at(4, "local")),
    ];
    for reader in readers {
        site.history.wait_mark(&format!("{reader} ready"), SOON);
    }
    let ask = json!({ "stream": "t", "topic": "sensors/temperature", "qos": 1, "count": 50, "rate": 50 });
    site.client("sensor", "publish_paho.py", &site.edge, SENSOR, ask).finish(EVENTUALLY);
    site.history.wait("all readers have everything", EVENTUALLY, |ledger| {
        readers.iter().all(|reader| ledger.delivered(reader) == 50 || *reader == "raw")
    });
    // A raw reader that lags is shown the newest.
    site.history.wait("the raw reader has the newest", SOON, |ledger| ledger.newest("raw", "t") == 50);
    for reader in readers {
        let verdict = site.history.ledger().verdict(reader);
        let clean = if reader == "raw" { verdict.is_clean_but_for_skipped() } else { verdict.is_clean() };
        assert!(clean, "{reader}: {verdict:?}");
    }
}

#[test]
fn hub_speaks_mqtt_and_websocket_to_its_own_clients() {
    needs!(Need::Program("mosquitto_sub"), Need::Program("curl"), Need::Python, Need::Node);
    let site = Site::start();
    let topic = json!({ "topic": "hall/talk", "stream": "aio", "reader": "aio", "count": 20 });
    let aio = site.client("aio", "roundtrip_aiomqtt.py", &site.hub, OWNER, topic);
    let publish =
        json!({ "publish": { "stream": "ws", "channel": "note", "count": 20 }, "channels": "note" });
    let _board = site.dashboard("board", &site.hub, "hall", publish);
    let url = format!("ws://127.0.0.1:{}/{ACCOUNT}/hall/raw", site.hub.http);
    let listen = json!({ "channels": "raw", "from": "live" });
    let _listener = site.dashboard("listener", &site.hub, "hall", listen);
    site.history.wait_mark("listener ready", SOON);
    let raw = json!({ "url": url, "reader": "raw", "publish": { "stream": "raw", "count": 20 } });
    let _raw = site.client("raw", "raw.mjs", &site.hub, OWNER, raw);
    aio.finish(EVENTUALLY);
    site.history.wait("each has everything", EVENTUALLY, |ledger| {
        ledger.delivered("aio") == 20 && ledger.delivered("board") == 20 && ledger.delivered("listener") == 20
    });
    let ledger = site.history.ledger();
    assert_eq!((ledger.acked("aio"), ledger.acked("ws")), (20, 20));
    assert!(!ledger.has_mark("board torn") && !ledger.has_mark("listener torn"));
}

#[test]
fn mosquitto_sub_reads_what_mosquitto_pub_wrote() {
    needs!(Need::Program("mosquitto_pub"), Need::Program("mosquitto_sub"), Need::Program("curl"));
    let site = Site::start();
    // To a file it would print in blocks.
    let mut subscriber = site.hub.place.command("stdbuf");
    subscriber.args(["-oL", "mosquitto_sub"]);
    subscriber.args(mosquitto_login(site.hub.mqtt, READER));
    subscriber.args(["-V", "mqttv5", "-q", "1", "-v", "-d", "-t", "hall/#"]);
    let mut subscriber = Program::start("mosquitto_sub", subscriber, site.folder.path());
    subscriber.wait_printed("received SUBACK", SOON);
    mosquitto_pub(&site, "2", "hello from the cellar");
    subscriber.wait_printed(&format!("hall/{SENSOR}/mosquitto hello from the cellar"), SOON);
}

#[test]
fn local_subscriber_keeps_working_with_the_hub_away() {
    needs!(Need::Program("curl"), Need::Python);
    let mut site = Site::laid_out(crate::site::Plan::default());
    site.edge.start();
    let asked = json!({ "filter": "hall/#", "reader": "local" });
    let _local = site.client("local", "subscribe_paho.py", &site.edge, SENSOR, asked);
    site.history.wait_mark("local ready", SOON);
    let ask = json!({ "stream": "t", "topic": "sensors/t", "qos": 2, "count": 100 });
    site.client("sensor", "publish_paho.py", &site.edge, SENSOR, ask).finish(EVENTUALLY);
    site.history.wait("the site has everything", SOON, |ledger| ledger.delivered("local") == 100);
    let [accepted, synced, queued, gapped] = site.edge.equation().expect("the edge counts");
    assert!(accepted == queued && synced == 0.0 && gapped == 0.0, "{accepted} {synced} {queued} {gapped}");

    // The hub comes up for the first time, and gets all of it.
    site.hub.start();
    let _board = site.dashboard("board", &site.hub, "hall", json!({}));
    site.history.wait("the hub has everything", EVENTUALLY, |ledger| ledger.delivered("board") == 100);
    assert!(site.history.ledger().verdict("board").is_clean());
}

#[test]
fn unlinked_room_stays_on_site() {
    needs!(Need::Program("mosquitto_pub"), Need::Program("curl"), Need::Node);
    let site = Site::start();
    let _cellar = site.dashboard("cellar", &site.hub, "cellar", json!({}));
    let _local = site.dashboard("local", &site.edge, "cellar", json!({}));
    let _hall = site.dashboard("hall", &site.hub, "hall", json!({}));
    for reader in ["cellar", "local", "hall"] {
        site.history.wait_mark(&format!("{reader} ready"), SOON);
    }
    let mut publish = site.edge.place.command("mosquitto_pub");
    publish.args(mosquitto_login(site.edge.mqtt, SENSOR)).args(["-q", "1", "-t", "cellar/x", "-m", "stays"]);
    output(publish);
    mosquitto_pub(&site, "1", "goes");
    // What came after it in the edge's log is here, so it would be here too.
    site.history.wait_mark("hall got goes", SOON);
    site.history.wait_mark("local got stays", SOON);
    assert!(!site.history.ledger().has_mark("cellar got stays"));
}

#[test]
fn the_topics_of_sys_are_mosquittos_own_but_for_what_is_no_accounts() {
    needs!(Need::Program("mosquitto"), Need::Program("mosquitto_sub"), Need::Program("curl"));
    // A process has a heap, and no account; an entry lies in one log once, whoever it waits for. The last two are of
    // mosquitto 2.1, of queues for each client.
    const LEFT_OUT: [&str; 7] = [
        "heap/current",
        "heap/maximum",
        "messages/stored",
        "store/messages/count",
        "store/messages/bytes",
        "packet/out/count",
        "packet/out/bytes",
    ];
    let mut site = Site::laid_out(crate::site::Plan::default());
    site.hub.start();
    let port = free_port();
    let config = site.folder.path().join("mosquitto.conf");
    let text = format!("listener {port} 127.0.0.1\nallow_anonymous true\nsys_interval 1\n");
    std::fs::write(&config, text).expect("the folder can be written");
    let mut broker = Command::new(crate::needs::find("mosquitto").expect("the test needs it"));
    broker.arg("-c").arg(&config);
    let _broker = Program::start("mosquitto", broker, site.folder.path());

    let theirs = system_topics(&mosquitto_login(port, OWNER));
    let ours = system_topics(&mosquitto_login(site.hub.mqtt, OWNER));
    assert!(theirs.contains("load/connections/15min"), "{theirs:?}");
    let missing: Vec<_> = theirs.difference(&ours).filter(|topic| !LEFT_OUT.contains(&&***topic)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let more: Vec<_> = ours.difference(&theirs).collect();
    assert!(more.is_empty(), "mosquitto has no such: {more:?}");
}

/// What a broker tells of itself under `$SYS/broker`, by its topics, when two looks find the same.
fn system_topics(login: &[String]) -> BTreeSet<String> {
    let mut before = BTreeSet::new();
    let same = wait(EVENTUALLY, || {
        let mut look = Command::new("mosquitto_sub");
        look.args(login).args(["-t", "$SYS/#", "-F", "%t", "-W", "2"]);
        let printed = look.output().expect("mosquitto_sub runs").stdout;
        let printed = String::from_utf8(printed).expect("topics are text");
        let topics = printed.lines().filter_map(|line| line.strip_prefix("$SYS/broker/"));
        let topics: BTreeSet<String> = topics.map(str::to_owned).collect();
        let same = !topics.is_empty() && topics == before;
        before.clone_from(&topics);
        same.then_some(topics)
    });
    same.unwrap_or_else(|| panic!("no two looks found the same: {before:?}"))
}

/// Publishes at the edge as the sensor, on `sensors/mosquitto`.
fn mosquitto_pub(site: &Site, qos: &str, text: &str) {
    let mut publish = site.edge.place.command("mosquitto_pub");
    publish.args(mosquitto_login(site.edge.mqtt, SENSOR)).args([
        "-q",
        qos,
        "-t",
        "sensors/mosquitto",
        "-m",
        text,
    ]);
    output(publish);
}

/// What mosquitto's clients need to be let in.
pub fn mosquitto_login(port: u16, user: &str) -> [String; 8] {
    ["-h", "127.0.0.1", "-p", &port.to_string(), "-u", user, "-P", PASSWORD].map(str::to_owned)
}
