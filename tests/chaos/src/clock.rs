//! A wall clock that jumps: libfaketime in one program's environment, driven by a file. The monotonic clock is
//! the machine's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

/// A clock of one program's own.
pub struct Clock {
    file: PathBuf,
    library: PathBuf,
}

impl Clock {
    /// One that is right, so far.
    pub fn make(name: &str, folder: &Path) -> anyhow::Result<Self> {
        let library = library().context("libfaketime is not here")?;
        let clock = Self { file: folder.join(format!("{name}.clock")), library };
        clock.set(0)?;
        Ok(clock)
    }

    /// It is that many seconds off from here on; the program sees it within a second.
    pub fn set(&self, seconds: i64) -> anyhow::Result<()> {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n"))?;
        fs::rename(&new, &self.file).context("set a clock")
    }

    /// What the program's environment needs.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }
}

/// Where libfaketime is, for programs with threads.
pub fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let mut candidates = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    candidates.find(|path| path.is_file())
}

/// Whether a clock that is set to jump does so, on this machine.
pub fn jumps() -> anyhow::Result<bool> {
    let folder = tempfile::tempdir()?;
    let clock = Clock::make("probe", folder.path())?;
    clock.set(20 * 365 * 86_400)?;
    let year = |environment: Vec<(String, String)>| -> anyhow::Result<i64> {
        let output = Command::new("date").arg("+%Y").envs(environment).output().context("run date")?;
        String::from_utf8_lossy(&output.stdout).trim().parse().context("a year")
    };
    Ok(year(clock.environment())? >= year(vec![])? + 19)
}
