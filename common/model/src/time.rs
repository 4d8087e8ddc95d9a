//! Time as plain integers: monotonic for deadlines, wall for labels. Nothing here reads a clock.

use crate::id::BootId;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Monotonic time in nanoseconds since the host's boot, suspended time included (in tests: since the run's
/// beginning). For deadlines.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Time(pub u64);

impl Time {
    /// This time and `after` more; saturates.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Wall-clock time in milliseconds since 1970-01-01 UTC, as the host believes it. For labels, never for order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Wall(pub i64);

impl Wall {
    /// This time and so many seconds more; saturates.
    #[must_use]
    pub fn plus_s(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(i64::from(seconds) * 1000))
    }
}

/// The two clocks of a host, read together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// For deadlines.
    pub time: Time,
    /// For labels.
    pub wall: Wall,
}

impl Now {
    /// The stamp of what is taken at this moment, on a host that does not know how far its wall clock is off.
    pub fn stamp(self) -> Stamp {
        Stamp { boot_us: self.time.0 / 1000, wall: self.wall, uncertainty_ms: u32::MAX }
    }
}

/// When something was published, in the words of the host that took it (section 7.10).
///
/// `boot_us` compares only with stamps of the same boot. The boot of an epoch is named once, by its anchor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Stamp {
    /// Microseconds since the host's boot, suspended time included where the system tells.
    pub boot_us: u64,
    /// The host's wall clock.
    pub wall: Wall,
    /// How far the wall clock may be off, in milliseconds; `u32::MAX` when nobody knows.
    pub uncertainty_ms: u32,
}

/// Ties a boot's clock to the hub's (an entry of the edge's log, section 7.10).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Anchor {
    /// The boot this speaks about.
    pub boot: BootId,
    /// Its time when the hub's was read, microseconds since boot.
    pub boot_us: u64,
    /// The hub's wall clock at that moment; none when the edge has not met a hub yet in this boot.
    pub hub: Option<Wall>,
    /// Half of the round trip in which the hub's clock was read, milliseconds.
    pub error_ms: u32,
}

/// How the clock of one boot relates to the hub's. The original stamp is never rewritten; this says what to put beside
/// it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Clock {
    /// The hub's time was so many microseconds ahead of the boot's, give or take.
    Anchored {
        /// The hub's wall clock, in microseconds, when the boot's was 0.
        hub_us: i64,
        /// How far off that may be, milliseconds.
        error_ms: u32,
    },
    /// That boot never met a hub: its own wall clock is all there is.
    Unanchored,
    /// The same, of which it is known what was before and what after: nothing is from outside of that.
    Bracketed {
        /// Not before this; none if nothing is known from before.
        from: Option<Wall>,
        /// Not after this.
        to: Wall,
    },
    /// All that the other end stamped is by one wall clock, whatever its boots: the hub's, as its edges see it.
    Skewed {
        /// So many milliseconds are to be added to it.
        by_ms: i64,
        /// How far off that may be, milliseconds.
        error_ms: u32,
    },
}

/// A stamp by the hub's clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Corrected {
    /// When.
    pub wall: Wall,
    /// How far off that may be, milliseconds; `u32::MAX` when nobody knows.
    pub error_ms: u32,
    /// Whether the boot's clock was ever tied to a hub's.
    pub anchored: bool,
}

impl Clock {
    /// By an anchor.
    pub fn of(anchor: &Anchor) -> Self {
        match (anchor.hub, i64::try_from(anchor.boot_us)) {
            (Some(hub), Ok(boot_us)) => Self::Anchored {
                hub_us: hub.0.saturating_mul(1000).saturating_sub(boot_us),
                error_ms: anchor.error_ms,
            },
            (Some(_) | None, _) => Self::Unanchored,
        }
    }

    /// A time that was found for an entry before it came here, by the clock of this end.
    pub fn passed_on(self, wall: Wall) -> Wall {
        match self {
            Self::Anchored { .. } | Self::Unanchored | Self::Bracketed { .. } => wall,
            Self::Skewed { by_ms, .. } => Wall(wall.0.saturating_add(by_ms)),
        }
    }

    /// A stamp of that boot by the hub's clock.
    pub fn corrected(self, stamp: Stamp) -> Corrected {
        match self {
            Self::Anchored { hub_us, error_ms } => {
                let boot_us = i64::try_from(stamp.boot_us).unwrap_or(i64::MAX);
                let wall = Wall(hub_us.saturating_add(boot_us).div_euclid(1000));
                Corrected { wall, error_ms, anchored: true }
            }
            Self::Unanchored => {
                Corrected { wall: stamp.wall, error_ms: stamp.uncertainty_ms, anchored: false }
            }
            Self::Bracketed { from, to } => {
                let wall = stamp.wall.max(from.unwrap_or(stamp.wall)).min(to);
                let between = from.map(|from| to.0.saturating_sub(from.0).max(0).unsigned_abs());
                let error_ms = between.and_then(|ms| u32::try_from(ms).ok()).unwrap_or(u32::MAX);
                Corrected { wall, error_ms, anchored: false }
            }
            Self::Skewed { error_ms, .. } => {
                Corrected { wall: self.passed_on(stamp.wall), error_ms, anchored: true }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_corrected_by_the_boot_that_made_them() {
        let anchor = Anchor { boot: BootId(1), boot_us: 5_000_000, hub: Some(Wall(1_000_000)), error_ms: 20 };
        let stamp = Stamp { boot_us: 2_000_000, wall: Wall(-7), uncertainty_ms: 9 };
        let corrected = Clock::of(&anchor).corrected(stamp);
        assert_eq!(corrected, Corrected { wall: Wall(997_000), error_ms: 20, anchored: true });
        let unknown = Clock::of(&Anchor { hub: None, ..anchor }).corrected(stamp);
        assert_eq!(unknown, Corrected { wall: Wall(-7), error_ms: 9, anchored: false });
        // What is known is what it was between.
        let bracketed = |from, to| Clock::Bracketed { from, to: Wall(to) }.corrected(stamp).wall;
        assert_eq!(bracketed(Some(Wall(100)), 900), Wall(100));
        assert_eq!(bracketed(Some(Wall(-100)), 900), stamp.wall);
        assert_eq!(bracketed(None, -50), Wall(-50));
        assert_eq!(bracketed(None, 900), stamp.wall);
        let hostile = Stamp { boot_us: u64::MAX, ..stamp };
        Clock::of(&anchor).corrected(hostile);
    }
}
