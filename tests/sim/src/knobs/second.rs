//! The second act of a run: as much again as makes it as long as a site's, with faults of its own.
//!
//! Whatever is drawn for the first act is drawn as if there were no second one: what a seed once found there it still finds.

use super::Knobs;
use crate::{
    dice::Dice,
    fault::{self, Fault, Planned},
};
use riser_model::Time;
use std::time::Duration;

/// What happens in a second act beside.
#[derive(Clone, Copy, Debug)]
pub struct Later {
    /// How many publications of each device.
    pub publications: u32,
    /// Over so long.
    pub lasts: Duration,
}

/// What some roads suffer.
type OfRoads = fn(u64, &Knobs, &mut fastrand::Rng) -> Vec<Planned>;

impl Knobs {
    /// Goes on: so many publications of each device more, other faults of the same kinds, and other changes of a house. No disk
    /// is meddled with.
    pub(super) fn go_on(&mut self, seed: u64, dice: Dice, publications: u32) {
        let mut rng = dice.stream("second act", 0);
        let (first, whole) = (self.lasts, Duration::from_secs(rng.u64(30..=36) * 60));
        let lasts = whole.saturating_sub(first);
        let moved = |at: Time| at.plus(first);
        if let Some(house) = &mut self.house {
            house.go_on(dice, first, lasts);
        }
        let mut second = Self { lasts, ..self.clone() };
        second.faults = fault::plan(seed, &second, &mut rng);
        second
            .faults
            .retain(|(_, fault)| !matches!(fault, Fault::Flip(_) | Fault::Backup(_) | Fault::Restore(_)));
        let beside: [OfRoads; 5] =
            [fault::writers, fault::guests, fault::readers, fault::callers, fault::talkers];
        for of_roads in beside {
            let more = of_roads(seed, &second, &mut rng);
            second.faults.extend(more);
        }
        self.faults.extend(second.faults.into_iter().map(|(at, fault)| (moved(at), fault)));
        self.second = Some(Later { publications, lasts });
        self.lasts = whole;
        // Who settles does so when the second act ends.
        self.guests.iter_mut().for_each(|guest| guest.settles_at = guest.settles_at.plus(lasts));
        let settling = self.readers.iter_mut().filter(|reader| reader.settles_at < Time(u64::MAX));
        settling.for_each(|reader| reader.settles_at = reader.settles_at.plus(lasts));
    }

    /// How long the first act lasts.
    pub fn first_act(&self) -> Duration {
        self.lasts.saturating_sub(self.second.map_or(Duration::ZERO, |second| second.lasts))
    }
}
