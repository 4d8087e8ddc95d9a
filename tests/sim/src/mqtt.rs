//! Just enough of MQTT 3.1.1 and 5 for a device: written from the specification, sharing no code with the product.

/// What a broker says to a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    /// CONNACK.
    Connected {
        /// Whether the session was there.
        present: bool,
        /// 0 is yes.
        code: u8,
    },
    /// PUBACK, with its reason.
    Acked(u16, u8),
    /// PUBREC, with its reason.
    Received(u16, u8),
    /// PUBCOMP.
    Completed(u16),
    /// PUBLISH, with its QoS.
    Publish {
        /// Topic.
        topic: String,
        /// The packet id of QoS 1.
        id: Option<u16>,
        /// Whether it may have come before.
        dup: bool,
        /// Payload.
        payload: Vec<u8>,
    },
    /// SUBACK, with its first code.
    Subscribed(u8),
    /// DISCONNECT of MQTT 5.
    Disconnected(u8),
    /// Anything else.
    Other,
}

/// One packet of the stream, if it is whole.
pub fn take(buffer: &mut Vec<u8>, v5: bool) -> Option<Said> {
    let (&first, rest) = buffer.split_first()?;
    let (mut length, mut shift, mut used) = (0_usize, 0, 0);
    loop {
        let byte = *rest.get(used)?;
        used += 1;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let body = rest.get(used..used + length)?.to_vec();
    buffer.drain(..1 + used + length);
    Some(read(first, &body, v5).unwrap_or(Said::Other))
}

fn read(first: u8, body: &[u8], v5: bool) -> Option<Said> {
    let id = || Some(u16::from_be_bytes([*body.first()?, *body.get(1)?]));
    let reason = || if v5 { body.get(2).copied().unwrap_or(0) } else { 0 };
    Some(match first >> 4 {
        2 => Said::Connected { present: body.first()? & 1 == 1, code: *body.get(1)? },
        3 => publish(first, body, v5)?,
        4 => Said::Acked(id()?, reason()),
        5 => Said::Received(id()?, reason()),
        7 => Said::Completed(id()?),
        9 => Said::Subscribed(*body.last()?),
        14 => Said::Disconnected(body.first().copied().unwrap_or(0)),
        _ => Said::Other,
    })
}

fn publish(first: u8, body: &[u8], v5: bool) -> Option<Said> {
    let length = usize::from(u16::from_be_bytes([*body.first()?, *body.get(1)?]));
    let topic = String::from_utf8(body.get(2..2 + length)?.to_vec()).ok()?;
    let mut at = 2 + length;
    let id = if first & 6 == 0 {
        None
    } else {
        at += 2;
        Some(u16::from_be_bytes([*body.get(at - 2)?, *body.get(at - 1)?]))
    };
    if v5 {
        // The device asks for nothing that makes its properties longer than 127 bytes.
        at += 1 + usize::from(*body.get(at)?);
    }
    Some(Said::Publish { topic, id, dup: first & 8 != 0, payload: body.get(at..)?.to_vec() })
}

/// CONNECT.
pub fn connect(v5: bool, id: &str, clean: bool, keepalive_s: u16, user: &str, password: &str) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, "MQTT");
    body.push(if v5 { 5 } else { 4 });
    body.push(0xc0 | if clean { 2 } else { 0 });
    body.extend(keepalive_s.to_be_bytes());
    if v5 {
        // Session expiry: never, or with the connection.
        let expiry: u32 = if clean { 0 } else { u32::MAX };
        body.extend([5, 0x11]);
        body.extend(expiry.to_be_bytes());
    }
    text(&mut body, id);
    text(&mut body, user);
    text(&mut body, password);
    packet(0x10, &body)
}

/// A PUBLISH as a device sends it.
pub struct Publish<'a> {
    /// Whether it is MQTT 5.
    pub v5: bool,
    /// The topic.
    pub topic: &'a str,
    /// 0, 1 or 2.
    pub qos: u8,
    /// The packet id, for QoS 1 and 2.
    pub id: u16,
    /// Whether it may have been sent before.
    pub dup: bool,
    /// The payload.
    pub payload: &'a [u8],
}

impl Publish<'_> {
    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        text(&mut body, self.topic);
        if self.qos > 0 {
            body.extend(self.id.to_be_bytes());
        }
        if self.v5 {
            body.push(0);
        }
        body.extend_from_slice(self.payload);
        packet(0x30 | u8::from(self.dup) << 3 | self.qos << 1, &body)
    }
}

/// PUBACK of what the broker published.
pub fn ack(id: u16) -> Vec<u8> {
    packet(0x40, &id.to_be_bytes())
}

/// PUBREL.
pub fn release(id: u16) -> Vec<u8> {
    packet(0x62, &id.to_be_bytes())
}

/// SUBSCRIBE to one filter at QoS 1.
pub fn subscribe(v5: bool, id: u16, filter: &str) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if v5 {
        body.push(0);
    }
    text(&mut body, filter);
    body.push(1);
    packet(0x82, &body)
}

/// PINGREQ.
pub fn ping() -> Vec<u8> {
    packet(0xc0, &[])
}

/// DISCONNECT.
pub fn disconnect() -> Vec<u8> {
    packet(0xe0, &[])
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mut length = body.len();
    loop {
        let byte = (length & 0x7f) as u8;
        length >>= 7;
        out.push(if length > 0 { byte | 0x80 } else { byte });
        if length == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}
