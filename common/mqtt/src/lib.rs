//! The MQTT door: MQTT 3.1.1 and 5 on one port, as a pure state machine over `riser_model::door`.
//!
//! It owns the protocol of one connection: packets in, entries out, acknowledgements in receive order and only
//! for what is on disk; deliveries within the peer's limits. It has no session of its own beyond the connection:
//! [`Sessions`] folds those from the log, on the bus's side. Rights, rooms and names are the bus's business.
//!
//! Read [`sessions`] first (what a restart must not forget).
#![warn(clippy::indexing_slicing)]

mod config;
mod counters;
mod fault;
mod fields;
mod frame;
mod property;
pub mod record;
pub mod sessions;
mod topic;

pub use config::Config;
pub use counters::{Count, Counters};
pub use record::Record;
pub use sessions::Sessions;
