//! Deliveries that wait for their peer: what each packet id stands for, and how far its exchange is.
//!
//! QoS 1 waits for PUBACK. QoS 2 waits for PUBREC, says PUBREL and waits for PUBCOMP (MQTT 5, section 4.3.3). For a
//! session that outlives its connection two things are on disk before they are said: which publication an id stands
//! for, before its PUBLISH; that the peer has it, before its PUBREL. So whatever dies in between, the publication comes
//! again under its own id or not at all. An id stays taken until the session's place has passed its publication: until
//! then it tells that this one is not to be sent again. What is in no subscription's course, so that no place passes it,
//! is remembered until it is done.

mod news;
mod waiting;

use self::waiting::{Place, Stage, Waiting};
pub(crate) use self::{
    news::{News, Stored, Unacknowledged},
    waiting::Course,
};
use riser_model::{Position, Seq, SubscriptionId, door::Loose};
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
    /// Those at QoS 2 and those that were said on an earlier connection.
    by_place: BTreeMap<Place, u16>,
    waiting: usize,
    /// What is to be stored next.
    news: News,
    /// What is being stored, by ticket.
    asked: VecDeque<(u64, News)>,
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

    /// How many may wait for the peer.
    pub(crate) fn max(&self) -> u16 {
        u16::try_from(self.max).unwrap_or(u16::MAX)
    }

    /// Takes up what a session remembers of a subscription's course. True if PUBREL is to be said again.
    pub(crate) fn restore(
        &mut self,
        id: u16,
        subscription: SubscriptionId,
        (pos, course): (Position, Course),
        (released, over, at_least_once): (bool, bool, bool),
    ) -> bool {
        let stage = match (over, released) {
            (true, _) => Stage::Over,
            (false, true) => Stage::Released,
            (false, false) => Stage::Numbered { before: true },
        };
        let recorded = course != Course::In;
        self.insert(id, Waiting { subscription, pos: Some(pos), course, recorded, at_least_once, stage });
        stage == Stage::Released
    }

    /// Takes up what a session remembers of no subscription's course. True if PUBREL is to be said again.
    pub(crate) fn restore_loose(&mut self, subscription: SubscriptionId, one: Loose, released: bool) -> bool {
        let stage = if released { Stage::Released } else { Stage::Numbered { before: true } };
        let (course, recorded) = (Course::Loose { retained: one.retained }, true);
        let at_least_once = one.at_least_once;
        let waiting =
            Waiting { subscription, pos: Some(one.position), course, recorded, at_least_once, stage };
        self.waiting += usize::from(stage.waits_for_peer());
        // Several may stand for one publication: they are asked for by their ids.
        self.by_id.insert(one.id, waiting);
        released
    }

    /// A loose one that was taken up is said again. False if its turn has not come.
    pub(crate) fn again(&mut self, id: u16, at_least_once: bool) -> bool {
        let room = self.has_room();
        if room {
            self.enter(id, if at_least_once { Stage::Published } else { Stage::Sent });
        }
        room
    }

    /// A loose one that was taken up is not to be had any more. True if PUBREL is to be said for it: then nobody holds
    /// its id.
    pub(crate) fn never_again(&mut self, id: u16, at_least_once: bool) -> bool {
        if at_least_once {
            self.remove(id);
            self.news.done.push(id);
        } else {
            self.enter(id, Stage::Released);
        }
        !at_least_once
    }

    fn insert(&mut self, id: u16, waiting: Waiting) {
        self.waiting += usize::from(waiting.stage.waits_for_peer());
        if let Some(place) = waiting.place().filter(|_| waiting.stage != Stage::Published) {
            self.by_place.insert(place, id);
        }
        self.by_id.insert(id, waiting);
    }

    fn remove(&mut self, id: u16) -> Option<Waiting> {
        let waiting = self.by_id.remove(&id)?;
        self.waiting -= usize::from(waiting.stage.waits_for_peer());
        if let Some(place) = waiting.place()
            && self.by_place.get(&place) == Some(&id)
        {
            self.by_place.remove(&place);
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
        course: Course,
    ) -> (u16, bool) {
        let place = pos.map(|pos| (subscription, pos.seq, course.is_loose()));
        let before = place.and_then(|place| self.by_place.remove(&place));
        let id = before.unwrap_or_else(|| self.free_id());
        let recorded = self.remove(id).is_some_and(|waiting| waiting.recorded && course != Course::In);
        let (at_least_once, stage) = (true, Stage::Published);
        self.insert(id, Waiting { subscription, pos, course, recorded, at_least_once, stage });
        (id, before.is_some())
    }

    /// What was said at QoS 1 and is not acknowledged: who comes back is to hear it under the same ids.
    pub(crate) fn unacknowledged(&self) -> Unacknowledged {
        let waits = self.by_id.iter().filter(|(_, waiting)| waiting.stage == Stage::Published);
        let mut all = Unacknowledged::default();
        for (id, waiting) in waits {
            match (waiting.pos, waiting.course) {
                (Some(pos), Course::In | Course::Shared) => all.left.push((*id, waiting.subscription, pos)),
                (Some(position), Course::Loose { retained }) if !waiting.recorded => {
                    all.loose.push(Loose { id: *id, position, at_least_once: true, retained });
                }
                (_, Course::Loose { .. }) | (None, Course::In | Course::Shared) => {}
            }
        }
        all
    }

    /// The turn of a delivery at QoS 2.
    pub(crate) fn once_exactly(
        &mut self,
        subscription: SubscriptionId,
        pos: Option<Position>,
        course: Course,
    ) -> Turn {
        let place = pos.map(|pos| (subscription, pos.seq, course.is_loose()));
        let known = place.and_then(|place| self.by_place.get(&place).copied());
        if let Some(id) = known {
            let stage = self.by_id.get(&id).map(|waiting| waiting.stage);
            return match stage {
                Some(Stage::Numbered { .. }) if !self.has_room() => Turn::Wait,
                Some(Stage::Numbered { before }) => {
                    self.enter(id, Stage::Sent);
                    self.by_id.entry(id).and_modify(|waiting| waiting.at_least_once = false);
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
        match pos.filter(|_| self.durable) {
            Some(at) => {
                self.begin(subscription, at, course);
                Turn::Wait
            }
            None => {
                let (id, stage) = (self.free_id(), Stage::Sent);
                let (recorded, at_least_once) = (false, false);
                self.insert(id, Waiting { subscription, pos, course, recorded, at_least_once, stage });
                Turn::Say { id, dup: false }
            }
        }
    }

    /// Gives a delivery at QoS 2 its number, which is to be stored before it is said.
    fn begin(&mut self, subscription: SubscriptionId, pos: Position, course: Course) {
        let id = self.free_id();
        let (recorded, at_least_once, stage) = (true, false, Stage::Numbering);
        let waiting = Waiting { subscription, pos: Some(pos), course, recorded, at_least_once, stage };
        self.insert(id, waiting);
        match course {
            Course::In | Course::Shared => self.news.sent.push((id, subscription, pos)),
            Course::Loose { retained } => {
                self.news.loose.push(Loose { id, position: pos, at_least_once: false, retained });
            }
        }
    }

    /// Whether a delivery in its course at QoS 2 has a number.
    pub(crate) fn is_begun(&self, subscription: SubscriptionId, pos: Position) -> bool {
        self.by_place.contains_key(&(subscription, pos.seq, false))
    }

    /// Whether a delivery in its course was said at QoS 2 on an earlier connection, and is not finished: the peer may hold
    /// it under its id.
    pub(crate) fn is_held(&self, subscription: SubscriptionId, pos: Position) -> bool {
        let id = self.by_place.get(&(subscription, pos.seq, false));
        id.and_then(|id| self.by_id.get(id)).is_some_and(Waiting::peer_may_hold)
    }

    /// Numbers a delivery at QoS 2 whose turn has not come, so that one commit is for many.
    pub(crate) fn number(&mut self, subscription: SubscriptionId, pos: Position, course: Course) {
        let wanted = self.durable && !self.is_begun(subscription, pos);
        if wanted && self.may_number() && self.news.sent.len() < self.max {
            self.begin(subscription, pos, course);
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

    /// It is not said after all. True if it was `said` before: then PUBREL follows when that is stored, for the id is the
    /// peer's until PUBCOMP (5.0: MQTT-2.2.1-4).
    pub(crate) fn forget(&mut self, id: u16, said: bool) -> bool {
        let held = said && self.by_id.get(&id).is_some_and(|waiting| waiting.stage == Stage::Sent);
        if held {
            self.news.released.push(id);
            self.enter(id, Stage::Receiving);
            return true;
        }
        let waiting = self.remove(id);
        if waiting.is_some_and(|waiting| waiting.recorded && waiting.course != Course::In) {
            self.news.done.push(id);
        }
        false
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
        let waiting = if waits { self.remove(id) } else { None }?;
        if waiting.recorded {
            self.news.done.push(id);
        }
        Some((waiting.subscription, waiting.pos))
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
            Stage::Sent if stored && accepted => {
                self.news.released.push(id);
                self.enter(id, Stage::Receiving);
                Received::Noted
            }
            // No PUBREL follows, on no connection (MQTT 5, section 4.3.3).
            Stage::Sent if stored => {
                self.news.done.push(id);
                self.enter(id, Stage::Over);
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
        if self.durable && waiting.pos.is_some() && waiting.course == Course::In {
            self.enter(id, Stage::Over);
        } else {
            self.remove(id);
            if waiting.recorded {
                self.news.done.push(id);
            }
        }
        Some((waiting.subscription, waiting.pos))
    }

    /// A subscription was given up: what was begun is finished, on the next connection too. The seqs of that.
    pub(crate) fn gone(&mut self, subscription: SubscriptionId) -> Vec<Seq> {
        let of = self.by_id.iter().filter(|(_, one)| one.subscription == subscription && !one.is_loose());
        let ids: Vec<u16> = of.map(|(id, _)| *id).collect();
        let mut begun = Vec::new();
        for id in ids {
            let Some(waiting) = self.remove(id) else { continue };
            if waiting.stage.was_said() {
                begun.extend(waiting.pos.map(|pos| pos.seq));
                self.loosen(id, waiting);
            }
        }
        begun
    }

    /// It is in no subscription's course any more, and is remembered by itself until it is over.
    fn loosen(&mut self, id: u16, waiting: Waiting) {
        let mut waiting = Waiting { course: Course::Loose { retained: false }, ..waiting };
        if let Some(position) = waiting.pos.filter(|_| self.durable) {
            waiting.recorded = true;
            let at_least_once = waiting.at_least_once;
            self.news.loose.push(Loose { id, position, at_least_once, retained: false });
            if matches!(waiting.stage, Stage::Receiving | Stage::Released) {
                self.news.released.push(id);
            }
        }
        // By its id alone: what has its place from here on is what a channel retains.
        self.waiting += usize::from(waiting.stage.waits_for_peer());
        self.by_id.insert(id, waiting);
    }

    /// Whether anything of a subscription waits for the peer.
    pub(crate) fn has_of(&self, subscription: SubscriptionId) -> bool {
        self.by_id.values().any(|waiting| waiting.subscription == subscription)
    }

    /// What a session remembers is not to be had any more: nobody waits for it. The peer may hold its id until PUBREL.
    pub(crate) fn never(&mut self, subscription: SubscriptionId, pos: Position) {
        let known = self.by_place.get(&(subscription, pos.seq, false)).copied();
        if let Some(id) = known
            && let Some(waiting @ Waiting { stage: Stage::Numbered { .. }, .. }) = self.by_id.get(&id)
        {
            if waiting.peer_may_hold() {
                self.enter(id, Stage::Receiving);
                self.news.released.push(id);
            } else {
                self.remove(id);
                self.news.done.push(id);
            }
        }
    }

    /// The session's place has passed everything of a subscription up to here, or those are gone for good. What the peer may
    /// hold is released, so that no other publication is taken for it.
    pub(crate) fn passed(&mut self, subscription: SubscriptionId, through: Position) {
        let passed: Vec<u16> = self
            .by_place
            .range((subscription, Seq::ZERO, false)..=(subscription, through.seq, true))
            .filter(|((_, _, loose), _)| !loose)
            .map(|(_, id)| *id)
            .collect();
        for id in passed {
            let over = |waiting: &Waiting| match waiting.stage {
                Stage::Over | Stage::Numbered { .. } => true,
                Stage::Published | Stage::Numbering | Stage::Sent | Stage::Receiving | Stage::Released => {
                    false
                }
            };
            let is_over =
                self.by_id.get(&id).is_some_and(|waiting| waiting.course == Course::In && over(waiting));
            if let Some(waiting) = if is_over { self.remove(id) } else { None }
                && waiting.peer_may_hold()
            {
                self.loosen(id, Waiting { stage: Stage::Receiving, ..waiting });
            }
        }
    }
}
