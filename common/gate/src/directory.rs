//! The directory: who exists, what each may do and how each proves itself, compiled from configuration.
//!
//! Names are unique where they are looked up, every grant names someone who exists, and every id, key and
//! token belongs to one client only. A directory never changes; a new configuration makes a new one.

use crate::{
    accounts::{Account, Accounts},
    config::AccountConfig,
    device_key::DeviceKey,
    hidden::{PasswordHash, SharedSecret, TokenHash},
    invalid::{Invalid, nearest},
    issuer::Issuer,
    ldap::LdapServer,
    provider::Provider,
    sequence::Sequence,
};
use bytes::Bytes;
use compiler::{Compiler, complete};
use riser_model::{
    AccountId, AccountName, ClientId, Grants, Home, Memberships, Principal, PublicKey, Room, RoomId,
    door::{Credential, Secret},
    principal::Rule,
    schema::Check,
};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};
use uuid::Uuid;

mod compiler;
mod evidence;
mod given;

pub use evidence::{Evidence, Holds};
use given::Given;
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
    /// Stands in where nobody is meant: nobody knows it who does not know all hashes, and what it proves lets nobody in.
    no_secret: [u8; 32],
    issuers: Vec<Issuer>,
    /// Those of them that pages send people to.
    providers: Vec<Arc<Provider>>,
    ldaps: BTreeMap<AccountName, Arc<LdapServer>>,
    /// What each of the groups gives that an account's directory server names, in the order of its list.
    memberships: BTreeMap<AccountId, Vec<Vec<Given>>>,
    /// The issuers of each account, by what is known of them.
    vouched: BTreeMap<AccountId, BTreeSet<[u8; 32]>>,
    gates: BTreeMap<AccountId, Arc<Sequence>>,
    room_gates: BTreeMap<RoomId, (AccountId, Arc<Sequence>)>,
    /// The accounts of which something was given up for ever.
    given_up: BTreeMap<AccountId, Arc<Account>>,
    /// Clients that were a user's, and whose.
    parted: BTreeMap<ClientId, ClientId>,
    /// What whoever visits an account's lobby may do there, and in no other room.
    visited: BTreeMap<AccountId, Vec<Rule>>,
    /// Whose names need no account before them.
    bare: Option<AccountName>,
}

#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) principal: Arc<Principal>,
    is_person: bool,
    /// What its rights are made of.
    rules: Vec<Rule>,
    pub(crate) password: Option<PasswordHash>,
    key: Option<PublicKey>,
    relays: bool,
    pub(crate) keys: Vec<DeviceKey>,
    pub(crate) secret: Option<SharedSecret>,
    /// Digests of its tokens, and of the names in its certificates.
    pub(crate) tokens: BTreeSet<[u8; 32]>,
    pub(crate) certificates: BTreeSet<[u8; 32]>,
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
        compiler.reserved();
        let Compiler { mut directory, wrong, .. } = compiler;
        let all = directory.hashes.iter().fold(Sha256::new(), |all, hash| all.chain_update(hash.expose()));
        directory.no_secret = all.finalize().into();
        if wrong.is_empty() { Ok(directory) } else { Err(wrong) }
    }

    /// The same, of these accounts.
    #[must_use]
    pub(crate) fn of(mut self, accounts: &Accounts) -> Self {
        let given_up = accounts.iter().filter(|(_, one)| !one.revoked.is_empty() || !one.gone.is_empty());
        self.given_up = given_up.map(|(id, account)| (id, Arc::clone(account))).collect();
        self.bare = accounts.bare().cloned();
        for (_, account) in accounts.iter() {
            for (client, user) in &account.associated {
                self.associate(*client, *user);
            }
            self.parted.extend(&account.parted);
        }
        self
    }

    /// The same, where a name without an account is first of all a name of this one, by its name or UUID: whoever else has it
    /// has to say whose it is. An account that there is not changes nothing.
    #[must_use]
    pub fn with_bare(self, bare: Option<AccountName>) -> Self {
        Self { bare, ..self }
    }

    /// What somebody shows who came to the address of an account, by its name or UUID: a name without an account is that
    /// account's and nobody else's, so that who visits cannot see which names it has, nor whether there is such an account. What
    /// means the same without saying so is as it was, and so are ids, and what was signed.
    pub(crate) fn at_home(&self, credential: Credential, home: Option<&AccountName>) -> Credential {
        let named = |user: &str| {
            let home = home.filter(|_| !user.contains('/'))?;
            let is_id = Uuid::try_parse(user).is_ok_and(|id| self.members.contains_key(&ClientId(id)));
            let own = self.find(Some(home), user).map(|member| member.principal.client);
            let bare = self.find(None, user).map(|member| member.principal.client);
            let means_the_same = is_id || (own.is_some() && own == bare);
            (!means_the_same).then(|| self.account_called(home).unwrap_or(home).clone())
        };
        match credential {
            Credential::Password { account: None, user, password } => {
                Credential::Password { account: named(&user), user, password }
            }
            Credential::Claim { account: None, name, method } => {
                Credential::Claim { account: named(&name), name, method }
            }
            other => other,
        }
    }

    /// A name as a person types it who came to that account's address.
    pub(crate) fn typed_at(&self, home: Option<&AccountName>, name: &str) -> String {
        let none = Secret(Bytes::new());
        let shown = Credential::Password { account: None, user: name.to_owned(), password: none };
        match self.at_home(shown, home) {
            Credential::Password { account: Some(account), user, .. } => format!("{account}/{user}"),
            _ => name.to_owned(),
        }
    }

    /// A user comes by this client too: it proves itself as the user does, and may do the same.
    fn associate(&mut self, client: ClientId, user: ClientId) {
        let Some(member) = self.members.get(&user).filter(|member| member.is_person) else { return };
        let mut member = member.clone();
        let grants = Grants::clone(&member.principal.grants).through(client);
        member.principal =
            Arc::new(Principal { client, grants: Arc::new(grants), ..Principal::clone(&member.principal) });
        // What a file declares meanwhile under that id is that one's.
        self.members.entry(client).or_insert(member);
    }

    /// The user or client behind a client: itself, unless it is or was one of several of a user.
    pub fn user_of(&self, client: ClientId) -> Option<&Arc<Principal>> {
        let user = match self.members.get(&client) {
            Some(member) => member.principal.user(),
            None => *self.parted.get(&client)?,
        };
        self.principal(user)
    }

    /// Whether it is a person's own, and not one of several clients of hers.
    pub fn is_person(&self, client: ClientId) -> bool {
        self.members.get(&client).is_some_and(|member| member.is_person && member.principal.user() == client)
    }

    /// An account of which something was given up for ever.
    pub fn given_up(&self, account: AccountId) -> Option<&Arc<Account>> {
        self.given_up.get(&account)
    }

    /// The room with that id, if it is that account's.
    pub fn room(&self, account: AccountId, id: RoomId) -> Option<&Room> {
        self.by_id.get(&id).and_then(|place| self.rooms.get(*place)).filter(|room| room.account == account)
    }

    /// Compiles the schemas of rooms, each by its key in the configuration and its text.
    pub fn compile_schemas(&mut self, mut compile: impl FnMut(String, &str) -> Arc<dyn Check>) {
        for room in &mut self.rooms {
            let Some(schema) = room.schema.take() else { continue };
            let key = format!("account[{}].room[{}].schema", room.account_name, room.name);
            let check = compile(key, schema.text());
            room.schema = Some(schema.compiled(check));
        }
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

    /// The user or client with that id, with what these groups of its account's directory server give it.
    pub fn principal_in(&self, client: ClientId, memberships: Memberships) -> Option<Arc<Principal>> {
        let member = self.members.get(&client)?;
        let account = member.principal.account;
        let given = self.memberships.get(&account).filter(|_| self.judging(member).is_some());
        let Some(given) = given.filter(|_| !memberships.is_empty()) else {
            return Some(Arc::clone(&member.principal));
        };
        let groups = given.iter().enumerate().filter(|(place, _)| memberships.has(*place));
        let user = member.principal.user();
        let by_groups = groups.flat_map(|(_, given)| given).map(|given| given.clone().to(user));
        let rules = member.rules.iter().cloned().chain(by_groups).collect();
        let grants = Grants::new(complete(rules, account)).of(user).by(memberships);
        let grants = if user == client { grants } else { grants.through(client) };
        Some(Arc::new(Principal { grants: Arc::new(grants), ..Principal::clone(&member.principal) }))
    }

    /// Somebody, as it is known here.
    pub fn known(&self, who: &Principal) -> Option<Arc<Principal>> {
        self.principal_in(who.client, who.grants.memberships())
    }

    /// Somebody of another account, as it is in that account's lobby: itself, with what visitors may do there and nothing else.
    /// Where there is no such account, in its own and with no right at all.
    pub fn visiting(&self, who: &Principal, host: Option<AccountId>) -> Arc<Principal> {
        let named = host.and_then(|host| self.accounts.iter().find(|(_, id)| **id == host));
        let rules = host.and_then(|host| self.visited.get(&host)).cloned().unwrap_or_default();
        let (account_name, account) = match named {
            Some((name, id)) => (name.clone(), *id),
            None => (who.account_name.clone(), who.account),
        };
        let grants = Arc::new(Grants::new(complete(rules, account)).of(who.user()));
        let home = Some(Home { account: who.account, name: who.account_name.clone() });
        Arc::new(Principal { account, account_name, grants, home, ..who.clone() })
    }

    /// A user or client, and a digest of everything that it proves itself with, and of whoever vouches for it: another
    /// password, key, token or issuer makes it another one.
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
        member.tokens.iter().for_each(|token| part(4, token));
        member.certificates.iter().for_each(|name| part(5, name));
        self.vouched.get(&member.principal.account).into_iter().flatten().for_each(|issuer| part(6, issuer));
        self.judging(member).iter().for_each(|server| part(7, &server.digest()));
        Some((&member.principal, digest.finalize().into()))
    }

    /// The account that addresses call so: by its name or by its UUID.
    pub fn account(&self, text: &AccountName) -> Option<AccountId> {
        self.account_called(text).and_then(|name| self.accounts.get(name)).copied()
    }

    /// The devices of an account: its clients, and no person, that prove themselves with a key, a secret or a certificate of
    /// their own. In the order of their ids.
    pub fn devices(&self, account: AccountId) -> impl Iterator<Item = &Arc<Principal>> {
        let has_key = |member: &Member| {
            !member.keys.is_empty() || member.secret.is_some() || !member.certificates.is_empty()
        };
        let own = self.members.values().filter(move |member| {
            member.principal.account == account && !member.is_person && has_key(member)
        });
        own.map(|member| &member.principal)
    }

    /// The edge with that id: a client that has a key.
    pub fn edge(&self, client: ClientId) -> Option<Edge<'_>> {
        self.members.get(&client)?.edge()
    }

    /// All edges.
    pub fn edges(&self) -> impl Iterator<Item = Edge<'_>> {
        self.members.values().filter_map(Member::edge)
    }

    /// The user or client named `name` or `account/name`; the short form where the account of bare names has it, or only one.
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

    /// The server that knows somebody's password; none where it is known here, and of devices.
    pub(crate) fn judging(&self, member: &Member) -> Option<&Arc<LdapServer>> {
        let is_judged = member.is_person && member.password.is_none();
        is_judged.then(|| self.ldaps.get(&member.principal.account_name)).flatten()
    }

    /// Those who vouch for users of an account, by what is known of them.
    pub(crate) fn vouched(&self, account: AccountId) -> BTreeSet<[u8; 32]> {
        self.vouched.get(&account).cloned().unwrap_or_default()
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

    /// Whom the page of an account sends its people to, in the order of the configuration.
    pub fn providers(&self, account: &AccountName) -> impl Iterator<Item = &Arc<Provider>> {
        let account = self.account_called(account);
        self.providers.iter().filter(move |one| Some(&one.account) == account)
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
        SharedSecret::stand_in(self.no_secret)
    }

    /// The hash to verify against when nobody is meant, so that the answer costs what a real one costs. The
    /// same user text always gets the same hash.
    pub(crate) fn stand_in(&self, user: &str) -> &PasswordHash {
        static NO_HASH: LazyLock<PasswordHash> =
            LazyLock::new(|| STAND_IN.parse().expect("a hash written here"));
        let digest: [u8; 32] = Sha256::digest(user).into();
        let [a, b, ..] = digest;
        let index = usize::from(u16::from_be_bytes([a, b])) % self.hashes.len().max(1);
        self.hashes.get(index).unwrap_or(&NO_HASH)
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

    /// The one of that name, if only one account has it.
    fn only(&self, name: &AccountName) -> Option<ClientId> {
        let mut all = self.names.iter().filter(|((_, known), _)| known == name);
        let (_, client) = all.next()?;
        all.next().is_none().then_some(*client)
    }

    fn find(&self, account: Option<&AccountName>, name: &str) -> Option<&Member> {
        let name: AccountName = name.parse().ok()?;
        let client = match account {
            Some(account) => *self.names.get(&(self.account_called(account)?.clone(), name))?,
            None => {
                let bare = self.bare.as_ref().and_then(|account| self.account_called(account));
                match bare.and_then(|account| self.names.get(&(account.clone(), name.clone()))) {
                    Some(client) => *client,
                    None => self.only(&name)?,
                }
            }
        };
        self.members.get(&client)
    }
}

/// The hash of 32 random bytes that were thrown away, at the costs that `account hash` uses.
const STAND_IN: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$Uml6ZXJTdGFuZEluMDA$2b6Gv5dVh3m0Yy0Jq1r8Zx4cT7nWQe9KfLsPuOiAaDg";

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
