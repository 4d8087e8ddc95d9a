//! Accounts changed while connections are open and sessions are kept: what that means for each of them.
//!
//! Always holds when the input is handled: who is known no more, or has shown what was revoked, is told to go and gets
//! nothing any more; everybody else has the rights that the new directory says, in rooms whose gates it passed as they are
//! now; what is kept for those who are gone ends.

use super::{
    Awaited, Instance, Output, Record,
    entering::no_such_room,
    gates::{may_enter, passes_silently},
    refusal,
};
use crate::connection::{Before, Connection, State};
use riser_gate::{Directory, Holds, Policy, Sequence, Standing, Verdict};
use riser_model::{
    AccountId, ClientId, ConnectionId, Deed, Now, Principal, Right, Room, RoomId, RoomName, Route, Wall,
    door::{Code, Refusal, Tell},
};
use riser_mqtt::SessionKey;
use riser_rooms::Input as BusInput;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

impl Instance {
    pub(super) fn changed_directory(&mut self, directory: Arc<Directory>, rooms: Vec<Room>, now: Now) {
        self.know(Arc::clone(&directory));
        let before = self.renew_policies(&directory);
        let known = self.connections.iter().filter_map(|(id, one)| {
            let who = one.standing.principal.as_ref()?;
            (!matches!(one.state, State::Leaving)).then(|| (*id, Arc::clone(who)))
        });
        let known: Vec<(ConnectionId, Arc<Principal>)> = known.collect();
        for (id, who) in known {
            let Some(connection) = self.connections.get(&id) else { continue };
            let holds = directory.holds(who.client, &connection.standing.evidence);
            match standing(&directory, &who, holds) {
                Ok(principal) => self.change_rights(id, principal, before.get(&id), now),
                Err(refusal) => {
                    self.audit(id, Deed::Revoked, None, refusal.what.clone());
                    self.refuse(id, refusal, now);
                }
            }
        }
        let bindings = self.bus.bindings().to_vec();
        self.rooms(BusInput::Reconfigured { rooms, bindings }, now);
        self.readiness.is_due = true;
        self.end_unknown(now);
    }

    /// Listeners let in whom the new directory knows. What each connection's directory was before.
    fn renew_policies(&mut self, directory: &Arc<Directory>) -> BTreeMap<ConnectionId, Arc<Directory>> {
        let mut renewed: Vec<(Arc<Policy>, Arc<Policy>)> = Vec::new();
        let mut before = BTreeMap::new();
        for (id, connection) in &mut self.connections {
            let former = Arc::clone(&connection.policy);
            let known = renewed.iter().find(|(old, _)| Arc::ptr_eq(old, &former));
            let policy = match known {
                Some((_, new)) => Arc::clone(new),
                None => {
                    let new = Arc::new(former.renewed(directory));
                    renewed.push((Arc::clone(&former), Arc::clone(&new)));
                    new
                }
            };
            before.insert(*id, Arc::clone(&former.directory));
            if let Some(at) = &mut connection.at {
                at.gate.renew(&policy);
            }
            connection.policy = policy;
        }
        before
    }

    /// Who is there has these rights from here on.
    fn change_rights(
        &mut self,
        id: ConnectionId,
        principal: Arc<Principal>,
        before: Option<&Arc<Directory>>,
        now: Now,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.standing.principal = Some(Arc::clone(&principal));
        let directory = Arc::clone(&connection.policy.directory);
        let same = |room: &RoomId| {
            let former = before.and_then(|before| before.room_gate(*room));
            former.is_some() && former == directory.room_gate(*room)
        };
        // Nobody sits where it may do nothing any more.
        let stays = |room: &RoomId| same(room) && may_enter(&principal, *room);
        let kept: BTreeSet<RoomId> = connection.allowed.iter().copied().filter(stays).collect();
        let is_inside = matches!(connection.state, State::Session | State::Rooms);
        let silently = if is_inside { self.silently(id, &principal, now) } else { BTreeMap::new() };
        self.allow(id, kept.into_iter().chain(silently.keys().copied()));
        self.last_until(id, silently);
        let account = self.account_lets(id, &principal, before, now);
        if is_inside && account.is_none() {
            let refusal = refusal(
                Code::Timeout,
                "the account has another gate, which has not let this connection pass",
                "come back and pass it",
            );
            self.audit(id, Deed::Revoked, None, refusal.what.clone());
            return self.refuse(id, refusal, now);
        }
        if is_inside && let Some(name) = self.shut_out(id, &principal, before) {
            let refusal = refusal(
                Code::Timeout,
                &format!("the room {name} has another gate, which has not let this connection pass"),
                "come back and pass it",
            );
            self.audit(id, Deed::Revoked, Some(name), refusal.what.clone());
            return self.refuse(id, refusal, now);
        }
        if is_inside {
            self.lasts_until(id, None, account.flatten(), now);
            let principal = self.with_rights(id, &principal);
            let Some(connection) = self.connections.get_mut(&id) else { return };
            if connection.principal.as_ref() != Some(&principal) {
                connection.principal = Some(Arc::clone(&principal));
                let in_rooms = matches!(connection.state, State::Rooms);
                if in_rooms {
                    self.rooms(BusInput::Principal { connection: id, principal }, now);
                }
            }
        }
        self.gate_anew(id, &principal, now);
    }

    /// A room that a connection is in, by its address or by what it reads or published there, and whose gate is another one by
    /// now that has not let it pass. Nobody is left in a room without rights and without a word.
    fn shut_out(
        &self,
        id: ConnectionId,
        principal: &Principal,
        before: Option<&Arc<Directory>>,
    ) -> Option<RoomName> {
        let connection = self.connections.get(&id)?;
        let directory = &connection.policy.directory;
        let out = directory.gated(principal.account).find(|(room, gate)| {
            let is_in = connection.room == Some(*room) || self.bus.is_in(id, *room);
            let is_other = before.and_then(|before| before.room_gate(*room)) != Some(*gate);
            is_in && is_other && !connection.allowed.contains(room) && may_enter(principal, *room)
        });
        let (room, _) = out?;
        directory.room(principal.account, room).map(|room| room.name.clone())
    }

    /// Whether the gate of its account is the one that let it pass, or lets it pass without a question; and when the hours end by
    /// which that is so.
    fn account_lets(
        &self,
        id: ConnectionId,
        principal: &Principal,
        before: Option<&Arc<Directory>>,
        now: Now,
    ) -> Option<Option<Wall>> {
        let connection = self.connections.get(&id)?;
        let directory = &connection.policy.directory;
        let host = connection.host(principal);
        match host.and_then(|host| directory.gate(host)) {
            None => Some(None),
            gate if gate == before.and_then(|before| before.gate(host?)) => {
                Some(connection.hours.get(&None).copied())
            }
            Some(_) => self.account_lets_silently(connection, principal, now),
        }
    }

    /// Whether the gate of its account, or of the lobby that it visits, lets it pass without a question, in the same words.
    pub(super) fn account_lets_silently(
        &self,
        connection: &Connection,
        principal: &Principal,
        now: Now,
    ) -> Option<Option<Wall>> {
        let Connection { standing, caller, policy, .. } = connection;
        let Some(sequence) = connection.host(principal).and_then(|host| policy.directory.gate(host)) else {
            return Some(None);
        };
        // An account's gate has no seats.
        let none = |_| Verdict::Differs;
        Some(passes_silently(&policy.directory, sequence, standing, caller, none, now)?.hours(..))
    }

    /// Who stands at a gate that is another one by now begins at that one.
    fn gate_anew(&mut self, id: ConnectionId, principal: &Arc<Principal>, now: Now) {
        let Some(connection) = self.connections.get(&id) else { return };
        let Some(at) = &connection.at else { return };
        let directory = Arc::clone(&connection.policy.directory);
        let own = at.before.room().and_then(|(room, _)| directory.room_gate(room));
        let account = connection.host(principal).and_then(|host| directory.gate(host));
        let sequence = match (&at.before, account, own) {
            // What that has passed is compared with what there is when it has passed it all.
            (Before::Front | Before::Renewal(_), ..) => return,
            (Before::Account(_), Some(account), Some(own)) => Some(Arc::new(account.then(own))),
            (Before::Account(_), one, other) => one.or(other).cloned(),
            (Before::Move(..), _, own) => own.cloned(),
        };
        if sequence.as_ref().map(|sequence| -> &Sequence { sequence }) == Some(at.gate.sequence()) {
            return;
        }
        // By its id: it may have another name by now, which the rooms have yet to hear.
        let known = |room: RoomId| {
            let room = directory.room(principal.account, room).filter(|room| may_enter(principal, room.id));
            room.map(|room| (room.id, room.name.clone()))
        };
        match self.leave_gate(id).map(|(_, at)| at.before) {
            Some(Before::Account(None)) => self.at_account_and(id, principal, None, now),
            Some(Before::Account(Some((room, _)))) => match known(room) {
                Some(room) => self.at_account_and(id, principal, Some(room), now),
                None => self.refuse(id, no_such_room(), now),
            },
            Some(Before::Move(room, name)) => match known(room) {
                Some(room) => self.move_into(id, principal, room, now),
                None => self.tell(id, Tell::Moved { room: name, result: Err(no_such_room()) }),
            },
            Some(Before::Front | Before::Renewal(_)) | None => {}
        }
    }

    /// Who passes a gate, as it is known by now; or why it does not after all.
    pub(super) fn as_known(&mut self, id: ConnectionId) -> Result<Option<Arc<Principal>>, Refusal> {
        let Some(connection) = self.connections.get(&id) else { return Ok(None) };
        let principal = self.known_by(&connection.standing)?;
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.standing.principal.clone_from(&principal);
        }
        Ok(principal)
    }

    /// Who has shown this, as it is known by now, if that is somebody; or why it does not hold any more.
    pub(super) fn known_by(&self, shown: &Standing) -> Result<Option<Arc<Principal>>, Refusal> {
        let Some(principal) = shown.principal.clone() else { return Ok(None) };
        let Some(directory) = &self.directory else { return Ok(Some(principal)) };
        let holds = directory.holds(principal.client, &shown.evidence);
        standing(directory, &principal, holds).map(Some)
    }

    /// Sessions of those who are known no more end.
    pub(super) fn end_unknown(&mut self, now: Now) {
        let Some(directory) = self.directory.clone().filter(|_| self.unknown) else { return };
        let unknown = |account: AccountId, client: ClientId| {
            directory.principal(client).is_none_or(|principal| principal.account != account)
        };
        let sessions = self.sessions.of_those(unknown);
        // Those that somebody has yet are looked at again when they are let go of.
        self.unknown = !sessions.is_empty();
        for (key, number) in sessions {
            let is_held = self.holders.contains_key(&key) || self.changing.contains_key(&key);
            if !is_held {
                self.append(key, &[Record::Ended { number }], Awaited::Nobody, now);
            }
        }
    }

    /// Whether what somebody left to be published may still be: by who is known, with the rights of now.
    pub(super) fn may_still(&self, key: &SessionKey, route: &Route) -> bool {
        let Some(directory) = &self.directory else { return true };
        directory.principal(key.client).is_some_and(|principal| {
            principal.account == key.account
                && principal.grants.allow(Right::Publish, route.room, &route.channel)
        })
    }

    /// A will that may not be published any more is forgotten, and that is counted.
    pub(super) fn drop_will(&mut self, key: &SessionKey, now: Now) {
        self.outputs.push_back(Output::Refused { code: Code::Denied });
        self.append_will(key.clone(), Record::Unwilled { key: key.clone() }, now);
    }
}

fn standing(directory: &Directory, who: &Principal, holds: Holds) -> Result<Arc<Principal>, Refusal> {
    let principal = directory.known(who).filter(|principal| principal.account == who.account);
    match (holds, principal) {
        (Holds::Yes, Some(principal)) => Ok(principal),
        (Holds::Unsure, Some(_)) => Err(refusal(
            Code::Timeout,
            "one of the credentials of this user or client was revoked",
            "come back and show one that holds",
        )),
        (Holds::No, Some(_)) => {
            Err(refusal(Code::NotAuthorised, "the credential was revoked", "a credential that holds"))
        }
        (_, None) => Err(refusal(
            Code::NotAuthorised,
            "the user or client was removed",
            "one that this instance knows",
        )),
    }
}
