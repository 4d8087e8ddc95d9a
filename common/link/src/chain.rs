//! The epochs of a log as a link sees them: which epoch a seq belongs to, and where each ends.
//!
//! Seqs go on across epochs, so an epoch ends where the next begins. The last one is live and grows.

use riser_model::{Epoch, Seq};
use riser_wire::link::{CHAIN_MAX, Opening};

/// Epochs, oldest first; at least one.
#[derive(Clone, Debug)]
pub(crate) struct Chain(Vec<Opening>);

/// One epoch and where it lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Link {
    pub(crate) epoch: Epoch,
    pub(crate) first: Seq,
    /// `first - 1` if it is empty.
    pub(crate) last: Seq,
}

impl Chain {
    /// The chain of an open log.
    pub(crate) fn new(mut openings: Vec<Opening>) -> Self {
        assert!(!openings.is_empty(), "an open log has an epoch");
        let firsts: Vec<Seq> = openings.iter().skip(1).map(|o| o.span.first).collect();
        for (opening, next) in openings.iter_mut().zip(firsts) {
            opening.span.last = next.prev();
        }
        Self(openings)
    }

    /// The epoch that the log is open under.
    pub(crate) fn live(&self) -> Link {
        self.links().last().expect("an open log has an epoch")
    }

    /// The newest seq.
    pub(crate) fn last(&self) -> Seq {
        self.live().last
    }

    /// The oldest seq that any epoch could give.
    pub(crate) fn first(&self) -> Seq {
        self.links().next().expect("an open log has an epoch").first
    }

    /// The live epoch goes on to here.
    pub(crate) fn added(&mut self, last: Seq) {
        if let Some(live) = self.0.last_mut() {
            live.span.last = live.span.last.max(last);
        }
    }

    /// What ties the live epoch's boot to the hub's clock.
    pub(crate) fn anchored(&mut self, anchor: riser_model::time::Anchor) {
        if let Some(live) = self.0.last_mut() {
            live.anchor = Some(anchor);
        }
    }

    /// All epochs, oldest first.
    pub(crate) fn links(&self) -> impl DoubleEndedIterator<Item = Link> + '_ {
        self.0.iter().map(|o| Link { epoch: o.span.epoch, first: o.span.first, last: o.span.last })
    }

    /// The epoch that a seq belongs to, or will.
    pub(crate) fn at(&self, seq: Seq) -> Link {
        self.links().rev().find(|link| link.first <= seq).unwrap_or_else(|| self.live())
    }

    /// The epoch of that name.
    pub(crate) fn named(&self, epoch: Epoch) -> Option<Link> {
        self.links().find(|link| link.epoch == epoch)
    }

    /// A range cut at the ends of epochs.
    pub(crate) fn split(&self, from: Seq, to: Seq) -> impl Iterator<Item = (Epoch, Seq, Seq)> + '_ {
        let live = self.live().epoch;
        self.links().filter_map(move |link| {
            let last = if link.epoch == live { to } else { link.last.min(to) };
            let first = link.first.max(from);
            (first <= last).then_some((link.epoch, first, last))
        })
    }

    /// The epochs to name in a Hello: from `back` before the one that the cursor is in, at most as many as fit.
    /// The one with the cursor is named even if all of it is confirmed: only then does the hub learn where it
    /// ended, and only then does the edge learn whether the hub still has it.
    pub(crate) fn to_greet(&self, through: Seq, back: usize) -> Vec<Opening> {
        let start =
            self.0.iter().rposition(|o| o.span.first <= through && through <= o.span.last).unwrap_or(0);
        self.0.iter().skip(start.saturating_sub(back)).take(CHAIN_MAX).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::EpochSpan;

    fn chain(spans: &[(u64, u64, u64)]) -> Chain {
        let opening = |&(epoch, first, last)| Opening {
            span: EpochSpan { epoch: Epoch(epoch), first: Seq(first), last: Seq(last) },
            anchor: None,
        };
        Chain::new(spans.iter().map(opening).collect())
    }

    #[test]
    fn a_seq_belongs_to_the_last_epoch_that_could_give_it() {
        let chain = chain(&[(1, 1, 99), (2, 100, 99), (3, 100, 120)]);
        let epochs: Vec<u64> = [1, 99, 100, 120, 121].map(|n| chain.at(Seq(n)).epoch.0).to_vec();
        assert_eq!(epochs, [1, 1, 3, 3, 3]);
        let parts: Vec<_> = chain.split(Seq(98), Seq(200)).map(|(e, f, t)| (e.0, f.0, t.0)).collect();
        assert_eq!(parts, [(1, 98, 99), (3, 100, 200)]);
    }

    #[test]
    fn a_hello_names_the_epoch_of_the_cursor_and_all_after_it() {
        let chain = chain(&[(1, 1, 50), (2, 51, 99), (3, 100, 99), (4, 100, 120)]);
        let named =
            |through| chain.to_greet(Seq(through), 0).iter().map(|o| o.span.epoch.0).collect::<Vec<_>>();
        assert_eq!(named(0), [1, 2, 3, 4]);
        assert_eq!(named(50), [1, 2, 3, 4]);
        assert_eq!(named(99), [2, 3, 4]);
        assert_eq!(named(110), [4]);
        let back: Vec<_> = chain.to_greet(Seq(110), 2).iter().map(|o| o.span.epoch.0).collect();
        assert_eq!(back, [2, 3, 4]);
    }
}
