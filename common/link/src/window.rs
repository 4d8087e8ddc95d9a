//! How much may be unconfirmed: what the link carries in 250 ms, so that what is new never waits long behind
//! what is old (rule 7.6).
//!
//! The rate is what was confirmed between a batch's sending and its confirmation, over that time. The path's own
//! round trip comes on top of the 250 ms: on a path slower than that, a window of exactly 250 ms would measure a
//! lower rate each time it is applied and shrink to nothing.

use riser_model::{Cause, Epoch, Seq, Time};
use std::{collections::VecDeque, time::Duration};

const AT_MOST: Duration = Duration::from_millis(250);
const BYTES_MIN: u64 = 8 * 1024;
const BYTES_FIRST: u64 = 16 * 1024;
const BYTES_MAX: u64 = 4 * 1024 * 1024;
const BATCHES_MAX: usize = 256;
/// A route may change under a connection: the shortest round trip is forgotten after two of these.
const ROUND_TRIP_FOR: Duration = Duration::from_secs(10);

/// A batch that was sent and not confirmed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Unconfirmed {
    pub(crate) epoch: Epoch,
    pub(crate) last: Seq,
    pub(crate) bytes: u64,
    /// Of the entry at `last`; 0 if that is none.
    pub(crate) crc: u32,
    pub(crate) gaps: Vec<(Seq, Seq, Cause)>,
}

#[derive(Debug)]
struct Sent {
    batch: Unconfirmed,
    at: Time,
    confirmed_bytes: u64,
    confirmed_at: Time,
    /// There was nothing more to send: what this measures is the publishers' rate, not the link's.
    starved: bool,
}

/// The batches under way on one connection, and what the link was measured to carry.
#[derive(Debug)]
pub(crate) struct Window {
    sent: VecDeque<Sent>,
    bytes: u64,
    bytes_max: u64,
    confirmed_bytes: u64,
    confirmed_at: Time,
    bytes_per_s: Option<u64>,
    round_trips: [Option<Duration>; 2],
    round_trips_since: Time,
}

impl Window {
    /// For a hub that takes so much unconfirmed.
    pub(crate) fn new(bytes_max: u64, now: Time) -> Self {
        Self {
            sent: VecDeque::new(),
            bytes: 0,
            bytes_max: bytes_max.clamp(1, BYTES_MAX),
            confirmed_bytes: 0,
            confirmed_at: now,
            bytes_per_s: None,
            round_trips: [None; 2],
            round_trips_since: now,
        }
    }

    /// How many bytes may be under way.
    pub(crate) fn size(&self) -> u64 {
        let Some(rate) = self.bytes_per_s else { return BYTES_FIRST.min(self.bytes_max) };
        let path = self.round_trips.iter().flatten().min().copied().unwrap_or_default();
        let ms = u64::try_from((AT_MOST + path).as_millis()).unwrap_or(u64::MAX);
        (rate.saturating_mul(ms) / 1000).max(BYTES_MIN).min(self.bytes_max)
    }

    /// How many bytes may be sent now. Less than a quarter of the window is not worth a batch.
    pub(crate) fn room(&self) -> Option<u64> {
        let (size, used) = (self.size(), self.bytes);
        let room = size.saturating_sub(used);
        (room >= (size / 4).max(1) && self.sent.len() < BATCHES_MAX).then_some(room)
    }

    /// Measured bytes per second, once something was confirmed.
    pub(crate) fn rate(&self) -> Option<u64> {
        self.bytes_per_s
    }

    /// Whether nothing is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// A batch was sent; `starved` if there was nothing more.
    pub(crate) fn sent(&mut self, batch: Unconfirmed, starved: bool, now: Time) {
        if self.sent.is_empty() {
            self.confirmed_at = now;
        }
        self.bytes += batch.bytes;
        let (confirmed_bytes, confirmed_at) = (self.confirmed_bytes, self.confirmed_at);
        self.sent.push_back(Sent { batch, at: now, confirmed_bytes, confirmed_at, starved });
    }

    /// The hub has everything up to the end of a batch: the batches that this confirms, oldest first. `None` if
    /// that is no batch's end.
    pub(crate) fn confirmed(&mut self, epoch: Epoch, through: Seq, now: Time) -> Option<Vec<Unconfirmed>> {
        let at = self.sent.iter().position(|s| s.batch.epoch == epoch && s.batch.last == through)?;
        let done: Vec<Sent> = self.sent.drain(..=at).collect();
        let bytes: u64 = done.iter().map(|s| s.batch.bytes).sum();
        self.bytes -= bytes;
        self.confirmed_bytes += bytes;
        self.confirmed_at = now;
        if let Some(newest) = done.last() {
            self.measure(newest, now);
        }
        Some(done.into_iter().map(|s| s.batch).collect())
    }

    /// The batches that were under way when the connection ended.
    pub(crate) fn into_unconfirmed(self) -> Vec<Unconfirmed> {
        self.sent.into_iter().map(|s| s.batch).collect()
    }

    fn measure(&mut self, sent: &Sent, now: Time) {
        self.round_trip(now.since(sent.at), now);
        let micros = u64::try_from(now.since(sent.confirmed_at).as_micros()).unwrap_or(u64::MAX).max(1);
        let sample = (self.confirmed_bytes - sent.confirmed_bytes).saturating_mul(1_000_000) / micros;
        self.bytes_per_s = Some(match self.bytes_per_s {
            Some(rate) if sent.starved && sample < rate => rate,
            Some(rate) => rate - rate / 4 + sample / 4,
            None => sample,
        });
    }

    fn round_trip(&mut self, took: Duration, now: Time) {
        let [newer, older] = &mut self.round_trips;
        if now.since(self.round_trips_since) > ROUND_TRIP_FOR {
            self.round_trips_since = now;
            *older = newer.take();
        }
        *newer = Some(newer.map_or(took, |shortest| shortest.min(took)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(last: u64, bytes: u64) -> Unconfirmed {
        Unconfirmed { epoch: Epoch(1), last: Seq(last), bytes, crc: 0, gaps: Vec::new() }
    }

    /// A link that carries so many bytes per second, after half of a round trip: the window it settles at.
    fn settled(bytes_per_s: u64, round_trip: Duration) -> (u64, Duration) {
        let mut window = Window::new(u64::MAX, Time(0));
        let (mut now, mut free, mut n) = (Time(0), Time(0), 0);
        let mut under_way: VecDeque<(Time, u64)> = VecDeque::new();
        let mut longest = Duration::ZERO;
        for round in 0..3000 {
            while let Some(room) = window.room() {
                n += 1;
                let bytes = room.min(256 * 1024);
                window.sent(batch(n, bytes), false, now);
                free = free.max(now).plus(Duration::from_nanos(bytes * 1_000_000_000 / bytes_per_s));
                under_way.push_back((free.plus(round_trip), n));
                if round > 1000 {
                    longest = longest.max(free.since(now));
                }
            }
            let (at, n) = under_way.pop_front().unwrap();
            now = now.max(at);
            window.confirmed(Epoch(1), Seq(n), now).unwrap();
        }
        (window.size(), longest)
    }

    #[test]
    fn unconfirmed_bytes_settle_at_a_quarter_second_of_the_link() {
        for (rate, round_trip) in [(100_000, 20), (1_000_000, 5), (10_000_000, 50), (1_000_000, 600)] {
            let (size, longest) = settled(rate, Duration::from_millis(round_trip));
            let carried = rate * (250 + round_trip) / 1000;
            assert!(
                size > carried / 2 && size < carried * 2,
                "{rate} {round_trip}: {size}, carried {carried}"
            );
            assert!(longest < Duration::from_millis(600), "{rate} {round_trip}: queued for {longest:?}");
        }
    }

    #[test]
    fn a_slow_or_fast_link_stays_within_bounds() {
        assert_eq!(settled(1000, Duration::from_millis(100)).0, BYTES_MIN);
        assert_eq!(settled(1_000_000_000, Duration::from_millis(1)).0, BYTES_MAX);
    }

    #[test]
    fn publishers_that_pause_do_not_shrink_the_window() {
        let mut window = Window::new(u64::MAX, Time(0));
        window.sent(batch(1, 1_000_000), false, Time(0));
        window.confirmed(Epoch(1), Seq(1), Time(100_000_000)).unwrap();
        let size = window.size();
        for n in 2..100 {
            let now = Time(n * 1_000_000_000);
            window.sent(batch(n, 100), true, now);
            window.confirmed(Epoch(1), Seq(n), now.plus(Duration::from_millis(1))).unwrap();
        }
        assert!(window.size() >= size * 9 / 10, "{} < {size}", window.size());
    }

    #[test]
    fn only_the_end_of_a_batch_is_a_confirmation() {
        let mut window = Window::new(u64::MAX, Time(0));
        window.sent(batch(5, 1), false, Time(0));
        window.sent(batch(9, 1), false, Time(0));
        assert_eq!(window.confirmed(Epoch(1), Seq(7), Time(1)), None);
        assert_eq!(window.confirmed(Epoch(2), Seq(5), Time(1)), None);
        assert_eq!(window.confirmed(Epoch(1), Seq(9), Time(1)).map(|c| c.len()), Some(2));
        assert!(window.is_empty());
    }
}
