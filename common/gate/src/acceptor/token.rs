//! Takes static bearer tokens, known by their hash.

use super::{Given, Known, Sort, Step, not_authorised};
use crate::hidden::TokenHash;
use riser_model::door::Credential;
use std::sync::Arc;

/// The longest token that is looked at, bytes; ours have 43.
pub const TOKEN_BYTES_MAX: usize = 1024;

pub(crate) const SORT: Sort =
    Sort::Known(Known { of: |_, member| member.tokens.clone(), is_one_of_several: false });

pub(crate) fn begin(given: &Given<'_>) -> Step {
    let Credential::Token(token) = given.credential else { return Step::Next(None) };
    let short = token.0.len() <= TOKEN_BYTES_MAX;
    let found = short.then(|| given.directory.token(TokenHash::of(&token.0))).flatten();
    match found {
        Some(principal) => Step::Pass(Some(Arc::clone(principal)), None),
        None => Step::Refuse(not_authorised("an unknown token")),
    }
}
