//! Rooms that are archived: replayed beyond what the log's quota keeps, over kills of the hub.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use riser_integration::wire::Wire;
use serde_json::{Value, json};

use crate::client::Client;
use crate::needs::{Need, needs};
use crate::program::{EVENTUALLY, SOON, output, wait};
use crate::site::{ACCOUNT, OWNER, PASSWORD, Plan, Site};

const ROOMS: &str = "\n[[account.room]]\nname = \"chat\"\nkind = \"board\"\nhistory = \"log\"\narchive = true\n\
                     \n[[account.room]]\nname = \"brief\"\nhistory = \"log\"\narchive = true\nretention = { count = 20 }\n";
/// Four files: what is older than about 16 MiB is gone.
const QUOTA: &str = "[quota]\nbytes = \"16 MiB\"\nsegment = \"4 MiB\"\n";

fn hub() -> Site {
    let plan = Plan { hub_top: QUOTA.to_owned(), hub_account: ROOMS.to_owned(), ..Plan::default() };
    let mut site = Site::laid_out(plan);
    site.hub.start();
    site
}

fn publish(site: &Site, stream: &str, room: &str, channel: &str, count: u64) {
    let ask = json!({ "from": "live", "publish": { "stream": stream, "channel": channel, "count": count } });
    let publisher = site.dashboard(&format!("publisher of {stream}"), &site.hub, room, ask);
    site.history.wait_mark(&format!("{stream} done"), EVENTUALLY);
    drop(publisher);
}

/// More than the log keeps, in a room that is not archived.
fn fill(site: &Site, stream: &str) {
    let ask = json!({ "stream": stream, "topic": "hall/x", "qos": 1, "count": 900, "size": 30_000 });
    site.client(stream, "publish_paho.py", &site.hub, OWNER, ask).finish(EVENTUALLY);
}

/// The oldest seq that the log has.
fn oldest(site: &Site) -> u64 {
    let mut command: Command = site.hub.command(&["log", "inspect", "--json"]);
    command.arg("--config").arg(&site.hub.config);
    let said: Value = serde_json::from_str(&output(command)).expect("a command answers with JSON");
    said["oldest"].as_u64().expect("a log has an oldest seq")
}

/// Requests in the chat, one after the other, and their answers.
fn asks(site: &Site, name: &str, requests: &Value) -> Vec<Value> {
    let url = format!("ws://{}:{}/{ACCOUNT}/chat", site.hub.place.address(), site.hub.http);
    let all =
        json!({ "url": url, "user": OWNER, "password": PASSWORD, "reader": name, "requests": requests });
    Client::start(name, "asks.mjs", &site.hub.place, &all, &site.history, site.folder.path()).finish(SOON);
    let ledger = site.history.ledger();
    let answer = |n: usize| {
        let beginning = format!("{name} answer {} ", n + 2);
        serde_json::from_str(ledger.marks_of(&beginning)[0]).expect("an answer is JSON")
    };
    (0..requests.as_array().expect("a list").len()).map(answer).collect()
}

/// All pages of the chat, the newest first: the positions of what they hold.
fn pages(site: &Site, name: &str) -> Vec<Value> {
    let mut positions = Vec::new();
    let mut before = Value::Null;
    for page in 0.. {
        let mut request = json!({ "op": "past", "channels": "#", "most": 100 });
        if !before.is_null() {
            request["before"] = before;
        }
        let answer = asks(site, &format!("{name} {page}"), &json!([request])).remove(0);
        let entries =
            answer["messages"].as_array().unwrap_or_else(|| panic!("no page: {:?}", answer.get("code")));
        positions.extend(entries.iter().rev().map(|entry| entry["pos"].clone()));
        before = answer["next"].clone();
        if before.is_null() {
            break;
        }
    }
    positions
}

/// A reader of a room, which must come to exactly that many, without a gap.
fn reads(site: &Site, name: &str, room: &str, asked: Value, count: u64) {
    let reader = site.dashboard(name, &site.hub, room, asked);
    site.history.wait(&format!("{name} has {count}"), EVENTUALLY, |ledger| ledger.delivered(name) >= count);
    drop(reader);
    let ledger = site.history.ledger();
    assert_eq!(ledger.delivered(name), count, "{name}");
    assert!(
        !ledger.has_mark(&format!("{name} torn")),
        "{name}: a push did not continue where the last one ended"
    );
    assert!(ledger.gaps(name).is_empty(), "{name}: {:?}", ledger.gaps(name));
    let verdict = ledger.verdict(name);
    assert!(verdict.duplicated == 0 && verdict.reordered == 0, "{name}: {verdict:?}");
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    u64::try_from(since.as_millis()).expect("it is earlier than the year 584556019")
}

#[test]
fn archived_room_is_replayed_beyond_the_logs_quota_over_kills_and_by_every_way_there_is() {
    needs!(Need::Program("curl"), Need::Node, Need::Python);
    let mut site = hub();
    publish(&site, "a", "chat", "x", 120);
    let time = now_ms() + 1;
    assert!(wait(SOON, || (now_ms() > time).then_some(())).is_some(), "time passes");
    publish(&site, "b", "chat", "y", 80);
    publish(&site, "old", "brief", "x", 50);
    fill(&site, "one");
    site.hub.kill();
    site.hub.start();
    publish(&site, "c", "chat", "x", 50);
    publish(&site, "new", "brief", "x", 30);
    fill(&site, "two");
    site.hub.kill();
    site.hub.start();
    publish(&site, "d", "chat", "y", 30);
    assert!(oldest(&site) > 900, "the log has let go of more than the first half: {}", oldest(&site));

    reads(&site, "all", "chat", json!({ "from": "start" }), 280);
    assert!(site.history.ledger().has_mark("all full"));
    reads(&site, "last", "chat", json!({ "from": { "last": 150 } }), 150);
    reads(&site, "since", "chat", json!({ "from": { "time": time } }), 160);
    reads(&site, "filtered", "chat", json!({ "from": "start", "channels": "y" }), 110);
    // Pages go back to the beginning, and each position is one to go on from.
    let positions = pages(&site, "pages");
    assert_eq!(positions.len(), 280);
    for (nth, rest) in [(279, 279), (270, 270), (150, 150), (40, 40)] {
        reads(&site, &format!("after {nth}"), "chat", json!({ "from": { "after": positions[nth] } }), rest);
    }
    // What is not archived is gone beyond the log.
    let old = site.dashboard("hall", &site.hub, "hall", json!({ "from": "start" }));
    site.history.wait_mark("hall ready", SOON);
    publish(&site, "end", "hall", "x", 1);
    site.history.wait("the end of the hall", EVENTUALLY, |ledger| {
        ledger.verdict("hall").delivered > 0 && ledger.delivered("hall") > 100
    });
    drop(old);
    assert!(site.history.ledger().delivered("hall") < 900);
    // An old entry of a board is worded otherwise, and its author is looked up in the archive.
    let edit = json!([{ "op": "edit", "pos": positions[275], "data": "otherwise" }]);
    let answer = asks(&site, "editor", &edit).remove(0);
    assert!(answer["pos"].is_string(), "{answer}");
    // A room shows of the archive what its own retention names: of fifty and thirty, the thirty.
    reads(&site, "brief", "brief", json!({ "from": "start" }), 30);
    assert_eq!(site.hub.metric("riser_archive_amiss", ""), Some(0.0));
    assert!(site.hub.metric("riser_archive_volumes", "").is_some_and(|volumes| volumes >= 2.0));
    assert_eq!(site.hub.metric("riser_archive_failing", ""), Some(0.0));
}

#[test]
fn an_archived_room_is_replayed_over_a_slow_link_and_the_hub_holds_no_more_for_that() {
    needs!(Need::Program("curl"), Need::Node, Need::Python);
    const COUNT: u64 = 400;
    let mut site = hub();
    let much = json!({ "stream": "s", "topic": "chat/x", "qos": 1, "count": COUNT, "size": 30_000 });
    site.client("much", "publish_paho.py", &site.hub, OWNER, much).finish(EVENTUALLY);
    fill(&site, "one");
    assert!(oldest(&site) > COUNT, "the log has let go of it: {}", oldest(&site));
    let wire = Wire::to(site.hub.http);
    wire.pace(Some(64 << 10));
    let before = site.hub.process().resident_bytes();
    let url = format!("ws://127.0.0.1:{}/{ACCOUNT}/chat", wire.port);
    let reader = site.dashboard("slow", &site.hub, "chat", json!({ "url": url, "from": "start" }));
    site.history.wait("it begins", SOON, |ledger| ledger.delivered("slow") >= 5);
    let mut most = 0;
    let over = || {
        most = most.max(site.hub.process().resident_bytes());
        None::<()>
    };
    wait(Duration::from_secs(10), over);
    let shown = site.history.ledger().delivered("slow");
    assert!((6..COUNT / 2).contains(&shown), "{shown} of 12 MB at 64 KiB a second");
    assert!(most < before + (24 << 20), "{before} bytes before, {most} meanwhile");
    wire.pace(None);
    site.history.wait("all of it", EVENTUALLY, |ledger| ledger.delivered("slow") >= COUNT);
    drop(reader);
    let ledger = site.history.ledger();
    let verdict = ledger.verdict("slow");
    assert_eq!(
        (ledger.delivered("slow"), verdict.duplicated, verdict.reordered),
        (COUNT, 0, 0),
        "{verdict:?}"
    );
    assert!(ledger.gaps("slow").is_empty() && !ledger.has_mark("slow torn"), "{:?}", ledger.gaps("slow"));
}
