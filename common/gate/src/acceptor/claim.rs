//! Challenges who claims a name: it answers with a signature by one of its keys, or with an HMAC under the secret that
//! it shares with this instance.
//!
//! Who does not exist, or has no key or secret, is challenged like everybody and verified against a stand-in. The nonce
//! is the connection's own and good for one answer, so that nothing captured can be shown again.

use super::{Awaits, Given, Hears, Step, Whom, not_authorised};
use crate::{
    device_key::{DeviceKey, Signed},
    gate::{Effect, Proof},
    hidden::SharedSecret,
    verifying_key::VerifyingKey,
};
use base64::{
    Engine,
    engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig},
    engine::{DecodePaddingMode, general_purpose::URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use riser_model::{
    AccountName, Principal,
    door::{Credential, Method, Prompt, Secret},
};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The longest answer that is looked at: an armoured signature of `ssh-keygen` has about 300.
const ANSWER_BYTES_MAX: usize = 1024;

/// Standard base64, padded or not.
const STANDARD: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What the answer must prove.
#[derive(Debug)]
pub(crate) struct AwaitProof {
    whom: Option<Arc<Principal>>,
    against: Against,
    message: String,
}

#[derive(Debug)]
enum Against {
    Keys(Vec<DeviceKey>),
    Secret(SharedSecret),
}

pub(crate) fn begin(method: Method, given: &Given<'_>) -> Step {
    let (account, name) = match (given.credential, &given.standing.principal) {
        (Credential::Claim { account, name, method: by }, None) if *by == method => {
            (account.clone(), name.clone())
        }
        // A room that wants more than what let it into the account.
        (_, Some(principal)) => (Some(principal.account_name.clone()), principal.name.to_string()),
        (
            Credential::Anonymous
            | Credential::Person
            | Credential::Password { .. }
            | Credential::Token(_)
            | Credential::Ticket(_)
            | Credential::Cookie(_)
            | Credential::Claim { .. },
            None,
        ) => return Step::Next(None),
    };
    let nonce = nonce(given);
    let message = Prompt::challenge(&nonce, &claimed(account.as_ref(), &name), &given.caller.instance);
    let member = given.directory.claimed(account.as_ref(), &name);
    let stand_in = || given.directory.stand_in_secret();
    let has_none = member.as_ref().is_some_and(|member| match method {
        Method::Key => member.keys.is_empty(),
        Method::Secret => member.secret.is_none(),
    });
    if given.standing.principal.is_some() && has_none {
        // It is known who is there: nothing is given away, and another acceptor of the stage may do.
        return Step::Next(Some(not_authorised("no such credential that could be asked for")));
    }
    let (whom, against) = match (method, member) {
        (Method::Key, Some(member)) if !member.keys.is_empty() => {
            (Some(member.principal), Against::Keys(member.keys.to_vec()))
        }
        (Method::Secret, Some(member)) => {
            let secret = member.secret.cloned();
            let whom = secret.is_some().then_some(member.principal);
            (whom, Against::Secret(secret.unwrap_or_else(stand_in)))
        }
        (Method::Key, _) => (None, Against::Keys(vec![DeviceKey::STAND_IN])),
        (Method::Secret, None) => (None, Against::Secret(stand_in())),
    };
    let proof = AwaitProof { whom: whom.map(Arc::clone), against, message };
    Step::Say(Prompt::Challenge { method, nonce }, Hears::Proof(proof))
}

/// The name as both sides write it into what is signed.
pub(super) fn claimed(account: Option<&AccountName>, name: &str) -> String {
    match account {
        Some(account) => format!("{account}/{name}"),
        None => name.to_owned(),
    }
}

/// 32 bytes that nobody can foresee and that come once.
fn nonce(given: &Given<'_>) -> String {
    let digest = Sha256::new().chain_update(given.caller.entropy);
    URL_SAFE_NO_PAD.encode(digest.chain_update(given.standing.drawn.to_le_bytes()).finalize())
}

impl AwaitProof {
    pub(crate) fn hear(self, answer: &Secret) -> Step {
        let unreadable = || Step::Refuse(not_authorised("an answer to a challenge that cannot be read"));
        let Some(bytes) = decode(&answer.0) else { return unreadable() };
        let (proof, why) = match self.against {
            Against::Keys(keys) => {
                let Some(signed) = Signed::read(bytes, self.message) else { return unreadable() };
                let Signed { message, signature } = signed;
                let keys = keys.into_iter().map(|key| VerifyingKey::Ed25519(key.0)).collect();
                (Proof::Signature { keys, message, signature }, "a wrong signature")
            }
            Against::Secret(secret) => {
                let (keys, message) = (vec![VerifyingKey::Hmac(secret)], Bytes::from(self.message));
                let signature = bytes.into();
                (Proof::Signature { keys, message, signature }, "a wrong proof of the secret")
            }
        };
        let (whom, why) = match self.whom {
            Some(principal) => (Whom::Known(principal), why),
            None => (Whom::Nobody, "no such user or client, or one without a key or secret"),
        };
        Step::have(Effect::Verify(proof), None, Awaits::credential(whom, why))
    }
}

/// The bytes of an answer: as they are, or in base64, with or without the armour that `ssh-keygen -Y sign` puts around it.
fn decode(answer: &[u8]) -> Option<Vec<u8>> {
    if answer.len() > ANSWER_BYTES_MAX {
        return None;
    }
    // The bytes themselves: as many as no proof has in base64.
    if matches!(answer.len(), 32 | 64) {
        return Some(answer.to_vec());
    }
    let text = std::str::from_utf8(answer).ok()?;
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with("-----"));
    let text: String = lines.collect();
    let url_safe = text.contains(['-', '_']);
    if url_safe {
        URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
    } else {
        STANDARD.decode(text).ok()
    }
}
