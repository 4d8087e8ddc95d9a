//! Takes static bearer tokens, known by their hash.

use super::{Step, not_authorised};
use crate::{directory::Directory, hidden::TokenHash};
use riser_model::door::Credential;
use std::sync::Arc;

/// The longest token that is looked at, bytes; ours have 43.
pub const TOKEN_BYTES_MAX: usize = 1024;

/// Takes tokens of the directory's users and clients.
#[derive(Clone, Debug)]
pub struct Token {
    directory: Arc<Directory>,
}

impl Token {
    /// Over that directory.
    pub fn new(directory: Arc<Directory>) -> Self {
        Self { directory }
    }

    pub(crate) fn accept(&self, credential: &Credential) -> Option<Step> {
        match credential {
            Credential::Token(token) => {
                let short = token.0.len() <= TOKEN_BYTES_MAX;
                let found = short.then(|| self.directory.token(TokenHash::of(&token.0))).flatten();
                Some(found.map_or_else(|| Step::Refuse(not_authorised()), |who| Step::Pass(Arc::clone(who))))
            }
            Credential::Anonymous | Credential::Password { .. } => None,
        }
    }
}
