//! The whole door against a scripted bus: what a client sends, what the bus is asked, what the client gets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod acknowledging;
mod authenticating;
mod bench;
mod connecting;
mod delivering;
mod ending;
mod exactly_once;
mod finishing;
mod handshake;
mod headers;
mod hostile;
mod overlapping;
mod properties;
mod publishing;
mod qos2;
mod retaining;
mod sharing;
mod speed;
mod subscribing;
mod system;
mod wills;
