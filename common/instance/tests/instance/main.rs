//! One instance, driven by hand: who gets in, what waits for a commit, and who has a session.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod broadcasts;
mod care;
mod changing;
mod clocks;
mod entering;
mod errands;
mod gates;
mod hours;
mod kept;
mod knocking;
mod looking;
mod past;
mod readiness;
mod renewing;
mod shares;
mod stuck;
mod system;
mod wills;
mod world;
