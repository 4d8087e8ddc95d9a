//! The changes that accounts take, a closed list, and why one is refused.
//!
//! A change is taken as a whole or not at all: what it would make must compile, as a configuration must.

use super::{
    ACCEPTORS_MAX, ASSOCIATED_MAX, AWAITED_MAX, Account, Accounts, CREDENTIALS_MAX, GRANTS_MAX, GROUPS_MAX,
    MEMBERS_MAX, REMEMBERED_MAX, ROLES_MAX, RULES_MAX, Removed, credentials, grants, ids, with_ids,
};
use crate::{
    acceptor::Listed,
    config::{AccountConfig, GrantConfig, Role, RoomConfig, Whom},
    credential::{CredentialConfig, Fingerprint, Member},
    directory::Directory,
    gate_config::GateConfig,
    issuer::IssuerConfig,
    ldap::LdapConfig,
};
use riser_model::{AccountId, AccountName, ClientId, RoomId};
use std::{collections::BTreeMap, sync::Arc};
use uuid::Uuid;

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Makes an account. Its id must be set, and never have been one.
    CreateAccount(Box<AccountConfig>),
    /// Removes an account with all that it has, for ever.
    RemoveAccount(AccountId),
    /// What a file says of an account holds again, though nobody knows what was revoked.
    Unseal(AccountId),
    /// Changes what an account has.
    Within(AccountId, AccountChange),
}

/// A change of what an account has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccountChange {
    /// These, one after the other: all of them, or nothing.
    All(Vec<AccountChange>),
    /// Gives it another name.
    Rename(AccountName),
    /// Gives it another gate.
    SetGate(GateConfig),
    /// Other issuers vouch for its users.
    SetIssuers(Vec<IssuerConfig>),
    /// Another directory server knows its people's passwords, or none.
    SetLdap(Option<Box<LdapConfig>>),
    /// Makes a user or client. Its id must be set, and never have been one.
    CreateMember(Box<Member>),
    /// Removes a user or client, with what was granted to it; no room waits for it any more.
    RemoveMember(ClientId),
    /// Changes what is said of a user or client: all of it, or nothing.
    SetMember(ClientId, MemberChange),
    /// Gives a user or client one more credential, or another one where it may have one only: then the former is revoked.
    AddCredential(ClientId, CredentialConfig),
    /// Revokes a credential, for ever.
    RevokeCredential(ClientId, Fingerprint),
    /// Revokes all credentials that a user or client has.
    RevokeAll(ClientId),
    /// A user comes by this client too. Its id must never have been one.
    Associate(ClientId, ClientId),
    /// A user comes by that client no more, and nobody ever does again.
    Part(ClientId),
    /// Makes a room. Its id must be set, and never have been one.
    CreateRoom(Box<RoomConfig>),
    /// Replaces what is said of a room with that id; its name as well.
    SetRoom(Box<RoomConfig>),
    /// Removes a room. What is in the log stays there until the log lets go of it, and nobody reads it.
    RemoveRoom(RoomId),
    /// Grants or denies something in all rooms, or in one.
    Grant(Option<RoomId>, GrantConfig),
    /// Takes that back.
    Ungrant(Option<RoomId>, GrantConfig),
    /// Gives somebody another role in a room, or none.
    SetRole(RoomId, Whom, Option<Role>),
}

/// What is said of a user or client from now on. What is not named stays.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MemberChange {
    /// Its name; the id stays.
    pub name: Option<AccountName>,
    /// Its role, or none.
    pub role: Option<Option<Role>>,
    /// The groups that it is in, and no others.
    pub groups: Option<Vec<AccountName>>,
}

/// Why a change was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// In one word.
    pub why: Why,
    /// What was wrong, a lowercase fragment. No secrets.
    pub what: String,
    /// What would be right.
    pub want: String,
}

/// Why a change was refused, in one word. A closed list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// There is no such account, user, client, credential, room or grant.
    Unknown,
    /// A name, an id or a credential is somebody else's, or was one that is gone.
    Taken,
    /// What it would make would not be accepted in a configuration either.
    Invalid,
    /// More than allowed.
    TooMany,
}

impl Why {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Taken => "taken",
            Self::Invalid => "invalid",
            Self::TooMany => "too_many",
        }
    }
}

fn refused<T>(why: Why, what: impl Into<String>, want: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { why, what: what.into(), want: want.into() })
}

impl Accounts {
    /// These with a change, the directory of that, and whose account it is; or why not.
    pub fn apply(&self, change: Change) -> Result<(Self, Arc<Directory>, AccountId), Refused> {
        let (id, account) = match change {
            Change::CreateAccount(config) => self.create(*config)?,
            Change::RemoveAccount(id) => {
                let account = self.known(id)?;
                let revoked = account.revoked.iter().copied();
                let revoked = revoked.chain(credentials(&account.config).map(|one| one.digest())).collect();
                let mut config = AccountConfig::new(account.config.name.clone(), id);
                config.id = Some(id);
                let own = account.associated.keys().map(|client| client.0);
                let gone = ids(&account.config).chain(own).chain(account.gone.iter().copied()).collect();
                let (associated, removed) = (BTreeMap::new(), Some(Removed::Change));
                (id, Account { config, revoked, gone, associated, removed, ..account })
            }
            Change::Unseal(id) => {
                let mut account = self.known(id)?;
                if !account.sealed {
                    return refused(Why::Unknown, "this account is not sealed", "nothing is to be done");
                }
                account.sealed = false;
                (id, account)
            }
            Change::Within(id, change) => {
                let mut account = self.known(id)?;
                for one in change.parts() {
                    if let Some(new) = one.new_id() {
                        self.unused(new)?;
                    }
                    if let AccountChange::SetIssuers(issuers) = one {
                        self.own_issuers(&account, issuers)?;
                    }
                }
                let rules = account.rules();
                account.change(id, change)?;
                // A file may declare more: that is its business, and no reason to refuse what does not add to it.
                if account.rules() > RULES_MAX.max(rules) {
                    let what = format!("grants times users and clients come to more than {RULES_MAX}");
                    return refused(Why::TooMany, what, "grants to groups, or for filters of channels");
                }
                (id, account)
            }
        };
        let mut changed = self.clone();
        changed.insert(Account { revision: account.revision + 1, ..account });
        match changed.compile_after(self) {
            Ok(directory) => Ok((changed, Arc::new(directory), id)),
            Err(wrong) => {
                let wrong = wrong.into_iter().next();
                let (what, want) = wrong
                    .map_or_else(Default::default, |one| (format!("{}: {}", one.key, one.what), one.want));
                refused(Why::Invalid, what, want)
            }
        }
    }

    fn known(&self, id: AccountId) -> Result<Account, Refused> {
        match self.get(id).filter(|account| account.removed.is_none()) {
            Some(account) => Ok(Account::clone(account)),
            None => refused(Why::Unknown, format!("no account {id}"), "the id or name of one that there is"),
        }
    }

    fn create(&self, config: AccountConfig) -> Result<(AccountId, Account), Refused> {
        let config = with_ids(config);
        let Some(id) = config.id else {
            return refused(Why::Invalid, "an account without an id", "a new UUID");
        };
        if self.get(id).is_some() {
            return refused(Why::Taken, format!("account {id} is or was another one"), "a new UUID");
        }
        if self.iter().any(|(_, other)| other.config.name == config.name) {
            let what = format!("an account has the name {}", config.name);
            return refused(Why::Taken, what, "another name");
        }
        for new in ids(&config) {
            self.unused(new)?;
        }
        Ok((id, Account::new(config)))
    }

    /// Whoever names the issuer of another account for the same audience draws that one's people to itself: who has such a
    /// token is known by a name, and names are an account's own to give. A file may say so, for it is the operator's.
    fn own_issuers(&self, account: &Account, issuers: &[IssuerConfig]) -> Result<(), Refused> {
        let same = |a: &IssuerConfig, b: &IssuerConfig| a.issuer == b.issuer && a.audience == b.audience;
        let of_others = || {
            let others = self.iter().filter(|(id, _)| account.config.id != Some(*id));
            others.flat_map(|(_, other)| &other.config.issuer)
        };
        for one in issuers {
            let has = account.config.issuer.iter().any(|own| same(own, one));
            if !has && of_others().any(|other| same(other, one)) {
                let what = format!("another account has the issuer {} for this audience", one.issuer);
                return refused(Why::Taken, what, "an audience that is this account's own");
            }
        }
        Ok(())
    }

    /// What was removed in one account is nobody's in another.
    fn unused(&self, id: Uuid) -> Result<(), Refused> {
        if self.was_given_up(&id) {
            return refused(Why::Taken, format!("{id} is or was another one"), "a new UUID");
        }
        Ok(())
    }
}

impl AccountChange {
    /// What it is made of: itself, unless it is several.
    pub fn parts(&self) -> Vec<&Self> {
        match self {
            Self::All(all) => all.iter().flat_map(Self::parts).collect(),
            one => vec![one],
        }
    }

    /// The id that it gives to something new.
    fn new_id(&self) -> Option<Uuid> {
        match self {
            Self::CreateMember(member) => match &**member {
                Member::User(user) => user.id.map(|id| id.0),
                Member::Client(client) => client.id.map(|id| id.0),
            },
            Self::CreateRoom(room) => room.id.map(|id| id.0),
            Self::Associate(client, _) => Some(client.0),
            Self::All(_)
            | Self::Rename(_)
            | Self::SetGate(_)
            | Self::SetIssuers(_)
            | Self::SetLdap(_)
            | Self::RemoveMember(_)
            | Self::SetMember(..)
            | Self::AddCredential(..)
            | Self::RevokeCredential(..)
            | Self::RevokeAll(_)
            | Self::Part(_)
            | Self::SetRoom(_)
            | Self::RemoveRoom(_)
            | Self::Grant(..)
            | Self::Ungrant(..)
            | Self::SetRole(..) => None,
        }
    }
}

impl Account {
    fn change(&mut self, account: AccountId, change: AccountChange) -> Result<(), Refused> {
        match change {
            AccountChange::All(all) => {
                for one in all {
                    self.change(account, one)?;
                }
            }
            AccountChange::Rename(name) => self.config.name = name,
            AccountChange::SetGate(gate) => {
                check_gate(&gate, &self.config.gate)?;
                self.config.gate = gate;
            }
            AccountChange::SetIssuers(issuers) => {
                few(issuers.len(), ACCEPTORS_MAX, "issuers")?;
                self.config.issuer = issuers;
            }
            AccountChange::SetLdap(ldap) => self.config.ldap = ldap.map(|ldap| *ldap),
            AccountChange::CreateMember(member) => self.create_member(*member)?,
            AccountChange::RemoveMember(id) => self.remove_member(id)?,
            AccountChange::SetMember(id, change) => self.set_member(id, change)?,
            AccountChange::AddCredential(id, credential) => self.add_credential(id, credential)?,
            AccountChange::RevokeCredential(id, fingerprint) => {
                let member = self.found(id)?;
                let mut own = member.credentials().into_iter();
                if !own.any(|one| one.fingerprint() == fingerprint) {
                    let what = format!("no credential {fingerprint} of this user or client");
                    return refused(Why::Unknown, what, "the fingerprint of one that it has");
                }
                self.revoke(member, |one| one.fingerprint() == fingerprint);
            }
            AccountChange::RevokeAll(id) => {
                let member = self.found(id)?;
                self.revoke(member, |_| true);
            }
            AccountChange::Associate(client, user) => self.associate(client, user)?,
            AccountChange::Part(client) => self.part(client)?,
            AccountChange::CreateRoom(room) => self.create_room(account, *room)?,
            AccountChange::SetRoom(room) => {
                let Some(place) = self.config.room.iter_mut().find(|one| one.id == room.id) else {
                    return unknown_room();
                };
                check_room(&room, Some(place))?;
                *place = *room;
            }
            AccountChange::RemoveRoom(id) => {
                let before = self.config.room.len();
                self.config.room.retain(|room| room.id != Some(id));
                if self.config.room.len() == before {
                    return unknown_room();
                }
                self.gone.insert(id.0);
            }
            AccountChange::Grant(room, grant) => {
                let grants = self.grants_of(room)?;
                if grants.len() >= GRANTS_MAX {
                    let want = "grants to groups, or for filters of channels, in place of many single ones";
                    return refused(Why::TooMany, format!("{GRANTS_MAX} grants in one place"), want);
                }
                if grants.contains(&grant) {
                    return refused(Why::Taken, "that is granted or denied already", "nothing is to be done");
                }
                grants.push(grant);
            }
            AccountChange::Ungrant(room, grant) => {
                let grants = self.grants_of(room)?;
                let Some(place) = grants.iter().position(|one| *one == grant) else {
                    return refused(
                        Why::Unknown,
                        "that is not granted or denied",
                        "one that is, to the letter",
                    );
                };
                grants.remove(place);
            }
            AccountChange::SetRole(room, whom, role) => self.set_role(room, whom, role)?,
        }
        Ok(())
    }

    fn set_role(&mut self, room: RoomId, whom: Whom, role: Option<Role>) -> Result<(), Refused> {
        let Some(room) = self.config.room.iter_mut().find(|one| one.id == Some(room)) else {
            return unknown_room();
        };
        match role {
            Some(role) => {
                let before = room.roles.len();
                room.roles.insert(whom, role);
                few_roles(room, before)?;
            }
            None if room.roles.remove(&whom).is_none() => {
                let what = format!("{whom} has no role in this room");
                return refused(Why::Unknown, what, "somebody who has one there by that name");
            }
            None => {}
        }
        Ok(())
    }

    fn set_member(&mut self, id: ClientId, change: MemberChange) -> Result<(), Refused> {
        let MemberChange { name, role, groups } = change;
        few(groups.as_ref().map_or(0, Vec::len), GROUPS_MAX, "groups")?;
        let mut member = self.found(id)?;
        let (own_role, own_groups) = match &mut member {
            Member::User(user) => (&mut user.role, &mut user.groups),
            Member::Client(client) => (&mut client.role, &mut client.groups),
        };
        *own_role = role.unwrap_or(*own_role);
        if let Some(groups) = groups {
            *own_groups = groups;
        }
        self.put(member);
        name.map_or(Ok(()), |name| self.rename_member(id, name))
    }

    fn found(&self, id: ClientId) -> Result<Member, Refused> {
        match self.member(id) {
            Some(member) => Ok(member),
            None => {
                refused(Why::Unknown, format!("no user or client {id} in this account"), "one that there is")
            }
        }
    }

    /// There is room to remember it when it is given up.
    fn room_to_remember(&self) -> Result<(), Refused> {
        if self.revoked.len() + self.gone.len() < REMEMBERED_MAX {
            return Ok(());
        }
        let what = format!("{REMEMBERED_MAX} credentials and ids of this account are given up");
        refused(Why::TooMany, what, "another account")
    }

    fn check_credential(&self, credential: &CredentialConfig) -> Result<(), Refused> {
        if self.revoked.contains(&credential.digest()) {
            return refused(Why::Taken, "this credential was revoked", "a new one");
        }
        if credentials(&self.config).any(|one| one == *credential) {
            return refused(Why::Taken, "somebody has this credential", "a new one for each");
        }
        Ok(())
    }

    fn create_member(&mut self, member: Member) -> Result<(), Refused> {
        self.room_to_remember()?;
        let id = match &member {
            Member::User(user) => user.id,
            Member::Client(client) => client.id,
        };
        let Some(id) = id else {
            return refused(Why::Invalid, "a user or client without an id", "a new UUID");
        };
        if self.gone.contains(&id.0) || self.member(id).is_some() {
            return refused(Why::Taken, format!("{id} is or was another one"), "a new UUID");
        }
        if self.config.user.len() + self.config.client.len() >= MEMBERS_MAX {
            return refused(Why::TooMany, format!("{MEMBERS_MAX} users and clients"), "another account");
        }
        for credential in member.credentials() {
            self.check_credential(&credential)?;
        }
        self.put(member);
        Ok(())
    }

    fn associate(&mut self, client: ClientId, user: ClientId) -> Result<(), Refused> {
        self.room_to_remember()?;
        let Member::User(_) = self.found(user)? else {
            return refused(Why::Invalid, "a device has one client: itself", "a user");
        };
        if self.gone.contains(&client.0) || self.member(client).is_some() {
            return refused(Why::Taken, format!("{client} is or was another one"), "a new UUID");
        }
        if self.clients_of(user).count() >= ASSOCIATED_MAX {
            let what = format!("{ASSOCIATED_MAX} browsers and programs of one user");
            let want = "to remove one that is not used any more, as admins can, or to come by one of them";
            return refused(Why::TooMany, what, want);
        }
        if self.members().count() + self.associated.len() >= MEMBERS_MAX {
            return refused(Why::TooMany, format!("{MEMBERS_MAX} users and clients"), "another account");
        }
        self.associated.insert(client, user);
        Ok(())
    }

    pub(super) fn part(&mut self, client: ClientId) -> Result<(), Refused> {
        let Some(user) = self.associated.remove(&client) else {
            let what = format!("no browser or program {client} of a user of this account");
            return refused(Why::Unknown, what, "one that there is");
        };
        self.gone.insert(client.0);
        self.parted.insert(client, user);
        Ok(())
    }

    fn rename_member(&mut self, id: ClientId, name: AccountName) -> Result<(), Refused> {
        let mut member = self.found(id)?;
        let former = match &mut member {
            Member::User(user) => std::mem::replace(&mut user.name, name.clone()),
            Member::Client(client) => std::mem::replace(&mut client.name, name.clone()),
        };
        self.put(member);
        for grant in grants(&mut self.config).flatten() {
            if grant.to == Whom::Named(former.clone()) {
                grant.to = Whom::Named(name.clone());
            }
        }
        for room in &mut self.config.room {
            for awaited in room.ready.iter_mut().filter(|awaited| **awaited == former) {
                *awaited = name.clone();
            }
            if let Some(role) = room.roles.remove(&Whom::Named(former.clone())) {
                room.roles.insert(Whom::Named(name.clone()), role);
            }
        }
        Ok(())
    }

    pub(super) fn remove_member(&mut self, id: ClientId) -> Result<(), Refused> {
        let member = self.found(id)?;
        let name = match &member {
            Member::User(user) => user.name.clone(),
            Member::Client(client) => client.name.clone(),
        };
        self.revoke(member, |_| true);
        self.config.user.retain(|user| user.id != Some(id));
        self.config.client.retain(|client| client.id != Some(id));
        self.gone.insert(id.0);
        let own: Vec<ClientId> = self.clients_of(id).collect();
        own.into_iter().try_for_each(|client| self.part(client))?;
        for list in grants(&mut self.config) {
            list.retain(|grant| grant.to != Whom::Named(name.clone()));
        }
        // Nobody waits for who is no more, and whoever gets the name gets nothing by it.
        for room in &mut self.config.room {
            room.ready.retain(|awaited| *awaited != name);
            room.roles.remove(&Whom::Named(name.clone()));
        }
        Ok(())
    }

    fn revoke(&mut self, mut member: Member, which: impl Fn(&CredentialConfig) -> bool) {
        let gone = member.credentials().into_iter().filter(which).map(|one| one.digest());
        self.revoked.extend(gone);
        member.retain(|digest| !self.revoked.contains(digest));
        self.put(member);
    }

    fn add_credential(&mut self, id: ClientId, credential: CredentialConfig) -> Result<(), Refused> {
        let mut member = self.found(id)?;
        self.room_to_remember()?;
        self.check_credential(&credential)?;
        let before = member.credentials();
        if before.len() >= CREDENTIALS_MAX {
            let what = format!("{CREDENTIALS_MAX} credentials of one user or client");
            return refused(Why::TooMany, what, "to revoke one that is not used any more");
        }
        if !member.add(credential) {
            return refused(Why::Invalid, "a user is no edge", "a client for each edge");
        }
        let after = member.credentials();
        self.revoked.extend(before.iter().filter(|one| !after.contains(one)).map(CredentialConfig::digest));
        self.put(member);
        Ok(())
    }

    fn create_room(&mut self, account: AccountId, room: RoomConfig) -> Result<(), Refused> {
        self.room_to_remember()?;
        check_room(&room, None)?;
        let id = room.id.unwrap_or_else(|| RoomId::of(account, room.name.as_str()));
        if self.gone.contains(&id.0) {
            let what = format!("the room {} was removed, and with it its id {id}", room.name);
            return refused(Why::Taken, what, "an id of its own for the new one: a new UUID");
        }
        if self.config.room.len() >= MEMBERS_MAX {
            return refused(Why::TooMany, format!("{MEMBERS_MAX} rooms"), "another account");
        }
        self.config.room.push(RoomConfig { id: Some(id), ..room });
        Ok(())
    }

    fn grants_of(&mut self, room: Option<RoomId>) -> Result<&mut Vec<GrantConfig>, Refused> {
        match room {
            None => Ok(&mut self.config.grant),
            Some(id) => match self.config.room.iter_mut().find(|room| room.id == Some(id)) {
                Some(room) => Ok(&mut room.grant),
                None => unknown_room(),
            },
        }
    }
}

fn few(count: usize, most: usize, of: &str) -> Result<(), Refused> {
    if count <= most {
        return Ok(());
    }
    refused(Why::TooMany, format!("{count} {of}"), format!("at most {most}"))
}

/// A room, and as it was before if it was there: a file may have declared more than changes make.
fn check_room(room: &RoomConfig, before: Option<&RoomConfig>) -> Result<(), Refused> {
    few(room.grant.len(), GRANTS_MAX, "grants in one room")?;
    few_roles(room, before.map_or(0, |before| before.roles.len()))?;
    few(room.ready.len(), AWAITED_MAX, "users and clients to wait for")?;
    check_gate(&room.gate, before.map_or(&GateConfig::default(), |before| &before.gate))
}

/// Every pass looks at all of a gate. One that stays as it is is not judged: a file may have declared it.
fn check_gate(gate: &GateConfig, before: &GateConfig) -> Result<(), Refused> {
    if gate == before {
        return Ok(());
    }
    few(gate.size(), ACCEPTORS_MAX, "acceptors")?;
    gate.lists().into_iter().try_for_each(|Listed { count, most, of }| few(count, most, of))
}

fn few_roles(room: &RoomConfig, before: usize) -> Result<(), Refused> {
    let count = room.roles.len();
    if count <= ROLES_MAX.max(before) {
        return Ok(());
    }
    let want = format!("at most {ROLES_MAX}: roles of groups, or of everybody, in place of many single ones");
    refused(Why::TooMany, format!("{count} roles in one room"), want)
}

fn unknown_room<T>() -> Result<T, Refused> {
    refused(Why::Unknown, "no such room in this account", "the id or name of one that there is")
}
