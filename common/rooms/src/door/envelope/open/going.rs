//! From one room into another, on one connection: the verbs of a lobby, said in a room.
//!
//! Always holds: the move is asked for only when everything that was asked in the room before is answered, so that no receipt,
//! no subscription and no look of one room is taken for another one's. Until it is answered the connection is where it was,
//! reads there, and asks nothing more of it.

use super::Open;
use crate::door::Place;
use riser_model::{
    RoomName,
    door::{Ask, Output, Refusal},
};
use riser_wire::client::{self, Done, InLobby, Started};
use std::collections::VecDeque;

impl Open {
    /// It wants to go there.
    pub(super) fn go(&mut self, id: u64, room: RoomName) -> Result<(), Refusal> {
        self.verbs.go(id, room.clone())?;
        self.going = Some(room);
        Ok(())
    }

    /// Sets out, if nothing is unanswered.
    pub(super) fn set_out(&mut self, out: &mut VecDeque<Output>) {
        let answered = self.hello.is_none()
            && self.publisher.is_answered()
            && self.readers.is_answered()
            && self.looks.is_answered();
        if let Some(room) = self.going.take_if(|_| answered) {
            out.push_back(Output::Ask(Ask::Move { room }));
        }
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
        // What was pushed in the room before is said there.
        while self.go_on(out) {}
        let hears = self.readers.move_to(room.clone(), out);
        self.publisher.move_to(room.clone());
        (place.room, self.in_lobby) = (room, false);
        out.push_back(Output::Text(self.in_room(place, id, Vec::new())));
        if hears {
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
