//! Listeners and sockets: the only place where Riser touches the network.
//!
//! Everything here is async and thin. It turns what happens on a socket into `model::door::Input`s and performs
//! the `Output`s; it decides nothing about protocols, rights or rooms. What it does own is bounds: how many
//! connections there are, how long each layer may take, how much is read before a peer is authenticated, how
//! much waits to be written, and how full the core's inbox may be before sockets are no longer read.
//!
//! Read [`door`] first (the recipe that every connection runs), then [`entrance`] (what all listeners of a
//! process share).
#![warn(clippy::indexing_slicing)]

pub mod address;
mod certificate;
pub mod cookie;
pub mod counters;
pub mod door;
pub mod entrance;
pub mod fetch;
pub mod http;
pub mod inbox;
pub mod link;
pub mod listener;
pub mod mqtt;
pub mod operations;
pub mod origin;
mod pace;
mod pipe;
pub mod proxies;
pub mod seat;
pub mod site;
mod socket;
mod stall;
pub mod stream;
pub mod tcp;
pub mod tells;
pub mod tls;
mod turnstile;
mod upgrade;
mod websocket;

pub use address::{Address, BadAddress, Reserved};
pub use counters::Counters;
pub use entrance::{Clock, Entrance, Limits, Peer, Visitor};
pub use http::serve_http;
pub use inbox::{Arrival, Asked, CoreHandle, CoreInbox, core_inbox};
pub use listener::Listener;
pub use mqtt::{MqttDoors, serve_mqtt};
pub use operations::{Operations, serve_operations};
pub use origin::{Origins, Vouched};
pub use proxies::Proxies;
pub use seat::{Call, Seat};
pub use site::{Answer, Body, Doorway, Knock, Site};
pub use stream::Stream;
pub use tells::{TellInbox, TellOutbox, tell_queue};
