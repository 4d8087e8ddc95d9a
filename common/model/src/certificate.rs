//! Whom a certificate speaks of.

use crate::time::Wall;

/// What a verified certificate says of its holder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// The names in it, at most 16.
    pub names: Vec<String>,
    /// When it expires.
    pub until: Wall,
}
