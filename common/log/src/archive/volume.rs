//! The format of one file of an archive: what archived rooms had in one segment of the log.
//!
//! A volume is written once, synced, and only then named; nothing in it changes after that. It is a list of records,
//! each on a multiple of 64 bytes with a checksum over all of it and whose volume it is: a head, pieces, and an index
//! with a copy of the head. Each piece says of which seqs it speaks and defines the routes of its own entries, so one
//! that is damaged takes nothing else along: what no readable piece speaks of is a gap in place.

use crate::{
    definitions::Definitions,
    disk::Disk,
    footer::{ChannelFooter, Footer, Tally},
    scan::Window,
};
use bytes::Bytes;
use riser_model::{EpochSpan, Gap, LogId, Mark, RoomId, Route, RouteNumber, Seq, Wall};
use riser_wire::{entry::set_route, membership};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
};

const MAGIC: [u8; 4] = *b"RSRv";
const VERSION: u8 = 1;
const RECORD_HEADER_BYTES: usize = 32;
/// Records begin on multiples of this.
const ALIGNED: u64 = 64;
/// The end of a volume says where its index is.
const TRAILER_MAGIC: [u8; 4] = *b"RSRx";
const TRAILER_BYTES: usize = 16;
/// A piece is written when it has so many bytes of entries, or so many runs.
const PIECE_BYTES: usize = 64 << 10;
const PIECE_RUNS: usize = 2048;

/// Behind parts whose sums have nothing of who came and went, and all that was published.
const PARTS_VERSION: u8 = 1;

const PREFIX: &str = "volume-";
/// What a volume is called until all of it is on disk.
pub(crate) const UNFINISHED: &str = "unfinished-";
/// What a volume is called that is of another log, of a past that this one does not know, or in another's place.
pub(crate) const ASIDE: &str = "aside-";

/// Which volume it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct Name {
    /// The first seq that it speaks of.
    pub first: Seq,
    /// The last.
    pub last: Seq,
    /// Of those that speak of the same seqs the highest counts: it was made later, of other rooms.
    pub generation: u32,
    /// The log that it was copied from. It is in the file's name, so that no damage in it makes it another log's.
    pub log: LogId,
}

impl Name {
    pub fn file(&self) -> String {
        let Self { first, last, generation, log } = self;
        format!("{PREFIX}{:016x}-{:016x}-{generation:08x}-{:016x}", first.0, last.0, log.0)
    }

    /// Whether both speak of the same seqs of the same log.
    pub fn is_of_the_same(&self, other: &Self) -> bool {
        (self.log, self.first, self.last) == (other.log, other.first, other.last)
    }

    /// Whether it speaks of everything that the other one does, of the same log.
    pub fn holds(&self, other: &Self) -> bool {
        self.log == other.log && self.first <= other.first && other.last <= self.last
    }

    /// None for other files.
    pub fn of(file: &str) -> Option<Self> {
        let mut parts = file.strip_prefix(PREFIX)?.split('-');
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let (first, last, generation) = (Seq(number()?), Seq(number()?), u32::try_from(number()?).ok()?);
        let name = Self { first, last, generation, log: LogId(number()?) };
        (name.file() == file && first <= last).then_some(name)
    }
}

/// What a volume says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    pub name: Name,
    /// What is before its first seq was committed before this, by the host's clock.
    pub began: Wall,
    /// The rooms of which it has everything, in order.
    pub rooms: BTreeSet<RoomId>,
    /// Under which epochs the log gave its seqs, as far as they could be read.
    pub spans: Vec<EpochSpan>,
}

/// Entries that lie together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Stretch {
    pub first: Seq,
    pub count: u32,
    pub epoch: riser_model::Epoch,
    pub bytes: u32,
}

/// What a piece holds.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Directory {
    /// It speaks of everything from here ...
    pub first: Seq,
    /// ... to here.
    pub last: Seq,
    pub stretches: Vec<Stretch>,
    /// What the log itself had lost when it was copied.
    pub gaps: Vec<Gap>,
    pub routes: Vec<(u32, Route)>,
}

/// What a volume that was made of several has from one of them, or from a segment of the log: so that a room's floor
/// comes down with a restart no further than that. One that was made of one segment has a part where its footer's channels
/// do not say how much that is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    /// The first seq that it spoke of.
    pub first: Seq,
    /// How much it had of each room.
    pub rooms: BTreeMap<RoomId, Mark>,
}

#[derive(Serialize, Deserialize)]
struct Index {
    head: Head,
    footer: Footer,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Head,
    Piece,
    Index,
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Self::Head => 0,
            Self::Piece => 1,
            Self::Index => 2,
        }
    }
}

/// Writes one volume.
pub(crate) struct Making<D: Disk> {
    disk: D,
    file: D::File,
    at: u64,
    seed: u32,
    head: Head,
    tally: Tally,
    routes: Definitions<Route>,
    /// Its own numbers: what it is copied from may give one to two routes, one after the other.
    numbers: HashMap<Route, u32>,
    piece: Directory,
    used: BTreeSet<u32>,
    entries: Vec<u8>,
    /// The log had lost something of it. Whose that was nobody knows, so every reader has to come by.
    gapped: bool,
    parts: Vec<Part>,
}

impl<D: Disk> Making<D> {
    /// Begins one in an empty file, of a segment of that length.
    pub fn begin(disk: D, file: D::File, head: Head, segment_bytes: u64) -> io::Result<Self> {
        let first = head.name.first;
        let mut making = Self {
            seed: seed(head.name),
            disk,
            file,
            at: 0,
            // A volume has a little more than it took of its segment.
            tally: Tally::new(first, segment_bytes.saturating_mul(2)),
            routes: Definitions::new(0),
            numbers: HashMap::new(),
            piece: Directory { first, ..Directory::default() },
            used: BTreeSet::new(),
            entries: Vec::new(),
            gapped: false,
            parts: Vec::new(),
            head,
        };
        let head = save(&making.head);
        making.record(Kind::Head, &head)?;
        Ok(making)
    }

    /// The rooms of which it is to have everything.
    pub fn rooms(&self) -> &BTreeSet<RoomId> {
        &self.head.rooms
    }

    /// Takes one entry, a whole frame, of a route that is known.
    pub fn entry(
        &mut self,
        seq: Seq,
        epoch: riser_model::Epoch,
        frame: &[u8],
        route: &Route,
    ) -> io::Result<()> {
        let number = match self.numbers.get(route) {
            Some(number) => *number,
            None => {
                // A volume has far fewer routes than there are numbers.
                let number = self.numbers.len() as u32;
                self.numbers.insert(route.clone(), number);
                number
            }
        };
        if self.used.insert(number) {
            self.piece.routes.push((number, route.clone()));
            self.routes.load(number, route.clone(), seq);
        }
        // A frame is bounded far below u32.
        let bytes = frame.len() as u32;
        match self.piece.stretches.last_mut() {
            Some(last) if last.first.plus(u64::from(last.count)) == seq && last.epoch == epoch => {
                last.count += 1;
                last.bytes += bytes;
            }
            _ => self.piece.stretches.push(Stretch { first: seq, count: 1, epoch, bytes }),
        }
        let at = self.entries.len();
        self.entries.extend_from_slice(frame);
        set_route(&mut self.entries, at, RouteNumber(number));
        if self.entries.len() >= PIECE_BYTES || self.piece.stretches.len() >= PIECE_RUNS {
            self.flush(seq)?;
        }
        Ok(())
    }

    /// The log has lost that.
    pub fn gap(&mut self, gap: Gap) {
        self.gapped = true;
        match self.piece.gaps.last_mut() {
            Some(last) if last.cause == gap.cause && last.to.next() == gap.from => last.to = gap.to,
            _ => self.piece.gaps.push(gap),
        }
    }

    /// Under which epochs the seqs were given.
    pub fn spans(&mut self, spans: Vec<EpochSpan>) {
        self.head.spans = spans;
    }

    /// It is made of these, in order.
    pub fn parts(&mut self, parts: Vec<Part>) {
        self.parts.extend(parts);
    }

    /// Ends it; its bytes are on disk when this returns. How many.
    pub fn finish(mut self) -> io::Result<(Head, u64)> {
        let last = self.head.name.last;
        if self.piece.first <= last {
            self.flush(last)?;
        }
        let listed = self.tally.footer_of_some(&self.routes);
        let footer = Footer { complete: listed.complete && !self.gapped, ..listed };
        if self.parts.is_empty() && footer.sums_beyond_lines() {
            self.parts.push(Part { first: footer.first, rooms: footer.sums() });
        }
        let index = Index { head: self.head.clone(), footer };
        let at = self.at;
        let mut payload = save(&index);
        if !self.parts.is_empty() {
            payload.extend(save(&self.parts));
            payload.push(PARTS_VERSION);
        }
        self.record(Kind::Index, &payload)?;
        let mut trailer = Vec::with_capacity(TRAILER_BYTES);
        trailer.extend_from_slice(&at.to_le_bytes());
        trailer.extend_from_slice(&TRAILER_MAGIC);
        trailer.extend_from_slice(&crc32c::crc32c(&trailer).to_le_bytes());
        self.disk.write_at(&self.file, self.at, &trailer)?;
        self.disk.sync_all(&self.file)?;
        Ok((self.head, self.at + TRAILER_BYTES as u64))
    }

    fn flush(&mut self, last: Seq) -> io::Result<()> {
        let next = Directory { first: last.next(), ..Directory::default() };
        let piece = Directory { last, ..std::mem::replace(&mut self.piece, next) };
        let entries = std::mem::take(&mut self.entries);
        self.used.clear();
        self.tally.begin_piece(self.at, piece.first);
        let mut rest = &entries[..];
        for stretch in &piece.stretches {
            let (these, after) = rest.split_at_checked(stretch.bytes as usize).unwrap_or((rest, &[]));
            self.tally.add_some(stretch.first, these);
            rest = after;
        }
        let directory = save(&piece);
        // A directory is bounded by the runs of a piece.
        let mut payload = (directory.len() as u32).to_le_bytes().to_vec();
        payload.extend_from_slice(&directory);
        payload.extend_from_slice(&entries);
        self.record(Kind::Piece, &payload)?;
        self.tally.end_piece(last, self.at);
        Ok(())
    }

    fn record(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(RECORD_HEADER_BYTES + payload.len() + ALIGNED as usize);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, kind.number(), 0, 0]);
        // A piece and an index are bounded by what a segment holds.
        bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c_append(self.seed, payload).to_le_bytes());
        bytes.resize(RECORD_HEADER_BYTES - 4, 0);
        bytes.extend_from_slice(&crc32c::crc32c_append(self.seed, &bytes).to_le_bytes());
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(ALIGNED as usize), 0);
        self.disk.write_at(&self.file, self.at, &bytes)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

/// What comes next in a volume.
pub(crate) enum Found {
    /// A piece, its entries, and where the next record begins.
    Piece { directory: Directory, entries: Bytes, next: u64 },
    /// Something else, or damage, up to where another record may be.
    Other { next: u64 },
    /// No more pieces.
    End,
}

/// Reads one volume.
pub(crate) struct Opened<D: Disk> {
    window: Window<D>,
    seed: u32,
}

impl<D: Disk> Opened<D> {
    pub fn new(disk: D, file: D::File, length: u64, name: Name) -> Self {
        Self { window: Window::new(disk, file, length), seed: seed(name) }
    }

    /// So many pieces of a few KiB of it that cannot be read, for whatever reason, cost what is in them and nothing else.
    pub fn forgive(&mut self, pieces: u32) {
        self.window.forgive(pieces);
    }

    /// Reads so much at once.
    pub fn set_ahead(&mut self, bytes: usize) {
        self.window.set_ahead(bytes);
    }

    /// What it says of itself, at its beginning or in its index.
    pub fn head(&mut self, name: Name) -> io::Result<Option<Head>> {
        let (first, newest) = self.heads(name)?;
        // The head at the beginning was written before its epochs were read.
        Ok(newest.or(first))
    }

    /// Whether both its head and its index can be read.
    pub fn is_framed(&mut self, name: Name) -> io::Result<bool> {
        let (first, newest) = self.heads(name)?;
        Ok(first.is_some() && newest.is_some())
    }

    /// What it says of itself at its beginning, and in its index.
    fn heads(&mut self, name: Name) -> io::Result<(Option<Head>, Option<Head>)> {
        self.window.set_ahead(4096);
        let first = self.record(0)?.filter(|(kind, ..)| *kind == Kind::Head.number());
        let first = first.and_then(|(_, payload, _)| load::<Head>(&payload));
        let newest = self.index()?.map(|(index, _)| index.head);
        Ok((first.filter(|head| head.name == name), newest.filter(|head| head.name == name)))
    }

    /// What it holds, if its index can be read, and of what parts it was made, oldest first.
    pub fn footer(&mut self) -> io::Result<Option<(Footer, Vec<Part>)>> {
        self.window.set_ahead(4096);
        let Some((index, parts)) = self.index()? else { return Ok(None) };
        let whole = || Part { first: index.footer.first, rooms: index.footer.sums() };
        let parts = if parts.is_empty() { vec![whole()] } else { parts };
        Ok(Some((index.footer, parts)))
    }

    fn index(&mut self) -> io::Result<Option<(Index, Vec<Part>)>> {
        let Some(at) = self.window.stop().checked_sub(TRAILER_BYTES as u64) else { return Ok(None) };
        let trailer = self.window.get(at, TRAILER_BYTES)?;
        let Some((said, crc)) = trailer.split_last_chunk::<4>() else { return Ok(None) };
        let place = said.strip_suffix(&TRAILER_MAGIC).and_then(|place| place.try_into().ok());
        let whole = crc32c::crc32c(said) == u32::from_le_bytes(*crc);
        let Some(place) = place.filter(|_| whole).map(u64::from_le_bytes) else { return Ok(None) };
        let found = self.record(place)?.filter(|(kind, ..)| *kind == Kind::Index.number());
        Ok(found.and_then(|(_, payload, _)| {
            let (index, rest) = postcard::take_from_bytes::<Index>(&payload).ok()?;
            // One that was made of a segment says nothing of parts, unless its sums say more than its channels.
            let (mut parts, rest) = postcard::take_from_bytes::<Vec<Part>>(rest).unwrap_or_default();
            if rest.first() != Some(&PARTS_VERSION) {
                without_told(&mut parts, &index.footer);
            }
            Some((index, parts))
        }))
    }

    /// The piece at `at`, or what is there instead.
    pub fn piece(&mut self, at: u64) -> io::Result<Found> {
        match self.record(at)? {
            Some((kind, _, next)) if kind == Kind::Head.number() => Ok(Found::Other { next }),
            Some((kind, payload, next)) if kind == Kind::Piece.number() => Ok(match piece(&payload) {
                Some((directory, entries)) => Found::Piece { directory, entries, next },
                None => Found::Other { next },
            }),
            Some(_) => Ok(Found::End),
            None => {
                let mut next = at.next_multiple_of(ALIGNED);
                if next == at {
                    next += ALIGNED;
                }
                while next + RECORD_HEADER_BYTES as u64 <= self.window.stop() {
                    if self.record(next)?.is_some() {
                        return Ok(Found::Other { next });
                    }
                    next += ALIGNED;
                }
                Ok(Found::End)
            }
        }
    }

    /// The record at `at`, if one is there whose checksums hold: its kind, what it holds, where the next begins.
    fn record(&mut self, at: u64) -> io::Result<Option<(u8, Bytes, u64)>> {
        let body = at.saturating_add(RECORD_HEADER_BYTES as u64);
        if body > self.window.stop() {
            return Ok(None);
        }
        let header = self.window.get(at, RECORD_HEADER_BYTES)?;
        let Some((said, crc)) = header.split_last_chunk::<4>() else { return Ok(None) };
        let ours = said.starts_with(&MAGIC) && said.get(4) == Some(&VERSION);
        if !ours || crc32c::crc32c_append(self.seed, said) != u32::from_le_bytes(*crc) {
            return Ok(None);
        }
        let number = |from: usize| said.get(from..from + 4)?.try_into().ok().map(u32::from_le_bytes);
        let (Some(length), Some(crc), Some(kind)) = (number(8), number(12), said.get(5)) else {
            return Ok(None);
        };
        if body.saturating_add(u64::from(length)) > self.window.stop() {
            return Ok(None);
        }
        let payload = self.window.get(body, length as usize)?;
        if crc32c::crc32c_append(self.seed, &payload) != crc {
            return Ok(None);
        }
        Ok(Some((*kind, payload, (body + u64::from(length)).next_multiple_of(ALIGNED))))
    }
}

fn piece(payload: &Bytes) -> Option<(Directory, Bytes)> {
    let (length, rest) = payload.split_first_chunk::<4>()?;
    let (directory, entries) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let directory: Directory = load(directory)?;
    (directory.first <= directory.last).then(|| (directory, payload.slice_ref(entries)))
}

/// Whose records they are: one of another volume is none.
fn seed(name: Name) -> u32 {
    let numbers = [name.log.0, name.first.0, name.last.0, u64::from(name.generation)];
    numbers.iter().fold(0, |seed, number| crc32c::crc32c_append(seed, &number.to_le_bytes()))
}

/// Takes out of parts what an older program may have counted in them: who came and went. The footer says how much that was
/// in all, so the newest parts lose it, who are counted first: less is counted then than there is, and never more.
fn without_told(parts: &mut [Part], footer: &Footer) {
    let told = footer.channels.iter().filter(|one| one.channel.as_str() == membership::CHANNEL);
    for ChannelFooter { room, mut count, mut bytes, .. } in told.cloned() {
        for mark in parts.iter_mut().rev().filter_map(|part| part.rooms.get_mut(&room)) {
            let (less, lighter) = (mark.count.min(count), mark.bytes.min(bytes));
            (mark.count, mark.bytes) = (mark.count - less, mark.bytes - lighter);
            (count, bytes) = (count - less, bytes - lighter);
        }
    }
}

fn save(value: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(value).expect("plain fields and known lengths, which postcard always encodes")
}

fn load<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::from_bytes(bytes).ok()
}

/// What the route numbers of a piece mean.
pub(crate) fn routes(directory: &Directory) -> BTreeMap<RouteNumber, &Route> {
    directory.routes.iter().map(|(number, route)| (RouteNumber(*number), route)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::{ClientId, Stamp};
    use riser_wire::entry::{ContentType, Publication};
    use uuid::Uuid;

    const ROOM: RoomId = RoomId(Uuid::from_u128(7));

    #[test]
    fn parts_of_an_older_program_count_no_more_than_was_published() {
        let mut routes = Definitions::new(0);
        let channel = membership::CHANNEL.parse().unwrap();
        routes.define(0, Route { room: ROOM, channel, client: ClientId::SYSTEM });
        let mut told = Vec::new();
        for _ in 0..4 {
            let publication = Publication::new(ContentType::Octets, b"x");
            publication.write_frame(&mut told, RouteNumber(0), Stamp::default());
        }
        let mut tally = Tally::new(Seq(1), 4096);
        tally.add(0, 512, Seq(1), &told, |_, _| {});
        let footer = tally.footer(&routes, u64::MAX);
        let part = |first, count| {
            let mark = Mark { last: Seq(first), count, bytes: 1000, newest: Wall(0) };
            Part { first: Seq(first), rooms: BTreeMap::from([(ROOM, mark)]) }
        };
        let mut parts = [part(1, 5), part(20, 3)];
        without_told(&mut parts, &footer);
        let left: Vec<(u64, u64)> =
            parts.iter().flat_map(|part| part.rooms.values()).map(|mark| (mark.count, mark.bytes)).collect();
        assert_eq!(left, [(4, 1000), (0, 1000 - told.len() as u64)]);
    }
}
