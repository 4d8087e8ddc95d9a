//! The small packets that are read by hand: acknowledgements, PUBREL, DISCONNECT.
//!
//! The codec for MQTT 5 does not read DISCONNECT's short forms, and acknowledgements come as often as
//! publications go out.

use crate::{
    fault::Fault,
    fields::{CUT, Fields},
    frame::{Frame, Kind},
    peer::Version,
    property::{self, IN_ACK, IN_DISCONNECT, SESSION_EXPIRY},
    publish::packet_id,
};
use rumqttc::v5::mqttbytes::v5::DisconnectReasonCode;

/// Reads PUBACK, PUBREC, PUBREL or PUBCOMP: the packet id and the reason code.
pub(crate) fn read_ack(frame: &Frame<'_>, version: Version) -> Result<(u16, u8), Fault> {
    let mut fields = Fields::new(frame.body());
    let id = packet_id(&mut fields)?;
    let reason = match version {
        Version::V4 => 0,
        Version::V5 if fields.is_empty() => 0,
        Version::V5 => fields.u8().ok_or(CUT)?,
    };
    if version == Version::V5 && !fields.is_empty() {
        property::section(&mut fields, IN_ACK)?;
    }
    end(&fields)?;
    let reasons: &[u8] = match frame.head.kind {
        Kind::PubRel | Kind::PubComp => &[0, 0x92],
        _ => &[0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
    };
    if reasons.contains(&reason) {
        Ok((id, reason))
    } else {
        Err(Fault::malformed("a reason code that its packet does not have"))
    }
}

/// A client's DISCONNECT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Disconnect {
    /// Its will is not wanted.
    pub(crate) normal: bool,
    /// A new expiry of its session.
    pub(crate) expiry_s: Option<u32>,
}

const NORMAL: u8 = 0x00;
const WITH_WILL: u8 = 0x04;

/// Reads DISCONNECT, in its short forms too.
pub(crate) fn read_disconnect(frame: &Frame<'_>, version: Version) -> Result<Disconnect, Fault> {
    let mut fields = Fields::new(frame.body());
    let mut disconnect = Disconnect { normal: true, expiry_s: None };
    if version == Version::V5 && !fields.is_empty() {
        disconnect.normal = match fields.u8().ok_or(CUT)? {
            NORMAL => true,
            WITH_WILL => false,
            code if DisconnectReasonCode::try_from(code).is_ok() => false,
            _ => return Err(Fault::malformed("a reason code that DISCONNECT does not have")),
        };
    }
    if version == Version::V5 && !fields.is_empty() {
        let section = property::section(&mut fields, IN_DISCONNECT)?;
        let expiry = property::each(section).find(|property| property.id == SESSION_EXPIRY);
        disconnect.expiry_s = expiry.and_then(|p| p.value.try_into().ok()).map(u32::from_be_bytes);
    }
    end(&fields)?;
    Ok(disconnect)
}

/// Reads a packet that is nothing but its first byte.
pub(crate) fn read_empty(frame: &Frame<'_>) -> Result<(), Fault> {
    end(&Fields::new(frame.body()))
}

fn end(fields: &Fields<'_>) -> Result<(), Fault> {
    if fields.is_empty() { Ok(()) } else { Err(Fault::malformed("bytes behind the end of a packet")) }
}
