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
use rumqttc::v5::mqttbytes::v5::DisconnectReasonCode;

/// The first byte of AUTH.
const AUTH: u8 = 0xf0;
/// Its reason code in the middle of a conversation: continue.
const CONTINUE: u8 = 0x18;
/// The one with which a client begins anew.
const ANEW: u8 = 0x19;

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

/// What is wrong with AUTH after CONNACK. Who wants to authenticate anew, as it may that began with a method, is told that
/// nobody does so here, and how it goes on.
pub(crate) fn again(body: &[u8], method: Option<Method>) -> Fault {
    let Some(method) = method else {
        return Fault::protocol("AUTH without a method in CONNECT", "no AUTH");
    };
    let mut fields = Fields::new(body);
    let Some(reason) = fields.u8() else { return CUT };
    let section = match property::section(&mut fields, IN_AUTH) {
        Ok(section) if fields.is_empty() => section,
        Ok(_) => return Fault::malformed("bytes behind the end of AUTH"),
        Err(fault) => return fault,
    };
    let mut named = property::each(section).filter(|property| property.id == AUTHENTICATION_METHOD);
    if reason != ANEW || named.next().map(|property| property.value) != Some(method.name().as_bytes()) {
        return Fault::protocol("an AUTH that begins nothing", "AUTH 0x19 by CONNECT's method");
    }
    Fault {
        reason: DisconnectReasonCode::ImplementationSpecificError,
        ..Fault::protocol(
            "nobody authenticates anew on a connection",
            "another connection: its session goes on",
        )
    }
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
