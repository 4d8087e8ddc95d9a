//! The program; everything is in the library, so that tests and the demo can run it too.

use std::process::ExitCode;

fn main() -> ExitCode {
    riser_hub::main()
}
