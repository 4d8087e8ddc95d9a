//! What a peer shows at a gate, and what a gate says to it.

use crate::name::AccountName;
use bytes::Bytes;
use std::fmt;

/// A secret as it came from a peer. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Bytes);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// The SHA-256 of a ticket: all that is kept of it. Never printed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TicketHash(pub [u8; 32]);

impl fmt::Debug for TicketHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketHash(redacted)")
    }
}

/// What a peer shows at a gate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Credential {
    /// None at all: enters only where a listener allows it by name.
    Anonymous,
    /// A user or device and its password. `account` where the protocol names one beside the user.
    Password {
        /// The tenant, when the address or the user text (`account/user`) names it.
        account: Option<AccountName>,
        /// The user or device.
        user: String,
        /// The password.
        password: Secret,
    },
    /// A bearer token.
    Token(Secret),
    /// Nothing but that it is a person at a terminal, who can be asked.
    Person,
    /// A ticket: good once, and not for long.
    Ticket(Secret),
    /// What a browser was given at sign-in, from a page whose Origin may connect here.
    Cookie(Secret),
    /// A name that the peer will prove to be its own, by answering a [`Prompt::Challenge`].
    Claim {
        /// The tenant, when the address or the name (`account/name`) names it.
        account: Option<AccountName>,
        /// The user or device, by its name or its client's UUID.
        name: String,
        /// How.
        method: Method,
    },
}

/// How a claim is proven.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Method {
    /// A signature by an ed25519 key that the directory knows.
    Key,
    /// An HMAC-SHA-256 under a secret that both sides know.
    Secret,
}

impl Method {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Key, Self::Secret];

    /// Its name in every protocol.
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "ed25519",
            Self::Secret => "hmac-sha256",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }
}

/// What an acceptor says to a peer that stands at a gate. The door's protocol words it; a door whose protocol knows no
/// conversation leaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Prompt {
    /// Prove the claim: answer with a signature or an HMAC over [`Prompt::challenge`] of this nonce, the name as it was
    /// claimed, and the instance that it is meant for.
    Challenge {
        /// How.
        method: Method,
        /// Good for this one answer.
        nonce: String,
    },
    /// Somebody was asked whether to let it in. There is nothing to answer.
    Knocked,
    /// Words for a person, as they are: without an end of line.
    Words(String),
}

impl Prompt {
    /// The bytes that prove a claim when they are signed. Nothing else that a key of ours signs begins like this. The
    /// instance is named by its public key, which the peer knows beforehand: whoever passes challenges of another one on
    /// has nothing of the answer.
    pub fn challenge(nonce: &str, name: &str, instance: &str) -> String {
        format!("riser gate challenge 2\n{nonce}\n{name}\n{instance}\n")
    }
}
