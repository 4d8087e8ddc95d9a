//! The chaos runner, and each of its clients as a process of its own; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    riser_chaos::command::main()
}
