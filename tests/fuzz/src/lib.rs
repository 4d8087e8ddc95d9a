//! Hostile bytes for every parser.
//!
//! A [`Target`] is a plain function that takes bytes as they may come from anywhere, and panics if what it guards does
//! not hold: that is more than not panicking. [`mutation`] makes hostile bytes out of good ones, [`corpus`] keeps those
//! that once found something, and `cargo test -p riser-fuzz` replays all of them and some fresh ones. The same
//! functions are what libFuzzer is given (`libfuzzer.rs`, behind a feature).

pub mod command;
pub mod corpus;
pub mod mutation;
pub mod outcome;
pub mod target;

pub use target::Target;
