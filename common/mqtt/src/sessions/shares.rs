//! Groups that share a subscription, as far as sessions hold them: how far each is, and what is nobody's.
//!
//! A group is what its last [`Record::Shared`](crate::Record::Shared) said and what sessions took over since. It ends
//! with the last session that holds it.

use riser_model::{AccountId, Position, Seq, ShareChange, ShareKey, ShareState};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What a shared subscription's filter begins with.
const PREFIX: &str = "$share/";

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Shares {
    by_key: BTreeMap<ShareKey, Share>,
    /// Of which the bus has not heard.
    #[serde(skip)]
    changed: BTreeSet<ShareKey>,
    /// What sessions had when they ended, and nobody was told.
    #[serde(skip)]
    returned: BTreeMap<ShareKey, Vec<Seq>>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Share {
    sessions: usize,
    cursor: Position,
    open: BTreeSet<Seq>,
    /// After the cursor.
    taken: BTreeSet<Seq>,
}

/// Whether a filter is that of a group.
pub(super) fn is_shared(filter: &str) -> bool {
    filter.starts_with(PREFIX)
}

fn key(account: AccountId, filter: &str) -> Option<ShareKey> {
    is_shared(filter).then(|| ShareKey { account, filter: filter.to_owned() })
}

impl Shares {
    /// One more session holds a filter.
    pub(super) fn hold(&mut self, account: AccountId, filter: &str, through: Option<Position>) {
        let (Some(key), Some(cursor)) = (key(account, filter), through) else { return };
        let new = || Share { sessions: 0, cursor, open: BTreeSet::new(), taken: BTreeSet::new() };
        self.by_key.entry(key.clone()).or_insert_with(new).sessions += 1;
        self.changed.insert(key);
    }

    /// One session less.
    pub(super) fn let_go(&mut self, account: AccountId, filter: &str) {
        let Some(key) = key(account, filter) else { return };
        let Some(share) = self.by_key.get_mut(&key) else { return };
        share.sessions = share.sessions.saturating_sub(1);
        if share.sessions == 0 {
            self.by_key.remove(&key);
        }
        self.changed.insert(key);
    }

    /// How far a group is.
    pub(super) fn set(&mut self, key: &ShareKey, cursor: Position, open: Vec<Seq>) {
        if let Some(share) = self.by_key.get_mut(key) {
            share.cursor = cursor;
            share.open = open.into_iter().collect();
            share.taken.retain(|seq| *seq > cursor.seq);
        }
    }

    /// A session has it.
    pub(super) fn taken(&mut self, account: AccountId, filter: &str, seq: Seq) {
        let Some(share) = key(account, filter).and_then(|key| self.by_key.get_mut(&key)) else { return };
        share.open.remove(&seq);
        if seq > share.cursor.seq {
            share.taken.insert(seq);
        }
    }

    /// A session had it, and is over.
    pub(super) fn returned(&mut self, account: AccountId, filter: String, seq: Seq) {
        let Some(key) = key(account, &filter) else { return };
        let Some(share) = self.by_key.get_mut(&key) else { return };
        share.taken.remove(&seq);
        if seq <= share.cursor.seq {
            share.open.insert(seq);
        }
        self.returned.entry(key).or_default().push(seq);
    }

    pub(super) fn sessions(&self, key: &ShareKey) -> usize {
        self.by_key.get(key).map_or(0, |share| share.sessions)
    }

    pub(super) fn take_changes(&mut self) -> Vec<ShareChange> {
        if self.changed.is_empty() && self.returned.is_empty() {
            return Vec::new();
        }
        let kept = std::mem::take(&mut self.changed).into_iter().map(|key| self.kept(key));
        let mut changes: Vec<ShareChange> = kept.collect();
        let returned = std::mem::take(&mut self.returned).into_iter();
        changes.extend(returned.map(|(key, seqs)| ShareChange::Returned { key, seqs }));
        changes
    }

    pub(super) fn all(&self) -> Vec<ShareChange> {
        self.by_key.keys().map(|key| self.kept(key.clone())).collect()
    }

    fn kept(&self, key: ShareKey) -> ShareChange {
        let none = || Position { log: riser_model::LogId(0), epoch: riser_model::Epoch(0), seq: Seq::ZERO };
        let share = self.by_key.get(&key);
        let list = |of: &BTreeSet<Seq>| of.iter().copied().collect();
        ShareChange::Kept {
            sessions: share.map_or(0, |share| share.sessions),
            state: ShareState {
                cursor: share.map_or_else(none, |share| share.cursor),
                open: share.map(|share| list(&share.open)).unwrap_or_default(),
                taken: share.map(|share| list(&share.taken)).unwrap_or_default(),
                key,
            },
        }
    }

    /// Nothing of it is to be told: it was saved.
    pub(super) fn is_sound(&self) -> bool {
        self.by_key.values().all(|share| share.sessions > 0)
    }
}
