//! Walks the blocks of one segment and passes over what is none (rule 6.7).

use crate::{
    block::{HEADER_BYTES, Header, SECTOR_BYTES, may_begin},
    disk::Disk,
    segment::Identity,
};
use bytes::Bytes;
use std::io;

const EIO: i32 = 5;
/// What is read at once where nothing else is said.
pub(crate) const AHEAD_BYTES: usize = 256 * 1024;
/// Around a place that cannot be read, reading goes on in pieces of this, on its multiples: what systems read at
/// once, so that no piece costs what could be read beside it.
const PIECE_BYTES: usize = 4096;

/// A file, read in large pieces that are handed out without copying. What the medium cannot read is zeros. So is what
/// cannot be read for another reason, where that is forgiven, and as often as it is.
#[derive(Clone)]
pub(crate) struct Window<D: Disk> {
    disk: D,
    file: D::File,
    stop: u64,
    at: u64,
    bytes: Bytes,
    ahead: usize,
    unreadable: bool,
    forgiven: u32,
}

impl<D: Disk> Window<D> {
    /// Over the first `stop` bytes of a file.
    pub fn new(disk: D, file: D::File, stop: u64) -> Self {
        Self {
            disk,
            file,
            stop,
            at: 0,
            bytes: Bytes::new(),
            ahead: AHEAD_BYTES,
            unreadable: false,
            forgiven: 0,
        }
    }

    /// Where the file ends, for this window.
    pub fn stop(&self) -> u64 {
        self.stop
    }

    /// Whether there were bytes that the medium could not read.
    pub fn unreadable(&self) -> bool {
        self.unreadable
    }

    pub fn set_stop(&mut self, stop: u64) {
        self.stop = stop;
    }

    pub fn set_ahead(&mut self, ahead: usize) {
        self.ahead = ahead;
    }

    /// From here on so many pieces that cannot be read, for whatever reason, cost what is in them and nothing else.
    pub fn forgive(&mut self, pieces: u32) {
        self.forgiven = pieces;
    }

    /// These bytes; zeros past the end. The caller has bounded `length`.
    pub fn get(&mut self, offset: u64, length: usize) -> io::Result<Bytes> {
        if let Some(bytes) = self.held(offset, length) {
            return Ok(bytes);
        }
        let left = usize::try_from(self.stop.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length.max(self.ahead.min(left))];
        let wanted = bytes.len().min(left);
        self.fill(offset, bytes.get_mut(..wanted).unwrap_or_default())?;
        let bytes = Bytes::from(bytes);
        self.at = offset;
        // What lies past the end is zeros for this answer only: the end may move.
        self.bytes = bytes.slice(..wanted);
        Ok(bytes.slice(..length))
    }

    fn held(&self, offset: u64, length: usize) -> Option<Bytes> {
        let from = usize::try_from(offset.checked_sub(self.at)?).ok()?;
        let to = from.checked_add(length)?;
        (to <= self.bytes.len()).then(|| self.bytes.slice(from..to))
    }

    fn fill(&mut self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        match read_exact(&self.disk, &self.file, offset, bytes) {
            Err(error) if is_damage(&error) || self.forgiven > 0 => {}
            other => return other,
        }
        let (mut at, mut rest) = (offset, bytes);
        while !rest.is_empty() {
            let before = (at % PIECE_BYTES as u64) as usize;
            let (piece, after) = rest.split_at_mut(rest.len().min(PIECE_BYTES - before));
            match read_exact(&self.disk, &self.file, at, piece) {
                Err(error) if is_damage(&error) || self.forgiven > 0 => {
                    self.forgiven -= u32::from(!is_damage(&error));
                    piece.fill(0);
                    self.unreadable = true;
                }
                other => other?,
            }
            at += piece.len() as u64;
            rest = after;
        }
        Ok(())
    }
}

/// Whether the medium itself cannot read: everything else is a disk that could not be asked.
fn is_damage(error: &io::Error) -> bool {
    error.raw_os_error() == Some(EIO) || error.kind() == io::ErrorKind::InvalidData
}

fn read_exact<D: Disk>(disk: &D, file: &D::File, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match disk.read_at(file, offset + done as u64, rest) {
            Ok(0) => return Ok(()),
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A block whose checksums hold.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub header: Header,
    pub entries: Bytes,
    pub meta: Bytes,
}

impl Block {
    /// Drops its first entries, that many of that many bytes together.
    pub fn cut(&mut self, count: u32, bytes: usize) {
        let count = count.min(self.header.count);
        self.entries = self.entries.slice(bytes.min(self.entries.len())..);
        self.header.count -= count;
        self.header.first = self.header.first.plus(u64::from(count));
    }
}

/// What comes next in a segment.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A good block.
    Block(Block),
    /// Bytes that are no good block, up to where one may be. The header, if that can be read.
    Skip { from: u64, to: u64, header: Option<Header> },
    /// Nothing more from here on.
    End { at: u64 },
}

/// Walks a segment's blocks.
#[derive(Clone)]
pub(crate) struct Scanner<D: Disk> {
    pub window: Window<D>,
    identity: Identity,
    at: u64,
}

impl<D: Disk> Scanner<D> {
    /// From the block that begins at `at`.
    pub fn new(window: Window<D>, identity: Identity, at: u64) -> Self {
        Self { window, identity, at }
    }

    /// Where the next step begins.
    pub fn at(&self) -> u64 {
        self.at
    }

    pub fn step(&mut self) -> io::Result<Step> {
        let from = self.at;
        let Some(header) = self.header(from)? else {
            return self.search(from);
        };
        self.at = from + header.padded();
        match self.body(&header)? {
            Some(block) => Ok(Step::Block(block)),
            None => Ok(Step::Skip { from, to: self.at, header: Some(header) }),
        }
    }

    /// The header of this segment's block at `at`, if there is one.
    fn header(&mut self, at: u64) -> io::Result<Option<Header>> {
        if at + HEADER_BYTES as u64 > self.window.stop() {
            return Ok(None);
        }
        let bytes = self.window.get(at, HEADER_BYTES)?;
        if !may_begin(&bytes) {
            return Ok(None);
        }
        let identity = self.identity;
        Ok(Header::read(&bytes).ok().filter(|h| {
            let theirs = Identity { log: h.log, segment: h.segment, salt: h.salt };
            theirs == identity && h.fits(at, self.window.stop())
        }))
    }

    fn body(&mut self, header: &Header) -> io::Result<Option<Block>> {
        // `fits` has bounded the length by what is left of the segment.
        let bytes = self.window.get(header.offset, header.bytes() as usize)?;
        let body = bytes.slice(HEADER_BYTES..);
        if !header.matches(&body) {
            return Ok(None);
        }
        let mut entries = body;
        let meta = entries.split_off(header.entries_bytes as usize);
        Ok(Some(Block { header: *header, entries, meta }))
    }

    /// The next good block after bytes that are none.
    fn search(&mut self, from: u64) -> io::Result<Step> {
        let mut at = from + SECTOR_BYTES as u64;
        while at + HEADER_BYTES as u64 <= self.window.stop() {
            if let Some(header) = self.header(at)?
                && self.body(&header)?.is_some()
            {
                self.at = at;
                return Ok(Step::Skip { from, to: at, header: None });
            }
            at += SECTOR_BYTES as u64;
        }
        Ok(Step::End { at: from })
    }
}
