//! Deliveries: from the bus to the peer, as fast as the socket takes them and the peer acknowledges.
//!
//! Order is kept per subscription: what waits for a free packet id holds up what is behind it. Nothing is
//! pulled while something is held, so what waits here is at most one pull.

use crate::{
    Counters,
    outgoing::Outgoing,
    own::Own,
    peer::{Peer, Version},
    pull::Pull,
    subscription::{Subscription, options},
};
use bytes::BytesMut;
use riser_model::{
    Position, SubscriptionId,
    door::{Ask, Delivery, Push},
};
use riser_wire::entry::{Body, ContentType, Publication};
use std::collections::{BTreeMap, VecDeque};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    pub(crate) subscriptions: BTreeMap<SubscriptionId, Subscription>,
    pub(crate) pull: Pull,
    pub(crate) own: Own,
    held: VecDeque<Push>,
    /// By packet id: what waits for its acknowledgement.
    inflight: BTreeMap<u16, (SubscriptionId, Option<Position>)>,
    inflight_max: usize,
    last_id: u16,
    /// Some subscription got on since [`Deliveries::confirms`].
    got_on: bool,
}

/// What happened to the first that was held.
enum Sent {
    Done,
    Waits,
}

impl Deliveries {
    pub(crate) fn new(inflight_max: u16) -> Self {
        Self { inflight_max: usize::from(inflight_max.max(1)), ..Self::default() }
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
    pub(crate) fn pump(&mut self, peer: &Peer, out: &mut BytesMut, counters: &Counters) -> Option<Ask> {
        while self.pull.has_room()
            && let Some(push) = self.held.pop_front()
        {
            let before = out.len();
            self.got_on = true;
            let sent = match &push {
                Push::Publication(delivery) => self.deliver(delivery, peer, out, counters),
                Push::Gap { .. } | Push::Event { .. } | Push::Through { .. } => {
                    self.note(&push, peer, out, counters)
                }
            };
            self.pull.wrote(out.len() - before);
            if matches!(sent, Sent::Waits) {
                self.held.push_front(push);
                break;
            }
        }
        if self.held.is_empty() {
            self.held = VecDeque::new();
        }
        let idle = self.held.is_empty() && self.inflight.len() < self.inflight_max;
        let bytes = if idle { self.pull.next() } else { None };
        bytes.map(|bytes| Ask::Pull { bytes })
    }

    fn deliver(&mut self, delivery: &Delivery, peer: &Peer, out: &mut BytesMut, counters: &Counters) -> Sent {
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
        let qos = subscription.qos().min(publication.qos);
        if qos > 0 && self.inflight.len() >= self.inflight_max {
            return Sent::Waits;
        }
        let notes: Vec<_> = subscription.noted_gaps().iter().map(gap_note).collect();
        let outgoing = Outgoing {
            qos,
            retain: publication.retain && subscription.has(options::RETAIN_AS_PUBLISHED),
            room: Some(delivery.room.as_str()),
            topic: delivery.route.channel.as_str(),
            id: if qos > 0 { free_id(&self.inflight, &mut self.last_id) } else { 0 },
            content_type: publication.content_type,
            properties: publication.properties,
            identifier: subscription.keep.identifier,
            notes: &notes,
            payload: publication.payload,
        };
        let Some(outgoing) = fit(outgoing, peer) else {
            counters.too_large.add(1);
            return pass(subscription, delivery.pos);
        };
        outgoing.write(peer.version, out);
        subscription.forget_gaps();
        if qos > 0 {
            self.inflight.insert(outgoing.id, (delivery.subscription, delivery.pos));
            if let Some(pos) = delivery.pos {
                subscription.await_ack(delivery.prev, pos);
            }
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
        let Some((subscription, pos)) = self.inflight.remove(&id) else {
            return false;
        };
        self.got_on = true;
        if let (Some(subscription), Some(pos)) = (self.subscriptions.get_mut(&subscription), pos) {
            subscription.acknowledged(pos);
        }
        true
    }

    /// Whether a packet id of ours waits for an acknowledgement.
    pub(crate) fn is_inflight(&self, id: u16) -> bool {
        self.inflight.contains_key(&id)
    }

    /// Whether the peer may have more than was confirmed.
    pub(crate) fn has_news(&self) -> bool {
        self.got_on
    }

    /// What the peer has of the subscriptions that a session keeps, where that is news.
    pub(crate) fn confirms(&mut self) -> impl Iterator<Item = Ask> {
        self.got_on = false;
        self.subscriptions.iter_mut().filter_map(|(id, subscription)| {
            Some(Ask::Confirm { subscription: *id, through: subscription.confirm()? })
        })
    }
}

fn pass(subscription: &mut Subscription, pos: Option<Position>) -> Sent {
    if let Some(pos) = pos {
        subscription.pass(pos);
    }
    Sent::Done
}

/// The next packet id that is not in use. There is one: the window is smaller than all ids.
fn free_id(inflight: &BTreeMap<u16, (SubscriptionId, Option<Position>)>, last: &mut u16) -> u16 {
    loop {
        *last = last.checked_add(1).unwrap_or(1);
        if !inflight.contains_key(last) {
            return *last;
        }
    }
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
