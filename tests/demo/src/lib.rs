//! The demo: the main job from one command, checked by something that trusts none of it.
//!
//! Read [`demo`] first (what happens), then [`ledger`] (what is checked) and [`sensor`] and [`subscriber`] (who
//! tells it).

pub mod child;
pub mod command;
pub mod demo;
pub mod folder;
pub mod forwarder;
pub mod ledger;
pub mod metrics;
pub mod plan;
pub mod ports;
pub mod readings;
pub mod sensor;
pub mod site;
pub mod subscriber;

pub use command::main;

/// The hidden first argument that makes this binary an edge.
pub const EDGE_COMMAND: &str = "edge-process";
