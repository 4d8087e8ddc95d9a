//! The project's own client (`hub/assets/riser.js`) in Node, against a hub: what it promises holds over kills, cuts,
//! freezes and full disks. In a browser it is met in the demo's page and behind a proxy.

use std::fs;

use riser_integration::ledger::{Ledger, Verdict};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::Client;
use crate::needs::{Need, find, needs, node_tools, scripts};
use crate::program::{EVENTUALLY, SOON, free_port};
use crate::site::{ACCOUNT, OWNER, PASSWORD, Plan, READER, SENSOR, Site};

/// A scenario of `riser.mjs` in the hall of a hub.
fn scenario(site: &Site, name: &str, user: &str, asked: Value) -> Client {
    scenario_in(site, "hall", name, user, asked)
}

/// The same in another room.
fn scenario_in(site: &Site, room: &str, name: &str, user: &str, asked: Value) -> Client {
    let url = format!("ws://{}:{}/{ACCOUNT}/{room}", site.hub.place.address(), site.hub.http);
    let mut all = json!({ "scenario": name, "url": url, "user": user, "password": PASSWORD });
    all.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
    let mut command = site.hub.place.command(find("node").expect("it is there"));
    if asked["native"] == true {
        // From Node 22 on it is there without being asked for.
        command.arg("--experimental-websocket");
    }
    command.env("RISER_NODE_TOOLS", node_tools()).arg(scripts().join("riser.mjs")).arg(all.to_string());
    Client::run(name, command, &site.history, site.folder.path())
}

/// A hub without edges.
fn hub(top: &str) -> Site {
    let mut site = Site::laid_out(Plan { hub_top: top.to_owned(), ..Plan::default() });
    site.hub.start();
    site
}

fn must_have(site: &Site, marks: &[&str]) {
    let ledger = site.history.ledger();
    for mark in marks {
        assert!(ledger.has_mark(mark), "{mark}: {}", ledger.summary());
    }
}

/// In order, without a hole, and once: what was published again after a cut bears the same publish id.
fn must_be_clean(ledger: &Ledger, reader: &str) {
    let verdict = ledger.verdict(reader);
    assert!(verdict.is_clean(), "{reader}: {verdict:?}");
    assert!(ledger.gaps(reader).is_empty(), "{reader}: {:?}", ledger.gaps(reader));
}

#[test]
fn own_client_gets_back_what_it_published_in_every_form() {
    needs!(Need::Program("curl"), Need::Node);
    let site = hub("");
    scenario(&site, "values", OWNER, json!({})).finish(EVENTUALLY);
    must_have(
        &site,
        &[
            "value 0 same application/json",
            "value 1 same text/plain",
            "value 2 same application/octet-stream",
            "value 3 same application/json",
            "value 4 same application/json",
            "value 5 same text/plain",
            "value 6 same text/html",
            "value 7 same application/json",
            "batch bad_name",
            "batch of 2",
            "then closed",
        ],
    );
}

#[test]
fn own_client_says_anew_who_it_is_and_goes_on_where_it_was() {
    needs!(Need::Program("curl"), Need::Node);
    let site = hub("");
    scenario(&site, "renews", OWNER, json!({})).finish(EVENTUALLY);
    must_have(&site, &["heard still here", "same true", "renew not_authorised", "closed"]);
}

#[test]
fn one_connection_has_a_hundred_subscriptions_of_every_shape() {
    needs!(Need::Program("curl"), Need::Node);
    let site = hub("");
    scenario(&site, "many", OWNER, json!({})).finish(EVENTUALLY);
    must_have(&site, &["one more too_many", "each has its own true", "still open"]);
}

#[test]
fn subscription_begins_where_it_was_asked_to() {
    needs!(Need::Program("curl"), Need::Node);
    let site = hub("");
    scenario(&site, "places", OWNER, json!({})).finish(EVENTUALLY);
    must_have(
        &site,
        &[
            "start full",
            "start 1..21 of 21",
            "last full",
            "last 16..21 of 6",
            "after full",
            "after 11..21 of 11",
            "live none",
            "live 21..21 of 1",
            "none none",
            "none 21..21 of 1",
            "another run 8..21 of 14",
        ],
    );
}

#[test]
fn own_client_resumes_after_a_killed_hub_without_hole_or_double() {
    const COUNT: u64 = 1500;
    needs!(Need::Program("curl"), Need::Node);
    let mut site = Site::start();
    let readers = json!([
        { "reader": "iterates", "channels": "sensor/#", "from": "start", "iterate": true, "window": 50 },
        { "reader": "handles", "channels": "sensor/#", "from": "start" },
        { "reader": "shows", "channels": "sensor/#", "flow": "conflate" },
    ]);
    let _client = scenario(&site, "stream", OWNER, json!({ "readers": readers }));
    for reader in ["iterates", "handles", "shows"] {
        site.history.wait_mark(&format!("{reader} ready"), SOON);
    }
    let ask =
        json!({ "stream": "s", "topic": "sensors/s", "qos": 2, "count": COUNT, "rate": 400, "version": 4 });
    let sensor = site.client("sensor", "publish_mqttjs.mjs", &site.edge, SENSOR, ask);
    for upto in [150, 500, 900] {
        site.history.wait("more is delivered", EVENTUALLY, |ledger| ledger.delivered("handles") >= upto);
        site.hub.kill();
        site.hub.start();
    }
    sensor.finish(EVENTUALLY);
    site.history.wait("everything is delivered", EVENTUALLY, |ledger| {
        let complete = ["iterates", "handles"].iter().all(|reader| ledger.delivered(reader) == COUNT);
        complete && ledger.newest("shows", "s") == COUNT
    });
    let ledger = site.history.ledger();
    for reader in ["iterates", "handles"] {
        let verdict = ledger.verdict(reader);
        assert!(verdict.is_clean(), "{reader}: {verdict:?}");
        assert!(ledger.gaps(reader).is_empty(), "{reader}: {:?}", ledger.gaps(reader));
    }
    // The present is shown ahead of a backlog, and once more when the log has reached it; it never steps back.
    let shows = Verdict { duplicated: 0, ..ledger.verdict("shows") };
    assert!(shows.is_clean_but_for_skipped(), "{shows:?}");
    assert!(ledger.has_mark("state waiting") && !ledger.has_mark("state closed"));
}

#[test]
fn own_client_gets_a_receipt_for_everything_through_a_killed_hub() {
    const COUNT: u64 = 3000;
    needs!(Need::Program("curl"), Need::Node);
    let mut site = hub("");
    let readers = json!([{ "reader": "handles", "from": "start" }]);
    let publish = json!({ "stream": "o", "channel": "own", "count": COUNT });
    let asked = json!({ "readers": readers, "publish": publish });
    let _client = scenario(&site, "stream", OWNER, asked);
    for upto in [300, 900, 1500] {
        site.history.wait("more is delivered", EVENTUALLY, |ledger| ledger.delivered("handles") >= upto);
        site.hub.kill();
        site.hub.start();
    }
    site.history.wait("everything is delivered", EVENTUALLY, |ledger| {
        ledger.delivered("handles") == COUNT && ledger.has_mark("o done")
    });
    let ledger = site.history.ledger();
    assert_eq!(ledger.acked("o"), COUNT);
    must_be_clean(&ledger, "handles");
}

#[test]
fn own_client_runs_on_the_websocket_that_node_has() {
    const COUNT: u64 = 1500;
    needs!(Need::Program("curl"), Need::Node);
    let mut site = hub("");
    let readers = json!([{ "reader": "iterates", "from": "start", "iterate": true, "window": 50 }]);
    let publish = json!({ "stream": "o", "channel": "own", "count": COUNT });
    let asked = json!({ "native": true, "readers": readers, "publish": publish });
    let _client = scenario(&site, "stream", OWNER, asked);
    site.history.wait("it flows", EVENTUALLY, |ledger| ledger.delivered("iterates") >= 300);
    site.hub.kill();
    site.history.wait_mark("state waiting unreachable", SOON);
    site.hub.start();
    site.history.wait("everything is delivered", EVENTUALLY, |ledger| {
        ledger.delivered("iterates") == COUNT && ledger.has_mark("o done")
    });
    must_be_clean(&site.history.ledger(), "iterates");
}

#[test]
fn own_client_resumes_over_a_cable_that_breaks_in_the_middle_of_frames() {
    const COUNT: u64 = 1000;
    needs!(Need::Program("curl"), Need::Node);
    let site = hub("");
    let readers = json!([
        { "reader": "iterates", "from": "start", "iterate": true, "window": 20 },
        { "reader": "handles", "from": "start" },
    ]);
    let publish = json!({ "stream": "o", "channel": "own", "count": COUNT });
    // A prime, so that it breaks somewhere else each time.
    let asked = json!({ "readers": readers, "publish": publish, "cutEvery": 40_009, "options": { "backoffMinMs": 20 } });
    let _client = scenario(&site, "stream", OWNER, asked);
    site.history.wait("everything is delivered", EVENTUALLY, |ledger| {
        let complete = ["iterates", "handles"].iter().all(|reader| ledger.delivered(reader) == COUNT);
        complete && ledger.has_mark("o done")
    });
    let ledger = site.history.ledger();
    assert!(ledger.has_mark("cut"));
    assert_eq!(ledger.acked("o"), COUNT);
    for reader in ["iterates", "handles"] {
        must_be_clean(&ledger, reader);
    }
}

#[test]
fn own_client_leaves_a_silent_hub_and_comes_back() {
    const COUNT: u64 = 400;
    needs!(Need::Program("curl"), Need::Node);
    let mut site = hub("");
    let readers = json!([{ "reader": "handles", "from": "start" }]);
    let publish = json!({ "stream": "o", "channel": "own", "count": COUNT, "ahead": 1 });
    let options = json!({ "watchEveryMs": 200, "connectTimeoutMs": 1000 });
    let asked = json!({ "readers": readers, "publish": publish, "options": options });
    let _client = scenario(&site, "stream", OWNER, asked);
    site.history.wait("it flows", SOON, |ledger| ledger.delivered("handles") >= 20);
    site.hub.process().signal(Signal::STOP);
    site.history.wait_mark("state waiting connection_lost", SOON);
    site.hub.process().signal(Signal::CONT);
    site.history.wait("everything is delivered", EVENTUALLY, |ledger| {
        ledger.delivered("handles") == COUNT && ledger.has_mark("o done")
    });
    must_be_clean(&site.history.ledger(), "handles");
}

#[test]
fn own_client_tells_a_gap_in_place_with_cause_and_range() {
    needs!(Need::Program("curl"), Need::Node);
    let site = hub("[quota]\nbytes = \"16 MiB\"\nsegment = \"4 MiB\"\n");
    let asked = json!({ "stream": "g", "count": 5000 });
    scenario(&site, "gap", OWNER, asked).finish(EVENTUALLY);
    must_have(&site, &["gaps true"]);
    let ledger = site.history.ledger();
    let (verdict, gaps) = (ledger.verdict("slow"), ledger.gaps("slow"));
    assert_eq!(gaps.keys().collect::<Vec<_>>(), ["hub_quota"], "{gaps:?}");
    assert_eq!(gaps["hub_quota"], verdict.lost, "{verdict:?}");
    assert!(verdict.is_clean_but_for_skipped() && verdict.delivered + verdict.lost == 5000, "{verdict:?}");
    assert!(!ledger.summary().contains("hole between"), "{}", ledger.summary());
}

#[test]
fn slow_consumer_of_the_own_client_holds_a_window_and_hurts_nobody() {
    needs!(Need::Program("curl"), Need::Node);
    let site = hub("");
    let asked = json!({ "stream": "s", "count": 20_000, "window": 20 });
    scenario(&site, "slow", OWNER, asked).finish(EVENTUALLY);
    must_have(
        &site,
        &["the quick one has everything", "sent ahead the window", "the slow one has everything"],
    );
    let verdict = site.history.ledger().verdict("slow");
    assert!(verdict.is_clean() && verdict.delivered == 20_000, "{verdict:?}");
}

#[test]
fn own_client_shows_the_present_to_a_slow_consumer_and_counts_what_it_passed_over() {
    needs!(Need::Program("curl"), Need::Node);
    let site = hub("");
    scenario(&site, "conflate", OWNER, json!({ "count": 2000 })).finish(EVENTUALLY);
    must_have(&site, &["the present is shown", "all are counted true"]);
    let ledger = site.history.ledger();
    assert!(!ledger.summary().contains("stepped back"), "{}", ledger.summary());
}

#[test]
fn own_client_keeps_a_session_over_cuts_and_tells_when_what_one_said_is_wiped() {
    needs!(Need::Program("curl"), Need::Node);
    let site = hub("");
    scenario_in(&site, "lounge", "session", OWNER, json!({})).finish(EVENTUALLY);
    let told = |reader: &str| {
        format!(
            "{reader} 1 of a session, {reader} 2 of a session, {reader} wiped true, {reader} 3 of nobody's, \
             {reader} 4 of a session"
        )
    };
    must_have(&site, &[&told("handles"), &told("iterates"), "later 4 true 2"]);
}

#[test]
fn subscription_that_is_refused_while_its_old_connection_has_its_place_comes_back() {
    needs!(Need::Program("curl"), Need::Node);
    let mut site = Site::laid_out(Plan::default());
    crate::quotas::bound(&site.hub, "hall", "subscriptions = 1");
    site.hub.start();
    let options = json!({ "watchEveryMs": 100, "backoffMinMs": 20, "backoffMaxMs": 100 });
    scenario(&site, "halfOpen", OWNER, json!({ "options": options })).finish(EVENTUALLY);
    must_have(&site, &["who never ran quota_exceeded", "runs, 1, quota_exceeded, runs, 2", "still open"]);
    assert!(!site.history.ledger().has_mark("ended quota_exceeded"));
}

#[test]
fn raw_sockets_enter_by_tickets_that_are_good_once_and_are_said_nowhere() {
    needs!(Need::Program("curl"), Need::Node);
    let mut site = Site::laid_out(Plan::default());
    site.hub.environment.push(("RISER_LOG__LEVEL".to_owned(), "trace".to_owned()));
    site.hub.start();
    scenario(&site, "tickets", OWNER, json!({ "other": SENSOR })).finish(EVENTUALLY);
    must_have(
        &site,
        &[
            "published raw/x first true",
            "used again 4103",
            "guessed 4103",
            "without 4103",
            "own raw/y as oneself true",
            "other theirs",
            "other closed 4104",
        ],
    );
    let ledger = site.history.ledger();
    let tickets: Vec<&str> = ledger.marks().filter_map(|mark| mark.strip_prefix("ticket ")).collect();
    assert_eq!(tickets.len(), 2, "{}", ledger.summary());
    let metrics = riser_integration::node::get(&site.hub.place, site.hub.operations, "/metrics");
    let (printed, metrics) = (site.hub.printed(), metrics.expect("it answers").1);
    assert!(printed.contains("TRACE") || printed.contains("DEBUG"), "{printed}");
    for ticket in tickets {
        assert!(!printed.contains(ticket) && !metrics.contains(ticket), "a ticket was said aloud");
    }
}

#[test]
fn own_client_says_clearly_why_it_was_not_let_in() {
    needs!(Need::Program("curl"), Need::Node);
    let site = hub("");
    let asked = json!({
        "elsewhere": format!("/{ACCOUNT}/attic"),
        "nowhere": format!("ws://127.0.0.1:{}/{ACCOUNT}/hall", free_port()),
    });
    scenario(&site, "refused", READER, asked).finish(EVENTUALLY);
    must_have(
        &site,
        &[
            "wrong password not_authorised 4103 clear closed after 1",
            "unknown user not_authorised 4103 clear closed after 1",
            "no credential not_authorised 4103 clear closed after 1",
            "unknown room denied 4104 clear closed after 1",
            "unknown room publish denied",
            "publish denied",
            "filter bad_name",
            "still open",
            "away unreachable",
        ],
    );
}

#[test]
fn own_client_is_served_with_its_type_and_is_not_sent_twice() {
    needs!(Need::Program("curl"));
    let site = hub("");
    let url = |path: &str| format!("http://127.0.0.1:{}{path}", site.hub.http);
    for (path, kind) in [
        ("/", "text/html"),
        ("/assets/riser.js", "text/javascript"),
        ("/assets/riser.d.ts", "text/plain"),
        ("/assets/page.css", "text/css"),
    ] {
        let head = crate::program::output({
            let mut curl = site.hub.place.command("curl");
            curl.args(["--silent", "--fail", "--dump-header", "-", "--output", "/dev/null", &url(path)]);
            curl
        });
        let header = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.unwrap_or_else(|| panic!("{path} has no {name}: {head}")).to_owned()
        };
        assert!(header("content-type").starts_with(kind), "{path}: {head}");
        // The client is for pages from elsewhere too, and nothing else is.
        assert_eq!(head.contains("access-control-allow-origin: *"), path.contains("riser"), "{path}: {head}");
        let again = crate::program::output({
            let mut curl = site.hub.place.command("curl");
            let tag = format!("If-None-Match: {}", header("etag"));
            curl.args([
                "--silent",
                "--write-out",
                "%{http_code} %{size_download}",
                "--header",
                &tag,
                &url(path),
            ]);
            curl
        });
        assert_eq!(again, "304 0", "{path}");
    }
    let served = riser_integration::node::get(&site.hub.place, site.hub.http, "/assets/riser.js")
        .expect("it answers")
        .1;
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../../hub/assets/riser.js");
    assert_eq!(served, fs::read_to_string(own).expect("it is there"));
}
