//! Takes a user or device and its password; the hashing is done elsewhere and awaited.
//!
//! A user that does not exist costs what one that exists costs: its password is verified against a stand-in,
//! and whatever the verdict, the answer is the same.

use super::{DEADLINE, Step, not_authorised};
use crate::{directory::Directory, gate::Verdict};
use riser_model::{
    Now, Principal, Time,
    door::{Code, Credential, Refusal},
};
use std::sync::Arc;

/// Takes passwords of the directory's users and clients.
#[derive(Clone, Debug)]
pub struct Password {
    directory: Arc<Directory>,
}

impl Password {
    /// Over that directory.
    pub fn new(directory: Arc<Directory>) -> Self {
        Self { directory }
    }

    pub(crate) fn accept(&self, credential: &Credential, now: Now) -> Option<Step> {
        match credential {
            Credential::Password { account, user, password } => {
                let (principal, hash) = match self.directory.password(account.as_ref(), user) {
                    Some((principal, hash)) => (Some(Arc::clone(principal)), hash.clone()),
                    None => (None, self.directory.stand_in(user)),
                };
                let next = AwaitVerdict { principal, ticket: 0, deadline: now.time.plus(VERDICT_DEADLINE) };
                Some(Step::Verify(next, hash, password.clone()))
            }
            Credential::Anonymous | Credential::Token(_) => None,
        }
    }
}

/// Verifiers are few and their queue is bounded; this covers a full one on a slow machine.
const VERDICT_DEADLINE: std::time::Duration = DEADLINE.saturating_mul(3);

/// Awaits the verdict on a password.
#[derive(Debug)]
pub(crate) struct AwaitVerdict {
    principal: Option<Arc<Principal>>,
    pub(crate) ticket: u64,
    pub(crate) deadline: Time,
}

impl AwaitVerdict {
    pub(crate) fn judge(self, verdict: Verdict) -> Step {
        match (verdict, self.principal) {
            (Verdict::Matches, Some(principal)) => Step::Pass(principal),
            (Verdict::Matches, None) | (Verdict::Differs, _) => Step::Refuse(not_authorised()),
            (Verdict::Busy, _) => Step::Refuse(busy()),
        }
    }
}

fn busy() -> Refusal {
    Refusal {
        code: Code::TooMany,
        what: "too many passwords are being verified".to_owned(),
        want: "come back in a moment".to_owned(),
    }
}
