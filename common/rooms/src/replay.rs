//! Reading what is older than the tail: one bounded read per connection at a time, one chunk held for it.
//!
//! A chunk is read for all subscriptions of its connection that wait for the disk, and has what may concern any of
//! them; each serves itself where it stands inside it. It is held until they are through, or until all that is
//! held by everybody exceeds its bound; then it is let go and read again when its reader comes. While few read, the
//! chunk after it is read meanwhile, and is the one that is held once they are through.

use crate::{
    graph::ChannelSlot,
    routes::Routes,
    subscription::{Scope, Subscription, View, is_told},
    tail::{Block, Found},
};
use riser_model::{Gap, Principal, RouteNumber, Run, Selected, Seq, SubscriptionId, Time};
use riser_wire::entry::{Body, Kind, frames};
use std::collections::{BTreeSet, VecDeque};

/// Entries, a gap, or what was passed over, as they were read.
#[derive(Debug)]
enum Piece {
    Block(Block),
    Gap(Gap),
    Skip(Seq, Seq),
}

impl Piece {
    fn first(&self) -> Seq {
        match self {
            Self::Block(block) => block.first,
            Self::Gap(gap) => gap.from,
            Self::Skip(from, _) => *from,
        }
    }

    fn next(&self) -> Seq {
        match self {
            Self::Block(block) => block.next(),
            Self::Gap(gap) => gap.to.next(),
            Self::Skip(_, to) => to.next(),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Block(block) => block.size(),
            Self::Gap(_) | Self::Skip(..) => size_of::<Self>(),
        }
    }
}

/// One place in a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Item {
    Entry(Seq, ChannelSlot),
    Gap(Gap),
    /// Nothing up to here concerns those for whom it was read.
    Skip(Seq, Seq),
}

impl Item {
    pub(crate) fn first(&self) -> Seq {
        match self {
            Self::Entry(seq, _) => *seq,
            Self::Gap(gap) => gap.from,
            Self::Skip(from, _) => *from,
        }
    }
}

/// A chunk that was read for one connection.
#[derive(Debug)]
pub(crate) struct Held {
    from: Seq,
    pieces: Vec<Piece>,
    pub(crate) bytes: usize,
    /// Its place among all that are held: the lowest is let go first.
    pub(crate) arrival: u64,
    /// For whom it was read; none means for everybody.
    readers: Option<BTreeSet<SubscriptionId>>,
    /// The numbers that are known for it alone.
    pub(crate) archived: Vec<RouteNumber>,
}

/// About what a route takes that is known for one chunk alone.
const ROUTE_BYTES: usize = 512;

impl Held {
    /// Indexes what was read. Holes between the runs that were not passed over become gaps, as `missing` words them.
    /// None if it says nothing from `from` on.
    pub(crate) fn new(
        from: Seq,
        found: Selected,
        routes: &Routes,
        missing: impl Fn(Seq, Seq) -> Vec<Gap>,
        arrival: u64,
    ) -> Option<Self> {
        let mut held =
            Self { from, pieces: Vec::new(), bytes: 0, arrival, readers: None, archived: Vec::new() };
        let mut skips = found.skips.into_iter().peekable();
        for run in found.chunk.runs {
            let piece = match run {
                Run::Entries { first, epoch, entries, .. } => {
                    Piece::Block(index(first, epoch, entries, routes))
                }
                Run::Gap(gap) => Piece::Gap(gap),
            };
            while let Some((from, to)) = skips.next_if(|(from, _)| *from < piece.first()) {
                held.push(Piece::Skip(from, to), &missing);
            }
            held.push(piece, &missing);
        }
        skips.for_each(|(from, to)| held.push(Piece::Skip(from, to), &missing));
        (held.next() > from).then_some(held)
    }

    /// The same, with what may concern these subscriptions only.
    pub(crate) fn with_readers(self, readers: BTreeSet<SubscriptionId>) -> Self {
        Self { readers: Some(readers), ..self }
    }

    /// The same, with numbers that are forgotten with it.
    pub(crate) fn with_routes(self, archived: Vec<RouteNumber>) -> Self {
        Self { bytes: self.bytes + archived.len() * ROUTE_BYTES, archived, ..self }
    }

    fn push(&mut self, piece: Piece, missing: &impl Fn(Seq, Seq) -> Vec<Gap>) {
        if piece.next() <= self.next() {
            return;
        }
        if piece.first() > self.next() {
            let hole = missing(self.next(), piece.first().prev());
            self.pieces.extend(hole.into_iter().map(Piece::Gap));
        }
        self.bytes += piece.size();
        self.pieces.push(piece);
    }

    /// The seq after the last that it speaks of.
    pub(crate) fn next(&self) -> Seq {
        self.pieces.last().map_or(self.from, Piece::next)
    }

    /// Whether a subscription finds there what concerns it at that seq.
    pub(crate) fn covers(&self, seq: Seq, reader: SubscriptionId) -> bool {
        let for_it = self.readers.as_ref().is_none_or(|readers| readers.contains(&reader));
        for_it && self.from <= seq && seq < self.next()
    }

    /// A subscription is another one from now on.
    pub(crate) fn forget(&mut self, reader: SubscriptionId) {
        if let Some(readers) = &mut self.readers {
            readers.remove(&reader);
        }
    }

    fn piece(&self, seq: Seq) -> Option<&Piece> {
        self.pieces.get(self.pieces.partition_point(|piece| piece.next() <= seq))
    }

    /// What follows `cursor`.
    pub(crate) fn after(&self, cursor: Seq) -> Option<Item> {
        let seq = cursor.next().max(self.from);
        match self.piece(seq)? {
            Piece::Gap(gap) => Some(Item::Gap(Gap { from: seq.max(gap.from), ..*gap })),
            Piece::Skip(from, to) => Some(Item::Skip(seq.max(*from), *to)),
            Piece::Block(block) => {
                let channel = block.channels.get(block.place(seq)?)?;
                Some(Item::Entry(seq, *channel))
            }
        }
    }

    pub(crate) fn get(&self, seq: Seq) -> Option<Found> {
        match self.piece(seq)? {
            Piece::Block(block) => block.get(seq),
            Piece::Gap(_) | Piece::Skip(..) => None,
        }
    }
}

/// Finds the places of entries that were read. What cannot be walked ends it: its bytes passed the log's own
/// checks, so the rest is asked for again and met as a gap there.
pub(crate) fn index(first: Seq, epoch: riser_model::Epoch, entries: bytes::Bytes, routes: &Routes) -> Block {
    let mut block = Block { first, epoch, entries, offsets: Vec::new(), channels: Vec::new() };
    let entries = block.entries.clone();
    let mut walk = frames(&entries);
    loop {
        let at = walk.at();
        let Some(Ok(frame)) = walk.next() else { break };
        let publication = Body::read(frame.body).is_ok_and(|body| body.kind == Kind::Publication);
        let channel = if publication { routes.known(frame.route).map(|known| known.channel) } else { None };
        // A chunk is far smaller than 4 GiB.
        block.offsets.push(at as u32);
        block.channels.push(channel.unwrap_or(ChannelSlot::NONE));
    }
    block
}

/// A read that is on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Asked {
    pub(crate) ticket: u64,
    pub(crate) what: What,
}

/// What was asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// What comes next for these, from there on.
    On { from: Seq, readers: BTreeSet<SubscriptionId> },
    /// What was before, for one that seeks its place.
    Back { before: Seq, reader: SubscriptionId },
}

/// What a connection reads from the disk.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// Its subscriptions that are `Reading` or `Seeking`.
    pub(crate) reading: BTreeSet<SubscriptionId>,
    pub(crate) asked: Option<Asked>,
    /// What they stand in.
    pub(crate) held: Option<Held>,
    /// What comes after it; nothing as long as nothing is held.
    pub(crate) ahead: Option<Held>,
    /// The chunk whose next one had to make room or could not be read: it is not read ahead again.
    pub(crate) alone: Option<u64>,
    /// Which subscription the last read was for.
    turn: SubscriptionId,
    /// Not before then: the last read brought nothing.
    pub(crate) again: Option<Time>,
}

impl Replay {
    /// A subscription ends, or is another one from now on.
    pub(crate) fn forget(&mut self, id: SubscriptionId) {
        self.reading.remove(&id);
        self.read_anew(id);
    }

    /// What was read for a subscription, or is being read, may lack what concerns it from now on.
    pub(crate) fn read_anew(&mut self, id: SubscriptionId) {
        for held in self.held.iter_mut().chain(&mut self.ahead) {
            held.forget(id);
        }
        if let Some(Asked { what: What::On { readers, .. }, .. }) = &mut self.asked {
            readers.remove(&id);
        }
        let back = |asked: &mut Asked| matches!(asked.what, What::Back { reader, .. } if reader == id);
        self.asked.take_if(back);
    }

    /// Whose turn it is to be read for.
    pub(crate) fn choose(&mut self) -> Option<SubscriptionId> {
        let after = SubscriptionId(self.turn.0.saturating_add(1));
        let next = self.reading.range(after..).next().or_else(|| self.reading.first()).copied();
        self.turn = next?;
        next
    }
}

/// The search for the n-th last publication: pieces of the log that may have any, from its end backwards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seek {
    /// How many are still to be found ...
    wanted: usize,
    /// ... before here.
    before: Seq,
    /// The oldest that was found.
    earliest: Option<Seq>,
    /// Where it starts if nothing is found: what was committed when it was asked.
    live: Seq,
    /// How many entries it may still look at.
    seqs_left: u64,
    /// More were asked for than it looks for.
    bounded: bool,
}

/// How a search stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sought {
    /// It needs what is before this.
    Before(Seq),
    /// The subscription starts after this seq; whether all was found that is there.
    Start { cursor: Seq, whole: bool },
}

impl Seek {
    /// Goes on before `before`, `earliest` being what the tail had.
    pub(crate) fn new(wanted: usize, before: Seq, earliest: Option<Seq>, live: Seq, seqs_max: u64) -> Self {
        Self { wanted, before, earliest, live, seqs_left: seqs_max, bounded: false }
    }

    /// The same where more were asked for than it looks for: what it finds is not all.
    pub(crate) fn bounded(self, bounded: bool) -> Self {
        Self { bounded, ..self }
    }

    /// How it stands.
    pub(crate) fn stands(&self, oldest: Seq) -> Sought {
        // What was trimmed since it was found is not there any more; what came after it is.
        let cursor = self.earliest.map_or(self.live, |seq| seq.max(oldest).prev());
        if self.wanted == 0 || self.before <= oldest {
            return Sought::Start { cursor, whole: !self.bounded || self.wanted > 0 };
        }
        if self.seqs_left == 0 {
            return Sought::Start { cursor, whole: false };
        }
        Sought::Before(self.before)
    }

    /// Everything from there on was looked at.
    pub(crate) fn passed(&mut self, down_to: Seq) {
        self.before = self.before.min(down_to);
    }

    /// Looks through the piece before what was looked at last.
    pub(crate) fn take(&mut self, held: &Held, mut meets: impl FnMut(Seq, ChannelSlot) -> bool) {
        let mut ring: VecDeque<Seq> = VecDeque::new();
        let mut cursor = held.from.prev();
        while let Some(item) = held.after(cursor).filter(|item| item.first() < self.before) {
            cursor = match item {
                Item::Gap(gap) => gap.to,
                Item::Skip(_, to) => to,
                Item::Entry(seq, channel) => {
                    self.seqs_left = self.seqs_left.saturating_sub(1);
                    if channel != ChannelSlot::NONE && meets(seq, channel) {
                        if ring.len() == self.wanted {
                            ring.pop_front();
                        }
                        ring.push_back(seq);
                    }
                    seq
                }
            };
        }
        self.wanted -= ring.len();
        self.earliest = ring.front().copied().or(self.earliest);
        self.passed(held.from);
    }
}

/// The seqs of the last `n` that a subscription would see in the tail: how many there are, and the oldest.
pub(crate) fn last_in_tail(
    subscription: &mut Subscription,
    view: &View<'_>,
    n: usize,
) -> (usize, Option<Seq>) {
    let principal: &Principal = view.principal;
    let (mut count, mut earliest) = (0, None);
    match &subscription.scope {
        Scope::Channel(slot) => {
            let index = &view.graph.channel(*slot).index;
            count = index.len().min(n);
            earliest = index.get(index.len() - count).copied().filter(|_| count > 0);
        }
        Scope::Rooms { .. } => {
            for (seq, slot) in view.tail.publications_back() {
                if count == n {
                    break;
                }
                let is_met = subscription.meets(view.graph, principal, slot, seq);
                if is_met && view.tail.get(seq).is_none_or(|found| is_told(view, &found)) {
                    count += 1;
                    earliest = Some(seq);
                }
            }
        }
    }
    (count, earliest)
}
