//! From the gate to the rooms, with a session if one is asked for, and back out.

use super::{
    Awaited, Instance, Output, Record, refusal,
    takeovers::{TAKEOVERS_EVERY, TAKEOVERS_MAX},
};
use crate::connection::{Connection, Session, State};
use riser_model::{
    ConnectionId, Now, Principal,
    door::{Ask, Code, Credential, NORMAL, Refusal, SessionState, Tell},
    event::{Scope, SystemEvent},
};
use riser_mqtt::SessionKey;
use riser_rooms::Input as BusInput;
use std::sync::Arc;

impl Instance {
    /// All gates have passed it.
    pub(super) fn passed(&mut self, id: ConnectionId, principal: Arc<Principal>, now: Now) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.state = State::Session;
        let client = principal.client;
        connection.principal = Some(principal);
        self.came.insert(client);
        let own = self.of_client.entry(client).or_default();
        own.push(id);
        if own.len() > self.of_client_max {
            return self.refuse(id, too_many(self.of_client_max), now);
        }
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some((key, _)) = connection.wanted() else {
            self.enter(id, SessionState::default(), now);
            return;
        };
        // Taken over only by the same principal: the key says who.
        if let Some(former) = self.holders.get(&key).copied() {
            if !self.takeovers.may(&key, now.time) {
                return self.refuse(id, taken_over_too_often(), now);
            }
            self.refuse(former, taken_over(), now);
        }
        self.take_up(id, now);
    }

    /// Takes up the session, unless its former connection still has it: then again when that one is settled.
    pub(super) fn take_up(&mut self, id: ConnectionId, now: Now) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some((key, request)) = connection.wanted() else { return };
        if self.holders.contains_key(&key) || self.changing.contains_key(&key) {
            self.waiting.entry(key).or_default().insert(id);
            return;
        }
        let will = (request.will.clone(), request.clean, request.expiry_s);
        let opened = self.sessions.open(request, key.account, key.client, self.steady.wall(now));
        let principal = connection.principal.clone();
        let opened = opened.and_then(|opening| match &principal {
            Some(principal) => Ok((opening, self.open_will(&key, principal, will, now)?)),
            None => Ok((opening, None)),
        });
        let (opening, willed) = match opened {
            Ok(opened) => opened,
            Err(refusal) => return self.refuse(id, refusal, now),
        };
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let is_willed = matches!(willed, Some(Record::Willed { .. }));
        connection.willed = is_willed;
        connection.session = Some(Session::new(opening.state.number, key.clone()));
        self.system(key.account).connected += 1;
        self.holders.insert(key.clone(), id);
        let records: Vec<Record> = opening.record.into_iter().chain(willed).collect();
        if records.is_empty() {
            self.enter(id, opening.state, now);
        } else {
            let awaited = Awaited::Enter { connection: id, state: opening.state, willed: is_willed };
            self.append(key, &records, awaited, now);
        }
    }

    pub(super) fn enter(&mut self, id: ConnectionId, session: SessionState, now: Now) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let (State::Session, Some(principal)) = (&connection.state, connection.principal.clone()) else {
            return;
        };
        connection.entering = None;
        connection.state = State::Rooms;
        let room = connection.room;
        let room = room.and_then(|room| self.name_of(id, room));
        self.rooms(BusInput::Open { connection: id, principal: Arc::clone(&principal) }, now);
        let is_mqtt = self.connections.get(&id).is_some_and(|connection| connection.session.is_some());
        if is_mqtt {
            self.count_entry(principal.account, now);
        }
        let session = SessionState { tally: self.system(principal.account).tally.clone(), ..session };
        // Who it is, also where it visits.
        let own = self.connections.get(&id).and_then(|one| one.standing.principal.as_ref());
        let principal = match own.filter(|own| own.account != principal.account) {
            Some(own) => Arc::clone(own),
            None => principal,
        };
        self.tell(id, Tell::Entered { principal, connection: id, session, room });
    }

    // The end of a connection.

    pub(super) fn refuse(&mut self, id: ConnectionId, refusal: Refusal, now: Now) {
        self.outputs.push_back(Output::Refused { code: refusal.code });
        let is_in = |one: &Connection| matches!(one.state, State::Rooms | State::Leaving);
        if !self.connections.get(&id).is_none_or(is_in) {
            self.say_not_let_in(id, &refusal, now);
        }
        let cause = refusal.code.name();
        self.tell(id, Tell::Refused(refusal));
        self.leave(id, cause, None, now);
    }

    /// Those who look after an account hear who was not let in. A name that was only claimed may be a password that was
    /// typed into the wrong field: it is not told.
    pub(super) fn say_not_let_in(&mut self, id: ConnectionId, refusal: &Refusal, now: Now) {
        let Some(connection) = self.connections.get(&id) else { return };
        // Who it is, also where it visits: its own account hears of it.
        let principal = connection.standing.principal.as_ref();
        let claimed = match &connection.entering {
            Some(Ask::Enter { credential: Credential::Password { account: Some(name), .. }, .. }) => {
                Some(name)
            }
            _ => None,
        };
        let account = principal.map(|principal| principal.account);
        let Some(account) = account.or_else(|| self.bus.account(claimed)) else { return };
        let event = SystemEvent::Refused {
            code: refusal.code.name().to_owned(),
            what: refusal.what.clone(),
            client: principal.map(|principal| principal.client),
            name: principal.map(|principal| principal.name.clone()),
            connection: id,
        };
        self.say(Scope::Account(account), event, now);
    }

    pub(super) fn leave(&mut self, id: ConnectionId, cause: &str, expiry_s: Option<u32>, now: Now) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let state = std::mem::replace(&mut connection.state, State::Leaving);
        let willed = std::mem::take(&mut connection.willed);
        let (key, number) =
            (connection.session.as_ref().map(|one| one.key.clone()), connection.session_number());
        let shares = connection.shares();
        if let State::Leaving = state {
            return;
        }
        self.leave_gates(id);
        if let Some(key) = key {
            if willed {
                self.leave_will(&key, cause == NORMAL, expiry_s, now);
            }
            self.look_at_clock(false, now);
            if let Some(record) = self.sessions.leave(number, expiry_s, self.steady.wall(now)) {
                self.append(key, &[record], Awaited::Nobody, now);
            }
        }
        match state {
            State::Leaving => {}
            State::Gate | State::Session => self.settled(id, now),
            State::Rooms => {
                let ask = Ask::Leave { cause: cause.to_owned(), expiry_s };
                self.rooms(BusInput::Ask { connection: id, ask }, now);
                if shares {
                    self.note_shares(now);
                }
            }
        }
    }

    /// Forgets a connection that has left and of which nothing waits for a commit, and lets the next one have
    /// its session.
    pub(super) fn settled(&mut self, id: ConnectionId, now: Now) {
        let Some(gone) = self.connections.remove(&id) else { return };
        if let Some((key, _)) = gone.wanted()
            && let Some(waiting) = self.waiting.get_mut(&key)
        {
            waiting.remove(&id);
            if waiting.is_empty() {
                self.waiting.remove(&key);
            }
        }
        if let Some(client) = gone.principal.map(|principal| principal.client)
            && let Some(own) = self.of_client.get_mut(&client)
        {
            own.retain(|one| *one != id);
            if own.is_empty() {
                self.of_client.remove(&client);
            }
        }
        let session = gone.session;
        if let Some(account) = session.as_ref().map(|session| session.key.account) {
            self.system(account).connected -= 1;
        }
        if let Some(key) = session.map(|session| session.key).filter(|key| self.holders.get(key) == Some(&id))
        {
            self.holders.remove(&key);
            self.let_next_have(&key, now);
        }
    }

    /// Lets the newest of those that wait for a session have it, if nothing of it waits for a commit. The others are
    /// taken over before they ever had it.
    pub(super) fn let_next_have(&mut self, key: &SessionKey, now: Now) {
        if self.holders.contains_key(key) || self.changing.contains_key(key) {
            return;
        }
        let mut waiting = self.waiting.remove(key).unwrap_or_default();
        // Who was told to go meanwhile stays until nothing of it waits for a commit.
        let waits = |id: &ConnectionId| {
            self.connections.get(id).is_some_and(|connection| matches!(connection.state, State::Session))
        };
        waiting.retain(waits);
        if let Some(newest) = waiting.pop_last() {
            waiting.into_iter().for_each(|other| self.refuse(other, taken_over(), now));
            self.take_up(newest, now);
        }
    }
}

pub(super) fn no_such_room() -> Refusal {
    refusal(Code::Denied, "no such room, or not for you", "a room of your account in which you have a right")
}

fn taken_over() -> Refusal {
    refusal(
        Code::TakenOver,
        "another connection took this session over",
        "one connection per MQTT client id; give each device its own",
    )
}

fn taken_over_too_often() -> Refusal {
    refusal(
        Code::TooMany,
        &format!("this session was taken over {TAKEOVERS_MAX} times in {} s", TAKEOVERS_EVERY.as_secs()),
        "to come back in a moment, and a client id of its own for each device",
    )
}

fn too_many(most: usize) -> Refusal {
    refusal(
        Code::TooMany,
        &format!("{most} connections of this user or client are open"),
        "to close one, or to give each device a client of its own",
    )
}
