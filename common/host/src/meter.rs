//! What a host does, as metrics and health.

use crate::host::Watch;
use riser_model::door::Code;
use riser_rooms::statistics::Counters;
use riser_shell::{Health, Metrics, storage::Answer};
use std::sync::Arc;

/// Counts what storage answers and who is refused.
#[derive(Clone, Debug)]
pub struct Meter {
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
    /// Where it is said that the log fails.
    pub health: Arc<Health>,
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
            Answer::Read { .. } | Answer::Saved { .. } => {}
        }
    }

    fn refused(&mut self, code: Code) {
        self.metrics.turned_away(code);
    }
}

/// Brings the rooms' counters into metrics: what was added since the last time.
#[derive(Debug, Default)]
pub struct RoomsMeter {
    last: Counters,
}

impl RoomsMeter {
    /// The rooms' counters, as they are at the moment.
    pub fn read(&mut self, metrics: &Metrics, now: Counters) {
        metrics.publications_accepted.inc_by(now.committed - self.last.committed);
        metrics.deliveries.inc_by(now.delivered - self.last.delivered);
        metrics.deliveries_skipped.inc_by(now.skipped - self.last.skipped);
        metrics.events_coalesced.inc_by(now.coalesced - self.last.coalesced);
        metrics.publications_void.inc_by(now.void - self.last.void);
        metrics.outcomes.inc_by(now.outcomes - self.last.outcomes);
        for (code, (now, last)) in Code::ALL.into_iter().zip(now.refused.iter().zip(&self.last.refused)) {
            metrics.refused(code, now - last);
        }
        self.last = now;
    }
}
