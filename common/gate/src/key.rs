//! An ed25519 public key as text: 32 bytes in base64url without padding.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use riser_model::PublicKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// A public key in configuration and on command lines.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct KeyText(pub PublicKey);

/// A text that is not a public key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAKey;

impl fmt::Display for NotAKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a public key; want the 43 characters that `key show` prints")
    }
}

impl fmt::Display for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0.0))
    }
}

impl FromStr for KeyText {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotAKey)?;
        bytes.try_into().map(|key| Self(PublicKey(key))).map_err(|_| NotAKey)
    }
}

impl Serialize for KeyText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_text_round_trips() {
        let key = KeyText(PublicKey([7; 32]));
        assert_eq!(key.to_string().len(), 43);
        assert_eq!(key.to_string().parse(), Ok(key));
        for text in ["", "abc", &"A".repeat(44), "!".repeat(43).as_str()] {
            assert_eq!(text.parse::<KeyText>(), Err(NotAKey), "{text}");
        }
    }
}
