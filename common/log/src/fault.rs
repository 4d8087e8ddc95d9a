//! A disk in memory that fails on purpose: for the simulator and for tests.
//!
//! It owns what a machine would: what the medium holds, what only the system's memory holds, and names that are
//! not durable yet. What always holds: the same seed and the same calls give the same bytes, and nothing is on
//! the medium that was neither synced nor let through by a crash's dice. Time is elsewhere: a slow sync is the
//! caller's to play.

mod inode;

use crate::disk::Disk;
use inode::{Inode, put};
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// What a disk holds, as a backup would copy it: names and bytes.
pub type Image = BTreeMap<String, Vec<u8>>;

/// What becomes of what was written and not synced, when the power or a sync fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Fate {
    /// Each write is lost, kept or torn, each on its own; of names the first few may stay.
    #[default]
    Dice,
    /// All of it is gone.
    Lost,
    /// All of it was on the medium already.
    Kept,
}

/// What the system says of a call that fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// EIO.
    Io,
    /// ENOSPC.
    Full,
}

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
    /// The bytes that `read_at` brought.
    pub bytes_read: u64,
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
    fate: Fate,
    crash_at: Option<u64>,
    kill_at: Option<u64>,
    fail_calls: Vec<(u64, Failure)>,
    fail_syncs: Vec<u64>,
    fail_writes: Vec<u64>,
    capacity: Option<u64>,
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
            fate: Fate::Dice,
            crash_at: None,
            kill_at: None,
            fail_calls: Vec::new(),
            fail_syncs: Vec::new(),
            fail_writes: Vec::new(),
            capacity: None,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The power fails. What was not synced fares as [`FaultDisk::set_fate`] says. Every call fails until
    /// [`FaultDisk::restart`].
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
        state.kill_at = None;
    }

    /// Whether calls are answered at all: the power did not fail, and no process was killed by a planned kill.
    pub fn is_up(&self) -> bool {
        self.lock().up
    }

    /// Says what becomes of what was not synced, from here on.
    pub fn set_fate(&self, fate: Fate) {
        self.lock().fate = fate;
    }

    /// The process dies and the machine does not: nothing written is lost, open files are closed.
    pub fn kill(&self) {
        let mut state = self.lock();
        state.life += 1;
        state.crash_at = None;
        state.kill_at = None;
    }

    /// The power fails instead of the call with this number (see [`Counts::calls`]; the first is 1).
    pub fn crash_at(&self, call: u64) {
        self.lock().crash_at = Some(call);
    }

    /// The process dies instead of the call with this number: nothing written is lost, and every call fails until
    /// [`FaultDisk::restart`].
    pub fn kill_at(&self, call: u64) {
        self.lock().kill_at = Some(call);
    }

    /// The call with this number fails: a write after any part of it, a sync as by [`FaultDisk::fail_sync`], any
    /// other without an effect.
    pub fn fail_call(&self, call: u64, failure: Failure) {
        self.lock().fail_calls.push((call, failure));
    }

    /// Forgets every crash, kill and failure that is planned.
    pub fn calm(&self) {
        let mut state = self.lock();
        (state.crash_at, state.kill_at) = (None, None);
        state.fail_calls.clear();
        state.fail_syncs.clear();
        state.fail_writes.clear();
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
        self.refuse_reads(name, bytes, Failure::Io);
    }

    /// Makes reads of these bytes fail, until [`FaultDisk::allow_reads`].
    pub fn refuse_reads(&self, name: &str, bytes: std::ops::Range<u64>, failure: Failure) {
        if let Some(inode) = self.lock().named_mut(name) {
            inode.unreadable.push((bytes, failure));
        }
    }

    /// All of that file can be read again.
    pub fn allow_reads(&self, name: &str) {
        if let Some(inode) = self.lock().named_mut(name) {
            inode.unreadable.clear();
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

    /// One more call that fails as a whole or not at all.
    fn call(&self) -> io::Result<MutexGuard<'_, State>> {
        match self.count()? {
            (state, None) => Ok(state),
            (_, Some(error)) => Err(error),
        }
    }

    /// One more call, and the error that it is planned to fail with.
    fn count(&self) -> io::Result<(MutexGuard<'_, State>, Option<io::Error>)> {
        let mut state = self.lock();
        if !state.up {
            return Err(down());
        }
        state.counts.calls += 1;
        let call = state.counts.calls;
        if state.crash_at == Some(call) {
            state.crash();
            return Err(down());
        }
        if state.kill_at == Some(call) {
            state.up = false;
            state.life += 1;
            return Err(down());
        }
        let failure = state.fail_calls.iter().find(|(number, _)| *number == call).map(|(_, f)| f.error());
        Ok((state, failure))
    }
}

impl Failure {
    fn error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            Self::Io => EIO,
            Self::Full => ENOSPC,
        })
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
        if let Some((_, failure)) = inode.unreadable.iter().find(|(r, _)| r.start < end && offset < r.end) {
            return Err(failure.error());
        }
        let from = usize::try_from(offset).ok().and_then(|at| inode.seen.get(at..)).unwrap_or_default();
        let length = from.len().min(bytes.len());
        if let (Some(to), Some(from)) = (bytes.get_mut(..length), from.get(..length)) {
            to.copy_from_slice(from);
        }
        state.counts.bytes_read += length as u64;
        Ok(length)
    }

    fn write_at(&self, file: &FaultFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (mut state, mut failure) = self.count()?;
        state.counts.writes += 1;
        state.counts.bytes_written += bytes.len() as u64;
        let number = state.counts.writes;
        if state.fail_writes.contains(&number) {
            failure = Some(Failure::Io.error());
        }
        let at = usize::try_from(offset).map_err(|_| io::Error::from_raw_os_error(ENOSPC))?;
        let length = state.inode(file)?.seen.len();
        let grows = (at + bytes.len()).saturating_sub(length) as u64;
        if grows > 0 && state.capacity.is_some_and(|capacity| state.used() + grows > capacity) {
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        let whole = match (&failure, state.fate) {
            (None, _) | (Some(_), Fate::Kept) => bytes.len(),
            (Some(_), Fate::Lost) => 0,
            (Some(_), Fate::Dice) => state.rng.usize(0..=bytes.len()),
        };
        let inode = state.inode(file)?;
        let written = bytes.get(..whole).unwrap_or_default().to_vec();
        put(&mut inode.seen, at, &written);
        inode.pending.push((at, written));
        failure.map_or(Ok(()), Err)
    }

    fn sync_data(&self, file: &FaultFile) -> io::Result<()> {
        let (mut state, mut failure) = self.count()?;
        state.counts.syncs += 1;
        let number = state.counts.syncs;
        if state.fail_syncs.contains(&number) {
            failure = Some(Failure::Io.error());
        }
        if let Some(error) = failure {
            let (mut rng, fate) = (state.rng.fork(), state.fate);
            let inode = state.inode(file)?;
            inode.roll(fate, &mut rng);
            // Some systems keep showing what they failed to write, some do not.
            if rng.bool() {
                inode.seen = inode.durable.clone();
            }
            return Err(error);
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
        let kept = match self.fate {
            Fate::Dice if self.rng.bool() => 0,
            Fate::Dice => self.rng.usize(0..=changes.len()),
            Fate::Lost => 0,
            Fate::Kept => changes.len(),
        };
        changes.truncate(kept);
        self.make_names_durable(changes);
        self.names = self.durable_names.clone();
        for inode in self.inodes.values_mut() {
            inode.roll(self.fate, &mut self.rng);
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
mod tests;
