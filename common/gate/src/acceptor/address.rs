//! Looks at where a peer comes from: one of the networks that are listed, or it does not pass.

use super::{Given, Step, not_here};
pub use riser_model::{Network, Networks};

pub(crate) fn begin(networks: &Networks, given: &Given<'_>) -> Step {
    if given.caller.address.is_some_and(|address| networks.hold(address)) {
        Step::Pass(None, None)
    } else {
        Step::Next(Some(not_here("an address that is not listed")))
    }
}
