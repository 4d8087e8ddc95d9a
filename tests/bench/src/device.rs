//! Bytes that really reached the block device under a folder, from the device's own counters.

use anyhow::{Context, bail};
use std::{fs, path::Path, path::PathBuf};

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
