//! From publications to numbered batches, and what waits until they are on disk.
//!
//! Seqs are dense and rise in the order in which batches leave for the storage. A batch that fails takes all
//! that were numbered after it with it, and their seqs are given again. Who waits for a batch is a *piece* of
//! it; pieces are answered in the order of the batches, so receipts of a connection come in the order of its
//! tickets, those of refused ones too.

use crate::{
    connection::Unplaced,
    graph::{ChannelSlot, Way},
    output::{Output, Placed},
    quota::Charged,
    routes::{Definitions, Routes, Written},
    tail::Block,
    technical::Said,
};
use bytes::Bytes;
use riser_model::{
    Batch, ClientId, ConnectionId, CursorKey, CursorMove, CursorValue, Epoch, Seq, Time,
    door::{Code, Refusal},
};
use riser_wire::entry::{Body, Frame, Kind, Origin, PublishId, frame_size};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

/// Who waits for (a part of) a batch.
#[derive(Debug)]
pub(crate) enum Piece {
    /// A connection's publications.
    Intake {
        connection: ConnectionId,
        ticket: u64,
        /// The seq of the first one stored.
        first: Seq,
        /// Which of the intake's entries this piece speaks of.
        indexes: std::ops::Range<u32>,
        /// Those of them that were refused, rising.
        refused: Vec<(u32, Refusal)>,
        /// Those of them that were sent before: whether they are in the log is known by then.
        resent: Vec<(u32, ClientId, PublishId)>,
        /// Those that are replayed to others from their commit on.
        owned: Vec<(Seq, ChannelSlot)>,
        /// Those that are in quarantine, for no channel was named.
        unplaced: Vec<(Seq, Arc<Unplaced>)>,
        bytes: usize,
        /// What rooms' quotas were charged for them.
        charged: Charged,
        /// Whether the intake ends here.
        last: bool,
    },
    /// Nobody: the system speaks.
    Said(Box<Said>),
    /// The layer above. With what rooms' quotas were charged.
    Done { token: u64, placed: Placed, charged: Charged },
}

/// Whose pieces come in an order that is kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Whose {
    Connection(ConnectionId),
    /// The layer above.
    Owner,
    System,
}

impl Piece {
    fn of(&self) -> Whose {
        match self {
            Self::Intake { connection, .. } => Whose::Connection(*connection),
            Self::Said(_) => Whose::System,
            Self::Done { .. } => Whose::Owner,
        }
    }
}

/// The batch that is being filled.
#[derive(Debug, Default)]
struct Open {
    entries: Vec<u8>,
    offsets: Vec<u32>,
    channels: Vec<ChannelSlot>,
    ids: Vec<Published>,
    pieces: Vec<Piece>,
    cursors: Vec<CursorMove>,
    /// Since when anything is in it.
    since: Option<Time>,
    /// Whether anybody waits for it.
    awaited: bool,
}

impl Open {
    fn begin(&mut self, (bytes, entries): (usize, usize)) {
        self.entries.reserve(bytes);
        self.offsets.reserve(entries);
        self.channels.reserve(entries);
    }
}

fn trim<T>(list: &mut Vec<T>) {
    if list.capacity() - list.len() > list.len() / 8 {
        list.shrink_to_fit();
    }
}

/// What the batch held that was being filled when one before it failed.
#[derive(Debug, Default)]
pub(crate) struct Undone {
    pub(crate) pieces: Vec<Piece>,
    /// How many entries.
    pub(crate) count: u64,
}

/// How far the open batch was filled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    bytes: usize,
    count: usize,
    awaited: bool,
}

/// A publish id in a batch: the entry's place, whose it is, and the id.
pub(crate) type Published = (u32, ClientId, PublishId);

/// A batch on its way to the disk.
#[derive(Debug)]
pub(crate) struct Unstored {
    ticket: u64,
    pub(crate) block: Block,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) ids: Vec<Published>,
    riding: BTreeMap<CursorKey, CursorValue>,
    written: Written,
}

impl Unstored {
    pub(crate) fn ticket(&self) -> u64 {
        self.ticket
    }
}

#[derive(Debug)]
pub(crate) struct Line {
    epoch: Epoch,
    next: Seq,
    ticket: u64,
    open: Open,
    unstored: VecDeque<Unstored>,
    unstored_bytes: usize,
    /// Publish ids in all of these.
    ids: BTreeSet<(ClientId, PublishId)>,
    /// Cursors that move with the next batch.
    riding: BTreeMap<CursorKey, CursorValue>,
    /// Bytes and entries of the last batch: the next is given as much room when it begins.
    last: (usize, usize),
}

impl Line {
    pub(crate) fn new(epoch: Epoch, next: Seq) -> Self {
        Self {
            epoch,
            next,
            ticket: 0,
            open: Open::default(),
            unstored: VecDeque::new(),
            unstored_bytes: 0,
            ids: BTreeSet::new(),
            riding: BTreeMap::new(),
            last: (0, 0),
        }
    }

    /// The seq that the next entry gets.
    pub(crate) fn next(&self) -> Seq {
        self.next.plus(self.open.offsets.len() as u64)
    }

    /// What waits, bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.unstored_bytes + self.open.entries.len()
    }

    /// Whether so many more bytes still fit into the batch that is being filled. One entry always does.
    pub(crate) fn fits(&self, bytes: usize, bytes_max: usize) -> bool {
        self.open.entries.is_empty() || self.open.entries.len() + bytes <= bytes_max
    }

    /// The size of an entry with that origin.
    pub(crate) fn size(frame: &Frame<'_>, origin: Option<Origin>) -> usize {
        frame_size(origin, frame.body.len())
    }

    /// Numbers one entry.
    pub(crate) fn add(&mut self, frame: &Frame<'_>, way: Way, origin: Option<Origin>) {
        let (kind, awaited) = match Body::read(frame.body) {
            Ok(body) => (body.kind, body.awaited()),
            Err(_) => (Kind::Other(0), true),
        };
        let open = &mut self.open;
        if open.offsets.is_empty() {
            open.begin(self.last);
        }
        // A batch stays far below 4 GiB.
        open.offsets.push(open.entries.len() as u32);
        open.channels.push(if kind == Kind::Publication { way.channel } else { ChannelSlot::NONE });
        open.awaited |= awaited;
        Frame { route: way.route, origin, ..*frame }.write(&mut open.entries);
    }

    /// The entry that was numbered last bears a publish id of that client's.
    pub(crate) fn identify(&mut self, client: ClientId, id: PublishId) {
        // A batch has far fewer entries than u32 has numbers.
        let place = self.open.offsets.len().saturating_sub(1) as u32;
        self.open.ids.push((place, client, id));
        self.ids.insert((client, id));
    }

    /// Whether a publication with that id is on its way to the disk.
    pub(crate) fn carries(&self, client: ClientId, id: PublishId) -> bool {
        self.ids.contains(&(client, id))
    }

    /// As [`Line::add`], for what nobody waits for whatever it is.
    pub(crate) fn add_unawaited(&mut self, frame: &Frame<'_>, way: Way) {
        let awaited = self.open.awaited;
        self.add(frame, way, None);
        self.open.awaited = awaited;
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark { bytes: self.open.entries.len(), count: self.open.offsets.len(), awaited: self.open.awaited }
    }

    /// Takes back what was added since.
    pub(crate) fn back(&mut self, mark: Mark) {
        self.open.entries.truncate(mark.bytes);
        self.open.offsets.truncate(mark.count);
        self.open.channels.truncate(mark.count);
        self.open.awaited = mark.awaited;
    }

    /// Somebody waits for what was added.
    pub(crate) fn await_open(&mut self, piece: Piece, now: Time) {
        self.open.since.get_or_insert(now);
        self.open.pieces.push(piece);
    }

    /// Answers a piece without entries after everything that is on its way.
    pub(crate) fn await_last(&mut self, piece: Piece, now: Time) {
        match self.unstored.back_mut() {
            Some(unstored) if self.open.since.is_none() => unstored.pieces.push(piece),
            Some(_) | None => self.await_open(piece, now),
        }
    }

    /// Cursors that must move with what was added, at once.
    pub(crate) fn move_cursors(&mut self, cursors: Vec<CursorMove>, now: Time) {
        if !cursors.is_empty() {
            self.open.since.get_or_insert(now);
            self.open.awaited = true;
            self.open.cursors.extend(cursors);
        }
    }

    /// A cursor that moves with the next batch.
    pub(crate) fn ride(&mut self, key: CursorKey, value: CursorValue) {
        self.riding.insert(key, value);
    }

    /// What is open is stored without waiting for company, cursors alone too.
    pub(crate) fn hurry(&mut self, now: Time) {
        if self.open.since.is_some() || !self.riding.is_empty() {
            self.open.since.get_or_insert(now);
            self.open.awaited = true;
        }
    }

    /// When the open batch has waited long enough.
    pub(crate) fn deadline(&self, hold: Duration) -> Option<Time> {
        let since = self.open.since?;
        Some(if self.open.awaited { since } else { since.plus(hold) })
    }

    /// Closes the open batch and sends it on its way.
    pub(crate) fn seal(&mut self, routes: &mut Routes) -> Option<Output> {
        self.open.since?;
        let Open { mut entries, mut offsets, mut channels, ids, pieces, mut cursors, .. } =
            std::mem::take(&mut self.open);
        self.last = (entries.len(), offsets.len());
        // These stay for as long as the tail reaches back: what they have much beyond their needs is given back.
        trim(&mut entries);
        trim(&mut offsets);
        trim(&mut channels);
        let riding = std::mem::take(&mut self.riding);
        cursors.extend(riding.iter().map(|(key, value)| (*key, Some(*value))));
        // Cursors alone may fail alone: nothing that others build on is in their batch.
        let (Definitions { routes: new_routes, origins }, written) =
            if offsets.is_empty() { routes.define_nothing() } else { routes.define() };
        self.ticket += 1;
        let ticket = self.ticket;
        let first = self.next;
        // One batch stays far below 2^32 entries.
        let count = offsets.len() as u32;
        let entries = Bytes::from(entries);
        let connections = pieces.iter().filter(|piece| matches!(piece, Piece::Intake { .. })).count() as u32;
        let batch = Batch { first, entries: entries.clone(), count, routes: new_routes, origins, cursors };
        self.next = first.plus(u64::from(count));
        self.unstored_bytes += entries.len();
        let block = Block { first, epoch: self.epoch, entries, offsets, channels };
        self.unstored.push_back(Unstored { ticket, block, pieces, ids, riding, written });
        Some(Output::Persist { ticket, batch, connections })
    }

    /// The oldest batch on its way, if it is on disk once `ticket` is.
    pub(crate) fn stored(&mut self, ticket: u64) -> Option<Unstored> {
        if self.unstored.front()?.ticket > ticket {
            return None;
        }
        let stored = self.unstored.pop_front()?;
        self.unstored_bytes -= stored.block.entries.len();
        self.land(&stored.ids);
        Some(stored)
    }

    fn land(&mut self, ids: &[Published]) {
        for (_, client, id) in ids {
            self.ids.remove(&(*client, *id));
        }
    }

    /// The batches that fail when `ticket` does: it, and if it has entries all that were numbered after it. Their seqs,
    /// definitions and riding cursors are free again. What is being filled moves up, unless it has anything of somebody
    /// who loses something: that would overtake what is sent again.
    pub(crate) fn failed(&mut self, ticket: u64, routes: &mut Routes) -> (Vec<Unstored>, Undone) {
        let Ok(from) = self.unstored.binary_search_by_key(&ticket, |unstored| unstored.ticket) else {
            return Default::default();
        };
        let alone = self.unstored.get(from).is_some_and(|unstored| unstored.block.count() == 0);
        let to = if alone { from + 1 } else { self.unstored.len() };
        let failed: Vec<Unstored> = self.unstored.drain(from..to).collect();
        for unstored in &failed {
            self.unstored_bytes -= unstored.block.entries.len();
            self.land(&unstored.ids);
        }
        // The newest value of a cursor is the one that rides on.
        for unstored in failed.iter().rev() {
            for (key, value) in &unstored.riding {
                self.riding.entry(*key).or_insert(*value);
            }
        }
        let Some(first) = failed.first().filter(|_| !alone) else { return (failed, Undone::default()) };
        routes.undefine(first.written);
        let losers: BTreeSet<_> =
            failed.iter().flat_map(|unstored| &unstored.pieces).map(Piece::of).collect();
        if !self.open.pieces.iter().any(|piece| losers.contains(&piece.of())) {
            self.renumber(first.block.first);
            return (failed, Undone::default());
        }
        self.next = first.block.first;
        let Open { offsets, ids, pieces, .. } = std::mem::take(&mut self.open);
        self.land(&ids);
        (failed, Undone { pieces, count: offsets.len() as u64 })
    }

    fn renumber(&mut self, next: Seq) {
        let by = self.next.0 - next.0;
        self.next = next;
        for piece in &mut self.open.pieces {
            match piece {
                Piece::Intake { first, owned, unplaced, .. } => {
                    first.0 -= by;
                    unplaced.iter_mut().for_each(|(seq, _)| seq.0 -= by);
                    owned.iter_mut().for_each(|(seq, _)| seq.0 -= by);
                }
                Piece::Done { placed, .. } => placed.first.0 -= by,
                Piece::Said(_) => {}
            }
        }
    }
}

/// The refusal of entries whose batch failed.
pub(crate) fn failure(code: Code) -> Refusal {
    let (what, want) = match code {
        Code::QuotaExceeded => ("the log's quota is used up", "publish again when the link has drained it"),
        Code::ShuttingDown => ("the instance is going down", "publish again later"),
        Code::TooMany => ("too much waits for the disk", "publish again later"),
        _ => ("the log could not commit", "publish again later"),
    };
    Refusal { code, what: what.into(), want: want.into() }
}
