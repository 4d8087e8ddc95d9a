//! Where accounts are kept: two tables of the same rows, so that one that is damaged is made anew from the other.
//!
//! What always holds: a change is on disk in both before it is said to be; of two rows of an account the one with more
//! changes counts; a table that cannot be read is moved aside, and never stops a start. Where both have lost an account,
//! nobody knows any more which of its credentials were revoked, and it is *sealed*: what files declare of it lets nobody
//! in until an operator says so.

use crate::tables::{Change, Table, TableFailed};
use riser_gate::accounts::{Account, Accounts, row};
use riser_model::AccountId;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};
use uuid::Uuid;

/// The two tables, in the data folder.
pub const TABLES: [&str; 2] = ["accounts.redb", "accounts-copy.redb"];

/// What was found when accounts were read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// The accounts that are known.
    pub accounts: Accounts,
    /// Tables that were damaged and made anew.
    pub mended: Vec<PathBuf>,
    /// Accounts of which neither table knows anything any more.
    pub lost: BTreeSet<AccountId>,
    /// Neither table could be read: any account may be one of those.
    pub all_lost: bool,
}

impl Found {
    /// Whether something was damaged.
    pub fn is_damaged(&self) -> bool {
        !self.mended.is_empty() || self.is_lost()
    }

    /// Whether something is known no more.
    pub fn is_lost(&self) -> bool {
        self.all_lost || !self.lost.is_empty()
    }
}

/// The tables of a process.
#[derive(Debug)]
pub struct AccountTables {
    tables: [(PathBuf, Option<Table>); 2],
}

enum Read {
    /// Its rows, by account.
    Rows(BTreeMap<AccountId, Option<Account>>),
    /// It is new.
    New,
    /// It could not be read.
    Bad,
}

impl AccountTables {
    /// Opens them in a data folder, and reads what is there.
    pub fn open(folder: &Path) -> (Self, Found) {
        let paths = TABLES.map(|name| folder.join(name));
        let read = paths.each_ref().map(|path| {
            let opened = Table::open(path);
            let rows = opened.as_ref().map_or(Read::Bad, |table| read(path, table));
            (opened.ok(), rows)
        });
        let [(first, first_rows), (second, second_rows)] = read;
        let [path, copy] = paths;
        let mut found = Found::default();
        let mut best = BTreeMap::<AccountId, Option<Account>>::new();
        for rows in [&first_rows, &second_rows] {
            let Read::Rows(rows) = rows else { continue };
            for (id, account) in rows {
                let place = best.entry(*id).or_default();
                let newer = account.as_ref().is_some_and(|account| {
                    place.as_ref().is_none_or(|other| other.revision < account.revision)
                });
                if newer {
                    place.clone_from(account);
                }
            }
        }
        found.lost = best.iter().filter(|(_, account)| account.is_none()).map(|(id, _)| *id).collect();
        found.accounts = Accounts::of(best.into_values().flatten());
        found.all_lost = match (&first_rows, &second_rows) {
            (Read::Rows(_), _) | (_, Read::Rows(_)) | (Read::New, Read::New) => false,
            (Read::Bad, Read::Bad | Read::New) | (Read::New, Read::Bad) => true,
        };
        let mut tables = [(path, first), (copy, second)];
        for (table, rows) in tables.iter_mut().zip([first_rows, second_rows]) {
            let is_whole = |rows: &BTreeMap<AccountId, Option<Account>>| {
                rows.len() == found.accounts.all().count()
                    && rows
                        .iter()
                        .all(|(id, account)| account.as_ref() == found.accounts.get(*id).map(|one| &**one))
            };
            let is_damaged = match &rows {
                Read::Rows(rows) => rows.values().any(Option::is_none),
                Read::New => false,
                Read::Bad => true,
            };
            // An empty one in the place of one that was moved aside is what it should be.
            if is_damaged && table.1.as_ref().is_none_or(|open| !is_empty(open)) {
                found.mended.push(table.0.clone());
                // Closed before it is moved aside.
                table.1 = None;
                table.1 = Table::replace(&table.0)
                    .inspect_err(|error| tracing::error!(%error, "accounts are not kept"))
                    .ok();
            }
            let stays = matches!(&rows, Read::Rows(rows) if is_whole(rows) && !is_damaged);
            if !stays && let Some(open) = &table.1 {
                let rows = found.accounts.all().map(|(id, account)| (key(id), Some(row::write(account))));
                let written = open.save(&Change { through: Vec::new(), rows: rows.collect() });
                if let Err(error) = written {
                    tracing::error!(%error, "accounts are not kept");
                    table.1 = None;
                }
            }
        }
        (Self { tables }, found)
    }

    /// Makes these accounts durable, in both tables. After a failure one of them may have them.
    pub fn save<'a>(
        &mut self,
        accounts: impl IntoIterator<Item = (AccountId, &'a Account)>,
    ) -> Result<(), TableFailed> {
        let rows = accounts.into_iter().map(|(id, account)| (key(id), Some(row::write(account)))).collect();
        let change = Change { through: Vec::new(), rows };
        for (path, table) in &mut self.tables {
            // After a failure redb refuses everything: the next try opens it again.
            let open = match table.take() {
                Some(open) => open,
                None => Table::open(path)?,
            };
            open.save(&change)?;
            *table = Some(open);
        }
        Ok(())
    }
}

fn key(id: AccountId) -> Vec<u8> {
    id.0.as_bytes().to_vec()
}

fn is_empty(table: &Table) -> bool {
    table.read().is_ok_and(|contents| contents.rows.is_empty())
}

fn read(path: &Path, table: &Table) -> Read {
    let Ok(contents) = table.read() else { return Read::Bad };
    if contents.rows.is_empty() {
        // One that was moved aside left this in its place, and nothing was written since.
        return if path.with_extension("bad").exists() { Read::Bad } else { Read::New };
    }
    let mut rows = BTreeMap::new();
    for (key, value) in contents.rows {
        let Ok(id) = Uuid::from_slice(&key).map(AccountId) else { return Read::Bad };
        let account = row::read(&value).ok().filter(|account| account.config.id == Some(id));
        rows.insert(id, account);
    }
    Read::Rows(rows)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use riser_gate::{AccountConfig, accounts::Account};
    use std::fs;

    fn account(n: u128, revision: u64) -> (AccountId, Account) {
        let id = AccountId(Uuid::from_u128(n));
        let config = AccountConfig::new(format!("account-{n}").parse().unwrap(), id);
        (id, Account { revision, ..Account::new(config) })
    }

    fn save(tables: &mut AccountTables, n: u128, revision: u64) {
        let (id, account) = account(n, revision);
        tables.save([(id, &account)]).unwrap();
    }

    fn revisions(found: &Found) -> Vec<u64> {
        found.accounts.all().map(|(_, account)| account.revision).collect()
    }

    #[test]
    fn what_was_saved_is_there_again_and_a_new_folder_is_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        let (mut tables, found) = AccountTables::open(folder.path());
        assert_eq!(found, Found::default());
        save(&mut tables, 1, 1);
        save(&mut tables, 2, 5);
        save(&mut tables, 1, 2);
        drop(tables);
        let (_tables, found) = AccountTables::open(folder.path());
        assert_eq!((revisions(&found), found.is_damaged()), (vec![2, 5], false));
    }

    #[test]
    fn a_damaged_table_is_made_anew_from_the_other_and_no_change_is_lost() {
        for bad in TABLES {
            let folder = tempfile::tempdir().unwrap();
            let (mut tables, _) = AccountTables::open(folder.path());
            (1..20).for_each(|n| save(&mut tables, n, n as u64));
            drop(tables);
            let path = folder.path().join(bad);
            fs::write(&path, b"no table").unwrap();
            for again in [false, true] {
                let (_tables, found) = AccountTables::open(folder.path());
                assert_eq!(revisions(&found), (1..20).collect::<Vec<u64>>());
                assert_eq!((found.mended.len(), found.is_lost()), (usize::from(!again), false), "{bad}");
            }
            assert!(path.with_extension("bad").exists());
        }
    }

    #[test]
    fn of_two_rows_the_one_with_more_changes_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (mut tables, _) = AccountTables::open(folder.path());
        save(&mut tables, 1, 1);
        drop(tables);
        let path = folder.path().join(TABLES[1]);
        let older = fs::read(&path).unwrap();
        let (mut tables, _) = AccountTables::open(folder.path());
        save(&mut tables, 1, 2);
        drop(tables);
        fs::write(&path, older).unwrap();
        let (tables, found) = AccountTables::open(folder.path());
        assert_eq!((revisions(&found), found.is_damaged()), (vec![2], false));
        drop(tables);
        fs::remove_file(folder.path().join(TABLES[0])).unwrap();
        let (_tables, found) = AccountTables::open(folder.path());
        assert_eq!(revisions(&found), [2], "the older one was brought up to date");
    }

    #[test]
    fn what_both_have_lost_is_said_at_every_start_until_something_is_known_again() {
        let folder = tempfile::tempdir().unwrap();
        let (mut tables, _) = AccountTables::open(folder.path());
        save(&mut tables, 1, 1);
        drop(tables);
        for table in TABLES {
            fs::write(folder.path().join(table), b"no table").unwrap();
        }
        for _ in 0..2 {
            let (_tables, found) = AccountTables::open(folder.path());
            assert!(found.all_lost, "nobody may take this for a new folder");
        }
        for table in TABLES {
            let aside = fs::read(folder.path().join(table).with_extension("bad")).unwrap();
            assert_eq!(aside, b"no table", "it is there to be looked at, however often the process starts");
        }
        fs::write(folder.path().join(TABLES[0]), b"no table either").unwrap();
        drop(AccountTables::open(folder.path()));
        assert!(folder.path().join(TABLES[0]).with_extension("bad-2").exists());
        let (mut tables, _) = AccountTables::open(folder.path());
        save(&mut tables, 1, 1);
        drop(tables);
        assert!(!AccountTables::open(folder.path()).1.is_damaged());
    }

    #[test]
    fn one_bad_row_is_taken_from_the_other_table() {
        let folder = tempfile::tempdir().unwrap();
        let (mut tables, _) = AccountTables::open(folder.path());
        (1..4).for_each(|n| save(&mut tables, n, n as u64));
        drop(tables);
        let bad = |name: &str| {
            let table = Table::open(&folder.path().join(name)).unwrap();
            let rows = [(key(AccountId(Uuid::from_u128(2))), Some(vec![1, 2, 3]))].into();
            table.save(&Change { through: vec![], rows }).unwrap();
        };
        bad(TABLES[0]);
        let (tables, found) = AccountTables::open(folder.path());
        assert_eq!((revisions(&found), found.mended.len(), found.is_lost()), (vec![1, 2, 3], 1, false));
        drop(tables);
        TABLES.into_iter().for_each(bad);
        let (_tables, found) = AccountTables::open(folder.path());
        assert_eq!(revisions(&found), [1, 3]);
        assert_eq!(found.lost, [AccountId(Uuid::from_u128(2))].into());
    }
}
