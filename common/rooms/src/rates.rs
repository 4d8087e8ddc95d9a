//! How much went through something lately: over the last whole second and the last minute.
//!
//! Kept by noting the count as it was when a second or a span of five began, once for every batch that brings
//! anything. What was quiet costs nothing.

use crate::statistics::Traffic;
use riser_model::{Time, look};
use std::collections::VecDeque;

const SPAN_S: u64 = 5;
const SPANS: u64 = 60 / SPAN_S;

/// Publications and bytes, since the process started.
type Count = (u64, u64);

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rates {
    /// The second that is counted, what there was when it began, and what the one before it brought.
    second: u64,
    began_with: Count,
    before: Count,
    /// Spans in which anything came, the oldest first, and what there was when each began.
    spans: VecDeque<(u64, Count)>,
}

fn second(now: Time) -> u64 {
    now.0 / 1_000_000_000
}

fn less((messages, bytes): Count, (fewer, smaller): Count) -> Count {
    (messages.saturating_sub(fewer), bytes.saturating_sub(smaller))
}

fn count(traffic: &Traffic) -> Count {
    (traffic.messages, traffic.bytes)
}

impl Rates {
    /// Of something of which so much was counted before.
    pub(crate) fn since(traffic: &Traffic, now: Time) -> Self {
        Self { second: second(now), began_with: count(traffic), ..Self::default() }
    }

    /// Whether nothing came for as long as they reach back.
    pub(crate) fn is_quiet(&self, now: Time) -> bool {
        self.spans.back().is_none_or(|(last, _)| last + SPANS < second(now) / SPAN_S)
    }

    /// More is about to be counted than there is up to now.
    pub(crate) fn roll(&mut self, traffic: &Traffic, now: Time) {
        let (second, so_far) = (second(now), count(traffic));
        if second != self.second {
            let came = less(so_far, self.began_with);
            self.before = if second == self.second + 1 { came } else { (0, 0) };
            (self.second, self.began_with) = (second, so_far);
        }
        let span = second / SPAN_S;
        if self.spans.back().is_none_or(|(last, _)| *last != span) {
            self.spans.push_back((span, so_far));
        }
        while self.spans.front().is_some_and(|(first, _)| first + SPANS < span) {
            self.spans.pop_front();
        }
    }

    /// What there was, all in all and lately.
    pub(crate) fn at(&self, traffic: &Traffic, now: Time) -> look::Rates {
        let (this, so_far) = (second(now), count(traffic));
        let last_second = if this == self.second {
            self.before
        } else if this == self.second + 1 {
            less(so_far, self.began_with)
        } else {
            (0, 0)
        };
        let span = this / SPAN_S;
        let first = self.spans.iter().find(|(at, _)| at + SPANS >= span);
        let minute = first.map_or((0, 0), |(_, began_with)| less(so_far, *began_with));
        let (messages, bytes) = so_far;
        look::Rates { messages, bytes, second: last_second, minute }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::Wall;

    fn at(ms: u64) -> Time {
        Time(ms * 1_000_000)
    }

    /// Rates over the second and the minute, with one message of ten bytes at each of these milliseconds.
    fn lately(times: &[u64], now: u64) -> (u64, u64) {
        let (mut rates, mut traffic) = (Rates::default(), Traffic::default());
        for ms in times {
            rates.roll(&traffic, at(*ms));
            traffic.add(10, Wall(0));
        }
        let found = rates.at(&traffic, at(now));
        assert_eq!(found.messages, times.len() as u64);
        assert_eq!((found.second.1, found.minute.1), (found.second.0 * 10, found.minute.0 * 10));
        (found.second.0, found.minute.0)
    }

    #[test]
    fn the_last_second_is_the_last_whole_one() {
        let times = [10_000, 10_500, 11_000, 11_999];
        assert_eq!(lately(&times, 11_999).0, 2);
        assert_eq!(lately(&times, 12_000).0, 2);
        assert_eq!(lately(&times, 13_000).0, 0);
        assert_eq!(lately(&times[..2], 10_999).0, 0, "it is not over yet");
        assert_eq!(lately(&[10_000, 20_000], 20_500).0, 0, "the second before was quiet");
    }

    #[test]
    fn the_last_minute_reaches_back_a_minute_and_no_more_than_a_span_beyond() {
        let every_second: Vec<u64> = (0..200).map(|n| n * 1000).collect();
        for now in [199_000, 199_999, 203_000] {
            let minute = lately(&every_second, now).1;
            assert!((60..=65).contains(&minute) || now > 200_000 && minute >= 55, "{minute} at {now}");
        }
        assert_eq!(lately(&every_second, 300_000).1, 0);
        assert_eq!(lately(&[1000], 30_000).1, 1);
    }

    #[test]
    fn parts_add_up_to_the_whole_at_any_moment() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut parts = vec![(Rates::default(), Traffic::default()); 3];
        let mut whole = (Rates::default(), Traffic::default());
        let mut ms = 0;
        for _ in 0..5000 {
            ms += rng.u64(0..400) * rng.u64(0..4);
            let part = rng.usize(0..3);
            for (rates, traffic) in [&mut whole, &mut parts[part]] {
                rates.roll(traffic, at(ms));
                traffic.add(7, Wall(0));
            }
            let now = at(ms + rng.u64(0..70_000));
            let sum = |of: fn(look::Rates) -> u64| {
                parts.iter().map(|(rates, traffic)| of(rates.at(traffic, now))).sum::<u64>()
            };
            let all = whole.0.at(&whole.1, now);
            assert_eq!(all.second.0, sum(|r| r.second.0));
            assert_eq!(all.minute.0, sum(|r| r.minute.0));
            assert_eq!(all.messages, sum(|r| r.messages));
        }
    }
}
