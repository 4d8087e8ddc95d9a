//! `log inspect` and `log verify`, as an operator runs them: on a running edge, on a stopped one, on a copy, and on
//! one whose disk has flipped a bit.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::needs::{Need, needs};
use crate::program::{EVENTUALLY, SOON};
use crate::site::{Node, SENSOR, Site};

/// Publications that are in the log when it is looked into.
const COUNT: u64 = 200;

/// Runs a `log` command of an edge or a hub.
fn log(node: &Node, arguments: &[&str]) -> Output {
    let mut command = node.command(&[&["log"], arguments].concat());
    command.arg("--config").arg(&node.config);
    command.output().expect("the program can be started")
}

/// What a command printed as JSON, line by line, and whether it ended well.
fn json_of(output: &Output) -> (Vec<Value>, bool) {
    let text = String::from_utf8(output.stdout.clone()).expect("programs print UTF-8");
    let lines =
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("JSON: {line}")));
    (lines.collect(), output.status.success())
}

fn only(output: &Output) -> (Value, bool) {
    let (lines, ended_well) = json_of(output);
    assert_eq!(lines.len(), 1, "{}", String::from_utf8_lossy(&output.stderr));
    (lines[0].clone(), ended_well)
}

fn publish(site: &Site, count: u64, rate: u64) -> crate::client::Client {
    let ask =
        json!({ "stream": "s", "topic": "sensors/s", "qos": 1, "count": count, "rate": rate, "window": 1 });
    site.client("publisher", "publish_paho.py", &site.edge, SENSOR, ask)
}

/// The folder's segments and their bytes, oldest first.
fn segments(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(folder).expect("the log has a folder").map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> =
        files.filter(|path| path.to_string_lossy().contains("segment-")).collect();
    segments.sort();
    segments.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn log_commands_tell_what_a_log_holds_running_stopped_copied_and_damaged() {
    needs!(Need::Program("curl"), Need::Python);
    let mut site = Site::start();
    publish(&site, COUNT, 1000).finish(EVENTUALLY);

    // Running, with nothing going on.
    let (log_of_edge, _) = only(&log(&site.edge, &["inspect", "--json"]));
    assert!(log_of_edge["next"].as_u64() > Some(COUNT), "{log_of_edge}");
    assert_eq!(log_of_edge["epochs"].as_array().map(Vec::len), Some(1), "looking begins no epoch");
    let (found, sound) = only(&log(&site.edge, &["verify", "--json"]));
    assert!(sound && found["damages"] == json!([]), "{found}");
    assert!(found["entries"].as_u64() >= Some(COUNT), "{found}");
    let (lines, _) = json_of(&log(&site.edge, &["inspect", "--json", "--entries", "..", "--payload"]));
    let publications = lines.iter().filter(|line| line["channel"] == "sensor/s");
    assert_eq!(publications.clone().count() as u64, COUNT);
    assert!(publications.clone().all(|line| line["data"].is_string() && line["intact"] == true));

    // Running, and writing all the while.
    let publisher = publish(&site, 2000, 1000);
    for _ in 0..12 {
        let (found, sound) = only(&log(&site.edge, &["verify", "--json"]));
        assert!(sound && found["damages"] == json!([]), "{found}");
        let (log_of_edge, _) = only(&log(&site.edge, &["inspect", "--json"]));
        assert_eq!(log_of_edge["log"], found["log"]);
    }
    publisher.finish(EVENTUALLY);
    assert!(site.edge.process().runs(), "it was not disturbed");

    // The hub's log is such a log too, and knows how far it has taken the edge's.
    let taken = || {
        let (log_of_hub, _) = only(&log(&site.hub, &["inspect", "--json"]));
        let cursors = log_of_hub["cursors"].as_array().cloned().unwrap_or_default();
        cursors.iter().any(|cursor| cursor["ingest"]["log"] == log_of_edge["log"])
    };
    assert!(crate::program::wait(SOON, || taken().then_some(())).is_some(), "the hub has a cursor");
    assert!(only(&log(&site.hub, &["verify", "--json"])).1);

    // Stopped: the same, and nothing in the folder changes.
    site.edge.stop();
    let folder = site.edge.data.join("log");
    let before = segments(&folder);
    let (found, sound) = only(&log(&site.edge, &["verify", "--json"]));
    assert!(sound && found["tail"].is_null(), "{found}");
    let text = log(&site.edge, &["inspect"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("cursor uplink to ") && text.contains(", last\n"), "{text}");
    assert_eq!(segments(&folder), before);

    // A copy with a flipped bit, without any configuration.
    let copy = site.folder.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for (path, bytes) in &before {
        fs::write(copy.join(path.file_name().unwrap()), bytes).unwrap();
    }
    let at_copy = |verb: &str| -> Output {
        let mut command: Command = site.edge.command(&["log", verb, "--json", "--folder"]);
        command.arg(&copy).output().unwrap()
    };
    assert!(only(&at_copy("verify")).1);
    let (path, bytes) = &before[0];
    let mut bytes = bytes.clone();
    let at = bytes.windows(8).position(|window| window == b"\"stream\"");
    let at = at.expect("payloads are stored as they came");
    bytes[at] ^= 1;
    fs::write(copy.join(path.file_name().unwrap()), &bytes).unwrap();
    let output = at_copy("verify");
    assert_eq!(output.status.code(), Some(1));
    let (found, _) = only(&output);
    let [damage] = found["damages"].as_array().unwrap().as_slice() else { panic!("{found}") };
    let (first, last) = (damage["first"].as_u64().unwrap(), damage["last"].as_u64().unwrap());
    let place = damage["from"].as_u64().unwrap()..damage["to"].as_u64().unwrap();
    assert!(place.contains(&(at as u64)) && first <= last, "{damage}");
    assert_eq!(damage["file"], path.file_name().unwrap().to_str().unwrap());
    assert!(String::from_utf8_lossy(&output.stderr).contains("damage in 1 places"));
    assert!(only(&at_copy("inspect")).1, "what is left can be looked into");
}

#[test]
fn log_commands_refuse_what_is_no_log_and_say_what_it_is() {
    let site = Site::laid_out(Default::default());
    for verb in ["inspect", "verify"] {
        // Never started: there is no folder yet.
        let output = log(&site.edge, &[verb]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(site.edge.data.join("log").to_str().unwrap()), "{said}");
        assert!(!site.edge.data.join("log").exists(), "looking makes no folder");
        // The data folder instead of the log in it.
        let mut command = site.edge.command(&["log", verb, "--folder"]);
        let output = command.arg(&site.edge.data).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("there is no log here"), "{said}");
    }
}
