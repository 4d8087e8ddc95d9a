//! Looks at where a peer comes from: one of the networks that are listed, or it does not pass.

use super::{Given, Listed, Sort, Step, Written, not_here};
pub use riser_model::{Network, Networks};

/// Networks of one of these that a change makes: each pass looks at them in turn.
pub const NETWORKS_MAX: usize = 256;

pub(crate) const SORT: Sort = Sort::Condition;

impl Written for Networks {
    type Asked = Self;

    fn lists(&self) -> Option<Listed> {
        Some(Listed { count: self.0.len(), most: NETWORKS_MAX, of: "networks in one address" })
    }

    fn asked(&self) -> Result<Self, &'static str> {
        if self.0.is_empty() { Err("name at least one network, or leave it out") } else { Ok(self.clone()) }
    }
}

pub(crate) fn begin(networks: &Networks, given: &Given<'_>) -> Step {
    if given.caller.address.is_some_and(|address| networks.hold(address)) {
        Step::Pass(None, None)
    } else {
        Step::Next(Some(not_here("an address that is not listed")))
    }
}
