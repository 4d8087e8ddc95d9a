//! What edges hear of what was given up for ever in their accounts: all of it when they ask, part by part, and from then on
//! whatever is given up.

use super::{Below, LinkOutput};
use riser_gate::accounts::{GivenUp, Walk};
use riser_model::{AccountId, ClientId, ConnectionId};
use riser_wire::link::{GIVEN_UP_MAX, GivenUp as Said, HubFrame};
use std::collections::BTreeSet;

impl Below {
    /// An edge asks what was given up of its account: it is told a part, and asks again where there is more.
    pub(super) fn asked_given_up(&mut self, connection: ConnectionId, edge: ClientId) {
        let Some(account) = self.directory.edge(edge).map(|edge| edge.principal.account) else { return };
        if self.speaks_for.as_ref().is_some_and(|known| !known.contains(&account)) {
            // Silence is no word that nothing was given up: who asked goes on with what it knows, and asks again.
            return;
        }
        let walk = self.told.entry(connection);
        let of = || Walk::of(self.directory.given_up(account).cloned());
        let (GivenUp { credentials, ids }, more) = walk.or_insert_with(of).next(GIVEN_UP_MAX);
        let ids = ids.into_iter().map(|id| id.into_bytes()).collect();
        let said = Said { account, credentials: credentials.into_iter().collect(), ids, more };
        self.out(LinkOutput::Send { connection, frame: HubFrame::GivenUp(said) });
    }

    /// What was given up is known of these accounts only.
    pub fn speak_for(&mut self, accounts: BTreeSet<AccountId>) {
        self.speaks_for = Some(accounts);
    }

    /// Accounts changed: edges that have asked are told what was given up since.
    pub(super) fn tell_given_up(&mut self) {
        let mut due = Vec::new();
        for (connection, walk) in &mut self.told {
            let Some(edge) = self.welcomed.get(connection).copied() else { continue };
            let Some(account) = self.directory.edge(edge).map(|edge| edge.principal.account) else {
                continue;
            };
            if walk.go_on(self.directory.given_up(account).cloned()) {
                due.push((*connection, edge));
            }
        }
        for (connection, edge) in due {
            self.asked_given_up(connection, edge);
        }
    }
}
