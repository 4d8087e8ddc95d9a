//! What is written down of gates: who was let in, who was not, who was sent away.

use super::{Instance, Output};
use crate::connection::{AtGate, Before, Connection};
use riser_gate::acceptor::Kind;
use riser_model::{AccountId, Audited, ConnectionId, Deed, Principal, RoomName};
use std::sync::Arc;

/// What an account reads of its own who fails as somebody that it is not: the same whether there is such a one, elsewhere too.
const NOT_ITS_OWN: &str = "a credential of nobody, or of somebody else than who is connected";

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
        let audited = line(id, connection, host, who.as_deref(), (deed, room, why));
        self.outputs.push_back(Output::Audited(audited));
    }

    /// A stage of the gate that it stands at does not let it pass. Who says anew who it is and means somebody else has a line at
    /// that one's account, which says why, and one at its own, from which nothing can be told of others.
    pub(super) fn audit_refused(&mut self, id: ConnectionId, acceptor: Kind, why: &str) {
        let Some(connection) = self.connections.get(&id) else { return };
        let Some(at) = &connection.at else { return };
        let room = at.before.room().map(|(_, name)| name.clone());
        let why = format!("{}: {why}", acceptor.name());
        if !means_another(connection, at) {
            return self.audit(id, Deed::Refused, room, why);
        }
        let other = at.gate.claimed();
        let meant = other
            .map(|other| line(id, connection, Some(other.account), Some(&other), (Deed::Refused, None, why)));
        self.audit(id, Deed::Refused, room, format!("{}: {NOT_ITS_OWN}", acceptor.name()));
        self.outputs.extend(meant.map(Output::Audited));
    }

    /// It passed; by what it is known.
    pub(super) fn audit_entry(&mut self, id: ConnectionId, room: Option<RoomName>) {
        let Some(connection) = self.connections.get(&id) else { return };
        let passed: Vec<&str> = connection.standing.passed.iter().map(|kind| kind.name()).collect();
        self.audit(id, Deed::Entered, room, passed.join(", "));
    }
}

/// Whether it says anew who it is, and shows its listener what is not known to be its own.
fn means_another(connection: &Connection, at: &AtGate) -> bool {
    let own = connection.standing.principal.as_ref().map(|own| own.client);
    let meant = at.gate.claimed().map(|meant| meant.client);
    matches!(at.before, Before::Renewal(_)) && at.gate.stage() < at.of_listener && meant != own
}

fn line(
    id: ConnectionId,
    connection: &Connection,
    account: Option<AccountId>,
    who: Option<&Principal>,
    (deed, room, why): (Deed, Option<RoomName>, String),
) -> Audited {
    Audited {
        account: account.or(who.map(|who| who.account)),
        client: who.map(|who| who.client),
        name: who.map(|who| who.name.clone()),
        from: connection.caller.address,
        connection: id,
        room,
        deed,
        why,
    }
}
