//! Who is in rooms behind edges: a fold over the entries that say so, which came up their links in order.
//!
//! What always holds: an edge's connections are those of its newest epoch that has said anything here, for a process
//! that began anew has nobody yet; and nothing is known of an edge that no entry said. A hub that restarts knows them
//! as before.

use riser_model::{
    AccountName, ClientId, ConnectionId, Epoch, LogId, RoomId, Wall,
    look::{Behind, Present},
};
use riser_wire::{
    entry::{Body, Frame, Kind},
    membership::Membership,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Connections behind all edges together that are known; those beyond are counted.
const MEMBERS_MAX: usize = 16_384;
const SAVED_VERSION: u8 = 1;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Presences {
    edges: BTreeMap<LogId, Edge>,
    members: usize,
    /// Those that were not kept for want of room.
    beyond: u64,
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
    /// Takes an entry, and says what it changed. Entries of this log's own are no news: their connections are here.
    pub fn apply(&mut self, frame: &Frame<'_>) -> Vec<Change> {
        let is_membership = matches!(
            frame.body.get(1).map(|kind| Kind::from_number(*kind)),
            Some(Kind::Opened | Kind::Closed)
        );
        if frame.origin.is_none() || !is_membership {
            return Vec::new();
        }
        let Ok(body) = Body::read(frame.body) else { return Vec::new() };
        let Ok(membership) = Membership::read(&body) else { return Vec::new() };
        let mut changes = self.begin(&membership);
        match body.kind {
            Kind::Opened => changes.extend(self.opened(membership, frame.wall())),
            _ => changes.extend(self.closed(membership)),
        }
        changes
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
        let left = |((room, connection), Member { client, name, .. })| Change {
            log: *log,
            room,
            client,
            name,
            connection,
            left: Some("restart".to_owned()),
        };
        gone.into_iter().map(left).collect()
    }

    fn opened(&mut self, membership: Membership, since: Wall) -> Option<Change> {
        let Membership { log, room, connection, client, name, .. } = membership;
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
        let Member { client, name, .. } = self.edges.get_mut(&log)?.members.remove(&(room, connection))?;
        self.members -= 1;
        Some(Change { log, room, client, name, connection, left: Some(cause) })
    }

    /// Who is in a room behind an edge. `edge` says what is known of the edge with that log.
    pub fn present(&self, room: RoomId, edge: impl Fn(LogId) -> Behind) -> Vec<Present> {
        let mut all = Vec::new();
        for (log, known) in &self.edges {
            let of_room = (room, ConnectionId(0))..=(room, ConnectionId(u64::MAX));
            for ((_, connection), member) in known.members.range(of_room) {
                let Member { client, name, since } = member.clone();
                let behind = Some(edge(*log));
                all.push(Present { client, name, connection: *connection, since, behind });
            }
        }
        all
    }

    /// Whether a client is in a room behind any edge.
    pub fn has(&self, room: RoomId, client: ClientId) -> bool {
        let of_room = (room, ConnectionId(0))..=(room, ConnectionId(u64::MAX));
        let mut all = self.edges.values().flat_map(|edge| edge.members.range(of_room.clone()));
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
        let loaded: Self = postcard::from_bytes(rest).ok().filter(|_| *version == SAVED_VERSION)?;
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
            let membership = Membership {
                log: LogId(1),
                epoch: Epoch(self.epoch),
                room: ROOM,
                connection: ConnectionId(connection),
                client: ClientId(Uuid::from_u128(u128::from(connection))),
                name: "ann".parse().unwrap(),
                cause: "cut".into(),
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
    fn own_connections_are_no_news_and_damage_is_no_presence() {
        let mut edge = edge();
        assert_eq!(edge.says(Kind::Opened, 3, true), []);
        let saved = edge.presences.save();
        assert!((0..saved.len()).all(|cut| Presences::load(&saved[..cut]).is_none()));
    }
}
