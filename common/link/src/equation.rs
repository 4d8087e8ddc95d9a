//! Promise 3 as four counters per epoch: `accepted = synced + queued + gapped`, in seqs.
//!
//! Each is counted where it happens: `accepted` and `queued` when a commit returned, `synced` and `gapped` when
//! the hub confirmed or a loss became known. None is computed from the others, so a disagreement shows.

use crate::{chain::Chain, ranges::Ranges};
use riser_model::{Epoch, Seq};
use std::collections::BTreeMap;

/// The four numbers of one (uplink, epoch).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Seqs given by a returned commit, of whatever kind.
    pub accepted: u64,
    /// Confirmed by the hub, as an entry or a skip.
    pub synced: u64,
    /// Not yet.
    pub queued: u64,
    /// Under a link gap.
    pub gapped: u64,
}

impl Tally {
    /// Whether the numbers add up.
    pub fn holds(&self) -> bool {
        self.accepted == self.synced + self.queued + self.gapped
    }
}

/// The tallies of one uplink, and the seqs that are counted as gapped.
#[derive(Clone, Debug)]
pub(crate) struct Equation {
    tallies: BTreeMap<Epoch, Tally>,
    gone: Ranges,
    through: Seq,
}

impl Equation {
    /// What a log holds when it is opened: everything up to the cursor was confirmed, except what is gone.
    pub(crate) fn new(chain: &Chain, through: Seq, gone: impl IntoIterator<Item = (Seq, Seq)>) -> Self {
        let mut equation = Self { tallies: BTreeMap::new(), gone: Ranges::default(), through: Seq::ZERO };
        for link in chain.links() {
            equation.tallies.entry(link.epoch).or_default();
        }
        for (from, to) in gone {
            equation.gone.insert(from.max(chain.first()), to.min(chain.last()));
        }
        for (epoch, from, to) in chain.split(chain.first(), chain.last()) {
            let tally = equation.tallies.entry(epoch).or_default();
            let done = through.0.min(to.0).saturating_sub(from.prev().0);
            let (gone_done, gone) =
                (equation.gone.count(from, through.min(to)), equation.gone.count(from, to));
            tally.accepted += to.0 - from.0 + 1;
            tally.synced += done - gone_done;
            tally.gapped += gone;
            tally.queued += to.0 - from.0 + 1 - done - (gone - gone_done);
        }
        equation.through = through;
        equation
    }

    /// A commit returned.
    pub(crate) fn added(&mut self, chain: &Chain, first: Seq, last: Seq) {
        for (epoch, from, to) in chain.split(first, last) {
            let tally = self.tallies.entry(epoch).or_default();
            tally.accepted += to.0 - from.0 + 1;
            tally.queued += to.0 - from.0 + 1;
        }
    }

    /// The log dropped what was not confirmed.
    pub(crate) fn lost(&mut self, chain: &Chain, first: Seq, last: Seq) {
        for (epoch, from, to) in chain.split(first.max(self.through.next()), last.min(chain.last())) {
            let newly = to.0 - from.0 + 1 - self.gone.count(from, to);
            let tally = self.tallies.entry(epoch).or_default();
            tally.queued -= newly;
            tally.gapped += newly;
            self.gone.insert(from, to);
        }
    }

    /// The hub has everything up to `last`: as entries and skips, except for `gaps`. `None`: as far as it is
    /// known here (the confirmation itself was lost with its connection).
    pub(crate) fn confirmed(&mut self, chain: &Chain, last: Seq, gaps: Option<&[(Seq, Seq)]>) {
        for (epoch, from, to) in chain.split(self.through.next(), last) {
            let before = self.gone.count(from, to);
            if let Some(gaps) = gaps {
                self.gone.remove(from, to);
                for (f, t) in gaps {
                    self.gone.insert((*f).max(from), (*t).min(to));
                }
            }
            let gapped = self.gone.count(from, to);
            let all = to.0 - from.0 + 1;
            let tally = self.tallies.entry(epoch).or_default();
            tally.queued -= all - before;
            tally.synced += all - gapped;
            tally.gapped = tally.gapped + gapped - before;
        }
        self.through = self.through.max(last);
    }

    /// The hub lost what it had confirmed past `to`: it is queued again.
    pub(crate) fn rewound(&mut self, chain: &Chain, to: Seq) {
        for (epoch, from, to) in chain.split(to.next(), self.through) {
            let back = to.0 - from.0 + 1 - self.gone.count(from, to);
            let tally = self.tallies.entry(epoch).or_default();
            tally.synced -= back;
            tally.queued += back;
        }
        self.through = self.through.min(to);
    }

    /// Seqs that were confirmed under another epoch's name go to the epoch that has them.
    pub(crate) fn relabelled(&self, chain: &Chain) -> Self {
        Self::new(chain, self.through, self.gone.within(chain.first(), chain.last()))
    }

    /// The tallies, in the order of the epochs' numbers.
    pub(crate) fn tallies(&self) -> impl Iterator<Item = (Epoch, Tally)> + '_ {
        self.tallies.iter().map(|(epoch, tally)| (*epoch, *tally))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::EpochSpan;
    use riser_wire::link::Opening;

    fn chain(last: u64) -> Chain {
        let opening = |epoch, first, last| Opening {
            span: EpochSpan { epoch: Epoch(epoch), first: Seq(first), last: Seq(last) },
            anchor: None,
        };
        Chain::new(vec![opening(1, 1, 10), opening(2, 11, last)])
    }

    fn numbers(equation: &Equation, epoch: u64) -> [u64; 4] {
        let tally = equation.tallies[&Epoch(epoch)];
        assert!(tally.holds(), "{tally:?}");
        [tally.accepted, tally.synced, tally.queued, tally.gapped]
    }

    #[test]
    fn equation_of_an_opened_log_counts_what_the_cursor_says() {
        let equation = Equation::new(&chain(20), Seq(12), [(Seq(3), Seq(4)), (Seq(15), Seq(15))]);
        assert_eq!(numbers(&equation, 1), [10, 8, 0, 2]);
        assert_eq!(numbers(&equation, 2), [10, 2, 7, 1]);
    }

    #[test]
    fn what_was_dropped_while_it_was_under_way_counts_as_the_hub_took_it() {
        let mut equation = Equation::new(&chain(20), Seq(10), []);
        equation.lost(&chain(20), Seq(5), Seq(14));
        assert_eq!(numbers(&equation, 1), [10, 10, 0, 0]);
        assert_eq!(numbers(&equation, 2), [10, 0, 6, 4]);
        equation.confirmed(&chain(20), Seq(13), Some(&[(Seq(13), Seq(13))]));
        assert_eq!(numbers(&equation, 2), [10, 2, 6, 2]);
        equation.confirmed(&chain(20), Seq(20), None);
        assert_eq!(numbers(&equation, 2), [10, 8, 0, 2]);
    }

    #[test]
    fn a_rewound_hub_takes_synced_back_and_the_equation_goes_on() {
        let mut equation = Equation::new(&chain(20), Seq(20), [(Seq(9), Seq(9))]);
        equation.rewound(&chain(20), Seq(8));
        assert_eq!(numbers(&equation, 1), [10, 8, 1, 1]);
        assert_eq!(numbers(&equation, 2), [10, 0, 10, 0]);
        equation.confirmed(&chain(20), Seq(20), Some(&[(Seq(9), Seq(11))]));
        assert_eq!(numbers(&equation, 1), [10, 8, 0, 2]);
        assert_eq!(numbers(&equation, 2), [10, 9, 0, 1]);
    }

    #[test]
    fn any_order_of_events_keeps_the_equation() {
        let mut dice = fastrand::Rng::with_seed(3);
        let mut chain = chain(11);
        let mut equation = Equation::new(&chain, Seq::ZERO, []);
        for _ in 0..5000 {
            let last = chain.last().0;
            let (a, b) = (dice.u64(1..=last), dice.u64(1..=last));
            match dice.u8(0..4) {
                0 => {
                    chain.added(Seq(last + 3));
                    equation.added(&chain, Seq(last + 1), Seq(last + 3));
                }
                1 => equation.lost(&chain, Seq(a.min(b)), Seq(a.max(b))),
                2 => equation.rewound(&chain, Seq(a)),
                _ => equation.confirmed(&chain, Seq(a), dice.bool().then_some(&[(Seq(b), Seq(b + 2))])),
            }
            let all: Vec<Tally> = equation.tallies().map(|(_, tally)| tally).collect();
            assert!(all.iter().all(Tally::holds), "{all:?}");
            assert_eq!(all.iter().map(|t| t.accepted).sum::<u64>(), chain.last().0);
        }
    }
}
