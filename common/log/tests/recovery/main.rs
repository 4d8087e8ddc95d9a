//! Recovery, place by place: one written log, and everything that can become of its bytes and of its calls.
//!
//! Each run is a fixed script with small segments, so that a run is milliseconds and every place of it can be
//! tried. What must be there afterwards is computed beside the log: by the model from what was acknowledged, and
//! for damage from the image itself, by a parser of its own.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod crashes;
mod failures;
mod flips;
mod layout;
mod looked_at;
mod script;
mod torn;
mod written;
