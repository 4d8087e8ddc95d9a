//! SIGKILL, SIGSTOP and SIGTERM in mid stream, at either side: the ledger is clean afterwards.

use serde_json::json;

use rustix::process::Signal;

use crate::client::Client;
use crate::needs::{Need, needs};
use crate::program::{EVENTUALLY, SOON};
use crate::site::{SENSOR, Site};

/// Publications per run, at a pace that leaves most of them for after the fault.
const COUNT: u64 = 1500;
const RATE: u64 = 400;

fn publisher(site: &Site, qos: u8) -> Client {
    let ask = json!({ "stream": "s", "topic": "sensors/s", "qos": qos, "count": COUNT, "rate": RATE, "version": 4 });
    // Not paho: when an attempt to reconnect fails, it forgets that a publication was released and sends it anew.
    site.client("publisher", "publish_mqttjs.mjs", &site.edge, SENSOR, ask)
}

/// Waits until the reader at the hub has at least that many.
fn wait_for(site: &Site, count: u64) {
    site.history.wait(&format!("{count} delivered"), EVENTUALLY, |ledger| ledger.delivered("board") >= count);
}

/// Waits for the rest, and judges the whole.
fn settle(site: &Site, publisher: Client) {
    publisher.finish(EVENTUALLY);
    wait_for(site, COUNT);
    let ledger = site.history.ledger();
    let verdict = ledger.verdict("board");
    assert!(verdict.is_clean(), "{verdict:?}");
    assert!(!ledger.has_mark("board torn"), "a push did not continue where the last one ended");
    assert!(ledger.gaps("board").is_empty(), "{:?}", ledger.gaps("board"));
}

#[test]
fn killed_edge_loses_and_repeats_nothing() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let mut site = Site::start();
    let _board = site.dashboard("board", &site.hub, "hall", json!({}));
    site.history.wait_mark("board ready", SOON);
    let publisher = publisher(&site, 2);
    for upto in [150, 500, 900] {
        wait_for(&site, upto);
        site.edge.kill();
        site.edge.start();
    }
    settle(&site, publisher);
}

#[test]
fn killed_hub_loses_and_repeats_nothing() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let mut site = Site::start();
    let _board = site.dashboard("board", &site.hub, "hall", json!({}));
    site.history.wait_mark("board ready", SOON);
    let publisher = publisher(&site, 2);
    for upto in [150, 500, 900] {
        wait_for(&site, upto);
        site.hub.kill();
        site.hub.start();
    }
    settle(&site, publisher);
}

#[test]
fn killed_together_they_lose_and_repeat_nothing() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let mut site = Site::start();
    let _board = site.dashboard("board", &site.hub, "hall", json!({}));
    site.history.wait_mark("board ready", SOON);
    let publisher = publisher(&site, 2);
    wait_for(&site, 300);
    site.edge.kill();
    site.hub.kill();
    site.edge.start();
    site.hub.start();
    settle(&site, publisher);
}

#[test]
fn qos_1_through_a_killed_edge_is_at_least_once_and_in_order() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let mut site = Site::start();
    let _board = site.dashboard("board", &site.hub, "hall", json!({}));
    site.history.wait_mark("board ready", SOON);
    let publisher = publisher(&site, 1);
    wait_for(&site, 300);
    site.edge.kill();
    site.edge.start();
    publisher.finish(EVENTUALLY);
    wait_for(&site, COUNT);
    let verdict = site.history.ledger().verdict("board");
    assert!(verdict.is_clean_but_for_resent(), "{verdict:?}");
    // One publication was unacknowledged when the edge died, so the device resent at most that one.
    assert!(verdict.duplicated <= 1, "{verdict:?}");
}

#[test]
fn frozen_hub_is_left_and_found_again() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let mut site = Site::start();
    let _board = site.dashboard("board", &site.hub, "hall", json!({}));
    site.history.wait_mark("board ready", SOON);
    let publisher = publisher(&site, 2);
    wait_for(&site, 200);
    site.hub.process().signal(Signal::STOP);
    // The edge takes everything meanwhile, and gives the silent link up.
    publisher.finish(EVENTUALLY);
    let edge = &site.edge;
    let queues = crate::program::wait(SOON, || edge.equation().filter(|[_, _, queued, _]| *queued > 100.0));
    assert!(queues.is_some(), "the edge queues: {:?}", edge.equation());
    site.hub.process().signal(Signal::CONT);
    wait_for(&site, COUNT);
    let verdict = site.history.ledger().verdict("board");
    assert!(verdict.is_clean(), "{verdict:?}");
}

#[test]
fn graceful_end_says_where_it_stopped_and_goes_on_from_there() {
    needs!(Need::Program("curl"), Need::Python, Need::Node);
    let mut site = Site::start();
    let _board = site.dashboard("board", &site.hub, "hall", json!({ "technical": "room" }));
    site.history.wait_mark("board ready", SOON);
    let publisher = publisher(&site, 2);
    wait_for(&site, 200);
    site.edge.stop();
    site.edge.start();
    wait_for(&site, 700);
    site.hub.stop();
    // The dashboard was told to come back, and when.
    site.history.wait_mark("board closed 4000", SOON);
    site.hub.start();
    settle(&site, publisher);
}

/// Runs a program so that its calls of `fdatasync` meet a fault. The program stays the test's own child.
fn with_fault(fault: &str) -> Vec<String> {
    let inject = format!("inject=fdatasync:{fault}");
    ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", &inject]
        .map(str::to_owned)
        .into()
}

#[test]
fn edge_killed_in_the_nth_sync_loses_and_repeats_nothing() {
    needs!(Need::Program("strace"), Need::Program("curl"), Need::Python, Need::Node);
    let mut site = Site::start();
    let _board = site.dashboard("board", &site.hub, "hall", json!({}));
    site.history.wait_mark("board ready", SOON);
    let publisher = publisher(&site, 2);
    wait_for(&site, 50);
    for nth in [20, 57, 130] {
        site.edge.stop();
        site.edge.under = with_fault(&format!("signal=KILL:when={nth}"));
        site.edge.launch();
        site.edge.process().ended(EVENTUALLY);
        site.edge.under = vec![];
        site.edge.start();
    }
    settle(&site, publisher);
}

#[test]
fn failed_sync_is_survived_and_nothing_is_acknowledged_twice_or_lost() {
    needs!(Need::Program("strace"), Need::Program("curl"), Need::Python, Need::Node);
    let mut site = Site::laid_out(crate::site::Plan::default());
    site.hub.start();
    site.edge.under = with_fault("error=EIO:when=40");
    site.edge.start();
    let _board = site.dashboard("board", &site.hub, "hall", json!({}));
    site.history.wait_mark("board ready", SOON);
    let publisher = publisher(&site, 2);
    settle(&site, publisher);
    let failures = site.edge.metric("riser_log_failures", "");
    assert!(failures >= Some(1.0), "the fault was met: {failures:?}");
}
