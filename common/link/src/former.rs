//! Parents of before: what they confirmed, this log may have let go of, and they may not have delivered.
//!
//! An edge that is moved goes on from where its new hub stands. What that one has not, and the edge has not either, only
//! the former parent can still bring. Sent as a gap it would be one for good: the entries are dropped when they come
//! later. So such a gap waits until somebody above the new hub has what lies there, by whatever way it came. It does not
//! wait for a former parent that is above the new one (what goes there comes to it), nor for one that had nobody above
//! it (it has delivered by definition: its cursor was forgotten at once).

use riser_model::{Cause, Chunk, CursorKey, CursorValue, HubIdentity, LogId, Run, Seq};
use std::collections::BTreeSet;

/// What an uplink knows of former parents.
#[derive(Debug)]
pub(crate) struct Former {
    hubs: Vec<(HubIdentity, Seq)>,
    waits: bool,
    /// Logs of the hub of now and of those above it, once it said so on this connection.
    above: Option<BTreeSet<LogId>>,
    /// Up to here somebody above the hub of now has everything, or it is not waited for.
    given: Seq,
}

impl Former {
    /// From the log's cursors. `waits` is whether it is waited for them at all.
    pub(crate) fn new(cursors: &[(CursorKey, CursorValue)], waits: bool) -> Self {
        let of_former = |(key, value): &(CursorKey, CursorValue)| match key {
            CursorKey::Former(hub) => Some((*hub, value.through)),
            CursorKey::Uplink(_)
            | CursorKey::Downlink(_)
            | CursorKey::Ingest(..)
            | CursorKey::Relayed(..) => None,
        };
        let hubs = cursors.iter().filter_map(of_former).collect();
        Self { hubs, waits, above: None, given: Seq::ZERO }
    }

    /// A hub welcomed the edge: what lies above it, it has yet to say.
    pub(crate) fn welcomed(&mut self) {
        self.above = None;
    }

    /// What lies above the edge.
    pub(crate) fn above(&mut self, logs: &[LogId]) {
        self.above = Some(logs.iter().copied().collect());
    }

    /// Whether it is known what lies above.
    pub(crate) fn knows_above(&self) -> bool {
        self.above.is_some()
    }

    /// Whether it is waited for them at all.
    pub(crate) fn waits(&self) -> bool {
        self.waits
    }

    /// Somebody above the hub of now has everything up to here, or nobody waits for it.
    pub(crate) fn give(&mut self, through: Seq) {
        self.given = self.given.max(through);
    }

    /// What of a chunk, from `next` on, only former parents can still bring: the first seq that the log does not have,
    /// and the last of those that one of them confirmed.
    pub(crate) fn due(&self, chunk: &Chunk, next: Seq) -> Option<(Seq, Seq)> {
        let is_above = |log| self.above.as_ref().is_some_and(|above| above.contains(&log));
        let beside = self.hubs.iter().filter(|(hub, _)| !is_above(hub.log));
        let due = beside.map(|(_, through)| *through).max()?;
        chunk.runs.iter().find_map(|run| match run {
            // What the log dropped before anybody had it nobody can bring.
            Run::Gap(gap) if gap.cause != Cause::Quota => {
                let (from, to) = (gap.from.max(next), gap.to.min(due));
                (from <= to && to > self.given).then_some((from, to))
            }
            Run::Gap(_) | Run::Entries { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::{Gap, PublicKey};

    fn hub(number: u8) -> HubIdentity {
        HubIdentity { key: PublicKey([number; 32]), log: LogId(u64::from(number)) }
    }

    fn former(hubs: &[(u8, u64)]) -> Former {
        let cursor = |(number, through): &(u8, u64)| {
            let value = CursorValue { through: Seq(*through), ..CursorValue::default() };
            (CursorKey::Former(hub(*number)), value)
        };
        Former::new(&hubs.iter().map(cursor).collect::<Vec<_>>(), true)
    }

    fn gap(from: u64, to: u64, cause: Cause) -> Chunk {
        let gap = Gap { from: Seq(from), to: Seq(to), cause };
        Chunk { runs: vec![Run::Gap(gap)], next: Seq(to + 1) }
    }

    #[test]
    fn a_gap_waits_for_what_a_former_parent_beside_the_new_one_confirmed() {
        let mut former = former(&[(1, 40), (2, 60)]);
        let missing = gap(1, 100, Cause::Retention);
        assert_eq!(former.due(&missing, Seq(10)), Some((Seq(10), Seq(60))));
        assert_eq!(former.due(&missing, Seq(61)), None);
        assert_eq!(former.due(&gap(1, 100, Cause::Quota), Seq(10)), None);
        former.above(&[LogId(9), LogId(2)]);
        assert_eq!(former.due(&missing, Seq(10)), Some((Seq(10), Seq(40))));
        former.give(Seq(40));
        assert_eq!(former.due(&missing, Seq(10)), None);
        former.welcomed();
        assert_eq!(former.due(&missing, Seq(10)), Some((Seq(10), Seq(60))));
    }
}
