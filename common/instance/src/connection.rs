//! One connection between its door and the rooms: where it stands, and what it still has to be told in order.

use riser_gate::{Caller, Gate, Policy, Standing};
use riser_model::{
    AccountId, Position, Principal, RoomId, RoomName, SubscriptionId, Time, Wall,
    door::{Ask, Keep, SessionRequest, Showing, Tell},
};
use riser_mqtt::SessionKey;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// Where a connection stands. It only ever moves down this list.
#[derive(Debug)]
pub(crate) enum State {
    /// At the gate, which has yet to pass it. What it asked for is kept until then.
    Gate,
    /// Let in; its session's former connection still has commits outstanding, or its own record has.
    Session,
    /// In the rooms.
    Rooms,
    /// Told to go, or gone; it stays until nothing of it waits for a commit.
    Leaving,
}

/// Which gate a connection stands at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Before {
    /// The listener's: who is there?
    Front,
    /// The account's, and that of the room in its address.
    Account(Option<(RoomId, RoomName)>),
    /// That of another room, which it asked to be moved to.
    Move(RoomId, RoomName),
    /// All of them once more, that of the room that it is in too: it is in, and says anew who it is.
    Renewal(Option<(RoomId, RoomName)>),
}

impl Before {
    /// The same, with the room's name as it is by now.
    pub(crate) fn called(self, name: RoomName) -> Self {
        match self {
            Self::Front | Self::Account(None) | Self::Renewal(None) => self,
            Self::Account(Some((id, _))) => Self::Account(Some((id, name))),
            Self::Renewal(Some((id, _))) => Self::Renewal(Some((id, name))),
            Self::Move(id, _) => Self::Move(id, name),
        }
    }

    /// The room, if it is one's.
    pub(crate) fn room(&self) -> Option<(RoomId, &RoomName)> {
        match self {
            Self::Front | Self::Account(None) | Self::Renewal(None) => None,
            Self::Account(Some((id, name))) | Self::Renewal(Some((id, name))) | Self::Move(id, name) => {
                Some((*id, name))
            }
        }
    }
}

/// Whose lobby an address named when somebody came by it, by name or UUID; nobody's, if there was no such account. The account
/// may be called something else by now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lobby(pub(crate) Option<AccountId>);

/// A gate that a connection stands at.
#[derive(Debug)]
pub(crate) struct AtGate {
    pub(crate) gate: Gate,
    pub(crate) before: Before,
    /// How many of its stages, from the first, the account's admins look after, and nobody else.
    pub(crate) of_account: usize,
    /// How many of them, from the first, are its listener's.
    pub(crate) of_listener: usize,
    /// Whose gate it is behind those, a room's included.
    pub(crate) owner: Option<AccountId>,
    /// The ticket of the newest question to the admins, answered or not.
    pub(crate) knocked: Option<u64>,
    /// It passed a stage by a free seat, of at most so many: that must still hold when it takes it.
    pub(crate) seats: Option<u32>,
}

impl AtGate {
    /// Whose gate that stage is. The listener's is nobody's: what is shown there is told to those of whom it speaks, also while
    /// somebody says anew who it is, or an account would hear who there is in another one.
    pub(crate) fn host_at(&self, stage: usize) -> Option<AccountId> {
        self.owner.filter(|_| stage >= self.of_listener)
    }

    /// The ticket of a question to the admins that waits for their answer.
    pub(crate) fn knocks(&self) -> Option<u64> {
        self.knocked.filter(|ticket| self.gate.awaits(*ticket))
    }

    /// Whether an answer to who knocked at that room, or at any if none is said, is about this.
    pub(crate) fn is_for(&self, room: Option<&RoomName>) -> bool {
        room.is_none_or(|room| self.before.room().is_some_and(|(_, name)| name == room))
    }

    /// When the hours end by which it passed the stages of the account, or lobby, and those of the room.
    pub(crate) fn hours(&self) -> (Option<Wall>, Option<Wall>) {
        (self.gate.hours(..self.of_account), self.gate.hours(self.of_account..))
    }

    /// Whose gate the stage is that it stands at.
    pub(crate) fn host(&self) -> Option<AccountId> {
        self.host_at(self.gate.stage())
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) state: State,
    /// What its listener and directory say.
    pub(crate) policy: Arc<Policy>,
    pub(crate) caller: Caller,
    /// The gate it stands at, if it stands at one.
    pub(crate) at: Option<Box<AtGate>>,
    /// Whose lobby its address names, if it names one.
    pub(crate) lobby: Option<Lobby>,
    /// What it has proven.
    pub(crate) standing: Standing,
    /// When what it has shown expires.
    pub(crate) expires: Option<Time>,
    /// The room that it was let into by its address, or moved into; none in a lobby, and of MQTT.
    pub(crate) room: Option<RoomId>,
    /// The rooms with gates of their own that it was let into.
    pub(crate) allowed: BTreeSet<RoomId>,
    /// When the hours end by which it was let into its account or lobby (no room), and into those rooms.
    pub(crate) hours: BTreeMap<Option<RoomId>, Wall>,
    /// As whom and with which rights, once the gates have passed it.
    pub(crate) principal: Option<Arc<Principal>>,
    /// The [`Ask::Enter`] while it is being answered.
    pub(crate) entering: Option<Ask>,
    pub(crate) session: Option<Session>,
    /// It left a will, or one of its former connection is to be forgotten.
    pub(crate) willed: bool,
    /// It is in the admin lobby.
    pub(crate) operates: bool,
    /// An errand of it is being done.
    pub(crate) running: bool,
    /// It asked for the admin lobby, and has been in no room since.
    pub(crate) operating: bool,
    /// Tickets in the order in which they were asked, each with its answer once there is one.
    tickets: VecDeque<(u64, Option<Tell>)>,
    /// Subscriptions of `$SYS`.
    pub(crate) listening: BTreeSet<SubscriptionId>,
}

/// A subscription that a session keeps.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) filter: String,
    /// MQTT's part.
    pub(crate) keep: Keep,
    /// What it asked to be shown of what its channels retain.
    pub(crate) showing: Showing,
}

/// The MQTT session that a connection has taken up.
#[derive(Debug)]
pub(crate) struct Session {
    /// Its number in the log, 0 if it ends with the connection.
    pub(crate) number: u64,
    pub(crate) key: SessionKey,
    /// Subscriptions that it keeps.
    pub(crate) kept: BTreeMap<SubscriptionId, Kept>,
    /// Filters of which a change is not committed, by their subscriptions.
    pub(crate) changing: BTreeMap<SubscriptionId, String>,
    /// Changes that wait for another one of the same filter.
    pub(crate) deferred: VecDeque<(String, Ask)>,
}

impl Session {
    /// Just taken up.
    pub(crate) fn new(number: u64, key: SessionKey) -> Self {
        Self { number, key, kept: BTreeMap::new(), changing: BTreeMap::new(), deferred: VecDeque::new() }
    }
}

impl Connection {
    /// Whether it speaks MQTT: it is in many rooms at once, and asks for none.
    pub(crate) fn is_mqtt(&self) -> bool {
        self.session.is_some() || matches!(self.entering, Some(Ask::Enter { session: Some(_), .. }))
    }

    pub(crate) fn new(policy: Arc<Policy>, caller: Caller, gate: Gate) -> Self {
        Self {
            state: State::Gate,
            policy,
            caller,
            at: Some(Box::new(AtGate {
                gate,
                before: Before::Front,
                of_account: usize::MAX,
                of_listener: usize::MAX,
                owner: None,
                knocked: None,
                seats: None,
            })),
            lobby: None,
            standing: Standing::default(),
            expires: None,
            room: None,
            allowed: BTreeSet::new(),
            hours: BTreeMap::new(),
            principal: None,
            entering: None,
            session: None,
            willed: false,
            operates: false,
            running: false,
            operating: false,
            tickets: VecDeque::new(),
            listening: BTreeSet::new(),
        }
    }

    /// Expects an answer to this ticket.
    pub(crate) fn await_ticket(&mut self, ticket: u64) {
        self.tickets.push_back((ticket, None));
    }

    /// The answer to a ticket is known; hands out all answers whose turn has come.
    pub(crate) fn answer(&mut self, ticket: u64, tell: Tell) -> Vec<Tell> {
        if let Some(slot) =
            self.tickets.iter_mut().find(|(number, answer)| *number == ticket && answer.is_none())
        {
            slot.1 = Some(tell);
        }
        let mut ready = Vec::new();
        while let Some((_, Some(_))) = self.tickets.front() {
            ready.extend(self.tickets.pop_front().and_then(|(_, answer)| answer));
        }
        ready
    }

    /// The session that it asks for while it enters.
    pub(crate) fn wanted(&self) -> Option<(SessionKey, &SessionRequest)> {
        let (Some(principal), Some(Ask::Enter { session: Some(request), .. })) =
            (&self.principal, &self.entering)
        else {
            return None;
        };
        let key = SessionKey { account: principal.account, client: principal.client, id: request.id.clone() };
        Some((key, request))
    }

    /// The account whose gate stands before it: its own, or that of the lobby which its address names; none where there is no
    /// such account.
    pub(crate) fn host(&self, principal: &Principal) -> Option<AccountId> {
        match self.lobby {
            Some(Lobby(host)) => host,
            None => Some(principal.account),
        }
    }

    /// Whether that account is the host of whoever is not its own: it stands at its gate, or is in its lobby.
    pub(crate) fn is_hosted_by(&self, account: AccountId) -> bool {
        match &self.at {
            Some(at) => at.owner == Some(account),
            None => self.hosting() == Some(account),
        }
    }

    /// The account at whose gate it stands, or in whose lobby, by its address, it is; nobody's at a listener's gate.
    pub(crate) fn hosting(&self) -> Option<AccountId> {
        match &self.at {
            Some(at) => at.host(),
            None => self.lobby.and_then(|Lobby(host)| host),
        }
    }

    /// The filter under which its session keeps a subscription.
    pub(crate) fn kept(&self, subscription: SubscriptionId) -> Option<String> {
        let session = self.session.as_ref()?;
        let deferred = session.deferred.iter().rev().find_map(|(filter, ask)| match ask {
            Ask::Subscribe { subscription: of, .. } if *of == subscription => Some(filter),
            _ => None,
        });
        let kept = session.kept.get(&subscription).map(|kept| &kept.filter);
        deferred.or(kept).cloned()
    }

    /// Deliveries by the filters under which its session keeps their subscriptions.
    pub(crate) fn by_filter(&self, sent: &[(u16, SubscriptionId, Position)]) -> Vec<(u16, String, Position)> {
        sent.iter().filter_map(|(id, of, position)| Some((*id, self.filter_of(*of)?, *position))).collect()
    }

    /// The same of what is left of what channels retain.
    pub(crate) fn shown_by_filter(&self, shown: Vec<(SubscriptionId, Showing)>) -> Vec<(String, Showing)> {
        shown.into_iter().filter_map(|(of, left)| Some((self.filter_of(of)?, left))).collect()
    }

    fn filter_of(&self, subscription: SubscriptionId) -> Option<String> {
        Some(self.session.as_ref()?.kept.get(&subscription)?.filter.clone())
    }

    /// Whether its session holds a shared subscription.
    pub(crate) fn shares(&self) -> bool {
        let kept = self.session.iter().flat_map(|session| session.kept.values());
        kept.into_iter().any(|kept| kept.filter.starts_with("$share/"))
    }

    /// The number of its session, if it has one that outlives it.
    pub(crate) fn session_number(&self) -> u64 {
        self.session.as_ref().map_or(0, |session| session.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::{Epoch, LogId, Now, Seq};

    fn stored(ticket: u64) -> Tell {
        Tell::Stored { ticket, log: LogId(1), epoch: Epoch(1), first: Seq(1), refused: Vec::new() }
    }

    #[test]
    fn tickets_are_answered_in_the_order_in_which_they_were_asked() {
        let policy = Arc::new(Policy::default());
        let gate = Gate::front(&policy, Caller::default(), Now::default());
        let mut connection = Connection::new(policy, Caller::default(), gate);
        (0..3).for_each(|ticket| connection.await_ticket(ticket));
        assert_eq!(connection.answer(1, stored(1)), vec![]);
        assert_eq!(connection.answer(0, stored(0)), vec![stored(0), stored(1)]);
        assert_eq!(connection.answer(2, stored(2)), vec![stored(2)]);
    }
}
