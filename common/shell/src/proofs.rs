//! Proofs that a gate asks for: passwords in line behind each other, signatures and HMACs at once, for they cost
//! microseconds.

use crate::passwords::Passwords;
use ring::{hmac, signature};
use riser_gate::{Proof, Verdict};

/// Whether a proof holds.
pub async fn verify(passwords: &Passwords, proof: Proof) -> Verdict {
    match proof {
        Proof::Password { hash, password } => passwords.verify(hash, password).await,
        Proof::Signature { keys, message, signature } => {
            let signed = |key: &[u8; 32]| {
                signature::UnparsedPublicKey::new(&signature::ED25519, key)
                    .verify(&message, &signature)
                    .is_ok()
            };
            verdict(keys.iter().any(|key| signed(&key.0)))
        }
        Proof::Hmac { secret, message, tag } => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose());
            verdict(hmac::verify(&key, &message, &tag).is_ok())
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
    use ring::signature::{Ed25519KeyPair, KeyPair};
    use riser_gate::DeviceKey;

    fn pair(seed: u8) -> (Ed25519KeyPair, DeviceKey) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let key = DeviceKey(pair.public_key().as_ref().try_into().unwrap());
        (pair, key)
    }

    #[tokio::test]
    async fn signature_holds_under_its_own_key_and_message_only() {
        let passwords = Passwords::new(1);
        let ((one, own), (_, other)) = (pair(1), pair(2));
        let signature = Bytes::copy_from_slice(one.sign(b"message").as_ref());
        let proof = |keys, message: &'static str| Proof::Signature {
            keys,
            message: message.into(),
            signature: signature.clone(),
        };
        assert_eq!(verify(&passwords, proof(vec![other, own], "message")).await, Verdict::Matches);
        assert_eq!(verify(&passwords, proof(vec![other], "message")).await, Verdict::Differs);
        assert_eq!(verify(&passwords, proof(vec![own], "Message")).await, Verdict::Differs);
        assert_eq!(verify(&passwords, proof(vec![], "message")).await, Verdict::Differs);
    }

    #[tokio::test]
    async fn hmac_holds_under_its_own_secret_only() {
        let passwords = Passwords::new(1);
        let secret = "AAECAwQFBgcICQoLDA0ODw".parse().unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &(0..16).collect::<Vec<u8>>());
        let tag = Bytes::copy_from_slice(hmac::sign(&key, b"message").as_ref());
        let proof = |tag| Proof::Hmac {
            secret: riser_gate::SharedSecret::clone(&secret),
            message: "message".into(),
            tag,
        };
        assert_eq!(verify(&passwords, proof(tag.clone())).await, Verdict::Matches);
        assert_eq!(verify(&passwords, proof(tag.slice(..31))).await, Verdict::Differs);
        assert_eq!(verify(&passwords, proof(Bytes::new())).await, Verdict::Differs);
    }
}
