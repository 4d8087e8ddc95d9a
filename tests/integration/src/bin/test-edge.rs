//! The edge's program as the tests start it: cargo builds no other package's programs for a test.

use std::process::ExitCode;

fn main() -> ExitCode {
    riser_edge::main()
}
