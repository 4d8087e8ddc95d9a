//! What one welcomed connection may send next, and whether what it sent is that (rule 7.2).
//!
//! Every item starts where the last one ended, epoch after epoch of the chain that the Hello named. A batch that
//! was enqueued before is dropped; anything else that does not go on from there closes the connection.

use riser_model::{Epoch, LogId, RouteNumber, Seq};
use riser_wire::entry::{Body, ENVELOPE_BYTES, Kind};
use riser_wire::link::{
    Batch, Definitions, Hello, Item, Items, Limits, ROUTES_MAX, RefusedCode, SEQ_MAX, items::numbered,
};
use std::collections::{BTreeMap, BTreeSet};

/// Between two of the entries and gaps that the limits allow lies one skip: so many items has a batch for each of them at
/// most. A few bytes of a batch are an item of many in memory.
const ITEMS_PER_ENTRY: usize = 4;

/// Why a batch is refused: the code, what was wrong, what would be right.
pub(crate) type Reject = (RefusedCode, String, &'static str);

/// A batch that is in order and whole.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) items: Vec<Item>,
    pub(crate) last: Seq,
    /// Of the entry at `last`; 0 if that is none.
    pub(crate) crc: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Span {
    epoch: Epoch,
    /// The end of a closed epoch; the live one has none.
    last: Option<Seq>,
    next: Seq,
}

/// The place in the chain, and what was defined.
#[derive(Debug)]
pub(crate) struct Flow {
    spans: Vec<Span>,
    at: usize,
    routes: BTreeSet<RouteNumber>,
    /// What the connection's numbers of logs below mean.
    pub(crate) origins: BTreeMap<u32, (LogId, Epoch)>,
    seen: Option<RouteNumber>,
    limits: Limits,
}

impl Flow {
    /// From the cursors of the Hello's epochs; `taken` says how far an epoch was taken.
    pub(crate) fn new(hello: &Hello, limits: Limits, taken: impl Fn(Epoch) -> Option<Seq>) -> Self {
        let span = |opening: &riser_wire::link::Opening| {
            let span = opening.span;
            let next = taken(span.epoch).map_or(span.first, |through| through.next().max(span.first));
            Span { epoch: span.epoch, last: (span.epoch != hello.live).then_some(span.last), next }
        };
        let spans = hello.chain.iter().map(span).collect();
        let (routes, origins) = (BTreeSet::new(), BTreeMap::new());
        Self { spans, at: 0, routes, origins, seen: None, limits }
    }

    /// Takes a batch in order: `None` if it was taken before.
    pub(crate) fn take(&mut self, batch: Batch) -> Result<Option<Checked>, Reject> {
        let Some(at) = self.spans.iter().position(|span| span.epoch == batch.epoch) else {
            return Err(out_of_order("a batch of an epoch that the hello did not name".into()));
        };
        let next = self.spans.get(at).map_or(Seq::ZERO, |span| span.next);
        if batch.first > next {
            return Err(out_of_order(format!("a batch from {}, expected {next}", batch.first)));
        }
        let skipped = self.spans.get(self.at..at).unwrap_or_default();
        if skipped.iter().any(|span| span.last.is_none_or(|last| span.next <= last)) {
            return Err(out_of_order("a batch of a later epoch before an earlier one ended".into()));
        }
        self.define(&batch.definitions)?;
        let again = batch.first < next;
        let checked = self.check(batch)?;
        if again {
            return if checked.last < next {
                Ok(None)
            } else {
                Err(out_of_order("half of a batch again".into()))
            };
        }
        if at < self.at {
            return Err(out_of_order("a batch of an epoch that had ended".into()));
        }
        let Some(span) = self.spans.get_mut(at) else { return Ok(None) };
        if span.last.is_some_and(|last| checked.last > last) {
            return Err(out_of_order(format!("a batch to {} past its epoch's end", checked.last)));
        }
        span.next = checked.last.next();
        self.at = at;
        Ok(Some(checked))
    }

    /// Checks the values of a Latest frame: they need be in no order with the batches.
    pub(crate) fn latest(&mut self, batch: Batch) -> Result<Vec<Item>, Reject> {
        if !self.spans.iter().any(|span| span.epoch == batch.epoch) {
            return Err(malformed("values of an epoch that the hello did not name".into()));
        }
        self.define(&batch.definitions)?;
        self.check(batch).map(|checked| checked.items)
    }

    /// The hub itself goes on to here in a closed epoch.
    pub(crate) fn advance(&mut self, epoch: Epoch, through: Seq) {
        if let Some(span) = self.spans.iter_mut().find(|span| span.epoch == epoch) {
            span.next = span.next.max(through.next());
        }
    }

    /// A closed epoch, where it ends, and the next seq of it.
    pub(crate) fn closed(&self) -> impl Iterator<Item = (Epoch, Seq, Seq)> + '_ {
        self.spans.iter().filter_map(|span| span.last.map(|last| (span.epoch, last, span.next)))
    }

    fn define(&mut self, definitions: &Definitions) -> Result<(), Reject> {
        if definitions.forget {
            self.routes.clear();
            self.origins.clear();
            self.seen = None;
        }
        self.routes.extend(definitions.routes.iter().map(|(number, _)| *number));
        self.origins.extend(definitions.origins.iter().copied());
        if self.routes.len() > ROUTES_MAX || self.origins.len() > ROUTES_MAX {
            return Err((
                RefusedCode::TooLarge,
                "more routes than a session may define".into(),
                "forget some",
            ));
        }
        Ok(())
    }

    fn check(&mut self, batch: Batch) -> Result<Checked, Reject> {
        if batch.first == Seq::ZERO || batch.first > SEQ_MAX || batch.last_added > SEQ_MAX {
            return Err(malformed("a seq out of range".into()));
        }
        let mut checked = Checked { items: Vec::new(), last: batch.first.prev(), crc: 0 };
        let mut entries = 0;
        let items_max = ITEMS_PER_ENTRY * (self.limits.batch_entries as usize + 1);
        for (number, item) in Items::new(batch.first, batch.items).enumerate() {
            let item = item.map_err(|bad| malformed(bad.to_string()))?;
            if number >= items_max {
                let what = format!("more than {items_max} items in a batch");
                return Err((RefusedCode::TooLarge, what, "neighbouring skips and gaps in one item"));
            }
            checked.last = item.last();
            checked.crc = 0;
            if let Item::Entries { first, count, frames } = &item {
                entries += u64::from(*count);
                if entries > u64::from(self.limits.batch_entries) {
                    return Err((
                        RefusedCode::TooLarge,
                        "too many entries in a batch".into(),
                        "fewer entries",
                    ));
                }
                self.entries(*first, *count, frames, &mut checked)?;
            } else {
                checked.items.push(item);
            }
        }
        if checked.items.is_empty() {
            return Err(malformed("an empty batch".into()));
        }
        Ok(checked)
    }

    /// Checks every entry of a run; canaries are confirmed and stored nowhere, so they become skips.
    fn entries(
        &mut self,
        first: Seq,
        count: u32,
        frames: &riser_wire::link::Bytes,
        checked: &mut Checked,
    ) -> Result<(), Reject> {
        let (mut from, mut from_seq, mut at, mut seq) = (0, first, 0, first);
        let run = |from: usize, to: usize, first: Seq, next: Seq| {
            let count = u32::try_from(next.0 - first.0).unwrap_or(u32::MAX);
            (count > 0).then(|| Item::Entries { first, count, frames: frames.slice(from..to) })
        };
        for entry in numbered(first, frames) {
            let (_, frame) = entry.map_err(|bad| malformed(bad.to_string()))?;
            if !frame.intact() {
                return Err(malformed(format!("the entry {seq} is not what its checksum says")));
            }
            if frame.body.len() > self.limits.body_bytes as usize {
                return Err((RefusedCode::TooLarge, format!("the entry {seq}"), "a gap in its place"));
            }
            let kind = Body::read(frame.body).map_err(|bad| malformed(bad.to_string()))?.kind;
            // What stands for seqs that are no entries may have been made on the way.
            checked.crc = if kind == Kind::Passed { 0 } else { frame.crc };
            let canary = kind == Kind::Canary;
            let after = at + frame.size();
            if canary {
                checked.items.extend(run(from, at, from_seq, seq));
                checked.items.push(Item::Skip { from: seq, to: seq });
                (from, from_seq) = (after, seq.next());
            } else {
                self.known(&frame, kind)?;
            }
            (at, seq) = (after, seq.next());
        }
        if seq.0 - first.0 != u64::from(count) {
            return Err(malformed(format!("{count} entries announced, {} there", seq.0 - first.0)));
        }
        checked.items.extend(run(from, at, from_seq, seq));
        Ok(())
    }

    fn known(&mut self, frame: &riser_wire::entry::Frame<'_>, kind: Kind) -> Result<(), Reject> {
        debug_assert!(frame.body.len() >= ENVELOPE_BYTES);
        if kind != Kind::Passed && self.seen != Some(frame.route) {
            if !self.routes.contains(&frame.route) {
                return Err(malformed(format!("route {} is not defined", frame.route.0)));
            }
            self.seen = Some(frame.route);
        }
        match frame.origin {
            Some(origin) if !self.origins.contains_key(&origin.number) => {
                Err(malformed(format!("origin {} is not defined", origin.number)))
            }
            None if kind == Kind::Passed => Err(malformed("seqs of no log below".into())),
            Some(_) | None => Ok(()),
        }
    }
}

fn malformed(what: String) -> Reject {
    (RefusedCode::Malformed, what, "entries as they were taken at intake")
}

fn out_of_order(what: String) -> Reject {
    (RefusedCode::OutOfOrder, what, "each item where the last one ended")
}
