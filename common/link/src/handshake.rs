//! Keys of both ends, and their signatures under [`Hello`](riser_wire::link::Hello) and
//! [`Welcome`](riser_wire::link::Welcome) (rule 7.1). What is signed is `riser-wire`'s `link::sign`.

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use riser_model::PublicKey;
use riser_wire::link::Signature;
use std::fmt;

/// An ed25519 key. Never printed; wiped when dropped.
#[derive(Clone)]
pub struct Key(SigningKey);

impl Key {
    /// From its 32 secret bytes.
    pub fn from_secret(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> Signature {
        Signature::from_bytes(&self.0.sign(bytes).to_bytes())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key(redacted, {:?})", self.public())
    }
}

/// Whether the holder of the key signed these bytes. Weak keys and malleable signatures do not count.
pub(crate) fn holds(key: PublicKey, bytes: &[u8], signature: Signature) -> bool {
    let signature = ed25519_dalek::Signature::from_bytes(&signature.to_bytes());
    VerifyingKey::from_bytes(&key.0).is_ok_and(|key| key.verify_strict(bytes, &signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_holder_of_the_key_signs() {
        let (key, other) = (Key::from_secret(&[1; 32]), Key::from_secret(&[2; 32]));
        let signature = key.sign(b"words");
        assert!(holds(key.public(), b"words", signature));
        assert!(!holds(key.public(), b"other", signature));
        assert!(!holds(other.public(), b"words", signature));
        assert!(!holds(PublicKey([0; 32]), b"words", signature));
        assert!(!holds(PublicKey([255; 32]), b"words", signature));
    }

    #[test]
    fn secrets_are_not_printed() {
        assert!(!format!("{:?}", Key::from_secret(&[7; 32])).contains("7, 7"));
    }
}
