//! By what somebody was known when it was let in, and whether that still holds when the directory has changed.

use super::Directory;
use crate::{
    acceptor::{Kind, Known, Sort},
    credential::token_digest,
    hidden::TokenHash,
};
use riser_model::{ClientId, door::Credential};
use std::collections::BTreeSet;

/// Digests of the credentials that stand behind what a connection has proven, by the acceptor that took them. Of a kind of
/// which somebody may have several and the acceptor does not say which one it was (keys, issuers) all those that it may
/// have been.
pub type Evidence = BTreeSet<(Kind, [u8; 32])>;

/// Whether what somebody has proven still holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holds {
    /// It does.
    Yes,
    /// It may: one of several credentials of the kind that it showed is gone. It has to show one again.
    Unsure,
    /// The credential is gone, or the user or client is.
    No,
}

impl Directory {
    /// What stands behind a credential of that kind that was shown and taken.
    pub(crate) fn evidence(&self, kind: Kind, client: ClientId, shown: &Credential) -> Evidence {
        match (kind, shown) {
            (Kind::Token, Credential::Token(token)) => {
                [(kind, token_digest(&TokenHash::of(&token.0)))].into()
            }
            (kind, _) => self.credentials(kind, client).into_iter().map(|digest| (kind, digest)).collect(),
        }
    }

    /// Whether what somebody has proven still holds here.
    pub fn holds(&self, client: ClientId, evidence: &Evidence) -> Holds {
        if !self.members.contains_key(&client) {
            return Holds::No;
        }
        let mut holds = Holds::Yes;
        let kinds: BTreeSet<Kind> = evidence.iter().map(|(kind, _)| *kind).collect();
        for kind in kinds {
            let now = self.credentials(kind, client);
            let gone = evidence.iter().any(|(of, digest)| *of == kind && !now.contains(digest));
            let is_one_of_several = matches!(kind.sort(), Sort::Known(Known { is_one_of_several: true, .. }));
            match (gone, is_one_of_several && !now.is_empty()) {
                (false, _) => {}
                (true, true) => holds = Holds::Unsure,
                (true, false) => return Holds::No,
            }
        }
        holds
    }

    /// Whether somebody has something by which each of these acceptors may have let it pass.
    pub(crate) fn backs(&self, client: ClientId, passed: &BTreeSet<Kind>) -> bool {
        passed.iter().all(|kind| !kind.is_backed() || !self.credentials(*kind, client).is_empty())
    }

    /// The credentials of that kind that somebody has.
    fn credentials(&self, kind: Kind, client: ClientId) -> BTreeSet<[u8; 32]> {
        let Some(member) = self.members.get(&client) else { return BTreeSet::new() };
        match kind.sort() {
            Sort::Known(Known { of, .. }) => of(self, member),
            Sort::Lent | Sort::Condition => BTreeSet::new(),
        }
    }
}
