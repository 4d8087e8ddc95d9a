//! Acknowledgements in the order in which their packets came: one queue, and nothing passes its head.
//!
//! An acknowledgement that waits for a commit names its place in a batch; the head leaves when its batch is on
//! disk. Tickets are stored in order, so one number says which are.

use crate::{
    answer::{AckKind, Outcome},
    intake::Place,
};
use riser_model::door::Refusal;
use std::collections::VecDeque;

/// An acknowledgement that will leave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ack {
    pub(crate) kind: AckKind,
    pub(crate) id: u16,
    /// What it waits for; none if for those before it only.
    pub(crate) waits: Option<Place>,
    pub(crate) outcome: Outcome,
}

impl Ack {
    fn is_ready(&self, stored: u64) -> bool {
        self.waits.is_none_or(|place| place.ticket <= stored)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    queue: VecDeque<Ack>,
    /// Every ticket up to this one is on disk.
    stored: u64,
}

impl Acks {
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn push(&mut self, ack: Ack) {
        self.queue.push_back(ack);
    }

    /// The batch with this ticket is on disk, except `refused` (rising). Returns those that nobody waits for:
    /// they came at QoS 0.
    pub(crate) fn stored<'r>(&mut self, ticket: u64, refused: &'r [(u32, Refusal)]) -> Vec<&'r Refusal> {
        self.stored = ticket;
        let mut unheard = Vec::new();
        if refused.is_empty() {
            return unheard;
        }
        let mut waiting = self.queue.iter_mut().filter_map(|ack| match ack.waits {
            Some(place) if place.ticket == ticket => Some((place.index, &mut ack.outcome)),
            Some(_) | None => None,
        });
        let mut next = waiting.next();
        for (index, refusal) in refused {
            while next.as_ref().is_some_and(|(waiting, _)| waiting < index) {
                next = waiting.next();
            }
            match &mut next {
                Some((waiting, outcome)) if waiting == index => {
                    **outcome = Outcome::Refused(Box::new(refusal.clone()));
                }
                Some(_) | None => unheard.push(refusal),
            }
        }
        unheard
    }

    /// Whether any may leave.
    pub(crate) fn has_ready(&self) -> bool {
        self.queue.front().is_some_and(|ack| ack.is_ready(self.stored))
    }

    /// The next that may leave.
    pub(crate) fn pop(&mut self) -> Option<Ack> {
        let stored = self.stored;
        self.queue.pop_front_if(|ack| ack.is_ready(stored))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::door::Code;

    fn ack(id: u16, waits: Option<(u64, u32)>) -> Ack {
        let waits = waits.map(|(ticket, index)| Place { ticket, index });
        Ack { kind: AckKind::Published, id, waits, outcome: Outcome::Done }
    }

    fn ready(acks: &mut Acks) -> Vec<(u16, bool)> {
        std::iter::from_fn(|| acks.pop()).map(|ack| (ack.id, ack.outcome == Outcome::Done)).collect()
    }

    #[test]
    fn nothing_leaves_before_what_came_before_it() {
        let mut acks = Acks::default();
        for (id, waits) in
            [(1, Some((1, 0))), (2, Some((2, 0))), (3, Some((1, 1))), (4, None), (5, Some((3, 0)))]
        {
            acks.push(ack(id, waits));
        }
        assert_eq!(ready(&mut acks), []);
        let refusal = Refusal { code: Code::Denied, what: String::new(), want: String::new() };
        let refused = [(1, refusal.clone()), (2, refusal.clone())];
        assert_eq!(acks.stored(1, &refused), [&refusal], "nobody waits for the entry with index 2");
        assert_eq!(ready(&mut acks), [(1, true)]);
        acks.stored(2, &[]);
        assert_eq!(ready(&mut acks), [(2, true), (3, false), (4, true)]);
        acks.stored(3, &[]);
        assert_eq!(ready(&mut acks), [(5, true)]);
        acks.push(ack(6, None));
        assert_eq!(ready(&mut acks), [(6, true)]);
    }
}
