//! What is to happen, in order of time; what was put in first comes first among equals.

use riser_model::Time;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

/// See the module.
#[derive(Debug)]
pub struct Queue<E> {
    order: BinaryHeap<Reverse<(Time, u64)>>,
    events: BTreeMap<u64, E>,
    put: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { order: BinaryHeap::new(), events: BTreeMap::new(), put: 0 }
    }
}

impl<E> Queue<E> {
    /// To happen then.
    pub fn put(&mut self, at: Time, event: E) {
        self.put += 1;
        self.order.push(Reverse((at, self.put)));
        self.events.insert(self.put, event);
    }

    /// The next one and its time, unless it is later than `until`.
    pub fn take(&mut self, until: Time) -> Option<(Time, E)> {
        let Reverse((at, number)) = *self.order.peek()?;
        if at > until {
            return None;
        }
        self.order.pop();
        let event = self.events.remove(&number).expect("whatever is in the order is there");
        Some((at, event))
    }
}
