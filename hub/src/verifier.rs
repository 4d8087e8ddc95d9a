//! What a hub can verify for its gates: what every instance can, its own cookies, and people's passwords by the directory
//! servers that know them.

use crate::{cookies::Cookies, ldap::Ldaps};
use riser_gate::{Proof, Verdict};
use riser_shell::proofs::{Finding, Verify};
use std::{net::IpAddr, sync::Arc};

/// See the module.
#[derive(Debug)]
pub struct Verifier {
    every: riser_host::Verifier,
    cookies: Option<Arc<Cookies>>,
    ldaps: Arc<Ldaps>,
}

impl Verifier {
    /// With cookies, if people sign in here.
    pub fn new(every: riser_host::Verifier, cookies: Option<Arc<Cookies>>, ldaps: Arc<Ldaps>) -> Self {
        Self { every, cookies, ldaps }
    }

    async fn find(&self, proof: Proof, from: Option<IpAddr>) -> Verdict {
        match proof {
            Proof::Cookie { message, signature } => match &self.cookies {
                Some(cookies) => cookies.verify(&message, &signature.0),
                None => Verdict::Differs,
            },
            Proof::Ldap { server, user, password } => {
                self.ldaps.verify(&server, &user, &password, from).await
            }
            proof @ (Proof::Password { .. }
            | Proof::Signature { .. }
            | Proof::Token { .. }
            | Proof::Once { .. }) => self.every.find(proof, from).await,
        }
    }
}

impl Verify for Verifier {
    fn verify(&self, proof: Proof, from: Option<IpAddr>) -> Finding<'_> {
        Box::pin(self.find(proof, from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::door::Secret;
    use riser_shell::Passwords;

    #[tokio::test]
    async fn nobody_signs_in_where_there_are_no_cookies() {
        let verifier = Verifier::new(
            riser_host::Verifier::new(Passwords::new(1), Arc::default(), None),
            None,
            Arc::default(),
        );
        let proof = Proof::Cookie { message: b"m"[..].into(), signature: Secret(b"s"[..].into()) };
        assert_eq!(verifier.verify(proof, None).await, Verdict::Differs);
    }
}
