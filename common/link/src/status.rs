//! What a link says about itself: "connected" means "flowing" (promise 5).

use riser_model::{HubIdentity, Seq, Time};
use std::{collections::VecDeque, time::Duration};

/// The state of one uplink at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// Whether a hub welcomed the current connection. Says nothing about flow.
    pub welcomed: bool,
    /// Time since `last_synced` advanced or equalled `last_added`: the link's state, in one number.
    pub since_flow: Duration,
    /// The newest seq of the log.
    pub last_added: Seq,
    /// The newest seq that the hub confirmed.
    pub last_synced: Seq,
    /// How long the oldest unconfirmed seq has been waiting; none if there is none.
    pub oldest_waits: Option<Duration>,
    /// Seqs confirmed per second, lately; none if nothing was.
    pub drain_per_s: Option<u64>,
    /// When the backlog will be drained at that rate.
    pub drained_in: Option<Duration>,
    /// What the link was measured to carry, bytes of entries before compression.
    pub bytes_per_s: Option<u64>,
    /// The hub that `last_synced` is about.
    pub hub: Option<HubIdentity>,
    /// Nothing is sent before somebody above the hub has everything up to here, which a former parent confirmed and this
    /// log no longer has.
    pub awaits: Option<Seq>,
}

impl Status {
    /// How many seqs the hub has not confirmed.
    pub fn lag(&self) -> u64 {
        self.last_added.0.saturating_sub(self.last_synced.0)
    }
}

const MARKS_MAX: usize = 128;
const MARK_EVERY: Duration = Duration::from_millis(50);
const DRAIN_OVER: Duration = Duration::from_secs(1);
const DRAIN_FORGOTTEN_AFTER: Duration = Duration::from_secs(5);

/// When things were added and confirmed.
#[derive(Debug)]
pub(crate) struct Progress {
    /// From which seq on entries were added at that time or later; thinned out where there are many.
    marks: VecDeque<(Seq, Time)>,
    flowed_at: Time,
    counting_since: Time,
    counted: u64,
    per_s: Option<u64>,
}

impl Progress {
    /// Of a log that was just opened, with a backlog of unknown age or without any.
    pub(crate) fn new(synced: Seq, added: Seq, now: Time) -> Self {
        let mut marks = VecDeque::new();
        if added > synced {
            marks.push_back((synced.next(), Time(0)));
        }
        Self { marks, flowed_at: now, counting_since: now, counted: 0, per_s: None }
    }

    pub(crate) fn added(&mut self, first: Seq, now: Time) {
        match self.marks.back() {
            None => {
                self.flowed_at = now;
                self.marks.push_back((first, now));
            }
            Some((_, at)) if now.since(*at) >= MARK_EVERY => {
                if self.marks.len() >= MARKS_MAX {
                    let mut keep = false;
                    self.marks.retain(|_| {
                        keep = !keep;
                        keep
                    });
                }
                self.marks.push_back((first, now));
            }
            Some(_) => {}
        }
    }

    pub(crate) fn synced(&mut self, through: Seq, last_added: Seq, count: u64, now: Time) {
        self.flowed_at = now;
        if through >= last_added {
            self.marks.clear();
        }
        while self.marks.get(1).is_some_and(|(first, _)| *first <= through.next()) {
            self.marks.pop_front();
        }
        self.counted += count;
        let over = now.since(self.counting_since);
        if over >= DRAIN_OVER {
            let ms = u64::try_from(over.as_millis()).unwrap_or(u64::MAX).max(1);
            let sample = self.counted.saturating_mul(1000) / ms;
            let fresh = self.per_s.filter(|_| over < DRAIN_FORGOTTEN_AFTER);
            self.per_s = Some(fresh.map_or(sample, |rate| (rate + sample) / 2));
            (self.counted, self.counting_since) = (0, now);
        }
    }

    /// The hub lost what it had: it waits again, since nobody knows when.
    pub(crate) fn rewound(&mut self, through: Seq, last_added: Seq) {
        if through < last_added {
            self.marks.push_front((through.next(), Time(0)));
        }
    }

    /// How long the oldest unconfirmed seq has been waiting.
    pub(crate) fn oldest_waits(&self, now: Time) -> Option<Duration> {
        self.marks.front().map(|(_, at)| now.since(*at))
    }

    /// When the oldest unconfirmed seq will have waited so long.
    pub(crate) fn waited(&self, long: Duration) -> Option<Time> {
        self.marks.front().map(|(_, at)| at.plus(long))
    }

    pub(crate) fn since_flow(&self, now: Time) -> Duration {
        if self.marks.is_empty() { Duration::ZERO } else { now.since(self.flowed_at) }
    }

    pub(crate) fn drain_per_s(&self, now: Time) -> Option<u64> {
        self.per_s.filter(|_| now.since(self.counting_since) < DRAIN_FORGOTTEN_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time(ms * 1_000_000)
    }

    #[test]
    fn state_is_the_time_since_the_link_flowed_or_had_nothing_to_carry() {
        let mut progress = Progress::new(Seq(0), Seq(0), at(0));
        assert_eq!(progress.since_flow(at(60_000)), Duration::ZERO);
        progress.added(Seq(1), at(60_000));
        progress.added(Seq(2), at(61_000));
        assert_eq!(progress.since_flow(at(62_000)), Duration::from_secs(2));
        assert_eq!(progress.oldest_waits(at(62_000)), Some(Duration::from_secs(2)));
        progress.synced(Seq(1), Seq(2), 1, at(62_000));
        assert_eq!(progress.since_flow(at(63_000)), Duration::from_secs(1));
        assert_eq!(progress.oldest_waits(at(63_000)), Some(Duration::from_secs(2)));
        progress.synced(Seq(2), Seq(2), 1, at(63_000));
        assert_eq!(progress.since_flow(at(99_000)), Duration::ZERO);
    }

    #[test]
    fn marks_are_bounded_and_never_make_anything_younger() {
        let mut progress = Progress::new(Seq(0), Seq(0), at(0));
        for n in 0..100_000 {
            progress.added(Seq(n + 1), at(n * 100));
            assert!(progress.marks.len() <= MARKS_MAX);
        }
        progress.synced(Seq(50_000), Seq(100_000), 1, at(10_000_000));
        assert!(progress.oldest_waits(at(10_000_000)) >= Some(Duration::from_secs(5000)));
    }

    #[test]
    fn drain_rate_is_of_late() {
        let mut progress = Progress::new(Seq(0), Seq(10_000), at(0));
        for n in 1..=50 {
            progress.synced(Seq(n * 100), Seq(10_000), 100, at(n * 100));
        }
        let rate = progress.drain_per_s(at(5_000)).unwrap();
        assert!((900..=1100).contains(&rate), "{rate}");
        assert_eq!(progress.drain_per_s(at(20_000)), None);
    }
}
