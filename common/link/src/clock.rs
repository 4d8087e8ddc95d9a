//! What time it was by the hub's clock when a host said what time it was (rule 7.10).
//!
//! A boot's clock is tied to the hub's by an anchor: the hub's own, made when a Hello is answered, or one that
//! the edge kept from an earlier meeting. The original stamp is never rewritten; this only says what to put
//! beside it.

use riser_model::{BootId, Epoch, Now, Stamp, Wall, time::Anchor};
use riser_wire::link::Hello;
use std::collections::BTreeMap;

/// How the clock of one boot relates to the hub's.
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
        }
    }
}

/// The clocks of the epochs that one Hello named.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Clocks(BTreeMap<Epoch, Clock>);

impl Clocks {
    /// From a Hello that was signed after the hub's nonce was sent at `asked` and came at `now`: its clock was
    /// read somewhere between.
    pub(crate) fn greeted(hello: &Hello, asked: Now, now: Now) -> Self {
        let half = now.time.since(asked.time) / 2;
        let half_ms = i64::try_from(half.as_millis()).unwrap_or(i64::MAX);
        let here = Clock::of(&Anchor {
            boot: hello.boot,
            boot_us: hello.clock.boot_us,
            hub: Some(Wall(now.wall.0.saturating_sub(half_ms))),
            error_ms: u32::try_from(half_ms).unwrap_or(u32::MAX).saturating_add(1),
        });
        let of_epoch = |boot: Option<BootId>, anchor: Option<Anchor>| match anchor {
            _ if boot == Some(hello.boot) => here,
            Some(anchor) => Clock::of(&anchor),
            None => Clock::Unanchored,
        };
        let mut clocks = BTreeMap::new();
        for opening in &hello.chain {
            clocks.insert(opening.span.epoch, of_epoch(opening.anchor.map(|a| a.boot), opening.anchor));
        }
        clocks.insert(hello.live, here);
        Self(clocks)
    }

    pub(crate) fn of(&self, epoch: Epoch) -> Clock {
        self.0.get(&epoch).copied().unwrap_or(Clock::Unanchored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::Time;

    #[test]
    fn stamps_are_corrected_by_the_boot_that_made_them() {
        let anchor = Anchor { boot: BootId(1), boot_us: 5_000_000, hub: Some(Wall(1_000_000)), error_ms: 20 };
        let stamp = Stamp { boot_us: 2_000_000, wall: Wall(-7), uncertainty_ms: 9 };
        let corrected = Clock::of(&anchor).corrected(stamp);
        assert_eq!(corrected, Corrected { wall: Wall(997_000), error_ms: 20, anchored: true });
        let unknown = Clock::of(&Anchor { hub: None, ..anchor }).corrected(stamp);
        assert_eq!(unknown, Corrected { wall: Wall(-7), error_ms: 9, anchored: false });
        let hostile = Stamp { boot_us: u64::MAX, ..stamp };
        Clock::of(&anchor).corrected(hostile);
    }

    #[test]
    fn an_answered_nonce_bounds_the_error_by_half_of_the_wait() {
        let hello = crate::receivers::tests::hello();
        let asked = Now { time: Time(1_000_000_000), wall: Wall(10_000) };
        let came = Now { time: Time(1_100_000_000), wall: Wall(10_100) };
        let Clock::Anchored { error_ms, .. } = Clocks::greeted(&hello, asked, came).of(hello.live) else {
            panic!("unanchored")
        };
        assert_eq!(error_ms, 51);
    }
}
