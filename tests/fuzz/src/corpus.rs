//! Inputs that are replayed for ever: `corpora/{target}`. Those that once found something are named for that, the others
//! for what they come to (`outcome`): each comes to something that no other does, and is cut down as far as it still does.

use crate::outcome;
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

/// The smallest input that comes to the same, as far as dropping parts of it leads.
pub fn minimised(run: fn(&[u8]), bytes: &[u8]) -> Vec<u8> {
    let wanted = outcome::of(run, bytes);
    let mut bytes = bytes.to_vec();
    let mut size = bytes.len().next_power_of_two();
    while size > 0 {
        let mut at = 0;
        while at < bytes.len() {
            let mut less = bytes.clone();
            less.drain(at..(at + size).min(bytes.len()));
            if outcome::of(run, &less) == wanted {
                bytes = less;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    bytes
}

/// Keeps one.
pub fn keep(target: &str, name: &str, bytes: &[u8]) -> anyhow::Result<PathBuf> {
    let folder = folder(target);
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let path = folder.join(name);
    fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}
