//! The technical channels: what the system says about rooms, accounts and itself, a bounded ring for each.
//!
//! A listener is a cursor into its rings. Who is slower than a ring is told how many events it missed.

use crate::{graph::Key, subscription::Next};
use riser_model::{
    RoomId,
    event::{Scope, SystemEvent},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

#[derive(Debug, Default)]
struct Ring {
    /// The ordinal of the oldest event in it.
    first: u64,
    events: VecDeque<Arc<SystemEvent>>,
    waiters: BTreeSet<Key>,
}

impl Ring {
    fn next(&self) -> u64 {
        self.first + self.events.len() as u64
    }
}

/// Where a listener is in each of its rings.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    cursors: BTreeMap<Scope, u64>,
}

impl Listening {
    /// The room it listens to, if it is one room.
    pub(crate) fn room(&self) -> Option<RoomId> {
        self.cursors.keys().find_map(|scope| match scope {
            Scope::Room(room) => Some(*room),
            Scope::Account(_) | Scope::Admins(_) | Scope::Instance => None,
        })
    }
}

#[derive(Debug, Default)]
pub(crate) struct Technical {
    rings: BTreeMap<Scope, Ring>,
}

impl Technical {
    /// Keeps an event, at most `events_max` of its scope. Who waited for it.
    pub(crate) fn push(&mut self, scope: Scope, event: Arc<SystemEvent>, events_max: usize) -> BTreeSet<Key> {
        let ring = self.rings.entry(scope).or_default();
        ring.events.push_back(event);
        while ring.events.len() > events_max {
            ring.events.pop_front();
            ring.first += 1;
        }
        std::mem::take(&mut ring.waiters)
    }

    /// A listener that begins with what is in the rings, or with what comes next.
    pub(crate) fn listen(&self, scopes: impl IntoIterator<Item = Scope>, from_start: bool) -> Listening {
        let begin = |scope: &Scope| {
            let ring = self.rings.get(scope);
            ring.map_or(0, |ring| if from_start { ring.first } else { ring.next() })
        };
        Listening { cursors: scopes.into_iter().map(|scope| (scope, begin(&scope))).collect() }
    }

    pub(crate) fn wait(&mut self, listening: &Listening, key: Key) {
        for scope in listening.cursors.keys() {
            self.rings.entry(*scope).or_default().waiters.insert(key);
        }
    }

    pub(crate) fn stop(&mut self, listening: &Listening, key: Key) {
        for scope in listening.cursors.keys() {
            if let Some(ring) = self.rings.get_mut(scope) {
                ring.waiters.remove(&key);
            }
        }
    }
}

/// The next event, the scopes in their order.
pub(crate) fn look(listening: &mut Listening, technical: &Technical) -> Next {
    for (scope, cursor) in &listening.cursors {
        let Some(ring) = technical.rings.get(scope) else { continue };
        let at = (*cursor).max(ring.first);
        let missed = at - *cursor;
        let event = usize::try_from(at - ring.first).ok().and_then(|place| ring.events.get(place));
        if let Some(event) = event {
            return Next::Event { scope: *scope, event: Arc::clone(event), missed };
        }
    }
    Next::Nothing
}

/// Whether a listener has heard everything that was said.
pub(crate) fn is_up_to_date(listening: &Listening, technical: &Technical) -> bool {
    let next = |scope| technical.rings.get(scope).map_or(0, Ring::next);
    listening.cursors.iter().all(|(scope, cursor)| *cursor >= next(scope))
}

/// The event that [`look`] found was told.
pub(crate) fn heard(listening: &mut Listening, scope: Scope, missed: u64) {
    if let Some(cursor) = listening.cursors.get_mut(&scope) {
        *cursor += missed + 1;
    }
}
