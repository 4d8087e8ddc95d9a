//! The subscriptions that a session keeps: each change of a filter is committed before the next one of the same filter
//! begins, so that what is decided from is what the log will say.

use super::{Awaited, Instance, Record, refusal};
use crate::connection::Kept;
use riser_model::{
    ConnectionId, Now, SubscriptionId,
    door::{Ask, Code, Refusal, Showing, Subscribed, Technical, Want},
};
use riser_rooms::Input as BusInput;

/// Changes that may wait for others of the same filter, of one session.
const DEFERRED_MAX: usize = 1000;

impl Instance {
    /// SUBSCRIBE or UNSUBSCRIBE of one filter.
    pub(super) fn change_filter(&mut self, id: ConnectionId, ask: Ask, now: Now) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let filter = match &ask {
            Ask::Subscribe { want, keep: Some(_), .. } => kept_as(want),
            Ask::Unsubscribe { subscription } => connection.kept(*subscription),
            _ => None,
        };
        let (Some(filter), Some(session)) = (filter, &mut connection.session) else {
            return self.ask_filter(id, ask, now);
        };
        let waits = session.changing.values().any(|changing| *changing == filter)
            || session.deferred.iter().any(|(of, _)| *of == filter);
        if waits && session.deferred.len() >= DEFERRED_MAX {
            let what = "very many changes of the same filters";
            self.refuse(id, refusal(Code::TooMany, what, "to wait for SUBACK and UNSUBACK"), now);
        } else if waits {
            session.deferred.push_back((filter, ask));
        } else {
            self.begin_change(id, filter, ask, now);
        }
    }

    fn begin_change(&mut self, id: ConnectionId, filter: String, ask: Ask, now: Now) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let number = connection.session_number();
        let Some(session) = &mut connection.session else { return };
        match &ask {
            Ask::Subscribe { subscription, keep: Some(keep), retained, .. } => {
                session.changing.insert(*subscription, filter.clone());
                let (keep, showing) = (*keep, retained.clone());
                session.kept.insert(*subscription, Kept { filter, keep, showing });
            }
            Ask::Unsubscribe { subscription } => {
                let subscription = *subscription;
                session.kept.remove(&subscription);
                if let Some(record) = self.sessions.remove_subscription(number, &filter) {
                    session.changing.insert(subscription, filter);
                    let awaited = Awaited::Unsubscribed { connection: id, subscription };
                    self.append_of(id, &[record], awaited, now);
                }
            }
            _ => {}
        }
        self.ask_filter(id, ask, now);
    }

    /// Asks whoever has what it wants.
    fn ask_filter(&mut self, id: ConnectionId, ask: Ask, now: Now) {
        match &ask {
            Ask::Subscribe { subscription, want: Want::System(_), .. } => self.listen(id, *subscription, now),
            Ask::Unsubscribe { subscription } if self.stop_listening(id, *subscription, now) => {}
            _ => self.rooms(BusInput::Ask { connection: id, ask }, now),
        }
    }

    /// Whether a change of that subscription waits for its commit.
    pub(super) fn is_changing(&self, id: ConnectionId, subscription: SubscriptionId) -> bool {
        let session = self.connections.get(&id).and_then(|connection| connection.session.as_ref());
        session.is_some_and(|session| session.changing.contains_key(&subscription))
    }

    /// A change is committed, or came to nothing: the next one of its filter begins.
    pub(super) fn filter_changed(&mut self, id: ConnectionId, subscription: SubscriptionId, now: Now) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(session) = &mut connection.session else { return };
        let Some(filter) = session.changing.remove(&subscription) else { return };
        let next = session.deferred.iter().position(|(of, _)| *of == filter);
        if let Some((filter, ask)) = next.and_then(|at| session.deferred.remove(at)) {
            self.begin_change(id, filter, ask, now);
        }
    }

    /// Whether the session of a connection holds a filter already for which that one asks.
    pub(super) fn is_held(&self, id: ConnectionId, subscription: SubscriptionId) -> bool {
        let session = self.connections.get(&id).and_then(|connection| connection.session.as_ref());
        let kept = session.and_then(|session| Some((session.number, session.kept.get(&subscription)?)));
        kept.is_some_and(|(number, kept)| self.sessions.holds(number, &kept.filter))
    }

    /// The records that keep a subscription as it begins, as far as they say anything new.
    pub(super) fn keep(
        &self,
        id: ConnectionId,
        subscription: SubscriptionId,
        subscribed: &Subscribed,
    ) -> Result<Vec<Record>, Refusal> {
        let session = self.connections.get(&id).and_then(|connection| connection.session.as_ref());
        let Some((session, kept)) = session.and_then(|s| Some((s, s.kept.get(&subscription)?))) else {
            return Ok(Vec::new());
        };
        let Kept { filter, keep, showing } = kept;
        // What $SYS says has no history to stand in.
        let is_system = filter.starts_with("$SYS/");
        let through = (!is_system).then_some(subscribed.at);
        let subscribed = self.sessions.set_subscription(session.number, filter, *keep, through)?;
        // Who goes on where it was has told before.
        let all = (*showing == Showing::All && !is_system).then_some(Showing::All);
        let shown = all.and_then(|all| self.sessions.show(session.number, filter, all));
        Ok(subscribed.into_iter().chain(shown).collect())
    }

    /// Appends records of a connection's session.
    pub(super) fn append_of(&mut self, id: ConnectionId, records: &[Record], awaited: Awaited, now: Now) {
        let session = self.connections.get(&id).and_then(|connection| connection.session.as_ref());
        if let Some(key) = session.map(|session| session.key.clone()) {
            self.append(key, records, awaited, now);
        }
    }
}

/// The filter under which a session keeps a subscription, as its client wrote it.
fn kept_as(want: &Want) -> Option<String> {
    match want {
        Want::Topic(filter) => Some(filter.clone()),
        Want::Shared(shared) => Some(shared.filter.clone()),
        Want::System(filter) => Some(filter.clone()),
        Want::Technical(Technical { room: Some(room), kinds, .. }) => {
            Some(format!("$riser/room/{room}/{}", kinds.as_str()))
        }
        Want::Technical(Technical { account, kinds, .. }) => {
            let whose = if *account { "account" } else { "hub" };
            Some(format!("$riser/{whose}/{}", kinds.as_str()))
        }
        Want::Room(..) | Want::Positions(_) => None,
    }
}
