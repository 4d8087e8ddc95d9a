//! What who administers an account from elsewhere sees of its connections, and does with them.

use super::{Instance, refusal};
use crate::connection::{Before, State};
use riser_gate::{CookieId, Input, Stand, Verdict};
use riser_model::{AccountId, AccountName, ClientId, ConnectionId, Deed, Now, RoomId, RoomName, door::Code};
use std::net::IpAddr;

/// One connection of an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Connected {
    /// Which.
    pub connection: ConnectionId,
    /// Who: proven, or claimed where it stands at a gate yet.
    pub client: ClientId,
    /// Its name.
    pub name: AccountName,
    /// Its account, if that is another one: it visits a lobby, and stands at the gate of the account that was asked about.
    pub account: Option<AccountName>,
    /// Where it comes from, if over a network.
    pub from: Option<IpAddr>,
    /// `in`, also while it says anew who it is, or the acceptor that it stands at.
    pub stands: &'static str,
    /// It waits for an admin of the account that was asked about.
    pub knocks: bool,
    /// The room at whose gate it stands.
    pub room: Option<RoomName>,
}

impl Instance {
    /// The connections of an account, those that stand at a gate and say that they are of it, and those of others that stand at
    /// its own or visit its lobby.
    pub fn connections_of(&self, account: AccountId) -> Vec<Connected> {
        let connected = self.connections.iter().filter_map(|(id, one)| {
            let claimed = one.at.as_ref().and_then(|at| at.gate.claimed());
            let hosts = one.is_hosted_by(account);
            let who = one.standing.principal.clone().or(claimed);
            let who = who.filter(|who| who.account == account || hosts)?;
            // Who is in and says anew who it is works on meanwhile.
            let renews = one.at.as_ref().is_some_and(|at| matches!(at.before, Before::Renewal(_)));
            let stands = match self.state_of(*id)? {
                _ if renews => "in",
                Stand::Arrived => "arrived",
                Stand::Hears(kind) | Stand::Awaits(kind) => kind.name(),
                Stand::Finished => "in",
                Stand::Refused => "leaving",
            };
            Some(Connected {
                connection: *id,
                client: who.client,
                name: who.name.clone(),
                account: (who.account != account).then(|| who.account_name.clone()),
                from: one.caller.address,
                stands,
                knocks: one.at.as_ref().is_some_and(|at| at.host() == Some(account) && at.knocks().is_some()),
                room: one.at.as_ref().and_then(|at| at.before.room().map(|(_, name)| name.clone())),
            })
        });
        connected.collect()
    }

    /// Those of an account who wait at stages of that room's own gate, for who looks after the room.
    pub fn waiting_at(&self, account: AccountId, room: RoomId) -> Vec<Connected> {
        let mut all = self.connections_of(account);
        all.retain(|one| self.room_decides(one.connection) == Some(room));
        all
    }

    /// The room whose own gate somebody stands at, past the stages that are its account's.
    fn room_decides(&self, knocker: ConnectionId) -> Option<RoomId> {
        let at = self.connections.get(&knocker)?.at.as_ref()?;
        at.before.room().filter(|_| at.gate.stage() >= at.of_account).map(|(room, _)| room)
    }

    /// Says yes or no to somebody who knocks at that account's gates, at the room of that name if one is said; at a stage of that
    /// room's own gate, if it is for who looks after the room. False if nobody does by that number, or not there.
    pub fn decide_for(
        &mut self,
        (account, room): (AccountId, Option<RoomId>),
        (knocker, named): (ConnectionId, Option<RoomName>),
        admit: bool,
        by: &str,
        now: Now,
    ) -> bool {
        let at = self.connections.get(&knocker).and_then(|one| one.at.as_ref());
        let at = at.filter(|at| at.is_for(named.as_ref()));
        // Whose gate it is decides, wherever who knocks is from.
        let ticket = at.filter(|at| at.host() == Some(account)).and_then(|at| at.knocks());
        let Some(ticket) = ticket else { return false };
        if room.is_some() && self.room_decides(knocker) != room {
            return false;
        }
        let deed = if admit { Deed::Admitted } else { Deed::TurnedAway };
        self.audit(knocker, deed, None, format!("by {by}"));
        let verdict = if admit { Verdict::Matches } else { Verdict::Differs };
        self.gate(knocker, Input::Done { ticket, verdict }, now);
        true
    }

    /// Whoever came by that cookie goes, and so does who stands at a gate with it; tickets that were made meanwhile are out
    /// no more.
    pub fn end_cookie(&mut self, cookie: CookieId, now: Now) {
        self.tickets.end(cookie);
        let came = self.connections.iter().filter(|(_, one)| {
            let shown = one.at.as_ref().and_then(|at| at.gate.shown_cookie().or(at.gate.standing().cookie));
            let by_it = one.standing.cookie == Some(cookie) || shown == Some(cookie);
            by_it && !matches!(one.state, State::Leaving)
        });
        let came: Vec<ConnectionId> = came.map(|(id, _)| *id).collect();
        for id in came {
            let what = "who came by this cookie signed out";
            self.audit(id, Deed::Revoked, None, what.to_owned());
            self.refuse(id, refusal(Code::NotAuthorised, what, "sign in again"), now);
        }
    }

    /// Tells a connection of that account, or a visitor of its, to go; it may come back. False if there is none by that number.
    pub fn send_away(&mut self, account: AccountId, connection: ConnectionId, by: &str, now: Now) -> bool {
        let Some(one) = self.connections.get(&connection) else { return false };
        let who = one.standing.principal.as_ref();
        let is_its = who.is_some_and(|who| who.account == account || one.is_hosted_by(account));
        if !is_its || matches!(one.state, State::Leaving) {
            return false;
        }
        let what = "an admin closed this connection";
        self.audit(connection, Deed::Revoked, None, format!("{what}: {by}"));
        self.refuse(connection, refusal(Code::Timeout, what, "come back"), now);
        true
    }
}
