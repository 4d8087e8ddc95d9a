//! Randomness from the kernel: the seeds of epochs, nonces, keys, salts and tokens. State machines take it as a
//! value.

use uuid::Uuid;

/// That many random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel's random source answers once the host has booted");
    bytes
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
