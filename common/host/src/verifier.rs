//! What every instance can verify for its gates: passwords and signatures, tokens by the keys that their issuers publish, and that a
//! signed password did not let somebody in before this process began.

use crate::{
    key_sets::{Found, KeySets},
    signed_passwords::SignedPasswords,
};
use riser_gate::{Proof, Verdict, VerifyingKey};
use riser_shell::{
    Clock, Passwords,
    proofs::{self, Finding, Verify},
};
use std::{net::IpAddr, sync::Arc};

/// See the module.
#[derive(Debug)]
pub struct Verifier {
    passwords: Passwords,
    key_sets: Arc<KeySets>,
    signed: Option<Arc<SignedPasswords>>,
}

impl Verifier {
    /// With those keys, and those signed passwords, if any are kept.
    pub fn new(passwords: Passwords, key_sets: Arc<KeySets>, signed: Option<Arc<SignedPasswords>>) -> Self {
        Self { passwords, key_sets, signed }
    }

    /// Whether a proof holds. There are no cookies of anybody's here, and no directory servers.
    pub async fn find(&self, proof: Proof, from: Option<IpAddr>) -> Verdict {
        match proof {
            Proof::Token { source, kid, alg, message, signature } => {
                let is_named = kid.is_some();
                let verify = async |keys: Vec<VerifyingKey>| {
                    let (message, signature) = (message.clone(), signature.clone());
                    let proof = Proof::Signature { keys, message, signature };
                    proofs::verify(&self.passwords, proof, from).await
                };
                let keys = match self.key_sets.find(&source, kid, alg).await {
                    Found::Keys(keys) => keys,
                    Found::Unknown => return Verdict::Differs,
                    Found::Away => return Verdict::Away,
                };
                let verdict = verify(keys.clone()).await;
                if is_named || verdict != Verdict::Differs {
                    return verdict;
                }
                match self.key_sets.find_newer(&source, alg).await {
                    Found::Keys(newer) if newer != keys => verify(newer).await,
                    Found::Keys(_) | Found::Unknown | Found::Away => verdict,
                }
            }
            Proof::Once { digest, until } => match &self.signed {
                Some(signed) => {
                    let signed = Arc::clone(signed);
                    // It writes its file.
                    let noted = tokio::task::spawn_blocking(move || signed.note(digest, until, Clock.now()));
                    noted.await.unwrap_or(Verdict::Busy)
                }
                None => Verdict::Matches,
            },
            proof @ (Proof::Password { .. }
            | Proof::Signature { .. }
            | Proof::Cookie { .. }
            | Proof::Ldap { .. }) => proofs::verify(&self.passwords, proof, from).await,
        }
    }
}

impl Verify for Verifier {
    fn verify(&self, proof: Proof, from: Option<IpAddr>) -> Finding<'_> {
        Box::pin(self.find(proof, from))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use ring::signature::{Ed25519KeyPair, KeyPair};
    use riser_gate::{Algorithm, KeySource};
    use riser_model::Time;
    use std::time::Duration;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    fn pair(n: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[n; 32]).unwrap()
    }

    fn document(n: u8) -> String {
        let x = URL_SAFE_NO_PAD.encode(pair(n).public_key());
        format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"{n}","x":"{x}"}}]}}"#)
    }

    /// An issuer that publishes this key at the moment.
    async fn issuer(n: u8) -> Arc<KeySource> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(socket.read_u8().await.unwrap());
                }
                let body = document(n);
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Arc::new(KeySource { url: Some(url), issuer: "sso".to_owned(), ca: None })
    }

    /// What becomes of a token by that key, where the issuer published another one so long ago and this one since.
    async fn comes(kid: Option<&str>, signed_by: u8, asked_before: Duration) -> (Verdict, u64) {
        let (source, key_sets) = (issuer(2).await, Arc::new(KeySets::default()));
        let now = Clock.now().time;
        let before = Time(now.0 - u64::try_from(asked_before.as_nanos()).unwrap());
        key_sets.published(&source, document(1).as_bytes(), before);
        let verifier = Verifier::new(Passwords::new(1), Arc::clone(&key_sets), None);
        let signature = pair(signed_by).sign(b"message").as_ref().to_vec();
        let (kid, message) = (kid.map(str::to_owned), b"message"[..].into());
        let proof = Proof::Token { source, kid, alg: Algorithm::EdDSA, message, signature: signature.into() };
        let verdict = verifier.verify(proof, None).await;
        (verdict, key_sets.each()[0].2)
    }

    #[tokio::test]
    async fn token_that_names_no_key_and_has_another_signature_has_the_keys_fetched_once_more() {
        let long_ago = Duration::from_secs(11);
        assert_eq!(comes(None, 1, long_ago).await, (Verdict::Matches, 0), "the key is here");
        assert_eq!(comes(None, 2, long_ago).await, (Verdict::Matches, 1), "it was published since");
        assert_eq!(comes(None, 3, long_ago).await, (Verdict::Differs, 1), "it is nobody's");
        assert_eq!(comes(None, 2, Duration::ZERO).await, (Verdict::Differs, 0), "it was asked a moment ago");
        assert_eq!(comes(Some("1"), 2, long_ago).await, (Verdict::Differs, 0), "it says by which key");
    }
}
