//! All of a log's state beside its entries: what a checkpoint saves and what blocks change.

use crate::{
    checkpoint::{Changes, Checkpoint, Counters},
    config::Holds,
    definitions::Definitions,
    fold::Fold,
    gaps::GapTable,
};
use riser_model::{CursorKey, CursorValue, Epoch, EpochSpan, LogId, PublicKey, Route, Seq};
use std::collections::{BTreeMap, BTreeSet};

/// How many epochs a chain keeps that have no entries left.
const CHAIN_KEPT: usize = 256;

/// The state as of the last durable block.
#[derive(Clone)]
pub(crate) struct Tables<F> {
    pub log: LogId,
    /// All openings, oldest first; the last is the current one.
    pub chain: Vec<EpochSpan>,
    /// What lies before this is trimmed.
    pub floor: Seq,
    /// The last seq that was given.
    pub end: Seq,
    pub cursors: BTreeMap<CursorKey, CursorValue>,
    pub routes: Definitions<Route>,
    pub origins: Definitions<(LogId, Epoch)>,
    pub gaps: GapTable,
    pub counters: Counters,
    pub fold: F,
}

/// Cursors that move with the next block; none for one that is forgotten.
pub(crate) type CursorChanges = BTreeMap<CursorKey, Option<CursorValue>>;

impl<F: Fold> Tables<F> {
    /// Of a log without entries.
    pub fn new(log: LogId) -> Self {
        Self {
            log,
            chain: Vec::new(),
            floor: Seq(1),
            end: Seq::ZERO,
            cursors: BTreeMap::new(),
            routes: Definitions::new(0),
            origins: Definitions::new(1),
            gaps: GapTable::default(),
            counters: Counters::default(),
            fold: F::default(),
        }
    }

    pub fn epoch(&self) -> Epoch {
        self.chain.last().map_or(Epoch(0), |span| span.epoch)
    }

    /// Everything from here on belongs to a new opening.
    pub fn begin_epoch(&mut self, epoch: Epoch) {
        if let Some(span) = self.chain.last_mut() {
            span.last = self.end;
        }
        self.chain.retain(|span| span.first <= span.last);
        let gone = self.chain.iter().take_while(|span| span.last < self.floor).count();
        self.chain.drain(..gone.saturating_sub(CHAIN_KEPT));
        self.chain.push(EpochSpan { epoch, first: self.end.next(), last: self.end });
    }

    /// The state that a checkpoint block saves which begins with seq `block` and moves these cursors.
    pub fn checkpoint(&self, block: Seq, moved: &CursorChanges) -> Checkpoint {
        Checkpoint {
            chain: self.chain.clone(),
            floor: self.floor,
            cursors: moved_cursors(&self.cursors, moved).into_iter().collect(),
            routes: self.routes.live(self.floor, block),
            next_route: self.routes.next(),
            origins: self.origins.live(self.floor, block),
            next_origin: self.origins.next(),
            gaps: self.gaps.clone(),
            counters: self.counters,
            fold: self.fold.save(),
        }
    }

    /// Becomes what a checkpoint says. False if the fold cannot be read; it stays as it is then.
    pub fn load(&mut self, checkpoint: Checkpoint) -> bool {
        let mut routes = Definitions::new(checkpoint.next_route);
        routes.set_next(self.routes.next());
        for (number, route, last) in checkpoint.routes {
            routes.load(number, route, last);
        }
        let mut origins = Definitions::new(checkpoint.next_origin.max(1));
        origins.set_next(self.origins.next());
        for (number, origin, last) in checkpoint.origins {
            origins.load(number, origin, last);
        }
        self.chain = checkpoint.chain;
        self.floor = checkpoint.floor;
        self.cursors = checkpoint.cursors.into_iter().collect();
        self.routes = routes;
        self.origins = origins;
        self.gaps = checkpoint.gaps;
        self.counters = checkpoint.counters;
        let fold = F::load(&checkpoint.fold);
        let readable = fold.is_some();
        self.fold = fold.unwrap_or_else(|| std::mem::take(&mut self.fold));
        readable
    }

    /// Applies what a block changed that ends with seq `last`.
    pub fn change(&mut self, changes: Changes, last: Seq) {
        self.move_cursors(&changes.cursors.into_iter().collect());
        for (number, route) in changes.routes {
            self.routes.load(number, route, last);
        }
        for (number, origin) in changes.origins {
            self.origins.load(number, origin, last);
        }
        changes.gaps.into_iter().for_each(|record| self.gaps.insert(record));
        self.floor = self.floor.max(changes.floor.unwrap_or_default());
    }

    pub fn move_cursors(&mut self, moved: &CursorChanges) {
        move_cursors(&mut self.cursors, moved);
    }

    /// A block of this epoch that begins with `first` was read: what is missing before it was given.
    pub fn reach(&mut self, epoch: Epoch, first: Seq) {
        self.end = self.end.max(first.prev());
        if self.epoch() != epoch {
            // Its checkpoint was lost.
            self.chain.push(EpochSpan { epoch, first, last: first.prev() });
        }
    }

    /// Entries up to `last` are durable, `bytes` of them.
    pub fn gave(&mut self, count: u32, last: Seq, bytes: u64) {
        self.counters.commits += 1;
        self.counters.entries += u64::from(count);
        self.counters.entry_bytes += bytes;
        if count > 0 {
            self.end = self.end.max(last);
        }
        if let Some(span) = self.chain.last_mut() {
            span.last = self.end;
        }
    }

    /// Everything up to here is confirmed by all who have custody to receive; none if nobody has.
    pub fn custody(&self, holds: Holds, moved: &CursorChanges) -> Option<Seq> {
        let cursors = moved_cursors(&self.cursors, moved);
        let holds_on = |key: &CursorKey| key.holds() && !(holds.downlinks_as_views && is_downlink(*key));
        let held = || cursors.iter().filter(|(key, _)| holds_on(key)).map(|(_, value)| value.through);
        if held().count() < holds.custodians { Some(Seq::ZERO) } else { held().min() }
    }

    /// What is held within a bound only, from the seq after this on.
    pub fn wanted(&self, holds: Holds) -> Option<Seq> {
        let downlinks = self.cursors.iter().filter(|(key, _)| holds.downlinks_as_views && is_downlink(**key));
        downlinks.map(|(_, value)| value.through).chain(holds.views).min()
    }
}

fn moved_cursors(
    cursors: &BTreeMap<CursorKey, CursorValue>,
    moved: &CursorChanges,
) -> BTreeMap<CursorKey, CursorValue> {
    let mut all = cursors.clone();
    move_cursors(&mut all, moved);
    all
}

/// A hub's key has one cursor: of its log that moved last. One of a former log, whose disk was replaced, would never
/// move again and hold segments for ever; a log that does come back says itself how far it is. Of two that move at
/// once none is the later one: both hold until the next.
fn move_cursors(cursors: &mut BTreeMap<CursorKey, CursorValue>, moved: &CursorChanges) {
    let former = former(moved);
    cursors.retain(|key, _| !former(key));
    for (key, value) in moved {
        match value {
            Some(value) => cursors.insert(*key, *value),
            None => cursors.remove(key),
        };
    }
}

/// What moves later puts an end to what waits to move, as it does to what has.
pub(crate) fn move_later(moved: &mut CursorChanges, later: &CursorChanges) {
    let former = former(later);
    moved.iter_mut().filter(|(key, _)| former(key)).for_each(|(_, value)| *value = None);
    moved.extend(later.iter().map(|(key, value)| (*key, *value)));
}

/// Whether a cursor is of another log under the key of a hub that moves one.
fn former(moved: &CursorChanges) -> impl Fn(&CursorKey) -> bool {
    let hubs: BTreeSet<PublicKey> =
        moved.iter().filter_map(|(key, value)| hub_of(*key).filter(|_| value.is_some())).collect();
    move |key| !moved.contains_key(key) && hub_of(*key).is_some_and(|hub| hubs.contains(&hub))
}

fn is_downlink(key: CursorKey) -> bool {
    match key {
        CursorKey::Downlink(_) => true,
        CursorKey::Uplink(_) | CursorKey::Ingest(..) | CursorKey::Relayed(..) | CursorKey::Former(_) => false,
    }
}

fn hub_of(key: CursorKey) -> Option<PublicKey> {
    match key {
        CursorKey::Uplink(hub) => Some(hub.key),
        CursorKey::Downlink(_) | CursorKey::Ingest(..) | CursorKey::Relayed(..) | CursorKey::Former(_) => {
            None
        }
    }
}
