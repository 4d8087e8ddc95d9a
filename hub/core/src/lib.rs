//! The hub's core: an instance of the bus that takes what edges bring, places it, and says what it made of it.
//!
//! It owns the instance, the receiving end of all links, and the placing between them. What always holds: what an
//! edge brings is placed by the edge's own rights, or goes to its account's quarantine in the commit that moves its
//! cursor; a receiver never waits for a room (rule 7.3). Sockets, threads and clocks are the program's.
//!
//! Read [`HubCore`] first, then [`placing`].
#![warn(clippy::indexing_slicing)]

pub mod downlinks;
pub mod edges;
mod hub_core;
pub mod placing;

pub use downlinks::Downlinks;
pub use edges::{EdgeStatus, LinkState};
pub use hub_core::{HubCore, LinkInput, LinkOutput};
