//! The gate: who may enter, as whom, and with which rights.
//!
//! Accounts, users, clients and rooms come from configuration and are compiled once into a [`Directory`] of
//! principals. A [`Gate`] stands before one connection: it takes a credential and lets it pass, asks for a
//! password to be verified elsewhere, or refuses. Nothing here hashes a password, reads a clock or does I/O.
//! Rights are only compiled here; the check itself is [`riser_model::Grants`], used on every delivery path.
//!
//! Read [`gate`] first (what happens to one connection), then [`directory`] (what it is checked against).
#![warn(clippy::indexing_slicing)]

pub mod acceptor;
pub mod config;
pub mod directory;
pub mod gate;
pub mod hidden;
pub mod invalid;
pub mod key;

pub use acceptor::Policy;
pub use config::{AccountConfig, ClientConfig, GrantConfig, Role, RoomConfig, UserConfig};
pub use directory::{Directory, Edge, QUARANTINE};
pub use gate::{Gate, Input, Output, Verdict, Wake};
pub use hidden::{Hidden, PasswordHash, TokenHash};
pub use invalid::{Invalid, nearest};
pub use key::KeyText;
