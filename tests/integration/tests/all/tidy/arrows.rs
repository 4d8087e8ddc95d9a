//! Who may import whom among our own crates. A new crate is refused until it has a line here.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::DependencyKind;

use super::{expect_none, workspace};

const MODEL: &[&str] = &["riser-model"];
const WIRE: &[&str] = &["riser-model", "riser-wire"];
/// What an instance of the bus is composed of; these five never import each other.
const SIBLINGS: &[&str] = &["riser-log", "riser-link", "riser-mqtt", "riser-rooms", "riser-gate"];
const INSTANCE: &[&str] = &["riser-instance"];
/// The edges below an instance.
const BELOW: &[&str] = &["riser-ingest"];
/// Sockets, and what a process does around its work.
const GLUE: &[&str] = &["riser-net", "riser-shell"];
/// The one task that drives a core with them.
const HOST: &[&str] = &["riser-host"];
const CORES: &[&str] = &["riser-edge-core", "riser-hub-core"];
const PROGRAMS: &[&str] = &["riser-edge", "riser-hub"];
/// Scenarios, as data.
const TIMELINE: &[&str] = &["riser-timeline"];

/// What each of our crates may import of our own.
fn arrows() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let rows: &[(&str, &[&[&str]])] = &[
        ("riser-model", &[]),
        ("riser-wire", &[MODEL]),
        ("riser-log", &[WIRE]),
        ("riser-link", &[WIRE]),
        ("riser-mqtt", &[WIRE]),
        ("riser-rooms", &[WIRE]),
        ("riser-gate", &[WIRE]),
        ("riser-instance", &[WIRE, SIBLINGS]),
        ("riser-ingest", &[WIRE, SIBLINGS, INSTANCE]),
        ("riser-edge-core", &[WIRE, SIBLINGS, INSTANCE, BELOW]),
        ("riser-hub-core", &[WIRE, SIBLINGS, INSTANCE, BELOW]),
        ("riser-net", &[WIRE, SIBLINGS, INSTANCE]),
        ("riser-shell", &[WIRE, SIBLINGS, INSTANCE]),
        ("riser-host", &[WIRE, SIBLINGS, INSTANCE, BELOW, GLUE]),
        ("riser-edge", &[WIRE, SIBLINGS, INSTANCE, BELOW, GLUE, HOST, &["riser-edge-core"]]),
        ("riser-hub", &[WIRE, SIBLINGS, INSTANCE, BELOW, GLUE, HOST, &["riser-hub-core"]]),
        // What happens in a scenario, and nothing of those to whom it happens.
        ("riser-timeline", &[]),
        // The simulator drives decisions, never sockets or disks.
        ("riser-sim", &[WIRE, SIBLINGS, INSTANCE, BELOW, CORES, TIMELINE]),
        // Parsers, what is folded from a log, an edge's configuration and its sources.
        ("riser-fuzz", &[WIRE, SIBLINGS, INSTANCE, GLUE, &["riser-edge"]]),
        ("riser-demo", &[WIRE, SIBLINGS, INSTANCE, GLUE, HOST, CORES, PROGRAMS]),
        // It runs the programs, the demo among them, from bins of its own.
        ("riser-integration", &[WIRE, SIBLINGS, INSTANCE, GLUE, HOST, CORES, PROGRAMS, &["riser-demo"]]),
        // It meets the programs as processes, through what the integration tests run them with.
        ("riser-chaos", &[PROGRAMS, TIMELINE, &["riser-integration"]]),
        // The programs' own async code, and the clients and the ledger of real processes.
        ("riser-turmoil", &[PROGRAMS, &["riser-shell", "riser-chaos", "riser-integration"]]),
        ("riser-bench", &[WIRE, SIBLINGS, INSTANCE, GLUE, HOST, CORES, PROGRAMS]),
    ];
    rows.iter().map(|(name, sets)| (*name, sets.concat().into_iter().collect())).collect()
}

#[test]
fn imports_between_our_crates_follow_the_arrows() {
    let arrows = arrows();
    let mut violations = Vec::new();
    for (name, package) in workspace::own() {
        let Some(allowed) = arrows.get(name) else {
            violations.push(format!("{name} has no line in arrows.rs: say what it may import"));
            continue;
        };
        let kinds = [DependencyKind::Normal, DependencyKind::Build, DependencyKind::Development];
        for import in workspace::direct(package, &kinds) {
            if import.starts_with("riser-") && !allowed.contains(import.as_str()) && import != name {
                violations.push(format!("{name} imports {import}; it may import {allowed:?}"));
            }
        }
    }
    expect_none("imports between our crates", &violations);
}

#[test]
fn edge_is_built_without_the_hubs_weight() {
    let own = workspace::own();
    let mut violations = Vec::new();
    for edge in ["riser-edge", "riser-edge-core"] {
        let reachable = workspace::reachable(own[edge], &[]);
        for banned in ["sled", "axum", "riser-hub", "riser-hub-core", "rumqttd"] {
            if let Some(way) = reachable.get(banned) {
                violations.push(format!("{banned} is built into {edge}: {way}"));
            }
        }
    }
    for hub in ["riser-hub", "riser-hub-core"] {
        let reachable = workspace::reachable(own[hub], &[]);
        for banned in ["riser-edge", "riser-edge-core", "rumqttd"] {
            if let Some(way) = reachable.get(banned) {
                violations.push(format!("{banned} is built into {hub}: {way}"));
            }
        }
    }
    expect_none("what is built into the programs", &violations);
}
