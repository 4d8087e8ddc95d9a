//! Compression of link messages, with contexts that are made when first needed and kept.

use crate::counters::Counters;
use std::fmt;
use zstd::bulk::{Compressor, Decompressor};

/// The level: most of the gain is in the first, and an edge's processor is small.
const LEVEL: i32 = 1;

/// One link's compression.
#[derive(Default)]
pub struct Packing {
    compressor: Option<Compressor<'static>>,
    decompressor: Option<Decompressor<'static>>,
    /// The plain size of what was last packed or unpacked.
    plain: Option<usize>,
}

impl fmt::Debug for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packing")
    }
}

impl Packing {
    /// Compresses; none when it cannot, and the bytes go as they are.
    pub(super) fn pack(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.compressor.is_none() {
            self.compressor = Compressor::new(LEVEL).ok();
        }
        let packed = self.compressor.as_mut()?.compress(bytes).ok()?;
        self.plain = (packed.len() < bytes.len()).then_some(bytes.len());
        Some(packed)
    }

    /// Decompresses to at most that size, which the caller has checked; none when it becomes more.
    pub(super) fn unpack(&mut self, bytes: &[u8], size: usize) -> Option<Vec<u8>> {
        if self.decompressor.is_none() {
            self.decompressor = Decompressor::new().ok();
        }
        let plain = self.decompressor.as_mut()?.decompress(bytes, size).ok()?;
        self.plain = Some(plain.len());
        Some(plain)
    }

    /// Counts a message of that size on the line.
    pub(super) fn count(&mut self, counters: &Counters, packed: usize) {
        counters.link_packed_bytes.add(packed as u64);
        counters.link_plain_bytes.add(self.plain.take().unwrap_or(packed) as u64);
    }
}
