//! Delivery between an edge's log and a hub's: exactly once, in order, over any sequence of cuts, crashes,
//! duplicates and restored backups (promise 2), and nothing lost silently (promise 3).
//!
//! Everything here is pure: inputs in, effects out, deadlines by name; no socket, no disk, no clock, no
//! randomness of its own. The socket's task turns messages into frames (`riser-wire`'s `link::message`), the
//! cores on both sides own the logs.
//!
//! Read [`sender`] first (the edge's end of one uplink), then [`receivers`] (the hub's end of all of them). The
//! two meet in [`pair`], a test harness with two reference logs and a network that fails on purpose.
#![warn(clippy::indexing_slicing)]

mod backoff;
mod canary;
mod chain;
mod clock;
mod equation;
mod flow;
mod fork;
mod former;
mod handshake;
mod latest;
mod packer;
mod presents;
mod ranges;
mod registry;
mod status;
mod window;

pub mod pair;
pub mod receivers;
pub mod sender;

pub use clock::Off;
pub use equation::Tally;
pub use handshake::Key;
pub use presents::Present;
pub use receivers::{Ingest, Receivers, Registered};
pub use registry::{FORGOTTEN, Progress};
pub use sender::{LinkEvent, Sender};
pub use status::Status;
