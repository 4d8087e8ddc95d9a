//! The gates that a connection passes: the listener's, its account's and its room's; and into another room.
//!
//! Always holds: what a connection may do in a room that has a gate of its own, its principal's rights say only once that
//! gate has let it pass. Until then they deny the room as a whole, on every path.

use super::{
    Instance, Output,
    entering::no_such_room,
    errands::{is_known, nobody},
    refusal,
};
use crate::connection::{AtGate, Before, Connection};
use riser_gate::{
    Caller, Directory, Effect, Gate, Input, Output as GateOutput, Proof, Sequence, Standing, Verdict,
    acceptor::signed::REMEMBERED,
};
use riser_model::{
    AccountId, ConnectionId, Deed, Now, Principal, Right, RoomId, RoomName, Wall,
    door::{Ask, Code, Refusal, RoomInfo, Tell},
    event::{GateStep, Scope, SystemEvent},
};
use riser_rooms::Input as BusInput;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

impl Instance {
    /// Something for the gate that a connection stands at.
    pub(super) fn gate(&mut self, id: ConnectionId, input: Input, now: Now) {
        let Some(at) = self.connections.get_mut(&id).and_then(|one| one.at.as_mut()) else { return };
        if let Some(time) = at.gate.poll_timeout() {
            self.gate_deadlines.remove(&(time, id));
        }
        at.gate.handle(input, now);
        self.go_on(id, now);
    }

    /// Performs what a gate wants, and what follows.
    fn go_on(&mut self, id: ConnectionId, now: Now) {
        loop {
            let Some(at) = self.connections.get_mut(&id).and_then(|one| one.at.as_mut()) else { return };
            let Some(output) = at.gate.poll() else {
                self.gate_deadlines.extend(at.gate.poll_timeout().map(|time| (time, id)));
                return;
            };
            match output {
                GateOutput::Say(prompt) => self.tell(id, Tell::Prompt(prompt)),
                GateOutput::Do { ticket, effect: Effect::Verify(proof) } => {
                    self.outputs.push_back(Output::Verify { connection: id, ticket, proof });
                }
                GateOutput::Do { ticket, effect: Effect::Knock } => at.knocked = Some(ticket),
                GateOutput::Do { ticket, effect: Effect::Once { client, digest } } => {
                    let verdict = match self.shown.is_first(client, digest, now.time) {
                        // It may have come before this process began.
                        Some(true) => {
                            let lasts = i64::try_from(REMEMBERED.as_millis()).unwrap_or(i64::MAX);
                            let until = Wall(now.wall.0.saturating_add(lasts));
                            let proof = Proof::Once { digest, until };
                            self.outputs.push_back(Output::Verify { connection: id, ticket, proof });
                            continue;
                        }
                        Some(false) => Verdict::Differs,
                        None => Verdict::Busy,
                    };
                    at.gate.handle(Input::Done { ticket, verdict }, now);
                }
                GateOutput::Do { ticket, effect: Effect::Seat { most } } => {
                    let room = at.before.room().and_then(|(room, _)| self.seats.get(&room));
                    let verdict = has_seat(room, id, most);
                    if verdict == Verdict::Matches {
                        at.seats = Some(at.seats.map_or(most, |other| other.min(most)));
                    }
                    at.gate.handle(Input::Done { ticket, verdict }, now);
                }
                GateOutput::Tell { stage, acceptor, step, why } => {
                    if step == GateStep::Refused {
                        self.audit_refused(id, acceptor, why);
                    }
                    let Some(at) = self.connections.get_mut(&id).and_then(|one| one.at.as_mut()) else {
                        return;
                    };
                    let Some(who) = at.gate.claimed() else { continue };
                    let host = at.host_at(stage);
                    let event = SystemEvent::Gate {
                        connection: id,
                        client: Some(who.client),
                        name: Some(who.name.clone()),
                        account: host.filter(|host| *host != who.account).map(|_| who.account_name.clone()),
                        room: at.before.room().map(|(_, name)| name.clone()),
                        acceptor: acceptor.name().to_owned(),
                        step,
                        why: why.to_owned(),
                    };
                    let scope = Scope::Account(host.unwrap_or(who.account));
                    // Who looks after the room alone, and decides about its stages, does not hear the account's admins.
                    let of_room = at.before.room().filter(|_| at.gate.stage() >= at.of_account);
                    let of_room = of_room.filter(|_| step == GateStep::Waits).map(|(room, _)| room);
                    if let Some(room) = of_room {
                        self.rooms(BusInput::Event { scope: Scope::Room(room), event: event.clone() }, now);
                    }
                    self.rooms(BusInput::Event { scope, event }, now);
                }
                GateOutput::Pass => return self.let_pass(id, now),
                GateOutput::Refuse(refusal) => return self.turned_away(id, refusal, now),
            }
        }
    }

    fn let_pass(&mut self, id: ConnectionId, now: Now) {
        let Some((_, at)) = self.leave_gate(id) else { return };
        if let Before::Renewal(_) = at.before {
            return self.renewed(id, &at, now);
        }
        let principal = match self.as_known(id) {
            Ok(Some(principal)) => principal,
            // A gate that says nobody's name lets nobody in.
            Ok(None) => return self.refuse(id, no_such_room(), now),
            Err(refusal) => return self.refuse(id, refusal, now),
        };
        let Some(connection) = self.connections.get(&id) else { return };
        let asked = match &connection.entering {
            Some(Ask::Enter { room: Some(room), .. }) => Some(room.clone()),
            Some(_) | None => None,
        };
        // What it may do there may have been taken while it stood at the gate: nobody sits where it may do nothing.
        // And the room may have got another name: who was let into it is in it, however it is called.
        let is_reached = |room| self.name_of(id, room).filter(|_| may_enter(&principal, room));
        let (of_account, of_room) = at.hours();
        let (room, before) = match at.before.room() {
            None => (None, at.before),
            Some((room, _)) => match is_reached(room) {
                Some(name) => (Some(room), at.before.called(name)),
                None => return self.not_past(id, at.before, no_such_room(), now),
            },
        };
        // Others may have sat down while it was asked something at a later stage.
        let seats = room.and_then(|room| self.seats.get(&room));
        if at.seats.is_some_and(|most| has_seat(seats, id, most) != Verdict::Matches) {
            return self.not_past(id, before, room_full(), now);
        }
        match before {
            Before::Front => self.at_account(id, &principal, asked, now),
            // Has gone its own way.
            Before::Renewal(_) => {}
            Before::Account(room) => {
                self.lasts_until(id, None, of_account, now);
                if let Some((room, _)) = &room {
                    self.lasts_until(id, Some(*room), of_room, now);
                }
                self.let_in(id, &principal, room, now);
            }
            Before::Move(room, name) => {
                self.moved(id, &principal, room, now);
                self.lasts_until(id, Some(room), of_room, now);
                self.audit_entry(id, Some(name.clone()));
                self.tell(id, Tell::Moved { room: name, result: Ok(()) });
            }
        }
    }

    fn turned_away(&mut self, id: ConnectionId, refusal: Refusal, now: Now) {
        let left = self
            .leave_gate(id)
            .map(|(connection, at)| (connection.caller.address.filter(|_| !connection.caller.proxy), at));
        if let Some((Some(address), at)) = &left
            && at.gate.is_offended()
        {
            self.offenders.offended(*address, now.time);
        }
        if let Some((_, at)) = left {
            self.not_past(id, at.before, refusal, now);
        }
    }

    fn not_past(&mut self, id: ConnectionId, before: Before, refusal: Refusal, now: Now) {
        match before {
            Before::Move(_, room) => {
                // From outside one cannot tell a room that is not from one whose gate says no.
                let says_no = matches!(refusal.code, Code::Denied | Code::NotAuthorised);
                let why = if says_no { no_such_room() } else { refusal };
                self.tell(id, Tell::Moved { room, result: Err(why) });
            }
            Before::Front | Before::Account(_) => self.refuse(id, refusal, now),
            Before::Renewal(_) => {
                self.say_not_let_in(id, &refusal, now);
                self.refuse(id, refusal, now);
            }
        }
    }

    /// A connection is at no gate any more; what it has proven there stands, but for what it has said anew, which replaces all
    /// that was before or nothing.
    pub(super) fn leave_gate(&mut self, id: ConnectionId) -> Option<(&mut Connection, AtGate)> {
        self.persons.left(id);
        let connection = self.connections.get_mut(&id)?;
        let at = *connection.at.take()?;
        if let Some(time) = at.gate.poll_timeout() {
            self.gate_deadlines.remove(&(time, id));
        }
        if !matches!(at.before, Before::Renewal(_)) {
            connection.standing = at.gate.standing().clone();
        }
        Some((connection, at))
    }

    /// Who is there is known: what do the account and the room in the address want?
    pub(super) fn at_account(
        &mut self,
        id: ConnectionId,
        principal: &Arc<Principal>,
        room: Option<RoomName>,
        now: Now,
    ) {
        // Who visits a lobby is in no room, whatever its channels' address calls it.
        let Some(connection) = self.connections.get(&id) else { return };
        let visits = connection.host(principal) != Some(principal.account);
        if visits && !is_known(&connection.standing) {
            return self.refuse(id, nobody(), now);
        }
        let room = match room.filter(|_| !visits) {
            Some(name) => match self.bus.reached(principal, &name) {
                Some(room) => Some((room, name)),
                None => return self.refuse(id, no_such_room(), now),
            },
            None => None,
        };
        self.at_account_and(id, principal, room, now);
    }

    /// The same with a room that there is.
    pub(super) fn at_account_and(
        &mut self,
        id: ConnectionId,
        principal: &Arc<Principal>,
        room: Option<(RoomId, RoomName)>,
        now: Now,
    ) {
        let Some(connection) = self.connections.get(&id) else { return };
        let directory = Arc::clone(&connection.policy.directory);
        let host = connection.host(principal);
        let own = room.as_ref().and_then(|(room, _)| directory.room_gate(*room));
        let (sequence, of_account) = match (host.and_then(|host| directory.gate(host)), own) {
            (None, None) => return self.let_in(id, principal, room, now),
            (Some(account), None) => (Arc::clone(account), account.stages.len()),
            (None, Some(own)) => (Arc::clone(own), 0),
            (Some(account), Some(own)) => (Arc::new(account.then(own)), account.stages.len()),
        };
        self.stand_at(id, (sequence, of_account), (host, Before::Account(room)), now);
    }

    fn stand_at(
        &mut self,
        id: ConnectionId,
        (sequence, of_account): (Arc<Sequence>, usize),
        (owner, before): (Option<AccountId>, Before),
        now: Now,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let directory = Arc::clone(&connection.policy.directory);
        let (standing, caller) = (connection.standing.clone(), connection.caller.clone());
        let gate = Gate::inner(directory, sequence, standing, caller, now);
        let (of_listener, knocked, seats) = (0, None, None);
        let at = AtGate { gate, before, of_account, of_listener, owner, knocked, seats };
        connection.at = Some(Box::new(at));
        self.go_on(id, now);
    }

    /// The gates before the rooms have passed it. MQTT names no room and knows no conversation: it is let into all those
    /// whose gates ask nothing more than what CONNECT brought. Who comes to a lobby is in none of them yet.
    fn let_in(
        &mut self,
        id: ConnectionId,
        principal: &Arc<Principal>,
        room: Option<(RoomId, RoomName)>,
        now: Now,
    ) {
        let Some(connection) = self.connections.get(&id) else { return };
        let directory = Arc::clone(&connection.policy.directory);
        let is_mqtt = matches!(connection.entering, Some(Ask::Enter { session: Some(_), .. }));
        match &room {
            Some((room, _)) => self.allow(id, directory.room_gate(*room).map(|_| *room)),
            None if !is_mqtt => self.allow(id, []),
            None => {
                let silently = self.silently(id, principal, now);
                self.allow(id, silently.keys().copied());
                self.last_until(id, silently);
            }
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.room = room.as_ref().map(|(room, _)| *room);
        }
        self.expires(id, now);
        self.audit_entry(id, room.map(|(_, name)| name));
        let principal = self.with_rights(id, principal);
        self.passed(id, principal, now);
    }

    /// The rooms whose gates let a connection pass that is asked nothing: of MQTT all, of others the one that it is in; and when
    /// the hours end by which that is so.
    pub(super) fn silently(
        &self,
        id: ConnectionId,
        principal: &Arc<Principal>,
        now: Now,
    ) -> BTreeMap<RoomId, Option<Wall>> {
        let Some(connection) = self.connections.get(&id) else { return BTreeMap::new() };
        let is_its = |room| connection.is_mqtt() || connection.room == Some(room);
        let (directory, standing) = (&connection.policy.directory, &connection.standing);
        let silently = |room, sequence| {
            let seats = self.seats.get(&room);
            let has_seat = |most| has_seat(seats, id, most);
            passes_silently(directory, sequence, standing, &connection.caller, has_seat, now)
        };
        // Nobody sits where it may do nothing.
        let gated = directory
            .gated(principal.account)
            .filter(|(room, _)| is_its(*room) && may_enter(principal, *room));
        gated.filter_map(|(room, sequence)| Some((room, silently(room, sequence)?.hours(..)))).collect()
    }

    /// Moves a connection on into another room, if that room's gate lets it pass.
    pub(super) fn move_to(&mut self, id: ConnectionId, name: RoomName, now: Now) {
        let Some(connection) = self.connections.get(&id) else { return };
        let Some(principal) = connection.standing.principal.clone() else { return };
        let denied = if connection.at.is_some() { Some(one_gate_at_a_time()) } else { None };
        let room = self.bus.reached(&principal, &name);
        let room = match (denied, room) {
            (None, Some(room)) => room,
            (denied, _) => {
                let why = denied.unwrap_or_else(no_such_room);
                return self.tell(id, Tell::Moved { room: name, result: Err(why) });
            }
        };
        self.move_into(id, &principal, (room, name), now);
    }

    /// The same into a room that there is.
    pub(super) fn move_into(
        &mut self,
        id: ConnectionId,
        principal: &Arc<Principal>,
        (room, name): (RoomId, RoomName),
        now: Now,
    ) {
        let Some(connection) = self.connections.get(&id) else { return };
        match connection.policy.directory.room_gate(room) {
            Some(sequence) => {
                let sequence = Arc::clone(sequence);
                let host = Some(principal.account);
                self.stand_at(id, (sequence, 0), (host, Before::Move(room, name)), now);
            }
            None => {
                self.moved(id, principal, room, now);
                self.tell(id, Tell::Moved { room: name, result: Ok(()) });
            }
        }
    }

    /// What the lobby shows.
    pub(super) fn say_rooms(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else { return };
        let Some(principal) = &connection.standing.principal else { return };
        let directory = &connection.policy.directory;
        let info = |(room, name, members)| RoomInfo {
            name,
            gated: directory.room_gate(room).is_some(),
            members,
            kind: self.bus.kind_of(room).unwrap_or_default(),
            absent: self.absent(room),
        };
        let rooms = self.bus.rooms_reached(principal).map(info).collect();
        self.tell(id, Tell::Rooms(rooms));
    }

    fn moved(&mut self, id: ConnectionId, principal: &Arc<Principal>, room: RoomId, now: Now) {
        let Some(connection) = self.connections.get(&id) else { return };
        let gated = connection.policy.directory.room_gate(room).is_some();
        self.allow(id, gated.then_some(room));
        let principal = self.with_rights(id, principal);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.principal = Some(Arc::clone(&principal));
            connection.room = Some(room);
            connection.operates = false;
            // What was asked for in the lobby is void here, and stays so when it goes back.
            connection.operating = false;
        }
        // A lobby has channels too.
        self.rooms(BusInput::Ask { connection: id, ask: Ask::Part }, now);
        self.rooms(BusInput::Principal { connection: id, principal }, now);
    }

    /// The name of a room that there is: by the accounts as they are, which the rooms may learn of a moment later.
    pub(super) fn name_of(&self, id: ConnectionId, room: RoomId) -> Option<RoomName> {
        let known = self.bus.name_of(room)?;
        let connection = self.connections.get(&id)?;
        let account = connection.standing.principal.as_ref().map(|principal| principal.account);
        let named = account.and_then(|account| connection.policy.directory.room(account, room));
        Some(named.map_or(known, |room| &room.name).clone())
    }

    /// Out of its room.
    pub(super) fn back_to_lobby(&mut self, id: ConnectionId, now: Now) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.room.take().is_none() {
            return;
        }
        let Some(principal) = connection.standing.principal.clone() else { return };
        self.allow(id, []);
        let principal = self.with_rights(id, &principal);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.principal = Some(Arc::clone(&principal));
        }
        self.rooms(BusInput::Ask { connection: id, ask: Ask::Part }, now);
        self.rooms(BusInput::Principal { connection: id, principal }, now);
    }

    /// An admin says yes or no to somebody who knocks; at that room, where it says which: a yes may come so late that it would
    /// let in at another one.
    pub(super) fn decide(
        &mut self,
        id: ConnectionId,
        (knocker, room): (ConnectionId, Option<RoomName>),
        admit: bool,
        now: Now,
    ) {
        // Its own rights, not those of the room that it is in at the moment.
        let admin = self.connections.get(&id).and_then(|one| one.standing.principal.clone());
        let at = self.connections.get(&knocker).and_then(|one| one.at.as_ref());
        let knock = at.filter(|at| at.is_for(room.as_ref())).and_then(|at| Some((at.knocks()?, at)));
        let own = knock.zip(admin).is_some_and(|((_, at), admin)| self.looks_after(&admin, at));
        let result = match knock.filter(|_| own) {
            Some((ticket, ..)) => {
                let verdict = if admit { Verdict::Matches } else { Verdict::Differs };
                let by = self.connections.get(&id).and_then(|one| one.standing.principal.clone());
                let by = by.map_or_else(String::new, |by| format!("by {}", by.name));
                self.audit(knocker, if admit { Deed::Admitted } else { Deed::TurnedAway }, None, by);
                self.gate(knocker, Input::Done { ticket, verdict }, now);
                Ok(())
            }
            None => Err(refusal(
                Code::Denied,
                "nobody knocks by that number, or not at a room of yours",
                "the number of a connection that waits at a gate, as the technical channel told it",
            )),
        };
        self.tell(id, Tell::Decided { connection: knocker, result });
    }

    /// Whether somebody looks after the stage of a gate at which another one stands: of an account's stages its owners, of
    /// a room's also who administers the whole room.
    pub(super) fn looks_after(&self, admin: &Principal, at: &AtGate) -> bool {
        let room = at.before.room().filter(|_| at.gate.stage() >= at.of_account);
        let of_room = room.is_some_and(|(room, _)| admin.grants.whole(Right::Admin, room));
        (of_room || admin.grants.administer()) && at.host() == Some(admin.account)
    }

    /// It is in these rooms that have gates of their own, and in no other such room.
    pub(super) fn allow(&mut self, id: ConnectionId, rooms: impl IntoIterator<Item = RoomId>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let before = std::mem::take(&mut connection.allowed);
        connection.allowed.extend(rooms);
        let allowed = &connection.allowed;
        for room in before.difference(allowed) {
            leave_seat(&mut self.seats, *room, id);
        }
        for room in allowed {
            self.seats.entry(*room).or_default().insert(id);
        }
        connection.hours.retain(|room, _| room.is_none_or(|room| allowed.contains(&room)));
    }

    /// It is at no gate and in no room that has one.
    pub(super) fn leave_gates(&mut self, id: ConnectionId) {
        self.leave_gate(id);
        self.allow(id, []);
        self.lasts(id);
    }

    /// What a principal may do on this connection: nothing in rooms whose gates it did not pass, and in somebody else's lobby
    /// what visitors may.
    pub(super) fn with_rights(&self, id: ConnectionId, principal: &Arc<Principal>) -> Arc<Principal> {
        let Some(connection) = self.connections.get(&id) else { return Arc::clone(principal) };
        let host = connection.host(principal);
        let visiting =
            (host != Some(principal.account)).then(|| connection.policy.directory.visiting(principal, host));
        let principal = visiting.as_ref().unwrap_or(principal);
        let gated = connection.policy.directory.gated(principal.account).map(|(room, _)| room);
        let outside: Vec<RoomId> = gated.filter(|room| !connection.allowed.contains(room)).collect();
        if outside.is_empty() {
            return Arc::clone(principal);
        }
        let grants = Arc::new(principal.grants.without(outside));
        Arc::new(Principal { grants, ..Principal::clone(principal) })
    }
}

/// A gate that lets somebody pass who is asked nothing, if it does.
pub(super) fn passes_silently(
    directory: &Arc<Directory>,
    sequence: &Arc<Sequence>,
    standing: &Standing,
    caller: &Caller,
    seat: impl Fn(u32) -> Verdict,
    now: Now,
) -> Option<Gate> {
    let (directory, sequence) = (Arc::clone(directory), Arc::clone(sequence));
    let mut gate = Gate::inner(directory, sequence, standing.clone(), caller.clone(), now);
    while let Some(output) = gate.poll() {
        match output {
            GateOutput::Pass => return Some(gate),
            GateOutput::Do { ticket, effect: Effect::Seat { most } } => {
                gate.handle(Input::Done { ticket, verdict: seat(most) }, now);
            }
            GateOutput::Tell { .. } => {}
            // Another acceptor of the same stage may ask nothing.
            GateOutput::Say(_) => gate.handle(Input::Unasked, now),
            GateOutput::Do { .. } | GateOutput::Refuse(_) => return None,
        }
    }
    None
}

pub(super) fn one_gate_at_a_time() -> Refusal {
    refusal(Code::WrongState, "one gate at a time", "wait for the answer")
}

pub(super) fn may_enter(principal: &Principal, room: RoomId) -> bool {
    let rights = [Right::Publish, Right::Subscribe, Right::Admin];
    rights.into_iter().any(|right| principal.grants.reach(right, room))
}

pub(super) fn room_full() -> Refusal {
    refusal(Code::TooMany, "the room is full", "come back when somebody has left")
}

pub(super) fn has_seat(seats: Option<&BTreeSet<ConnectionId>>, id: ConnectionId, most: u32) -> Verdict {
    let taken = seats.map_or(0, |seats| seats.len() - usize::from(seats.contains(&id)));
    if taken < most as usize { Verdict::Matches } else { Verdict::Differs }
}

fn leave_seat(seats: &mut BTreeMap<RoomId, BTreeSet<ConnectionId>>, room: RoomId, id: ConnectionId) {
    if let Some(taken) = seats.get_mut(&room) {
        taken.remove(&id);
        if taken.is_empty() {
            seats.remove(&room);
        }
    }
}
