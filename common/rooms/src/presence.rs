//! Who is in rooms behind edges: a fold over the entries that say so, which came up their links in order.
//!
//! What always holds: an edge's connections are those of its newest epoch that has said anything here, for a process
//! that began anew has nobody yet; and nothing is known of an edge that no entry said. An edge of which something was lost
//! says who is there anew, and whoever it does not name has gone; of a log that is no more nobody is there. Of a log below an
//! edge that edge says the same ([`Roll`]), where something that it passed on was lost, or that log is no more. A hub
//! that restarts knows them as before.

use riser_model::{
    AccountName, ClientId, ConnectionId, Epoch, LogId, RoomId, RouteNumber, Wall,
    look::{Behind, Present},
};
use riser_wire::{
    departed::Departed,
    entry::{Body, Frame, Kind},
    membership::{ALL, ANEW, Membership, NOBODY, RESTART},
    roll::{NAMED_MAX, Named, Roll},
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Connections behind all edges together that are known; those beyond are counted, by edge, until they go or it begins anew.
const MEMBERS_MAX: usize = 16_384;
/// Logs of which something is known. Of more, one behind which nobody is is forgotten; if there is none, the newest is not known.
const LOGS_MAX: usize = 16_384;
const SAVED_VERSION: u8 = 3;
/// With [`Edge::beyond`] of all edges together.
const VERSION_2: u8 = 2;
/// Without [`Presences::doubted`] too.
const VERSION_1: u8 = 1;
/// Why somebody left of whose leaving no entry came.
const UNSAID: &str = "unsaid";

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Presences {
    edges: BTreeMap<LogId, Edge>,
    members: usize,
    /// Whom their edges, which say it all anew, have not named yet.
    doubted: BTreeMap<(LogId, RoomId), BTreeSet<ConnectionId>>,
}

/// One edge's log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Edge {
    epoch: Epoch,
    members: BTreeMap<(RoomId, ConnectionId), Member>,
    /// Those that were not kept for want of room and have not gone, as far as that is known.
    beyond: u64,
}

/// One of a version before [`SAVED_VERSION`].
type Before = BTreeMap<LogId, (Epoch, BTreeMap<(RoomId, ConnectionId), Member>)>;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Member {
    client: ClientId,
    name: AccountName,
    since: Wall,
}

impl Edge {
    fn new(epoch: Epoch) -> Self {
        Self { epoch, members: BTreeMap::new(), beyond: 0 }
    }

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
    /// connections are here. What lies in no room was not believed when it was placed.
    pub fn apply(&mut self, frame: &Frame<'_>) -> Vec<Change> {
        let kind = frame.body.get(1).map(|kind| Kind::from_number(*kind));
        match (kind, frame.origin) {
            (Some(kind), Some(_)) if kind.says_who() && frame.route != RouteNumber::NONE => {}
            (Some(Kind::Departed), None) => {
                let departed = Body::read(frame.body).and_then(|body| Departed::read(&body));
                return departed.map(|departed| self.departed(&departed)).unwrap_or_default();
            }
            _ => return Vec::new(),
        }
        let Ok(body) = Body::read(frame.body) else { return Vec::new() };
        if body.kind == Kind::Roll {
            return Roll::read(&body).map(|roll| self.called(roll)).unwrap_or_default();
        }
        let Ok(membership) = Membership::read(&body) else { return Vec::new() };
        let mut changes = self.begin(membership.log, membership.epoch);
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
                let Some(edge) = self.edges.get(log) else { return Vec::new() };
                let known = edge.in_room(*room).map(|(connection, _)| connection).collect();
                self.doubted.insert((*log, *room), known);
                // All rooms are, before anybody is named.
                if let Some(edge) = self.edges.get_mut(log) {
                    edge.beyond = 0;
                }
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

    /// The edge above a log says who of a span of connections is in a room behind it.
    fn called(&mut self, roll: Roll) -> Vec<Change> {
        let (log, room) = (roll.log, roll.room);
        let mut changes = self.begin(log, roll.epoch);
        let known = self.edges.get(&log).into_iter().flat_map(|edge| edge.in_room(room));
        let known = known.map(|(connection, _)| connection).filter(|one| roll.spans(*one));
        let gone: Vec<ConnectionId> = known.filter(|one| !roll.names(*one)).collect();
        let gone = gone.into_iter().filter_map(|one| self.left(log, (room, one), &roll.cause));
        changes.extend(gone.collect::<Vec<_>>());
        let before = self.edges.get(&log).map_or(0, |edge| edge.beyond);
        for Named { connection, client, name, since } in roll.present {
            let is_new = |edge: &Edge| !edge.members.contains_key(&(room, connection));
            if self.edges.get(&log).is_some_and(is_new) {
                changes.extend(self.came(log, (room, connection), Member { client, name, since }));
            }
        }
        if let Some(edge) = self.edges.get_mut(&log) {
            // Who finds no room here found none before.
            edge.beyond = before.max(edge.beyond.saturating_sub(before));
        }
        changes
    }

    /// A newer epoch has nobody of the one before.
    fn begin(&mut self, log: LogId, epoch: Epoch) -> Vec<Change> {
        if !self.has_place(log) {
            return Vec::new();
        }
        let edge = self.edges.entry(log).or_insert_with(|| Edge::new(epoch));
        if edge.epoch == epoch {
            return Vec::new();
        }
        (edge.epoch, edge.beyond) = (epoch, 0);
        let gone = std::mem::take(&mut edge.members);
        self.members -= gone.len();
        self.doubted.retain(|(of, _), _| *of != log);
        gone.into_iter().map(|(at, member)| member.left(log, at, RESTART)).collect()
    }

    fn has_place(&mut self, log: LogId) -> bool {
        if self.edges.len() < LOGS_MAX || self.edges.contains_key(&log) {
            return true;
        }
        let is_empty = |(_, edge): &(&LogId, &Edge)| edge.members.is_empty() && edge.beyond == 0;
        let Some((empty, _)) = self.edges.iter().find(is_empty) else { return false };
        let empty = *empty;
        self.edges.remove(&empty);
        self.doubted.retain(|(of, _), _| *of != empty);
        true
    }

    fn opened(&mut self, membership: Membership, since: Wall) -> Option<Change> {
        let Membership { log, room, connection, client, name, .. } = membership;
        if let Some(doubted) = self.doubted.get_mut(&(log, room)) {
            doubted.remove(&connection);
        }
        // Who is named again has been there all the time.
        let before = self.edges.get(&log).and_then(|edge| edge.members.get(&(room, connection)));
        let since = before.filter(|before| before.client == client).map_or(since, |before| before.since);
        self.came(log, (room, connection), Member { client, name, since })
    }

    fn came(&mut self, log: LogId, at: (RoomId, ConnectionId), member: Member) -> Option<Change> {
        let edge = self.edges.get_mut(&log)?;
        if self.members >= MEMBERS_MAX && !edge.members.contains_key(&at) {
            edge.beyond = edge.beyond.saturating_add(1);
            return None;
        }
        let ((room, connection), Member { client, name, .. }) = (at, member.clone());
        let is_new = edge.members.insert(at, member).is_none();
        self.members += usize::from(is_new);
        is_new.then_some(Change { log, room, client, name, connection, left: None })
    }

    fn closed(&mut self, membership: Membership) -> Option<Change> {
        let Membership { log, room, connection, cause, .. } = membership;
        let left = self.left(log, (room, connection), &cause);
        if left.is_none()
            && let Some(edge) = self.edges.get_mut(&log)
        {
            // One that is not known, as it found no room.
            edge.beyond = edge.beyond.saturating_sub(1);
        }
        left
    }

    /// The logs that have said who is behind them.
    pub fn logs(&self) -> impl Iterator<Item = LogId> {
        self.edges.keys().copied()
    }

    /// The rooms in which somebody is behind that log.
    pub fn rooms(&self, log: LogId) -> impl Iterator<Item = RoomId> {
        let members = self.edges.get(&log).map(|edge| edge.members.keys());
        let mut before = None;
        let rooms = members.into_iter().flatten().map(|(room, _)| *room);
        rooms.filter(move |room| before.replace(*room) != Some(*room))
    }

    /// For whoever is above: all that are in a room behind that log, in as many parts as it takes.
    pub fn rolls(&self, log: LogId, room: RoomId) -> Vec<Roll> {
        let Some(edge) = self.edges.get(&log) else { return Vec::new() };
        let named = |(connection, member): (ConnectionId, &Member)| {
            let Member { client, name, since } = member.clone();
            Named { connection, client, name, since }
        };
        let all: Vec<Named> = edge.in_room(room).map(named).collect();
        let of = |from, to, present, cause: &str| Roll {
            log,
            epoch: edge.epoch,
            room,
            from,
            to,
            present,
            cause: cause.to_owned(),
        };
        let mut rolls: Vec<Roll> = Vec::new();
        for part in all.chunks(NAMED_MAX) {
            let from =
                rolls.last().map_or(ConnectionId(0), |before| ConnectionId(before.to.0.saturating_add(1)));
            let to = part.last().map_or(from, |last| last.connection);
            rolls.push(of(from, to, part.to_vec(), UNSAID));
        }
        match rolls.last_mut() {
            Some(last) => last.to = ConnectionId(u64::MAX),
            None => rolls.push(of(ConnectionId(0), ConnectionId(u64::MAX), Vec::new(), UNSAID)),
        }
        rolls
    }

    /// The same of a log that is no more: nobody is in that room.
    pub fn roll_of_nobody(&self, log: LogId, room: RoomId, cause: &str) -> Option<Roll> {
        let mut roll = self.rolls(log, room).into_iter().next()?;
        (roll.to, roll.present, roll.cause) = (ConnectionId(u64::MAX), Vec::new(), cause.to_owned());
        Some(roll)
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

    /// How many are there that were not kept for want of room, as far as that is known.
    pub fn beyond(&self) -> u64 {
        self.edges.values().fold(0, |sum, edge| sum.saturating_add(edge.beyond))
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

    /// Of whom there was no room then nothing is known: their edges name them again, or begin anew.
    fn of_before(edges: Before, doubted: BTreeMap<(LogId, RoomId), BTreeSet<ConnectionId>>) -> Self {
        let edge = |(log, (epoch, members))| (log, Edge { epoch, members, beyond: 0 });
        Self { edges: edges.into_iter().map(edge).collect(), members: 0, doubted }
    }

    /// As it was kept; none of another version, or damaged.
    pub fn load(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let loaded: Self = match *version {
            SAVED_VERSION => postcard::from_bytes(rest).ok()?,
            VERSION_2 => {
                let (edges, _, _, doubted): (Before, usize, u64, _) = postcard::from_bytes(rest).ok()?;
                Self::of_before(edges, doubted)
            }
            VERSION_1 => {
                let (edges, _, _): (Before, usize, u64) = postcard::from_bytes(rest).ok()?;
                Self::of_before(edges, BTreeMap::new())
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
        said_at: Wall,
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
            let origin = (!from_here).then_some(Origin {
                number: 1,
                seq: Seq(1),
                wall: self.said_at,
                uncertain: false,
            });
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
        Edge { presences: Presences::default(), epoch: 1, said_at: Wall(77) }
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
        let by_link = Some(Origin { number: 1, seq: Seq(1), wall: Wall(77), uncertain: false });
        assert_eq!(departs(1, by_link), [], "no edge says it of another");
        let changes = departs(1, None);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].left.as_deref(), Some("replaced"));
        assert!(!edge.presences.knows(LogId(1)));
        assert_eq!((edge.present(), edge.presences.members), (vec![], 0));
        assert_eq!(edge.says(Kind::Opened, 3, false), [(3, None)]);
    }

    /// What the edge above says to be behind the one below, in as many entries as it takes.
    fn called(edge: &mut Edge, rolls: &[Roll], route: RouteNumber) -> Vec<(u64, Option<String>)> {
        let mut changes = Vec::new();
        for roll in rolls {
            let mut bytes = Vec::new();
            write_frame(&mut bytes, route, Kind::Roll, 0, Stamp::default(), |out| roll.write(out));
            let (frame, _) = Frame::read(&bytes, 0).unwrap();
            let origin = Some(Origin { number: 2, seq: Seq(9), wall: Wall(99), uncertain: false });
            changes.extend(edge.presences.apply(&Frame { origin, ..frame }));
        }
        changes.into_iter().map(|change| (change.connection.0, change.left)).collect()
    }

    #[test]
    fn whom_the_edge_between_does_not_name_has_gone_and_whom_it_names_is_there() {
        let (mut above, mut between) = (edge(), edge());
        for edge in [&mut above, &mut between] {
            (3..=5).for_each(|n| drop(edge.says(Kind::Opened, n, false)));
        }
        // What the one between lost on its way up.
        between.says(Kind::Closed, 4, false);
        between.says(Kind::Opened, 8, false);
        let rolls = between.presences.rolls(LogId(1), ROOM);
        assert_eq!(called(&mut above, &rolls, RouteNumber::NONE), [], "it was not believed");
        let unsaid = Some(UNSAID.to_owned());
        assert_eq!(called(&mut above, &rolls, RouteNumber(0)), [(4, unsaid), (8, None)]);
        assert_eq!(above.present(), between.present());
        assert_eq!(called(&mut above, &rolls, RouteNumber(0)), [], "nothing new");
        // It began anew, and that was lost.
        between.epoch = 2;
        between.says(Kind::Opened, 3, false);
        let changes = called(&mut above, &between.presences.rolls(LogId(1), ROOM), RouteNumber(0));
        assert_eq!(changes.iter().filter(|(_, left)| left.as_deref() == Some(RESTART)).count(), 3);
        assert_eq!(above.present(), [3]);
        let nobody = between.presences.roll_of_nobody(LogId(1), ROOM, "replaced");
        assert_eq!(called(&mut above, nobody.as_slice(), RouteNumber(0)), [(3, Some("replaced".to_owned()))]);
        assert_eq!(edge().presences.roll_of_nobody(LogId(1), ROOM, "replaced"), None);
    }

    #[test]
    fn more_than_one_entry_holds_are_named_in_several_and_none_of_them_goes() {
        let (mut above, mut between) = (edge(), edge());
        let most = 2 * NAMED_MAX as u64 + 1;
        (1..=most).for_each(|n| drop(between.says(Kind::Opened, n, false)));
        above.says(Kind::Opened, most + 7, false);
        let rolls = between.presences.rolls(LogId(1), ROOM);
        assert_eq!(rolls.len(), 3);
        called(&mut above, &rolls, RouteNumber(0));
        assert_eq!(above.present(), between.present());
    }

    #[test]
    fn who_is_named_again_is_there_since_it_came() {
        let mut edge = edge();
        edge.says(Kind::Opened, 3, false);
        let mut later = edge.presences.rolls(LogId(1), ROOM);
        later[0].present[0].since = Wall(200);
        called(&mut edge, &later, RouteNumber(0));
        edge.said_at = Wall(200);
        assert_eq!(edge.says(Kind::Opened, 3, false), []);
        assert_eq!(edge.present(), [3]);
    }

    #[test]
    fn what_an_older_version_saved_is_read() {
        let mut edge = edge();
        edge.says(Kind::Opened, 3, false);
        let Presences { edges, members, doubted } = &edge.presences;
        let edges: Before =
            edges.iter().map(|(log, edge)| (*log, (edge.epoch, edge.members.clone()))).collect();
        let first = postcard::to_extend(&(&edges, members, 0_u64), vec![VERSION_1]).unwrap();
        let second = postcard::to_extend(&(&edges, members, 7_u64, doubted), vec![VERSION_2]).unwrap();
        for saved in [first, second] {
            assert_eq!(Presences::load(&saved), Some(edge.presences.clone()));
        }
    }

    #[test]
    fn those_beyond_the_bound_are_counted_until_they_go_or_their_edge_begins_anew() {
        let mut edge = edge();
        let most = MEMBERS_MAX as u64;
        (1..=most).for_each(|n| assert_eq!(edge.says(Kind::Opened, n, false).len(), 1));
        assert_eq!(edge.presences.beyond(), 0);
        assert_eq!(edge.says(Kind::Opened, most + 1, false), []);
        assert_eq!(edge.says(Kind::Opened, most + 2, false), []);
        assert_eq!((edge.presences.beyond(), edge.present().len()), (2, MEMBERS_MAX));
        edge.presences = Presences::load(&edge.presences.save()).unwrap();
        edge.says(Kind::Closed, most + 1, false);
        assert_eq!(edge.presences.beyond(), 1, "it has gone");
        edge.says(Kind::Closed, 7, false);
        assert_eq!(edge.presences.beyond(), 1, "that was another");
        edge.epoch = 2;
        edge.says(Kind::Closed, 0, false);
        assert_eq!((edge.presences.beyond(), edge.present().len()), (0, 0));
    }

    #[test]
    fn own_connections_are_no_news_and_damage_is_no_presence() {
        let mut edge = edge();
        assert_eq!(edge.says(Kind::Opened, 3, true), []);
        let saved = edge.presences.save();
        assert!((0..saved.len()).all(|cut| Presences::load(&saved[..cut]).is_none()));
    }
}
