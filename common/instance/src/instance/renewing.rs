//! Who is in says anew who it is, on a connection that works on meanwhile.
//!
//! It is asked whatever would be asked of it if it came now: what its listener wants, and then the gates of the account and of the
//! room that it is in. Until they have let it pass, what it had proven before holds, and ends when that ends; from then on what it
//! has proven now does, and nothing else.
//!
//! Always holds: it stays who it is. A session, what waits for it, a will and a place in presence are somebody's, and who came
//! by a connection keeps them: another credential of the same user or client is taken, somebody else's is not. Who fails is
//! closed, as it would be at the first time.

use super::{
    Instance,
    entering::no_such_room,
    gates::{has_seat, may_enter, one_gate_at_a_time, room_full},
    refusal,
};
use crate::connection::{AtGate, Before, Connection, State};
use riser_gate::{Gate, Input, Sequence, Standing, Verdict};
use riser_model::{
    ConnectionId, Deed, Now, Principal, RoomId, Wall,
    door::{Code, Credential, Refusal, Tell},
};
use riser_rooms::Input as BusInput;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

impl Instance {
    pub(super) fn renew(&mut self, id: ConnectionId, credential: Credential, now: Now) {
        let Some(connection) = self.connections.get(&id) else { return };
        if connection.at.is_some() {
            return self.refuse(id, one_gate_at_a_time(), now);
        }
        let Some(principal) = &connection.standing.principal else { return };
        let room = connection.room.and_then(|room| Some((room, self.name_of(id, room)?)));
        let of_listener = connection.policy.front.stages.len();
        let (sequence, of_account) = whole_gate(connection, principal);
        let (policy, caller) = (&connection.policy, connection.caller.clone());
        let gate = Gate::anew(policy, Arc::new(sequence), &connection.standing, caller, now);
        let (owner, before) = (connection.host(principal), Before::Renewal(room));
        let at = AtGate { gate, before, of_account, of_listener, owner, knocked: None, seats: None };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.at = Some(Box::new(at));
        }
        self.gate(id, Input::Shown(credential), now);
    }

    /// It has passed them all, and has left the last.
    pub(super) fn renewed(&mut self, id: ConnectionId, at: &AtGate, now: Now) {
        let Some(connection) = self.connections.get(&id) else { return };
        let State::Rooms = connection.state else { return };
        let (principal, standing) = match self.as_it_stands_now(id, connection, at) {
            Ok(renewed) => renewed,
            Err(refusal) => {
                self.say_not_let_in(id, &refusal, now);
                return self.refuse(id, refusal, now);
            }
        };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.standing = standing;
        }
        let (of_account, of_room) = at.hours();
        let (allowed, silently) = self.lets_into(id, &principal, now);
        self.allow(id, allowed);
        self.last_until(id, silently);
        self.lasts_until(id, None, of_account, now);
        if let Some(room) = at.before.room().map(|(room, _)| room) {
            self.lasts_until(id, Some(room), of_room, now);
        }
        let with_rights = self.with_rights(id, &principal);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.principal = Some(Arc::clone(&with_rights));
        // What it was let into by what it had shown before it asks for again.
        (connection.operates, connection.operating) = (false, false);
        let passed: Vec<&str> = connection.standing.passed.iter().map(|kind| kind.name()).collect();
        let (why, room) = (format!("anew: {}", passed.join(", ")), connection.room);
        self.rooms(BusInput::Principal { connection: id, principal: with_rights }, now);
        let room = room.and_then(|room| self.name_of(id, room));
        self.audit(id, Deed::Entered, room, why);
        self.came.insert(principal.client);
        self.tell(id, Tell::Renewed { principal });
    }

    /// What it has proven, which takes the place of what it had if it may still be where it is.
    fn as_it_stands_now(
        &self,
        id: ConnectionId,
        connection: &Connection,
        at: &AtGate,
    ) -> Result<(Arc<Principal>, Standing), Refusal> {
        let standing = at.gate.standing();
        // A gate that says nobody's name lets nobody in.
        let principal = self.known_by(standing)?.ok_or_else(no_such_room)?;
        // Gates may have changed since it set out.
        if whole_gate(connection, &principal).0 != *at.gate.sequence() {
            let what = "the gate is another one by now, which has not let this connection pass";
            return Err(refusal(Code::Timeout, what, "come back and pass it"));
        }
        if let Some(room) = connection.room {
            if !may_enter(&principal, room) {
                return Err(no_such_room());
            }
            // It may have lost its seat there, and others may have sat down while it was asked something at a later stage.
            let seats = self.seats.get(&room);
            if at.seats.is_some_and(|most| has_seat(seats, id, most) != Verdict::Matches) {
                return Err(room_full());
            }
        }
        let mut standing = standing.clone();
        standing.principal = Some(Arc::clone(&principal));
        Ok((principal, standing))
    }

    /// The rooms with gates of their own that it is in by now: the one whose gate has just let it pass; and of MQTT, which is in
    /// many and shows the same kind of proof each time, those that it was in and those that ask nothing more, which are named
    /// again with when their hours end.
    fn lets_into(
        &self,
        id: ConnectionId,
        principal: &Arc<Principal>,
        now: Now,
    ) -> (BTreeSet<RoomId>, BTreeMap<RoomId, Option<Wall>>) {
        let Some(connection) = self.connections.get(&id) else { return Default::default() };
        let directory = &connection.policy.directory;
        if connection.session.is_none() {
            let own = connection.room.filter(|room| directory.room_gate(*room).is_some());
            return (own.into_iter().collect(), BTreeMap::new());
        }
        let stays = |room: &RoomId| directory.room_gate(*room).is_some() && may_enter(principal, *room);
        let kept = connection.allowed.iter().copied().filter(stays);
        let silently = self.silently(id, principal, now);
        (kept.chain(silently.keys().copied()).collect(), silently)
    }
}

/// What is asked of who comes to where that connection is, and how many stages of it are not the room's.
fn whole_gate(connection: &Connection, principal: &Principal) -> (Sequence, usize) {
    let directory = &connection.policy.directory;
    let account = connection.host(principal).and_then(|host| directory.gate(host));
    let front = Sequence::clone(&connection.policy.front);
    let first = account.map_or(front.clone(), |account| front.then(account));
    let of_account = first.stages.len();
    let room = connection.room.and_then(|room| directory.room_gate(room));
    (room.map_or(first.clone(), |room| first.then(room)), of_account)
}
