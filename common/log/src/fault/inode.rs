//! One file of a faulty disk: what its medium holds, what a read sees, and what lies between the two.

use super::Fate;

const SECTOR: usize = 512;
const PAGE: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Inode {
    /// What the medium holds.
    pub durable: Vec<u8>,
    /// What a read sees.
    pub seen: Vec<u8>,
    /// Written and not synced.
    pub pending: Vec<(usize, Vec<u8>)>,
    /// Where reads fail.
    pub unreadable: Vec<(std::ops::Range<u64>, super::Failure)>,
}

impl Inode {
    /// What is pending fares as fate wants.
    pub fn roll(&mut self, fate: Fate, rng: &mut fastrand::Rng) {
        for (at, bytes) in std::mem::take(&mut self.pending) {
            let face = match fate {
                Fate::Dice => rng.u8(0..4),
                Fate::Lost => 0,
                Fate::Kept => 1,
            };
            match face {
                0 => {}
                1 => put(&mut self.durable, at, &bytes),
                torn => {
                    let piece = if torn == 2 { SECTOR } else { PAGE };
                    tear(&mut self.durable, at, &bytes, piece, rng);
                }
            }
        }
    }
}

/// Lets each piece of a write through or not.
fn tear(into: &mut Vec<u8>, at: usize, bytes: &[u8], piece: usize, rng: &mut fastrand::Rng) {
    let mut rest = bytes;
    let mut at = at;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.len().min(piece - at % piece));
        if rng.bool() {
            put(into, at, now);
        }
        at += now.len();
        rest = later;
    }
}

pub(super) fn put(into: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if into.len() < at {
        into.resize(at, 0);
    }
    let (over, more) = bytes.split_at(bytes.len().min(into.len() - at));
    if let Some(place) = into.get_mut(at..at + over.len()) {
        place.copy_from_slice(over);
    }
    into.extend_from_slice(more);
}
