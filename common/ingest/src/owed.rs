//! Publications of this log that ways down have still to carry and whose publishers gave them an id: so that each hears
//! `failed` when an edge will never have it, though the log has it no more.
//!
//! What is addressed to one client is not among them: whoever awaits its outcome tells that too. It owns its bound: of
//! more than [`OWED_MAX`] the oldest of that room are forgotten of which there are most, and counted, once those that all
//! edges have are gone. It ends with the process: what was committed before this one began is nobody's to tell.

use riser_model::{ClientId, Gap, Position, RoomId, Route, RouteNumber, Seq, event::PublishedAs};
use riser_rooms::outcomes::Share;
use riser_wire::entry::{Body, Frame, Publication};
use std::collections::BTreeMap;

/// Publications of all rooms together.
pub(crate) const OWED_MAX: usize = 4096;

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct One {
    pub(crate) route: RouteNumber,
    pub(crate) room: RoomId,
    pub(crate) client: ClientId,
    pub(crate) entry: Position,
    pub(crate) publish_id: PublishedAs,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    all: BTreeMap<Seq, One>,
    rooms: Share,
    forgotten: u64,
}

impl Owed {
    /// An entry of this log goes down to somebody.
    pub(crate) fn goes(&mut self, entry: Position, frame: &Frame<'_>, route: &Route) {
        let is_meant = frame.origin.is_none() && route.channel.addressee().is_none();
        if !is_meant || !Publication::has_publish_id(frame.body) {
            return;
        }
        let Ok(body) = Body::read(frame.body) else { return };
        let Some(id) = Publication::read(&body).ok().and_then(|publication| publication.publish_id) else {
            return;
        };
        let publish_id = PublishedAs { producer: id.producer, n: id.n };
        let (room, client) = (route.room, route.client);
        self.all.insert(entry.seq, One { route: frame.route, room, client, entry, publish_id });
        self.rooms.insert(room, entry.seq);
    }

    /// Whether room has to be made.
    pub(crate) fn is_full(&self) -> bool {
        self.all.len() > OWED_MAX
    }

    /// Makes room: all edges have what is up to there.
    pub(crate) fn make_room(&mut self, through: Seq) {
        while let Some(seq) = self.all.keys().next().copied().filter(|seq| *seq <= through) {
            self.take(seq);
        }
        while self.is_full()
            && let Some(oldest) = self.rooms.oldest_of_most()
        {
            self.take(oldest);
            self.forgotten += 1;
        }
    }

    /// What of those an edge will never have that carries these routes. Each is told once, however many edges it is.
    pub(crate) fn lose(&mut self, gap: Gap, carries: impl Fn(RouteNumber) -> bool) -> Vec<One> {
        let lost = self.all.range(gap.from..=gap.to).filter(|(_, one)| carries(one.route));
        let lost: Vec<Seq> = lost.map(|(seq, _)| *seq).collect();
        lost.into_iter().filter_map(|seq| self.take(seq)).collect()
    }

    /// How many were forgotten for want of room.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn take(&mut self, seq: Seq) -> Option<One> {
        let one = self.all.remove(&seq)?;
        self.rooms.remove(one.room, seq);
        Some(one)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::{Cause, Epoch, LogId, Stamp};
    use riser_wire::entry::{ContentType, Origin, PublishId};
    use uuid::Uuid;

    const ANN: ClientId = ClientId(Uuid::from_u128(6));

    fn room(n: u128) -> RoomId {
        RoomId(Uuid::from_u128(n))
    }

    fn at(seq: u64) -> Position {
        Position { log: LogId(1), epoch: Epoch(1), seq: Seq(seq) }
    }

    /// A publication with that seq for n, in a channel of that room, under a publish id or none.
    fn go(owed: &mut Owed, seq: u64, (of, channel): (u128, &str), id: bool, origin: Option<Origin>) {
        let mut publication = Publication::new(ContentType::Text, b"on");
        publication.publish_id = id.then_some(PublishId { producer: 9, n: seq });
        let mut bytes = Vec::new();
        let number = RouteNumber(u32::try_from(of).unwrap());
        publication.write_frame(&mut bytes, number, Stamp::default());
        let (frame, _) = Frame::read(&bytes, 0).unwrap();
        let route = Route { room: room(of), channel: channel.parse().unwrap(), client: ANN };
        owed.goes(at(seq), &Frame { origin, ..frame }, &route);
    }

    fn lose(owed: &mut Owed, from: u64, to: u64, carried: u32) -> Vec<u64> {
        let gap = Gap { from: Seq(from), to: Seq(to), cause: Cause::HubQuota };
        owed.lose(gap, |route| route.0 == carried).iter().map(|one| one.publish_id.n).collect()
    }

    #[test]
    fn what_an_edge_will_never_have_is_told_once_to_who_gave_it_an_id() {
        let mut owed = Owed::default();
        let origin = Origin { number: 1, seq: Seq(1), wall: riser_model::Wall(0), uncertain: false };
        let lamp = format!("{}/mode", Uuid::from_u128(7));
        go(&mut owed, 1, (5, "orders/x"), true, None);
        go(&mut owed, 2, (5, "orders/x"), false, None);
        go(&mut owed, 3, (5, &lamp), true, None);
        go(&mut owed, 4, (5, "orders/x"), true, Some(origin));
        go(&mut owed, 5, (6, "orders/x"), true, None);
        go(&mut owed, 6, (5, "orders/x"), true, None);
        assert!(lose(&mut owed, 1, 5, 7).is_empty(), "an edge that carries none of it misses none");
        assert_eq!(lose(&mut owed, 1, 5, 5), [1]);
        assert_eq!(lose(&mut owed, 1, 6, 5), [6], "another edge misses more");
        assert_eq!(lose(&mut owed, 1, 6, 6), [5]);
        assert!(owed.all.is_empty() && owed.rooms.oldest_of_most().is_none());
    }

    #[test]
    fn a_room_that_says_much_makes_only_its_own_forgotten_once_what_all_have_is_gone() {
        let mut owed = Owed::default();
        let most = OWED_MAX as u64;
        (1..=10).for_each(|n| go(&mut owed, n, (5, "a"), true, None));
        (11..=most + 20).for_each(|n| go(&mut owed, n, (6, "a"), true, None));
        assert!(owed.is_full());
        owed.make_room(Seq(3));
        assert_eq!((owed.all.len(), owed.forgotten()), (OWED_MAX, 17));
        assert_eq!(lose(&mut owed, 1, 10, 5), [4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(lose(&mut owed, 1, 28, 6), [28], "the oldest of the loud room");
        owed.make_room(Seq(most + 20));
        assert!(owed.all.is_empty() && owed.forgotten() == 17);
    }
}
