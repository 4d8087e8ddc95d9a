//! What is addressed to a client that is not there, or does not listen, and is not kept for it: it dies in the void, and is
//! counted.
//!
//! Only where everybody who could ever read it is known here: in rooms that go neither up nor down. It is in the log like any
//! other entry until that lets it go, and no one may read it there.

use super::Instance;
use riser_wire::entry::{Frame, Kind, Publication};

impl Instance {
    /// Takes a committed entry.
    pub(super) fn note_void(&mut self, frame: &Frame<'_>) {
        let Some(route) = self.bus.route(frame.route) else { return };
        let Some(client) = route.channel.addressee() else { return };
        let (room, account) = (route.room, self.bus.account_of(route.room));
        let is_publication = frame.body.get(1) == Some(&Kind::Publication.number());
        if !is_publication || Publication::is_retained(frame.body) || !self.bus.is_fleeting(room) {
            return;
        }
        // What a kept session wants is found out when it comes back; who is behind an edge is asked for by nobody.
        let may_come = account.is_some_and(|account| self.sessions.has_of(account, client));
        if may_come || self.presences.has(room, client) {
            return;
        }
        let (here, number) = (self.of_client.get(&client), frame.route);
        if !here.is_some_and(|here| self.bus.is_heard_by(here, number)) {
            self.bus.note_void(room);
        }
    }
}
