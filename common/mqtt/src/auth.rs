//! AUTH: the conversation between CONNECT and CONNACK (MQTT 5, section 4.12).
//!
//! The method is how a claim is proven, by its name; the server's data is the nonce as text, the client's the bytes of its
//! signature or HMAC. After CONNACK there is no more of it: nobody authenticates anew.

use crate::{
    fault::Fault,
    fields::{CUT, Fields},
    property::{self, AUTHENTICATION_DATA, AUTHENTICATION_METHOD, IN_AUTH},
};
use bytes::{BufMut, Bytes, BytesMut};
use riser_model::door::{Method, Secret};

/// The first byte of AUTH.
const AUTH: u8 = 0xf0;
/// Its reason code in the middle of a conversation: continue.
const CONTINUE: u8 = 0x18;

/// What a client answers, if it is an answer by this method.
pub(crate) fn answer(body: &[u8], method: Method) -> Result<Secret, Fault> {
    let mut fields = Fields::new(body);
    let reason = fields.u8().ok_or(CUT)?;
    let section = property::section(&mut fields, IN_AUTH)?;
    if !fields.is_empty() {
        return Err(Fault::malformed("bytes behind the end of AUTH"));
    }
    let value =
        |id| property::each(section).find(|property| property.id == id).map(|property| property.value);
    let named = value(AUTHENTICATION_METHOD);
    if reason != CONTINUE || named != Some(method.name().as_bytes()) {
        return Err(Fault::protocol(
            "another AUTH than the one that is awaited",
            "AUTH 0x18 by CONNECT's method",
        ));
    }
    let data = value(AUTHENTICATION_DATA)
        .ok_or(Fault::protocol("AUTH without data", "the signature or HMAC as data"))?;
    Ok(Secret(Bytes::copy_from_slice(data)))
}

/// Challenges a client.
pub(crate) fn challenge(out: &mut BytesMut, method: Method, nonce: &str) {
    let mut properties = Vec::new();
    for (id, text) in [(AUTHENTICATION_METHOD, method.name()), (AUTHENTICATION_DATA, nonce)] {
        properties.push(id);
        properties.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
        properties.extend(text.as_bytes());
    }
    // A nonce and a name: both lengths fit into one byte.
    let length = u8::try_from(properties.len()).unwrap_or(u8::MAX);
    out.put_slice(&[AUTH, length + 2, CONTINUE, length]);
    out.put_slice(&properties);
}
