//! Takes a user or device and its password; the hashing is done elsewhere and awaited.
//!
//! A user that does not exist costs what one that exists costs: its password is verified against a stand-in, or asked for
//! where its account's people are known; whatever the verdict, the answer is the same.

use super::{Awaits, Given, Step, Whom};
use crate::{
    directory::{Directory, Judge},
    gate::{Effect, Proof},
};
use riser_model::{
    AccountName, Principal,
    door::{Credential, Secret},
};
use std::sync::Arc;

pub(crate) fn begin(given: &Given<'_>) -> Step {
    let Credential::Password { account, user, password } = given.credential else { return Step::Next(None) };
    let (effect, awaits) = verify(account.as_ref(), user, password, given.directory);
    Step::have(effect, None, awaits)
}

/// Verifies a password, of whom it may be, and what follows.
pub(super) fn verify(
    account: Option<&AccountName>,
    user: &str,
    password: &Secret,
    directory: &Directory,
) -> (Effect, Awaits) {
    let whom = |principal: Option<&Arc<Principal>>| match principal {
        Some(principal) => Awaits::credential(Whom::Known(Arc::clone(principal)), "a wrong password"),
        None => Awaits::credential(Whom::Nobody, "no such user or client, or one without a password"),
    };
    let password = password.clone();
    let (principal, proof) = match directory.judge(account, user) {
        Judge::Hash(principal, hash) => (Some(principal), Proof::Password { hash: hash.clone(), password }),
        Judge::Server(principal, server, user) => {
            (principal, Proof::Ldap { server: Arc::clone(server), user, password })
        }
        Judge::Nobody => (None, Proof::Password { hash: directory.stand_in(user), password }),
    };
    (Effect::Verify(proof), whom(principal))
}
