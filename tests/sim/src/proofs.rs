//! What people prove themselves with, and how: names in place of keys, and a digest in place of every signature. Who has
//! not the name of a key does not make its signature here either.

use crate::{dice::Digest, house::Means, site};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use riser_gate::{DeviceKey, SharedSecret, TokenHash, credential::CredentialConfig};
use serde_json::json;

/// Who signs tokens.
pub const ISSUER: &str = "https://sso.example";
/// For whom.
pub const AUDIENCE: &str = "riser";
/// By which the hub is known to those who answer challenges.
pub const INSTANCE: &str = "the hub";
const ISSUER_KEY: &[u8] = b"the issuer's key";

/// One thing that somebody proves itself with: the n-th of its kind that it had.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Token {
    /// Whose.
    pub person: usize,
    /// Which kind.
    pub means: Means,
    /// Which of them.
    pub n: u32,
}

impl Token {
    fn name(self) -> String {
        format!("{:?}-{}-{}", self.means, self.person, self.n)
    }

    fn bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(&signature(self.name().as_bytes(), b"")[..32]);
        bytes
    }

    /// A password, or a bearer token.
    pub fn text(self) -> String {
        self.name()
    }

    /// A proof over a challenge, in base64.
    pub fn answer(self, account_and_name: &str, nonce: &str) -> String {
        let message = format!("riser gate challenge 2\n{nonce}\n{account_and_name}\n{INSTANCE}\n");
        let all = signature(&self.bytes(), message.as_bytes());
        URL_SAFE_NO_PAD.encode(if self.means == Means::Secret { &all[..32] } else { &all[..] })
    }

    /// As the account has it. What is known elsewhere it does not have.
    pub fn credential(self) -> Option<CredentialConfig> {
        match self.means {
            Means::Password => Some(CredentialConfig::Password(site::hash(&self.text()))),
            Means::Token => Some(CredentialConfig::Token(TokenHash::of(self.text().as_bytes()))),
            Means::Key => Some(CredentialConfig::Key(DeviceKey(self.bytes()))),
            Means::Secret => {
                let text = URL_SAFE_NO_PAD.encode(self.bytes());
                let secret: SharedSecret = text.parse().expect("32 bytes are a secret");
                Some(CredentialConfig::Secret(secret))
            }
            Means::Directory | Means::Jwt => None,
        }
    }
}

/// What stands for a signature.
pub fn signature(key: &[u8], message: &[u8]) -> [u8; 64] {
    let mut all = [0; 64];
    for (n, part) in (0_u64..).zip(all.chunks_exact_mut(8)) {
        let mut digest = Digest::default();
        digest.number(n);
        digest.bytes(key);
        digest.number(key.len() as u64);
        digest.bytes(message);
        part.copy_from_slice(&digest.0.to_le_bytes());
    }
    all
}

/// A token of the issuer for somebody, good until then (seconds since 1970), signed by the issuer or by somebody else.
pub fn jwt(name: &str, until_s: i64, honest: bool) -> String {
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({"alg": "EdDSA", "kid": "k"}));
    let claims = part(json!({"iss": ISSUER, "aud": AUDIENCE, "sub": name, "exp": until_s}));
    let message = format!("{header}.{claims}");
    let key = if honest { ISSUER_KEY } else { b"another key" };
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature(key, message.as_bytes())))
}

/// Whether the issuer has signed that.
pub fn issuer_signed(message: &[u8], shown: &[u8]) -> bool {
    signature(ISSUER_KEY, message) == shown
}

/// Whether a key or secret has made that proof.
pub fn proves(key: &[u8], message: &[u8], shown: &[u8]) -> bool {
    let all = signature(key, message);
    shown.len() >= 32 && all.starts_with(shown)
}

/// What the directory server knows of a person.
pub fn directory_password(name: &str) -> String {
    format!("directory password of {name}")
}
