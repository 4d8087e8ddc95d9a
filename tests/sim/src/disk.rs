//! A host's disk: the log's own faulty disk, and beside it what calls cost, which of them the power fails at, and
//! the wrong variants.
//!
//! Clones are the same disk. After a crash every call fails until [`SimDisk::restart`].

use crate::mutant::Mutant;
use fastrand::Rng;
use riser_log::{
    Disk,
    fault::{Failure, FaultDisk, FaultFile, Image},
};
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// So many calls after a failed sync was hidden the power goes.
const HIDDEN_CALLS: u64 = 20;

/// See the module.
#[derive(Clone, Debug)]
pub struct SimDisk {
    inner: FaultDisk,
    state: Arc<Mutex<State>>,
}

/// Some calls of one kind go wrong, by their numbers from here on; the first is 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Injection {
    /// Which kind.
    pub call: Call,
    /// The first of them.
    pub first: u64,
    /// The last of them.
    pub last: u64,
    /// What becomes of them.
    pub ill: Ill,
}

/// A kind of call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// A file's data to the medium.
    Sync,
    /// Bytes to a file.
    Write,
}

/// What becomes of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ill {
    /// It fails.
    Fails(Failure),
    /// The process dies instead; the machine does not.
    Dies,
    /// It takes so much longer.
    Takes(Duration),
    /// It does nothing and says OK.
    Lies,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    mutant: Option<Mutant>,
    /// What the calls since the last look took.
    cost: Duration,
    sync_takes: Duration,
    /// Syncs take this many times as long.
    slow: u32,
    crash_in: Option<u64>,
    crashed: bool,
    shut: bool,
    fail_syncs: u32,
    full_at: Option<u64>,
    /// Calls that failed because somebody wanted them to.
    failed: u64,
    injection: Option<Injection>,
    /// How many calls of its kind there were, and how many of them were ill.
    injected: (u64, u64),
    /// The process died in a call.
    ended: bool,
}

impl SimDisk {
    /// An empty disk whose syncs take about so long.
    pub fn new(mut rng: Rng, sync_takes: Duration, mutant: Option<Mutant>) -> Self {
        let inner = FaultDisk::new(rng.u64(..));
        let state = State {
            rng,
            mutant,
            cost: Duration::ZERO,
            sync_takes,
            slow: 1,
            crash_in: None,
            crashed: false,
            shut: false,
            fail_syncs: 0,
            full_at: None,
            failed: 0,
            injection: None,
            injected: (0, 0),
            ended: false,
        };
        Self { inner, state: Arc::new(Mutex::new(state)) }
    }

    /// The power fails instead of the call after so many more.
    pub fn crash_in(&self, calls: u64) {
        self.state().crash_in = Some(calls);
    }

    /// Whether the power has failed.
    pub fn is_down(&self) -> bool {
        self.state().crashed
    }

    /// The power fails.
    pub fn crash(&self) {
        self.state().crashed = true;
        self.inner.crash();
    }

    /// The power is back.
    pub fn restart(&self) {
        let mut state = self.state();
        state.crashed = false;
        state.crash_in = None;
        self.inner.restart();
    }

    /// The process is gone, the machine is not.
    pub fn kill(&self) {
        let mut state = self.state();
        state.crash_in = None;
        if std::mem::take(&mut state.ended) {
            state.crashed = false;
            // What it had written is in the machine's memory still.
            return self.inner.restart();
        }
        self.inner.kill();
    }

    /// From here on calls go wrong as that says, or none any more.
    pub fn inject(&self, injection: Option<Injection>) {
        let mut state = self.state();
        (state.injection, state.injected) = (injection, (0, 0));
    }

    /// How many calls went wrong as the last injection says.
    pub fn injected(&self) -> u64 {
        self.state().injected.1
    }

    /// What becomes of the next call of that kind, if it is not as it should be.
    fn ill(&self, call: Call) -> Option<Ill> {
        let mut state = self.state();
        let Injection { first, last, ill, .. } = *state.injection.as_ref().filter(|one| one.call == call)?;
        state.injected.0 += 1;
        if state.crashed || !(first..=last).contains(&state.injected.0) {
            return None;
        }
        state.injected.1 += 1;
        let next = self.inner.counts().calls + 1;
        match ill {
            Ill::Fails(failure) => {
                state.failed += 1;
                self.inner.fail_call(next, failure);
            }
            Ill::Dies => {
                (state.crashed, state.ended) = (true, true);
                self.inner.kill_at(next);
            }
            Ill::Takes(longer) => state.cost += longer,
            Ill::Lies => {}
        }
        Some(ill)
    }

    /// From here on every call fails, or none because of that: a folder that is not mounted, or whose medium does not answer.
    pub fn shut(&self, shut: bool) {
        self.state().shut = shut;
    }

    /// Whether every call fails.
    pub fn is_shut(&self) -> bool {
        self.state().shut
    }

    /// The next syncs fail.
    pub fn fail_syncs(&self, syncs: u32) {
        self.state().fail_syncs = syncs;
    }

    /// The call after so many more fails, and no other.
    pub fn fail_in(&self, calls: u64, failure: Failure) {
        self.inner.fail_call(self.inner.counts().calls + 1 + calls, failure);
    }

    /// No call fails that was planned to.
    pub fn calm(&self) {
        self.inner.calm();
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.inner.counts().calls
    }

    /// Syncs take that many times as long.
    pub fn slow_down(&self, times: u32) {
        self.state().slow = times;
    }

    /// How long a sync takes, about.
    pub fn sync_takes(&self) -> Duration {
        let state = self.state();
        state.sync_takes * state.slow
    }

    /// Whether what is written now would fail.
    pub fn is_failing(&self) -> bool {
        let state = self.state();
        state.fail_syncs > 0 || state.full_at.is_some_and(|bytes| self.inner.used() + 4096 > bytes)
    }

    /// Files may grow by so many bytes; none: without a bound.
    pub fn set_free(&self, bytes: Option<u64>) {
        let full_at = bytes.map(|free| self.inner.used() + free);
        self.state().full_at = full_at;
        self.inner.set_capacity(full_at);
    }

    /// Whether its files may grow by so many bytes only.
    pub fn is_bounded(&self) -> bool {
        self.state().full_at.is_some()
    }

    /// Flips a bit somewhere in a file that holds entries. The file's name and the offset.
    pub fn flip_somewhere(&self, rng: &mut Rng) -> Option<(String, u64)> {
        let image = self.inner.snapshot();
        let names: Vec<&String> =
            image.iter().filter(|(_, b)| b.iter().any(|b| *b != 0)).map(|(n, _)| n).collect();
        let name = rng.choice(names)?;
        let bytes = image.get(name)?;
        let used = bytes.iter().rposition(|b| *b != 0).unwrap_or(0) as u64 + 1;
        let at = rng.u64(0..used);
        self.inner.flip(name, at, rng.u8(0..8)).then(|| (name.clone(), at))
    }

    /// Flips a bit of the newest thing that was written, if nothing was ever written over. The file and the offset.
    pub fn flip_newest(&self) -> Option<(String, u64)> {
        let image = self.inner.snapshot();
        let mut used =
            image.iter().rev().filter_map(|(name, b)| Some((name, b.iter().rposition(|b| *b != 0)?)));
        let (name, at) = used.next()?;
        self.inner.flip(name, at as u64, 3).then(|| (name.clone(), at as u64))
    }

    /// What a backup would take.
    pub fn image(&self) -> Image {
        self.inner.snapshot()
    }

    /// Puts a backup back.
    pub fn restore(&self, image: &Image) {
        let mut state = self.state();
        state.crashed = false;
        state.crash_in = None;
        self.inner.restore(image);
    }

    /// Bytes of all files.
    pub fn used(&self) -> u64 {
        self.inner.used()
    }

    /// How long the calls since the last time took.
    pub fn take_cost(&self) -> Duration {
        std::mem::take(&mut self.state().cost)
    }

    /// How long they have taken so far.
    pub fn cost(&self) -> Duration {
        self.state().cost
    }

    /// How many calls failed on purpose.
    pub fn failed(&self) -> u64 {
        self.state().failed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, takes: Duration) -> io::Result<()> {
        let mut state = self.state();
        state.cost += takes;
        if let Some(left) = &mut state.crash_in {
            if *left == 0 {
                state.crash_in = None;
                state.crashed = true;
                self.inner.crash();
            } else {
                *left -= 1;
            }
        }
        if state.shut { Err(io::Error::other("nobody answers")) } else { Ok(()) }
    }

    fn sync(&self, file: &FaultFile) -> io::Result<()> {
        let (takes, mutant, fails) = {
            let mut state = self.state();
            let jitter = state.rng.u32(60..160);
            let fails = state.fail_syncs > 0 && !state.crashed;
            if fails {
                state.fail_syncs -= 1;
                state.failed += 1;
            }
            (state.sync_takes * state.slow * jitter / 100, state.mutant, fails)
        };
        self.call(takes)?;
        if mutant == Some(Mutant::NoSync) && !self.is_down() {
            return Ok(());
        }
        if fails {
            self.inner.fail_sync(self.inner.counts().syncs + 1);
        }
        match self.inner.sync_data(file) {
            Err(_) if mutant == Some(Mutant::FailedSyncHidden) && !self.is_down() => {
                // What is hidden shows when the power goes, which seldom follows by itself: it goes soon.
                self.state().crash_in.get_or_insert(HIDDEN_CALLS);
                Ok(())
            }
            result => result,
        }
    }
}

const QUICK: Duration = Duration::from_micros(5);

impl Disk for SimDisk {
    type File = FaultFile;

    fn list(&self) -> io::Result<Vec<String>> {
        self.call(QUICK)?;
        self.inner.list()
    }

    fn open(&self, name: &str) -> io::Result<(FaultFile, u64)> {
        self.call(QUICK)?;
        self.inner.open(name)
    }

    fn create(&self, name: &str) -> io::Result<FaultFile> {
        self.call(QUICK)?;
        self.inner.create(name)
    }

    fn read_at(&self, file: &FaultFile, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.call(QUICK)?;
        self.inner.read_at(file, offset, bytes)
    }

    fn write_at(&self, file: &FaultFile, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.ill(Call::Write) == Some(Ill::Lies) {
            return Ok(());
        }
        self.call(QUICK + Duration::from_nanos(bytes.len() as u64))?;
        let (mutant, unlucky, place) = {
            let mut state = self.state();
            let wrong = matches!(state.mutant, Some(Mutant::WriteLost | Mutant::WriteFlipped));
            let unlucky = wrong && state.rng.u8(0..100) == 0;
            (state.mutant, unlucky, if unlucky { state.rng.usize(0..bytes.len().max(1)) } else { 0 })
        };
        match mutant {
            Some(Mutant::WriteLost) if unlucky => Ok(()),
            Some(Mutant::WriteFlipped) if unlucky => {
                let mut bytes = bytes.to_vec();
                bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 4);
                self.inner.write_at(file, offset, &bytes)
            }
            _ => self.inner.write_at(file, offset, bytes),
        }
    }

    fn sync_data(&self, file: &FaultFile) -> io::Result<()> {
        if self.ill(Call::Sync) == Some(Ill::Lies) {
            return Ok(());
        }
        self.sync(file)
    }

    fn sync_all(&self, file: &FaultFile) -> io::Result<()> {
        self.sync(file)
    }

    fn forget_cached(&self, file: &FaultFile) -> io::Result<()> {
        self.call(QUICK)?;
        self.inner.forget_cached(file)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(QUICK)?;
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.call(QUICK)?;
        self.inner.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        let (takes, mutant) = {
            let state = self.state();
            (state.sync_takes, state.mutant)
        };
        self.call(takes)?;
        if mutant == Some(Mutant::NoDirectorySync) && !self.is_down() {
            return Ok(());
        }
        self.inner.sync_dir()
    }

    fn free_space(&self) -> io::Result<u64> {
        self.call(QUICK)?;
        self.inner.free_space()
    }
}
