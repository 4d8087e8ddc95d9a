//! The files that lines are in: those of changes and those of gates, numbered together, and bounded.

use super::Line;
use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// The files, newer and older: of changes, and of gates.
const NAMES: [[&str; 2]; 2] =
    [["audit.jsonl", "audit.1.jsonl"], ["audit-gates.jsonl", "audit-gates.1.jsonl"]];
/// One file may have so many bytes.
pub const FILE_BYTES_MAX: u64 = 8 << 20;

/// Whose lines they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Book {
    Changes,
    Gates,
}

/// Where they are in a data folder: the newer and the older file of each.
pub(super) fn paths(folder: &Path) -> [[PathBuf; 2]; 2] {
    NAMES.map(|names| names.map(|name| folder.join(name)))
}

/// All files, whose lines are numbered together.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) changes: Files,
    pub(super) gates: Files,
    /// Of the last line.
    pub(super) n: u64,
}

impl Books {
    pub(super) fn paths(&self) -> [[PathBuf; 2]; 2] {
        [&self.changes, &self.gates].map(|files| [files.path.clone(), files.older.clone()])
    }

    pub(super) fn open(folder: &Path) -> Self {
        let [changes, gates] = paths(folder).map(Files::open);
        let paths = [&changes.older, &changes.path, &gates.older, &gates.path];
        let n = paths.into_iter().flat_map(|path| lines(path)).map(|line| line.n).max().unwrap_or(0);
        Self { changes, gates, n }
    }

    pub(super) fn write(&mut self, book: Book, lines: Vec<Line>) -> io::Result<()> {
        let (mut text, mut n) = (Vec::new(), self.n);
        for line in lines {
            n += 1;
            serde_json::to_writer(&mut text, &Line { n, ..line })?;
            text.push(b'\n');
        }
        match book {
            Book::Changes => self.changes.write(&text)?,
            Book::Gates => self.gates.write(&text)?,
        }
        self.n = n;
        Ok(())
    }
}

/// The newer and the older file of a book.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) path: PathBuf,
    pub(super) older: PathBuf,
    file: Option<File>,
    bytes: u64,
}

impl Files {
    fn open([path, older]: [PathBuf; 2]) -> Self {
        let bytes = fs::metadata(&path).map_or(0, |file| file.len());
        Self { path, older, file: None, bytes }
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        if self.bytes > 0 && self.bytes + text.len() as u64 > FILE_BYTES_MAX {
            self.file = None;
            fs::rename(&self.path, &self.older)?;
            self.bytes = 0;
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None => {
                let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
                // A line that a crash cut short ends here.
                if self.bytes > 0 {
                    file.write_all(b"\n")?;
                }
                if let Some(folder) = self.path.parent() {
                    File::open(folder)?.sync_all()?;
                }
                file
            }
        };
        file.write_all(text)?;
        file.sync_data()?;
        self.bytes += text.len() as u64;
        self.file = Some(file);
        Ok(())
    }
}

/// Whether a file can be read, or is not there.
pub(super) fn check(path: &Path) -> io::Result<()> {
    match File::open(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The lines of a file that can be read, one after the other.
pub(super) fn lines(path: &Path) -> impl Iterator<Item = Line> + use<> {
    let file = File::open(path).ok().map(BufReader::new);
    let whole = file.into_iter().flat_map(|file| file.split(b'\n').map_while(Result::ok));
    whole.filter_map(|line| serde_json::from_slice(&line).ok())
}

/// The newest lines of a file that are meant, oldest first, at most so many.
pub(super) fn newest(path: &Path, is_meant: impl Fn(&Line) -> bool, most: usize) -> VecDeque<Line> {
    let mut newest = VecDeque::new();
    for line in lines(path).filter(is_meant) {
        if newest.len() == most {
            newest.pop_front();
        }
        newest.push_back(line);
    }
    newest
}
