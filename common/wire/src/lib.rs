//! Every format that Riser stores or sends, each with a version and golden bytes in its tests.
//!
//! Parsers here never panic and never allocate by a length that they have not checked against [`limits`].
//!
//! Read [`entry`] first (what one message looks like from the edge's disk to the hub's), then [`link`] (what
//! edge and hub say to each other) and [`client`] (what a dashboard and its hub or edge say).
#![warn(clippy::indexing_slicing)]

pub mod client;
pub mod close;
pub mod cloud_event;
pub mod departed;
pub mod entry;
pub mod limits;
pub mod link;
pub mod membership;
pub mod passed;
pub mod property;
pub mod roll;
pub mod settlement;
