//! Saving a table at once, for simulations.

use super::{Change, Table, TableFailed};
use std::{fmt, io, path::PathBuf};

type Saved = Box<dyn Fn(usize) + Send>;

/// Saves each change as it comes.
pub struct Saver {
    path: PathBuf,
    table: std::sync::Mutex<Option<Table>>,
    saved: std::sync::Mutex<Saved>,
}

impl fmt::Debug for Saver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Saver").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Saver {
    /// As the thread's.
    pub fn start(
        path: PathBuf,
        table: Option<Table>,
        saved: impl Fn(usize) + Send + 'static,
    ) -> io::Result<Self> {
        Ok(Self { path, table: table.into(), saved: std::sync::Mutex::new(Box::new(saved)) })
    }

    /// Saves a change.
    pub fn save(&self, change: Change) {
        if let Err(error) = self.saves(&change) {
            return tracing::warn!(%error, "a table is not saved");
        }
        let saved = self.saved.lock().expect("one thread");
        saved(1);
    }

    fn saves(&self, change: &Change) -> Result<(), TableFailed> {
        let mut table = self.table.lock().expect("one thread");
        let open = match table.take() {
            Some(table) => table,
            None => Table::open(&self.path).or_else(|_| Table::replace(&self.path))?,
        };
        open.save(change)?;
        *table = Some(open);
        Ok(())
    }
}
