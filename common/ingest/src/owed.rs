//! Publications of this log that ways down have still to carry and whose publishers gave them an id: so that each hears
//! `failed` when an edge will never have it, though the log has it no more.
//!
//! What is addressed to one client is not among them: whoever awaits its outcome tells that too. An edge is owed what it
//! might read when that was committed, and nothing that it was given the right to later, though it may be sent that too.
//! It owns its bound: there are never more than [`OWED_MAX`] and [`ROOM`] of them. First those make room that every edge
//! has that they were meant for; then the oldest of that room are forgotten of which there are most, and counted. It ends
//! with the process: what was committed before this one began is nobody's to tell.

use riser_model::{ClientId, Gap, Position, RoomId, Route, RouteNumber, Seq, event::PublishedAs};
use riser_rooms::outcomes::Share;
use riser_wire::entry::{Body, Frame, Publication};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// So many publications of all rooms together are kept when room was made.
pub(crate) const OWED_MAX: usize = 4096;
/// Room is made for so many at once: it takes a look at each of them and at each edge.
const ROOM: usize = 256;

/// The edges that a publication goes down to, in order. Of one channel it is the same for many.
pub(crate) type Meant = Arc<[ClientId]>;

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct One {
    pub(crate) route: RouteNumber,
    pub(crate) room: RoomId,
    pub(crate) client: ClientId,
    pub(crate) entry: Position,
    pub(crate) publish_id: PublishedAs,
    meant: Meant,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    all: BTreeMap<Seq, One>,
    rooms: Share,
    meant: BTreeSet<Meant>,
    forgotten: u64,
}

impl Owed {
    /// Whether an entry of this log is somebody's to be told of, if it goes down to anybody.
    pub(crate) fn is_meant(frame: &Frame<'_>, route: &Route) -> bool {
        frame.origin.is_none()
            && route.channel.addressee().is_none()
            && Publication::has_publish_id(frame.body)
    }

    /// Edges, in order, to which something goes down.
    pub(crate) fn edges(&mut self, edges: Vec<ClientId>) -> Meant {
        let meant = self.meant.get(&edges[..]).cloned().unwrap_or_else(|| edges.into());
        self.meant.insert(Arc::clone(&meant));
        meant
    }

    /// An entry of this log goes down to those.
    pub(crate) fn goes(&mut self, entry: Position, frame: &Frame<'_>, route: &Route, meant: Meant) {
        let Ok(body) = Body::read(frame.body) else { return };
        let Some(id) = Publication::read(&body).ok().and_then(|publication| publication.publish_id) else {
            return;
        };
        let publish_id = PublishedAs { producer: id.producer, n: id.n };
        let (room, client) = (route.room, route.client);
        self.all.insert(entry.seq, One { route: frame.route, room, client, entry, publish_id, meant });
        self.rooms.insert(room, entry.seq);
    }

    /// Whether room has to be made.
    pub(crate) fn is_full(&self) -> bool {
        self.all.len() > OWED_MAX + ROOM
    }

    /// Makes room: so far each edge is that has a way down. Who has none any more misses nothing.
    pub(crate) fn make_room(&mut self, reached: &BTreeMap<ClientId, Seq>) {
        let by_all = |meant: &Meant| meant.iter().filter_map(|edge| reached.get(edge)).min().copied();
        let had: BTreeMap<&Meant, Option<Seq>> =
            self.meant.iter().map(|meant| (meant, by_all(meant))).collect();
        let is_had = |seq: Seq, one: &One| had.get(&one.meant).is_none_or(|by| by.is_none_or(|by| seq <= by));
        let had: Vec<Seq> =
            self.all.iter().filter(|(seq, one)| is_had(**seq, one)).map(|(seq, _)| *seq).collect();
        for seq in had {
            self.take(seq);
        }
        while self.all.len() > OWED_MAX
            && let Some(oldest) = self.rooms.oldest_of_most()
        {
            self.take(oldest);
            self.forgotten += 1;
        }
        self.meant.retain(|meant| Arc::strong_count(meant) > 1);
    }

    /// What of those that edge will never have, by the routes that it still carries. Each is told once, however many edges
    /// it is.
    pub(crate) fn lose(
        &mut self,
        edge: ClientId,
        gap: Gap,
        carries: impl Fn(RouteNumber) -> bool,
    ) -> Vec<One> {
        let is_owed = |one: &One| one.meant.binary_search(&edge).is_ok() && carries(one.route);
        let lost = self.all.range(gap.from..=gap.to).filter(|(_, one)| is_owed(one));
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
    const NORTH: ClientId = ClientId(Uuid::from_u128(1));
    const SOUTH: ClientId = ClientId(Uuid::from_u128(2));

    fn room(n: u128) -> RoomId {
        RoomId(Uuid::from_u128(n))
    }

    fn at(seq: u64) -> Position {
        Position { log: LogId(1), epoch: Epoch(1), seq: Seq(seq) }
    }

    /// A publication with that seq for n, in a channel of that room, under a publish id or none, goes to both edges.
    fn go(owed: &mut Owed, seq: u64, at: (u128, &str), id: bool, origin: Option<Origin>) {
        go_to(owed, seq, at, (id, origin), &[NORTH, SOUTH]);
    }

    fn go_to(
        owed: &mut Owed,
        seq: u64,
        (of, channel): (u128, &str),
        (id, origin): (bool, Option<Origin>),
        edges: &[ClientId],
    ) {
        let mut publication = Publication::new(ContentType::Text, b"on");
        publication.publish_id = id.then_some(PublishId { producer: 9, n: seq });
        let mut bytes = Vec::new();
        let number = RouteNumber(u32::try_from(of).unwrap());
        publication.write_frame(&mut bytes, number, Stamp::default());
        let (frame, _) = Frame::read(&bytes, 0).unwrap();
        let route = Route { room: room(of), channel: channel.parse().unwrap(), client: ANN };
        let frame = Frame { origin, ..frame };
        if Owed::is_meant(&frame, &route) {
            let meant = owed.edges(edges.to_vec());
            owed.goes(at(seq), &frame, &route, meant);
        }
    }

    fn lose(owed: &mut Owed, from: u64, to: u64, carried: u32) -> Vec<u64> {
        lose_at(owed, NORTH, (from, to), &[carried])
    }

    fn lose_at(owed: &mut Owed, edge: ClientId, (from, to): (u64, u64), carried: &[u32]) -> Vec<u64> {
        let gap = Gap { from: Seq(from), to: Seq(to), cause: Cause::HubQuota };
        owed.lose(edge, gap, |route| carried.contains(&route.0)).iter().map(|one| one.publish_id.n).collect()
    }

    fn make_room(owed: &mut Owed, north: u64, south: u64) {
        owed.make_room(&BTreeMap::from([(NORTH, Seq(north)), (SOUTH, Seq(south))]));
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
        (11..=most + 256).for_each(|n| go(&mut owed, n, (6, "a"), true, None));
        assert!(!owed.is_full());
        go(&mut owed, most + 257, (6, "a"), true, None);
        assert!(owed.is_full());
        make_room(&mut owed, 3, most);
        assert_eq!((owed.all.len(), owed.forgotten()), (OWED_MAX, 254));
        assert_eq!(lose(&mut owed, 1, 10, 5), [4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(lose(&mut owed, 1, 265, 6), [265], "the oldest of the loud room");
        make_room(&mut owed, most + 257, most + 257);
        assert!(owed.all.is_empty() && owed.meant.is_empty() && owed.forgotten() == 254);
    }

    #[test]
    fn an_edge_that_stays_away_keeps_nothing_that_was_never_meant_for_it() {
        let mut owed = Owed::default();
        let most = OWED_MAX as u64;
        go_to(&mut owed, 1, (5, "a"), (true, None), &[NORTH]);
        (2..=most + 257).for_each(|n| go_to(&mut owed, n, (6, "a"), (true, None), &[SOUTH]));
        // The north is away, the south has all: of the south's room nothing has to be remembered.
        make_room(&mut owed, 0, most + 200);
        assert_eq!((owed.all.len(), owed.forgotten()), (58, 0));
        assert_eq!(lose_at(&mut owed, NORTH, (1, 10), &[5, 6]), [1]);
        // An edge that is none any more keeps nothing either.
        owed.make_room(&BTreeMap::from([(NORTH, Seq(0))]));
        assert!(owed.all.is_empty() && owed.forgotten() == 0);
    }

    #[test]
    fn an_edge_misses_nothing_of_what_was_published_before_it_might_read_that() {
        let mut owed = Owed::default();
        go_to(&mut owed, 1, (5, "a"), (true, None), &[NORTH]);
        go_to(&mut owed, 2, (5, "a"), (true, None), &[NORTH, SOUTH]);
        go_to(&mut owed, 3, (5, "a"), (true, None), &[NORTH]);
        assert_eq!(owed.meant.len(), 2, "of many publications it is kept once");
        assert_eq!(lose_at(&mut owed, SOUTH, (1, 3), &[5]), [2]);
        assert_eq!(lose_at(&mut owed, NORTH, (1, 3), &[6]), [0; 0], "nor of what it may read no more");
        assert_eq!(lose_at(&mut owed, NORTH, (1, 3), &[5]), [1, 3]);
    }
}
