//! What an earlier connection began and no subscription's course will bring: it is asked for by its place, and said again
//! under its own id.

use riser_model::{
    Position, Seq, SubscriptionId,
    door::{Loose, SessionDelivery},
};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Finishing {
    /// The number under which the bus looks for them.
    pub(crate) subscription: Option<SubscriptionId>,
    waits: Vec<Loose>,
}

impl Finishing {
    /// Takes up what a session remembers.
    pub(crate) fn take_up(&mut self, remembered: &SessionDelivery) -> Loose {
        let SessionDelivery { id, position, at_least_once, retained, released, .. } = *remembered;
        let one = Loose { id, position, at_least_once, retained };
        if !released {
            self.waits.push(one);
        }
        one
    }

    /// Where they are.
    pub(crate) fn positions(remembered: &[SessionDelivery]) -> Vec<Position> {
        let loose = remembered.iter().filter(|one| one.filter.is_none() && !one.released);
        loose.map(|one| one.position).collect()
    }

    /// Those that stand for what is there.
    pub(crate) fn take(&mut self, seq: Seq) -> Vec<Loose> {
        self.waits.extract_if(.., |one| one.position.seq == seq).collect()
    }

    /// Their turn has not come.
    pub(crate) fn put_back(&mut self, waits: impl Iterator<Item = Loose>) {
        self.waits.extend(waits);
    }

    /// Whether all were said.
    pub(crate) fn is_over(&self) -> bool {
        self.waits.is_empty()
    }
}
