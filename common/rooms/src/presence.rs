//! Who is in rooms behind edges: a fold over the entries that say so, which came up their links in order.
//!
//! What always holds: an edge's connections are those of its newest epoch that has said anything here, for a process
//! that began anew has nobody yet; and nothing is known of an edge that no entry said. An edge of which something was lost
//! says who is there anew, and whoever it does not name has gone; of a log that is no more nobody is there. A hub that
//! restarts knows them as before.

use riser_model::{
    AccountName, ClientId, ConnectionId, Epoch, LogId, RoomId, Wall,
    look::{Behind, Present},
};
use riser_wire::{
    departed::Departed,
    entry::{Body, Frame, Kind},
    membership::{ALL, ANEW, Membership, NOBODY, RESTART},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Connections behind all edges together that are known; those beyond are counted.
const MEMBERS_MAX: usize = 16_384;
const SAVED_VERSION: u8 = 2;
/// Without [`Presences::doubted`].
const VERSION_1: u8 = 1;
/// Why somebody left of whose leaving no entry came.
const UNSAID: &str = "unsaid";

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Presences {
    edges: BTreeMap<LogId, Edge>,
    members: usize,
    /// Those that were not kept for want of room.
    beyond: u64,
    /// Whom their edges, which say it all anew, have not named yet.
    doubted: BTreeMap<(LogId, RoomId), BTreeSet<ConnectionId>>,
}

/// One edge's log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Edge {
    epoch: Epoch,
    members: BTreeMap<(RoomId, ConnectionId), Member>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Member {
    client: ClientId,
    name: AccountName,
    since: Wall,
}

impl Edge {
    fn in_room(&self, room: RoomId) -> impl Iterator<Item = (ConnectionId, &Member)> {
        let of_room = (room, ConnectionId(0))..=(room, ConnectionId(u64::MAX));
        self.members.range(of_room).map(|((_, connection), member)| (*connection, member))
    }
}

impl Member {
    fn left(self, log: LogId, (room, connection): (RoomId, ConnectionId), cause: &str) -> Change {
        let Self { client, name, .. } = self;
        Change { log, room, client, name, connection, left: Some(cause.to_owned()) }
    }
}

/// What an entry changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The log of the edge.
    pub log: LogId,
    /// In which room.
    pub room: RoomId,
    /// The participant.
    pub client: ClientId,
    /// Its name.
    pub name: AccountName,
    /// Which of its connections.
    pub connection: ConnectionId,
    /// Why it left; none if it came.
    pub left: Option<String>,
}

impl Presences {
    /// Takes an entry, and says what it changed. Who comes and goes by entries of this log's own is no news: those
    /// connections are here.
    pub fn apply(&mut self, frame: &Frame<'_>) -> Vec<Change> {
        let kind = frame.body.get(1).map(|kind| Kind::from_number(*kind));
        match (kind, frame.origin) {
            (Some(Kind::Opened | Kind::Closed), Some(_)) => {}
            (Some(Kind::Departed), None) => {
                let departed = Body::read(frame.body).and_then(|body| Departed::read(&body));
                return departed.map(|departed| self.departed(&departed)).unwrap_or_default();
            }
            _ => return Vec::new(),
        }
        let Ok(body) = Body::read(frame.body) else { return Vec::new() };
        let Ok(membership) = Membership::read(&body) else { return Vec::new() };
        let mut changes = self.begin(&membership);
        match body.kind {
            Kind::Opened => changes.extend(self.opened(membership, frame.wall())),
            _ if membership.connection == NOBODY => changes.extend(self.of_nobody(&membership)),
            _ => changes.extend(self.closed(membership)),
        }
        changes
    }

    /// What was behind a log that is no more.
    fn departed(&mut self, departed: &Departed) -> Vec<Change> {
        let log = departed.log;
        self.doubted.retain(|(of, _), _| *of != log);
        let gone = self.edges.remove(&log).map(|edge| edge.members).unwrap_or_default();
        self.members -= gone.len();
        gone.into_iter().map(|(at, member)| member.left(log, at, &departed.cause)).collect()
    }

    /// Who is in a room is said anew, or has been.
    fn of_nobody(&mut self, membership: &Membership) -> Vec<Change> {
        let Membership { log, room, .. } = membership;
        match membership.cause.as_str() {
            ANEW => {
                let known = self.edges.get(log).into_iter().flat_map(|edge| edge.in_room(*room));
                let known = known.map(|(connection, _)| connection).collect();
                self.doubted.insert((*log, *room), known);
                Vec::new()
            }
            ALL => {
                let gone = self.doubted.remove(&(*log, *room)).unwrap_or_default();
                gone.into_iter()
                    .filter_map(|connection| self.left(*log, (*room, connection), UNSAID))
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    fn left(&mut self, log: LogId, at: (RoomId, ConnectionId), cause: &str) -> Option<Change> {
        let member = self.edges.get_mut(&log)?.members.remove(&at)?;
        self.members -= 1;
        Some(member.left(log, at, cause))
    }

    /// A newer epoch has nobody of the one before.
    fn begin(&mut self, membership: &Membership) -> Vec<Change> {
        let Membership { log, epoch, .. } = membership;
        let edge = self.edges.entry(*log).or_insert_with(|| Edge { epoch: *epoch, members: BTreeMap::new() });
        if edge.epoch == *epoch {
            return Vec::new();
        }
        edge.epoch = *epoch;
        let gone = std::mem::take(&mut edge.members);
        self.members -= gone.len();
        self.doubted.retain(|(of, _), _| of != log);
        gone.into_iter().map(|(at, member)| member.left(*log, at, RESTART)).collect()
    }

    fn opened(&mut self, membership: Membership, since: Wall) -> Option<Change> {
        let Membership { log, room, connection, client, name, .. } = membership;
        if let Some(doubted) = self.doubted.get_mut(&(log, room)) {
            doubted.remove(&connection);
        }
        let edge = self.edges.get_mut(&log)?;
        if self.members >= MEMBERS_MAX && !edge.members.contains_key(&(room, connection)) {
            self.beyond += 1;
            return None;
        }
        let member = Member { client, name: name.clone(), since };
        let is_new = edge.members.insert((room, connection), member).is_none();
        self.members += usize::from(is_new);
        is_new.then_some(Change { log, room, client, name, connection, left: None })
    }

    fn closed(&mut self, membership: Membership) -> Option<Change> {
        let Membership { log, room, connection, cause, .. } = membership;
        self.left(log, (room, connection), &cause)
    }

    /// Whether somebody is known behind that log.
    pub fn knows(&self, log: LogId) -> bool {
        self.edges.get(&log).is_some_and(|edge| !edge.members.is_empty())
    }

    /// Who is in a room behind an edge. `edge` says what is known of the edge with that log.
    pub fn present(&self, room: RoomId, edge: impl Fn(LogId) -> Behind) -> Vec<Present> {
        let mut all = Vec::new();
        for (log, known) in &self.edges {
            for (connection, member) in known.in_room(room) {
                let Member { client, name, since } = member.clone();
                let behind = Some(edge(*log));
                all.push(Present { client, name, connection, since, behind });
            }
        }
        all
    }

    /// How many came that were not kept for want of room.
    pub fn beyond(&self) -> u64 {
        self.beyond
    }

    /// Whether a client is in a room behind any edge.
    pub fn has(&self, room: RoomId, client: ClientId) -> bool {
        let mut all = self.edges.values().flat_map(|edge| edge.in_room(room));
        all.any(|(_, member)| member.client == client)
    }

    /// Everybody who is behind an edge, once for each connection.
    pub fn clients(&self) -> impl Iterator<Item = ClientId> {
        self.edges.values().flat_map(|edge| edge.members.values().map(|member| member.client))
    }

    /// As it is kept beside the log.
    pub fn save(&self) -> Vec<u8> {
        let bytes = postcard::to_extend(self, vec![SAVED_VERSION]);
        bytes.expect("plain values serialize into memory")
    }

    /// As it was kept; none of another version, or damaged.
    pub fn load(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let loaded: Self = match *version {
            SAVED_VERSION => postcard::from_bytes(rest).ok()?,
            VERSION_1 => {
                let (edges, members, beyond) = postcard::from_bytes(rest).ok()?;
                Self { edges, members, beyond, doubted: BTreeMap::new() }
            }
            _ => return None,
        };
        let members = loaded.edges.values().map(|edge| edge.members.len()).sum();
        Some(Self { members, ..loaded })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::{RouteNumber, Seq, Stamp};
    use riser_wire::entry::{Origin, write_frame};
    use uuid::Uuid;

    const ROOM: RoomId = RoomId(Uuid::from_u128(5));

    struct Edge {
        presences: Presences,
        epoch: u64,
    }

    impl Edge {
        fn says(&mut self, kind: Kind, connection: u64, from_here: bool) -> Vec<(u64, Option<String>)> {
            self.says_why(kind, connection, from_here, "cut")
        }

        fn says_why(
            &mut self,
            kind: Kind,
            connection: u64,
            from_here: bool,
            cause: &str,
        ) -> Vec<(u64, Option<String>)> {
            let membership = Membership {
                log: LogId(1),
                epoch: Epoch(self.epoch),
                room: ROOM,
                connection: ConnectionId(connection),
                client: ClientId(Uuid::from_u128(u128::from(connection))),
                name: "ann".parse().unwrap(),
                cause: cause.into(),
            };
            let mut bytes = Vec::new();
            write_frame(&mut bytes, RouteNumber(0), kind, 0, Stamp::default(), |out| membership.write(out));
            let (frame, _) = Frame::read(&bytes, 0).unwrap();
            let origin = (!from_here).then_some(Origin { number: 1, seq: Seq(1), wall: Wall(77) });
            let changes = self.presences.apply(&Frame { origin, ..frame });
            changes.into_iter().map(|change| (change.connection.0, change.left)).collect()
        }

        fn present(&self) -> Vec<u64> {
            let behind = |log| Behind { edge: None, log, cut_off: false };
            let all = self.presences.present(ROOM, behind);
            assert!(all.iter().all(|one| one.since == Wall(77) && one.behind.is_some()));
            all.iter().map(|one| one.connection.0).collect()
        }
    }

    fn edge() -> Edge {
        Edge { presences: Presences::default(), epoch: 1 }
    }

    #[test]
    fn who_came_and_did_not_go_is_there_over_a_restart_of_the_hub_too() {
        let mut edge = edge();
        assert_eq!(edge.says(Kind::Opened, 3, false), [(3, None)]);
        assert_eq!(edge.says(Kind::Opened, 4, false), [(4, None)]);
        assert_eq!(edge.says(Kind::Opened, 4, false), [], "it is there");
        assert_eq!(edge.says(Kind::Closed, 3, false), [(3, Some("cut".to_owned()))]);
        assert_eq!(edge.says(Kind::Closed, 3, false), [], "it has gone");
        assert_eq!(edge.present(), [4]);
        edge.presences = Presences::load(&edge.presences.save()).unwrap();
        assert_eq!(edge.present(), [4]);
    }

    #[test]
    fn a_newer_epoch_of_an_edge_has_nobody_of_the_one_before() {
        let mut edge = edge();
        edge.says(Kind::Opened, 3, false);
        edge.says(Kind::Opened, 4, false);
        edge.epoch = 2;
        let restart = Some("restart".to_owned());
        assert_eq!(edge.says(Kind::Closed, 0, false), [(3, restart.clone()), (4, restart)]);
        assert_eq!(edge.present(), [0; 0]);
        assert_eq!(edge.says(Kind::Opened, 3, false), [(3, None)], "numbers begin anew");
    }

    #[test]
    fn who_is_not_named_when_all_are_named_anew_has_gone() {
        let mut edge = edge();
        (3..=5).for_each(|connection| drop(edge.says(Kind::Opened, connection, false)));
        assert_eq!(edge.says_why(Kind::Closed, 0, false, ANEW), []);
        assert_eq!(edge.says(Kind::Opened, 4, false), [], "it was there and is");
        assert_eq!(edge.present(), [3, 4, 5], "until all are named");
        edge.presences = Presences::load(&edge.presences.save()).unwrap();
        assert_eq!(edge.says(Kind::Opened, 6, false), [(6, None)], "that it came was lost");
        assert_eq!(edge.says(Kind::Closed, 5, false), [(5, Some("cut".to_owned()))]);
        assert_eq!(edge.says_why(Kind::Closed, 0, false, ALL), [(3, Some(UNSAID.to_owned()))]);
        assert_eq!(edge.present(), [4, 6]);
        assert_eq!(edge.says_why(Kind::Closed, 0, false, ALL), [], "nothing was begun");
        assert_eq!(edge.present(), [4, 6]);
    }

    #[test]
    fn of_a_log_that_is_no_more_nobody_is_there_and_if_it_comes_back_it_is_known_again() {
        let mut edge = edge();
        edge.says(Kind::Opened, 3, false);
        assert!(edge.presences.knows(LogId(1)));
        let mut departs = |log, origin| {
            let mut bytes = Vec::new();
            Departed { log: LogId(log), cause: "replaced".into() }.write_frame(&mut bytes, Stamp::default());
            let (frame, _) = Frame::read(&bytes, 0).unwrap();
            edge.presences.apply(&Frame { origin, ..frame })
        };
        assert_eq!(departs(2, None), [], "another");
        let by_link = Some(Origin { number: 1, seq: Seq(1), wall: Wall(77) });
        assert_eq!(departs(1, by_link), [], "no edge says it of another");
        let changes = departs(1, None);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].left.as_deref(), Some("replaced"));
        assert!(!edge.presences.knows(LogId(1)));
        assert_eq!((edge.present(), edge.presences.members), (vec![], 0));
        assert_eq!(edge.says(Kind::Opened, 3, false), [(3, None)]);
    }

    #[test]
    fn what_an_older_version_saved_is_read() {
        let mut edge = edge();
        edge.says(Kind::Opened, 3, false);
        let Presences { edges, members, beyond, .. } = &edge.presences;
        let saved = postcard::to_extend(&(edges, members, beyond), vec![VERSION_1]).unwrap();
        assert_eq!(Presences::load(&saved), Some(edge.presences.clone()));
    }

    #[test]
    fn those_beyond_the_bound_are_counted() {
        let mut edge = edge();
        let most = MEMBERS_MAX as u64;
        (1..=most).for_each(|n| assert_eq!(edge.says(Kind::Opened, n, false).len(), 1));
        assert_eq!(edge.presences.beyond(), 0);
        assert_eq!(edge.says(Kind::Opened, most + 1, false), []);
        assert_eq!((edge.presences.beyond(), edge.present().len()), (1, MEMBERS_MAX));
    }

    #[test]
    fn own_connections_are_no_news_and_damage_is_no_presence() {
        let mut edge = edge();
        assert_eq!(edge.says(Kind::Opened, 3, true), []);
        let saved = edge.presences.save();
        assert!((0..saved.len()).all(|cut| Presences::load(&saved[..cut]).is_none()));
    }
}
