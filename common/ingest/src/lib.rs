//! The edges below an instance: takes what they bring, places it, and sends them what goes down.
//!
//! It owns the receiving end of all their links, the ways down, and the placing between them. What always holds: what an
//! edge brings is placed by the edge's own rights, or goes to its account's quarantine in the commit that moves its
//! cursor; a receiver never waits for a room (rule 7.3). The instance is the core's, of whichever tier.
//!
//! Read [`Below`] first, then [`placing`].
#![warn(clippy::indexing_slicing)]

mod below;
pub mod downlinks;
pub mod edges;
mod owed;
pub mod placing;
mod refused;
mod tree;

pub use below::{Below, LinkInput, LinkOutput};
pub use downlinks::{Downlinks, TICKETS_FROM};
pub use edges::{EdgeStatus, LinkState};
pub use tree::BranchStatus;
