//! What doors ask, and who of the instance answers.

use super::{Awaited, Instance, Output, not_in_yet, refusal};
use crate::connection::{Connection, Lobby, State};
use riser_gate::{Caller, Gate, Policy, Redeemed};
use riser_model::{
    ConnectionId, Now,
    door::{Ask, Code, Credential, Intake, Refusal, Tell},
    look::{Look, Seen},
};
use riser_mqtt::HandOver;
use riser_rooms::Input as BusInput;
use riser_wire::entry::{Body, Frame, Publication, frames};
use std::sync::Arc;

impl Instance {
    pub(super) fn opened(&mut self, id: ConnectionId, policy: Arc<Policy>, mut caller: Caller, now: Now) {
        let address = caller.address.filter(|_| !caller.proxy);
        caller.known = address.is_some_and(|address| self.offenders.knows_person(address, now.time));
        let gate = Gate::front(&policy, caller.clone(), now);
        self.gate_deadlines.extend(gate.poll_timeout().map(|time| (time, id)));
        self.connections.insert(id, Connection::new(policy, caller, gate));
    }

    pub(super) fn ask(&mut self, id: ConnectionId, ask: Ask, now: Now) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match (&connection.state, ask) {
            (State::Gate, Ask::Enter { credential, session, room }) => {
                let is_person = credential == Credential::Person;
                if is_person && !self.persons.come(id, connection.caller.address) {
                    return self.refuse(id, too_many_persons(), now);
                }
                let shown = match credential {
                    Credential::Ticket(ticket) => {
                        riser_gate::Input::Redeemed(self.tickets.redeem(&ticket, now))
                    }
                    credential => riser_gate::Input::Shown(credential),
                };
                connection.entering = Some(Ask::Enter { credential: Credential::Anonymous, session, room });
                self.gate(id, shown, now);
            }
            (State::Gate, Ask::Visit { lobby }) if connection.entering.is_none() => {
                let host = connection.policy.directory.account(&lobby);
                (connection.lobby, connection.caller.home) = (Some(Lobby(host)), Some(lobby.clone()));
                if let Some(at) = &mut connection.at {
                    at.gate.comes_to(lobby);
                }
            }
            (State::Leaving, _) => {}
            (State::Gate | State::Rooms, Ask::Answer(answer)) if connection.at.is_some() => {
                self.gate(id, riser_gate::Input::Answered(answer), now);
            }
            // It was on its way when the gate was passed: there is no question any more.
            (_, Ask::Answer(_)) => {}
            (_, Ask::Leave { cause, expiry_s }) => self.leave(id, &cause, expiry_s, now),
            (State::Rooms, ask) => self.ask_rooms(id, ask, now),
            (State::Gate | State::Session, _) => self.refuse(id, not_in_yet(), now),
        }
    }

    pub(super) fn ask_rooms(&mut self, id: ConnectionId, ask: Ask, now: Now) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match ask {
            Ask::Publish(intake) => {
                connection.await_ticket(intake.ticket);
                let number = connection.session_number();
                if let Some(refusal) = self.too_many_open(number, &intake) {
                    let mut tell = self.stored(intake.ticket);
                    if let Tell::Stored { refused, .. } = &mut tell {
                        refused.extend((0..intake.count).map(|index| (index, refusal.clone())));
                    }
                    self.outputs.push_back(Output::Refused { code: refusal.code });
                    return self.answer(id, intake.ticket, tell);
                }
                self.rooms(BusInput::Ask { connection: id, ask: Ask::Publish(intake) }, now);
            }
            Ask::Release { ticket, ids } => {
                connection.await_ticket(ticket);
                let number = connection.session_number();
                // As many as there are packet ids, at most.
                let count = u32::try_from(ids.len()).unwrap_or(u32::MAX);
                match self.sessions.release(number, &ids) {
                    Some(record) => {
                        let awaited = Awaited::Release { connection: id, ticket, ids: count };
                        self.append_of(id, &[record], awaited, now);
                    }
                    None => self.answer(id, ticket, self.stored(ticket)),
                }
            }
            Ask::HandOver { ticket, sent, released, left, loose, done, shown } => {
                connection.await_ticket(ticket);
                let (sent, left) = (connection.by_filter(&sent), connection.by_filter(&left));
                let shown = connection.shown_by_filter(shown);
                let news = HandOver { sent, released, left, loose, done, shown };
                self.hand_over(id, ticket, news, now);
            }
            ask @ (Ask::Subscribe { .. } | Ask::Unsubscribe { .. }) => self.change_filter(id, ask, now),
            Ask::Confirm { subscription, through } => {
                let kept = connection.session.as_ref().and_then(|session| session.kept.get(&subscription));
                let through = kept.map(|kept| vec![(kept.filter.clone(), through)]).unwrap_or_default();
                if let Some(record) = self.sessions.confirm(connection.session_number(), &through) {
                    self.append_of(id, &[record], Awaited::Nobody, now);
                }
            }
            Ask::Ticket { hash } => {
                let Some(principal) = &connection.principal else { return };
                let what = Redeemed {
                    client: principal.client,
                    memberships: principal.grants.memberships(),
                    passed: connection.standing.passed.clone(),
                    evidence: connection.standing.evidence.clone(),
                    until: connection.standing.until,
                    cookie: connection.standing.cookie,
                };
                let issued = self.tickets.issue(hash, what, now);
                // Half a minute fits.
                self.tell(id, Tell::Ticketed(issued.map(|lasts| lasts.as_secs() as u32)));
            }
            Ask::Delivered { at } => self.delivered(id, &at, now),
            ask @ (Ask::Pull { .. }
            | Ask::Pause { .. }
            | Ask::Settle { .. }
            | Ask::KeepSession
            | Ask::Dropped { .. }) => self.rooms(BusInput::Ask { connection: id, ask }, now),
            Ask::Look { id: look, look: at } => {
                let Some(principal) = connection.principal.clone() else { return };
                match *at {
                    Look::Quarantine(care) => self.care(id, look, principal, care),
                    Look::Past(wanted) => self.page(id, look, principal, wanted),
                    Look::Edit(edit) => self.edit(id, look, principal, edit),
                    Look::Devices { room, after } => {
                        let directory = Arc::clone(&connection.policy.directory);
                        let result = self.devices(&directory, &principal, (&room, after));
                        self.tell(id, Tell::Seen { id: look, result });
                    }
                    Look::Presence { room, after } => {
                        let directory = Arc::clone(&connection.policy.directory);
                        let own = connection.standing.principal.clone().unwrap_or_else(|| principal.clone());
                        let of = self.bus.readable_room(&principal, &room);
                        let mut result = self.look(&principal, &Look::Presence { room, after }, now);
                        if let (Ok(Seen::Presence(seen)), Ok(room)) = (&mut result, of) {
                            self.see_gate(&directory, &own, room, seen);
                        }
                        self.tell(id, Tell::Seen { id: look, result });
                    }
                    at @ Look::Statistics(_) => {
                        let result = self.look(&principal, &at, now);
                        self.tell(id, Tell::Seen { id: look, result });
                    }
                }
            }
            Ask::Renew(credential) => self.renew(id, credential, now),
            Ask::Move { room } => self.move_to(id, room, now),
            Ask::Part => self.back_to_lobby(id, now),
            Ask::Rooms => self.say_rooms(id),
            Ask::Run(errand) => self.run(id, *errand),
            Ask::Decide { connection, room, admit } => self.decide(id, (connection, room), admit, now),
            Ask::Visit { .. } | Ask::Enter { .. } | Ask::Answer(_) | Ask::Leave { .. } => {
                self.refuse(id, not_in_yet(), now)
            }
        }
    }
}

impl Instance {
    /// Why nothing of a batch is stored: it would open more QoS 2 ids than are remembered.
    fn too_many_open(&self, session: u64, intake: &Intake) -> Option<Refusal> {
        let refusal = self.sessions.check_open_ids(session).err()?;
        let opens = |frame: Frame<'_>| Body::read(frame.body).is_ok_and(|b| Publication::has_packet_id(&b));
        frames(&intake.entries).map_while(Result::ok).any(opens).then_some(refusal)
    }
}

fn too_many_persons() -> Refusal {
    refusal(
        Code::TooMany,
        "too many people stand at the gate, in all or from this address",
        "come back in a moment",
    )
}
