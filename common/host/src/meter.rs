//! What a host does, as metrics and health.

use crate::host::Watch;
use riser_instance::Instance;
use riser_model::{Audited, door::Code};
use riser_rooms::statistics::{Counters, Statistics};
use riser_shell::{Health, Metrics, storage::Answer};
use std::sync::Arc;
use tokio::sync::mpsc::Sender;

/// Counts what storage answers and who is refused, and hands on what is to be written down.
#[derive(Clone, Debug)]
pub struct Meter {
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
    /// Where it is said that the log fails.
    pub health: Arc<Health>,
    /// Where it is written down who was let in and who was not, if it is.
    pub audit: Option<Sender<Audited>>,
}

impl Watch for Meter {
    fn stored(&mut self, answer: &Answer) {
        match answer {
            Answer::Persisted { committed, took, status, .. } => {
                self.metrics.log_commits.inc();
                self.metrics.log_written.inc_by(committed.bytes_written);
                self.metrics.log_sync.observe(took.as_secs_f64());
                self.metrics.log_used.set(status.bytes);
                self.metrics.log_quota.set(status.quota);
                self.metrics.log_end.set(committed.last.0);
                self.metrics.log_failures.inc_by(u64::from(committed.gave_up.is_some()));
                self.health.log_failing(None);
            }
            Answer::Failed { reason, .. } => {
                self.metrics.log_failures.inc();
                self.health.log_failing(Some(reason.clone()));
            }
            Answer::Trimmed { gaps, .. } => {
                for gap in gaps {
                    self.metrics.gone(gap.cause, gap.count());
                }
            }
            Answer::Recovered => self.health.log_failing(None),
            Answer::Archived { status, let_go, failing, .. } => {
                self.metrics.archive_used.set(status.bytes);
                self.metrics.archive_aside.set(status.aside);
                self.metrics.archive_quota.set(status.quota);
                self.metrics.archive_volumes.set(status.volumes);
                self.metrics.archive_let_go.inc_by(let_go.map_or(0, |(seqs, _)| seqs));
                self.metrics.archive_failing.set(u64::from(failing.is_some()));
            }
            Answer::ArchiveOpened { amiss: files, .. } | Answer::ArchiveDamaged { volumes: files } => {
                self.metrics.archive_amiss.inc_by(*files);
            }
            Answer::Read { .. } | Answer::Routes(_) | Answer::Pasts(_) | Answer::Saved { .. } => {}
        }
    }

    fn refused(&mut self, code: Code) {
        self.metrics.turned_away(code);
    }

    fn audited(&mut self, audited: Audited) {
        let full = self.audit.as_ref().is_some_and(|audit| audit.try_send(audited).is_err());
        if full {
            self.metrics.accounts.unaudited.inc();
        }
    }
}

/// Brings what an instance counts into metrics: what was added since the last time, and how much there is.
#[derive(Debug, Default)]
pub struct InstanceMeter {
    last: Counters,
    unreadable: u64,
    unfinished: u64,
}

/// What an instance says of itself.
#[derive(Clone, Debug)]
pub struct InstanceLook {
    /// Its rooms.
    pub statistics: Statistics,
    /// MQTT sessions, with or without a connection.
    pub sessions: usize,
    /// Entries about them that were not understood.
    pub unreadable: u64,
    /// Publications that wait for their outcome, and those of which it was forgotten.
    pub outcomes: (usize, u64),
    /// What they took from groups and had not finished when they ended.
    pub unfinished: u64,
    /// Connections behind edges that are not kept for want of room, of those that came since the log was begun.
    pub beyond: u64,
}

impl InstanceLook {
    /// At this moment.
    pub fn at(instance: &Instance) -> Self {
        let (unreadable, unfinished) = (instance.unreadable(), instance.unfinished());
        let (statistics, outcomes) = (instance.bus().statistics(), instance.outcomes());
        let (sessions, beyond) = (instance.sessions(), instance.beyond());
        Self { statistics, sessions, unreadable, unfinished, outcomes, beyond }
    }
}

impl InstanceMeter {
    /// Takes it over. Nothing that the rooms count may be left out: a new counter does not compile here.
    pub fn read(&mut self, metrics: &Metrics, look: &InstanceLook) {
        let Statistics {
            rooms: _,
            connections,
            subscriptions,
            routes,
            retained,
            tail_bytes,
            unstored_bytes,
            chunks_bytes,
            counters,
        } = &look.statistics;
        let bus = &metrics.bus;
        for (level, now) in [
            (&metrics.connections, *connections),
            (&bus.subscriptions, *subscriptions),
            (&bus.routes, *routes),
            (&bus.retained, *retained),
            (&bus.tail, *tail_bytes),
            (&bus.unstored, *unstored_bytes),
            (&bus.chunks, *chunks_bytes),
            (&bus.sessions, look.sessions),
            (&metrics.outcomes_pending, look.outcomes.0),
        ] {
            level.set(now as u64);
        }
        metrics.outcomes_forgotten.set(look.outcomes.1);
        metrics.presence_beyond.set(look.beyond);
        let Counters {
            refused,
            failed,
            committed,
            delivered,
            skipped,
            gapped,
            coalesced,
            unsaid,
            outcomes,
            void,
            quarantined,
            unretained,
            over_quota,
            latest_discarded,
            chunks_discarded,
            visitors_refused,
            strays,
        } = counters;
        let last = &self.last;
        for (counter, now, last) in [
            (&metrics.publications_accepted, committed, last.committed),
            (&metrics.deliveries, delivered, last.delivered),
            (&metrics.deliveries_skipped, skipped, last.skipped),
            (&metrics.events_coalesced, coalesced, last.coalesced),
            (&metrics.publications_void, void, last.void),
            (&metrics.outcomes, outcomes, last.outcomes),
            (&bus.failed, failed, last.failed),
            (&bus.gapped, gapped, last.gapped),
            (&bus.quarantined, quarantined, last.quarantined),
            (&bus.unretained, unretained, last.unretained),
            (&bus.over_quota, over_quota, last.over_quota),
            (&bus.latest_discarded, latest_discarded, last.latest_discarded),
            (&bus.chunks_discarded, chunks_discarded, last.chunks_discarded),
            (&bus.unsaid, unsaid, last.unsaid),
            (&bus.visitors_refused, visitors_refused, last.visitors_refused),
            (&bus.strays, strays, last.strays),
            (&bus.unreadable, &look.unreadable, self.unreadable),
            (&bus.unfinished, &look.unfinished, self.unfinished),
        ] {
            counter.inc_by(now - last);
        }
        for (code, (now, last)) in Code::ALL.into_iter().zip(refused.iter().zip(&last.refused)) {
            metrics.refused(code, now - last);
        }
        self.last = counters.clone();
        (self.unreadable, self.unfinished) = (look.unreadable, look.unfinished);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_of_the_rooms_is_a_metric_and_is_added_once() {
        let (metrics, mut meter) = (Metrics::new("edge", "0"), InstanceMeter::default());
        let mut refused = [0; Code::ALL.len()];
        refused[Code::Denied as usize] = 13;
        let counters = Counters {
            refused,
            failed: 2,
            committed: 3,
            delivered: 4,
            skipped: 5,
            gapped: 6,
            coalesced: 7,
            unsaid: 34,
            outcomes: 14,
            void: 15,
            quarantined: 8,
            unretained: 9,
            over_quota: 31,
            latest_discarded: 10,
            chunks_discarded: 11,
            visitors_refused: 33,
            strays: 12,
        };
        let statistics = Statistics {
            rooms: Vec::new(),
            connections: 21,
            subscriptions: 22,
            routes: 23,
            retained: 24,
            tail_bytes: 25,
            unstored_bytes: 26,
            chunks_bytes: 27,
            counters,
        };
        let (unreadable, unfinished, outcomes) = (29, 30, (16, 17));
        let look = InstanceLook { statistics, sessions: 28, unreadable, unfinished, outcomes, beyond: 32 };
        meter.read(&metrics, &look);
        meter.read(&metrics, &look);
        let text = metrics.encode();
        for line in [
            "publications_refused_total{code=\"denied\"} 13",
            "entries_failed_total 2",
            "publications_accepted_total 3",
            "deliveries_total 4",
            "deliveries_skipped_total 5",
            "deliveries_gapped_total 6",
            "events_coalesced_total 7",
            "channels_quarantined_total 8",
            "publications_unretained_total 9",
            "room_quota_exceeded_total 31",
            "latest_discarded_total 10",
            "chunks_discarded_total 11",
            "events_unsaid_total 34",
            "visitors_refused_total 33",
            "inputs_stray_total 12",
            "connections 21",
            "subscriptions 22",
            "routes 23",
            "channels_retaining 24",
            "tail_bytes 25",
            "unstored_bytes 26",
            "chunks_bytes 27",
            "mqtt_sessions 28",
            "sessions_unreadable_total 29",
            "outcomes_total 14",
            "publications_void_total 15",
            "outcomes_pending 16",
            "outcomes_forgotten 17",
            "presence_beyond 32",
            "group_deliveries_unfinished_total 30",
        ] {
            assert!(text.lines().any(|of| of.strip_prefix("riser_") == Some(line)), "{line} in\n{text}");
        }
    }
}
