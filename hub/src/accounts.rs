//! The accounts of a running hub: one owner, who takes one change after another.
//!
//! What always holds: a change is on disk before anybody hears that it was taken, and before it has any effect; when whoever
//! asked hears of it, every connection, session and link of this hub has heard of it too. A change that could not be saved is
//! refused and has no effect.

use crate::{hub::rooms, owners, schemas};
use riser_gate::{
    Account, AccountConfig, Accounts, Change, Directory, Invalid,
    accounts::{Note, Refused, Why},
};
use riser_host::{
    HostHandle,
    audit::{Audit, Begun, Line},
};
use riser_hub_core::HubCore;
use riser_model::{
    AccountId, AccountName,
    door::Code,
    event::{Scope, SystemEvent},
};
use riser_shell::{
    Metrics,
    accounts::{AccountTables, Found},
};
use std::{collections::BTreeMap, io, path::Path, sync::Arc};
use tokio::sync::Mutex;

/// What the tables and the file together say when a hub starts.
pub struct Loaded {
    tables: AccountTables,
    accounts: Accounts,
    /// Who may what.
    pub directory: Arc<Directory>,
    /// Whether a table was damaged, and whether something is known no more.
    pub damaged: Option<bool>,
    /// Rooms may be missing in the directory that were not taken out: a table was damaged, or an account is not in force.
    pub misses: bool,
    mended: usize,
    /// The revisions that were on disk.
    saved: BTreeMap<AccountId, u64>,
}

impl Loaded {
    /// Reads the tables of a data folder, and takes what the file says anew. Names that say no account are first of all those
    /// of the one that is `bare`.
    pub fn open(folder: &Path, file: &[AccountConfig], bare: Option<AccountName>) -> Self {
        let (mut tables, found) = AccountTables::open(folder);
        let damaged = found.is_damaged().then(|| found.is_lost());
        let Found { accounts: before, mended, lost, all_lost } = found;
        let saved = before.all().map(|(id, account)| (id, account.revision)).collect();
        for table in &mended {
            tracing::error!(table = %table.display(), "accounts were damaged there; it was moved aside and made anew");
        }
        let mut accounts = before.clone();
        for Note { account, of, what } in accounts.import(file) {
            tracing::warn!(%account, of, "{what}");
        }
        accounts.seal(|id| lost.contains(&id) || (all_lost && before.get(id).is_none()));
        let accounts = accounts.with_bare(bare);
        if let Some(bare) = accounts.bare().filter(|bare| accounts.named(bare.as_str()).is_none()) {
            tracing::warn!(account = %bare, "default_account: no account is called so, until one is");
        }
        let changed = accounts.all().filter(|(id, account)| before.get(*id) != Some(account));
        if let Err(error) = tables.save(changed.map(|(id, account)| (id, &**account))) {
            tracing::error!(%error, "what the file says of accounts is not kept");
        }
        let (directory, wrong) = match accounts.compile() {
            Ok(directory) => (directory, Vec::new()),
            Err(_) => accounts.compile_most(),
        };
        // What a damaged table had may be in none, whatever the other one says.
        let misses = damaged.is_some() || !wrong.is_empty();
        for invalid in wrong {
            tracing::error!(%invalid, "an account is not in force");
        }
        let (directory, wrong) = schemas::compiled(Arc::new(directory));
        for invalid in wrong {
            tracing::error!(%invalid, "nothing is taken in this room");
        }
        for (_, account) in accounts.iter().filter(|(_, account)| account.sealed) {
            let name = &account.config.name;
            tracing::error!(account = %name, "nobody knows what was revoked there: none of its credentials is taken until `account unseal`");
        }
        for (_, account) in accounts.iter() {
            for of in owners::lacking(&account.config) {
                let account = &account.config.name;
                tracing::warn!(%account, of, "somebody is admin there and nobody owner, which were the same in an earlier build: only an owner makes owners, sets issuers and the account's gate, and removes rooms. Say `role = \"owner\"` of one in the file, or `riser-hub user set ACCOUNT/NAME --role owner` (in a room, `riser-hub role ACCOUNT/ROOM NAME owner`)");
            }
        }
        Self { tables, accounts, directory, damaged, misses, mended: mended.len(), saved }
    }
}

/// See the module.
#[derive(Clone)]
pub struct Registrar {
    inner: Arc<Mutex<Inner>>,
    handle: HostHandle<HubCore>,
    metrics: Arc<Metrics>,
    audit: Audit,
}

struct Inner {
    accounts: Arc<Accounts>,
    /// What they make: it is in force.
    directory: Arc<Directory>,
    /// None while they are being written, and when the hub has stopped.
    tables: Option<AccountTables>,
    /// What has to be written before anything else is.
    doubtful: Option<Doubtful>,
}

/// Whether this change may be made of these accounts, by the directory that is in force.
pub type May = Box<dyn FnOnce(&Change, &Accounts, &Directory) -> bool + Send>;

/// A change that somebody asks for.
pub struct Wanted {
    /// What.
    pub change: Change,
    /// Which version of the account it was made of; none if it holds of any.
    pub revision: Option<u64>,
    /// Whether who asks may do that by the directory that is in force: asked in the moment in which it is done.
    pub may: May,
}

/// Why a change has no effect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotChanged {
    /// It is wrong.
    Refused(Refused),
    /// It could not be saved.
    NotSaved,
    /// Who asked may do that no more.
    MayNot,
    /// The hub goes down.
    Stopping,
}

/// What is told of a change: what was done, to what, and by whom from where.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Told {
    /// What was done, in words.
    pub what: &'static str,
    /// To what.
    pub of: String,
    /// Who did it.
    pub by: String,
    /// From where.
    pub from: String,
}

impl Registrar {
    /// Over what was loaded.
    pub fn new(loaded: Loaded, handle: HostHandle<HubCore>, metrics: Arc<Metrics>, audit: Audit) -> Self {
        let Loaded { tables, accounts, directory, mended, saved, .. } = loaded;
        audit.settle(|account| saved.get(&account).copied());
        metrics.accounts.damaged.set(mended as u64);
        let registrar = Self {
            inner: Arc::new(Mutex::new(Inner {
                accounts: Arc::new(accounts),
                directory,
                tables: Some(tables),
                doubtful: None,
            })),
            handle,
            metrics,
            audit,
        };
        if let Ok(inner) = registrar.inner.try_lock() {
            registrar.meter(&inner.accounts);
        }
        registrar
    }

    fn meter(&self, accounts: &Accounts) {
        let sealed = accounts.iter().filter(|(_, account)| account.sealed).count();
        self.metrics.accounts.sealed.set(sealed as u64);
    }

    /// The accounts as they stand.
    pub async fn accounts(&self) -> Arc<Accounts> {
        Arc::clone(&self.inner.lock().await.accounts)
    }

    /// Who may what by them.
    pub async fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.inner.lock().await.directory)
    }

    /// Takes a change, or says why not. It goes its way to the end, whether or not whoever asked still waits: a change that
    /// is half done would be in nobody's audit log.
    pub async fn change(&self, told: Told, wanted: Wanted) -> Result<(AccountId, Arc<Account>), NotChanged> {
        let registrar = self.clone();
        let work = tokio::spawn(async move { registrar.change_and_tell(told, wanted).await });
        work.await.unwrap_or(Err(NotChanged::Stopping))
    }

    async fn change_and_tell(
        &self,
        told: Told,
        wanted: Wanted,
    ) -> Result<(AccountId, Arc<Account>), NotChanged> {
        let Told { what, of, by, from } = told;
        let line = Line::change(None, &by, &from, what, &of, String::new());
        let mut inner = self.inner.lock().await;
        let result = self.take(&mut inner, wanted, line.clone()).await;
        let account = result.as_ref().ok().map(|(id, _)| *id);
        let outcome = match &result {
            Ok(_) => "done".to_owned(),
            Err(NotChanged::Refused(refused)) => format!("refused: {}", refused.what),
            Err(NotChanged::NotSaved) => "refused: not saved".to_owned(),
            Err(NotChanged::MayNot) => "refused: may not any more".to_owned(),
            Err(NotChanged::Stopping) => "refused: going down".to_owned(),
        };
        // Before the next one begins: what is begun has one place.
        self.audit.write(Line { account, result: outcome, ..line }).await;
        drop(inner);
        match account {
            Some(account) => {
                self.metrics.accounts.changes.inc();
                let event = SystemEvent::AccountChanged { what: what.to_owned(), of, by };
                // A hub that goes down has nobody to tell.
                let _ = self.handle.ask(move |core, now| core.say(Scope::Account(account), event, now)).await;
            }
            None => {
                self.metrics.accounts.refused.inc();
            }
        }
        result
    }

    async fn take(
        &self,
        inner: &mut Inner,
        wanted: Wanted,
        line: Line,
    ) -> Result<(AccountId, Arc<Account>), NotChanged> {
        let Some(mut tables) = inner.tables.take() else { return Err(NotChanged::Stopping) };
        let (before, doubtful) = (Arc::clone(&inner.accounts), inner.doubtful.take());
        let in_force = Arc::clone(&inner.directory);
        let audit = self.audit.clone();
        let begin = move |account, revision| {
            let begun = Begun { line: line.clone(), account, revision };
            audit
                .begin(&begun)
                .inspect_err(|error| tracing::error!(%error, "a change cannot be written down"))
        };
        let work = tokio::task::spawn_blocking(move || {
            let taken = take((&before, &in_force), &mut tables, doubtful, wanted, begin);
            (tables, taken)
        });
        // The runtime drops blocking work only when it ends.
        let Ok((tables, Taken { result, doubtful })) = work.await else { return Err(NotChanged::Stopping) };
        (inner.tables, inner.doubtful) = (Some(tables), doubtful);
        let (accounts, directory, id, account) = result?;
        (inner.accounts, inner.directory) = (Arc::new(accounts), Arc::clone(&directory));
        self.meter(&inner.accounts);
        let rooms = rooms(&directory);
        // Saved is saved: a hub that goes down has it when it comes back.
        let _ = self.handle.change(directory, rooms).await;
        Ok((id, account))
    }

    /// Takes no more changes, and lets go of the tables.
    pub async fn stop(&self) {
        let mut inner = self.inner.lock().await;
        if let (Some(mut tables), Some(doubtful)) = (inner.tables.take(), inner.doubtful.take()) {
            // The next start reads what is there: this is the last moment to say that it is not so.
            let work = tokio::task::spawn_blocking(move || take_back(&mut tables, doubtful));
            let _ = work.await;
        }
    }
}

/// What became of a change.
struct Taken {
    result: Result<(Accounts, Arc<Directory>, AccountId, Arc<Account>), NotChanged>,
    doubtful: Option<Doubtful>,
}

/// A change that was refused because it could not be saved, though one of the tables may have it.
type Doubtful = (AccountId, Account);

fn take(
    (before, in_force): (&Accounts, &Directory),
    tables: &mut AccountTables,
    doubtful: Option<Doubtful>,
    wanted: Wanted,
    begin: impl Fn(AccountId, Option<u64>) -> io::Result<()>,
) -> Taken {
    let Wanted { change, revision, may } = wanted;
    if let Some(still) = doubtful.and_then(|doubtful| take_back(tables, doubtful)) {
        return Taken { result: Err(NotChanged::NotSaved), doubtful: Some(still) };
    }
    let not = |why| Taken { result: Err(why), doubtful: None };
    // Under the lock: no other change comes between this look and the change.
    if !may(&change, before, in_force) {
        return not(NotChanged::MayNot);
    }
    let of = match &change {
        Change::Within(id, _) | Change::RemoveAccount(id) | Change::Unseal(id) => before.get(*id),
        Change::CreateAccount(_) => None,
    };
    if revision.is_some_and(|revision| of.is_none_or(|account| account.revision != revision)) {
        return not(NotChanged::Refused(Refused {
            why: Why::Taken,
            what: "somebody else changed this account meanwhile".to_owned(),
            want: "to look at it again, and ask again".to_owned(),
        }));
    }
    let (accounts, directory, id) = match before.apply(change) {
        Ok(applied) => applied,
        Err(refused) => return not(NotChanged::Refused(refused)),
    };
    let Some(account) = accounts.get(id).cloned() else { return not(NotChanged::NotSaved) };
    let (directory, wrong) = schemas::compiled(directory);
    // What is wrong elsewhere is not this change's.
    let own = format!("account[{}]", account.config.name);
    if let Some(Invalid { key, what, want }) = wrong.into_iter().find(|one| one.key.starts_with(&own)) {
        let what = format!("{key}: {what}");
        return not(NotChanged::Refused(Refused { why: Why::Invalid, what, want }));
    }
    if begin(id, Some(account.revision)).is_err() {
        return not(NotChanged::NotSaved);
    }
    match tables.save([(id, &*account)]) {
        Ok(()) => Taken { result: Ok((accounts, directory, id, account)), doubtful: None },
        Err(error) => {
            tracing::error!(%error, "a change of an account is not kept, and has no effect");
            // Where this fails too, its line will say so all the same, unless the hub ends before it is written.
            let _ = begin(id, None);
            let doubtful = take_back(tables, (id, before.instead_of(id, &account)));
            Taken { result: Err(NotChanged::NotSaved), doubtful }
        }
    }
}

/// Writes over what one of the tables may have of a change that was refused. What is left to do, if that fails too.
fn take_back(tables: &mut AccountTables, (id, account): Doubtful) -> Option<Doubtful> {
    match tables.save([(id, &account)]) {
        Ok(()) => None,
        Err(error) => {
            tracing::error!(%error, account = %id.0, "a refused change may come into effect with a restart, until this can be saved");
            Some((id, account))
        }
    }
}

impl NotChanged {
    /// What is said to whoever asked.
    pub fn words(&self) -> (&'static str, String, String) {
        match self {
            Self::Refused(Refused { why, what, want }) => (why.name(), what.clone(), want.clone()),
            Self::NotSaved => (
                Code::LogFailing.name(),
                "the change could not be saved".to_owned(),
                "come back when the disk has space and works again".to_owned(),
            ),
            Self::MayNot => {
                let (what, want) =
                    ("the credential was revoked meanwhile", "one that administers the account");
                (Code::NotAuthorised.name(), what.to_owned(), want.to_owned())
            }
            Self::Stopping => {
                (Code::ShuttingDown.name(), "the hub goes down".to_owned(), "come back".to_owned())
            }
        }
    }
}
