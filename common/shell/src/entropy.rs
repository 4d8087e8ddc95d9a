//! Randomness from the kernel: the seeds of epochs, nonces, keys, salts and tokens. State machines take it as a
//! value.

use uuid::Uuid;

/// That many random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

#[cfg(not(riser_turmoil))]
fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the kernel's random source answers once the host has booted");
}

/// In a simulation every run draws the same: SplitMix64, from the start of the thread on, which is the simulation's.
#[cfg(riser_turmoil)]
fn fill(bytes: &mut [u8]) {
    use std::cell::Cell;
    thread_local!(static STATE: Cell<u64> = const { Cell::new(0) });
    for chunk in bytes.chunks_mut(8) {
        let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        STATE.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()[..chunk.len()]);
    }
}

/// A random number that is not 0: ids and seeds.
pub fn number() -> u64 {
    u64::from_ne_bytes(bytes()).max(1)
}

/// A random UUID (version 4).
pub fn uuid() -> Uuid {
    uuid::Builder::from_random_bytes(bytes()).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_twice_differs() {
        assert_ne!(bytes::<32>(), bytes::<32>());
        assert_ne!(number(), number());
        assert_ne!(uuid(), uuid());
        assert_eq!(uuid().get_version_num(), 4);
    }
}
