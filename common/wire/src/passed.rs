//! Seqs of a log below that are no entries here: the rest of a body of kind `Passed`.
//!
//! Whoever relays a log says so of every seq, so that a hole above is a loss and nothing else. The last of the seqs is in
//! the frame's origin, with the log and the epoch. Version 1 in postcard, after one byte that says so.

use crate::entry::{BadEntry, Body, Kind, write_frame};
use riser_model::{Cause, RouteNumber, Seq, Stamp};
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Passed {
    /// The first of the seqs; the one after the origin's if there are none.
    pub from: Seq,
    /// The epoch's first seq; 0 if that is not known.
    pub first: Seq,
    /// Why they are gone; none if they were not meant for links.
    pub cause: Option<Cause>,
}

impl Passed {
    /// Reads the rest of a body.
    pub fn read(body: &Body<'_>) -> Result<Self, BadEntry> {
        let cut = BadEntry::Rest { what: "passed seqs" };
        match body.rest.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|_| cut),
            Some(_) | None => Err(cut),
        }
    }

    /// Appends a whole frame, without an origin: whose seqs they are says where it lies.
    pub fn write(&self, stamp: Stamp, out: &mut Vec<u8>) {
        write_frame(out, RouteNumber::NONE, Kind::Passed, 0, stamp, |out| {
            out.push(VERSION);
            out.extend(postcard::to_stdvec(self).expect("plain values serialize into memory"));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Frame;

    #[test]
    fn passed_seqs_are_golden_and_every_cut_is_seen() {
        let passed = Passed { from: Seq(300), first: Seq(5), cause: Some(Cause::Quota) };
        let mut out = Vec::new();
        passed.write(Stamp::default(), &mut out);
        let (frame, _) = Frame::read(&out, 0).unwrap();
        let body = Body::read(frame.body).unwrap();
        assert_eq!((body.kind, body.rest), (Kind::Passed, &[1, 0xac, 2, 5, 1, 0][..]));
        assert_eq!(Passed::read(&body).unwrap(), passed);
        for cut in 0..body.rest.len() {
            assert!(Passed::read(&Body { rest: &body.rest[..cut], ..body }).is_err(), "{cut}");
        }
    }
}
