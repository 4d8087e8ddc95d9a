//! What a listener's gate takes.

use crate::{
    acceptor::{Acceptor, DEADLINE, anonymous::Anonymous},
    directory::Directory,
    invalid::Invalid,
    sequence::{Sequence, Stage},
    words::Words,
};
use riser_model::Principal;
use std::{sync::Arc, time::Duration};

/// Who may enter through a listener. What an account and its rooms want beyond that, the directory says.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// What it is checked against.
    pub directory: Arc<Directory>,
    /// Who is there: passed by everybody, first.
    pub front: Arc<Sequence>,
    /// How long a connection may take to show its credential.
    pub deadline: Duration,
    /// It is this process's own: no gates of accounts and rooms stand before it.
    own: bool,
}

impl Policy {
    /// The policy of a listener: every credential that the directory knows, and nobody without, unless
    /// `anonymous` names the user or client as whom.
    pub fn new(directory: &Arc<Directory>, anonymous: Option<&str>, key: &str) -> Result<Self, Invalid> {
        let mut acceptors = vec![
            Acceptor::Certificate,
            Acceptor::Signed,
            Acceptor::Password,
            Acceptor::Jwt,
            Acceptor::Token,
            Acceptor::Ticket,
            Acceptor::Key,
            Acceptor::Secret,
        ];
        if let Some(name) = anonymous {
            let principal = directory.require(&format!("{key}.anonymous"), name)?;
            acceptors.push(Acceptor::Anonymous(Anonymous::new(principal)));
        }
        let front = Arc::new(Sequence::of(acceptors));
        Ok(Self { directory: Arc::clone(directory), front, deadline: DEADLINE, own: false })
    }

    /// The same, with a chat bot for people at terminals.
    #[must_use]
    pub fn with_words(mut self, words: &Arc<Words>) -> Self {
        let mut front = Sequence::clone(&self.front);
        if let Some(stage) = front.stages.first_mut() {
            stage.any.push(Acceptor::Tty(Arc::clone(words)));
        }
        self.front = Arc::new(front);
        self
    }

    /// The same, for browsers whose people may sign in: their cookies count.
    #[must_use]
    pub fn with_cookies(mut self) -> Self {
        let mut front = Sequence::clone(&self.front);
        if let Some(stage) = front.stages.first_mut() {
            stage.any.insert(0, Acceptor::Cookie);
        }
        self.front = Arc::new(front);
        self
    }

    /// The same over a directory that has changed. Nobody enters any more as somebody whom that does not know.
    #[must_use]
    pub fn renewed(&self, directory: &Arc<Directory>) -> Self {
        let renewed = |acceptor: &Acceptor| match acceptor {
            Acceptor::Anonymous(anonymous) => anonymous.renewed(directory).map(Acceptor::Anonymous),
            other => Some(other.clone()),
        };
        let stages = self.front.stages.iter();
        let stages = stages.map(|stage| Stage { any: stage.any.iter().filter_map(renewed).collect() });
        let front = Arc::new(Sequence { stages: stages.collect() });
        let directory = if self.own { Arc::clone(&self.directory) } else { Arc::clone(directory) };
        Self { directory, front, deadline: self.deadline, own: self.own }
    }

    /// Of what is this process's own: it shows nothing and is this principal, there is no way in but its own task's, and
    /// whoever runs the process has said what it may.
    pub fn own(principal: Arc<Principal>) -> Self {
        let acceptors = vec![Acceptor::Anonymous(Anonymous::new(principal))];
        let front = Arc::new(Sequence::of(acceptors));
        Self { directory: Arc::default(), front, deadline: DEADLINE, own: true }
    }
}
