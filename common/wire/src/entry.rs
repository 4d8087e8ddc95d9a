//! One message from the edge's intake to the hub's disk.
//!
//! A *frame* is how an entry lies in a log block and in a link batch: a local header whose numbers belong to
//! that log or link, then the *body*, which nobody touches after intake. The body's CRC32C is made at intake
//! and travels with it, so what a reader gets is what was taken, or is known to be damaged.
//!
//! ```text
//! frame   u32 length of body, top bit: has an origin, the next: its time is uncertain | u32 crc32c of body | u32 route
//!         | [u32 origin, from 1 | u64 origin seq | i64 wall ms, corrected] | body
//! body    u8 version | u8 kind | u16 flags | u32 uncertainty ms | u64 boot us | i64 wall ms | rest by kind
//! ```
//!
//! All numbers are little-endian. The body's first 24 bytes are frozen; unknown kinds are stored and forwarded,
//! never refused (section 7.8).

mod publication;

pub use publication::{ContentType, PacketId, Publication, PublishId, Publisher};

use crate::limits::BODY_BYTES_MAX;
use riser_model::{RouteNumber, Seq, Stamp, Wall};

/// The local header without an origin.
pub const FRAME_HEADER_BYTES: usize = 12;

/// What an origin adds to it.
pub const ORIGIN_BYTES: usize = 20;

/// In the length: an origin follows. Entries that were taken here, all of a site's, do without.
const HAS_ORIGIN: u32 = 1 << 31;

/// Beside that: the time found for it is uncertain.
const IS_UNCERTAIN: u32 = 1 << 30;

/// The frozen part of a body.
pub const ENVELOPE_BYTES: usize = 24;

/// The body version that this build writes.
pub const BODY_VERSION: u8 = 1;

/// Bytes that are not a frame or not a body. `at` is the byte offset where the frame begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    /// The bytes end inside a frame.
    #[error("read entry: frame cut short at byte {at}")]
    Short {
        /// Where it begins.
        at: usize,
    },
    /// The length is below the envelope's or above [`BODY_BYTES_MAX`].
    #[error("read entry: body of {length} bytes at byte {at}, want {ENVELOPE_BYTES} to {BODY_BYTES_MAX}")]
    Length {
        /// Where it begins.
        at: usize,
        /// What it claims.
        length: usize,
    },
    /// The checksum does not match.
    #[error("read entry: checksum mismatch at byte {at}")]
    Checksum {
        /// Where it begins.
        at: usize,
    },
    /// The part that belongs to the kind cannot be read.
    #[error("read entry: {what}")]
    Rest {
        /// Which part.
        what: &'static str,
    },
}

/// Where an entry was first appended, when that was another log: a number that this log or link batch defines
/// for (log, epoch), from 1, and the seq there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The number of the (log, epoch).
    pub number: u32,
    /// The seq there.
    pub seq: Seq,
    /// When it was published, by the clock of the log that took it from there: the stamp in its body is in the words
    /// of the host that took it first (section 7.10).
    pub wall: Wall,
    /// That is as much as its host's own clock says, within what is known: its boot never met a hub.
    pub uncertain: bool,
}

/// One entry as it lies in a block or batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// Its route's number, local to the log, link or connection.
    pub route: RouteNumber,
    /// Where it came from, if not from here.
    pub origin: Option<Origin>,
    /// CRC32C of the body.
    pub crc: u32,
    /// The body, untouched since intake.
    pub body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the frame that begins at byte `at`, and where the next one begins. Does not verify the checksum.
    pub fn read(bytes: &'a [u8], at: usize) -> Result<(Self, usize), BadEntry> {
        let short = BadEntry::Short { at };
        let mut rest = bytes.get(at..).ok_or(short)?;
        let word = take_u32(&mut rest).ok_or(short)?;
        let flags = if word & HAS_ORIGIN == 0 { 0 } else { HAS_ORIGIN | IS_UNCERTAIN };
        let length = (word & !flags) as usize;
        if !(ENVELOPE_BYTES..=BODY_BYTES_MAX).contains(&length) {
            return Err(BadEntry::Length { at, length });
        }
        let crc = take_u32(&mut rest).ok_or(short)?;
        let route = RouteNumber(take_u32(&mut rest).ok_or(short)?);
        let origin = if word & HAS_ORIGIN == 0 {
            None
        } else {
            let number = take_u32(&mut rest).ok_or(short)?;
            let seq = Seq(take_u64(&mut rest).ok_or(short)?);
            let wall = Wall(take_u64(&mut rest).ok_or(short)?.cast_signed());
            Some(Origin { number, seq, wall, uncertain: word & IS_UNCERTAIN != 0 })
        };
        let body = take(&mut rest, length).ok_or(short)?;
        Ok((Self { route, origin, crc, body }, bytes.len() - rest.len()))
    }

    /// Whether the body is what was taken at intake.
    pub fn intact(&self) -> bool {
        crc32c::crc32c(self.body) == self.crc
    }

    /// When it was published, by the clock of the log that it lies in; the epoch's beginning if it does not say.
    pub fn wall(&self) -> Wall {
        match self.origin {
            Some(origin) => origin.wall,
            None => Body::read(self.body).map_or(Wall(0), |body| body.stamp.wall),
        }
    }

    /// Whether that is as much as its host's own clock says, within what is known.
    pub fn is_uncertain(&self) -> bool {
        self.origin.is_some_and(|origin| origin.uncertain)
    }

    /// The same without saying so, as those read it who do not know that mark.
    #[must_use]
    pub fn unmarked(self) -> Self {
        Self { origin: self.origin.map(|origin| Origin { uncertain: false, ..origin }), ..self }
    }

    /// Its size in a block or batch.
    pub fn size(&self) -> usize {
        frame_size(self.origin, self.body.len())
    }

    /// Appends it to a block or batch.
    pub fn write(&self, out: &mut Vec<u8>) {
        // A body is bounded by BODY_BYTES_MAX, far below u32.
        let flags =
            self.origin.map_or(0, |origin| HAS_ORIGIN | if origin.uncertain { IS_UNCERTAIN } else { 0 });
        let header = [self.body.len() as u32 | flags, self.crc, self.route.0];
        out.reserve(self.size());
        out.extend_from_slice(header.map(u32::to_le_bytes).as_flattened());
        if let Some(origin) = self.origin {
            out.extend_from_slice(&origin.number.to_le_bytes());
            out.extend_from_slice(&origin.seq.0.to_le_bytes());
            out.extend_from_slice(&origin.wall.0.to_le_bytes());
        }
        out.extend_from_slice(self.body);
    }
}

/// The size of a frame around a body of that many bytes.
pub fn frame_size(origin: Option<Origin>, body: usize) -> usize {
    FRAME_HEADER_BYTES + if origin.is_some() { ORIGIN_BYTES } else { 0 } + body
}

/// The frames that lie back to back in `bytes`. Ends after the first error.
pub fn frames(bytes: &[u8]) -> Frames<'_> {
    Frames { bytes, at: 0 }
}

/// See [`frames`].
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Frames<'_> {
    /// The byte at which the next frame begins.
    pub fn at(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, BadEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let read = Frame::read(self.bytes, self.at);
        self.at = read.as_ref().map_or(self.bytes.len(), |(_, next)| *next);
        Some(read.map(|(frame, _)| frame))
    }
}

/// Overwrites the route number of the frame that begins at byte `at`: how a connection's alias becomes the
/// log's number. Nothing happens past the end.
pub fn set_route(bytes: &mut [u8], at: usize, route: RouteNumber) {
    if let Some(place) = at.checked_add(8).and_then(|from| bytes.get_mut(from..from.checked_add(4)?)) {
        place.copy_from_slice(&route.0.to_le_bytes());
    }
}

/// What an entry is. The numbers are part of the format and never reused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A publication.
    Publication,
    /// Proves flow on the link; the hub confirms it and stores nothing.
    Canary,
    /// Ties a boot's clock to the hub's.
    Anchor,
    /// QoS 2 ids of a session that PUBREL released.
    Release,
    /// An MQTT session as it is from here on: made, changed or ended.
    Session,
    /// A connection to a room opened.
    Opened,
    /// A connection to a room closed.
    Closed,
    /// An entry that was taken but could not be placed, with its reason.
    Quarantined,
    /// What became of an entry in quarantine.
    Settled,
    /// Seqs of a log below that are no entries.
    Passed,
    /// A log below is no more.
    Departed,
    /// Who is in a room behind a log below, as the instance above that says.
    Roll,
    /// From a newer version: stored and forwarded.
    Other(u8),
}

impl Kind {
    /// Its number.
    pub fn number(self) -> u8 {
        match self {
            Self::Publication => 1,
            Self::Canary => 2,
            Self::Anchor => 3,
            Self::Release => 4,
            Self::Session => 5,
            Self::Opened => 6,
            Self::Closed => 7,
            Self::Quarantined => 8,
            Self::Settled => 9,
            Self::Passed => 10,
            Self::Departed => 11,
            Self::Roll => 12,
            Self::Other(number) => number,
        }
    }

    /// Whether it says who is in a room.
    pub fn says_who(self) -> bool {
        matches!(self, Self::Opened | Self::Closed | Self::Roll)
    }

    /// The kind with that number.
    pub fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Publication,
            2 => Self::Canary,
            3 => Self::Anchor,
            4 => Self::Release,
            5 => Self::Session,
            6 => Self::Opened,
            7 => Self::Closed,
            8 => Self::Quarantined,
            9 => Self::Settled,
            10 => Self::Passed,
            11 => Self::Departed,
            12 => Self::Roll,
            other => Self::Other(other),
        }
    }
}

/// A body whose envelope was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Body<'a> {
    /// The version it was written with.
    pub version: u8,
    /// What it is.
    pub kind: Kind,
    /// Meaning by kind.
    pub flags: u16,
    /// When, in the words of the host that took it.
    pub stamp: Stamp,
    /// What belongs to the kind.
    pub rest: &'a [u8],
}

impl<'a> Body<'a> {
    /// Reads the envelope.
    pub fn read(body: &'a [u8]) -> Result<Self, BadEntry> {
        read_envelope(body).ok_or(BadEntry::Length { at: 0, length: body.len() })
    }

    /// Whether anybody waits for its commit. Nobody does for a publication of QoS 0 without an id: it rides in
    /// the next one (promise 1).
    pub fn awaited(&self) -> bool {
        self.kind != Kind::Publication || Publication::is_awaited(self.flags)
    }

    /// Appends the body to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        write_envelope(out, self.version, self.kind, self.flags, self.stamp);
        out.extend_from_slice(self.rest);
    }
}

fn read_envelope(mut body: &[u8]) -> Option<Body<'_>> {
    let [version, kind] = *take_array::<2>(&mut body)?;
    let flags = u16::from_le_bytes(*take_array(&mut body)?);
    let uncertainty_ms = take_u32(&mut body)?;
    let boot_us = take_u64(&mut body)?;
    let wall = Wall(i64::from_le_bytes(*take_array(&mut body)?));
    let stamp = Stamp { boot_us, wall, uncertainty_ms };
    Some(Body { version, kind: Kind::from_number(kind), flags, stamp, rest: body })
}

fn write_envelope(out: &mut Vec<u8>, version: u8, kind: Kind, flags: u16, stamp: Stamp) {
    // In little-endian order the first of three numbers is version, kind, flags and uncertainty.
    let first = u64::from(version)
        | u64::from(kind.number()) << 8
        | u64::from(flags) << 16
        | u64::from(stamp.uncertainty_ms) << 32;
    let envelope = [first, stamp.boot_us, stamp.wall.0.cast_unsigned()];
    out.extend_from_slice(envelope.map(u64::to_le_bytes).as_flattened());
}

/// Appends a frame whose body is an envelope and what `rest` appends.
pub fn write_frame(
    out: &mut Vec<u8>,
    route: RouteNumber,
    kind: Kind,
    flags: u16,
    stamp: Stamp,
    rest: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    write_envelope(out, BODY_VERSION, kind, flags, stamp);
    rest(out);
    let Some((header, body)) = out.get_mut(start..).and_then(|f| f.split_at_mut_checked(FRAME_HEADER_BYTES))
    else {
        return;
    };
    let crc = crc32c::crc32c(body);
    for (place, number) in header.chunks_exact_mut(4).zip([body.len() as u32, crc, route.0]) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}

fn take<'a>(from: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (head, tail) = from.split_at_checked(n)?;
    *from = tail;
    Some(head)
}

fn take_array<'a, const N: usize>(from: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, tail) = from.split_first_chunk::<N>()?;
    *from = tail;
    Some(head)
}

fn take_u32(from: &mut &[u8]) -> Option<u32> {
    take_array(from).map(|b| u32::from_le_bytes(*b))
}

fn take_u64(from: &mut &[u8]) -> Option<u64> {
    take_array(from).map(|b| u64::from_le_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::{ConnectionId, Epoch, LogId, Position};

    const STAMP: Stamp = Stamp { boot_us: 0x0102_0304, wall: Wall(-2), uncertainty_ms: 7 };

    fn full() -> Publication<'static> {
        Publication {
            retain: true,
            qos: 2,
            content_type: ContentType::Other("text/x"),
            publish_id: Some(PublishId { producer: 3, n: 4 }),
            packet_id: Some(PacketId { session: 5, id: 6 }),
            publisher: Some(Publisher(7)),
            session: Some(ConnectionId(8)),
            replaces: Some(Position { log: LogId(9), epoch: Epoch(10), seq: Seq(11) }),
            properties: b"pp",
            payload: b"hello",
        }
    }

    #[test]
    fn publication_bytes_are_golden() {
        let mut out = Vec::new();
        Publication::new(ContentType::Json, b"{}").write_frame(&mut out, RouteNumber(9), STAMP);
        let golden = [
            27, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, // length, crc (below), route
            1, 1, 0, 0, 7, 0, 0, 0, 4, 3, 2, 1, 0, 0, 0, 0, // version, kind, flags, uncertainty, boot
            254, 255, 255, 255, 255, 255, 255, 255, // wall
            2, b'{', b'}',
        ];
        let crc = crc32c::crc32c(&golden[12..]).to_le_bytes();
        assert_eq!(&out[..4], &golden[..4]);
        assert_eq!(&out[4..8], &crc);
        assert_eq!(&out[8..], &golden[8..]);
    }

    #[test]
    fn the_bytes_of_all_that_a_publication_may_carry_are_golden() {
        let mut out = Vec::new();
        full().write_frame(&mut out, RouteNumber(9), STAMP);
        let golden = [
            &[239, 1][..], // flags: everything, at QoS 2
            &[7, 0, 0, 0, 4, 3, 2, 1, 0, 0, 0, 0, 254, 255, 255, 255, 255, 255, 255, 255], // stamp
            &[255, 6, b't', b'e', b'x', b't', b'/', b'x'],
            &[3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0], // publish id
            &[5, 0, 0, 0, 0, 0, 0, 0, 6, 0],                   // packet id
            &[7, 0, 0, 0, 0, 0, 0, 0],                         // publisher
            &[8, 0, 0, 0, 0, 0, 0, 0],                         // session
            &[9, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0], // replaces
            &[2, 0, b'p', b'p', b'h', b'e', b'l', b'l', b'o'],
        ];
        assert_eq!(out[FRAME_HEADER_BYTES + 2..], golden.concat());
        assert_eq!(Publisher::of("pump-1"), Publisher(0x7d51_7919_5211_dc19));
    }

    #[test]
    fn everything_round_trips_and_every_cut_is_seen() {
        let mut out = Vec::new();
        full().write_frame(&mut out, RouteNumber(1), STAMP);
        let one = out.len();
        Publication::new(ContentType::Octets, b"").write_frame(&mut out, RouteNumber(2), STAMP);
        let all: Vec<_> = frames(&out).map(Result::unwrap).collect();
        assert_eq!(all.len(), 2);
        assert!(all.iter().all(Frame::intact));
        let body = Body::read(all[0].body).unwrap();
        assert_eq!((body.stamp, body.kind), (STAMP, Kind::Publication));
        assert_eq!(Publication::read(&body).unwrap(), full());
        for cut in 0..one {
            assert!(Frame::read(&out[..cut], 0).is_err());
        }
        for cut in 0..body.rest.len() - 5 {
            assert!(Publication::read(&Body { rest: &body.rest[..cut], ..body }).is_err(), "{cut}");
        }
    }

    #[test]
    fn origin_and_route_are_local_and_the_body_is_not_touched() {
        let mut out = Vec::new();
        full().write_frame(&mut out, RouteNumber(1), STAMP);
        set_route(&mut out, 0, RouteNumber(77));
        let (frame, _) = Frame::read(&out, 0).unwrap();
        let moved = Frame {
            origin: Some(Origin { number: 3, seq: Seq(9), wall: Wall(-2), uncertain: false }),
            ..frame
        };
        let mut hub = Vec::new();
        moved.write(&mut hub);
        assert_eq!(hub.len(), moved.size());
        assert_eq!(hub[..4], [out[0], 0, 0, 0x80]);
        assert_eq!(hub[12..24], [3, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(hub[24..32], [254, 255, 255, 255, 255, 255, 255, 255]);
        assert_eq!(Frame::read(&hub, 0).unwrap(), (moved, hub.len()));
        assert!(moved.intact());
        assert_eq!(moved.route, RouteNumber(77));
        let origin = moved.origin.map(|origin| Origin { uncertain: true, ..origin });
        let (unsure, mut bytes) = (Frame { origin, ..moved }, Vec::new());
        unsure.write(&mut bytes);
        assert_eq!(bytes[..4], [out[0], 0, 0, 0xc0]);
        assert_eq!(bytes[4..], hub[4..], "nothing else is another");
        assert_eq!(Frame::read(&bytes, 0).unwrap(), (unsure, bytes.len()));
        // Only what came from elsewhere has a time that was found for it.
        bytes[3] = 0x40;
        assert!(Frame::read(&bytes, 0).is_err());
    }

    #[test]
    fn unknown_kinds_keep_their_number() {
        for number in 0..=255 {
            assert_eq!(Kind::from_number(number).number(), number);
        }
    }

    #[test]
    fn hostile_lengths_are_refused_before_anything_is_read() {
        let mut out = vec![0; 64];
        out[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(Frame::read(&out, 0), Err(BadEntry::Length { .. })));
        assert!(matches!(Frame::read(&out, usize::MAX), Err(BadEntry::Short { .. })));
    }
}
