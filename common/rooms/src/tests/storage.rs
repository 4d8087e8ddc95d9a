//! A log that is a list, with the manners of the real one: it refuses a batch that does not start at its end.

use super::script::LOG;
use crate::{
    Changes, Producers, Start,
    retained::{RetainedTable, Saved},
};
use bytes::Bytes;
use riser_model::{
    Batch, Cause, Chunk, CursorKey, CursorValue, Epoch, EpochSpan, Gap, Interest, LogId, Position, Read,
    Room, RoomId, Route, RouteNumber, Run, Selected, Seq, Wall,
};
use riser_wire::entry::{Frame, frames, set_route};
use std::collections::{BTreeMap, VecDeque};

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) epoch: Epoch,
    pub(super) route: RouteNumber,
    /// The whole frame.
    pub(super) frame: Bytes,
}

#[derive(Default)]
pub(super) struct Storage {
    /// By seq, from 1.
    pub(super) entries: Vec<Entry>,
    pub(super) oldest: Seq,
    /// What is gone was committed before this.
    pub(super) oldest_at: Wall,
    pub(super) gaps: Vec<Gap>,
    pub(super) routes: BTreeMap<RouteNumber, Route>,
    pub(super) origins: BTreeMap<u32, (LogId, Epoch)>,
    pub(super) cursors: BTreeMap<CursorKey, CursorValue>,
    pub(super) waiting: VecDeque<(u64, Batch)>,
    pub(super) reads: VecDeque<(u64, Read)>,
    /// Entries that cannot be read any more.
    pub(super) damaged: Vec<(Seq, Seq)>,
    /// The table of what channels retain, as it is on disk.
    pub(super) saved: Saved,
    /// From where on an archive has what is gone, by room.
    pub(super) archived: BTreeMap<RoomId, Seq>,
    /// What the numbers of the archive's last answer mean, and how many there were of all.
    pub(super) lent_routes: Vec<(RouteNumber, Route)>,
    lent: u32,
    /// Routes that the archive alone has.
    pub(super) gone: BTreeMap<RouteNumber, Route>,
    /// It cannot tell what concerns whom.
    pub(super) blunt: bool,
    /// How many entries it read for others than links.
    pub(super) brought: usize,
    chain: Vec<EpochSpan>,
    epoch: Epoch,
}

impl Storage {
    pub(super) fn next(&self) -> Seq {
        Seq(self.entries.len() as u64 + 1)
    }

    /// The log has nothing of that epoch any more.
    pub(super) fn forget(&mut self, epoch: Epoch) {
        self.chain.retain(|span| span.epoch != epoch);
    }

    pub(super) fn open(&mut self, epoch: Epoch, rooms: Vec<Room>) -> Start {
        if self.oldest == Seq::ZERO {
            self.oldest = Seq(1);
        } else {
            let first = self.chain.last().map_or(Seq(1), |span| span.last.next());
            self.chain.push(EpochSpan { epoch: self.epoch, first, last: self.next().prev() });
        }
        self.epoch = epoch;
        self.waiting.clear();
        self.reads.clear();
        Start {
            log: LOG,
            epoch,
            chain: self.chain.clone(),
            next: self.next(),
            oldest: self.oldest,
            oldest_at: self.oldest_at,
            pasts: Vec::new(),
            archived: Default::default(),
            gaps: self.gaps.clone(),
            trim_cause: Cause::Retention,
            routes: self.routes.iter().map(|(number, route)| (*number, route.clone())).collect(),
            origins: self.origins.iter().map(|(number, origin)| (*number, *origin)).collect(),
            rooms,
            bindings: Vec::new(),
            retained: self.retained(),
            producers: self.producers(),
        }
    }

    /// What the log's own fold has seen.
    fn producers(&self) -> Producers {
        let mut producers = Producers::default();
        for (n, entry) in self.entries.iter().enumerate() {
            let (frame, _) = Frame::read(&entry.frame, 0).unwrap();
            if let Some(route) = self.routes.get(&entry.route) {
                producers.apply(Seq(n as u64 + 1), &frame, route.client);
            }
        }
        Producers::load(&producers.save()).unwrap()
    }

    /// What a start does: the saved table, and what the log has beyond it.
    fn retained(&self) -> RetainedTable {
        let (mut table, through) = RetainedTable::read(&self.saved).unwrap();
        let from = table.align(through, LOG, &self.chain, self.oldest);
        for seq in (from.0..self.next().0).map(Seq) {
            let entry = &self.entries[seq.0 as usize - 1];
            let (frame, _) = Frame::read(&entry.frame, 0).unwrap();
            if let Some(route) = self.routes.get(&entry.route) {
                let position = Position { log: LOG, epoch: entry.epoch, seq };
                table.apply(&frame, position, route, usize::MAX);
            }
        }
        table
    }

    pub(super) fn save(&mut self, changes: &Changes) {
        for (key, value) in changes.rows() {
            match value {
                Some(value) => drop(self.saved.rows.insert(key, value)),
                None => drop(self.saved.rows.remove(&key)),
            }
        }
        self.saved.through = Some(changes.through_row());
    }

    pub(super) fn commit(&mut self) -> Option<u64> {
        let (ticket, batch) = self.waiting.pop_front()?;
        assert_eq!(batch.first, self.next(), "batches are dense");
        for (number, route) in batch.routes {
            let before = self.routes.insert(number, route.clone());
            assert!(before.is_none_or(|before| before == route), "a number keeps its meaning");
        }
        for (number, origin) in batch.origins {
            let before = self.origins.insert(number, origin);
            assert!(before.is_none_or(|before| before == origin), "a number keeps its meaning");
        }
        for (key, value) in batch.cursors {
            match value {
                Some(value) => drop(self.cursors.insert(key, value)),
                None => drop(self.cursors.remove(&key)),
            }
        }
        let mut walk = frames(&batch.entries);
        let mut count = 0;
        loop {
            let start = walk.at();
            let Some(frame) = walk.next() else { break };
            let frame = frame.unwrap();
            assert!(frame.intact(), "bodies are not touched");
            assert!(self.routes.contains_key(&frame.route), "routes are defined before they are used");
            if let Some(origin) = frame.origin {
                assert!(
                    self.origins.contains_key(&origin.number),
                    "origins are defined before they are used"
                );
            }
            let (epoch, route) = (self.epoch, frame.route);
            self.entries.push(Entry { epoch, route, frame: batch.entries.slice(start..walk.at()) });
            count += 1;
        }
        assert_eq!(count, batch.count);
        Some(ticket)
    }

    /// The oldest waiting batch fails; the others that wait cannot be appended after it.
    pub(super) fn fail(&mut self) -> Option<u64> {
        let (ticket, batch) = self.waiting.pop_front()?;
        if batch.count > 0 {
            self.waiting.clear();
        }
        Some(ticket)
    }

    pub(super) fn read(&mut self) -> Option<(u64, Selected)> {
        let (ticket, read) = self.reads.pop_front()?;
        let found = self.read_archive(&read).unwrap_or_else(|| self.read_log(read));
        self.brought += found.chunk.runs.len();
        Some((ticket, found))
    }

    /// What is gone from the log, if it is archived for all for whom it is read.
    fn read_archive(&mut self, read: &Read) -> Option<Selected> {
        let (Read::Of { from: at, of, .. } | Read::Before { before: at, of }) = read else { return None };
        let below = match read {
            Read::Before { .. } => *at <= self.oldest,
            Read::Of { .. } | Read::All { .. } => *at < self.oldest,
        };
        let oldest = of.rooms.keys().map(|room| self.archived.get(room).copied()).max()??;
        let first = if matches!(read, Read::Before { .. }) { at.prev() } else { *at };
        let has = |room: &RoomId| self.archived.get(room).is_some_and(|oldest| *oldest <= first);
        if !below || !of.rooms.keys().any(has) {
            return None;
        }
        assert!(of.rooms.keys().all(has), "it is read for those only who find it there");
        let end = std::mem::replace(&mut self.oldest, oldest);
        let mut found = match read {
            Read::Of { from, max_bytes, of } => self.select(*from, end, *max_bytes as usize, of),
            Read::Before { .. } | Read::All { .. } => self.read_log(read.clone()),
        };
        self.oldest = end;
        for run in &mut found.chunk.runs {
            let Run::Entries { entries, .. } = run else { continue };
            let mut bytes = entries.to_vec();
            let mut at = 0;
            while let Ok((frame, next)) = Frame::read(entries, at) {
                let route = self.routes.get(&frame.route).or_else(|| self.gone.get(&frame.route)).cloned();
                let number = route.map(|route| {
                    self.lent += 1;
                    let number = RouteNumber(self.lent | RouteNumber::ARCHIVED);
                    self.lent_routes.push((number, route));
                    number
                });
                set_route(&mut bytes, at, number.unwrap_or(RouteNumber::NONE));
                at = next;
            }
            *entries = bytes.into();
        }
        Some(found)
    }

    fn read_log(&self, read: Read) -> Selected {
        match read {
            Read::All { from, max_bytes } => self.chunk(from, max_bytes as usize).into(),
            Read::Of { from, max_bytes, of } => self.select(from, self.next(), max_bytes as usize, &of),
            Read::Before { before, of } => {
                let concerns = |seq: &Seq| self.concerns(*seq, &of);
                let newest = (self.oldest.0..before.0).rev().map(Seq).find(concerns);
                match newest {
                    // A few more, as a piece of a segment would have.
                    Some(seq) => {
                        let from = Seq(seq.0.saturating_sub(6)).max(self.oldest);
                        self.select(from, before, usize::MAX, &of)
                    }
                    None => Chunk { runs: Vec::new(), next: self.oldest.min(before) }.into(),
                }
            }
        }
    }

    fn concerns(&self, seq: Seq, of: &Interest) -> bool {
        let entry = &self.entries[seq.0 as usize - 1];
        let (frame, _) = Frame::read(&entry.frame, 0).unwrap();
        let meets = |route: &Route| of.meets(route.room, &route.channel, seq, frame.wall());
        let route = self.routes.get(&entry.route).or_else(|| self.gone.get(&entry.route));
        self.blunt || route.is_some_and(meets)
    }

    fn select(&self, from: Seq, to: Seq, max_bytes: usize, of: &Interest) -> Selected {
        let mut found = Selected { chunk: Chunk { runs: Vec::new(), next: from }, skips: Vec::new() };
        let mut bytes = 0;
        while found.chunk.next < to && bytes < max_bytes {
            let at = found.chunk.next;
            if at >= self.oldest && !self.concerns(at, of) {
                found.skips.push((at, at));
                found.chunk.next = at.next();
                continue;
            }
            let chunk = self.chunk(at, 1);
            bytes += 40;
            // One at a time, so that what follows is judged by itself.
            let run = match chunk.runs.into_iter().next() {
                Some(Run::Gap(gap)) if gap.from >= self.oldest => Run::Gap(Gap { to: gap.from, ..gap }),
                Some(run) => run,
                None => break,
            };
            found.chunk.next = match &run {
                Run::Gap(gap) => gap.to.next(),
                Run::Entries { first, count, .. } => first.plus(u64::from(*count)),
            };
            match (found.chunk.runs.last_mut(), run) {
                (Some(Run::Gap(last)), Run::Gap(gap))
                    if last.cause == gap.cause && last.to.next() == gap.from =>
                {
                    last.to = gap.to;
                }
                (_, run) => found.chunk.runs.push(run),
            }
        }
        found
    }

    fn gone(&self, seq: Seq) -> bool {
        self.damaged.iter().any(|(from, to)| (*from..=*to).contains(&seq))
    }

    pub(super) fn chunk(&self, from: Seq, max_bytes: usize) -> Chunk {
        let mut chunk = Chunk { runs: Vec::new(), next: from };
        let mut left = max_bytes;
        if from < self.oldest {
            let to = self.oldest.prev();
            chunk.runs.push(Run::Gap(Gap { from, to, cause: Cause::Quota }));
            chunk.next = self.oldest;
        }
        while chunk.next < self.next() {
            let seq = chunk.next;
            let entry = &self.entries[seq.0 as usize - 1];
            if self.gone(seq) {
                match chunk.runs.last_mut() {
                    Some(Run::Gap(gap)) if gap.cause == Cause::Damage => gap.to = seq,
                    _ => chunk.runs.push(Run::Gap(Gap { from: seq, to: seq, cause: Cause::Damage })),
                }
                chunk.next = seq.next();
                continue;
            }
            if entry.frame.len() > left && !chunk.runs.is_empty() {
                break;
            }
            left = left.saturating_sub(entry.frame.len());
            match chunk.runs.last_mut() {
                Some(Run::Entries { count, epoch, entries, .. }) if *epoch == entry.epoch => {
                    *count += 1;
                    *entries = [&entries[..], &entry.frame[..]].concat().into();
                }
                _ => chunk.runs.push(Run::Entries {
                    first: seq,
                    count: 1,
                    epoch: entry.epoch,
                    entries: entry.frame.clone(),
                }),
            }
            chunk.next = seq.next();
        }
        chunk
    }
}
