//! The WebSocket standard, by the cases that everybody holds servers to: Autobahn's, against a hub's raw door.
//!
//! A raw connection that may do both publishes to its channel and hears it: an echo, over the whole way of a message.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::needs::{Need, needs, python, scripts};
use crate::place::Place;
use crate::program::{free_port, output};
use riser_integration::node::Node;

/// Cases that do not apply, and why.
const WITHOUT: &[(&str, &str)] = &[
    // A publication has 256 KiB at most: what is larger is refused, which is a test of its own.
    ("9.1.3", "1 MiB"),
    ("9.1.4", "4 MiB"),
    ("9.1.5", "8 MiB"),
    ("9.1.6", "16 MiB"),
    ("9.2.3", "1 MiB"),
    ("9.2.4", "4 MiB"),
    ("9.2.5", "8 MiB"),
    ("9.2.6", "16 MiB"),
    ("9.3.*", "4 MiB"),
    ("9.4.*", "4 MiB"),
    ("9.5.*", "1 MiB"),
    ("9.6.*", "1 MiB"),
    (
        "9.7.*",
        "a thousand round trips, each of which waits for a commit that nobody hurries: a measure of speed",
    ),
    ("9.8.*", "the same"),
    ("12.*", "compression is not offered"),
    ("13.*", "compression is not offered"),
];
/// How many there are without those.
const CASES: usize = 251;

#[test]
fn websocket_keeps_the_standard_in_every_case_that_applies() {
    needs!(Need::Python);
    let folder = tempfile::tempdir().expect("a folder can be made");
    let executable = PathBuf::from(env!("CARGO_BIN_EXE_test-hub"));
    let mut hub = Node::new("hub", &executable, Place::Here, folder.path());
    hub.write_config(&config(&hub));
    hub.start();
    let without: Vec<&str> = WITHOUT.iter().map(|(case, _)| *case).collect();
    let url = format!("ws://127.0.0.1:{}/acme/echo/said", hub.http);
    let mut command = Command::new(python());
    command.arg(scripts().join("autobahn.py")).arg(json!({ "url": url, "without": without }).to_string());
    let said = output(command);
    let mut verdicts: BTreeMap<String, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for line in said.lines() {
        let result: Value = serde_json::from_str(line).expect("a line for each case");
        let of = |name: &str| result[name].as_str().unwrap_or("?").to_owned();
        // A verdict of NON-STRICT keeps every MUST.
        let keeps = ["OK", "NON-STRICT", "INFORMATIONAL"].contains(&of("verdict").as_str());
        if !keeps || !["OK", "INFORMATIONAL"].contains(&of("closed").as_str()) {
            wrong.push(line);
        }
        *verdicts.entry(of("verdict")).or_default() += 1;
    }
    assert!(wrong.is_empty(), "{} of {CASES}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(verdicts.values().sum::<usize>(), CASES, "{verdicts:?}");
}

/// A hub that lets everybody in to one room.
fn config(hub: &Node) -> String {
    format!(
        "data = {:?}\n[listen]\nhttp = {{ address = \"127.0.0.1:{}\", anonymous = \"acme/guest\" }}\n\
         mqtt = \"127.0.0.1:{}\"\noperations = \"127.0.0.1:{}\"\nlink = \"127.0.0.1:{}\"\n\
         [[account]]\nname = \"acme\"\nid = \"0192f3a4-5b6c-7d8e-9f01-23456789abcd\"\n\
         [[account.room]]\nname = \"echo\"\nhistory = \"none\"\n\
         [[account.user]]\nname = \"guest\"\nrole = \"owner\"\n",
        hub.data,
        hub.http,
        hub.mqtt,
        hub.operations,
        free_port()
    )
}
