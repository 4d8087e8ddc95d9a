//! What this host can say about itself, read at the moment of asking: load, memory, network, disk, temperature.
//!
//! Everything comes from the kernel's text files. Where one is missing (another system, a container), that
//! reading is simply not offered.

use serde_json::{Value, json};
use std::fs;

/// One thing this host can measure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reading {
    /// The one-minute load average.
    Load,
    /// Used and total memory, bytes.
    Memory,
    /// Bytes received and sent by all interfaces.
    Network,
    /// Sectors read and written by all disks, in bytes.
    Disk,
    /// A thermal zone, degrees Celsius.
    Temperature(String),
}

impl Reading {
    /// Those that this host has.
    pub fn available() -> Vec<Self> {
        let zones = fs::read_dir("/sys/class/thermal").into_iter().flatten().flatten();
        let mut zones: Vec<String> = zones
            .filter_map(|zone| zone.file_name().into_string().ok())
            .filter(|name| name.starts_with("thermal_zone"))
            .collect();
        zones.sort();
        [Self::Load, Self::Memory, Self::Network, Self::Disk]
            .into_iter()
            .chain(zones.into_iter().take(2).map(Self::Temperature))
            .filter(|reading| reading.take().is_some())
            .collect()
    }

    /// Its name in topics.
    pub fn name(&self) -> String {
        match self {
            Self::Load => "load".into(),
            Self::Memory => "memory".into(),
            Self::Network => "network".into(),
            Self::Disk => "disk".into(),
            Self::Temperature(zone) => zone.replace("thermal_zone", "temperature-"),
        }
    }

    /// Reads it; none where the host does not say.
    pub fn take(&self) -> Option<Value> {
        match self {
            Self::Load => load(&fs::read_to_string("/proc/loadavg").ok()?),
            Self::Memory => memory(&fs::read_to_string("/proc/meminfo").ok()?),
            Self::Network => network(&fs::read_to_string("/proc/net/dev").ok()?),
            Self::Disk => disk(&fs::read_to_string("/proc/diskstats").ok()?),
            Self::Temperature(zone) => {
                temperature(&fs::read_to_string(format!("/sys/class/thermal/{zone}/temp")).ok()?)
            }
        }
    }
}

fn load(text: &str) -> Option<Value> {
    let value: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some(json!({ "value": value, "unit": "tasks" }))
}

fn memory(text: &str) -> Option<Value> {
    let kib = |key: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
    };
    let (total, free) = (kib("MemTotal")?, kib("MemAvailable")?);
    Some(json!({ "value": total.saturating_sub(free) * 1024, "total": total * 1024, "unit": "B" }))
}

fn network(text: &str) -> Option<Value> {
    let mut sums = (0_u64, 0_u64);
    for line in text.lines().skip(2) {
        let columns: Vec<u64> =
            line.split_once(':')?.1.split_whitespace().filter_map(|column| column.parse().ok()).collect();
        sums.0 += columns.first()?;
        sums.1 += columns.get(8)?;
    }
    Some(json!({ "value": sums.0 + sums.1, "received": sums.0, "sent": sums.1, "unit": "B" }))
}

fn disk(text: &str) -> Option<Value> {
    const SECTOR: u64 = 512;
    let mut sums = (0_u64, 0_u64);
    for line in text.lines() {
        let columns: Vec<&str> = line.split_whitespace().collect();
        sums.0 += columns.get(5)?.parse::<u64>().ok()?;
        sums.1 += columns.get(9)?.parse::<u64>().ok()?;
    }
    let (read, written) = (sums.0 * SECTOR, sums.1 * SECTOR);
    Some(json!({ "value": written, "read": read, "written": written, "unit": "B" }))
}

fn temperature(text: &str) -> Option<Value> {
    let thousandths: f64 = text.trim().parse().ok()?;
    Some(json!({ "value": thousandths / 1000.0, "unit": "°C" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_texts_are_understood() {
        assert_eq!(load("0.52 0.58 0.59 1/597 1234\n").unwrap()["value"], 0.52);
        let meminfo = "MemTotal:       2000 kB\nMemFree:        10 kB\nMemAvailable:   500 kB\n";
        assert_eq!(memory(meminfo).unwrap()["value"], 1500 * 1024);
        let dev = "h\nh\n  lo: 10 1 0 0 0 0 0 0 20 1 0 0 0 0 0 0\neth0: 1 1 0 0 0 0 0 0 2 1 0 0 0 0 0 0\n";
        assert_eq!(network(dev).unwrap()["received"], 11);
        assert_eq!(network(dev).unwrap()["sent"], 22);
        assert_eq!(disk(" 8 0 sda 1 2 3 4 5 6 7 8\n").unwrap()["written"], 7 * 512);
        assert_eq!(temperature("42500\n").unwrap()["value"], 42.5);
        assert!(load("").is_none() && memory("").is_none() && disk("x").is_none());
    }
}
