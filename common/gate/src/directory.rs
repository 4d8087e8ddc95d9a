//! The directory: who exists, what each may do and how each proves itself, compiled from configuration.
//!
//! Names are unique where they are looked up, every grant names someone who exists, and every id, key and
//! token belongs to one client only. A directory never changes; a new configuration makes a new one.

use crate::{
    config::{AccountConfig, ClientConfig, GrantConfig, Role, UserConfig, Whom},
    device_key::DeviceKey,
    gate_config::GateConfig,
    hidden::{PasswordHash, SharedSecret, TokenHash},
    invalid::{Invalid, nearest},
    issuer::Issuer,
    key::KeyText,
    ldap::LdapServer,
    sequence::Sequence,
};
use riser_model::{
    AccountId, AccountName, ClientId, Filter, Grants, Principal, PublicKey, Right, Room, RoomId,
    principal::Rule,
};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use uuid::Uuid;

pub use riser_model::room::QUARANTINE;

/// An edge as its hub knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Edge<'a> {
    /// Who it is and what it may do.
    pub principal: &'a Arc<Principal>,
    /// What its hello is signed with.
    pub key: PublicKey,
    /// Whether it may bring what edges below it took.
    pub relays: bool,
}

/// Who exists.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    rooms: Vec<Room>,
    by_id: BTreeMap<RoomId, usize>,
    members: BTreeMap<ClientId, Member>,
    names: BTreeMap<(AccountName, AccountName), ClientId>,
    accounts: BTreeMap<AccountName, AccountId>,
    tokens: Vec<(TokenHash, ClientId)>,
    certificates: BTreeMap<String, ClientId>,
    hashes: Vec<PasswordHash>,
    issuers: Vec<Issuer>,
    ldaps: BTreeMap<AccountName, Arc<LdapServer>>,
    gates: BTreeMap<AccountId, Arc<Sequence>>,
    room_gates: BTreeMap<RoomId, (AccountId, Arc<Sequence>)>,
}

#[derive(Clone, Debug)]
struct Member {
    principal: Arc<Principal>,
    is_person: bool,
    password: Option<PasswordHash>,
    key: Option<PublicKey>,
    relays: bool,
    keys: Vec<DeviceKey>,
    secret: Option<SharedSecret>,
}

impl Member {
    fn edge(&self) -> Option<Edge<'_>> {
        Some(Edge { principal: &self.principal, key: self.key?, relays: self.relays })
    }
}

/// Who can say whether a password is right, and whose it is.
#[derive(Debug)]
pub(crate) enum Judge<'a> {
    /// This hash.
    Hash(&'a Arc<Principal>, &'a PasswordHash),
    /// This server, of the person with this name; nobody's, if there is nobody.
    Server(Option<&'a Arc<Principal>>, &'a Arc<LdapServer>, String),
    /// There is nobody.
    Nobody,
}

/// Who a claim speaks of, and with what it can be proven.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claimed<'a> {
    pub(crate) principal: &'a Arc<Principal>,
    pub(crate) keys: &'a [DeviceKey],
    pub(crate) secret: Option<&'a SharedSecret>,
}

impl Directory {
    /// Compiles it, or says everything that is wrong.
    pub fn compile(accounts: &[AccountConfig]) -> Result<Self, Vec<Invalid>> {
        let mut compiler = Compiler::default();
        for account in accounts {
            compiler.account(account);
        }
        if compiler.wrong.is_empty() { Ok(compiler.directory) } else { Err(compiler.wrong) }
    }

    /// The room with that id, if it is that account's.
    pub fn room(&self, account: AccountId, id: RoomId) -> Option<&Room> {
        self.by_id.get(&id).and_then(|place| self.rooms.get(*place)).filter(|room| room.account == account)
    }

    /// The rooms of all accounts, in the order of the configuration.
    pub fn rooms(&self) -> &[Room] {
        &self.rooms
    }

    /// The accounts by name.
    pub fn accounts(&self) -> impl Iterator<Item = (&AccountName, AccountId)> {
        self.accounts.iter().map(|(name, id)| (name, *id))
    }

    /// All users and clients.
    pub fn principals(&self) -> impl Iterator<Item = &Arc<Principal>> {
        self.members.values().map(|member| &member.principal)
    }

    /// The user or client with that id.
    pub fn principal(&self, client: ClientId) -> Option<&Arc<Principal>> {
        self.members.get(&client).map(|member| &member.principal)
    }

    /// A user or client, and a digest of everything that it proves itself with: another password, key or token makes it
    /// another one.
    pub fn bound(&self, client: ClientId) -> Option<(&Arc<Principal>, [u8; 32])> {
        let member = self.members.get(&client)?;
        // Each part begins with its kind and length, so that no two lists are hashed alike.
        let mut digest = Sha256::new();
        let mut part = |kind: u8, bytes: &[u8]| {
            digest.update([kind]);
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        };
        member.password.iter().for_each(|hash| part(1, hash.expose().as_bytes()));
        member.keys.iter().for_each(|key| part(2, &key.0));
        member.secret.iter().for_each(|secret| part(3, secret.expose()));
        let tokens = self.tokens.iter().filter(|(_, of)| *of == client);
        tokens.for_each(|(hash, _)| part(4, hash.bytes()));
        Some((&member.principal, digest.finalize().into()))
    }

    /// The edge with that id: a client that has a key.
    pub fn edge(&self, client: ClientId) -> Option<Edge<'_>> {
        self.members.get(&client)?.edge()
    }

    /// All edges.
    pub fn edges(&self) -> impl Iterator<Item = Edge<'_>> {
        self.members.values().filter_map(Member::edge)
    }

    /// The user or client named `name` or `account/name`; the short form where only one account has it.
    pub fn named(&self, text: &str) -> Option<&Arc<Principal>> {
        let (account, name) = match text.split_once('/') {
            Some((account, name)) => (Some(account.parse().ok()?), name),
            None => (None, text),
        };
        self.find(account.as_ref(), name).map(|member| &member.principal)
    }

    /// As [`Self::named`], for configuration: which key named it, and who was probably meant.
    pub fn require(&self, key: &str, text: &str) -> Result<Arc<Principal>, Invalid> {
        self.named(text).cloned().ok_or_else(|| {
            let known: Vec<String> =
                self.names.keys().map(|(account, name)| format!("{account}/{name}")).collect();
            Invalid::new(
                key,
                format!("no user or client {text:?}, or more than one"),
                suggestion(text, &known, "write it as account/name and declare it under [[account]]"),
            )
        })
    }

    /// Who is meant, and who can say whether the password is right.
    pub(crate) fn judge(&self, account: Option<&AccountName>, user: &str) -> Judge<'_> {
        let (account, user) = match (account, user.split_once('/')) {
            (None, Some((account, user))) => match account.parse() {
                Ok(account) => (Some(account), user),
                Err(_) => return Judge::Nobody,
            },
            (account, _) => (account.cloned(), user),
        };
        let member = self.find(account.as_ref(), user);
        if let Some(Member { principal, password: Some(hash), .. }) = member {
            return Judge::Hash(principal, hash);
        }
        let own = member.map(|member| &member.principal.account_name);
        let own = own.or_else(|| account.as_ref().and_then(|account| self.account_called(account)));
        match own.and_then(|account| self.ldaps.get(account)) {
            Some(server) => {
                let person = member.filter(|member| member.is_person);
                Judge::Server(person.map(|person| &person.principal), server, user.to_owned())
            }
            None => Judge::Nobody,
        }
    }

    /// The gate of an account, before its lobby and all its rooms; none where it has none.
    pub fn gate(&self, account: AccountId) -> Option<&Arc<Sequence>> {
        self.gates.get(&account)
    }

    /// The gate of a room beyond its account's; none where it has none.
    pub fn room_gate(&self, room: RoomId) -> Option<&Arc<Sequence>> {
        self.room_gates.get(&room).map(|(_, gate)| gate)
    }

    /// The rooms of an account that have gates of their own.
    pub fn gated(&self, account: AccountId) -> impl Iterator<Item = (RoomId, &Arc<Sequence>)> {
        let own = self.room_gates.iter().filter(move |(_, (of, _))| *of == account);
        own.map(|(room, (_, gate))| (*room, gate))
    }

    /// Who vouches for users, of all accounts.
    pub(crate) fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    /// Whom a name or UUID speaks of.
    pub(crate) fn claimed(&self, account: Option<&AccountName>, name: &str) -> Option<Claimed<'_>> {
        let (account, name) = match (account, name.split_once('/')) {
            (None, Some((account, name))) => (Some(account.parse().ok()?), name),
            (account, _) => (account.cloned(), name),
        };
        let by_id = Uuid::try_parse(name).ok().and_then(|id| self.members.get(&ClientId(id)));
        let member = match by_id {
            Some(member) => {
                let own = &member.principal.account_name;
                let meant = account.as_ref().is_none_or(|name| self.account_called(name) == Some(own));
                meant.then_some(member)?
            }
            None => self.find(account.as_ref(), name)?,
        };
        let Member { principal, keys, secret, .. } = member;
        Some(Claimed { principal, keys, secret: secret.as_ref() })
    }

    /// A secret to verify against when nobody is meant.
    pub(crate) fn stand_in_secret(&self) -> SharedSecret {
        // Nobody knows it who does not know all hashes here; and what it proves lets nobody in.
        let digest = self.hashes.iter().fold(Sha256::new(), |all, hash| all.chain_update(hash.expose()));
        SharedSecret::stand_in(digest.finalize().into())
    }

    /// The hash to verify against when nobody is meant, so that the answer costs what a real one costs. The
    /// same user text always gets the same hash.
    pub(crate) fn stand_in(&self, user: &str) -> PasswordHash {
        let digest: [u8; 32] = Sha256::digest(user).into();
        let [a, b, ..] = digest;
        let index = usize::from(u16::from_be_bytes([a, b])) % self.hashes.len().max(1);
        match self.hashes.get(index) {
            Some(hash) => hash.clone(),
            None => STAND_IN.parse().expect("a hash written here"),
        }
    }

    /// Who has one of these names in its certificates, if it is one and the same.
    pub(crate) fn certified(&self, names: &[String]) -> Option<&Arc<Principal>> {
        let mut found = names.iter().filter_map(|name| self.certificates.get(name));
        let first = *found.next()?;
        if found.all(|other| *other == first) { self.principal(first) } else { None }
    }

    /// Whose token it is. Looks at every token, so that the time says nothing.
    pub(crate) fn token(&self, shown: TokenHash) -> Option<&Arc<Principal>> {
        let mut found = None;
        for (hash, client) in &self.tokens {
            if hash.same(&shown) {
                found = Some(*client);
            }
        }
        self.principal(found?)
    }

    /// The name of the account that addresses call so: by its name or by its UUID.
    fn account_called(&self, text: &AccountName) -> Option<&AccountName> {
        let by_name = self.accounts.get_key_value(text).map(|(name, _)| name);
        by_name.or_else(|| {
            let id = Uuid::try_parse(text.as_str()).ok().map(AccountId)?;
            self.accounts.iter().find(|(_, known)| **known == id).map(|(name, _)| name)
        })
    }

    fn find(&self, account: Option<&AccountName>, name: &str) -> Option<&Member> {
        let name: AccountName = name.parse().ok()?;
        let client = match account {
            Some(account) => *self.names.get(&(self.account_called(account)?.clone(), name))?,
            None => {
                let mut all = self.names.iter().filter(|((_, known), _)| *known == name);
                let (_, client) = all.next()?;
                if all.next().is_some() {
                    return None;
                }
                *client
            }
        };
        self.members.get(&client)
    }
}

/// The hash of 32 random bytes that were thrown away, at the costs that `account hash` uses.
const STAND_IN: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$Uml6ZXJTdGFuZEluMDA$2b6Gv5dVh3m0Yy0Jq1r8Zx4cT7nWQe9KfLsPuOiAaDg";

#[derive(Default)]
struct Compiler {
    directory: Directory,
    wrong: Vec<Invalid>,
    account_ids: BTreeSet<AccountId>,
    room_ids: BTreeSet<RoomId>,
    keys: BTreeSet<PublicKey>,
}

/// A user and a client are the same to rights and credentials.
struct Entrant<'a> {
    key: String,
    name: &'a AccountName,
    id: Option<ClientId>,
    is_person: bool,
    password: Option<&'a PasswordHash>,
    tokens: &'a [TokenHash],
    certificates: &'a [String],
    public: Option<KeyText>,
    relays: bool,
    keys: &'a [DeviceKey],
    secret: Option<&'a SharedSecret>,
    role: Option<Role>,
}

impl<'a> Entrant<'a> {
    fn user(account: &str, user: &'a UserConfig) -> Self {
        let UserConfig { name, id, password, tokens, certificates, keys, secret, role } = user;
        let key = format!("{account}.user[{name}]");
        let (password, secret, relays, is_person) = (password.as_ref(), secret.as_ref(), false, true);
        Self {
            key,
            name,
            id: *id,
            is_person,
            password,
            tokens,
            certificates,
            public: None,
            relays,
            keys,
            secret,
            role: *role,
        }
    }

    fn client(account: &str, client: &'a ClientConfig) -> Self {
        let ClientConfig {
            name,
            id,
            key: public,
            relays,
            password,
            tokens,
            certificates,
            keys,
            secret,
            role,
        } = client;
        let key = format!("{account}.client[{name}]");
        let (password, secret) = (password.as_ref(), secret.as_ref());
        let (public, relays, is_person) = (*public, *relays, false);
        Self {
            key,
            name,
            id: *id,
            is_person,
            password,
            tokens,
            certificates,
            public,
            relays,
            keys,
            secret,
            role: *role,
        }
    }
}

impl Compiler {
    fn account(&mut self, account: &AccountConfig) {
        let key = format!("account[{}]", account.name);
        let Some(id) = account.id else {
            self.refuse(
                format!("{key}.id"),
                "no id",
                "make one with `id new` and use it at every edge and hub",
            );
            return;
        };
        if self.directory.accounts.insert(account.name.clone(), id).is_some() {
            self.refuse(&key, "two accounts have this name", "give one of them another name");
            return;
        }
        if !self.account_ids.insert(id) {
            self.refuse(format!("{key}.id"), "two accounts have this id", "make another with `id new`");
        }
        let gate = self.gate(&format!("{key}.gate"), &account.gate, false);
        self.directory.gates.extend(gate.map(|gate| (id, gate)));
        for (index, issuer) in account.issuer.iter().enumerate() {
            match issuer.compile(&format!("{key}.issuer[{index}]"), &account.name) {
                Ok(issuer) => self.directory.issuers.push(issuer),
                Err(wrong) => self.wrong.extend(wrong),
            }
        }
        match account.ldap.as_ref().map(|ldap| ldap.compile(&format!("{key}.ldap"))) {
            Some(Ok(server)) => drop(self.directory.ldaps.insert(account.name.clone(), Arc::new(server))),
            Some(Err(wrong)) => self.wrong.extend(wrong),
            None => {}
        }
        let rules = self.rules(&key, id, account);
        let users = account.user.iter().map(|user| Entrant::user(&key, user));
        let clients = account.client.iter().map(|client| Entrant::client(&key, client));
        for entrant in users.chain(clients) {
            self.entrant(account, id, &entrant, &rules);
        }
    }

    /// Makes the account's rooms, and says which rules hold for whom.
    fn rules(&mut self, key: &str, id: AccountId, account: &AccountConfig) -> Vec<(Whom, Rule)> {
        let mut rules = Vec::new();
        self.grants(&format!("{key}.grant"), account, &account.grant, None, &mut rules);
        let mut names = BTreeSet::new();
        for room in &account.room {
            let key = format!("{key}.room[{}]", room.name);
            let room_id = room.id.unwrap_or_else(|| RoomId::of(id, room.name.as_str()));
            if !names.insert(&room.name) {
                self.refuse(&key, "two rooms of the account have this name", "give one of them another name");
                continue;
            }
            if room.name.as_str() == QUARANTINE {
                self.refuse(&key, "every hub makes this room itself", "give it another name");
            }
            if !self.room_ids.insert(room_id) {
                self.refuse(format!("{key}.id"), "two rooms have this id", "make another with `id new`");
            }
            self.grants(&format!("{key}.grant"), account, &room.grant, Some(room_id), &mut rules);
            let gate = self.gate(&format!("{key}.gate"), &room.gate, true);
            self.directory.room_gates.extend(gate.map(|gate| (room_id, (id, gate))));
            self.directory.by_id.insert(room_id, self.directory.rooms.len());
            self.directory.rooms.push(Room {
                id: room_id,
                account: id,
                account_name: account.name.clone(),
                name: room.name.clone(),
                history: room.history,
                retention: room.retention,
                linked: room.linked,
                down: room.down,
            });
        }
        rules
    }

    fn gate(&mut self, key: &str, gate: &GateConfig, of_room: bool) -> Option<Arc<Sequence>> {
        if gate.is_empty() {
            return None;
        }
        match gate.compile(key, of_room) {
            Ok(sequence) => Some(Arc::new(sequence)),
            Err(wrong) => {
                self.wrong.extend(wrong);
                None
            }
        }
    }

    fn grants(
        &mut self,
        key: &str,
        account: &AccountConfig,
        grants: &[GrantConfig],
        room: Option<RoomId>,
        rules: &mut Vec<(Whom, Rule)>,
    ) {
        let users = account.user.iter().map(|user| &user.name);
        let names: Vec<&AccountName> =
            users.chain(account.client.iter().map(|client| &client.name)).collect();
        for (index, grant) in grants.iter().enumerate() {
            if let Whom::Named(name) = &grant.to
                && !names.contains(&name)
            {
                let known: Vec<String> = names.iter().map(ToString::to_string).collect();
                self.refuse(
                    format!("{key}[{index}].to"),
                    format!("no user or client {name:?} in this account"),
                    suggestion(name.as_str(), &known, "declare it, or use \"*\" for everyone"),
                );
            }
            if grant.right.0.is_empty() {
                self.refuse(format!("{key}[{index}].right"), "no right", "name publish, subscribe or admin");
            }
            rules.extend(grant.right.0.iter().map(|right| {
                let rule = Rule { room, channels: grant.channels.clone(), right: *right, deny: grant.deny };
                (grant.to.clone(), rule)
            }));
        }
    }

    fn entrant(
        &mut self,
        account: &AccountConfig,
        id: AccountId,
        entrant: &Entrant<'_>,
        rules: &[(Whom, Rule)],
    ) {
        let client = entrant.id.unwrap_or_else(|| client_id(id, entrant.name));
        let Entrant { key, .. } = entrant;
        if self.directory.names.insert((account.name.clone(), entrant.name.clone()), client).is_some() {
            self.refuse(key, "two users or clients of the account have this name", "give one another name");
            return;
        }
        if client == ClientId::SYSTEM || self.directory.members.contains_key(&client) {
            self.refuse(format!("{key}.id"), "this id is taken", "make another with `id new`");
            return;
        }
        if let Some(public) = entrant.public
            && !self.keys.insert(public.0)
        {
            self.refuse(
                format!("{key}.key"),
                "two edges have this key",
                "make another with `key new`, at the edge",
            );
        }
        for token in entrant.tokens {
            if self.directory.tokens.iter().any(|(known, _)| known == token) {
                self.refuse(
                    format!("{key}.tokens"),
                    "this token is taken",
                    "make another with `account token`",
                );
            }
            self.directory.tokens.push((*token, client));
        }
        for name in entrant.certificates {
            if self.directory.certificates.insert(name.clone(), client).is_some_and(|other| other != client) {
                self.refuse(
                    format!("{key}.certificates"),
                    format!("somebody else has {name:?} in its certificate"),
                    "give each its own",
                );
            }
        }
        self.directory.hashes.extend(entrant.password.cloned());
        let key = entrant.public.map(|key| key.0);
        let grants = Grants::new(rules_of(entrant, rules, id)).of(client);
        let grants = if key.is_some() { grants.carrying() } else { grants };
        let principal = Arc::new(Principal {
            account: id,
            account_name: account.name.clone(),
            client,
            name: entrant.name.clone(),
            grants: Arc::new(grants),
        });
        let (password, secret) = (entrant.password.cloned(), entrant.secret.cloned());
        let (keys, relays) = (entrant.keys.to_vec(), entrant.relays);
        let member = Member { principal, is_person: entrant.is_person, password, key, relays, keys, secret };
        self.directory.members.insert(client, member);
    }

    fn refuse(&mut self, key: impl Into<String>, what: impl Into<String>, want: impl Into<String>) {
        self.wrong.push(Invalid::new(key, what, want));
    }
}

fn rules_of(entrant: &Entrant<'_>, rules: &[(Whom, Rule)], account: AccountId) -> Vec<Rule> {
    let role = entrant.role.map(Role::rights).unwrap_or_default().iter();
    let by_role = role.map(|right| Rule { room: None, channels: Filter::all(), right: *right, deny: false });
    let by_grant = rules.iter().filter(|(whom, _)| match whom {
        Whom::Everyone => true,
        Whom::Named(name) => name == entrant.name,
    });
    let mut rules: Vec<Rule> = by_role.chain(by_grant.map(|(_, rule)| rule.clone())).collect();
    // It holds what was refused elsewhere, also to those who may not read it there.
    let is_admin = rules.iter().any(|rule| rule.right == Right::Admin && rule.room.is_none() && !rule.deny);
    let denied = if is_admin { &[Right::Publish][..] } else { &[Right::Publish, Right::Subscribe] };
    let quarantine = Some(RoomId::of(account, QUARANTINE));
    let deny = |right: &Right| Rule { room: quarantine, channels: Filter::all(), right: *right, deny: true };
    rules.extend(denied.iter().map(deny));
    rules
}

/// The id of a user or client that does not set one. The slash keeps it apart from every room's.
pub fn client_id(account: AccountId, name: &AccountName) -> ClientId {
    ClientId(Uuid::new_v5(&account.0, format!("client/{name}").as_bytes()))
}

fn suggestion(text: &str, known: &[String], otherwise: &str) -> String {
    match nearest(text, known.iter().map(String::as_str)) {
        Some(name) => format!("did you mean {name:?}?"),
        None => otherwise.to_owned(),
    }
}

#[cfg(test)]
mod tests;
