//! Numbers that entries use instead of long names, and what is on disk of them (routes, origins).
//!
//! What always holds: a number that live entries use is defined in the newest checkpoint or in a block after it,
//! and there it means what it meant to them. A definition rides in two blocks in a row, so that one damaged
//! block does not orphan the entries after it.

use riser_model::{NumberMap, Seq};

#[derive(Clone, Debug)]
pub(crate) struct Definitions<T> {
    by_number: NumberMap<u32, Definition<T>>,
    next: u32,
}

#[derive(Clone, Debug)]
struct Definition<T> {
    value: T,
    last: Seq,
    known: Known,
}

/// Where a definition is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Known {
    /// Only here: no live entry uses it.
    Memory,
    /// In a block that waits for its commit and begins no later than here.
    Staged(Seq),
    /// In the newest checkpoint, or in a block after it.
    Disk,
}

impl<T: Clone + PartialEq> Definitions<T> {
    /// None yet; the first number will be `next`.
    pub fn new(next: u32) -> Self {
        Self { by_number: NumberMap::default(), next }
    }

    /// The first number that was never used.
    pub fn next(&self) -> u32 {
        self.next
    }

    /// Raises the first number that was never used.
    pub fn set_next(&mut self, next: u32) {
        self.next = self.next.max(next);
    }

    pub fn contains(&self, number: u32) -> bool {
        self.by_number.contains_key(&number)
    }

    pub fn value(&self, number: u32) -> Option<&T> {
        self.by_number.get(&number).map(|d| &d.value)
    }

    /// Whether this number may be defined as this.
    pub fn may_define(&self, number: u32, value: &T) -> bool {
        self.by_number.get(&number).is_none_or(|d| d.known == Known::Memory || d.value == *value)
    }

    /// Defines a number, from memory: it goes to disk when an entry uses it.
    pub fn define(&mut self, number: u32, value: T) {
        self.set_next(number.saturating_add(1));
        let definition = Definition { value, last: Seq::ZERO, known: Known::Memory };
        self.by_number
            .entry(number)
            .and_modify(|d| {
                if d.known == Known::Memory {
                    *d = definition.clone();
                }
            })
            .or_insert(definition);
    }

    /// An entry of a block that begins at `block` uses the number. The definition, if it must ride along.
    pub fn stage(&mut self, number: u32, block: Seq, last: Seq) -> Option<T> {
        let definition = self.by_number.get_mut(&number)?;
        definition.last = definition.last.max(last);
        if definition.known != Known::Memory {
            return None;
        }
        definition.known = Known::Staged(block);
        Some(definition.value.clone())
    }

    /// What was staged with these numbers is on disk.
    pub fn committed(&mut self, numbers: impl IntoIterator<Item = u32>) {
        for number in numbers {
            if let Some(definition) = self.by_number.get_mut(&number) {
                definition.known = Known::Disk;
            }
        }
    }

    /// What was staged with these numbers never came to disk.
    pub fn refused(&mut self, numbers: impl IntoIterator<Item = u32>) {
        for number in numbers {
            if let Some(definition) =
                self.by_number.get_mut(&number).filter(|d| matches!(d.known, Known::Staged(_)))
            {
                definition.known = Known::Memory;
                definition.last = Seq::ZERO;
            }
        }
    }

    /// Read from a block: the number means this.
    pub fn load(&mut self, number: u32, value: T, last: Seq) {
        self.set_next(number.saturating_add(1));
        self.by_number.insert(number, Definition { value, last, known: Known::Disk });
    }

    /// Read from a block: an entry uses the number.
    pub fn touch(&mut self, number: u32, last: Seq) {
        self.set_next(number.saturating_add(1));
        if let Some(definition) = self.by_number.get_mut(&number) {
            definition.last = definition.last.max(last);
        }
    }

    /// Those that live entries use, in order: what a checkpoint holds whose block begins at `block`.
    pub fn live(&self, floor: Seq, block: Seq) -> Vec<(u32, T, Seq)> {
        let mut live: Vec<_> = self
            .by_number
            .iter()
            .filter(|(_, d)| d.is_live(floor, block))
            .map(|(number, d)| (*number, d.value.clone(), d.last))
            .collect();
        live.sort_unstable_by_key(|(number, ..)| *number);
        live
    }

    /// A checkpoint with [`Definitions::live`] of the same arguments is on disk: what lay there before is not
    /// counted on any more.
    pub fn checkpointed(&mut self, floor: Seq, block: Seq) {
        for definition in self.by_number.values_mut() {
            if definition.is_live(floor, block) {
                definition.known = Known::Disk;
            } else if definition.known == Known::Disk {
                definition.known = Known::Memory;
            }
        }
    }
}

impl<T> Definition<T> {
    fn is_live(&self, floor: Seq, block: Seq) -> bool {
        match self.known {
            Known::Memory => false,
            Known::Staged(at) => at <= block,
            Known::Disk => self.last >= floor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definition_rides_with_its_first_use_and_again_after_a_refusal() {
        let mut table = Definitions::new(0);
        table.define(3, "a");
        assert_eq!(table.next(), 4);
        assert_eq!(table.stage(3, Seq(1), Seq(1)), Some("a"));
        assert_eq!(table.stage(3, Seq(2), Seq(2)), None);
        table.refused([3]);
        assert!(table.may_define(3, &"b"), "nothing on disk uses it");
        assert_eq!(table.stage(3, Seq(1), Seq(1)), Some("a"));
        table.committed([3]);
        assert!(!table.may_define(3, &"b") && table.may_define(3, &"a"));
        assert_eq!(table.stage(3, Seq(5), Seq(5)), None);
        assert_eq!(table.live(Seq(1), Seq(6)), [(3, "a", Seq(5))]);
    }

    #[test]
    fn definition_that_no_live_entry_uses_leaves_the_checkpoint_and_comes_back_with_the_next_use() {
        let mut table = Definitions::new(0);
        table.load(1, "a", Seq(4));
        table.load(2, "b", Seq(9));
        assert_eq!(table.live(Seq(5), Seq(11)), [(2, "b", Seq(9))]);
        table.checkpointed(Seq(5), Seq(9));
        assert_eq!(table.stage(2, Seq(10), Seq(10)), None);
        assert_eq!(table.stage(1, Seq(11), Seq(11)), Some("a"));
        assert_eq!(table.live(Seq(5), Seq(11)).len(), 2);
    }
}
