//! Deliveries: from the bus to the peer, as fast as the socket takes them and the peer acknowledges.
//!
//! Order is kept per subscription: what waits for a free packet id holds up what is behind it. Nothing is
//! pulled while something is held, so what waits here is at most one pull.

use crate::{
    Counters,
    outbox::{News, Outbox, Received, Stored, Turn},
    outgoing::Outgoing,
    own::Own,
    peer::{Peer, Version},
    pull::Pull,
    subscription::{Subscription, options},
};
use bytes::BytesMut;
use riser_model::{
    Position, SubscriptionId, Wall,
    door::{Ask, Delivery, Push, SessionDelivery},
};
use riser_wire::{
    entry::{Body, ContentType, Publication},
    property,
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    pub(crate) subscriptions: BTreeMap<SubscriptionId, Subscription>,
    pub(crate) pull: Pull,
    pub(crate) own: Own,
    held: VecDeque<Push>,
    outbox: Outbox,
    /// Some subscription got on since [`Deliveries::confirms`].
    got_on: bool,
}

/// What happened to the first that was held.
enum Sent {
    Done,
    Waits,
}

impl Deliveries {
    /// `durable`: for a session that outlives the connection.
    pub(crate) fn new(inflight_max: u16, durable: bool, last_id: u16) -> Self {
        Self { outbox: Outbox::new(inflight_max, durable, last_id), ..Self::default() }
    }

    /// Takes up the deliveries that a session remembers; the ids whose PUBREL is to be said again.
    pub(crate) fn restore(&mut self, remembered: &[SessionDelivery]) -> Vec<u16> {
        let mut released = Vec::new();
        for delivery in remembered {
            let found = self.subscriptions.iter().find(|(_, one)| one.filter == delivery.filter);
            if let Some((id, _)) = found
                && self.outbox.restore(delivery.id, *id, delivery.position, delivery.released)
            {
                released.push(delivery.id);
            }
        }
        released
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
            Push::Event { subscription, .. } => (*subscription, None),
        };
        match (self.subscriptions.get_mut(&subscription), pos) {
            (Some(subscription), Some(pos)) => subscription.receive(pos),
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// Writes what may go, and says how much to pull. `out` holds nothing but what this input made.
    pub(crate) fn pump(
        &mut self,
        peer: &Peer,
        out: &mut BytesMut,
        counters: &Counters,
        now: Wall,
    ) -> Option<Ask> {
        while self.pull.has_room()
            && let Some(push) = self.held.pop_front()
        {
            let before = out.len();
            self.got_on = true;
            let sent = match &push {
                Push::Publication(delivery) => self.deliver(delivery, peer, out, counters, now),
                Push::Gap { .. } | Push::Event { .. } | Push::Through { .. } => {
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
        if self.held.is_empty() {
            self.held = VecDeque::new();
        }
        let idle = self.held.is_empty() && self.outbox.has_room();
        let bytes = if idle { self.pull.next() } else { None };
        bytes.map(|bytes| Ask::Pull { bytes })
    }

    /// What waits behind a delivery whose number is being stored gets its own in the same commit.
    fn number_held(&mut self) {
        for push in &self.held {
            let Push::Publication(Delivery { subscription: id, pos: Some(pos), body, .. }) = push else {
                continue;
            };
            let exactly = |subscription: &Subscription| {
                let published = Body::read(body).and_then(|body| Publication::read(&body));
                published.is_ok_and(|publication| subscription.qos().min(publication.qos) == 2)
            };
            if self.subscriptions.get(id).is_some_and(exactly) {
                self.outbox.number(*id, *pos);
            }
        }
    }

    fn deliver(
        &mut self,
        delivery: &Delivery,
        peer: &Peer,
        out: &mut BytesMut,
        counters: &Counters,
        now: Wall,
    ) -> Sent {
        let Some(subscription) = self.subscriptions.get_mut(&delivery.subscription) else {
            return Sent::Done;
        };
        let body = Body::read(&delivery.body);
        let publication = body.and_then(|body| Publication::read(&body));
        let Ok(publication) = publication else {
            counters.unreadable.add(1);
            return pass(subscription, delivery.pos);
        };
        if subscription.has(options::NO_LOCAL) && delivery.pos.is_some_and(|pos| self.own.has(pos)) {
            return pass(subscription, delivery.pos);
        }
        // What was begun is finished, expired or not.
        let begun = delivery.pos.is_some_and(|pos| self.outbox.is_begun(delivery.subscription, pos));
        let properties = match aged(publication.properties, delivery.wall, now) {
            Some(properties) => properties,
            None if begun => Cow::Borrowed(publication.properties),
            None => {
                counters.expired.add(1);
                return pass(subscription, delivery.pos);
            }
        };
        let mut qos = subscription.qos().min(publication.qos);
        if delivery.retained && self.outbox.is_durable() {
            // It has no place by which a session could remember it: at QoS 2 a cut would leave its id with the peer.
            qos = qos.min(1);
        }
        let (id, dup) = match qos {
            0 => (0, false),
            1 if self.outbox.has_room() => self.outbox.once_at_least(delivery.subscription, delivery.pos),
            1 => return Sent::Waits,
            _ => match self.outbox.once_exactly(delivery.subscription, delivery.pos) {
                Turn::Say { id, dup } => (id, dup),
                Turn::Wait => return Sent::Waits,
                Turn::Skip { over } => {
                    if let Some(pos) = delivery.pos.filter(|_| !over) {
                        subscription.await_ack(delivery.prev, pos);
                    }
                    return pass(subscription, delivery.pos);
                }
            },
        };
        let notes: Vec<_> = subscription.noted_gaps().iter().map(gap_note).collect();
        let outgoing = Outgoing {
            qos,
            retain: delivery.retained || publication.retain && subscription.has(options::RETAIN_AS_PUBLISHED),
            room: (!delivery.rooted).then_some(delivery.room.as_str()),
            topic: delivery.route.channel.as_str(),
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
            self.outbox.forget(id);
            return pass(subscription, delivery.pos);
        };
        outgoing.write(peer.version, out);
        subscription.forget_gaps();
        if let Some(pos) = delivery.pos.filter(|_| qos > 0) {
            subscription.await_ack(delivery.prev, pos);
        }
        pass(subscription, delivery.pos)
    }

    fn note(&mut self, push: &Push, peer: &Peer, out: &mut BytesMut, counters: &Counters) -> Sent {
        match push {
            Push::Gap { subscription, gap, pos } => {
                if let Some(subscription) = self.subscriptions.get_mut(subscription) {
                    subscription.note_gap(*gap);
                    subscription.pass(*pos);
                }
                self.outbox.passed(*subscription, *pos);
            }
            Push::Through { subscription, pos } => {
                if let Some(subscription) = self.subscriptions.get_mut(subscription) {
                    subscription.pass(*pos);
                }
            }
            Push::Event { subscription, event, missed, .. } => {
                if let Some(subscription) = self.subscriptions.get(subscription) {
                    let payload = serde_json::to_vec(&**event).unwrap_or_default();
                    write_event(subscription, &payload, *missed, peer, out, counters);
                }
            }
            Push::Publication(_) => {}
        }
        Sent::Done
    }

    /// PUBACK. False if nothing waited for it.
    pub(crate) fn acknowledged(&mut self, id: u16) -> bool {
        let Some((subscription, pos)) = self.outbox.acknowledged(id) else {
            return false;
        };
        self.has(subscription, pos);
        true
    }

    fn has(&mut self, subscription: SubscriptionId, pos: Option<Position>) {
        self.got_on = true;
        if let (Some(subscription), Some(pos)) = (self.subscriptions.get_mut(&subscription), pos) {
            subscription.acknowledged(pos);
        }
    }

    /// Whether a packet id is that of a delivery at QoS 1.
    pub(crate) fn is_at_least_once(&self, id: u16) -> bool {
        self.outbox.is_at_least_once(id)
    }

    /// PUBREC.
    pub(crate) fn received(&mut self, id: u16, accepted: bool) -> Received {
        let place = self.outbox.place(id);
        let received = self.outbox.received(id, accepted);
        // What nobody has to remember is done with.
        if let Some((subscription, pos)) = place.filter(|_| !self.outbox.is_durable()) {
            self.has(subscription, pos);
        }
        received
    }

    /// PUBCOMP. False if nothing waited for it.
    pub(crate) fn completed(&mut self, id: u16) -> bool {
        let Some((subscription, pos)) = self.outbox.completed(id) else {
            return false;
        };
        self.has(subscription, pos);
        true
    }

    /// A subscription is no more.
    pub(crate) fn gone(&mut self, subscription: SubscriptionId) {
        self.subscriptions.remove(&subscription);
        self.outbox.gone(subscription);
    }

    /// What was said at QoS 1 and is not acknowledged, for who comes back.
    pub(crate) fn unacknowledged(&self) -> Vec<(u16, SubscriptionId, Position)> {
        self.outbox.unacknowledged()
    }

    /// What the session is to remember of deliveries at QoS 2, if that is news.
    pub(crate) fn news(&mut self, ticket: impl FnOnce() -> u64) -> Option<(u64, News)> {
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

/// The properties with as much of the message's expiry as is left; none if it is over (MQTT 5, section 3.3.2.3.3).
fn aged(properties: &[u8], published: Wall, now: Wall) -> Option<Cow<'_, [u8]>> {
    let Some(at) = property::expiry_at(properties) else { return Some(Cow::Borrowed(properties)) };
    let left = now.seconds_until(published.plus_s(property::expiry_s(properties)?))?;
    let mut aged = properties.to_vec();
    *aged.get_mut(at..)?.first_chunk_mut()? = left.to_be_bytes();
    Some(Cow::Owned(aged))
}

fn pass(subscription: &mut Subscription, pos: Option<Position>) -> Sent {
    if let Some(pos) = pos {
        subscription.pass(pos);
    }
    Sent::Done
}

fn gap_note(gap: &riser_model::Gap) -> (&'static str, String) {
    ("riser-gap", format!("{}..{}:{}", gap.from, gap.to, gap.cause.name()))
}

/// What the peer can take: without our notes if need be.
fn fit<'a>(outgoing: Outgoing<'a>, peer: &Peer) -> Option<Outgoing<'a>> {
    let bare = Outgoing { notes: &[], ..outgoing };
    [outgoing, bare].into_iter().find(|o| o.size(peer.version) <= peer.packet_bytes_max as usize)
}

fn write_event(
    subscription: &Subscription,
    payload: &[u8],
    missed: u64,
    peer: &Peer,
    out: &mut BytesMut,
    counters: &Counters,
) {
    let notes = if missed == 0 { vec![] } else { vec![("riser-missed", missed.to_string())] };
    let outgoing = Outgoing {
        qos: 0,
        dup: false,
        retain: false,
        room: None,
        topic: &subscription.filter,
        id: 0,
        content_type: ContentType::Json,
        properties: &[],
        identifier: subscription.keep.identifier,
        notes: &notes,
        payload,
    };
    match fit(outgoing, peer) {
        Some(outgoing) => outgoing.write(peer.version, out),
        None => counters.too_large.add(1),
    }
    if peer.version == Version::V4 {
        counters.gaps.add(missed);
    }
}
