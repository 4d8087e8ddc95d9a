//! Errands of those who stand in lobbies, done by the registrar: the same changes as those of the admin interface, written down
//! and refused in the same way.
//!
//! Whether somebody may have an errand done, the instance has looked at. One is done after the other; what somebody may have
//! changed in an hour is bounded, since each change is remembered for ever; and so is how often somebody may show what it takes
//! to be in the admin lobby. Whoever is there has shown the operator's token, or is named by the configuration, and does there what the admin interface does
//! for who shows it.

use crate::{
    accounts::{self, May, NotChanged, Registrar, Told},
    founding::Founding,
    invitation::{Invitation, new_token},
    needs::Needs,
    operators::Operators,
};
use riser_gate::{
    Account, Change, CredentialConfig, Evidence, Fingerprint, RoomConfig, accounts::AccountChange,
    config::Whom, credential::Member,
};
use riser_host::{
    HostHandle,
    audit::{Audit, Line},
};
use riser_hub_core::HubCore;
use riser_instance::Wanted;
use riser_model::{
    AccountId, AccountName, ClientId, ConnectionId, History, Principal, Right, Role, RoomId, RoomKind,
    RoomName,
    door::{AccountInfo, Code, Errand, Finished, KeyInfo, Refusal, Secret},
};
use riser_shell::entropy;
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Errands that wait.
pub const WAITING_MAX: usize = 256;
/// So many changes somebody may have made in such a time.
const CHANGES_MAX: u32 = 60;
const IN: Duration = Duration::from_secs(3600);
/// So many credentials somebody may have who has one more made.
const CREDENTIALS_MAX: usize = 32;

/// See the module.
pub struct Errands {
    registrar: Registrar,
    core: HostHandle<HubCore>,
    audit: Audit,
    operators: Arc<Operators>,
    /// When each began, and how many it has had since.
    paces: BTreeMap<ClientId, (Instant, u32)>,
}

/// One errand: whose, from where.
struct Of {
    by: Arc<Principal>,
    evidence: Evidence,
    from: Option<IpAddr>,
}

impl Of {
    fn told(&self, what: &'static str, of: String) -> Told {
        let by = format!("{}/{}", self.by.account_name, self.by.name);
        Told { what, of, by, from: self.from.map(|from| from.to_string()).unwrap_or_default() }
    }

    /// Whether that one may have it done in the moment in which it is: it has waited behind others.
    fn may(&self, needs: Needs) -> May {
        let (by, evidence) = (Arc::clone(&self.by), self.evidence.clone());
        Box::new(move |_, _, directory| needs.met(directory, &by, &evidence))
    }

    /// Whether it may do what is asked for, by what that touches.
    fn may_as_needed(&self) -> May {
        let (by, evidence) = (Arc::clone(&self.by), self.evidence.clone());
        Box::new(move |change, accounts, directory| {
            Needs::of(change, accounts).met(directory, &by, &evidence)
        })
    }
}

impl Errands {
    /// Done by this registrar, for the connections of that core.
    pub fn new(
        registrar: Registrar,
        core: HostHandle<HubCore>,
        audit: Audit,
        operators: Arc<Operators>,
    ) -> Self {
        Self { registrar, core, audit, operators, paces: BTreeMap::new() }
    }

    /// Does one after the other, until nobody is left who could want one.
    pub async fn keep(mut self, mut wanted: mpsc::Receiver<(ConnectionId, Box<Wanted>)>) {
        while let Some((connection, wanted)) = wanted.recv().await {
            let result = self.perform(*wanted).await;
            // A hub that has ended has nobody to tell.
            let _ = self.core.ask(move |core, now| core.ran(connection, result, now)).await;
        }
    }

    async fn perform(&mut self, wanted: Wanted) -> Result<Finished, Refusal> {
        let Wanted { by, evidence, from, errand } = wanted;
        if !matches!(errand, Errand::Keys | Errand::Accounts) {
            self.pace(by.user())?;
        }
        let of = Of { by, evidence, from };
        let account = of.by.account;
        let known = self.registrar.accounts().await.get(account).cloned().ok_or_else(unknown)?;
        match errand {
            Errand::CreateRoom { room, kind, history } => self.create(&of, &known, room, kind, history).await,
            Errand::Invite { name, room, rights } => self.invite(&of, &known, name, room, rights).await,
            Errand::SetRole { whom, room, role } => self.set_role(&of, &known, whom, room, role).await,
            Errand::Keys => {
                let own = member(&known, of.by.user())?.credentials();
                Ok(Finished::Keys(own.iter().map(info).collect()))
            }
            Errand::MakeKey => {
                if member(&known, of.by.user())?.credentials().len() >= CREDENTIALS_MAX {
                    let what = format!("you have {CREDENTIALS_MAX} keys");
                    return Err(refusal(Code::TooMany, &what, "to revoke one first"));
                }
                let name = of.by.name.clone();
                let (key, token) = self.make_token((&of, Needs::Nothing), of.by.user(), &name).await?;
                Ok(Finished::KeyMade { key, token })
            }
            Errand::RevokeKey { fingerprint } => {
                let own = member(&known, of.by.user())?.credentials();
                let meant: Option<Fingerprint> = fingerprint.parse().ok();
                let found = own.iter().find(|one| Some(one.fingerprint()) == meant).ok_or_else(unknown)?;
                let told =
                    of.told("credential revoked", format!("{}: {} {fingerprint}", of.by.name, found.kind()));
                let change = AccountChange::RevokeCredential(of.by.user(), found.fingerprint());
                self.change((&of, Needs::Nothing), told, change).await?;
                Ok(Finished::KeyRevoked { fingerprint })
            }
            Errand::Operate { token } => self.operate(&of, token.as_ref()).await,
            Errand::Accounts => {
                let accounts = self.registrar.accounts().await;
                Ok(Finished::Accounts(
                    accounts.iter().map(|(id, account)| account_info(id, account)).collect(),
                ))
            }
            Errand::CreateAccount { name, user } => self.found(&of, name, user).await,
            Errand::RemoveAccount { account } => self.remove_account(&of, &account).await,
        }
    }

    /// Into the admin lobby, and it is written down who came, and who was not let in.
    async fn operate(&self, of: &Of, token: Option<&Secret>) -> Result<Finished, Refusal> {
        let is_it = match token {
            Some(token) => self.operators.shown(&token.0),
            None => {
                let directory = self.registrar.directory().await;
                self.operators.names(&directory, &of.by)
                    && Needs::Nothing.met(&directory, &of.by, &of.evidence)
            }
        };
        let Told { of: what, by, from, .. } = of.told("", "the admin lobby".to_owned());
        let (deed, result) = if is_it { ("entered", "done") } else { ("refused", "not_authorised") };
        let line = Line::change(Some(of.by.account), &by, &from, deed, &what, result.to_owned());
        self.audit.write(line).await;
        if is_it {
            return Ok(Finished::Operates);
        }
        let (what, want) = match token {
            Some(_) => ("the token was not accepted", "the operator's, of a hub that has an admin interface"),
            None => ("the configuration does not name you", "the operator's token, or a name in operators"),
        };
        Err(refusal(Code::NotAuthorised, what, want))
    }

    async fn found(
        &self,
        of: &Of,
        name: AccountName,
        user: Option<AccountName>,
    ) -> Result<Finished, Refusal> {
        let stopping = || refusal(Code::ShuttingDown, "the hub goes down", "come back");
        let founding = Founding::of(name.clone(), None, user).await.ok_or_else(stopping)?;
        let Founding { config, id, user, client, password, token } = founding;
        let told = of.told("account created", format!("account {name}"));
        self.change_hub(of, told, Change::CreateAccount(Box::new(config))).await?;
        let (password, token) = (Secret(password.into()), Secret(token.into()));
        Ok(Finished::AccountCreated { name, id, user, client, password, token })
    }

    async fn remove_account(&self, of: &Of, account: &AccountName) -> Result<Finished, Refusal> {
        let accounts = self.registrar.accounts().await;
        let (id, known) = accounts.named(account.as_str()).ok_or_else(unknown)?;
        if id == of.by.account {
            let want = "another one: who is of it would be gone with it";
            return Err(refusal(Code::Denied, "the account that you are of", want));
        }
        let name = known.config.name.clone();
        let told = of.told("account removed", format!("account {name}"));
        self.change_hub(of, told, Change::RemoveAccount(id)).await?;
        Ok(Finished::AccountRemoved { name })
    }

    /// A change of the hub's accounts, by who is in the admin lobby.
    async fn change_hub(&self, of: &Of, told: Told, change: Change) -> Result<(), Refusal> {
        // It has shown the operator's token, or was named; what it is known by still has to hold.
        let may = of.may(Needs::Nothing);
        let told = Told { by: format!("operator, as {}", told.by), ..told };
        let changed = self.registrar.change(told, accounts::Wanted { change, revision: None, may }).await;
        changed.map(drop).map_err(|not| not_changed(&not))
    }

    /// Counts one change, if there is one more.
    fn pace(&mut self, client: ClientId) -> Result<(), Refusal> {
        let now = Instant::now();
        self.paces.retain(|_, (since, _)| now.duration_since(*since) < IN);
        let (_, count) = self.paces.entry(client).or_insert((now, 0));
        if *count >= CHANGES_MAX {
            let what = format!("{CHANGES_MAX} changes in an hour");
            return Err(refusal(Code::TooMany, &what, "come back in an hour, or ask who operates this"));
        }
        *count += 1;
        Ok(())
    }

    async fn change(
        &self,
        (of, needs): (&Of, Needs),
        told: Told,
        change: AccountChange,
    ) -> Result<(), Refusal> {
        let (may, change) = (of.may(needs), Change::Within(of.by.account, change));
        let changed = self.registrar.change(told, accounts::Wanted { change, revision: None, may }).await;
        changed.map(drop).map_err(|not| not_changed(&not))
    }

    async fn create(
        &self,
        of: &Of,
        known: &Account,
        room: RoomName,
        kind: RoomKind,
        history: History,
    ) -> Result<Finished, Refusal> {
        let derived = RoomId::of(of.by.account, room.as_str());
        let id = if known.gone.contains(&derived.0) { RoomId(entropy::uuid()) } else { derived };
        let config = RoomConfig { id: Some(id), kind, ..RoomConfig::new(room.clone(), history) };
        let told = of.told("room created", format!("room {room}"));
        let needs = Needs::Account(of.by.account);
        self.change((of, needs), told, AccountChange::CreateRoom(Box::new(config))).await?;
        Ok(Finished::RoomCreated { room, id })
    }

    async fn invite(
        &self,
        of: &Of,
        known: &Account,
        name: AccountName,
        room: RoomName,
        rights: Vec<Right>,
    ) -> Result<Finished, Refusal> {
        let place = known.config.room.iter().find(|one| one.name == room).and_then(|one| one.id);
        let place = place.ok_or_else(unknown)?;
        let is_there = known.members().any(|one| one.name() == &name);
        // Who looks after a room only invites who is there.
        if !is_there && !of.by.grants.administer() {
            return Err(unknown());
        }
        let invitation = Invitation::of((of.by.account, known), (place, &room), &name, &rights);
        let Invitation { change, told: (what, told), token } = invitation;
        let wanted = accounts::Wanted { change, revision: None, may: of.may_as_needed() };
        let changed = self.registrar.change(of.told(what, told), wanted).await;
        changed.map_err(|not| not_changed(&not))?;
        Ok(Finished::Invited { name, room, token })
    }

    async fn set_role(
        &self,
        of: &Of,
        known: &Account,
        whom: Whom,
        room: RoomName,
        role: Option<Role>,
    ) -> Result<Finished, Refusal> {
        let place = known.config.room.iter().find(|one| one.name == room).and_then(|one| one.id);
        let place = place.ok_or_else(unknown)?;
        let told = of.told("role set", role_set(&whom, &room, role));
        let change = AccountChange::SetRole(place, whom.clone(), role);
        let (change, may) = (Change::Within(of.by.account, change), of.may_as_needed());
        let changed = self.registrar.change(told, accounts::Wanted { change, revision: None, may }).await;
        changed.map_err(|not| not_changed(&not))?;
        Ok(Finished::RoleSet { whom, room, role })
    }

    async fn make_token(
        &self,
        (of, needs): (&Of, Needs),
        client: ClientId,
        name: &AccountName,
    ) -> Result<(KeyInfo, Secret), Refusal> {
        let (credential, key, token) = new_token();
        let told = of.told("credential added", format!("{name}: {} {}", key.kind, key.fingerprint));
        self.change((of, needs), told, AccountChange::AddCredential(client, credential)).await?;
        Ok((key, token))
    }
}

/// As it is written down, whoever had it done.
pub(crate) fn role_set(whom: &Whom, room: &RoomName, role: Option<Role>) -> String {
    format!("{} to {whom} in room {room}", role.map_or("none", Role::name))
}

fn account_info(id: AccountId, account: &Account) -> AccountInfo {
    let config = &account.config;
    let (name, users, rooms) = (config.name.clone(), config.user.len(), config.room.len());
    AccountInfo { name, id, users, rooms, sealed: account.sealed }
}

fn member(account: &Account, client: ClientId) -> Result<Member, Refusal> {
    account.member(client).ok_or_else(unknown)
}

pub(crate) fn info(credential: &CredentialConfig) -> KeyInfo {
    KeyInfo { kind: credential.kind(), fingerprint: credential.fingerprint().to_string() }
}

fn unknown() -> Refusal {
    refusal(Code::Denied, "nothing by that name, or not yours", "the name of one that there is")
}

fn not_changed(not: &NotChanged) -> Refusal {
    let (_, what, want) = not.words();
    let code = match not {
        NotChanged::Refused(_) | NotChanged::MayNot => Code::Denied,
        NotChanged::NotSaved => Code::LogFailing,
        NotChanged::Stopping => Code::ShuttingDown,
    };
    Refusal { code, what, want }
}

fn refusal(code: Code, what: &str, want: &str) -> Refusal {
    Refusal { code, what: what.to_owned(), want: want.to_owned() }
}
