//! Accounts as they stand: declared in files, and changed while an instance runs.
//!
//! [`Accounts`] is a plain value. A [`Change`] makes another one of it, or is refused and says why; [`Accounts::compile`]
//! makes the directory that instances look at. What always holds: every id is set, and one that was given up is never given
//! again; a credential that was revoked never becomes one again, neither by a change nor by a file.
//!
//! **Files are a source, each saying of them is taken once** ([`Accounts::import`]): what a file says anew of the head of an account
//! (its name, gate, issuers and grants), of a user, a client or a room is taken if nothing else changed that meanwhile; where
//! something did, the running one holds, and that is told. What a file says no more is removed, under the same condition.
//!
//! Where the rows are kept is the business of whoever owns it; [`row`] is what they look like.

use crate::{
    config::{AccountConfig, ClientConfig, GrantConfig, RoomConfig, UserConfig, Whom},
    credential::{CredentialConfig, Digest, Member},
    directory::{Directory, client_id},
    invalid::Invalid,
};
use riser_model::{AccountId, AccountName, ClientId, RoomId};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use uuid::Uuid;

pub mod change;
mod given_up;
mod import;
pub mod row;

pub use change::{AccountChange, Change, MemberChange, Refused, Why};
pub use given_up::{GivenUp, Walk};
pub use import::Note;

/// The most that is remembered of what was revoked or given up in one account. Past it nothing new is made in that account;
/// to revoke is always possible.
pub const REMEMBERED_MAX: usize = 100_000;
/// The most users and clients of an account, and the most rooms.
pub const MEMBERS_MAX: usize = 50_000;
/// The most grants and denies for all rooms of an account that changes make, and the most of one room.
pub const GRANTS_MAX: usize = 1_000;
/// The most roles in one room that changes make. Whoever looks after one room gives them, and each counts in
/// [`RULES_MAX`], which is the account's: no room uses that up.
pub const ROLES_MAX: usize = 64;
/// The most grants, denies and roles in rooms of an account times its users and clients, as changes make them: each has those
/// that are for everybody.
pub const RULES_MAX: usize = 1_000_000;
/// The most users and clients that a room waits for, as changes make it.
pub const AWAITED_MAX: usize = 1_000;
/// The most issuers of an account, and the most acceptors of a gate, those of an `any` too, as changes make them.
pub const ACCEPTORS_MAX: usize = 64;
/// The most credentials of a user or client that changes make.
pub const CREDENTIALS_MAX: usize = 64;
/// The most clients by which a user comes: browsers and programs that have signed in lately.
pub const ASSOCIATED_MAX: usize = 32;
/// The most groups of a user or client.
pub const GROUPS_MAX: usize = 64;

/// One account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// As it stands. Every id in it is set.
    pub config: AccountConfig,
    /// As a file said it last; none if no file ever did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<AccountConfig>,
    /// Credentials that were revoked.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub revoked: BTreeSet<Digest>,
    /// Users, clients and rooms that were removed by a change.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub gone: BTreeSet<Uuid>,
    /// The clients by which its users come, beside the users themselves, and whose each is: of a browser or program that
    /// signed in, each its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub associated: BTreeMap<ClientId, ClientId>,
    /// Those that are no more, and whose they were: what was said by them was said by that user. Their ids are gone.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parted: BTreeMap<ClientId, ClientId>,
    /// Whether it was removed, and by what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Removed>,
    /// What was known of it is lost: which credentials were revoked, nobody knows, and so none is taken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sealed: bool,
    /// Rises with every change.
    pub revision: u64,
}

/// What removed an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Removed {
    /// A change: for ever.
    Change,
    /// The file declares it no more; it may again.
    File,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Accounts {
    by_id: BTreeMap<AccountId, Arc<Account>>,
    /// Whose names need no account before them; see [`Directory::with_bare`].
    bare: Option<AccountName>,
}

impl Account {
    /// One that nobody has declared in a file.
    pub fn new(config: AccountConfig) -> Self {
        let (revoked, gone) = (BTreeSet::new(), BTreeSet::new());
        let (associated, parted) = (BTreeMap::new(), BTreeMap::new());
        Self {
            config,
            imported: None,
            revoked,
            gone,
            associated,
            parted,
            removed: None,
            sealed: false,
            revision: 1,
        }
    }

    /// What may be taken of it at the moment.
    fn effective(&self) -> AccountConfig {
        if self.sealed { without_credentials(self.config.clone()) } else { self.config.clone() }
    }

    /// The user or client with that id.
    pub fn member(&self, client: ClientId) -> Option<Member> {
        let user = self.config.user.iter().find(|user| user.id == Some(client)).cloned().map(Member::User);
        user.or_else(|| {
            let one = self.config.client.iter().find(|one| one.id == Some(client));
            one.cloned().map(Member::Client)
        })
    }

    /// Puts a user or client in its place, or at the end.
    fn put(&mut self, member: Member) {
        match member {
            Member::User(user) => match self.config.user.iter_mut().find(|one| one.id == user.id) {
                Some(place) => *place = user,
                None => self.config.user.push(user),
            },
            Member::Client(client) => match self.config.client.iter_mut().find(|one| one.id == client.id) {
                Some(place) => *place = client,
                None => self.config.client.push(client),
            },
        }
    }

    /// Grants, denies and roles in rooms, times users and clients: so many rules there may be at most.
    fn rules(&self) -> usize {
        let config = &self.config;
        let of_room = |room: &RoomConfig| room.grant.len() + room.roles.len();
        let grants = config.room.iter().map(of_room).sum::<usize>() + config.grant.len();
        grants.saturating_mul(config.user.len() + config.client.len() + self.associated.len())
    }

    /// The clients by which a user comes, beside the user itself.
    pub fn clients_of(&self, user: ClientId) -> impl Iterator<Item = ClientId> {
        self.associated.iter().filter(move |(_, of)| **of == user).map(|(client, _)| *client)
    }

    /// The users and clients.
    pub fn members(&self) -> impl Iterator<Item = Member> {
        let users = self.config.user.iter().cloned().map(Member::User);
        users.chain(self.config.client.iter().cloned().map(Member::Client))
    }

    /// Takes back credentials that were revoked.
    fn strip(&mut self) {
        if !self.revoked.is_empty() {
            let members: Vec<Member> = self.members().collect();
            for mut member in members {
                member.retain(|digest| !self.revoked.contains(digest));
                self.put(member);
            }
        }
    }
}

impl Accounts {
    /// Of rows that were kept.
    pub fn of(accounts: impl IntoIterator<Item = Account>) -> Self {
        let mut all = Self::default();
        for account in accounts {
            all.insert(account);
        }
        all
    }

    /// The same, where names without an account are first of all those of this one, by its name or UUID.
    #[must_use]
    pub fn with_bare(self, bare: Option<AccountName>) -> Self {
        Self { bare, ..self }
    }

    /// Whose names need no account before them.
    pub fn bare(&self) -> Option<&AccountName> {
        self.bare.as_ref()
    }

    fn insert(&mut self, account: Account) {
        if let Some(id) = account.config.id {
            self.by_id.insert(id, Arc::new(account));
        }
    }

    /// One of them, removed or not.
    pub fn get(&self, id: AccountId) -> Option<&Arc<Account>> {
        self.by_id.get(&id)
    }

    /// All of them that are not removed.
    pub fn iter(&self) -> impl Iterator<Item = (AccountId, &Arc<Account>)> {
        self.all().filter(|(_, account)| account.removed.is_none())
    }

    /// All of them, those that were removed too.
    pub fn all(&self) -> impl Iterator<Item = (AccountId, &Arc<Account>)> {
        self.by_id.iter().map(|(id, account)| (*id, account))
    }

    /// The one of that name or id.
    pub fn named(&self, text: &str) -> Option<(AccountId, &Arc<Account>)> {
        let by_name = self.iter().find(|(_, account)| account.config.name.as_str() == text);
        by_name.or_else(|| {
            let id = AccountId(Uuid::try_parse(text).ok()?);
            self.iter().find(|(of, _)| *of == id)
        })
    }

    /// Whether an id was given up, in any account: what was said under it is nobody else's to have.
    fn was_given_up(&self, id: &Uuid) -> bool {
        self.all().any(|(_, account)| {
            account.gone.contains(id)
                || account.associated.contains_key(&ClientId(*id))
                || (account.removed.is_some() && ids(&account.config).any(|one| one == *id))
        })
    }

    /// What instances look at, of these with one account changed from `before`. What was wrong before, as after an upgrade
    /// that refuses more, is in nobody's way.
    fn compile_after(&self, before: &Self) -> Result<Directory, Vec<Invalid>> {
        let wrong = match self.compile() {
            Ok(directory) => return Ok(directory),
            Err(wrong) => wrong,
        };
        let known = before.compile().err().unwrap_or_default();
        let new: Vec<Invalid> = wrong.into_iter().filter(|one| !known.contains(one)).collect();
        if new.is_empty() { Ok(self.compile_most().0) } else { Err(new) }
    }

    /// What instances look at.
    pub fn compile(&self) -> Result<Directory, Vec<Invalid>> {
        let all: Vec<AccountConfig> = self.iter().map(|(_, account)| account.effective()).collect();
        Directory::compile(&all).map(|directory| directory.of(self))
    }

    /// The same without the accounts that do not compile any more, as after an upgrade that refuses more: the others do not
    /// wait for them. What is wrong with those.
    pub fn compile_most(&self) -> (Directory, Vec<Invalid>) {
        let (mut all, mut wrong, mut directory) = (Vec::new(), Vec::new(), Directory::default());
        for (_, account) in self.iter() {
            all.push(account.effective());
            match Directory::compile(&all) {
                Ok(compiled) => directory = compiled,
                Err(invalid) => {
                    wrong.extend(invalid);
                    all.pop();
                }
            }
        }
        (directory.of(self), wrong)
    }

    /// Nothing is known any more of what was revoked in those: until somebody says otherwise, nobody is let in by what files
    /// declare of them.
    pub fn seal(&mut self, which: impl Fn(AccountId) -> bool) {
        let lost = self.by_id.iter().filter(|(id, account)| which(**id) && !account.sealed);
        let lost: Vec<Account> = lost.map(|(_, account)| Account::clone(account)).collect();
        for account in lost {
            let revision = account.revision + 1;
            self.insert(Account { sealed: true, revision, ..account });
        }
    }

    /// What to keep of an account in place of a change that was not taken, so that no reader takes it for newer: as it is
    /// here, or as one that was removed if it never was.
    pub fn instead_of(&self, id: AccountId, refused: &Account) -> Account {
        let before = match self.get(id) {
            Some(before) => Account::clone(before),
            None => {
                let config = AccountConfig::new(refused.config.name.clone(), id);
                Account { removed: Some(Removed::Change), ..Account::new(config) }
            }
        };
        Account { revision: refused.revision + 1, ..before }
    }

    /// Whether any is sealed.
    pub fn is_sealed(&self) -> bool {
        self.iter().any(|(_, account)| account.sealed)
    }
}

/// As it is declared, with every id that it leaves open.
fn with_ids(mut config: AccountConfig) -> AccountConfig {
    let Some(account) = config.id else { return config };
    for UserConfig { id, name, .. } in &mut config.user {
        id.get_or_insert_with(|| client_id(account, name));
    }
    for ClientConfig { id, name, .. } in &mut config.client {
        id.get_or_insert_with(|| client_id(account, name));
    }
    for RoomConfig { id, name, .. } in &mut config.room {
        id.get_or_insert_with(|| RoomId::of(account, name.as_str()));
    }
    config
}

/// The ids of users, clients and rooms.
fn ids(config: &AccountConfig) -> impl Iterator<Item = Uuid> {
    let users = config.user.iter().filter_map(|user| user.id).map(|id| id.0);
    let clients = config.client.iter().filter_map(|client| client.id).map(|id| id.0);
    users.chain(clients).chain(config.room.iter().filter_map(|room| room.id).map(|id| id.0))
}

fn without_credentials(mut config: AccountConfig) -> AccountConfig {
    closed(&mut config);
    let mut account = Account::new(config);
    let members: Vec<Member> = account.members().collect();
    for mut member in members {
        member.retain(|_| false);
        account.put(member);
    }
    account.config
}

/// Nobody is let in by what is known elsewhere: by issuers, a directory server, or the account of a visitor.
fn closed(config: &mut AccountConfig) {
    (config.issuer, config.ldap) = (Vec::new(), None);
    for room in &mut config.room {
        room.grant.retain(|grant| grant.to != Whom::Visitors);
    }
}

/// All grants of an account.
fn grants(config: &mut AccountConfig) -> impl Iterator<Item = &mut Vec<GrantConfig>> {
    std::iter::once(&mut config.grant).chain(config.room.iter_mut().map(|room| &mut room.grant))
}

fn credentials(config: &AccountConfig) -> impl Iterator<Item = CredentialConfig> {
    Account::new(config.clone())
        .members()
        .flat_map(|member| member.credentials())
        .collect::<Vec<_>>()
        .into_iter()
}

#[cfg(test)]
mod tests;
