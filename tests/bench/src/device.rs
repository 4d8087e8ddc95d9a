//! Bytes that really reached the block device under a folder, from the device's own counters.

use anyhow::{Context, bail};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// What the files below a folder take of the disk, in bytes: whole blocks, and of a file with holes no holes.
pub fn taken(folder: &Path) -> anyhow::Result<u64> {
    const BLOCK: u64 = 512;
    let mut taken = 0;
    for file in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let file = file?;
        // A server that runs may take a file away meanwhile.
        let Ok(about) = fs::symlink_metadata(file.path()) else { continue };
        taken += if about.is_dir() { self::taken(&file.path())? } else { about.blocks() * BLOCK };
    }
    Ok(taken)
}

/// The counters of one block device.
pub struct Device {
    counters: PathBuf,
}

impl Device {
    /// The device under that folder. A RAM disk has none and is refused: a sync there proves nothing.
    pub fn under(folder: &Path) -> anyhow::Result<Self> {
        let folder = folder.canonicalize().context("find the data folder")?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("read the mounts")?;
        let number = mounts
            .lines()
            .filter_map(|line| {
                let columns: Vec<&str> = line.split(' ').collect();
                Some((*columns.get(2)?, Path::new(*columns.get(4)?)))
            })
            .filter(|(_, mount)| folder.starts_with(mount))
            .max_by_key(|(_, mount)| mount.components().count())
            .context("find the mount of the data folder")?
            .0;
        let counters = PathBuf::from(format!("/sys/dev/block/{number}/stat"));
        if !counters.exists() {
            bail!("{} lies on no block device: give a folder on a real disk with --data", folder.display());
        }
        Ok(Self { counters })
    }

    /// Bytes written since boot.
    pub fn bytes_written(&self) -> anyhow::Result<u64> {
        const SECTOR: u64 = 512;
        let text = fs::read_to_string(&self.counters).context("read the device's counters")?;
        let sectors: u64 = text
            .split_whitespace()
            .nth(6)
            .and_then(|column| column.parse().ok())
            .context("parse the counters")?;
        Ok(sectors * SECTOR)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_blocks_and_not_lengths() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        let before = taken(folder.path()).unwrap();
        fs::write(folder.path().join("inner").join("full"), vec![1; 1 << 20]).unwrap();
        fs::File::create(folder.path().join("hole")).unwrap().set_len(1 << 30).unwrap();
        fs::File::open(folder.path().join("inner").join("full")).unwrap().sync_all().unwrap();
        let more = taken(folder.path()).unwrap() - before;
        assert!((1 << 20..1 << 22).contains(&more), "{more}");
    }
}
