//! What became of an entry in quarantine: the rest of a body of kind `Settled`.
//!
//! It commits together with what it says: an entry that is released is placed in the commit that holds its
//! settlement, so it is placed once over any crash. Version 1 in postcard, after one byte that says so.

use crate::entry::{BadEntry, Body};
use riser_model::Position;
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Settlement {
    /// Which entry of this log.
    pub entry: Position,
    /// Whether it was placed where it was meant to go; otherwise it was given up.
    pub released: bool,
}

impl Settlement {
    /// Reads the rest of a body.
    pub fn read(body: &Body<'_>) -> Result<Self, BadEntry> {
        let cut = BadEntry::Rest { what: "settlement" };
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Kind;
    use riser_model::{Epoch, LogId, Seq, Stamp};

    #[test]
    fn a_settlement_is_golden_and_every_cut_is_seen() {
        let entry = Position { log: LogId(1), epoch: Epoch(300), seq: Seq(5) };
        let settlement = Settlement { entry, released: true };
        let mut rest = Vec::new();
        settlement.write(&mut rest);
        assert_eq!(rest, [1, 1, 0xac, 2, 5, 1]);
        let read = |rest| {
            let body = Body { version: 1, kind: Kind::Settled, flags: 0, stamp: Stamp::default(), rest };
            Settlement::read(&body)
        };
        assert_eq!(read(&rest).unwrap(), settlement);
        for cut in 0..rest.len() {
            assert!(read(&rest[..cut]).is_err(), "{cut}");
        }
    }
}
