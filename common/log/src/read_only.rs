//! A disk that is only looked at: it reads, and refuses everything else.

use crate::disk::Disk;
use std::io;

/// Another disk, read only. What would make nothing but sure succeeds: nothing was written.
#[derive(Clone, Debug)]
pub(crate) struct ReadOnly<D>(pub D);

impl<D: Disk> Disk for ReadOnly<D> {
    type File = D::File;

    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn open(&self, name: &str) -> io::Result<(D::File, u64)> {
        self.0.open(name)
    }

    fn create(&self, _: &str) -> io::Result<D::File> {
        Err(refused())
    }

    fn read_at(&self, file: &D::File, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(file, offset, bytes)
    }

    fn write_at(&self, _: &D::File, _: u64, _: &[u8]) -> io::Result<()> {
        Err(refused())
    }

    fn sync_data(&self, _: &D::File) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self, _: &D::File) -> io::Result<()> {
        Ok(())
    }

    fn forget_cached(&self, _: &D::File) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Err(refused())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(refused())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn free_space(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the log is only looked at")
}
