//! What is to happen, in order of time; what was put in first comes first among equals.

use riser_model::Time;
use std::{cmp::Reverse, collections::BinaryHeap};

/// See the module.
#[derive(Debug)]
pub struct Queue<E> {
    order: BinaryHeap<Reverse<(Time, u64, usize)>>,
    /// Events where the order says; the others are free.
    events: Vec<Option<E>>,
    free: Vec<usize>,
    put: u64,
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { order: BinaryHeap::new(), events: Vec::new(), free: Vec::new(), put: 0 }
    }
}

impl<E> Queue<E> {
    /// To happen then.
    pub fn put(&mut self, at: Time, event: E) {
        self.put += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[place] = Some(event);
        self.order.push(Reverse((at, self.put, place)));
    }

    /// The next one and its time, unless it is later than `until`.
    pub fn take(&mut self, until: Time) -> Option<(Time, E)> {
        let Reverse((at, _, place)) = *self.order.peek()?;
        if at > until {
            return None;
        }
        self.order.pop();
        self.free.push(place);
        let event = self.events[place].take().expect("whatever is in the order is there");
        Some((at, event))
    }
}
