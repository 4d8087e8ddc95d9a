//! Sockets that are real, doors and a core that are scripted.
#![expect(clippy::unwrap_used, reason = "all of this is tests, their functions included")]

mod doors;
mod handshakes;
mod house;
mod idle;
mod links;
mod patience;
mod storms;
mod web;
