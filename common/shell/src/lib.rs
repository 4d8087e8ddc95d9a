//! What a process does around its work: configuration, clocks, keys, logs, signals, metrics, health, passwords.
//!
//! Everything that touches the operating system and is the same at the edge and at the hub is here; sockets
//! are in `riser-net`, and no decision about a message is made here.
//!
//! Read [`config`] first (how a program gets its configuration, or the last good one), then [`clock`] (how a
//! host's clocks become the plain numbers that the state machines take).

pub mod accounts;
pub mod clock;
pub mod command;
pub mod config;
pub mod disk;
pub mod entropy;
pub mod fdlimit;
pub mod health;
pub mod keys;
pub mod log;
pub mod metrics;
pub mod passwords;
pub mod places;
pub mod proofs;
pub mod rests;
pub mod signals;
pub mod storage;
pub mod tables;

pub use clock::Clock;
pub use config::{Loaded, Program, Sources};
pub use disk::RealDisk;
pub use health::Health;
pub use keys::Identity;
pub use metrics::Metrics;
pub use passwords::Passwords;
pub use places::Places;
pub use signals::{Signal, Signals};
pub use storage::Storage;
