//! Subscribing and unsubscribing: every filter its own subscription, one answer when all filters have theirs.
//!
//! A filter that is subscribed already takes its new options and goes on where it is: nothing is lost or comes
//! twice by asking again, as clients do on every reconnect.

use crate::{
    Counters,
    answer::{Grant, Ungrant},
    deliver::Deliveries,
    fault::{ANSWER, Fault, PACKET_FOR_IT},
    filters::{Subscribe, Unsubscribe},
    finishing::Finishing,
    peer::Peer,
    subscription::{RetainHandling, Subscription, options},
    topic::{self, BadFilter},
    walking::Walking,
};
use bytes::BytesMut;
use riser_model::{
    Position, ShareWant, SubscriptionId,
    door::{
        Ask, Code, Flow, From, Keep, Refusal, SessionDelivery, SessionSubscription, Showing, Subscribed, Want,
    },
};
use rumqttc::v5::mqttbytes::v5::DisconnectReasonCode;
use std::{collections::BTreeMap, sync::Arc};

/// SUBSCRIBEs and UNSUBSCRIBEs of one connection that wait for the bus.
const WAITS_MAX: usize = 256;
/// Filters in those, before one more packet.
const FILTERS_WAIT_MAX: usize = 10_000;

/// See the module.
#[derive(Debug)]
pub(crate) struct Subscribing {
    /// How many the connection may hold.
    most: usize,
    /// Numbers are not reused within a connection.
    next: u32,
    waits: Vec<Wait>,
    /// What the session holds and the bus did not take up, by filter, and where the session left it: what waits there is the
    /// client's still when it asks again.
    left: BTreeMap<String, (SubscriptionId, Option<Position>)>,
}

#[derive(Debug)]
enum Wait {
    Subscribe { id: u16, slots: Vec<Slot<Grant>> },
    Unsubscribe { id: u16, slots: Vec<Slot<Ungrant>> },
}

/// The answer for one filter.
#[derive(Debug)]
enum Slot<T> {
    Known(T),
    /// After so many answers for that subscription. `T` is what it is if they are good.
    Waits(SubscriptionId, u32, T),
}

impl Subscribing {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, next: 0, waits: Vec::new(), left: BTreeMap::new() }
    }

    /// SUBSCRIBE. `kept`: the session outlives the connection.
    pub(crate) fn subscribe(
        &mut self,
        packet: Subscribe,
        kept: bool,
        deliveries: &mut Deliveries,
    ) -> Result<Vec<Ask>, Fault> {
        self.check_bound()?;
        let no_local = |(filter, keep): &(String, Keep)| {
            filter.starts_with(topic::SHARE) && keep.options & options::NO_LOCAL != 0
        };
        if packet.filters.iter().any(no_local) {
            return Err(Fault::protocol("No Local on a shared subscription", "one without it"));
        }
        let mut asks = Vec::new();
        let slots = packet.filters.into_iter();
        let slots = slots.map(|(filter, keep)| self.one(filter, keep, kept, deliveries, &mut asks)).collect();
        self.waits.push(Wait::Subscribe { id: packet.id, slots });
        Ok(asks)
    }

    fn check_bound(&self) -> Result<(), Fault> {
        let filters = self.waits.iter().map(|wait| match wait {
            Wait::Subscribe { slots, .. } => slots.len(),
            Wait::Unsubscribe { slots, .. } => slots.len(),
        });
        if self.waits.len() < WAITS_MAX && filters.sum::<usize>() <= FILTERS_WAIT_MAX {
            return Ok(());
        }
        Err(Fault {
            code: Code::TooMany,
            reason: DisconnectReasonCode::QuotaExceeded,
            what: "too many SUBSCRIBEs wait for their answer",
            want: "to wait for SUBACK",
        })
    }

    fn one(
        &mut self,
        filter: String,
        keep: Keep,
        kept: bool,
        deliveries: &mut Deliveries,
        asks: &mut Vec<Ask>,
    ) -> Slot<Grant> {
        let want = match topic::want(&filter) {
            Ok(want) => want,
            Err(BadFilter) => return Slot::Known(Grant::Invalid),
        };
        let window = deliveries.window();
        let full = deliveries.subscriptions.len() >= self.most;
        let found = deliveries.subscriptions.find(&filter);
        if let Some((id, subscription)) =
            found.and_then(|id| Some((id, deliveries.subscriptions.get_mut(id)?)))
        {
            return again(id, subscription, keep, window, asks);
        }
        if full {
            return Slot::Known(Grant::Refused(self.full()));
        }
        let id = self.next_id();
        let through = self.left.remove(&filter).and_then(|(_, through)| through);
        let mut subscription = Subscription::new(filter, want, keep, kept, through);
        let shown = subscription.retain_handling() != RetainHandling::Never && !subscription.is_shared();
        let retained = if shown { Showing::All } else { Showing::Nothing };
        asks.push(ask(id, &mut subscription, retained, window, &[]));
        let slot = Slot::Waits(id, subscription.asked, Grant::Qos(subscription.qos()));
        deliveries.subscriptions.insert(id, subscription);
        slot
    }

    fn full(&self) -> Arc<Refusal> {
        Arc::new(Refusal {
            code: Code::TooMany,
            what: "one subscription more".to_owned(),
            want: format!("at most {} on one connection", self.most),
        })
    }

    fn next_id(&mut self) -> SubscriptionId {
        let id = SubscriptionId(self.next);
        self.next = self.next.wrapping_add(1);
        id
    }

    /// Takes up what a session held.
    pub(crate) fn restore(
        &mut self,
        held: Vec<SessionSubscription>,
        remembered: &[SessionDelivery],
        deliveries: &mut Deliveries,
        counters: &Counters,
    ) -> Vec<Ask> {
        let window = deliveries.window();
        let mut asks = Vec::new();
        for SessionSubscription { filter, keep, through, showing } in held {
            let Ok(want) = topic::want(&filter) else {
                counters.lost_subscriptions.add(1);
                continue;
            };
            let id = self.next_id();
            let mut subscription = Subscription::new(filter, want, keep, true, through);
            let of = remembered.iter().filter(|one| {
                one.filter.as_deref() == Some(&*subscription.filter) && !one.released && !one.over
            });
            let own: Vec<Position> = of.map(|one| one.position).collect();
            asks.push(ask(id, &mut subscription, showing, window, &own));
            if let Some(walking) = &mut subscription.walking {
                walking.resume();
            }
            deliveries.subscriptions.insert(id, subscription);
        }
        let begun = Finishing::positions(remembered);
        if remembered.iter().any(|one| one.filter.is_none()) {
            let id = self.next_id();
            deliveries.finish_under(id);
            if !begun.is_empty() {
                asks.push(Ask::Subscribe {
                    subscription: id,
                    want: Want::Positions(begun),
                    from: From::Live,
                    flow: Flow::Credit,
                    keep: None,
                    retained: Showing::Nothing,
                });
            }
        }
        asks
    }

    /// UNSUBSCRIBE.
    pub(crate) fn unsubscribe(
        &mut self,
        packet: Unsubscribe,
        deliveries: &mut Deliveries,
    ) -> Result<Vec<Ask>, Fault> {
        self.check_bound()?;
        let mut asks = Vec::new();
        let slots = packet.filters.into_iter().map(|filter| {
            let found =
                deliveries.subscriptions.find(&filter).or(self.left.remove(&filter).map(|(id, _)| id));
            let Some(subscription) = found else {
                return Slot::Known(Ungrant::Unknown);
            };
            deliveries.gone(subscription);
            asks.push(Ask::Unsubscribe { subscription });
            Slot::Waits(subscription, 0, Ungrant::Done)
        });
        let wait = Wait::Unsubscribe { id: packet.id, slots: slots.collect() };
        self.waits.push(wait);
        Ok(asks)
    }

    /// The bus answered a subscribe.
    pub(crate) fn subscribed(
        &mut self,
        id: SubscriptionId,
        result: Result<Subscribed, Refusal>,
        deliveries: &mut Deliveries,
        counters: &Counters,
    ) {
        let refused = result.as_ref().err().map(|refusal| Arc::new(refusal.clone()));
        // One that was given up in the meantime has nothing left to wait for.
        let mut answered = u32::MAX;
        if let Some(subscription) = deliveries.subscriptions.get_mut(id) {
            subscription.answered += 1;
            answered = subscription.answered;
            let shown = subscription.showing;
            subscription.showing &= subscription.answered < subscription.asked;
            subscription.fresh |= shown && !subscription.showing;
            if let Some(walking) = subscription.walking.as_mut().filter(|_| !subscription.showing) {
                walking.answered();
            }
            match result {
                Ok(subscribed) => {
                    subscription.begins(subscribed.at);
                    for gap in subscribed.gaps {
                        counters.gaps.add(gap.count());
                        subscription.note_gap(gap);
                    }
                }
                Err(refusal) if subscription.answered == subscription.asked => {
                    // A place that the log does not know will not come back: who asks again begins anew.
                    let through = subscription.received().filter(|_| refusal.code != Code::UnknownPosition);
                    if subscription.kept && subscription.received().is_some() && !subscription.is_shared() {
                        let filter = subscription.filter.to_string();
                        self.left.insert(filter, (id, through));
                    }
                    deliveries.gone(id);
                    counters.lost_subscriptions.add(u64::from(!self.is_awaited(id)));
                }
                Err(_) => {}
            }
        }
        for wait in &mut self.waits {
            if let Wait::Subscribe { slots, .. } = wait {
                for slot in slots {
                    if let Slot::Waits(waits, nth, grant) = slot
                        && *waits == id
                        && *nth <= answered
                    {
                        *slot = Slot::Known(refused.clone().map_or_else(|| grant.clone(), Grant::Refused));
                    }
                }
            }
        }
    }

    fn is_awaited(&self, id: SubscriptionId) -> bool {
        self.waits.iter().any(|wait| match wait {
            Wait::Subscribe { slots, .. } => {
                slots.iter().any(|slot| matches!(slot, Slot::Waits(waits, ..) if *waits == id))
            }
            Wait::Unsubscribe { .. } => false,
        })
    }

    /// The bus answered an unsubscribe.
    pub(crate) fn unsubscribed(&mut self, id: SubscriptionId) {
        for wait in &mut self.waits {
            if let Wait::Unsubscribe { slots, .. } = wait {
                for slot in slots {
                    if let Slot::Waits(waits, _, done) = slot
                        && *waits == id
                    {
                        *slot = Slot::Known(*done);
                    }
                }
            }
        }
    }

    /// Writes the answers that are whole.
    pub(crate) fn write(&mut self, peer: &Peer, out: &mut BytesMut) -> Result<(), Fault> {
        let mut fits = true;
        self.waits.retain(|wait| {
            let start = out.len();
            let written = match wait {
                Wait::Subscribe { id, slots } => {
                    known(slots).map(|grants| peer.subscribed(out, *id, &grants)).is_some()
                }
                Wait::Unsubscribe { id, slots } => {
                    known(slots).map(|ungrants| peer.unsubscribed(out, *id, &ungrants)).is_some()
                }
            };
            if out.len() - start > peer.packet_bytes_max as usize {
                out.truncate(start);
                fits = false;
            }
            !written
        });
        if fits { Ok(()) } else { Err(Fault::too_large(ANSWER, PACKET_FOR_IT)) }
    }
}

fn known<T: Clone>(slots: &[Slot<T>]) -> Option<Vec<T>> {
    let known = slots.iter().map(|slot| match slot {
        Slot::Known(answer) => Some(answer.clone()),
        Slot::Waits(..) => None,
    });
    known.collect()
}

/// A filter that is subscribed already. Only a session that keeps it has to hear of new options; what its channels
/// retain is shown again where the client wants that (MQTT 5, section 3.3.1.3).
fn again(
    id: SubscriptionId,
    subscription: &mut Subscription,
    keep: Keep,
    window: u16,
    asks: &mut Vec<Ask>,
) -> Slot<Grant> {
    let changed = subscription.keep != keep;
    subscription.keep = keep;
    let always = subscription.retain_handling() == RetainHandling::Always && !subscription.is_shared();
    let anew = always && !subscription.showing;
    if changed && subscription.kept || anew {
        // What it was being shown goes on where it is.
        let goes_on = subscription.walking.as_ref().map(Walking::coming).unwrap_or_default();
        let retained = if anew { Showing::All } else { goes_on };
        asks.push(ask(id, subscription, retained, window, &[]));
    }
    let grant = Grant::Qos(subscription.qos());
    if subscription.answered == subscription.asked {
        Slot::Known(grant)
    } else {
        Slot::Waits(id, subscription.asked, grant)
    }
}

/// `own`: what a session has in flight of a group.
fn ask(
    id: SubscriptionId,
    subscription: &mut Subscription,
    retained: Showing,
    window: u16,
    own: &[Position],
) -> Ask {
    subscription.asked += 1;
    subscription.showing |= retained == Showing::All;
    subscription.show(&retained);
    let from = match (&subscription.want, subscription.received()) {
        (Want::Positions(_) | Want::System(_), _) | (_, None) => From::Live,
        (Want::Topic(_) | Want::Room(..) | Want::Technical(_) | Want::Shared(_), Some(position)) => {
            From::After(position)
        }
    };
    let want = match &subscription.want {
        Want::Shared(shared) => {
            let (kept, own) = (subscription.kept, own.to_vec());
            Want::Shared(Box::new(ShareWant { most: window, kept, own, ..(**shared).clone() }))
        }
        Want::Topic(_) | Want::Room(..) | Want::Technical(_) | Want::Positions(_) | Want::System(_) => {
            subscription.want.clone()
        }
    };
    Ask::Subscribe {
        subscription: id,
        want,
        from,
        flow: Flow::Credit,
        keep: subscription.kept.then_some(subscription.keep),
        retained,
    }
}
