//! What a publication's body holds.

use super::{BadEntry, Body, Kind, take, take_array, take_u64, write_frame};
use riser_model::{ConnectionId, Epoch, LogId, Position, RouteNumber, Seq, Stamp};

/// What the payload's bytes are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ContentType<'a> {
    /// `application/octet-stream`, and whatever nobody named.
    Octets,
    /// `text/plain`.
    Text,
    /// `application/json`.
    Json,
    /// Any other, at most 255 bytes.
    Other(&'a str),
}

impl<'a> ContentType<'a> {
    /// By its name.
    pub fn named(name: &'a str) -> Self {
        match name {
            "" | "application/octet-stream" => Self::Octets,
            "text/plain" => Self::Text,
            "application/json" => Self::Json,
            other => Self::Other(other),
        }
    }

    /// Its name.
    pub fn name(self) -> &'a str {
        match self {
            Self::Octets => "application/octet-stream",
            Self::Text => "text/plain",
            Self::Json => "application/json",
            Self::Other(name) => name,
        }
    }
}

/// Names a publication for its publisher: a lower or equal `n` of the same producer is a duplicate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PublishId {
    /// Drawn by the publisher.
    pub producer: u64,
    /// Rises by at least one per publication.
    pub n: u64,
}

/// The QoS 2 packet that brought a publication: the id rides in the entry, so that deduplication survives a
/// restart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PacketId {
    /// The MQTT session's number in this log.
    pub session: u64,
    /// The packet id.
    pub id: u16,
}

/// Which of its client's MQTT sessions a publication came from: what MQTT 5's No Local asks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Publisher(pub u64);

impl Publisher {
    /// The one of that MQTT client id: FNV-1a over its bytes. It tells sessions of one client apart and nobody from
    /// anybody else: who wants two of its own ids to collide has only its own messages to lose.
    pub fn of(mqtt_client_id: &str) -> Self {
        let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Self(mqtt_client_id.bytes().fold(0xcbf2_9ce4_8422_2325, fold))
    }
}

/// A publication: the rest of a body of kind [`Kind::Publication`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Publication<'a> {
    /// MQTT's retain flag.
    pub retain: bool,
    /// The quality of service it was published with: 0, 1 or 2.
    pub qos: u8,
    /// What the payload is.
    pub content_type: ContentType<'a>,
    /// For publishers that want exactly once without MQTT.
    pub publish_id: Option<PublishId>,
    /// For publishers that want exactly once by QoS 2.
    pub packet_id: Option<PacketId>,
    /// Where somebody may not want it back.
    pub publisher: Option<Publisher>,
    /// Whose session history it belongs to: the connection of the instance that took it, where that asked for one.
    pub session: Option<ConnectionId>,
    /// Another wording of this publication: the instance in whose log that is has checked whose it was. Only what names that
    /// instance's own log says anything there.
    pub replaces: Option<Position>,
    /// MQTT 5 properties that travel with it, in MQTT 5's own encoding without the length; at most 65,535 bytes.
    pub properties: &'a [u8],
    /// The payload, byte for byte.
    pub payload: &'a [u8],
}

impl<'a> Publication<'a> {
    const RETAIN: u16 = 1;
    const PUBLISH_ID: u16 = 2;
    const PACKET_ID: u16 = 4;
    const PROPERTIES: u16 = 8;
    const QOS_SHIFT: u16 = 4;
    const PUBLISHER: u16 = 64;
    const SESSION: u16 = 128;
    const REPLACES: u16 = 256;

    /// A plain publication of these bytes.
    pub fn new(content_type: ContentType<'a>, payload: &'a [u8]) -> Self {
        Self {
            retain: false,
            qos: 0,
            content_type,
            publish_id: None,
            packet_id: None,
            publisher: None,
            session: None,
            replaces: None,
            properties: &[],
            payload,
        }
    }

    /// Whether a body with these flags has a publisher that waits for its commit.
    pub(super) fn is_awaited(flags: u16) -> bool {
        flags & (Self::PUBLISH_ID | Self::PACKET_ID | 3 << Self::QOS_SHIFT) != 0
    }

    /// Whether a body is that of a publication with MQTT's retain flag: what a fold over every entry asks before it
    /// reads one.
    pub fn is_retained(body: &[u8]) -> bool {
        match body {
            [_, kind, low, high, ..] => {
                *kind == Kind::Publication.number() && u16::from_le_bytes([*low, *high]) & Self::RETAIN != 0
            }
            _ => false,
        }
    }

    /// Whether a body is that of a publication that is nothing but news of its channel: not to be retained, of no session,
    /// without an id. What folds over every entry ask first: almost all are.
    pub fn is_plain(body: &[u8]) -> bool {
        const MARKS: u16 =
            Publication::RETAIN | Publication::PUBLISH_ID | Publication::PACKET_ID | Publication::SESSION;
        match body {
            [_, kind, low, high, ..] => {
                *kind == Kind::Publication.number() && u16::from_le_bytes([*low, *high]) & MARKS == 0
            }
            _ => false,
        }
    }

    /// Whether a body is that of a publication with a publish id: what a fold over every entry asks before it reads
    /// one.
    pub fn has_publish_id(body: &[u8]) -> bool {
        match body {
            [_, kind, low, high, ..] => {
                *kind == Kind::Publication.number()
                    && u16::from_le_bytes([*low, *high]) & Self::PUBLISH_ID != 0
            }
            _ => false,
        }
    }

    /// Whether a body is that of a publication of a session history: what a fold over every entry asks before it reads one.
    pub fn has_session(body: &[u8]) -> bool {
        match body {
            [_, kind, low, high, ..] => {
                *kind == Kind::Publication.number() && u16::from_le_bytes([*low, *high]) & Self::SESSION != 0
            }
            _ => false,
        }
    }

    /// Whether such a body carries a packet id: what a fold over every entry asks before it reads one.
    pub fn has_packet_id(body: &Body<'_>) -> bool {
        body.flags & Self::PACKET_ID != 0
    }

    /// Reads a body of kind [`Kind::Publication`].
    pub fn read(body: &Body<'a>) -> Result<Self, BadEntry> {
        let mut rest = body.rest;
        let cut = |what| BadEntry::Rest { what };
        let has = |flag| body.flags & flag != 0;
        let content_type = read_content_type(&mut rest).ok_or(cut("content type"))?;
        let publish_id = has(Self::PUBLISH_ID)
            .then(|| Some(PublishId { producer: take_u64(&mut rest)?, n: take_u64(&mut rest)? }))
            .map(|id| id.ok_or(cut("publish id")))
            .transpose()?;
        let packet_id = has(Self::PACKET_ID)
            .then(|| {
                let session = take_u64(&mut rest)?;
                Some(PacketId { session, id: u16::from_le_bytes(*take_array(&mut rest)?) })
            })
            .map(|id| id.ok_or(cut("packet id")))
            .transpose()?;
        let publisher = has(Self::PUBLISHER)
            .then(|| take_u64(&mut rest).map(Publisher).ok_or(cut("publisher")))
            .transpose()?;
        let session = has(Self::SESSION)
            .then(|| take_u64(&mut rest).map(ConnectionId).ok_or(cut("session")))
            .transpose()?;
        let replaces =
            has(Self::REPLACES).then(|| read_position(&mut rest).ok_or(cut("replaces"))).transpose()?;
        let properties = if has(Self::PROPERTIES) {
            let length = take_array(&mut rest).map(|b| u16::from_le_bytes(*b)).ok_or(cut("properties"))?;
            take(&mut rest, usize::from(length)).ok_or(cut("properties"))?
        } else {
            &[]
        };
        Ok(Self {
            retain: has(Self::RETAIN),
            qos: (body.flags >> Self::QOS_SHIFT & 3) as u8,
            content_type,
            publish_id,
            packet_id,
            publisher,
            session,
            replaces,
            properties,
            payload: rest,
        })
    }

    /// Appends a whole frame that holds it. Properties past 65,535 bytes and content types past 255 are left
    /// out; a door refuses both before it comes to this.
    pub fn write_frame(&self, out: &mut Vec<u8>, route: RouteNumber, stamp: Stamp) {
        let properties = if self.properties.len() <= usize::from(u16::MAX) { self.properties } else { &[] };
        let mut flags = u16::from(self.qos & 3) << Self::QOS_SHIFT;
        for (set, flag) in [
            (self.retain, Self::RETAIN),
            (self.publish_id.is_some(), Self::PUBLISH_ID),
            (self.packet_id.is_some(), Self::PACKET_ID),
            (!properties.is_empty(), Self::PROPERTIES),
            (self.publisher.is_some(), Self::PUBLISHER),
            (self.session.is_some(), Self::SESSION),
            (self.replaces.is_some(), Self::REPLACES),
        ] {
            if set {
                flags |= flag;
            }
        }
        write_frame(out, route, Kind::Publication, flags, stamp, |out| {
            write_content_type(out, self.content_type);
            if let Some(id) = self.publish_id {
                out.extend_from_slice(&id.producer.to_le_bytes());
                out.extend_from_slice(&id.n.to_le_bytes());
            }
            if let Some(id) = self.packet_id {
                out.extend_from_slice(&id.session.to_le_bytes());
                out.extend_from_slice(&id.id.to_le_bytes());
            }
            if let Some(Publisher(publisher)) = self.publisher {
                out.extend_from_slice(&publisher.to_le_bytes());
            }
            if let Some(ConnectionId(session)) = self.session {
                out.extend_from_slice(&session.to_le_bytes());
            }
            if let Some(Position { log, epoch, seq }) = self.replaces {
                for number in [log.0, epoch.0, seq.0] {
                    out.extend_from_slice(&number.to_le_bytes());
                }
            }
            if !properties.is_empty() {
                out.extend_from_slice(&(properties.len() as u16).to_le_bytes());
                out.extend_from_slice(properties);
            }
            out.extend_from_slice(self.payload);
        });
    }
}

fn read_position(rest: &mut &[u8]) -> Option<Position> {
    let log = LogId(take_u64(rest)?);
    let epoch = Epoch(take_u64(rest)?);
    Some(Position { log, epoch, seq: Seq(take_u64(rest)?) })
}

const CONTENT_TYPE_NAMED: u8 = 255;

fn read_content_type<'a>(rest: &mut &'a [u8]) -> Option<ContentType<'a>> {
    match take_array::<1>(rest)? {
        [0] => Some(ContentType::Octets),
        [1] => Some(ContentType::Text),
        [2] => Some(ContentType::Json),
        [CONTENT_TYPE_NAMED] => {
            let [length] = *take_array::<1>(rest)?;
            let name = take(rest, usize::from(length))?;
            Some(ContentType::Other(std::str::from_utf8(name).ok()?))
        }
        _ => None,
    }
}

fn write_content_type(out: &mut Vec<u8>, content_type: ContentType<'_>) {
    match content_type {
        ContentType::Octets => out.push(0),
        ContentType::Text => out.push(1),
        ContentType::Json => out.push(2),
        ContentType::Other(name) => match u8::try_from(name.len()) {
            Ok(length) => {
                out.extend_from_slice(&[CONTENT_TYPE_NAMED, length]);
                out.extend_from_slice(name.as_bytes());
            }
            Err(_) => out.push(0),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Frame;

    fn is_plain(publication: Publication<'_>) -> bool {
        let mut bytes = Vec::new();
        publication.write_frame(&mut bytes, RouteNumber(1), Stamp::default());
        Publication::is_plain(Frame::read(&bytes, 0).unwrap().0.body)
    }

    #[test]
    fn a_publication_is_plain_that_no_fold_has_to_learn_of() {
        let plain = Publication::new(ContentType::Json, b"{}");
        assert!(is_plain(plain));
        assert!(is_plain(Publication {
            qos: 2,
            properties: b"\x01\x01",
            publisher: Some(Publisher(1)),
            ..plain
        }));
        assert!(!is_plain(Publication { retain: true, ..plain }));
        assert!(!is_plain(Publication { publish_id: Some(PublishId { producer: 1, n: 1 }), ..plain }));
        assert!(!is_plain(Publication { packet_id: Some(PacketId { session: 1, id: 1 }), ..plain }));
        assert!(!is_plain(Publication { session: Some(ConnectionId(1)), ..plain }));
        let mut session = Vec::new();
        write_frame(&mut session, RouteNumber::NONE, Kind::Session, 0, Stamp::default(), |_| {});
        assert!(!Publication::is_plain(Frame::read(&session, 0).unwrap().0.body));
    }
}
