//! The demo; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    riser_demo::main()
}
