//! The subscriptions of one connection: by their numbers, and found by their filters.

use crate::subscription::Subscription;
use riser_model::SubscriptionId;
use std::{collections::BTreeMap, sync::Arc};

/// See the module. Each filter is there once.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    by_id: BTreeMap<SubscriptionId, Subscription>,
    by_filter: BTreeMap<Arc<str>, SubscriptionId>,
}

impl Subscriptions {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn insert(&mut self, id: SubscriptionId, subscription: Subscription) {
        self.by_filter.insert(Arc::clone(&subscription.filter), id);
        self.by_id.insert(id, subscription);
    }

    pub(crate) fn remove(&mut self, id: SubscriptionId) -> Option<Subscription> {
        let gone = self.by_id.remove(&id)?;
        if self.by_filter.get(&gone.filter) == Some(&id) {
            self.by_filter.remove(&gone.filter);
        }
        Some(gone)
    }

    /// The one with that filter.
    pub(crate) fn find(&self, filter: &str) -> Option<SubscriptionId> {
        self.by_filter.get(filter).copied()
    }

    pub(crate) fn get(&self, id: SubscriptionId) -> Option<&Subscription> {
        self.by_id.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: SubscriptionId) -> Option<&mut Subscription> {
        self.by_id.get_mut(&id)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Subscription> {
        self.by_id.values()
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Subscription> {
        self.by_id.values_mut()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&SubscriptionId, &mut Subscription)> {
        self.by_id.iter_mut()
    }
}
