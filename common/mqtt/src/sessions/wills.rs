//! Wills: what clients leave behind for the case that they cannot say goodbye (MQTT 5, section 3.1.2.5).
//!
//! A will is in the log before its client is let in, so that it outlives the process. It is published when its
//! connection ended without a goodbye and its delay is over, or its session's expiry if that is earlier; not if the
//! session is opened again before. At most one for each session key.

use crate::record::{Record, SavedWill, SessionKey};
use riser_model::{
    AccountId, ClientId, Wall,
    door::{Code, Refusal},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, btree_map::Entry};

/// The most that all wills of one instance may take, bytes: they ride in every checkpoint. Ten thousand devices with a
/// short one each find room.
const WILLS_BYTES_MAX: usize = 4 << 20;
/// The most that those of one client may take: one participant's credentials never take all the room.
const WILLS_PER_CLIENT_BYTES_MAX: usize = 3 << 20;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Wills {
    by_key: BTreeMap<SessionKey, Held>,
    #[serde(skip)]
    bytes: usize,
    /// Of each client.
    #[serde(skip)]
    by_client: BTreeMap<(AccountId, ClientId), usize>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Held {
    will: SavedWill,
    /// When it is to be published; none while its connection is there.
    due: Option<Wall>,
}

impl Wills {
    pub(super) fn set(&mut self, key: SessionKey, will: SavedWill) {
        self.remove(&key);
        self.bytes = self.bytes.saturating_add(will.size());
        *self.by_client.entry((key.account, key.client)).or_default() += will.size();
        self.by_key.insert(key, Held { will, due: None });
    }

    pub(super) fn due(&mut self, key: &SessionKey, at: Wall) {
        if let Some(held) = self.by_key.get_mut(key) {
            held.due = Some(at);
        }
    }

    pub(super) fn remove(&mut self, key: &SessionKey) {
        if let Some(held) = self.by_key.remove(key) {
            let size = held.will.size();
            self.bytes = self.bytes.saturating_sub(size);
            if let Entry::Occupied(mut own) = self.by_client.entry((key.account, key.client)) {
                *own.get_mut() = own.get().saturating_sub(size);
                if *own.get() == 0 {
                    own.remove();
                }
            }
        }
    }

    /// As they were saved.
    pub(super) fn counted(mut self) -> Self {
        (self.bytes, self.by_client) = (0, BTreeMap::new());
        for (key, held) in &self.by_key {
            self.bytes = self.bytes.saturating_add(held.will.size());
            *self.by_client.entry((key.account, key.client)).or_default() += held.will.size();
        }
        self
    }

    pub(super) fn get(&self, key: &SessionKey) -> Option<&SavedWill> {
        self.by_key.get(key).map(|held| &held.will)
    }

    /// Why one more of that size is not kept.
    pub(super) fn check(&self, key: &SessionKey, will: &SavedWill) -> Result<(), Refusal> {
        let former = self.get(key).map_or(0, SavedWill::size);
        let own = self.by_client.get(&(key.account, key.client)).copied().unwrap_or_default();
        for (taken, most, whose) in
            [(self.bytes, WILLS_BYTES_MAX, "this instance"), (own, WILLS_PER_CLIENT_BYTES_MAX, "one client")]
        {
            if taken.saturating_sub(former).saturating_add(will.size()) > most {
                return Err(Refusal {
                    code: Code::TooMany,
                    what: format!("the wills of {whose} take as much as they may"),
                    want: format!("a shorter will, or none: together at most {most} bytes"),
                });
            }
        }
        Ok(())
    }

    /// The connections of these ended with the process.
    pub(super) fn orphans(&self) -> impl Iterator<Item = (&SessionKey, &SavedWill)> {
        self.by_key.iter().filter(|(_, held)| held.due.is_none()).map(|(key, held)| (key, &held.will))
    }

    /// Those whose time has come.
    pub(super) fn over(&self, now: Wall) -> impl Iterator<Item = &SessionKey> {
        self.by_key.iter().filter(move |(_, held)| held.due.is_some_and(|at| at <= now)).map(|(key, _)| key)
    }

    /// Whether the time of that one has come.
    pub(super) fn is_over(&self, key: &SessionKey, now: Wall) -> bool {
        self.by_key.get(key).is_some_and(|held| held.due.is_some_and(|at| at <= now))
    }

    /// Whether any waits for its time.
    pub(super) fn is_waiting(&self) -> bool {
        self.by_key.values().any(|held| held.due.is_some())
    }
}

/// What becomes of a will at the end of its connection.
pub(super) fn left(key: &SessionKey, will: &SavedWill, expiry_s: u32, now: Wall) -> Record {
    Record::WillDue { key: key.clone(), at: now.plus_s(will.delay_s.min(expiry_s)) }
}
