//! What a room remembers: from a time on, as much as its retention names, and of sessions as long as they last.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::needs::{Need, needs};
use crate::place::Cable;
use crate::program::{EVENTUALLY, Program, SOON, wait};
use crate::site::{OWNER, PASSWORD, Plan, Site};

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    u64::try_from(since.as_millis()).expect("it is earlier than the year 584556019")
}

fn hub() -> Site {
    let mut site = Site::laid_out(Plan::default());
    site.hub.start();
    site
}

/// Publishes a stream in a room and waits for its receipts.
fn publish(site: &Site, stream: &str, room: &str, count: u64) {
    let ask = json!({ "from": "live", "publish": { "stream": stream, "channel": "x", "count": count } });
    let publisher = site.dashboard(&format!("publisher of {stream}"), &site.hub, room, ask);
    site.history.wait_mark(&format!("{stream} done"), EVENTUALLY);
    drop(publisher);
}

#[test]
fn dashboard_that_subscribes_from_a_time_has_what_was_published_since_over_a_restart() {
    needs!(Need::Node);
    let mut site = hub();
    publish(&site, "before", "hall", 30);
    let time = now_ms() + 1;
    assert!(wait(SOON, || (now_ms() > time).then_some(())).is_some(), "time passes");
    publish(&site, "since", "hall", 30);
    site.hub.kill();
    site.hub.start();
    let _reader = site.dashboard("reader", &site.hub, "hall", json!({ "from": { "time": time } }));
    site.history.wait_mark("reader full", SOON);
    site.history.wait("what was published since", EVENTUALLY, |ledger| ledger.delivered("reader") >= 30);
    publish(&site, "new", "hall", 5);
    site.history.wait("and what is new", EVENTUALLY, |ledger| ledger.delivered("reader") >= 35);
    assert_eq!(site.history.ledger().delivered("reader"), 35, "nothing of before");
}

#[test]
fn room_replays_what_its_retention_names_over_a_restart() {
    needs!(Need::Node);
    let mut site = hub();
    publish(&site, "s", "shallow", 100);
    site.hub.kill();
    site.hub.start();
    publish(&site, "t", "shallow", 5);
    let _reader = site.dashboard("reader", &site.hub, "shallow", json!({ "from": "start" }));
    site.history.wait_mark("reader ready", SOON);
    publish(&site, "end", "shallow", 1);
    // What came over the restart is one piece of the past: all of it, until the newest twenty are enough.
    site.history.wait("the end", EVENTUALLY, |ledger| ledger.delivered("reader") >= 106);
    publish(&site, "more", "shallow", 40);
    let _late = site.dashboard("late", &site.hub, "shallow", json!({ "from": "start" }));
    site.history.wait("what is kept", EVENTUALLY, |ledger| ledger.delivered("late") >= 20);
    publish(&site, "last", "shallow", 1);
    site.history.wait("the last", EVENTUALLY, |ledger| ledger.delivered("late") >= 21);
    let late = site.history.ledger().delivered("late");
    assert!((21..=24).contains(&late), "{late} of the newest twenty and one");
}

#[test]
fn session_is_replayed_to_who_joins_and_wiped_when_it_ends() {
    needs!(Need::Node);
    let site = hub();
    let ask = json!({
        "from": "live", "session": true, "publish": { "stream": "s", "channel": "x", "count": 50 },
    });
    let owner = site.dashboard("owner", &site.hub, "lounge", ask);
    site.history.wait_mark("s done", EVENTUALLY);
    publish(&site, "aside", "lounge", 5);
    let _late = site.dashboard("late", &site.hub, "lounge", json!({ "from": "live" }));
    site.history.wait("what the session published", EVENTUALLY, |ledger| ledger.delivered("late") >= 50);
    drop(owner);
    site.history.wait_mark("late wiped", SOON);
    let _later = site.dashboard("later", &site.hub, "lounge", json!({ "from": "live" }));
    site.history.wait_mark("later ready", SOON);
    publish(&site, "new", "lounge", 3);
    site.history.wait("what is new", EVENTUALLY, |ledger| {
        ledger.delivered("late") >= 53 && ledger.delivered("later") >= 3
    });
    let ledger = site.history.ledger();
    assert_eq!((ledger.delivered("late"), ledger.delivered("later")), (53, 3));
    assert!(!ledger.has_mark("late torn") && !ledger.has_mark("later torn"));
}

#[test]
fn mqtt_without_a_kept_session_is_shown_what_sessions_published_and_with_one_what_is_new() {
    needs!(Need::Node, Need::Program("mosquitto_sub"));
    let site = hub();
    let ask = json!({
        "from": "live", "session": true, "publish": { "stream": "s", "channel": "x", "count": 50 },
    });
    let _owner = site.dashboard("owner", &site.hub, "lounge", ask);
    site.history.wait_mark("s done", EVENTUALLY);
    let listens = |name: &str, session: &[&str]| {
        let mut command = site.hub.place.command("stdbuf");
        command.args(["-oL", "mosquitto_sub", "-h", &site.hub.place.address().to_string()]);
        command.args(["-p", &site.hub.mqtt.to_string(), "-u", OWNER, "-P", PASSWORD, "-V", "mqttv5"]);
        command.args(["-q", "1", "-t", "lounge/#", "-F", "heard %t", "-d"]).args(session);
        let mut program = Program::start(name, command, site.folder.path());
        program.wait_printed("Subscribed", SOON);
        program
    };
    let kept = listens("kept", &["-i", "kept", "-c", "-x", "3600"]);
    let clean = listens("clean", &[]);
    let heard =
        |program: &Program| program.printed().lines().filter(|line| *line == "heard lounge/x").count();
    assert!(wait(EVENTUALLY, || (heard(&clean) == 50).then_some(())).is_some(), "{}", heard(&clean));
    publish(&site, "new", "lounge", 3);
    assert!(wait(EVENTUALLY, || (heard(&clean) == 53 && heard(&kept) >= 3).then_some(())).is_some());
    assert_eq!((heard(&clean), heard(&kept)), (53, 3));
}

#[test]
fn session_behind_an_edge_is_replayed_above_over_restarts_until_it_ends() {
    needs!(Need::Node);
    let mut site = Site::start();
    let publish = |stream: &str| {
        json!({
            "from": "live", "session": true, "publish": { "stream": stream, "channel": "x", "count": 50 },
        })
    };
    let owner = site.dashboard("owner", &site.edge, "lounge", publish("s"));
    let other = site.dashboard("other", &site.edge, "lounge", publish("t"));
    let board = site.dashboard("board", &site.hub, "lounge", json!({ "from": "live" }));
    for stream in ["s", "t"] {
        site.history.wait_mark(&format!("{stream} done"), EVENTUALLY);
    }
    site.history.wait("what both published", EVENTUALLY, |ledger| ledger.delivered("board") >= 100);
    drop(board);
    // Neither a restart of the hub nor a site that is cut off ends what the site has not ended.
    site.hub.kill();
    site.hub.start();
    let _late = site.dashboard("late", &site.hub, "lounge", json!({ "from": "live" }));
    site.history.wait("what both sessions published", EVENTUALLY, |ledger| ledger.delivered("late") >= 100);
    drop(owner);
    site.history.wait_mark("late wiped", EVENTUALLY);
    let _later = site.dashboard("later", &site.hub, "lounge", json!({ "from": "live" }));
    site.history.wait("what the other published", EVENTUALLY, |ledger| ledger.delivered("later") >= 50);
    // An edge that begins anew has nobody of before.
    site.edge.kill();
    let _away = site.dashboard("away", &site.hub, "lounge", json!({ "from": "live" }));
    site.history.wait("a site that is away", EVENTUALLY, |ledger| ledger.delivered("away") >= 50);
    drop(other);
    site.edge.start();
    site.history.wait_mark("later wiped", EVENTUALLY);
    assert_eq!(site.history.ledger().delivered("later"), 50);
}

#[test]
fn session_behind_a_cut_cable_lasts_until_the_site_can_say_that_it_ended() {
    needs!(Need::Namespaces, Need::Node);
    let cable = Cable::lay();
    let plan =
        Plan { hub_place: Some(cable.a.clone()), edge_place: Some(cable.b.clone()), ..Plan::default() };
    let site = Site::planned(plan);
    let asked = json!({
        "from": "live", "session": true, "publish": { "stream": "s", "channel": "x", "count": 50 },
    });
    let owner = site.dashboard("owner", &site.edge, "lounge", asked);
    site.history.wait_mark("s done", EVENTUALLY);
    let joins = |name: &str, count: u64| {
        let board = site.dashboard(name, &site.hub, "lounge", json!({ "from": "live" }));
        site.history.wait("what it published", EVENTUALLY, |ledger| ledger.delivered(name) >= count);
        board
    };
    let _early = joins("early", 50);
    cable.cut();
    drop(owner);
    // The hub knows nothing of that, however often it is asked.
    let _meanwhile = joins("meanwhile", 50);
    assert!(!site.history.ledger().has_mark("early wiped"));
    cable.heal();
    for name in ["early", "meanwhile"] {
        site.history.wait_mark(&format!("{name} wiped"), EVENTUALLY);
    }
}

#[test]
fn a_hub_whose_history_index_is_garbage_starts_moves_it_aside_and_replays_everything() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let quota = "[quota]\nbytes = \"64 MiB\"\nsegment = \"4 MiB\"\n".to_owned();
    let mut site = Site::laid_out(Plan { hub_top: quota, ..Plan::default() });
    site.hub.start();
    let much =
        json!({ "stream": "s", "topic": "hall/s", "qos": 1, "version": 5, "count": 100, "size": 200_000 });
    site.client("much", "publish_paho.py", &site.hub, OWNER, much).finish(EVENTUALLY);
    site.hub.stop();
    let index = site.hub.data.join("history");
    for file in ["conf", "db"] {
        assert!(index.join(file).exists(), "{file} is there");
        std::fs::write(index.join(file), [0xa5; 50_000]).unwrap();
    }
    site.hub.start();
    assert!(site.hub.data.join("history.bad").join("db").exists());
    assert!(site.hub.printed().contains("moved aside"), "{}", site.hub.printed());
    let _board = site.dashboard("board", &site.hub, "hall", json!({}));
    site.history.wait("all of it", EVENTUALLY, |ledger| ledger.delivered("board") >= 100);
    let verdict = site.history.ledger().verdict("board");
    assert!(verdict.is_clean() && verdict.delivered == 100, "{verdict:?}");
}
