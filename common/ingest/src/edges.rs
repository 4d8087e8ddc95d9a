//! What the hub knows of each edge, for the page and the metrics. Counted here, from what the hub itself saw.

use riser_link::Progress;
use riser_model::{AccountId, AccountName, ClientId, Now, Time, event::SystemEvent};
use std::time::Duration;

const RATE_OVER: Duration = Duration::from_secs(1);
/// An edge whose confirmed end has not moved for so long, with more heard of, is not flowing (promise 5).
const FLOWING_WITHIN: Duration = Duration::from_secs(3);
/// An edge that is behind for so long is told to be.
const LAG_AFTER: Duration = Duration::from_secs(10);

/// What an edge's link does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkState {
    /// No connection of it is welcomed.
    Offline,
    /// It has more, and nothing of it comes.
    Silent,
    /// It has more than comes in a second.
    Behind,
    /// What it has is here.
    Flowing,
    /// It is below an edge that is cut off: nobody can say.
    Unknown,
}

impl LinkState {
    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Silent => "silent",
            Self::Behind => "behind",
            Self::Flowing => "flowing",
            Self::Unknown => "unknown",
        }
    }
}

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
    /// Since when that is so; since the process started, if that has not changed.
    pub since: Time,
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

    /// What its link does.
    pub fn state(&self, now: Now) -> LinkState {
        let backlog = self.backlog();
        if !self.online {
            LinkState::Offline
        } else if backlog == 0 {
            LinkState::Flowing
        } else if now.time.since(self.flowed_at) > FLOWING_WITHIN {
            LinkState::Silent
        } else if backlog > self.drain_per_s(now).max(1) {
            LinkState::Behind
        } else {
            LinkState::Flowing
        }
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
    online: bool,
    since: Time,
    flowed_at: Time,
    quarantined: u64,
    rate: Rate,
    lag: Lag,
}

/// Whether it is behind, for those who listen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lag {
    /// It is not.
    None,
    /// Since then, and not for long enough to be told.
    Since(Time),
    /// That was told.
    Told,
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
        let (since, flowed_at, quarantined, lag) = (now.time, now.time, 0, Lag::None);
        Self { client, name, account, online: false, since, flowed_at, quarantined, rate, lag }
    }

    /// A commit with so many seqs of it returned, so many entries of them to quarantine.
    pub(crate) fn taken(&mut self, seqs: u64, quarantined: u64, now: Now) {
        self.quarantined = self.quarantined.saturating_add(quarantined);
        self.flowed_at = now.time;
        let rate = &mut self.rate;
        // Of an edge below another one it is what that one says.
        rate.counted = rate.counted.saturating_add(seqs);
        let over = now.time.since(rate.since);
        if over >= RATE_OVER {
            let ms = u64::try_from(over.as_millis()).unwrap_or(u64::MAX).max(1);
            *rate = Rate { counted: 0, since: now.time, per_s: rate.counted.saturating_mul(1000) / ms };
        }
    }

    pub(crate) fn rename(&mut self, name: AccountName) {
        self.name = name;
    }

    pub(crate) fn name(&self) -> &AccountName {
        &self.name
    }

    pub(crate) fn account(&self) -> AccountId {
        self.account
    }

    /// Whether it is there. That it is not is told by itself. Says whether that changed.
    pub(crate) fn set_online(&mut self, online: bool, now: Now) -> bool {
        if !online {
            self.lag = Lag::None;
        }
        let changes = self.online != online;
        if changes {
            (self.online, self.since) = (online, now.time);
        }
        changes
    }

    /// When it is to be looked at again.
    pub(crate) fn watch_at(&self) -> Option<Time> {
        match self.lag {
            Lag::Since(since) => Some(since.plus(LAG_AFTER)),
            Lag::None | Lag::Told => None,
        }
    }

    /// Looks how far it is. What there is to tell.
    pub(crate) fn watch(&mut self, progress: Progress, now: Now) -> Option<(AccountId, SystemEvent)> {
        let status = self.status(progress);
        let (edge, name, account) = (self.client, self.name.clone(), self.account);
        match (status.state(now), self.lag) {
            (LinkState::Offline | LinkState::Unknown, _) => {
                self.lag = Lag::None;
                None
            }
            (LinkState::Flowing, Lag::Told) => {
                self.lag = Lag::None;
                Some((account, SystemEvent::EdgeFlowing { edge, name }))
            }
            (LinkState::Flowing, Lag::None | Lag::Since(_)) => {
                self.lag = Lag::None;
                None
            }
            (LinkState::Silent | LinkState::Behind, Lag::None) => {
                self.lag = Lag::Since(now.time);
                None
            }
            (LinkState::Silent | LinkState::Behind, Lag::Since(since))
                if now.time.since(since) >= LAG_AFTER =>
            {
                self.lag = Lag::Told;
                let (queued, drain_per_s) = (status.backlog(), status.drain_per_s(now));
                Some((account, SystemEvent::EdgeLag { edge, name, queued, drain_per_s }))
            }
            (LinkState::Silent | LinkState::Behind, Lag::Since(_) | Lag::Told) => None,
        }
    }

    pub(crate) fn status(&self, progress: Progress) -> EdgeStatus {
        EdgeStatus {
            client: self.client,
            name: self.name.clone(),
            account: self.account,
            online: self.online,
            since: self.since,
            flowed_at: self.flowed_at,
            quarantined: self.quarantined,
            progress,
            rate: self.rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::Wall;
    use uuid::Uuid;

    fn at(ms: u64) -> Now {
        Now { time: Time(ms * 1_000_000), wall: Wall(0) }
    }

    #[test]
    fn an_edge_that_is_behind_for_long_is_told_to_be_once_and_that_it_flows_again() {
        let id = Uuid::from_u128(1);
        let mut edge = Edge::new(ClientId(id), "gate".parse().unwrap(), AccountId(id), at(0));
        edge.set_online(true, at(0));
        let mut told = Vec::new();
        // Nothing is taken from 5 s on, and something waits from 6 s to 30 s.
        for s in 0..40 {
            if !(5..30).contains(&s) {
                edge.taken(10, 0, at(s * 1000));
            }
            let queued = if (6..30).contains(&s) { 7 } else { 0 };
            let progress = Progress { queued, ..Progress::default() };
            told.extend(edge.watch(progress, at(s * 1000)).map(|(_, event)| (s, event)));
        }
        let [(lag, first), (flows, second)] = &told[..] else { panic!("{told:?}") };
        assert!(matches!(first, SystemEvent::EdgeLag { queued: 7, .. }), "{first:?}");
        assert!(matches!(second, SystemEvent::EdgeFlowing { .. }), "{second:?}");
        assert_eq!((lag - 6 >= LAG_AFTER.as_secs(), *flows), (true, 30));
    }
}
