//! What the admin interface answers. No secret but one that was made for this answer.

use super::Place;
use riser_gate::{Account, RoomConfig, config::Whom, credential::Member};
use riser_host::audit::Line;
use riser_instance::{Became, Broadcasted, Reached};
use riser_model::AccountId;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

/// An account in a list.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct AccountRow {
    name: String,
    id: String,
    users: usize,
    clients: usize,
    rooms: usize,
    /// What was known of it is lost, and none of its credentials is taken.
    sealed: bool,
}

/// An account with all that it has.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct AccountAnswer {
    name: String,
    id: String,
    sealed: bool,
    /// How often it was changed.
    revision: u64,
    users: Vec<MemberAnswer>,
    clients: Vec<MemberAnswer>,
    /// As in the configuration, with every id.
    rooms: Vec<Value>,
    /// Of the account.
    gate: Value,
    /// In all rooms.
    grants: Value,
}

/// A room, for who looks after it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct RoomAnswer {
    /// As in the configuration, with its id.
    room: Value,
    /// What `If-Match` says of it as it is.
    tag: String,
    /// Rights in all rooms of the account.
    everywhere: Value,
    /// Whether who asks administers all of the account.
    account: bool,
}

/// A user or client.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct MemberAnswer {
    name: String,
    id: Option<String>,
    /// `user` or `client`.
    kind: &'static str,
    role: Option<Value>,
    /// By its name in the room that was asked about, where that is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    room_role: Option<Value>,
    groups: Vec<String>,
    /// What `If-Match` says of it as it is.
    tag: String,
    /// For who administers the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials: Option<Vec<CredentialAnswer>>,
    /// The browsers and programs by which a user comes, each a client; for who administers the account.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    clients: Vec<String>,
}

/// Users and clients of an account.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct MembersAnswer {
    pub(crate) members: Vec<MemberAnswer>,
    /// So many there are beside them.
    pub(crate) more: usize,
}

/// A credential, without what it is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct CredentialAnswer {
    pub(crate) kind: &'static str,
    /// What it is called.
    pub(crate) fingerprint: String,
}

/// A credential that was made. Its secret is here, and nowhere else ever.
#[derive(Clone, Serialize, JsonSchema)]
pub(crate) struct MadeCredential {
    pub(crate) kind: &'static str,
    pub(crate) fingerprint: String,
    /// The password, token or secret, where the hub made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
}

/// An account that was made. Its secrets are here, and nowhere else ever.
#[derive(Clone, Serialize, JsonSchema)]
pub(crate) struct MadeAccount {
    pub(crate) name: String,
    pub(crate) id: String,
    /// The first user, who may do everything.
    pub(crate) user: String,
    pub(crate) client: String,
    /// Of that user.
    pub(crate) password: String,
    /// Of that user.
    pub(crate) token: String,
}

/// Who was invited. A new user's token is here, and nowhere else ever.
#[derive(Clone, Serialize, JsonSchema)]
pub(crate) struct Invited {
    pub(crate) name: String,
    pub(crate) room: String,
    /// Of a user that was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
}

/// What was made or changed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Done {
    /// Its id.
    pub(crate) id: String,
    /// How often its account was changed.
    pub(crate) revision: u64,
    /// Of a user or client whose credentials were revoked: by what else it is let in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) still: Vec<&'static str>,
}

/// A connection of an account.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ConnectionAnswer {
    pub(crate) connection: u64,
    pub(crate) name: String,
    /// Its account, where it is of another one and stands at the gate of this one's lobby.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<String>,
    pub(crate) client: String,
    pub(crate) from: Option<String>,
    /// `in`, or the acceptor that it stands at.
    pub(crate) stands: String,
    /// It knocks, and waits for an admin.
    pub(crate) knocks: bool,
    /// The room that it is at.
    pub(crate) room: Option<String>,
}

/// Lines of the audit log, newest first.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct AuditAnswer {
    #[schemars(with = "Vec<Value>")]
    pub(crate) lines: Vec<Line>,
}

/// A broadcast to the devices of a room, and what became of it at each.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct BroadcastAnswer {
    /// Its id: what is told of it on the room's technical channel has it as `publish_id.producer`.
    id: String,
    /// When, milliseconds since 1970.
    at: i64,
    /// So many devices are meant.
    devices: usize,
    /// How many of them came to the same: `unstored`, `pending`, `delivered`, `failed`, `expired`, `unknown`.
    counts: BTreeMap<&'static str, usize>,
    reached: Vec<ReachedAnswer>,
    /// What is `after` for the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<usize>,
}

/// What became of a broadcast at a device.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ReachedAnswer {
    name: String,
    client: String,
    /// One of the words of `counts`.
    became: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

impl BroadcastAnswer {
    pub(crate) fn of(broadcasted: Broadcasted) -> Self {
        let Broadcasted { id, at, devices, counts, reached, next } = broadcasted;
        let reached = reached.into_iter().map(|Reached { client, name, became }| {
            let word = became.name();
            let code = match became {
                Became::Failed(code) => Some(code),
                Became::Unstored
                | Became::Pending
                | Became::Delivered
                | Became::Expired
                | Became::Unknown => None,
            };
            ReachedAnswer { name: name.to_string(), client: client.to_string(), became: word, code }
        });
        Self { id: id.to_string(), at: at.0, devices, counts, reached: reached.collect(), next }
    }
}

impl AccountRow {
    pub(crate) fn of(id: AccountId, account: &Account) -> Self {
        let config = &account.config;
        Self {
            name: config.name.to_string(),
            id: id.to_string(),
            users: config.user.len(),
            clients: config.client.len(),
            rooms: config.room.len(),
            sealed: account.sealed,
        }
    }
}

impl AccountAnswer {
    pub(crate) fn of(id: AccountId, account: &Account) -> Self {
        let config = &account.config;
        let members = |users: bool| {
            let of_kind = account.members().filter(move |member| matches!(member, Member::User(_)) == users);
            of_kind.map(|member| MemberAnswer::of(account, &member)).collect()
        };
        Self {
            name: config.name.to_string(),
            id: id.to_string(),
            sealed: account.sealed,
            revision: account.revision,
            users: members(true),
            clients: members(false),
            rooms: config.room.iter().map(|room| json!(room)).collect(),
            gate: json!(config.gate),
            grants: json!(config.grant),
        }
    }
}

impl RoomAnswer {
    pub(crate) fn of(place: &Place, account: bool) -> Self {
        let Place { known, room, .. } = place;
        Self { room: json!(room), tag: tag(room), everywhere: json!(known.config.grant), account }
    }
}

impl MemberAnswer {
    pub(crate) fn of(account: &Account, member: &Member) -> Self {
        let id = match member {
            Member::User(user) => user.id,
            Member::Client(client) => client.id,
        };
        let clients = id.into_iter().flat_map(|id| account.clients_of(id)).map(|client| client.to_string());
        let own = member.credentials().into_iter();
        let credentials =
            own.map(|one| CredentialAnswer { kind: one.kind(), fingerprint: one.fingerprint().to_string() });
        Self {
            credentials: Some(credentials.collect()),
            clients: clients.collect(),
            ..Self::without_credentials(member)
        }
    }

    pub(crate) fn without_credentials(member: &Member) -> Self {
        let (kind, name, id, role, groups) = match member {
            Member::User(user) => ("user", &user.name, user.id, user.role, &user.groups),
            Member::Client(client) => ("client", &client.name, client.id, client.role, &client.groups),
        };
        Self {
            name: name.to_string(),
            id: id.map(|id| id.to_string()),
            kind,
            role: role.map(|role| json!(role)),
            room_role: None,
            groups: groups.iter().map(ToString::to_string).collect(),
            tag: tag(&(name, role, groups)),
            credentials: None,
            clients: Vec::new(),
        }
    }

    /// The same, with the role that it has in this room.
    pub(crate) fn in_room(self, room: &RoomConfig) -> Self {
        let own = room
            .roles
            .iter()
            .find(|(whom, _)| matches!(whom, Whom::Named(name) if name.as_str() == self.name));
        Self { room_role: own.map(|(_, role)| json!(role)), ..self }
    }

    pub(crate) fn tag(&self) -> &str {
        &self.tag
    }
}

/// What tells something from the same thing after a change. Not a secret, and no proof of anything.
pub(crate) fn tag(of: &impl Serialize) -> String {
    let mut hasher = DefaultHasher::new();
    serde_json::to_vec(of).unwrap_or_default().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
