//! Resident memory and processor time of a process, as the kernel counts them.

use anyhow::{Context, ensure};
use std::{
    fs,
    time::{Duration, Instant},
};

/// Who does nothing for so long is at rest.
const REST: Duration = Duration::from_millis(500);
/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Whoever is not at rest after this will not be.
const RESTLESS: Duration = Duration::from_secs(60);

/// Resident bytes of a process.
pub fn resident(process: u32) -> anyhow::Result<u64> {
    status(process, "VmRSS:")
}

/// The most that it ever had.
pub fn peak(process: u32) -> anyhow::Result<u64> {
    status(process, "VmHWM:")
}

/// What all its threads together have used so far, in user space and in the kernel.
pub fn processor_time(process: u32) -> anyhow::Result<Duration> {
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).context("read the process's times")?;
    // The name, in parentheses, may hold anything.
    let (_, rest) = stat.rsplit_once(')').context("find the end of the process's name")?;
    let times = rest.split_whitespace().skip(11).take(2).map(str::parse::<u32>);
    let ticks: u32 = times.sum::<Result<_, _>>().context("parse the process's times")?;
    Ok(TICK * ticks)
}

/// Waits until a process has used no processor time for a while: what it had to do is done. The kernel tells nobody of that,
/// so it is looked at again and again.
pub async fn at_rest(process: u32) -> anyhow::Result<()> {
    let began = Instant::now();
    let (mut used, mut since) = (processor_time(process)?, began);
    while since.elapsed() < REST {
        ensure!(began.elapsed() < RESTLESS, "process {process} is not at rest after {RESTLESS:?}");
        tokio::time::sleep(LOOK_EVERY).await;
        let now = processor_time(process)?;
        if now != used {
            (used, since) = (now, Instant::now());
        }
    }
    Ok(())
}

fn status(process: u32, line: &str) -> anyhow::Result<u64> {
    let status =
        fs::read_to_string(format!("/proc/{process}/status")).context("read the process's status")?;
    let rest = status.lines().find_map(|found| found.strip_prefix(line)).context("find the line")?;
    let kib: u64 = rest.split_whitespace().next().and_then(|n| n.parse().ok()).context("parse the line")?;
    Ok(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_goes_up_with_work() {
        let own = std::process::id();
        let before = processor_time(own).unwrap();
        let mut n = 1_u64;
        while processor_time(own).unwrap() == before {
            n = std::hint::black_box(n.wrapping_mul(3));
        }
    }

    #[test]
    fn peak_is_no_less_than_what_is_resident() {
        let own = std::process::id();
        let resident = resident(own).unwrap();
        assert!(resident > 100 * 1024 && peak(own).unwrap() >= resident);
    }
}
