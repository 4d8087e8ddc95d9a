//! Riser beside its peers and beside raw loops, in one run.
//!
//! Every figure is a ratio of two medians measured in interleaved rounds of the same run: absolute rates of one
//! machine move too much from hour to hour to mean anything. A peer that is missing is an error.
//!
//! Read [`series`] for how a figure is made and [`load`] for what drives the servers.

pub mod corpus;
pub mod device;
pub mod load;
pub mod memory;
pub mod nats;
pub mod peer;
pub mod raw;
pub mod series;
