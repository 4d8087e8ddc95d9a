//! What ties the clocks of an edge's boots to the hub's (rule 7.10): an anchor of the hub's own, made when a Hello is
//! answered, or one that the edge kept from an earlier meeting.

use riser_model::{
    BootId, Epoch, Now, Wall,
    time::{Anchor, Clock},
};
use riser_wire::link::{Hello, Opening};
use std::collections::{BTreeMap, BTreeSet};

/// From so much on a wall clock was stepped, and not slewed.
const STEP_MS: i64 = 500;

/// A clock that is off by no more than this, beside what is not known of it, is right.
const OFF_MS: u64 = 10_000;

/// How far an edge's clock is off, as it was seen when it and a hub met, and as it was told last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Off {
    /// The last time, in milliseconds, and so much of it may be nothing.
    seen: Option<(i64, u64)>,
    /// Of the last one that was told; none where that was right, or nothing was told.
    told: Option<i64>,
}

impl Off {
    /// At the hub, from the clock of a Hello that was signed after the hub's nonce was sent at `asked` and came at `now`: how
    /// far it is ahead and whether that is right, where that is news.
    pub(crate) fn greeted(&mut self, clock: Wall, asked: Now, now: Now) -> Option<(i64, bool)> {
        let half_ms = i64::try_from((now.time.since(asked.time) / 2).as_millis()).unwrap_or(i64::MAX);
        let off = clock.0.saturating_sub(now.wall.0.saturating_sub(half_ms));
        self.news(off, half_ms.unsigned_abs())
    }

    /// The same at the edge, from the anchor that it made of the hub's Welcome at `now`.
    pub fn anchored(&mut self, anchor: &Anchor, now: Now) -> Option<(i64, bool)> {
        // The hub's clock was read in the middle of what is not known.
        let own = now.wall.0.saturating_sub(i64::from(anchor.error_ms));
        self.news(own.saturating_sub(anchor.hub?.0), u64::from(anchor.error_ms))
    }

    /// The same when the edge's own clock was stepped since.
    pub fn stepped(&mut self, by_ms: i64) -> Option<(i64, bool)> {
        let (off, error_ms) = self.seen?;
        self.news(off.saturating_add(by_ms), error_ms)
    }

    fn news(&mut self, off: i64, error_ms: u64) -> Option<(i64, bool)> {
        self.seen = Some((off, error_ms));
        let bound = OFF_MS.saturating_add(error_ms);
        let right = off.unsigned_abs() <= bound;
        let is_news = match self.told {
            None => !right,
            Some(told) => right || off.abs_diff(told) > bound,
        };
        if is_news {
            self.told = (!right).then_some(off);
        }
        is_news.then_some((off, right))
    }
}

/// The clocks of the epochs that one Hello named.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Clocks {
    of_epochs: BTreeMap<Epoch, Clock>,
    /// Of all others.
    others: Option<Clock>,
    /// When this end's clocks were read for those of the Hello's own boot.
    read: Now,
    /// The epochs of that boot.
    present: BTreeSet<Epoch>,
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
        let mut clocks = BTreeMap::new();
        let of_boot = |opening: &&Opening| opening.anchor.is_some_and(|anchor| anchor.boot == hello.boot);
        let present = hello.chain.iter().filter(of_boot).map(|opening| opening.span.epoch);
        let present = present.chain([hello.live]).collect();
        for (place, opening) in hello.chain.iter().enumerate() {
            let boot = opening.anchor.map(|anchor| anchor.boot);
            let clock = match met(hello, boot) {
                _ if boot == Some(hello.boot) => here,
                Some(anchor) => Clock::of(&anchor),
                None => bracket(&hello.chain, place, now.wall),
            };
            clocks.insert(opening.span.epoch, clock);
        }
        clocks.insert(hello.live, here);
        Self { of_epochs: clocks, others: None, read: now, present }
    }

    /// From a Hello that came at `now` and was asked for at `asked`, of a peer that has one wall clock for all that it
    /// says: it was read somewhere between.
    pub(crate) fn skewed(hello: &Hello, asked: Now, now: Now) -> Self {
        let half = now.time.since(asked.time) / 2;
        let half_ms = i64::try_from(half.as_millis()).unwrap_or(i64::MAX);
        let by_ms = now.wall.0.saturating_sub(half_ms).saturating_sub(hello.clock.wall.0);
        let error_ms = u32::try_from(half_ms).unwrap_or(u32::MAX).saturating_add(1);
        let others = Some(Clock::Skewed { by_ms, error_ms });
        Self { others, read: now, ..Self::default() }
    }

    /// When this end's clocks were read for those of the Hello.
    pub(crate) fn read(&self) -> Now {
        self.read
    }

    /// By which clock an epoch was stamped. What was read against this end's wall clock goes on with it where that was
    /// stepped since.
    pub(crate) fn of(&self, epoch: Epoch, now: Now) -> Clock {
        let clock = self.of_epochs.get(&epoch).copied().or(self.others).unwrap_or(Clock::Unanchored);
        let ms = |now: Now| i64::try_from(now.time.0 / 1_000_000).unwrap_or(i64::MAX);
        let wall = now.wall.0.saturating_sub(self.read.wall.0);
        let step = wall.saturating_sub(ms(now)).saturating_add(ms(self.read));
        if step.saturating_abs() < STEP_MS {
            return clock;
        }
        match clock {
            Clock::Anchored { hub_us, error_ms } if self.present.contains(&epoch) => {
                Clock::Anchored { hub_us: hub_us.saturating_add(step.saturating_mul(1000)), error_ms }
            }
            Clock::Skewed { by_ms, error_ms } => {
                Clock::Skewed { by_ms: by_ms.saturating_add(step), error_ms }
            }
            Clock::Anchored { .. } | Clock::Unanchored | Clock::Bracketed { .. } => clock,
        }
    }
}

/// The meeting of that boot with a hub, in whichever of its epochs.
fn met(hello: &Hello, boot: Option<BootId>) -> Option<Anchor> {
    let mut anchors = hello.chain.iter().filter_map(|opening| opening.anchor);
    anchors.rfind(|anchor| Some(anchor.boot) == boot && anchor.hub.is_some())
}

/// An epoch that ended before its boot met a hub is from after the last meeting before it, and from before the next one; the
/// next one after that is at `now`, by this end's clock.
fn bracket(chain: &[Opening], place: usize, now: Wall) -> Clock {
    let (before, after) = chain.split_at_checked(place).unwrap_or((chain, &[]));
    let meeting = |opening: &Opening| opening.anchor.and_then(|anchor| anchor.hub);
    let from = before.iter().filter_map(meeting).max();
    let to = after.iter().filter_map(meeting).chain([now]).min().unwrap_or(now);
    Clock::Bracketed { from: from.filter(|from| *from <= to), to }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::{EpochSpan, Seq, Stamp, Time};

    #[test]
    fn that_an_edge_s_clock_is_off_is_news_once_and_again_when_it_is_otherwise() {
        let asked = Now { time: Time(1_000_000_000), wall: Wall(100_000) };
        let came = Now { time: Time(3_000_000_000), wall: Wall(102_000) };
        let mut off = Off::default();
        let mut news = |wall| off.greeted(Wall(wall), asked, came);
        // It was read between 100,000 and 102,000.
        assert_eq!(news(101_000 + 11_000), None, "that may be as good as nothing");
        assert_eq!(news(0), Some((-101_000, false)));
        assert_eq!(news(5_000), None, "it was told");
        assert_eq!(news(20_000), Some((-81_000, false)));
        assert_eq!(news(101_007), Some((7, true)));
        assert_eq!(news(101_000), None);
        assert_eq!(news(101_000 + 11_001), Some((11_001, false)), "the other way");
        assert_eq!(news(i64::MIN), Some((i64::MIN, false)));
    }

    #[test]
    fn an_edge_knows_by_the_welcome_how_far_its_own_clock_is_off_and_by_a_step_that_it_is_right() {
        let now = Now { time: Time(0), wall: Wall(5_000_100) };
        let anchor = Anchor { boot: BootId(1), boot_us: 0, hub: Some(Wall(8_600_000)), error_ms: 100 };
        let mut off = Off::default();
        assert_eq!(off.stepped(90_000), None, "no hub was met");
        assert_eq!(off.anchored(&Anchor { hub: None, ..anchor }, now), None);
        assert_eq!(off.anchored(&anchor, now), Some((-3_600_000, false)));
        assert_eq!(off.anchored(&anchor, now), None);
        assert_eq!(off.stepped(1_800_000), Some((-1_800_000, false)));
        assert_eq!(off.stepped(1_800_000), Some((0, true)));
        assert_eq!(off.stepped(10_050), None, "as good as nothing");
        assert_eq!(off.stepped(10_050), Some((20_100, false)));
    }

    #[test]
    fn a_hub_whose_clock_is_off_by_years_is_understood_by_ours() {
        let hello = crate::receivers::tests::hello();
        let asked = Now { time: Time(1_000_000_000), wall: Wall(100_000) };
        let came = Now { time: Time(1_100_000_000), wall: Wall(100_100) };
        let clocks = Clocks::skewed(&hello, asked, came);
        let clock = clocks.of(Epoch(99), came);
        // Its clock said 2 when ours said about 100,050.
        assert_eq!(clock, Clock::Skewed { by_ms: 100_048, error_ms: 51 });
        assert_eq!(clock.passed_on(Wall(12)), Wall(100_060));
        // A second later ours was set back a minute.
        let later = Now { time: Time(2_100_000_000), wall: Wall(41_100) };
        assert_eq!(clocks.of(Epoch(99), later).passed_on(Wall(12)), Wall(40_060));
    }

    #[test]
    fn an_answered_nonce_bounds_the_error_by_half_of_the_wait() {
        let hello = crate::receivers::tests::hello();
        let asked = Now { time: Time(1_000_000_000), wall: Wall(10_000) };
        let came = Now { time: Time(1_100_000_000), wall: Wall(10_100) };
        let Clock::Anchored { error_ms, .. } = Clocks::greeted(&hello, asked, came).of(hello.live, came)
        else {
            panic!("unanchored")
        };
        assert_eq!(error_ms, 51);
    }

    fn opening(epoch: u64, boot: u64, met: Option<i64>) -> Opening {
        let span = EpochSpan { epoch: Epoch(epoch), first: Seq(10 * epoch), last: Seq(10 * epoch + 9) };
        let anchor = Anchor { boot: BootId(boot), boot_us: 3_000_000, hub: met.map(Wall), error_ms: 1 };
        Opening { span, anchor: Some(anchor) }
    }

    #[test]
    fn an_epoch_that_met_no_hub_is_between_the_meetings_before_and_after_and_known_by_its_boot_if_that_met_one()
     {
        let hello = crate::receivers::tests::hello();
        let chain = vec![
            opening(1, 71, Some(50_000)),
            opening(2, 72, None),
            // One boot, of which the second process met a hub.
            opening(3, 73, None),
            opening(4, 73, Some(80_000)),
            // Nobody knows which boot that was.
            Opening { anchor: None, ..opening(9, 74, None) },
        ];
        let clock = Stamp { boot_us: 1_000_000, ..hello.clock };
        let hello = Hello { chain, clock, ..hello };
        let now = Now { time: Time(1_000_000_000), wall: Wall(100_000) };
        let clocks = Clocks::greeted(&hello, now, now);
        let at = |epoch, wall| {
            let stamp = Stamp { boot_us: 1_000_000, wall: Wall(wall), uncertainty_ms: u32::MAX };
            let found = clocks.of(Epoch(epoch), now).corrected(stamp);
            (found.wall.0, found.anchored)
        };
        // Its clock stood in 1970, or went ahead: it is from after the one meeting, and before the next.
        assert_eq!(
            (at(2, 0), at(2, 60_000), at(2, i64::MAX)),
            ((50_000, false), (60_000, false), (80_000, false))
        );
        assert_eq!(at(3, 0), (78_000, true), "the same boot was tied to the hub's clock later");
        assert_eq!(
            (at(9, 0), at(9, 200_000)),
            ((80_000, false), (100_000, false)),
            "nothing is from after now"
        );
    }
}
