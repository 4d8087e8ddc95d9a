//! Compiles accounts as they are declared into a directory, and says everything that is wrong with them.

use super::{Directory, Given, Member, QUARANTINE, client_id, suggestion};
use crate::{
    config::{AccountConfig, ClientConfig, GrantConfig, Role, RoomConfig, UserConfig, Whom},
    credential::{digest, token_digest},
    device_key::DeviceKey,
    gate_config::GateConfig,
    hidden::{PasswordHash, SharedSecret, TokenHash},
    invalid::Invalid,
    key::KeyText,
    ldap::GroupAs,
    sequence::Sequence,
};
use riser_model::{
    AccountId, AccountName, ClientId, Filter, Grants, History, Principal, PublicKey, Right, Room, RoomId,
    RoomKind, Schema, event::Scope, principal::Rule, room::LOBBY,
};
use std::{collections::BTreeSet, sync::Arc};

#[derive(Default)]
pub(super) struct Compiler {
    pub(super) directory: Directory,
    pub(super) wrong: Vec<Invalid>,
    account_ids: BTreeSet<AccountId>,
    room_ids: BTreeSet<RoomId>,
    keys: BTreeSet<PublicKey>,
    tokens: BTreeSet<TokenHash>,
}

/// A user and a client are the same to rights and credentials.
struct Entrant<'a> {
    key: String,
    name: &'a AccountName,
    id: Option<ClientId>,
    password: Option<&'a PasswordHash>,
    is_person: bool,
    tokens: &'a [TokenHash],
    certificates: &'a [String],
    public: Option<KeyText>,
    relays: bool,
    keys: &'a [DeviceKey],
    secret: Option<&'a SharedSecret>,
    role: Option<Role>,
    groups: &'a [AccountName],
}

impl<'a> Entrant<'a> {
    fn user(account: &str, user: &'a UserConfig) -> Self {
        let UserConfig { name, id, password, tokens, certificates, keys, secret, role, groups } = user;
        let key = format!("{account}.user[{name}]");
        let (password, secret, relays) = (password.as_ref(), secret.as_ref(), false);
        let (id, role) = (*id, *role);
        let (is_person, public) = (true, None);
        Self {
            key,
            name,
            id,
            password,
            is_person,
            tokens,
            certificates,
            public,
            relays,
            keys,
            secret,
            role,
            groups,
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
            groups,
        } = client;
        let key = format!("{account}.client[{name}]");
        let (password, secret) = (password.as_ref(), secret.as_ref());
        let (public, relays, id, role) = (*public, *relays, *id, *role);
        let is_person = false;
        Self {
            key,
            name,
            id,
            password,
            is_person,
            tokens,
            certificates,
            public,
            relays,
            keys,
            secret,
            role,
            groups,
        }
    }
}

impl Compiler {
    pub(super) fn account(&mut self, account: &AccountConfig) {
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
            match issuer.provider(&format!("{key}.issuer[{index}]"), &account.name) {
                Some(Ok(provider)) => self.directory.providers.push(Arc::new(provider)),
                Some(Err(wrong)) => self.wrong.extend(wrong),
                None => {}
            }
            match issuer.compile(&format!("{key}.issuer[{index}]"), &account.name) {
                Ok(issuer) => {
                    self.directory.vouched.entry(id).or_default().insert(issuer.digest());
                    self.directory.issuers.push(issuer);
                }
                Err(wrong) => self.wrong.extend(wrong),
            }
        }
        match account.ldap.as_ref().map(|ldap| ldap.compile(&format!("{key}.ldap"))) {
            Some(Ok(server)) => drop(self.directory.ldaps.insert(account.name.clone(), Arc::new(server))),
            Some(Err(wrong)) => self.wrong.extend(wrong),
            None => {}
        }
        let rules = self.rules(&key, id, account);
        self.memberships(&key, id, account, &rules);
        let users = account.user.iter().map(|user| Entrant::user(&key, user));
        let clients = account.client.iter().map(|client| Entrant::client(&key, client));
        for entrant in users.chain(clients) {
            self.entrant(account, id, &entrant, &rules);
        }
    }

    /// What the groups give that the account's directory server names. Nothing may be denied to one of them: who comes in by
    /// something else than that server is in none.
    fn memberships(&mut self, key: &str, id: AccountId, account: &AccountConfig, rules: &[(Whom, Given)]) {
        let Some(server) = self.directory.ldaps.get(&account.name).cloned() else { return };
        let mut all = Vec::new();
        for GroupAs { group, name } in &server.groups_as {
            let own = rules.iter().filter(|(whom, _)| *whom == Whom::Group(name.clone()));
            let (denied, given): (Vec<&Given>, Vec<&Given>) =
                own.map(|(_, given)| given).partition(|given| given.denies());
            if !denied.is_empty() {
                self.refuse(
                    format!("{key}.ldap.groups_as[{group}]"),
                    format!("something is denied to @{name}, which would not hold for who comes in by another credential"),
                    "deny it by name, or to a group that is declared here only",
                );
            }
            all.push(given.into_iter().cloned().collect());
        }
        if !all.is_empty() {
            self.directory.memberships.insert(id, all);
        }
    }

    /// Makes the account's rooms, and says which rules hold for whom.
    fn rules(&mut self, key: &str, id: AccountId, account: &AccountConfig) -> Vec<(Whom, Given)> {
        let mut rules = Vec::new();
        self.grants(&format!("{key}.grant"), account, &account.grant, None, &mut rules);
        if let Some(index) = account.grant.iter().position(|grant| grant.to == Whom::Visitors) {
            let want = "such a grant in the room lobby: visitors are nowhere else";
            self.refuse(format!("{key}.grant[{index}].to"), "a grant to visitors of every room", want);
        }
        let mut names = BTreeSet::new();
        let mut lobby = None;
        for room in &account.room {
            let key = format!("{key}.room[{}]", room.name);
            let room_id = room.id.unwrap_or_else(|| RoomId::of(id, room.name.as_str()));
            lobby = lobby.or((room.name.as_str() == LOBBY).then_some(room_id));
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
            self.visitors(&key, (id, room_id), room);
            for (whom, role) in &room.roles {
                self.exists(&format!("{key}.roles.{whom}"), account, whom);
                rules.extend(Given::by(*role, Some(room_id)).map(|given| (whom.clone(), given)));
            }
            self.readiness(&format!("{key}.ready"), account, &room.ready);
            if room.kind == RoomKind::Board && room.history != History::Log {
                let want = "history = \"log\", or kind = \"bus\"";
                self.refuse(format!("{key}.kind"), "a board without a past", want);
            }
            if room.archive && room.history != History::Log {
                let want = "history = \"log\", or no archive";
                self.refuse(format!("{key}.archive"), "an archive of a room without a past", want);
            }
            let gate = self.gate(&format!("{key}.gate"), &room.gate, true);
            self.directory.room_gates.extend(gate.map(|gate| (room_id, (id, gate))));
            self.directory.by_id.insert(room_id, self.directory.rooms.len());
            self.directory.rooms.push(Room {
                id: room_id,
                account: id,
                account_name: account.name.clone(),
                name: room.name.clone(),
                kind: room.kind,
                ready: room.ready.clone(),
                history: room.history,
                retention: room.retention,
                archive: room.archive,
                quota: room.quota,
                linked: room.linked,
                down: room.down,
                schema: room.schema.as_ref().map(|schema| Schema::new(schema.as_str())),
            });
        }
        // What is denied to everybody is denied to visitors.
        let denies = rules.iter().filter_map(|(whom, given)| match given {
            Given::Rule(rule) if *whom == Whom::Everyone && rule.deny => Some(rule),
            Given::Rule(_) | Given::Orders(_) => None,
        });
        let there = denies.filter(|rule| rule.room.is_none() || rule.room == lobby);
        if let Some(visited) = self.directory.visited.get_mut(&id) {
            visited.extend(there.cloned());
        }
        rules
    }

    /// No room has the id of one that instances make themselves: of technical channels, or of an account's quarantine.
    /// Whoever had it would speak as the system, or read what is another account's.
    pub(super) fn reserved(&mut self) {
        let mut reserved = BTreeSet::from([Scope::Instance.room()]);
        for account in &self.account_ids {
            reserved.extend([Scope::Account(*account).room(), RoomId::of(*account, QUARANTINE)]);
        }
        reserved.extend(self.directory.rooms.iter().map(|room| Scope::Room(room.id).room()));
        let taken: Vec<String> = self
            .directory
            .rooms
            .iter()
            .filter(|room| reserved.contains(&room.id))
            .map(|room| format!("account[{}].room[{}].id", room.account_name, room.name))
            .collect();
        for key in taken {
            self.refuse(
                key,
                "an id of a room that every instance makes itself",
                "make another with `id new`",
            );
        }
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

    /// What visitors of the account's lobby may do there. They are somebody else's, and have no part in anything but that.
    fn visitors(&mut self, key: &str, (account, id): (AccountId, RoomId), room: &RoomConfig) {
        if room.roles.contains_key(&Whom::Visitors) {
            let want = "a grant to them in the room lobby";
            self.refuse(format!("{key}.roles.{}", Whom::Visitors), "a role for visitors", want);
        }
        for (index, grant) in room.grant.iter().enumerate().filter(|(_, grant)| grant.to == Whom::Visitors) {
            if room.name.as_str() != LOBBY {
                let want = "such a grant in the room lobby: visitors are nowhere else";
                self.refuse(format!("{key}.grant[{index}].to"), "a grant to visitors of another room", want);
            } else if grant.right.0.contains(&Right::Admin) {
                let want = "publish or subscribe";
                self.refuse(format!("{key}.grant[{index}].right"), "visitors who administer", want);
            }
            let rule = |right: &Right| Rule {
                room: Some(id),
                channels: grant.channels.clone(),
                right: *right,
                deny: grant.deny,
            };
            self.directory.visited.entry(account).or_default().extend(grant.right.0.iter().map(rule));
        }
    }

    /// Who is waited for has to exist.
    fn readiness(&mut self, key: &str, account: &AccountConfig, ready: &[AccountName]) {
        let users = account.user.iter().map(|user| &user.name);
        let names: Vec<&AccountName> =
            users.chain(account.client.iter().map(|client| &client.name)).collect();
        for name in ready.iter().filter(|name| !names.contains(name)) {
            let known: Vec<String> = names.iter().map(ToString::to_string).collect();
            self.refuse(
                key,
                format!("no user or client {name:?} in this account: the room would never be ready"),
                suggestion(name.as_str(), &known, "declare it, or do not wait for it"),
            );
        }
    }

    fn grants(
        &mut self,
        key: &str,
        account: &AccountConfig,
        grants: &[GrantConfig],
        room: Option<RoomId>,
        rules: &mut Vec<(Whom, Given)>,
    ) {
        for (index, grant) in grants.iter().enumerate() {
            self.exists(&format!("{key}[{index}].to"), account, &grant.to);
            if grant.right.0.is_empty() {
                self.refuse(format!("{key}[{index}].right"), "no right", "name publish, subscribe or admin");
            }
            // Who is granted to administer owns too: only the role `admin` keeps the two apart.
            let owns = grant.right.0.contains(&Right::Admin) && !grant.deny;
            rules.extend(grant.right.0.iter().copied().chain(owns.then_some(Right::Own)).map(|right| {
                let rule = Rule { room, channels: grant.channels.clone(), right, deny: grant.deny };
                (grant.to.clone(), Given::Rule(rule))
            }));
        }
    }

    /// What is given to somebody by name is given to somebody who exists. Groups have no list: nobody may be in one yet.
    fn exists(&mut self, key: &str, account: &AccountConfig, whom: &Whom) {
        let Whom::Named(name) = whom else { return };
        let users = account.user.iter().map(|user| &user.name);
        let names: Vec<&AccountName> =
            users.chain(account.client.iter().map(|client| &client.name)).collect();
        if !names.contains(&name) {
            let known: Vec<String> = names.iter().map(ToString::to_string).collect();
            self.refuse(
                key,
                format!("no user or client {name:?} in this account"),
                suggestion(name.as_str(), &known, "declare it, or use \"*\" for everyone"),
            );
        }
    }

    fn entrant(
        &mut self,
        account: &AccountConfig,
        id: AccountId,
        entrant: &Entrant<'_>,
        rules: &[(Whom, Given)],
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
            if !self.tokens.insert(*token) {
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
        let rules = rules_of(entrant, client, rules);
        let grants = Grants::new(complete(rules.clone(), id)).of(client);
        let grants = if key.is_some() { grants.carrying() } else { grants };
        let principal = Arc::new(Principal {
            account: id,
            account_name: account.name.clone(),
            client,
            name: entrant.name.clone(),
            grants: Arc::new(grants),
            home: None,
        });
        let (password, secret) = (entrant.password.cloned(), entrant.secret.cloned());
        let (keys, relays) = (entrant.keys.to_vec(), entrant.relays);
        let tokens = entrant.tokens.iter().map(token_digest).collect();
        let certificates = entrant.certificates.iter().map(|name| digest(name.as_bytes())).collect();
        let is_person = entrant.is_person;
        let member =
            Member { principal, is_person, rules, password, key, relays, keys, secret, tokens, certificates };
        self.directory.members.insert(client, member);
    }

    fn refuse(&mut self, key: impl Into<String>, what: impl Into<String>, want: impl Into<String>) {
        self.wrong.push(Invalid::new(key, what, want));
    }
}

fn rules_of(entrant: &Entrant<'_>, client: ClientId, rules: &[(Whom, Given)]) -> Vec<Rule> {
    let by_role = entrant.role.into_iter().flat_map(|role| Given::by(role, None));
    let given = rules.iter().filter(|(whom, _)| match whom {
        Whom::Everyone => true,
        Whom::Group(group) => entrant.groups.contains(group),
        Whom::Named(name) => name == entrant.name,
        Whom::Visitors => false,
    });
    by_role.chain(given.map(|(_, given)| given.clone())).map(|given| given.to(client)).collect()
}

/// These rules, and what holds for the account's quarantine.
pub(super) fn complete(mut rules: Vec<Rule>, account: AccountId) -> Vec<Rule> {
    // It holds what was refused elsewhere, also to those who may not read it there.
    let is_admin = rules.iter().any(|rule| rule.right == Right::Admin && rule.room.is_none() && !rule.deny);
    let denied = if is_admin { &[Right::Publish][..] } else { &[Right::Publish, Right::Subscribe] };
    let quarantine = Some(RoomId::of(account, QUARANTINE));
    let deny = |right: &Right| Rule { room: quarantine, channels: Filter::all(), right: *right, deny: true };
    rules.extend(denied.iter().map(deny));
    rules
}
