//! An edge whose configuration is read again while it runs: what that says of accounts holds at once on every connection, and one
//! that is wrong changes nothing.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::needs::{Need, needs};
use crate::program::{Program, SOON, output, wait};
use crate::site::{ACCOUNT, Node, OWNER, PASSWORD, Plan, READER, SENSOR, Site};
use crate::terminal::Terminal;

/// A room more.
const YARD: &str = "\n[[account.room]]\nname = \"yard\"\n";
/// Within this who lost a right is gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// The lines about this in the edge's audit log, the newest first.
fn audited(edge: &Node, words: &str) -> Vec<Value> {
    let mut command = edge.command(&["audit", "--contains", words]);
    command.arg("--config").arg(&edge.config);
    output(command).lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Has the configuration read again. What came of it.
fn reloads(edge: &mut Node, text: &str) -> String {
    let before = audited(edge, "accounts reloaded").len();
    edge.write_config(text);
    edge.process().signal(Signal::HUP);
    let line = wait(SOON, || audited(edge, "accounts reloaded").into_iter().nth_back(before));
    line.unwrap_or_else(|| panic!("{}", edge.printed()))["result"].as_str().unwrap().to_owned()
}

fn subscriber(site: &Site, name: &str, user: &str) -> Program {
    // To a file it would print in blocks.
    let mut command = site.edge.place.command("stdbuf");
    command.args(["-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", &site.edge.mqtt.to_string()]);
    command.args(["-u", user, "-P", PASSWORD, "-t", "hall/#", "-d"]);
    let mut subscriber = Program::start(name, command, site.folder.path());
    subscriber.wait_printed("Subscribed", SOON);
    subscriber
}

async fn enters(site: &Site, user: &str, room: &str) -> Result<Terminal, Value> {
    let credential = json!({ "user": user, "password": PASSWORD });
    Terminal::program_at(site.edge.http, &format!("/{ACCOUNT}/{room}"), credential).await
}

#[tokio::test]
async fn who_is_taken_out_of_an_edge_s_file_is_closed_when_it_is_read_again_and_others_stay() {
    needs!(Need::Program("curl"), Need::Program("mosquitto_sub"));
    let mut site = Site::laid_out(Plan::default());
    let text = std::fs::read_to_string(&site.edge.config).unwrap();
    // Its log knows a room that is not there at its next start.
    site.edge.write_config(&(text.clone() + YARD));
    site.edge.start();
    let mut owner = enters(&site, OWNER, "yard").await.unwrap();
    let receipt = owner.asks(json!({ "op": "publish", "channel": "gate", "data": "closed" })).await;
    assert!(receipt["ok"].is_object(), "{receipt}");
    site.edge.stop();
    site.edge.write_config(&text);
    site.edge.start();
    let mut goes = subscriber(&site, "goes", READER);
    let mut stays = subscriber(&site, "stays", SENSOR);
    let mut reader = enters(&site, READER, "hall").await.unwrap();
    let mut owner = enters(&site, OWNER, "hall").await.unwrap();
    let answer = owner.asks(json!({ "op": "subscribe", "sub": 5, "technical": "hub" })).await;
    assert!(answer["ok"].is_object(), "{answer}");

    // It may not even listen there any more.
    let role = format!("name = \"{READER}\"");
    let (before, after) = text.split_once(&role).unwrap();
    let writes = format!("{before}{role}{}", after.replacen("role = \"reader\"", "role = \"writer\"", 1));
    let answer = reader.asks(json!({ "op": "subscribe", "sub": 1, "channels": "x/#" })).await;
    assert!(answer["ok"].is_object(), "{answer}");
    assert_eq!(reloads(&mut site.edge, &writes), "done");
    let said = owner.hears("configuration_changed").await;
    assert!(!said.contains(READER), "{said}");
    let receipt = owner.asks(json!({ "op": "publish", "channel": "x/y", "data": "not for it" })).await;
    assert!(receipt["ok"].is_object(), "{receipt}");
    reader.say(&json!({ "op": "whoami", "id": 9 }).to_string()).await;
    loop {
        let said = reader.json().await;
        assert_ne!(said["ev"], "msg", "{said}");
        if said["re"] == 9 {
            break;
        }
    }
    let answer = reader.asks(json!({ "op": "subscribe", "sub": 2, "channels": "x/#" })).await;
    assert_eq!(answer["error"]["code"], "denied", "{answer}");

    // It is nobody's any more; somebody else comes, and a room.
    let without = writes.replace(&role, "name = \"newcomer\"") + YARD;
    let began = Instant::now();
    assert_eq!(reloads(&mut site.edge, &without), "done");
    while reader.heard().await.is_some() {}
    let ended = wait(GONE_WITHIN, || goes.status());
    assert!(ended.is_some_and(|status| !status.success()), "{}", goes.printed());
    assert!(began.elapsed() < GONE_WITHIN, "{:?}", began.elapsed());
    assert!(enters(&site, READER, "hall").await.is_err());
    enters(&site, "newcomer", "yard").await.unwrap();
    let receipt = owner.asks(json!({ "op": "publish", "channel": "x/y", "data": "still here" })).await;
    assert!(receipt["ok"].is_object(), "{receipt}");
    stays.wait_printed("still here", SOON);
    assert!(stays.runs() && !stays.printed().contains("DISCONNECT"), "{}", stays.printed());
    // What gates did is written within ten seconds.
    let is_revoked = || audited(&site.edge, "revoked").iter().any(|line| line["who"] == READER).then_some(());
    assert!(wait(SOON, is_revoked).is_some(), "{:?}", audited(&site.edge, ""));
    assert_eq!(site.edge.metric("riser_account_changes", ""), Some(2.0));

    // The hub takes what is said there, though the room was not there when the link began.
    site.hub.write_config(&(std::fs::read_to_string(&site.hub.config).unwrap() + YARD));
    site.hub.start();
    let mut owner = enters(&site, OWNER, "yard").await.unwrap();
    let receipt = owner.asks(json!({ "op": "publish", "channel": "gate", "data": "open" })).await;
    assert!(receipt["ok"].is_object(), "{receipt}");
    let credential = json!({ "user": OWNER, "password": PASSWORD });
    let mut there = Terminal::program(&site, &format!("/{ACCOUNT}/yard"), credential).await.unwrap();
    there.asks(json!({ "op": "subscribe", "sub": 1, "channels": "#", "from": "start" })).await;
    there.hears("\"open\"").await;
}

#[tokio::test]
async fn edge_s_file_that_is_wrong_changes_nothing_when_it_is_read_again_and_says_where() {
    needs!(Need::Program("curl"), Need::Program("mosquitto_sub"));
    let mut site = Site::laid_out(Plan::default());
    site.edge.start();
    let text = std::fs::read_to_string(&site.edge.config).unwrap();
    let mut stays = subscriber(&site, "stays", READER);
    let role = format!("name = \"{READER}\"");
    let without = text.replace(&role, "name = \"newcomer\"");
    let unlinked = text.replacen("name = \"hall\"\n", "name = \"hall\"\nlinked = false\n", 1);
    for (wrong, why) in [
        (without.replacen("role = \"owner\"", "role = \"king\"", 1), "role"),
        (without.replacen("topics = \"sensors/#\"", "topics = \"sensors/#\"\nrooom = \"hall\"", 1), "rooom"),
        (without.clone() + "\n[[account", "TOML"),
        (without.replacen("room = \"hall\"", "room = \"nowhere\"", 1), "binding[0].room"),
        // A part of it that no running edge takes.
        (unlinked, &format!("account[{ACCOUNT}].room[hall].linked")),
    ] {
        let result = reloads(&mut site.edge, &wrong);
        assert!(result.starts_with("not done: ") && result.contains(why), "{why}: {result}");
        assert_eq!(site.edge.metric("riser_configuration_refused", ""), Some(1.0));
        assert!(enters(&site, "newcomer", "hall").await.is_err(), "{why}");
        enters(&site, READER, "hall").await.unwrap();
    }
    assert!(stays.runs() && !stays.printed().contains("DISCONNECT"), "{}", stays.printed());
    assert_eq!(site.edge.metric("riser_account_changes_refused", ""), Some(5.0));
    assert!(site.edge.printed().contains("binding[0].room"));

    // What else is said waits for the next start, and that is said.
    let more = format!("limits.connections = 77\n{without}");
    assert_eq!(reloads(&mut site.edge, &more), "done; with the next start: limits");
    assert_eq!(site.edge.metric("riser_configuration_refused", ""), Some(0.0));
    assert!(wait(GONE_WITHIN, || stays.status()).is_some(), "{}", stays.printed());

    // A start with a file that is wrong goes by what was taken last, and lets nobody in again.
    site.edge.stop();
    site.edge.write_config(&format!("data = {:?}\nnonsense = 1\n", site.edge.data));
    site.edge.start();
    assert!(enters(&site, READER, "hall").await.is_err());
    enters(&site, "newcomer", "hall").await.unwrap();
}
