//! Takes a peer without a credential, as the principal that the listener names.

use super::{Given, Sort, Step};
use crate::directory::Directory;
use riser_model::{Principal, door::Credential};
use std::sync::Arc;

/// Exists only where a listener allows it by name (promise 8).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Anonymous {
    principal: Arc<Principal>,
}

impl Anonymous {
    /// Everybody who shows nothing is this principal.
    pub fn new(principal: Arc<Principal>) -> Self {
        Self { principal }
    }

    /// The same over a directory that has changed; none if it knows that principal no more.
    pub(crate) fn renewed(&self, directory: &Directory) -> Option<Self> {
        directory.principal(self.principal.client).cloned().map(Self::new)
    }
}

pub(crate) const SORT: Sort = Sort::Lent;

/// A credential that was shown and is wrong never falls through to here, but for a cookie: nobody chose to show it.
pub(crate) fn begin(anonymous: &Anonymous, given: &Given<'_>) -> Step {
    match given.credential {
        Credential::Anonymous | Credential::Cookie(_) => {
            Step::Pass(Some(Arc::clone(&anonymous.principal)), None)
        }
        Credential::Person
        | Credential::Password { .. }
        | Credential::Token(_)
        | Credential::Ticket(_)
        | Credential::Claim { .. } => Step::Next(None),
    }
}
