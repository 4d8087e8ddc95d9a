//! Deliveries: from the bus to the peer, as fast as the socket takes them and the peer acknowledges.
//!
//! Order is kept per subscription: what waits for a free packet id holds up what is behind it. Nothing is
//! pulled while something is held, so what waits here is at most one pull.

mod answers;
mod expiry;

use self::{
    answers::Settled,
    expiry::{aged, over},
};
use crate::{
    Counters,
    aliases::{Alias, Aliases},
    finishing::Finishing,
    outbox::{Course, News, Outbox, Stored, Turn, Unacknowledged},
    outgoing::Outgoing,
    own::Own,
    peer::Peer,
    pull::Pull,
    reports::Reports,
    subscription::{Subscription, options},
    subscriptions::Subscriptions,
    system::System,
    walking::Walking,
};
use bytes::BytesMut;
use riser_model::{
    Seq, SubscriptionId, Time,
    door::{Ask, Delivery, Push, SessionDelivery, Showing},
    event::Scope,
};
use riser_wire::entry::{Body, Publication};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Deliveries {
    pub(crate) subscriptions: Subscriptions,
    pub(crate) pull: Pull,
    own: Own,
    aliases: Aliases,
    held: VecDeque<Push>,
    outbox: Outbox,
    /// What became of entries of shared subscriptions, since [`Deliveries::settles`].
    settled: BTreeMap<SubscriptionId, Settled>,
    /// Shared subscriptions that were given up, until nothing of them is left.
    parting: BTreeSet<SubscriptionId>,
    /// What an earlier connection began, in no subscription's course.
    finishing: Finishing,
    system: System,
    reports: Reports,
    /// Publications that did not go out, since they were asked for.
    dropped: u64,
    /// Some subscription got on since [`Deliveries::confirms`].
    got_on: bool,
    /// What a session remembers of what channels retained: it is finished, and not shown once more.
    remembered: BTreeSet<Seq>,
}

/// What happened to the first that was held.
enum Sent {
    /// There is nothing to wait for.
    Done,
    /// The same: the peer has it.
    Given,
    /// The peer is to answer it.
    Awaits { exactly: bool },
    /// Its turn has not come.
    Waits,
}

impl Deliveries {
    /// `durable`: for a session that outlives the connection.
    pub(crate) fn new(
        (inflight_max, aliases_max): (u16, u16),
        own: Own,
        durable: bool,
        last_id: u16,
    ) -> Self {
        Self {
            subscriptions: Subscriptions::default(),
            pull: Pull::default(),
            own,
            aliases: Aliases::new(aliases_max),
            held: VecDeque::new(),
            outbox: Outbox::new(inflight_max, durable, last_id),
            settled: BTreeMap::new(),
            parting: BTreeSet::new(),
            finishing: Finishing::default(),
            system: System::default(),
            reports: Reports::default(),
            dropped: 0,
            got_on: false,
            remembered: BTreeSet::new(),
        }
    }

    /// What the instance says of the account.
    pub(crate) fn heard(&mut self, values: Arc<[(String, String)]>) {
        self.system.heard(values);
    }

    /// Publications that did not go out, since the last time.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// How much may wait for the peer.
    pub(crate) fn window(&self) -> u16 {
        self.outbox.max()
    }

    /// Takes up the deliveries that a session remembers; the ids whose PUBREL is to be said again.
    pub(crate) fn restore(&mut self, remembered: &[SessionDelivery]) -> Vec<u16> {
        let mut released = Vec::new();
        for delivery in remembered {
            let SessionDelivery { id, position, released: has, over, at_least_once, .. } = *delivery;
            let Some(filter) = &delivery.filter else {
                if delivery.retained {
                    self.remembered.insert(position.seq);
                }
                let one = self.finishing.take_up(delivery);
                if let Some(subscription) = self.finishing.subscription
                    && self.outbox.restore_loose(subscription, one, has)
                {
                    released.push(id);
                }
                continue;
            };
            let Some(of) = self.subscriptions.find(filter) else { continue };
            let Some(subscription) = self.subscriptions.get_mut(of) else { continue };
            if subscription.is_shared() {
                // It does not come by the way of the log that tells what is not over.
                subscription.await_ack(position, position);
            }
            if self.outbox.restore(id, of, (position, course(subscription)), (has, over, at_least_once)) {
                released.push(id);
            }
        }
        released
    }

    /// What an earlier connection began is to be looked for under this number.
    pub(crate) fn finish_under(&mut self, subscription: SubscriptionId) {
        self.finishing.subscription = Some(subscription);
    }

    /// Whether all of that is said: then there is nothing left to look for.
    pub(crate) fn finished(&mut self) -> Option<SubscriptionId> {
        let over = self.finishing.is_over();
        if over { self.finishing.subscription.take() } else { None }
    }

    /// The bus answered a pull.
    pub(crate) fn take(&mut self, pushes: Vec<Push>, more: bool, counters: &Counters) {
        self.pull.delivered(more);
        for push in pushes {
            if self.is_news(&push, counters) {
                self.held.push_back(push);
            }
        }
    }

    /// A subscription that was asked for anew starts over where it was; what came in between comes twice.
    fn is_news(&mut self, push: &Push, counters: &Counters) -> bool {
        let (subscription, pos) = match push {
            Push::Publication(delivery) => (delivery.subscription, delivery.pos),
            Push::Gap { subscription, gap, pos } => {
                counters.gaps.add(gap.count());
                (*subscription, Some(*pos))
            }
            Push::Through { subscription, pos } => (*subscription, Some(*pos)),
            Push::Wiped { subscription, .. } => (*subscription, None),
        };
        if self.finishing.subscription == Some(subscription) {
            return true;
        }
        let walking = self.subscriptions.get_mut(subscription).and_then(|one| one.walking.as_mut());
        match (push, walking) {
            (Push::Publication(delivery), Some(walking)) if delivery.retained.is_some() => {
                return walking.receive(&delivery.content.route);
            }
            (Push::Through { .. }, Some(walking)) if walking.coming() != Showing::Nothing => {
                return walking.received_all();
            }
            _ => {}
        }
        match (self.subscriptions.get_mut(subscription), pos) {
            (Some(subscription), Some(pos)) => subscription.receive(pos),
            (Some(_), None) => true,
            (None, pos) => {
                if let (Push::Publication(_), Some(pos)) = (push, pos)
                    && self.parting.contains(&subscription)
                {
                    self.settled.entry(subscription).or_default().returned.push(pos.seq);
                }
                false
            }
        }
    }

    /// Writes what may go, and says how much to pull. `out` holds nothing but what this input made.
    pub(crate) fn pump(
        &mut self,
        peer: &Peer,
        out: &mut BytesMut,
        counters: &Counters,
        now: Time,
    ) -> Option<Ask> {
        while self.pull.has_room()
            && let Some(push) = self.held.pop_front()
        {
            let before = out.len();
            self.got_on = true;
            let sent = match &push {
                Push::Publication(delivery) => {
                    let sent = self.deliver(delivery, peer, out, counters, now);
                    self.settle(delivery, &sent);
                    match sent {
                        Sent::Given => self.reports.given(delivery),
                        Sent::Awaits { .. } => self.reports.said(delivery),
                        Sent::Done | Sent::Waits => {}
                    }
                    sent
                }
                Push::Gap { .. } | Push::Wiped { .. } | Push::Through { .. } => {
                    self.note(&push, peer, out, counters)
                }
            };
            self.pull.wrote(out.len() - before);
            if matches!(sent, Sent::Waits) {
                self.held.push_front(push);
                self.number_held();
                break;
            }
        }
        if self.pull.has_room() {
            let before = out.len();
            self.system.say(&mut self.subscriptions, peer, out, counters);
            self.pull.wrote(out.len() - before);
        }
        if self.held.is_empty() {
            self.held = VecDeque::new();
        }
        let idle = self.held.is_empty() && self.outbox.has_room();
        let bytes = if idle { self.pull.next() } else { None };
        bytes.map(|bytes| Ask::Pull { bytes, stands: self.holds_nothing() })
    }

    /// Whether what comes goes out as it comes: nothing is to be acknowledged.
    fn holds_nothing(&self) -> bool {
        let plain = |one: &Subscription| one.qos() == 0 && !one.is_shared();
        self.finishing.subscription.is_none() && self.subscriptions.values().all(plain)
    }

    /// What waits behind a delivery whose number is being stored gets its own in the same commit.
    fn number_held(&mut self) {
        if self.subscriptions.values().all(|subscription| subscription.qos() < 2) {
            return;
        }
        for push in &self.held {
            let Push::Publication(Delivery { subscription: id, pos: Some(pos), content, .. }) = push else {
                continue;
            };
            let exactly = |subscription: &Subscription| {
                let published = Body::read(&content.body).and_then(|body| Publication::read(&body));
                published.is_ok_and(|publication| subscription.qos().min(publication.qos) == 2)
            };
            if let Some(subscription) = self.subscriptions.get(*id).filter(|one| exactly(one)) {
                self.outbox.number(*id, *pos, course(subscription));
            }
        }
    }

    fn deliver(
        &mut self,
        delivery: &Delivery,
        peer: &Peer,
        out: &mut BytesMut,
        counters: &Counters,
        now: Time,
    ) -> Sent {
        if self.finishing.subscription == Some(delivery.subscription) {
            return self.say_again(delivery, peer, out, counters, now);
        }
        let Some(subscription) = self.subscriptions.get_mut(delivery.subscription) else {
            return Sent::Done;
        };
        let body = Body::read(&delivery.content.body);
        let publication = body.and_then(|body| Publication::read(&body));
        let Ok(publication) = publication else {
            counters.unreadable.add(1);
            self.dropped += 1;
            return pass(subscription, delivery);
        };
        if subscription.has(options::NO_LOCAL) && self.own.is_of(delivery, &publication) {
            return pass(subscription, delivery);
        }
        // An earlier connection has begun it, and it is finished by itself.
        let finished = delivery.retained.is_some_and(|at| self.remembered.contains(&at.seq));
        if finished && subscription.walking.as_ref().is_some_and(Walking::is_resumed) {
            return pass(subscription, delivery);
        }
        // What was begun is finished, expired or not.
        let begun = delivery.pos.is_some_and(|pos| self.outbox.is_begun(delivery.subscription, pos));
        let properties = match aged(publication.properties, delivery.content.born_ms, now) {
            Some(properties) => properties,
            None if begun => over(publication.properties),
            None => {
                counters.expired.add(1);
                self.dropped += 1;
                return pass(subscription, delivery);
            }
        };
        let held = delivery.pos.is_some_and(|pos| self.outbox.is_held(delivery.subscription, pos));
        // What the peer may hold is finished as it was begun, whatever was granted since.
        let granted = if held { 2 } else { subscription.qos() };
        let qos = granted.min(publication.qos);
        // A group's is what the log let go of while nobody took it, and has it as it would have had it from there.
        let as_retained = delivery.retained.is_some() && !subscription.is_shared();
        let (place, course) = match delivery.retained {
            Some(at) => (Some(at), Course::Loose { retained: as_retained }),
            None => (delivery.pos, course(subscription)),
        };
        let (id, dup) = match qos {
            0 => {
                // Its QoS was another when it got a number, which nothing else frees.
                if let Some(pos) = delivery.pos.filter(|_| subscription.is_shared()) {
                    self.outbox.never(delivery.subscription, pos);
                }
                (0, false)
            }
            1 if self.outbox.has_room() => self.outbox.once_at_least(delivery.subscription, place, course),
            1 => return Sent::Waits,
            _ => match self.outbox.once_exactly(delivery.subscription, place, course) {
                Turn::Say { id, dup } => (id, dup),
                Turn::Wait => return Sent::Waits,
                Turn::Skip { over } => {
                    if let Some(pos) = delivery.pos.filter(|_| !over) {
                        subscription.await_ack(delivery.prev, pos);
                    }
                    pass(subscription, delivery);
                    return if over { Sent::Given } else { Sent::Awaits { exactly: true } };
                }
            },
        };
        let notes: Vec<_> = subscription.noted_gaps().iter().map(gap_note).collect();
        let root = root(delivery);
        let room = (!delivery.content.rooted).then_some(&*root);
        let outgoing = Outgoing {
            qos,
            retain: as_retained || publication.retain && subscription.has(options::RETAIN_AS_PUBLISHED),
            room,
            topic: delivery.content.route.channel.as_str(),
            alias: self.aliases.of(room, delivery.content.route.channel.as_str()),
            id,
            dup,
            content_type: publication.content_type,
            properties: &properties,
            identifier: subscription.keep.identifier,
            notes: &notes,
            payload: publication.payload,
        };
        let Some(outgoing) = fit(outgoing, peer) else {
            counters.too_large.add(1);
            self.dropped += 1;
            if self.outbox.forget(id, dup)
                && let Some(pos) = delivery.pos
            {
                subscription.await_ack(delivery.prev, pos);
            }
            return pass(subscription, delivery);
        };
        outgoing.write(peer.version, out);
        outgoing.alias.into_iter().for_each(|alias| self.aliases.said(alias));
        subscription.forget_gaps();
        match (delivery.pos, delivery.retained, &mut subscription.walking) {
            (Some(pos), _, _) if qos > 0 => subscription.await_ack(delivery.prev, pos),
            (None, Some(at), Some(walking)) if qos == 1 => walking.await_ack(at),
            (Some(_) | None, _, _) => {}
        }
        match (pass(subscription, delivery), qos) {
            (_, 0) => Sent::Given,
            (_, qos) => Sent::Awaits { exactly: qos == 2 },
        }
    }

    /// What an earlier connection began, under the ids that it had.
    fn say_again(
        &mut self,
        delivery: &Delivery,
        peer: &Peer,
        out: &mut BytesMut,
        counters: &Counters,
        now: Time,
    ) -> Sent {
        let Some(at) = delivery.pos.or(delivery.retained) else { return Sent::Done };
        let publication = Body::read(&delivery.content.body).and_then(|body| Publication::read(&body));
        let mut waits = self.finishing.take(at.seq).into_iter();
        while let Some(one) = waits.next() {
            let Ok(publication) = &publication else {
                counters.unreadable.add(1);
                if self.outbox.never_again(one.id, one.at_least_once) {
                    peer.release(out, one.id);
                }
                continue;
            };
            if !self.outbox.again(one.id, one.at_least_once) {
                self.finishing.put_back(std::iter::once(one).chain(waits));
                return Sent::Waits;
            }
            let properties = match aged(publication.properties, delivery.content.born_ms, now) {
                Some(properties) => properties,
                None => over(publication.properties),
            };
            let root = root(delivery);
            let outgoing = Outgoing {
                qos: if one.at_least_once { 1 } else { 2 },
                retain: one.retained,
                room: (!delivery.content.rooted).then_some(&*root),
                topic: delivery.content.route.channel.as_str(),
                alias: None,
                id: one.id,
                dup: true,
                content_type: publication.content_type,
                properties: &properties,
                identifier: 0,
                notes: &[],
                payload: publication.payload,
            };
            match fit(outgoing, peer) {
                Some(outgoing) => outgoing.write(peer.version, out),
                None => {
                    counters.too_large.add(1);
                    if self.outbox.never_again(one.id, one.at_least_once) {
                        peer.release(out, one.id);
                    }
                }
            }
        }
        Sent::Awaits { exactly: true }
    }

    /// What the peer has of what its publishers want to hear of.
    pub(crate) fn reports(&mut self) -> Option<Ask> {
        self.reports.take()
    }

    fn note(&mut self, push: &Push, peer: &Peer, out: &mut BytesMut, counters: &Counters) -> Sent {
        match push {
            Push::Gap { subscription, gap, pos } => {
                if let Some(subscription) = self.subscriptions.get_mut(*subscription) {
                    subscription.note_gap(*gap);
                    subscription.pass(*pos);
                }
                self.outbox.passed(*subscription, *pos);
            }
            Push::Through { subscription, pos } if self.finishing.subscription == Some(*subscription) => {
                for one in self.finishing.take(pos.seq) {
                    counters.gaps.add(1);
                    if self.outbox.never_again(one.id, one.at_least_once) {
                        peer.release(out, one.id);
                    }
                }
            }
            Push::Through { subscription, pos } => match self.subscriptions.get_mut(*subscription) {
                Some(shown) if shown.walking.as_ref().is_some_and(Walking::is_unfinished) => {
                    shown.pass_retained(*pos);
                }
                Some(shared) if shared.is_shared() => {
                    shared.acknowledged(*pos);
                    self.outbox.never(*subscription, *pos);
                    counters.gaps.add(1);
                }
                Some(subscription) => subscription.pass(*pos),
                None => {}
            },
            // MQTT has no words for it: the technical channel tells that the connection ended.
            Push::Wiped { .. } | Push::Publication(_) => {}
        }
        Sent::Done
    }

    /// What was said at QoS 1 and is not acknowledged, for who comes back.
    pub(crate) fn unacknowledged(&self) -> Unacknowledged {
        self.outbox.unacknowledged()
    }

    /// What is left of what channels retain is told with the next news.
    pub(crate) fn note_shown(&mut self) {
        let shown = self.shown(false);
        self.outbox.note_shown(shown);
    }

    /// What is left of what channels retain, where that is news. `remembered`: the session remembers what is not
    /// acknowledged.
    pub(crate) fn shown(&mut self, remembered: bool) -> Vec<(SubscriptionId, Showing)> {
        let walking = |(id, one): (&SubscriptionId, &mut Subscription)| {
            Some((*id, one.walking.as_mut()?.news(remembered)?))
        };
        self.subscriptions.iter_mut().filter_map(walking).collect()
    }

    /// What the session is to remember of deliveries at QoS 2, if that is news.
    pub(crate) fn news(&mut self, ticket: impl FnOnce() -> u64) -> Option<(u64, News)> {
        if self.outbox.has_news() {
            self.note_shown();
        }
        self.outbox.ask(ticket)
    }

    /// Whether that is what a ticket is of.
    pub(crate) fn is_asked(&self, ticket: u64) -> bool {
        self.outbox.is_asked(ticket)
    }

    /// It does: the ids whose PUBREL may be said. None if the ticket is another's.
    pub(crate) fn stored(&mut self, ticket: u64) -> Option<Vec<u16>> {
        let Stored { say, has } = self.outbox.stored(ticket)?;
        has.into_iter().for_each(|(subscription, pos)| self.has(subscription, Some(pos)));
        Some(say)
    }

    /// Whether the peer may have more than was confirmed.
    pub(crate) fn has_news(&self) -> bool {
        self.got_on
    }

    /// What the peer has of the subscriptions that a session keeps, where that is news.
    pub(crate) fn confirms(&mut self) -> impl Iterator<Item = Ask> {
        self.got_on = false;
        let outbox = &mut self.outbox;
        self.subscriptions.iter_mut().filter_map(|(id, subscription)| {
            let through = subscription.confirm()?;
            outbox.passed(*id, through);
            Some(Ask::Confirm { subscription: *id, through })
        })
    }
}

fn pass(subscription: &mut Subscription, delivery: &Delivery) -> Sent {
    match (delivery.pos, delivery.retained, &mut subscription.walking) {
        (Some(pos), _, _) => subscription.pass(pos),
        (None, Some(_), Some(walking)) => walking.pass(&delivery.content.route),
        (None, _, _) => {}
    }
    Sent::Done
}

/// How what a subscription gets is over.
fn course(subscription: &Subscription) -> Course {
    if subscription.is_shared() { Course::Shared } else { Course::In }
}

fn gap_note(gap: &riser_model::Gap) -> (&'static str, String) {
    ("riser-gap", format!("{}..{}:{}", gap.from, gap.to, gap.cause.name()))
}

/// What the peer can take: without our notes if need be, and without an alias that it would have to be told.
pub(crate) fn fit<'a>(outgoing: Outgoing<'a>, peer: &Peer) -> Option<Outgoing<'a>> {
    let bare = Outgoing { notes: &[], ..outgoing };
    let known = |alias: &Alias| alias.known;
    let plain = Outgoing { alias: outgoing.alias.filter(known), ..bare };
    [outgoing, bare, plain].into_iter().find(|o| o.size(peer.version) <= peer.packet_bytes_max as usize)
}

/// What stands before a channel in its topic.
fn root(delivery: &Delivery) -> Cow<'_, str> {
    match delivery.content.technical {
        None => Cow::Borrowed(delivery.content.room.as_str()),
        Some(Scope::Room(_)) => Cow::Owned(format!("$riser/room/{}", delivery.content.room)),
        Some(Scope::Account(_)) => Cow::Borrowed("$riser/account"),
        Some(Scope::Instance) => Cow::Borrowed("$riser/hub"),
    }
}
