//! What a gate cannot know by itself: what it has verified or looked up elsewhere, and what was found out.

use crate::{
    hidden::PasswordHash, issuer::Algorithm, key_set::KeySource, ldap::LdapServer,
    verifying_key::VerifyingKey,
};
use bytes::Bytes;
use riser_model::{ClientId, Memberships, Wall, door::Secret};
use std::sync::Arc;

/// What was found out elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Yes.
    Matches,
    /// Yes, and a directory server says that it is in these groups.
    MatchesIn(Memberships),
    /// No.
    Differs,
    /// Too many are waiting; nobody looked.
    Busy,
    /// Who would know does not answer.
    Away,
}

impl Verdict {
    /// In which groups a directory server says that somebody is.
    pub fn memberships(self) -> Memberships {
        match self {
            Self::MatchesIn(memberships) => memberships,
            Self::Matches | Self::Differs | Self::Busy | Self::Away => Memberships::default(),
        }
    }
}

/// What is to be verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Proof {
    /// Whether a password has a hash.
    Password {
        /// What it must match.
        hash: PasswordHash,
        /// What was shown.
        password: Secret,
    },
    /// Whether one of these keys has signed.
    Signature {
        /// The keys.
        keys: Vec<VerifyingKey>,
        /// What.
        message: Bytes,
        /// What was shown.
        signature: Bytes,
    },
    /// Whether a directory server knows this person by this password.
    Ldap {
        /// Which.
        server: Arc<LdapServer>,
        /// The person.
        user: String,
        /// What was shown.
        password: Secret,
    },
    /// Whether one of the keys that an issuer publishes has signed.
    Token {
        /// Where they are.
        source: Arc<KeySource>,
        /// The key's name, if the token names it.
        kid: Option<String>,
        /// The algorithm.
        alg: Algorithm,
        /// What is signed.
        message: Bytes,
        /// What was shown.
        signature: Bytes,
    },
    /// Whether a signed password let nobody in before this process began. From here on it is known as one that did.
    Once {
        /// What was signed, as a digest.
        digest: [u8; 32],
        /// It would be good again until then, at most.
        until: Wall,
    },
    /// Whether this instance has signed a cookie, and it was not ended.
    Cookie {
        /// What is signed.
        message: Bytes,
        /// What was shown.
        signature: Secret,
    },
}

/// What is to be done elsewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Verify something, off the core's task.
    Verify(Proof),
    /// Look whether this comes for the first time.
    Once {
        /// Whose it is.
        client: ClientId,
        /// Of what was shown.
        digest: [u8; 32],
    },
    /// Ask the admins.
    Knock,
    /// Look whether fewer than so many are in the room.
    Seat {
        /// How many.
        most: u32,
    },
}
