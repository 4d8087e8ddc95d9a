//! The thread that saves a table.

use super::{Change, SAVE_EVERY, Table, TableFailed};
use std::{
    io,
    path::PathBuf,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Instant,
};

/// Writes a table in a thread of its own. Dropped, it writes what waits and ends.
#[derive(Debug)]
pub struct Saver {
    changes: Option<Sender<Change>>,
    thread: Option<JoinHandle<()>>,
}

impl Saver {
    /// Starts the thread. A table that is not open is opened with the first change. `saved` is called from it with how
    /// many more changes are durable, and must not wait.
    pub fn start(
        path: PathBuf,
        table: Option<Table>,
        saved: impl Fn(usize) + Send + 'static,
    ) -> io::Result<Self> {
        let (changes, ordered) = mpsc::channel();
        let name = thread::Builder::new().name("table".into());
        let thread =
            name.spawn(move || Saving { path, table, ordered, waiting: 0, failed: false }.run(saved))?;
        Ok(Self { changes: Some(changes), thread: Some(thread) })
    }

    /// Saves a change, sooner or later.
    pub fn save(&self, change: Change) {
        let changes = self.changes.as_ref().expect("only drop takes it");
        // A thread that has ended panicked; the log still has what the table lacks.
        let _ = changes.send(change);
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        self.changes = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that saves a table panicked");
        }
    }
}

struct Saving {
    path: PathBuf,
    table: Option<Table>,
    ordered: Receiver<Change>,
    /// Changes that were taken and are not durable.
    waiting: usize,
    failed: bool,
}

impl Saving {
    fn run(mut self, saved: impl Fn(usize)) {
        while let Ok(mut change) = self.ordered.recv() {
            self.waiting += 1;
            let open = self.gather(&mut change);
            while let Err(error) = self.save(&change) {
                if !std::mem::replace(&mut self.failed, true) {
                    tracing::warn!(%error, "what channels retain is not on disk beside the log; trying on");
                }
                if !open || !self.gather(&mut change) {
                    return;
                }
            }
            if std::mem::take(&mut self.failed) {
                tracing::info!(table = %self.path.display(), "the table is written again");
            }
            saved(std::mem::take(&mut self.waiting));
        }
    }

    /// Takes what else comes within [`SAVE_EVERY`]. False when nothing more will come.
    fn gather(&mut self, change: &mut Change) -> bool {
        let until = Instant::now() + SAVE_EVERY;
        loop {
            match self.ordered.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(later) => {
                    self.waiting += 1;
                    change.then(later);
                }
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn save(&mut self, change: &Change) -> Result<(), TableFailed> {
        let table = match self.table.take() {
            Some(table) => table,
            // One that was never whole is made anew; what it lacks, the log still has.
            None => Table::open(&self.path).or_else(|_| Table::replace(&self.path))?,
        };
        // After a failure redb refuses everything: the next try opens it again.
        table.save(change)?;
        self.table = Some(table);
        Ok(())
    }
}
