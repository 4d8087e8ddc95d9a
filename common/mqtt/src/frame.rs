//! Takes one frame at a time off the stream.
//!
//! The codecs lose sync where a frame ends early, so they never see more than one. A fixed header that a client
//! may not send, or that announces too much, is refused before its frame is here. A frame that is whole in the
//! input is not copied.

use crate::{fault::Fault, fields::Fields};

/// The largest packet that carries neither a payload nor filters: no property section of an honest client comes near.
pub(crate) const CONTROL_BYTES_MAX: usize = 64 * 1024;

/// A partial frame's buffer above this size is given back when the frame is done.
const PARTIAL_BYTES_KEPT: usize = 4 * 1024;

/// What a client may send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Connect,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    Unsubscribe,
    PingReq,
    Disconnect,
    Auth,
}

/// A frame's fixed header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    /// The first byte's low half: of meaning in PUBLISH only.
    pub(crate) flags: u8,
    /// Bytes of the fixed header.
    pub(crate) bytes: usize,
    /// Bytes that follow it.
    pub(crate) body_bytes: usize,
}

/// One whole frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) head: Head,
    /// With its fixed header, as the codecs want it.
    pub(crate) whole: &'a [u8],
}

impl<'a> Frame<'a> {
    /// What follows the fixed header.
    pub(crate) fn body(&self) -> &'a [u8] {
        self.whole.get(self.head.bytes..).unwrap_or_default()
    }
}

/// Reads a fixed header. None if it is not whole yet.
/// `old`: from a client of MQTT 3.1.
pub(crate) fn head(bytes: &[u8], packet_bytes_max: usize, old: bool) -> Result<Option<Head>, Fault> {
    let mut fields = Fields::new(bytes);
    let Some(first) = fields.u8() else {
        return Ok(None);
    };
    let (kind, flags) = kind(first, old)?;
    let Some(body_bytes) = fields.varint() else {
        // The longest one has four bytes, and a shorter one that is whole was not in its shortest form.
        let whole = fields_whole(bytes);
        return if whole { Err(Fault::malformed("the remaining length is not a length")) } else { Ok(None) };
    };
    let head =
        Head { kind, flags, bytes: bytes.len() - fields.rest().len(), body_bytes: body_bytes as usize };
    let most = match kind {
        // Some clients (MQTT.js) ask again for all of their filters in one packet when they come back.
        Kind::Publish | Kind::Subscribe | Kind::Unsubscribe => packet_bytes_max,
        _ => packet_bytes_max.min(CONTROL_BYTES_MAX),
    };
    if head.bytes + head.body_bytes > most {
        return Err(Fault::too_large("the packet is larger than is taken here", "smaller packets"));
    }
    Ok(Some(head))
}

/// Whether the remaining length behind the first byte has its last byte, or too many.
fn fields_whole(bytes: &[u8]) -> bool {
    bytes.len() > 4 || bytes.iter().skip(1).any(|byte| byte & 0x80 == 0)
}

fn kind(first: u8, old: bool) -> Result<(Kind, u8), Fault> {
    // MQTT 3.1 has DUP in what is said again, whatever it is.
    let repeats = old && matches!(first >> 4, 6 | 8 | 10);
    let flags = first & if repeats { 0x07 } else { 0x0f };
    let (kind, wanted) = match first >> 4 {
        1 => (Kind::Connect, 0),
        3 => return if flags & 6 == 6 { Err(Fault::malformed("QoS 3")) } else { Ok((Kind::Publish, flags)) },
        4 => (Kind::PubAck, 0),
        5 => (Kind::PubRec, 0),
        6 => (Kind::PubRel, 2),
        7 => (Kind::PubComp, 0),
        8 => (Kind::Subscribe, 2),
        10 => (Kind::Unsubscribe, 2),
        12 => (Kind::PingReq, 0),
        14 => (Kind::Disconnect, 0),
        15 => (Kind::Auth, 0),
        2 | 9 | 11 | 13 => {
            return Err(Fault::protocol("a packet that only a server sends", "a client's packets"));
        }
        _ => return Err(Fault::malformed("packet type 0")),
    };
    if flags == wanted { Ok((kind, flags)) } else { Err(Fault::malformed("reserved bits of the first byte")) }
}

/// The end of the stream that is not a whole frame yet.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    partial: Vec<u8>,
    /// The partial frame was made whole and handed out.
    spent: bool,
    /// The client speaks MQTT 3.1.
    old: bool,
}

impl Splitter {
    /// From here on the rules of MQTT 3.1 hold.
    pub(crate) fn is_old(&mut self) {
        self.old = true;
    }

    /// The next whole frame of what is kept and `input`. None when more is needed: then all of `input` is kept.
    pub(crate) fn next<'f, 'i: 'f>(
        &'f mut self,
        input: &mut &'i [u8],
        packet_bytes_max: usize,
    ) -> Result<Option<Frame<'f>>, Fault> {
        if self.spent {
            self.forget();
        }
        if self.partial.is_empty() {
            return self.whole_or_keep(input, packet_bytes_max);
        }
        let head = loop {
            match head(&self.partial, packet_bytes_max, self.old)? {
                Some(head) => break head,
                None => match input.split_off_first() {
                    Some(byte) => self.partial.push(*byte),
                    None => return Ok(None),
                },
            }
        };
        let missing = (head.bytes + head.body_bytes).saturating_sub(self.partial.len());
        if let Some(last) = input.split_off(..missing.min(input.len())) {
            self.partial.extend_from_slice(last);
        }
        if self.partial.len() < head.bytes + head.body_bytes {
            return Ok(None);
        }
        self.spent = true;
        Ok(Some(Frame { head, whole: &self.partial }))
    }

    fn whole_or_keep<'i>(
        &mut self,
        input: &mut &'i [u8],
        packet_bytes_max: usize,
    ) -> Result<Option<Frame<'i>>, Fault> {
        if let Some(head) = head(input, packet_bytes_max, self.old)?
            && let Some(whole) = input.split_off(..head.bytes + head.body_bytes)
        {
            return Ok(Some(Frame { head, whole }));
        }
        self.partial.extend_from_slice(input);
        *input = &[];
        Ok(None)
    }

    fn forget(&mut self) {
        self.spent = false;
        if self.partial.capacity() > PARTIAL_BYTES_KEPT {
            self.partial = Vec::new();
        } else {
            self.partial.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1 << 20;

    fn publish(payload: usize) -> Vec<u8> {
        let length = 3 + payload;
        let mut bytes = vec![0x30];
        let mut left = length;
        loop {
            bytes.push((left % 128) as u8 | if left > 127 { 0x80 } else { 0 });
            left /= 128;
            if left == 0 {
                break;
            }
        }
        bytes.extend([0, 1, b'a']);
        bytes.resize(bytes.len() + payload, 7);
        bytes
    }

    fn split(chunks: &[&[u8]]) -> Result<Vec<Vec<u8>>, Fault> {
        let (mut splitter, mut frames) = (Splitter::default(), Vec::new());
        for chunk in chunks {
            let mut input = *chunk;
            while let Some(frame) = splitter.next(&mut input, MAX)? {
                frames.push(frame.whole.to_vec());
            }
            assert!(input.is_empty());
        }
        Ok(frames)
    }

    #[test]
    fn frames_are_the_same_wherever_the_stream_is_cut() {
        let frames = [publish(0), vec![0xc0, 0], publish(200), publish(20_000), vec![0xe0, 0]];
        let stream = frames.concat();
        assert_eq!(split(&[&stream]).unwrap(), frames);
        for cut in (0..stream.len()).filter(|cut| *cut < 300 || cut % 997 == 0) {
            let (a, b) = stream.split_at(cut);
            assert_eq!(split(&[a, b]).unwrap(), frames, "{cut}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(split(&bytes).unwrap(), frames);
    }

    #[test]
    fn what_a_client_may_not_send_is_refused_at_its_first_byte() {
        for first in 0..=255u8 {
            let allowed = matches!(
                first,
                0x10 | 0x30..=0x35 | 0x38..=0x3d | 0x40 | 0x50 | 0x62 | 0x70 | 0x82 | 0xa2 | 0xc0 | 0xe0 | 0xf0
            );
            assert_eq!(head(&[first], MAX, false).is_ok(), allowed, "{first:#x}");
        }
    }

    #[test]
    fn too_much_is_refused_before_it_is_here() {
        assert!(head(&[0x30, 0xff, 0xff, 0xff, 0x7f], MAX, false).is_err());
        assert!(
            head(&[0x62, 0xff, 0xff, 0x07], MAX, false).is_err(),
            "only payloads and filters may be many"
        );
        assert!(head(&[0x82, 0xff, 0xff, 0x07], MAX, false).unwrap().is_some());
        assert!(head(&[0x30, 0xff, 0xff, 0x07], MAX, false).unwrap().is_some());
        for length in [&[0x80, 0x80, 0x80, 0x80][..], &[0x80, 0x00]] {
            assert!(head(&[&[0x30], length].concat(), MAX, false).is_err(), "{length:?}");
        }
        for length in [&[][..], &[0x80], &[0x80, 0x80], &[0xff, 0xff, 0xff]] {
            assert_eq!(head(&[&[0x30], length].concat(), MAX, false), Ok(None), "{length:?}");
        }
    }
}
