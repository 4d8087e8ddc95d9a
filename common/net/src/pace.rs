//! How fast: what an address may knock, and what a principal may publish, subscribe to and say anew of who it is, each a rate
//! with a second's worth in hand.
//!
//! Whoever is in and does more than its rate is not read from until it is under it again, and all that came counts. A knock over the
//! rate is refused and does not count, so an address whose devices keep knocking is still let in at its rate.

use crate::entrance::Limits;
use riser_model::{ClientId, Time, door::Intake, look::Edit};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// What may come at once beyond the rate.
const BURST: Duration = Duration::from_secs(1);
/// Who says anew who it is too often is read from again after this at the latest.
const RENEWAL_WAITS: Duration = Duration::from_secs(2);

/// One rate. What was taken is due at `due`; how far that lies ahead of now is what was taken beyond the rate.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    due: Time,
}

impl Rate {
    /// Takes so many, at so many per second (0: as many as come). Until when it is too much.
    pub(crate) fn take(&mut self, count: u64, per_second: u64, now: Time) -> Option<Time> {
        self.take_beyond(BURST, count, per_second, now)
    }

    /// As [`Rate::take`], with that much in hand.
    pub(crate) fn take_beyond(
        &mut self,
        burst: Duration,
        count: u64,
        per_second: u64,
        now: Time,
    ) -> Option<Time> {
        let ns = u128::from(count) * 1_000_000_000 / u128::from(per_second.max(1));
        let ns = Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX));
        if per_second == 0 {
            return None;
        }
        self.due = self.due.max(now).plus(ns);
        let ahead = self.due.since(now);
        ahead.checked_sub(burst).filter(|over| !over.is_zero()).map(|over| now.plus(over))
    }

    /// Takes one if that is not too much. Whether it was taken; what was not leaves nothing to make up for.
    pub(crate) fn admits(&mut self, per_second: u64, now: Time) -> bool {
        let before = self.due;
        let admitted = self.take(1, per_second, now).is_none();
        if !admitted {
            self.due = before;
        }
        admitted
    }

    /// Whether nothing is remembered of what was taken.
    pub(crate) fn is_forgotten(&self, now: Time) -> bool {
        self.due <= now
    }
}

/// What one principal does, on all its connections.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<Rates>);

#[derive(Debug, Default)]
struct Rates {
    messages: Rate,
    bytes: Rate,
    subscriptions: Rate,
    renewals: Rate,
}

impl Pace {
    /// Takes a batch of publications. Until when this is more than may come.
    pub(crate) fn take(&self, intake: &Intake, limits: &Limits, now: Time) -> Option<Time> {
        self.take_published(u64::from(intake.count), intake.entries.len() as u64, limits, now)
    }

    /// Takes another wording of a publication: it is one too.
    pub(crate) fn take_edit(&self, edit: &Edit, limits: &Limits, now: Time) -> Option<Time> {
        self.take_published(1, edit.payload.len() as u64, limits, now)
    }

    fn take_published(&self, count: u64, bytes: u64, limits: &Limits, now: Time) -> Option<Time> {
        let mut rates = self.rates();
        let messages = rates.messages.take(count, limits.publications_per_s, now);
        let bytes = rates.bytes.take(bytes, limits.published_bytes_per_s, now);
        messages.max(bytes)
    }

    /// Takes the begin or the end of a subscription. Until when this is more than may come.
    pub(crate) fn take_subscription(&self, limits: &Limits, now: Time) -> Option<Time> {
        self.rates().subscriptions.take(1, limits.subscriptions_per_s, now)
    }

    /// Takes that it says anew who it is. Until when this is more than may come, and no longer than a moment: what it publishes
    /// does not wait until all that are called the same have had their turn.
    pub(crate) fn take_renewal(&self, limits: &Limits, now: Time) -> Option<Time> {
        let until = self.rates().renewals.take(1, limits.renewals_per_s, now)?;
        Some(until.min(now.plus(RENEWAL_WAITS)))
    }

    /// Until when what came before is more than may come.
    pub(crate) fn owes(&self, limits: &Limits, now: Time) -> Option<Time> {
        let mut rates = self.rates();
        let messages = rates.messages.take(0, limits.publications_per_s, now);
        let bytes = rates.bytes.take(0, limits.published_bytes_per_s, now);
        let subscriptions = rates.subscriptions.take(0, limits.subscriptions_per_s, now);
        messages.max(bytes).max(subscriptions)
    }

    fn is_forgotten(&self, now: Time) -> bool {
        let rates = self.rates();
        [rates.messages, rates.bytes, rates.subscriptions, rates.renewals]
            .iter()
            .all(|rate| rate.is_forgotten(now))
    }

    fn rates(&self) -> MutexGuard<'_, Rates> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The paces of those who are connected, and of those who left and have more than their rate behind them: coming back
/// pays nothing off.
#[derive(Debug, Default)]
pub(crate) struct Paces(Mutex<BTreeMap<ClientId, Arc<Pace>>>);

impl Paces {
    /// The one of a principal.
    pub(crate) fn of(&self, client: ClientId, now: Time) -> Arc<Pace> {
        let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pace) = paces.get(&client) {
            return Arc::clone(pace);
        }
        // Now and then those of whom nobody is left and who owe nothing make room.
        if paces.len().is_power_of_two() {
            paces.retain(|_, pace| Arc::strong_count(pace) > 1 || !pace.is_forgotten(now));
        }
        Arc::clone(paces.entry(client).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::{Epoch, LogId, Position, Seq};

    fn at(ms: u64) -> Time {
        Time(1 << 40).plus(Duration::from_millis(ms))
    }

    #[test]
    fn a_second_is_in_hand_and_what_is_beyond_it_waits_for_its_time() {
        let mut rate = Rate::default();
        assert_eq!(rate.take(10, 10, at(0)), None);
        assert_eq!(rate.take(5, 10, at(0)), Some(at(500)));
        assert_eq!(rate.take(0, 10, at(500)), None);
        assert_eq!(rate.take(1, 10, at(500)), Some(at(600)));
        assert!(!rate.is_forgotten(at(1599)) && rate.is_forgotten(at(1600)));
        assert_eq!(rate.take(u64::MAX, 0, at(700)), None, "0 is no bound");
        assert!(rate.take(u64::MAX, 1, at(700)).is_some(), "however much it is");
    }

    #[test]
    fn the_pace_is_the_principals_and_not_a_connections() {
        let paces = Paces::default();
        let of = |n, ms| paces.of(ClientId(uuid::Uuid::from_u128(n)), at(ms));
        let limits = Limits { publications_per_s: 10, ..Limits::default() };
        let batch =
            Intake { ticket: 1, seen: 0, aliases: Vec::new(), entries: vec![0; 10].into(), count: 10 };
        let (one, other) = (of(1, 0), of(1, 0));
        assert_eq!(one.take(&batch, &limits, at(0)), None);
        assert_eq!(other.take(&batch, &limits, at(0)), Some(at(1000)));
        assert_eq!(of(2, 0).take(&batch, &limits, at(0)), None);
        let edit = Edit {
            room: "plant".parse().unwrap(),
            entry: Position { log: LogId(1), epoch: Epoch(1), seq: Seq(1) },
            content_type: String::new(),
            payload: vec![0; 10].into(),
        };
        let rewrites = of(3, 0);
        let owed = (0..11).filter_map(|_| rewrites.take_edit(&edit, &limits, at(0))).last();
        assert_eq!(owed, Some(at(100)), "another wording is a publication too");
        let asks = of(4, 0);
        let limits = Limits { subscriptions_per_s: 2, renewals_per_s: 1, ..limits };
        assert_eq!([0; 3].map(|_| asks.take_subscription(&limits, at(0))), [None, None, Some(at(500))]);
        assert_eq!([0; 2].map(|_| asks.take_renewal(&limits, at(0))), [None, Some(at(1000))]);
        assert_eq!((0..9).filter_map(|_| asks.take_renewal(&limits, at(0))).max(), Some(at(2000)));
        assert_eq!(
            of(4, 0).owes(&limits, at(0)),
            Some(at(500)),
            "who comes owes nothing for who it said it was"
        );
        drop((one, other, asks));
        drop(rewrites);
        (3..100).for_each(|n| drop(of(n, 100)));
        assert!(paces.0.lock().unwrap().len() <= 64);
        assert_eq!(of(1, 100).owes(&limits, at(100)), Some(at(1000)), "who comes back owes what it owed");
        assert_eq!(of(1, 100).take(&batch, &limits, at(100)), Some(at(2000)));
        (200..300).for_each(|n| drop(of(n, 3000)));
        assert_eq!(of(1, 3000).take(&batch, &limits, at(3000)), None, "until its time is over");
    }
}
