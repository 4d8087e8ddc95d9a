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
    /// PUBREL.
    Released(u16),
    /// PUBLISH.
    Publish(Published),
    /// SUBACK, with its first code.
    Subscribed(u8),
    /// PINGRESP.
    Pong,
    /// DISCONNECT of MQTT 5.
    Disconnected(u8),
    /// Anything else.
    Other,
}

/// A PUBLISH as a broker sends it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Published {
    /// Topic.
    pub topic: String,
    /// 0, 1 or 2.
    pub qos: u8,
    /// The packet id, 0 at QoS 0.
    pub id: u16,
    /// Whether it may have come before.
    pub dup: bool,
    /// Whether it is what the channel retains.
    pub retain: bool,
    /// The gap that it is told of before it: from, and to.
    pub gap: Option<(u64, u64)>,
    /// Payload.
    pub payload: Vec<u8>,
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
        3 => Said::Publish(publish(first, body, v5)?),
        4 => Said::Acked(id()?, reason()),
        5 => Said::Received(id()?, reason()),
        6 => Said::Released(id()?),
        7 => Said::Completed(id()?),
        9 => Said::Subscribed(*body.last()?),
        13 => Said::Pong,
        14 => Said::Disconnected(body.first().copied().unwrap_or(0)),
        _ => Said::Other,
    })
}

fn publish(first: u8, body: &[u8], v5: bool) -> Option<Published> {
    let length = usize::from(u16::from_be_bytes([*body.first()?, *body.get(1)?]));
    let topic = String::from_utf8(body.get(2..2 + length)?.to_vec()).ok()?;
    let mut at = 2 + length;
    let mut id = 0;
    if first & 6 != 0 {
        at += 2;
        id = u16::from_be_bytes([*body.get(at - 2)?, *body.get(at - 1)?]);
    }
    let mut gap = None;
    if v5 {
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let byte = *body.get(at)?;
            at += 1;
            length |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        gap = gaps(body.get(at..at + length)?);
        at += length;
    }
    let payload = body.get(at..)?.to_vec();
    let (dup, retain) = (first & 8 != 0, first & 1 != 0);
    Some(Published { topic, qos: first >> 1 & 3, id, dup, retain, gap, payload })
}

/// A CONNECT as a client sends it.
#[derive(Clone, Copy, Debug)]
pub struct Connect<'a> {
    /// Whether it is MQTT 5.
    pub v5: bool,
    /// The client id.
    pub id: &'a str,
    /// Whether it wants a fresh session, which ends with the connection.
    pub clean: bool,
    /// Keepalive, seconds.
    pub keepalive_s: u16,
    /// User name.
    pub user: &'a str,
    /// Password.
    pub password: &'a str,
    /// How many it takes unacknowledged; MQTT 5 only.
    pub receive_max: Option<u16>,
    /// What it leaves behind.
    pub will: Option<&'a Will>,
}

/// A will.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Will {
    /// Where to.
    pub topic: String,
    /// 0, 1 or 2.
    pub qos: u8,
    /// Whether it is to stay.
    pub retain: bool,
    /// How long it waits, seconds; MQTT 5 only.
    pub delay_s: u32,
    /// What.
    pub payload: Vec<u8>,
}

impl Connect<'_> {
    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        text(&mut body, "MQTT");
        body.push(if self.v5 { 5 } else { 4 });
        let will = self.will.map_or(0, |will| 4 | will.qos << 3 | u8::from(will.retain) << 5);
        body.push(0xc0 | will | if self.clean { 2 } else { 0 });
        body.extend(self.keepalive_s.to_be_bytes());
        if self.v5 {
            // Session expiry: never, or with the connection.
            let expiry: u32 = if self.clean { 0 } else { u32::MAX };
            body.push(if self.receive_max.is_some() { 8 } else { 5 });
            body.push(0x11);
            body.extend(expiry.to_be_bytes());
            if let Some(most) = self.receive_max {
                body.push(0x21);
                body.extend(most.to_be_bytes());
            }
        }
        text(&mut body, self.id);
        if let Some(will) = self.will {
            if self.v5 {
                body.extend([5, 0x18]);
                body.extend(will.delay_s.to_be_bytes());
            }
            text(&mut body, &will.topic);
            body.extend((will.payload.len() as u16).to_be_bytes());
            body.extend_from_slice(&will.payload);
        }
        text(&mut body, self.user);
        text(&mut body, self.password);
        packet(0x10, &body)
    }
}

/// From where to where the gaps go that properties tell of.
fn gaps(properties: &[u8]) -> Option<(u64, u64)> {
    const NAME: &[u8] = b"\x00\x09riser-gap";
    let starts = properties.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    let ranges = starts.filter_map(|(at, _)| {
        let value = properties.get(at + NAME.len() + 2..)?;
        let range = std::str::from_utf8(value.split(|byte| *byte == b':').next()?).ok()?;
        let (from, to) = range.split_once("..")?;
        Some((from.parse().ok()?, to.parse().ok()?))
    });
    ranges.reduce(|all: (u64, u64), next| (all.0.min(next.0), all.1.max(next.1)))
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
    /// Whether it is to stay.
    pub retain: bool,
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
        packet(0x30 | u8::from(self.dup) << 3 | self.qos << 1 | u8::from(self.retain), &body)
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

/// PUBREC.
pub fn received(id: u16) -> Vec<u8> {
    packet(0x50, &id.to_be_bytes())
}

/// PUBCOMP.
pub fn complete(id: u16) -> Vec<u8> {
    packet(0x70, &id.to_be_bytes())
}

/// SUBSCRIBE to one filter with these options: the QoS, and more in MQTT 5.
pub fn subscribe(v5: bool, id: u16, filter: &str, options: u8) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if v5 {
        body.push(0);
    }
    text(&mut body, filter);
    body.push(options);
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

/// DISCONNECT of MQTT 5 that wants the will published.
pub fn disconnect_with_will() -> Vec<u8> {
    packet(0xe0, &[4])
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
