//! Reading what is older than the tail: one bounded read per connection at a time, one chunk held for it.
//!
//! A chunk serves every subscription of its connection that stands inside it. It is held until they are
//! through, or until all that is held by everybody exceeds its bound; then it is let go and read again when
//! its reader comes.

use crate::{
    graph::ChannelSlot,
    routes::Routes,
    subscription::{Scope, State, Subscription, View},
    tail::{Block, Found},
};
use riser_model::{Chunk, Gap, Principal, Run, Seq, SubscriptionId, Time};
use riser_wire::entry::{Body, Kind, frames};
use std::collections::{BTreeSet, VecDeque};

/// The first step back of a search for the last n, in seqs. Doubles with every step.
const WINDOW: u64 = 1024;
/// Its largest step.
const WINDOW_MAX: u64 = 65_536;

/// Entries or a gap, as they were read.
#[derive(Debug)]
enum Piece {
    Block(Block),
    Gap(Gap),
}

impl Piece {
    fn next(&self) -> Seq {
        match self {
            Self::Block(block) => block.next(),
            Self::Gap(gap) => gap.to.next(),
        }
    }
}

/// One place in a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Item {
    Entry(Seq, ChannelSlot),
    Gap(Gap),
}

impl Item {
    pub(crate) fn first(&self) -> Seq {
        match self {
            Self::Entry(seq, _) => *seq,
            Self::Gap(gap) => gap.from,
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
}

impl Held {
    /// Indexes what was read. Holes between the runs become gaps, as `missing` words them. None if it holds
    /// nothing from `from` on.
    pub(crate) fn new(
        from: Seq,
        chunk: Chunk,
        routes: &Routes,
        missing: impl Fn(Seq, Seq) -> Vec<Gap>,
        arrival: u64,
    ) -> Option<Self> {
        let mut held = Self { from, pieces: Vec::new(), bytes: 0, arrival };
        for run in chunk.runs {
            let piece = match run {
                Run::Entries { first, epoch, entries, .. } => {
                    Piece::Block(index(first, epoch, entries, routes))
                }
                Run::Gap(gap) => Piece::Gap(gap),
            };
            let first = match &piece {
                Piece::Block(block) => block.first,
                Piece::Gap(gap) => gap.from,
            };
            if piece.next() <= held.next() {
                continue;
            }
            if first > held.next() {
                let hole = missing(held.next(), first.prev());
                held.pieces.extend(hole.into_iter().map(Piece::Gap));
            }
            held.bytes += match &piece {
                Piece::Block(block) => block.size(),
                Piece::Gap(_) => size_of::<Piece>(),
            };
            held.pieces.push(piece);
        }
        (held.next() > from).then_some(held)
    }

    /// The seq after the last that it speaks of.
    pub(crate) fn next(&self) -> Seq {
        self.pieces.last().map_or(self.from, Piece::next)
    }

    pub(crate) fn covers(&self, seq: Seq) -> bool {
        self.from <= seq && seq < self.next()
    }

    fn piece(&self, seq: Seq) -> Option<&Piece> {
        self.pieces.get(self.pieces.partition_point(|piece| piece.next() <= seq))
    }

    /// What follows `cursor`.
    pub(crate) fn after(&self, cursor: Seq) -> Option<Item> {
        let seq = cursor.next().max(self.from);
        match self.piece(seq)? {
            Piece::Gap(gap) => Some(Item::Gap(Gap { from: seq.max(gap.from), ..*gap })),
            Piece::Block(block) => {
                let channel = block.channels.get(block.place(seq)?)?;
                Some(Item::Entry(seq, *channel))
            }
        }
    }

    pub(crate) fn get(&self, seq: Seq) -> Option<Found> {
        match self.piece(seq)? {
            Piece::Block(block) => block.get(seq),
            Piece::Gap(_) => None,
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
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) ticket: u64,
    pub(crate) from: Seq,
}

/// What a connection reads from the disk.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    /// Its subscriptions that are `Reading` or `Seeking`.
    pub(crate) reading: BTreeSet<SubscriptionId>,
    pub(crate) asked: Option<Asked>,
    pub(crate) held: Option<Held>,
    /// Which subscription the last read was for.
    turn: SubscriptionId,
    /// Not before then: the last read brought nothing.
    pub(crate) again: Option<Time>,
}

impl Replay {
    /// Whose turn it is to be read for.
    pub(crate) fn choose(&mut self) -> Option<SubscriptionId> {
        let after = SubscriptionId(self.turn.0.saturating_add(1));
        let next = self.reading.range(after..).next().or_else(|| self.reading.first()).copied();
        self.turn = next?;
        next
    }
}

/// The search for the n-th last publication: windows of the log, from its end backwards, each read forwards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seek {
    /// How many are still to be found before the window.
    wanted: usize,
    /// The window: from here ...
    from: Seq,
    /// ... to before here.
    to: Seq,
    /// The next seq of it to look at.
    at: Seq,
    step: u64,
    /// The newest of the window that were found.
    ring: VecDeque<Seq>,
    /// The oldest that was found after the window.
    earliest: Option<Seq>,
    /// Where it starts if nothing is found: what was committed when it was asked.
    live: Seq,
    seqs_left: u64,
}

/// How a search stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sought {
    /// It needs the log from here.
    At(Seq),
    /// The subscription starts after this seq; whether all was found that is there.
    Start { cursor: Seq, whole: bool },
}

impl Seek {
    /// Goes on before `to`, `earliest` being what the tail had.
    pub(crate) fn new(wanted: usize, to: Seq, earliest: Option<Seq>, live: Seq, seqs_max: u64) -> Self {
        let ring = VecDeque::new();
        let (from, at, step) = (to, to, WINDOW / 2);
        Self { wanted, from, to, at, step, ring, earliest, live, seqs_left: seqs_max }
    }

    /// How it stands; steps back when the window is done.
    pub(crate) fn step(&mut self, oldest: Seq) -> Sought {
        if self.at < self.to {
            self.at = self.at.max(oldest).min(self.to);
        }
        if self.at < self.to {
            return Sought::At(self.at);
        }
        self.wanted -= self.ring.len();
        self.earliest = self.ring.front().copied().or(self.earliest);
        self.ring.clear();
        // What was trimmed since it was found is not there any more; what came after it is.
        let found = self.earliest.map(|seq| seq.max(oldest).prev());
        let start = |whole| Sought::Start { cursor: found.unwrap_or(self.live), whole };
        if self.wanted == 0 || self.from <= oldest {
            return start(true);
        }
        if self.seqs_left == 0 {
            return start(false);
        }
        self.step = (self.step * 2).min(WINDOW_MAX).min(self.seqs_left);
        self.seqs_left -= self.step;
        self.to = self.from;
        self.from = Seq(self.from.0.saturating_sub(self.step)).max(oldest);
        self.at = self.from;
        Sought::At(self.at)
    }

    fn found(&mut self, seq: Seq) {
        if self.ring.len() == self.wanted {
            self.ring.pop_front();
        }
        self.ring.push_back(seq);
    }
}

/// Looks through what is held for a seeking subscription, as far as it goes.
pub(crate) fn seek(subscription: &mut Subscription, view: &View<'_>) -> Option<Sought> {
    let State::Seeking(mut seek) = std::mem::replace(&mut subscription.state, State::Idle) else {
        return None;
    };
    let oldest = view.chain.oldest;
    let sought = loop {
        let sought = seek.step(oldest);
        let (Sought::At(at), Some(held)) = (sought, view.held) else { break sought };
        if !held.covers(at) {
            break sought;
        }
        match held.after(at.prev()) {
            Some(Item::Entry(seq, channel)) => {
                if channel != ChannelSlot::NONE
                    && subscription.meets(view.graph, view.principal, channel, seq)
                {
                    seek.found(seq);
                }
                seek.at = seq.next();
            }
            Some(Item::Gap(gap)) => seek.at = gap.to.next().min(seek.to),
            None => break sought,
        }
    };
    subscription.state = State::Seeking(seek);
    Some(sought)
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
                if subscription.meets(view.graph, principal, slot, seq) {
                    count += 1;
                    earliest = Some(seq);
                }
            }
        }
        Scope::Technical(_) => {}
    }
    (count, earliest)
}
