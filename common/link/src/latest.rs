//! The newest value per changed channel, for those who want the present while the past is still under way
//! (rule 7.7, promise 7).
//!
//! While the link keeps up this costs a reference per commit. Once the oldest unconfirmed seq has waited for a
//! second, the commits since are folded into one value per route. Bounded in routes and bytes; what does not
//! fit is passed over: the backlog brings it anyway.

use riser_model::{RouteNumber, Seq, Time};
use riser_wire::entry::{Body, Kind, frames};
use riser_wire::link::Bytes;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// How long the oldest unconfirmed seq waits before Latest is sent.
pub(crate) const BEHIND_AFTER: Duration = Duration::from_secs(1);
const SEND_EVERY: Duration = Duration::from_millis(200);
const FRAME_BYTES_MAX: i64 = 64 * 1024;
const FIRST_CREDIT: i64 = 8 * 1024;
const ROUTES_MAX: usize = 4096;
const BYTES_MAX: usize = 1024 * 1024;

/// Values, and which of them this session has not sent.
#[derive(Debug, Default)]
pub(crate) struct Latest {
    recent: VecDeque<(Seq, Bytes)>,
    recent_bytes: usize,
    newest: BTreeMap<RouteNumber, (Seq, Bytes)>,
    newest_bytes: usize,
    unsent: BTreeMap<Seq, RouteNumber>,
    credit: i64,
    sent_at: Time,
}

impl Latest {
    /// A commit returned: its first seq and its frames.
    pub(crate) fn added(&mut self, first: Seq, entries: Bytes) {
        self.recent_bytes += entries.len();
        self.recent.push_back((first, entries));
        if self.recent_bytes > BYTES_MAX {
            self.fold();
        }
    }

    /// The hub has everything up to here.
    pub(crate) fn synced(&mut self, through: Seq, last_added: Seq) {
        if through >= last_added {
            self.recent.clear();
            self.recent_bytes = 0;
        }
        // A commit whose successor is confirmed from its start on is confirmed to its end.
        while self.recent.get(1).is_some_and(|(first, _)| *first <= through.next()) {
            if let Some((_, entries)) = self.recent.pop_front() {
                self.recent_bytes -= entries.len();
            }
        }
        if !self.newest.is_empty() {
            let bytes = &mut self.newest_bytes;
            self.newest.retain(|_, (seq, frame)| {
                let keep = *seq > through;
                *bytes -= if keep { 0 } else { frame.len() };
                keep
            });
            self.unsent = self.unsent.split_off(&through.next());
        }
    }

    /// A hub that may know nothing listens.
    pub(crate) fn restart(&mut self, now: Time) {
        self.unsent = self.newest.iter().map(|(route, (seq, _))| (*seq, *route)).collect();
        (self.credit, self.sent_at) = (FIRST_CREDIT, now);
    }

    /// When the next frame may be sent, if there is anything to send.
    pub(crate) fn due(&self) -> Option<Time> {
        (!self.unsent.is_empty() || !self.recent.is_empty()).then(|| self.next_at())
    }

    /// The values to send now, rising: as many as half of the link may carry since the last time.
    pub(crate) fn take(&mut self, bytes_per_s: u64, now: Time) -> Vec<(Seq, RouteNumber, Bytes)> {
        self.fold();
        self.earn(bytes_per_s, now);
        let mut values = Vec::new();
        while self.credit > 0 && values.len() < ROUTES_MAX {
            let Some((seq, route)) = self.unsent.pop_first() else { break };
            if let Some((_, frame)) = self.newest.get(&route) {
                self.credit -= i64::try_from(frame.len()).unwrap_or(i64::MAX);
                values.push((seq, route, frame.clone()));
            }
        }
        values
    }

    /// Half of what the link may carry since the last time may be sent now.
    pub(crate) fn earn(&mut self, bytes_per_s: u64, now: Time) {
        let ms = i64::try_from(now.since(self.sent_at).as_millis()).unwrap_or(i64::MAX);
        let earned = i64::try_from(bytes_per_s / 2).unwrap_or(i64::MAX).saturating_mul(ms) / 1000;
        self.credit = self.credit.saturating_add(earned).min(FRAME_BYTES_MAX);
        self.sent_at = now;
    }

    /// What is left of it, for the present of logs below.
    pub(crate) fn credit(&mut self) -> &mut i64 {
        &mut self.credit
    }

    /// When something may be sent again.
    pub(crate) fn next_at(&self) -> Time {
        self.sent_at.plus(SEND_EVERY)
    }

    /// One value per route out of the commits since.
    pub(crate) fn fold(&mut self) {
        self.recent_bytes = 0;
        for (first, entries) in std::mem::take(&mut self.recent) {
            let mut at = 0;
            for (n, frame) in (0..).zip(frames(&entries).map_while(Result::ok)) {
                let size = frame.size();
                if Body::read(frame.body).is_ok_and(|body| body.kind == Kind::Publication) {
                    // A copy, so that one value does not hold a whole commit in memory.
                    let bytes = Bytes::copy_from_slice(entries.get(at..at + size).unwrap_or_default());
                    self.newer(first.plus(n), frame.route, bytes);
                }
                at += size;
            }
        }
    }

    fn newer(&mut self, seq: Seq, route: RouteNumber, frame: Bytes) {
        self.newest_bytes += frame.len();
        if let Some((before, old)) = self.newest.insert(route, (seq, frame)) {
            self.newest_bytes -= old.len();
            self.unsent.remove(&before);
        }
        self.unsent.insert(seq, route);
        while self.newest.len() > ROUTES_MAX || self.newest_bytes > BYTES_MAX {
            let oldest = self.newest.iter().min_by_key(|(_, (seq, _))| *seq).map(|(route, _)| *route);
            let Some((seq, frame)) = oldest.and_then(|route| self.newest.remove(&route)) else { break };
            self.newest_bytes -= frame.len();
            self.unsent.remove(&seq);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::Stamp;
    use riser_wire::entry::{ContentType, Publication};

    fn entries(routes: &[u32], size: usize) -> Bytes {
        let mut out = Vec::new();
        for route in routes {
            let payload = vec![*route as u8; size];
            Publication::new(ContentType::Octets, &payload).write_frame(
                &mut out,
                RouteNumber(*route),
                Stamp::default(),
            );
        }
        out.into()
    }

    fn seqs(values: &[(Seq, RouteNumber, Bytes)]) -> Vec<(u64, u32)> {
        values.iter().map(|(seq, route, _)| (seq.0, route.0)).collect()
    }

    #[test]
    fn newest_value_per_channel_is_sent_once_and_oldest_change_first() {
        let mut latest = Latest::default();
        latest.restart(Time(0));
        latest.added(Seq(1), entries(&[7, 8, 7], 10));
        latest.added(Seq(4), entries(&[9, 8], 10));
        assert_eq!(seqs(&latest.take(1_000_000, Time(1_000_000_000))), [(3, 7), (4, 9), (5, 8)]);
        assert_eq!(seqs(&latest.take(1_000_000, Time(2_000_000_000))), []);
        latest.added(Seq(6), entries(&[9], 10));
        assert_eq!(seqs(&latest.take(1_000_000, Time(3_000_000_000))), [(6, 9)]);
        latest.restart(Time(3_000_000_000));
        latest.synced(Seq(4), Seq(6));
        assert_eq!(seqs(&latest.take(1_000_000, Time(4_000_000_000))), [(5, 8), (6, 9)]);
        latest.synced(Seq(6), Seq(6));
        assert_eq!(latest.due(), None);
        assert_eq!((latest.newest_bytes, latest.recent_bytes), (0, 0));
    }

    #[test]
    fn latest_takes_at_most_half_of_the_link() {
        let mut latest = Latest::default();
        latest.restart(Time(0));
        let mut sent = 0;
        for n in 0..100 {
            latest.added(Seq(1 + n * 50), entries(&(0..50).collect::<Vec<_>>(), 1000));
            let values = latest.take(20_000, Time(n * 200_000_000));
            sent += values.iter().map(|(_, _, frame)| frame.len()).sum::<usize>();
        }
        assert!((190_000..230_000).contains(&sent), "{sent} of 20 s at 20 kB/s");
    }

    #[test]
    fn latest_is_bounded_in_bytes_and_routes() {
        let mut latest = Latest::default();
        for n in 0..40u64 {
            let routes: Vec<u32> = (0..500).map(|r| n as u32 * 500 + r).collect();
            latest.added(Seq(1 + n * 500), entries(&routes, 100));
        }
        latest.fold();
        assert!(latest.newest.len() <= ROUTES_MAX && latest.newest_bytes <= BYTES_MAX);
        assert_eq!(latest.unsent.len(), latest.newest.len());
        assert_eq!(latest.unsent.last_key_value(), Some((&Seq(20_000), &RouteNumber(19_999))));
    }
}
