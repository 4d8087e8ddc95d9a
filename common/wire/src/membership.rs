//! A connection that came into a room behind an edge, or went: the rest of a body of kind `Opened` or `Closed`.
//!
//! Such an entry lies in the room's channel [`CHANNEL`], so that it goes up with what the room carries, in order. It
//! names its own log and epoch: what is folded from it must not depend on numbers that a log gives anew. Version 1 in
//! postcard, after one byte that says so.
//!
//! Entries of no connection ([`NOBODY`]) speak of the room as a whole: that an instance began, whose earlier connections are
//! over; and, where some of what it said may be lost, [`ANEW`], then everybody who is there as if they had just come, then
//! [`ALL`]: whoever was not among them is there no more. To whoever does not know these words they say nothing.

use crate::entry::{BadEntry, Body};
use riser_model::{AccountName, ClientId, ConnectionId, Epoch, LogId, RoomId};
use serde::{Deserialize, Serialize};

/// The channel of such entries. Publications may be in a channel of that name too: they are of another kind.
pub const CHANNEL: &str = "members";

/// What stands for no connection: none has this id.
pub const NOBODY: ConnectionId = ConnectionId(0);
/// Why an instance that began says so of [`NOBODY`].
pub const RESTART: &str = "restart";
/// From here on everybody who is in the room is said again.
pub const ANEW: &str = "anew";
/// Everybody has been.
pub const ALL: &str = "all";

const VERSION: u8 = 1;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Membership {
    /// The log of the instance that the connection is at.
    pub log: LogId,
    /// The epoch in which it is; connections of earlier ones are over.
    pub epoch: Epoch,
    /// The room.
    pub room: RoomId,
    /// Which connection.
    pub connection: ConnectionId,
    /// The participant.
    pub client: ClientId,
    /// Its name.
    pub name: AccountName,
    /// Why it left; empty if it came.
    pub cause: String,
}

impl Membership {
    /// Reads the rest of a body.
    pub fn read(body: &Body<'_>) -> Result<Self, BadEntry> {
        let cut = BadEntry::Rest { what: "membership" };
        let (version, rest) = body.rest.split_first().ok_or(cut)?;
        if *version != VERSION {
            return Err(cut);
        }
        postcard::from_bytes(rest).map_err(|_| cut)
    }

    /// Appends the rest of a body.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.extend(postcard::to_stdvec(self).expect("plain values serialize into memory"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Kind;
    use riser_model::Stamp;
    use uuid::Uuid;

    #[test]
    fn a_membership_is_golden_and_every_cut_is_seen() {
        let membership = Membership {
            log: LogId(1),
            epoch: Epoch(300),
            room: RoomId(Uuid::from_u128(2)),
            connection: ConnectionId(3),
            client: ClientId(Uuid::from_u128(4)),
            name: "ann".parse().unwrap(),
            cause: "cut".into(),
        };
        let mut rest = Vec::new();
        membership.write(&mut rest);
        let mut golden = vec![1, 1, 0xac, 2, 16];
        golden.extend([0; 15]);
        golden.extend([2, 3, 16]);
        golden.extend([0; 15]);
        golden.extend(*b"\x04\x03ann\x03cut");
        assert_eq!(rest, golden);
        let read = |rest| {
            let body = Body { version: 1, kind: Kind::Closed, flags: 0, stamp: Stamp::default(), rest };
            Membership::read(&body)
        };
        assert_eq!(read(&rest).unwrap(), membership);
        for cut in 0..rest.len() {
            assert!(read(&rest[..cut]).is_err(), "{cut}");
        }
    }
}
