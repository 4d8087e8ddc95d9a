//! Takes a user or device and its password; the hashing is done elsewhere and awaited.
//!
//! A user that does not exist costs what one that exists costs: its password is verified against a stand-in,
//! and whatever the verdict, the answer is the same.

use super::{Awaits, Given, Step, Whom};
use crate::{
    directory::Directory,
    gate::{Effect, Proof},
};
use riser_model::{
    AccountName,
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
    let (awaits, hash) = match directory.password(account, user) {
        Some((principal, hash)) => {
            (Awaits::credential(Whom::Known(Arc::clone(principal)), "a wrong password"), hash.clone())
        }
        None => {
            let why = "no such user or client, or one without a password";
            (Awaits::credential(Whom::Nobody, why), directory.stand_in(user))
        }
    };
    (Effect::Verify(Proof::Password { hash, password: password.clone() }), awaits)
}
