//! The demo: unattended with its verdict, and its page in a browser.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::client::{Client, History};
use crate::needs::{Need, find, needs};
use crate::place::Place;
use crate::program::{Program, SOON, wait};

/// A run of 20 seconds, its start, its end, and what a slow machine adds.
const RUN: Duration = Duration::from_secs(120);
/// A demo listens on the usual ports, also on those of an edge that it has just killed: one at a time.
static USUAL_PORTS: Mutex<()> = Mutex::new(());
/// A browser on two cores takes its time.
const LOOK: Duration = Duration::from_secs(240);

fn alone() -> MutexGuard<'static, ()> {
    USUAL_PORTS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn demo(arguments: &[&str]) -> std::process::Command {
    let mut command = Place::Here.command(env!("CARGO_BIN_EXE_test-demo"));
    command.args(arguments).env("RUST_BACKTRACE", "1");
    command
}

#[test]
fn unattended_demo_loses_nothing_and_its_numbers_add_up() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let mut run = Program::start("demo", demo(&["--seconds", "20", "--json"]), folder.path());
    let status = run.ended(RUN);
    let printed = run.printed();
    assert!(status.success(), "{status}\n{printed}");
    let last = printed.lines().rev().find(|line| line.starts_with('{')).expect("it prints a verdict");
    let verdict: Value = serde_json::from_str(last).expect("the verdict is JSON");
    let number = |name: &str| verdict[name].as_u64().unwrap_or_else(|| panic!("{name} is missing in {last}"));
    assert_eq!((number("lost"), number("duplicated"), number("reordered")), (0, 0, 0), "{last}");
    assert_eq!(number("accepted"), number("synced") + number("queued") + number("gapped"), "{last}");
    assert!(number("accepted") >= 5000, "{last}");
    // The releases of QoS 2 are entries too, and are nobody's to deliver.
    assert!(number("delivered") * 3 >= number("accepted"), "{last}");
    // One edge was killed with publications under way: someone had to send again.
    assert!(verdict["resent"].is_u64(), "{last}");
}

#[test]
fn unattended_demo_of_three_tiers_survives_the_middle_one() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let asked = ["--tiers", "3", "--seconds", "20", "--json"];
    let mut run = Program::start("demo", demo(&asked), folder.path());
    let status = run.ended(RUN);
    let printed = run.printed();
    assert!(status.success(), "{status}\n{printed}");
    assert!(printed.contains("SIGKILL for region"), "{printed}");
    let last = printed.lines().rev().find(|line| line.starts_with('{')).expect("it prints a verdict");
    let verdict: Value = serde_json::from_str(last).expect("the verdict is JSON");
    let number = |name: &str| verdict[name].as_u64().unwrap_or_else(|| panic!("{name} is missing in {last}"));
    assert_eq!((number("lost"), number("duplicated"), number("reordered")), (0, 0, 0), "{last}");
    assert_eq!(number("accepted"), number("synced") + number("queued") + number("gapped"), "{last}");
    assert!(number("delivered") >= 1000, "{last}");
}

#[test]
fn page_shows_the_cut_the_hole_and_the_catching_up() {
    needs!(Need::Program("chromium"), Need::Node);
    let _alone = alone();
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let mut run = Program::start("demo", demo(&[]), folder.path());
    run.wait_printed("http://", SOON);
    let printed = run.printed();
    let url =
        printed.split_whitespace().find(|word| word.starts_with("http://")).expect("it prints the page");
    let history = History::default();
    let chromium = find("chromium").expect("it is there");
    // Outside the test's folder, which goes with it.
    let picture = std::env::temp_dir().join("riser-page-failed.png");
    let asked = json!({ "url": url, "chromium": chromium, "picture": picture });
    let look = Client::start("page", "page.mjs", &Place::Here, &asked, &history, folder.path());
    look.finish(LOOK);
    for seen in [
        "cells move",
        "people and feed",
        "phone",
        "link is not flowing",
        "hole",
        "catching up",
        "how far behind",
        "hole filled",
        "nothing left to do",
        "done",
    ] {
        assert!(history.ledger().has_mark(&format!("page {seen}")), "{seen}: {}", history.ledger().summary());
    }
    run.signal(Signal::TERM);
    run.ended(SOON);
}

#[test]
fn killed_demo_leaves_no_edge_behind() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let mut run = Program::start("demo", demo(&[]), folder.path());
    run.wait_printed("mosquitto_pub ", SOON);
    let edges = run.children();
    assert_eq!(edges.len(), 2, "a child process for each edge");
    run.kill();
    let gone = |pid: &String| !std::path::Path::new("/proc").join(pid).exists();
    let all_gone = wait(SOON, || edges.iter().all(gone).then_some(()));
    assert!(all_gone.is_some(), "they still run: {edges:?}");
}

#[test]
fn mosquitto_pub_line_works_as_printed() {
    needs!(Need::Program("mosquitto_pub"), Need::Program("sh"));
    let _alone = alone();
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let mut run = Program::start("demo", demo(&[]), folder.path());
    run.wait_printed("mosquitto_pub ", SOON);
    let printed = run.printed();
    let at = printed.find("mosquitto_pub ").expect("it was printed");
    let line = printed[at..].lines().next().expect("a line has an end");
    let mut publish = Place::Here.command("sh");
    publish.args(["-e", "-c", line]);
    crate::program::output(publish);
    let printed = run.printed();
    assert!(!printed.contains("WARN"), "everybody finds whom it dials: {printed}");
}

#[test]
fn scripts_of_the_page_pass_their_own_tests() {
    needs!(Need::Program("node"));
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hub/assets/test");
    let mut tests = Place::Here.command("node");
    tests.arg("--test");
    let found = std::fs::read_dir(&folder).expect("the page has tests");
    let files = found.map(|file| file.expect("the folder can be read").path());
    tests.args(files.filter(|file| file.to_string_lossy().ends_with(".test.js")));
    let said = crate::program::output(tests);
    assert!(said.contains("pass") && !said.contains("# pass 0"), "{said}");
}
