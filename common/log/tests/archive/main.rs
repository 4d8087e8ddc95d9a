//! Archived rooms, replayed beyond what their log keeps: over crashes at every call of either disk, over damage
//! anywhere, over failures, and after either disk went back to an older image.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod damage;
mod elsewhere;
mod merging;
mod replay;
mod rooms;
mod space;
#[path = "../support/mod.rs"]
mod support;
mod world;
