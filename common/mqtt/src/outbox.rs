//! Deliveries that wait for their peer: what each packet id stands for, and how far its exchange is.
//!
//! QoS 1 waits for PUBACK. QoS 2 waits for PUBREC, says PUBREL and waits for PUBCOMP (MQTT 5, section 4.3.3). For a
//! session that outlives its connection two things are on disk before they are said: which publication an id stands
//! for, before its PUBLISH; that the peer has it, before its PUBREL. So whatever dies in between, the publication comes
//! again under its own id or not at all. An id stays taken until the session's place has passed its publication: until
//! then it tells that this one is not to be sent again.

use riser_model::{Position, Seq, SubscriptionId};
use std::collections::{BTreeMap, VecDeque};

/// Ids that wait for nothing but the session's place, for each that waits for the peer.
const PASSED_PER_PLACE: usize = 16;
/// Some ids always stay free.
const IDS_MAX: usize = 60_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// How many may wait for the peer.
    max: usize,
    /// Of a session that outlives the connection.
    durable: bool,
    last_id: u16,
    by_id: BTreeMap<u16, Waiting>,
    /// Those at QoS 2 and those that were said on an earlier connection, by subscription and seq.
    by_place: BTreeMap<(SubscriptionId, Seq), u16>,
    waiting: usize,
    /// What is to be stored next.
    news: News,
    /// What is being stored, by ticket.
    asked: VecDeque<(u64, News)>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Waiting {
    subscription: SubscriptionId,
    /// None of what a channel retains: it is not in the subscription's course.
    pos: Option<Position>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// QoS 1: PUBLISH was said.
    Published,
    /// QoS 2: the id is being stored.
    Numbering,
    /// QoS 2: PUBLISH may be said; was said before, on another connection.
    Numbered { before: bool },
    /// QoS 2: PUBLISH was said.
    Sent,
    /// QoS 2: PUBREC came, and that is being stored.
    Receiving,
    /// QoS 2: PUBREL was said.
    Released,
    /// QoS 2: it is over, and the session's place has not passed it.
    Over,
}

impl Stage {
    fn waits_for_peer(self) -> bool {
        match self {
            Self::Published | Self::Sent | Self::Receiving | Self::Released => true,
            Self::Numbering | Self::Numbered { .. } | Self::Over => false,
        }
    }
}

/// What a session is to remember of its deliveries at QoS 2.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct News {
    /// Ids and what they stand for.
    pub(crate) sent: Vec<(u16, SubscriptionId, Position)>,
    /// Ids whose publication the peer has.
    pub(crate) released: Vec<u16>,
}

/// What follows when news is stored.
#[derive(Debug)]
pub(crate) struct Stored {
    /// Ids whose PUBREL may be said.
    pub(crate) say: Vec<u16>,
    /// What the peer has.
    pub(crate) has: Vec<(SubscriptionId, Position)>,
}

/// What becomes of a delivery at QoS 2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// Say PUBLISH under this id; a duplicate if it was said before.
    Say { id: u16, dup: bool },
    /// Not yet.
    Wait,
    /// The peer has it; what is left of the exchange goes on, or it is over.
    Skip { over: bool },
}

/// What PUBREC came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Received {
    /// Say PUBREL.
    Release,
    /// PUBREL follows when it is stored, or there is none to say.
    Noted,
    /// Nothing waited for it.
    Unknown,
}

impl Outbox {
    /// `last_id`: the last one that a session remembers to have given.
    pub(crate) fn new(max: u16, durable: bool, last_id: u16) -> Self {
        Self { max: usize::from(max.max(1)), durable, last_id, ..Self::default() }
    }

    /// Takes up what a session remembers. True if PUBREL is to be said again.
    pub(crate) fn restore(
        &mut self,
        id: u16,
        subscription: SubscriptionId,
        pos: Position,
        released: bool,
    ) -> bool {
        let stage = if released { Stage::Released } else { Stage::Numbered { before: true } };
        self.insert(id, Waiting { subscription, pos: Some(pos), stage });
        released
    }

    fn insert(&mut self, id: u16, waiting: Waiting) {
        self.waiting += usize::from(waiting.stage.waits_for_peer());
        if let Some(pos) = waiting.pos.filter(|_| waiting.stage != Stage::Published) {
            self.by_place.insert((waiting.subscription, pos.seq), id);
        }
        self.by_id.insert(id, waiting);
    }

    fn remove(&mut self, id: u16) -> Option<Waiting> {
        let waiting = self.by_id.remove(&id)?;
        self.waiting -= usize::from(waiting.stage.waits_for_peer());
        if let Some(pos) = waiting.pos {
            let place = (waiting.subscription, pos.seq);
            if self.by_place.get(&place) == Some(&id) {
                self.by_place.remove(&place);
            }
        }
        Some(waiting)
    }

    fn enter(&mut self, id: u16, stage: Stage) {
        if let Some(waiting) = self.by_id.get_mut(&id) {
            self.waiting -= usize::from(waiting.stage.waits_for_peer());
            self.waiting += usize::from(stage.waits_for_peer());
            waiting.stage = stage;
        }
    }

    /// Whether one more may wait for the peer.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting < self.max
    }

    /// Whether one more may get a number that is remembered. Those that a session brought along get their turn whatever
    /// their number.
    fn may_number(&self) -> bool {
        self.by_id.len() < self.max.saturating_mul(PASSED_PER_PLACE).min(IDS_MAX)
    }

    /// The id of a delivery at QoS 1, and whether it was said before under it.
    pub(crate) fn once_at_least(
        &mut self,
        subscription: SubscriptionId,
        pos: Option<Position>,
    ) -> (u16, bool) {
        let before = pos.and_then(|pos| self.by_place.remove(&(subscription, pos.seq)));
        let id = before.unwrap_or_else(|| self.free_id());
        self.remove(id);
        self.insert(id, Waiting { subscription, pos, stage: Stage::Published });
        (id, before.is_some())
    }

    /// What was said at QoS 1 and is not acknowledged: who comes back is to hear it under the same ids.
    pub(crate) fn unacknowledged(&self) -> Vec<(u16, SubscriptionId, Position)> {
        let waits = self.by_id.iter().filter(|(_, waiting)| waiting.stage == Stage::Published);
        waits.filter_map(|(id, waiting)| Some((*id, waiting.subscription, waiting.pos?))).collect()
    }

    /// The turn of a delivery at QoS 2.
    pub(crate) fn once_exactly(&mut self, subscription: SubscriptionId, pos: Option<Position>) -> Turn {
        let known = pos.and_then(|pos| self.by_place.get(&(subscription, pos.seq)).copied());
        if let Some(id) = known {
            let stage = self.by_id.get(&id).map(|waiting| waiting.stage);
            return match stage {
                Some(Stage::Numbered { .. }) if !self.has_room() => Turn::Wait,
                Some(Stage::Numbered { before }) => {
                    self.enter(id, Stage::Sent);
                    Turn::Say { id, dup: before }
                }
                Some(Stage::Numbering) => Turn::Wait,
                Some(Stage::Published | Stage::Sent | Stage::Receiving | Stage::Released) => {
                    Turn::Skip { over: false }
                }
                Some(Stage::Over) | None => Turn::Skip { over: true },
            };
        }
        if !self.has_room() || self.durable && !self.may_number() {
            return Turn::Wait;
        }
        let id = self.free_id();
        match pos.filter(|_| self.durable) {
            Some(at) => {
                self.insert(id, Waiting { subscription, pos, stage: Stage::Numbering });
                self.news.sent.push((id, subscription, at));
                Turn::Wait
            }
            None => {
                self.insert(id, Waiting { subscription, pos, stage: Stage::Sent });
                Turn::Say { id, dup: false }
            }
        }
    }

    /// Whether a delivery at QoS 2 has a number.
    pub(crate) fn is_begun(&self, subscription: SubscriptionId, pos: Position) -> bool {
        self.by_place.contains_key(&(subscription, pos.seq))
    }

    /// Numbers a delivery at QoS 2 whose turn has not come, so that one commit is for many.
    pub(crate) fn number(&mut self, subscription: SubscriptionId, pos: Position) {
        let wanted = self.durable && !self.is_begun(subscription, pos);
        if wanted && self.may_number() && self.news.sent.len() < self.max {
            let id = self.free_id();
            self.insert(id, Waiting { subscription, pos: Some(pos), stage: Stage::Numbering });
            self.news.sent.push((id, subscription, pos));
        }
    }

    /// The next id that is free. There is one: so many are never taken.
    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.by_id.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    /// It is not said after all.
    pub(crate) fn forget(&mut self, id: u16) {
        self.remove(id);
    }

    /// What an id stands for.
    pub(crate) fn place(&self, id: u16) -> Option<(SubscriptionId, Option<Position>)> {
        self.by_id.get(&id).map(|waiting| (waiting.subscription, waiting.pos))
    }

    /// Whether somebody remembers what an id stands for.
    pub(crate) fn is_durable(&self) -> bool {
        self.durable
    }

    /// PUBACK: what the peer has. None if nothing waited for it.
    pub(crate) fn acknowledged(&mut self, id: u16) -> Option<(SubscriptionId, Option<Position>)> {
        let waits = self.by_id.get(&id).is_some_and(|waiting| waiting.stage == Stage::Published);
        let waiting = if waits { self.remove(id) } else { None };
        waiting.map(|waiting| (waiting.subscription, waiting.pos))
    }

    /// Whether an id is that of a delivery at QoS 1.
    pub(crate) fn is_at_least_once(&self, id: u16) -> bool {
        self.by_id.get(&id).is_some_and(|waiting| waiting.stage == Stage::Published)
    }

    /// PUBREC: the peer has it, or will never take it.
    pub(crate) fn received(&mut self, id: u16, accepted: bool) -> Received {
        let Some(waiting) = self.by_id.get(&id) else { return Received::Unknown };
        let stored = self.durable && waiting.pos.is_some();
        match waiting.stage {
            Stage::Sent if stored => {
                self.news.released.push(id);
                self.enter(id, if accepted { Stage::Receiving } else { Stage::Over });
                Received::Noted
            }
            Stage::Sent if accepted => {
                self.enter(id, Stage::Released);
                Received::Release
            }
            Stage::Sent => {
                self.remove(id);
                Received::Noted
            }
            // It did not hear PUBREL, or says it twice.
            Stage::Released => Received::Release,
            Stage::Receiving => Received::Noted,
            Stage::Published | Stage::Numbering | Stage::Numbered { .. } | Stage::Over => Received::Unknown,
        }
    }

    /// PUBCOMP: what the peer has. None if nothing waited for it.
    pub(crate) fn completed(&mut self, id: u16) -> Option<(SubscriptionId, Option<Position>)> {
        let waiting = self.by_id.get(&id).copied().filter(|waiting| waiting.stage == Stage::Released)?;
        if self.durable && waiting.pos.is_some() {
            self.enter(id, Stage::Over);
        } else {
            self.remove(id);
        }
        Some((waiting.subscription, waiting.pos))
    }

    /// A subscription was given up: what was begun is finished, and nothing of it is remembered.
    pub(crate) fn gone(&mut self, subscription: SubscriptionId) {
        let ids: Vec<u16> = self
            .by_id
            .iter()
            .filter(|(_, one)| one.subscription == subscription)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let Some(waiting) = self.by_id.get_mut(&id) else { continue };
            if waiting.stage.waits_for_peer() {
                if let Some(pos) = waiting.pos.take() {
                    self.by_place.remove(&(subscription, pos.seq));
                }
            } else {
                self.remove(id);
            }
        }
    }

    /// What is to be stored now, if anything; answered with this ticket.
    pub(crate) fn ask(&mut self, ticket: impl FnOnce() -> u64) -> Option<(u64, News)> {
        if self.news == News::default() {
            return None;
        }
        let (ticket, news) = (ticket(), std::mem::take(&mut self.news));
        self.asked.push_back((ticket, news.clone()));
        Some((ticket, news))
    }

    /// Whether a ticket is of something that is being stored.
    pub(crate) fn is_asked(&self, ticket: u64) -> bool {
        self.asked.front().is_some_and(|(asked, _)| *asked == ticket)
    }

    /// It is stored. None if the ticket is another's.
    pub(crate) fn stored(&mut self, ticket: u64) -> Option<Stored> {
        let (_, news) = self.asked.pop_front_if(|(asked, _)| *asked == ticket)?;
        for (id, _, _) in news.sent {
            if self.by_id.get(&id).is_some_and(|waiting| waiting.stage == Stage::Numbering) {
                self.enter(id, Stage::Numbered { before: false });
            }
        }
        let (mut say, mut has) = (Vec::new(), Vec::new());
        for id in news.released {
            let Some(waiting) = self.by_id.get(&id).copied() else { continue };
            match waiting.stage {
                // Passed when PUBCOMP came: until then the id means something to the peer.
                Stage::Receiving => {
                    self.enter(id, Stage::Released);
                    say.push(id);
                }
                Stage::Over => has.extend(waiting.pos.map(|pos| (waiting.subscription, pos))),
                Stage::Published
                | Stage::Numbering
                | Stage::Numbered { .. }
                | Stage::Sent
                | Stage::Released => {}
            }
        }
        Some(Stored { say, has })
    }

    /// The session's place has passed everything of a subscription up to here, or those are gone for good.
    pub(crate) fn passed(&mut self, subscription: SubscriptionId, through: Position) {
        let passed: Vec<u16> = self
            .by_place
            .range((subscription, Seq::ZERO)..=(subscription, through.seq))
            .map(|(_, id)| *id)
            .collect();
        for id in passed {
            let over = |waiting: &Waiting| match waiting.stage {
                Stage::Over | Stage::Numbered { .. } => true,
                Stage::Published | Stage::Numbering | Stage::Sent | Stage::Receiving | Stage::Released => {
                    false
                }
            };
            if self.by_id.get(&id).is_some_and(over) {
                self.remove(id);
            }
        }
    }
}
