//! Tables on disk that views are saved in: rows of bytes in redb, one file for each, written by a thread of its own.
//!
//! What always holds: rows and how far the view has seen its log change in one transaction; a table that cannot be
//! opened or read is moved aside and an empty one takes its place, and never stops a start. What is saved within
//! [`SAVE_EVERY`] goes into one transaction: the log has it all, so nothing waits for it.

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::{
    collections::BTreeMap,
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::Duration,
};

// In a simulation there is one thread.
#[cfg(riser_turmoil)]
#[path = "tables/at_once.rs"]
mod saver;
#[cfg(not(riser_turmoil))]
#[path = "tables/saver.rs"]
mod saver;

pub use saver::Saver;

/// How often a table is written at most: devices that publish every second must not wear a flash card out. What is not in
/// it yet is read from the log at the next start.
pub const SAVE_EVERY: Duration = Duration::from_secs(10);
/// redb's own memory for one table.
const CACHE_BYTES: usize = 256 << 10;

/// So many bad tables are kept beside the one in use.
const ASIDE_MAX: usize = 8;
const ROWS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("rows");
const THROUGH: TableDefinition<(), &[u8]> = TableDefinition::new("through");

/// All that a table holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Contents {
    /// How far the view has seen its log; none in a new table.
    pub through: Option<Vec<u8>>,
    /// Its rows, by key.
    pub rows: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Rows to be put, or taken away where there is no value, and how far the view has seen its log with them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Change {
    /// As in [`Contents::through`].
    pub through: Vec<u8>,
    /// By key.
    pub rows: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Change {
    fn then(&mut self, later: Self) {
        self.through = later.through;
        self.rows.extend(later.rows);
    }
}

/// A table could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TableFailed {
    /// redb said so.
    #[error("table {}: {source}", path.display())]
    Redb {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: Box<redb::Error>,
    },
    /// The file system said so.
    #[error("table {}: {source}", path.display())]
    Io {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// redb panicked over what it found.
    #[error("table {}: its bytes are not a table", path.display())]
    Panicked {
        /// Its file.
        path: PathBuf,
    },
}

/// A table that is open.
#[derive(Debug)]
pub struct Table {
    path: PathBuf,
    database: Database,
}

impl Table {
    /// Opens a table, or makes it.
    pub fn open(path: &Path) -> Result<Self, TableFailed> {
        let opened = guarded(path, || Ok(Database::builder().set_cache_size(CACHE_BYTES).create(path)?))?;
        Ok(Self { path: path.to_owned(), database: opened })
    }

    /// Reads all of it.
    pub fn read(&self) -> Result<Contents, TableFailed> {
        guarded(&self.path, || {
            let transaction = self.database.begin_read()?;
            let mut contents = Contents::default();
            match transaction.open_table(ROWS) {
                Ok(rows) => {
                    for row in rows.iter()? {
                        let (key, value) = row?;
                        contents.rows.insert(key.value().to_vec(), value.value().to_vec());
                    }
                }
                // It was just made.
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(contents),
                Err(error) => return Err(error.into()),
            }
            let through = transaction.open_table(THROUGH)?;
            contents.through = through.get(())?.map(|value| value.value().to_vec());
            Ok(contents)
        })
    }

    /// Makes a change durable.
    pub fn save(&self, change: &Change) -> Result<(), TableFailed> {
        guarded(&self.path, || {
            let transaction = self.database.begin_write()?;
            {
                let mut rows = transaction.open_table(ROWS)?;
                for (key, value) in &change.rows {
                    match value {
                        Some(value) => drop(rows.insert(key.as_slice(), value.as_slice())?),
                        None => drop(rows.remove(key.as_slice())?),
                    }
                }
                transaction.open_table(THROUGH)?.insert((), change.through.as_slice())?;
            }
            Ok(transaction.commit()?)
        })
    }

    /// Moves a bad table aside, to be looked at, and makes an empty one. What was moved aside before stays.
    pub fn replace(path: &Path) -> Result<Self, TableFailed> {
        let numbered = (2..ASIDE_MAX).map(|number| path.with_extension(format!("bad-{number}")));
        let mut names = std::iter::once(path.with_extension("bad")).chain(numbered);
        // The first is the one that was whole; past the bound the last one gives way.
        let aside = names.find(|name| !name.exists());
        let aside = aside.unwrap_or_else(|| path.with_extension(format!("bad-{ASIDE_MAX}")));
        let failed = |source| TableFailed::Io { path: path.to_owned(), source };
        match fs::rename(path, &aside) {
            Ok(()) => {
                tracing::warn!(table = %path.display(), aside = %aside.display(), "a bad table was moved aside")
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        Self::open(path)
    }
}

fn guarded<T>(path: &Path, act: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, TableFailed> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(source)) => Err(TableFailed::Redb { path: path.to_owned(), source: Box::new(source) }),
        Err(_) => Err(TableFailed::Panicked { path: path.to_owned() }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn change(through: u8, rows: &[(&[u8], Option<&[u8]>)]) -> Change {
        let rows = rows.iter().map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec))).collect();
        Change { through: vec![through], rows }
    }

    #[test]
    fn what_was_saved_is_there_after_the_table_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("retained.redb");
        assert_eq!(Table::open(&path).unwrap().read().unwrap(), Contents::default());
        let saver = Saver::start(path.clone(), None, |_| {}).unwrap();
        saver.save(change(1, &[(b"a", Some(b"1")), (b"b", Some(b"2"))]));
        saver.save(change(2, &[(b"a", None), (b"c", Some(b"3"))]));
        drop(saver);
        let contents = Table::open(&path).unwrap().read().unwrap();
        assert_eq!(contents.through, Some(vec![2]));
        let rows: Vec<_> = contents.rows.into_iter().collect();
        assert_eq!(rows, [(b"b".to_vec(), b"2".to_vec()), (b"c".to_vec(), b"3".to_vec())]);
    }

    #[test]
    fn a_bad_table_is_moved_aside_wherever_it_is_bad() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("retained.redb");
        let table = Table::open(&path).unwrap();
        for n in 0..200u8 {
            table.save(&change(n, &[(&[n], Some(&[n; 300]))])).unwrap();
        }
        let whole = table.read().unwrap();
        drop(table);
        let bytes = fs::read(&path).unwrap();
        let mut bad = 0;
        for at in (0..bytes.len()).step_by(bytes.len() / 37) {
            for damaged in [bytes[..at].to_vec(), {
                let mut flipped = bytes.clone();
                flipped[at] ^= 0x10;
                flipped
            }] {
                fs::write(&path, damaged).unwrap();
                let read = Table::open(&path).and_then(|table| table.read());
                // What redb does not notice, the rows' own checksums do.
                if read.is_err() {
                    bad += 1;
                    let table = Table::replace(&path).unwrap();
                    assert_eq!(table.read().unwrap(), Contents::default());
                    assert!(folder.path().join("retained.bad").exists());
                }
            }
        }
        assert!(bad > 20, "{bad}");
        fs::write(&path, bytes).unwrap();
        assert_eq!(Table::open(&path).unwrap().read().unwrap(), whole);
    }
}
