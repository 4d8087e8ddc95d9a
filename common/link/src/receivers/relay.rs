//! What an edge brings from logs below its own: taken once, in order, whichever way it comes, and every hole said.
//!
//! The link's own sequence is the edge's log; inside it the seqs of each log below rise too. They have a cursor of their
//! own here, by (log, epoch), which moves in the same commit. So what another edge brought already is dropped, and a seq
//! that is missing was lost by the edge between: `relay_lost`.

use super::{
    AccountId, Cause, ClientId, ConnectionId, CursorKey, CursorMove, CursorValue, Epoch, Gap, Item, LogId,
    Others, Receivers, RefusedCode, Reject, Seq,
};
use riser_model::Stamp;
use riser_wire::{
    entry::{Body, Frame, Kind},
    link::{Bytes, items::numbered},
    passed::Passed,
};
use std::collections::{BTreeMap, BTreeSet};

/// Where entries come from that were first appended in a log below.
pub(super) type Place = (LogId, Epoch);

/// What was dropped of what edges brought, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Dropped {
    /// Entries that had come another way.
    pub again: u64,
    /// Entries that were this instance's own, or came from above it: a loop.
    pub own: u64,
}

/// What a batch makes of the logs below.
#[derive(Debug, Default)]
pub(super) struct Relayed {
    pub(super) items: Vec<Item>,
    /// Where each of the logs is after it, and through whom it comes.
    pub(super) reached: BTreeMap<Place, CursorValue>,
    /// What is gone of each.
    pub(super) gaps: Vec<(Place, Gap)>,
    /// Seqs of the carrier's entries that came from a log of another account.
    pub(super) foreign: BTreeSet<Seq>,
    dropped: Dropped,
}

/// What becomes of one frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Keep,
    Drop,
    /// Its log is another account's: it counts as an entry of who carries it, and moves no cursor but that one's.
    Foreign,
}

/// The seqs that one frame stands for.
#[derive(Clone, Copy, Debug)]
struct Seqs {
    from: Seq,
    to: Seq,
    /// The epoch's first; 0 if it does not say.
    first: Seq,
    cause: Option<Cause>,
}

impl Receivers {
    /// Looks at everything that a batch brings from logs below the edge's own.
    pub(super) fn relayed(
        &mut self,
        connection: ConnectionId,
        (log, epoch): Place,
        items: Vec<Item>,
    ) -> Result<Relayed, Reject> {
        let mut relayed = Relayed::default();
        if self.config.others == Others::Some {
            relayed.items = items;
            return Ok(relayed);
        }
        let own = self.enqueued((log, epoch)).map_or(Seq::ZERO, |value| value.through);
        let known = self.connections.get(&connection).and_then(|state| state.phase.known());
        let (account, relays) = match known {
            Some(known) => (Some(known.edge.account), known.edge.relays),
            None => (None, false),
        };
        let origins = self.connections.get_mut(&connection).and_then(|state| state.phase.origins_mut());
        let (Some(account), Some(origins)) = (account, origins) else { return Ok(relayed) };
        if origins.is_empty() && items.first().is_none_or(|item| item.first() > own) {
            relayed.items = items;
            return Ok(relayed);
        }
        if !relays && !origins.is_empty() {
            let what = "entries of logs below by an edge that may not bring any".to_owned();
            return Err((
                RefusedCode::NotAuthorised,
                what,
                "relays = true for that edge where it is declared",
            ));
        }
        // Back in its place before anything is done with the connection.
        let origins = std::mem::take(origins);
        let all = self.follow_all(&mut relayed, (account, own), &origins, items);
        if let Some(place) = self.connections.get_mut(&connection).and_then(|s| s.phase.origins_mut()) {
            *place = origins;
        }
        all?;
        self.dropped.again += relayed.dropped.again;
        self.dropped.own += relayed.dropped.own;
        Ok(relayed)
    }

    fn follow_all(
        &self,
        relayed: &mut Relayed,
        (account, own): (AccountId, Seq),
        origins: &BTreeMap<u32, Place>,
        items: Vec<Item>,
    ) -> Result<(), Reject> {
        for item in items {
            let Item::Entries { first, count: _, frames } = item else {
                relayed.items.push(item);
                continue;
            };
            let mut run = Run { first, from: 0, frames: frames.clone() };
            let mut at = 0;
            for (seq, frame) in numbered(first, &frames).map_while(Result::ok) {
                let after = at + frame.size();
                let fate =
                    match frame.origin.and_then(|origin| Some((origin.seq, origins.get(&origin.number)?))) {
                        // It came another way before it came by its own link.
                        None if seq <= own => {
                            relayed.dropped.again += 1;
                            Fate::Drop
                        }
                        None => Fate::Keep,
                        Some((seq, place)) => self.follow(relayed, account, *place, (seq, &frame))?,
                    };
                if fate != Fate::Keep {
                    run.end(seq, at, &mut relayed.items);
                    if fate == Fate::Foreign {
                        relayed.foreign.insert(seq);
                        relayed.items.push(carriers_own(seq, &frame));
                    } else {
                        relayed.items.push(Item::Skip { from: seq, to: seq });
                    }
                    run = Run { first: seq.next(), from: after, frames: frames.clone() };
                }
                at = after;
            }
            let next = item_end(first, &frames);
            run.end(next, at, &mut relayed.items);
        }
        Ok(())
    }

    fn follow(
        &self,
        relayed: &mut Relayed,
        account: AccountId,
        place: Place,
        (seq, frame): (Seq, &Frame<'_>),
    ) -> Result<Fate, Reject> {
        if place.0 == self.config.log || self.above.logs.contains(&place.0) {
            relayed.dropped.own += 1;
            return Ok(Fate::Drop);
        }
        let passed = passed(frame)?;
        let seqs = match passed {
            None => Seqs { from: seq, to: seq, first: Seq::ZERO, cause: None },
            Some(Passed { from, first, cause }) => Seqs { from, to: seq, first, cause },
        };
        let value = match relayed.reached.get(&place) {
            Some(value) => *value,
            None if !self.registry.may_bring(place.0, account) => {
                return Ok(if passed.is_none() { Fate::Foreign } else { Fate::Drop });
            }
            None => match self.enqueued(place) {
                Some(value) => value,
                None if !self.registry.takes(place.0, self.config.cursors_max) => {
                    return Err(super::too_many());
                }
                None => self.begin(relayed, place, seqs),
            },
        };
        let nothing = seqs.from > seqs.to;
        if seqs.to <= value.through && !(nothing && seqs.to == value.through) {
            relayed.dropped.again += u64::from(passed.is_none());
            return Ok(Fate::Drop);
        }
        let mut value = value;
        let next = value.through.next();
        relayed.lose(place, &mut value, next, seqs.from.prev(), Cause::RelayLost);
        if let Some(cause) = seqs.cause {
            relayed.lose(place, &mut value, seqs.from.max(next), seqs.to, cause);
        }
        // The checksum at the new end is the log's own edge's to say.
        (value.through, value.crc) = (value.through.max(seqs.to), 0);
        value.heard = value.heard.max(value.through);
        relayed.reached.insert(place, value);
        // Who brings nothing further needs no entry for what is none.
        Ok(if passed.is_none() || self.config.others == Others::Relayed { Fate::Keep } else { Fate::Drop })
    }

    /// An epoch that nothing is known of: it begins where it says, or behind what is known of its log.
    fn begin(&self, relayed: &mut Relayed, place: Place, seqs: Seqs) -> CursorValue {
        let before = relayed.newest(place.0).or_else(|| {
            let (epoch, value) = self.newest(place.0)?;
            Some(((place.0, epoch), value))
        });
        let first = match (seqs.first, before) {
            (Seq::ZERO, None) => seqs.from,
            (Seq::ZERO, Some((_, before))) => before.through.next().min(seqs.from),
            (first, None | Some(_)) => first,
        };
        if let Some((of, mut value)) = before
            && seqs.first > Seq::ZERO
        {
            // The epoch before ended where this one begins.
            let next = value.through.next();
            relayed.lose(of, &mut value, next, first.prev(), Cause::RelayLost);
            if first.prev() > value.through {
                (value.through, value.crc) = (first.prev(), 0);
            }
            value.heard = value.heard.max(value.through);
            relayed.reached.insert(of, value);
        }
        CursorValue { through: first.prev(), heard: first.prev(), crc: 0, first, gapped: 0 }
    }

    /// How far an epoch of a log was taken, by its own link or another's, with what the disk does not have yet.
    pub(super) fn enqueued(&self, place: Place) -> Option<CursorValue> {
        let mut value = self.registry.cursor(place.0, place.1);
        for pending in self.pending.values().filter(|pending| !pending.void) {
            if (pending.log, pending.epoch) == place {
                let (through, first) = (pending.first.prev(), pending.first);
                let known =
                    value.get_or_insert(CursorValue { through, heard: through, crc: 0, first, gapped: 0 });
                if pending.last > known.through {
                    (known.through, known.crc) = (pending.last, pending.crc);
                }
                known.heard = known.heard.max(pending.last);
                known.gapped = known.gapped.saturating_add(pending.gapped);
            }
            value = pending.reached.get(&place).copied().or(value);
        }
        value
    }

    /// By which name a cursor is on disk once all that is on its way is there.
    pub(super) fn name(&self, place: Place) -> Option<CursorKey> {
        let pending = self.pending.values().rev().filter(|pending| !pending.void);
        let named = |pending: &super::Pending| {
            let own = CursorKey::Ingest(pending.edge, pending.log, pending.epoch);
            let direct = ((pending.log, pending.epoch) == place).then_some(own);
            let is_of = |key: &CursorKey| match *key {
                CursorKey::Ingest(_, log, epoch) | CursorKey::Relayed(_, log, epoch) => (log, epoch) == place,
                CursorKey::Uplink(_) | CursorKey::Downlink(_) | CursorKey::Former(_) => false,
            };
            let moved = || pending.moves.iter().find(|(key, value)| value.is_some() && is_of(key));
            direct.or_else(|| moved().map(|(key, _)| *key))
        };
        pending.filter_map(named).next().or_else(|| self.registry.key(place))
    }

    fn newest(&self, log: LogId) -> Option<(Epoch, CursorValue)> {
        let pending = self.pending.values().filter(|pending| !pending.void);
        let enqueued = pending.flat_map(|pending| &pending.reached).filter(|((of, _), _)| *of == log);
        let enqueued: BTreeMap<Epoch, CursorValue> =
            enqueued.map(|((_, epoch), value)| (*epoch, *value)).collect();
        let known = self.registry.epochs_of(log).filter(|(epoch, _)| !enqueued.contains_key(epoch));
        let newest = known.chain(enqueued.iter().map(|(epoch, value)| (*epoch, *value)));
        newest.max_by_key(|(_, value)| (value.first, value.through))
    }

    /// What a commit is to make of the cursors of logs below.
    pub(super) fn relay_moves(
        &self,
        via: ClientId,
        reached: &BTreeMap<Place, CursorValue>,
    ) -> Vec<CursorMove> {
        let mut moves = Vec::new();
        for (place, value) in reached {
            let before = self.name(*place);
            // Whoever is there and brings it keeps its name, though another brings it too.
            let stays = before.filter(|key| self.registry.is_there(*key));
            let key = stays.unwrap_or(CursorKey::Relayed(via, place.0, place.1));
            moves.extend(before.filter(|before| *before != key).map(|before| (before, None)));
            moves.push((key, Some(*value)));
        }
        moves
    }

    /// What was dropped of what edges brought, since the start.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// What came through edges from logs below theirs: through whom, which epoch of which log, and how far.
    pub fn relays(&self) -> impl Iterator<Item = (ClientId, LogId, Epoch, CursorValue)> {
        self.registry.relays()
    }
}

impl Relayed {
    fn lose(&mut self, place: Place, value: &mut CursorValue, from: Seq, to: Seq, cause: Cause) {
        if from <= to {
            let gap = Gap { from, to, cause };
            value.gapped = value.gapped.saturating_add(gap.count());
            self.gaps.push((place, gap));
        }
    }

    fn newest(&self, log: LogId) -> Option<(Place, CursorValue)> {
        let of_log = self.reached.iter().filter(|((of, _), _)| *of == log);
        of_log.max_by_key(|(_, value)| (value.first, value.through)).map(|(place, value)| (*place, *value))
    }
}

/// Entries of one item that stay together.
struct Run {
    first: Seq,
    from: usize,
    frames: Bytes,
}

impl Run {
    fn end(&self, next: Seq, to: usize, items: &mut Vec<Item>) {
        let count = u32::try_from(next.0.saturating_sub(self.first.0)).unwrap_or(u32::MAX);
        if count > 0 {
            items.push(Item::Entries { first: self.first, count, frames: self.frames.slice(self.from..to) });
        }
    }
}

/// An entry without the place that it came from.
fn carriers_own(seq: Seq, frame: &Frame<'_>) -> Item {
    let mut frames = Vec::new();
    Frame { origin: None, ..*frame }.write(&mut frames);
    Item::Entries { first: seq, count: 1, frames: frames.into() }
}

fn item_end(first: Seq, frames: &Bytes) -> Seq {
    first.plus(numbered(first, frames).map_while(Result::ok).count() as u64)
}

/// What a frame says of seqs that are no entries.
fn passed(frame: &Frame<'_>) -> Result<Option<Passed>, Reject> {
    let unreadable = |_| (RefusedCode::Malformed, "a body that cannot be read".to_owned(), "an entry");
    let body = Body::read(frame.body).map_err(unreadable)?;
    if body.kind != Kind::Passed {
        return Ok(None);
    }
    Passed::read(&body).map(Some).map_err(unreadable)
}

/// Items with an entry for all that is none: gaps, skips, and the epoch's beginning. Whoever relays a log says of every
/// seq what became of it.
pub(super) fn told(items: Vec<Item>, begins: Option<Seq>, first: Seq, stamp: Stamp) -> Vec<Item> {
    let stub = |from: Seq, to: Seq, cause| {
        let mut frames = Vec::new();
        Passed { from, first, cause }.write(stamp, &mut frames);
        Item::Entries { first: to, count: 1, frames: frames.into() }
    };
    let begins = begins.map(|first| stub(first, first.prev(), None));
    let told = items.into_iter().map(|item| match item {
        Item::Gap(Gap { from, to, cause }) => stub(from, to, Some(cause)),
        Item::Skip { from, to } => stub(from, to, None),
        entries @ Item::Entries { .. } => entries,
    });
    begins.into_iter().chain(told).collect()
}
