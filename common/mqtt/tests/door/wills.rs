//! Wills as the log keeps them: what a client left behind is what is published, flag by flag.

use crate::bench::*;
use bytes::Bytes;
use riser_model::{AccountId, ClientId, Now, RoomId, Route, RouteNumber, door::Ask};
use riser_mqtt::{SavedWill, SessionKey};
use riser_wire::entry::{Body, Frame, Publication, Publisher};

/// CONNECT with this will, as it would be published.
fn published(level: u8, retain: bool, qos: u8) -> (bool, u8, String, Vec<u8>, Vec<u8>) {
    let properties = [24, 0, 0, 0, 5, 38, 0, 1, b'b', 0, 1, b'1', 38, 0, 1, b'a', 0, 1, b'2', 3, 0, 1, b'x'];
    let section = [&[properties.len() as u8][..], &properties].concat();
    let section = if level == 5 { section } else { vec![] };
    let will = [section, string("hall/gone"), string("bye")].concat();
    let flags = 0xc6 | qos << 3 | u8::from(retain) << 5;
    let mut bench = Bench::new(level);
    bench.send(&connect_of(level, flags, &[], &[&string("id"), &will, &string("u"), &string("p")]));
    let Some(Ask::Enter { session: Some(session), .. }) = bench.asks().pop() else { panic!("want Enter") };
    let route = Route {
        room: RoomId(uuid::Uuid::from_u128(3)),
        channel: "gone".parse().unwrap(),
        client: ClientId(uuid::Uuid::from_u128(4)),
    };
    let mut bytes = Vec::new();
    let saved = SavedWill::new(session.will.unwrap(), route, 0);
    let of = SessionKey::of_nobody(AccountId(uuid::Uuid::from_u128(1)), "id");
    saved.write_frame(&of, &mut bytes, RouteNumber(0), Now::default().stamp());
    let bytes = Bytes::from(bytes);
    let (frame, _) = Frame::read(&bytes, 0).unwrap();
    let body = Body::read(frame.body).unwrap();
    let read = Publication::read(&body).unwrap();
    assert_eq!(read.publisher, Some(Publisher::of("id")), "No Local holds for it");
    let content_type = read.content_type.name().to_owned();
    (read.retain, read.qos, content_type, read.properties.to_vec(), read.payload.to_vec())
}

#[test]
fn a_will_is_published_as_it_was_left() {
    for retain in [false, true] {
        for qos in 0..=2 {
            let octets = "application/octet-stream".to_owned();
            assert_eq!(published(4, retain, qos), (retain, qos, octets, vec![], b"bye".to_vec()));
            let user = vec![38, 0, 1, b'b', 0, 1, b'1', 38, 0, 1, b'a', 0, 1, b'2'];
            let wanted = (retain, qos, "x".to_owned(), user, b"bye".to_vec());
            assert_eq!(published(5, retain, qos), wanted, "what travels, in its order");
        }
    }
}
