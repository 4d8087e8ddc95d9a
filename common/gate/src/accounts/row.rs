//! An account as a row of bytes: how it is kept.
//!
//! ```text
//! row   u8 version (1) | u32 crc32c of what follows, little endian | CBOR of the account, secrets included
//! ```
//!
//! In CBOR fields have names: one that is missing has the default that it has in configuration, so what a later build adds
//! is no new version. A field that is not known is not skipped: it may deny something.

use super::Account;

/// The version that this build writes.
pub const VERSION: u8 = 1;

/// Why a row is not an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadRow {
    /// Its bytes are not those that were written.
    Damaged,
    /// A later build wrote it.
    Newer,
}

/// The row of an account.
pub fn write(account: &Account) -> Vec<u8> {
    let mut body = Vec::new();
    ciborium::into_writer(account, &mut body).expect("plain values serialize into memory");
    let mut row = vec![VERSION];
    row.extend(crc32c::crc32c(&body).to_le_bytes());
    row.extend(body);
    row
}

/// The account of a row.
pub fn read(row: &[u8]) -> Result<Account, BadRow> {
    let (version, rest) = row.split_first().ok_or(BadRow::Damaged)?;
    let (crc, body) = rest.split_first_chunk::<4>().ok_or(BadRow::Damaged)?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*crc) {
        return Err(BadRow::Damaged);
    }
    if *version != VERSION {
        return Err(BadRow::Newer);
    }
    ciborium::from_reader(body).map_err(|_| BadRow::Newer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AccountConfig, Role, UserConfig};
    use riser_model::AccountId;
    use uuid::Uuid;

    #[test]
    fn role_is_kept_by_the_word_that_was_given() {
        for role in Role::ALL {
            let word = serde_json::to_value(role).unwrap();
            assert_eq!(word, role.name());
            let user = UserConfig { role: Some(role), ..UserConfig::new("ann".parse().unwrap()) };
            let id = AccountId(Uuid::from_u128(1));
            let config =
                AccountConfig { user: vec![user], ..AccountConfig::new("acme".parse().unwrap(), id) };
            let kept = write(&Account::new(config));
            assert_eq!(read(&kept).unwrap().config.user[0].role, Some(role));
        }
    }
}
