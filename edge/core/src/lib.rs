//! The edge's core: an instance of the bus whose log goes up its uplinks, into which comes what hubs send down, and what
//! edges below it bring.
//!
//! It owns the instance, the edges below and both ends of each uplink, and feeds the one's commits to the others. What always holds: a
//! sender sees only what is committed, and what it reads comes from the tail in memory where that reaches, from
//! the disk where it does not. Sockets, threads and clocks are the program's.
//!
//! Read [`EdgeCore`] first, then [`uplink`].

mod asking;
pub mod downlink;
mod edge_core;
mod shy;
mod telling;
pub mod uplink;

pub use downlink::Downlink;
pub use edge_core::{EdgeCore, Former, LinkInput, LinkOutput};
pub use uplink::{Uplink, UplinkNumber};
