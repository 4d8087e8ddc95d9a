//! What a hub can verify for its gates: passwords and signatures as everywhere, and its own cookies.

use crate::cookies::Cookies;
use riser_gate::{Proof, Verdict};
use riser_shell::{
    Passwords,
    proofs::{self, Finding, Verify},
};
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub struct Verifier {
    passwords: Passwords,
    cookies: Option<Arc<Cookies>>,
}

impl Verifier {
    /// With cookies, if people sign in here.
    pub fn new(passwords: Passwords, cookies: Option<Arc<Cookies>>) -> Self {
        Self { passwords, cookies }
    }
}

impl Verify for Verifier {
    fn verify(&self, proof: Proof) -> Finding<'_> {
        match (proof, &self.cookies) {
            (Proof::Cookie { message, signature }, Some(cookies)) => {
                let verdict = cookies.verify(&message, &signature.0);
                Box::pin(async move { verdict })
            }
            (Proof::Cookie { .. }, None) => Box::pin(async { Verdict::Differs }),
            (proof @ (Proof::Password { .. } | Proof::Signature { .. }), _) => {
                Box::pin(proofs::verify(&self.passwords, proof))
            }
        }
    }
}
