//! Sizes in bytes, as people write them: `256 MiB`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// A number of bytes. Written as a whole number with `KiB`, `MiB`, `GiB`, `TiB`, `kB`, `MB`, `GB`, `TB` or `B`,
/// or as a bare number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ByteSize(pub u64);

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl ByteSize {
    /// That many mebibytes.
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }

    /// That many gibibytes.
    pub const fn gib(n: u64) -> Self {
        Self(n << 30)
    }

    /// As a length in memory; saturates where that is smaller.
    pub fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, size): &&(&str, u64)| self.0 >= *size && self.0.is_multiple_of(*size);
        match UNITS.iter().find(whole) {
            Some((unit, size)) => write!(f, "{} {unit}", self.0 / size),
            None => write!(f, "0 B"),
        }
    }
}

/// A text that is not a size.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("parse size {0:?}: want a whole number with B, KiB, MiB, GiB or TiB, such as \"256 MiB\"")]
pub struct NotASize(pub String);

impl FromStr for ByteSize {
    type Err = NotASize;

    fn from_str(text: &str) -> Result<Self, NotASize> {
        let parse = || {
            let text = text.trim();
            let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            let (number, unit) = text.split_at_checked(digits)?;
            let size = match unit.trim_start() {
                "" => 1,
                unit => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
            };
            number.parse::<u64>().ok()?.checked_mul(size)
        };
        parse().map(Self).ok_or_else(|| NotASize(text.chars().take(64).collect()))
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Size;

        impl de::Visitor<'_> for Size {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"256 MiB\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                u64::try_from(bytes).map(ByteSize).map_err(|_| E::custom(NotASize(bytes.to_string())))
            }
        }

        deserializer.deserialize_any(Size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("1B", 1),
            ("256 KiB", 256 << 10),
            ("256mib", 256 << 20),
            (" 1 GiB ", 1 << 30),
            ("2 TB", 2_000_000_000_000),
            ("5 kB", 5_000),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!(size, ByteSize(bytes), "{text}");
            assert_eq!(size.to_string().parse(), Ok(size), "{text}");
        }
        assert_eq!(ByteSize::mib(256).to_string(), "256 MiB");
    }

    #[test]
    fn other_texts_are_no_sizes() {
        for text in ["", "MiB", "-1", "1.5 GiB", "1 XB", "99999999999999999999", "99999999 TiB", "1 GiB x"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
