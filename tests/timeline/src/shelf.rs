//! The timelines that are shipped: every `*.timeline` of the folder `scenarios`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::Scenario;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// All of them, by name.
pub fn all() -> anyhow::Result<Vec<Scenario>> {
    let entries = fs::read_dir(folder()).with_context(|| format!("list {}", folder().display()))?;
    let paths: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.context("list the timelines")?;
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "timeline"));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// One of them by its name, or any file by its path.
pub fn find(name: &str) -> anyhow::Result<Scenario> {
    let shipped = folder().join(format!("{name}.timeline"));
    let path = if shipped.is_file() { shipped } else { PathBuf::from(name) };
    ensure!(
        path.is_file(),
        "there is no timeline {name}; those that are shipped lie in {}",
        folder().display()
    );
    read(&path)
}

fn read(path: &Path) -> anyhow::Result<Scenario> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let name = path.file_stem().and_then(|stem| stem.to_str()).context("a timeline has a name")?;
    Scenario::parse(name, &text)
}
