//! The acceptors of a gate, one file each, and the policy that lists them for a listener.
//!
//! An acceptor takes one kind of credential. It answers at once, or hands over the state that awaits the next
//! thing. All refusals of credentials are one and the same value, so that nothing can be told from them.

pub mod anonymous;
pub mod password;
pub mod token;

use crate::{directory::Directory, hidden::PasswordHash, invalid::Invalid};
use anonymous::Anonymous;
use password::{AwaitVerdict, Password};
use riser_model::{
    Now, Principal,
    door::{Code, Credential, Refusal, Secret},
};
use std::{sync::Arc, time::Duration};
use token::Token;

/// How long an acceptor waits, unless its policy says otherwise.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// One of them, by what it takes.
#[derive(Clone, Debug)]
pub enum Acceptor {
    /// Nothing at all, where a listener allows that by name.
    Anonymous(Anonymous),
    /// A user or device and its password.
    Password(Password),
    /// A bearer token.
    Token(Token),
}

impl Acceptor {
    fn accept(&self, credential: &Credential, now: Now) -> Option<Step> {
        match self {
            Self::Anonymous(acceptor) => acceptor.accept(credential),
            Self::Password(acceptor) => acceptor.accept(credential, now),
            Self::Token(acceptor) => acceptor.accept(credential),
        }
    }
}

/// What a listener's gate takes: the first acceptor that takes a credential decides.
#[derive(Clone, Debug)]
pub struct Policy {
    /// In order.
    pub acceptors: Vec<Acceptor>,
    /// How long a connection may take to show its credential.
    pub deadline: Duration,
}

impl Policy {
    /// The policy of a listener: passwords and tokens of the directory, and nobody without, unless
    /// `anonymous` names the user or client as whom.
    pub fn new(directory: &Arc<Directory>, anonymous: Option<&str>, key: &str) -> Result<Self, Invalid> {
        let mut acceptors = vec![
            Acceptor::Password(Password::new(Arc::clone(directory))),
            Acceptor::Token(Token::new(Arc::clone(directory))),
        ];
        if let Some(name) = anonymous {
            let principal = directory.require(&format!("{key}.anonymous"), name)?;
            acceptors.push(Acceptor::Anonymous(Anonymous::new(principal)));
        }
        Ok(Self { acceptors, deadline: DEADLINE })
    }

    pub(crate) fn accept(&self, credential: &Credential, now: Now) -> Step {
        let mut steps = self.acceptors.iter().filter_map(|acceptor| acceptor.accept(credential, now));
        steps.next().unwrap_or_else(|| Step::Refuse(not_authorised()))
    }
}

/// What an acceptor decided.
#[derive(Debug)]
pub(crate) enum Step {
    /// Let it in.
    Pass(Arc<Principal>),
    /// Have this verified and await the verdict.
    Verify(AwaitVerdict, PasswordHash, Secret),
    /// Do not.
    Refuse(Refusal),
}

/// The one answer to a credential that is not accepted, whatever the reason.
pub(crate) fn not_authorised() -> Refusal {
    Refusal {
        code: Code::NotAuthorised,
        what: "the credential was not accepted".to_owned(),
        want: "a user and password, or a token, that this instance knows".to_owned(),
    }
}
