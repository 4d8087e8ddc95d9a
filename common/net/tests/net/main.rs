//! Sockets that are real, doors and a core that are scripted.

mod doors;
mod house;
mod links;
mod web;
