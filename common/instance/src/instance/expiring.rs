//! What connections have shown expires, and the hours end at which they may be where they are, by the wall clock.
//!
//! The deadline by which an instance is woken is of the monotonic clock, so it is reckoned anew when the wall clock has been
//! moved against that: everything ends when it says, by the clock as it is by then.

use super::{Instance, gates::may_enter, refusal};
use crate::connection::State;
use riser_gate::Sequence;
use riser_model::{
    ConnectionId, Deed, Now, Principal, RoomId, RoomName, Time, Wall,
    door::{Code, Refusal},
};
use riser_rooms::Input as BusInput;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Who speaks MQTT and is not let into a room whose gate has hours is looked at again so often: it knows no way to ask for that,
/// and its connection lasts.
const LOOKS_EVERY: Duration = Duration::from_secs(60);
/// By so much the wall clock may be off from where it was when deadlines were reckoned, in one step or bit by bit.
const OFF_MS_MAX: u64 = 1000;

impl Instance {
    /// The hours by which a connection was let into its account or lobby (no room), or into a room, end then, if they do.
    pub(super) fn lasts_until(
        &mut self,
        id: ConnectionId,
        place: Option<RoomId>,
        hours: Option<Wall>,
        now: Now,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match hours {
            Some(until) => connection.hours.insert(place, until),
            None => connection.hours.remove(&place),
        };
        self.expires(id, now);
    }

    /// The same of rooms whose gates have just let it pass without a question. It is noted when that is next.
    pub(super) fn last_until(&mut self, id: ConnectionId, rooms: BTreeMap<RoomId, Option<Wall>>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        for (room, hours) in rooms {
            match hours {
                Some(until) => connection.hours.insert(Some(room), until),
                None => connection.hours.remove(&Some(room)),
            };
        }
    }

    /// Notes when the first of what a connection is in by ends.
    pub(super) fn expires(&mut self, id: ConnectionId, now: Now) {
        self.lasts(id);
        let looks = self.may_open(id).then(|| now.time.plus(LOOKS_EVERY));
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let first = connection.standing.until.into_iter().chain(connection.hours.values().copied()).min();
        if let Some(until) = first.map(|until| deadline(until, now)).into_iter().chain(looks).min() {
            connection.expires = Some(until);
            self.expiries.insert((until, id));
        }
    }

    /// Whether a room may open to a connection that is in many at once, and is asked nothing more.
    fn may_open(&self, id: ConnectionId) -> bool {
        self.is_closed_by_hours(id, |_| true)
    }

    /// Whether the hours of such a room hold now.
    fn opens(&self, id: ConnectionId, now: Now) -> bool {
        self.is_closed_by_hours(id, |sequence| sequence.is_open(now.wall))
    }

    /// Whether there is such a room, with such a gate.
    fn is_closed_by_hours(&self, id: ConnectionId, such: impl Fn(&Sequence) -> bool) -> bool {
        let Some(connection) = self.connections.get(&id).filter(|one| one.is_mqtt()) else {
            return false;
        };
        let Some(principal) = &connection.standing.principal else { return false };
        let closed = |room| !connection.allowed.contains(&room) && may_enter(principal, room);
        let mut gated = connection.policy.directory.gated(principal.account);
        gated.any(|(room, sequence)| sequence.has_hours() && such(sequence) && closed(room))
    }

    /// Nothing of it ends any more, or has.
    pub(super) fn lasts(&mut self, id: ConnectionId) {
        let expires = self.connections.get_mut(&id).and_then(|connection| connection.expires.take());
        if let Some(time) = expires {
            self.expiries.remove(&(time, id));
        }
    }

    /// What a connection has shown holds no longer, or hours by which it is in are over.
    pub(super) fn expire(&mut self, id: ConnectionId, now: Now) {
        self.lasts(id);
        let Some(connection) = self.connections.get(&id) else { return };
        if connection.standing.until.is_some_and(|until| until <= now.wall) {
            let (what, want) = ("what was shown has expired", "show it again, or a new one");
            return self.refuse(id, refusal(Code::NotAuthorised, what, want), now);
        }
        let over = connection.hours.values().any(|until| *until <= now.wall);
        match connection.standing.principal.clone().filter(|_| over || self.opens(id, now)) {
            Some(principal) => self.hours_over(id, &principal, now),
            None => self.expires(id, now),
        }
    }

    /// Hours by which it is in are over, or others may have begun. Where the gate lets it pass all the same, for others have begun or it asks something else
    /// instead, it goes on; from where it has to do with something it is sent away, and elsewhere it may do nothing any more.
    fn hours_over(&mut self, id: ConnectionId, principal: &Arc<Principal>, now: Now) {
        let Some(connection) = self.connections.get(&id) else { return };
        let is_over = |until: &Wall| *until <= now.wall;
        let of_account = match connection.hours.get(&None).is_some_and(is_over) {
            true => self.account_lets_silently(connection, principal, now),
            false => Some(connection.hours.get(&None).copied()),
        };
        let Some(of_account) = of_account else { return self.close_up(id, None, now) };
        let silently = self.silently(id, principal, now);
        let Some(connection) = self.connections.get(&id) else { return };
        let over =
            connection.hours.iter().filter(|(_, until)| is_over(until)).filter_map(|(place, _)| *place);
        let out: Vec<RoomId> = over.filter(|room| !silently.contains_key(room)).collect();
        let is_in = |room: &RoomId| connection.room == Some(*room) || self.bus.is_in(id, *room);
        if let Some(room) = out.iter().copied().find(is_in) {
            let name = self.name_of(id, room);
            return self.close_up(id, name, now);
        }
        let stays = connection.allowed.iter().copied().filter(|room| !out.contains(room));
        let stays: Vec<RoomId> = stays.chain(silently.keys().copied()).collect();
        self.allow(id, stays);
        self.last_until(id, silently);
        self.lasts_until(id, None, of_account, now);
        let with_rights = self.with_rights(id, principal);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.principal.is_some() && connection.principal.as_ref() != Some(&with_rights) {
            connection.principal = Some(Arc::clone(&with_rights));
            if let State::Rooms = connection.state {
                self.rooms(BusInput::Principal { connection: id, principal: with_rights }, now);
            }
        }
    }

    /// It is sent away from there: the account, or a room.
    fn close_up(&mut self, id: ConnectionId, room: Option<RoomName>, now: Now) {
        let refusal = hours_are_over(room.as_ref());
        self.audit(id, Deed::Revoked, room, refusal.what.clone());
        self.refuse(id, refusal, now);
    }

    /// Reckons anew when what was shown expires, if the wall clock is not where it was.
    pub(super) fn look_at_expiries(&mut self, now: Now) {
        let passed = now.time.since(self.reckoned.time).as_millis();
        let expected = self.reckoned.wall.0.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX));
        if now.wall.0.abs_diff(expected) <= OFF_MS_MAX {
            return;
        }
        self.reckoned = now;
        let back = now.wall.0 < expected;
        let all: Vec<ConnectionId> = self.expiries.iter().map(|(_, id)| *id).collect();
        for id in all {
            if back {
                self.look_at_hours(id, now);
            }
            match self.opens(id, now) {
                true => self.expire(id, now),
                false => self.expires(id, now),
            }
        }
    }
}

impl Instance {
    /// The wall clock was set back: where the hours by which a connection was let in have not begun by now, gates are asked again.
    fn look_at_hours(&mut self, id: ConnectionId, now: Now) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(principal) = connection.standing.principal.clone() else { return };
        let host = connection.host(&principal);
        let directory = Arc::clone(&connection.policy.directory);
        for (place, until) in &mut connection.hours {
            let sequence = match place {
                Some(room) => directory.room_gate(*room),
                None => host.and_then(|host| directory.gate(host)),
            };
            if !sequence.is_some_and(|sequence| sequence.is_open_until(*until, now.wall)) {
                *until = now.wall;
            }
        }
    }
}

fn hours_are_over(room: Option<&RoomName>) -> Refusal {
    let place = room.map_or("the account".to_owned(), |room| format!("the room {room}"));
    let what = format!("the hours at which {place} is open are over");
    // Not for good: who takes a refusal for final would never be back.
    refusal(Code::Timeout, &what, "come back when they begin again")
}

/// When that will be, if no clock is set until then.
fn deadline(until: Wall, now: Now) -> Time {
    let left = u64::try_from(until.0.saturating_sub(now.wall.0)).unwrap_or(0);
    now.time.plus(Duration::from_millis(left))
}
