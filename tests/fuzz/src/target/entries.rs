//! Entries back to back, as they lie in blocks and batches. What is read is written as it was.

use crate::outcome;
use riser_model::{ConnectionId, Epoch, LogId, Position, RouteNumber, Seq, Stamp, Wall};
use riser_wire::entry::{
    Body, ContentType, Frame, Kind, Origin, PacketId, Publication, PublishId, Publisher, frames,
};

pub fn run(input: &[u8]) {
    let mut at = 0;
    if let Some(Err(error)) = frames(input).find(Result::is_err) {
        outcome::note_error(&error);
    }
    for frame in frames(input).map_while(Result::ok) {
        let mut again = Vec::new();
        frame.write(&mut again);
        assert_eq!(again.len(), frame.size());
        assert_eq!(input.get(at..at + again.len()), Some(again.as_slice()));
        at += again.len();
        let Ok(body) = Body::read(frame.body) else { continue };
        outcome::note((body.kind.number(), body.flags & 0x3f, frame.origin.is_some()));
        let mut whole = Vec::new();
        body.write(&mut whole);
        assert_eq!(whole, frame.body);
        if body.kind == Kind::Publication
            && let Ok(publication) = Publication::read(&body)
        {
            let mut written = Vec::new();
            publication.write_frame(&mut written, frame.route, body.stamp);
            let (again, _) = Frame::read(&written, 0).expect("what was read can be written");
            let again = Body::read(again.body).expect("what was written can be read");
            assert_eq!(Publication::read(&again).as_ref(), Ok(&publication));
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let stamp = Stamp { boot_us: 1, wall: Wall(-2), uncertainty_ms: 3 };
    let full = Publication {
        retain: true,
        qos: 2,
        content_type: ContentType::Other("text/x"),
        publish_id: Some(PublishId { producer: 3, n: 4 }),
        packet_id: Some(PacketId { session: 5, id: 6 }),
        publisher: Some(Publisher(7)),
        session: Some(ConnectionId(8)),
        replaces: Some(Position { log: LogId(9), epoch: Epoch(10), seq: Seq(11) }),
        properties: b"pp",
        payload: b"hello",
    };
    let mut here = Vec::new();
    full.write_frame(&mut here, RouteNumber(1), stamp);
    Publication::new(ContentType::Octets, b"").write_frame(&mut here, RouteNumber(2), stamp);
    let mut there = Vec::new();
    let origin = Some(Origin { number: 3, seq: Seq(9), wall: Wall(1), uncertain: false });
    for frame in frames(&here).map_while(Result::ok) {
        Frame { origin, ..frame }.write(&mut there);
    }
    vec![here.clone(), there.clone(), [here, there].concat()]
}
