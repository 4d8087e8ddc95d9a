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
