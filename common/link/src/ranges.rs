//! A set of seqs kept as ranges that neither touch nor overlap.

use riser_model::Seq;
use std::collections::BTreeMap;

/// The set: first seq of each range to its last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(BTreeMap<Seq, Seq>);

impl Ranges {
    /// Adds a range; both ends inclusive. An empty one adds nothing.
    pub(crate) fn insert(&mut self, from: Seq, to: Seq) {
        if from > to {
            return;
        }
        let (mut from, mut to) = (from, to);
        while let Some((&f, &t)) = self.0.range(..=to.next()).next_back().filter(|(_, t)| t.next() >= from) {
            self.0.remove(&f);
            from = from.min(f);
            to = to.max(t);
        }
        self.0.insert(from, to);
    }

    /// Takes a range out.
    pub(crate) fn remove(&mut self, from: Seq, to: Seq) {
        if from > to {
            return;
        }
        while let Some((&f, &t)) = self.0.range(..=to).next_back().filter(|(_, t)| **t >= from) {
            self.0.remove(&f);
            if f < from {
                self.0.insert(f, from.prev());
            }
            if t > to {
                self.0.insert(to.next(), t);
            }
        }
    }

    /// How many seqs of a range are in the set.
    pub(crate) fn count(&self, from: Seq, to: Seq) -> u64 {
        self.within(from, to).map(|(f, t)| t.0 - f.0 + 1).sum()
    }

    /// The parts of a range that are in the set, rising.
    pub(crate) fn within(&self, from: Seq, to: Seq) -> impl Iterator<Item = (Seq, Seq)> + '_ {
        let before = self.0.range(..from).next_back();
        before
            .into_iter()
            .chain(self.0.range(from..=to.max(from)))
            .map(move |(f, t)| ((*f).max(from), (*t).min(to)))
            .filter(|(f, t)| f <= t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ranges_behave_like_a_set_of_numbers() {
        let mut dice = fastrand::Rng::with_seed(7);
        let (mut ranges, mut model) = (Ranges::default(), BTreeSet::new());
        for _ in 0..2000 {
            let (from, to) = (dice.u64(0..60), dice.u64(0..60));
            if dice.bool() {
                ranges.insert(Seq(from), Seq(to));
                model.extend(from..=to);
            } else {
                ranges.remove(Seq(from), Seq(to));
                model.retain(|n| !(from..=to).contains(n));
            }
            let (a, b) = (dice.u64(0..60), dice.u64(0..60));
            let want: Vec<u64> = model.iter().copied().filter(|n| (a..=b).contains(n)).collect();
            let got: Vec<u64> = ranges.within(Seq(a), Seq(b)).flat_map(|(f, t)| f.0..=t.0).collect();
            assert_eq!(got, want);
            assert_eq!(ranges.count(Seq(a), Seq(b)), want.len() as u64);
            let apart = ranges.0.iter().zip(ranges.0.iter().skip(1)).all(|((_, t), (f, _))| t.next() < *f);
            assert!(apart, "{ranges:?}");
        }
    }
}
