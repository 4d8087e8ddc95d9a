//! What the log needs of a disk: one flat directory, synchronous.

use std::io;

/// One flat directory. Handles share state when cloned, and reading does not disturb writing.
///
/// A failure is an [`io::Error`]. Only `EIO` and [`io::ErrorKind::InvalidData`] on a read mean that the medium
/// itself is damaged; every other error means that the disk could not be asked.
pub trait Disk: Clone + Send + Sync + 'static {
    /// An open file. It keeps naming the same bytes when its name changes or goes away.
    type File: Clone + Send + Sync + 'static;

    /// The names that are there, in any order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens a file that is there, and says how long it is.
    fn open(&self, name: &str) -> io::Result<(Self::File, u64)>;
    /// Makes a new, empty file. An error if the name is taken. Its name is durable after [`Disk::sync_dir`].
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Reads at an offset into `bytes`, as much as there is; 0 at the end. May be short.
    fn read_at(&self, file: &Self::File, offset: u64, bytes: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `bytes` at an offset, in one system call where the system allows.
    fn write_at(&self, file: &Self::File, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes written bytes durable, and the file's length.
    fn sync_data(&self, file: &Self::File) -> io::Result<()>;
    /// Makes written bytes and everything the system keeps about the file durable.
    fn sync_all(&self, file: &Self::File) -> io::Result<()>;
    /// Forgets what the system keeps of a synced file in memory, so that the next read asks the medium: after a
    /// failed sync the two may differ.
    fn forget_cached(&self, file: &Self::File) -> io::Result<()>;
    /// Gives a file another name, replacing nothing. Durable after [`Disk::sync_dir`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a name. Durable after [`Disk::sync_dir`].
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes names durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// How many more bytes this disk takes.
    fn free_space(&self) -> io::Result<u64>;
}
