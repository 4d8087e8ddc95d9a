//! What becomes of what was said: the peer's answers, subscriptions that end, and what groups hear of both.

use super::{Deliveries, Sent};
use crate::{outbox::Received, subscription::Subscription};
use riser_model::{
    Position, Seq, SubscriptionId,
    door::{Ask, Delivery, Push},
};

/// Entries of one shared subscription.
#[derive(Debug, Default)]
pub(super) struct Settled {
    pub(super) done: Vec<Seq>,
    pub(super) returned: Vec<Seq>,
}

impl Deliveries {
    /// What was said at QoS 2 is for nobody else, whatever becomes of it (MQTT 5, section 4.8.2); at QoS 1 the peer is to
    /// acknowledge it first.
    pub(super) fn settle(&mut self, delivery: &Delivery, sent: &Sent) {
        let over = match sent {
            Sent::Done | Sent::Given | Sent::Awaits { exactly: true } => true,
            Sent::Awaits { exactly: false } | Sent::Waits => false,
        };
        if let Some(pos) = delivery.pos.filter(|_| over) {
            self.settled(delivery.subscription, pos);
        }
    }

    pub(super) fn settled(&mut self, subscription: SubscriptionId, pos: Position) {
        if self.subscriptions.get(subscription).is_some_and(Subscription::is_shared) {
            self.settled.entry(subscription).or_default().done.push(pos.seq);
        }
    }

    /// What became of entries of shared subscriptions.
    pub(crate) fn settles(&mut self) -> impl Iterator<Item = Ask> {
        std::mem::take(&mut self.settled)
            .into_iter()
            .map(|(subscription, Settled { done, returned })| Ask::Settle { subscription, done, returned })
    }

    /// PUBACK. False if nothing waited for it.
    pub(crate) fn acknowledged(&mut self, id: u16, accepted: bool) -> bool {
        let Some((subscription, pos)) = self.outbox.acknowledged(id) else {
            return false;
        };
        if let Some(pos) = pos.filter(|_| !accepted) {
            self.reports.answered(pos, false);
        }
        self.has(subscription, pos);
        true
    }

    pub(super) fn has(&mut self, subscription: SubscriptionId, pos: Option<Position>) {
        self.got_on = true;
        let Some(pos) = pos else { return };
        self.reports.answered(pos, true);
        match self.subscriptions.get_mut(subscription) {
            Some(subscription) => subscription.acknowledged(pos),
            None if self.parting.contains(&subscription) => {
                self.settled.entry(subscription).or_default().done.push(pos.seq);
                self.parted(subscription);
            }
            None => {}
        }
        self.settled(subscription, pos);
    }

    /// Whether a packet id is that of a delivery at QoS 1.
    pub(crate) fn is_at_least_once(&self, id: u16) -> bool {
        self.outbox.is_at_least_once(id)
    }

    /// PUBREC.
    pub(crate) fn received(&mut self, id: u16, accepted: bool) -> Received {
        let place = self.outbox.place(id);
        if let Some((_, Some(pos))) = place.filter(|_| !accepted) {
            self.reports.answered(pos, false);
        }
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
        let gone = self.subscriptions.remove(subscription);
        if gone.as_ref().is_some_and(Subscription::is_shared) {
            self.parting.insert(subscription);
            self.return_held(subscription);
        }
        let begun = self.outbox.gone(subscription);
        if self.outbox.is_durable() && self.parting.contains(&subscription) {
            // The session finishes them.
            self.settled.entry(subscription).or_default().done.extend(begun);
        }
    }

    /// What of a group's was not said is for its other members.
    fn return_held(&mut self, of: SubscriptionId) {
        let (held, outbox) = (&self.held, &self.outbox);
        let unsaid = held.iter().filter_map(|push| match push {
            Push::Publication(Delivery { subscription, pos: Some(pos), .. }) if *subscription == of => {
                (!outbox.is_begun(of, *pos)).then_some(pos.seq)
            }
            _ => None,
        });
        self.settled.entry(of).or_default().returned.extend(unsaid);
    }

    /// The bus knows that a subscription is no more, or the peer has one more of it.
    pub(crate) fn parted(&mut self, subscription: SubscriptionId) {
        if !self.outbox.has_of(subscription) {
            self.parting.remove(&subscription);
        }
    }
}
