//! Where the demo keeps its data: a folder that was given and stays, or a temporary one that goes away.

use anyhow::Context;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The demo's data folder.
pub struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    /// The folder given, or a new temporary one.
    pub fn open(given: Option<PathBuf>) -> anyhow::Result<Self> {
        let temporary = given.is_none();
        let path =
            given.unwrap_or_else(|| std::env::temp_dir().join(format!("riser-demo-{}", std::process::id())));
        fs::create_dir_all(&path).with_context(|| format!("make the data folder {}", path.display()))?;
        let path = path.canonicalize().with_context(|| format!("find the data folder {}", path.display()))?;
        Ok(Self { path, temporary })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it lies in memory, where a sync proves nothing.
    pub fn is_ram_disk(&self) -> bool {
        fs::read_to_string("/proc/mounts").is_ok_and(|mounts| lies_in_memory(&mounts, &self.path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            // Left behind, it is in the temporary folder, where leftovers are expected.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn lies_in_memory(mounts: &str, path: &Path) -> bool {
    mounts
        .lines()
        .filter_map(|line| {
            let mut columns = line.split(' ').skip(1);
            Some((Path::new(columns.next()?), columns.next()?))
        })
        .filter(|(mount, _)| path.starts_with(mount))
        .max_by_key(|(mount, _)| mount.components().count())
        .is_some_and(|(_, kind)| matches!(kind, "tmpfs" | "ramfs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ram_disks_are_recognised_by_the_deepest_mount() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/vdb /tmp/disk ext4 rw 0 0\n";
        assert!(lies_in_memory(mounts, Path::new("/tmp/x")));
        assert!(!lies_in_memory(mounts, Path::new("/tmp/disk/x")));
        assert!(!lies_in_memory(mounts, Path::new("/var/x")));
    }
}
