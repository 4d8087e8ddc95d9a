//! Resident memory of a process, as the kernel counts it.

use anyhow::Context;
use std::fs;

/// Resident bytes of a process.
pub fn resident(process: u32) -> anyhow::Result<u64> {
    status(process, "VmRSS:")
}

/// The most that it ever had.
pub fn peak(process: u32) -> anyhow::Result<u64> {
    status(process, "VmHWM:")
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
    fn peak_is_no_less_than_what_is_resident() {
        let own = std::process::id();
        let resident = resident(own).unwrap();
        assert!(resident > 100 * 1024 && peak(own).unwrap() >= resident);
    }
}
