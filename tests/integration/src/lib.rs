//! What the tests of the whole share and the product has no part in: where processes run, what they need, the
//! clients, the history of a run, and the ledger that is drawn up from it.
//!
//! Read [`node`] for how a program under test is run, and [`ledger`] for how a run is judged.

pub mod client;
pub mod compat;
pub mod ledger;
pub mod needs;
pub mod node;
pub mod place;
pub mod program;
pub mod wire;
