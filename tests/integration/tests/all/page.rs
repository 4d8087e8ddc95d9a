//! The page of a hub in headless Chromium, as a person has it: at a desk and on a phone, by keyboard, and as axe-core
//! judges it. The demo's test looks at cut links.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Client;
use crate::needs::{Need, find, needs};
use crate::place::Place;
use crate::program::{EVENTUALLY, SOON, wait};
use crate::site::{ACCOUNT, OWNER, PASSWORD, Plan, SENSOR, Site};

/// A browser on two cores takes its time.
const LOOK: Duration = Duration::from_secs(240);

/// What the pump shares with the hub.
const SECRET: &str = "AAECAwQFBgcICQoLDA0ODw";

/// Runs one of the scripts that look at the page, to its end, and has seen what it says to have seen.
pub fn look(site: &Site, script: &str, asked: Value, seen: &[&str]) {
    let mut all = json!({
        "url": format!("http://{}:{}/", site.hub.place.address(), site.hub.http),
        "account": ACCOUNT,
        "user": OWNER,
        "password": PASSWORD,
        "chromium": find("chromium").expect("it is there"),
        // Outside the test's folder, which goes with it.
        "picture": std::env::temp_dir().join(format!("riser-{script}-failed.png")),
    });
    all.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
    let client = Client::start(script, script, &Place::Here, &all, &site.history, site.folder.path());
    client.finish(LOOK);
    for mark in seen.iter().chain(&["done"]) {
        let ledger = site.history.ledger();
        assert!(ledger.has_mark(&format!("page {mark}")), "{mark}: {}", ledger.summary());
    }
}

#[test]
fn past_of_a_channel_is_plotted_scrubbed_and_replayed_by_keyboard() {
    needs!(Need::Program("chromium"), Need::Node);
    let mut site = Site::laid_out(Plan::default());
    site.hub.start();
    let seen = [
        "a room is clean",
        "a hole with its cause",
        "the past is clean",
        "the scrub moves by key",
        "the replay reaches the present",
        "the present goes on",
        "the address shows it again",
    ];
    look(&site, "look_past.mjs", json!({ "room": "shallow" }), &seen);
}

#[test]
fn what_an_edge_lost_is_in_the_past_of_a_channel_and_said_to_be_perhaps_another_s() {
    needs!(Need::Program("chromium"), Need::Program("curl"), Need::Python, Need::Node);
    let quota = "[quota]\nbytes = \"8 MiB\"\nsegment = \"2 MiB\"\npolicy = \"drop_oldest\"\n".to_owned();
    let mut site = Site::laid_out(Plan { edge_top: quota, ..Plan::default() });
    site.edge.start();
    let much =
        json!({ "stream": "s", "topic": "sensors/s", "qos": 1, "version": 5, "count": 80, "size": 200_000 });
    site.client("much", "publish_paho.py", &site.edge, SENSOR, much).finish(EVENTUALLY);
    site.hub.start();
    let gapped = || site.edge.equation().filter(|[_, _, queued, gapped]| *queued == 0.0 && *gapped > 0.0);
    assert!(wait(EVENTUALLY, gapped).is_some(), "it lost something: {:?}", site.edge.equation());
    let asked = json!({ "room": "hall", "channel": "sensor/s", "edge": "edge" });
    look(&site, "look_lost.mjs", asked, &["what an edge lost", "what an edge lost is clean"]);
}

#[test]
fn a_phone_is_enough_for_a_room_its_feed_and_the_past_of_a_channel() {
    needs!(Need::Program("chromium"), Need::Node);
    let mut site = Site::laid_out(Plan::default());
    site.hub.start();
    let seen = [
        "into a room by touch",
        "a channel is found",
        "the feed is filtered",
        "the past by touch",
        "out again",
    ];
    look(&site, "look_phone.mjs", json!({ "room": "hall" }), &seen);
}

#[test]
fn quarantine_is_listed_shown_released_with_a_reason_and_given_up() {
    needs!(Need::Program("chromium"), Need::Program("mosquitto_pub"), Need::Node);
    let mut site = Site::laid_out(Plan::default());
    let open = std::fs::read_to_string(&site.hub.config).expect("it was just written");
    let deny = r#"grant = [{ to = "edge", right = "publish", channels = "+/forbidden", deny = true }]"#;
    let hall = "name = \"hall\"\n";
    assert_eq!(open.matches(hall).count(), 1);
    site.hub.write_config(&open.replace(hall, &format!("{hall}{deny}\n")));
    site.hub.start();
    site.edge.start();
    for value in ["61.5", "62.5"] {
        let mut publish = site.edge.place.command("mosquitto_pub");
        let port = site.edge.mqtt.to_string();
        let host = site.edge.place.address().to_string();
        publish.args(["-h", &host, "-p", &port, "-u", "sensor", "-P", PASSWORD]);
        publish.args(["-q", "1", "-t", "sensors/forbidden", "-m", value]);
        crate::program::output(publish);
    }
    let held = || site.hub.metric("riser_quarantined", "").filter(|count| *count == 2.0);
    assert!(wait(SOON, held).is_some(), "both are in quarantine");
    let seen = [
        "what lies there",
        "the quarantine is clean",
        "what it says",
        "released with a reason",
        "given up with a reason",
    ];
    look(&site, "look_quarantine.mjs", json!({ "room": "hall", "guest": crate::site::READER }), &seen);
}

#[test]
fn edges_are_shown_as_a_tree_with_what_is_below_them() {
    needs!(Need::Program("chromium"), Need::Program("mosquitto_pub"), Need::Node);
    let mut site = Site::planned(Plan { middle: true, ..Plan::default() });
    let mut publish = site.edge.place.command("mosquitto_pub");
    let port = site.edge.mqtt.to_string();
    publish.args(["-h", &site.edge.place.address().to_string(), "-p", &port, "-u", "sensor", "-P", PASSWORD]);
    publish.args(["-q", "1", "-t", "sensors/s", "-m", "1"]);
    crate::program::output(publish);
    look(&site, "look_tree.mjs", json!({ "room": "hall", "seen": "flowing" }), &["an edge below"]);
    site.middle().kill();
    look(&site, "look_tree.mjs", json!({ "room": "hall", "seen": "unknown" }), &["the tree is clean"]);
}

/// A hub with a room that is knocked at, and a board that waits for a device.
fn rooms(login: bool) -> Site {
    rooms_of(if login { "[login]\n" } else { "" })
}

/// The same with these lines at the top of its file.
fn rooms_of(top: &str) -> Site {
    let people = r#"
[[account.user]]
name = "mia"
password = "{hash}"
role = "member"

[[account.user]]
name = "kim"
password = "{hash}"
role = "member"

[[account.client]]
name = "pump"
password = "{hash}"
secret = "{secret}"
role = "member"

[[account.client]]
name = "lamp"
password = "{hash}"
role = "member"

[[account.room]]
name = "vault"
history = "log"
gate = ["knock"]

[[account.room]]
name = "talk"
kind = "board"
history = "log"
ready = ["pump"]
grant = [{ to = "kim", right = "admin" }]
"#;
    let hub_account = people.replace("{hash}", crate::site::password_hash()).replace("{secret}", SECRET);
    let hub_top = top.to_owned();
    let mut site = Site::laid_out(Plan { hub_account, hub_top, ..Plan::default() });
    site.hub.start();
    site
}

#[test]
fn people_sign_in_and_go_through_the_lobby_and_a_gate_with_a_cookie_and_without() {
    needs!(Need::Program("chromium"), Need::Node);
    for cookie in [true, false] {
        let site = rooms(cookie);
        let mut seen = vec![
            "a wrong password",
            "the lobby shows rooms",
            "a room by keyboard",
            "who knocks waits",
            "the admin lets it in",
            "the admin turns it away",
        ];
        seen.extend(cookie.then_some("signed out"));
        let asked = json!({ "room": "hall", "guest": "mia", "gated": "vault", "cookie": cookie });
        look(&site, "look_rooms.mjs", asked, &seen);
    }
}

#[test]
fn a_board_is_paged_back_and_edited_by_its_authors_and_a_room_is_ready_with_its_devices() {
    needs!(Need::Program("chromium"), Need::Node);
    let site = rooms(false);
    let seen = [
        "said",
        "nobody else edits it",
        "its author edits it",
        "paged back to the first",
        "a board is clean",
        "ready when its device is there",
        "a broadcast reaches the device",
        "not ready without it",
    ];
    let asked = json!({
        "guest": "mia", "board": "talk", "device": "pump", "secret": SECRET, "hubKey": site.hub.key(), "keyless": "lamp",
    });
    look(&site, "look_board.mjs", asked, &seen);
}

#[test]
fn rooms_users_clients_and_credentials_are_made_by_who_administers_the_account() {
    needs!(Need::Program("chromium"), Need::Node);
    for cookie in [true, false] {
        let site = rooms(cookie);
        let seen = [
            "a user with a password that is shown once",
            "a name that is taken is refused, a client is made",
            "who administers nothing makes nothing",
            "a room is made and entered",
            "a credential is added and shown once",
        ];
        look(&site, "look_making.mjs", json!({ "guest": "mia" }), &seen);
        let audited = std::fs::read_to_string(site.hub.data.join("audit.jsonl")).unwrap_or_default();
        for line in ["user zed", "client gauge", "room attic", "credential added"] {
            assert!(audited.contains(line), "{line}: {audited}");
        }
        assert!(!audited.contains("evil"), "{audited}");
    }
}

#[test]
fn a_hub_is_operated_and_an_account_administered_from_the_lobby_and_in_a_room() {
    needs!(Need::Program("chromium"), Need::Node);
    for cookies in [true, false] {
        let login = if cookies { "[login]\n" } else { "" };
        let mut site = rooms_of(&format!("operators = [\"{ACCOUNT}/mia\"]\n{login}"));
        site.hub.stop();
        let text = std::fs::read_to_string(&site.hub.config).unwrap();
        let admin = format!("[listen]\nadmin = \"127.0.0.1:{}\"\n", crate::program::free_port());
        site.hub.write_config(&text.replacen("[listen]\n", &admin, 1));
        site.hub.start();
        let token = std::fs::read_to_string(site.hub.data.join("admin.token")).unwrap().trim().to_owned();
        let seen = [
            "who shows the token makes an account",
            "and removes it",
            "who comes back is asked again",
            "who is named operates without it",
            "keys of one's own",
            "who knocks is let in from the lobby",
            "a connection is closed",
            "who looks after a room invites who is there",
            "a new user is invited, and its token replaced",
            "a room is removed",
        ];
        let asked = json!({
            "guest": "mia", "named": "mia", "keeper": "kim", "board": "talk", "gated": "vault", "room": "hall",
            "token": token, "cookies": cookies,
        });
        look(&site, "look_operating.mjs", asked, &seen);
        let audited = std::fs::read_to_string(site.hub.data.join("audit.jsonl")).unwrap_or_default();
        for line in ["account shop", "operator, as house/ann", "invited", "room pantry", "credential rotated"]
        {
            assert!(audited.contains(line), "{line}: {audited}");
        }
        assert!(!audited.contains(&token), "no secret is written down");
    }
}

#[test]
fn a_room_is_administered_by_who_may_and_by_nobody_else() {
    needs!(Need::Program("chromium"), Need::Node);
    let site = rooms(true);
    let seen = [
        "a room is configured by keyboard",
        "what is wrong is said in the server's words",
        "who is second is told and overwrites nothing",
        "rights are given and taken back",
        "a role in the room is given and taken back",
        "a credential is revoked and a role set",
        "the audit log is filtered",
        "who administers nothing is shown nothing and refused",
        "who is away has a name",
    ];
    let asked = json!({ "guest": "mia", "keeper": "kim", "board": "talk", "spare": "pump" });
    look(&site, "look_administration.mjs", asked, &seen);
}
