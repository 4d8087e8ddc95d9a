//! Lengths of time, as people write them: `5s`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};

/// A length of time. Written as a whole number with `ms`, `s`, `m`, `h` or `d`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Duration(pub std::time::Duration);

const UNITS_MS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

impl Duration {
    /// That many seconds.
    pub const fn seconds(n: u64) -> Self {
        Self(std::time::Duration::from_secs(n))
    }

    /// In whole milliseconds; saturates.
    pub fn ms(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.ms();
        match UNITS_MS.iter().find(|(_, unit)| ms >= *unit && ms.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", ms / unit),
            None => f.write_str("0s"),
        }
    }
}

/// A text that is not a length of time.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("parse duration {0:?}: want a whole number with ms, s, m, h or d, such as \"5s\"")]
pub struct NotADuration(pub String);

impl FromStr for Duration {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, NotADuration> {
        let parse = || {
            let text = text.trim();
            let (number, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
            let (_, unit) = UNITS_MS.iter().find(|(name, _)| *name == unit.trim_start())?;
            number.parse::<u64>().ok()?.checked_mul(*unit)
        };
        let ms = parse().ok_or_else(|| NotADuration(text.chars().take(64).collect()))?;
        Ok(Self(std::time::Duration::from_millis(ms)))
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Length;

        impl de::Visitor<'_> for Length {
            type Value = Duration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number with its unit, such as \"5s\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, ms) in
            [("250ms", 250), ("5s", 5_000), ("2 m", 120_000), ("1h", 3_600_000), ("7d", 604_800_000)]
        {
            let length: Duration = text.parse().unwrap();
            assert_eq!(length.ms(), ms, "{text}");
            assert_eq!(length.to_string().parse(), Ok(length), "{text}");
        }
        assert_eq!(Duration::seconds(90).to_string(), "90s");
        assert_eq!(Duration::default().to_string().parse(), Ok(Duration::default()));
    }

    #[test]
    fn other_texts_are_no_durations() {
        for text in ["", "5", "s", "-1s", "1.5s", "1 week", "99999999999999999999s", "999999999999999999d"] {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }
}
