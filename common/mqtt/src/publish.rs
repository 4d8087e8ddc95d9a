//! PUBLISH as it comes in, read in place.
//!
//! This is the one packet that comes by the million, and the one that is not given to a codec; a test holds
//! that both read the same.

use crate::{
    fault::Fault,
    fields::{CUT, Fields},
    frame::Frame,
    peer::Version,
    property::{self, IN_PUBLISH, Travelling},
};

/// A publication in a client's packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Publish<'a> {
    pub(crate) dup: bool,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// Not looked at yet; empty where an alias stands for it.
    pub(crate) topic: &'a [u8],
    /// 0 at QoS 0.
    pub(crate) id: u16,
    pub(crate) travelling: Travelling<'a>,
    pub(crate) payload: &'a [u8],
}

/// Reads a PUBLISH frame.
pub(crate) fn read<'a>(frame: &Frame<'a>, version: Version) -> Result<Publish<'a>, Fault> {
    let flags = frame.head.flags;
    let (dup, qos, retain) = (flags & 8 != 0, flags >> 1 & 3, flags & 1 != 0);
    if dup && qos == 0 {
        return Err(Fault::malformed("DUP at QoS 0"));
    }
    let mut fields = Fields::new(frame.body());
    let topic = fields.binary().ok_or(CUT)?;
    let id = if qos == 0 { 0 } else { packet_id(&mut fields)? };
    let travelling = match version {
        Version::V4 => Travelling::default(),
        Version::V5 => match property::section(&mut fields, IN_PUBLISH)? {
            [] => Travelling::default(),
            section => Travelling::of(section),
        },
    };
    Ok(Publish { dup, qos, retain, topic, id, travelling, payload: fields.rest() })
}

/// A packet id, which is never 0.
pub(crate) fn packet_id(fields: &mut Fields<'_>) -> Result<u16, Fault> {
    match fields.u16().ok_or(CUT)? {
        0 => Err(Fault::malformed("packet id 0")),
        id => Ok(id),
    }
}
