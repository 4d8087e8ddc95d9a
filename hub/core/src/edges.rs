//! What the hub knows of each edge, for the page and the metrics. Counted here, from what the hub itself saw.

use riser_link::Progress;
use riser_model::{AccountId, AccountName, ClientId, Now, Time};
use std::time::Duration;

const RATE_OVER: Duration = Duration::from_secs(1);

/// One edge as the hub sees it at the moment.
#[derive(Clone, Debug)]
pub struct EdgeStatus {
    /// The edge.
    pub client: ClientId,
    /// Its name.
    pub name: AccountName,
    /// Whose it is.
    pub account: AccountId,
    /// Whether a connection of it is welcomed.
    pub online: bool,
    /// When a commit of its entries last returned.
    pub flowed_at: Time,
    /// Entries that went to quarantine, since the start.
    pub quarantined: u64,
    /// How far the hub is with it. Kept in the hub's log: a restart forgets none of it.
    pub progress: Progress,
    rate: Rate,
}

impl EdgeStatus {
    /// How many seqs are heard of and not taken.
    pub fn backlog(&self) -> u64 {
        self.progress.queued
    }

    /// Seqs taken per second, lately.
    pub fn drain_per_s(&self, now: Now) -> u64 {
        if now.time.since(self.rate.since) > RATE_OVER * 5 { 0 } else { self.rate.per_s }
    }
}

/// What is counted of an edge here; how far it was taken, the receivers know.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) client: ClientId,
    name: AccountName,
    account: AccountId,
    pub(crate) online: bool,
    flowed_at: Time,
    quarantined: u64,
    rate: Rate,
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    counted: u64,
    since: Time,
    per_s: u64,
}

impl Edge {
    /// An edge that was never heard of.
    pub(crate) fn new(client: ClientId, name: AccountName, account: AccountId, now: Now) -> Self {
        let rate = Rate { counted: 0, since: now.time, per_s: 0 };
        Self { client, name, account, online: false, flowed_at: now.time, quarantined: 0, rate }
    }

    /// A commit with so many seqs of it returned, so many entries of them to quarantine.
    pub(crate) fn taken(&mut self, seqs: u64, quarantined: u64, now: Now) {
        self.quarantined += quarantined;
        self.flowed_at = now.time;
        let rate = &mut self.rate;
        rate.counted += seqs;
        let over = now.time.since(rate.since);
        if over >= RATE_OVER {
            let ms = u64::try_from(over.as_millis()).unwrap_or(u64::MAX).max(1);
            *rate = Rate { counted: 0, since: now.time, per_s: rate.counted.saturating_mul(1000) / ms };
        }
    }

    pub(crate) fn status(&self, progress: Progress) -> EdgeStatus {
        EdgeStatus {
            client: self.client,
            name: self.name.clone(),
            account: self.account,
            online: self.online,
            flowed_at: self.flowed_at,
            quarantined: self.quarantined,
            progress,
            rate: self.rate,
        }
    }
}
