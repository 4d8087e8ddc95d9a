//! The commands that change a running hub: accounts, users, clients, credentials, rooms, grants, knocks, the audit log.

use crate::{
    admin::requests::{
        CredentialKind, Decision, GrantRequest, MemberChange, NewAccount, NewBroadcast, NewCredential,
        NewInvitation, NewMember, Replacement, RoomRole,
    },
    remote::Remote,
};
use anyhow::{Context, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::{Args, Subcommand};
use riser_gate::{
    Role,
    config::{Rights, Whom},
};
use riser_model::{AccountName, ChannelName, Filter};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// `account`
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Print the hash of the password that standard input gives, for `password = "..."`.
    Hash,
    /// Print a new bearer token and, below it, its hash for `tokens = ["..."]`.
    Token,
    /// Make an account with its first user and that one's password and token, which are shown once.
    Create {
        /// Its name.
        name: AccountName,
        /// The first user; called like the account unless given.
        #[arg(long)]
        user: Option<AccountName>,
        /// Its UUID; made unless given.
        #[arg(long)]
        id: Option<Uuid>,
    },
    /// The accounts.
    List,
    /// An account with all that it has.
    Show {
        /// Its name or UUID.
        account: String,
    },
    /// Give an account another name. Its UUID stays.
    Rename {
        /// Its name or UUID.
        account: String,
        /// The new name.
        name: AccountName,
    },
    /// Remove an account with all that it has, for ever.
    Remove {
        /// Its name or UUID.
        account: String,
    },
    /// Set the gate of an account: a list as in `[[account]]`, such as '["password", "knock"]'; '[]' for none.
    Gate {
        /// Its name or UUID.
        account: String,
        /// The list, as TOML or JSON.
        #[arg(value_parser = value)]
        gate: Value,
    },
    /// Set who vouches for users of an account: a list of `[[account.issuer]]`.
    Issuers {
        /// Its name or UUID.
        account: String,
        /// The list, as TOML or JSON.
        #[arg(value_parser = value)]
        issuers: Value,
    },
    /// Set which directory server knows an account's people: a table as `[account.ldap]`.
    Ldap {
        /// Its name or UUID.
        account: String,
        /// The table, as TOML or JSON; none unless given.
        #[arg(value_parser = value)]
        server: Option<Value>,
    },
    /// Take the credentials again that files declare of an account of which it is lost which were revoked.
    Unseal {
        /// Its name or UUID.
        account: String,
    },
}

/// `user`, `client`
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum MemberCommand {
    /// Make one. It can enter when it has a credential: see `key add`.
    Add {
        /// ACCOUNT/NAME
        name: String,
        #[command(flatten)]
        fields: MemberFields,
        /// Its UUID; made unless given.
        #[arg(long)]
        id: Option<Uuid>,
        /// An edge that takes edges below it.
        #[arg(long)]
        relays: bool,
    },
    /// Change one; what is not given stays.
    Set {
        /// ACCOUNT/NAME
        name: String,
        #[command(flatten)]
        fields: MemberFields,
        /// Another name. The UUID stays.
        #[arg(long)]
        rename: Option<AccountName>,
        /// Without role.
        #[arg(long, conflicts_with = "role")]
        no_role: bool,
        /// In no group.
        #[arg(long, conflicts_with = "group")]
        no_groups: bool,
    },
    /// Remove one, for ever: its connections are closed, its sessions end.
    Remove {
        /// ACCOUNT/NAME
        name: String,
    },
    /// Remove a browser or program by which a user comes: its connections are closed, its sessions end.
    Forget {
        /// ACCOUNT/NAME
        name: String,
        /// What `account show` calls it.
        client: Uuid,
    },
}

/// What a user or client is.
#[derive(Clone, Debug, Args)]
pub(crate) struct MemberFields {
    /// Rights on every room: owner, admin, member, reader, observer, writer, device.
    #[arg(long, value_parser = parsed::<Role>)]
    role: Option<Role>,
    /// A group; may be given again.
    #[arg(long)]
    group: Vec<AccountName>,
}

/// `key`
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key file and print its public key.
    New {
        /// The file; it must not exist.
        file: std::path::PathBuf,
    },
    /// Print the public key of a key file.
    Show {
        /// The file.
        file: std::path::PathBuf,
    },
    /// Give a user or client of a running hub a credential. What is made is shown once.
    Add {
        /// ACCOUNT/NAME
        name: String,
        /// What kind.
        #[arg(long, value_enum, default_value = "token")]
        kind: CredentialKind,
        /// A public key, or a name in certificates. A password is never given here: it is made, or set over the interface.
        // One public key in 64 begins with a hyphen.
        #[arg(long, allow_hyphen_values = true)]
        value: Option<String>,
    },
    /// Put another credential in place of one.
    Rotate {
        /// ACCOUNT/NAME
        name: String,
        /// What `account show` calls it.
        fingerprint: String,
        /// A public key.
        // One public key in 64 begins with a hyphen.
        #[arg(long, allow_hyphen_values = true)]
        value: Option<String>,
    },
    /// Revoke a credential, for ever: connections that showed it are closed.
    Revoke {
        /// ACCOUNT/NAME
        name: String,
        /// What `account show` calls it.
        #[arg(required_unless_present = "all")]
        fingerprint: Option<String>,
        /// All that it has.
        #[arg(long, conflicts_with = "fingerprint")]
        all: bool,
    },
}

/// `room`
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum RoomCommand {
    /// Make a room: `room create acme/plant history=log retention.count=10000`.
    Create {
        /// ACCOUNT/ROOM
        name: String,
        /// Fields of `[[account.room]]`, as KEY=VALUE.
        fields: Vec<String>,
    },
    /// Change a room; what is not given stays, and an empty value takes a field away.
    Set {
        /// ACCOUNT/ROOM
        name: String,
        /// Fields of `[[account.room]]`, as KEY=VALUE.
        fields: Vec<String>,
    },
    /// Remove a room, and its id for ever.
    Remove {
        /// ACCOUNT/ROOM
        name: String,
    },
    /// A room as it is configured.
    Show {
        /// ACCOUNT/ROOM
        name: String,
    },
    /// Who of its account could be in a room, with their roles.
    Members {
        /// ACCOUNT/ROOM
        name: String,
        /// Those whose name contains this.
        #[arg(long)]
        contains: Option<AccountName>,
    },
    /// Give somebody rights in a room; who is not in the account is made, with a token that is shown once.
    Invite {
        /// ACCOUNT/ROOM
        name: String,
        /// A user or client by name.
        guest: AccountName,
        /// publish, subscribe, or both with a comma.
        #[arg(long, default_value = "publish,subscribe")]
        right: String,
    },
    /// Say something to all devices of a room: one publication to each, at its own address. Prints its id, and who has it.
    Broadcast {
        /// ACCOUNT/ROOM
        name: String,
        /// Below each device's address.
        channel: ChannelName,
        /// The payload as text.
        #[arg(required_unless_present = "file")]
        text: Option<String>,
        /// The payload is what is in this file, byte for byte.
        #[arg(long, conflicts_with = "text")]
        file: Option<std::path::PathBuf>,
        /// What it is: a media type.
        #[arg(long = "type")]
        content_type: Option<String>,
        /// Of no use after so many seconds.
        #[arg(long)]
        expires: Option<u32>,
    },
    /// Which devices received a broadcast.
    Received {
        /// ACCOUNT/ROOM
        name: String,
        /// Its id.
        broadcast: u64,
        /// Without so many of the first, as `next` says.
        #[arg(long)]
        after: Option<usize>,
    },
}

/// `role`
#[derive(Clone, Debug, Args)]
pub(crate) struct RoleArgs {
    /// ACCOUNT/ROOM
    room: String,
    /// A user or client by name, `@group`, or `*`.
    #[arg(value_parser = parsed::<Whom>)]
    to: Whom,
    /// owner, admin, member, reader, observer, writer, device, or none.
    role: String,
}

/// `grant`, `deny`, `ungrant`
#[derive(Clone, Debug, Args)]
pub(crate) struct GrantArgs {
    /// ACCOUNT for every room, or ACCOUNT/ROOM
    place: String,
    /// A user or client by name, `@group`, or `*`.
    #[arg(value_parser = parsed::<Whom>)]
    to: Whom,
    /// publish, subscribe, admin, or several with commas.
    right: String,
    /// On which channels.
    #[arg(long, default_value = "#")]
    channels: Filter,
}

/// `connection`
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ConnectionCommand {
    /// Who is connected, and who knocks; of a room, who waits at its own gate.
    List {
        /// ACCOUNT, or ACCOUNT/ROOM
        place: String,
    },
    /// Close a connection; it may come back.
    Close {
        /// The account.
        account: String,
        /// Its number.
        connection: u64,
    },
    /// Let in who knocks.
    Admit {
        /// ACCOUNT, or ACCOUNT/ROOM for who looks after that room
        place: String,
        /// Its number.
        connection: u64,
    },
    /// Do not.
    Refuse {
        /// ACCOUNT, or ACCOUNT/ROOM for who looks after that room
        place: String,
        /// Its number.
        connection: u64,
    },
}

/// `audit`
#[derive(Clone, Debug, Args)]
pub(crate) struct AuditArgs {
    /// An account; all unless given.
    account: Option<String>,
    /// Lines before this one.
    #[arg(long)]
    before: Option<u64>,
    /// At most so many.
    #[arg(long)]
    limit: Option<usize>,
    /// Lines that contain this.
    #[arg(long)]
    contains: Option<String>,
}

/// One request, as a command says it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Wish {
    method: &'static str,
    path: String,
    body: Option<Value>,
}

impl Wish {
    fn new(method: &'static str, path: String) -> Self {
        Self { method, path, body: None }
    }

    fn says(self, body: impl Serialize) -> anyhow::Result<Self> {
        Ok(Self { body: Some(serde_json::to_value(body)?), ..self })
    }

    /// Asks, and prints the answer.
    pub(crate) async fn perform(self, remote: &Remote, as_json: bool) -> anyhow::Result<()> {
        let Self { method, path, body } = self;
        let answer = remote.ask(method, &path, body).await?;
        if as_json {
            println!("{answer}");
        } else {
            let mut text = String::new();
            plain(&answer, 0, &mut text);
            print!("{text}");
        }
        Ok(())
    }
}

impl AccountCommand {
    /// What it asks; none for those that ask nobody.
    pub(crate) fn wish(&self) -> anyhow::Result<Option<Wish>> {
        Ok(Some(match self {
            Self::Hash | Self::Token => return Ok(None),
            Self::Create { name, user, id } => {
                let new = NewAccount { name: name.clone(), id: *id, user: user.clone() };
                Wish::new("POST", "/v1/accounts".to_owned()).says(new)?
            }
            Self::List => Wish::new("GET", "/v1/accounts".to_owned()),
            Self::Show { account } => Wish::new("GET", of_account(account, "")?),
            Self::Rename { account, name } => {
                Wish::new("PUT", of_account(account, "/name")?).says(json!({ "name": name }))?
            }
            Self::Remove { account } => Wish::new("DELETE", of_account(account, "")?),
            Self::Gate { account, gate } => {
                Wish::new("PUT", of_account(account, "/gate")?).says(json!({ "gate": gate }))?
            }
            Self::Issuers { account, issuers } => {
                Wish::new("PUT", of_account(account, "/issuers")?).says(json!({ "issuer": issuers }))?
            }
            Self::Ldap { account, server } => {
                Wish::new("PUT", of_account(account, "/ldap")?).says(json!({ "ldap": server }))?
            }
            Self::Unseal { account } => Wish::new("POST", of_account(account, "/unseal")?),
        }))
    }
}

impl MemberCommand {
    /// What it asks. `kind` is `users` or `clients`.
    pub(crate) fn wish(&self, kind: &str) -> anyhow::Result<Wish> {
        match self {
            Self::Add { name, fields, id, relays } => {
                let (account, name) = pair(name)?;
                let (role, groups) = (fields.role, fields.group.clone());
                let new = NewMember { name: name.parse()?, id: *id, role, groups, relays: *relays };
                Wish::new("POST", of_account(account, &format!("/{kind}"))?).says(new)
            }
            Self::Set { name, fields, rename, no_role, no_groups } => {
                let role = if *no_role { Some(None) } else { fields.role.map(Some) };
                let groups = (*no_groups || !fields.group.is_empty()).then(|| fields.group.clone());
                let change = MemberChange { name: rename.clone(), role, groups };
                Wish::new("PATCH", of_member(name, "")?).says(change)
            }
            Self::Remove { name } => Ok(Wish::new("DELETE", of_member(name, "")?)),
            Self::Forget { name, client } => {
                Ok(Wish::new("DELETE", of_member(name, &format!("/clients/{client}"))?))
            }
        }
    }
}

impl KeyCommand {
    /// What it asks; none for those that ask nobody.
    pub(crate) fn wish(&self) -> anyhow::Result<Option<Wish>> {
        Ok(Some(match self {
            Self::New { .. } | Self::Show { .. } => return Ok(None),
            Self::Add { kind: CredentialKind::Password, value: Some(_), .. } => {
                bail!("a password on a command line is seen by others: leave --value out, and one is made")
            }
            Self::Add { name, kind, value } => {
                let new = NewCredential { kind: *kind, value: value.clone() };
                Wish::new("POST", of_member(name, "/credentials")?).says(new)?
            }
            Self::Rotate { name, fingerprint, value } => {
                let rest = format!("/credentials/{}/rotate", word(fingerprint)?);
                Wish::new("POST", of_member(name, &rest)?).says(Replacement { value: value.clone() })?
            }
            Self::Revoke { name, fingerprint, .. } => match fingerprint {
                Some(fingerprint) => {
                    let rest = format!("/credentials/{}", word(fingerprint)?);
                    Wish::new("DELETE", of_member(name, &rest)?)
                }
                None => Wish::new("DELETE", of_member(name, "/credentials")?),
            },
        }))
    }
}

impl RoomCommand {
    /// What it asks.
    pub(crate) fn wish(&self) -> anyhow::Result<Wish> {
        match self {
            Self::Create { name, fields } => {
                let (account, room) = pair(name)?;
                let mut all = room_fields(fields)?;
                all.insert("name".to_owned(), json!(room));
                Wish::new("POST", of_account(account, "/rooms")?).says(all)
            }
            Self::Set { name, fields } => {
                let (account, room) = pair(name)?;
                let rest = format!("/rooms/{}", word(room)?);
                Wish::new("PATCH", of_account(account, &rest)?).says(room_fields(fields)?)
            }
            Self::Remove { name } => {
                let (account, room) = pair(name)?;
                Ok(Wish::new("DELETE", of_account(account, &format!("/rooms/{}", word(room)?))?))
            }
            Self::Show { name } => {
                let (account, room) = pair(name)?;
                Ok(Wish::new("GET", of_account(account, &format!("/rooms/{}", word(room)?))?))
            }
            Self::Members { name, contains } => {
                let (account, room) = pair(name)?;
                let contains = contains.as_ref().map(|text| format!("?contains={text}")).unwrap_or_default();
                let rest = format!("/rooms/{}/members{contains}", word(room)?);
                Ok(Wish::new("GET", of_account(account, &rest)?))
            }
            Self::Invite { name, guest, right } => {
                let (account, room) = pair(name)?;
                let right = rights(right)?;
                let rest = format!("/rooms/{}/invitations", word(room)?);
                Wish::new("POST", of_account(account, &rest)?)
                    .says(NewInvitation { name: guest.clone(), right })
            }
            Self::Broadcast { name, channel, text, file, content_type, expires } => {
                let data_b64 = match file {
                    Some(file) => {
                        let bytes = std::fs::read(file);
                        let bytes =
                            bytes.with_context(|| format!("read the payload in {}", file.display()))?;
                        Some(STANDARD.encode(bytes))
                    }
                    None => None,
                };
                let (data, content_type) = (text.clone(), content_type.clone());
                let (channel, expires) = (channel.clone(), *expires);
                Wish::new("POST", of_room(name, "/broadcast")?).says(NewBroadcast {
                    channel,
                    data,
                    data_b64,
                    content_type,
                    expires,
                })
            }
            Self::Received { name, broadcast, after } => {
                let after = after.map(|after| format!("?after={after}")).unwrap_or_default();
                Ok(Wish::new("GET", of_room(name, &format!("/broadcasts/{broadcast}{after}"))?))
            }
        }
    }
}

impl RoleArgs {
    /// What it asks.
    pub(crate) fn wish(&self) -> anyhow::Result<Wish> {
        let (account, room) = pair(&self.room)?;
        let role = match (self.role.as_str(), Role::of(&self.role)) {
            ("none", _) => None,
            (_, Some(role)) => Some(role),
            (word, None) => {
                bail!("{word:?}: want owner, admin, member, reader, observer, writer, device or none")
            }
        };
        let path = of_account(account, &format!("/rooms/{}/roles", word(room)?))?;
        Wish::new("PUT", path).says(RoomRole { to: self.to.clone(), role })
    }
}

impl GrantArgs {
    /// What it asks.
    pub(crate) fn wish(&self, deny: bool, back: bool) -> anyhow::Result<Wish> {
        let (account, room) = match self.place.split_once('/') {
            Some((account, room)) => (account, Some(room.to_owned())),
            None => (self.place.as_str(), None),
        };
        let right = rights(&self.right)?;
        let (to, channels) = (self.to.clone(), self.channels.clone());
        let grant = GrantRequest { room, to, right, channels, deny };
        Wish::new("POST", of_account(account, if back { "/ungrant" } else { "/grants" })?).says(grant)
    }
}

impl ConnectionCommand {
    /// What it asks.
    pub(crate) fn wish(&self) -> anyhow::Result<Wish> {
        let decide = |place: &str, connection: u64, admit| {
            let path = of_place(place, &format!("/connections/{connection}/decide"))?;
            Wish::new("POST", path).says(Decision { admit })
        };
        match self {
            Self::List { place } => Ok(Wish::new("GET", of_place(place, "/connections")?)),
            Self::Close { account, connection } => {
                Ok(Wish::new("DELETE", of_account(account, &format!("/connections/{connection}"))?))
            }
            Self::Admit { place, connection } => decide(place, *connection, true),
            Self::Refuse { place, connection } => decide(place, *connection, false),
        }
    }
}

impl AuditArgs {
    /// What it asks.
    pub(crate) fn wish(&self) -> anyhow::Result<Wish> {
        let Self { account: _, before, limit, contains } = self;
        let before = before.map(|before| format!("before={before}"));
        let limit = limit.map(|limit| format!("limit={limit}"));
        let contains = contains.as_ref().map(|text| format!("contains={}", quoted(text)));
        let query: Vec<String> = [before, limit, contains].into_iter().flatten().collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        let path = match &self.account {
            Some(account) => of_account(account, "/audit")?,
            None => "/v1/audit".to_owned(),
        };
        Ok(Wish::new("GET", path + &query))
    }
}

/// A name, a UUID or a fingerprint: it stands in a path as it is.
fn word(text: &str) -> anyhow::Result<&str> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=64).contains(&text.len()) && text.bytes().all(fits) {
        Ok(text)
    } else {
        bail!("{text:?} is no name, and no id")
    }
}

/// As it stands in a query (RFC 3986, section 2).
fn quoted(text: &str) -> String {
    let stays = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if stays(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn pair(text: &str) -> anyhow::Result<(&str, &str)> {
    text.split_once('/').with_context(|| format!("{text:?}: want ACCOUNT/NAME"))
}

fn of_account(account: &str, rest: &str) -> anyhow::Result<String> {
    Ok(format!("/v1/accounts/{}{rest}", word(account)?))
}

/// Of an account, or of a room of it.
fn of_place(place: &str, rest: &str) -> anyhow::Result<String> {
    match place.split_once('/') {
        Some((account, room)) => of_account(account, &format!("/rooms/{}{rest}", word(room)?)),
        None => of_account(place, rest),
    }
}

fn of_room(name: &str, rest: &str) -> anyhow::Result<String> {
    let (account, room) = pair(name)?;
    of_account(account, &format!("/rooms/{}{rest}", word(room)?))
}

fn of_member(name: &str, rest: &str) -> anyhow::Result<String> {
    let (account, name) = pair(name)?;
    of_account(account, &format!("/members/{}{rest}", word(name)?))
}

/// `a.b=1` as `{"a":{"b":1}}`. What is no value of TOML is text, as in `history=log`; nothing is null.
fn room_fields(fields: &[String]) -> anyhow::Result<Map<String, Value>> {
    let mut all = Map::new();
    for field in fields {
        let (key, text) = field.split_once('=').with_context(|| format!("{field:?}: want KEY=VALUE"))?;
        let parsed = toml::from_str::<toml::Table>(&format!("value = {text}"));
        let value = match parsed.ok().and_then(|mut table| table.remove("value")) {
            _ if text.is_empty() => Value::Null,
            Some(value) => serde_json::to_value(value)?,
            None => json!(text),
        };
        let (mut place, mut parts) = (&mut all, key.split('.').peekable());
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                place.insert(part.to_owned(), value.clone());
                break;
            }
            let inner = place.entry(part).or_insert_with(|| json!({}));
            place = inner.as_object_mut().with_context(|| format!("{key}: {part} has a value already"))?;
        }
    }
    Ok(all)
}

/// `publish,subscribe` as a list.
fn rights(text: &str) -> anyhow::Result<Rights> {
    let words: Vec<&str> = text.split(',').map(str::trim).collect();
    serde_json::from_value(json!(words)).context("RIGHT: publish, subscribe or admin")
}

/// A value as in a configuration file, or as JSON.
fn value(text: &str) -> Result<Value, String> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    let parsed = toml::from_str::<toml::Table>(&format!("value = {text}"));
    let value = parsed.map_err(|error| error.message().to_owned())?.remove("value");
    serde_json::to_value(value).map_err(|error| error.to_string())
}

/// A value of a configuration as an argument.
fn parsed<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(json!(text)).map_err(|error| error.to_string())
}

/// JSON for people: a line for each value.
fn plain(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::Null => {}
                    Value::Array(items) if items.is_empty() => {}
                    Value::Object(_) | Value::Array(_) => {
                        out.push_str(&format!("{indent}{name}:\n"));
                        plain(field, depth + 1, out);
                    }
                    Value::String(text) => out.push_str(&format!("{indent}{name}: {text}\n")),
                    Value::Bool(_) | Value::Number(_) => out.push_str(&format!("{indent}{name}: {field}\n")),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::Object(fields) => {
                        let flat = |value: &Value| match value {
                            Value::String(text) => text.clone(),
                            other => other.to_string(),
                        };
                        let shown = fields.iter().filter(|(_, value)| !value.is_null());
                        let shown: Vec<String> =
                            shown.map(|(name, value)| format!("{name}={}", flat(value))).collect();
                        out.push_str(&format!("{indent}{}\n", shown.join(" ")));
                    }
                    other => out.push_str(&format!("{indent}{other}\n")),
                }
            }
        }
        other => out.push_str(&format!("{indent}{other}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_room_are_typed_as_in_the_file() {
        let fields = [
            "history=log",
            "retention.count=20",
            "down=true",
            "archive=true",
            "gate=[\"key\"]",
            "retention.age=30d",
            "id=",
        ];
        let all = room_fields(&fields.map(str::to_owned)).unwrap();
        let want = json!({
            "history": "log", "retention": { "count": 20, "age": "30d" }, "down": true, "archive": true, "gate": ["key"], "id": null,
        });
        assert_eq!(Value::Object(all), want);
        assert!(room_fields(&["nonsense".to_owned()]).is_err());
    }

    #[test]
    fn a_public_key_that_begins_with_a_hyphen_is_a_value() {
        let keys = KeyCommand::augment_subcommands(clap::Command::new("key"));
        for args in [&["key", "add", "acme/edge"][..], &["key", "rotate", "acme/edge", "0123456789abcdef"]] {
            let args = args.iter().chain(&["--value", "-NkxW"]);
            let found = keys.clone().try_get_matches_from(args).unwrap();
            let (_, found) = found.subcommand().unwrap();
            assert_eq!(found.get_one::<String>("value").unwrap(), "-NkxW");
        }
    }

    #[test]
    fn nothing_but_names_gets_into_a_path() {
        assert_eq!(of_member("acme/ann", "/x").unwrap(), "/v1/accounts/acme/members/ann/x");
        for name in ["acme", "acme/", "acme/a b", "../x", "acme/a?b", "acme/a%2f", "ACME/ann"] {
            assert!(of_member(name, "").is_err(), "{name}");
        }
    }

    #[test]
    fn answers_are_lines_for_people() {
        let mut text = String::new();
        plain(
            &json!({ "name": "a", "none": null, "users": [{ "name": "ann", "id": 7 }], "empty": [] }),
            0,
            &mut text,
        );
        assert_eq!(text, "name: a\nusers:\n  id=7 name=ann\n");
    }
}
