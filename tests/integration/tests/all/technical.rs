//! What a hub says about itself: on the technical channels, in the quarantine and in its metrics.

use std::fs;

use serde_json::{Value, json};

use crate::needs::{Need, needs};
use crate::program::{EVENTUALLY, SOON, output, wait};
use crate::site::{OWNER, PASSWORD, Plan, SENSOR, Site};

#[test]
fn technical_channels_tell_who_comes_and_goes() {
    needs!(Need::Program("curl"), Need::Node);
    let mut site = Site::laid_out(Plan::default());
    let config = fs::read_to_string(&site.hub.config).expect("it was just written");
    let hash = config.lines().find(|line| line.starts_with("password = ")).expect("somebody has a password");
    site.hub.write_config(&format!("{config}\n[[account.user]]\nname = \"sam\"\n{hash}\n"));
    site.hub.start();
    let _account = site.dashboard("account", &site.hub, "hall", json!({ "technical": "account" }));
    let _room = site.dashboard("room", &site.hub, "hall", json!({ "technical": "room" }));
    for reader in ["account", "room"] {
        site.history.wait_mark(&format!("{reader} ready"), SOON);
    }
    site.edge.start();
    site.history.wait_mark("account event edge_online", SOON);
    is_shown(&site, "flowing");
    let nothing = status(&site, "sam");
    assert_eq!((&nothing["edges"], &nothing["rooms"]), (&json!([]), &json!([])), "it may read nothing");
    let guest = site.dashboard("guest", &site.hub, "hall", json!({}));
    site.history.wait_mark("guest ready", SOON);
    site.history.wait_mark("room event joined", SOON);
    drop(guest);
    site.history.wait_mark("room event left", SOON);
    site.edge.kill();
    site.history.wait_mark("account event edge_silent", SOON);
    assert!(!site.history.ledger().has_mark("room event edge_silent"), "a room is told of its own");
    // However an edge leaves, nobody takes it for one that flows.
    is_shown(&site, "offline");
    site.edge.start();
    is_shown(&site, "flowing");
    site.edge.stop();
    is_shown(&site, "offline");
    site.hub.stop();
    site.history.wait_mark("account event shutdown", SOON);
    site.history.wait_mark("account closed 4000", SOON);
}

/// Waits until the hub shows its edge in that state.
fn is_shown(site: &Site, state: &str) {
    let shown = || (status(site, OWNER)["edges"][0]["state"] == state).then_some(());
    assert!(wait(SOON, shown).is_some(), "the edge is not shown as {state}");
}

/// What the hub shows to a user of how it stands.
fn status(site: &Site, user: &str) -> Value {
    let mut curl = site.hub.place.command("curl");
    let url = format!("http://127.0.0.1:{}/api/status", site.hub.http);
    curl.args(["--silent", "--fail", "--user", &format!("{user}:{PASSWORD}"), &url]);
    serde_json::from_str(&output(curl)).expect("the status is JSON")
}

#[test]
fn entry_that_may_not_be_placed_is_quarantined_and_stops_nothing() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let mut site = Site::laid_out(Plan::default());
    let open = fs::read_to_string(&site.hub.config).expect("it was just written");
    let deny = r#"grant = [{ to = "edge", right = "publish", channels = "+/forbidden", deny = true }]"#;
    let hall = "name = \"hall\"\n";
    assert_eq!(open.matches(hall).count(), 1);
    site.hub.write_config(&open.replace(hall, &format!("{hall}{deny}\n")));
    site.hub.start();
    let _board = site.dashboard("board", &site.hub, "hall", json!({ "technical": "account" }));
    let _quarantine = site.dashboard("quarantine", &site.hub, "quarantine", json!({}));
    for reader in ["board", "quarantine"] {
        site.history.wait_mark(&format!("{reader} ready"), SOON);
    }
    site.edge.start();
    let ask = |stream: &str| json!({ "stream": stream, "topic": format!("sensors/{stream}"), "qos": 1, "count": 20 });
    for stream in ["forbidden", "allowed"] {
        site.client(stream, "publish_paho.py", &site.edge, SENSOR, ask(stream)).finish(SOON);
    }
    site.history.wait("what is allowed arrives", EVENTUALLY, |ledger| ledger.delivered("board") == 20);
    site.history.wait_mark("board event quarantined", SOON);
    let quarantined = wait(SOON, || site.hub.metric("riser_quarantined", "").filter(|count| *count == 20.0));
    assert_eq!(quarantined, Some(20.0), "each is counted");
    let equation = wait(SOON, || site.edge.equation().filter(|[_, _, queued, _]| *queued == 0.0));
    let [accepted, synced, ..] = equation.expect("nothing waits");
    assert!(accepted == synced && accepted >= 40.0, "the hub has them all: {accepted} {synced}");
}
