//! Rules of the log that no other test is named after, one by one.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../recovery/layout.rs"]
#[allow(dead_code, reason = "each test binary uses its part")]
mod layout;
#[path = "../support/mod.rs"]
mod support;

mod commits;
mod kept;
mod long;
mod recording;
mod room;
