//! Wills: kept before their client is let in, published in one commit with the record that they were.

use super::{Awaited, Instance, Output, Record};
use riser_model::{Now, Principal, RouteNumber, door::Will};
use riser_mqtt::{SavedWill, SessionKey};
use riser_rooms::{Append, Input as BusInput};
use std::time::Duration;

/// Wills that wait are looked at this often.
pub(super) const WILLS_EVERY: Duration = Duration::from_secs(1);

impl Instance {
    /// What the log is to say of wills when a session is opened: its former one is published if the session is made
    /// anew or its time has come, and else forgotten. A will that may not be published is counted and nothing else: the
    /// device that leaves one has more to say.
    pub(super) fn open_will(
        &mut self,
        key: &SessionKey,
        principal: &Principal,
        (will, clean, expiry_s): (Option<Will>, bool, u32),
        now: Now,
    ) -> Result<Option<Record>, riser_model::door::Refusal> {
        let time = self.steady.wall(now);
        // One whose time has come is owed, whoever comes back before anybody looked at it.
        let owed = self.overdue.remove(key) || self.sessions.is_will_due(key, time);
        let (goodbye, late) = match self.unrecorded.remove(key) {
            Some(Record::WillDue { at, .. }) => (false, at <= time),
            Some(_) => (true, false),
            None => (false, false),
        };
        if (clean || owed || late) && !goodbye {
            self.fire(key, now);
        }
        let placed = |will: &Will| {
            let route = self.bus.route_to(principal, &will.target)?;
            self.bus.check_payload(route.room, &will.payload).map(|()| route)
        };
        let saved = will.and_then(|will| match placed(&will) {
            Ok(route) => Some(SavedWill::new(will, route, expiry_s)),
            Err(refusal) => {
                self.outputs.push_back(Output::Refused { code: refusal.code });
                None
            }
        });
        match saved {
            Some(will) => self.sessions.set_will(key, will).map(Some),
            None => {
                let forget = self.sessions.will(key).is_some() && !self.firing.contains(key);
                Ok(forget.then(|| Record::Unwilled { key: key.clone() }))
            }
        }
    }

    /// The end of a connection that left a will.
    pub(super) fn leave_will(
        &mut self,
        key: &SessionKey,
        said_goodbye: bool,
        expiry_s: Option<u32>,
        now: Now,
    ) {
        self.look_at_clock(false, now);
        let time = self.steady.wall(now);
        let record = match self.sessions.leave_will(key, expiry_s, time) {
            Some(_) if said_goodbye => Record::Unwilled { key: key.clone() },
            Some(Record::WillDue { at, .. }) if at <= time => return self.fire(key, now),
            Some(record) => record,
            None => return,
        };
        self.append_will(key.clone(), record, now);
        self.look_at_wills(now);
    }

    pub(super) fn append_will(&mut self, key: SessionKey, record: Record, now: Now) {
        self.append(key, std::slice::from_ref(&record), Awaited::WillRecord { record: record.clone() }, now);
    }

    /// What the end of a connection means for its will is committed, or the log could not: then it is tried again.
    pub(super) fn recorded(&mut self, key: &SessionKey, record: Record, durable: bool, now: Now) {
        if !durable {
            self.unrecorded.insert(key.clone(), record);
            self.look_at_wills(now);
        }
    }

    /// Publishes a will, if there is one that is not on its way.
    pub(super) fn fire(&mut self, key: &SessionKey, now: Now) {
        let Some(will) = self.sessions.will(key).filter(|_| !self.firing.contains(key)) else { return };
        if !self.may_still(key, &will.route) {
            return self.drop_will(key, now);
        }
        let mut entries = Vec::new();
        will.write_frame(key, &mut entries, RouteNumber(0), now.stamp());
        let routes = vec![will.route.clone()];
        Record::Unwilled { key: key.clone() }.write_frame(&mut entries, RouteNumber::NONE, now.stamp());
        self.firing.insert(key.clone());
        let token = self.await_token(key.clone(), Awaited::Will);
        self.rooms(BusInput::Append(Append::new(token, routes, entries)), now);
    }

    /// It is published, or the log could not: then it is tried again.
    pub(super) fn fired(&mut self, key: &SessionKey, durable: bool, now: Now) {
        self.firing.remove(key);
        if !durable {
            self.overdue.insert(key.clone());
            self.look_at_wills(now);
        }
    }

    /// Publishes those whose time has come.
    pub(super) fn fire_due(&mut self, now: Now) {
        for (key, record) in std::mem::take(&mut self.unrecorded) {
            if !self.holders.contains_key(&key) {
                self.append_will(key, record, now);
            }
        }
        let due = self.sessions.due_wills(self.steady.wall(now));
        let due = due.into_iter().filter(|key| !self.holders.contains_key(key));
        // One that is owed is the former session's: who is back has not undone it, unless it brought one of its own.
        let has_own = |key: &SessionKey| {
            let holder = self.holders.get(key).and_then(|id| self.connections.get(id));
            holder.is_some_and(|connection| connection.willed)
        };
        let overdue = std::mem::take(&mut self.overdue).into_iter().filter(|key| !has_own(key));
        for key in overdue.chain(due).collect::<Vec<_>>() {
            self.fire(&key, now);
        }
    }

    fn look_at_wills(&mut self, now: Now) {
        let soon = now.time.plus(WILLS_EVERY);
        self.expiry_due = Some(self.expiry_due.map_or(soon, |due| due.min(soon)));
    }
}
