//! The blocks in an image, found and checked without the log's own code.

use riser_log::fault::Image;
use std::sync::Arc;

pub const SECTOR: usize = 512;
pub const HEADER: usize = 104;
pub const CHANGES: u8 = 0;
pub const CHECKPOINT: u8 = 1;
pub const FOOTER: u8 = 2;

/// A block whose checksums hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    pub file: Arc<str>,
    pub at: usize,
    pub kind: u8,
    pub count: u64,
    pub entries_bytes: usize,
    pub meta_bytes: usize,
    pub empty_sectors: usize,
    pub first: u64,
    /// The seq with which its segment begins.
    pub segment_first: u64,
}

impl Block {
    /// The last seq of it; `first - 1` if it has none.
    pub fn last(&self) -> u64 {
        self.first + self.count - 1
    }

    /// Its bytes before the zeros.
    pub fn bytes(&self) -> usize {
        HEADER + self.entries_bytes + self.meta_bytes
    }

    /// Its bytes, zeros included.
    pub fn padded(&self) -> usize {
        self.bytes().next_multiple_of(SECTOR) + self.empty_sectors * SECTOR
    }
}

/// All good blocks, in order of segments and offsets.
pub fn blocks(image: &Image) -> Vec<Block> {
    let mut blocks = Vec::new();
    for (name, bytes) in image {
        let Some(number) = name.strip_prefix("segment-") else { continue };
        let number = u64::from_str_radix(number, 16).unwrap();
        let (name, mut at): (Arc<str>, _) = (name.as_str().into(), 0);
        while at + HEADER <= bytes.len() {
            match block(&name, number, bytes, at) {
                Some(block) => {
                    at += block.padded();
                    blocks.push(block);
                }
                None => at += SECTOR,
            }
        }
    }
    // What a segment has of seqs with which a later one begins was never acknowledged.
    let firsts: Vec<_> =
        blocks.iter().map(|block: &Block| (block.file.clone(), block.segment_first)).collect();
    blocks.retain(|block| {
        let later = firsts.iter().filter(|(file, _)| *file > block.file).map(|(_, first)| *first).min();
        block.count == 0 || block.first < later.unwrap_or(u64::MAX)
    });
    blocks
}

fn block(name: &Arc<str>, number: u64, bytes: &[u8], at: usize) -> Option<Block> {
    let header = &bytes[at..at + HEADER];
    if &header[..5] != b"RSRb\x01" {
        return None;
    }
    let salted = crc32c::crc32c(&header[32..40]);
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(salted, &header[..8]), &header[12..]);
    if u64::from(crc) != u32_at(header, 8) || u64_at(header, 40) != number || u64_at(header, 72) != at as u64
    {
        return None;
    }
    let (entries, meta) = (u32_at(header, 20) as usize, u32_at(header, 24) as usize);
    let whole = bytes.get(at..at + (HEADER + entries + meta).next_multiple_of(SECTOR))?;
    let body = &whole[HEADER..HEADER + entries + meta];
    (u64::from(crc32c::crc32c_append(salted, body)) == u32_at(header, 12)).then(|| Block {
        file: name.clone(),
        at,
        kind: header[5],
        count: u32_at(header, 16),
        entries_bytes: entries,
        meta_bytes: meta,
        empty_sectors: u32_at(header, 28) as usize,
        first: u64_at(header, 64),
        segment_first: u64_at(header, 80),
    })
}

fn u32_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
