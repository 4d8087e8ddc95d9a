//! `[account.ldap]`: the directory server that knows the passwords of an account's people.
//!
//! People are declared under `[[account.user]]` as ever, with their rights; the password of whoever has none there is the
//! server's to judge. It is asked with their own: first for the one entry that has their name, then to bind as it.

use crate::{
    invalid::Invalid,
    nearby::{is_local, names_host},
};
use riser_model::{AccountName, Memberships, duration::Duration};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use std::{fmt, path::PathBuf};

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
    /// Groups there (by `cn`) that are groups here, for as long as who is in them stays in by its password: by the same name, or
    /// `{ group = "Night Shift", as = "night" }`. Nobody is in a group here by what is not named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups_as: Vec<GroupAs>,
    /// Whether who is in a group that is in another one is in that one too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub nested: bool,
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

/// A group there that is a group here.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct GroupAs {
    /// Its `cn` there.
    pub group: String,
    /// What it is called here.
    pub name: AccountName,
}

/// The longest `cn` that a group is looked for by, bytes.
const GROUP_BYTES_MAX: usize = 256;

/// As it stands in a file where the names differ.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Renamed {
    group: String,
    #[serde(rename = "as")]
    name: AccountName,
}

impl Serialize for GroupAs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { group, name } = self.clone();
        if group == name.as_str() {
            return name.serialize(serializer);
        }
        Renamed { group, name }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for GroupAs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrTable;

        impl<'de> de::Visitor<'de> for NameOrTable {
            type Value = GroupAs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a group, or { group = \"Night Shift\", as = \"night\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<GroupAs, E> {
                let name = text.parse().map_err(E::custom)?;
                Ok(GroupAs { group: text.to_owned(), name })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<GroupAs, A::Error> {
                let of = de::value::MapAccessDeserializer::new(map);
                Renamed::deserialize(of).map(|Renamed { group, name }| GroupAs { group, name })
            }
        }

        deserializer.deserialize_any(NameOrTable)
    }
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
    /// Below which entry groups are that are groups here.
    pub group_base: String,
    /// Which they are: at most [`Memberships::GROUPS_MAX`], in the order in which they are counted.
    pub groups_as: Vec<GroupAs>,
    /// Whether who is in a group that is in another one is in that one too.
    pub nested: bool,
    /// How long its yes holds.
    pub lasts: Duration,
}

impl LdapServer {
    /// All that is known of it, in 32 bytes.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let Self {
            url,
            start_tls,
            ca,
            base,
            attribute,
            filter,
            bind,
            groups,
            group_base,
            groups_as,
            nested,
            lasts,
        } = self;
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
        // Whoever is in without any of it stays in when a hub learns of it.
        if !groups_as.is_empty() || *nested {
            add(group_base.as_bytes());
            add(&[u8::from(*nested)]);
            for GroupAs { group, name } in groups_as {
                add(group.as_bytes());
                add(name.as_str().as_bytes());
            }
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
            groups_as,
            nested,
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
        if group_base.is_none() && !(groups.is_empty() && groups_as.is_empty()) {
            let want = "the entry below which groups are";
            wrong.push(Invalid::new(format!("{key}.group_base"), "it is missing", want));
        }
        let group_base = group_base.unwrap_or_default();
        let groups = (!groups.is_empty()).then(|| (group_base.clone(), groups.clone()));
        wrong.extend(wrong_groups(&format!("{key}.groups_as"), groups_as));
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
        let (groups_as, nested) = (groups_as.clone(), *nested);
        let server = LdapServer {
            url,
            start_tls,
            ca,
            base,
            attribute,
            filter,
            bind,
            groups,
            group_base,
            groups_as,
            nested,
            lasts,
        };
        if wrong.is_empty() { Ok(server) } else { Err(wrong) }
    }
}

/// What is wrong with the groups that are to be groups here.
fn wrong_groups(key: &str, groups_as: &[GroupAs]) -> Vec<Invalid> {
    let mut wrong = Vec::new();
    if groups_as.len() > Memberships::GROUPS_MAX {
        let (count, most) = (groups_as.len(), Memberships::GROUPS_MAX);
        wrong.push(Invalid::new(key, format!("{count} groups"), format!("at most {most}")));
    }
    for GroupAs { group, .. } in groups_as {
        let bytes = group.len();
        if group.trim().is_empty() || bytes > GROUP_BYTES_MAX || group.contains(char::is_control) {
            let want = format!("the cn of a group, 1 to {GROUP_BYTES_MAX} bytes without control characters");
            wrong.push(Invalid::new(key, format!("{group:?} names no group"), want));
        }
    }
    wrong
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
    fn groups_there_are_groups_here_by_their_name_or_by_another_one() {
        let text = r#"{"preset":"yunohost","groups_as":["ops",{"group":"Night Shift","as":"night"}]}"#;
        let config: LdapConfig = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&config).unwrap(), text, "it is written as it was read");
        let other = |text: &str| compiled(text).unwrap().digest();
        let without = other(r#"{"preset":"yunohost"}"#);
        assert_ne!(without, other(text), "who came in by another list comes back");
        assert_ne!(other(text), other(&text.replace("Night", "Day")));
        for wrong in [r#"["Night Shift"]"#, r#"[{"group":"x"}]"#, r#"[{"group":"x","as":"y","z":1}]"#, "[1]"]
        {
            let text = format!(r#"{{"preset":"yunohost","groups_as":{wrong}}}"#);
            assert!(serde_json::from_str::<LdapConfig>(&text).is_err(), "{wrong}");
        }
        let many = (0..=Memberships::GROUPS_MAX).map(|n| format!("\"g{n}\"")).collect::<Vec<_>>().join(",");
        let text = format!(r#"{{"preset":"yunohost","groups_as":[{many}]}}"#);
        assert_eq!(compiled(&text), Err(vec!["ldap.groups_as".to_owned()]));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, key) in [
            (r#"{"base":"dc=x"}"#, "ldap.url"),
            (r#"{"url":"ldaps://x"}"#, "ldap.base"),
            (r#"{"url":"http://x","base":"dc=x"}"#, "ldap.url"),
            (r#"{"url":"ldaps://x","base":"dc=x","bind":"cn=x"}"#, "ldap.bind"),
            (r#"{"url":"ldaps://x","base":"dc=x","groups":["a"]}"#, "ldap.group_base"),
            (r#"{"url":"ldaps://x","base":"dc=x","groups_as":["a"]}"#, "ldap.group_base"),
            (r#"{"preset":"yunohost","groups_as":[{"group":" ","as":"a"}]}"#, "ldap.groups_as"),
            (r#"{"preset":"yunohost","groups_as":[{"group":"a\u0000","as":"a"}]}"#, "ldap.groups_as"),
            (r#"{"url":"ldaps://x","base":"dc=x","attribute":"a)(b"}"#, "ldap.attribute"),
            (r#"{"url":"ldaps://x","base":"dc=x","filter":"a=b"}"#, "ldap.filter"),
            (r#"{"url":"ldaps://x","base":"dc=x","lasts":"30d"}"#, "ldap.lasts"),
        ] {
            assert_eq!(compiled(text), Err(vec![key.to_owned()]), "{text}");
        }
    }
}
