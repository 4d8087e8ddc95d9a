//! What an input came to, as a number: an input that comes to something new is worth keeping.
//!
//! It stands in for coverage: targets note what their parsers answered and what their doors asked, and no more.

use std::{
    cell::Cell,
    hash::{DefaultHasher, Hash, Hasher},
};

thread_local! {
    static SO_FAR: Cell<u64> = const { Cell::new(0) };
}

/// Notes something that happened.
pub fn note(what: impl Hash) {
    SO_FAR.with(|so_far| {
        let mut hasher = DefaultHasher::new();
        (so_far.get(), what).hash(&mut hasher);
        so_far.set(hasher.finish());
    });
}

/// Notes an error by its words, whatever numbers are in them.
pub fn note_error(error: &impl std::fmt::Debug) {
    note(format!("{error:?}").replace(|letter: char| letter.is_ascii_digit(), ""));
}

/// What running it on an input came to.
pub fn of(run: fn(&[u8]), input: &[u8]) -> u64 {
    SO_FAR.set(0);
    run(input);
    SO_FAR.get()
}
