//! Secrets in configuration: they can be read by those who need them and are never printed.
//!
//! Debug of every type here, and every format that people read, say `(hidden)`; error messages of their parsers never
//! repeat what was given. Formats that are for machines alone hold them as they are: the rows in which accounts are kept
//! ([`crate::accounts::row`]) are the only such place.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use std::{fmt, hint::black_box, str::FromStr};

/// What is printed in a secret's place.
pub const HIDDEN: &str = "(hidden)";

macro_rules! never_printed {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(HIDDEN)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.serialize_str(HIDDEN)
                } else {
                    serializer.serialize_str(&self.kept())
                }
            }
        }
    };
}

macro_rules! parsed_from_text {
    ($name:ident) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

/// A secret text.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(String);

impl Hidden {
    /// Hides a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn kept(&self) -> String {
        self.0.clone()
    }
}

never_printed!(Hidden);

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// A password's argon2id hash, in PHC text form.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Hidden);

impl PasswordHash {
    /// The PHC text, for who verifies.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    fn kept(&self) -> String {
        self.expose().to_owned()
    }
}

never_printed!(PasswordHash);
parsed_from_text!(PasswordHash);

/// A text that is not a password hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAPasswordHash;

impl fmt::Display for NotAPasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an argon2id hash; make one with `account hash` and put its output here")
    }
}

impl FromStr for PasswordHash {
    type Err = NotAPasswordHash;

    fn from_str(text: &str) -> Result<Self, NotAPasswordHash> {
        if is_argon2id(text) { Ok(Self(Hidden::new(text))) } else { Err(NotAPasswordHash) }
    }
}

/// `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`, the costs bounded so that no hash can stall the verifier.
fn is_argon2id(text: &str) -> bool {
    const MEMORY_KIB_MAX: u32 = 1024 * 1024;
    const PASSES_MAX: u32 = 64;
    const LANES_MAX: u32 = 16;
    let mut parts = text.split('$');
    let head = (parts.next(), parts.next(), parts.next());
    let (Some(costs), Some(salt), Some(hash), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let cost = |name: &str, max: u32| {
        let mut values = costs.split(',').filter_map(|cost| cost.strip_prefix(name)?.strip_prefix('='));
        values
            .next()
            .and_then(|value| value.parse().ok())
            .is_some_and(|value: u32| (1..=max).contains(&value))
    };
    let base64 = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
    head == (Some(""), Some("argon2id"), Some("v=19"))
        && cost("m", MEMORY_KIB_MAX)
        && cost("t", PASSES_MAX)
        && cost("p", LANES_MAX)
        && salt.len() >= 11
        && hash.len() >= 22
        && base64(salt)
        && base64(hash)
}

/// A secret that a device and this instance share, at least 16 bytes of base64url. It is kept as it is, for both must
/// know it: prefer keys.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedSecret(Vec<u8>);

/// A text that is not such a secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotASecret;

impl SharedSecret {
    /// The bytes, for who verifies.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    fn kept(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.0)
    }

    /// Bytes that are nobody's secret.
    pub(crate) fn stand_in(bytes: [u8; 32]) -> Self {
        Self(bytes.to_vec())
    }
}

never_printed!(SharedSecret);
parsed_from_text!(SharedSecret);

impl fmt::Display for NotASecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a shared secret; want 16 to 64 random bytes in base64url, without padding")
    }
}

impl FromStr for SharedSecret {
    type Err = NotASecret;

    fn from_str(text: &str) -> Result<Self, NotASecret> {
        let bytes = URL_SAFE_NO_PAD.decode(text.trim()).map_err(|_| NotASecret)?;
        if (16..=64).contains(&bytes.len()) { Ok(Self(bytes)) } else { Err(NotASecret) }
    }
}

/// The SHA-256 of a bearer token: enough, because tokens are made by us from 32 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of a token.
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Whether they are the same, in a time that says nothing about where they differ.
    pub fn same(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0, |seen, (a, b)| black_box(seen | (a ^ b))) == 0
    }

    fn kept(&self) -> String {
        self.text()
    }

    /// The form that configuration holds: `sha256:` and 64 hexadecimal digits.
    pub fn text(&self) -> String {
        self.0.iter().fold(String::from("sha256:"), |text, byte| text + &format!("{byte:02x}"))
    }
}

never_printed!(TokenHash);
parsed_from_text!(TokenHash);

/// A text that is not a token's hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotATokenHash;

impl fmt::Display for NotATokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a token hash; make a token with `account token` and put the line `sha256:...` here")
    }
}

impl FromStr for TokenHash {
    type Err = NotATokenHash;

    fn from_str(text: &str) -> Result<Self, NotATokenHash> {
        let digits = text.strip_prefix("sha256:").ok_or(NotATokenHash)?;
        if digits.len() != 64 || !digits.is_ascii() {
            return Err(NotATokenHash);
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| NotATokenHash)?;
            if pair.starts_with('+') {
                return Err(NotATokenHash);
            }
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NotATokenHash)?;
        }
        Ok(Self(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQx$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3";

    #[test]
    fn only_argon2id_hashes_are_password_hashes() {
        assert_eq!(HASH.parse::<PasswordHash>().unwrap().expose(), HASH);
        for text in [
            "hunter2",
            "",
            "$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHQx$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3",
            "$argon2id$v=19$m=99999999,t=2,p=1$c29tZXNhbHQx$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3",
            "$argon2id$v=19$m=19456,t=2$c29tZXNhbHQx$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3",
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQx$short",
        ] {
            assert_eq!(text.parse::<PasswordHash>(), Err(NotAPasswordHash), "{text}");
        }
    }

    #[test]
    fn token_hash_text_round_trips_and_compares() {
        let hash = TokenHash::of(b"abc");
        assert_eq!(hash.text().parse(), Ok(hash));
        assert!(hash.same(&TokenHash::of(b"abc")) && !hash.same(&TokenHash::of(b"abd")));
        for text in [
            "abc",
            "sha256:12",
            &format!("sha256:{}", "+1".repeat(32)),
            &format!("sha256:{}", "é".repeat(32)),
        ] {
            assert!(text.parse::<TokenHash>().is_err(), "{text}");
        }
    }

    #[test]
    fn secrets_are_never_printed() {
        let hash: PasswordHash = HASH.parse().unwrap();
        let printed = format!("{:?} {:?} {:?}", Hidden::new("canary"), hash, TokenHash::of(b"canary"));
        assert_eq!(printed, "(hidden) (hidden) (hidden)");
    }
}
