//! `[account.issuer.page]`: how a page sends its person to an issuer that is a provider of OpenID Connect, and what has to be so
//! of the token that it comes back with.
//!
//! It is the authorization code flow with PKCE (RFC 7636), and a nonce (OpenID Connect Core 1.0 section 3.1.2.1): the code is of
//! use to nobody who did not begin, and the token is the one that was asked for. Whether the token is the issuer's, its acceptor
//! says, as of any other token.

use crate::{
    invalid::Invalid,
    nearby::{is_local, names_host},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use riser_model::AccountName;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::PathBuf;

/// Where a provider sends people back to, at every hub.
pub const BACK: &str = "/api/login/back";

/// `[account.issuer.page]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageConfig {
    /// What the provider calls this hub; also the audience of the tokens that it gives to it.
    pub client_id: String,
    /// Where it sends people back to, as it was told: `https://hub.example/api/login/back`.
    pub redirect: String,
    /// The file with the secret that it gave to this hub, mode 0600; none where it knows this hub as a public client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// Where people are sent; unless set, where the provider's description says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_endpoint: Option<String>,
    /// Where a code is given for a token; unless set, where the provider's description says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint: Option<String>,
    /// What is asked for; `openid` is part of it.
    #[serde(default = "openid", skip_serializing_if = "is_openid")]
    pub scope: String,
    /// What the page calls it; the issuer's host unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

const OPENID: &str = "openid";

fn openid() -> String {
    OPENID.to_owned()
}

fn is_openid(scope: &str) -> bool {
    scope == OPENID
}

/// A provider that the page of an account sends its people to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Provider {
    /// Whose people.
    pub account: AccountName,
    /// The issuer, as its tokens and its description name it.
    pub issuer: String,
    /// What it calls this hub.
    pub client_id: String,
    /// Where it sends people back to.
    pub redirect: String,
    /// The file with its secret, if there is one.
    pub client_secret_file: Option<PathBuf>,
    /// Where it is asked; none where its description says so.
    pub endpoints: Option<Endpoints>,
    /// What is asked for.
    pub scope: String,
    /// What the page calls it.
    pub name: String,
    /// The authorities that vouch for its host; the system's unless set.
    pub ca: Option<PathBuf>,
}

/// Where a provider is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoints {
    /// By people.
    pub authorization: String,
    /// By this hub.
    pub token: String,
}

impl PageConfig {
    /// The provider, or what is wrong with it; `key` names it.
    pub(crate) fn compile(
        &self,
        key: &str,
        account: &AccountName,
        (issuer, audience, ca): (&str, &str, Option<&PathBuf>),
    ) -> Result<Provider, Vec<Invalid>> {
        let mut wrong = Vec::new();
        let mut refuse = |field: &str, what: &str, want: &str| {
            wrong.push(Invalid::new(format!("{key}.page.{field}"), what, want));
        };
        if self.client_id != audience {
            let want = "the issuer's audience: that is whom the tokens are for that a page gets";
            refuse("client_id", "not the audience", want);
        }
        let path = self.redirect.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
        if !is_safe(&self.redirect) || path != Some(BACK) {
            let want = format!("https://host{BACK}, or http within this host");
            refuse("redirect", "nobody could come back there", &want);
        }
        if !self.scope.split(' ').any(|one| one == OPENID) {
            refuse("scope", "no token would say who it is", "openid as a part of it");
        }
        let endpoints = match (&self.authorization_endpoint, &self.token_endpoint) {
            (None, None) => {
                if !is_safe(issuer) {
                    let want = "both endpoints, or an issuer with an https URL that describes itself";
                    refuse("authorization_endpoint", "it is missing", want);
                }
                None
            }
            (Some(authorization), Some(token)) => {
                if ![authorization, token].into_iter().all(|url| is_safe(url)) {
                    let want = "https URLs, or http within this host";
                    refuse("authorization_endpoint", "passwords in the clear", want);
                }
                Some(Endpoints { authorization: authorization.clone(), token: token.clone() })
            }
            (Some(_), None) | (None, Some(_)) => {
                refuse("token_endpoint", "one endpoint without the other", "both, or neither");
                None
            }
        };
        let host = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
        let host = host.split('/').next().unwrap_or(issuer).to_owned();
        let provider = Provider {
            account: account.clone(),
            issuer: issuer.to_owned(),
            client_id: self.client_id.clone(),
            redirect: self.redirect.clone(),
            client_secret_file: self.client_secret_file.clone(),
            endpoints,
            scope: self.scope.clone(),
            name: self.name.clone().unwrap_or(host),
            ca: ca.cloned(),
        };
        if wrong.is_empty() { Ok(provider) } else { Err(wrong) }
    }
}

fn is_safe(url: &str) -> bool {
    names_host(url, "https") || is_local(url, "http")
}

impl Provider {
    /// Where it describes itself (OpenID Connect Discovery 1.0 section 4).
    pub fn description(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'))
    }

    /// Where a description says that it is asked; none if it is not this provider's.
    pub fn endpoints_in(&self, description: &[u8]) -> Option<Endpoints> {
        #[derive(Deserialize)]
        struct Description {
            issuer: String,
            authorization_endpoint: String,
            token_endpoint: String,
        }
        let said: Description = serde_json::from_slice(description).ok()?;
        let is_near = is_local(&self.issuer, "http");
        let safe = |url: &String| names_host(url, "https") || is_near && is_local(url, "http");
        let (authorization, token) = (said.authorization_endpoint, said.token_endpoint);
        let all_safe = safe(&authorization) && safe(&token);
        (said.issuer == self.issuer && all_safe).then_some(Endpoints { authorization, token })
    }

    /// Whether people come back over HTTPS.
    pub fn is_secure(&self) -> bool {
        self.redirect.starts_with("https:")
    }
}

/// What one way to a provider and back is known by. All of it is made of the 32 random bytes that the browser keeps.
#[derive(Clone, Copy)]
pub struct Way<'a>(pub &'a [u8; 32]);

impl Way<'_> {
    fn part(self, what: &str) -> String {
        let digest = Sha256::new().chain_update(what).chain_update(self.0).finalize();
        URL_SAFE_NO_PAD.encode(digest)
    }

    /// Comes back with the code: this browser began.
    pub fn state(self) -> String {
        self.part("riser way state 1\n")
    }

    /// Stands in the token: it was made for this way.
    pub fn nonce(self) -> String {
        self.part("riser way nonce 1\n")
    }

    /// Shown with the code: whoever began gives it for a token.
    pub fn verifier(self) -> String {
        self.part("riser way verifier 1\n")
    }

    /// Of the verifier, by the method `S256`.
    pub fn challenge(self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier()))
    }

    /// Whether a token says that it was made on this way, by that provider, for this hub. Whether that is true, its signature
    /// says.
    pub fn is_of(self, token: &str, provider: &Provider) -> bool {
        #[derive(Deserialize)]
        struct Claims {
            iss: String,
            nonce: String,
            azp: Option<String>,
        }
        let claims = token.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok());
        let claims = claims.and_then(|claims| serde_json::from_slice::<Claims>(&claims).ok());
        claims.is_some_and(|Claims { iss, nonce, azp }| {
            let is_ours = azp.is_none_or(|azp| azp == provider.client_id);
            is_ours && iss == provider.issuer && nonce == self.nonce()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> PageConfig {
        PageConfig {
            client_id: "riser".into(),
            redirect: "https://hub.example/api/login/back".into(),
            client_secret_file: None,
            authorization_endpoint: None,
            token_endpoint: None,
            scope: openid(),
            name: None,
        }
    }

    fn compiled(config: &PageConfig, issuer: &str) -> Result<Provider, Vec<String>> {
        let keys = |wrong: Vec<Invalid>| wrong.into_iter().map(|invalid| invalid.key).collect();
        config.compile("issuer[0]", &"acme".parse().unwrap(), (issuer, "riser", None)).map_err(keys)
    }

    const SSO: &str = "https://sso.example/realm";

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(compiled(&config(), SSO).unwrap().name, "sso.example");
        let own = || Some("https://sso.example/x".to_owned());
        let both = PageConfig { authorization_endpoint: own(), token_endpoint: own(), ..config() };
        assert!(compiled(&both, "house").is_ok(), "who says where, needs no description");
        for (wrong, issuer, key) in [
            (PageConfig { client_id: "other".into(), ..config() }, SSO, "client_id"),
            (
                PageConfig { redirect: "http://hub.example/api/login/back".into(), ..config() },
                SSO,
                "redirect",
            ),
            (
                PageConfig { redirect: "https://hub.example/api/login/back?x".into(), ..config() },
                SSO,
                "redirect",
            ),
            (PageConfig { redirect: "https://hub.example/".into(), ..config() }, SSO, "redirect"),
            (PageConfig { scope: "profile".into(), ..config() }, SSO, "scope"),
            (PageConfig { token_endpoint: own(), ..config() }, SSO, "token_endpoint"),
            (config(), "house", "authorization_endpoint"),
            (
                PageConfig { token_endpoint: Some("http://sso.example/t".into()), ..both.clone() },
                SSO,
                "authorization_endpoint",
            ),
        ] {
            assert_eq!(compiled(&wrong, issuer), Err(vec![format!("issuer[0].page.{key}")]), "{wrong:?}");
        }
    }

    #[test]
    fn description_of_another_one_or_in_the_clear_says_nothing() {
        let provider = compiled(&config(), SSO).unwrap();
        assert_eq!(provider.description(), "https://sso.example/realm/.well-known/openid-configuration");
        let said = |issuer: &str, token: &str| {
            let text = format!(
                r#"{{"issuer":"{issuer}","authorization_endpoint":"https://sso.example/a","token_endpoint":"{token}"}}"#
            );
            provider.endpoints_in(text.as_bytes()).is_some()
        };
        assert!(said(SSO, "https://sso.example/t"));
        assert!(!said("https://evil.example", "https://sso.example/t"));
        assert!(!said(SSO, "http://sso.example/t") && !said(SSO, "http://127.0.0.1/t"));
        assert_eq!(provider.endpoints_in(b"{}"), None);
    }

    #[test]
    fn token_of_another_way_or_provider_or_hub_is_not_the_one_that_was_asked_for() {
        let (provider, way) = (compiled(&config(), SSO).unwrap(), [7; 32]);
        let way = Way(&way);
        let token = |claims: String| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        let of = |iss: &str, nonce: &str, more: &str| {
            token(format!(r#"{{"iss":"{iss}","nonce":"{nonce}"{more}}}"#))
        };
        assert!(way.is_of(&of(SSO, &way.nonce(), ""), &provider));
        assert!(way.is_of(&of(SSO, &way.nonce(), r#","azp":"riser""#), &provider));
        for wrong in [
            of(SSO, &Way(&[8; 32]).nonce(), ""),
            of(SSO, &way.state(), ""),
            of("https://evil.example", &way.nonce(), ""),
            of(SSO, &way.nonce(), r#","azp":"other""#),
            token(format!(r#"{{"iss":"{SSO}"}}"#)),
            String::new(),
            "a.b.c".to_owned(),
        ] {
            assert!(!way.is_of(&wrong, &provider), "{wrong}");
        }
        let parts = [way.state(), way.nonce(), way.verifier(), way.challenge()];
        assert!(parts.iter().all(|part| part.len() == 43), "as RFC 7636 section 4.1 wants it");
        let different: std::collections::BTreeSet<&String> = parts.iter().collect();
        assert_eq!(different.len(), 4);
    }
}
