//! What a hub can verify for its gates: passwords and signatures as everywhere, its own cookies, tokens by the keys
//! that their issuers publish, and people's passwords by the directory servers that know them.

use crate::{
    cookies::Cookies,
    key_sets::{Found, KeySets},
    ldap::Ldaps,
};
use riser_gate::{Proof, Verdict, VerifyingKey};
use riser_shell::{
    Passwords,
    proofs::{self, Finding, Verify},
};
use std::{net::IpAddr, sync::Arc};

/// See the module.
#[derive(Debug)]
pub struct Verifier {
    passwords: Passwords,
    cookies: Option<Arc<Cookies>>,
    key_sets: Arc<KeySets>,
    ldaps: Arc<Ldaps>,
}

impl Verifier {
    /// With cookies, if people sign in here.
    pub fn new(
        passwords: Passwords,
        cookies: Option<Arc<Cookies>>,
        key_sets: Arc<KeySets>,
        ldaps: Arc<Ldaps>,
    ) -> Self {
        Self { passwords, cookies, key_sets, ldaps }
    }

    async fn find(&self, proof: Proof, from: Option<IpAddr>) -> Verdict {
        match proof {
            Proof::Cookie { message, signature } => match &self.cookies {
                Some(cookies) => cookies.verify(&message, &signature.0),
                None => Verdict::Differs,
            },
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
            Proof::Ldap { server, user, password } => {
                self.ldaps.verify(&server, &user, &password, from).await
            }
            proof @ (Proof::Password { .. } | Proof::Signature { .. }) => {
                proofs::verify(&self.passwords, proof, from).await
            }
        }
    }
}

impl Verify for Verifier {
    fn verify(&self, proof: Proof, from: Option<IpAddr>) -> Finding<'_> {
        Box::pin(self.find(proof, from))
    }
}
