//! `[[account.issuer]]`: who may vouch for users of an account with tokens (JWT), and with which keys: those in the
//! configuration, or those that it publishes ([`crate::key_set`]).

use crate::{
    hidden::SharedSecret,
    invalid::Invalid,
    key_set::{KeySource, is_safe},
    provider::{PageConfig, Provider},
    verifying_key::VerifyingKey,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use riser_model::AccountName;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{path::PathBuf, sync::Arc};

/// An issuer of tokens: `[[account.issuer]]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// What its tokens say in `iss`, to the letter.
    pub issuer: String,
    /// What its tokens for this account have in `aud`.
    pub audience: String,
    /// The claim that names the user or client.
    #[serde(default = "sub")]
    pub claim: String,
    /// Its keys: `[[account.issuer.key]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<JwkConfig>,
    /// Where it publishes its keys, as a JWK Set: an `https` URL, or `http` within this host. Hubs fetch it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_set: Option<String>,
    /// Whether it says itself where that is, as providers of OpenID Connect do: then `issuer` is a URL.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub discover: bool,
    /// The authorities (PEM) that vouch for its host; the system's unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// How the page of a hub sends its people there, and they come back with a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<PageConfig>,
}

fn sub() -> String {
    "sub".to_owned()
}

/// A key, with the member names of a JWK (RFC 7517, 7518, 8037).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwkConfig {
    /// Its name, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The one algorithm that it is used with.
    pub alg: Algorithm,
    /// EdDSA, ES256: the key, or its x.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// ES256: its y.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// RS256: the modulus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// RS256: the exponent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
    /// HS256: the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub k: Option<SharedSecret>,
}

/// How a token is signed. A closed list, without `none`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Algorithm {
    /// Ed25519.
    EdDSA,
    /// ECDSA on P-256.
    ES256,
    /// RSA with PKCS #1 v1.5.
    RS256,
    /// HMAC.
    HS256,
}

impl Algorithm {
    /// The one of that name whose keys may be published.
    pub(crate) fn public(name: &str) -> Option<Self> {
        [Self::EdDSA, Self::ES256, Self::RS256].into_iter().find(|alg| alg.name() == name)
    }

    /// Its name in `alg`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::EdDSA => "EdDSA",
            Self::ES256 => "ES256",
            Self::RS256 => "RS256",
            Self::HS256 => "HS256",
        }
    }
}

/// An issuer as it is looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Issuer {
    pub(crate) account: AccountName,
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) claim: String,
    pub(crate) keys: Vec<Jwk>,
    /// Where its other keys are.
    pub(crate) source: Option<Arc<KeySource>>,
}

/// One of its keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Jwk {
    pub(crate) kid: Option<String>,
    pub(crate) alg: Algorithm,
    pub(crate) key: VerifyingKey,
}

impl Issuer {
    /// All that is known of it, in 32 bytes.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let Self { account: _, issuer, audience, claim, keys, source } = self;
        let mut digest = Sha256::new();
        let mut add = |part: &[u8]| {
            digest.update(part.len().to_le_bytes());
            digest.update(part);
        };
        [issuer, audience, claim].into_iter().for_each(|part| add(part.as_bytes()));
        if let Some(KeySource { url, issuer: _, ca }) = source.as_deref() {
            add(url.as_deref().unwrap_or_default().as_bytes());
            add(ca.as_deref().map(|ca| ca.as_os_str().as_encoded_bytes()).unwrap_or_default());
        }
        for Jwk { kid, alg, key } in keys {
            add(kid.as_deref().unwrap_or_default().as_bytes());
            add(alg.name().as_bytes());
            match key {
                VerifyingKey::Ed25519(key) => add(key),
                VerifyingKey::P256(point) => add(point),
                VerifyingKey::Rsa { modulus, exponent } => {
                    add(modulus);
                    add(exponent);
                }
                VerifyingKey::Hmac(secret) => add(secret.expose()),
            }
        }
        digest.finalize().into()
    }
}

impl IssuerConfig {
    /// How a page sends its people there, if it does.
    pub(crate) fn provider(
        &self,
        key: &str,
        account: &AccountName,
    ) -> Option<Result<Provider, Vec<Invalid>>> {
        let of = (self.issuer.as_str(), self.audience.as_str(), self.ca.as_ref());
        self.page.as_ref().map(|page| page.compile(key, account, of))
    }

    pub(crate) fn compile(&self, key: &str, account: &AccountName) -> Result<Issuer, Vec<Invalid>> {
        let (mut keys, mut wrong) = (Vec::new(), Vec::new());
        for (index, jwk) in self.key.iter().enumerate() {
            match jwk.compile() {
                Ok(material) => keys.push(Jwk { kid: jwk.kid.clone(), alg: jwk.alg, key: material }),
                Err(want) => wrong.push(Invalid::new(format!("{key}.key[{index}]"), "not a key", want)),
            }
        }
        let published = self.key_set.is_some() || self.discover;
        if self.key.is_empty() && !published {
            let want = "a key_set, discover = true, or at least one [[account.issuer.key]]";
            wrong.push(Invalid::new(format!("{key}.key"), "no key", want));
        }
        if self.key_set.is_some() && self.discover {
            let want = "either where its keys are, or that it says so itself";
            wrong.push(Invalid::new(format!("{key}.discover"), "key_set says it already", want));
        }
        let named = self.key_set.as_ref().map(|url| ("key_set", url));
        let named = named.or_else(|| self.discover.then_some(("issuer", &self.issuer)));
        if let Some((field, _)) = named.filter(|(_, url)| !is_safe(url)) {
            let what = "keys that came in the clear are anybody's";
            wrong.push(Invalid::new(
                format!("{key}.{field}"),
                what,
                "an https URL, or http within this host",
            ));
        }
        let IssuerConfig { issuer, audience, claim, key_set: url, ca, .. } = self.clone();
        let source = published.then(|| Arc::new(KeySource { url, issuer: issuer.clone(), ca }));
        let issuer = Issuer { account: account.clone(), issuer, audience, claim, keys, source };
        if wrong.is_empty() { Ok(issuer) } else { Err(wrong) }
    }
}

impl JwkConfig {
    pub(crate) fn compile(&self) -> Result<VerifyingKey, &'static str> {
        let JwkConfig { kid: _, alg, x, y, n, e, k } = self;
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).ok();
        let exactly = |text: &str| bytes(text).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        match (alg, x, y, n, e, k) {
            (Algorithm::EdDSA, Some(x), None, None, None, None) => {
                exactly(x).map(VerifyingKey::Ed25519).ok_or("x, 32 bytes in base64url")
            }
            (Algorithm::ES256, Some(x), Some(y), None, None, None) => {
                let point = exactly(x).zip(exactly(y)).map(|(x, y)| [&[4][..], &x, &y].concat());
                let point = point.and_then(|point| <[u8; 65]>::try_from(point).ok());
                point.map(VerifyingKey::P256).ok_or("x and y, 32 bytes each in base64url")
            }
            (Algorithm::RS256, None, None, Some(n), Some(e), None) => {
                let (modulus, exponent) = (bytes(n).unwrap_or_default(), bytes(e).unwrap_or_default());
                let whole = modulus.len() >= 256 && modulus.first() != Some(&0);
                if whole && (1..=8).contains(&exponent.len()) && exponent.first() != Some(&0) {
                    Ok(VerifyingKey::Rsa { modulus, exponent })
                } else {
                    Err("n, at least 2048 bits, and e, both in base64url without leading zeros")
                }
            }
            (Algorithm::HS256, None, None, None, None, Some(k)) if k.expose().len() >= 32 => {
                Ok(VerifyingKey::Hmac(k.clone()))
            }
            (Algorithm::EdDSA, ..) => Err("x and nothing else of a key"),
            (Algorithm::ES256, ..) => Err("x and y and nothing else of a key"),
            (Algorithm::RS256, ..) => Err("n and e and nothing else of a key"),
            (Algorithm::HS256, ..) => Err("k, at least 32 bytes, and nothing else of a key"),
        }
    }
}
