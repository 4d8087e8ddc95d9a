//! Who stands at a gate: what is known of a connection from the start, and what it has proven since.

use crate::{
    acceptor::{Kind, cookie::CookieId},
    directory::Evidence,
};
use riser_model::{AccountName, Certificate, Principal, Wall};
use std::{collections::BTreeSet, fmt, net::IpAddr, sync::Arc};

/// What is known of a connection before it says anything.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Caller {
    /// Where it comes from, if it comes over a network.
    pub address: Option<IpAddr>,
    /// Whether that is a proxy that does not say who is behind it: nothing is held against everybody.
    pub proxy: bool,
    /// The page that its browser acts for, as that says: `https://board.example`. None from whoever is no browser.
    pub origin: Option<Arc<str>>,
    /// Whether nobody can listen on the way.
    pub tls: bool,
    /// The certificate that it proved to hold when TLS was begun, if it did.
    pub certificate: Option<Certificate>,
    /// Whether it was sent away several times lately.
    pub known: bool,
    /// Random bytes of its own, of which its nonces are made.
    pub entropy: [u8; 32],
    /// Whose address it came to, as the address calls it, if it came to a lobby of somebody's: names without an account are that
    /// one's, whether there is such an account or not.
    pub home: Option<AccountName>,
    /// The public key of this instance, as text: what peers sign is for it and for no other.
    pub instance: Arc<str>,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known;
        f.debug_struct("Caller")
            .field("address", &self.address)
            .field("known", &known)
            .finish_non_exhaustive()
    }
}

/// What a connection has proven so far.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// Who it is, once one acceptor has said so.
    pub principal: Option<Arc<Principal>>,
    /// By which acceptors.
    pub passed: BTreeSet<Kind>,
    /// By which credentials: what is revoked is compared with this.
    pub evidence: Evidence,
    /// When what it has shown expires.
    pub until: Option<Wall>,
    /// The cookie that it came by, itself or by a ticket of who did: it ends with that.
    pub cookie: Option<CookieId>,
    /// How many numbers were drawn for it: no nonce and no ticket of a connection comes twice.
    pub(crate) drawn: u64,
}

impl Standing {
    /// Whether it has shown a credential of its own that does not end by itself: what ends, what somebody else vouches for, or
    /// what a listener lends makes nothing that lasts.
    pub fn is_lasting(&self) -> bool {
        let is_lent = self.passed.contains(&Kind::Anonymous);
        let ends = self.until.is_some() || self.cookie.is_some();
        !is_lent && !ends && !self.evidence.is_empty()
    }
}
