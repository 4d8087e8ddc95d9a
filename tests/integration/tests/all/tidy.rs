//! The workspace's rules about itself, read from `cargo metadata`, the manifests and the sources. Every
//! test lists all of its violations at once, each with the place and what would be right.

mod arrows;
mod clippy_files;
mod compatibility;
mod events;
mod licences;
mod manifests;
mod purity;
mod runs;
mod sources;
mod statements;
mod workspace;

/// Whether the workspace has a package of that name.
pub fn has_package(name: &str) -> bool {
    workspace::own().contains_key(name)
}

/// Fails with every violation, one per line.
fn expect_none(rule: &str, violations: &[String]) {
    assert!(
        violations.is_empty(),
        "{rule}: {} violation(s)\n  {}",
        violations.len(),
        violations.join("\n  ")
    );
}
