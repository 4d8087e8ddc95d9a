//! What the hub knows of each edge, for the page and the metrics. Counted here, from what the hub itself saw.

use riser_model::{AccountId, AccountName, ClientId, CursorValue, Epoch, LogId, Now, Seq, Time};
use std::{collections::BTreeMap, time::Duration};

const RATE_OVER: Duration = Duration::from_secs(1);

/// The four numbers of promise 3 for one epoch, as far as the hub has heard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Equation {
    /// Seqs that the edge said it gave.
    pub accepted: u64,
    /// Seqs that the hub took.
    pub synced: u64,
    /// Seqs that it has not taken.
    pub queued: u64,
    /// Seqs under link gaps.
    pub gapped: u64,
}

/// One edge as the hub sees it.
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
    /// When its confirmed end last moved, or met the newest that was heard of.
    pub flowed_at: Time,
    /// Seqs under link gaps.
    pub gapped: u64,
    /// Entries that went to quarantine.
    pub quarantined: u64,
    cursors: BTreeMap<(LogId, Epoch), CursorValue>,
    current: Option<(LogId, Epoch)>,
    counted: u64,
    counting_since: Time,
    per_s: u64,
}

impl EdgeStatus {
    /// An edge that was never heard of.
    pub fn new(client: ClientId, name: AccountName, account: AccountId, now: Now) -> Self {
        Self {
            client,
            name,
            account,
            online: false,
            flowed_at: now.time,
            gapped: 0,
            quarantined: 0,
            cursors: BTreeMap::new(),
            current: None,
            counted: 0,
            counting_since: now.time,
            per_s: 0,
        }
    }

    /// The newest seq that was heard of.
    pub fn heard(&self) -> Seq {
        self.cursors.values().map(|cursor| cursor.heard.max(cursor.through)).max().unwrap_or_default()
    }

    /// The newest seq that was taken.
    pub fn through(&self) -> Seq {
        self.cursors.values().map(|cursor| cursor.through).max().unwrap_or_default()
    }

    /// How many seqs are heard of and not taken.
    pub fn backlog(&self) -> u64 {
        self.heard().0.saturating_sub(self.through().0)
    }

    /// The equation of the log that the edge is on, under its newest epoch. The edge counts its own, epoch by
    /// epoch; this is what the hub has heard.
    pub fn equations(&self) -> impl Iterator<Item = (Epoch, Equation)> {
        self.current.map(|(_, epoch)| (epoch, self.equation())).into_iter()
    }

    fn equation(&self) -> Equation {
        let (accepted, through) = (self.heard().0, self.through().0);
        let gapped = self.gapped.min(through);
        Equation { accepted, synced: through - gapped, queued: accepted.saturating_sub(through), gapped }
    }

    /// Seqs taken per second, lately.
    pub fn drain_per_s(&self, now: Now) -> u64 {
        if now.time.since(self.counting_since) > RATE_OVER * 5 { 0 } else { self.per_s }
    }

    /// A commit with this cursor returned.
    pub fn taken(&mut self, log: LogId, epoch: Epoch, value: CursorValue, now: Now) {
        let before = self.through();
        self.current = Some((log, epoch));
        self.cursors.insert((log, epoch), value);
        self.counted += self.through().0.saturating_sub(before.0);
        self.flowed_at = now.time;
        let over = now.time.since(self.counting_since);
        if over >= RATE_OVER {
            let ms = u64::try_from(over.as_millis()).unwrap_or(u64::MAX).max(1);
            self.per_s = self.counted.saturating_mul(1000) / ms;
            (self.counted, self.counting_since) = (0, now.time);
        }
    }

    /// The log and epoch that came last.
    pub fn current(&self) -> Option<(LogId, Epoch)> {
        self.current
    }

    /// The edge said how far its log goes, before that was taken.
    pub fn heard_of(&mut self, log: LogId, epoch: Epoch, heard: Seq) {
        let cursor = self.cursors.entry((log, epoch)).or_default();
        cursor.heard = cursor.heard.max(heard);
    }
}
