//! The MQTT door: MQTT 3.1.1 and 5 on one port, as a pure state machine over `riser_model::door`.
//!
//! It owns the protocol of one connection: packets in, entries out, acknowledgements in receive order and only
//! for what is on disk; deliveries within the peer's limits. It has no session of its own beyond the connection:
//! [`Sessions`] folds those from the log, on the bus's side. Rights, rooms and names are the bus's business.
//!
//! Read [`door`] first (what a connection goes through), then [`session`] (what its packets do), then
//! [`sessions`] (what a restart must not forget).
#![warn(clippy::indexing_slicing)]

mod acks;
mod aliases;
mod answer;
mod auth;
mod config;
mod connect;
mod control;
mod counters;
mod deliver;
mod door;
mod fault;
mod fields;
mod filters;
mod finishing;
mod frame;
mod intake;
mod outbox;
mod outgoing;
mod own;
mod peer;
mod property;
mod publish;
mod pull;
mod received;
mod record;
mod reports;
mod session;
mod sessions;
mod subscribe;
mod subscription;
mod subscriptions;
mod system;
mod tallying;
mod topic;
mod v4;
mod v5;
mod walking;

pub use config::Config;
pub use counters::{Count, Counters};
pub use door::MqttDoor;
pub use record::{Record, SavedWill, SessionKey};
pub use sessions::{HandOver, NEVER, OPEN_IDS_MAX, Opening, SESSIONS_MAX, SESSIONS_PER_CLIENT_MAX, Sessions};
