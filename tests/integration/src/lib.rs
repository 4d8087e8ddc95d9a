//! What the tests of the whole share and the product has no part in: the history of a run, and the ledger
//! that is drawn up from it.

pub mod ledger;
