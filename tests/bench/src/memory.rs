//! Resident memory of a process, as the kernel counts it.

use anyhow::Context;
use std::fs;

/// Resident bytes of a process.
pub fn resident(process: u32) -> anyhow::Result<u64> {
    let status =
        fs::read_to_string(format!("/proc/{process}/status")).context("read the process's status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("find VmRSS")?;
    let kib: u64 = line.split_whitespace().next().and_then(|n| n.parse().ok()).context("parse VmRSS")?;
    Ok(kib * 1024)
}
