//! One credential of a user or client, as it is added and revoked while an instance runs.
//!
//! What was revoked is remembered by its digest, and never becomes anybody's credential again, whoever declares it. People
//! name a credential by its [`Fingerprint`], which says nothing of it.

use crate::{
    config::{ClientConfig, UserConfig},
    device_key::DeviceKey,
    hidden::{PasswordHash, SharedSecret, TokenHash},
    key::KeyText,
};
use riser_model::AccountName;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr};

/// The digest of what a credential is verified with.
pub type Digest = [u8; 32];

pub(crate) fn digest(material: &[u8]) -> Digest {
    Sha256::digest(material).into()
}

pub(crate) fn token_digest(token: &TokenHash) -> Digest {
    digest(token.text().as_bytes())
}

/// A credential. The kinds of which somebody has one at most (password, secret, an edge's key) replace the former one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialConfig {
    /// A password's hash.
    Password(PasswordHash),
    /// A bearer token's hash.
    Token(TokenHash),
    /// A public key that answers challenges.
    Key(DeviceKey),
    /// A secret that answers challenges.
    Secret(SharedSecret),
    /// The key of an edge's link.
    EdgeKey(KeyText),
    /// A name in its certificates.
    Certificate(String),
}

impl CredentialConfig {
    /// Its kind, in configuration's words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Password(_) => "password",
            Self::Token(_) => "token",
            Self::Key(_) => "key",
            Self::Secret(_) => "secret",
            Self::EdgeKey(_) => "edge_key",
            Self::Certificate(_) => "certificate",
        }
    }

    /// Whether a user or client has one of its kind at most: another one takes its place.
    pub fn is_only(&self) -> bool {
        match self {
            Self::Password(_) | Self::Secret(_) | Self::EdgeKey(_) => true,
            Self::Token(_) | Self::Key(_) | Self::Certificate(_) => false,
        }
    }

    /// What is remembered of it when it is revoked.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Password(hash) => digest(hash.expose().as_bytes()),
            Self::Token(hash) => token_digest(hash),
            Self::Key(key) => digest(&key.0),
            Self::Secret(secret) => digest(secret.expose()),
            Self::EdgeKey(key) => digest(&key.0.0),
            // A name is anybody's to choose: it is kept apart from what a digest of something else is made of.
            Self::Certificate(name) => digest(format!("certificate {name}").as_bytes()),
        }
    }

    /// What people call it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.digest())
    }
}

/// What people call a credential: 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    pub(crate) fn of(digest: &Digest) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *digest;
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no fingerprint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotAFingerprint;

impl fmt::Display for NotAFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a fingerprint; want the 16 hexadecimal digits that a list of credentials shows")
    }
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let number = digits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        number.map(Self).ok_or(NotAFingerprint)
    }
}

/// A user or a client: the same to credentials and rights.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Member {
    /// A person.
    User(UserConfig),
    /// A device or an edge.
    Client(ClientConfig),
}

impl Member {
    /// Its name.
    pub fn name(&self) -> &AccountName {
        match self {
            Self::User(user) => &user.name,
            Self::Client(client) => &client.name,
        }
    }

    /// Its credentials.
    pub fn credentials(&self) -> Vec<CredentialConfig> {
        let (password, tokens, keys, secret, certificates, edge) = match self {
            Self::User(user) => {
                (&user.password, &user.tokens, &user.keys, &user.secret, &user.certificates, None)
            }
            Self::Client(one) => {
                (&one.password, &one.tokens, &one.keys, &one.secret, &one.certificates, one.key)
            }
        };
        let password = password.iter().cloned().map(CredentialConfig::Password);
        let tokens = tokens.iter().copied().map(CredentialConfig::Token);
        let keys = keys.iter().copied().map(CredentialConfig::Key);
        let secret = secret.iter().cloned().map(CredentialConfig::Secret);
        let edge = edge.map(CredentialConfig::EdgeKey);
        let certificates = certificates.iter().cloned().map(CredentialConfig::Certificate);
        password.chain(tokens).chain(keys).chain(secret).chain(edge).chain(certificates).collect()
    }

    /// Gives it one more, or another one where it may have one only. False where it can have none of that kind: a user is
    /// no edge.
    pub fn add(&mut self, credential: CredentialConfig) -> bool {
        if let (Self::User(_), CredentialConfig::EdgeKey(_)) = (&*self, &credential) {
            return false;
        }
        let (password, tokens, keys, secret, certificates) = match self {
            Self::User(user) => {
                let UserConfig { password, tokens, keys, secret, certificates, .. } = user;
                (password, tokens, keys, secret, certificates)
            }
            Self::Client(one) => {
                if let CredentialConfig::EdgeKey(key) = credential {
                    one.key = Some(key);
                    return true;
                }
                let ClientConfig { password, tokens, keys, secret, certificates, .. } = one;
                (password, tokens, keys, secret, certificates)
            }
        };
        match credential {
            CredentialConfig::Password(hash) => *password = Some(hash),
            CredentialConfig::Token(hash) => tokens.push(hash),
            CredentialConfig::Key(key) => keys.push(key),
            CredentialConfig::Secret(shared) => *secret = Some(shared),
            CredentialConfig::Certificate(name) => certificates.push(name),
            CredentialConfig::EdgeKey(_) => {}
        }
        true
    }

    /// Takes from it every credential that is not to be kept.
    pub fn retain(&mut self, keep: impl Fn(&Digest) -> bool) {
        let kept: Vec<CredentialConfig> =
            self.credentials().into_iter().filter(|one| keep(&one.digest())).collect();
        match self {
            Self::User(user) => (user.password, user.secret) = (None, None),
            Self::Client(one) => (one.password, one.secret, one.key) = (None, None, None),
        }
        let (tokens, keys, certificates) = match self {
            Self::User(user) => (&mut user.tokens, &mut user.keys, &mut user.certificates),
            Self::Client(one) => (&mut one.tokens, &mut one.keys, &mut one.certificates),
        };
        tokens.clear();
        keys.clear();
        certificates.clear();
        for one in kept {
            self.add(one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_name_credentials_and_say_nothing_of_them() {
        let token = CredentialConfig::Token(TokenHash::of(b"canary"));
        let name = token.fingerprint().to_string();
        assert_eq!(name.parse(), Ok(token.fingerprint()));
        assert_ne!(token.fingerprint(), CredentialConfig::Key(DeviceKey([1; 32])).fingerprint());
        assert!(!TokenHash::of(b"canary").text().contains(&name));
        for text in ["", "0", "+123456789abcdef", "0123456789abcdefg"] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_kept_is_gone_and_the_rest_is_as_it_was() {
        let mut config = ClientConfig::new("pump".parse().unwrap());
        config.tokens = vec![TokenHash::of(b"a"), TokenHash::of(b"b")];
        config.keys = vec![DeviceKey([1; 32])];
        config.certificates = vec!["pump.example".to_owned()];
        let mut member = Member::Client(config.clone());
        let gone = CredentialConfig::Token(TokenHash::of(b"a")).digest();
        member.retain(|digest| *digest != gone);
        config.tokens.remove(0);
        assert_eq!(member, Member::Client(config));
        member.retain(|_| false);
        assert_eq!(member, Member::Client(ClientConfig::new("pump".parse().unwrap())), "nothing is left");
    }
}
