//! Where in the admin interface that is which a command names.

use anyhow::{Context, bail};

/// A name, a UUID or a fingerprint: it stands in a path as it is.
pub(super) fn word(text: &str) -> anyhow::Result<&str> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
        Ok(text)
    } else {
        bail!("{text:?} is no name, and no id")
    }
}

pub(super) fn pair(text: &str) -> anyhow::Result<(&str, &str)> {
    text.split_once('/').with_context(|| format!("{text:?}: want ACCOUNT/NAME"))
}

pub(super) fn of_account(account: &str, rest: &str) -> anyhow::Result<String> {
    Ok(format!("/v1/accounts/{}{rest}", word(account)?))
}

/// Of an account, or of a room of it.
pub(super) fn of_place(place: &str, rest: &str) -> anyhow::Result<String> {
    match place.split_once('/') {
        Some((account, room)) => of_account(account, &format!("/rooms/{}{rest}", word(room)?)),
        None => of_account(place, rest),
    }
}

pub(super) fn of_room(name: &str, rest: &str) -> anyhow::Result<String> {
    let (account, room) = pair(name)?;
    of_account(account, &format!("/rooms/{}{rest}", word(room)?))
}

pub(super) fn of_member(name: &str, rest: &str) -> anyhow::Result<String> {
    let (account, name) = pair(name)?;
    of_account(account, &format!("/members/{}{rest}", word(name)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_names_gets_into_a_path() {
        assert_eq!(of_member("acme/ann", "/x").unwrap(), "/v1/accounts/acme/members/ann/x");
        for name in ["acme", "acme/", "acme/a b", "../x", "acme/a?b", "acme/a%2f", "ACME/ann"] {
            assert!(of_member(name, "").is_err(), "{name}");
        }
    }
}
