//! The one integration binary: every test that needs real processes, or the workspace itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's helpers fail the test where they stand"
)]

mod tidy;
