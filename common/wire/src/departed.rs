//! A log below is no more: its edge has another one, or is no edge any more. The rest of a body of kind `Departed`.
//!
//! Whoever has that edge below says so in its own log, for itself: connections that were behind that log are over, though
//! nobody could say so who was there. It goes no way, neither up nor down. Version 1 in postcard, after one byte that
//! says so.

use crate::entry::{BadEntry, Body, Kind, write_frame};
use riser_model::{LogId, RouteNumber, Stamp};
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Departed {
    /// The log that is no more.
    pub log: LogId,
    /// Why, as who was in a room behind it left.
    pub cause: String,
}

impl Departed {
    /// Reads the rest of a body.
    pub fn read(body: &Body<'_>) -> Result<Self, BadEntry> {
        let cut = BadEntry::Rest { what: "departed" };
        match body.rest.split_first() {
            Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|_| cut),
            Some(_) | None => Err(cut),
        }
    }

    /// Appends the frame.
    pub fn write_frame(&self, out: &mut Vec<u8>, stamp: Stamp) {
        write_frame(out, RouteNumber::NONE, Kind::Departed, 0, stamp, |out| {
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
    fn a_departure_is_golden_and_every_cut_is_seen() {
        let departed = Departed { log: LogId(300), cause: "gone".into() };
        let mut bytes = Vec::new();
        departed.write_frame(&mut bytes, Stamp::default());
        let (frame, _) = Frame::read(&bytes, 0).unwrap();
        let body = Body::read(frame.body).unwrap();
        assert_eq!((body.kind, frame.route, frame.origin), (Kind::Departed, RouteNumber::NONE, None));
        assert_eq!(body.rest, *b"\x01\xac\x02\x04gone");
        assert_eq!(Departed::read(&body).unwrap(), departed);
        for cut in 0..body.rest.len() {
            assert!(Departed::read(&Body { rest: &body.rest[..cut], ..body }).is_err(), "{cut}");
        }
    }
}
