//! How much may be unconfirmed: what the link carries in 250 ms, so that what is new never waits long behind
//! what is old (rule 7.6).
//!
//! The rate is what was confirmed between a batch's sending and its confirmation, over that time. The path's own
//! round trip comes on top of the 250 ms: on a path slower than that, a window of exactly 250 ms would measure a
//! lower rate each time it is applied and shrink to nothing. A round trip is the path's own only with nothing
//! else under way, so every 10 s the window runs empty and a small batch goes alone.

use riser_model::{Cause, Epoch, Seq, Time};
use std::{collections::VecDeque, time::Duration};

const AT_MOST: Duration = Duration::from_millis(250);
const BYTES_MIN: u64 = 8 * 1024;
const BYTES_FIRST: u64 = 16 * 1024;
const BYTES_ALONE: u64 = 1024;
const BYTES_ALONE_MAX: u64 = 4 * 1024;
const BYTES_MAX: u64 = 4 * 1024 * 1024;
const BATCHES_MAX: usize = 256;
/// How long a measured round trip is believed.
const PATH_FOR: Duration = Duration::from_secs(10);
/// The first one may have been an accident.
const PATH_FIRST_FOR: Duration = Duration::from_secs(1);

/// A batch that was sent and not confirmed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Unconfirmed {
    pub(crate) epoch: Epoch,
    pub(crate) last: Seq,
    pub(crate) bytes: u64,
    /// Of the entry at `last`; 0 if that is none.
    pub(crate) crc: u32,
    pub(crate) gaps: Vec<(Seq, Seq, Cause)>,
    /// Whether there is nothing in it that is meant for the receiver.
    pub(crate) skips_only: bool,
}

#[derive(Debug)]
struct Sent {
    batch: Unconfirmed,
    at: Time,
    confirmed_bytes: u64,
    confirmed_at: Time,
    /// There was nothing more to send: what this measures is the publishers' rate, not the link's.
    starved: bool,
    /// Nothing else was under way, and it was small: its round trip is the path's.
    alone: bool,
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
    path: Option<Duration>,
    path_old: bool,
    path_until: Time,
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
            path: None,
            path_old: false,
            path_until: now,
        }
    }

    /// How many bytes may be under way.
    pub(crate) fn size(&self) -> u64 {
        let Some(rate) = self.bytes_per_s else { return BYTES_FIRST.min(self.bytes_max) };
        let ms = u64::try_from((AT_MOST + self.path.unwrap_or_default()).as_millis()).unwrap_or(u64::MAX);
        (rate.saturating_mul(ms) / 1000).max(BYTES_MIN).min(self.bytes_max)
    }

    /// How many bytes the next batch may have, if one may be sent now. A quarter of the window: the link carries
    /// one while the confirmation of another is on its way.
    pub(crate) fn room(&self, now: Time) -> Option<u64> {
        if now >= self.path_until {
            return self.sent.is_empty().then_some(BYTES_ALONE.min(self.bytes_max));
        }
        let (size, used) = (self.size(), self.bytes);
        let quarter = (size / 4).max(BYTES_ALONE);
        (used + quarter <= size.max(quarter) && self.sent.len() < BATCHES_MAX).then_some(quarter)
    }

    /// Measured bytes per second, once something was confirmed.
    pub(crate) fn rate(&self) -> Option<u64> {
        self.bytes_per_s
    }

    /// Whether nothing is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Since when the oldest batch under way waits for anything to be confirmed.
    pub(crate) fn waiting_since(&self) -> Option<Time> {
        self.sent.front().map(|oldest| oldest.at.max(self.confirmed_at))
    }

    /// When the newest of what is under way was sent.
    pub(crate) fn newest(&self) -> Option<Time> {
        self.sent.back().map(|newest| newest.at)
    }

    /// A batch was sent; `starved` if there was nothing more.
    pub(crate) fn sent(&mut self, batch: Unconfirmed, starved: bool, now: Time) {
        let alone = self.sent.is_empty() && batch.bytes <= BYTES_ALONE_MAX;
        if self.sent.is_empty() {
            self.confirmed_at = now;
        }
        if now >= self.path_until {
            // If this one is too large to tell, soon again.
            self.path_old = true;
            let first = self.bytes_per_s.is_none() || !alone;
            self.path_until = now.plus(if first { PATH_FIRST_FOR } else { PATH_FOR });
        }
        self.bytes += batch.bytes;
        let (confirmed_bytes, confirmed_at) = (self.confirmed_bytes, self.confirmed_at);
        self.sent.push_back(Sent { batch, at: now, confirmed_bytes, confirmed_at, starved, alone });
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
        if sent.alone {
            let took = now.since(sent.at);
            let known = self.path.filter(|_| !std::mem::take(&mut self.path_old));
            self.path = Some(known.map_or(took, |path| path.min(took)));
        }
        let micros = u64::try_from(now.since(sent.confirmed_at).as_micros()).unwrap_or(u64::MAX).max(1);
        let sample = (self.confirmed_bytes - sent.confirmed_bytes).saturating_mul(1_000_000) / micros;
        // What went alone, or with nothing behind it, says how little was sent, not how much would have passed.
        let small = sent.starved || sent.alone;
        self.bytes_per_s = Some(match self.bytes_per_s {
            Some(rate) if small && sample < rate => rate,
            Some(rate) => rate - rate / 4 + sample / 4,
            None => sample,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(last: u64, bytes: u64) -> Unconfirmed {
        Unconfirmed { epoch: Epoch(1), last: Seq(last), bytes, crc: 0, gaps: Vec::new(), skips_only: false }
    }

    /// A link that carries so many bytes per second, after half of a round trip: the window it settles at.
    fn settled(bytes_per_s: u64, round_trip: Duration) -> (u64, Duration) {
        let mut window = Window::new(u64::MAX, Time(0));
        let (mut now, mut free, mut n) = (Time(0), Time(0), 0);
        let mut under_way: VecDeque<(Time, u64)> = VecDeque::new();
        let mut longest = Duration::ZERO;
        for round in 0..1500 {
            while let Some(room) = window.room(now) {
                n += 1;
                let bytes = room.min(256 * 1024);
                window.sent(batch(n, bytes), false, now);
                free = free.max(now).plus(Duration::from_nanos(bytes * 1_000_000_000 / bytes_per_s));
                under_way.push_back((free.plus(round_trip), n));
                if round > 500 {
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
        window.path = Some(Duration::ZERO);
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
