//! Session history of connections behind edges: a fold over what came up their links.
//!
//! What they publish says which connection it is of; that one closed, or that its edge began anew, is an entry as well, in
//! order with the rest. So a hub that restarts, or whose link is cut, knows these sessions as before: they end when the
//! edge says so, or is no more, and not before. What came down from elsewhere has no such entries, and is nobody's session here. It owns
//! its bound, [`KEPT_MAX`] for each room: what comes on top of it is live only, and known to be missing.

use riser_model::{ConnectionId, Epoch, LogId, RoomId, Route, RouteNumber, Seq};
use riser_wire::{
    departed::Departed,
    entry::{Body, Frame, Kind, Publication},
    membership::{ALL, ANEW, Membership, NOBODY},
    roll::Roll,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Publications of a room that are replayed of connections behind edges.
pub const KEPT_MAX: usize = 8192;
/// Those of all rooms together, with those that are known to be missing. At most some 512 KiB in a checkpoint.
const ALL_MAX: usize = 65_536;
const SAVED_VERSION: u8 = 3;
/// Without [`EdgeSessions::epochs`].
const VERSION_2: u8 = 2;
/// Without [`EdgeSessions::doubted`] too.
const VERSION_1: u8 = 1;

/// A connection behind an edge: this log's number for the edge's (log, epoch), and the connection's there.
pub type Behind = (u32, ConnectionId);

/// A publication of such a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept {
    /// In which room.
    pub room: RoomId,
    /// Where.
    pub seq: Seq,
    /// Whose.
    pub owner: Behind,
    /// Whether it is replayed; otherwise it found no place.
    pub is_listed: bool,
}

/// What an entry changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// One more publication of a session.
    Kept(Kept),
    /// A session is over.
    Ended(Behind),
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct EdgeSessions {
    /// The number of each edge's newest epoch.
    edges: BTreeMap<LogId, u32>,
    rooms: BTreeMap<RoomId, BTreeMap<Seq, (Behind, bool)>>,
    /// Whom their edges, which say who is in a room anew, have not named yet.
    doubted: BTreeMap<(RoomId, u32), BTreeSet<ConnectionId>>,
    /// What those numbers of edges stand for.
    epochs: BTreeMap<LogId, Epoch>,
}

impl EdgeSessions {
    /// Takes an entry of this log, and says what it changed.
    pub fn apply(&mut self, seq: Seq, frame: &Frame<'_>, route: Option<&Route>) -> Vec<Change> {
        let kind = frame.body.get(1).map(|kind| Kind::from_number(*kind));
        let Some(origin) = frame.origin else {
            return if kind == Some(Kind::Departed) { self.departed(frame) } else { Vec::new() };
        };
        if kind.is_some_and(Kind::says_who) {
            // What lies in no room was not believed when it was placed.
            return match kind {
                _ if frame.route == RouteNumber::NONE => Vec::new(),
                Some(Kind::Roll) => self.called(frame),
                _ => self.moved(origin.number, frame),
            };
        }
        let room = route.map(|route| route.room).filter(|_| Publication::has_session(frame.body));
        room.and_then(|room| self.published(seq, origin.number, room, frame)).into_iter().collect()
    }

    fn published(&mut self, seq: Seq, number: u32, room: RoomId, frame: &Frame<'_>) -> Option<Change> {
        if !self.edges.values().any(|known| *known == number) {
            return None;
        }
        let connection = Publication::read(&Body::read(frame.body).ok()?).ok()?.session?;
        let all: usize = self.rooms.values().map(BTreeMap::len).sum();
        let kept = self.rooms.entry(room).or_default();
        let is_listed = kept.len() < KEPT_MAX;
        let owner = (number, connection);
        if all < ALL_MAX {
            kept.insert(seq, (owner, is_listed));
        }
        Some(Change::Kept(Kept { room, seq, owner, is_listed: is_listed && all < ALL_MAX }))
    }

    fn moved(&mut self, number: u32, frame: &Frame<'_>) -> Vec<Change> {
        let Ok(body) = Body::read(frame.body) else { return Vec::new() };
        let Ok(membership) = Membership::read(&body) else { return Vec::new() };
        let mut ended = Vec::new();
        let before = self.edges.insert(membership.log, number);
        if before != Some(number) {
            ended = before.map(|before| self.end_epoch(before)).unwrap_or_default();
            ended.extend(self.anew(number, membership.log));
        }
        let Membership { log, epoch, room, connection, cause, .. } = membership;
        self.epochs.insert(log, epoch);
        let doubted = (room, number);
        match body.kind {
            Kind::Closed if connection == NOBODY && cause == ANEW => {
                let kept = self.rooms.get(&room).into_iter().flat_map(BTreeMap::values);
                let of_it = kept.filter(|((of, _), _)| *of == number).map(|((_, connection), _)| *connection);
                self.doubted.insert(doubted, of_it.collect());
            }
            Kind::Closed if connection == NOBODY && cause == ALL => {
                let gone = self.doubted.remove(&doubted).unwrap_or_default();
                ended.extend(
                    gone.into_iter().filter_map(|connection| self.end_in(room, (number, connection))),
                );
            }
            Kind::Closed => ended.extend(self.end_in(room, (number, connection))),
            _ => {
                if let Some(doubted) = self.doubted.get_mut(&doubted) {
                    doubted.remove(&connection);
                }
            }
        }
        ended
    }

    /// This number is that log's. Whose it was before is known by none: a log gives a number anew that no entry of it has, and
    /// one that was kept without its epoch is not recalled.
    fn anew(&mut self, number: u32, log: LogId) -> Vec<Change> {
        let former = self.edges.iter().find(|(of, known)| **known == number && **of != log);
        former.map(|(of, _)| *of).map(|of| self.forget(of)).unwrap_or_default()
    }

    /// The edge above a log says who of it is in a room: of nobody else there is a session. Of another epoch of it there is
    /// none, and that one's number is known when it says something itself.
    fn called(&mut self, frame: &Frame<'_>) -> Vec<Change> {
        let roll = Body::read(frame.body).and_then(|body| Roll::read(&body));
        let Ok(roll) = roll else { return Vec::new() };
        let Some(number) = self.edges.get(&roll.log).copied() else { return Vec::new() };
        // One that was kept before epochs were is taken for another: so it is to who reads the log again.
        if self.epochs.get(&roll.log) != Some(&roll.epoch) {
            return self.forget(roll.log);
        }
        let kept = self.rooms.get(&roll.room).into_iter().flat_map(BTreeMap::values);
        let of_it = kept.filter(|((of, _), _)| *of == number).map(|((_, connection), _)| *connection);
        let over = of_it.filter(|connection| roll.spans(*connection) && !roll.names(*connection));
        let over: BTreeSet<ConnectionId> = over.collect();
        over.into_iter().filter_map(|connection| self.end_in(roll.room, (number, connection))).collect()
    }

    fn departed(&mut self, frame: &Frame<'_>) -> Vec<Change> {
        let departed = Body::read(frame.body).and_then(|body| Departed::read(&body));
        departed.map(|departed| self.forget(departed.log)).unwrap_or_default()
    }

    /// Nothing is known of a log any more.
    fn forget(&mut self, log: LogId) -> Vec<Change> {
        self.epochs.remove(&log);
        let number = self.edges.remove(&log);
        number.map(|number| self.end_epoch(number)).unwrap_or_default()
    }

    fn end_epoch(&mut self, number: u32) -> Vec<Change> {
        self.doubted.retain(|(_, of), _| *of != number);
        self.end(|(of, _)| of == number)
    }

    /// Whether anything of that log is known.
    pub fn knows(&self, log: LogId) -> bool {
        self.edges.contains_key(&log)
    }

    /// Who left a room has no session in it any more.
    fn end_in(&mut self, room: RoomId, gone: Behind) -> Option<Change> {
        let kept = self.rooms.get_mut(&room)?;
        let before = kept.len();
        kept.retain(|_, (owner, _)| *owner != gone);
        let is_over = kept.len() < before;
        if kept.is_empty() {
            self.rooms.remove(&room);
        }
        is_over.then_some(Change::Ended(gone))
    }

    fn end(&mut self, over: impl Fn(Behind) -> bool) -> Vec<Change> {
        let mut ended = BTreeSet::new();
        for kept in self.rooms.values_mut() {
            kept.retain(|_, (owner, _)| {
                let goes = over(*owner);
                ended.extend(goes.then_some(*owner));
                !goes
            });
        }
        self.rooms.retain(|_, kept| !kept.is_empty());
        ended.into_iter().map(Change::Ended).collect()
    }

    /// All that is kept.
    pub fn kept(&self) -> impl Iterator<Item = Kept> {
        self.rooms.iter().flat_map(|(room, kept)| {
            let one = |(seq, (owner, is_listed)): (&Seq, &(Behind, bool))| Kept {
                room: *room,
                seq: *seq,
                owner: *owner,
                is_listed: *is_listed,
            };
            kept.iter().map(one)
        })
    }

    /// What its numbers stand for. A log forgets a number with the last entry that uses it: a session lasts longer.
    pub fn origins(&self) -> impl Iterator<Item = (u32, (LogId, Epoch))> {
        self.edges.iter().filter_map(|(log, number)| Some((*number, (*log, *self.epochs.get(log)?))))
    }

    /// As it is kept beside the log.
    pub fn save(&self) -> Vec<u8> {
        let bytes = postcard::to_extend(self, vec![SAVED_VERSION]);
        bytes.expect("plain values serialize into memory")
    }

    /// As it was kept; none of another version, or damaged.
    pub fn load(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        match *version {
            SAVED_VERSION => postcard::from_bytes(rest).ok(),
            VERSION_2 => {
                let (edges, rooms, doubted) = postcard::from_bytes(rest).ok()?;
                Some(Self { edges, rooms, doubted, epochs: BTreeMap::new() })
            }
            VERSION_1 => {
                let (edges, rooms) = postcard::from_bytes(rest).ok()?;
                Some(Self { edges, rooms, ..Self::default() })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::{ClientId, Epoch, RouteNumber, Stamp, Wall};
    use riser_wire::entry::{ContentType, Origin, write_frame};
    use uuid::Uuid;

    const ROOM: RoomId = RoomId(Uuid::from_u128(5));

    /// What one edge says; its epoch is the hub's number for it too.
    #[derive(Default)]
    struct Site {
        sessions: EdgeSessions,
        seq: u64,
    }

    impl Site {
        fn take(&mut self, number: u32, bytes: &[u8]) -> Vec<Change> {
            let (frame, _) = Frame::read(bytes, 0).unwrap();
            self.seq += 1;
            let origin = Some(Origin { number, seq: Seq(self.seq), wall: Wall(0), uncertain: false });
            let client = ClientId(Uuid::nil());
            let route = Route { room: ROOM, channel: "a".parse().unwrap(), client };
            self.sessions.apply(Seq(self.seq), &Frame { origin, ..frame }, Some(&route))
        }

        fn says(&mut self, kind: Kind, epoch: u32, connection: u64) -> Vec<Change> {
            self.says_why(kind, epoch, connection, "")
        }

        fn says_why(&mut self, kind: Kind, epoch: u32, connection: u64, cause: &str) -> Vec<Change> {
            self.says_of(1, (kind, epoch), connection, cause)
        }

        fn says_of(
            &mut self,
            log: u64,
            (kind, epoch): (Kind, u32),
            connection: u64,
            cause: &str,
        ) -> Vec<Change> {
            let membership = Membership {
                log: LogId(log),
                epoch: Epoch(u64::from(epoch)),
                room: ROOM,
                connection: ConnectionId(connection),
                client: ClientId(Uuid::nil()),
                name: "ann".parse().unwrap(),
                cause: cause.to_owned(),
            };
            let mut bytes = Vec::new();
            write_frame(&mut bytes, RouteNumber(0), kind, 0, Stamp::default(), |out| membership.write(out));
            self.take(epoch, &bytes)
        }

        fn publishes(&mut self, epoch: u32, connection: Option<u64>) -> Vec<Change> {
            let mut publication = Publication::new(ContentType::Text, b"x");
            publication.session = connection.map(ConnectionId);
            let mut bytes = Vec::new();
            publication.write_frame(&mut bytes, RouteNumber(0), Stamp::default());
            self.take(epoch, &bytes)
        }

        fn kept(&self) -> Vec<(u64, u64)> {
            self.sessions.kept().map(|kept| (kept.seq.0, kept.owner.1.0)).collect()
        }
    }

    #[test]
    fn a_session_behind_an_edge_ends_when_the_edge_says_so_and_not_before() {
        let mut site = Site::default();
        assert_eq!(site.publishes(1, Some(7)), [], "nobody is behind an edge that said nothing");
        site.says(Kind::Opened, 1, 7);
        site.says(Kind::Opened, 1, 8);
        site.publishes(1, Some(7));
        site.publishes(1, Some(8));
        assert_eq!(site.publishes(1, None), [], "without a session");
        site.publishes(1, Some(7));
        assert_eq!(site.kept(), [(4, 7), (5, 8), (7, 7)]);
        site.sessions = EdgeSessions::load(&site.sessions.save()).unwrap();
        assert_eq!(site.says(Kind::Closed, 1, 7), [Change::Ended((1, ConnectionId(7)))]);
        assert_eq!(site.kept(), [(5, 8)], "a clone's is its own");
        assert_eq!(site.says(Kind::Closed, 2, 0), [Change::Ended((1, ConnectionId(8)))], "it began anew");
        assert_eq!(site.kept(), []);
    }

    /// Of what an older program kept the epochs are not known, so its numbers are not recalled at a start: once the log has no
    /// entry of one any more, another edge gets it.
    #[test]
    fn a_number_that_another_edge_got_is_its_alone() {
        let mut site = Site::default();
        site.says(Kind::Opened, 5, 7);
        site.publishes(5, Some(7));
        let EdgeSessions { edges, rooms, doubted, .. } = &site.sessions;
        let second = postcard::to_extend(&(edges, rooms, doubted), vec![VERSION_2]).unwrap();
        site.sessions = EdgeSessions::load(&second).unwrap();
        assert_eq!(site.sessions.origins().count(), 0);
        let begun = site.says_of(2, (Kind::Opened, 5), 7, "");
        assert_eq!(
            begun,
            [Change::Ended((5, ConnectionId(7)))],
            "what the first one's said has nobody any more"
        );
        site.publishes(5, Some(7));
        assert_eq!(
            site.says(Kind::Opened, 6, 1),
            [],
            "the first one begins anew, and ends nothing of the other's"
        );
        assert_eq!(site.kept(), [(4, 7)]);
    }

    #[test]
    fn a_session_whose_end_was_lost_ends_when_all_are_named_anew() {
        let mut site = Site::default();
        (7..=8).for_each(|connection| {
            site.says(Kind::Opened, 1, connection);
            site.publishes(1, Some(connection));
        });
        site.says_why(Kind::Closed, 1, 0, ANEW);
        site.says(Kind::Opened, 1, 8);
        site.sessions = EdgeSessions::load(&site.sessions.save()).unwrap();
        assert_eq!(site.kept(), [(2, 7), (4, 8)]);
        assert_eq!(site.says_why(Kind::Closed, 1, 0, ALL), [Change::Ended((1, ConnectionId(7)))]);
        assert_eq!(site.kept(), [(4, 8)], "the other's stays whole");
        assert!(site.sessions.origins().eq([(1, (LogId(1), Epoch(1)))]));
        let EdgeSessions { edges, rooms, doubted, .. } = &site.sessions;
        let first = postcard::to_extend(&(edges, rooms), vec![VERSION_1]).unwrap();
        let second = postcard::to_extend(&(edges, rooms, doubted), vec![VERSION_2]).unwrap();
        let earlier = EdgeSessions { epochs: BTreeMap::new(), ..site.sessions };
        assert_eq!(EdgeSessions::load(&first), Some(earlier.clone()));
        assert_eq!(EdgeSessions::load(&second), Some(earlier));
    }

    #[test]
    fn a_session_of_whom_the_edge_between_does_not_name_is_over() {
        let mut site = Site::default();
        (7..=8).for_each(|connection| {
            site.says(Kind::Opened, 1, connection);
            site.publishes(1, Some(connection));
        });
        let calls = |site: &mut Site, epoch| {
            let named = |connection| riser_wire::roll::Named {
                connection: ConnectionId(connection),
                client: ClientId(Uuid::nil()),
                name: "ann".parse().unwrap(),
                since: Wall(0),
            };
            let roll = Roll {
                log: LogId(1),
                epoch: Epoch(epoch),
                room: ROOM,
                from: ConnectionId(0),
                to: ConnectionId(u64::MAX),
                present: vec![named(8)],
                cause: "unsaid".into(),
            };
            let mut bytes = Vec::new();
            write_frame(&mut bytes, RouteNumber(0), Kind::Roll, 0, Stamp::default(), |out| roll.write(out));
            // It lies in the log of the one between.
            site.take(99, &bytes)
        };
        assert_eq!(calls(&mut site, 1), [Change::Ended((1, ConnectionId(7)))]);
        assert_eq!(site.kept(), [(4, 8)]);
        site.sessions = EdgeSessions::load(&site.sessions.save()).unwrap();
        let mut before = Site {
            sessions: EdgeSessions { epochs: BTreeMap::new(), ..site.sessions.clone() },
            seq: site.seq,
        };
        assert_eq!(calls(&mut before, 1), [Change::Ended((1, ConnectionId(8)))], "its epoch is not known");
        assert_eq!(calls(&mut site, 2), [Change::Ended((1, ConnectionId(8)))], "it began anew");
        assert_eq!(site.kept(), []);
        site.says(Kind::Opened, 2, 8);
        assert!(!site.publishes(2, Some(8)).is_empty(), "it is known again when it says something itself");
    }

    #[test]
    fn a_log_that_is_no_more_has_no_sessions() {
        let mut site = Site::default();
        site.says(Kind::Opened, 1, 7);
        site.publishes(1, Some(7));
        assert!(site.sessions.knows(LogId(1)));
        let mut bytes = Vec::new();
        Departed { log: LogId(1), cause: "replaced".into() }.write_frame(&mut bytes, Stamp::default());
        let (frame, _) = Frame::read(&bytes, 0).unwrap();
        let ended = site.sessions.apply(Seq(9), &frame, None);
        assert_eq!(ended, [Change::Ended((1, ConnectionId(7)))]);
        assert_eq!((site.kept(), site.sessions.knows(LogId(1))), (vec![], false));
    }

    #[test]
    fn what_finds_no_place_is_known_to_be_missing() {
        let mut site = Site::default();
        site.says(Kind::Opened, 1, 7);
        for _ in 0..KEPT_MAX {
            site.publishes(1, Some(7));
        }
        let changes = site.publishes(1, Some(7));
        assert!(matches!(changes[..], [Change::Kept(Kept { is_listed: false, .. })]), "{changes:?}");
        let saved = site.sessions.save();
        assert!(saved.len() < 100_000, "{}", saved.len());
        assert!(EdgeSessions::load(&saved[..saved.len() - 1]).is_none());
    }
}
