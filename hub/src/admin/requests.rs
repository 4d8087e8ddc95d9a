//! What requests to the admin interface say.

use riser_gate::{GateConfig, GrantConfig, IssuerConfig, LdapConfig, Role, config::Whom};
use riser_host::audit::Asked;
use riser_model::{AccountId, AccountName, ChannelName, Filter, RoomName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A new account, with its first user, who may do everything there.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// Its name, 1-64 of `[a-z0-9-]`.
    #[schemars(with = "String")]
    pub name: AccountName,
    /// Its UUID; made unless given. The same at every edge that serves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub id: Option<Uuid>,
    /// The first user; called like the account unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub user: Option<AccountName>,
}

/// Another name.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewName {
    /// It.
    #[schemars(with = "String")]
    pub name: AccountName,
}

/// The gate of an account: a list of stages, as in the configuration.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGate {
    /// It; empty for none.
    #[schemars(with = "Vec<serde_json::Value>")]
    pub gate: GateConfig,
}

/// Who vouches for users of an account with tokens, as in the configuration.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewIssuers {
    /// All of them.
    #[schemars(with = "Vec<serde_json::Value>")]
    pub issuer: Vec<IssuerConfig>,
}

/// The directory server that knows an account's people, as in the configuration.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLdap {
    /// It; null for none.
    #[schemars(with = "Option<serde_json::Value>")]
    pub ldap: Option<LdapConfig>,
}

/// A new user or client. It has no credential yet.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMember {
    /// Its name, 1-64 of `[a-z0-9-]`.
    #[schemars(with = "String")]
    pub name: AccountName,
    /// Its UUID; made unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub id: Option<Uuid>,
    /// Rights on every room: owner, admin, member, reader, observer, writer, device; none unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub role: Option<Role>,
    /// Groups that it is in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub groups: Vec<AccountName>,
    /// Of an edge: whether it takes edges below it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub relays: bool,
}

/// What changes of a user or client; what is left out stays.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberChange {
    /// Another name. The UUID stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub name: Option<AccountName>,
    /// Another role; null for none.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub role: Option<Option<Role>>,
    /// The groups that it is in, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<String>>")]
    pub groups: Option<Vec<AccountName>>,
}

/// Null says something else than nothing.
fn given<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// What kind of credential.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[clap(rename_all = "snake_case")]
pub enum CredentialKind {
    /// A password; made unless given.
    Password,
    /// A bearer token; always made.
    Token,
    /// The ed25519 public key of a device, as OpenSSH writes it.
    Key,
    /// A secret that a device shares with the hub; always made.
    Secret,
    /// The public key of an edge's link, as `riser-edge key show` prints it.
    EdgeKey,
    /// A name in its certificates, to the letter.
    Certificate,
}

/// A new credential of a user or client.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCredential {
    /// What kind.
    pub kind: CredentialKind,
    /// The password, public key or name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// In place of a credential.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    /// The password, public key or name; what is made otherwise is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// A right that is granted, denied, or taken back.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantRequest {
    /// The name or id of a room; every room unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// To a user or client by name, to a group (`@ops`), or to everybody (`*`).
    #[schemars(with = "String")]
    pub to: Whom,
    /// `publish`, `subscribe`, `admin`, or a list of them.
    #[schemars(with = "serde_json::Value")]
    pub right: riser_gate::config::Rights,
    /// On which channels; all unless given.
    #[serde(default = "Filter::all")]
    #[schemars(with = "String")]
    pub channels: Filter,
    /// A deny wins over every grant.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deny: bool,
}

impl GrantRequest {
    pub(super) fn grant(&self) -> GrantConfig {
        let Self { room: _, to, right, channels, deny } = self.clone();
        GrantConfig { to, right, channels, deny }
    }
}

/// The role that somebody has in a room from now on.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RoomRole {
    /// A user or client by name or id, a group (`@ops`), or everybody (`*`).
    #[schemars(with = "String")]
    pub to: Whom,
    /// In that room, and by that in no other: owner, admin, member, reader, observer, writer, device; null for none.
    #[schemars(with = "Option<String>")]
    pub role: Option<Role>,
}

/// Somebody who is to have rights in a room: who is in the account, or a new user.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvitation {
    /// Its name, 1-64 of `[a-z0-9-]`.
    #[schemars(with = "String")]
    pub name: AccountName,
    /// `publish`, `subscribe`, or a list of them.
    #[schemars(with = "serde_json::Value")]
    pub right: riser_gate::config::Rights,
}

/// A room: the same fields as `[[account.room]]` of the configuration. What a change leaves out stays; null takes it away.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct RoomFields(pub serde_json::Map<String, serde_json::Value>);

/// What becomes of who knocks.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Whether it is let in.
    pub admit: bool,
    /// The room that it knocks at: said, nobody is let in who has gone on and knocks elsewhere by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub room: Option<RoomName>,
}

/// Something that is said to all devices of a room.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBroadcast {
    /// Below each device's address.
    #[schemars(with = "String")]
    pub channel: ChannelName,
    /// The payload as text. This, or `data_b64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The payload in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_b64: Option<String>,
    /// What it is, in 1 to 255 visible ASCII characters; `text/plain` for text and `application/octet-stream` for bytes unless
    /// given.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Of no use after so many seconds, at least 1; for ever of use unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<u32>,
}

/// Which devices of a broadcast.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BroadcastQuery {
    /// Without so many of the first, as `next` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<usize>,
}

/// Which users and clients.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MembersQuery {
    /// Those whose name contains this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// At most so many; 100 unless given, 1000 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// Which lines of the audit log: [`Asked`] of any account.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// Those before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// At most so many; 100 unless given, 1000 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Those in which somebody, something, a place or a result contains this, in whatever case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
}

impl AuditQuery {
    /// The same of one account, or of all.
    pub fn of(self, account: Option<AccountId>) -> Asked {
        let Self { before, limit, contains } = self;
        Asked { account, before, limit, contains }
    }
}
