//! One commit as it lies in a segment (rule 6.3): header, entries, meta, zeros up to a sector or beyond.
//!
//! ```text
//! header   u32 magic | u8 version | u8 kind | u16 0 | u32 crc of header | u32 crc of entries and meta
//!          u32 count | u32 length of entries | u32 length of meta | u32 sectors left empty after it
//!          u64 salt | u64 segment | u64 epoch | u64 log | u64 first seq | u64 offset | u64 segment's first seq
//!          i64 wall ms | u64 monotonic ns
//! entries  frames, back to back
//! meta     by kind: changes, a checkpoint or a footer
//! ```
//!
//! All numbers are little-endian. Both checksums begin from the salt, so bytes of an earlier use never pass. The
//! header has a checksum of its own: a block whose body is torn still says which seqs it held.

use riser_model::{Epoch, LogId, Now, Seq, Time, Wall};
use riser_wire::limits::BATCH_BYTES_MAX;
use std::cmp::Ordering;

/// Blocks begin on multiples of this: what a disk writes whole or not at all.
pub const SECTOR_BYTES: usize = 512;
/// The header's length.
pub const HEADER_BYTES: usize = 104;
/// The most bytes of entries in one block.
pub const ENTRIES_BYTES_MAX: usize = BATCH_BYTES_MAX;
/// The format that this build writes and reads.
pub const VERSION: u8 = 1;
/// Where a header has the segment's number.
const SEGMENT_AT: usize = 40;
const MAGIC: u32 = u32::from_le_bytes(*b"RSRb");

/// What a block's meta is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// What changed beside the entries.
    Changes,
    /// All of the log's state before the entries.
    Checkpoint,
    /// What the segment holds; the last block of a sealed segment.
    Footer,
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Self::Changes => 0,
            Self::Checkpoint => 1,
            Self::Footer => 2,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        [Self::Changes, Self::Checkpoint, Self::Footer].get(usize::from(number)).copied()
    }
}

/// The part of a block that says what the rest is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// What the meta is.
    pub kind: Kind,
    /// How many entries.
    pub count: u32,
    /// Their bytes.
    pub entries_bytes: u32,
    /// The meta's bytes.
    pub meta_bytes: u32,
    /// How many whole sectors of zeros follow.
    pub empty_sectors: u32,
    /// Checksum of entries and meta.
    pub body_crc: u32,
    /// Of this use of the segment.
    pub salt: u64,
    /// The segment's number.
    pub segment: u64,
    /// The epoch of the entries.
    pub epoch: Epoch,
    /// The log.
    pub log: LogId,
    /// The seq of the first entry, or the one that comes next if there are none.
    pub first: Seq,
    /// Where this block begins in the segment.
    pub offset: u64,
    /// The seq with which the segment begins: nothing from it on in earlier segments counts (rule 6.8).
    pub segment_first: Seq,
    /// When it was committed.
    pub now: Now,
}

/// Bytes that are not a header of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadHeader {
    /// Something else, or damaged.
    NotABlock,
    /// A format that this build does not know yet.
    Version,
}

impl Header {
    /// Reads a header. The salt is taken from it: whether that is the right one is the caller's to say.
    pub fn read(bytes: &[u8]) -> Result<Self, BadHeader> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk().ok_or(BadHeader::NotABlock)?;
        let mut fields = Fields(bytes);
        let magic = fields.u32();
        let [version, kind, _, _] = fields.u32().to_le_bytes();
        let crc = fields.u32();
        if magic != MAGIC {
            return Err(BadHeader::NotABlock);
        }
        let header = Self::read_fields(&mut fields, kind);
        let salt = header.map_or(0, |h| h.salt);
        if header_crc(bytes, version, salt) != crc {
            // One flipped bit in the version's byte is damage to a block of ours, not another format.
            let flipped = header_crc(bytes, VERSION, salt) == crc;
            return Err(if version > VERSION && !flipped {
                BadHeader::Version
            } else {
                BadHeader::NotABlock
            });
        }
        match version.cmp(&VERSION) {
            Ordering::Less => return Err(BadHeader::NotABlock),
            Ordering::Equal => {}
            Ordering::Greater => return Err(BadHeader::Version),
        }
        header.ok_or(BadHeader::NotABlock)
    }

    /// The fields of bytes that may be damaged: for telling whose they were.
    pub fn read_unchecked(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let mut fields = Fields(bytes);
        fields.u32();
        fields.u32();
        fields.u32();
        Self::read_fields(&mut fields, 0)
    }

    /// Whether bytes that may be damaged were the header of a block of that segment.
    pub fn is_of(bytes: &[u8], segment: u64) -> bool {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else { return false };
        let mut mended = *bytes;
        if let Some(place) = mended.get_mut(SEGMENT_AT..SEGMENT_AT + 8) {
            place.copy_from_slice(&segment.to_le_bytes());
        }
        // Either the damage is elsewhere, or that number is what makes the checksum right.
        mended == *bytes || Self::read(&mended).is_ok()
    }

    fn read_fields(fields: &mut Fields<'_>, kind: u8) -> Option<Self> {
        let body_crc = fields.u32();
        let count = fields.u32();
        let entries_bytes = fields.u32();
        let meta_bytes = fields.u32();
        let empty_sectors = fields.u32();
        Some(Self {
            kind: Kind::from_number(kind)?,
            count,
            entries_bytes,
            meta_bytes,
            empty_sectors,
            body_crc,
            salt: fields.u64(),
            segment: fields.u64(),
            epoch: Epoch(fields.u64()),
            log: LogId(fields.u64()),
            first: Seq(fields.u64()),
            offset: fields.u64(),
            segment_first: Seq(fields.u64()),
            now: Now { wall: Wall(fields.u64().cast_signed()), time: Time(fields.u64()) },
        })
    }

    fn write(&self, to: &mut [u8; HEADER_BYTES]) {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.extend_from_slice(&MAGIC.to_le_bytes());
        out.extend_from_slice(&[VERSION, self.kind.number(), 0, 0]);
        let lengths = [self.count, self.entries_bytes, self.meta_bytes, self.empty_sectors];
        for number in [0, self.body_crc].into_iter().chain(lengths) {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let wall = self.now.wall.0.cast_unsigned();
        for number in [
            self.salt,
            self.segment,
            self.epoch.0,
            self.log.0,
            self.first.0,
            self.offset,
            self.segment_first.0,
            wall,
            self.now.time.0,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        if let Some(bytes) = out.first_chunk() {
            *to = *bytes;
        }
        let crc = header_crc(to, VERSION, self.salt);
        if let Some(place) = to.get_mut(8..12) {
            place.copy_from_slice(&crc.to_le_bytes());
        }
    }

    /// The last entry's seq; `first - 1` if there are none.
    pub fn last(&self) -> Seq {
        Seq(self.first.0.saturating_add(u64::from(self.count)).saturating_sub(1))
    }

    /// Bytes of header, entries and meta.
    pub fn bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.entries_bytes) + u64::from(self.meta_bytes)
    }

    /// Bytes of the whole block, zeros included.
    pub fn padded(&self) -> u64 {
        padded(self.bytes()) + u64::from(self.empty_sectors) * SECTOR_BYTES as u64
    }

    /// Whether a block that says this of itself can be at that offset of a segment of that length.
    pub fn fits(&self, offset: u64, length: u64) -> bool {
        self.offset == offset
            && self.entries_bytes as usize <= ENTRIES_BYTES_MAX
            && offset.saturating_add(self.padded()) <= length
    }

    /// Whether `body`, the entries and the meta, is what was written.
    pub fn matches(&self, body: &[u8]) -> bool {
        body_crc(body, self.salt) == self.body_crc
    }
}

/// Completes a block in `bytes`, which holds room for the header, then the entries, then the meta: pads it,
/// computes the checksum, writes the header.
pub fn seal(bytes: &mut Vec<u8>, header: Header) {
    let body_crc = body_crc(bytes.get(HEADER_BYTES..).unwrap_or_default(), header.salt);
    let header = Header { body_crc, ..header };
    bytes.resize(header.padded() as usize, 0);
    if let Some(place) = bytes.first_chunk_mut() {
        header.write(place);
    }
}

/// A length rounded up to whole sectors.
pub fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(SECTOR_BYTES as u64)
}

/// Whether a block might begin with these bytes: what a search looks at first.
pub fn may_begin(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC.to_le_bytes())
}

fn header_crc(bytes: &[u8; HEADER_BYTES], version: u8, salt: u64) -> u32 {
    let (before, after) = (bytes.get(..8).unwrap_or_default(), bytes.get(12..).unwrap_or_default());
    let mut start = [0; 8];
    start.copy_from_slice(before);
    if let Some(place) = start.get_mut(4) {
        *place = version;
    }
    crc32c::crc32c_append(crc32c::crc32c_append(body_crc(&[], salt), &start), after)
}

fn body_crc(body: &[u8], salt: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), body)
}

/// Fixed-width numbers, one after the other; zeros past the end.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((head, tail)) = self.0.split_first_chunk() else { return [0; N] };
        self.0 = tail;
        *head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            kind: Kind::Changes,
            count: 2,
            entries_bytes: 3,
            meta_bytes: 2,
            empty_sectors: 1,
            body_crc: 0,
            salt: 0x1122_3344_5566_7788,
            segment: 9,
            epoch: Epoch(10),
            log: LogId(11),
            first: Seq(12),
            offset: 512,
            segment_first: Seq(5),
            now: Now { time: Time(13), wall: Wall(-14) },
        }
    }

    fn block() -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes.extend_from_slice(b"abcde");
        seal(&mut bytes, header());
        bytes
    }

    #[test]
    fn block_bytes_are_golden() {
        let bytes = block();
        let crc = |from: usize| u32::from_le_bytes(bytes[from..from + 4].try_into().unwrap());
        assert_eq!(&bytes[..8], b"RSRb\x01\x00\x00\x00");
        assert_eq!((crc(8), crc(12)), (0x4b95_dbcf, 0x0d74_d020));
        assert_eq!(&bytes[16..32], [2, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(&bytes[32..40], [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
        let numbers: Vec<u64> =
            bytes[40..HEADER_BYTES].chunks(8).map(|c| u64::from_le_bytes(c.try_into().unwrap())).collect();
        assert_eq!(numbers, [9, 10, 11, 12, 512, 5, 14u64.wrapping_neg(), 13]);
        assert_eq!(&bytes[HEADER_BYTES..HEADER_BYTES + 6], b"abcde\x00");
        assert_eq!(bytes.len(), 2 * SECTOR_BYTES);
    }

    #[test]
    fn block_round_trips() {
        let bytes = block();
        let read = Header::read(&bytes).unwrap();
        assert_eq!(Header { body_crc: 0, ..read }, header());
        assert!(read.matches(&bytes[HEADER_BYTES..][..5]));
        assert!(read.fits(512, 1536) && !read.fits(512, 1535) && !read.fits(1024, 4096));
        assert_eq!((read.last(), read.padded()), (Seq(13), 1024));
    }

    #[test]
    fn every_flipped_bit_before_the_padding_is_seen() {
        let clean = block();
        for bit in 0..(HEADER_BYTES + 5) * 8 {
            let mut bytes = clean.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let seen = match Header::read(&bytes) {
                Ok(read) => !read.matches(&bytes[HEADER_BYTES..][..5]),
                Err(bad) => bad == BadHeader::NotABlock,
            };
            assert!(seen, "bit {bit}");
        }
    }

    #[test]
    fn header_with_any_flipped_bit_is_still_known_as_its_segments_own() {
        let clean = block();
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = clean.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::is_of(&bytes, 9), "bit {bit}");
        }
        assert!(!Header::is_of(&[0; HEADER_BYTES], 9));
        let mut earlier = block();
        earlier[20] ^= 1;
        assert!(!Header::is_of(&earlier, 8), "a damaged block of an earlier use");
    }

    #[test]
    fn another_format_is_told_from_damage() {
        let mut bytes = block();
        bytes[4] = 2;
        assert_eq!(Header::read(&bytes), Err(BadHeader::NotABlock));
        bytes[8] ^= 0xff;
        assert_eq!(Header::read(&bytes), Err(BadHeader::Version));
        bytes[4] = 0;
        assert_eq!(Header::read(&bytes), Err(BadHeader::NotABlock), "there never was such a format");
        assert_eq!(Header::read(&[]), Err(BadHeader::NotABlock));
    }
}
