//! The real disk under a log: one folder, locked for the process's life.

use riser_log::Disk;
use rustix::fs::{Advice, FlockOperation, RenameFlags};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The file that is locked. It is never removed: its name is how a second process finds the lock.
const LOCK: &str = "lock";

/// Why a folder cannot be a log's.
#[derive(Debug, thiserror::Error)]
pub enum FolderFailed {
    /// Another process has it.
    #[error("lock {0}: another process uses this data folder; stop it, or give this one another folder")]
    Locked(PathBuf),
    /// The system said no.
    #[error("open the data folder {path}: {source}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// One folder of files.
#[derive(Clone, Debug)]
pub struct RealDisk {
    folder: Arc<Folder>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    handle: File,
    /// None where the folder is only looked at.
    lock: Option<File>,
}

impl RealDisk {
    /// Opens a folder, making it if it is not there, and locks it until the last clone is dropped.
    pub fn open(path: &Path) -> Result<Self, FolderFailed> {
        let failed = |source| FolderFailed::Io { path: path.to_owned(), source };
        fs::create_dir_all(path).map_err(failed)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path.join(LOCK));
        let lock = lock.map_err(failed)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(FolderFailed::Locked(path.to_owned())),
            Err(error) => return Err(failed(error.into())),
        }
        let handle = File::open(path).map_err(failed)?;
        handle.sync_all().map_err(failed)?;
        Ok(Self { folder: Arc::new(Folder { path: path.to_owned(), handle, lock: Some(lock) }) })
    }

    /// Opens a folder that another process may be using, to be looked at: nothing in it can be changed.
    pub fn open_to_look(path: &Path) -> Result<Self, FolderFailed> {
        let failed = |source| FolderFailed::Io { path: path.to_owned(), source };
        // A file is refused here, and not by some later call.
        fs::read_dir(path).map_err(failed)?;
        let handle = File::open(path).map_err(failed)?;
        Ok(Self { folder: Arc::new(Folder { path: path.to_owned(), handle, lock: None }) })
    }

    fn changes(&self) -> io::Result<()> {
        match self.folder.lock {
            Some(_) => Ok(()),
            None => Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the folder is only looked at")),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path.join(name)
    }
}

impl Disk for RealDisk {
    type File = Arc<File>;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder.path)? {
            let entry = entry?;
            // Names that are not text are nobody's here.
            if let (true, Ok(name)) = (entry.file_type()?.is_file(), entry.file_name().into_string())
                && name != LOCK
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<(Arc<File>, u64)> {
        let file = OpenOptions::new().read(true).write(self.folder.lock.is_some()).open(self.path(name))?;
        let length = file.metadata()?.len();
        Ok((Arc::new(file), length))
    }

    fn create(&self, name: &str) -> io::Result<Arc<File>> {
        self.changes()?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(self.path(name))?;
        Ok(Arc::new(file))
    }

    fn read_at(&self, file: &Arc<File>, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        file.read_at(bytes, offset)
    }

    fn write_at(&self, file: &Arc<File>, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync_data(&self, file: &Arc<File>) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_all(&self, file: &Arc<File>) -> io::Result<()> {
        file.sync_all()
    }

    fn forget_cached(&self, file: &Arc<File>) -> io::Result<()> {
        Ok(rustix::fs::fadvise(&**file, 0, None, Advice::DontNeed)?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.changes()?;
        let folder = &self.folder.handle;
        match rustix::fs::renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
            // A file system without it: only this process writes here, so looking first is as good.
            Err(rustix::io::Errno::INVAL) if !self.path(to).exists() => {
                fs::rename(self.path(from), self.path(to))
            }
            result => Ok(result?),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.changes()?;
        fs::remove_file(self.path(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.folder.handle.sync_all()
    }

    fn free_space(&self) -> io::Result<u64> {
        let space = rustix::fs::fstatvfs(&self.folder.handle)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(folder.path()).unwrap();
        assert!(matches!(RealDisk::open(folder.path()), Err(FolderFailed::Locked(_))));
        drop(disk);
        RealDisk::open(folder.path()).unwrap();
    }

    #[test]
    fn a_folder_in_use_can_be_looked_at_and_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        let missing = RealDisk::open_to_look(&folder.path().join("none")).unwrap_err().to_string();
        assert!(missing.contains("none"), "{missing}");
        let disk = RealDisk::open(folder.path()).unwrap();
        let file = disk.create("a").unwrap();
        disk.write_at(&file, 0, b"xyz").unwrap();
        let look = RealDisk::open_to_look(folder.path()).unwrap();
        let (file, length) = look.open("a").unwrap();
        let mut bytes = [0; 3];
        assert_eq!((length, look.read_at(&file, 0, &mut bytes).unwrap(), &bytes), (3, 3, b"xyz"));
        assert!(look.write_at(&file, 0, b"abc").is_err());
        assert!(look.create("b").is_err() && look.rename("a", "b").is_err() && look.remove("a").is_err());
        assert_eq!(look.list().unwrap(), ["a"]);
    }

    #[test]
    fn files_keep_what_was_written_under_the_name_that_they_have() {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(folder.path()).unwrap();
        let file = disk.create("a").unwrap();
        assert!(disk.create("a").is_err());
        disk.write_at(&file, 3, b"xyz").unwrap();
        disk.sync_data(&file).unwrap();
        disk.sync_all(&file).unwrap();
        disk.forget_cached(&file).unwrap();
        disk.create("b").unwrap();
        assert!(disk.rename("a", "b").is_err(), "nothing is replaced");
        disk.rename("a", "c").unwrap();
        disk.sync_dir().unwrap();
        let (file, length) = disk.open("c").unwrap();
        let mut bytes = [1; 8];
        assert_eq!((length, disk.read_at(&file, 0, &mut bytes).unwrap()), (6, 6));
        assert_eq!(&bytes[..6], b"\0\0\0xyz");
        disk.remove("b").unwrap();
        assert_eq!(disk.list().unwrap(), ["c"]);
        assert!(disk.free_space().unwrap() > 0);
    }
}
