//! Reads an archive: what archived rooms had in seqs that the log has let go of.
//!
//! What always holds: every seq that is asked for is answered, by entries, by a gap with its cause, or as one that
//! belongs to no archived room. Entries come with route numbers of the reader's own ([`RouteNumber::ARCHIVED`]), of each
//! answer its own: so nobody has to remember whatever was once read.

use super::since::Since;
use super::volume::{Directory, Found, Head, Name, Opened, Part, routes};
use crate::{
    disk::Disk,
    errors::ReadError,
    footer::{Footer, POINTS_MAX, Point},
    reader::Reader,
    selective::Index,
};
use bytes::Bytes;
use riser_model::{
    Archived, Cause, Chunk, Gap, Interest, Mark, Read, RoomId, Route, RouteNumber, Run, Selected, Seq,
};
use riser_wire::entry::{Frame, set_route};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    io,
    sync::{Arc, PoisonError, RwLock},
};

/// One read looks into so many volumes: it lets the next reader have its turn.
const VOLUMES_MAX: usize = 32;
/// What so many volumes hold is remembered of those that were asked for last.
const LISTINGS_MAX: usize = 8;
/// Of a volume that is waited for no more so many pieces of 4 KiB may cost themselves alone: each try takes as long as the
/// disk likes, and others want to read.
const FORGIVEN_MAX: u32 = 4;
/// So much is read at once.
const AHEAD_BYTES: usize = 128 << 10;

/// One file.
#[derive(Debug)]
pub(crate) struct Volume {
    pub name: Name,
    pub bytes: u64,
    /// None where what it says of itself cannot be read.
    pub head: Option<Head>,
}

/// What there is, as of some step.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// In order; no two speak of the same seq.
    pub volumes: Vec<Arc<Volume>>,
    /// From where on there is everything of which room.
    pub rooms: BTreeMap<RoomId, Archived>,
}

/// The newest contents, between one writer and any number of readers.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    newest: RwLock<Arc<Contents>>,
}

impl Shelf {
    pub fn contents(&self) -> Arc<Contents> {
        // They are replaced whole, so a panic elsewhere leaves them whole.
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn publish(&self, volumes: Vec<Arc<Volume>>, since: &Since) {
        let rooms = rooms(&volumes).into_iter();
        let rooms = rooms.filter_map(|(room, archived)| Some((room, since.of(room, archived)?))).collect();
        let contents = Contents { rooms, volumes };
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(contents);
    }
}

/// From where on the archive speaks of which room: down from the newest volume as far as each names it. A volume that
/// says nothing of itself is damage in the middle and ends nothing.
fn rooms(volumes: &[Arc<Volume>]) -> BTreeMap<RoomId, Archived> {
    let mut rooms: BTreeMap<RoomId, Archived> = BTreeMap::new();
    let mut going: Option<BTreeSet<RoomId>> = None;
    for volume in volumes.iter().rev() {
        let Some(head) = &volume.head else { continue };
        let these: BTreeSet<RoomId> = match &going {
            None => head.rooms.clone(),
            Some(going) => going.intersection(&head.rooms).copied().collect(),
        };
        for room in &these {
            rooms.insert(*room, Archived { oldest: volume.name.first, oldest_at: head.began });
        }
        going = Some(these);
    }
    rooms
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Covers {
    All,
    Some,
    None,
}

/// Reads an archive, and its log where that has what is asked for. It disturbs nobody who writes.
pub struct ArchiveReader<D: Disk> {
    disk: D,
    shelf: Arc<Shelf>,
    listings: VecDeque<(Name, Arc<Footer>, Arc<Vec<Part>>)>,
    /// The numbers of the answer at hand.
    numbers: HashMap<Route, RouteNumber>,
    given: u32,
    /// Those that are not waited for: what cannot be read of them is damage.
    given_up: BTreeSet<Name>,
    /// Those in which damage was met, and how many of them nobody was told of.
    damaged: (BTreeSet<Name>, u64),
}

impl<D: Disk> ArchiveReader<D> {
    pub(crate) fn new(disk: D, shelf: Arc<Shelf>) -> Self {
        let (listings, numbers, given_up, damaged) = Default::default();
        Self { disk, shelf, listings, numbers, given: 0, given_up, damaged }
    }

    /// From where on there is everything of which room.
    pub fn rooms(&self) -> BTreeMap<RoomId, Archived> {
        self.shelf.contents().rooms.clone()
    }

    /// The first seq of the volume that speaks of a seq, if one does.
    pub fn volume_of(&self, seq: Seq) -> Option<Seq> {
        find(&self.shelf.contents().volumes, seq).map(|volume| volume.name.first)
    }

    /// Waits no more for that volume: what cannot be read of it, for whatever reason, is damage from here on, the piece that
    /// it is in alone; where that are more than a few, or it cannot be opened, the rest of it. It is read again as soon as
    /// it can be.
    pub fn give_up(&mut self, first: Seq) {
        if let Some(volume) = find(&self.shelf.contents().volumes, first) {
            self.given_up.insert(volume.name);
        }
    }

    /// Waits for that volume again. Where something of it could not be read, its index may not have been either.
    pub fn wait_again(&mut self, first: Seq) {
        self.given_up.retain(|name| name.first != first);
        self.listings.retain(|(name, ..)| name.first != first);
    }

    /// In how many volumes more damage was met.
    pub fn take_damaged(&mut self) -> u64 {
        std::mem::take(&mut self.damaged.1)
    }

    fn meets_damage(&mut self, name: Name) {
        let is_new = self.damaged.0.insert(name);
        self.damaged.1 += u64::from(is_new);
    }

    /// What numbers mean in what was read last: to be told before it. They come again when 2^31 others were given.
    pub fn take_routes(&mut self) -> Vec<(RouteNumber, Route)> {
        self.numbers.drain().map(|(route, number)| (number, route)).collect()
    }

    /// Shows how much of each room a volume holds, or a part of it, and where that begins: newest first, of those that end
    /// before `end`, as long as `each` wants more. Of one that cannot be read nothing.
    pub fn visit(&mut self, end: Seq, mut each: impl FnMut(Seq, BTreeMap<RoomId, Mark>) -> bool) {
        let contents = self.shelf.contents();
        for volume in contents.volumes.iter().rev().filter(|volume| volume.name.last < end) {
            let Ok((_, parts)) = self.listed(volume) else { continue };
            if !parts.iter().rev().all(|part| each(part.first, part.rooms.clone())) {
                return;
            }
        }
    }

    /// Does what is asked where the log has it, and where it has not for rooms that are archived there. An answer brings
    /// nothing where the two changed places meanwhile: then it is asked again.
    pub fn perform(
        &mut self,
        log: &mut Reader<D>,
        read: &Read,
        index: &mut dyn Index,
    ) -> Result<Selected, ReadError> {
        self.numbers.clear();
        match read {
            Read::All { .. } => log.perform(read, index),
            Read::Of { from, max_bytes, of } => {
                let found = if *from >= log.oldest() { Some(log.perform(read, index)?) } else { None };
                let oldest = log.oldest();
                match found.filter(|_| *from >= oldest) {
                    Some(found) => Ok(found),
                    None => match self.covers(of, *from) {
                        Covers::All => self.read_of(*from, oldest, *max_bytes as usize, of),
                        // For whom else it is read will hear first what the log has let go of.
                        Covers::Some => Ok(read.nothing()),
                        Covers::None => log.perform(read, index),
                    },
                }
            }
            Read::Before { before, of } => {
                if *before <= log.oldest() && self.covers(of, before.prev()) != Covers::None {
                    return self.read_before(*before, of);
                }
                let found = log.perform(read, index)?;
                let first = found.chunk.runs.first().map(Run::first);
                Ok(if first.is_some_and(|first| first < log.oldest()) { read.nothing() } else { found })
            }
        }
    }

    /// Of how many of these rooms there is everything from a seq on.
    fn covers(&self, of: &Interest, from: Seq) -> Covers {
        let contents = self.shelf.contents();
        let is_there =
            |room: &RoomId| contents.rooms.get(room).is_some_and(|archived| archived.oldest <= from);
        match of.rooms.keys().filter(|room| is_there(room)).count() {
            0 => Covers::None,
            count if count == of.rooms.len() => Covers::All,
            _ => Covers::Some,
        }
    }

    /// Everything of archived rooms from `from` on and before `end` that may concern `of`, as
    /// [`Reader::read_of`](crate::Reader::read_of) reads it from the log.
    pub fn read_of(
        &mut self,
        from: Seq,
        end: Seq,
        bytes_max: usize,
        of: &Interest,
    ) -> Result<Selected, ReadError> {
        let mut found = Answer::new(from.max(Seq(1)));
        let mut looks = 0;
        while found.next() < end && found.bytes < bytes_max.max(1) && looks < VOLUMES_MAX {
            let at = found.next();
            let contents = self.shelf.contents();
            let volumes = &contents.volumes;
            let Some(volume) = find(volumes, at) else {
                let next = volumes.iter().map(|volume| volume.name.first).find(|first| *first > at);
                found.gap(at, next.unwrap_or(end).min(end).prev(), Cause::HubQuota);
                continue;
            };
            let last = volume.name.last.min(end.prev());
            let part = self.part(volume, at, last, of).and_then(|(from, to)| {
                if from > at {
                    found.skip(at, from.prev());
                }
                if from <= to { self.read(volume, from, to, bytes_max, of, &mut found) } else { Ok(()) }
            });
            looks += 1;
            let lost = match self.is_lost(part, volume, at) {
                Ok(lost) => lost,
                // What was found before it is not lost with it: however many volumes in a row cannot be read, each is
                // waited for once.
                Err(_) if found.next() > from.max(Seq(1)) => break,
                Err(error) => return Err(error),
            };
            if lost {
                let next = found.next();
                found.gap(next, last.max(next), Cause::Damage);
            }
        }
        Ok(found.selected)
    }

    /// The newest part before `before` that has something that may concern `of`, to `before`, as
    /// [`Reader::read_before`](crate::Reader::read_before) reads it.
    pub fn read_before(&mut self, before: Seq, of: &Interest) -> Result<Selected, ReadError> {
        let mut end = before;
        for _ in 0..VOLUMES_MAX {
            let contents = self.shelf.contents();
            let volumes = &contents.volumes;
            if volumes.first().is_none_or(|oldest| end <= oldest.name.first) {
                break;
            }
            let at = end.prev();
            let Some(volume) = find(volumes, at) else {
                let below = volumes.iter().rev().map(|volume| volume.name.last).find(|last| *last < at);
                return Ok(gone(below.unwrap_or_default().next(), at, Cause::HubQuota, before));
            };
            let mut found = None;
            let part = self.newest(volume, at, of).and_then(|part| {
                let Some((from, to)) = part else {
                    end = volume.name.first;
                    return Ok(());
                };
                let mut answer = Answer::new(from);
                self.read(volume, from, to, usize::MAX, of, &mut answer)?;
                end = from;
                found = Some(answer).filter(|answer| !answer.selected.chunk.runs.is_empty());
                Ok(())
            });
            if self.is_lost(part, volume, at)? {
                return Ok(gone(volume.name.first, at, Cause::Damage, before));
            }
            if let Some(mut answer) = found {
                let next = answer.next();
                if next < before {
                    answer.skip(next, before.prev());
                }
                return Ok(answer.selected);
            }
        }
        Ok(Selected { chunk: Chunk { runs: Vec::new(), next: end }, skips: Vec::new() })
    }

    /// Whether a volume cannot be had that should be there: somebody removed it, or it is not waited for. What it had is
    /// damage. One that the archive let go of meanwhile is a hole at the next look. Where none is there any more, it is their
    /// folder that cannot be had, on a disk that is not mounted: it is waited for as any other.
    fn is_lost(&mut self, result: io::Result<()>, volume: &Volume, at: Seq) -> Result<bool, ReadError> {
        let Err(source) = result else { return Ok(false) };
        let held = self.shelf.contents().volumes.iter().any(|held| held.name == volume.name);
        let gone = source.kind() == io::ErrorKind::NotFound && (!held || self.has_others());
        if !gone && !self.given_up.contains(&volume.name) {
            return Err(ReadError { at, source });
        }
        if held {
            self.meets_damage(volume.name);
        }
        Ok(held)
    }

    /// Whether its folder has volumes.
    fn has_others(&self) -> bool {
        self.disk.list().is_ok_and(|files| files.iter().any(|file| Name::of(file).is_some()))
    }

    /// From where to where to read next; from after the end if there is nothing to `last`.
    fn part(&mut self, volume: &Volume, at: Seq, last: Seq, of: &Interest) -> io::Result<(Seq, Seq)> {
        let listing = self.listing(volume)?;
        if !listing.complete {
            return Ok((at, last));
        }
        let next = listing.wanted(of).into_iter().find(|(_, to)| *to >= at);
        Ok(match next {
            Some((from, to)) if from <= last => (from.max(at), to.min(last)),
            Some(_) | None => (last.next(), last),
        })
    }

    fn newest(&mut self, volume: &Volume, at: Seq, of: &Interest) -> io::Result<Option<(Seq, Seq)>> {
        let listing = self.listing(volume)?;
        if !listing.complete {
            return Ok(Some((listing.point_before(at), at)));
        }
        let range = listing.wanted(of).into_iter().rev().find(|(from, _)| *from <= at);
        Ok(range.map(|(from, to)| {
            let to = to.min(at);
            (listing.point_before(to).max(from), to)
        }))
    }

    fn open(&self, volume: &Volume) -> io::Result<Opened<D>> {
        let (file, length) = self.disk.open(&volume.name.file())?;
        let mut opened = Opened::new(self.disk.clone(), file, length, volume.name);
        if self.given_up.contains(&volume.name) {
            opened.forgive(FORGIVEN_MAX);
        }
        Ok(opened)
    }

    /// What it holds, and where its pieces are. Where it does not say so any more, the latter alone.
    fn listing(&mut self, volume: &Volume) -> io::Result<Arc<Footer>> {
        self.listed(volume).map(|(listing, _)| listing)
    }

    fn listed(&mut self, volume: &Volume) -> io::Result<(Arc<Footer>, Arc<Vec<Part>>)> {
        if let Some((_, listing, parts)) = self.listings.iter().find(|(name, ..)| *name == volume.name) {
            return Ok((listing.clone(), parts.clone()));
        }
        let mut opened = self.open(volume)?;
        let footer = match opened.footer()? {
            Some((footer, parts)) => (Arc::new(footer), Arc::new(parts)),
            None => (Arc::new(unlisted(volume, &mut opened)?), Arc::default()),
        };
        self.listings.push_back((volume.name, footer.0.clone(), footer.1.clone()));
        if self.listings.len() > LISTINGS_MAX {
            self.listings.pop_front();
        }
        Ok(footer)
    }

    /// Reads `from..=to` of a volume, or as much as comes to about `bytes_max`.
    fn read(
        &mut self,
        volume: &Volume,
        from: Seq,
        to: Seq,
        bytes_max: usize,
        of: &Interest,
        found: &mut Answer,
    ) -> io::Result<()> {
        let mut offset = self.listing(volume)?.offset_before(from);
        let mut opened = self.open(volume)?;
        opened.set_ahead(AHEAD_BYTES);
        while found.next() <= to && found.bytes < bytes_max.max(1) {
            match opened.piece(offset)? {
                Found::Piece { directory, entries, next } => {
                    offset = next;
                    if directory.last < found.next() {
                        continue;
                    }
                    if directory.first > found.next() {
                        self.meets_damage(volume.name);
                        found.gap(found.next(), directory.first.prev().min(to), Cause::Damage);
                    }
                    self.take(&directory, &entries, to, of, found);
                }
                Found::Other { next } => offset = next,
                Found::End => {
                    self.meets_damage(volume.name);
                    found.gap(found.next(), to, Cause::Damage);
                }
            }
        }
        Ok(())
    }

    /// Takes what a piece says of what comes next, up to `to`.
    fn take(&mut self, piece: &Directory, entries: &Bytes, to: Seq, of: &Interest, found: &mut Answer) {
        let to = piece.last.min(to);
        let known = routes(piece);
        let mut gaps = piece.gaps.iter().peekable();
        let mut rest = entries.clone();
        for stretch in &piece.stretches {
            let bytes = rest.split_to((stretch.bytes as usize).min(rest.len()));
            while let Some(gap) = gaps.next_if(|gap| gap.from < stretch.first) {
                found.gap_within(gap, to);
            }
            let (mut seq, mut at) = (stretch.first, 0);
            let mut run: Option<(Seq, u32, Vec<u8>)> = None;
            while let Ok((frame, next)) = Frame::read(&bytes, at) {
                if seq >= found.next() && seq <= to {
                    // What concerns nobody for whom it is read has no number there.
                    let route = known
                        .get(&frame.route)
                        .filter(|route| of.meets(route.room, &route.channel, seq, frame.wall()));
                    let number = route.map(|route| self.number(route));
                    let (_, count, copied) = run.get_or_insert_with(|| (seq, 0, Vec::new()));
                    let begins = copied.len();
                    copied.extend_from_slice(bytes.get(at..next).unwrap_or_default());
                    set_route(copied, begins, number.unwrap_or(RouteNumber::NONE));
                    *count += 1;
                }
                (seq, at) = (seq.next(), next);
            }
            if let Some((first, count, entries)) = run {
                found.entries(first, count, stretch.epoch, entries.into());
            }
        }
        for gap in gaps {
            found.gap_within(gap, to);
        }
        if found.next() <= to {
            found.skip(found.next(), to);
        }
    }

    fn number(&mut self, route: &Route) -> RouteNumber {
        if let Some(number) = self.numbers.get(route) {
            return *number;
        }
        // The last is `RouteNumber::NONE`.
        self.given = (self.given + 1) % (RouteNumber::ARCHIVED - 1);
        let number = RouteNumber(RouteNumber::ARCHIVED | self.given);
        self.numbers.insert(route.clone(), number);
        number
    }
}

/// Where the pieces of a volume are whose index cannot be read: nobody reads more of it at once than lies between two.
fn unlisted<D: Disk>(volume: &Volume, opened: &mut Opened<D>) -> io::Result<Footer> {
    let Name { first, last, .. } = volume.name;
    let stride = volume.bytes.div_ceil(POINTS_MAX);
    let mut points = vec![Point { offset: 0, first }];
    opened.set_ahead(AHEAD_BYTES);
    let mut offset = 0;
    loop {
        offset = match opened.piece(offset)? {
            Found::Piece { directory, next, .. } => {
                let far = points.last().is_none_or(|point| offset >= point.offset + stride);
                let rises = points.last().is_none_or(|point| directory.first > point.first);
                points.extend((far && rises).then_some(Point { offset, first: directory.first }));
                next
            }
            Found::Other { next } => next,
            Found::End => break,
        };
    }
    Ok(Footer::unlisted(first, last, volume.bytes, points))
}

pub(super) fn find(volumes: &[Arc<Volume>], seq: Seq) -> Option<&Arc<Volume>> {
    let after = volumes.partition_point(|volume| volume.name.first <= seq);
    volumes.get(after.checked_sub(1)?).filter(|volume| volume.name.last >= seq)
}

/// These are gone, and what comes after them before `before` was passed over.
fn gone(from: Seq, to: Seq, cause: Cause, before: Seq) -> Selected {
    let mut answer = Answer::new(from);
    answer.gap(from, to, cause);
    if to.next() < before {
        answer.skip(to.next(), before.prev());
    }
    answer.selected
}

/// What a read has brought so far, without a hole.
struct Answer {
    selected: Selected,
    bytes: usize,
}

impl Answer {
    fn new(next: Seq) -> Self {
        Self { selected: Selected { chunk: Chunk { runs: Vec::new(), next }, skips: Vec::new() }, bytes: 0 }
    }

    fn next(&self) -> Seq {
        self.selected.chunk.next
    }

    fn skip(&mut self, from: Seq, to: Seq) {
        match self.selected.skips.last_mut() {
            Some(last) if last.1.next() == from => last.1 = to,
            _ => self.selected.skips.push((from, to)),
        }
        self.selected.chunk.next = to.next();
    }

    fn gap(&mut self, from: Seq, to: Seq, cause: Cause) {
        match self.selected.chunk.runs.last_mut() {
            Some(Run::Gap(last)) if last.cause == cause && last.to.next() == from => last.to = to,
            _ => self.selected.chunk.runs.push(Run::Gap(Gap { from, to, cause })),
        }
        self.selected.chunk.next = to.next();
        self.bytes += 1;
    }

    /// What of a gap lies between what comes next and `to`.
    fn gap_within(&mut self, gap: &Gap, to: Seq) {
        let (from, to) = (gap.from.max(self.next()), gap.to.min(to));
        if from <= to {
            if from > self.next() {
                self.skip(self.next(), from.prev());
            }
            self.gap(from, to, gap.cause);
        }
    }

    fn entries(&mut self, first: Seq, count: u32, epoch: riser_model::Epoch, entries: Bytes) {
        if first > self.next() {
            self.skip(self.next(), first.prev());
        }
        self.bytes += entries.len();
        self.selected.chunk.next = first.plus(u64::from(count));
        self.selected.chunk.runs.push(Run::Entries { first, count, epoch, entries });
    }
}
