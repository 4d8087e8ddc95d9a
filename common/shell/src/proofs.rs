//! Proofs that a gate asks for: passwords in line behind each other, signatures and HMACs at once, for they cost
//! microseconds. A program that knows of more brings its own [`Verify`].

use crate::passwords::Passwords;
use ring::{
    hmac,
    signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm},
};
use riser_gate::{Proof, Verdict, VerifyingKey};
use std::{future::Future, net::IpAddr, pin::Pin};

/// A verdict to come.
pub type Finding<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// Finds out what gates want to know, off the core's task.
pub trait Verify: Send + Sync {
    /// Whether a proof holds, for somebody from there. Dropped before it is done, it lets go of what it waits for.
    fn verify(&self, proof: Proof, from: Option<IpAddr>) -> Finding<'_>;
}

impl Verify for Passwords {
    fn verify(&self, proof: Proof, from: Option<IpAddr>) -> Finding<'_> {
        Box::pin(verify(self, proof, from))
    }
}

/// Whether a proof holds, as far as nobody else has to be asked.
pub async fn verify(passwords: &Passwords, proof: Proof, from: Option<IpAddr>) -> Verdict {
    match proof {
        Proof::Password { hash, password } => passwords.verify(hash, password, from).await,
        Proof::Signature { keys, message, signature } => {
            verdict(keys.iter().any(|key| signed(key, &message, &signature)))
        }
        // What is published has to be fetched, and directory servers asked: whoever can brings its own verifier.
        Proof::Token { .. } | Proof::Ldap { .. } => Verdict::Away,
        // Nobody signs in here.
        Proof::Cookie { .. } => Verdict::Differs,
        // Where nothing is kept there was no earlier process.
        Proof::Once { .. } => Verdict::Matches,
    }
}

fn signed(key: &VerifyingKey, message: &[u8], shown: &[u8]) -> bool {
    let plain = |algorithm, key| UnparsedPublicKey::new(algorithm, key).verify(message, shown).is_ok();
    match key {
        VerifyingKey::Ed25519(key) => plain(&signature::ED25519 as &dyn VerificationAlgorithm, &key[..]),
        VerifyingKey::P256(point) => plain(&signature::ECDSA_P256_SHA256_FIXED, &point[..]),
        VerifyingKey::Rsa { modulus, exponent } => {
            let key = RsaPublicKeyComponents { n: modulus, e: exponent };
            key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, shown).is_ok()
        }
        VerifyingKey::Hmac(secret) => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
            hmac::verify(&key, message, shown).is_ok()
        }
    }
}

fn verdict(holds: bool) -> Verdict {
    if holds { Verdict::Matches } else { Verdict::Differs }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ring::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
    };

    fn ed25519(seed: u8) -> (Ed25519KeyPair, VerifyingKey) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let key = VerifyingKey::Ed25519(pair.public_key().as_ref().try_into().unwrap());
        (pair, key)
    }

    async fn holds(keys: &[VerifyingKey], message: &'static str, signature: &[u8]) -> bool {
        let signature = Bytes::copy_from_slice(signature);
        let proof = Proof::Signature { keys: keys.to_vec(), message: message.into(), signature };
        verify(&Passwords::new(1), proof, None).await == Verdict::Matches
    }

    #[tokio::test]
    async fn signature_holds_under_its_own_key_and_message_only() {
        let ((pair, own), (_, other)) = (ed25519(1), ed25519(2));
        let signature = pair.sign(b"message");
        assert!(holds(&[other.clone(), own.clone()], "message", signature.as_ref()).await);
        assert!(!holds(&[other], "message", signature.as_ref()).await);
        assert!(!holds(&[own], "Message", signature.as_ref()).await);
        assert!(!holds(&[], "message", signature.as_ref()).await);
    }

    #[tokio::test]
    async fn p256_holds_under_its_own_key_only() {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, made.as_ref(), &random).unwrap();
        let key = VerifyingKey::P256(pair.public_key().as_ref().try_into().unwrap());
        let signature = pair.sign(&random, b"message").unwrap();
        assert!(holds(std::slice::from_ref(&key), "message", signature.as_ref()).await);
        assert!(!holds(&[key, ed25519(1).1], "other", signature.as_ref()).await);
    }

    #[tokio::test]
    async fn hmac_holds_under_its_own_secret_only() {
        let key = VerifyingKey::Hmac("AAECAwQFBgcICQoLDA0ODw".parse().unwrap());
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &(0..16).collect::<Vec<u8>>());
        let tag = hmac::sign(&secret, b"message");
        let keys = std::slice::from_ref(&key);
        assert!(holds(keys, "message", tag.as_ref()).await);
        assert!(!holds(keys, "message", &tag.as_ref()[..31]).await);
        assert!(!holds(keys, "message", b"").await);
        assert!(
            !holds(&[VerifyingKey::Hmac("AAAAAAAAAAAAAAAAAAAAAA".parse().unwrap())], "message", tag.as_ref())
                .await
        );
    }
}
