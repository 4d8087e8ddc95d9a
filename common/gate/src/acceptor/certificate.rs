//! Takes the certificate that a connection's TLS handshake was made with: whoever the directory knows by one of its names.
//!
//! The handshake has proven the key and asked the listener's authority; here is only decided whose it is. It counts where
//! nothing else is shown, or nothing but the claim to be that very one, and no longer than the certificate holds. Who says anew
//! who it is, and how it proves that, is asked for that proof: the certificate of its connection is the one that it came by.

use super::{Given, Known, Sort, Step, not_authorised};
use riser_model::{Principal, door::Credential};
use std::sync::Arc;

pub(crate) const SORT: Sort =
    Sort::Known(Known { of: |_, member| member.certificates.clone(), is_one_of_several: true });

pub(crate) fn begin(given: &Given<'_>) -> Step {
    let Some(certificate) = &given.caller.certificate else { return Step::Next(None) };
    let named = given.directory.certified(&certificate.names);
    let pass = |principal: &Arc<Principal>| {
        if certificate.until <= given.now.wall {
            return Step::Next(Some(not_authorised("a certificate that has expired")));
        }
        Step::Pass(Some(Arc::clone(principal)), Some(certificate.until))
    };
    match (&given.standing.principal, given.credential, named) {
        // A room that wants a certificate beyond what let it into the account.
        (Some(known), _, Some(named)) if known.client == named.client => pass(named),
        (Some(_), _, _) => Step::Next(Some(not_authorised("a certificate of somebody else, or of nobody"))),
        (None, Credential::Anonymous | Credential::Cookie(_), Some(named)) => pass(named),
        (None, Credential::Claim { account, name, .. }, Some(named)) if !given.is_anew => {
            let claimed = given.directory.claimed(account.as_ref(), name);
            let own = claimed.is_some_and(|claimed| claimed.principal.client == named.client);
            if own { pass(named) } else { Step::Next(None) }
        }
        (None, Credential::Anonymous, None) => {
            Step::Next(Some(not_authorised("a certificate in which nobody here is named")))
        }
        (
            None,
            Credential::Person
            | Credential::Password { .. }
            | Credential::Token(_)
            | Credential::Ticket(_)
            | Credential::Cookie(_)
            | Credential::Claim { .. },
            _,
        ) => Step::Next(None),
    }
}
