//! A key that something signed can be verified with. The key says which algorithm: what is signed never does.

use crate::hidden::SharedSecret;
use std::fmt;

/// A public key, or a secret that both sides know.
#[derive(Clone, PartialEq, Eq)]
pub enum VerifyingKey {
    /// Ed25519.
    Ed25519([u8; 32]),
    /// ECDSA on P-256 with SHA-256; an uncompressed point. Signatures are r and s, 64 bytes.
    P256([u8; 65]),
    /// RSA with PKCS #1 v1.5 and SHA-256, at least 2048 bits; without leading zeros.
    Rsa {
        /// The modulus.
        modulus: Vec<u8>,
        /// The public exponent.
        exponent: Vec<u8>,
    },
    /// HMAC with SHA-256.
    Hmac(SharedSecret),
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519(_) => "Ed25519",
            Self::P256(_) => "P256",
            Self::Rsa { .. } => "Rsa",
            Self::Hmac(_) => "Hmac",
        })
    }
}
