//! The hub's core: an instance of the bus with edges below it.
//!
//! It owns the instance, and the receiving end of all links with the ways down on them. What edges bring and get is
//! decided in `riser-ingest`, sockets, threads and clocks are the program's.
#![warn(clippy::indexing_slicing)]

mod hub_core;

pub use hub_core::{HubCore, LinkInput};
pub use riser_ingest::LinkOutput;
