//! The bus of an instance: rooms and channels over one log, and a cursor for everybody who reads.
//!
//! A pure state machine for edge and hub alike that knows nothing of protocols. It numbers what is published,
//! hands it to the storage, and shows it to readers only after the commit. Authentication, sessions that
//! outlive a connection and links are layered on top of it elsewhere; sockets and disks belong to the programs.
//!
//! Read [`input`] and [`output`] first (what it is told and what it wants), then [`bus`] (the branches).

mod archived;
pub mod behind;
pub mod bus;
mod chain;
mod commit;
pub mod config;
mod conflate;
mod connection;
mod depth;
pub mod door;
mod fetch;
mod graph;
pub mod input;
mod intake;
mod look;
mod members;
pub mod outcomes;
pub mod output;
pub mod placing;
pub mod presence;
mod producers;
mod publish;
mod pull;
mod push;
mod quota;
mod rates;
mod readership;
mod replay;
pub mod retained;
mod rounds;
mod routes;
mod session;
pub mod settled;
mod share;
mod sharing;
mod shelf;
mod standing;
pub mod statistics;
mod steps;
mod subscribe;
mod subscription;
mod tail;
mod technical;
mod topics;
mod traffic;
mod warm;

pub use behind::EdgeSessions;
pub use bus::Bus;
pub use config::Config;
pub use input::{Append, Ingest, Input, Latest, Start};
pub use outcomes::Outcomes;
pub use output::{Output, Placed, Wake};
pub use presence::Presences;
pub use producers::Producers;
pub use retained::{Changes, Retained, RetainedKey, RetainedTable};
pub use settled::Settled;

#[cfg(test)]
mod tests;
