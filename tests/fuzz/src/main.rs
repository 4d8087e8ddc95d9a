//! The fuzzer's command line; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    riser_fuzz::command::main()
}
