//! The change that is being saved: in a file of its own before it is, so that a crash between the change and its line in the
//! audit log leaves no change that nobody wrote down.
//!
//! One change is saved at a time, and its line is written before the next one begins: one file holds all there can be.

use super::Line;
use riser_model::AccountId;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// The file.
const NAME: &str = "audit-begun.json";

/// A change that was begun.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Begun {
    /// Its line, without a result.
    pub line: Line,
    /// Whose account it makes another one of.
    pub account: AccountId,
    /// That account has this revision when it is saved; none if it was taken back.
    pub revision: Option<u64>,
}

/// Where it is written.
#[derive(Clone, Debug)]
pub(super) struct Place(PathBuf);

impl Place {
    pub(super) fn of(folder: &Path) -> Self {
        Self(folder.join(NAME))
    }

    /// It is on disk when this returns.
    pub(super) fn write(&self, begun: &Begun) -> io::Result<()> {
        let new = self.0.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(begun)?)?;
        file.sync_all()?;
        fs::rename(&new, &self.0)?;
        let folder = self.0.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }

    /// The one that was begun last.
    pub(super) fn read(&self) -> Option<Begun> {
        serde_json::from_slice(&fs::read(&self.0).ok()?).ok()
    }
}

impl Begun {
    /// Its line, as it is known by what was saved of its account.
    pub(super) fn ended(self, saved: Option<u64>) -> Line {
        let is_saved = self.revision.is_some_and(|revision| saved.is_some_and(|saved| saved >= revision));
        let (account, result) = if is_saved {
            (Some(self.account), "done; the hub ended before it could be written down")
        } else {
            (None, "not done: the hub ended before it was saved")
        };
        Line { account, result: result.to_owned(), ..self.line }
    }

    /// Whether that line is its.
    pub(super) fn is(&self, line: &Line) -> bool {
        let Line { n: _, at, account: _, who, from, what, of, result: _, count: _ } = &self.line;
        (*at, who, from, what, of) == (line.at, &line.who, &line.from, &line.what, &line.of)
    }
}
