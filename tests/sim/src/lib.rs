//! The seeded simulator: whole edges and hubs in virtual time, on a network, disks and clocks that fail.
//!
//! A run is its seed: the same seed gives the same run, byte for byte. The cores, the log and both protocols are the
//! product's own; everything around them is the simulator's. What always holds: the checker believes nothing that
//! the product says of itself. It holds what devices were told, what disks were given and what readers heard
//! against each other.
//!
//! Read [`world`] first (what there is), then [`judge`] (what must hold).

pub mod book;
pub mod caller;
mod channels;
pub mod device;
pub mod dice;
pub mod disk;
pub mod door;
mod downward;
pub mod fault;
pub mod floors;
pub mod guest;
pub mod held;
pub mod host;
pub mod house;
pub mod journal;
pub mod judge;
pub mod keeping;
pub mod knobs;
pub mod ledger;
pub mod market;
pub mod mqtt;
pub mod mutant;
mod outcomes;
pub mod post;
pub mod proofs;
pub mod queue;
pub mod reading;
pub mod registrar;
pub mod run;
pub mod sessions;
pub mod sharing;
pub mod shown;
pub mod site;
pub mod statutes;
pub mod storage;
pub mod subscriber;
pub mod swarm;
pub mod table;
pub mod talker;
pub mod tier;
pub mod timeline;
pub mod trace;
pub mod wills;
pub mod wires;
pub mod world;
pub mod writer;

pub use run::{Report, run};
