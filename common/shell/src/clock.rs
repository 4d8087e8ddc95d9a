//! The host's two clocks as the plain numbers that state machines take, and deadlines as the runtime's.
//!
//! Monotonic time is the boot clock, which goes on while the host is suspended: a deadline that passed in the
//! host's sleep has passed. Tokio's clock does not go on then, so an instant is computed anew from the time
//! left whenever one is asked for, and is good for one wait.

use riser_model::{BootId, Now, Time, Wall};
#[cfg(not(riser_turmoil))]
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};
use std::time::Duration;
#[cfg(not(riser_turmoil))]
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// The host's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// Both clocks, read together.
    pub fn now(self) -> Now {
        let (time, wall) = read();
        Now {
            time: Time(u64::try_from(time).unwrap_or(0)),
            wall: Wall(i64::try_from(wall.div_euclid(1_000_000)).unwrap_or(i64::MAX)),
        }
    }

    /// When to wake for a deadline, on the runtime's clock.
    pub fn instant(self, deadline: Time) -> Instant {
        instant_from(self.now().time, Instant::now(), deadline)
    }

    /// Waits until the deadline; for ever if there is none.
    pub async fn sleep_until(self, deadline: Option<Time>) {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(self.instant(deadline)).await,
            None => std::future::pending().await,
        }
    }
}

/// Boot and wall time, nanoseconds. The wall clock is the C library's, as the log's is: who runs a program under another
/// one (libfaketime) moves what it decides by too. The boot clock is the kernel's own.
#[cfg(not(riser_turmoil))]
fn read() -> (i128, i128) {
    let boot = clock_gettime(ClockId::Boottime);
    let boot = i128::from(boot.tv_sec) * 1_000_000_000 + i128::from(boot.tv_nsec);
    let nanoseconds = |time: Duration| i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
    let wall = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => nanoseconds(since),
        Err(before) => -nanoseconds(before.duration()),
    };
    (boot, wall)
}

/// The clocks of a simulation, which do not move outside of one.
#[cfg(riser_turmoil)]
fn read() -> (i128, i128) {
    let nanoseconds = |time: Option<Duration>| time.map_or(0, |time| time.as_nanos() as i128);
    (nanoseconds(turmoil::sim_elapsed()), nanoseconds(turmoil::since_epoch()))
}

/// The farthest wait at once; whoever waits for more wakes and waits again.
const WAIT_MAX: Duration = Duration::from_secs(3600);

fn instant_from(now: Time, now_runtime: Instant, deadline: Time) -> Instant {
    now_runtime + deadline.since(now).min(WAIT_MAX)
}

/// The id of this boot of this machine: drawn by the kernel, the same for every process until it reboots.
pub fn boot_id() -> std::io::Result<BootId> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digest: [u8; 32] = Sha256::digest(text.trim()).into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    Ok(BootId(u64::from_be_bytes([a, b, c, d, e, f, g, h])))
}

/// A wall clock that moved by more than this against the monotonic one was stepped.
pub const STEP: Duration = Duration::from_secs(1);

/// Sees when somebody sets the wall clock. Slow adjustment is no step, as long as it is fed every minute.
#[derive(Clone, Copy, Debug)]
pub struct StepWatch {
    last: Now,
}

impl StepWatch {
    /// Begins with the clocks as they are.
    pub fn new(now: Now) -> Self {
        Self { last: now }
    }

    /// By how many milliseconds the wall clock was stepped since the last look, if it was; negative is back.
    pub fn look(&mut self, now: Now) -> Option<i64> {
        let passed = i64::try_from(now.time.since(self.last.time).as_millis()).unwrap_or(i64::MAX);
        let by_ms = now.wall.0.saturating_sub(self.last.wall.0).saturating_sub(passed);
        self.last = now;
        (u128::from(by_ms.unsigned_abs()) > STEP.as_millis()).then_some(by_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, wall_ms: i64) -> Now {
        Now { time: Time(seconds * 1_000_000_000), wall: Wall(wall_ms) }
    }

    #[test]
    fn the_clocks_run_forward_and_the_wall_is_near_the_standard_librarys() {
        let (a, b) = (Clock.now(), Clock.now());
        assert!(b.time >= a.time && a.time > Time(0));
        let other = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        assert!(i64::try_from(other.as_millis()).unwrap() - b.wall.0 < 10_000);
    }

    #[test]
    fn a_deadline_is_waited_for_in_pieces_and_a_passed_one_not_at_all() {
        let runtime = Instant::now();
        let wait = |deadline| instant_from(Time(1_000), runtime, deadline) - runtime;
        assert_eq!(wait(Time(1_500)), Duration::from_nanos(500));
        assert_eq!(wait(Time(10)), Duration::ZERO);
        assert_eq!(wait(Time(u64::MAX)), WAIT_MAX);
    }

    #[test]
    fn a_step_of_the_wall_clock_is_seen_once_and_a_slow_one_never() {
        let mut watch = StepWatch::new(at(0, 0));
        assert_eq!(watch.look(at(10, 10_400)), None);
        assert_eq!(watch.look(at(20, 20_800)), None, "slewing is no step");
        assert_eq!(watch.look(at(21, 3_621_800)), Some(3_600_000));
        assert_eq!(watch.look(at(22, 3_622_800)), None);
        assert_eq!(watch.look(at(23, 0)), Some(-3_623_800));
    }

    #[test]
    fn a_host_that_slept_has_not_stepped() {
        let mut watch = StepWatch::new(at(0, 0));
        assert_eq!(watch.look(at(86_400, 86_400_000)), None);
    }

    #[test]
    fn a_boot_has_one_id() {
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
    }
}
