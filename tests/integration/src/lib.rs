//! What the tests of the whole share, and nothing of the product: the history of a run and the ledger
//! drawn up from it.
