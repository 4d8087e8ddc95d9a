//! One instance of the bus, as every edge and every hub is one.
//!
//! It owns what happens between a door and the rooms: the gate before a connection, the MQTT session that it
//! may take up, and the order in which its tickets are answered. What always holds: nothing reaches the rooms
//! from a connection that no gate let in, and what waits for a commit (CONNACK of a kept session, SUBACK,
//! PUBCOMP) leaves after that commit. Uplinks and the hub's ends of links are elsewhere, in the two tiers' cores.
//!
//! Read [`instance`] first, then [`connection`].

mod connection;
pub mod core;
pub mod instance;
mod log_fold;
mod system;

pub use crate::core::Core;
pub use instance::{
    Became, Broadcast, Broadcasted, Connected, Input, Instance, Output, Reached, Wake, Wanted,
};
pub use log_fold::LogFold;
