//! What the pure crates may depend on: a list of what is allowed, so that a new dependency is a decision.

use cargo_metadata::DependencyKind;

use super::{expect_none, workspace};

/// The crates that decide: no I/O, no clock, no randomness, no runtime.
pub const PURE: [&str; 11] = [
    "riser-model",
    "riser-wire",
    "riser-log",
    "riser-link",
    "riser-mqtt",
    "riser-rooms",
    "riser-gate",
    "riser-instance",
    "riser-ingest",
    "riser-edge-core",
    "riser-hub-core",
];

/// Computation only.
const ALLOWED: [&str; 13] = [
    "base64",
    "bytes",
    "ciborium",
    "crc32c",
    "ed25519-dalek",
    "fastrand",
    "memchr",
    "postcard",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
    "uuid",
];

/// One crate's own exception, and why it is one.
const EXCEPTIONS: [(&str, &str); 2] = [
    // Its codec is two modules of a client library; the client in it is never used.
    ("riser-mqtt", "rumqttc"),
    // A pure function of salt and password; it is called off the I/O threads, never inside `handle`.
    ("riser-gate", "argon2"),
];

/// Allowed beside those in a pure crate's own tests: generated cases, and settings as the programs read them.
const ALLOWED_IN_TESTS: [&str; 2] = ["figment", "proptest"];

/// Never in a pure crate, not even through another dependency.
const BANNED: [&str; 14] = [
    "async-std",
    "axum",
    "figment",
    "futures-util",
    "hyper",
    "mio",
    "redb",
    "rustix",
    "rustls",
    "sled",
    "socket2",
    "tempfile",
    "tokio",
    "tokio-tungstenite",
];

#[test]
fn pure_crates_depend_only_on_computation() {
    let own = workspace::own();
    let mut violations = Vec::new();
    for name in PURE {
        let package = own[name];
        for import in workspace::direct(package, &[DependencyKind::Normal, DependencyKind::Build]) {
            if !import.starts_with("riser-")
                && !ALLOWED.contains(&import.as_str())
                && !EXCEPTIONS.contains(&(name, &import))
            {
                violations
                    .push(format!("{name} depends on {import}, which purity.rs does not allow a pure crate"));
            }
        }
        for import in workspace::direct(package, &[DependencyKind::Development]) {
            if !import.starts_with("riser-")
                && !ALLOWED.contains(&import.as_str())
                && !ALLOWED_IN_TESTS.contains(&import.as_str())
            {
                violations
                    .push(format!("the tests of {name} depend on {import}, which purity.rs does not allow"));
            }
        }
        let reachable = workspace::reachable(package, &["rumqttc"]);
        for banned in BANNED {
            if let Some(way) = reachable.get(banned) {
                violations.push(format!("{banned} reaches a pure crate: {way}"));
            }
        }
    }
    expect_none("dependencies of the pure crates", &violations);
}

#[test]
fn mqtt_codec_comes_without_the_clients_extras() {
    let own = workspace::own();
    let mut violations = Vec::new();
    for dependency in own.values().flat_map(|package| &package.dependencies) {
        if dependency.name == "rumqttc" && dependency.uses_default_features {
            violations.push("a dependency on rumqttc has its default features on: turn them off".to_owned());
        }
    }
    expect_none("features of rumqttc", &violations);
}
