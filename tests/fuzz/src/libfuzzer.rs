//! A target under libFuzzer, which looks for inputs that reach what none did: built with coverage as README.md says.
#![no_main]

use riser_fuzz::Target;
use std::sync::LazyLock;

/// Which target, by its name: libFuzzer's own arguments leave no room for it.
const TARGET: &str = "RISER_FUZZ_TARGET";

static CHOSEN: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var(TARGET).unwrap_or_default();
    let known = riser_fuzz::target::ALL.map(|target| target.name).join(", ");
    Target::named(&name).unwrap_or_else(|| panic!("{TARGET} is {name:?}; want one of: {known}"))
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (CHOSEN.run)(bytes));
