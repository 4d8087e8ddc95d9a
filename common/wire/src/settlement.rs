//! What became of an entry in quarantine: the rest of a body of kind `Settled`.
//!
//! It commits together with what it says: an entry that is released is placed in the commit that holds its
//! settlement, so it is placed once over any crash. In postcard, after one byte that says the version: 2 says who did it and
//! why, 1 did not.

use crate::entry::{BadEntry, Body};
use riser_model::{
    AccountName, Position,
    event::{Destination, SystemEvent},
};
use serde::{Deserialize, Serialize};

const VERSION: u8 = 2;
/// Without who and why.
const FIRST_VERSION: u8 = 1;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Settlement {
    /// Which entry of this log.
    pub entry: Position,
    /// Where it was placed; none if it was given up. By names as they were.
    pub outcome: Outcome,
    /// Who settled it, and why; none in version 1.
    pub by: Option<By>,
}

/// What became of an entry in quarantine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// It was given up.
    Dropped,
    /// It was placed in this room and channel.
    Released(Destination),
    /// It was placed; version 1 did not say where.
    ReleasedSomewhere,
}

/// Who settled something, and in which words.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct By {
    /// The name of the user or client, as it was.
    pub name: AccountName,
    /// At most 200 bytes of text.
    pub reason: String,
}

/// Version 1.
#[derive(Serialize, Deserialize)]
struct First {
    entry: Position,
    released: bool,
}

impl Settlement {
    /// Reads the rest of a body.
    pub fn read(body: &Body<'_>) -> Result<Self, BadEntry> {
        let cut = BadEntry::Rest { what: "settlement" };
        match body.rest.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|_| cut),
            Some((&FIRST_VERSION, rest)) => {
                let First { entry, released } = postcard::from_bytes(rest).map_err(|_| cut)?;
                let outcome = if released { Outcome::ReleasedSomewhere } else { Outcome::Dropped };
                Ok(Self { entry, outcome, by: None })
            }
            Some(_) | None => Err(cut),
        }
    }

    /// What is said of it; nothing of one that does not say who did it.
    pub fn event(&self) -> Option<SystemEvent> {
        let By { name: by, reason } = self.by.clone()?;
        let entry = self.entry;
        match self.outcome.clone() {
            Outcome::Dropped => Some(SystemEvent::Dropped { entry, by, reason }),
            Outcome::Released(to) => Some(SystemEvent::Released { entry, to, by, reason }),
            Outcome::ReleasedSomewhere => None,
        }
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
    use riser_model::{Epoch, LogId, Seq, Stamp};

    fn read(rest: &[u8]) -> Result<Settlement, BadEntry> {
        let body = Body { version: 1, kind: Kind::Settled, flags: 0, stamp: Stamp::default(), rest };
        Settlement::read(&body)
    }

    #[test]
    fn a_settlement_is_golden_and_every_cut_is_seen() {
        let entry = Position { log: LogId(1), epoch: Epoch(300), seq: Seq(5) };
        let by = Some(By { name: "ann".parse().unwrap(), reason: "why".into() });
        let to = Destination { room: "a".parse().unwrap(), channel: "b/c".parse().unwrap() };
        let released = Settlement { entry, outcome: Outcome::Released(to.clone()), by: by.clone() };
        let dropped = Settlement { entry, outcome: Outcome::Dropped, by };
        let mut golden = vec![2, 1, 0xac, 2, 5, 1, 1, b'a', 3, b'b', b'/', b'c'];
        golden.extend(b"\x01\x03ann\x03why");
        for (settlement, golden) in
            [(&released, &golden[..]), (&dropped, b"\x02\x01\xac\x02\x05\0\x01\x03ann\x03why")]
        {
            let mut rest = Vec::new();
            settlement.write(&mut rest);
            assert_eq!(rest, golden);
            assert_eq!(read(&rest).unwrap(), *settlement);
            for cut in 0..rest.len() {
                assert!(read(&rest[..cut]).is_err(), "{cut}");
            }
        }
        let (by, reason) = ("ann".parse().unwrap(), "why".to_owned());
        assert_eq!(released.event(), Some(SystemEvent::Released { entry, to, by, reason }));
        assert_eq!(dropped.event().map(|event| event.kind()), Some("dropped"));
    }

    #[test]
    fn a_settlement_of_the_first_version_is_read_and_says_neither_who_nor_why() {
        let entry = Position { log: LogId(1), epoch: Epoch(300), seq: Seq(5) };
        for (last, outcome) in [(1, Outcome::ReleasedSomewhere), (0, Outcome::Dropped)] {
            let settlement = read(&[1, 1, 0xac, 2, 5, last]).unwrap();
            assert_eq!(settlement, Settlement { entry, outcome, by: None });
            assert_eq!(settlement.event(), None);
        }
        assert!(read(&[1, 1, 0xac, 2, 5]).is_err() && read(&[3, 1, 0xac, 2, 5, 1]).is_err());
    }
}
