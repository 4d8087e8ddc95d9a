//! The table of causes: which seqs are gone, why, since when, and what is known of them (rule 6.2).

use riser_model::{Cause, Gap, RoomId, Seq, Wall};
use serde::{Deserialize, Serialize};

/// The most records; beyond that the oldest are forgotten.
const RECORDS_MAX: usize = 1024;

/// Why some seqs are gone, and what is known of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GapRecord {
    /// Which, and why.
    pub gap: Gap,
    /// When it was made, by this host's wall clock; of neighbours that merged, the last.
    pub when: Wall,
    /// How many bytes of entries went, where that is known.
    pub bytes: Option<u64>,
    /// How many entries of each room went, where [`GapRecord::bytes`] is known; rooms in order.
    pub rooms: Vec<(RoomId, u64)>,
}

/// All records, in order of seqs, none overlapping.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct GapTable {
    records: Vec<GapRecord>,
}

impl GapTable {
    pub fn records(&self) -> &[GapRecord] {
        &self.records
    }

    /// Adds what became known. Seqs that have a record keep it; neighbours with the same cause merge.
    pub fn insert(&mut self, mut record: GapRecord) {
        let at = self.records.partition_point(|r| r.gap.to < record.gap.from);
        if self.records.get(at).is_some_and(|r| r.gap.from <= record.gap.from) {
            let Some(known) = self.records.get(at) else { return };
            if known.gap.to >= record.gap.to {
                return;
            }
            record.gap.from = known.gap.to.next();
            return self.insert(record);
        }
        if let Some(known) = self.records.get(at).filter(|r| r.gap.from <= record.gap.to) {
            let behind = Gap { from: known.gap.to.next(), ..record.gap };
            let rest = GapRecord { gap: behind, bytes: None, rooms: Vec::new(), ..record };
            record.gap.to = known.gap.from.prev();
            if rest.gap.from <= rest.gap.to {
                self.insert(rest);
            }
        }
        self.records.insert(at, record);
        self.merge(at);
        self.merge(at.wrapping_sub(1));
        let surplus = self.records.len().saturating_sub(RECORDS_MAX);
        self.records.drain(..surplus);
    }

    /// Merges the record at `at` with the one after it, if they are neighbours with the same cause.
    fn merge(&mut self, at: usize) {
        let Some([one, two]) = self.records.get(at..).and_then(|r| r.first_chunk()) else { return };
        if one.gap.to.next() != two.gap.from || one.gap.cause != two.gap.cause {
            return;
        }
        let bytes = one.bytes.zip(two.bytes).map(|(a, b)| a.saturating_add(b));
        let merged = GapRecord {
            gap: Gap { to: two.gap.to, ..one.gap },
            when: one.when.max(two.when),
            bytes,
            rooms: if bytes.is_some() { add(&one.rooms, &two.rooms) } else { Vec::new() },
        };
        self.records.splice(at..at + 2, [merged]);
    }

    /// The hole `from..=to` as gaps, by cause; `otherwise` where no record knows.
    pub fn split(&self, from: Seq, to: Seq, otherwise: Cause) -> Vec<Gap> {
        let mut gaps: Vec<Gap> = Vec::new();
        let mut push = |from: Seq, to: Seq, cause| match gaps.last_mut() {
            Some(gap) if gap.cause == cause => gap.to = to,
            _ => gaps.push(Gap { from, to, cause }),
        };
        let mut at = from;
        let start = self.records.partition_point(|r| r.gap.to < from);
        for record in self.records.iter().skip(start).take_while(|r| r.gap.from <= to) {
            if at < record.gap.from {
                push(at, record.gap.from.prev(), otherwise);
            }
            let end = record.gap.to.min(to);
            push(at.max(record.gap.from), end, record.gap.cause);
            at = end.next();
        }
        if at <= to {
            push(at, to, otherwise);
        }
        gaps
    }
}

fn add(one: &[(RoomId, u64)], two: &[(RoomId, u64)]) -> Vec<(RoomId, u64)> {
    let mut rooms: std::collections::BTreeMap<RoomId, u64> = one.iter().copied().collect();
    for (room, count) in two {
        let total = rooms.entry(*room).or_default();
        *total = total.saturating_add(*count);
    }
    rooms.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(from: u64, to: u64, cause: Cause) -> GapRecord {
        let gap = Gap { from: Seq(from), to: Seq(to), cause };
        GapRecord { gap, when: Wall(1), bytes: Some(to - from + 1), rooms: vec![] }
    }

    fn table(records: &[(u64, u64, Cause)]) -> GapTable {
        let mut table = GapTable::default();
        records.iter().for_each(|(from, to, cause)| table.insert(record(*from, *to, *cause)));
        table
    }

    fn spans(gaps: &[Gap]) -> Vec<(u64, u64, Cause)> {
        gaps.iter().map(|g| (g.from.0, g.to.0, g.cause)).collect()
    }

    #[test]
    fn neighbours_with_the_same_cause_merge_on_both_sides() {
        let table =
            table(&[(1, 2, Cause::Quota), (5, 6, Cause::Quota), (3, 4, Cause::Quota), (7, 7, Cause::Damage)]);
        assert_eq!(table.records().len(), 2);
        assert_eq!(table.records()[0].gap, Gap { from: Seq(1), to: Seq(6), cause: Cause::Quota });
        assert_eq!(table.records()[0].bytes, Some(6));
    }

    #[test]
    fn neighbours_of_which_one_was_not_counted_are_not_counted_together() {
        let mut table = GapTable::default();
        let rooms = vec![(RoomId(uuid::Uuid::from_u128(1)), 2)];
        table.insert(GapRecord { rooms, ..record(1, 2, Cause::Quota) });
        table.insert(GapRecord { bytes: None, ..record(3, 4, Cause::Quota) });
        assert_eq!((table.records()[0].bytes, &*table.records()[0].rooms), (None, &[][..]));
    }

    #[test]
    fn what_is_known_is_kept_when_something_overlaps_it() {
        let table = table(&[(5, 6, Cause::Quota), (1, 10, Cause::Damage), (6, 12, Cause::TailCut)]);
        let gaps: Vec<Gap> = table.records().iter().map(|r| r.gap).collect();
        let want =
            [(1, 4, Cause::Damage), (5, 6, Cause::Quota), (7, 10, Cause::Damage), (11, 12, Cause::TailCut)];
        assert_eq!(spans(&gaps), want);
    }

    #[test]
    fn hole_is_split_by_cause_exactly() {
        let table = table(&[(5, 6, Cause::Quota), (9, 20, Cause::Quota)]);
        let gaps = table.split(Seq(3), Seq(12), Cause::Retention);
        let want =
            [(3, 4, Cause::Retention), (5, 6, Cause::Quota), (7, 8, Cause::Retention), (9, 12, Cause::Quota)];
        assert_eq!(spans(&gaps), want);
        assert_eq!(spans(&table.split(Seq(30), Seq(30), Cause::Damage)), [(30, 30, Cause::Damage)]);
        assert_eq!(spans(&table.split(Seq(10), Seq(11), Cause::Damage)), [(10, 11, Cause::Quota)]);
    }

    #[test]
    fn the_table_is_bounded() {
        let many: Vec<_> = (0..3000).map(|n| (n * 2 + 1, n * 2 + 1, Cause::Damage)).collect();
        let table = table(&many);
        assert_eq!(table.records().len(), RECORDS_MAX);
        assert_eq!(table.records()[RECORDS_MAX - 1].gap.to, Seq(5999));
    }
}
