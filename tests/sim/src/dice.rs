//! Random streams, one per consumer, all from the run's seed: what one consumer draws never moves another's dice.

use fastrand::Rng;

/// The source of a run's streams.
#[derive(Clone, Copy, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// The stream of that consumer. The same name and number always give the same stream.
    pub fn stream(self, name: &str, number: u64) -> Rng {
        let mut digest = Digest::default();
        digest.bytes(name.as_bytes());
        digest.number(self.0);
        digest.number(number);
        // Neighbouring seeds must not give neighbouring streams.
        let mut rng = Rng::with_seed(digest.0);
        rng.fork()
    }
}

/// A running digest (FNV-1a): what two runs are compared by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digest(pub u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    /// Takes bytes in.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Takes a number in.
    pub fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }
}
