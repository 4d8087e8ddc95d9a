//! A faulty disk that keeps a record of what was asked of it, file by file, whatever their names become.

use riser_log::{
    Disk,
    fault::{FaultDisk, FaultFile},
};
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

/// What was asked of the disk. Files are told apart by a number that they keep.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call {
    Write { file: u64, from: u64, to: u64 },
    Sync { file: u64 },
    Renamed { file: u64, name: String },
    Removed { file: u64 },
    Other(&'static str),
}

#[derive(Clone)]
pub struct RecordingDisk {
    pub disk: FaultDisk,
    record: Arc<Mutex<Record>>,
}

#[derive(Default)]
struct Record {
    calls: Vec<Call>,
    files: BTreeMap<String, u64>,
    made: u64,
}

#[derive(Clone)]
pub struct RecordedFile {
    file: FaultFile,
    number: u64,
}

impl RecordingDisk {
    pub fn new(seed: u64) -> Self {
        Self { disk: FaultDisk::new(seed), record: Arc::default() }
    }

    /// What was asked since this was called last.
    pub fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.lock().calls)
    }

    /// The number of the file that has this name.
    pub fn file(&self, name: &str) -> u64 {
        self.lock().files[name]
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap()
    }

    fn note(&self, call: Call) {
        self.lock().calls.push(call);
    }
}

impl Disk for RecordingDisk {
    type File = RecordedFile;

    fn list(&self) -> io::Result<Vec<String>> {
        self.note(Call::Other("list"));
        self.disk.list()
    }

    fn open(&self, name: &str) -> io::Result<(RecordedFile, u64)> {
        self.note(Call::Other("open"));
        let (file, length) = self.disk.open(name)?;
        Ok((RecordedFile { file, number: self.file(name) }, length))
    }

    fn create(&self, name: &str) -> io::Result<RecordedFile> {
        self.note(Call::Other("create"));
        let file = self.disk.create(name)?;
        let mut record = self.lock();
        record.made += 1;
        let number = record.made;
        record.files.insert(name.to_owned(), number);
        Ok(RecordedFile { file, number })
    }

    fn read_at(&self, file: &RecordedFile, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.note(Call::Other("read"));
        self.disk.read_at(&file.file, offset, bytes)
    }

    fn write_at(&self, file: &RecordedFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.note(Call::Write { file: file.number, from: offset, to: offset + bytes.len() as u64 });
        self.disk.write_at(&file.file, offset, bytes)
    }

    fn sync_data(&self, file: &RecordedFile) -> io::Result<()> {
        self.note(Call::Sync { file: file.number });
        self.disk.sync_data(&file.file)
    }

    fn sync_all(&self, file: &RecordedFile) -> io::Result<()> {
        self.note(Call::Sync { file: file.number });
        self.disk.sync_all(&file.file)
    }

    fn forget_cached(&self, file: &RecordedFile) -> io::Result<()> {
        self.note(Call::Other("forget"));
        self.disk.forget_cached(&file.file)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)?;
        let mut record = self.lock();
        let file = record.files.remove(from).unwrap();
        record.files.insert(to.to_owned(), file);
        record.calls.push(Call::Renamed { file, name: to.to_owned() });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)?;
        let mut record = self.lock();
        let file = record.files.remove(name).unwrap();
        record.calls.push(Call::Removed { file });
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.note(Call::Other("sync_dir"));
        self.disk.sync_dir()
    }

    fn free_space(&self) -> io::Result<u64> {
        self.disk.free_space()
    }
}
