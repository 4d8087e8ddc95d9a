//! What became of publications that came down, as their publishers hear it.
//!
//! Told once each, on the room's technical channel, and carried up from there: that a device has it, that its time was over
//! before one had, that the log let go of it first.

use super::{Became, Instance};
use riser_model::{
    ClientId, ConnectionId, Now, Position, Route, Seq, Wall,
    event::{self, PublishedAs, Scope, SystemEvent},
};
use riser_rooms::outcomes::Pending;
use riser_wire::{
    cloud_event,
    entry::{Body, Frame, Publication},
};
use std::{sync::Arc, time::Duration};

/// What was on its way to a device when its time was over may still be acknowledged.
const UNDER_WAY: Duration = Duration::from_secs(2);
/// Looked at this often at least: a wall clock that is slewed brings expiry nearer.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// And not more often than that.
const LOOK_AFTER: Duration = Duration::from_millis(100);

/// Why what is not there any more failed.
const GONE: &str = "gone";
/// Of what an edge says why something failed, characters.
const CODE_MAX: usize = 64;

impl Instance {
    /// Takes a committed entry. Whether it waits for its outcome.
    pub(super) fn comes_down(&mut self, seq: Seq, frame: &Frame<'_>) -> bool {
        self.outcomes.by(self.bus.stamped(seq, Wall(0)).0);
        let Some(origin) = frame.origin else { return self.goes_to_one(seq, frame) };
        if let Some(route) = self.bus.route(frame.route).filter(|_| !self.outcomes.is_empty()) {
            self.outcomes.is_there(frame, route);
        }
        self.hear_of_broadcast(frame);
        // What comes up from an edge below is told to nobody.
        if self.bus.origin(origin.number).is_some_and(|(log, _)| self.sites.contains_key(&log)) {
            return false;
        }
        let Some(route) = self.bus.route(frame.route).filter(|route| self.bus.is_linked(route.room)) else {
            return false;
        };
        self.outcomes.come(seq, frame, route);
        true
    }

    /// An edge says what became of a broadcast of this log at a device of it.
    fn hear_of_broadcast(&mut self, frame: &Frame<'_>) {
        if self.broadcasts.is_empty() {
            return;
        }
        let is_said =
            |route: &&Arc<Route>| route.client == ClientId::SYSTEM && event::is_outcome(&route.channel);
        let Some(route) = self.bus.route(frame.route).filter(is_said) else { return };
        let body = Body::read(frame.body).ok();
        let publication = body.as_ref().and_then(|body| Publication::read(body).ok());
        let said = publication.and_then(|publication| cloud_event::outcome(publication.payload));
        let own = self.bus.position(Seq(0)).log;
        let Some(said) = said.filter(|said| said.entry.log == own) else { return };
        let room = self.broadcasts.room(said.id.producer);
        let Some(room) = room.filter(|room| Scope::Room(*room).room() == route.room) else { return };
        let became = match said.kind.as_str() {
            "delivered" => Became::Delivered,
            "expired" => Became::Expired,
            // It is an edge's word, and kept for each device.
            "failed" => Became::Failed(said.code.unwrap_or_default().chars().take(CODE_MAX).collect()),
            _ => return,
        };
        self.broadcasts.note(room, said.id, became);
    }

    /// Takes an entry of this log's own. Whether it is addressed to a client, and waits for its outcome.
    fn goes_to_one(&mut self, seq: Seq, frame: &Frame<'_>) -> bool {
        let route = self.bus.route(frame.route).filter(|_| Publication::has_publish_id(frame.body));
        route.is_some_and(|route| self.outcomes.go(seq, frame, route))
    }

    /// A device has these.
    pub(super) fn delivered(&mut self, id: ConnectionId, at: &[Position], now: Now) {
        let Some(principal) = self.connections.get(&id).and_then(|one| one.principal.clone()) else { return };
        for position in at {
            if self.bus.position(position.seq) == *position
                && let Some(pending) = self.outcomes.take(position.seq)
            {
                let to = principal.name.clone();
                self.tell_outcome(&pending, Became::Delivered, now, |entry, publish_id| {
                    let client = pending.client;
                    SystemEvent::Delivered { entry, client, publish_id, to }
                });
            }
        }
    }

    /// The log let go of what is before that.
    pub(super) fn tell_trimmed(&mut self, oldest: Seq, now: Now) {
        while let Some(pending) = self.outcomes.take_trimmed(oldest) {
            let (client, code) = (pending.client, GONE.to_owned());
            self.tell_outcome(&pending, Became::Failed(GONE.to_owned()), now, |entry, publish_id| {
                SystemEvent::Failed { entry, client, publish_id, code }
            });
        }
    }

    /// The time of some may be over.
    pub(super) fn outcomes_due(&mut self, now: Now) {
        if self.outcomes_due.is_none_or(|due| due > now.time) {
            return;
        }
        let [over, latest] = [self.bus.steady(now), self.bus.latest_clock(now)]
            .map(|clock| Wall(clock.0.saturating_sub(ms(UNDER_WAY))));
        while let Some(pending) = self.outcomes.take_expired(over, latest) {
            let client = pending.client;
            self.tell_outcome(&pending, Became::Expired, now, |entry, publish_id| SystemEvent::Expired {
                entry,
                client,
                publish_id,
            });
        }
        self.outcomes_in(now);
    }

    /// When to look next.
    pub(super) fn outcomes_in(&mut self, now: Now) {
        let left = |at: Wall, clock: Wall| {
            let ms = at.0.saturating_sub(clock.0).max(0).unsigned_abs();
            Duration::from_millis(ms).saturating_add(UNDER_WAY).clamp(LOOK_AFTER, LOOK_EVERY)
        };
        let (first, before) = self.outcomes.first_expiry();
        let first = first.map(|at| left(at, self.bus.steady(now)));
        let before = before.map(|at| left(at, self.bus.latest_clock(now)));
        self.outcomes_due = first.into_iter().chain(before).min().map(|left| now.time.plus(left));
    }

    /// How many publications wait for their outcome, and how many were forgotten for want of room.
    pub fn outcomes(&self) -> (usize, u64) {
        (self.outcomes.len(), self.outcomes.forgotten())
    }

    fn tell_outcome(
        &mut self,
        pending: &Pending,
        became: Became,
        now: Now,
        event: impl FnOnce(Position, PublishedAs) -> SystemEvent,
    ) {
        let own = self.bus.position(pending.seq);
        let (log, epoch) = match pending.origin() {
            Some(origin) => match self.bus.origin(origin) {
                Some(place) => place,
                None => return,
            },
            None => (own.log, own.epoch),
        };
        let id = pending.id();
        let publish_id = PublishedAs { producer: id.producer, n: id.n };
        let event = event(Position { log, epoch, seq: pending.seq }, publish_id);
        if pending.origin().is_none() {
            self.broadcasts.note(pending.room, id, became);
        }
        self.say(Scope::Room(pending.room), event, now);
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
