//! Frames as WebSocket messages, and messages as frames.
//!
//! ```text
//! message   u8 version | u8 flags | [u32 declared size, if flag 1] | body, compressed if flag 1
//! body      postcard frame | for Batch and Latest: the items
//! ```
//!
//! The version is the one that the frame came with: 2 for those of the way down, 3 for what lies above, 4 for how far a
//! log was taken there, 5 for what was given up, 6 for which edges are below, 1 for all others.
//!
//! Compression is the caller's: [`encode_edge`], [`decode_edge`] and their hub twins take a function that does
//! it, and which may keep what it knows from message to message. The sizes are checked here before it is called:
//! the declared size against the cap, and against [`COMPRESSION_RATIO_MAX`]. Nothing compressed is taken before the
//! peer is authenticated.

use super::{DownAnswer, DownFrame, EdgeFrame, HubFrame, VERSION};
use crate::limits::{BATCH_BYTES_MAX, COMPRESSION_RATIO_MAX, UNAUTHENTICATED_BYTES_MAX};
use bytes::{Buf, Bytes};
use serde::{Serialize, de::DeserializeOwned};

/// The largest message, compressed or not: a batch's items and definitions stay below it.
pub const MESSAGE_BYTES_MAX: usize = BATCH_BYTES_MAX;

const FLAG_COMPRESSED: u8 = 1;

/// How far the peer is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Before Welcome.
    Unauthenticated,
    /// After it.
    Welcomed,
}

impl Stage {
    /// The largest message that is taken.
    pub fn message_bytes_max(self) -> usize {
        match self {
            Self::Unauthenticated => UNAUTHENTICATED_BYTES_MAX,
            Self::Welcomed => MESSAGE_BYTES_MAX,
        }
    }
}

/// A message that is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// It ends too early.
    #[error("read link message: cut short")]
    Short,
    /// Another version.
    #[error("read link message: version {got}, want at most {VERSION}, and the one that the frame came with")]
    Version {
        /// What it says.
        got: u8,
    },
    /// A flag that this version does not have.
    #[error("read link message: unknown flags {got:#x}")]
    Flags {
        /// What it says.
        got: u8,
    },
    /// Larger than allowed.
    #[error("read link message: {size} bytes, want at most {max}")]
    TooLarge {
        /// What it is or claims.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// Compressed before the peer was authenticated.
    #[error("read link message: compressed before authentication")]
    CompressedEarly,
    /// It claims to become more than [`COMPRESSION_RATIO_MAX`] times as large.
    #[error(
        "read link message: {packed} bytes claim to be {declared}, want a ratio of at most {COMPRESSION_RATIO_MAX}"
    )]
    Ratio {
        /// What came.
        packed: usize,
        /// What it claims to become.
        declared: usize,
    },
    /// It does not decompress to the declared size.
    #[error("read link message: does not decompress to the declared size")]
    Compression,
    /// The postcard part cannot be read.
    #[error("read link message: not a frame")]
    Frame,
    /// Bytes after a frame that has none.
    #[error("read link message: bytes after the frame")]
    Trailing,
    /// The items of a batch.
    #[error("read link message: {what}")]
    Items {
        /// Which part.
        what: &'static str,
    },
}

/// An edge's frame as a message. `compress` gets bodies with items and may decline; what is not [`worth_sending`] is
/// not sent. Hello in particular goes as it is, however long its chain: its receiver knows nobody yet.
pub fn encode_edge(frame: &EdgeFrame, compress: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> Bytes {
    let items = match frame {
        EdgeFrame::Batch(batch) | EdgeFrame::Latest(batch) => batch.items.as_ref(),
        EdgeFrame::Hello(..)
        | EdgeFrame::CaughtUp { .. }
        | EdgeFrame::Ping(_)
        | EdgeFrame::Pong(_)
        | EdgeFrame::Bye { .. }
        | EdgeFrame::Down(_)
        | EdgeFrame::Above
        | EdgeFrame::Reached { .. }
        | EdgeFrame::GivenUp
        | EdgeFrame::Tree(_) => &[],
    };
    encode(frame.version(), frame, items, compress)
}

/// A hub's frame as a message. `compress` gets bodies with items and may decline.
pub fn encode_hub(frame: &HubFrame, compress: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> Bytes {
    let items = match frame {
        HubFrame::Down(DownFrame::Batch(batch)) => batch.items.as_ref(),
        HubFrame::Down(DownFrame::Hello(_))
        | HubFrame::Nonce { .. }
        | HubFrame::Welcome(..)
        | HubFrame::Synced { .. }
        | HubFrame::Refused(_)
        | HubFrame::Ping(_)
        | HubFrame::Pong(_)
        | HubFrame::Above(_)
        | HubFrame::Reached { .. }
        | HubFrame::GivenUp(_)
        | HubFrame::Tree(_) => &[],
    };
    encode(frame.version(), frame, items, compress)
}

/// An edge's frame from a message. `decompress` gets the bytes and the size they must become.
pub fn decode_edge(
    message: Bytes,
    stage: Stage,
    decompress: impl FnOnce(&[u8], usize) -> Option<Vec<u8>>,
) -> Result<EdgeFrame, BadMessage> {
    let (version, mut frame, rest) = decode::<EdgeFrame>(message, stage, decompress)?;
    match &mut frame {
        EdgeFrame::Batch(batch) | EdgeFrame::Latest(batch) => batch.items = rest,
        EdgeFrame::Hello(..)
        | EdgeFrame::CaughtUp { .. }
        | EdgeFrame::Ping(_)
        | EdgeFrame::Pong(_)
        | EdgeFrame::Bye { .. }
        | EdgeFrame::Down(_)
        | EdgeFrame::Above
        | EdgeFrame::Reached { .. }
        | EdgeFrame::GivenUp
        | EdgeFrame::Tree(_) => nothing_after(&rest)?,
    }
    if version == frame.version() { Ok(frame) } else { Err(BadMessage::Version { got: version }) }
}

/// A hub's frame from a message.
pub fn decode_hub(
    message: Bytes,
    stage: Stage,
    decompress: impl FnOnce(&[u8], usize) -> Option<Vec<u8>>,
) -> Result<HubFrame, BadMessage> {
    let (version, mut frame, rest) = decode::<HubFrame>(message, stage, decompress)?;
    match &mut frame {
        HubFrame::Down(DownFrame::Batch(batch)) => batch.items = rest,
        HubFrame::Down(DownFrame::Hello(_))
        | HubFrame::Nonce { .. }
        | HubFrame::Welcome(..)
        | HubFrame::Synced { .. }
        | HubFrame::Refused(_)
        | HubFrame::Ping(_)
        | HubFrame::Pong(_)
        | HubFrame::Above(_)
        | HubFrame::Reached { .. }
        | HubFrame::GivenUp(_)
        | HubFrame::Tree(_) => nothing_after(&rest)?,
    }
    if version == frame.version() { Ok(frame) } else { Err(BadMessage::Version { got: version }) }
}

impl EdgeFrame {
    /// The version that it came with.
    fn version(&self) -> u8 {
        match self {
            Self::Hello(..)
            | Self::Batch(_)
            | Self::Latest(_)
            | Self::CaughtUp { .. }
            | Self::Ping(_)
            | Self::Pong(_)
            | Self::Bye { .. } => 1,
            Self::Above => 3,
            Self::Reached { .. } => 4,
            Self::GivenUp => 5,
            Self::Tree(_) => 6,
            Self::Down(
                DownAnswer::Ready
                | DownAnswer::Welcome(_)
                | DownAnswer::Synced { .. }
                | DownAnswer::Refused(_),
            ) => 2,
        }
    }
}

impl HubFrame {
    /// The version that it came with.
    fn version(&self) -> u8 {
        match self {
            Self::Nonce { .. }
            | Self::Welcome(..)
            | Self::Synced { .. }
            | Self::Refused(_)
            | Self::Ping(_)
            | Self::Pong(_) => 1,
            Self::Above(_) => 3,
            Self::Reached { .. } => 4,
            Self::GivenUp(_) => 5,
            Self::Tree(_) => 6,
            Self::Down(DownFrame::Hello(_) | DownFrame::Batch(_)) => 2,
        }
    }
}

fn nothing_after(rest: &Bytes) -> Result<(), BadMessage> {
    if rest.is_empty() { Ok(()) } else { Err(BadMessage::Trailing) }
}

fn encode(
    version: u8,
    frame: &impl Serialize,
    items: &[u8],
    compress: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
) -> Bytes {
    let mut out = Vec::with_capacity(64 + items.len());
    out.extend_from_slice(&[version, 0]);
    let mut out = postcard::to_extend(frame, out).expect("serializing plain values into memory cannot fail");
    out.extend_from_slice(items);
    if !items.is_empty() {
        let body = out.get(2..).unwrap_or_default();
        let declared = body.len();
        if let Some(packed) = compress(body).filter(|packed| worth_sending(packed.len(), declared)) {
            let mut message = Vec::with_capacity(6 + packed.len());
            message.extend_from_slice(&[version, FLAG_COMPRESSED]);
            message.extend_from_slice(&(declared as u32).to_le_bytes());
            message.extend_from_slice(&packed);
            return message.into();
        }
    }
    out.into()
}

/// Whether a body goes compressed: it became smaller, and not so much smaller that a receiver would refuse it. A run
/// of zeros may well shrink a thousandfold.
pub fn worth_sending(packed: usize, declared: usize) -> bool {
    packed + 4 < declared && ratio_holds(packed, declared)
}

fn ratio_holds(packed: usize, declared: usize) -> bool {
    declared <= packed.saturating_mul(COMPRESSION_RATIO_MAX)
}

fn decode<F: DeserializeOwned>(
    message: Bytes,
    stage: Stage,
    decompress: impl FnOnce(&[u8], usize) -> Option<Vec<u8>>,
) -> Result<(u8, F, Bytes), BadMessage> {
    let version = message.first().copied().unwrap_or_default();
    let body = open(message, stage, decompress)?;
    let (frame, rest) = postcard::take_from_bytes(&body).map_err(|_| BadMessage::Frame)?;
    let rest = body.slice(body.len() - rest.len()..);
    Ok((version, frame, rest))
}

fn open(
    mut message: Bytes,
    stage: Stage,
    decompress: impl FnOnce(&[u8], usize) -> Option<Vec<u8>>,
) -> Result<Bytes, BadMessage> {
    let max = stage.message_bytes_max();
    if message.len() > max {
        return Err(BadMessage::TooLarge { size: message.len(), max });
    }
    if message.len() < 2 {
        return Err(BadMessage::Short);
    }
    let version = message.get_u8();
    if !(1..=VERSION).contains(&version) {
        return Err(BadMessage::Version { got: version });
    }
    match message.get_u8() {
        0 => Ok(message),
        FLAG_COMPRESSED if stage == Stage::Unauthenticated => Err(BadMessage::CompressedEarly),
        FLAG_COMPRESSED => {
            let declared = message.try_get_u32_le().map_err(|_| BadMessage::Short)? as usize;
            if declared > max {
                return Err(BadMessage::TooLarge { size: declared, max });
            }
            let packed = message.len();
            if !ratio_holds(packed, declared) {
                return Err(BadMessage::Ratio { packed, declared });
            }
            let body = decompress(&message, declared).ok_or(BadMessage::Compression)?;
            if body.len() == declared { Ok(body.into()) } else { Err(BadMessage::Compression) }
        }
        got => Err(BadMessage::Flags { got }),
    }
}
