//! What is written down of gates: who was let in, who was not, who was sent away.

use super::{Instance, Output};
use riser_model::{Audited, ConnectionId, Deed, Principal, RoomName};
use std::sync::Arc;

impl Instance {
    /// Of a connection, as it is known at the moment.
    pub(super) fn audit(&mut self, id: ConnectionId, deed: Deed, room: Option<RoomName>, why: String) {
        let Some(connection) = self.connections.get(&id) else { return };
        let claimed = connection.at.as_ref().and_then(|at| at.gate.claimed());
        let who: Option<Arc<Principal>> = connection.standing.principal.clone().or(claimed);
        // What is done at a gate is written down for those whose gate it is, and of a visitor for those whose lobby it is in.
        let host = connection.hosting();
        let home = who.as_ref().filter(|who| host.is_some_and(|host| host != who.account));
        let why = match home {
            Some(who) => format!("{why} (a visitor from {})", who.account_name),
            None => why,
        };
        self.outputs.push_back(Output::Audited(Audited {
            account: host.or(who.as_ref().map(|who| who.account)),
            client: who.as_ref().map(|who| who.client),
            name: who.map(|who| who.name.clone()),
            from: connection.caller.address,
            connection: id,
            room,
            deed,
            why,
        }));
    }

    /// It passed; by what it is known.
    pub(super) fn audit_entry(&mut self, id: ConnectionId, room: Option<RoomName>) {
        let Some(connection) = self.connections.get(&id) else { return };
        let passed: Vec<&str> = connection.standing.passed.iter().map(|kind| kind.name()).collect();
        self.audit(id, Deed::Entered, room, passed.join(", "));
    }
}
