//! What the log says about MQTT sessions: the bodies of entries of the kinds Session and Release.
//!
//! A body's rest is one byte of version and the record in postcard. Old versions stay readable; records of a
//! newer one are skipped.

use riser_model::{
    AccountId, ClientId, Position, Route, RouteNumber, Seq, ShareKey, Stamp, Wall,
    door::{Showing, Will},
};
use riser_wire::entry::{self, Body, ContentType, Kind, Publication, Publisher};
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;

/// Stands for the filter of a delivery that is in no subscription's course. No filter is that short.
pub(crate) const NO_FILTER: &str = "";
/// The same of what a channel retained. No filter is `$`.
pub(crate) const NO_FILTER_RETAINED: &str = "$";

/// Whose session, and which of theirs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct SessionKey {
    /// The tenant.
    pub account: AccountId,
    /// The participant.
    pub client: ClientId,
    /// The MQTT client id.
    pub id: String,
}

impl SessionKey {
    /// For what is no participant's.
    pub fn of_nobody(account: AccountId, id: &str) -> Self {
        Self { account, client: ClientId::SYSTEM, id: id.to_owned() }
    }
}

/// One change to a session. Postcard is positional: variants and fields are only ever added at the end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Record {
    /// It was made, or opened again. Ends another session of the same key.
    Opened {
        /// Which.
        number: u64,
        /// Whose.
        key: SessionKey,
        /// How long it outlives its connection, seconds.
        expiry_s: u32,
    },
    /// Its connection ended.
    Left {
        /// Which.
        number: u64,
        /// When.
        at: Wall,
        /// How long it lives on from there, seconds.
        expiry_s: u32,
    },
    /// It is over.
    Ended {
        /// Which.
        number: u64,
    },
    /// It holds a subscription.
    Subscribed {
        /// Which session.
        number: u64,
        /// The filter as the client wrote it.
        filter: String,
        /// MQTT's options byte.
        options: u8,
        /// MQTT 5's subscription identifier, 0 for none.
        identifier: u32,
        /// Where it stands.
        through: Option<Position>,
    },
    /// It holds that subscription no longer.
    Unsubscribed {
        /// Which session.
        number: u64,
        /// The filter as the client wrote it.
        filter: String,
    },
    /// Subscriptions were acknowledged up to there.
    Confirmed {
        /// Which session.
        number: u64,
        /// Filters and how far.
        through: Vec<(String, Position)>,
    },
    /// QoS 2 ids were released.
    Released {
        /// Which session.
        number: u64,
        /// The ids.
        ids: Vec<u16>,
    },
    /// Deliveries at QoS 2 got packet ids, or were received by the peer.
    HandedOver {
        /// Which session.
        number: u64,
        /// Ids, and the filter and place of what they stand for; one that is in no subscription's course has none.
        sent: Vec<(u16, String, Position)>,
        /// Ids of what the peer has.
        released: Vec<u16>,
    },
    /// A client left a will. One that it left before under the same key is forgotten.
    Willed {
        /// Whose.
        key: SessionKey,
        /// What.
        will: Box<SavedWill>,
    },
    /// A connection with a will ended without a goodbye.
    WillDue {
        /// Whose.
        key: SessionKey,
        /// When it is to be published, unless the session is opened again before.
        at: Wall,
    },
    /// A will is no more wanted, or was published in the same commit.
    Unwilled {
        /// Whose.
        key: SessionKey,
    },
    /// Deliveries at QoS 1 that were said and not acknowledged when the connection ended.
    LeftOver {
        /// Which session.
        number: u64,
        /// Ids, and the filter and place of what they stand for.
        sent: Vec<(u16, String, Position)>,
    },
    /// Deliveries are over: nothing is left to say of them.
    Over {
        /// Which session.
        number: u64,
        /// Their ids.
        ids: Vec<u16>,
    },
    /// How far a group is that shares a subscription.
    Shared {
        /// Which group.
        key: ShareKey,
        /// Everything up to here was given to a member or passed over, but for `open`.
        cursor: Position,
        /// What of it nobody has for good.
        open: Vec<Seq>,
    },
    /// A subscription was shown something of what its channels retain, or is to be shown all of it.
    Shown {
        /// Which session.
        number: u64,
        /// The filter as the client wrote it.
        filter: String,
        /// What is left.
        left: Showing,
    },
    /// The wall clock was stepped: what waits for a time goes on by the clock as it went before.
    Stepped {
        /// The time by that clock.
        at: Wall,
        /// How far the wall clock is ahead of it, milliseconds.
        ahead_ms: i64,
    },
}

/// A will as the log keeps it. Where it goes was found when its client had the right to publish there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SavedWill {
    /// Where to.
    pub route: Route,
    /// MQTT's retain flag.
    pub retain: bool,
    /// 0, 1 or 2.
    pub qos: u8,
    /// The payload's content type by name; empty when nobody named one.
    pub content_type: String,
    /// MQTT 5 properties that travel, as in an entry.
    pub properties: Vec<u8>,
    /// The payload.
    pub payload: Vec<u8>,
    /// How long it waits after the connection's end, seconds.
    pub delay_s: u32,
    /// How long its session outlives the connection, seconds.
    pub expiry_s: u32,
}

impl SavedWill {
    /// A will that goes there.
    pub fn new(will: Will, route: Route, expiry_s: u32) -> Self {
        let Will { target: _, retain, qos, content_type, properties, payload, delay_s } = will;
        let (properties, payload) = (properties.to_vec(), payload.to_vec());
        Self { route, retain, qos, content_type, properties, payload, delay_s, expiry_s }
    }

    /// Appends the publication that it becomes, in the name of that session, as a frame of its route.
    pub fn write_frame(&self, of: &SessionKey, out: &mut Vec<u8>, route: RouteNumber, stamp: Stamp) {
        let publication = Publication {
            retain: self.retain,
            qos: self.qos,
            properties: &self.properties,
            publisher: Some(Publisher::of(&of.id)),
            ..Publication::new(ContentType::named(&self.content_type), &self.payload)
        };
        publication.write_frame(out, route, stamp);
    }

    /// About how many bytes it takes.
    pub(crate) fn size(&self) -> usize {
        200 + self.route.channel.as_str().len()
            + self.content_type.len()
            + self.properties.len()
            + self.payload.len()
    }
}

impl Record {
    /// The kind of its entry.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Released { .. } => Kind::Release,
            Self::Opened { .. }
            | Self::Left { .. }
            | Self::Ended { .. }
            | Self::Subscribed { .. }
            | Self::Unsubscribed { .. }
            | Self::Confirmed { .. }
            | Self::HandedOver { .. }
            | Self::Willed { .. }
            | Self::WillDue { .. }
            | Self::Unwilled { .. }
            | Self::LeftOver { .. }
            | Self::Over { .. }
            | Self::Shared { .. }
            | Self::Shown { .. }
            | Self::Stepped { .. } => Kind::Session,
        }
    }

    /// Appends a whole frame that holds it.
    pub fn write_frame(&self, out: &mut Vec<u8>, route: RouteNumber, stamp: Stamp) {
        entry::write_frame(out, route, self.kind(), 0, stamp, |out| {
            let bytes = postcard::to_stdvec(self).expect("plain values serialize into memory");
            out.push(VERSION);
            out.extend_from_slice(&bytes);
        });
    }

    /// Reads the body of such an entry. None if it is damaged or from a newer version.
    pub fn read(body: &Body<'_>) -> Option<Self> {
        let (&VERSION, rest) = body.rest.split_first()? else {
            return None;
        };
        let (record, rest) = postcard::take_from_bytes::<Self>(rest).ok()?;
        (rest.is_empty() && record.kind() == body.kind).then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::{Epoch, LogId, Seq};
    use riser_wire::entry::{ENVELOPE_BYTES, FRAME_HEADER_BYTES, Frame};
    use uuid::Uuid;

    fn key() -> SessionKey {
        SessionKey {
            account: AccountId(Uuid::from_u128(1)),
            client: ClientId(Uuid::from_u128(2)),
            id: "pump".to_owned(),
        }
    }

    fn will() -> SavedWill {
        SavedWill {
            route: Route {
                room: riser_model::RoomId(Uuid::from_u128(3)),
                channel: "a".parse().unwrap(),
                client: ClientId(Uuid::from_u128(2)),
            },
            retain: true,
            qos: 2,
            content_type: "t".to_owned(),
            properties: vec![7],
            payload: vec![8, 9],
            delay_s: 300,
            expiry_s: 1,
        }
    }

    fn all() -> Vec<Record> {
        let position = Position { log: LogId(3), epoch: Epoch(4), seq: Seq(5) };
        vec![
            Record::Opened { number: 1, key: key(), expiry_s: 9 },
            Record::Left { number: 1, at: Wall(-7), expiry_s: 9 },
            Record::Ended { number: 1 },
            Record::Subscribed {
                number: 1,
                filter: "a/#".to_owned(),
                options: 1,
                identifier: 300,
                through: Some(position),
            },
            Record::Unsubscribed { number: 1, filter: "a/#".to_owned() },
            Record::Confirmed { number: 1, through: vec![("a/#".to_owned(), position)] },
            Record::Released { number: 1, ids: vec![1, 65535] },
            Record::HandedOver { number: 1, sent: vec![(2, "a".to_owned(), position)], released: vec![3] },
            Record::Willed { key: key(), will: Box::new(will()) },
            Record::WillDue { key: key(), at: Wall(-7) },
            Record::Unwilled { key: key() },
            Record::LeftOver { number: 1, sent: vec![(2, "a".to_owned(), position)] },
            Record::Over { number: 1, ids: vec![7] },
            Record::Shared {
                key: ShareKey { account: key().account, filter: "$share/g/a".to_owned() },
                cursor: position,
                open: vec![Seq(2), Seq(300)],
            },
            Record::Shown {
                number: 1,
                filter: "a/#".to_owned(),
                left: Showing::After(will().route.room, "b".parse().unwrap()),
            },
            Record::Shown { number: 1, filter: "a".to_owned(), left: Showing::All },
            Record::Shown { number: 1, filter: "a".to_owned(), left: Showing::Nothing },
            Record::Stepped { at: Wall(-7), ahead_ms: 150 },
        ]
    }

    fn frame(record: &Record) -> Vec<u8> {
        let mut out = Vec::new();
        record.write_frame(&mut out, RouteNumber(0), Stamp::default());
        out
    }

    #[test]
    fn records_round_trip_and_no_cut_is_taken_for_one() {
        for record in all() {
            let bytes = frame(&record);
            let (frame, _) = Frame::read(&bytes, 0).unwrap();
            let body = Body::read(frame.body).unwrap();
            assert_eq!(Record::read(&body), Some(record));
            for cut in 0..body.rest.len() {
                assert_eq!(Record::read(&Body { rest: &body.rest[..cut], ..body }), None);
            }
        }
    }

    #[test]
    fn record_bytes_are_golden() {
        let golden: [&[u8]; 18] = [
            &[
                1, 0, 1, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                0, 0, 0, 0, 0, 0, 2, 4, b'p', b'u', b'm', b'p', 9,
            ],
            &[1, 1, 1, 13, 9],
            &[1, 2, 1],
            &[1, 3, 1, 3, b'a', b'/', b'#', 1, 172, 2, 1, 3, 4, 5],
            &[1, 4, 1, 3, b'a', b'/', b'#'],
            &[1, 5, 1, 1, 3, b'a', b'/', b'#', 3, 4, 5],
            &[1, 6, 1, 2, 1, 255, 255, 3],
            &[1, 7, 1, 1, 2, 1, b'a', 3, 4, 5, 1, 3],
            &[
                1, 8, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                0, 0, 0, 0, 0, 2, 4, b'p', b'u', b'm', b'p', 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                3, 1, b'a', 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 1, b't', 1, 7, 2, 8, 9,
                172, 2, 1,
            ],
            &[
                1, 9, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                0, 0, 0, 0, 0, 2, 4, b'p', b'u', b'm', b'p', 13,
            ],
            &[
                1, 10, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                0, 0, 0, 0, 0, 2, 4, b'p', b'u', b'm', b'p',
            ],
            &[1, 11, 1, 1, 2, 1, b'a', 3, 4, 5],
            &[1, 12, 1, 1, 7],
            &[
                1, 13, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 10, b'$', b's', b'h', b'a', b'r',
                b'e', b'/', b'g', b'/', b'a', 3, 4, 5, 2, 2, 172, 2,
            ],
            &[1, 14, 1, 3, b'a', b'/', b'#', 2, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, b'b'],
            &[1, 14, 1, 1, b'a', 1],
            &[1, 14, 1, 1, b'a', 0],
            &[1, 15, 13, 172, 2],
        ];
        for (record, golden) in all().iter().zip(golden) {
            assert_eq!(&frame(record)[FRAME_HEADER_BYTES + ENVELOPE_BYTES..], golden, "{record:?}");
        }
    }
}
