//! A disk in memory that fails on purpose: for the simulator and for tests.
//!
//! It owns what a machine would: what the medium holds, what only the system's memory holds, and names that are
//! not durable yet. What always holds: the same seed and the same calls give the same bytes, and nothing is on
//! the medium that was neither synced nor let through by a crash's dice. Time is elsewhere: a slow sync is the
//! caller's to play.

use crate::disk::Disk;
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const SECTOR: usize = 512;
const PAGE: usize = 4096;

/// What a disk holds, as a backup would copy it: names and bytes.
pub type Image = BTreeMap<String, Vec<u8>>;

/// A faulty disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct FaultDisk {
    state: Arc<Mutex<State>>,
}

/// An open file of a [`FaultDisk`]. Dead once its process was killed or its machine crashed.
#[derive(Clone, Debug)]
pub struct FaultFile {
    inode: u64,
    life: u64,
}

/// What was asked of the disk so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// All calls.
    pub calls: u64,
    /// Calls of `write_at`.
    pub writes: u64,
    /// Their bytes.
    pub bytes_written: u64,
    /// Calls of `sync_data` and `sync_all`.
    pub syncs: u64,
}

#[derive(Debug)]
struct State {
    rng: fastrand::Rng,
    inodes: BTreeMap<u64, Inode>,
    inodes_made: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    name_changes: Vec<NameChange>,
    life: u64,
    up: bool,
    counts: Counts,
    crash_at: Option<u64>,
    fail_syncs: Vec<u64>,
    fail_writes: Vec<u64>,
    capacity: Option<u64>,
}

#[derive(Debug, Default)]
struct Inode {
    /// What the medium holds.
    durable: Vec<u8>,
    /// What a read sees.
    seen: Vec<u8>,
    /// Written and not synced.
    pending: Vec<(usize, Vec<u8>)>,
    /// Where reads fail.
    unreadable: Vec<std::ops::Range<u64>>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Named { name: String, inode: u64 },
    Removed { name: String },
}

impl FaultDisk {
    /// An empty disk without a bound whose dice have this seed.
    pub fn new(seed: u64) -> Self {
        let state = State {
            rng: fastrand::Rng::with_seed(seed),
            inodes: BTreeMap::new(),
            inodes_made: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_changes: Vec::new(),
            life: 0,
            up: true,
            counts: Counts::default(),
            crash_at: None,
            fail_syncs: Vec::new(),
            fail_writes: Vec::new(),
            capacity: None,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The power fails. Each write that was not synced is lost, kept or torn, each on its own; of the names that
    /// were not synced the first few may stay. Every call fails until [`FaultDisk::restart`].
    pub fn crash(&self) {
        self.lock().crash();
    }

    /// The power comes back.
    pub fn restart(&self) {
        let mut state = self.lock();
        if state.up {
            state.crash();
        }
        state.up = true;
        state.crash_at = None;
    }

    /// The process dies and the machine does not: nothing written is lost, open files are closed.
    pub fn kill(&self) {
        let mut state = self.lock();
        state.life += 1;
        state.crash_at = None;
    }

    /// The power fails instead of the call with this number (see [`Counts::calls`]; the first is 1).
    pub fn crash_at(&self, call: u64) {
        self.lock().crash_at = Some(call);
    }

    /// The sync with this number (see [`Counts::syncs`]; the first is 1) fails with EIO. What it should have made
    /// durable fares as in a crash, and the next sync says OK.
    pub fn fail_sync(&self, number: u64) {
        self.lock().fail_syncs.push(number);
    }

    /// The write with this number (see [`Counts::writes`]; the first is 1) fails with EIO after any part of it.
    pub fn fail_write(&self, number: u64) {
        self.lock().fail_writes.push(number);
    }

    /// Files may take this many bytes together; a write beyond fails with ENOSPC.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// Flips one bit on the medium. False if there is no such byte.
    pub fn flip(&self, name: &str, offset: u64, bit: u8) -> bool {
        let mut state = self.lock();
        let Some(inode) = state.named_mut(name) else { return false };
        let mut found = false;
        for bytes in [&mut inode.durable, &mut inode.seen] {
            if let Some(byte) = usize::try_from(offset).ok().and_then(|at| bytes.get_mut(at)) {
                *byte ^= 1 << (bit & 7);
                found = true;
            }
        }
        found
    }

    /// Makes reads of these bytes fail with EIO.
    pub fn make_unreadable(&self, name: &str, bytes: std::ops::Range<u64>) {
        if let Some(inode) = self.lock().named_mut(name) {
            inode.unreadable.push(bytes);
        }
    }

    /// A copy of everything, as a backup of the running machine would take it.
    pub fn snapshot(&self) -> Image {
        let state = self.lock();
        let bytes = |inode: &u64| state.inodes.get(inode).map(|i| i.seen.clone()).unwrap_or_default();
        state.names.iter().map(|(name, inode)| (name.clone(), bytes(inode))).collect()
    }

    /// Puts a copy back in place of everything; open files die.
    pub fn restore(&self, image: &Image) {
        let mut state = self.lock();
        state.life += 1;
        state.up = true;
        state.crash_at = None;
        state.inodes.clear();
        state.names.clear();
        state.name_changes.clear();
        for (name, bytes) in image {
            state.inodes_made += 1;
            let inode = state.inodes_made;
            state
                .inodes
                .insert(inode, Inode { durable: bytes.clone(), seen: bytes.clone(), ..Inode::default() });
            state.names.insert(name.clone(), inode);
        }
        state.durable_names = state.names.clone();
    }

    /// What was asked so far.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// The bytes that all named files take.
    pub fn used(&self) -> u64 {
        self.lock().used()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the maps whole: every change is made by code that does not panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        if !state.up {
            return Err(down());
        }
        state.counts.calls += 1;
        if state.crash_at == Some(state.counts.calls) {
            state.crash();
            return Err(down());
        }
        Ok(state)
    }
}

impl Disk for FaultDisk {
    type File = FaultFile;

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.call()?.names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<(FaultFile, u64)> {
        let state = self.call()?;
        let inode = *state.names.get(name).ok_or_else(|| missing(name))?;
        let length = state.inodes.get(&inode).map_or(0, |i| i.seen.len() as u64);
        Ok((FaultFile { inode, life: state.life }, length))
    }

    fn create(&self, name: &str) -> io::Result<FaultFile> {
        let mut state = self.call()?;
        if state.names.contains_key(name) {
            return Err(taken(name));
        }
        state.inodes_made += 1;
        let inode = state.inodes_made;
        state.inodes.insert(inode, Inode::default());
        state.name(name, inode);
        Ok(FaultFile { inode, life: state.life })
    }

    fn read_at(&self, file: &FaultFile, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let mut state = self.call()?;
        let inode = state.inode(file)?;
        let end = offset.saturating_add(bytes.len() as u64);
        if inode.unreadable.iter().any(|r| r.start < end && offset < r.end) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let from = usize::try_from(offset).ok().and_then(|at| inode.seen.get(at..)).unwrap_or_default();
        let length = from.len().min(bytes.len());
        if let (Some(to), Some(from)) = (bytes.get_mut(..length), from.get(..length)) {
            to.copy_from_slice(from);
        }
        Ok(length)
    }

    fn write_at(&self, file: &FaultFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.call()?;
        state.counts.writes += 1;
        state.counts.bytes_written += bytes.len() as u64;
        let number = state.counts.writes;
        let fails = state.fail_writes.contains(&number);
        let at = usize::try_from(offset).map_err(|_| io::Error::from_raw_os_error(ENOSPC))?;
        let length = state.inode(file)?.seen.len();
        let grows = (at + bytes.len()).saturating_sub(length) as u64;
        if grows > 0 && state.capacity.is_some_and(|capacity| state.used() + grows > capacity) {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        let whole = if fails { state.rng.usize(0..=bytes.len()) } else { bytes.len() };
        let inode = state.inode(file)?;
        let written: Vec<u8> = bytes.iter().take(whole).copied().collect();
        put(&mut inode.seen, at, &written);
        inode.pending.push((at, written));
        if fails { Err(io::Error::from_raw_os_error(EIO)) } else { Ok(()) }
    }

    fn sync_data(&self, file: &FaultFile) -> io::Result<()> {
        let mut state = self.call()?;
        state.counts.syncs += 1;
        let number = state.counts.syncs;
        if state.fail_syncs.contains(&number) {
            let mut rng = state.rng.fork();
            let inode = state.inode(file)?;
            inode.roll(&mut rng);
            // Some systems keep showing what they failed to write, some do not.
            if rng.bool() {
                inode.seen = inode.durable.clone();
            }
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let inode = state.inode(file)?;
        for (at, bytes) in std::mem::take(&mut inode.pending) {
            put(&mut inode.durable, at, &bytes);
        }
        Ok(())
    }

    fn sync_all(&self, file: &FaultFile) -> io::Result<()> {
        self.sync_data(file)
    }

    fn forget_cached(&self, file: &FaultFile) -> io::Result<()> {
        let mut state = self.call()?;
        let inode = state.inode(file)?;
        inode.seen = inode.durable.clone();
        for (at, bytes) in &inode.pending {
            put(&mut inode.seen, *at, bytes);
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.call()?;
        if state.names.contains_key(to) {
            return Err(taken(to));
        }
        let inode = state.names.remove(from).ok_or_else(|| missing(from))?;
        state.name(to, inode);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.call()?;
        state.names.remove(name).ok_or_else(|| missing(name))?;
        state.name_changes.push(NameChange::Removed { name: name.to_owned() });
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.call()?;
        let changes = std::mem::take(&mut state.name_changes);
        state.make_names_durable(changes);
        Ok(())
    }

    fn free_space(&self) -> io::Result<u64> {
        let state = self.call()?;
        Ok(state.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(state.used())))
    }
}

impl State {
    fn crash(&mut self) {
        self.up = false;
        self.life += 1;
        let mut changes = std::mem::take(&mut self.name_changes);
        let kept = if self.rng.bool() { 0 } else { self.rng.usize(0..=changes.len()) };
        changes.truncate(kept);
        self.make_names_durable(changes);
        self.names = self.durable_names.clone();
        for inode in self.inodes.values_mut() {
            inode.roll(&mut self.rng);
            inode.seen = inode.durable.clone();
        }
        let names = &self.names;
        self.inodes.retain(|number, _| names.values().any(|n| n == number));
    }

    fn make_names_durable(&mut self, changes: Vec<NameChange>) {
        for change in changes {
            match change {
                NameChange::Named { name, inode } => {
                    self.durable_names.retain(|_, n| *n != inode);
                    self.durable_names.insert(name, inode);
                }
                NameChange::Removed { name } => {
                    self.durable_names.remove(&name);
                }
            }
        }
    }

    fn name(&mut self, name: &str, inode: u64) {
        self.names.insert(name.to_owned(), inode);
        self.name_changes.push(NameChange::Named { name: name.to_owned(), inode });
    }

    fn named_mut(&mut self, name: &str) -> Option<&mut Inode> {
        let inode = self.names.get(name)?;
        self.inodes.get_mut(inode)
    }

    fn inode(&mut self, file: &FaultFile) -> io::Result<&mut Inode> {
        if file.life != self.life {
            return Err(io::Error::other("the process that opened this file is gone"));
        }
        self.inodes.get_mut(&file.inode).ok_or_else(down)
    }

    fn used(&self) -> u64 {
        let length = |inode| self.inodes.get(inode).map_or(0, |i| i.seen.len() as u64);
        self.names.values().map(length).sum()
    }
}

impl Inode {
    /// What is pending is lost, kept or torn.
    fn roll(&mut self, rng: &mut fastrand::Rng) {
        for (at, bytes) in std::mem::take(&mut self.pending) {
            match rng.u8(0..4) {
                0 => {}
                1 => put(&mut self.durable, at, &bytes),
                torn => {
                    let piece = if torn == 2 { SECTOR } else { PAGE };
                    tear(&mut self.durable, at, &bytes, piece, rng);
                }
            }
        }
    }
}

/// Lets each piece of a write through or not.
fn tear(into: &mut Vec<u8>, at: usize, bytes: &[u8], piece: usize, rng: &mut fastrand::Rng) {
    let mut rest = bytes;
    let mut at = at;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(piece - at % piece));
        if rng.bool() {
            put(into, at, now);
        }
        at += now.len();
        rest = later;
    }
}

fn put(into: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if into.len() < at + bytes.len() {
        into.resize(at + bytes.len(), 0);
    }
    if let Some(place) = into.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

fn down() -> io::Error {
    io::Error::other("the machine is down")
}

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no file {name}"))
}

fn taken(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, format!("there is a file {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(seed: u64) -> (FaultDisk, FaultFile) {
        let disk = FaultDisk::new(seed);
        let file = disk.create("a").unwrap();
        disk.write_at(&file, 0, &[1; 8192]).unwrap();
        disk.sync_all(&file).unwrap();
        disk.sync_dir().unwrap();
        (disk, file)
    }

    #[test]
    fn synced_bytes_and_names_survive_and_others_need_not() {
        let mut fates = std::collections::BTreeSet::new();
        for seed in 0..64 {
            let (disk, file) = written(seed);
            disk.write_at(&file, 4096, &[2; 4096]).unwrap();
            disk.rename("a", "b").unwrap();
            disk.crash();
            assert!(disk.list().is_err());
            disk.restart();
            let image = disk.snapshot();
            let (name, bytes) = image.first_key_value().unwrap();
            assert_eq!(bytes[..4096], [1; 4096]);
            fates.insert((name.clone(), bytes[4096..].iter().filter(|b| **b == 2).count()));
            assert!(disk.read_at(&file, 0, &mut [0]).is_err());
        }
        for name in ["a", "b"] {
            assert!(fates.contains(&(name.to_owned(), 0)));
            assert!(fates.contains(&(name.to_owned(), 4096)));
        }
        assert!(fates.iter().any(|(_, kept)| (1..4096).contains(kept)));
    }

    #[test]
    fn same_seed_same_bytes() {
        let run = |seed| {
            let (disk, file) = written(seed);
            disk.write_at(&file, 0, &[3; 8192]).unwrap();
            disk.crash();
            disk.restart();
            disk.snapshot()
        };
        assert!((0..8).all(|seed| run(seed) == run(seed)));
    }

    #[test]
    fn after_a_failed_sync_the_next_one_says_ok_and_the_bytes_are_gone() {
        let lost = (0..32).any(|seed| {
            let (disk, file) = written(seed);
            disk.write_at(&file, 0, &[2; 512]).unwrap();
            disk.fail_sync(2);
            assert!(disk.sync_data(&file).is_err());
            disk.sync_data(&file).unwrap();
            disk.crash();
            disk.restart();
            disk.snapshot()["a"][0] == 1
        });
        assert!(lost);
    }

    #[test]
    fn full_disk_refuses_growth_and_takes_overwrites() {
        let (disk, file) = written(1);
        disk.set_capacity(Some(8192));
        assert_eq!(disk.write_at(&file, 8192, &[0]).unwrap_err().kind(), io::ErrorKind::StorageFull);
        disk.write_at(&file, 0, &[9; 512]).unwrap();
        assert_eq!(disk.free_space().unwrap(), 0);
    }

    #[test]
    fn a_killed_process_loses_its_handles_and_nothing_else() {
        let (disk, file) = written(1);
        disk.write_at(&file, 0, &[7]).unwrap();
        disk.kill();
        assert!(disk.sync_data(&file).is_err());
        assert_eq!(disk.snapshot()["a"][0], 7);
    }

    #[test]
    fn a_backup_can_be_put_back() {
        let (disk, file) = written(1);
        let image = disk.snapshot();
        disk.write_at(&file, 0, &[7]).unwrap();
        disk.restore(&image);
        assert_eq!(disk.snapshot(), image);
        disk.crash_at(disk.counts().calls + 2);
        assert!(disk.list().is_ok());
        assert!(disk.list().is_err());
    }
}
