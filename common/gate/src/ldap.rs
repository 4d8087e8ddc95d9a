//! `[account.ldap]`: the directory server that knows the passwords of an account's people.
//!
//! People are declared under `[[account.user]]` as ever, with their rights; the password of whoever has none there is the
//! server's to judge. It is asked with their own: first for the one entry that has their name, then to bind as it.

use crate::{
    invalid::Invalid,
    nearby::{is_local, names_host},
};
use riser_model::duration::Duration;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::PathBuf;

/// How long a yes holds unless said otherwise: nobody tells us when somebody is taken out of the tree.
const LASTS: Duration = Duration::seconds(3600);

/// `[account.ldap]`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LdapConfig {
    /// What is not set here is as it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// `ldaps://host:port`, or `ldap://host:port`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Whether `ldap://` is made TLS before anything is said; outside this host it always is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_tls: Option<bool>,
    /// The authorities (PEM) that vouch for the server; the system's unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Below which entry people are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The attribute that is the user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// What else must be so of a person's entry, as an LDAP filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// As whom the server is searched; as nobody unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind: Option<String>,
    /// The file with that one's password, mode 0600.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_password_file: Option<PathBuf>,
    /// Below which entry groups are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_base: Option<String>,
    /// The groups (by `cn`) of which a person must be in one; without any, everybody may come.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// How long who came in by its password stays in; then it comes back and shows it again. An hour unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}

/// A tree that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// YunoHost's, on the same host.
    Yunohost,
}

/// A server, as it is asked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LdapServer {
    /// Where it is.
    pub url: String,
    /// Whether to make the connection TLS before anything is said.
    pub start_tls: bool,
    /// The authorities that vouch for it; the system's unless set.
    pub ca: Option<PathBuf>,
    /// Below which entry people are.
    pub base: String,
    /// The attribute that is the user's name.
    pub attribute: String,
    /// What else must be so of a person's entry.
    pub filter: Option<String>,
    /// As whom it is searched, and the file with that one's password.
    pub bind: Option<(String, PathBuf)>,
    /// Below which entry groups are, and of which of them a person must be in one.
    pub groups: Option<(String, Vec<String>)>,
    /// How long its yes holds.
    pub lasts: Duration,
}

impl LdapServer {
    /// All that is known of it, in 32 bytes.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let Self { url, start_tls, ca, base, attribute, filter, bind, groups, lasts } = self;
        let mut digest = Sha256::new();
        let mut add = |part: &[u8]| {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        };
        let path = |path: &PathBuf| path.as_os_str().as_encoded_bytes().to_vec();
        [url, base, attribute].into_iter().for_each(|part| add(part.as_bytes()));
        add(&[u8::from(*start_tls)]);
        add(&ca.as_ref().map(path).unwrap_or_default());
        add(filter.as_deref().unwrap_or_default().as_bytes());
        if let Some((name, file)) = bind {
            add(name.as_bytes());
            add(&path(file));
        }
        if let Some((base, names)) = groups {
            add(base.as_bytes());
            names.iter().for_each(|name| add(name.as_bytes()));
        }
        add(&lasts.ms().to_be_bytes());
        digest.finalize().into()
    }
}

impl LdapConfig {
    pub(crate) fn compile(&self, key: &str) -> Result<LdapServer, Vec<Invalid>> {
        let Self {
            preset,
            url,
            start_tls,
            ca,
            base,
            attribute,
            filter,
            bind,
            bind_password_file,
            group_base,
            groups,
            lasts,
        } = self;
        let preset_of = |text: &str| preset.as_ref().map(|Preset::Yunohost| text.to_owned());
        let mut wrong = Vec::new();
        let mut need = |field: &str, value: Option<String>, want: &str| {
            let missing = || Invalid::new(format!("{key}.{field}"), "it is missing", want);
            value.unwrap_or_else(|| {
                wrong.push(missing());
                String::new()
            })
        };
        let own = |value: &Option<String>, preset: &str| value.clone().or_else(|| preset_of(preset));
        let url = need("url", own(url, "ldap://127.0.0.1:389"), "ldaps://host:636 or ldap://host:389");
        let base = need("base", own(base, "ou=users,dc=yunohost,dc=org"), "the entry below which people are");
        let attribute = own(attribute, "uid").unwrap_or_else(|| "uid".to_owned());
        let group_base = own(group_base, "ou=groups,dc=yunohost,dc=org");
        let groups = match (group_base, groups.is_empty()) {
            (_, true) => None,
            (Some(base), false) => Some((base, groups.clone())),
            (None, false) => {
                let want = "the entry below which groups are";
                wrong.push(Invalid::new(format!("{key}.group_base"), "it is missing", want));
                None
            }
        };
        let bind = match (bind, bind_password_file) {
            (None, None) => None,
            (Some(bind), Some(file)) => Some((bind.clone(), file.clone())),
            (Some(_), None) | (None, Some(_)) => {
                let want = "bind and bind_password_file, or neither";
                wrong.push(Invalid::new(format!("{key}.bind"), "one without the other", want));
                None
            }
        };
        let (is_plain, is_local) = (names_host(&url, "ldap"), is_local(&url, "ldap"));
        if !url.is_empty() && !is_plain && !names_host(&url, "ldaps") {
            let want = "ldaps://host:636 or ldap://host:389";
            wrong.push(Invalid::new(format!("{key}.url"), format!("{url:?} is no such address"), want));
        }
        let start_tls = is_plain && start_tls.unwrap_or(!is_local);
        if is_plain && !start_tls && !is_local {
            let want = "ldaps, or start_tls = true: only this very host is asked in the clear";
            wrong.push(Invalid::new(format!("{key}.start_tls"), "passwords in the clear", want));
        }
        let name = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        if attribute.is_empty() || !attribute.chars().all(name) {
            let want = "the name of an attribute, such as uid";
            wrong.push(Invalid::new(format!("{key}.attribute"), "no attribute is called so", want));
        }
        let filter = filter.clone();
        if filter.as_ref().is_some_and(|filter| !(filter.starts_with('(') && filter.ends_with(')'))) {
            let want = "a filter in parentheses, such as (objectClass=person)";
            wrong.push(Invalid::new(format!("{key}.filter"), "not a filter", want));
        }
        let lasts = lasts.unwrap_or(LASTS);
        let (least, most) = (Duration::seconds(60), Duration::seconds(24 * 3600));
        if !(least.0..=most.0).contains(&lasts.0) {
            let what = format!("{lasts} is out of range");
            wrong.push(Invalid::new(format!("{key}.lasts"), what, format!("want {least} to {most}")));
        }
        let ca = ca.clone();
        let server = LdapServer { url, start_tls, ca, base, attribute, filter, bind, groups, lasts };
        if wrong.is_empty() { Ok(server) } else { Err(wrong) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(text: &str) -> Result<LdapServer, Vec<String>> {
        let config: LdapConfig = serde_json::from_str(text).unwrap();
        let keys = |wrong: Vec<Invalid>| wrong.into_iter().map(|invalid| invalid.key).collect();
        config.compile("ldap").map_err(keys)
    }

    #[test]
    fn yunohost_needs_no_more_than_its_name() {
        let server = compiled(r#"{"preset":"yunohost","groups":["building"]}"#).unwrap();
        assert_eq!((server.url.as_str(), server.start_tls), ("ldap://127.0.0.1:389", false));
        assert_eq!((server.base.as_str(), server.attribute.as_str()), ("ou=users,dc=yunohost,dc=org", "uid"));
        assert_eq!(server.groups.unwrap().0, "ou=groups,dc=yunohost,dc=org");
        let elsewhere = compiled(r#"{"preset":"yunohost","url":"ldap://ldap.example"}"#).unwrap();
        assert!(elsewhere.start_tls && elsewhere.groups.is_none());
    }

    #[test]
    fn no_password_goes_in_the_clear_to_another_host() {
        let url = |url: &str, start_tls: bool| {
            compiled(&format!(r#"{{"base":"dc=x","url":"{url}","start_tls":{start_tls}}}"#))
        };
        assert!(url("ldaps://ldap.example", false).is_ok() && url("ldap://127.0.0.1:1389", false).is_ok());
        for far in ["ldap://ldap.example", "ldap://127.0.0.1.evil", "ldap://localhost.evil:389/x"] {
            assert_eq!(url(far, false), Err(vec!["ldap.start_tls".to_owned()]), "{far}");
            assert!(url(far, true).is_ok());
        }
        for user in ["ldap://localhost@evil", "ldap://127.0.0.1:389@evil", "ldaps://ldap.example@evil"] {
            assert_eq!(url(user, false), Err(vec!["ldap.url".to_owned()]), "{user}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, key) in [
            (r#"{"base":"dc=x"}"#, "ldap.url"),
            (r#"{"url":"ldaps://x"}"#, "ldap.base"),
            (r#"{"url":"http://x","base":"dc=x"}"#, "ldap.url"),
            (r#"{"url":"ldaps://x","base":"dc=x","bind":"cn=x"}"#, "ldap.bind"),
            (r#"{"url":"ldaps://x","base":"dc=x","groups":["a"]}"#, "ldap.group_base"),
            (r#"{"url":"ldaps://x","base":"dc=x","attribute":"a)(b"}"#, "ldap.attribute"),
            (r#"{"url":"ldaps://x","base":"dc=x","filter":"a=b"}"#, "ldap.filter"),
            (r#"{"url":"ldaps://x","base":"dc=x","lasts":"30d"}"#, "ldap.lasts"),
        ] {
            assert_eq!(compiled(text), Err(vec![key.to_owned()]), "{text}");
        }
    }
}
