//! The benchmark, and each of its servers as a process of its own; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    riser_bench::command::main()
}
