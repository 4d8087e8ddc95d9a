//! Takes a user or device and its password; the hashing is done elsewhere and awaited.
//!
//! A user that does not exist costs what one that exists costs: its password is verified against a stand-in, or asked for
//! where its account's people are known; whatever the verdict, the answer is the same. A directory server's yes holds for a
//! while only: it does not tell us when it would say no.

use super::{Awaits, Given, Known, Sort, Step, Whom};
use crate::{
    credential::digest,
    directory::{Directory, Judge, Member},
    gate::{Effect, Proof},
};
use riser_model::{
    AccountName, Principal, Wall,
    door::{Credential, Secret},
};
use std::{collections::BTreeSet, sync::Arc};

pub(crate) const SORT: Sort = Sort::Known(Known { of: known, is_one_of_several: false });

/// Its hash, or the server that knows it.
pub(super) fn known(directory: &Directory, member: &Member) -> BTreeSet<[u8; 32]> {
    match (&member.password, directory.judging(member)) {
        (Some(hash), _) => [digest(hash.expose().as_bytes())].into(),
        (None, Some(server)) => [server.digest()].into(),
        (None, None) => BTreeSet::new(),
    }
}

pub(crate) fn begin(given: &Given<'_>) -> Step {
    let Credential::Password { account, user, password } = given.credential else { return Step::Next(None) };
    let (effect, awaits) = verify(account.as_ref(), (user, given.is_bare), password, given);
    Step::have(effect, None, awaits)
}

/// Verifies a password, of whom it may be, and what follows. What was given with a name alone, in the lobby of an account, is shown
/// to no directory server: who came there may be of another account, and has not named this one.
pub(super) fn verify(
    account: Option<&AccountName>,
    (user, is_bare): (&str, bool),
    password: &Secret,
    given: &Given<'_>,
) -> (Effect, Awaits) {
    let directory = given.directory;
    let whom = |principal: Option<&Arc<Principal>>, until: Option<Wall>| match (principal, until) {
        (Some(principal), Some(until)) => {
            Awaits::credential(Whom::Until(Arc::clone(principal), until), "a wrong password")
        }
        (Some(principal), None) => Awaits::credential(Whom::Known(Arc::clone(principal)), "a wrong password"),
        (None, _) => Awaits::credential(Whom::Nobody, "no such user or client, or one without a password"),
    };
    let password = password.clone();
    // Found for those who exist too: what follows costs everybody the same.
    let stand_in = directory.stand_in(user);
    let (principal, until, proof) = match directory.judge(account, user) {
        Judge::Hash(principal, hash) => {
            (Some(principal), None, Proof::Password { hash: hash.clone(), password })
        }
        Judge::Server(principal, server, user) if !is_bare => {
            let lasts = i64::try_from(server.lasts.ms()).unwrap_or(i64::MAX);
            let until = Wall(given.now.wall.0.saturating_add(lasts));
            (principal, Some(until), Proof::Ldap { server: Arc::clone(server), user, password })
        }
        Judge::Server(..) | Judge::Nobody => {
            (None, None, Proof::Password { hash: stand_in.clone(), password })
        }
    };
    (Effect::Verify(proof), whom(principal, until))
}
