//! The MQTT sessions that outlive their connections, folded from the log.
//!
//! [`Sessions`] owns what a restart must not forget: who has a session, which QoS 2 ids are received and not
//! released, which subscriptions are held and how far each was acknowledged. It changes only by
//! [`Sessions::apply`], that is by what a commit holds; everything else answers with a [`Record`] to append, and
//! what waits for that commit leaves after it (CONNACK, SUBACK, PUBCOMP). Which connection has a session at the
//! moment is the bus's business.

use crate::record::{NO_FILTER, NO_FILTER_RETAINED, Record, SavedWill, SessionKey};
use riser_model::{
    AccountId, ClientId, Position, ShareChange, ShareKey, Wall,
    door::{
        Code, Keep, Loose, Refusal, SessionDelivery, SessionRequest, SessionState, SessionSubscription,
        Showing,
    },
};
use riser_wire::limits::SUBSCRIPTIONS_CEILING;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

/// The most sessions of one instance.
pub const SESSIONS_MAX: usize = 100_000;
/// The most sessions of one client: one participant's credentials never take every place.
pub const SESSIONS_PER_CLIENT_MAX: usize = 10_000;
/// What a clock that is not stepped may be off, milliseconds.
const STEP_MS_MIN: u64 = 1000;
/// An expiry that never comes.
pub const NEVER: u32 = u32::MAX;

mod fold;
mod open_ids;
mod saved;
mod shares;
mod wills;

pub use open_ids::OPEN_IDS_MAX;
use open_ids::OpenIds;
use shares::Shares;
use wills::Wills;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sessions {
    /// The number that the next new session gets. Numbers are never reused: old entries name them.
    next: u64,
    by_number: BTreeMap<u64, Session>,
    by_client: BTreeMap<(AccountId, ClientId), BTreeMap<String, u64>>,
    unreadable: u64,
    wills: Wills,
    shares: Shares,
    open: OpenIds,
    /// Since they were taken, of each account.
    unfinished: BTreeMap<AccountId, u64>,
    /// How far the wall clock was stepped ahead of the clock by which times are kept here, milliseconds.
    ahead_ms: i64,
    /// The newest time of that clock that the log tells of.
    seen: Option<Wall>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Session {
    key: SessionKey,
    expiry_s: u32,
    /// When its connection ended, if it has none and will expire.
    left: Option<Wall>,
    open_ids: BTreeSet<u16>,
    /// By their filters as the client wrote them.
    held: BTreeMap<String, Held>,
    deliveries: BTreeMap<u16, Delivered>,
    /// The last packet id that a delivery is known to have got: the next ones are others than those that a peer may still
    /// hold.
    last_id: u16,
}

/// A delivery that the peer may have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Delivered {
    filter: String,
    position: Position,
    released: bool,
    /// Refused by the peer: nothing is left to say.
    over: bool,
    /// At QoS 1: another client may get it as well.
    at_least_once: bool,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Held {
    options: u8,
    identifier: u32,
    through: Option<Position>,
    showing: Showing,
}

/// What a connection tells of its deliveries, by their filters (as `Ask::HandOver`).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HandOver {
    /// At QoS 2: to be said.
    pub sent: Vec<(u16, String, Position)>,
    /// The peer has them.
    pub released: Vec<u16>,
    /// At QoS 1: said, and not acknowledged when the connection ended.
    pub left: Vec<(u16, String, Position)>,
    /// In no subscription's course.
    pub loose: Vec<Loose>,
    /// Loose ones that are over.
    pub done: Vec<u16>,
    /// What is left of what channels retain.
    pub shown: Vec<(String, Showing)>,
}

/// What opening a session came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opening {
    /// For `Tell::Entered`. Number 0 for a session that ends with its connection and holds nothing.
    pub state: SessionState,
    /// To be committed before `Tell::Entered`.
    pub record: Option<Record>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self::new()
    }
}

impl Sessions {
    /// No sessions yet.
    pub fn new() -> Self {
        Self {
            next: 1,
            by_number: BTreeMap::new(),
            by_client: BTreeMap::new(),
            unreadable: 0,
            wills: Wills::default(),
            shares: Shares::default(),
            open: OpenIds::default(),
            unfinished: BTreeMap::new(),
            ahead_ms: 0,
            seen: None,
        }
    }

    /// The time at a start, by the clock by which times are kept here: it goes on where the wall clock is, without what
    /// that was stepped before, and never back.
    pub fn time_at_start(&self, wall: Wall) -> Wall {
        let time = Wall(wall.0.saturating_sub(self.ahead_ms));
        self.seen.map_or(time, |seen| time.max(seen))
    }

    /// The wall clock is so far ahead of that clock: to be committed before times that are kept from here on. None if that
    /// is no news beside what is known, or was `told` and is not yet committed.
    pub fn step(&self, at: Wall, wall: Wall, told: Option<i64>) -> Option<Record> {
        let ahead_ms = wall.0.saturating_sub(at.0);
        (ahead_ms.abs_diff(told.unwrap_or(self.ahead_ms)) > STEP_MS_MIN)
            .then_some(Record::Stepped { at, ahead_ms })
    }

    /// Session entries that this build could not read: written by a newer one, or damaged.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    fn find(&self, key: &SessionKey) -> Option<u64> {
        self.by_client.get(&(key.account, key.client))?.get(&key.id).copied()
    }

    /// Opens a session as CONNECT asks for it, for this participant of this account; only the same participant
    /// ever finds it again. Call it when nothing of the session's former connection waits for a commit.
    pub fn open(
        &mut self,
        request: &SessionRequest,
        account: AccountId,
        client: ClientId,
        now: Wall,
    ) -> Result<Opening, Refusal> {
        let key = SessionKey { account, client, id: request.id.clone() };
        let own = self.by_client.get(&(account, client)).map_or(0, BTreeMap::len);
        match self.find(&key).and_then(|number| Some((number, self.by_number.get(&number)?))) {
            Some((number, session)) if !request.clean && !session.is_over(now) => {
                let changed = session.left.is_some() || session.expiry_s != request.expiry_s;
                let record = changed.then_some(Record::Opened { number, key, expiry_s: request.expiry_s });
                Ok(Opening { state: session.state(number), record })
            }
            Some((number, _)) if request.expiry_s == 0 => {
                Ok(Opening { state: SessionState::default(), record: Some(Record::Ended { number }) })
            }
            None if request.expiry_s == 0 => Ok(Opening { state: SessionState::default(), record: None }),
            None if self.by_number.len() >= SESSIONS_MAX => Err(Refusal {
                code: Code::TooMany,
                what: "this instance keeps no more sessions".to_owned(),
                want: "a clean session, or an expiry on the sessions of others".to_owned(),
            }),
            None if own >= SESSIONS_PER_CLIENT_MAX => Err(Refusal {
                code: Code::TooMany,
                what: format!("this client has {SESSIONS_PER_CLIENT_MAX} sessions already"),
                want: "a clean session, an expiry, or credentials of its own for each device".to_owned(),
            }),
            Some(_) | None => {
                let number = self.next;
                self.next = self.next.saturating_add(1);
                Ok(Opening {
                    state: SessionState { number, ..SessionState::default() },
                    record: Some(Record::Opened { number, key, expiry_s: request.expiry_s }),
                })
            }
        }
    }

    /// The session's connection ended, perhaps with a new expiry (MQTT 5 DISCONNECT).
    pub fn leave(&self, number: u64, expiry_s: Option<u32>, now: Wall) -> Option<Record> {
        let session = self.by_number.get(&number)?;
        let expiry_s = expiry_s.unwrap_or(session.expiry_s);
        if expiry_s == 0 {
            return Some(Record::Ended { number });
        }
        // Nobody waits for a session that never expires.
        let waits = expiry_s != NEVER || session.expiry_s != NEVER;
        waits.then_some(Record::Left { number, at: now, expiry_s })
    }

    /// Ends a session at once.
    pub fn end(&self, number: u64) -> Option<Record> {
        self.by_number.contains_key(&number).then_some(Record::Ended { number })
    }

    /// After a start: no session has a connection, and nobody said goodbye. Call it once, when the log is folded.
    pub fn restarted(&self, now: Wall) -> Vec<(SessionKey, Record)> {
        let lost = self.by_number.iter().filter(|(_, session)| session.left.is_none());
        let left = lost.filter_map(|(number, one)| Some((one.key.clone(), self.leave(*number, None, now)?)));
        let due = self.wills.orphans();
        left.chain(due.map(|(key, will)| (key.clone(), wills::left(key, will, will.expiry_s, now)))).collect()
    }

    /// Keeps a will: to be committed before `Tell::Entered`.
    pub fn set_will(&self, key: &SessionKey, will: SavedWill) -> Result<Record, Refusal> {
        self.wills.check(key, &will)?;
        Ok(Record::Willed { key: key.clone(), will: Box::new(will) })
    }

    /// The will that a client left, whether its time has come or not.
    pub fn will(&self, key: &SessionKey) -> Option<&SavedWill> {
        self.wills.get(key)
    }

    /// The client's connection ended without a goodbye, perhaps with a new expiry of its session: its will waits from
    /// here on.
    pub fn leave_will(&self, key: &SessionKey, expiry_s: Option<u32>, now: Wall) -> Option<Record> {
        let will = self.wills.get(key)?;
        Some(wills::left(key, will, expiry_s.unwrap_or(will.expiry_s), now))
    }

    /// The wills whose time has come. Each is to be published in one commit with its [`Record::Unwilled`].
    pub fn due_wills(&self, now: Wall) -> Vec<SessionKey> {
        self.wills.over(now).cloned().collect()
    }

    /// Whether that client's will is one of those.
    pub fn is_will_due(&self, key: &SessionKey, now: Wall) -> bool {
        self.wills.is_over(key, now)
    }

    /// Whether a will waits for its time.
    pub fn has_waiting_wills(&self) -> bool {
        self.wills.is_waiting()
    }

    /// The sessions whose time has come: each is to be followed by its [`Record::Ended`]. Ask again after those are
    /// committed.
    pub fn expire(&self, now: Wall) -> Vec<(SessionKey, u64)> {
        let over = self.by_number.iter().filter(|(_, session)| session.is_over(now));
        over.map(|(number, session)| (session.key.clone(), *number)).collect()
    }

    /// The sessions of those clients: each is to be followed by its [`Record::Ended`]. Ask again after those are committed.
    pub fn of_those(&self, clients: impl Fn(AccountId, ClientId) -> bool) -> Vec<(SessionKey, u64)> {
        let of = self.by_client.iter().filter(|((account, client), _)| clients(*account, *client));
        let numbers = of.flat_map(|(_, sessions)| sessions.values());
        let session = |number: &u64| Some((self.by_number.get(number)?.key.clone(), *number));
        numbers.filter_map(session).collect()
    }

    /// When the next session expires, as things stand.
    pub fn next_expiry(&self) -> Option<Wall> {
        self.by_number.values().filter_map(Session::expires).min()
    }

    /// Why a session opens no more QoS 2 ids, if it does not: nobody remembers any number of them.
    pub fn check_open_ids(&self, number: u64) -> Result<(), Refusal> {
        self.by_number.get(&number).map_or(Ok(()), |session| self.open.check(&session.key))
    }

    /// PUBREL for these ids: to be committed before PUBCOMP. None if none of them is open.
    pub fn release(&self, number: u64, ids: &[u16]) -> Option<Record> {
        let session = self.by_number.get(&number)?;
        let ids: Vec<u16> = ids.iter().copied().filter(|id| session.open_ids.contains(id)).collect();
        (!ids.is_empty()).then_some(Record::Released { number, ids })
    }

    /// What a session must know of its deliveries: to be committed before they go on. Nothing if there is no such
    /// session.
    pub fn hand_over(&self, number: u64, news: HandOver) -> Vec<Record> {
        let HandOver { mut sent, released, mut left, loose, done, shown } = news;
        if !self.by_number.contains_key(&number) {
            return Vec::new();
        }
        let shown = shown.into_iter().filter_map(|(filter, left)| self.show(number, &filter, left));
        for one in loose {
            let filter = if one.retained { NO_FILTER_RETAINED } else { NO_FILTER }.to_owned();
            let list = if one.at_least_once { &mut left } else { &mut sent };
            list.push((one.id, filter, one.position));
        }
        let handed = (!sent.is_empty() || !released.is_empty()).then_some(Record::HandedOver {
            number,
            sent,
            released,
        });
        let left = (!left.is_empty()).then_some(Record::LeftOver { number, sent: left });
        let over = (!done.is_empty()).then_some(Record::Over { number, ids: done });
        // An id that is over may stand for another one right away.
        [over, handed, left].into_iter().flatten().chain(shown).collect()
    }

    /// What a subscription is still to be shown of what its channels retain. None if nothing changes.
    pub fn show(&self, number: u64, filter: &str, left: Showing) -> Option<Record> {
        let held = self.by_number.get(&number)?.held.get(filter);
        let changes = held.map_or(left != Showing::Nothing, |held| held.showing != left);
        changes.then(|| Record::Shown { number, filter: filter.to_owned(), left })
    }

    /// What sessions came to mean for the groups that share a subscription, since the last time.
    pub fn take_share_changes(&mut self) -> Vec<ShareChange> {
        self.shares.take_changes()
    }

    /// What sessions had begun at QoS 2 of what groups share and had not finished when they ended, since the last time: it
    /// may be nobody else's, and so is nobody's.
    pub fn take_unfinished(&mut self) -> impl Iterator<Item = (AccountId, u64)> {
        std::mem::take(&mut self.unfinished).into_iter()
    }

    /// Every group that a session holds, for a bus that knows none.
    pub fn shares(&self) -> Vec<ShareChange> {
        self.shares.all()
    }

    /// How many sessions hold a group.
    pub fn share_sessions(&self, key: &ShareKey) -> usize {
        self.shares.sessions(key)
    }

    /// Holds a subscription, or changes one: to be committed before SUBACK. `through` is where it begins (the
    /// `at` of its `Subscribed`); a subscription that is held already keeps its own. None if nothing changes.
    pub fn set_subscription(
        &self,
        number: u64,
        filter: &str,
        keep: Keep,
        through: Option<Position>,
    ) -> Result<Option<Record>, Refusal> {
        let Some(session) = self.by_number.get(&number) else {
            return Ok(None);
        };
        let Keep { options, identifier } = keep;
        let held = session.held.get(filter);
        if held.is_some_and(|h| h.options == options && h.identifier == identifier) {
            return Ok(None);
        }
        if held.is_none() && session.held.len() >= SUBSCRIPTIONS_CEILING {
            return Err(Refusal {
                code: Code::TooMany,
                what: "the session holds as many subscriptions as it may".to_owned(),
                want: format!("at most {SUBSCRIPTIONS_CEILING}"),
            });
        }
        let through = held.map_or(through, |held| held.through);
        Ok(Some(Record::Subscribed { number, filter: filter.to_owned(), options, identifier, through }))
    }

    /// Whether a session holds a subscription.
    pub fn holds(&self, number: u64, filter: &str) -> bool {
        self.by_number.get(&number).is_some_and(|session| session.held.contains_key(filter))
    }

    /// Gives a subscription up: to be committed before UNSUBACK. None if there is no such.
    pub fn remove_subscription(&self, number: u64, filter: &str) -> Option<Record> {
        let session = self.by_number.get(&number)?;
        let held = session.held.contains_key(filter);
        held.then(|| Record::Unsubscribed { number, filter: filter.to_owned() })
    }

    /// These subscriptions were acknowledged up to there. Nobody waits for it: let it ride in a commit that
    /// happens anyway. None if nothing changes.
    pub fn confirm(&self, number: u64, through: &[(String, Position)]) -> Option<Record> {
        let session = self.by_number.get(&number)?;
        let changes = |(filter, position): &&(String, Position)| {
            session.held.get(filter).is_some_and(|held| held.through != Some(*position))
        };
        let through: Vec<_> = through.iter().filter(changes).cloned().collect();
        (!through.is_empty()).then_some(Record::Confirmed { number, through })
    }

    /// What a session holds at the moment.
    pub fn state(&self, number: u64) -> Option<SessionState> {
        self.by_number.get(&number).map(|session| session.state(number))
    }

    /// How many an account has.
    pub fn count_of(&self, account: AccountId) -> usize {
        let first = (account, ClientId::SYSTEM);
        let own = self.by_client.range(first..).take_while(|((of, _), _)| *of == account);
        own.map(|(_, sessions)| sessions.len()).sum()
    }

    /// Whether a client has any.
    pub fn has_of(&self, account: AccountId, client: ClientId) -> bool {
        self.by_client.get(&(account, client)).is_some_and(|sessions| !sessions.is_empty())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }
}

impl Session {
    fn state(&self, number: u64) -> SessionState {
        SessionState {
            number,
            present: true,
            open_ids: self.open_ids.iter().copied().collect(),
            last_id: self.last_id,
            deliveries: self.deliveries.iter().map(|(id, delivered)| delivered.numbered(*id)).collect(),
            subscriptions: self.held.iter().map(|(filter, held)| held.subscription(filter)).collect(),
            tally: Default::default(),
        }
    }

    fn is_over(&self, now: Wall) -> bool {
        self.expires().is_some_and(|at| at <= now)
    }

    fn expires(&self) -> Option<Wall> {
        let left = self.left.filter(|_| self.expiry_s != NEVER)?;
        Some(Wall(left.0.saturating_add(i64::from(self.expiry_s) * 1000)))
    }

    /// Takes note of deliveries that the peer may have.
    fn remember(&mut self, sent: Vec<(u16, String, Position)>, at_least_once: bool, shares: &mut Shares) {
        for (id, filter, position) in sent {
            shares.taken(self.key.account, &filter, position.seq);
            // What is left over at QoS 1 may have got its number before what was numbered last. They begin again at one.
            let is_newer = !at_least_once || id.wrapping_sub(self.last_id) < u16::MAX / 2;
            if !is_loose(&filter) && is_newer {
                self.last_id = id;
            }
            let (released, over) = (false, false);
            self.deliveries.insert(id, Delivered { filter, position, released, over, at_least_once });
        }
    }

    /// True for one more. What the log says is held is: the bound is kept before.
    fn hold(&mut self, filter: String, new: Held) -> bool {
        match self.held.entry(filter) {
            Entry::Occupied(mut held) => {
                let showing = std::mem::take(&mut held.get_mut().showing);
                held.insert(Held { showing, ..new });
                false
            }
            Entry::Vacant(place) => {
                place.insert(new);
                true
            }
        }
    }
}

impl Delivered {
    fn numbered(&self, id: u16) -> SessionDelivery {
        SessionDelivery {
            id,
            filter: (!is_loose(&self.filter)).then(|| self.filter.clone()),
            position: self.position,
            released: self.released,
            over: self.over,
            at_least_once: self.at_least_once,
            retained: self.filter == NO_FILTER_RETAINED,
        }
    }
}

fn is_loose(filter: &str) -> bool {
    filter == NO_FILTER || filter == NO_FILTER_RETAINED
}

impl Held {
    fn new((options, identifier): (u8, u32), through: Option<Position>) -> Self {
        Self { options, identifier, through, showing: Showing::Nothing }
    }

    fn subscription(&self, filter: &str) -> SessionSubscription {
        SessionSubscription {
            filter: filter.to_owned(),
            keep: Keep { options: self.options, identifier: self.identifier },
            through: self.through,
            showing: self.showing.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
