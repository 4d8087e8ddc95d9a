//! Inputs that once found something: `corpora/{target}/{what it found}`, replayed for ever.

use anyhow::Context;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where a target's inputs lie.
pub fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpora").join(target)
}

/// All of a target's inputs, by name.
pub fn kept(target: &str) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let folder = folder(target);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut kept = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        let bytes = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        kept.push((name, bytes));
    }
    kept.sort();
    Ok(kept)
}

/// Keeps one.
pub fn keep(target: &str, name: &str, bytes: &[u8]) -> anyhow::Result<PathBuf> {
    let folder = folder(target);
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let path = folder.join(name);
    fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}
