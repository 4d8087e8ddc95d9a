//! Turns what was read from the log into batches: entries of linked rooms as they lie there, skips for what is
//! not the hub's, gaps in place.
//!
//! Entries are copied in runs and never re-encoded: route and origin numbers on the link are the log's own,
//! defined in the first batch of a session that uses them.

use crate::{chain::Chain, presents::Presents, window::Unconfirmed};
use riser_model::{Cause, Chunk, Epoch, Gap, LogId, Route, RouteNumber, Run, Seq, Stamp};
use riser_wire::entry::{Body, Frame, Kind};
use riser_wire::link::{Batch, Bytes, Definitions, ItemsWriter, Limits, ROUTES_MAX, items::numbered};
use riser_wire::passed::Passed;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What the log's numbers mean.
#[derive(Debug, Default)]
pub(crate) struct Table {
    routes: Vec<Option<(Arc<Route>, bool)>>,
    origins: BTreeMap<u32, ((LogId, Epoch), bool)>,
}

impl Table {
    /// A number of the log and whether the link carries it.
    pub(crate) fn route(&mut self, number: RouteNumber, route: Arc<Route>, linked: bool) {
        let at = number.0 as usize;
        if self.routes.len() <= at {
            self.routes.resize(at + 1, None);
        }
        if let Some(place) = self.routes.get_mut(at) {
            *place = Some((route, linked));
        }
    }

    /// A number of the log for a log elsewhere, and whether the link carries what came from there.
    pub(crate) fn origin(&mut self, number: u32, place: (LogId, Epoch), carried: bool) {
        self.origins.insert(number, (place, carried));
    }

    /// The seq with which what the link carries of a chunk, from `next` on, comes to so many bytes; none if it does not.
    pub(crate) fn fills(&self, chunk: &Chunk, next: Seq, bytes: u64) -> Option<Seq> {
        let mut carried = 0;
        for run in &chunk.runs {
            let Run::Entries { first, entries, .. } = run else { continue };
            for entry in numbered(*first, entries) {
                let (seq, frame) = entry.ok()?;
                if seq >= next && self.get(frame.route).is_some_and(|(_, linked)| linked) {
                    carried += frame.size() as u64;
                    if carried >= bytes {
                        return Some(seq);
                    }
                }
            }
        }
        None
    }

    fn get(&self, number: RouteNumber) -> Option<(&Arc<Route>, bool)> {
        self.routes.get(number.0 as usize)?.as_ref().map(|(route, linked)| (route, *linked))
    }
}

/// What a session has defined so far.
#[derive(Debug, Default)]
pub(crate) struct Defined {
    routes: BTreeSet<RouteNumber>,
    origins: BTreeSet<u32>,
    newest: Option<RouteNumber>,
}

impl Defined {
    /// Starts a frame: forgets everything if what one frame may define could be too much.
    fn start(&mut self, entries: u32) -> Definitions {
        let full = self.is_full(entries);
        if full {
            *self = Self::default();
        }
        Definitions { forget: full, ..Definitions::default() }
    }

    fn is_full(&self, entries: u32) -> bool {
        self.routes.len().max(self.origins.len()) + entries as usize > ROUTES_MAX
    }

    /// Whether a number of a channel is used for the first time.
    pub(crate) fn route(&mut self, number: RouteNumber) -> bool {
        self.newest = None;
        self.routes.insert(number)
    }

    /// Whether a number of a log is used for the first time.
    pub(crate) fn origin(&mut self, number: u32) -> bool {
        self.origins.insert(number)
    }

    /// Defines what a frame uses; how many bytes that takes.
    fn define(&mut self, frame: &Frame<'_>, table: &Table, definitions: &mut Definitions) -> usize {
        let mut bytes = 0;
        if self.newest != Some(frame.route) {
            self.newest = Some(frame.route);
            if self.routes.insert(frame.route)
                && let Some((route, _)) = table.get(frame.route)
            {
                bytes += 48 + route.channel.as_str().len();
                definitions.routes.push((frame.route, Route::clone(route)));
            }
        }
        if let Some(origin) = frame.origin
            && self.origins.insert(origin.number)
            && let Some((place, _)) = table.origins.get(&origin.number)
        {
            bytes += 32;
            definitions.origins.push((origin.number, *place));
        }
        bytes
    }
}

/// What an item's header, and the frame around a batch, may add.
const ITEM_SLACK_BYTES: usize = 512;

/// What happens to one entry.
enum Fate {
    /// A canary goes without a route.
    Send {
        routed: bool,
    },
    Skip,
    /// Of a log below: that it is none for the hub is said in its place.
    Pass,
    Lose(Cause),
}

/// What the packing of one session depends on.
pub(crate) struct Packing<'a> {
    pub(crate) chain: &'a Chain,
    pub(crate) table: &'a Table,
    pub(crate) hub: LogId,
    pub(crate) limits: Limits,
    /// What the hub took of epochs, beyond the one it is in.
    pub(crate) taken: &'a BTreeMap<Epoch, Seq>,
    /// Everything up to here the hub once confirmed: what is missing of it, the hub lost.
    pub(crate) regained: Seq,
    /// Whether it is a downlink's: skips at a batch's end lie in a batch of their own then, which need not be sent.
    pub(crate) down: bool,
}

/// A batch and what to remember of it.
pub(crate) type Packed = (Batch, Unconfirmed);

impl Packing<'_> {
    /// Batches of what was read, from `next` on. Runs that do not go on from there are cut or ignored; the seq
    /// after the last one packed says how far it came.
    pub(crate) fn pack(&self, defined: &mut Defined, next: &mut Seq, chunk: &Chunk) -> Vec<Packed> {
        let mut packer = Packer { packing: self, defined, next: *next, open: None, done: Vec::new() };
        for run in &chunk.runs {
            match run {
                Run::Entries { first, count, entries, .. } => packer.entries(*first, *count, entries),
                Run::Gap(gap) => packer.gap(*gap),
            }
        }
        packer.close();
        *next = packer.next;
        packer.done
    }

    /// One frame of values without the seqs between them.
    pub(crate) fn pack_latest(
        &self,
        defined: &mut Defined,
        values: &[(Seq, RouteNumber, Bytes)],
    ) -> Vec<Batch> {
        let mut batches: Vec<Batch> = Vec::new();
        let mut open: Option<(Epoch, Seq, Seq, Definitions, ItemsWriter)> = None;
        let finish = |(epoch, first, _, definitions, items): (Epoch, Seq, Seq, Definitions, ItemsWriter)| {
            Batch { epoch, first, last_added: self.chain.last(), definitions, items: items.finish() }
        };
        for (seq, _, bytes) in values {
            let Ok((frame, _)) = Frame::read(bytes, 0) else { continue };
            if !matches!(self.fate(&frame), Fate::Send { routed: true }) {
                continue;
            }
            let epoch = self.chain.at(*seq).epoch;
            if open.as_ref().is_some_and(|(e, ..)| *e != epoch) {
                batches.extend(open.take().map(finish));
            }
            if open.as_ref().is_some_and(|(.., items)| items.entry_count() >= self.limits.batch_entries) {
                batches.extend(open.take().map(finish));
            }
            let (_, _, next, definitions, items) = open.get_or_insert_with(|| {
                (epoch, *seq, *seq, defined.start(self.limits.batch_entries), ItemsWriter::default())
            });
            defined.define(&frame, self.table, definitions);
            items.skip(seq.0 - next.0);
            match self.unmarked(&frame) {
                Some(unmarked) => items.entries(1, &unmarked),
                None => items.entries(1, bytes),
            }
            *next = seq.next();
        }
        batches.extend(open.take().map(finish));
        batches
    }

    /// What logs below show, in one frame: it lies at no seq of this log, and says itself where it came from.
    pub(crate) fn pack_presents(
        &self,
        defined: &mut Defined,
        (presents, credit): (&mut Presents, &mut i64),
    ) -> Option<Batch> {
        let entries_max = self.limits.batch_entries;
        let before = defined.is_full(entries_max).then(|| std::mem::take(defined));
        let taken = presents.take(credit, (entries_max, self.limits.body_bytes), self.hub, defined);
        let forget = before.is_some();
        if let (Some(before), None) = (before, &taken) {
            // Nothing goes, so nobody is told to forget.
            *defined = before;
        }
        let (count, frames, definitions) = taken?;
        let mut items = ItemsWriter::default();
        items.entries(count, &frames);
        Some(Batch {
            epoch: self.chain.live().epoch,
            first: self.chain.last().max(Seq(1)),
            last_added: self.chain.last(),
            definitions: Definitions { forget, ..definitions },
            items: items.finish(),
        })
    }

    /// As it goes down, if that is not as it lies in the log: hubs are upgraded first, and an older edge takes no batch with a
    /// time that is marked as uncertain.
    fn unmarked(&self, frame: &Frame<'_>) -> Option<Vec<u8>> {
        (self.down && frame.is_uncertain()).then(|| {
            let mut bytes = Vec::with_capacity(frame.size());
            frame.unmarked().write(&mut bytes);
            bytes
        })
    }

    fn fate(&self, frame: &Frame<'_>) -> Fate {
        if self.down && !self.table.get(frame.route).is_some_and(|(_, linked)| linked) {
            // Nearly all of a hub's log, for each of its edges: not worth a checksum.
            return Fate::Skip;
        }
        if !frame.intact() {
            return Fate::Lose(Cause::Damage);
        }
        let Ok(body) = Body::read(frame.body) else { return Fate::Lose(Cause::Damage) };
        let relayed = frame.origin.is_some();
        if let Some(origin) = frame.origin {
            match self.table.origins.get(&origin.number) {
                Some(((log, _), carried)) if *log == self.hub || !carried => return Fate::Skip,
                Some(_) => {}
                None => return Fate::Lose(Cause::Damage),
            }
        }
        match body.kind {
            // Whose connections there are is said upwards only.
            Kind::Canary | Kind::Opened | Kind::Closed | Kind::Roll | Kind::Quarantined | Kind::Passed
                if self.down =>
            {
                Fate::Skip
            }
            // Nobody's, as it was not believed here.
            kind if kind.says_who() && frame.route == RouteNumber::NONE => {
                if relayed {
                    Fate::Pass
                } else {
                    Fate::Skip
                }
            }
            Kind::Canary => Fate::Send { routed: false },
            Kind::Passed if relayed => Fate::Send { routed: true },
            Kind::Passed => Fate::Skip,
            Kind::Anchor | Kind::Release | Kind::Session | Kind::Settled | Kind::Departed => Fate::Skip,
            Kind::Publication
            | Kind::Opened
            | Kind::Closed
            | Kind::Roll
            | Kind::Quarantined
            | Kind::Other(_) => match self.table.get(frame.route) {
                None => Fate::Lose(Cause::Damage),
                Some((_, false)) if relayed && !self.down => Fate::Pass,
                Some((_, false)) => Fate::Skip,
                Some((_, true)) if frame.body.len() > self.limits.body_bytes as usize => {
                    Fate::Lose(Cause::TooLarge)
                }
                Some((_, true)) => Fate::Send { routed: true },
            },
        }
    }

    fn gap_cause(&self, seq: Seq, cause: Cause) -> Cause {
        match cause {
            _ if seq <= self.regained => Cause::ReceiverRewound,
            Cause::HubQuota | Cause::Retention | Cause::Quota if self.down => Cause::HubQuota,
            // What the log let go because another hub had it is nothing that this hub can still get.
            Cause::HubQuota | Cause::Retention => Cause::ReceiverRewound,
            Cause::Quota
            | Cause::Damage
            | Cause::TailCut
            | Cause::EdgeLost
            | Cause::ReceiverRewound
            | Cause::Refused
            | Cause::TooLarge
            | Cause::RelayLost => cause,
        }
    }
}

/// Where an entry lies in a run.
struct Place {
    seq: Seq,
    at: usize,
}

struct Open {
    epoch: Epoch,
    first: Seq,
    last: Seq,
    items: ItemsWriter,
    definitions: Definitions,
    definition_bytes: usize,
    crc: u32,
    /// As `crc`, without the skips at the end.
    crc_before_skips: u32,
    gaps: Vec<(Seq, Seq, Cause)>,
}

struct Packer<'a, 'p> {
    packing: &'a Packing<'p>,
    defined: &'a mut Defined,
    next: Seq,
    open: Option<Open>,
    done: Vec<Packed>,
}

impl Packer<'_, '_> {
    fn entries(&mut self, first: Seq, count: u32, bytes: &Bytes) {
        if first > self.next || count == 0 {
            return;
        }
        let end = first.plus(u64::from(count));
        let mut place = Place { seq: first, at: 0 };
        for (epoch, _, to) in self.packing.chain.split(first, end.prev()) {
            self.entries_of_epoch(epoch, to, &mut place, bytes);
            if place.seq <= to {
                // The frames cannot be told apart any more: the rest of the run is unreadable.
                return self.gap(Gap { from: place.seq, to: end.prev(), cause: Cause::Damage });
            }
        }
    }

    fn entries_of_epoch(&mut self, epoch: Epoch, to: Seq, place: &mut Place, bytes: &Bytes) {
        let taken = self.packing.taken.get(&epoch).copied().unwrap_or_default();
        // The frames between `from` and `place.at` wait to be appended in one piece.
        let (mut from, mut waiting) = (place.at, 0);
        while place.seq <= to {
            let Ok((frame, after)) = Frame::read(bytes, place.at) else { break };
            let seq = place.seq;
            let here = std::mem::replace(place, Place { seq: seq.next(), at: after }).at;
            if seq < self.next || seq <= taken {
                self.next = self.next.max(seq.next());
                from = after;
                continue;
            }
            if self.full(epoch, after - from, waiting) {
                self.append(waiting, bytes, from, here);
                (from, waiting) = (here, 0);
                self.close();
            }
            let packing = self.packing;
            match packing.fate(&frame) {
                Fate::Send { routed } => {
                    let (defined, open) = self.open(epoch, seq);
                    if routed {
                        open.definition_bytes += defined.define(&frame, packing.table, &mut open.definitions);
                    }
                    (open.crc, open.crc_before_skips) = (frame.crc, frame.crc);
                    open.last = seq;
                    match packing.unmarked(&frame) {
                        None => waiting += 1,
                        Some(unmarked) => {
                            self.append(waiting, bytes, from, here);
                            self.append_one(&unmarked);
                            (from, waiting) = (after, 0);
                        }
                    }
                }
                Fate::Skip => {
                    self.append(waiting, bytes, from, here);
                    self.open(epoch, seq).1.skip(seq);
                    (from, waiting) = (after, 0);
                }
                Fate::Pass => {
                    self.append(waiting, bytes, from, here);
                    let (defined, open) = self.open(epoch, seq);
                    open.definition_bytes += defined.define(&frame, packing.table, &mut open.definitions);
                    open.pass(seq, &frame);
                    (from, waiting) = (after, 0);
                }
                Fate::Lose(cause) => {
                    self.append(waiting, bytes, from, here);
                    self.open(epoch, seq).1.lose(seq, seq, packing.gap_cause(seq, cause));
                    (from, waiting) = (after, 0);
                }
            }
            self.next = seq.next();
        }
        self.append(waiting, bytes, from, place.at);
    }

    fn gap(&mut self, gap: Gap) {
        if gap.from > self.next {
            return;
        }
        let packing = self.packing;
        let regained = packing.regained.clamp(self.next.prev(), gap.to.max(self.next.prev()));
        for (from, to) in [(self.next, regained), (regained.next(), gap.to)] {
            for (epoch, from, to) in packing.chain.split(from, to) {
                let from = from.max(packing.taken.get(&epoch).copied().unwrap_or_default().next());
                self.next = to.next();
                if from > to {
                    continue;
                }
                if self.full(epoch, 0, 0) {
                    self.close();
                }
                self.open(epoch, from).1.lose(from, to, packing.gap_cause(from, gap.cause));
            }
        }
    }

    /// Whether the open batch cannot take one more item behind `bytes` of entries that wait.
    fn full(&self, epoch: Epoch, bytes: usize, waiting: u32) -> bool {
        let limits = self.packing.limits;
        self.open.as_ref().is_some_and(|open| {
            open.epoch != epoch
                || open.items.bytes() + open.definition_bytes + bytes + ITEM_SLACK_BYTES
                    > limits.batch_bytes as usize
                || open.items.entry_count() + waiting >= limits.batch_entries
                || open.gaps.len() >= limits.batch_entries as usize
        })
    }

    fn open(&mut self, epoch: Epoch, first: Seq) -> (&mut Defined, &mut Open) {
        let (defined, entries) = (&mut *self.defined, self.packing.limits.batch_entries);
        let open = self.open.get_or_insert_with(|| Open {
            epoch,
            first,
            last: first.prev(),
            items: ItemsWriter::default(),
            definitions: defined.start(entries),
            definition_bytes: 0,
            crc: 0,
            crc_before_skips: 0,
            gaps: Vec::new(),
        });
        (defined, open)
    }

    fn append(&mut self, count: u32, bytes: &Bytes, from: usize, to: usize) {
        if let (Some(open), Some(frames)) = (&mut self.open, bytes.get(from..to)) {
            open.items.entries(count, frames);
        }
    }

    fn append_one(&mut self, frame: &[u8]) {
        if let Some(open) = &mut self.open {
            open.items.entries(1, frame);
        }
    }

    fn close(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        let skips_only = open.items.entry_count() == 0 && open.gaps.is_empty();
        let unskipped = if self.packing.down && !skips_only { open.items.unskip() } else { 0 };
        let rest = (open.last.0.saturating_sub(unskipped), open.last);
        if unskipped > 0 {
            (open.last, open.crc) = (Seq(rest.0), open.crc_before_skips);
        }
        let bytes = (open.items.bytes() + open.definition_bytes + 32) as u64;
        let batch = Batch {
            epoch: open.epoch,
            first: open.first,
            last_added: self.packing.chain.last(),
            definitions: open.definitions,
            items: open.items.finish(),
        };
        let (epoch, last_added) = (open.epoch, batch.last_added);
        let unconfirmed =
            Unconfirmed { epoch, last: open.last, bytes, crc: open.crc, gaps: open.gaps, skips_only };
        self.done.push((batch, unconfirmed));
        if unskipped > 0 {
            self.done.push(skips(epoch, Seq(rest.0).next(), rest.1, last_added));
        }
    }
}

/// A batch of nothing but a skip.
pub(crate) fn skips(epoch: Epoch, first: Seq, last: Seq, last_added: Seq) -> Packed {
    let mut items = ItemsWriter::default();
    items.skip(last.next().0.saturating_sub(first.0));
    let (definitions, items) = (Definitions::default(), items.finish());
    let bytes = items.len() as u64 + 32;
    let unconfirmed = Unconfirmed { epoch, last, bytes, crc: 0, gaps: Vec::new(), skips_only: true };
    (Batch { epoch, first, last_added, definitions, items }, unconfirmed)
}

impl Open {
    fn skip(&mut self, seq: Seq) {
        self.items.skip(1);
        (self.last, self.crc) = (seq, 0);
    }

    /// What says that one seq of a log below is none for the hub.
    fn pass(&mut self, seq: Seq, frame: &Frame<'_>) {
        let Some(origin) = frame.origin else { return self.skip(seq) };
        let stamp = Body::read(frame.body).map_or_else(|_| Stamp::default(), |body| body.stamp);
        let mut out = Vec::new();
        Passed { from: origin.seq, first: Seq::ZERO, cause: None }.write(stamp, &mut out);
        let Ok((passed, _)) = Frame::read(&out, 0) else { return self.skip(seq) };
        let mut said = Vec::new();
        Frame { origin: Some(origin), ..passed }.write(&mut said);
        self.items.entries(1, &said);
        // The entry there is another than the hub's.
        (self.last, self.crc, self.crc_before_skips) = (seq, 0, 0);
    }

    fn lose(&mut self, from: Seq, to: Seq, cause: Cause) {
        self.items.gap(to.0 - from.0 + 1, cause);
        (self.last, self.crc, self.crc_before_skips) = (to, 0, 0);
        match self.gaps.last_mut() {
            Some((_, end, before)) if *before == cause && end.next() == from => *end = to,
            Some(_) | None => self.gaps.push((from, to, cause)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receivers::DOWN_LIMITS;
    use riser_model::{ClientId, EpochSpan, RoomId, Wall};
    use riser_wire::entry::{ContentType, Origin, Publication, frames};
    use riser_wire::link::{Item, Items, Opening};
    use uuid::Uuid;

    fn run(uncertain: &[bool]) -> Vec<Bytes> {
        let each = (1..).zip(uncertain).map(|(seq, uncertain)| {
            let mut bytes = Vec::new();
            Publication::new(ContentType::Text, b"x").write_frame(
                &mut bytes,
                RouteNumber(0),
                Stamp::default(),
            );
            let (frame, _) = Frame::read(&bytes, 0).unwrap();
            let origin = Origin { number: 1, seq: Seq(seq), wall: Wall(7), uncertain: *uncertain };
            let mut out = Vec::new();
            Frame { origin: Some(origin), ..frame }.write(&mut out);
            out.into()
        });
        each.collect()
    }

    /// Whether each of what goes is marked, in a batch and as the present.
    fn goes(down: bool, marks: &[bool]) -> [Vec<(u64, bool)>; 2] {
        let all = run(marks);
        let count = all.len() as u64;
        let span = EpochSpan { epoch: Epoch(1), first: Seq(1), last: Seq(count) };
        let mut table = Table::default();
        let route =
            Route { room: RoomId(Uuid::nil()), channel: "a".parse().unwrap(), client: ClientId(Uuid::nil()) };
        table.route(RouteNumber(0), Arc::new(route), true);
        table.origin(1, (LogId(5), Epoch(1)), true);
        let packing = Packing {
            chain: &Chain::new(vec![Opening { span, anchor: None }]),
            table: &table,
            hub: LogId(9),
            limits: DOWN_LIMITS,
            taken: &BTreeMap::new(),
            regained: Seq::ZERO,
            down,
        };
        let entries = Bytes::from(all.concat());
        let runs = vec![Run::Entries { epoch: Epoch(1), first: Seq(1), count: count as u32, entries }];
        let chunk = Chunk { runs, next: Seq(count + 1) };
        let packed = packing.pack(&mut Defined::default(), &mut Seq(1), &chunk);
        let values: Vec<_> = (1..).map(Seq).zip(all).map(|(seq, one)| (seq, RouteNumber(0), one)).collect();
        let latest = packing.pack_latest(&mut Defined::default(), &values);
        let marks = |batches: Vec<Batch>| {
            let items = batches.into_iter().flat_map(|batch| Items::new(batch.first, batch.items));
            let read = items.flat_map(|item| match item.unwrap() {
                Item::Entries { frames: bytes, .. } => {
                    let of = |frame: Frame<'_>| (frame.origin.unwrap().seq.0, frame.is_uncertain());
                    frames(&bytes).map(|frame| of(frame.unwrap())).collect::<Vec<_>>()
                }
                Item::Gap(_) | Item::Skip { .. } => Vec::new(),
            });
            read.collect::<Vec<_>>()
        };
        [marks(packed.into_iter().map(|(batch, _)| batch).collect()), marks(latest)]
    }

    #[test]
    fn a_time_that_is_marked_goes_up_so_and_down_as_older_edges_read_it() {
        let marked = [(1, false), (2, true), (3, true), (4, false)].to_vec();
        let plain: Vec<_> = marked.iter().map(|(seq, _)| (*seq, false)).collect();
        let marks = [false, true, true, false];
        assert_eq!(goes(false, &marks), [marked.clone(), marked]);
        assert_eq!(goes(true, &marks), [plain.clone(), plain]);
    }
}
