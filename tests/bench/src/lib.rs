//! Riser beside its peers and beside raw loops, in one run.
//!
//! Every claim is a ratio of two medians measured in interleaved rounds of the same run: absolute rates of one
//! machine move too much from hour to hour to mean anything. A peer that is missing is an error in CI, and said
//! elsewhere.
//!
//! Read [`scenario`] for what is measured, [`series`] for how a figure is made, and [`load`] for what drives the
//! servers.

pub mod attack;
pub mod book;
pub mod cable;
pub mod child;
pub mod command;
pub mod core_fan;
pub mod corpus;
pub mod crowd;
pub mod dashboard;
pub mod device;
pub mod fan;
pub mod issuer;
pub mod load;
pub mod memory;
pub mod mqtt;
pub mod nats;
pub mod pace;
pub mod page;
pub mod pair;
pub mod peer;
pub mod rank;
pub mod raw;
pub mod report;
pub mod riser;
pub mod scenario;
pub mod series;
pub mod subscriber;
pub mod websocket;
pub mod witness;
