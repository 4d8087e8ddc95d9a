//! What the process itself takes.

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::gauge::ConstGauge,
    registry::Unit,
};
use std::fmt;

/// What the process itself takes, read when asked.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(resident) = resident_bytes() else { return Ok(()) };
        let gauge = ConstGauge::new(resident);
        let help = "Memory of the process that is in RAM.";
        gauge.encode(encoder.encode_descriptor("resident", help, Some(&Unit::Bytes), gauge.metric_type())?)
    }
}

/// The memory of this process that is in RAM, bytes.
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}
