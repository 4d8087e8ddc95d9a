//! The whole door against a scripted bus: what a client sends, what the bus is asked, what the client gets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bench;
mod connecting;
mod delivering;
mod hostile;
mod publishing;
mod qos2;
mod speed;
mod subscribing;
