//! Takes a user or device and its password; the hashing is done elsewhere and awaited.
//!
//! A user that does not exist costs what one that exists costs: its password is verified against a stand-in,
//! and whatever the verdict, the answer is the same.

use super::{Awaits, Given, Step, Whom};
use crate::gate::{Effect, Proof};
use riser_model::door::Credential;
use std::sync::Arc;

pub(crate) fn begin(given: &Given<'_>) -> Step {
    let Credential::Password { account, user, password } = given.credential else { return Step::Next(None) };
    let (awaits, hash) = match given.directory.password(account.as_ref(), user) {
        Some((principal, hash)) => {
            (Awaits::credential(Whom::Known(Arc::clone(principal)), "a wrong password"), hash.clone())
        }
        None => {
            let why = "no such user or client, or one without a password";
            (Awaits::credential(Whom::Nobody, why), given.directory.stand_in(user))
        }
    };
    Step::Do(Effect::Verify(Proof::Password { hash, password: password.clone() }), None, awaits)
}
