//! What ties the clocks of an edge's boots to the hub's (rule 7.10): an anchor of the hub's own, made when a Hello is
//! answered, or one that the edge kept from an earlier meeting.

use riser_model::{
    BootId, Epoch, Now, Wall,
    time::{Anchor, Clock},
};
use riser_wire::link::Hello;
use std::collections::BTreeMap;

/// The clocks of the epochs that one Hello named.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Clocks {
    of_epochs: BTreeMap<Epoch, Clock>,
    /// Of all others.
    others: Option<Clock>,
}

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
        Self { of_epochs: clocks, others: None }
    }

    /// From a Hello that came at `now` and was asked for at `asked`, of a peer that has one wall clock for all that it
    /// says: it was read somewhere between.
    pub(crate) fn skewed(hello: &Hello, asked: Now, now: Now) -> Self {
        let half = now.time.since(asked.time) / 2;
        let half_ms = i64::try_from(half.as_millis()).unwrap_or(i64::MAX);
        let by_ms = now.wall.0.saturating_sub(half_ms).saturating_sub(hello.clock.wall.0);
        let error_ms = u32::try_from(half_ms).unwrap_or(u32::MAX).saturating_add(1);
        Self { of_epochs: BTreeMap::new(), others: Some(Clock::Skewed { by_ms, error_ms }) }
    }

    pub(crate) fn of(&self, epoch: Epoch) -> Clock {
        self.of_epochs.get(&epoch).copied().or(self.others).unwrap_or(Clock::Unanchored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::Time;

    #[test]
    fn a_hub_whose_clock_is_off_by_years_is_understood_by_ours() {
        let hello = crate::receivers::tests::hello();
        let asked = Now { time: Time(1_000_000_000), wall: Wall(100_000) };
        let came = Now { time: Time(1_100_000_000), wall: Wall(100_100) };
        let clock = Clocks::skewed(&hello, asked, came).of(Epoch(99));
        // Its clock said 2 when ours said about 100,050.
        assert_eq!(clock, Clock::Skewed { by_ms: 100_048, error_ms: 51 });
        assert_eq!(clock.passed_on(Wall(12)), Wall(100_060));
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
