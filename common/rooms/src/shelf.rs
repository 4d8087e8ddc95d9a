//! What the newest publications are to everybody who gets them: each is made ready once, however many subscribers it has,
//! and doors word it once.
//!
//! Bounded by a number of publications, and to small ones: to make a large one ready again costs little beside writing
//! it. What the tail lets go of is not kept here either, and what a configuration says of a room is looked up anew when
//! that changes.

use riser_model::{ClientId, Seq, door::Content};
use std::sync::Arc;

/// Publications that are kept, by the lowest bits of their seqs.
const KEPT: usize = 256;
/// Larger bodies are not.
const BODY_BYTES_MAX: usize = 4096;

/// Whose having it is told to whoever published it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    /// Nobody's.
    Nobodys,
    /// The first one's.
    Anybodys,
    /// The addressee's.
    Only(ClientId),
}

impl Told {
    pub(crate) fn of(self, client: ClientId) -> bool {
        match self {
            Self::Nobodys => false,
            Self::Anybodys => true,
            Self::Only(addressee) => addressee == client,
        }
    }
}

/// A publication made ready.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) content: Arc<Content>,
    pub(crate) told: Told,
    /// Its room has session history: whose an entry is may change from one look to the next.
    pub(crate) has_sessions: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Shelf {
    kept: Vec<Option<(Seq, Ready)>>,
}

impl Shelf {
    /// Whether a publication is kept once it is ready.
    pub(crate) fn takes(body_bytes: usize) -> bool {
        body_bytes <= BODY_BYTES_MAX
    }

    /// The one at that seq, made by `make` unless it is here.
    pub(crate) fn of(&mut self, seq: Seq, make: impl FnOnce() -> Option<Ready>) -> Option<Ready> {
        if self.kept.is_empty() {
            self.kept.resize_with(KEPT, Default::default);
        }
        let place = self.kept.get_mut((seq.0 % KEPT as u64) as usize)?;
        match place {
            Some((of, ready)) if *of == seq => Some(ready.clone()),
            Some(_) | None => {
                let ready = make()?;
                *place = Some((seq, ready.clone()));
                Some(ready)
            }
        }
    }

    /// The tail begins there now.
    pub(crate) fn trim(&mut self, first: Seq) {
        for place in &mut self.kept {
            place.take_if(|(seq, _)| *seq < first);
        }
    }

    /// Rooms may be others.
    pub(crate) fn clear(&mut self) {
        self.kept = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use riser_model::{RoomId, Route, Wall};
    use uuid::Uuid;

    fn ready(text: &'static str) -> Ready {
        let route =
            Route { room: RoomId(Uuid::nil()), channel: "a".parse().unwrap(), client: ClientId(Uuid::nil()) };
        let content = Content {
            route: Arc::new(route),
            room: "a".parse().unwrap(),
            body: text.as_bytes().into(),
            wall: Wall(0),
            born_ms: 0,
            uncertain: false,
            rooted: false,
            technical: None,
            wording: None,
        };
        Ready { content: Arc::new(content), told: Told::Nobodys, has_sessions: false }
    }

    #[test]
    fn each_publication_is_made_ready_once_while_it_is_new() {
        let mut shelf = Shelf::default();
        let body = |shelf: &mut Shelf, seq, text| {
            shelf.of(Seq(seq), || Some(ready(text))).map(|ready| ready.content.body.clone())
        };
        assert_eq!(body(&mut shelf, 1, "one").unwrap(), "one");
        assert_eq!(body(&mut shelf, 2, "two").unwrap(), "two");
        assert_eq!(body(&mut shelf, 1, "made again").unwrap(), "one");
        assert_eq!(body(&mut shelf, 1 + KEPT as u64, "newer").unwrap(), "newer");
        assert_eq!(body(&mut shelf, 1, "made again").unwrap(), "made again");
        assert!(shelf.of(Seq(3), || None).is_none());
        shelf.trim(Seq(2));
        assert_eq!(body(&mut shelf, 1, "after it was let go").unwrap(), "after it was let go");
        assert_eq!(body(&mut shelf, 2, "made again").unwrap(), "two");
        shelf.clear();
        assert_eq!(body(&mut shelf, 2, "of another room").unwrap(), "of another room");
    }
}
