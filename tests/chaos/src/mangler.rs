//! A cable that is a program: both ends are TUN devices, and every packet between them may be lost, delayed,
//! overtaken or doubled.
//!
//! Each direction draws from its own stream of the seed, one draw per fault and packet, so that the same packets
//! meet the same fate. Which packets there are is up to the kernels and programs at its ends.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::Context;
use riser_timeline::Mangle;
use tappers::Tun;

/// Between two looks when nothing is due.
const TICK: Duration = Duration::from_micros(300);
/// Bytes of the largest packet.
const PACKET_MAX: usize = 65_536;
/// Packets under way in one direction; what comes on top of it is lost, as in any router.
const QUEUE_MAX: usize = 10_000;
/// How much later an overtaken packet comes.
const OVERTAKEN_BY: Duration = Duration::from_millis(15);

/// The running cable. It ends when dropped.
pub struct Mangler {
    /// The devices' names, to be moved to where they belong.
    pub ends: [String; 2],
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    mangle: Mutex<Mangle>,
    ends: AtomicBool,
    carried: AtomicU64,
    lost: AtomicU64,
}

impl Mangler {
    /// Makes both devices and carries packets between them unharmed, so far.
    pub fn start(seed: u64) -> anyhow::Result<Self> {
        let tuns = [tun()?, tun()?];
        let [a, b] = [&tuns[0], &tuns[1]].map(|tun| -> anyhow::Result<String> {
            let interface = tun.name().context("name a TUN device")?;
            interface.name().into_string().ok().context("devices have plain names")
        });
        let ends = [a?, b?];
        let shared = Arc::new(Shared::default());
        let mut dice = fastrand::Rng::with_seed(seed);
        let ways = [Way::new(dice.fork()), Way::new(dice.fork())];
        let thread = spawn({
            let shared = Arc::clone(&shared);
            move || carry(&tuns, ways, &shared)
        });
        Ok(Self { ends, shared, thread: Some(thread) })
    }

    /// From here on packets are mangled like that.
    pub fn set(&self, mangle: Mangle) {
        *self.shared.mangle.lock().unwrap_or_else(PoisonError::into_inner) = mangle;
    }

    /// How many packets came, and how many of them were lost here.
    pub fn counts(&self) -> (u64, u64) {
        (self.shared.carried.load(Ordering::Relaxed), self.shared.lost.load(Ordering::Relaxed))
    }
}

impl Drop for Mangler {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whether this machine has such devices.
pub fn is_possible() -> anyhow::Result<()> {
    tun().map(drop)
}

fn tun() -> anyhow::Result<Tun> {
    let mut tun = Tun::new().context("make a TUN device")?;
    tun.set_nonblocking(true)?;
    Ok(tun)
}

fn carry(tuns: &[Tun; 2], mut ways: [Way; 2], shared: &Shared) {
    let mut buffer = vec![0; PACKET_MAX];
    while !shared.ends.load(Ordering::Relaxed) {
        let mangle = *shared.mangle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut moved = false;
        for (way, (from, to)) in ways.iter_mut().zip([(&tuns[0], &tuns[1]), (&tuns[1], &tuns[0])]) {
            let now = Instant::now();
            loop {
                match from.recv(&mut buffer) {
                    Ok(length) => {
                        moved = true;
                        shared.carried.fetch_add(1, Ordering::Relaxed);
                        let lost = way.take(&buffer[..length], &mangle, now);
                        shared.lost.fetch_add(u64::from(lost), Ordering::Relaxed);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // A device that is down gives nothing.
                    Err(_) => break,
                }
            }
            while let Some(packet) = way.due(now) {
                moved = true;
                // What the far kernel refuses is lost, as on any cable.
                let _ = to.send(&packet);
            }
        }
        if !moved {
            sleep(TICK);
        }
    }
}

/// One direction.
struct Way {
    dice: fastrand::Rng,
    /// By due time; the number keeps those of one instant in order.
    under_way: BTreeMap<(Instant, u64), Vec<u8>>,
    newest: u64,
    /// When the last packet that keeps its order is due.
    last: Option<Instant>,
}

impl Way {
    fn new(dice: fastrand::Rng) -> Self {
        Self { dice, under_way: BTreeMap::new(), newest: 0, last: None }
    }

    /// Takes a packet; says whether it is lost.
    fn take(&mut self, packet: &[u8], mangle: &Mangle, now: Instant) -> bool {
        // All are drawn for every packet, so that one knob does not move another's draws.
        let [loss, reorder, duplicate, jitter] = [(); 4].map(|()| self.dice.f64());
        if loss < mangle.loss || self.under_way.len() >= QUEUE_MAX {
            return true;
        }
        let due = now + mangle.delay + mangle.jitter.mul_f64(jitter);
        let due = self.last.map_or(due, |last| due.max(last));
        if reorder < mangle.reorder {
            self.put(due + OVERTAKEN_BY, packet);
        } else {
            self.last = Some(due);
            self.put(due, packet);
        }
        if duplicate < mangle.duplicate {
            self.put(due, packet);
        }
        false
    }

    fn put(&mut self, due: Instant, packet: &[u8]) {
        self.newest += 1;
        self.under_way.insert((due, self.newest), packet.to_vec());
    }

    fn due(&mut self, now: Instant) -> Option<Vec<u8>> {
        let first = self.under_way.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(mangle: Mangle, seed: u64) -> Vec<u8> {
        let now = Instant::now();
        let mut way = Way::new(fastrand::Rng::with_seed(seed));
        for n in 0..200 {
            way.take(&[n], &mangle, now + Duration::from_millis(n.into()));
        }
        let end = now + Duration::from_secs(60);
        std::iter::from_fn(|| way.due(end)).map(|packet| packet[0]).collect()
    }

    #[test]
    fn unharmed_packets_arrive_once_in_order_and_on_time() {
        assert_eq!(through(Mangle::default(), 1), (0..200).collect::<Vec<_>>());
        let late =
            Mangle { delay: Duration::from_secs(1), jitter: Duration::from_secs(1), ..Mangle::default() };
        assert_eq!(through(late, 1), (0..200).collect::<Vec<_>>());
        let mut way = Way::new(fastrand::Rng::with_seed(1));
        let now = Instant::now();
        way.take(&[1], &late, now);
        assert_eq!(way.due(now + Duration::from_millis(999)), None);
        assert_eq!(way.due(now + Duration::from_secs(2)), Some(vec![1]));
    }

    #[test]
    fn each_harm_does_what_it_says_and_the_same_for_the_same_seed() {
        let lossy = through(Mangle { loss: 0.2, ..Mangle::default() }, 7);
        assert!((120..190).contains(&lossy.len()) && lossy.is_sorted());
        assert_eq!(lossy, through(Mangle { loss: 0.2, ..Mangle::default() }, 7));
        assert_ne!(lossy, through(Mangle { loss: 0.2, ..Mangle::default() }, 8));
        let doubled = through(Mangle { duplicate: 0.2, ..Mangle::default() }, 7);
        assert!((210..280).contains(&doubled.len()));
        let mixed = through(Mangle { reorder: 0.2, ..Mangle::default() }, 7);
        assert!(mixed.len() == 200 && !mixed.is_sorted());
    }
}
