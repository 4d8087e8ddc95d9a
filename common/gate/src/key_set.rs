//! The keys that an issuer publishes (RFC 7517 section 5): when they are looked at, fetched again, and believed no more.
//!
//! Keys that were fetched are good for [`FRESH`]; after that they are fetched again while they are used, and after twice that
//! before they are. A token whose key
//! is not among them has them fetched at once, but not more often than every [`RETRY`], so that nobody who makes up key
//! names makes us ask. An issuer that does not answer is believed for [`STALE_MAX`] by what it said last.

use crate::{
    issuer::{Algorithm, Jwk, JwkConfig},
    nearby::{is_local, names_host},
    verifying_key::VerifyingKey,
};
use riser_model::Time;
use serde::Deserialize;
use serde_json::Value;
use std::{path::PathBuf, time::Duration};

/// How long keys are used without a look whether they still hold.
pub const FRESH: Duration = Duration::from_secs(300);
/// How often the issuer is asked at most.
pub const RETRY: Duration = Duration::from_secs(10);
/// How long keys are used while the issuer does not answer.
pub const STALE_MAX: Duration = Duration::from_secs(24 * 3600);
/// The longest document, bytes.
pub const DOCUMENT_BYTES_MAX: usize = 256 * 1024;
/// Keys of one issuer that are kept.
const KEYS_MAX: usize = 64;

/// Where an issuer publishes its keys.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct KeySource {
    /// Of the key set; none where the issuer's own description names it.
    pub url: Option<String>,
    /// The issuer, as its tokens and its description name it.
    pub issuer: String,
    /// The authorities that vouch for its host; the system's unless set.
    pub ca: Option<PathBuf>,
}

impl KeySource {
    /// Where the issuer describes itself (OpenID Connect Discovery 1.0 section 4).
    pub fn description(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'))
    }

    /// Where a description says that the keys are; none if it is not this issuer's.
    pub fn keys_in(&self, description: &[u8]) -> Option<String> {
        #[derive(Deserialize)]
        struct Description {
            issuer: String,
            jwks_uri: String,
        }
        let description: Description = serde_json::from_slice(description).ok()?;
        // Whoever describes itself from elsewhere says nothing of what is here.
        let keys = &description.jwks_uri;
        let safe = names_host(keys, "https") || is_local(keys, "http") && is_local(&self.issuer, "http");
        (description.issuer == self.issuer && safe).then_some(description.jwks_uri)
    }
}

/// Whether keys from there can be believed: nobody between is.
pub(crate) fn is_safe(url: &str) -> bool {
    names_host(url, "https") || is_local(url, "http")
}

/// What is to be done for a token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Look {
    /// Verify it with these.
    Keys(Vec<VerifyingKey>),
    /// The same, and have the keys fetched meanwhile.
    Aging(Vec<VerifyingKey>),
    /// Have the keys fetched, then look again.
    Fetch,
    /// It is signed with none of the issuer's keys.
    Unknown,
    /// Nobody can say: the issuer does not answer.
    Away,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Jwk>,
    fetched: Option<Time>,
    asked: Option<Time>,
    /// The issuer was asked and has not answered yet.
    asking: bool,
}

impl KeySet {
    /// What to do for a token that names this key, if it does, and this algorithm.
    pub fn look(&self, kid: Option<&str>, alg: Algorithm, now: Time) -> Look {
        let age = self.fetched.map(|at| now.since(at));
        let usable = age.is_some_and(|age| age < STALE_MAX);
        let fits =
            |key: &&Jwk| key.alg == alg && (kid.is_none() || key.kid.is_none() || key.kid.as_deref() == kid);
        let fitting = self.keys.iter().filter(fits).filter(|_| usable);
        let keys: Vec<VerifyingKey> = fitting.map(|key| key.key.clone()).collect();
        let may_ask = self.asked.is_none_or(|at| now.since(at) >= RETRY);
        // After a quiet day one of them may be withdrawn: whoever can say so is asked first.
        let is_old = age.is_some_and(|age| age >= FRESH.saturating_mul(2));
        match (keys.is_empty(), may_ask) {
            (false, _) if is_old && (may_ask || self.asking) => Look::Fetch,
            (false, true) if age.is_some_and(|age| age >= FRESH) => Look::Aging(keys),
            (false, _) => Look::Keys(keys),
            (true, true) => Look::Fetch,
            (true, false) if usable && self.fetched >= self.asked => Look::Unknown,
            (true, false) => Look::Away,
        }
    }

    /// The issuer is asked. Whoever comes meanwhile does not ask again.
    pub fn asked(&mut self, now: Time) {
        self.asked = Some(now);
        self.asking = true;
    }

    /// What it published lately is not what a token was signed with, which names no key: whether to ask it again.
    pub fn may_be_newer(&self, now: Time) -> bool {
        self.asked.is_none_or(|at| now.since(at) >= RETRY)
    }

    /// It did not answer, or with something else.
    pub fn failed(&mut self) {
        self.asking = false;
    }

    /// It answered with this key set. Whether that is one.
    pub fn answered(&mut self, document: &[u8], now: Time) -> bool {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let Ok(document) = serde_json::from_slice::<Document>(document) else { return false };
        self.keys = document.keys.iter().filter_map(published).take(KEYS_MAX).collect();
        self.fetched = Some(now);
        self.asking = false;
        true
    }
}

/// One of the keys, if it is for signatures of a kind that we verify. Secrets are not published.
fn published(key: &Value) -> Option<Jwk> {
    let text = |name: &str| key.get(name).and_then(Value::as_str);
    let only = |name: &str, expected: &str| text(name).is_none_or(|value| value == expected);
    let alg = match (text("kty")?, text("crv")) {
        ("OKP", Some("Ed25519")) => Algorithm::EdDSA,
        ("EC", Some("P-256")) => Algorithm::ES256,
        ("RSA", _) => Algorithm::RS256,
        _ => return None,
    };
    let operations = key.get("key_ops").and_then(Value::as_array);
    let verifies = operations.is_none_or(|all| all.iter().any(|one| one == "verify"));
    if !only("use", "sig") || !only("alg", alg.name()) || !verifies {
        return None;
    }
    let own = |name: &str| text(name).map(str::to_owned);
    let jwk = JwkConfig { kid: own("kid"), alg, x: None, y: None, n: None, e: None, k: None };
    let jwk = match alg {
        Algorithm::EdDSA => JwkConfig { x: own("x"), ..jwk },
        Algorithm::ES256 => JwkConfig { x: own("x"), y: own("y"), ..jwk },
        Algorithm::RS256 | Algorithm::HS256 => JwkConfig { n: own("n"), e: own("e"), ..jwk },
    };
    let key = jwk.compile().ok()?;
    Some(Jwk { kid: jwk.kid, alg, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn at(s: u64) -> Time {
        Time(0).plus(Duration::from_secs(s))
    }

    fn set(kids: &[&str]) -> String {
        let key =
            |kid: &&str| format!(r#"{{"kty":"OKP","crv":"Ed25519","use":"sig","kid":"{kid}","x":"{X}"}}"#);
        let keys: Vec<String> = kids.iter().map(key).collect();
        format!(r#"{{"keys":[{}]}}"#, keys.join(","))
    }

    fn look(set: &KeySet, kid: &str, s: u64) -> &'static str {
        match set.look(Some(kid), Algorithm::EdDSA, at(s)) {
            Look::Keys(keys) => [" ", "keys", "two"][keys.len()],
            Look::Aging(_) => "aging",
            Look::Fetch => "fetch",
            Look::Unknown => "unknown",
            Look::Away => "away",
        }
    }

    #[test]
    fn key_that_is_not_there_is_asked_for_but_not_all_the_time() {
        let mut keys = KeySet::default();
        assert_eq!(look(&keys, "a", 0), "fetch");
        keys.asked(at(0));
        assert_eq!(look(&keys, "a", 1), "away", "nobody has answered");
        assert!(keys.answered(set(&["a"]).as_bytes(), at(2)));
        assert_eq!(look(&keys, "a", 2), "keys");
        assert_eq!(look(&keys, "b", 9), "unknown", "it was asked a moment ago");
        assert_eq!(look(&keys, "b", 10), "fetch");
        keys.asked(at(10));
        assert!(keys.answered(set(&["b"]).as_bytes(), at(10)));
        assert_eq!((look(&keys, "a", 11), look(&keys, "b", 11)), ("unknown", "keys"), "rotated");
    }

    #[test]
    fn issuer_that_is_away_is_believed_for_a_day_by_what_it_said_last() {
        let mut keys = KeySet::default();
        keys.asked(at(0));
        assert!(keys.answered(set(&["a"]).as_bytes(), at(0)));
        assert_eq!(look(&keys, "a", 299), "keys");
        assert_eq!(look(&keys, "a", 300), "aging");
        keys.asked(at(300));
        assert_eq!(look(&keys, "a", 301), "keys", "while it is asked");
        assert!(!keys.answered(b"<html>", at(301)), "what is no key set changes nothing");
        keys.failed();
        assert_eq!(look(&keys, "a", 310), "aging");
        assert_eq!(look(&keys, "a", 600), "fetch", "one of them may be withdrawn by now");
        keys.asked(at(600));
        assert_eq!(look(&keys, "a", 601), "fetch", "whoever comes meanwhile waits for the answer");
        keys.failed();
        assert_eq!(look(&keys, "a", 602), "keys", "it does not answer");
        assert_eq!(look(&keys, "a", 24 * 3600 - 1), "fetch");
        keys.asked(at(24 * 3600 - 1));
        keys.failed();
        assert_eq!(look(&keys, "a", 24 * 3600 - 1), "keys");
        keys.asked(at(24 * 3600 - 20));
        keys.failed();
        assert_eq!(look(&keys, "a", 24 * 3600), "fetch", "and no longer");
        keys.asked(at(24 * 3600));
        assert_eq!(look(&keys, "a", 24 * 3600 + 1), "away");
    }

    #[test]
    fn only_keys_that_are_for_signatures_are_taken() {
        let ed = |more: &str| format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{X}"{more}}}]}}"#);
        let takes = |document: &str| {
            let mut keys = KeySet::default();
            assert!(keys.answered(document.as_bytes(), at(0)), "{document}");
            keys.keys.len()
        };
        for good in
            ["", r#","use":"sig""#, r#","alg":"EdDSA""#, r#","key_ops":["verify"]"#, r#","x5c":["..."]"#]
        {
            assert_eq!(takes(&ed(good)), 1, "{good}");
        }
        for bad in [r#","use":"enc""#, r#","alg":"ES256""#, r#","key_ops":["encrypt"]"#] {
            assert_eq!(takes(&ed(bad)), 0, "{bad}");
        }
        for document in [
            r#"{"keys":[{"kty":"oct","k":"AAECAwQFBgcICQoLDA0ODwABAgMEBQYHCAkKCwwNDg8"}]}"#,
            r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#,
            r#"{"keys":[{"kty":"EC","crv":"P-384","x":"AA","y":"AA"}, 7, null]}"#,
            r#"{"keys":[]}"#,
        ] {
            assert_eq!(takes(document), 0, "{document}");
        }
        assert_eq!(takes(&set(&["k"; 100])), KEYS_MAX);
        assert_eq!(
            KeySet::default().look(None, Algorithm::EdDSA, at(0)),
            Look::Fetch,
            "a token without a key's name is looked at too"
        );
    }

    #[test]
    fn description_of_another_issuer_or_with_keys_in_the_clear_is_not_believed() {
        let source = KeySource { url: None, issuer: "https://sso.example/a/".into(), ca: None };
        assert_eq!(source.description(), "https://sso.example/a/.well-known/openid-configuration");
        let keys_in = |issuer: &str, keys: &str| {
            source.keys_in(format!(r#"{{"issuer":"{issuer}","jwks_uri":"{keys}","x":1}}"#).as_bytes())
        };
        assert_eq!(
            keys_in("https://sso.example/a/", "https://k.example/"),
            Some("https://k.example/".into())
        );
        assert_eq!(keys_in("https://sso.example/a", "https://k.example/"), None);
        for url in [
            "http://k.example/",
            "http://127.0.0.1.evil/",
            "file:///k",
            "http://localhost/",
            "https://k@evil/",
        ] {
            assert_eq!(keys_in("https://sso.example/a/", url), None, "{url}");
        }
        let near = KeySource { issuer: "http://127.0.0.1:1".into(), ..source.clone() };
        let description = br#"{"issuer":"http://127.0.0.1:1","jwks_uri":"http://127.0.0.1:2/k"}"#;
        assert!(near.keys_in(description).is_some(), "both are here");
        assert_eq!(source.keys_in(b"[]"), None);
    }
}
