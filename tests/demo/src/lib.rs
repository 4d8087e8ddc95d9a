//! The demo: the main job from one command, checked by something that trusts none of it.
//!
//! Read [`ledger`] for what is checked and [`sensor`] and [`subscriber`] for who tells it.

pub mod child;
pub mod folder;
pub mod forwarder;
pub mod ledger;
pub mod ports;
pub mod readings;
pub mod sensor;
pub mod subscriber;

/// The hidden first argument that makes this binary an edge.
pub const EDGE_COMMAND: &str = "edge-process";
