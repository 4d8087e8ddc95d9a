//! Rooms that are ready only when those they wait for are there: who is missing, and the event that says so.
//!
//! Whoever is behind an edge whose link is down is not there: nobody here knows it to be.

use super::Instance;
use riser_model::{
    AccountName, Now, RoomId,
    event::{Scope, SystemEvent},
};
use std::collections::{BTreeMap, BTreeSet};

/// Who was missing in each room when that was last said.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    /// Somebody came or went since.
    pub(super) is_due: bool,
    said: BTreeMap<RoomId, Vec<AccountName>>,
}

impl Instance {
    /// Who is missing of those that a room waits for; none if it waits for nobody.
    pub(super) fn absent(&self, room: RoomId) -> Option<Vec<AccountName>> {
        let wanted = self.bus.waits_for(room)?;
        let behind = self.presences.present(room, |log| self.behind(log)).into_iter();
        let reached = behind.filter(|one| one.behind.as_ref().is_none_or(|behind| !behind.cut_off));
        let there: BTreeSet<AccountName> =
            self.bus.present(room).chain(reached).map(|one| one.name).collect();
        Some(wanted.iter().filter(|name| !there.contains(*name)).cloned().collect())
    }

    /// Says of every room whether it is ready, where that has changed.
    pub(super) fn look_at_readiness(&mut self, now: Now) {
        if !std::mem::take(&mut self.readiness.is_due) {
            return;
        }
        let rooms: Vec<RoomId> = self.bus.waiting_rooms().collect();
        self.readiness.said.retain(|room, _| rooms.contains(room));
        for room in rooms {
            let absent = self.absent(room).unwrap_or_default();
            if self.readiness.said.get(&room) != Some(&absent) {
                self.readiness.said.insert(room, absent.clone());
                let ready = absent.is_empty();
                self.say(Scope::Room(room), SystemEvent::Ready { ready, absent }, now);
            }
        }
    }
}
