//! `[[account]]`: accounts with their users, clients and rooms, as a person writes them.
//!
//! Each value is valid in itself once it is here; what they say together (names that must differ, grants to
//! someone who exists) is checked when a [`crate::Directory`] is compiled.

use crate::{
    device_key::DeviceKey,
    gate_config::GateConfig,
    hidden::{PasswordHash, SharedSecret, TokenHash},
    issuer::IssuerConfig,
    key::KeyText,
    ldap::LdapConfig,
    schema_text::SchemaText,
};
use riser_model::{
    AccountId, AccountName, ClientId, Filter, History, Quota, Retention, Right, RoomId, RoomKind, RoomName,
    duration::Duration,
    room::{LOBBY, PERSONAL},
};
pub use riser_model::{Role, Whom};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeSeq};
use std::{collections::BTreeMap, fmt};

/// A tenant: `[[account]]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountConfig {
    /// Its name, 1-64 of `[a-z0-9-]`.
    pub name: AccountName,
    /// Its UUID, the same at every edge and hub that serves it. Required; optional here so that its absence
    /// is answered with the command that makes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<AccountId>,
    /// What a connection passes before it is let into the account: its lobby and any of its rooms.
    #[serde(default, skip_serializing_if = "GateConfig::is_empty")]
    pub gate: GateConfig,
    /// Who vouches for its users with tokens: `[[account.issuer]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuer: Vec<IssuerConfig>,
    /// The directory server that knows its people's passwords.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ldap: Option<LdapConfig>,
    /// Rights on every room of the account.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grant: Vec<GrantConfig>,
    /// People: `[[account.user]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub user: Vec<UserConfig>,
    /// Devices and edges: `[[account.client]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client: Vec<ClientConfig>,
    /// Rooms: `[[account.room]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub room: Vec<RoomConfig>,
}

impl AccountConfig {
    /// An account with nothing in it.
    pub fn new(name: AccountName, id: AccountId) -> Self {
        Self {
            name,
            id: Some(id),
            gate: GateConfig::default(),
            issuer: vec![],
            ldap: None,
            grant: vec![],
            user: vec![],
            client: vec![],
            room: vec![],
        }
    }
}

/// A person: `[[account.user]]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserConfig {
    /// The name, unique among the users and clients of the account.
    pub name: AccountName,
    /// The id of the client that this person's connections are; made of account and name unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ClientId>,
    /// The argon2id hash of the password, as `account hash` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordHash>,
    /// Hashes of bearer tokens, as `account token` prints them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<TokenHash>,
    /// Names in its certificates, to the letter: an alternative name (DNS, e-mail, URI), or the common name of one without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<String>,
    /// Public keys with which it answers challenges, as OpenSSH writes them: `ssh-ed25519 AAAA...`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<DeviceKey>,
    /// A secret with which it answers challenges: 16 to 64 random bytes in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SharedSecret>,
    /// Rights on every room of the account, by one word. Without it and without grants: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Groups that it is in: what is granted or denied to `@group` holds for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<AccountName>,
}

impl UserConfig {
    /// A user who can neither enter nor do anything yet.
    pub fn new(name: AccountName) -> Self {
        let (tokens, certificates, keys, groups) = (vec![], vec![], vec![], vec![]);
        let (id, password, secret, role) = (None, None, None, None);
        Self { name, id, password, tokens, certificates, keys, secret, role, groups }
    }
}

/// A device or an edge: `[[account.client]]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// The name, unique among the users and clients of the account.
    pub name: AccountName,
    /// Its UUID; made of account and name unless set. An edge names it in its `[[uplink]]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ClientId>,
    /// An edge's public key, as `key show` prints it there. Makes the client an edge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyText>,
    /// An edge that takes edges below it, and brings what they took: without it, nothing of anybody else's log is taken
    /// from it (rule 19 of links).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub relays: bool,
    /// The argon2id hash of the password, as `account hash` prints it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<PasswordHash>,
    /// Hashes of bearer tokens, as `account token` prints them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<TokenHash>,
    /// Names in its certificates, to the letter: an alternative name (DNS, e-mail, URI), or the common name of one without.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<String>,
    /// Public keys with which it answers challenges, as OpenSSH writes them: `ssh-ed25519 AAAA...`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<DeviceKey>,
    /// A secret with which it answers challenges: 16 to 64 random bytes in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SharedSecret>,
    /// Rights on every room of the account, by one word. Without it and without grants: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Groups that it is in: what is granted or denied to `@group` holds for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<AccountName>,
}

impl ClientConfig {
    /// A client that can neither enter nor do anything yet.
    pub fn new(name: AccountName) -> Self {
        let (tokens, certificates, keys, groups) = (vec![], vec![], vec![], vec![]);
        let (id, key, relays, password, secret, role) = (None, None, false, None, None, None);
        Self { name, id, key, relays, password, tokens, certificates, keys, secret, role, groups }
    }
}

/// A room: `[[account.room]]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoomConfig {
    /// Its name, 1-64 of `[a-z0-9-]`.
    pub name: RoomName,
    /// Its UUID; made of account and name unless set. Set it before the name changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RoomId>,
    /// What it is for: `bus`, or `board` for what people say and may say otherwise later.
    #[serde(default, skip_serializing_if = "is_bus")]
    pub kind: RoomKind,
    /// Users and clients of the account without which it is not `ready`, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ready: Vec<AccountName>,
    /// Its policy for the past: `none`, `session` or `log`.
    #[serde(default)]
    pub history: History,
    /// How much of the past is kept: `{ count = 10000, bytes = "64 MiB", age = "30d" }`, each of them optional.
    #[serde(default, skip_serializing_if = "Retention::is_empty")]
    pub retention: Retention,
    /// Whether a hub keeps what its log's quota recycles of it, within `quota.archive` of the hub. With `history = "log"`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub archive: bool,
    /// What it takes: `{ messages = 1000, bytes = "1 MiB", every = "1m", connections = 50, channels = 200,
    /// subscriptions = 500 }`, each of them optional.
    #[serde(default, skip_serializing_if = "Quota::is_empty")]
    pub quota: Quota,
    /// Whether an edge's uplinks carry it.
    #[serde(default = "yes")]
    pub linked: bool,
    /// Whether a hub sends it down: each edge of the account gets what it may subscribe to here, and did not bring.
    #[serde(default)]
    pub down: bool,
    /// What its payloads have to be: a JSON Schema, as text or as a table. A hub refuses what is not, and puts into the
    /// account's quarantine what an edge brings and is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaText>,
    /// What a connection passes before it is let into this room, beyond the account's own gate.
    #[serde(default, skip_serializing_if = "GateConfig::is_empty")]
    pub gate: GateConfig,
    /// Rights on this room.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grant: Vec<GrantConfig>,
    /// Who has which role in this room, and by that in no other one: `{ ann = "owner", "@ops" = "member" }`. It adds to the
    /// role that somebody has in every room of the account; what is denied stays denied.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<Whom, Role>,
}

impl RoomConfig {
    /// A linked room with that history, and no rights of its own.
    pub fn new(name: RoomName, history: History) -> Self {
        let (retention, gate) = (Retention::default(), GateConfig::default());
        let (kind, ready, grant) = (RoomKind::default(), vec![], vec![]);
        Self {
            name,
            id: None,
            kind,
            ready,
            history,
            retention,
            archive: false,
            quota: Quota::default(),
            linked: true,
            down: false,
            schema: None,
            gate,
            grant,
            roles: BTreeMap::new(),
        }
    }

    /// The rooms that every account of a hub has, unless somebody removes them.
    pub fn mandated() -> [Self; 2] {
        [Self::personal(), Self::lobby()]
    }

    /// The room of an account for who develops and tests: it forgets after a week or 10,000 publications, and stays where
    /// it is.
    pub fn personal() -> Self {
        let name = PERSONAL.parse().expect("a name written here");
        let age = Some(Duration::seconds(7 * 24 * 3600));
        let retention = Retention { count: Some(10_000), bytes: None, age };
        Self { retention, linked: false, ..Self::new(name, History::Log) }
    }
}

impl RoomConfig {
    /// The room of those who stand in an account's lobby: it keeps nothing, and stays where it is.
    pub fn lobby() -> Self {
        let name = LOBBY.parse().expect("a name written here");
        Self { linked: false, ..Self::new(name, History::None) }
    }
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_bus(kind: &RoomKind) -> bool {
    *kind == RoomKind::Bus
}

/// One right: `{ to = "ann", right = "subscribe", channels = "boiler/#" }`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantConfig {
    /// Who: the name of a user or client of the account, `@group` for those in a group, or `*` for each of them.
    pub to: Whom,
    /// Which: `publish`, `subscribe`, `admin`, or a list of them.
    pub right: Rights,
    /// On which channels; all unless said.
    #[serde(default = "Filter::all")]
    pub channels: Filter,
    /// A deny wins over every grant.
    #[serde(default, skip_serializing_if = "is_false")]
    pub deny: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// One right, or several in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rights(pub Vec<Right>);

impl Serialize for Rights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [right] => right.serialize(serializer),
            rights => {
                let mut list = serializer.serialize_seq(Some(rights.len()))?;
                rights.iter().try_for_each(|right| list.serialize_element(right))?;
                list.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Rights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> de::Visitor<'de> for OneOrMany {
            type Value = Rights;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("publish, subscribe, admin or a list of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Rights, E> {
                Right::deserialize(de::value::StrDeserializer::new(text)).map(|right| Rights(vec![right]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Rights, A::Error> {
                let mut rights = Vec::new();
                while let Some(right) = list.next_element()? {
                    rights.push(right);
                }
                Ok(Rights(rights))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}
