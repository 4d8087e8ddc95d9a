//! The programs' real async code (listeners, sockets, the tasks that own cores, links that dial and come back) on a
//! simulated network and in virtual time, under partitions and crashes, judged by the ledger that judges processes.
//!
//! It is a build of its own, in which `riser-net` has the simulation's sockets and `riser-shell` its clocks, randomness
//! and storage without threads. In other builds there is nothing here. Read [`plan`] for what happens in a run, and
//! [`run`] for how it goes and is judged. README.md says what is real.

#[cfg(riser_turmoil)]
pub mod plan;
#[cfg(riser_turmoil)]
pub mod run;
#[cfg(riser_turmoil)]
mod site;
