//! From one room into another or back into the lobby, on one connection: the verbs of a lobby, said in a room.
//!
//! Always holds: the move is asked for only when everything that was asked in the room before is answered, so that no receipt,
//! no subscription and no look of one room is taken for another one's. Until it is answered the connection is where it was,
//! reads there, and asks nothing more of it.

use super::Open;
use crate::door::{Place, refusal};
use riser_model::{
    RoomName,
    door::{Ask, Code, Output, Refusal},
};
use riser_wire::client::{self, Done, InLobby, Started};
use std::collections::VecDeque;

/// Where somebody wants to go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Going {
    /// Into a room, whose gate is asked.
    Room(RoomName),
    /// Back into the lobby, which asks nothing.
    Lobby,
}

impl Open {
    /// It wants to go there.
    pub(super) fn go(&mut self, id: u64, room: RoomName) -> Result<(), Refusal> {
        self.verbs.go(id, room.clone())?;
        self.going = Some(Going::Room(room));
        Ok(())
    }

    /// It wants to leave its room.
    pub(super) fn go_back(&mut self, id: u64) -> Result<(), Refusal> {
        if self.in_lobby {
            return Err(refusal(Code::WrongState, "you are in the lobby", "leave in a room"));
        }
        self.verbs.leave(id)?;
        self.going = Some(Going::Lobby);
        Ok(())
    }

    /// Sets out, if nothing is unanswered.
    pub(super) fn set_out(&mut self, place: &mut Place, out: &mut VecDeque<Output>) {
        let answered = self.hello.is_none()
            && self.publisher.is_answered()
            && self.readers.is_answered()
            && self.looks.is_answered();
        match self.going.take_if(|_| answered) {
            Some(Going::Room(room)) => out.push_back(Output::Ask(Ask::Move { room })),
            Some(Going::Lobby) => self.back(place, out),
            None => {}
        }
    }

    /// It is in the lobby: nobody says no to that, and what it asks next is asked there.
    fn back(&mut self, place: &mut Place, out: &mut VecDeque<Output>) {
        out.push_back(Output::Ask(Ask::Part));
        let id = self.verbs.arrived();
        self.leave_for(place, RoomName::lobby(), out);
        self.in_lobby = true;
        out.push_back(Output::Text(self.whoami(place, id, Vec::new())));
    }

    /// Everything that it had in the room before is over.
    fn leave_for(&mut self, place: &mut Place, room: RoomName, out: &mut VecDeque<Output>) {
        // What was pushed in the room before is said there.
        while self.go_on(out) {}
        self.readers.move_to(room.clone(), out);
        self.publisher.move_to(room.clone());
        place.room = room;
    }

    /// It is there, or stays where it is.
    pub(in crate::door::envelope) fn moved(
        &mut self,
        place: &mut Place,
        room: RoomName,
        result: Result<(), Refusal>,
        out: &mut VecDeque<Output>,
    ) {
        let Some(id) = self.verbs.arrived() else { return };
        if let Err(why) = result {
            out.push_back(Output::Text(client::error(Some(id), &why)));
            self.readers.read_again(out);
            return self.pull(out);
        }
        self.leave_for(place, room, out);
        self.in_lobby = false;
        out.push_back(Output::Text(self.in_room(place, id, Vec::new())));
        if self.events {
            out.push_back(Output::Ask(self.readers.listen()));
        }
    }

    /// Who it is, and where.
    pub(super) fn whoami(&self, place: &Place, id: Option<u64>, subscriptions: Vec<Started>) -> String {
        let who = InLobby {
            account: &self.principal.account_name,
            client: self.principal.client,
            name: &self.principal.name,
            connection: self.connection,
            room: Some(&place.room).filter(|_| !self.in_lobby),
            visits: self.visits.as_ref(),
            administers: self.visits.is_none() && self.principal.grants.administer(),
            subscriptions,
        };
        client::ok(id, &Done::Lobby(who))
    }
}
