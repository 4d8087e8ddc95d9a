//! The edge's program for this package's own test: cargo builds no other package's programs for a test.

use std::process::ExitCode;

fn main() -> ExitCode {
    riser_edge::main()
}
