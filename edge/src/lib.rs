//! riser-edge: takes custody of what a site's devices publish and delivers it to a hub.
//!
//! The program around the edge's core: configuration, listeners, uplink sockets, metrics. Read [`edge`] first: it
//! puts the parts together; what they do is in `riser-edge-core`.

pub mod command;
pub mod config;
pub mod edge;
mod former;
mod reload;
mod site;
pub mod sources;
mod status;
mod uplinks;
mod vouched;

pub use command::main;
pub use config::EdgeConfig;
pub use edge::Edge;
