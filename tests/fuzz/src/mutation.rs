//! Hostile bytes out of good ones. The same seed makes the same bytes.

use fastrand::Rng;

/// Longer inputs find nothing that shorter ones do not, and take longer.
const BYTES_MAX: usize = 64 * 1024;
/// Values at which lengths, counts and signs turn over.
const EDGES: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// One of the seeds, changed in a few places. Now and then nothing of it is left.
pub fn mutated(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let Some(seed) = rng.choice(seeds) else { return noise(rng) };
    if rng.u8(..) == 0 {
        return noise(rng);
    }
    let mut bytes = seed.clone();
    for _ in 0..=rng.usize(0..6) {
        mutate(rng, &mut bytes, seeds);
    }
    bytes.truncate(BYTES_MAX);
    bytes
}

fn noise(rng: &mut Rng) -> Vec<u8> {
    let length = rng.usize(0..200);
    std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
}

fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let at = rng.usize(0..=bytes.len());
    let to = at + rng.usize(0..=(bytes.len() - at).min(64));
    match rng.u8(0..9) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << rng.u8(0..8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = rng.u8(..);
            }
        }
        2 => drop(bytes.drain(at..to)),
        3 => bytes.truncate(at),
        4 => {
            let again: Vec<u8> = bytes.get(at..to).unwrap_or_default().to_vec();
            bytes.splice(at..at, again);
        }
        5 => {
            let foreign = rng.choice(seeds).map(|seed| {
                let from = rng.usize(0..=seed.len());
                let until = from + rng.usize(0..=(seed.len() - from).min(256));
                seed.get(from..until).unwrap_or_default().to_vec()
            });
            bytes.splice(at..to, foreign.unwrap_or_default());
        }
        6 => {
            let width = *rng.choice(&[1, 2, 4, 8]).unwrap_or(&1);
            let edge = EDGES.get(rng.usize(0..EDGES.len())).copied().unwrap_or_default();
            let encoded =
                if rng.bool() { edge.to_le_bytes() } else { edge.rotate_right(8 * width).to_be_bytes() };
            let until = (at + width as usize).min(bytes.len());
            bytes.splice(at..until, encoded.into_iter().take(width as usize));
        }
        7 => {
            let nested = *rng.choice(b"[{\"(/+#\0").unwrap_or(&b'[');
            bytes.splice(at..at, std::iter::repeat_n(nested, rng.usize(0..300)));
        }
        _ => {
            let inserted: Vec<u8> = noise(rng);
            bytes.splice(at..at, inserted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_bytes_and_seldom_the_seed_itself() {
        let seeds = vec![b"one two three".to_vec(), vec![7; 300]];
        let run = |seed| {
            let mut rng = Rng::with_seed(seed);
            (0..200).map(|_| mutated(&mut rng, &seeds)).collect::<Vec<_>>()
        };
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
        assert!(run(3).iter().filter(|bytes| seeds.contains(bytes)).count() < 60);
    }
}
