//! What the peer has of publications whose publishers are to hear that.
//!
//! At QoS 0 it has them when they are written, else when it acknowledged them and did not refuse.

use riser_model::{
    Position, Seq,
    door::{Ask, Delivery},
};
use std::collections::BTreeMap;

/// Deliveries that wait for their acknowledgement; beyond the window there are few that a session brought along.
const AWAITED_MAX: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    awaited: BTreeMap<Seq, Position>,
    has: Vec<Position>,
}

impl Reports {
    /// It was written, and nobody acknowledges it; or it was acknowledged before.
    pub(crate) fn given(&mut self, delivery: &Delivery) {
        self.has.extend(place(delivery));
    }

    /// It was said, and waits for its acknowledgement.
    pub(crate) fn said(&mut self, delivery: &Delivery) {
        self.awaited.extend(place(delivery).map(|at| (at.seq, at)));
        if self.awaited.len() > AWAITED_MAX {
            self.awaited.pop_first();
        }
    }

    /// The peer acknowledged what is there, or will never take it.
    pub(crate) fn answered(&mut self, at: Position, accepted: bool) {
        let awaited = self.awaited.remove(&at.seq);
        self.has.extend(awaited.filter(|_| accepted));
    }

    /// What the bus is to be told.
    pub(crate) fn take(&mut self) -> Option<Ask> {
        (!self.has.is_empty()).then(|| Ask::Delivered { at: std::mem::take(&mut self.has) })
    }
}

fn place(delivery: &Delivery) -> Option<Position> {
    delivery.pos.or(delivery.retained).filter(|_| delivery.reported)
}
