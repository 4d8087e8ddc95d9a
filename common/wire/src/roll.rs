//! Who is in a room behind a log below, as whoever has that log below itself knows: the rest of a body of kind `Roll`.
//!
//! Who comes and goes behind an edge is that edge's to say, in entries of its own that go up through every instance between.
//! What one between loses of them nobody says again: so it says what it knows itself, of a span of connections all that are
//! there. It lies in the room's channel [`CHANNEL`](crate::membership::CHANNEL), behind all that it is a sum of. Version 1
//! in postcard, after one byte that says so.

use crate::{
    entry::{BadEntry, Body},
    link::at_most,
};
use riser_model::{AccountName, ClientId, ConnectionId, Epoch, LogId, RoomId, Wall};
use serde::{Deserialize, Serialize};

/// Connections in one of them: some 10 KB.
pub const NAMED_MAX: usize = 100;

const VERSION: u8 = 1;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Roll {
    /// The log below, of which it speaks.
    pub log: LogId,
    /// The newest epoch of it that has said who is where: nobody is left of another one.
    pub epoch: Epoch,
    /// The room.
    pub room: RoomId,
    /// Of the connections from this one on,
    pub from: ConnectionId,
    /// up to this one,
    pub to: ConnectionId,
    /// these are there, and no others.
    #[serde(deserialize_with = "at_most::<_, _, NAMED_MAX>")]
    pub present: Vec<Named>,
    /// Why the others are not.
    pub cause: String,
}

/// A connection that is there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Named {
    /// Which.
    pub connection: ConnectionId,
    /// The participant.
    pub client: ClientId,
    /// Its name.
    pub name: AccountName,
    /// Since when, by the clock of whoever says so.
    pub since: Wall,
}

impl Roll {
    /// Reads the rest of a body.
    pub fn read(body: &Body<'_>) -> Result<Self, BadEntry> {
        let cut = BadEntry::Rest { what: "roll" };
        match body.rest.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|_| cut),
            Some(_) | None => Err(cut),
        }
    }

    /// Appends the rest of a body.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend(postcard::to_stdvec(self).expect("plain values serialize into memory"));
    }

    /// Whether it speaks of that connection.
    pub fn spans(&self, connection: ConnectionId) -> bool {
        (self.from..=self.to).contains(&connection)
    }

    /// Whether it says that this one is there.
    pub fn names(&self, connection: ConnectionId) -> bool {
        self.present.iter().any(|named| named.connection == connection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Kind;
    use riser_model::Stamp;
    use uuid::Uuid;

    fn roll(named: u64) -> Roll {
        let one = |n| Named {
            connection: ConnectionId(n),
            client: ClientId(Uuid::from_u128(7)),
            name: "ann".parse().unwrap(),
            since: Wall(64),
        };
        Roll {
            log: LogId(300),
            epoch: Epoch(2),
            room: RoomId(Uuid::from_u128(5)),
            from: ConnectionId(1),
            to: ConnectionId(9),
            present: (3..3 + named).map(one).collect(),
            cause: "gone".into(),
        }
    }

    #[test]
    fn a_roll_is_golden_bounded_and_every_cut_is_seen() {
        let read = |rest: &[u8]| {
            Roll::read(&Body { version: 1, kind: Kind::Roll, flags: 0, stamp: Stamp::default(), rest })
        };
        let mut rest = Vec::new();
        roll(1).write(&mut rest);
        let uuid = |n: u8| [&[16_u8][..], &[0; 15], &[n]].concat();
        let golden =
            [&b"\x01\xac\x02\x02"[..], &uuid(5), b"\x01\x09\x01\x03", &uuid(7), b"\x03ann\x80\x01\x04gone"];
        assert_eq!(rest, golden.concat());
        assert_eq!(read(&rest), Ok(roll(1)));
        assert!((0..rest.len()).all(|cut| read(&rest[..cut]).is_err()));
        for (named, is_read) in [(NAMED_MAX as u64, true), (NAMED_MAX as u64 + 1, false)] {
            let mut rest = Vec::new();
            roll(named).write(&mut rest);
            assert_eq!(read(&rest).is_ok(), is_read, "{named}");
        }
    }
}
