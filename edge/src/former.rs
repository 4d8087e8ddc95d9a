//! Parents of before: hubs that confirmed some of this log, and to which no uplink leads any more.
//!
//! What an uplink's cursor becomes when its uplink goes: one of a hub that nobody is above is forgotten, for what it
//! confirmed has arrived. Any other is kept as one of a former parent, which holds no segment, until every uplink is past
//! it: what is missing in front of it is waited for. An uplink that leads there again takes it back.

use riser_edge_core::Former;
use riser_instance::{Input as InstanceInput, Instance};
use riser_model::{ClientId, CursorKey, CursorMove, CursorValue, HubIdentity, Now, PublicKey, Seq};
use riser_rooms::{Append, Input as RoomsInput};
use std::collections::BTreeSet;

/// So many former parents are known; of more, those that confirmed least are forgotten.
const FORMER_MAX: usize = 8;

/// What an edge that may have been moved makes of its log's cursors.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// The cursors as the uplinks are to see them.
    pub(crate) cursors: Vec<(CursorKey, CursorValue)>,
    /// What is to become of them on disk.
    moves: Vec<CursorMove>,
    /// Former parents that are kept.
    pub(crate) former: Vec<Former>,
    /// Hubs that become former parents with this start, and those that are forgotten.
    left: Vec<(HubIdentity, Seq, bool)>,
}

/// The keys of all hubs that confirmed some of the log and are known yet.
pub(crate) fn met(cursors: &[(CursorKey, CursorValue)]) -> impl Iterator<Item = PublicKey> {
    cursors.iter().filter_map(|(key, _)| match key {
        CursorKey::Uplink(hub) | CursorKey::Former(hub) => Some(hub.key),
        CursorKey::Downlink(_) | CursorKey::Ingest(..) | CursorKey::Relayed(..) => None,
    })
}

impl Moved {
    /// Of the cursors that were recovered, where uplinks lead to hubs with these keys.
    pub(crate) fn of(cursors: &[(CursorKey, CursorValue)], configured: &BTreeSet<PublicKey>) -> Self {
        let mut moved = Self::default();
        let mut former: Vec<(HubIdentity, CursorValue, bool)> = Vec::new();
        for (key, value) in cursors {
            match *key {
                CursorKey::Uplink(hub) if !configured.contains(&hub.key) => {
                    // Its name is another from here on, whatever becomes of it.
                    moved.moves.push((*key, None));
                    if is_topmost(*value) {
                        moved.forget(hub, cursors);
                        moved.left.push((hub, value.through, false));
                    } else {
                        former.push((hub, *value, true));
                    }
                }
                CursorKey::Former(hub) if configured.contains(&hub.key) => {
                    moved.moves.push((*key, None));
                    moved.cursors.push((CursorKey::Uplink(hub), *value));
                }
                CursorKey::Former(hub) => former.push((hub, *value, false)),
                CursorKey::Uplink(_)
                | CursorKey::Downlink(_)
                | CursorKey::Ingest(..)
                | CursorKey::Relayed(..) => moved.cursors.push((*key, *value)),
            }
        }
        former.sort_by_key(|(_, value, _)| std::cmp::Reverse(value.through));
        for (n, (hub, value, is_new)) in former.into_iter().enumerate() {
            let kept = n < FORMER_MAX;
            if is_new || !kept {
                moved.left.push((hub, value.through, kept));
            }
            if !kept {
                moved.moves.extend((!is_new).then_some((CursorKey::Former(hub), None)));
                moved.forget(hub, cursors);
                continue;
            }
            moved.moves.extend(is_new.then_some((CursorKey::Former(hub), Some(value))));
            moved.cursors.push((CursorKey::Former(hub), value));
            let keys = std::iter::once(CursorKey::Former(hub)).chain(of_hub(hub, cursors)).collect();
            moved.former.push(Former { through: value.through, cursors: keys });
        }
        moved
    }

    /// What came down from it goes with it.
    fn forget(&mut self, hub: HubIdentity, cursors: &[(CursorKey, CursorValue)]) {
        self.moves.extend(of_hub(hub, cursors).map(|key| (key, None)));
    }

    /// Puts it on disk. Nobody waits for that: until then the next start comes to the same.
    pub(crate) fn save(&self, instance: &mut Instance, now: Now) {
        if !self.moves.is_empty() {
            let cursors = self.moves.clone();
            let append = Append::of_cursors(cursors);
            instance.handle(InstanceInput::Rooms(RoomsInput::Append(append)), now);
        }
    }

    /// Tells people, where the log ends with `last`.
    pub(crate) fn say(&self, last: Seq) {
        for (hub, through, kept) in &self.left {
            let hub = format_args!("{:016x}", hub.log.0).to_string();
            let unconfirmed = last.0.saturating_sub(through.0);
            if *kept {
                tracing::warn!(
                    hub,
                    unconfirmed,
                    confirmed = through.0,
                    "no uplink leads to this hub any more: what it confirmed and this log no longer has is waited for, the rest goes to those of now"
                );
            } else {
                tracing::warn!(
                    hub,
                    unconfirmed,
                    "no uplink leads to this hub any more: it is forgotten, and what it had not confirmed goes to those of now"
                );
            }
        }
    }
}

/// Whether nobody was above that hub, as it said last: what it confirmed has arrived.
fn is_topmost(value: CursorValue) -> bool {
    value.gapped > 0
}

/// What came down from a hub.
fn of_hub(hub: HubIdentity, cursors: &[(CursorKey, CursorValue)]) -> impl Iterator<Item = CursorKey> {
    let client: ClientId = hub.key.client();
    cursors.iter().map(|(key, _)| *key).filter(move |key| match key {
        CursorKey::Ingest(of, ..) => *of == client,
        CursorKey::Uplink(_) | CursorKey::Downlink(_) | CursorKey::Relayed(..) | CursorKey::Former(_) => {
            false
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::{Epoch, LogId};

    fn hub(number: u8) -> HubIdentity {
        HubIdentity { key: PublicKey([number; 32]), log: LogId(u64::from(number)) }
    }

    fn value(through: u64, topmost: bool) -> CursorValue {
        CursorValue { through: Seq(through), gapped: u64::from(topmost), ..CursorValue::default() }
    }

    fn came_down(number: u8) -> CursorKey {
        CursorKey::Ingest(hub(number).key.client(), hub(number).log, Epoch(1))
    }

    #[test]
    fn a_former_parent_is_kept_unless_nobody_was_above_it_and_taken_back_by_an_uplink_that_leads_there() {
        let up = |number| CursorKey::Uplink(hub(number));
        let former = |number| CursorKey::Former(hub(number));
        let cursors = [
            (up(1), value(10, false)),
            (came_down(1), value(3, false)),
            (up(2), value(20, true)),
            (came_down(2), value(4, false)),
            (up(3), value(30, false)),
            (former(4), value(40, false)),
            (former(5), value(50, false)),
        ];
        let moved = Moved::of(&cursors, &[hub(3).key, hub(4).key].into());
        let seen = [
            (came_down(1), value(3, false)),
            (came_down(2), value(4, false)),
            (up(3), value(30, false)),
            (up(4), value(40, false)),
            (former(5), value(50, false)),
            (former(1), value(10, false)),
        ];
        assert_eq!(moved.cursors, seen);
        let moves = [
            (up(1), None),
            (up(2), None),
            (came_down(2), None),
            (former(4), None),
            (former(1), Some(value(10, false))),
        ];
        assert_eq!(moved.moves, moves);
        let kept = [
            Former { through: Seq(50), cursors: vec![former(5)] },
            Former { through: Seq(10), cursors: vec![former(1), came_down(1)] },
        ];
        assert_eq!(moved.former, kept);
    }

    #[test]
    fn of_too_many_former_parents_those_that_confirmed_least_are_forgotten() {
        let cursors: Vec<_> =
            (1..=12).map(|n| (CursorKey::Former(hub(n)), value(u64::from(n), false))).collect();
        let moved = Moved::of(&cursors, &BTreeSet::new());
        assert_eq!(moved.former.len(), FORMER_MAX);
        assert!(moved.former.iter().all(|former| former.through >= Seq(5)));
        assert_eq!(moved.moves.len(), 4);
    }
}
